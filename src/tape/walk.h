/*
 * Walk: from record to record along a segment's file, believing nothing.
 */
#pragma once

#include "tape/record.h"
#include "tape/window.h"

struct walk {
	uint64_t at; /* where the next record would begin */
	uint64_t segment, segment_bytes;
	uint32_t seed;
	uint32_t epoch; /* of the last record; a lower one is not its successor but stale */
	bool skip_data; /* do not look at it: `data_ok` is then true */
	struct window window;
};

struct walk_record {
	struct record record;
	const uint8_t *bytes; /* header, meta, table, data, padding; until the next call */
	bool data_ok;
};

/* `file` is borrowed. */
void walk_init(struct walk *walk, struct disk_file *file, uint64_t segment, uint64_t segment_bytes,
	       uint32_t seed);
void walk_done(struct walk *walk);
static inline void walk_cleanup(struct walk *walk)
{
	walk_done(walk);
}

/* Returns 1 and the record, 0 when there is none at `at`, or the disk's -errno. */
int walk_next(struct walk *walk, struct walk_record *ret);

/*
 * Look at every place from `at` on for a record (its head whole, its data perhaps not) of epoch
 * `walk->epoch` or later, whatever is in between; the same returns.  It is not a successor, but
 * what it says can be relied on.
 */
int walk_search(struct walk *walk, struct walk_record *ret);

/* The start of a segment, as its first record tells. */
struct walk_start {
	struct record record;
	struct tape_segment_meta meta;
};

/*
 * The first record of the segment in `file`.  Returns 1; 0 when it is not one of this volume's at
 * this place (not begun, recycled, damaged); -EPROTONOSUPPORT when newer, -EXDEV when it is whole
 * but of another volume, -EINVAL when made with other segment_bytes; or the disk's -errno.
 */
int walk_peek(struct disk_file *file, uint64_t segment, uint64_t segment_bytes, uint32_t seed,
	      struct walk_start *ret);
