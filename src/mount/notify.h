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

/* One name, whether it is cached as present or as absent. */
int notify_name(int fd, uint64_t parent, const char *name);

/* All names at once.  -EOPNOTSUPP before Linux 6.16. */
int notify_all_names(int fd);
