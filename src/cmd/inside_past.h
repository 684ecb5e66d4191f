/*
 * Inside, past: a database of an SQLite cluster at a moment of its past, as a path that SQLite
 * opens by our VFS in this process: no server, no mount, nothing copied.
 *
 * Where this process has the volume, it is the volume's own past; where another one has it, that of
 * a throw-away clone (request "scratch"), which the other one removes when we let go of it.
 */
#pragma once

#include "cmd/talk.h"
#include "vfs/owner.h"

struct inside_past {
	struct control *control; /* of the clone; as long as it lives, the files do */
	struct owner *owner;     /* of the clone; NULL: the volume is ours, or nothing is open */
	struct moment moment;
	char directory[PATH_MAX];
	char path[PATH_MAX + VOLUME_NAME_MAX + 32];
};

/* `at` (borrowed): a MOMENT.  -errno with `why`; inside_past_close() in any case. */
int inside_past_open(struct talk *talk, const json_t *at, struct inside_past *ret,
		     struct problem *why);
/* At another moment, not later than that of inside_past_open(). */
int inside_past_go(struct talk *talk, const json_t *at, struct inside_past *past,
		   struct problem *why);
void inside_past_close(struct inside_past *past);

/* The path of the cluster's database as it is now; talk->owner is there. */
int inside_live_path(struct talk *talk, char path[PATH_MAX + VOLUME_NAME_MAX + 2],
		     struct problem *why);
