/*
 * Rewind: putting the head elsewhere under a live mount: mount_backtrack(), and what the operations
 *must do and remember while one is under way.
 *
 *	        invalidate       park           switch     drop            invalidate      done
 *	NONE ------------> NONE ----> PARKING -----------> DROPPING -----------------> NONE
 *	     write-back goes     write-back       write-back of pages from before
 *	     to the old head     waits            is answered, not written
 *
 * A dirty page of a shared mapping belongs to the head that it was made on.  The first invalidation
 *writes them back.  Pages dirtied after it wait (PARKING) until the volume says that it has
 *switched, or failed; then they are dropped, or written.  Pages dirtied after the switch are the
 *new head's if they were read or written through us after it (they are *fresh*), or if the inode
 *has been invalidated since.
 */
#pragma once

#include "base/map64.h"
#include "mount/request.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fresh_range {
	uint64_t start, end;
};

/* Of one inode: sorted, apart from each other. */
struct fresh {
	struct fresh_range *ranges;
	size_t count, room;
};

struct cached_name {
	uint64_t parent;
	char *name;
};

struct parked_write;

struct rewind {
	pthread_mutex_t turn; /* one rewind at a time */

	/* Write-back holds it for reading, a change of the phase for writing. */
	pthread_rwlock_t gate;
	enum { REWIND_NONE, REWIND_PARKING, REWIND_DROPPING } phase;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t unparked;
	struct parked_write *parked, **parked_end;
	size_t parked_bytes;
	struct map64 fresh; /* ino -> struct fresh */
	struct cached_name *names;
	size_t name_count, name_room;

	atomic_bool under_way; /* what is answered now is not to be cached */
	atomic_bool switched;  /* the new head is what everybody sees, the kernel's caches may still
				  be old */
	atomic_bool noting_names; /* the kernel cannot forget all names at once: remember them */
	bool no_epoch;            /* it cannot, or a test says so */
};

void rewind_init(struct rewind *rewind);
void rewind_done(struct rewind *rewind);

/* How long the kernel may believe an answer. */
uint64_t rewind_valid_seconds(struct mount *mount);

/* Ask before the volume is asked: if it is so, then what the volume says is of the new head. */
bool rewind_switched(struct mount *mount);

/* The kernel's cache now has this part as the new head has it. */
void rewind_note_fresh(struct mount *mount, uint64_t ino, uint64_t offset, uint64_t size);

/* The kernel may have this name cached, as present or absent. */
void rewind_note_name(struct mount *mount, uint64_t parent, const char *name);

/* A WRITE of pages from the kernel's cache.  0, -errno, or REQUEST_NO_REPLY: it is parked and will
 * be answered. */
int rewind_write_back(struct request *req, uint64_t offset, const void *data, size_t size);
