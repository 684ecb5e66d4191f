/*
 * Tape: the endless, append-only, checksummed, time-stamped record of every change to a volume.
 *
 * A position on the tape (LSN) is a byte count.  A record lies at [lsn, lsn + its size); "the state
 * at LSN p" includes the records that begin before p.  The tape is kept in segments of equal size,
 * so that segment and offset follow from the LSN; the unused end of a segment is skipped.
 *
 * Promises (tests/unit/tape_test.c proves each):
 *   - what tape_sync() acknowledged is there after any crash, in order, bit for bit;
 *   - what was not is there as a prefix: never a later record without an earlier one;
 *   - every byte handed out was covered by a checksum that was verified;
 *   - concurrent syncs share one device flush; a failed flush is final: every later append and sync
 *     returns the same error;
 *   - times never run backwards along the tape.
 *
 * docs/format.md has the bytes.  Threads: every function may be called from any thread.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "disk/disk.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct tape;

#define TAPE_META_MAX (128 * 1024)
#define TAPE_DATA_MAX (1024 * 1024)
/* Data is checksummed in blocks of this many bytes, counted from the start of the record's data. */
#define TAPE_CHECK_BLOCK 4096
#define TAPE_SEGMENT_BYTES_DEFAULT (64 * 1024 * 1024)
/* The least that a segment may be: room for the largest record in tests with small records. */
#define TAPE_SEGMENT_BYTES_MIN (64 * 1024)

struct tape_options {
	uint8_t uuid[16]; /* of the volume: seeds the checksums, so that a foreign segment is
			     refused */
	uint64_t
		segment_bytes; /* a multiple of 4096 and of ring_bytes; fixed for the tape's life */
	uint64_t ring_bytes;   /* a power of two >= 64 KiB; 0: MIN(segment_bytes, 16 MiB) */
	/*
	 * With a thread of its own the tape prepares the next segment ahead of need, and flushes
	 * what nobody syncs within a second.  Without (tests): both are done inline and
	 * deterministically.
	 */
	bool background;
	/*
	 * Leave at least this much of the disk free: when the next segment would not, append says
	 * -ENOSPC, to some records later than to others: see enum tape_room.
	 */
	uint64_t bytes_reserved;
	/*
	 * Segments' worth of room, TAPE_SPARES_HELD_MAX at most, that the tape keeps for when the
	 * disk is full: for records that need no more of it, and to be lent (tape_lend()).  Dropped
	 * segments become such spares first; a tape with a thread takes what is missing while there
	 * is plenty of room.
	 */
	unsigned spares_held;
	/*
	 * What is written in bulk goes through the system's page cache, and is found there: for a
	 * caller who has no cache to speak of, and soon reads what he wrote.  What is little, and
	 * waited for, goes past it nevertheless.
	 */
	bool bulk_cached;
	int64_t (*clock)(void *arg); /* microseconds since the epoch; NULL: the real-time clock */
	void *clock_arg;
	/* Open although acknowledged records are damaged or missing: cut the tape before the
	 * damage. */
	bool accept_loss;
	/* Change nothing on the disk, and start no thread; append and sync return -EROFS. */
	bool read_only;
};

/*
 * Open the tape in folder "tape/" of `disk`, starting a new one where there is no segment.
 * `disk` is borrowed and must outlive the tape.  Cuts off a torn tail; makes what it found durable.
 *
 * Returns 0; -EBADMSG when acknowledged records are damaged or missing, with the file, the offset
 * and what is lost in `why`; -EPROTONOSUPPORT for a newer format; or the disk's -errno.
 */
int tape_open(struct disk *disk, const struct tape_options *options, struct tape **ret,
	      struct problem *why);

/* Sync (unless the tape is broken) and free; NULL is fine. */
void tape_close(struct tape *tape);
DEFINE_CLEANUP(struct tape *, tape, tape_close)

#define TAPE_SPARES_HELD_MAX 4

/*
 * What a record means for the room on the disk, and so, how much of it the record may use.  Folding
 * needs room before it gives any, so that what is held is not for writing alone.
 */
enum tape_room {
	TAPE_GROWTH, /* data where there was none: nothing of the reserve, and nothing that is held
		      */
	TAPE_IN_PLACE,    /* data that replaces other: what is held, but for two spares */
	TAPE_LAST_RESORT, /* the same, when waiting for room did not help: but for one */
	TAPE_RELEASE /* no data, perhaps the end of some: all of it, and the last part of the last
			segment */
};

