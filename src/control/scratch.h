/*
 * Scratch: a clone of the volume for whoever asks, for as long as its connection lives.
 *
 *	DIR/scratch/N/volume	the clone, with all of the past
 *	DIR/scratch/N/mnt run	empty: for whoever mounts it, and runs a server on it
 *
 * While there is one, the volume's base is held.  When the connection ends, and whoever asked has
 * let go of the clone, what is there is removed; what an earlier holder had no time to remove goes
 * when the next one starts, and can mount things.  One that is mounted for people to see (see
 * SCRATCH_SHOWN) may outlive the holder.
 */
#pragma once

#include "control/control.h"
#include "control/holding.h"

/*
 * Below a clone's directory, or a cluster's: the file that remembers the directories that show a
 * moment of it.  Whoever cannot clear away what is mounted there leaves the clone alone.
 */
#define SCRATCH_SHOWN "run/views.json"

/*
 * Make one for the connection; the result says where it is, and which moment `request` means.
 * Returns 0 with the caller owning *ret, or -errno with `why`.
 */
int scratch_open(const struct holding *holding, struct connection *connection,
		 const struct request *request, json_t **ret, struct problem *why);

/* When a holder starts: remove what nobody has in use any more. */
void scratch_sweep(const struct holding *holding);

/* --- Whoever asks ----------------------------------------------------------------------------- */

/*
 * Ask for one on `control`, which is to live as long as it is wanted: where it is, and the moment
 * that `at` (a MOMENT of docs/control.md, borrowed) means.  An -errno for the holder's refusal, as
 * answer_errno() has it, with `why`.
 */
int scratch_ask(struct control *control, const json_t *at, char ret_directory[PATH_MAX],
		struct moment *ret, struct problem *why);

/*
 * Remove the one in `path`, where the holder may be gone; `clear_mount` as in struct holding.
 * -EBUSY when somebody has it in use.  One that is shown stays where that is NULL: 0.
 */
int scratch_remove(const char *path, int (*clear_mount)(const char *path, struct problem *why));

/* Each that there is of the cluster in `directory`, until `fn` returns non-zero, and return that.
 */
int scratch_for_each(const char *directory, int (*fn)(const char *path, void *arg), void *arg);
