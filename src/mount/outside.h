/*
 * Outside: using our own mount from another process.
 *
 * A thread of the serving process must not wait for the mount that it serves: when the process is
 * killed then, the threads that would answer are gone, the one that waits cannot die, and so the
 * connection that would end its wait is never closed.  A child without that connection's descriptor
 * has nothing to do with all this.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct outside {
	const char *path;    /* of the mount */
	dev_t device_number; /* what must be there; else nothing is done */
};

/* The number of the filesystem on `path`, without asking its server, who might be us; 0 when there
 * is none. */
dev_t outside_device(const char *path);

/* Write back all pages dirtied through mappings, and wait for it. */
void outside_sync(const struct outside *outside);

/*
 * Make the kernel ask for the attributes of these inodes now, if it holds them for stale.  Does
 * nothing without CAP_DAC_READ_SEARCH.
 */
void outside_refresh(const struct outside *outside, const uint64_t *inos, size_t count);
