/*
 * Internal: what the modules of this folder share of a volume.  Nobody outside includes it.
 *
 * Lock order: fold_lock, base_lock, lock, refs_lock, notes_lock; the tape's own come last.
 */
#pragma once

#include "base/buffer.h"
#include "tape/tape.h"
#include "volume/base.h"
#include "volume/image.h"
#include "volume/owed.h"
#include "volume/state.h"
#include "volume/timeline.h"
#include "volume/volume.h"

#include <pthread.h>

/*
 * Segments' worth of room held for a full disk: one is written to while one is folded into the room
 * that another lends.
 */
#define SPARES_HELD 3
/* And those that are in use. */
#define LAST_SEGMENTS 2

struct view {
	struct volume *volume;
	struct state *state; /* of the head: guarded by volume->lock; else never changes */
	struct moment moment;
	struct view *next; /* in volume->views */
};

/* For rates: how things stood at a time. */
struct sample {
	int64_t monotonic_us;
	uint64_t records, tape_bytes, base_bytes;
};
#define SAMPLES 61

struct volume {
	struct disk *disk;
	struct disk *fold_disk; /* the same, to which the tape lends room when it is full */
	struct volume_options options;
	uint8_t uuid[16];
	uint64_t segment_bytes;
	int64_t created_us;
	struct tape *tape;

	/* Held by whoever folds, builds a state from images, or changes the list of views. */
	pthread_mutex_t fold_lock;
	struct state *base_state; /* at base_position, without extents; fold_lock */
	struct checkpoint {
		uint64_t position, bytes;
	} * checkpoints; /* ascending; fold_lock */
	size_t checkpoint_count, checkpoint_room;
	struct view *views; /* fold_lock */
	unsigned holds;     /* see volume_hold(); fold_lock */
	struct moment held; /* the horizon when the first of them began; fold_lock */
	bool attached; /* a clone whose base is not its own yet, and so one of the holds; fold_lock
			*/
	uint64_t step_limit; /* bytes of tape, since a step did not fit on the disk; 0: none */
	int fold_error;      /* base_state cannot be trusted any more: no fold until reopened */

	/* Shared while reading what extents and base say; exclusive to change the base under
	 * readers. */
	pthread_rwlock_t base_lock;
	struct base *base;
	uint64_t base_position; /* an extent recorded before it is in the base */

	/* Exclusive to change. */
	pthread_rwlock_t lock;
	struct view head;
	struct timeline timeline;
	bool last_resort;   /* the change under way has waited for room in vain */
	bool grows;         /* the change under way takes room for good */
	struct owed owed;   /* by what is on the tape */
	struct buffer meta; /* of the record being written: see volume_commit() */
	int append_error;   /* the last one that was told of */
	int64_t window_us;
	uint64_t history_max;      /* bytes of tape; 0: no limit */
	struct moment floor;       /* of the horizon: what is before may be gone */
	struct moment pinned;      /* nor does it pass this: see horizon_pin() */
	uint64_t records, bytes;   /* appended since opening */
	uint64_t replayed_records; /* when opened */

	pthread_mutex_t refs_lock;
	struct map64 refs; /* inode -> how often it is known outside */

	/* The background thread, and who waits for it. */
	pthread_t thread;
	bool thread_runs;
	pthread_mutex_t notes_lock;
	pthread_cond_t wake;       /* the thread has something to do */
	pthread_cond_t round_done; /* a round of maintenance has ended */
	bool stop, room_wanted, folding, space_short;
	uint64_t rounds;
	bool round_gained;   /* the last round dropped a segment */
	bool round_more;     /* it got somewhere, and there is more to do */
	int64_t gave_way_us; /* monotonic; when it was last told that history was given up */
	uint64_t folds, drops, checkpoints_written;
	struct sample seconds[SAMPLES], minutes[SAMPLES]; /* newest at [count % SAMPLES] */
	uint64_t second_count, minute_count;

