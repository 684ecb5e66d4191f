#include "tape/record.h"
#include "base/crc32c.h"

uint32_t record_seed(const uint8_t uuid[16])
{
	return crc32c(0, uuid, 16);
}

/* Blocks that are summed at once. */
#define SUMS_AT_ONCE 32

/* At most SUMS_AT_ONCE whole blocks; returns the bytes that are done. */
static size_t sum_whole_blocks(const uint8_t *at, size_t size, le32 *table)
{
	size_t count = MIN(size / TAPE_CHECK_BLOCK, (size_t)SUMS_AT_ONCE);
	uint32_t sums[SUMS_AT_ONCE];

	crc32c_blocks(at, count * TAPE_CHECK_BLOCK, TAPE_CHECK_BLOCK, sums);
	for (size_t i = 0; i < count; i++)
		table[i] = to_le32(sums[i]);
	return count * TAPE_CHECK_BLOCK;
}

void record_sum_data(const struct iovec *data, int count, le32 *table)
{
	uint32_t crc = 0;
	size_t filled = 0;

	for (int i = 0; i < count; i++) {
		const uint8_t *at = data[i].iov_base;
		size_t left = data[i].iov_len;

		while (left > 0) {
			if (filled == 0 && left >= TAPE_CHECK_BLOCK) {
				size_t done = sum_whole_blocks(at, left, table);

				table += done / TAPE_CHECK_BLOCK;
				at += done;
				left -= done;
				continue;
			}
			size_t n = MIN(left, TAPE_CHECK_BLOCK - filled);

			crc = crc32c(crc, at, n);
			at += n;
			left -= n;
			filled += n;
			if (filled == TAPE_CHECK_BLOCK) {
				*table++ = to_le32(crc);
				crc = 0;
				filled = 0;
			}
		}
	}
	if (filled > 0)
		*table = to_le32(crc);
}

void record_encode(const struct record *record, const void *meta, const le32 *table, uint32_t seed,
		   struct tape_record_header *ret)
{
	static const uint8_t zeros[4];
	uint32_t crc;

	*ret = (struct tape_record_header){
		.type = to_le16(record->type),
		.lsn = to_le64(record->lsn),
		.time_us = to_le64(record->time_us),
		.durable = to_le64(record->durable),
		.meta_size = to_le32(record->meta_size),
		.data_size = to_le32(record->data_size),
		.epoch = to_le32(record->epoch),
	};
	crc = crc32c(seed, (uint8_t *)ret + sizeof ret->crc, sizeof *ret - sizeof ret->crc);
	crc = crc32c(crc, meta, record->meta_size);
	crc = crc32c(crc, zeros, ALIGN_UP(record->meta_size, 4u) - record->meta_size);
	crc = crc32c(crc, table, 4 * record_blocks(record->data_size));
	ret->crc = to_le32(crc);
}

void record_decode(const struct tape_record_header *header, struct record *ret)
{
	*ret = (struct record){
		.lsn = from_le64(header->lsn),
		.time_us = from_le64(header->time_us),
		.durable = from_le64(header->durable),
		.meta_size = from_le32(header->meta_size),
		.data_size = from_le32(header->data_size),
		.epoch = from_le32(header->epoch),
		.type = from_le16(header->type),
	};
}

bool record_plausible(const struct record *record, uint64_t lsn, uint64_t size_max)
{
	return record->lsn == lsn && record->type != 0 && record->epoch != 0 &&
	       record->durable <= lsn && record->meta_size <= TAPE_META_MAX &&
	       record->data_size <= TAPE_DATA_MAX &&
	       record_size(record->meta_size, record->data_size) <= size_max;
}

bool record_head_ok(const void *head, const struct record *record, uint32_t seed)
{
	const struct tape_record_header *header = head;
	size_t size = record_head_size(record->meta_size, record->data_size);

	return from_le16(header->flags) == 0 && from_le32(header->reserved) == 0 &&
	       crc32c(seed, (const uint8_t *)head + sizeof header->crc,
		      size - sizeof header->crc) == from_le32(header->crc);
}

bool record_blocks_ok(const void *head, const struct record *record, uint32_t first,
		      const void *data, size_t size)
{
	const le32 *table =
		(const le32 *)((const uint8_t *)head + record_table_offset(record->meta_size)) +
		first;
	const uint8_t *at = data;

	while (size > 0) {
		size_t n = MIN(size, (size_t)SUMS_AT_ONCE * TAPE_CHECK_BLOCK);
		uint32_t sums[SUMS_AT_ONCE], differ = 0;

		crc32c_blocks(at, n, TAPE_CHECK_BLOCK, sums);
		for (size_t i = 0; i * TAPE_CHECK_BLOCK < n; i++)
			differ |= sums[i] ^ from_le32(*table++);
		if (differ)
			return false;
		at += n;
		size -= n;
	}
	return true;
}

bool record_data_ok(const void *head, const struct record *record, const void *data)
{
	return record_blocks_ok(head, record, 0, data, record->data_size);
}

void record_show(const struct record *record, struct tape_record *ret)
{
	*ret = (struct tape_record){
		.lsn = record->lsn,
		.end = record->lsn + record_size(record->meta_size, record->data_size),
		.time_us = record->time_us,
		.type = record->type,
		.meta_size = record->meta_size,
		.data_size = record->data_size,
	};
}
