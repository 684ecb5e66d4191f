/*
 * The parser, the help and the manual pages, on commands of our own: `commands` below takes the
 * place of the real ones.
 */
#include "cmd/command.h"

#include "tap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

static const struct command bake = {
	.name = "bake",
	.summary = "Bake a cake",
	.operands = {{"NAME", "the cake"}, {"FLAVOUR", "of it", .optional = true}},
	.options =
		{
			{"heat", .argument = "DEGREES", .required = true, .text = "How hot."},
			{"yes", 'y', .text = "Do not ask."},
			{"say", 's', "TEXT", "What to write on it."},
			{"add", .argument = "THING", .repeatable = true, .text = "More of it."},
		},
	.rest = "CANDLE...",
	.text = "First paragraph\nthat goes on.\n\n  literal  text\n\n.starts like a request, and "
		"'quotes' a "
		"back\\slash-dash.",
	.examples = {{"bake x --heat 200", "An example."}},
	.endings = 1 << END_TAKEN,
};
static const struct command eat = {
	.name = "eat", .summary = "Eat it", .operands = {{"NAME", "the cake"}}, .text = "Yes."};
const struct command *const commands[] = {&bake, &eat, NULL};

static struct typed typed;
static struct problem why;

static int parse(const struct command *command, ...)
{
	static char *argv[80];
	va_list args;
	int count = 0;

	va_start(args, command);
	do {
		argv[count] = va_arg(args, char *);
	} while (argv[count++]);
	va_end(args);
	why.text[0] = '\0';
	return command_parse(command, argv, &typed, &why);
}

static bool refused(int r, const char *text)
{
	bool ok = r == -EINVAL && strstr(why.text, text) && !strchr(why.text, '\n');

	if (!ok)
		printf("# %d '%s'\n", r, why.text);
	return ok;
}

static void operands_and_options_may_come_in_any_order(void)
{
	require(parse(&bake, "--heat", "200", "x", "-y", "lemon", NULL) == 0, "%s", why.text);
	check(!strcmp(typed.operands[0], "x") && !strcmp(typed.operands[1], "lemon"));
	check(!strcmp(typed_value(&typed, "heat"), "200"));
	check(typed_switch(&typed, "yes") && !typed_value(&typed, "say"));
	check(typed.rest && !typed.rest[0]);
}

static void values_may_follow_an_equals_sign_or_the_letter(void)
{
	require(parse(&bake, "x", "--heat=a=b", "-shello", NULL) == 0, "%s", why.text);
	check(!strcmp(typed_value(&typed, "heat"), "a=b"));
	check(!strcmp(typed_value(&typed, "say"), "hello"));
	require(parse(&bake, "x", "--heat=1", "-s", "-y", NULL) == 0, "%s", why.text);
	check(!strcmp(typed_value(&typed, "say"), "-y") && !typed_switch(&typed, "yes"));
}

static void a_repeatable_option_keeps_all_its_values(void)
{
	require(parse(&bake, "x", "--heat=1", "--add", "a", "--add=b", NULL) == 0, "%s", why.text);
	check(!strcmp(typed.repeats[0], "a") && !strcmp(typed.repeats[1], "b") &&
	      !typed.repeats[2]);
}

static void too_many_values_of_a_repeatable_option_are_refused(void)
{
	char *argv[REPEATS_MAX + 4] = {(char *)"x", (char *)"--heat=1"};

	for (int i = 0; i < REPEATS_MAX; i++)
		argv[i + 2] = (char *)"--add=a";
	check(command_parse(&bake, argv, &typed, &why) == 0);
	argv[REPEATS_MAX + 2] = (char *)"--add=a";
	check(refused(command_parse(&bake, argv, &typed, &why), "more than 64 times"));
}

static void what_follows_two_dashes_is_left_alone(void)
{
	require(parse(&bake, "x", "--heat=1", "--", "--yes", "-z", NULL) == 0, "%s", why.text);
	check(!strcmp(typed.rest[0], "--yes") && !strcmp(typed.rest[1], "-z") && !typed.rest[2]);
	check(!typed_switch(&typed, "yes"));
	check(refused(parse(&eat, "x", "--", "y", NULL), "unknown option '--'"));
}

static void help_is_asked_for_in_any_place(void)
{
	check(parse(&bake, "--help", NULL) == 1);
	check(parse(&bake, "x", "-h", "--nonsense", NULL) == 1);
}

static void what_is_missing_is_named(void)
{
	check(refused(parse(&bake, NULL), "NAME is missing: the cake"));
	check(refused(parse(&bake, "x", NULL), "'--heat DEGREES' is missing"));
	check(refused(parse(&bake, "x", "--heat", NULL), "'--heat' needs a value: DEGREES"));
	check(refused(parse(&bake, "x", "--heat=", NULL), "needs a value"));
	check(refused(parse(&bake, "", "--heat=1", NULL), "is empty"));
}

