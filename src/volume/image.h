/*
 * Image: a state and the timeline in one file.
 *
 * A checkpoint ("ckpt/POSITION") is an image: the state at a position, its extents pointing into
 * the tape.  The base's own description ("base/state") is one without extents, and the intent of a
 * fold
 * ("base/intent") is one whose extents are what is to be moved; see fold.h.  docs/format.md has the
 * bytes.
 */
#pragma once

#include "volume/base.h"
#include "volume/state.h"
#include "volume/timeline.h"

struct image {
	uint64_t base;         /* the base that the extents come on top of */
	struct moment horizon; /* the least that the horizon is: what is before may be gone */
	struct state *state;
	struct timeline timeline;
	struct buffer extra; /* bytes of the owner's own; of a base: base_encode(); of an intent:
				the fold's */
};

void image_done(struct image *image);
static inline void image_cleanup(struct image *image)
{
	image_done(image);
}

/*
 * Append the bytes of an image made of these.  Quick, because the head's lock is held: the checksum
 * comes with image_seal(), without it.
 */
void image_encode(const uint8_t uuid[16], uint64_t base, struct moment horizon,
		  const struct state *state, const struct timeline *timeline,
		  const struct buffer *extra, struct buffer *out);
void image_seal(struct buffer *image);

/*
 * Initialises *ret, also on failure.  Extents recorded before `drop_before` are left out: the base
 * has them by now.  -EBADMSG damaged or foreign, -EPROTONOSUPPORT newer.
 */
int image_decode(const uint8_t uuid[16], const void *data, size_t size, uint64_t drop_before,
		 struct image *ret);

/* disk_read_file() and image_decode(). */
int image_load(struct disk *disk, const char *name, const uint8_t uuid[16], uint64_t drop_before,
	       struct image *ret);
