/*
 * Scratch: a clone of the volume for whoever asks, for as long as its connection lives.
 *
 *	DIR/scratch/N/volume	the clone, with all of the past
 *	DIR/scratch/N/mnt run	empty: for whoever mounts it, and runs a server on it
 *
 * While there is one, the volume's base is held.  When the connection ends, and whoever asked has
 *let go of the clone, what is there is removed; what an earlier holder had no time to remove goes
 *when the next one starts.
 */
#pragma once

#include "control/holding.h"

/*
 * Make one for the connection; the result says where it is, and which moment `request` means.
 * Returns 0 with the caller owning *ret, or -errno with `why`.
 */
int scratch_open(const struct holding *holding, struct connection *connection,
		 const struct request *request, json_t **ret, struct problem *why);

/* When a holder starts: remove what nobody has in use any more. */
void scratch_sweep(const struct holding *holding);
