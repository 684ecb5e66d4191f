/*
 * Handlers: one function per operation, for the table in operations.c.
 *
 * A handler returns the size of its answer in req->out, -errno, or REQUEST_NO_REPLY.
 */
#pragma once

#include "mount/request.h"
#include "mount/state.h"

/* hello.c: the handshake, and what needs no volume */
int op_init(struct request *req);
int op_ignored(struct request *req);
int op_absent(struct request *req);
int op_not_a_terminal(struct request *req);
int op_sync(struct request *req);
int op_statfs(struct request *req);

/* names.c */
int op_lookup(struct request *req);
int op_forget(struct request *req);
int op_batch_forget(struct request *req);
int op_readlink(struct request *req);
int op_symlink(struct request *req);
int op_mknod(struct request *req);
int op_mkdir(struct request *req);
int op_create(struct request *req);
int op_link(struct request *req);
int op_unlink(struct request *req);
int op_rmdir(struct request *req);
int op_rename(struct request *req);
int op_rename2(struct request *req);

/* attributes.c */
int op_getattr(struct request *req);
int op_setattr(struct request *req);
int op_setxattr(struct request *req);
int op_getxattr(struct request *req);
int op_listxattr(struct request *req);
int op_removexattr(struct request *req);

/* files.c */
int op_open(struct request *req);
int op_read(struct request *req);
int op_write(struct request *req);
int op_fallocate(struct request *req);
int op_lseek(struct request *req);

/* directories.c */
int op_opendir(struct request *req);
int op_readdir(struct request *req);
int op_readdirplus(struct request *req);

/* --- Shared between them ------------------------------------------------------------------------
 */

/* attributes.c */
void attributes_fill(struct fuse_attr *ret, const struct volume_attr *attr);

/* names.c: tell the kernel of an inode, and count it. */
void entry_fill(struct request *req, struct fuse_entry_out *ret, const struct volume_attr *attr);

/* files.c: the flags of the answer to OPEN and CREATE. */
uint32_t open_flags(const struct mount *mount);
