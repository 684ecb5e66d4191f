/*
 * Clones: which clusters were made of this one's files and still share its base.
 *
 *	DIR/clones/NAME -> the directory of the clone
 *
 * While there is one, the volume's base is held, from the very opening on.  A clone that has
 *detached, or was deleted, is noticed by looking at it, and its entry goes: nobody has to tell.
 *Should an entry be lost, a fold costs copies, and that is all: see volume.h.
 */
#pragma once

#include "control/request.h"
#include "control/server.h"
#include "volume/volume.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

struct holding;

/* A holder's; zeros but for the lock. */
struct clones {
	pthread_mutex_t lock; /* never held with another that is asked for here but the volume's */
	bool held;            /* because of them */
	unsigned making;
};
#define CLONES_INIT                               \
	{                                         \
		.lock = PTHREAD_MUTEX_INITIALIZER \
	}

/*
 * The first that still shares the base of the cluster in `directory`; false when there is none.
 * With `sweep` the entries of the others are removed.
 */
bool clones_find(const char *directory, bool sweep, char name[NAME_MAX + 1]);

/* Before the volume is opened: whether it is to be opened with `hold`. */
bool clones_begin(struct clones *clones, const char *directory);
/* Now and then: release the base when none is left. */
void clones_review(struct clones *clones, const char *directory, struct volume *volume);

/* Make one: request "clone".  As holding_do(). */
int clones_make(const struct holding *holding, struct connection *connection,
		const struct request *request, json_t **ret, struct problem *why);

/* Their names, as a list. */
json_t *clones_list(const char *directory);
