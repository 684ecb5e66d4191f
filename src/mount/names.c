/*
 * Names: finding, making, moving and removing them.
 */
#include "mount/handlers.h"
#include "mount/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void entry_fill(struct request *req, struct fuse_entry_out *ret, const struct volume_attr *attr)
{
	struct mount *mount = req->mount;

	ret->nodeid = attr->ino;
	ret->entry_valid = ret->attr_valid = rewind_valid_seconds(mount);
	attributes_fill(&ret->attr, attr);
	if (attr->ino == VOLUME_ROOT_INO)
		return;
	nodes_ref(&mount->nodes, attr->ino);
	if (!mount->read_only)
		volume_ref(mount->volume, attr->ino, 1);
}

static int reply_entry(struct request *req, const char *name, const struct volume_attr *attr)
{
	struct fuse_entry_out *out = request_out(req, sizeof *out);

	rewind_note_name(req->mount, req->in.nodeid, name);
	entry_fill(req, out, attr);
	return sizeof *out;
}

/* Absent, and the kernel may remember that. */
static int reply_no_entry(struct request *req, const char *name)
{
	struct fuse_entry_out *out = request_out(req, sizeof *out);

	rewind_note_name(req->mount, req->in.nodeid, name);
	out->entry_valid = rewind_valid_seconds(req->mount);
	return sizeof *out;
}

/*
 * "." comes from those who have only a file handle (NFS, open_by_handle_at(2)), also of what is not
 * a directory.
 */
int op_lookup(struct request *req)
{
	struct view *view = req->mount->view;
	struct volume_attr attr;
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	if (strcmp(name, ".") == 0)
		r = view_getattr(view, req->in.nodeid, &attr);
	else
		r = view_lookup(view, req->in.nodeid, name, &attr);
	if (r == -ENOENT)
		return reply_no_entry(req, name);
	return r < 0 ? r : reply_entry(req, name, &attr);
}

static void forget(struct mount *mount, uint64_t ino, uint64_t count)
{
	count = nodes_forget(&mount->nodes, ino, count);
	if (count && !mount->read_only)
		volume_unref(mount->volume, ino, count);
}

int op_forget(struct request *req)
{
	const struct fuse_forget_in *in = req->arg;

	forget(req->mount, req->in.nodeid, in->nlookup);
	return REQUEST_NO_REPLY;
}

int op_batch_forget(struct request *req)
{
	const struct fuse_batch_forget_in *in = req->arg;
	const struct fuse_forget_one *one;

	for (uint32_t i = 0; i < in->count; i++) {
		one = cursor_bytes(&req->rest, sizeof *one);
		if (!one)
			break;
		forget(req->mount, one->nodeid, one->nlookup);
	}
	return REQUEST_NO_REPLY;
}

int op_readlink(struct request *req)
{
	int r = view_readlink(req->mount->view, req->in.nodeid, (char *)req->out);

	return r < 0 ? r : (int)strlen((char *)req->out);
}

/* The caller's identity comes with the request; modes have the umask applied. */
static int create(struct request *req, const char *name, mode_t mode, dev_t rdev,
		  const char *target)
{
	struct volume_new new = {.mode = mode,
				 .uid = req->in.uid,
				 .gid = req->in.gid,
				 .rdev = rdev,
				 .target = target};
	struct volume_attr attr;
	int r = volume_create(req->mount->volume, req->in.nodeid, name, &new, &attr);

	return r < 0 ? r : reply_entry(req, name, &attr);
}

/* It could name something else tomorrow, or on another mount of the same volume: ".." counts as
 * out, too. */
static bool leads_out(const char *target)
{
	const char *at = target;

	if (*target == '/')
		return true;
	while ((at = strstr(at, "..")) != NULL) {
		bool begins = at == target || at[-1] == '/';

		at += 2;
		if (begins && (*at == '/' || !*at))
			return true;
	}
	return false;
}

int op_symlink(struct request *req)
{
	const char *name, *target;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	r = request_name(req, VOLUME_LINK_MAX, &target);
	if (r == 0 && req->mount->inward && leads_out(target))
		return -EXDEV;
	return r < 0 ? r : create(req, name, S_IFLNK | 0777, 0, target);
}

/* A device's number as the kernel puts it into 32 bits: 12 bits of minor around 12 of major. */
static dev_t device_number(uint32_t packed)
{
	return makedev((packed & 0xfff00) >> 8, (packed & 0xff) | ((packed >> 12) & 0xfff00));
}

int op_mknod(struct request *req)
{
	const struct fuse_mknod_in *in = req->arg;
	mode_t mode = in->mode & (S_IFMT | 07777);
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	if (!(mode & S_IFMT))
		mode |= S_IFREG;
	if (S_ISDIR(mode) || S_ISLNK(mode))
		return -EINVAL;
	return create(req, name, mode, device_number(in->rdev), NULL);
}

int op_mkdir(struct request *req)
{
	const struct fuse_mkdir_in *in = req->arg;
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	return r < 0 ? r : create(req, name, S_IFDIR | (in->mode & 07777), 0, NULL);
}

/*
 * The kernel believes that the name is free.  When it is not (a rewind went by), the kernel has
 * checked no permission of what is there: ESTALE makes it look again.
 */
int op_create(struct request *req)
{
	const struct fuse_create_in *in = req->arg;
	struct fuse_open_out *opened;
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	r = create(req, name, S_IFREG | (in->mode & 07777), 0, NULL);
	if (r < 0)
		return r == -EEXIST && !(in->flags & O_EXCL) ? -ESTALE : r;
	opened = memset(req->out + r, 0, sizeof *opened);
	opened->open_flags = open_flags(req->mount);
	return r + sizeof *opened;
}

int op_link(struct request *req)
{
	const struct fuse_link_in *in = req->arg;
	struct volume_attr attr;
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	r = volume_link(req->mount->volume, in->oldnodeid, req->in.nodeid, name, &attr);
	return r < 0 ? r : reply_entry(req, name, &attr);
}

static int remove_name(struct request *req, int (*remove)(struct volume *, uint64_t, const char *))
{
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	rewind_note_name(req->mount, req->in.nodeid, name);
	return remove(req->mount->volume, req->in.nodeid, name);
}

int op_unlink(struct request *req)
{
	return remove_name(req, volume_unlink);
}

int op_rmdir(struct request *req)
{
	return remove_name(req, volume_rmdir);
}

/* See TOUCHES in operations.c: the other directory, and the time of what was moved. */
static void touch_moved(struct mount *mount, uint64_t parent, const char *name)
{
	struct volume_attr attr;

	notify_attributes(mount->fd, parent);
	if (view_lookup(mount->view, parent, name, &attr) == 0)
		notify_attributes(mount->fd, attr.ino);
}

static int rename_names(struct request *req, uint64_t new_parent, unsigned flags)
{
	struct mount *mount = req->mount;
	const char *name, *new_name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	r = request_name(req, VOLUME_NAME_MAX, &new_name);
	if (r < 0)
		return r;
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	rewind_note_name(mount, req->in.nodeid, name);
	rewind_note_name(mount, new_parent, new_name);
	r = volume_rename(mount->volume, req->in.nodeid, name, new_parent, new_name, flags);
	if (r < 0)
		return r;
	touch_moved(mount, new_parent, new_name);
	return 0;
}

int op_rename(struct request *req)
{
	const struct fuse_rename_in *in = req->arg;

	return rename_names(req, in->newdir, 0);
}

int op_rename2(struct request *req)
{
	const struct fuse_rename2_in *in = req->arg;

	return rename_names(req, in->newdir, in->flags);
}
