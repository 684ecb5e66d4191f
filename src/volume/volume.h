/*
 * Volume: a file tree whose whole past is on a tape.
 *
 * The volume's promises are in this folder's README.md.  Words: the *head* is the tree as it is
 * now; a *moment* is a position on the tape with its time; the *horizon* is the oldest moment still
 * reachable; a *backtrack* makes a past moment the head, and is itself a record, so that it can be
 * undone; a *view* is a read-only look at one moment.
 *
 * All functions return 0 or a count, or -errno: for file operations the errno that POSIX wants,
 * -ESTALE for an inode that is not there (any more), -EIO when damage is met or the tape is broken.
 * All may be called from any thread.  Sizes and offsets are bytes, times microseconds since the
 * epoch.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "disk/disk.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct volume;
struct view;

#define VOLUME_ROOT_INO 1
#define VOLUME_NAME_MAX 255
#define VOLUME_LINK_MAX 4096 /* bytes in a symbolic link's target */
#define VOLUME_XATTR_MAX 65536
#define VOLUME_MARK_MAX 128            /* bytes in a mark's name */
#define VOLUME_WRITE_MAX (1024 * 1024) /* bytes in one write */

/* --- Life ------------------------------------------------------------------------------------- */

struct volume_format_options {
	uint64_t segment_bytes; /* 0: the default, 64 MiB, or less on a small disk */
	int64_t window_us;      /* target backtrack window; 0: off */
	uid_t root_uid;         /* owner and mode of the root directory */
	gid_t root_gid;
	mode_t root_mode;
	int64_t (*clock)(void *arg); /* as in tape.h */
	void *clock_arg;
	const uint8_t *uuid; /* 16 bytes; NULL, as everybody but the golden images should: random */
};

/* Make an empty volume on an empty disk.  -ENOTEMPTY when there is a volume already. */
int volume_format(struct disk *disk, const struct volume_format_options *options,
		  struct problem *why);

struct volume_options {
	/* The volume's own thread: checkpoints, folds, flushes.  Without: call volume_maintain().
	 */
	bool background;
	/* The disk's space that history must leave free, in bytes; 0: 5 % but at least 4 segments.
	 */
	uint64_t bytes_reserved;
	uint64_t checkpoint_records;      /* change records between checkpoints; 0: 200,000 */
	bool repack;                      /* with a thread of its own: see volume_repack() */
	uint64_t repack_bytes_per_second; /* limit on that; 0: 32 MiB/s */
	/*
	 * The machine has better things to do: what need not be repacked yet waits, that is until
	 * an eighth of the window is over, or what is not packed takes a quarter of its room. Asked
	 * at each step, by the thread that repacks.  NULL: never.
	 */
	bool (*busy)(void);
	uint64_t fold_bytes_per_second; /* limit on folding when the disk is not short; 0: 64 MiB/s
					 */
	bool hold;                      /* from the beginning: see volume_hold() */
	bool bulk_cached;               /* as in tape.h */
	bool fleeting; /* nobody needs it once it is closed: nothing is made durable */
	bool thin;     /* a clone stays attached: see volume_detach() */
	uint64_t detach_bytes_per_second; /* limit on detaching in the background; 0: 32 MiB/s */
	bool accept_loss;            /* open although acknowledged changes are lost: see tape.h */
	bool read_only;              /* change nothing on the disk; changes return -EROFS */
	int64_t (*clock)(void *arg); /* as in tape.h */
	void *clock_arg;
};

/*
 * Open the volume on `disk` (borrowed), taking disk_lock(); recovery included.  -EBUSY when another
 * process has it, -EBADMSG when something acknowledged is damaged (with place and loss in `why`).
 */
int volume_open(struct disk *disk, const struct volume_options *options, struct volume **ret,
		struct problem *why);

/* Sync, write a checkpoint (unless `fleeting`), and free.  All views must be closed.  NULL is fine.
 */
void volume_close(struct volume *volume);
DEFINE_CLEANUP(struct volume *, volume, volume_close)

/* --- Looking ---------------------------------------------------------------------------------- */

struct volume_attr {
	uint64_t ino;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes, estimated from the size */
	mode_t mode;     /* type and permissions */
	uint32_t nlink;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	struct timespec atime, mtime, ctime;
};

