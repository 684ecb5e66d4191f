#include "mount/operations.h"

#include "mount/handlers.h"
#include "mount/notify.h"

#include <errno.h>
#include <string.h>

enum {
	CHANGES = 1, /* refused on a view */
	/*
	 * Changes attributes of its node that are not in the answer.  The kernel drops what it has,
	 * but believes the answer to an earlier GETATTR that arrives after that; for an hour.  So
	 * it is told.
	 */
	TOUCHES = 2,
};

struct operation {
	const char *name;
	int (*run)(struct request *req);
	size_t arg_size; /* of the fixed part */
	unsigned flags;
};

/*
 * What is missing here is answered ENOSYS, and the kernel does without it: locks are then its own,
 * BMAP, POLL and COPY_FILE_RANGE are done otherwise or refused, TMPFILE is EOPNOTSUPP to the
 * caller.
 */
static const struct operation operations[] = {
	[FUSE_INIT] = {"init", op_init, 16, 0},
	[FUSE_DESTROY] = {"destroy", op_ignored, 0, 0},
	[FUSE_STATFS] = {"statfs", op_statfs, 0, 0},
	[FUSE_INTERRUPT] = {"interrupt", op_absent, sizeof(struct fuse_interrupt_in), 0},
	[FUSE_ACCESS] = {"access", op_absent, sizeof(struct fuse_access_in), 0},
	[FUSE_IOCTL] = {"ioctl", op_not_a_terminal, sizeof(struct fuse_ioctl_in), 0},
	[FUSE_SYNCFS] = {"syncfs", op_sync, sizeof(struct fuse_syncfs_in), 0},

	[FUSE_LOOKUP] = {"lookup", op_lookup, 0, 0},
	[FUSE_FORGET] = {"forget", op_forget, sizeof(struct fuse_forget_in), 0},
	[FUSE_BATCH_FORGET] = {"batch_forget", op_batch_forget, sizeof(struct fuse_batch_forget_in),
			       0},
	[FUSE_READLINK] = {"readlink", op_readlink, 0, 0},
	[FUSE_SYMLINK] = {"symlink", op_symlink, 0, CHANGES | TOUCHES},
	[FUSE_MKNOD] = {"mknod", op_mknod, sizeof(struct fuse_mknod_in), CHANGES | TOUCHES},
	[FUSE_MKDIR] = {"mkdir", op_mkdir, sizeof(struct fuse_mkdir_in), CHANGES | TOUCHES},
	[FUSE_CREATE] = {"create", op_create, sizeof(struct fuse_create_in), CHANGES | TOUCHES},
	[FUSE_LINK] = {"link", op_link, sizeof(struct fuse_link_in), CHANGES | TOUCHES},
	[FUSE_UNLINK] = {"unlink", op_unlink, 0, CHANGES | TOUCHES},
	[FUSE_RMDIR] = {"rmdir", op_rmdir, 0, CHANGES | TOUCHES},
	[FUSE_RENAME] = {"rename", op_rename, sizeof(struct fuse_rename_in), CHANGES | TOUCHES},
	[FUSE_RENAME2] = {"rename2", op_rename2, sizeof(struct fuse_rename2_in), CHANGES | TOUCHES},

	[FUSE_GETATTR] = {"getattr", op_getattr, sizeof(struct fuse_getattr_in), 0},
	[FUSE_SETATTR] = {"setattr", op_setattr, sizeof(struct fuse_setattr_in), CHANGES},
	[FUSE_SETXATTR] = {"setxattr", op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE,
			   CHANGES | TOUCHES},
	[FUSE_GETXATTR] = {"getxattr", op_getxattr, sizeof(struct fuse_getxattr_in), 0},
	[FUSE_LISTXATTR] = {"listxattr", op_listxattr, sizeof(struct fuse_getxattr_in), 0},
	[FUSE_REMOVEXATTR] = {"removexattr", op_removexattr, 0, CHANGES | TOUCHES},

	[FUSE_OPEN] = {"open", op_open, sizeof(struct fuse_open_in), 0},
	[FUSE_READ] = {"read", op_read, sizeof(struct fuse_read_in), 0},
	[FUSE_WRITE] = {"write", op_write, sizeof(struct fuse_write_in), CHANGES},
	[FUSE_FALLOCATE] = {"fallocate", op_fallocate, sizeof(struct fuse_fallocate_in),
			    CHANGES | TOUCHES},
	[FUSE_LSEEK] = {"lseek", op_lseek, sizeof(struct fuse_lseek_in), 0},
	[FUSE_FLUSH] = {"flush", op_ignored, sizeof(struct fuse_flush_in), 0},
	[FUSE_RELEASE] = {"release", op_ignored, sizeof(struct fuse_release_in), 0},
	[FUSE_FSYNC] = {"fsync", op_sync, sizeof(struct fuse_fsync_in), 0},

	[FUSE_OPENDIR] = {"opendir", op_opendir, sizeof(struct fuse_open_in), 0},
	[FUSE_READDIR] = {"readdir", op_readdir, sizeof(struct fuse_read_in), 0},
	[FUSE_READDIRPLUS] = {"readdirplus", op_readdirplus, sizeof(struct fuse_read_in), 0},
	[FUSE_RELEASEDIR] = {"releasedir", op_ignored, sizeof(struct fuse_release_in), 0},
	[FUSE_FSYNCDIR] = {"fsyncdir", op_sync, sizeof(struct fuse_fsync_in), 0},
};

static int run(struct request *req, const void *data, size_t size)
{
	const struct operation *operation = NULL;

	if (size != req->in.len)
		return -EIO;
	if (req->in.opcode < ARRAY_SIZE(operations))
		operation = &operations[req->in.opcode];
	if (!operation || !operation->run)
		return -ENOSYS;
	if (operation->flags & CHANGES && req->mount->read_only)
		return -EROFS;

	cursor_init(&req->rest, data, size);
	cursor_bytes(&req->rest, sizeof req->in);
	req->arg = cursor_bytes(&req->rest, operation->arg_size);
	if (!cursor_ok(&req->rest))
		return -EINVAL;
	int r = operation->run(req);
	if (r >= 0 && operation->flags & TOUCHES)
		notify_attributes(req->mount->fd, req->in.nodeid);
	return r;
}

void operations_serve(struct request *req, const void *data, size_t size)
{
	struct mount *mount = req->mount;
	int r;

	/* Nothing to answer to: the kernel never sends this. */
	if (size < sizeof req->in)
		return;
	memcpy(&req->in, data, sizeof req->in);
	flight_begin(&mount->flight, req->slot);
	counter_add(&mount->counters.requests, 1);
	r = run(req, data, size);
	if (r == -EIO || r == -ENOSPC)
		counter_add(&mount->counters.errors, 1);
	if (r != REQUEST_NO_REPLY)
		req->reply(req, MIN(r, 0), MAX(r, 0));
	flight_end(&mount->flight, req->slot);
}
