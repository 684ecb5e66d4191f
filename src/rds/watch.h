/*
 * Watch: the thread that keeps the fleet true: which clusters there are, whoever made or deleted
 * them, and what their keepers say.  Often while somebody asks, now and then otherwise.
 */
#pragma once

#include "rds/fleet.h"

struct watch;

int watch_start(struct state *state, struct fleet *fleet, const struct record *like,
		struct watch **ret, struct problem *why);
void watch_stop(struct watch *watch);

/* Somebody asks about clusters: look more often for a while. */
void watch_wanted(struct watch *watch);
/* Look at one now, in the caller's thread. */
void watch_look(struct state *state, struct fleet *fleet, const char *name);
/* Know which clusters there are, now; asks nobody.  `like` has the account and the region of those
 * that were not made by a call. */
int watch_scan(struct state *state, struct fleet *fleet, const struct record *like);