/* The head, as a view: it shows what is newest, and is never closed. */
struct view *volume_head(struct volume *volume);

int view_getattr(struct view *view, uint64_t ino, struct volume_attr *ret);
/* "." and ".." work.  -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
int view_lookup(struct view *view, uint64_t parent, const char *name, struct volume_attr *ret);
/* NUL-terminated. */
int view_readlink(struct view *view, uint64_t ino, char target[VOLUME_LINK_MAX + 1]);
/* Bytes read: fewer than asked at the end of the file. */
ssize_t view_read(struct view *view, uint64_t ino, uint64_t offset, void *buf, size_t size);
/* SEEK_DATA and SEEK_HOLE only. */
int64_t view_seek(struct view *view, uint64_t ino, uint64_t offset, int whence);

struct volume_entry {
	const char *name; /* borrowed for the length of the callback */
	uint64_t ino;
	mode_t type;     /* S_IFMT bits */
	uint64_t cookie; /* where to go on after this entry; never changes while the entry exists */
};

/*
 * Entries after `cookie` (0: from the start), "." and ".." first, in an order that other changes of
 * the directory do not disturb, until `fn` returns non-zero.  `fn` must not call back into the
 * volume. Returns 0 also when `fn` stopped it.
 */
int view_readdir(struct view *view, uint64_t ino, uint64_t cookie,
		 int (*fn)(const struct volume_entry *entry, void *arg), void *arg);

/* Size of the value; with `size` 0 nothing is copied.  -ENODATA, -ERANGE. */
ssize_t view_getxattr(struct view *view, uint64_t ino, const char *name, void *buf, size_t size);
/* Names, each with its NUL; as listxattr(2). */
ssize_t view_listxattr(struct view *view, uint64_t ino, char *buf, size_t size);

struct volume_space {
	uint64_t bytes_total, bytes_free; /* what the database may use: history counts as free */
	uint64_t inodes;
};
int view_space(struct view *view, struct volume_space *ret);

/* Every inode number of the view's tree, in no order; for those who must visit them all. */
int view_for_each_inode(struct view *view, int (*fn)(uint64_t ino, mode_t mode, void *arg),
			void *arg);

/* --- Changing (always the head) ------------------------------------------------------------------
 */

struct volume_new {
	mode_t mode; /* type and permissions, umask applied */
	uid_t uid;
	gid_t gid;          /* ignored where the parent is set-group-id */
	dev_t rdev;         /* of a device */
	const char *target; /* of a symbolic link */
};

/* Files, directories, symbolic links, devices, pipes, sockets.  -EEXIST, -ENOENT, -ENOTDIR,
 * -EMLINK. */
int volume_create(struct volume *volume, uint64_t parent, const char *name,
		  const struct volume_new *new, struct volume_attr *ret);
int volume_link(struct volume *volume, uint64_t ino, uint64_t parent, const char *name,
		struct volume_attr *ret);
int volume_unlink(struct volume *volume, uint64_t parent, const char *name);
int volume_rmdir(struct volume *volume, uint64_t parent, const char *name);
/* `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE. */
int volume_rename(struct volume *volume, uint64_t parent, const char *name, uint64_t new_parent,
		  const char *new_name, unsigned flags);

enum volume_set {
	VOLUME_SET_MODE = 1,
	VOLUME_SET_UID = 2,
	VOLUME_SET_GID = 4,
	VOLUME_SET_SIZE = 8,
	VOLUME_SET_ATIME = 16,
	VOLUME_SET_MTIME = 32,
	VOLUME_SET_CTIME = 64,
	VOLUME_SET_ATIME_NOW = 128,
	VOLUME_SET_MTIME_NOW = 256,
	VOLUME_DROP_SUID = 512, /* clear set-user-id, and set-group-id where group may execute */
};

struct volume_change {
	unsigned set; /* enum volume_set */
	mode_t mode;  /* permissions only */
	uid_t uid;
	gid_t gid;
	uint64_t size;
	struct timespec atime, mtime, ctime;
};
int volume_setattr(struct volume *volume, uint64_t ino, const struct volume_change *change,
		   struct volume_attr *ret);

