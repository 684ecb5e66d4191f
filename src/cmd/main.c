#include "cmd/command.h"
#include "cmd/say.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* --help and --version may be said without a command. */
static int run_bare(const char *word)
{
	if (!word || !strcmp(word, "--help") || !strcmp(word, "-h")) {
		help_overview(word ? stdout : stderr);
		return word ? END_OK : END_USAGE;
	}
	if (!strcmp(word, "--version")) {
		puts("unspill " UNSPILL_VERSION);
		return END_OK;
	}
	return fail(NULL, END_USAGE, "unknown option '%.60s'; see 'unspill --help'", word);
}

static int unknown_command(const char *word)
{
	const char *names[64] = {0};
	const char *like;

	for (size_t i = 0; commands[i]; i++)
		names[i] = commands[i]->name;
	like = suggest(word, names);
	if (like)
		return fail(NULL, END_USAGE, "unknown command '%.60s'; did you mean '%s'?", word,
			    like);
	return fail(NULL, END_USAGE, "unknown command '%.60s'; see 'unspill --help'", word);
}

static int run(char *const *argv)
{
	const struct command *command;
	struct problem why;
	struct typed typed;
	int r;

	if (!argv[0] || argv[0][0] == '-')
		return run_bare(argv[0]);
	command = command_find(argv[0]);
	if (!command)
		return unknown_command(argv[0]);
	r = command_parse(command, argv + 1, &typed, &why);
	if (r < 0)
		return fail(&typed, END_USAGE, "%s", why.text);
	if (r > 0) {
		help_command(command, stdout);
		return END_OK;
	}
	return command->run(&typed);
}

int main(int argc, char **argv)
{
	int ending;

	(void)argc;
	/* Only what characters are: numbers stay as programs read them. */
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	ending = run(argv + 1);
	if (fflush(stdout) && ending == END_OK)
		ending = END_FAILED;
	return ending;
}
