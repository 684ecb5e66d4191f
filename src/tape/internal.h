/*
 * Internal: struct tape, and what the files of this folder ask of each other.
 *
 *	tape.c      append, ring; the thread
 *	flush.c     from the ring to the disk: write, sync, who waits for it
 *	segments.c  the list of segments: begin, seal, drop, find
 *	spares.c    room for the next one: made, held, lent, recycled
 *	recover.c   what tape_open() does with what it finds
 *	read.c      read, scan, find by time
 *	packer.c    put a pack in the place of segments
 *	share.c     the same files for a tape elsewhere
 *	verify.c    tape_verify(), which shares only formats with the rest
 *
 * One lock, `lock`, guards everything that changes.  It is never held during I/O: who does I/O sets
 * a flag (writing, syncing, preparing, sealing), drops the lock, and takes it again.  files.lock is
 *a leaf.
 */
#pragma once

#include "tape/files.h"
#include "tape/index.h"
#include "tape/names.h"
#include "tape/pack.h"
#include "tape/tape.h"

#include <pthread.h>
#include <stdatomic.h>

enum segment_state {
	SEGMENT_ACTIVE, /* records go here */
	SEGMENT_FULL,   /* the next one has begun; perhaps not durable yet, never dropped */
	SEGMENT_SEALED, /* durable, and (but for a failure) its index file written */
};

struct segment {
	struct summary summary;
	enum segment_state state;
	struct index *index;    /* NULL: in the file */
	struct disk_file *file; /* for writing, of an active or full one */
	uint64_t blank_from;    /* from here on its room was taken but never written */
	struct pack *pack;      /* of a sealed one: it is in there, and has no file of its own */
};

enum spare_state {
	SPARE_NONE,
	SPARE_BUSY, /* somebody is at work on its file */
	SPARE_READY,
	SPARE_LENT /* some of its room was given away: good for giving away the rest */
};

struct spare {
	enum spare_state state;
	bool blank; /* its room was taken but perhaps never written */
	bool empty; /* all of its room was given away */
};

struct tape {
	/* Fixed. */
	struct disk *disk;
	struct tape_options options;
	uint32_t seed;
	uint32_t epoch; /* of this opening */
	uint64_t record_size_max;

	pthread_mutex_t lock;   /* guards all that follows */
	pthread_cond_t changed; /* a preparation or a sealing has ended, or the tape is broken */
	int broken;

	struct segment **segments; /* by LSN */
	size_t segment_count, segment_room;
	struct segment *active; /* NULL: the next record begins a segment */
	uint64_t next_lsn;      /* the segment after the active one */
	struct disk_file *next; /* prepared for it, or NULL */
	bool next_blank;        /* its room was taken but never written */
	bool hurried;           /* the one before was filled in no time */
	struct spare spares[TAPE_SPARES];
	bool preparing, sealing;
	bool writing, syncing; /* a stage of flush.c is being worked */
	struct flush_waiter *flush_waiters;
	/* Bytes that may be appended as growth before the disk is looked at again. */
	_Atomic int64_t growth_left;

	uint64_t end;     /* after the last record */
	uint64_t written; /* <= end; handed to the disk, to be made durable by a sync */
	uint64_t durable; /* <= written */
	uint64_t proven;  /* what records may say was durable: never past the last durable record's
			     end */
	bool started;     /* this opening has put a record */
	int64_t last_time_us;

	/*
	 * The byte at `lsn` is in ring[lsn % ring_bytes], for lsn in [ring_from, end).  What lies
	 * from written's block on is yet to be written, and is not overwritten.
	 */
	uint8_t *ring;
	uint64_t ring_from;
	uint8_t *bounce; /* of the one who is writing */

	/*
	 * A pack is being written in the place of the segments in [pack_from, pack_to); `pack_stop`
	 * asks it to give up.  Who reads files of segments is counted in one of the `readers`, by
	 * turns, so that the packer can wait for those who came before it.
	 */
	bool packing, pack_stop;
	int pack_broken; /* no more packs: what the disk has is not known for certain */
	uint64_t pack_from, pack_to;
	atomic_uint_fast64_t pack_debt; /* see tape_debt(); written with the lock held */
	atomic_uint_fast64_t owed;      /* see tape_owe() */
	unsigned readers[2], turn;

	/*
	 * While a tape elsewhere gets further names for our files (`sharing`), none becomes a
	 * spare; who begins with that waits for those who are at it (`discarding`).
	 */
	unsigned sharing, discarding;

	struct tape_stats stats;
	struct files files, pack_files;
	struct unpacked unpacked;