/*
 * At most VOLUME_WRITE_MAX bytes; they appear whole, at one moment, or not at all.  `drop_suid` as
 * VOLUME_DROP_SUID.  -EFBIG, -ENOSPC.
 */
int volume_write(struct volume *volume, uint64_t ino, uint64_t offset, const struct iovec *iov,
		 int iov_count, bool drop_suid);
/* `mode`: fallocate(2)'s 0, FALLOC_FL_KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE [| KEEP_SIZE];
 * else -EOPNOTSUPP. */
int volume_fallocate(struct volume *volume, uint64_t ino, int mode, uint64_t offset, uint64_t size);
/* `flags`: XATTR_CREATE, XATTR_REPLACE. */
int volume_setxattr(struct volume *volume, uint64_t ino, const char *name, const void *value,
		    size_t size, int flags);
int volume_removexattr(struct volume *volume, uint64_t ino, const char *name);

/* Everything that was changed before this call is durable when it returns. */
int volume_sync(struct volume *volume);

/*
 * Somebody outside (the kernel) knows the inode `count` times more or less.  A file without a name
 * lives on, unseen, while it is known: unlink of an open file.  After a crash, or in a view, it is
 * gone.
 */
void volume_ref(struct volume *volume, uint64_t ino, uint64_t count);
void volume_unref(struct volume *volume, uint64_t ino, uint64_t count);

/* --- Moments ---------------------------------------------------------------------------------- */

struct moment {
	uint64_t lsn;
	int64_t time_us;
};

/* The newest moment, and the oldest reachable one: the window ago, or longer while pinned. */
void volume_now(struct volume *volume, struct moment *ret);
void volume_horizon(struct volume *volume, struct moment *ret);

/*
 * The moment that holds everything up to and including `time_us` (ret->time_us is the time of the
 * last change in it).  -ERANGE: before the horizon (`why` says the earliest) or in the future.
 */
int volume_moment_at_time(struct volume *volume, int64_t time_us, struct moment *ret,
			  struct problem *why);
int volume_moment_at_lsn(struct volume *volume, uint64_t lsn, struct moment *ret,
			 struct problem *why);

struct volume_mark {
	const char *name; /* borrowed for the length of the callback */
	struct moment moment;
	bool reachable; /* not before the horizon */
};
/*
 * Name the newest moment.  -EEXIST when a reachable moment has that name, -EINVAL for an empty
 * name, one too long, or one with control characters.  Marks survive backtracks.  Durable on
 * return.
 */
int volume_mark(struct volume *volume, const char *name, struct moment *ret, struct problem *why);
/* -ENOENT (`why` lists those that there are), -ERANGE when it fell off the horizon. */
int volume_find_mark(struct volume *volume, const char *name, struct moment *ret,
		     struct problem *why);
int volume_for_each_mark(struct volume *volume,
			 int (*fn)(const struct volume_mark *mark, void *arg), void *arg);

struct volume_plan {
	struct moment from, to;  /* now, and the moment that would be the head */
	uint64_t records;        /* change records on the tape between the two */
	uint64_t bytes;          /* and their data */
	uint64_t replay_records; /* record headers to be read to get there */
};
int volume_plan_backtrack(struct volume *volume, const struct moment *to, struct volume_plan *ret,
			  struct problem *why);

struct volume_backtrack {
	uint64_t number;                      /* 1, 2, ... */
	struct moment at;                     /* when: the place of the record itself */
	int64_t asked_time_us;                /* what was asked for; 0 when it was not a time */
	struct moment from;                   /* the head before */
	struct moment reached;                /* the head after */
	uint64_t records;                     /* change records between the two */
	int64_t kill_us, rewind_us, start_us; /* durations; 0 until volume_backtrack_took() */
	bool finished;
};

struct volume_backtrack_options {
	int64_t asked_time_us;
	/*
	 * Called now and then with record headers applied and in all; returning false stops the
	 * work before anything has changed (-ECANCELED).  May be NULL.
	 */
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	/* Called under the volume's lock at the instant of the switch, when every later operation
	 * will see the new head. */
	void (*switched)(void *arg);
	void *arg;
};

