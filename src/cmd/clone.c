/* unspill clone */
#include "cmd/commands.h"
#include "cmd/inside.h"
#include "cmd/make.h"
#include "cmd/served.h"
#include "cmd/talk.h"
#include "base/clock.h"
#include "base/units.h"
#include "engine/engine.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <string.h>

struct cloning {
	const struct typed *typed;
	const char *name;
	char directory[PATH_MAX];
	bool now;    /* as it is, not as it was */
	bool inside; /* SQLite's: there is no server to start */
	json_t *at;
	struct cluster_options options;
	struct talk parent, clone, serve;
	bool served; /* serve does it */
	struct progress progress;
	json_t *made; /* the keeper's answer */
	int64_t began_us;
};

/* --- Before anything is done ------------------------------------------------------------------ */

static int check_name(const struct cloning *cloning)
{
	struct problem why = {""};
	struct cluster *cluster;
	int r;

	if (cluster_check_name(cloning->name, &why) < 0)
		return fail(cloning->typed, END_USAGE, "%s", why.text);
	r = cluster_find(cloning->name, &cluster, &why);
	if (r == -ENOENT)
		return END_OK;
	if (r < 0)
		return fail(cloning->typed, END_TAKEN,
			    "a cluster '%s' exists already, and has a problem: %s", cloning->name,
			    why.text);
	fail(cloning->typed, END_TAKEN, "a cluster '%s' exists already, in %s", cluster->name,
	     cluster->directory);
	cluster_free(cluster);
	return END_TAKEN;
}

static int parse(struct cloning *cloning)
{
	const struct typed *typed = cloning->typed;
	const char *at = typed_value(typed, "at");
	int64_t asked_us;
	int ending;

	cloning->name = typed->operands[1];
	ending = moment_parse(typed, "--at", at ? at : "now", &cloning->at, &asked_us);
	if (ending == END_OK)
		ending = check_name(cloning);
	if (ending == END_OK)
		ending = make_parse_port(typed, &cloning->options.port);
	cloning->now = !at || json_object_get(cloning->at, "now");
	cloning->options.name = cloning->name;
	if (typed_value(typed, "dir")) {
		make_absolute(typed_value(typed, "dir"), cloning->directory);
		cloning->options.directory = cloning->directory;
	}
	cloning->options.thin = typed_switch(typed, "thin");
	cloning->inside = inside_is(typed);
	if (ending == END_OK && cloning->inside && typed_value(typed, "port"))
		return fail(typed, END_USAGE, "SQLite has no server: --port says nothing to it");
	return ending;
}

/* --- Doing it --------------------------------------------------------------------------------- */

/* The directory, then the volume in it, by the parent's keeper; then what lets us in. */
static int make(struct cloning *cloning)
{
	const struct cluster *parent = cloning->parent.cluster;
	struct problem why = {""};
	int ending, r;

	if (!engine_find(parent->engine, NULL) && !cloning->inside)
		return fail(cloning->typed, END_FAILED, "unknown engine '%s'", parent->engine);
	cloning->options.clone_of = parent;
	r = cluster_make(&cloning->options, &cloning->clone.cluster, &why);
	if (r < 0)
		return fail_why(cloning->typed, r, &why);
	ending = talk_ask(&cloning->parent,
			  json_pack("{s:s, s:s, s:s, s:O}", "do", "clone", "to",
				    cloning->clone.cluster->directory, "name", cloning->name, "at",
				    cloning->at),
			  &cloning->made);
	if (ending != END_OK)
		return ending;
	r = cluster_inherit(cloning->clone.cluster, parent, &why);
	return r < 0 ? fail_why(cloning->typed, r, &why) : END_OK;
}

static bool is_to_start(const struct cloning *cloning)
{
	return !cloning->inside && !typed_switch(cloning->typed, "no-start");
}

/* A keeper that stays, or one for the backtrack alone. */
static int open_keeper(struct cloning *cloning)
{
	const struct keeper_options options = {.guardian = true};
	struct problem why = {""};
	int r;

	if (!is_to_start(cloning)) {
		struct cluster *cluster = cloning->clone.cluster;

		return talk_open_cluster(&cloning->clone, cloning->typed, cluster, TALK_ANY);
	}
	r = keeper_spawn(cloning->clone.cluster, &options, &why);
	return r < 0 ? fail_why(cloning->typed, r, &why) : talk_connect(&cloning->clone);
}

static int settle(struct cloning *cloning)
{
	bool start = is_to_start(cloning);
	int ending;

	if (!start && cloning->now)
		return END_OK;
	ending = open_keeper(cloning);
	if (ending == END_OK && !cloning->now)
		ending = talk_ask(&cloning->clone,
				  json_pack("{s:s, s:{s:I}}", "do", "backtrack", "to", "lsn",
					    (json_int_t)json_number(cloning->made, "moment.lsn")),
				  NULL);
	if (ending == END_OK && start)
		ending = talk_ask(&cloning->clone, json_pack("{s:s}", "do", "start"), NULL);
	return ending;
}

