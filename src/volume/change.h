/*
 * Change: one change of a volume, as a struct and as the meta bytes of a tape record.
 *
 * docs/format.md lists the bytes per type.  The data of a WRITE is the record's data; everything
 * else is in the meta.  Times of day that POSIX wants stamped (mtime, ctime) are the record's own
 * time.
 */
#pragma once

#include "base/buffer.h"
#include "tape/tape.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Numbers are part of the format. */
enum change_type {
	/* Changes of the tree. */
	CHANGE_CREATE = 1,
	CHANGE_LINK = 2,
	CHANGE_UNLINK = 3, /* of a directory too */
	CHANGE_RENAME = 4,
	CHANGE_WRITE = 5,
	CHANGE_SETATTR = 6,
	CHANGE_ZERO = 7, /* punch, zero-range, and fallocate's growth */
	CHANGE_SETXATTR = 8,
	CHANGE_REMOVEXATTR = 9,
	CHANGE_RELEASE = 10, /* a file without a name is not known outside any more */
	CHANGE_PURGE = 11,   /* nor is any: the volume was opened */
	/* Notes on the time line; they change no tree. */
	CHANGE_BACKTRACK = 32, /* from here on the state is the state at `target` */
	CHANGE_MARK = 33,      /* a name for the moment just before this record */
	CHANGE_TOOK = 34,      /* how long a backtrack took */
};

/* Bytes borrowed from whoever made the change. */
struct text {
	const char *at;
	size_t size;
};

struct change {
	enum change_type type;
	uint64_t ino;
	uint64_t parent, new_parent;
	struct text name, new_name; /* also: of an xattr; of a mark */
	struct text value;          /* of an xattr; a symbolic link's target */
	uint64_t offset, size;
	uint32_t set; /* enum volume_set */
	uint32_t mode, uid, gid;
	uint64_t rdev;
	uint32_t flags; /* of rename; CHANGE_ZERO_* */
	struct timespec atime, mtime, ctime;
	/* BACKTRACK and TOOK */
	uint64_t target, number, records;
	int64_t target_time_us, asked_time_us, from_time_us;
	int64_t kill_us, rewind_us, start_us;
};

#define CHANGE_ZERO_DATA 1 /* the range becomes zeros */
#define CHANGE_ZERO_GROW 2 /* the file grows to the range's end if it was smaller */

/* Append the meta bytes of `change` to `meta`. */
void change_encode(const struct change *change, struct buffer *meta);

/* The text members borrow from the record's meta.  -EBADMSG when the bytes make no sense. */
int change_decode(const struct tape_record *record, struct change *ret);

static inline bool change_is_note(uint16_t type)
{
	return type >= CHANGE_BACKTRACK;
}
