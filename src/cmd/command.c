#include "cmd/command.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

const char *ending_text(enum ending ending)
{
	static const char *const texts[END_COUNT] = {
		[END_OK] = "done",
		[END_FAILED] = "failed; the line on standard error says why",
		[END_USAGE] = "not understood, or not confirmed; nothing was done",
		[END_NOT_FOUND] = "there is no such cluster, mark or directory",
		[END_UNREACHABLE] =
			"the moment cannot be reached: it is before the horizon or in the future",
		[END_BUSY] = "the cluster is busy, or does not run and would have to",
		[END_DAMAGED] = "something on the disk is damaged",
		[END_CANCELLED] = "cancelled",
		[END_TAKEN] = "the name, the directory or the port is taken",
		[END_MACHINE] =
			"this machine lacks something: privilege, /dev/fuse, a package, disk space",
	};

	return texts[ending];
}

const struct command *command_find(const char *name)
{
	for (const struct command *const *command = commands; *command; command++) {
		if (!strcmp((*command)->name, name))
			return *command;
	}
	return NULL;
}

/* --- Suggestions ------------------------------------------------------------------------------ */

#define SUGGEST_MAX 40

/* Letters to insert, remove, replace or swap with their neighbour to get from `a` to `b`. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][SUGGEST_MAX + 1], a_size = strlen(a), b_size = strlen(b);
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	if (a_size > SUGGEST_MAX || b_size > SUGGEST_MAX)
		return SUGGEST_MAX;
	for (size_t j = 0; j <= b_size; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		size_t *spare = before;

		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			row[j] = last[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(row[j], last[j] + 1);
			row[j] = MIN(row[j], row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = spare;
	}
	return last[b_size];
}

const char *suggest(const char *word, const char *const *words)
{
	const char *best = NULL;
	size_t best_distance = strlen(word) < 4 ? 2 : 3;

	for (; *words; words++) {
		size_t d = distance(word, *words);

		/* "back" is meant to become "backtrack", not "mark". */
		if (strlen(word) >= 2 && !strncmp(word, *words, strlen(word)))
			d = 1;
		if (d < best_distance) {
			best = *words;
			best_distance = d;
		}
	}
	return best;
}

static int unknown_option(const struct command *command, const char *text, size_t size,
			  struct problem *why)
{
	const char *names[OPTIONS_MAX + 2] = {"help"};
	char word[SUGGEST_MAX + 1];
	const char *like;

	for (size_t i = 0; command->options[i].name; i++)
		names[i + 1] = command->options[i].name;
	snprintf(word, sizeof word, "%.*s", (int)size - 2, text + 2);
	like = suggest(word, names);
	if (like)
		return problem(why, -EINVAL, "unknown option '%.*s'; did you mean '--%s'?",
			       (int)size, text, like);
	return problem(why, -EINVAL, "unknown option '%.*s'; see 'unspill %s --help'", (int)size,
		       text, command->name);
}

/* --- Parsing ---------------------------------------------------------------------------------- */

struct parser {
	struct typed *typed;
	char *const *at; /* the next argument */
	int operands;
	struct problem *why;
};

static int add_repeat(struct parser *parser, const char *value, const char *shown)
{
	const char **at = parser->typed->repeats;

	while (*at)
		at++;
	if (at == parser->typed->repeats + REPEATS_MAX)
		return problem(parser->why, -EINVAL, "option '%s' is given more than %d times",
			       shown, REPEATS_MAX);
	*at = value;
	return 0;
}

static int set_option(struct parser *parser, size_t i, const char *value, const char *shown)
{
	const struct option *option = &parser->typed->command->options[i];

	if (parser->typed->values[i] && !option->repeatable)
		return problem(parser->why, -EINVAL, "option '%s' is given twice", shown);
	if (!option->argument && value)
		return problem(parser->why, -EINVAL, "option '%s' takes no value", shown);
	if (option->argument && !value)
		value = *parser->at ? *parser->at++ : "";
	if (option->argument && !*value)
		return problem(parser->why, -EINVAL, "option '%s' needs a value: %s", shown,
			       option->argument);
	parser->typed->values[i] = option->argument ? value : "";
	return option->repeatable ? add_repeat(parser, value, shown) : 0;
}

