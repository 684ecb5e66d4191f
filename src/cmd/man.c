/*
 * Man: a command's description as a manual page, in roff.
 */
#include "cmd/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Escape what roff would read as its own. */
static void put_roff(const char *text, size_t size, FILE *out)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\\')
			fputs("\\e", out);
		else if (text[i] == '-')
			fputs("\\-", out);
		else if ((text[i] == '.' || text[i] == '\'') && (!i || text[i - 1] == '\n'))
			fprintf(out, "\\&%c", text[i]);
		else if (text[i] == '\'')
			fputs("\\(aq", out);
		else
			fputc(text[i], out);
	}
}

static void put_line(const char *text, FILE *out)
{
	put_roff(text, strlen(text), out);
	fputc('\n', out);
}

/* As help's put_text(): paragraphs are filled, lines that start with a blank are not. */
static void put_text(const char *text, FILE *out)
{
	bool literal = false;

	while (*text) {
		size_t size = strcspn(text, "\n");
		bool blank = *text == ' ';

		if (blank != literal && size) {
			fputs(blank ? ".nf\n" : ".fi\n", out);
			literal = blank;
		}
		if (!size) {
			fputs(literal ? "\n" : ".PP\n", out);
		} else {
			put_roff(text, size, out);
			fputc('\n', out);
		}
		text += size + (text[size] == '\n');
	}
	if (literal)
		fputs(".fi\n", out);
}

static void put_title(const char *command, FILE *out)
{
	fputs(".TH UNSPILL", out);
	if (command)
		fputc('-', out);
	for (; command && *command; command++)
		fputc(toupper((unsigned char)*command), out);
	fputs(" 1 \"\" \"unspill " UNSPILL_VERSION "\" \"Unspill\"\n.nh\n.ad l\n", out);
}

static void put_endings(const struct command *command, FILE *out)
{
	fputs(".SH EXIT STATUS\n", out);
	for (unsigned i = 0; i < END_COUNT; i++) {
		if (i > END_USAGE && command && !(command->endings & 1u << i))
			continue;
		fprintf(out, ".TP\n%u\n", i);
		put_line(ending_text(i), out);
	}
}

static void put_options(const struct command *command, FILE *out)
{
	fputs(".SH OPTIONS\n", out);
	for (const struct option *option = command->options; option->name; option++) {
		fputs(".TP\n", out);
		if (option->letter)
			fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
		fputs("\\fB\\-\\-", out);
		put_roff(option->name, strlen(option->name), out);
		fputs("\\fR", out);
		if (option->argument)
			fprintf(out, " \\fI%s\\fR", option->argument);
		fputc('\n', out);
		put_line(option->text, out);
	}
	fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nShow a shorter form of this page.\n", out);
}

static void put_synopsis(const struct command *command, FILE *out)
{
	char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);

	help_synopsis(command, memory);
	fclose(memory);
	fprintf(out, ".SH SYNOPSIS\n\\fBunspill %s\\fR", command->name);
	put_line(text, out);
	free(text);
}

void man_command(const struct command *command, FILE *out)
{
	put_title(command->name, out);
	fprintf(out, ".SH NAME\nunspill\\-%s \\- ", command->name);
	put_line(command->summary, out);
	put_synopsis(command, out);
	fputs(".SH DESCRIPTION\n", out);
	put_text(command->text, out);
	put_options(command, out);
	if (command->takes_moment) {
		fputs(".SH MOMENTS AND DURATIONS\n", out);
		put_text(help_times, out);
	}
	if (command->examples[0].line)
		fputs(".SH EXAMPLES\n", out);
	for (const struct example *example = command->examples; example->line; example++) {
		fputs(".TP\n\\fBunspill ", out);
		put_roff(example->line, strlen(example->line), out);
		fputs("\\fR\n", out);
		put_line(example->text, out);
	}
	put_endings(command, out);
	fputs(".SH SEE ALSO\n\\fBunspill\\fR(1)\n", out);
}

void man_overview(FILE *out)
{
	put_title(NULL, out);
	fputs(".SH NAME\n"
	      "unspill \\- a rewind button for databases\n"
	      ".SH SYNOPSIS\n"
	      "\\fBunspill\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR...]\n"
	      ".SH DESCRIPTION\n",
	      out);
	put_text("Unspill runs a database server on a filesystem that remembers every write, so "
		 "that the whole server can be put back, in place and within seconds, to any "
		 "moment of its backtrack window; and forward again.\n\n"
		 "A cluster is a database server and the volume that it lives on. A change record "
		 "is one write to the volume. A moment is a place on the tape of all change "
		 "records, with its time. The horizon is the oldest moment that can still be "
		 "reached. A backtrack makes a past moment the present one; what it leaves behind "
		 "stays reachable until it leaves the window.",
		 out);
	fputs(".SH COMMANDS\n", out);
	for (const struct command *const *command = commands; *command; command++) {
		fprintf(out, ".TP\n\\fBunspill\\-%s\\fR(1)\n", (*command)->name);
		put_line((*command)->summary, out);
	}
	fputs(".SH MOMENTS AND DURATIONS\n", out);
	put_text(help_times, out);
	fputs(".SH FILES\n", out);
	put_text(help_files, out);
	fputs(".SH ENVIRONMENT\n"
	      ".TP\n"
	      "\\fBUNSPILL_HOME\\fR\n"
	      "Where the list of clusters is.\n"
	      ".TP\n"
	      "\\fBNO_COLOR\\fR\n"
	      "When set and not empty, no colours are used.\n"
	      ".TP\n"
	      "\\fBTZ\\fR\n"
	      "The local time zone.\n",
	      out);
	fputs(".SH JSON OUTPUT\n", out);
	put_text(help_json, out);
	put_endings(NULL, out);
	fputs(".SH SEE ALSO\n", out);
	for (const struct command *const *command = commands; *command; command++)
		fprintf(out, "%s\\fBunspill\\-%s\\fR(1)", command == commands ? "" : ",\n",
			(*command)->name);
	fputc('\n', out);
}
