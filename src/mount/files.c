/*
 * Files: their bytes.
 *
 * A WRITE is one volume_write(), whole or not at all.  Who syncs when a descriptor is O_SYNC or
 * O_DSYNC: after a write through the page cache the kernel sends FSYNC by itself; after a direct
 * one it need not (asynchronous direct I/O, and all of a direct mount's: never), so there the flags
 * of the WRITE decide.  A write-back of mapped pages carries the flags of some descriptor or other
 * and is never synchronous.
 */
#include "mount/handlers.h"

#include <errno.h>
#include <fcntl.h>

/*
 * The cache outlives the open: only a rewind makes it stale, and says so.  FLUSH, at close(2), has
 * nothing to bring: writes are here already, and mapped pages come when they are unmapped; and
 * without it a server that is killed with files of its own mount open can close them.
 *
 * FOPEN_DIRECT_IO is for all files of a mount or none: beside cached readers it drops cached pages
 * before a write only, so that a reader in between leaves the old page behind.  A direct mount has
 * no cached readers, and its writers of one file run side by side.
 */
uint32_t open_flags(const struct mount *mount)
{
	return FOPEN_NOFLUSH |
	       (mount->direct ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES : FOPEN_KEEP_CACHE);
}

/* The request is not from the kernel's cache, nor will it be in there. */
static bool is_direct(const struct mount *mount, uint32_t file_flags)
{
	return mount->direct || file_flags & O_DIRECT;
}

static int truncate_file(struct request *req, bool drop_suid)
{
	struct volume_change change = {.set = VOLUME_SET_SIZE | (drop_suid ? VOLUME_DROP_SUID : 0)};
	struct volume_attr attr;

	return volume_setattr(req->mount->volume, req->in.nodeid, &change, &attr);
}

int op_open(struct request *req)
{
	const struct fuse_open_in *in = req->arg;
	struct fuse_open_out *out = request_out(req, sizeof *out);
	struct volume_attr attr;
	int r;

	if (req->mount->read_only && ((in->flags & O_ACCMODE) != O_RDONLY || in->flags & O_TRUNC))
		return -EROFS;
	if (in->flags & O_TRUNC)
		r = truncate_file(req, in->open_flags & FUSE_OPEN_KILL_SUIDGID);
	else
		r = view_getattr(req->mount->view, req->in.nodeid, &attr);
	if (r < 0)
		return r;
	out->open_flags = open_flags(req->mount);
	return sizeof *out;
}

int op_read(struct request *req)
{
	const struct fuse_read_in *in = req->arg;
	struct mount *mount = req->mount;
	bool fresh = rewind_switched(mount) && !is_direct(mount, in->flags);
	ssize_t n;

	if (in->size > req->out_room)
		return -EINVAL;
	n = view_read(mount->view, req->in.nodeid, in->offset, req->out, in->size);
	if (n < 0)
		return n;
	if (fresh)
		rewind_note_fresh(mount, req->in.nodeid, in->offset, in->size);
	counter_add(&mount->counters.reads, 1);
	counter_add(&mount->counters.read_bytes, n);
	return n;
}

static int write_data(struct request *req, const struct fuse_write_in *in, const void *data)
{
	struct mount *mount = req->mount;
	struct iovec iov = {(void *)data, in->size};
	bool fresh = rewind_switched(mount) && !is_direct(mount, in->flags);
	bool drop_suid = in->write_flags & FUSE_WRITE_KILL_SUIDGID;
	int r = volume_write(mount->volume, req->in.nodeid, in->offset, &iov, 1, drop_suid);

	if (r < 0)
		return r;
	if (fresh)
		rewind_note_fresh(mount, req->in.nodeid, in->offset, in->size);
	if (!is_direct(mount, in->flags) || !(in->flags & (O_SYNC | O_DSYNC)))
		return 0;
	counter_add(&mount->counters.syncs, 1);
	return volume_sync(mount->volume);
}

int op_write(struct request *req)
{
	const struct fuse_write_in *in = req->arg;
	const void *data = cursor_bytes(&req->rest, in->size);
	struct fuse_write_out *out = request_out(req, sizeof *out);
	int r;

	if (!data || !cursor_done(&req->rest) || in->size > VOLUME_WRITE_MAX)
		return -EINVAL;
	counter_add(&req->mount->counters.writes, 1);
	counter_add(&req->mount->counters.write_bytes, in->size);
	if (in->write_flags & FUSE_WRITE_CACHE)
		r = rewind_write_back(req, in->offset, data, in->size);
	else
		r = write_data(req, in, data);
	if (r < 0)
		return r;
	out->size = in->size;
	return sizeof *out;
}

int op_fallocate(struct request *req)
{
	const struct fuse_fallocate_in *in = req->arg;

	return volume_fallocate(req->mount->volume, req->in.nodeid, in->mode, in->offset,
				in->length);
}

int op_lseek(struct request *req)
{
	const struct fuse_lseek_in *in = req->arg;
	struct fuse_lseek_out *out = request_out(req, sizeof *out);
	int64_t offset;

	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL;
	offset = view_seek(req->mount->view, req->in.nodeid, in->offset, in->whence);
	if (offset < 0)
		return offset;
	out->offset = offset;
	return sizeof *out;
}
