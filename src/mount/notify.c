#include "mount/notify.h"

#include "mount/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

static int notify(int fd, int code, const struct iovec *parts, int count)
{
	struct fuse_out_header out = {.len = sizeof out, .error = code};
	struct iovec iov[4] = {{&out, sizeof out}};

	for (int i = 0; i < count; i++) {
		iov[1 + i] = parts[i];
		out.len += parts[i].iov_len;
	}
	while (writev(fd, iov, 1 + count) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Not cached is as good as forgotten. */
static int unless_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ESTALE ? 0 : r;
}

static int invalidate(int fd, uint64_t ino, int64_t from)
{
	struct fuse_notify_inval_inode_out inode = {.ino = ino, .off = from, .len = 0};

	return unless_absent(
		notify(fd, FUSE_NOTIFY_INVAL_INODE, &(struct iovec){&inode, sizeof inode}, 1));
}

int notify_inode(int fd, uint64_t ino)
{
	return invalidate(fd, ino, 0);
}

int notify_attributes(int fd, uint64_t ino)
{
	return invalidate(fd, ino, -1);
}

int notify_name(int fd, uint64_t parent, const char *name)
{
	struct fuse_notify_inval_entry_out entry = {.parent = parent, .namelen = strlen(name)};
	struct iovec parts[] = {{&entry, sizeof entry}, {(char *)name, entry.namelen + 1}};

	return unless_absent(notify(fd, FUSE_NOTIFY_INVAL_ENTRY, parts, 2));
}

int notify_settle(int fd, uint64_t ino)
{
	/* The lock is taken before the kernel sees that there is no such name. */
	return notify_name(fd, ino, "/");
}

int notify_all_names(int fd)
{
	int r = notify(fd, FUSE_NOTIFY_INC_EPOCH, NULL, 0);

	return r == -EINVAL ? -EOPNOTSUPP : r;
}
