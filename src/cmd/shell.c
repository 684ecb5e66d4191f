/* unspill shell */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/alloc.h"
#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static size_t count_words(char *const *words)
{
	size_t count = 0;

	while (words && words[count])
		count++;
	return count;
}

/* The engine's client, with what was typed behind it. */
static char **client(const struct typed *typed, const struct engine *engine, char *const *program)
{
	const char *sql = typed_value(typed, "execute");
	size_t count = count_words(program), rest = count_words(typed->rest), used = 0;
	char **argv = xcalloc(count + rest + 3, sizeof *argv);

	for (size_t i = 0; i < count; i++)
		argv[used++] = program[i];
	if (sql) {
		if (engine->execute)
			argv[used++] = (char *)engine->execute;
		argv[used++] = (char *)sql;
	}
	for (size_t i = 0; i < rest; i++)
		argv[used++] = typed->rest[i];
	return argv;
}

static int become_client(const struct typed *typed, const struct cluster *cluster)
{
	char data[PATH_MAX], run_dir[PATH_MAX];
	const struct engine_place place = {
		.data_dir = data,
		.run_dir = run_dir,
		.bind = cluster->bind,
		.port = cluster->port,
		.uid = cluster->server_uid,
		.gid = cluster->server_gid,
	};
	const struct engine *engine;
	const char *names;
	char **argv;

	engine = engine_find(cluster->engine, &names);
	if (!engine)
		return fail(typed, END_FAILED, "unknown engine '%s'; there is %s", cluster->engine,
			    names);
	cluster_path(cluster, "mnt/data", data);
	cluster_path(cluster, "run", run_dir);
	argv = client(typed, engine, engine->shell(&place));
	/* Ignored by us; the client is to end when nobody reads any more. */
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	return fail(typed, END_MACHINE, "cannot run '%s': %s", argv[0], strerror(errno));
}

static int check_running(struct talk *talk)
{
	char state[32] = "stopped";
	json_t *status;
	int ending;

	if (talk->control) {
		ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);
		if (ending != END_OK)
			return ending;
		snprintf(state, sizeof state, "%s", json_text(status, "state"));
		json_decref(status);
	}
	if (!strcmp(state, "running"))
		return END_OK;
	return fail(talk->typed, END_BUSY, "the server is %s; 'unspill start %s' brings it up",
		    state, talk->cluster->name);
}

static int run(const struct typed *typed)
{
	struct talk talk;
	int ending;

	ending = talk_open(&talk, typed, TALK_ONLY_IF_RUNS);
	if (ending == END_OK)
		ending = check_running(&talk);
	if (ending == END_OK)
		ending = become_client(typed, talk.cluster);
	talk_close(&talk);
	return ending;
}

const struct command command_shell = {
	.name = "shell",
	.summary = "Open the engine's own client on a cluster, as the database's root",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"execute", 'e', "SQL",
			 "Run this and end, instead of asking for commands."},
		},
	.rest = "ARGUMENT...",
	.text = "What follows -- is passed to the client. The exit code is the client's own, once "
		"it runs.",
	.examples =
		{
			{"shell shop", "The client, waiting for commands."},
			{"shell shop -e 'SELECT COUNT(*) FROM shop.orders'", "One query."},
			{"shell shop -- --batch shop < migration.sql",
			 "Arguments for the client, and its input."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_MACHINE,
	.run = run,
};