static int report(struct cloning *cloning)
{
	const struct cluster *cluster = cloning->clone.cluster;
	char moment[MOMENT_TEXT_MAX], took[UNITS_TEXT_MAX];
	const char *parent = cloning->parent.cluster->name;
	bool start = is_to_start(cloning);

	moment_format(json_at(cloning->made, cloning->now ? "now" : "moment"),
		      typed_switch(cloning->typed, "utc"), moment);
	elapsed_format(clock_monotonic_us() - cloning->began_us, took);
	if (typed_switch(cloning->typed, "json"))
		return print_json(
			cloning->typed,
			json_pack("{s:s, s:s, s:s, s:s, s:i, s:O, s:b, s:I}", "name", cluster->name,
				  "parent", parent, "directory", cluster->directory, "address",
				  cluster->bind, "port", cluster->port, "moment",
				  json_at(cloning->made, cloning->now ? "now" : "moment"),
				  "running", start, "took_us",
				  (json_int_t)(clock_monotonic_us() - cloning->began_us)));
	printf("%s%s is a clone of %s%s, as of %s, after %s\n", style(stdout, GREEN), cluster->name,
	       parent, style(stdout, PLAIN), moment, took);
	if (start)
		printf("  running on   %s:%d\n", cluster->bind, cluster->port);
	else if (cloning->inside)
		printf("  client       unspill shell %s\n", cluster->name);
	else
		printf("  start it     unspill start %s\n", cluster->name);
	printf("  goes back    as far as %s does: unspill backtrack %s --to ...\n", parent,
	       cluster->name);
	printf("  shares       its base with %s, %s\n", parent,
	       cloning->options.thin ? "until 'unspill modify --detach' says otherwise (--thin)"
				     : "until it has copied it in the background");
	return END_OK;
}

/* --- By serve, or here ------------------------------------------------------------------------ */

static int clone_served(struct cloning *cloning)
{
	json_t *input = json_pack("{s:s, s:O, s:i, s:b, s:b}", "of", cloning->parent.cluster->name,
				  "at", cloning->at, "port", cloning->options.port, "thin",
				  cloning->options.thin, "start", is_to_start(cloning));
	struct talk *serve = &cloning->serve;
	struct problem why = {""};
	int ending, r;

	if (cloning->options.directory &&
	    json_object_set_new(input, "directory", json_string(cloning->options.directory)) < 0) {
		json_decref(input);
		return fail(cloning->typed, END_USAGE, "--dir: the path is not UTF-8");
	}
	serve->cancelled = "cancelled; taking back what was made";
	ending = served_ask(serve, "clone", cloning->name, input, &cloning->made);
	if (ending != END_OK)
		return ending;
	r = cluster_find(cloning->name, &cloning->clone.cluster, &why);
	return r < 0 ? fail_why(cloning->typed, r, &why) : END_OK;
}

static int clone_here(struct cloning *cloning)
{
	int ending = make(cloning);

	return ending == END_OK ? settle(cloning) : ending;
}

/* Where serve does it, it asks the parent's keeper itself. */
static int open_parent(struct cloning *cloning)
{
	int ending;

	if (!cloning->inside)
		cloning->served = served_open(&cloning->serve, cloning->typed);
	ending = talk_open(&cloning->parent, cloning->typed,
			   cloning->served ? TALK_ONLY_IF_RUNS : TALK_ANY);
	if (cloning->served)
		talk_unlock(&cloning->parent);
	return ending;
}

static int run(const struct typed *typed)
{
	struct cloning cloning = {.typed = typed, .began_us = clock_monotonic_us()};
	int ending;

	progress_init(&cloning.progress, typed_switch(typed, "json"));
	cloning.clone.typed = typed;
	ending = parse(&cloning);
	if (ending == END_OK)
		ending = open_parent(&cloning);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = cloning.served ? clone_served(&cloning) : clone_here(&cloning);
		if (ending == END_OK && talk_interrupted())
			ending = fail(typed, END_CANCELLED, "cancelled; taking back what was made");
		if (ending == END_OK)
			ending = report(&cloning);
		else if (cloning.clone.cluster)
			make_take_back(typed, &cloning.progress, &cloning.clone);
	}
	talk_close(&cloning.clone);
	talk_close(&cloning.parent);
	talk_close(&cloning.serve);
	json_decref(cloning.made);
	json_decref(cloning.at);
	return ending;
}

const struct command command_clone = {
	.name = "clone",
	.summary = "Make a cluster of its own out of another, at any moment of it",
	.operands = {OPERAND_CLUSTER, {"NEW", "the name of the clone"}},
	.options =
		{
			{"at", .argument = "MOMENT",
			 .text = "The moment that the clone begins with; now if left out."},
			{"port", .argument = "PORT",
			 .text = "The port of its server; the first free one if left out."},
			{"dir", .argument = "DIR",
			 .text = "Where to put it: new or empty, and on the same filesystem as the "
				 "cluster. Under $UNSPILL_HOME if left out."},
			{"no-start", .text = "Do not start its server."},
			{"thin", .text = "Go on sharing: copy nothing in the background, until "
					 "'unspill modify NEW --detach'."},
			OPTION_JSON("the result"),
			OPTION_UTC,
		},
	.text = "Nothing is copied at first, whatever the size: the clone has the cluster's files, "
		"by "
		"hard links. What is written to either is its own from then on, and the clone can "
		"go "
		"back as far as the cluster can, to before it was made.\n\n"
		"In the background the clone copies what it still shares and does not have to "
		"itself: "
		"the base. Until it has, the cluster keeps its base as it is, and its horizon: "
		"history takes space as it grows, and the cluster cannot be deleted. 'unspill "
		"status' "
		"of both says so. A clone can be cloned.\n\n"
		"The database's accounts and passwords are those of the cluster.",
	.examples =
		{
			{"clone shop shop-staging", "Another shop, as it is now."},
			{"clone shop then --at '10 minutes ago' --thin",
			 "A look at ten minutes ago that can be written to."},
			{"backtrack shop-staging --to mark:clean --yes",
			 "Between two runs of the tests on a clone."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_CANCELLED | 1 << END_TAKEN | 1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
