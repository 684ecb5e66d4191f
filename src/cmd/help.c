/*
 * Help: a command's description, for a terminal.
 */
#include "cmd/command.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 80
#define INDENT 6

const char help_times[] =
	"A MOMENT is one of\n\n"
	"  now\n"
	"  '10 minutes ago', '90s ago', '1h30m ago'\n"
	"                       units: s, m, h, d, w, or words\n"
	"  09:41, 09:41:07.250  the last time it was that: today, or yesterday\n"
	"                       when that is still to come today\n"
	"  'yesterday 18:00', 'today 09:41'\n"
	"  2026-11-22T10:42:17.250123+01:00, '2026-11-22 10:42', ...\n"
	"                       ISO 8601, T or a blank, Z, an offset or nothing\n"
	"  @1795340537.25       seconds since the epoch\n"
	"  mark:NAME            where 'unspill mark' put NAME\n"
	"  lsn:N                a place on the tape, as printed with every moment\n\n"
	"Times without a zone are local. A moment holds everything up to and including its time. "
	"A local time that was twice, or never, because the clocks were changed, is refused: give "
	"it a zone.\n\n"
	"A DURATION is a sum of numbers with units: 90s, 1h30m, 72h, 1d12h, '2 weeks'. The units "
	"are s, m, h, d and w, or their words.";

const char help_files[] =
	"  $UNSPILL_HOME        one entry per cluster; by default /var/lib/unspill\n"
	"                       for root, and else $XDG_DATA_HOME/unspill or\n"
	"                       ~/.local/share/unspill\n"
	"  DIR/cluster.json     the cluster's settings\n"
	"  DIR/volume/          its tape, base and checkpoints\n"
	"  DIR/mnt/             the mount; mnt/data is the server's data directory\n"
	"  DIR/run/             sockets, logs, the file with root's password";

const char help_json[] =
	"--json prints one object. Its keys are those of the control protocol (docs/control.md). "
	"Names that end in _us are microseconds, since the epoch where they end in time_us; "
	"beside each of the latter the same name without _us has it as ISO 8601 text, local or "
	"with --utc in UTC. Positions on the tape end in lsn.\n\n"
	"  list, status without NAME\n"
	"                 {clusters: [...]}, each as status NAME\n"
	"  status NAME    {name, engine, engine_version, state, pid, endpoint:\n"
	"                 {address, port, socket}, directory, mount, keeper_pid,\n"
	"                 up_us, restarts, window: {target_us, actual_us},\n"
	"                 horizon: MOMENT, now: MOMENT, records: {stored,\n"
	"                 per_second}, bytes: {tape, packed, packed_from,\n"
	"                 base, checkpoints, tape_per_hour, base_per_hour,\n"
	"                 disk_free, disk_total, memory}, backtrack: null or\n"
	"                 {applied, left}, folding, space_short, pins,\n"
	"                 serverless, views,\n"
	"                 last_error: null or {text, time_us},\n"
	"                 created_us}; without a keeper what is known, and down:\n"
	"                 whether it ought to run; where it cannot be asked,\n"
	"                 state is unknown and problem says why\n"
	"  create, import as status\n"
	"  moments        {steps: [{time_us, records, bytes}], marks: [{name,\n"
	"                 moment, reachable}], backtracks: [...], horizon, now}\n"
	"  mark           {name, moment}\n"
	"  backtrack      {number, at, asked_time_us, from, reached, records,\n"
	"                 kill_us, rewind_us, start_us, finished}\n"
	"  backtrack --dry-run\n"
	"                 {from, to, records, bytes, replay_records, server,\n"
	"                 connections}\n"
	"  backtracks     {backtracks: [...]}, each as backtrack, and mark: null or\n"
	"                 the name\n"
	"  view           {directory, moment, since_us}\n"
	"  views          {views: [...]}, each as view, with its cluster\n"
	"  export         {files, bytes, moment}\n"
	"  verify         {damage: [line, ...], bytes}\n"
	"  repack         {segments, before, after, left}\n"
	"  modify         {window_us}\n\n"
	"A MOMENT is {lsn, time_us, time}. An asked_time_us of 0 is none: asked for was a mark or "
	"a place.";

/* Words of `text` (to its end or an empty line) wrapped after `column`, which is where the cursor
 * is. */