	pthread_t thread;
	pthread_cond_t work; /* for the thread; its clock is the monotonic one */
	bool threaded, stop, prepare_wanted;
};

static inline uint64_t tape_ring_at(const struct tape *tape, uint64_t lsn)
{
	return lsn & (tape->options.ring_bytes - 1);
}

/* --- flush.c ------------------------------------------------------------------------------ */

enum flush_stage { FLUSH_WRITTEN, FLUSH_DURABLE };

/* At most so much is copied out of the ring to be written. */
#define TAPE_BOUNCE_BYTES (256 * 1024)

/*
 * Bring everything before `upto` (at most tape->end) so far, or wait until others have.  0, or the
 * error that broke the tape.  Lock held, dropped meanwhile.
 */
int flush_upto(struct tape *tape, uint64_t upto, enum flush_stage stage);

/*
 * Write some of the zeros that were left out when the active segment was made in a hurry: see
 * spares_prepare().  False when there is nothing of that to do, or somebody is writing.  Lock held,
 * dropped meanwhile.
 */
bool flush_fill(struct tape *tape);

/* --- segments.c: all with the lock held --------------------------------------------------- */

/* The segment that `lsn` lies in, or NULL. */
struct segment *segments_find(struct tape *tape, uint64_t lsn);
/* The first one whose bytes do not all lie before `lsn`, or NULL. */
struct segment *segments_at_or_after(struct tape *tape, uint64_t lsn);
/* The caller's; behind all others. */
void segments_add(struct tape *tape, struct segment *segment);
struct segment *segment_new(uint64_t lsn);
void segment_free(struct segment *segment);
/* Account for a record. */
void segment_count_record(struct segment *segment, const struct record *record, uint64_t end);

/* Write the indexes of the full segments that are durable.  Drops the lock meanwhile. */
void segments_seal(struct tape *tape);
/* There is one to seal. */
bool segments_unsealed(struct tape *tape);
/* Remove the files of one that is off the list, or make it a spare.  Lock not held. */
int segments_discard(struct tape *tape, uint64_t lsn);

/* --- packer.c ----------------------------------------------------------------------------- */

/* Lock held. */
struct pack *packs_ref(struct pack *pack);
/* Lock not held. */
void packs_unref(struct tape *tape, struct pack *pack);
/* For pack_read() and pack_scan(). */
struct pack_reader packs_reader(struct tape *tape, const struct pack *pack);
/* A segment of the pack has been dropped: the last one takes the file along.  Lock not held. */
int packs_drop(struct tape *tape, struct pack *pack, bool last);
/* Who reads files of segments.  Lock held; returns what to give back. */
unsigned packs_begin_reading(struct tape *tape);
void packs_end_reading(struct tape *tape, unsigned turn);
/* The list of segments has changed, or what is packed of it.  Lock held. */
void packs_count_debt(struct tape *tape);
/* The segment at `lsn` is not being packed, or not any more.  Lock held, dropped meanwhile. */
void packs_leave_alone(struct tape *tape, uint64_t lsn);

/* --- spares.c: with the lock held, unless it says otherwise --------------------------------- */

/*
 * Have `next` ready for a record of this kind, or know why not.  Drops the lock meanwhile; if
 * another is at it, just waits for that.  Returns 0 (look again), or -errno.
 */
int spares_prepare(struct tape *tape, enum tape_room room);
/* Take room for one more spare to hold, if one is missing and there is plenty.  Drops the lock
 * meanwhile. */
void spares_hold(struct tape *tape);
/* Are as many held as are to be? */
bool spares_whole(const struct tape *tape);
/*
 * May something grow?  0: yes, by a little; growth_left says how much.  -ENOSPC: the reserve has
 * begun.  Lock not held.
 */
int spares_allow_growth(struct tape *tape);
/* How many spares are in this state. */
size_t spares_count(const struct tape *tape, enum spare_state state);
/* One in this state, or -1. */
int spares_find(struct tape *tape, enum spare_state state);
/* -ENOSPC unless the reserve is still whole with `bytes` more taken.  Lock not held. */
int spares_room_for(struct tape *tape, uint64_t bytes);

/* --- recover.c ---------------------------------------------------------------------------- */

int tape_recover(struct tape *tape, struct problem *why);

/* --- tape.c ------------------------------------------------------------------------------- */

/*
 * What lies behind the end has been given up: put a record of this opening's epoch there, durably,
 * so that from now on it is stale and proves nothing.  Lock not held.
 */
int tape_put_cut(struct tape *tape);
