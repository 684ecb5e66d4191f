/*
 * Record: the bytes of one record, made and checked.  No I/O, no state: also what the fuzzer feeds.
 */
#pragma once

#include "tape/format.h"
#include "tape/tape.h"

/* The part of a record before its data, at most. */
#define RECORD_HEAD_MAX \
	(sizeof(struct tape_record_header) + TAPE_META_MAX + 4 * (TAPE_DATA_MAX / TAPE_CHECK_BLOCK))
#define RECORD_SIZE_MAX (RECORD_HEAD_MAX + TAPE_DATA_MAX)
/* Room at each segment's end that only a closing record may use, so that there always is some. */
#define RECORD_CLOSE_SIZE sizeof(struct tape_record_header)
#define RECORD_SEGMENT_SIZE (sizeof(struct tape_record_header) + sizeof(struct tape_segment_meta))

/* A header in the machine's own terms. */
struct record {
	uint64_t lsn;
	int64_t time_us;
	uint64_t durable;
	uint32_t meta_size, data_size, epoch;
	uint16_t type;
};

static inline uint32_t record_blocks(uint32_t data_size)
{
	return ALIGN_UP(data_size, TAPE_CHECK_BLOCK) / TAPE_CHECK_BLOCK;
}
static inline uint32_t record_table_offset(uint32_t meta_size)
{
	return sizeof(struct tape_record_header) + ALIGN_UP(meta_size, 4u);
}
/* Bytes before the data. */
static inline uint32_t record_head_size(uint32_t meta_size, uint32_t data_size)
{
	return record_table_offset(meta_size) + 4 * record_blocks(data_size);
}
/* All bytes, padding included. */
static inline uint32_t record_size(uint32_t meta_size, uint32_t data_size)
{
	return ALIGN_UP(record_head_size(meta_size, data_size) + data_size, (uint32_t)TAPE_ALIGN);
}
static inline bool record_is_own(const struct record *record)
{
	return record->type >= TAPE_TYPE_OWN;
}

/* What all checksums of a volume continue. */
uint32_t record_seed(const uint8_t uuid[16]);

/* The checksums of the data, one per block, into `table`. */
void record_sum_data(const struct iovec *data, int count, le32 *table);

/* The bytes of a header; `meta` and `table` only go into the checksum. */
void record_encode(const struct record *record, const void *meta, const le32 *table, uint32_t seed,
		   struct tape_record_header *ret);

/* What the header says, believed or not. */
void record_decode(const struct tape_record_header *header, struct record *ret);

/*
 * Could this be the header of a record at `lsn` of at most `size_max` bytes?  Looks at the 48 bytes
 * only.
 */
bool record_plausible(const struct record *record, uint64_t lsn, uint64_t size_max);

/* The head (record_head_size() bytes) is what its checksum says. */
bool record_head_ok(const void *head, const struct record *record, uint32_t seed);

/*
 * `size` bytes of the data, at `data`, from block `first` on, are what the table in `head` says.
 * Whole blocks, but for the record's last one.
 */
bool record_blocks_ok(const void *head, const struct record *record, uint32_t first,
		      const void *data, size_t size);

/* All of the data, at `data`, is what the table in `head` says. */
bool record_data_ok(const void *head, const struct record *record, const void *data);

/* What a caller of the tape sees of it. */
void record_show(const struct record *record, struct tape_record *ret);