/*
 * Make `to` the head.  Durable on return.  Open inodes that the new head does not have answer
 * -ESTALE. Cached copies outside (the kernel's) are the caller's to invalidate: see mount.h.
 */
int volume_backtrack(struct volume *volume, const struct moment *to,
		     const struct volume_backtrack_options *options, struct volume_backtrack *ret,
		     struct problem *why);
/* Record how long the steps of backtrack `number` took. */
int volume_backtrack_took(struct volume *volume, uint64_t number, int64_t kill_us,
			  int64_t rewind_us, int64_t start_us);
/* Oldest first. */
int volume_for_each_backtrack(struct volume *volume,
			      int (*fn)(const struct volume_backtrack *backtrack, void *arg),
			      void *arg);

/*
 * A read-only look at a moment; it pins the horizon until closed.  The caller closes it before the
 * volume.
 */
int volume_view(struct volume *volume, const struct moment *at, struct view **ret,
		struct problem *why);
void view_close(struct view *view);
DEFINE_CLEANUP(struct view *, view, view_close)

/* --- Clones -----------------------------------------------------------------------------------
 *
 * A clone is a volume of its own, made within a moment whatever the size: what of the parent's
 * files will not change any more gets a second name, and nothing but the last segment of the tape
 * is copied. It has the parent's whole past, to any moment of which it can be put back.  Neither
 * ever sees what the other writes from then on.
 *
 * The base is what changes in place, in a fold.  So a clone is *attached* until it has files of its
 * own there: it does not fold, and detaches in the background.  A fold of the parent is right at
 * any time too, but has to copy what it shares first: whoever makes clones holds the parent's base
 * (volume_hold()) as long as they are attached.
 */

struct volume_clone_options {
	/* Nobody needs it after a crash: nothing is made durable, and its window has no end. */
	bool fleeting;
};

/*
 * Make a clone of the volume, as it is now, on the empty disk `to` (borrowed, as of disk_link()).
 * *ret is the last moment that is in it.  -ENOTEMPTY when there is a volume on `to`, -EXDEV when it
 * is on another filesystem, or a disk's -errno; then, and after a crash, what is there is no volume
 * and the caller's to remove.
 */
int volume_clone(struct volume *volume, struct disk *to, const struct volume_clone_options *options,
		 struct moment *ret, struct problem *why);

/*
 * Call `fn` for the stretches of the file that may not be the same in the heads of two clones of
 * one volume, in order; all else is, byte for byte.  What is on the tape before `shared` (bytes; of
 * the moments that volume_clone() gave the earlier one) is the same record in both.  Looks at what
 * is where, and reads no data.  Nothing changes the two meanwhile, or this file of them; `fn` must
 * not call back into them.  0, what `fn` returned if that was not 0, -ESTALE when one of them has
 * not this inode, -EINVAL when it is no file.
 */
int volume_differ(struct volume *a, struct volume *b, uint64_t shared, uint64_t ino,
		  int (*fn)(uint64_t offset, uint64_t size, void *arg), void *arg);

/*
 * While it is held, as often as it is released, the base stays as it is, and the horizon: no fold,
 * and no history given up, also on a full disk.
 */
void volume_hold(struct volume *volume);
void volume_release(struct volume *volume);

/*
 * A clone's base becomes its own.  A volume with a thread does it by itself, unless it is `thin`.
 * 0, also when there is nothing to do; -EBUSY while the thread is at it; -ECANCELED when `progress`
 * (may be NULL; bytes copied, bytes in all) said so; or the disk's -errno.  What was done stays
 * done.
 */
int volume_detach(struct volume *volume, bool (*progress)(uint64_t done, uint64_t total, void *arg),
		  void *arg, struct problem *why);

/*
 * How the thread goes about it from now on: not at all (`thin`), or at `bytes_per_second`, 0: 32
 * MiB/s.  -ERANGE below VOLUME_DETACH_RATE_MIN.
 */
#define VOLUME_DETACH_RATE_MIN (64 * 1024)
int volume_set_detaching(struct volume *volume, bool thin, uint64_t bytes_per_second);

/*
 * Look again how much of its base other volumes have too (volume_stats.shared_bytes); not while a
 * fold or the like is under way: then it stays as it was measured last.
 */
