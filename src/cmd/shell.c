/* unspill shell */
#include "cmd/commands.h"
#include "cmd/inside.h"
#include "cmd/visit.h"
#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

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
	argv = client_arguments(engine, &place, typed_value(typed, "execute"), typed->rest);
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

static int visit_past(const struct typed *typed)
{
	struct visit visit;
	int ending;

	ending = visit_open(&visit, typed);
	if (ending == END_OK) {
		ending = visit_run_client(&visit, typed_value(typed, "execute"), typed->rest);
		visit_note_changes(&visit);
	}
	visit_close(&visit);
	return ending;
}

static int run(const struct typed *typed)
{
	struct talk talk;
	int ending;

	if (inside_is(typed))
		return inside_shell(typed);
	if (typed_has(typed, "at"))
		return visit_past(typed);
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
			{"at", .argument = "MOMENT",
			 .text = "Not the database of now, but one of that moment: a server of its "
				 "own on a copy, thrown away at the end. What is changed there "
				 "changes nothing in the cluster, which may be stopped."},
		},
	.rest = "ARGUMENT...",
	.text = "What follows -- is passed to the client. The exit code is the client's own, once "
		"it runs.",
	.examples =
		{
			{"shell shop", "The client, waiting for commands."},
			{"shell shop -e 'SELECT COUNT(*) FROM shop.orders'", "One query."},
			{"shell shop --at '10 minutes ago'", "The client, ten minutes ago."},
			{"shell shop -- --batch shop < migration.sql",
			 "Arguments for the client, and its input."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
