/*
 * Notify: telling the kernel that what it has cached is no longer so.
 *
 * The kernel takes locks for these that it also holds while it waits for our answers (a folio
 * during a READ, a directory during a CREATE): call from a thread that serves no requests, and hold
 * nothing that a request needs.
 *
 * All return 0, also when the kernel has nothing of the kind; -ENODEV when the mount is gone.
 */
#pragma once

#include <stdint.h>

/* Data, attributes, mappings of one inode.  Dirty pages are written back first: as WRITE requests,
 * before this returns. */
int notify_inode(int fd, uint64_t ino);

/*
 * Attributes only, of an inode that the caller of a request under way holds: the one notification
 * that request threads may send.  Answers that are already on their way to the kernel are not
 * believed any more.
 */
int notify_attributes(int fd, uint64_t ino);

/* One name, whether it is cached as present or as absent. */
int notify_name(int fd, uint64_t parent, const char *name);

/*
 * Wait for what the kernel does under the inode's lock: answers to SETATTR, LOOKUP, CREATE,
 * READDIRPLUS and the like that it has got before are digested then.
 */
int notify_settle(int fd, uint64_t ino);

/* All names at once.  -EOPNOTSUPP before Linux 6.16. */
int notify_all_names(int fd);