void volume_measure_shared(struct volume *volume);

/* The volume on `disk`, which need not be open: is it an attached clone?  1, 0, -ENOENT when there
 * is no volume, or -errno. */
int volume_is_attached(struct disk *disk);

struct volume_step {
	int64_t time_us; /* start of the step */
	uint64_t records, bytes;
};
/* Change records per step of `step_us` from `since_us` to `until_us`, empty steps included; at most
 * 100,000 steps (-E2BIG). */
int volume_history(struct volume *volume, int64_t since_us, int64_t until_us, int64_t step_us,
		   int (*fn)(const struct volume_step *step, void *arg), void *arg);

/* --- Window, space, health
 * ------------------------------------------------------------------------ */

/* Longer, shorter, or 0 for off; kept in the volume. */
int volume_set_window(struct volume *volume, int64_t window_us);
/*
 * Bytes of tape beyond which the oldest history gives way, whatever the window; 0: no limit but the
 * disk.  -ERANGE below what the tape needs to work at all (volume_history_min()).
 */
int volume_set_history_max(struct volume *volume, uint64_t bytes);
uint64_t volume_history_min(struct volume *volume);

struct volume_stats {
	int64_t window_target_us, window_actual_us;
	struct moment now, horizon;
	uint64_t records_stored;   /* on the tape, reachable or about to be folded */
	double records_per_second; /* over the last minute */
	uint64_t tape_bytes, base_bytes, checkpoint_bytes; /* space taken on the disk */
	uint64_t packed_bytes, packed_from_bytes; /* of the tape's: repacked, and what that took
						     before */
	double tape_bytes_per_hour,
		base_bytes_per_hour; /* growth over the last hour, or since opening */
	/* Of the history: what it takes, what it may take (0: no limit), per hour of what is there
	 * (0: too little to tell), and what the target window will take at that rate. */
	uint64_t history_bytes, history_max_bytes;
	double history_bytes_per_hour, history_bytes_needed;
	uint64_t extents, inodes, memory_bytes; /* of the head */
	uint64_t folds, checkpoints, pins;
	bool attached;             /* a clone that has not detached yet */
	uint64_t shared_bytes;     /* of the base, in files that other volumes have too */
	uint64_t replayed_records; /* when it was opened */
	bool folding, space_short; /* history is giving way to the live database */
	int broken;                /* the errno that stopped the tape, or 0 */
	char last_error[512];      /* the newest error or warning of background work, or "" */
	int64_t last_error_time_us;
};
void volume_get_stats(struct volume *volume, struct volume_stats *ret);

/*
 * One round of background work: prepare a segment, flush, write a checkpoint if one is due, move
 * the horizon and fold one step.  Returns 1 when there is more to do, 0 when not, or -errno.
 */
int volume_maintain(struct volume *volume);

/*
 * Keep history in less space: tape that is complete and durable is packed (see tape_pack()).  Every
 * moment stays reachable; reading old versions costs a little more.  What would not get a quarter
 * smaller, and what is damaged, stays as it is.
 */
struct volume_repack_options {
	/* Called now and then with bytes done and in all; returning false stops the work
	 * (-ECANCELED); what is packed until then stays so.  May be NULL. */
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
};
struct volume_repacked {
	uint64_t segments, bytes_before, bytes_after;
	uint64_t left; /* segments that stayed as they were */
};
/* All that there is, after what the volume's own thread, which hurries then, or somebody else is
 * at. -ENOSPC when the disk is short, -ECANCELED, or the disk's -errno; *ret says how far it got.
 */
int volume_repack(struct volume *volume, const struct volume_repack_options *options,
		  struct volume_repacked *ret, struct problem *why);

/* Write a checkpoint now (tests, shutdown). */
int volume_checkpoint(struct volume *volume);

/*
 * Every checksum and every invariant of what is on `disk`: superblock, tape, indexes, checkpoints,
 * base. `volume` is the open volume on it, or NULL when it is not open (or cannot be opened).  See
 * tape_verify() for the callbacks.
 */
struct volume_verify_options {
	void (*report)(const char *line, void *arg);
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
};
int volume_verify(struct disk *disk, struct volume *volume,
		  const struct volume_verify_options *options);
