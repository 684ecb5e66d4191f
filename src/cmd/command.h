/*
 * Command: the one description of each subcommand, from which its option parsing, its --help and
 * its manual page are all made.
 *
 * src/cmd/NAME.c describes and runs `unspill NAME`; commands.c lists them.
 */
#pragma once

#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How a command ends: the process's exit code.  ending_text() says each in words. */
enum ending {
	END_OK,
	END_FAILED,
	END_USAGE,
	END_NOT_FOUND,
	END_UNREACHABLE,
	END_BUSY,
	END_DAMAGED,
	END_CANCELLED,
	END_TAKEN,
	END_MACHINE,
	END_COUNT
};

#define OPERANDS_MAX 2
#define OPTIONS_MAX 12
#define REPEATS_MAX 64

struct operand {
	const char *name; /* "NAME"; NULL ends the list */
	const char *text; /* what it is, as part of a sentence: "the cluster" */
	bool optional;    /* only last */
};

struct option {
	const char *name;     /* "backtrack-window", without the dashes; NULL ends the list */
	char letter;          /* 'e' for -e, or 0 */
	const char *argument; /* "DURATION"; NULL: a switch */
	const char *text;     /* sentences */
	bool required;
	bool repeatable; /* struct typed's `repeats`; at most one option of a command is */
};

struct example {
	const char *line; /* without "unspill " */
	const char *text;
};

struct typed;

struct command {
	const char *name;
	const char *summary; /* one line, no full stop */
	struct operand operands[OPERANDS_MAX + 1];
	struct option options[OPTIONS_MAX + 1];
	const char *rest; /* what may follow "--", such as "ARGUMENT..."; NULL: nothing */
	/* Paragraphs, an empty line between them; lines that start with a blank are left as they
	 * are. */
	const char *text;
	struct example examples[6];
	unsigned endings;  /* 1 << END_X for each beyond OK, FAILED and USAGE */
	bool takes_moment; /* the manual page explains how moments are written */
	int (*run)(const struct typed *typed); /* returns an enum ending */
};

/* Options that many commands have, each with one text. */
#define OPTION_JSON(what)                                            \
	{                                                            \
		"json", .text = "Print " what " as one JSON object." \
	}
#define OPTION_UTC                                                                  \
	{                                                                           \
		"utc", .text = "Print times in UTC instead of the local time zone." \
	}
#define OPTION_YES                                                                                \
	{                                                                                         \
		"yes", 'y', .text = "Do not ask. Without a terminal to ask on, this is required." \
	}
#define OPERAND_CLUSTER               \
	{                             \
		"NAME", "the cluster" \
	}

/* All commands, in the order of the overview; ends with NULL. */
extern const struct command *const commands[];

/* What was typed, already checked against the description. */
struct typed {
	const struct command *command;
	const char *operands[OPERANDS_MAX]; /* NULL: left out */
	const char *values[OPTIONS_MAX];    /* as the command's options; a switch's is "" */
	const char *
		repeats[REPEATS_MAX + 1]; /* NULL-terminated: all values of the repeatable option */
	char *const *rest;                /* NULL-terminated; what followed "--" */
};

/* NULL when there is none of that name. */
const struct command *command_find(const char *name);

/*
 * Read the arguments behind the command's name.  Returns 0, 1 when help was asked for, or -EINVAL
 * with one line in `why`. `ret` borrows from `argv`.
 */
int command_parse(const struct command *command, char *const *argv, struct typed *ret,
		  struct problem *why);

/* An option's value, NULL when it was not given.  The option is one of the command's own. */
const char *typed_value(const struct typed *typed, const char *option);
/* The command has such an option, and it was given. */
bool typed_has(const struct typed *typed, const char *option);
static inline bool typed_switch(const struct typed *typed, const char *option)
{
	return typed_value(typed, option) != NULL;
}

/* The one of `words` that `word` is most like, or NULL when none is like it.  `words` ends with
 * NULL. */
const char *suggest(const char *word, const char *const *words);

/* "ok", "failed", ... */
const char *ending_text(enum ending ending);

/* --- From the description to a reader (help.c, man.c) --- */

void help_overview(FILE *out);
void help_command(const struct command *command, FILE *out);
/* "NAME --to MOMENT [--dry-run]" */
void help_synopsis(const struct command *command, FILE *out);
/* All exit codes, or those of one command. */
void help_endings(const struct command *command, FILE *out);
/* One paragraph, wrapped to 80 columns; the cursor is at `column`, further lines begin at `indent`.
 */
void help_wrap(const char *text, int indent, int column, FILE *out);
/* A text as in struct command, wrapped. */
void help_text(const char *text, FILE *out);
/* How times and durations are written, where things are, and what JSON output looks like. */
extern const char help_times[];
extern const char help_files[];
extern const char help_json[];

/* The manual pages, in roff: unspill(1), and unspill-COMMAND(1). */
void man_overview(FILE *out);
void man_command(const struct command *command, FILE *out);
