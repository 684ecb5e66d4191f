/*
 * The handshake with the kernel, and the requests that concern the filesystem as a whole.
 */
#include "mount/handlers.h"

#include "base/log.h"

#include <errno.h>

/*
 * Not among them, on purpose: WRITEBACK_CACHE (the time on the tape is to be the time of the
 * write), POSIX_ACL (permissions are mode bits), the lock flags (locks are the kernel's own),
 * DONT_MASK (the kernel applies the umask), AUTO_INVAL_DATA (the cache is told, and does not
 * guess), SETXATTR_EXT (it says nothing without ACLs).
 */
#define WANTED                                                                                 \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT | FUSE_BIG_WRITES |       \
	 FUSE_ASYNC_DIO | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | \
	 FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA |                     \
	 FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT)

/* Asynchronous requests (read-ahead, direct I/O of io_uring and libaio, write-back) under way at
 * once. */
#define BACKGROUND_MAX 64

static void refuse(struct mount *mount, const struct fuse_init_in *in)
{
	log_error(
		"the kernel speaks version %u.%u of the FUSE protocol; %u.%u is needed (Linux 5.4)",
		in->major, in->minor, FUSE_KERNEL_VERSION, PROTOCOL_MINOR_MIN);
	mount_greet(mount, -EPROTONOSUPPORT);
}

/* Once promised, the kernel sends nothing until it has the entries. */
static void promise_ring(struct request *req, struct fuse_init_out *out)
{
	const struct fuse_init_in *in = req->arg;
	const uint32_t flag = FUSE_OVER_IO_URING >> 32;
	bool offered = in->flags & FUSE_INIT_EXT && cursor_left(&req->rest) >= sizeof in->flags2 &&
		       in->flags2 & flag;

	if (!offered || !req->mount->ring)
		return;
	out->flags2 |= flag;
	req->mount->ring_promised = true;
}

int op_init(struct request *req)
{
	const struct fuse_init_in *in = req->arg;
	struct fuse_init_out *out = request_out(req, sizeof *out);

	/* A newer major version asks again in ours. */
	out->major = FUSE_KERNEL_VERSION;
	out->minor = FUSE_KERNEL_MINOR_VERSION;
	if (in->major > FUSE_KERNEL_VERSION)
		return sizeof *out;
	if (in->major < FUSE_KERNEL_VERSION || in->minor < PROTOCOL_MINOR_MIN) {
		refuse(req->mount, in);
		return -EPROTO;
	}
	out->minor = MIN(in->minor, (uint32_t)FUSE_KERNEL_MINOR_VERSION);
	out->max_readahead = PROTOCOL_READ_AHEAD;
	out->flags = in->flags & WANTED;
	out->max_background = BACKGROUND_MAX;
	out->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	out->max_write = PROTOCOL_IO_MAX;
	out->max_pages = PROTOCOL_PAGES_MAX;
	out->time_gran = 1;
	promise_ring(req, out);
	/* What comes of the handshake may depend on the kernel's having the answer. */
	req->reply(req, 0, sizeof *out);
	mount_greet(req->mount, 1);
	return REQUEST_NO_REPLY;
}

/*
 * FLUSH: before Linux 5.16 it comes at each close(2), with nothing to bring.  RELEASE: nothing is
 * kept per open file; that the inode lives while it is open is the lookup count's doing.
 */
int op_ignored(struct request *req)
{
	return 0;
}

/* The kernel does not ask again.  ACCESS: it checks permissions itself; INTERRUPT: nothing takes
 * long enough. */
int op_absent(struct request *req)
{
	return -ENOSYS;
}

int op_not_a_terminal(struct request *req)
{
	return -ENOTTY;
}

/* Files and directories alike: the tape is one, so that a sync is of everything before it. */
int op_sync(struct request *req)
{
	counter_add(&req->mount->counters.syncs, 1);
	return req->mount->read_only ? 0 : volume_sync(req->mount->volume);
}

int op_statfs(struct request *req)
{
	struct fuse_statfs_out *out = request_out(req, sizeof *out);
	struct volume_space space;
	int r = view_space(req->mount->view, &space);

	if (r < 0)
		return r;
	out->st.bsize = out->st.frsize = 4096;
	out->st.blocks = space.bytes_total / 4096;
	out->st.bfree = out->st.bavail = space.bytes_free / 4096;
	out->st.files = space.inodes + space.bytes_free / 4096;
	out->st.ffree = space.bytes_free / 4096;
	out->st.namelen = VOLUME_NAME_MAX;
	return sizeof *out;
}
