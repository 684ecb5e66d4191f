#include "cmd/inside_view.h"

#include "cmd/view.h"
#include "keeper/viewer.h"

#include <errno.h>

/* In the process that stays.  Whoever has the volume is needed for the clone only. */
static int open_viewer(struct talk *talk, const json_t *at, const char *directory,
		       struct viewer **ret)
{
	struct problem why = {""};
	int r;

	r = viewer_open(talk->cluster, at, directory, ret, &why);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

static int stay(const struct typed *typed, const json_t *at, const char *directory)
{
	CLEANUP(viewer) struct viewer *viewer = NULL;
	CLEANUP(cluster) struct cluster *cluster = NULL;
	struct talk talk;
	int ending;

	ending = talk_open(&talk, typed, TALK_ANY);
	if (ending == END_OK)
		ending = open_viewer(&talk, at, directory, &viewer);
	if (ending == END_OK)
		cluster = take(talk.cluster);
	talk_close(&talk);
	if (ending == END_OK)
		ending = view_print(typed, viewer_shown(viewer));
	if (ending != END_OK)
		return ending;
	viewer_settle(cluster);
	viewer_serve(viewer);
	return END_OK;
}

/* The same command again, which stays. */
static int leave_behind(const struct typed *typed, const char *directory)
{
	const char *argv[10] = {"unspill",     "view", typed->operands[0],
				directory,     "--at", typed_value(typed, "at"),
				"--foreground"};
	struct problem why = {""};
	size_t n = 7;
	int r;

	if (typed_switch(typed, "json"))
		argv[n++] = "--json";
	if (typed_switch(typed, "utc"))
		argv[n++] = "--utc";
	r = viewer_spawn(argv, &why);
	if (r == -ECANCELED)
		return fail(typed, END_CANCELLED, "cancelled; nothing is shown");
	return r < 0 ? fail_why(typed, r, &why) : r;
}

int inside_view(const struct typed *typed, const json_t *at, const char *directory)
{
	return typed_switch(typed, "foreground") ? stay(typed, at, directory)
						 : leave_behind(typed, directory);
}