static const char *put_paragraph(const char *text, int indent, int column, FILE *out)
{
	while (*text && *text != '\n') {
		int size = (int)strcspn(text, " \n");

		if (column > indent && column + 1 + size > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", size, text);
		column += size;
		text += size;
		while (*text == ' ')
			text++;
		if (*text == '\n' && text[1] && text[1] != '\n' && text[1] != ' ')
			text++;
	}
	fputc('\n', out);
	return *text ? text + 1 : text;
}

/* Paragraphs, and lines that start with a blank as they are. */
void help_wrap(const char *text, int indent, int column, FILE *out)
{
	put_paragraph(text, indent, column, out);
}

void help_text(const char *text, FILE *out)
{
	while (*text) {
		size_t size = strcspn(text, "\n");

		if (*text == '\n') {
			fputc('\n', out);
			text++;
		} else if (*text == ' ') {
			fprintf(out, "%.*s\n", (int)size, text);
			text += size + (text[size] == '\n');
		} else {
			text = put_paragraph(text, 0, 0, out);
		}
	}
}

void help_synopsis(const struct command *command, FILE *out)
{
	for (const struct operand *operand = command->operands; operand->name; operand++)
		fprintf(out, operand->optional ? " [%s]" : " %s", operand->name);
	for (const struct option *option = command->options; option->name; option++) {
		fputs(option->required ? " " : " [", out);
		if (option->letter && !strcmp(option->name, "execute"))
			fprintf(out, "-%c", option->letter);
		else
			fprintf(out, "--%s", option->name);
		if (option->argument)
			fprintf(out, " %s", option->argument);
		if (!option->required)
			fputs(option->repeatable ? "]..." : "]", out);
	}
	if (command->rest)
		fprintf(out, " [-- %s]", command->rest);
}

static void put_usage(const struct command *command, FILE *out)
{
	char *text = NULL, *at;
	size_t size;
	FILE *memory = open_memstream(&text, &size);
	int indent = (int)strlen("Usage: unspill  ") + (int)strlen(command->name) - 1;
	int column = indent;

	help_synopsis(command, memory);
	fclose(memory);
	fprintf(out, "Usage: unspill %s", command->name);
	/* Pieces are kept whole: " [--to DIR]" is not broken inside. */
	for (at = text; *at;) {
		size_t piece = 1;

		while (at[piece] &&
		       !(at[piece] == ' ' && (at[piece + 1] == '[' || at[piece + 1] == '-' ||
					      (at[1] != '[' && at[1] != '-'))))
			piece++;
		if (column + piece > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		}
		fprintf(out, "%.*s", (int)piece, at);
		column += (int)piece;
		at += piece;
	}
	fputc('\n', out);
	free(text);
}

static void put_option(const struct option *option, FILE *out)
{
	fputs("  ", out);
	if (option->letter)
		fprintf(out, "-%c, ", option->letter);
	fprintf(out, "--%s", option->name);
	if (option->argument)
		fprintf(out, " %s", option->argument);
	fprintf(out, "\n%*s", INDENT, "");
	put_paragraph(option->text, INDENT, INDENT, out);
}

void help_endings(const struct command *command, FILE *out)
{
	for (unsigned i = 0; i < END_COUNT; i++) {
		if (i <= END_USAGE || (command && command->endings & 1u << i) || !command)
			fprintf(out, "  %u  %s\n", i, ending_text(i));
	}
}

void help_command(const struct command *command, FILE *out)
{
	static const struct option help = {"help", 'h', .text = "Show this."};

	put_usage(command, out);
	fprintf(out, "\n%s.\n\n", command->summary);
	help_text(command->text, out);
	fputs("\nOptions:\n", out);
	for (const struct option *option = command->options; option->name; option++)
		put_option(option, out);
	put_option(&help, out);
	if (command->takes_moment) {
		fputs("\nMoments and durations:\n", out);
		help_text(help_times, out);
	}
	if (command->examples[0].line)
		fputs("\nExamples:\n", out);
	for (const struct example *example = command->examples; example->line; example++) {
		fprintf(out, "  unspill %s\n%*s", example->line, INDENT, "");
		put_paragraph(example->text, INDENT, INDENT, out);
	}
	fputs("\nExit status:\n", out);
	help_endings(command, out);
}

void help_overview(FILE *out)
{
	fputs("unspill: a rewind button for databases\n\n"
	      "Usage: unspill COMMAND [ARGUMENT...]\n"
	      "       unspill COMMAND --help\n\n"
	      "Commands:\n",
	      out);
	for (const struct command *const *command = commands; *command; command++)
		fprintf(out, "  %-11s %s\n", (*command)->name, (*command)->summary);
	fputs("\nThe first minutes:\n"
	      "  unspill create shop\n"
	      "  unspill shell shop\n"
	      "  unspill backtrack shop --to '10 minutes ago'\n\n"
	      "'unspill help times' tells how moments are written, 'unspill help exit' what\n"
	      "the exit codes mean.\n",
	      out);
}
