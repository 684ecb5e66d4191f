/*
 * Index: the headers and metas of one segment's records, without the data.
 *
 * In memory it grows at the end, by one writer, while others walk over it without a lock.  In a
 * file ("tape/LSN.idx") it is derived data: whatever is wrong with it, the segment says the same.
 */
#pragma once

#include "tape/record.h"

struct index;

/* What an index file says of its segment in the header. */
struct summary {
	uint64_t lsn, end;
	uint64_t records, data_bytes;
	int64_t first_time_us, last_time_us;
	uint32_t last_epoch;
};

typedef int (*record_fn)(const struct tape_record *record, void *arg);

struct index *index_new(void);
struct index *index_ref(struct index *index);
/* NULL is fine. */
void index_unref(struct index *index);
DEFINE_CLEANUP(struct index *, index, index_unref)

/* The caller sees to it that only one adds. */
void index_add(struct index *index, const struct tape_record_header *header, const void *meta);

/* Call `fn` for each record in [from, to) until it returns non-zero, and return that. */
int index_walk(struct index *index, uint64_t from, uint64_t to, record_fn fn, void *arg);

/*
 * Write the file, one caller at a time.  It gets its name when it is whole and durable; the name is
 * not synced, for a lost index is made again.
 */
int index_write(struct index *index, struct disk *disk, const struct summary *summary,
		uint32_t seed);

/*
 * The header of the index file of the segment at `lsn`.  -ENOENT, -EBADMSG when it is not one, is
 * damaged or is newer than this program.
 */
int index_read_summary(struct disk *disk, uint64_t lsn, uint64_t segment_bytes, uint32_t seed,
		       struct summary *ret);

/*
 * As index_walk(), from the file.  -EBADMSG when damage is met; `*from` is moved past what was
 * handed to `fn`.  What `fn` returns is left in `*ret_fn`.
 */
int index_walk_file(struct disk *disk, const struct summary *summary, uint32_t seed, uint64_t *from,
		    uint64_t to, record_fn fn, void *arg, int *ret_fn);

/* The header at `bytes` (of `size`), for the segment at `lsn`.  0 or -EBADMSG.  No I/O. */
int index_parse_header(const void *bytes, size_t size, uint64_t lsn, uint64_t segment_bytes,
		       uint32_t seed, struct summary *ret);

/*
 * The entries of a chunk; `at` moves along the tape from record to record and must stay below
 * `end`. Returns 1 and the record (its meta borrowed from the chunk), 0 at the end, -EBADMSG.  No
 * I/O.
 */
struct index_cursor {
	const uint8_t *bytes;
	size_t left;
	uint64_t at, end;
};
int index_next(struct index_cursor *cursor, struct tape_record *ret);