/* --name, --name=VALUE or --name VALUE */
static int parse_long(struct parser *parser, const char *text)
{
	const struct command *command = parser->typed->command;
	size_t size = strcspn(text, "=");
	char shown[64];

	if (!strcmp(text, "--help"))
		return 1;
	snprintf(shown, sizeof shown, "%.*s", (int)MIN(size, 60), text);
	for (size_t i = 0; command->options[i].name; i++) {
		if (!strcmp(command->options[i].name, shown + 2))
			return set_option(parser, i, text[size] ? text + size + 1 : NULL, shown);
	}
	if (!strcmp(shown, "--help"))
		return problem(parser->why, -EINVAL, "option '--help' takes no value");
	return unknown_option(command, text, MIN(size, 60), parser->why);
}

/* -x, -xVALUE or -x VALUE; switches are not bundled. */
static int parse_short(struct parser *parser, const char *text)
{
	const struct command *command = parser->typed->command;
	char shown[3] = {'-', text[1]};

	if (!strcmp(text, "-h"))
		return 1;
	for (size_t i = 0; command->options[i].name; i++) {
		if (command->options[i].letter == text[1])
			return set_option(parser, i, text[2] ? text + 2 : NULL, shown);
	}
	return problem(parser->why, -EINVAL, "unknown option '%.60s'; see 'unspill %s --help'",
		       text, command->name);
}

static int parse_operand(struct parser *parser, const char *text)
{
	const struct command *command = parser->typed->command;

	if (parser->operands == OPERANDS_MAX || !command->operands[parser->operands].name)
		return problem(parser->why, -EINVAL, "unexpected '%.60s'; see 'unspill %s --help'",
			       text, command->name);
	if (!*text)
		return problem(parser->why, -EINVAL, "%s, %s, is empty",
			       command->operands[parser->operands].name,
			       command->operands[parser->operands].text);
	parser->typed->operands[parser->operands++] = text;
	return 0;
}

static int check_complete(const struct parser *parser)
{
	const struct command *command = parser->typed->command;

	if (parser->operands < OPERANDS_MAX) {
		const struct operand *missing = &command->operands[parser->operands];

		if (missing->name && !missing->optional)
			return problem(parser->why, -EINVAL,
				       "%s is missing: %s; see 'unspill %s --help'", missing->name,
				       missing->text, command->name);
	}
	for (size_t i = 0; command->options[i].name; i++) {
		const struct option *option = &command->options[i];

		if (option->required && !parser->typed->values[i])
			return problem(parser->why, -EINVAL,
				       "'--%s %s' is missing; see 'unspill %s --help'",
				       option->name, option->argument, command->name);
	}
	return 0;
}

int command_parse(const struct command *command, char *const *argv, struct typed *ret,
		  struct problem *why)
{
	static char *const none[] = {NULL};
	struct parser parser = {.typed = ret, .at = argv, .why = why};
	int r = 0;

	*ret = (struct typed){.command = command, .rest = none};
	while (!r && *parser.at) {
		const char *text = *parser.at++;

		if (!strcmp(text, "--") && command->rest) {
			ret->rest = parser.at;
			break;
		}
		if (!strncmp(text, "--", 2))
			r = parse_long(&parser, text);
		else if (text[0] == '-' && text[1])
			r = parse_short(&parser, text);
		else
			r = parse_operand(&parser, text);
	}
	return r ? r : check_complete(&parser);
}

const char *typed_value(const struct typed *typed, const char *option)
{
	for (size_t i = 0; typed->command->options[i].name; i++) {
		if (!strcmp(typed->command->options[i].name, option))
			return typed->values[i];
	}
	assert(!"an option of the command");
	return NULL;
}

bool typed_has(const struct typed *typed, const char *option)
{
	for (size_t i = 0; typed->command->options[i].name; i++) {
		if (!strcmp(typed->command->options[i].name, option))
			return typed->values[i] != NULL;
	}
	return false;
}
