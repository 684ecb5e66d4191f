/* unspill delete */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "control/clones.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

/* What cluster_make() and the keeper put into a cluster's directory. */
static bool is_ours(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "volume") ||
	       !strcmp(name, "mnt") || !strcmp(name, "run") || !strcmp(name, "scratch") ||
	       !strcmp(name, "clones") || !strncmp(name, "cluster.json", strlen("cluster.json")) ||
	       !strncmp(name, ".cluster.json", strlen(".cluster.json"));
}

static int refuse_strangers(const struct typed *typed, const struct cluster *cluster)
{
	struct dirent *entry;
	DIR *dir = opendir(cluster->directory);
	int ending = END_OK;

	if (!dir)
		return fail(typed, END_FAILED, "cannot read '%s': %s", cluster->directory,
			    strerror(errno));
	while (ending == END_OK && (entry = readdir(dir))) {
		if (!is_ours(entry->d_name))
			ending = fail(typed, END_TAKEN,
				      "'%s' holds '%.100s', which is not the cluster's; move it "
				      "away; nothing was done",
				      cluster->directory, entry->d_name);
	}
	closedir(dir);
	return ending;
}

static int refuse_mounts(const struct typed *typed, const struct cluster *cluster)
{
	struct problem why = {""};
	int r = cluster_check_mounts(cluster, &why);

	return r < 0 ? fail(typed, ending_of_errno(r), "%s; nothing was done", why.text) : END_OK;
}

/* Clones stand on its files. */
static int refuse_parents(const struct typed *typed, const struct cluster *cluster)
{
	char name[NAME_MAX + 1];

	if (!clones_find(cluster->directory, false, name))
		return END_OK;
	return fail(
		typed, END_BUSY,
		"its clone '%s' still shares files with it; delete that first, or wait until it "
		"has copied them ('unspill status %s' says how far it is; one made with --thin "
		"begins after 'unspill modify %s --detach')",
		name, name, name);
}

static int delete (struct talk *talk)
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
	r = talk_remove(talk, &why);
	progress_done(&progress, r >= 0);
	if (r < 0)
		return fail_why(talk->typed, r, &why);
	printf("%s is deleted\n", talk->cluster->name);
	return END_OK;
}

static int confirm_and_delete(struct talk *talk)
{
	char question[PATH_MAX + 200];
	int ending;

	ending = refuse_strangers(talk->typed, talk->cluster);
	if (ending == END_OK)
		ending = refuse_mounts(talk->typed, talk->cluster);
	if (ending == END_OK)
		ending = refuse_parents(talk->typed, talk->cluster);
	if (ending != END_OK)
		return ending;
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