static void what_does_not_belong_is_named(void)
{
	check(refused(parse(&eat, "x", "y", NULL), "unexpected 'y'"));
	check(refused(parse(&bake, "x", "y", "z", "--heat=1", NULL), "unexpected 'z'"));
	check(refused(parse(&bake, "x", "--heat=1", "--yes=no", NULL), "takes no value"));
	check(refused(parse(&bake, "x", "--heat=1", "--heat=2", NULL), "given twice"));
	check(refused(parse(&bake, "x", "-z", NULL), "unknown option '-z'"));
	check(refused(parse(&bake, "x", "-yz", NULL), "takes no value"));
}

static void an_unknown_option_brings_a_suggestion_where_one_is_near(void)
{
	check(refused(parse(&bake, "x", "--heta", "1", NULL), "did you mean '--heat'?"));
	check(refused(parse(&bake, "x", "--hea=1", NULL), "'--hea'; did you mean '--heat'?"));
	check(refused(parse(&bake, "x", "--hlep", NULL), "did you mean '--help'?"));
	check(refused(parse(&bake, "x", "--frobnicate", NULL), "see 'unspill bake --help'"));
}

static void a_very_long_option_is_refused_in_one_line(void)
{
	char text[5000] = "--";

	memset(text + 2, 'x', sizeof text - 3);
	text[sizeof text - 1] = '\0';
	check(refused(parse(&bake, text, NULL), "unknown option"));
	text[1] = 'x';
	check(refused(parse(&bake, text, NULL), "unknown option"));
	check(refused(parse(&bake, "x", "y", text + 2, NULL), "unexpected"));
	check(strlen(why.text) < 200);
}

static void suggestions_are_near_and_otherwise_none(void)
{
	static const char *const words[] = {"backtrack", "backtracks", "mark", "moments",
					    "list",      "create",     NULL};

	check(!strcmp(suggest("bakctrack", words), "backtrack"));
	check(!strcmp(suggest("back", words), "backtrack"));
	check(!strcmp(suggest("creat", words), "create"));
	check(!strcmp(suggest("moment", words), "moments"));
	check(!suggest("frobnicate", words));
	check(!strcmp(suggest("creaet", words), "create"));
	check(!suggest("a word longer than any that the rows of the distance have room for",
		       words));
	check(!suggest("", words));
	check(!suggest("x", words));
}

/* What `print` prints. */
static char *printed(void (*print)(const struct command *command, FILE *out),
		     const struct command *command)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	print(command, out);
	fclose(out);
	return text;
}

static void help_tells_all_that_the_description_has(void)
{
	static const char *const parts[] = {
		"Usage: unspill bake NAME [FLAVOUR] --heat DEGREES [--yes] [--say TEXT]",
		"[--add THING]...",
		"[-- CANDLE...]",
		"Bake a cake.",
		"First paragraph that goes on.",
		"\n  literal  text\n",
		"  --heat DEGREES\n      How hot.",
		"  -y, --yes\n",
		"  -s, --say TEXT\n",
		"  -h, --help\n",
		"unspill bake x --heat 200\n      An example.",
		"\n  0  done",
		"\n  8  the name",
	};
	char *text = printed(help_command, &bake);

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		check(strstr(text, parts[i]), "missing: %s\n%s", parts[i], text);
	check(!strstr(text, "\n  6  "), "an exit code that it does not have");
	free(text);
}

static void the_manual_page_tells_all_that_the_description_has(void)
{
	static const char *const parts[] = {
		".TH UNSPILL-BAKE 1",
		"unspill\\-bake \\- Bake a cake",
		"\\fBunspill bake\\fR NAME [FLAVOUR] \\-\\-heat DEGREES [\\-\\-yes]",
		"First paragraph\nthat goes on.",
		".nf\n  literal  text\n",
		"\\&.starts like a request, and \\(aqquotes\\(aq a back\\eslash\\-dash.",
		"\\fB\\-\\-heat\\fR \\fIDEGREES\\fR\nHow hot.",
		"\\fB\\-y\\fR, \\fB\\-\\-yes\\fR\n",
		"\\fBunspill bake x \\-\\-heat 200\\fR\nAn example.",
		".TP\n8\nthe name",
	};
	char *text = printed(man_command, &bake);

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		check(strstr(text, parts[i]), "missing: %s\n%s", parts[i], text);
	free(text);
}

static void every_ending_has_words(void)
{
	for (int i = 0; i < END_COUNT; i++)
		check(ending_text(i) && *ending_text(i), "%d", i);
}

int main(void)
{
	RUN(operands_and_options_may_come_in_any_order);
	RUN(values_may_follow_an_equals_sign_or_the_letter);
	RUN(a_repeatable_option_keeps_all_its_values);
	RUN(too_many_values_of_a_repeatable_option_are_refused);
	RUN(what_follows_two_dashes_is_left_alone);
	RUN(help_is_asked_for_in_any_place);
	RUN(what_is_missing_is_named);
	RUN(what_does_not_belong_is_named);
	RUN(an_unknown_option_brings_a_suggestion_where_one_is_near);
	RUN(a_very_long_option_is_refused_in_one_line);
	RUN(suggestions_are_near_and_otherwise_none);
	RUN(help_tells_all_that_the_description_has);
	RUN(the_manual_page_tells_all_that_the_description_has);
	RUN(every_ending_has_words);
	return tap_done();
}