struct tape_record {
	uint64_t lsn;    /* where it begins */
	uint64_t end;    /* where the next one begins at the earliest */
	int64_t time_us; /* since the epoch */
	uint16_t type;   /* the caller's; 1 to 0x7fff.  0x8000 and up are the tape's own, never seen
			    outside */
	uint32_t meta_size;
	uint32_t data_size;
	const uint8_t *meta; /* borrowed for the length of a callback */
};

/*
 * Append one record: `meta` is small and travels in the index, `data` is what is read back by
 * range. On return the record is in order and readable, not yet durable.  The time stamp is the
 * clock's, never less than the last one's.  `*ret` has everything but the meta pointer.
 *
 * Returns 0; -E2BIG past the limits; -ENOSPC when the disk has no room for a record of this kind
 * (nothing has changed; dropping segments helps); or the error that broke the tape.
 */
int tape_append(struct tape *tape, uint16_t type, enum tape_room room, const void *meta,
		size_t meta_size, const struct iovec *data, int data_count,
		struct tape_record *ret);

/*
 * Return when every record that begins before `upto` is durable.  UINT64_MAX: all there is now.
 * Costs nothing when it is already so.
 */
int tape_sync(struct tape *tape, uint64_t upto);

/*
 * Make all there is durable and every full segment sealed, so that it can be dropped.  0, or the
 * error that broke the tape.
 */
int tape_settle(struct tape *tape);

/* The position after the last record (where the next begins at the earliest), and after the last
 * durable one. */
uint64_t tape_end(struct tape *tape);
uint64_t tape_durable(struct tape *tape);
/* Time stamp of the last record, 0 if there is none. */
int64_t tape_last_time(struct tape *tape);
/* The error that broke the tape, or 0. */
int tape_broken(struct tape *tape);

/*
 * Bytes [skip, skip + size) of the data of the record at `lsn`, verified.
 * Returns 0; -EBADMSG when the checksum says no (with the place in `why`); -ENOENT when the segment
 * has been dropped; or the disk's -errno.  After an error `buf` holds nothing to be believed.
 */
int tape_read(struct tape *tape, uint64_t lsn, uint32_t skip, void *buf, size_t size,
	      struct problem *why);

/*
 * Call `fn` for each record that begins in [from, to), in order, skipping segments that have been
 * dropped, until it returns non-zero, and return that.  Reads the compact index of sealed segments,
 * not the data.  Appending meanwhile is fine.
 */
int tape_scan(struct tape *tape, uint64_t from, uint64_t to,
	      int (*fn)(const struct tape_record *record, void *arg), void *arg,
	      struct problem *why);

/*
 * The position up to which all records have a time <= `time_us`: the LSN of the first later record,
 * or tape_end().  Only segments that are there are looked at.
 */
int tape_find_time(struct tape *tape, int64_t time_us, uint64_t *ret, struct problem *why);

struct tape_segment {
	uint64_t lsn;                        /* of its first byte */
	uint64_t end;                        /* after its last record */
	int64_t first_time_us, last_time_us; /* 0 when it has no record */
	uint64_t records;
	uint64_t data_bytes; /* sum of the records' data */
	bool sealed;
	bool packed;
	uint64_t pack;          /* which one: those of one pack have the same number */
	unsigned pack_segments; /* so many of it are there */
	uint64_t pack_bytes;    /* what the pack takes */
};

/* Call `fn` for each segment that is there, in order, until it returns non-zero, and return that.
 */
int tape_segments(struct tape *tape, int (*fn)(const struct tape_segment *segment, void *arg),
		  void *arg);

/* Every segment that a record in [from, to) may lie in is there. */
bool tape_covers(struct tape *tape, uint64_t from, uint64_t to);

/*
 * Drop the sealed segment whose first byte is `lsn`: its file becomes a spare for recycling, or is
 * removed.  The caller sees to it that nobody reads it any more.  -ENOENT, -EBUSY when not sealed.
 */
int tape_drop(struct tape *tape, uint64_t lsn);

/*
 * Give at least `bytes` of what the held spares take back to the disk, for somebody who is about to
 * drop segments and needs room for that: a dropped segment takes the place of what was lent.  One
 * spare is never lent. False when there is not so much to lend.
 */
bool tape_lend(struct tape *tape, uint64_t bytes);
/*
 * Take back what was lent, all of it if need be, as far as the disk has room and dropped segments
 * have not taken its place.
 */
