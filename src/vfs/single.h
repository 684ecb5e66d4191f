/*
 * Single: one database file, brought into a volume, and taken out of it, byte for byte.
 */
#pragma once

#include "vfs/owner.h"

struct single_options {
	/* Bytes done and in all; false stops the work (-ECANCELED).  May be NULL. */
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
};

/* `name` is to be a database's file: it has no '/', and is none of SQLite's own beside one. */
bool single_is_database(const char *name);

/*
 * The name of the database that is meant: `wanted`, or, if that is "", the only one there is in
 * the view.  -ENOENT, -EEXIST (several: `why` names them).
 */
int single_choose(struct view *view, const char *wanted, char name[VOLUME_NAME_MAX + 1],
		  struct problem *why);

/* Is `from` a database file?  -EINVAL, or the -errno of opening it. */
int single_check(const char *from, struct problem *why);

/*
 * Copy the database file `from`, as SQLite sees it now, into the volume as `name`; durable on
 * return.  Its connections go on, its writers wait meanwhile.  -ENOENT, -EINVAL (it is no
 * database), -EBUSY, -EEXIST.
 */
int single_in(struct owner *owner, const char *from, const char *name,
	      const struct single_options *options, uint64_t *ret_bytes, struct problem *why);

/*
 * Copy the database `name` of `view` to the new file `to`; durable on return.  What a journal or a
 * WAL has to add to it is added.  What fails leaves nothing behind.  -EEXIST.
 */
int single_out(struct view *view, const char *name, const char *to,
	       const struct single_options *options, uint64_t *ret_bytes, struct problem *why);
