#include "mount/handlers.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* See device_number() in names.c. */
static uint32_t pack_device(dev_t dev)
{
	return (minor(dev) & 0xff) | (major(dev) << 8) | ((minor(dev) & ~0xffu) << 12);
}

void attributes_fill(struct fuse_attr *ret, const struct volume_attr *attr)
{
	*ret = (struct fuse_attr){
		.ino = attr->ino,
		.size = attr->size,
		.blocks = attr->blocks,
		.atime = attr->atime.tv_sec,
		.mtime = attr->mtime.tv_sec,
		.ctime = attr->ctime.tv_sec,
		.atimensec = attr->atime.tv_nsec,
		.mtimensec = attr->mtime.tv_nsec,
		.ctimensec = attr->ctime.tv_nsec,
		.mode = attr->mode,
		.nlink = attr->nlink,
		.uid = attr->uid,
		.gid = attr->gid,
		.rdev = pack_device(attr->rdev),
		.blksize = 4096,
	};
}

static int reply_attributes(struct request *req, const struct volume_attr *attr)
{
	struct fuse_attr_out *out = request_out(req, sizeof *out);

	out->attr_valid = rewind_valid_seconds(req->mount);
	attributes_fill(&out->attr, attr);
	return sizeof *out;
}

int op_getattr(struct request *req)
{
	struct volume_attr attr;
	int r = view_getattr(req->mount->view, req->in.nodeid, &attr);

	return r < 0 ? r : reply_attributes(req, &attr);
}

/*
 * The kernel has left the set-user-id and set-group-id bits to us (HANDLE_KILLPRIV_V2): every
 * change of the owner of what is not a directory drops them, one of the size when the kernel says
 * so.
 */
static bool drops_suid(struct request *req, const struct fuse_setattr_in *in)
{
	struct volume_attr attr;

	if (in->valid & FATTR_KILL_SUIDGID)
		return true;
	if (!(in->valid & (FATTR_UID | FATTR_GID)) || in->valid & FATTR_MODE)
		return false;
	return view_getattr(req->mount->view, req->in.nodeid, &attr) == 0 && !S_ISDIR(attr.mode);
}

static unsigned what_to_set(uint32_t valid)
{
	static const struct {
		uint32_t valid;
		unsigned set;
	} pairs[] = {
		{FATTR_MODE, VOLUME_SET_MODE},
		{FATTR_UID, VOLUME_SET_UID},
		{FATTR_GID, VOLUME_SET_GID},
		{FATTR_SIZE, VOLUME_SET_SIZE},
		{FATTR_CTIME, VOLUME_SET_CTIME},
		{FATTR_ATIME, VOLUME_SET_ATIME},
		{FATTR_MTIME, VOLUME_SET_MTIME},
		{FATTR_ATIME_NOW, VOLUME_SET_ATIME_NOW},
		{FATTR_MTIME_NOW, VOLUME_SET_MTIME_NOW},
	};
	unsigned set = 0;

	/* "Now" comes as both bits. */
	if (valid & FATTR_ATIME_NOW)
		valid &= ~FATTR_ATIME;
	if (valid & FATTR_MTIME_NOW)
		valid &= ~FATTR_MTIME;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (valid & pairs[i].valid)
			set |= pairs[i].set;
	return set;
}

int op_setattr(struct request *req)
{
	const struct fuse_setattr_in *in = req->arg;
	struct volume_change change = {
		.set = what_to_set(in->valid) | (drops_suid(req, in) ? VOLUME_DROP_SUID : 0),
		.mode = in->mode & 07777,
		.uid = in->uid,
		.gid = in->gid,
		.size = in->size,
		.atime = {in->atime, in->atimensec},
		.mtime = {in->mtime, in->mtimensec},
		.ctime = {in->ctime, in->ctimensec},
	};
	struct volume_attr attr;
	int r = volume_setattr(req->mount->volume, req->in.nodeid, &change, &attr);

	return r < 0 ? r : reply_attributes(req, &attr);
}

/* ACLs would have to be enforced, and inherited: nobody would do either. */
static bool xattr_is_ours(const char *name)
{
	return strncmp(name, "system.", 7) != 0;
}

int op_setxattr(struct request *req)
{
	const struct fuse_setxattr_in *in = req->arg;
	const void *value;
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	value = cursor_bytes(&req->rest, in->size);
	if (!value)
		return -EINVAL;
	if (in->size > VOLUME_XATTR_MAX)
		return -E2BIG;
	if (!xattr_is_ours(name))
		return -EOPNOTSUPP;
	return volume_setxattr(req->mount->volume, req->in.nodeid, name, value, in->size,
			       in->flags);
}

/* Asked with no room, the answer is the size that is needed. */
static int reply_xattr(struct request *req, ssize_t size, size_t room)
{
	struct fuse_getxattr_out *out;

	if (size < 0)
		return size;
	if (room)
		return size;
	out = request_out(req, sizeof *out);
	out->size = size;
	return sizeof *out;
}

int op_getxattr(struct request *req)
{
	const struct fuse_getxattr_in *in = req->arg;
	size_t room = MIN(in->size, VOLUME_XATTR_MAX);
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	if (!xattr_is_ours(name))
		return -EOPNOTSUPP;
	return reply_xattr(
		req, view_getxattr(req->mount->view, req->in.nodeid, name, req->out, room), room);
}

int op_listxattr(struct request *req)
{
	const struct fuse_getxattr_in *in = req->arg;
	size_t room = MIN(in->size, VOLUME_XATTR_MAX);

	return reply_xattr(req,
			   view_listxattr(req->mount->view, req->in.nodeid, (char *)req->out, room),
			   room);
}

int op_removexattr(struct request *req)
{
	const char *name;
	int r = request_name(req, VOLUME_NAME_MAX, &name);

	if (r < 0)
		return r;
	if (!xattr_is_ours(name))
		return -EOPNOTSUPP;
	return volume_removexattr(req->mount->volume, req->in.nodeid, name);
}
