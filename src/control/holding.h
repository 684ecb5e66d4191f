/*
 * Holding: the volume that this process has open for a cluster, and what it answers about it
 * whoever it is: a keeper, or a program that has the volume inside.
 *
 * Everything here may be called from any thread.
 */
#pragma once

#include "control/clones.h"
#include "control/request.h"
#include "control/server.h"
#include "disk/disk.h"
#include "volume/volume.h"

struct holding {
	const char *directory; /* the cluster's; borrowed, as the rest is */
	struct disk *disk;
	struct volume *volume;
	struct clones *clones; /* NULL: it makes none */
	/* Clear away what a dead process left mounted on `path`; NULL: nobody mounts anything. */
	int (*clear_mount)(const char *path, struct problem *why);
	struct moment first; /* where the database begins: see cluster.json */
};

/* The word of docs/control.md for an -errno. */
const char *answer_code(int r);
/* And back. */
int answer_errno(const char *code);
json_t *answer_moment(const struct moment *moment);
json_t *answer_backtrack(const struct volume_backtrack *backtrack);

/* The earliest moment that is a state to go back to: the horizon, or the beginning of the database.
 */
void holding_earliest(const struct holding *holding, struct moment *ret);

/* Which moment is meant.  -ERANGE, -ENOENT, ... with `why`. */
int holding_resolve(const struct holding *holding, const struct request_moment *asked,
		    struct moment *ret, struct problem *why);

/* What would going to `request`'s moment do: the members of "plan" that the volume knows. */
int holding_plan(const struct holding *holding, const struct request *request, json_t **ret,
		 struct problem *why);

/* Add the volume's members to the answer to "status"; `*ret` has the figures. */
void holding_status(const struct holding *holding, json_t *status, struct volume_stats *ret);

/*
 * Do what needs nothing but the volume: modify, moments, mark, backtracks, verify, repack,
 * scratch.  Returns
 * 0 with the caller owning the result, or -errno with `why`.
 */
int holding_do(const struct holding *holding, struct connection *connection,
	       const struct request *request, json_t **ret, struct problem *why);
/* Is it one of those? */
bool holding_does(enum request_do what);
