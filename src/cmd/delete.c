/* unspill delete */
#include "cmd/commands.h"
#include "cmd/served.h"
#include "cmd/talk.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <string.h>

static int delete_served(const struct talk *talk, struct talk *serve)
{
	int ending = served_ask(serve, "delete", talk->cluster->name, json_object(), NULL);

	if (ending == END_OK)
		printf("%s is deleted\n", talk->cluster->name);
	return ending;
}

static int delete_here(struct talk *talk)
{
	struct problem why = {""};
	struct progress progress;
	int ending = END_OK, r;

	if (talk->control)
		ending = talk_ask(talk, json_pack("{s:s}", "do", "shutdown"), NULL);
	if (ending != END_OK)
		return ending;
	progress_init(&progress, false);
	progress_step(&progress, "removing the files");
	r = keeper_remove(talk->cluster, &why);
	progress_done(&progress, r >= 0);
	if (r < 0)
		return fail_why(talk->typed, r, &why);
	printf("%s is deleted\n", talk->cluster->name);
	return END_OK;
}

static int delete (struct talk *talk)
{
	struct talk serve = {0};
	int ending;

	if (!cluster_is_inside(talk->cluster) && served_open(&serve, talk->typed))
		ending = delete_served(talk, &serve);
	else
		ending = delete_here(talk);
	talk_close(&serve);
	return ending;
}

static int confirm_and_delete(struct talk *talk)
{
	char question[PATH_MAX + 200];
	struct problem why = {""};
	int ending, r;

	r = keeper_check_removable(talk->cluster, &why);
	if (r < 0)
		return fail_why(talk->typed, r, &why);
	snprintf(question, sizeof question,
		 "Delete %s with all its data and all its past, in %s?%s", talk->cluster->name,
		 talk->cluster->directory, talk->control ? " Its server is running." : "");
	ending = confirm(talk->typed, question);
	return ending == END_OK ? delete (talk) : ending;
}

/* The directory is gone or cannot be read: all that is left to delete is the entry. */
static int forget(const struct typed *typed, int r, const struct problem *why)
{
	char question[1200];
	struct problem why_not = {""};
	int ending;

	snprintf(question, sizeof question, "%s. Take '%s' off the list?", why->text,
		 typed->operands[0]);
	ending = confirm(typed, question);
	if (ending != END_OK)
		return ending;
	r = cluster_forget(typed->operands[0], &why_not);
	if (r < 0)
		return fail(typed, ending_of_errno(r),
			    "%s; look at what is in there, and remove it yourself", why_not.text);
	printf("%s is off the list; what may be left of its files was not touched\n",
	       typed->operands[0]);
	return END_OK;
}

struct listed {
	const char *name;
	bool found;
};

static int look_for(const char *name, const struct cluster *cluster, const struct problem *why,
		    void *arg)
{
	struct listed *listed = arg;

	listed->found |= !strcmp(name, listed->name);
	return listed->found;
}

static int run(const struct typed *typed)
{
	struct listed listed = {.name = typed->operands[0]};
	struct problem why = {""};
	struct cluster *cluster;
	struct talk talk;
	int ending, r;

	r = cluster_check_name(typed->operands[0], &why);
	if (r < 0)
		return fail_why(typed, r, &why);
	r = cluster_find(typed->operands[0], &cluster, &why);
	if (r < 0) {
		(void)cluster_for_each(look_for, &listed, NULL);
		return listed.found ? forget(typed, r, &why) : fail_why(typed, r, &why);
	}
	ending = talk_open_cluster(&talk, typed, cluster, TALK_ONLY_IF_RUNS);
	if (ending == END_OK)
		ending = confirm_and_delete(&talk);
	talk_close(&talk);
	return ending;
}

const struct command command_delete = {
	.name = "delete",
	.summary = "Delete a cluster with all its data and all its past",
	.operands = {OPERAND_CLUSTER},
	.options = {OPTION_YES},
	.text = "Stops the server, removes the cluster's directory and its entry in the list. "
		"This cannot be undone: the past goes too. 'unspill export' first, if in "
		"doubt.\n\n"
		"Refuses when the directory holds something that is not the cluster's.",
	.examples = {{"delete shop --yes", "From a script."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_TAKEN | 1 << END_CANCELLED,
	.run = run,
};
