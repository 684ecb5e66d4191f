/*
 * Layout: what the data of a stretch of tape is of, so that what resembles each other is packed
 * together: which file and where, which of it the stretch has nothing newer for, and which files
 * are logs.
 */
#pragma once

#include "base/map64.h"
#include "tape/tape.h"

#include <stddef.h>
#include <stdint.h>

/* Zeroed to begin with; memory of its own, a few words for each write. */
struct layout {
	struct map64 files; /* by inode */
	uint64_t *newest;   /* LSNs of records that are not overwritten in the stretch, ascending */
	size_t count, room;
};

/* Each record of the stretch, in its order (for tape_scan(); `arg`: the layout).  Returns 0. */
int layout_note(const struct tape_record *record, void *arg);

/* All have been noted. */
void layout_settle(struct layout *layout);

/* Of one of those records; *ret is as it was where there is nothing to say. */
void layout_place(const struct layout *layout, const struct tape_record *record,
		  struct tape_place *ret);

void layout_done(struct layout *layout);