void tape_regain(struct tape *tape);

/* What the data of a record is of: later data of the same object and range resembles it. */
struct tape_place {
	uint64_t object, offset;
	enum tape_place_kind {
		TAPE_PLACE_NEWEST, /* its latest version in the pack: to be read at little cost */
		TAPE_PLACE_OLDER,  /* overwritten by later records of the pack */
		TAPE_PLACE_STREAM, /* of a log, read as it was written: one after the other */
	} kind;
};

struct tape_pack_options {
	void (*place)(const struct tape_record *record, void *arg, struct tape_place *ret);
	/* Called now and then with bytes of data done and in all; false: give up (-ECANCELED). */
	bool (*progress)(uint64_t done, uint64_t total, void *arg); /* may be NULL */
	void *arg;
	int level;            /* zstd's; 0: the default */
	unsigned percent_max; /* of the segments' bytes; 0: 75 */
};

/* So many segments at most go into a pack. */
#define TAPE_PACK_SEGMENTS_MAX 64

/*
 * Put a pack in the place of `count` sealed segments in a row, the first of which begins at `lsn`:
 * the same records, compressed.  All else goes on meanwhile; nothing but the space they take and
 * the time a read takes tells packed segments from others.  Dropping one of them frees nothing;
 * dropping the last frees the pack.
 *
 * Some of the segments may be in packs already, if all that is there of each such pack is among
 * them: the new pack takes its place, so that what they have in common is kept once.
 *
 * Returns 0; -ENOENT, -EBUSY (not sealed, one pack already, part of a pack, or another pack is
 * being written); -EMLINK when a pack among them is another tape's too (see tape_share()): making
 * it anew would take room; -E2BIG when it would not be small enough, or no smaller than the packs
 * it was to replace; -EBADMSG when a record is damaged, with the place in `why` (such segments stay
 * as they are); -ECANCELED, also when one of them is dropped meanwhile; or the disk's -errno.
 */
int tape_pack(struct tape *tape, uint64_t lsn, unsigned count,
	      const struct tape_pack_options *options, struct problem *why);

/*
 * What packed segments took more before, and what is owed.  Whoever folds them may need that much
 * again for what is in them, so this part of the disk's free space is not the tape's to grow into.
 */
uint64_t tape_debt(struct tape *tape);
/* The caller will need so many bytes of the disk for what is on the tape, beyond what its segments
 * give back when they are dropped. */
void tape_owe(struct tape *tape, uint64_t bytes);

/*
 * Give `to` (an empty disk that can share files with the tape's own: disk_link()) the tape as it is
 * now.  Nothing is copied but the segment that records are appended to; appending goes on
 * meanwhile, and what is appended later is not in it.  Opened there it is this tape, up to
 * `*ret_end`, and from then on the two go their own ways: a file that has two names is neither
 * changed nor recycled by either.  `fleeting`: nobody will need it after a crash, so nothing is
 * made durable over there.
 *
 * The caller sees to it that no segment is dropped meanwhile.  -EXDEV when the two disks cannot
 * share files, or a disk's -errno, with `why`.  What was done until then is left.
 */
int tape_share(struct tape *tape, struct disk *to, bool fleeting, uint64_t *ret_end,
	       struct problem *why);

struct tape_stats {
	uint64_t records_appended, bytes_appended; /* since open */
	uint64_t syncs_asked, flushes;             /* syncs asked for, device flushes made */
	uint64_t segments, bytes_on_disk;          /* spares included */
	uint64_t packed_segments, packed_bytes; /* of those: so many segments, in so many bytes */
};
void tape_get_stats(struct tape *tape, struct tape_stats *ret);

/*
 * Read every record of every segment file on `disk` and check headers, data, order, and the indexes
 * against the segments.  Works on a disk whose tape cannot be opened; changes nothing.
 * `durable_to`: beyond this position (of an open tape; 0 when not open) a torn tail is not damage.
 * `report` is called with one line per damage that names file, offset, LSN and what is lost;
 * `progress` (may be NULL) with bytes done and bytes in all, and stops the work with -ECANCELED by
 * returning false. Returns 0 (damage found or not; count the reports), or the error that kept it
 * from looking.
 */
int tape_verify(struct disk *disk, const uint8_t uuid[16], uint64_t segment_bytes,
		uint64_t durable_to, void (*report)(const char *line, void *arg),
		bool (*progress)(uint64_t done, uint64_t total, void *arg), void *arg);
