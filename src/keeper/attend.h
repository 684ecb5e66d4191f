/*
 * Attend: a cluster's keeper for the length of some work: the one that looks after it or, where
 * none does, one without a server, which is started for the work and sent away at its end.
 *
 * DIR/run is locked (flock) meanwhile, so that works which come at the same time wait for each
 * other instead of losing a keeper that another one sends away.
 */
#pragma once

#include "keeper/cluster.h"

#include <stdbool.h>

/* {0} is none. */
struct attendance {
	const struct cluster *cluster; /* borrowed */
	bool locked;                   /* nobody else starts or sends away a keeper */
	bool temporary;                /* the keeper is ours */
	int lock_fd;
};

/*
 * Wait for our turn: -EBUSY after 15 seconds, or when `given_up` (asked often; may be NULL) says
 * so.  Whoever may not open DIR/run may do nothing else either, and will be told by that: 0.
 */
int attend_lock(struct attendance *ret, const struct cluster *cluster, bool (*given_up)(void),
		struct problem *why);
/* Start a keeper without a server; 0 as well when there is one, which is not ours then. */
int attend_start(struct attendance *attendance, struct problem *why);
/* The keeper stays, or was there before: others may have their turn. */
void attend_unlock(struct attendance *attendance);
/* What is ours goes.  {0} is fine. */
void attend_end(struct attendance *attendance);

/* attend_lock() and attend_start(): there is a keeper to ask.  attend_end() in any case. */
int attend(struct attendance *ret, const struct cluster *cluster, struct problem *why);
