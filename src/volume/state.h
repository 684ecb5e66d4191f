/*
 * State: the file tree at one position on the tape, in memory: inodes, names, and where each range
 * of each file is.  No data.
 *
 * A state is made by applying changes, in the order of one lineage, to the state at the base.  The
 * same changes make the same state, cookies of directory entries included.
 *
 * An inode whose last name is gone stays, without a name ("orphan"), until a RELEASE or PURGE says
 * that nobody outside knows it any more.
 *
 * No lock of its own: whoever holds a state guards it.
 */
#pragma once

#include "base/map64.h"
#include "volume/change.h"
#include "volume/extents.h"
#include "volume/volume.h"

/* 1 and 2 are "." and ".."; the kernel takes a cookie for a signed offset. */
#define FIRST_COOKIE 3
#define COOKIE_MAX INT64_MAX

struct entry {
	uint64_t ino;
	uint64_t cookie;
	uint32_t type; /* S_IFMT bits */
	uint16_t name_size;
	char name[]; /* NUL-terminated all the same */
};

/* Entries by name (a hash table) and by cookie (an array in the order they were made). */
struct directory {
	struct entry **by_name; /* open addressing, at most half full, room a power of two */
	size_t name_room;
	size_t count;
	struct entry_slot {
		uint64_t cookie;
		struct entry *entry; /* NULL: removed */
	} * by_cookie;
	size_t cookie_count, cookie_room;
	uint64_t next_cookie; /* greater than any before */
	uint64_t parent;      /* "..", of the root: itself */
};

struct xattr {
	struct xattr *next;
	char *name;
	uint32_t size;
	uint8_t *value;
};

struct inode {
	uint64_t ino;
	uint64_t size;
	uint64_t rdev;
	uint32_t mode, nlink, uid, gid;
	struct timespec atime, mtime, ctime;
	struct xattr *xattrs;
	union {
		struct extents extents;     /* regular files */
		struct directory directory; /* directories */
		char *target;               /* symbolic links */
	};
};

struct state {
	struct map64 inodes;
	uint64_t position; /* includes the records that begin before it */
	int64_t time_us;   /* of the last record applied */
	uint64_t applied;  /* records applied since the image it was loaded from */
	uint64_t extents;  /* in all files */
};

/* A new tree: the root directory only. */
struct state *state_new(uid_t uid, gid_t gid, mode_t mode, int64_t time_us);
/* No inode at all, for loading an image. */
struct state *state_new_empty(void);
void state_free(struct state *state);
DEFINE_CLEANUP(struct state *, state, state_free)

/* NULL when there is none. */
struct inode *state_inode(const struct state *state, uint64_t ino);
/* NULL when `directory` has no such name. */
struct entry *state_entry(const struct inode *directory, const char *name, size_t size);
/* The first entry whose cookie is greater; NULL at the end. */
struct entry *state_entry_after(const struct inode *directory, uint64_t cookie);

/*
 * Apply the change recorded at `lsn` at `time_us`.  -EUCLEAN when it does not fit the state: what
 * checked it before it was recorded and what applies it now disagree.  Notes change nothing but the
 * position, except BACKTRACK, which like PURGE removes the orphans.
 */
int state_apply(struct state *state, const struct change *change, uint64_t lsn, int64_t time_us);

/* Remove the inodes without a name. */
void state_purge(struct state *state);

/* For loading an image: takes ownership of `inode`; names go in with their cookies. */
void state_add_inode(struct state *state, struct inode *inode);
void state_add_entry(struct inode *directory, const char *name, size_t size, uint64_t ino,
		     uint32_t type, uint64_t cookie);
void inode_set_xattr(struct inode *inode, struct text name, struct text value);

/* With all that it has; one that is in no state. */
void inode_free(struct inode *inode);

/*
 * Every name leads to an inode of its type, and every inode has as many names as it says (a
 * directory one, the root and an orphan none), and a directory as many links as are in use.  What
 * state_apply() keeps; of an image from outside, -EBADMSG and `why`.
 */
int state_check(const struct state *state, struct problem *why);

/* What stat(2) says of it. */
void inode_attr(const struct inode *inode, struct volume_attr *ret);

/* A rough sum of the memory it takes. */
uint64_t state_memory(const struct state *state);

#define state_for_each_inode(state, inode_)      \
	map64_for_each (&(state)->inodes, slot_) \
		for (struct inode *inode_ = slot_->value; inode_; inode_ = NULL)
