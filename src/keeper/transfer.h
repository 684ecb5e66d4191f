/*
 * Transfer: a tree of files copied in (import) and out (export), sparse files as sparse files.
 */
#pragma once

#include "base/problem.h"
#include "volume/volume.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct transfer_options {
	/* Bytes done and in all; false stops the work (-ECANCELED).  May be NULL. */
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
	/* Names at the top of the tree to be left out; NULL-terminated, or NULL. */
	const char *const *leave_out;
};

struct transfer_result {
	uint64_t files, bytes;
};

/*
 * Copy the tree below the directory `from` into the directory `to`, which does not exist yet, all
 * of it owned by uid and gid (when we are root).  Modes, times and extended attributes are kept;
 * sockets, pipes, devices and "lost+found" are left out.  What fails leaves no `to` behind.  The
 * source is only read.
 *
 * -EXDEV: a symbolic link leads out of the tree; -EBUSY: a file changed while it was copied.
 */
int transfer_in(const char *from, const char *to, uid_t uid, gid_t gid,
		const struct transfer_options *options, struct transfer_result *ret,
		struct problem *why);

/*
 * Copy the tree below the directory `ino` of `view` into the directory `to`, which is made, or is
 * there and empty; with owners (when we are root), modes, times, extended attributes, hard links
 * and holes.  Durable on return.  What fails removes what it made.
 *
 * -ENOTEMPTY: there is something in `to`.
 */
int transfer_out(struct view *view, uint64_t ino, const char *to,
		 const struct transfer_options *options, struct transfer_result *ret,
		 struct problem *why);
