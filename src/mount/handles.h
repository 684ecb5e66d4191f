/*
 * Handles: reaching an inode of our own mount by its number alone, as NFS servers do.
 */
#pragma once

#include <stdint.h>

/*
 * Make the kernel ask for the inode's attributes now, if it holds them for stale.  `mount_fd` is
 * open on anything in the mount.  0 or -errno: -EPERM without CAP_DAC_READ_SEARCH, -ESTALE for an
 * inode that is gone.
 */
int handle_refresh(int mount_fd, uint64_t ino);
