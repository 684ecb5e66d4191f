/*
 * Mount: a volume (or a view of it) as a filesystem, by the kernel's FUSE protocol.
 *
 * We speak <linux/fuse.h> ourselves: one table of operations (operations.c), a transport below it
 * (device.c: /dev/fuse; ring.c: io_uring).  The kernel caches data, attributes and
 * names for an hour; rewinding invalidates them.  The writeback cache is off, so that the time on
 * the tape is the time of the write.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "mount/transport.h"
#include "volume/volume.h"

struct mount;

struct mount_options {
	const char *source;       /* what the mount table shows, e.g. "unspill:shop" */
	unsigned threads;         /* over /dev/fuse; 0: 16; each sync under way takes one */
	enum transport transport; /* io_uring only if it can be had: see mount_transport() */
	bool allow_other;  /* every user, with permissions checked by the kernel; root only */
	struct view *view; /* serve this view read-only instead of the head; NULL: the head */
	/*
	 * Past the kernel's cache: every write(2) of up to a mebibyte less a page arrives whole,
	 * also one that is not O_DIRECT, wherever in memory its data is.  Every read asks; files
	 * cannot be mapped shared.
	 */
	bool direct;
	bool inward; /* refuse symbolic links that lead out of the mount: -EXDEV */
};

/*
 * Mount on the directory `path` (which exists) and serve from threads of our own until
 * mount_close(). As root by mount(2), else by fusermount3.  `volume` is borrowed.
 *
 * Errors with `why`: no /dev/fuse, no permission, `path` is not a directory or is mounted already.
 */
int mount_open(struct volume *volume, const char *path, const struct mount_options *options,
	       struct mount **ret, struct problem *why);

/* Unmount (lazily, when somebody still uses it) and stop serving; NULL is fine. */
void mount_close(struct mount *mount);
DEFINE_CLEANUP(struct mount *, mount, mount_close)

/*
 * Take it off its directory if nobody uses it; mount_close() is still to follow.  -EBUSY when
 * somebody does: then nothing has changed.
 */
int mount_leave(struct mount *mount);

/* The number of the filesystem, as in st_dev of what is in it. */
dev_t mount_device(const struct mount *mount);

/* What carries its requests; `ret_why` (borrowed) says why not io_uring, if that was wanted, or is
 * "". */
enum transport mount_transport(const struct mount *mount, const char **ret_why);

/*
 * Rewind under a live mount: as volume_backtrack(), and afterwards nothing that the kernel cached
 * of the old head is seen any more: data, attributes, names, mappings.  A page that somebody
 * dirtied through a shared mapping before the switch is not written on top of the new head.
 */
int mount_backtrack(struct mount *mount, const struct moment *to,
		    const struct volume_backtrack_options *options, struct volume_backtrack *ret,
		    struct problem *why);

struct mount_stats {
	uint64_t requests, reads, writes, syncs, errors;
	uint64_t ring_requests; /* those that came over io_uring */
	uint64_t read_bytes, write_bytes;
	uint64_t dropped_writes; /* stale page-cache writes refused during a rewind */
};
void mount_get_stats(struct mount *mount, struct mount_stats *ret);

/*
 * Whoever waits for the filesystem on `path` gets an error at once and for ever.  For a server that
 * is dying and waits, in one of its threads, for itself: the kernel does not let go of it
 * otherwise.
 */
void mount_abort(const char *path);

/*
 * Clear away what a dead process left mounted on `path`: a FUSE mount whose server is gone.  0 also
 * when there is nothing; -EBUSY when a live server answers there.
 */
int mount_clear_stale(const char *path, struct problem *why);