	pthread_mutex_t super_lock; /* held while the superblock is read, changed and written */

	/* The thread that detaches, and who else is at it. */
	pthread_t detach_thread;
	bool detach_runs;
	bool detaching;             /* notes_lock */
	bool thin;                  /* it waits until it is not; notes_lock */
	uint64_t detach_rate;       /* bytes per second; notes_lock */
	pthread_cond_t detach_wake; /* with notes_lock: it is to stop, or to begin */
	uint64_t shared_bytes;      /* of the base, in files that are not its own; notes_lock */

	/* The thread that repacks. */
	pthread_t repack_thread;
	bool repack_runs;
	pthread_cond_t repack_wake; /* with notes_lock: it is to stop */
	bool repacking;             /* it, or whoever asked, is at it; notes_lock */
	unsigned repack_waiting;    /* who asked, and waits for that; notes_lock */
	pthread_cond_t repack_turn; /* with notes_lock: the turn is free */
	int64_t repack_started_us;  /* its own: monotonic */
	bool repack_early;          /* its own: what it is at could wait */
	uint64_t repacked_to;       /* its own: what is before has been looked at */
	uint64_t base_bytes, checkpoint_bytes, pins; /* for whoever asks while a fold runs */
	char last_error[512];
	int64_t last_error_time_us;
};

