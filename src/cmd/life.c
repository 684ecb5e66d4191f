/* unspill start, stop, restart */
#include "cmd/commands.h"
#include "cmd/inside.h"
#include "cmd/talk.h"
#include "base/clock.h"
#include "base/units.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <string.h>

/* A keeper that stays, in the background. */
static int spawn(struct talk *talk)
{
	const struct keeper_options options = {.guardian = true};
	struct problem why = {""};
	struct progress progress;
	int r;

	progress_init(&progress, false);
	progress_step(&progress, "opening the volume");
	r = keeper_spawn(talk->cluster, &options, &why);
	progress_done(&progress, r >= 0 || r == -EALREADY);
	if (r < 0 && r != -EALREADY)
		return fail_why(talk->typed, r, &why);
	talk_unlock(talk);
	return talk_connect(talk);
}

static int status_of(struct talk *talk, char state[32], bool *ret_serverless, int64_t *ret_views)
{
	json_t *status;
	int ending;

	ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK)
		return ending;
	snprintf(state, 32, "%s", json_text(status, "state"));
	*ret_serverless = json_truth(status, "serverless");
	*ret_views = json_number(status, "views");
	json_decref(status);
	return END_OK;
}

/* The keeper that there is shows the past, or waits for its end: one that stays takes its place. */
static int replace(struct talk *talk, int64_t views)
{
	int ending;

	if (views)
		return fail(talk->typed, END_BUSY,
			    "the stopped cluster has %lld views open, which would end: see "
			    "'unspill views %s', and end them first",
			    (long long)views, talk->cluster->name);
	ending = talk_ask(talk, json_pack("{s:s}", "do", "shutdown"), NULL);
	return ending == END_OK ? spawn(talk) : ending;
}

static void print_running(const struct talk *talk, int64_t began_us)
{
	char took[UNITS_TEXT_MAX];

	elapsed_format(clock_monotonic_us() - began_us, took);
	printf("%s is running on %s:%d, after %s\n", talk->cluster->name, talk->cluster->bind,
	       talk->cluster->port, took);
}

static int start(struct talk *talk)
{
	int64_t began = clock_monotonic_us();
	bool serverless = false;
	char state[32] = "";
	int64_t views = 0;
	int ending;

	if (talk->control)
		ending = status_of(talk, state, &serverless, &views);
	else
		ending = spawn(talk);
	if (ending == END_OK && serverless)
		ending = replace(talk, views);
	if (ending == END_OK && !strcmp(state, "running")) {
		printf("%s is running already, on %s:%d\n", talk->cluster->name,
		       talk->cluster->bind, talk->cluster->port);
		return END_OK;
	}
	if (ending == END_OK)
		ending = talk_ask(talk, json_pack("{s:s}", "do", "start"), NULL);
	if (ending == END_OK)
		print_running(talk, began);
	return ending;
}

static int run_start(const struct typed *typed)
{
	struct talk talk;
	int ending;

	if (inside_is(typed))
		return inside_has_no_server(typed);
	ending = talk_open(&talk, typed, TALK_ONLY_IF_RUNS | TALK_TOLD);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = start(&talk);
	}
	talk_close(&talk);
	return ending;
}

/* Without a keeper nothing runs; see to it that nothing starts it either. */
static int stay_stopped(struct talk *talk)
{
	struct problem why = {""};
	int r = 0;

	if (talk->cluster->desired_running) {
		talk->cluster->desired_running = false;
		r = cluster_save(talk->cluster, &why);
	}
	if (r < 0)
		return fail_why(talk->typed, r, &why);
	printf("%s is stopped already\n", talk->cluster->name);
	return END_OK;
}

static int run_stop(const struct typed *typed)
{
	int64_t began = clock_monotonic_us();
	char took[UNITS_TEXT_MAX];
	struct talk talk;
	int ending;

	if (inside_is(typed))
		return inside_has_no_server(typed);
	ending = talk_open(&talk, typed, TALK_ONLY_IF_RUNS | TALK_TOLD);
	if (ending == END_OK && !talk.control) {
		ending = stay_stopped(&talk);
	} else if (ending == END_OK) {
		talk_catch_interrupts();
		ending = talk_ask(&talk, json_pack("{s:s}", "do", "stop"), NULL);
		elapsed_format(clock_monotonic_us() - began, took);
		if (ending == END_OK)
			printf("%s is stopped, after %s\n", talk.cluster->name, took);
	}
	talk_close(&talk);
	return ending;
}

static int restart(struct talk *talk)
{
	char stop[UNITS_TEXT_MAX], start_text[UNITS_TEXT_MAX];
	json_t *result;
	int ending;

	ending = talk_ask(talk, json_pack("{s:s}", "do", "restart"), &result);
	if (ending != END_OK)
		return ending;
	elapsed_format(json_number(result, "stop_us"), stop);
	elapsed_format(json_number(result, "start_us"), start_text);
	printf("%s is running again: stop %s, start %s\n", talk->cluster->name, stop, start_text);
	json_decref(result);
	return END_OK;
}

static int run_restart(const struct typed *typed)
{
	bool serverless = true;
	char state[32] = "";
	struct talk talk;
	int64_t views;
	int ending;

	if (inside_is(typed))
		return inside_has_no_server(typed);
	ending = talk_open(&talk, typed, TALK_ONLY_IF_RUNS | TALK_TOLD);
	if (ending == END_OK)
		talk_catch_interrupts();
	if (ending == END_OK && talk.control)
		ending = status_of(&talk, state, &serverless, &views);
	if (ending == END_OK)
		ending = serverless ? start(&talk) : restart(&talk);
	talk_close(&talk);
	return ending;
}

#define ENDINGS                                                                       \
	(1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_DAMAGED | 1 << END_CANCELLED | \
	 1 << END_MACHINE)

const struct command command_start = {
	.name = "start",
	.summary = "Start a cluster: its keeper, volume and server",
	.operands = {OPERAND_CLUSTER},
	.text = "Returns when the server answers. The keeper stays in the background, and brings "
		"the server up again when it dies. Starting what runs already is no error.",
	.examples = {{"start shop", "Bring it up."}},
	.endings = ENDINGS,
	.run = run_start,
};

const struct command command_stop = {
	.name = "stop",
	.summary = "Stop a cluster cleanly",
	.operands = {OPERAND_CLUSTER},
	.text = "The server shuts down, the volume is unmounted and closed, and the keeper ends. "
		"The past is kept; the window counts on. Stopping what is stopped is no error.",
	.examples = {{"stop shop", "Shut it down."}},
	.endings = ENDINGS,
	.run = run_stop,
};

const struct command command_restart = {
	.name = "restart",
	.summary = "Stop a cluster's server cleanly and start it again",
	.operands = {OPERAND_CLUSTER},
	.text = "The keeper and the volume stay. A stopped cluster is started.",
	.examples = {{"restart shop", "After a change of the server's configuration."}},
	.endings = ENDINGS,
	.run = run_restart,
};
