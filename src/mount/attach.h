/*
 * Attach: putting a FUSE filesystem on a directory and taking it off: mount(2) for root,
 * fusermount3 for others.
 */
#pragma once

#include "base/problem.h"

#include <stdbool.h>
#include <sys/types.h>

struct attach_options {
	const char *source;
	bool allow_other;
	bool read_only;
};

/* The caller owns *ret_fd, the connection to the kernel; mount_open()'s errors. */
int attach_open(const char *path, const struct attach_options *options, int *ret_fd,
		struct problem *why);

/* As attach_open(), by fusermount3 whoever we are. */
int attach_open_by_helper(const char *path, const struct attach_options *options, int *ret_fd,
			  struct problem *why);

/*
 * Let the kernel read ahead more than its 128 KiB, of the filesystem `device`.  The handshake can
 * only lower that: call it afterwards.  Only root may; for others it stays as it is.
 */
void attach_read_ahead(dev_t device, unsigned bytes);

/* Take it off; with `lazily`, also when somebody uses it.  -EBUSY, -EINVAL when nothing is mounted
 * there. */
int attach_close(const char *path, bool lazily);