/* volume.c */
int64_t volume_clock(struct volume *v);
/* Remember for volume_get_stats(), and log. */
void volume_note_error(struct volume *v, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Record and apply one change that has been checked against the head.  Called with `lock` held
 * exclusively. -ENOSPC and the tape's errors, with nothing changed.
 */
int volume_commit(struct volume *v, const struct change *change, const struct iovec *data,
		  int data_count, struct tape_record *ret);
/*
 * The state at `position`, by the nearest image and replay.  Called with fold_lock.  The caller
 * owns *ret.
 */
int volume_build_state(struct volume *v, uint64_t position,
		       bool (*progress)(uint64_t done, uint64_t total, void *arg), void *arg,
		       struct state **ret, struct problem *why);
/* How many records volume_build_state() would read for `position`.  Called with fold_lock. */
uint64_t volume_replay_length(struct volume *v, uint64_t position);
/* Records that begin in [from, to) of the tape. */
int volume_count_records(struct volume *v, uint64_t from, uint64_t to, uint64_t *ret_records,
			 uint64_t *ret_bytes, struct problem *why);
/* Write the superblock as it is in memory. */
int volume_write_superblock(struct disk *disk, const struct superblock *super);
int volume_read_superblock(struct disk *disk, struct superblock *ret, struct problem *why);
/* Before it is made use of: a program that does not know the feature must not open the volume any
 * more. */
int volume_add_feature(struct volume *v, uint32_t feature);

/* checkpoint.c; all but the name with fold_lock */
void checkpoint_name(uint64_t position, char name[DISK_NAME_MAX]);
/* Find those on the disk. */
int checkpoint_list(struct volume *v);
bool checkpoint_is_due(struct volume *v);
void checkpoint_forget(struct volume *v, size_t index);

/* horizon.c */
/* The list of views, or of holds, has changed.  Called with fold_lock. */
void horizon_pin(struct volume *v);
/*
 * One step towards the horizon; `urgent`: give up history if that is what it takes to make room.
 * Returns 1 when there is more to do.  Called with fold_lock.
 */
int horizon_step(struct volume *v, bool urgent);
/* What the history takes: all segments that are in use. */
uint64_t horizon_history_bytes(struct volume *v);
/* Bytes of tape that a step moves at most. */
uint64_t horizon_step_bytes(struct volume *v, bool urgent);

/* figures.c */
void figures_count_up(struct volume *v, uint64_t *counter, uint64_t by);
/* After a change of the lists of checkpoints or views.  Called with fold_lock. */
void figures_count_pins(struct volume *v);
void figures_note_folding(struct volume *v, bool folding);
/* It opens every file: after a fold, not whenever somebody asks.  Called with fold_lock. */
void figures_measure_base(struct volume *v);
/* At most once a second. */
void figures_take_sample(struct volume *v);

/* moments.c */
/* The horizon now; called with `lock` held. */
void volume_compute_horizon(struct volume *v, struct moment *ret);

/* fold.c */
/*
 * Move the base along `path` (a common part of all lineages, from the base) and publish `horizon`.
 * `careful`: the disk is short; take the room for the blocks before the step is one that must be
 * finished, so that a step that is too large for the disk (-ENOSPC) can be given up.  Called with
 * fold_lock.
 */
int fold_step(struct volume *v, const struct lineage *path, struct moment horizon, bool careful);
/*
 * Take the base as the disk describes it; a fold that was published and then interrupted, by a
 * crash or an error, is finished.  `timeline` (may be NULL) becomes the intent's if that knows
 * more.
 */
int fold_finish(struct volume *v, struct timeline *timeline, struct problem *why);
/* Remove files that no base knows: with no fold under way, after fold_finish(). */
int fold_sweep(struct volume *v, struct problem *why);
/* After a step failed: put things right again.  Called with fold_lock. */
int fold_recover(struct volume *v);
/* Read "base/state" into the volume; *ret_timeline (may be NULL) is the one in it. */
int fold_load_base(struct volume *v, struct timeline *ret_timeline, struct problem *why);

/* clone.c */
/*
 * See to it that the files of the inode in the base are this volume's alone, so that a fold may
 * change them.  1 when that took a copy: sync the names of "base" afterwards.  `go_on` as of
 * base_copy().  Called with fold_lock.
 */
int clone_own_file(struct volume *v, uint64_t ino, bool (*go_on)(uint64_t bytes, void *arg),
		   void *arg);
void clone_start_thread(struct volume *v);
/* `stop` has been set. */
void clone_stop_thread(struct volume *v);

/* repack.c */
void repack_start_thread(struct volume *v);
/* `stop` has been set. */
void repack_stop_thread(struct volume *v);

/* maintain.c */
/* True when a thread of the volume's is to stop, of which `wake` tells; else after `us`. */
bool volume_wait_for_stop(struct volume *v, pthread_cond_t *wake, int64_t us);
int volume_start_thread(struct volume *v);
void volume_stop_thread(struct volume *v);
/* Who waits for room. */
struct room_wish {
	uint64_t at; /* the end of the tape when he first did; 0: not yet */
	bool grows;
};
/*
 * The disk is full: try to get room by giving up history.  True when it is worth trying again, to a
 * change that grows only while there is history from before its wish: segments that go round
 * between writing and folding are no room for it.
 */
bool volume_make_room(struct volume *v, struct room_wish *wish);
/* What history must leave free of the disk, and what is free now. */
uint64_t volume_reserve(struct volume *v);
uint64_t volume_free_bytes(struct volume *v);

/*
 * Run `expr` on the head; if the disk was full, again after making room; and when there was none to
 * make, once more with what is kept for that.
 */
#define CHANGE_HEAD(v, r, expr)                                                \
	do {                                                                   \
		struct room_wish wish = {0};                                   \
		bool gained = true, last_resort;                               \
                                                                               \
		do {                                                           \
			last_resort = !gained;                                 \
			pthread_rwlock_wrlock(&(v)->lock);                     \
			(v)->last_resort = last_resort;                        \
			(v)->grows = false;                                    \
			(r) = (v)->options.read_only ? -EROFS : (expr);        \
			wish.grows = (v)->grows;                               \
			(v)->last_resort = false;                              \
			pthread_rwlock_unlock(&(v)->lock);                     \
			gained = (r) == -ENOSPC && volume_make_room(v, &wish); \
		} while ((r) == -ENOSPC && (gained || !last_resort));          \
	} while (0)
