/* unspill help */
#include "cmd/commands.h"
#include "cmd/say.h"

#include <string.h>

static const struct topic {
	const char *name;
	const char *text;
} topics[] = {
	{"times", help_times},
	{"files", help_files},
	{"json", help_json},
};

static int unknown_topic(const struct typed *typed, const char *word)
{
	const char *names[64] = {"times", "files", "json", "exit"};
	const char *like;

	for (size_t i = 0; commands[i]; i++)
		names[i + 4] = commands[i]->name;
	like = suggest(word, names);
	if (like)
		return fail(typed, END_USAGE,
			    "there is no command or topic of that name; did you mean '%s'?", like);
	return fail(typed, END_USAGE,
		    "there is no command or topic of that name; see 'unspill help'");
}

static int run(const struct typed *typed)
{
	const char *word = typed->operands[0];
	const struct command *command = word ? command_find(word) : NULL;
	bool man = typed_switch(typed, "man");

	if (word && !strcmp(word, "exit")) {
		help_endings(NULL, stdout);
		return END_OK;
	}
	for (size_t i = 0; word && i < sizeof topics / sizeof *topics; i++) {
		if (!strcmp(topics[i].name, word)) {
			help_text(topics[i].text, stdout);
			return END_OK;
		}
	}
	if (word && !command)
		return unknown_topic(typed, word);
	if (command)
		man ? man_command(command, stdout) : help_command(command, stdout);
	else
		man ? man_overview(stdout) : help_overview(stdout);
	return END_OK;
}

const struct command command_help = {
	.name = "help",
	.summary = "Explain a command, times, files, JSON output, exit codes",
	.operands = {{"WHAT", "a command, or one of times, files, json, exit", .optional = true}},
	.options =
		{
			{"man", .text = "Print the manual page in roff, as it is installed: "
					"unspill(1), or that of the command."},
		},
	.text = "Without WHAT, gives an overview of all commands.",
	.examples =
		{
			{"help backtrack", "The same as 'unspill backtrack --help'."},
			{"help times", "How moments and durations are written."},
			{"help --man create | man -l -",
			 "Read the manual page where it is not installed."},
		},
	.run = run,
};
