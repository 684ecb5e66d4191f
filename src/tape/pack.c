/* The bytes of a pack: made sense of, believing nothing. */
#include "tape/pack.h"
#include "base/alloc.h"
#include "base/crc32c.h"

#include <errno.h>
#include <zstd.h>

#define PACK_MAGIC "UNSPLPAK"
#define PACK_INCOMPAT_KNOWN 0
/* As long as no tape gets; so sums with sizes do not overflow. */
#define PACK_BYTES_LIMIT (UINT64_C(1) << 40)

static uint32_t header_crc(const struct tape_pack_header *header, uint32_t seed)
{
	size_t skip = offsetof(struct tape_pack_header, incompat);

	return crc32c(seed, (const uint8_t *)header + skip, sizeof *header - skip);
}

int pack_parse_header(const struct tape_pack_header *header, uint64_t lsn, uint64_t segment_bytes,
		      uint32_t seed, struct pack *ret)
{
	if (memcmp(header->magic, PACK_MAGIC, 8) != 0 ||
	    from_le32(header->crc) != header_crc(header, seed))
		return -EBADMSG;
	if (from_le32(header->incompat) & ~PACK_INCOMPAT_KNOWN)
		return -EPROTONOSUPPORT;
	*ret = (struct pack){
		.lsn = from_le64(header->lsn),
		.segment_bytes = from_le64(header->segment_bytes),
		.table = from_le64(header->table),
		.segments = from_le32(header->segments),
		.groups = from_le32(header->groups),
		.data_groups = from_le32(header->data_groups),
		.table_crc = from_le32(header->table_crc),
	};
	if (ret->lsn != lsn || ret->segment_bytes != segment_bytes ||
	    from_le64(header->reserved) != 0 || ret->segments < 1 ||
	    ret->segments > PACK_SEGMENTS_MAX || ret->groups > PACK_GROUPS_MAX ||
	    ret->data_groups >= ret->groups || ret->table < sizeof *header ||
	    ret->table > PACK_BYTES_LIMIT)
		return -EBADMSG;
	ret->bytes = ret->table + 2 * pack_table_size(ret) + sizeof *header;
	return 0;
}

void pack_make_header(const struct pack *pack, uint32_t seed, struct tape_pack_header *ret)
{
	*ret = (struct tape_pack_header){
		.magic = PACK_MAGIC,
		.lsn = to_le64(pack->lsn),
		.segment_bytes = to_le64(pack->segment_bytes),
		.table = to_le64(pack->table),
		.segments = to_le32(pack->segments),
		.groups = to_le32(pack->groups),
		.data_groups = to_le32(pack->data_groups),
		.table_crc = to_le32(pack->table_crc),
	};
	ret->crc = to_le32(header_crc(ret, seed));
}

uint32_t pack_table_crc(const void *table, size_t size, uint32_t seed)
{
	return crc32c(seed, table, size);
}

uint32_t pack_group_crc(uint32_t number, const void *packed, size_t size, uint32_t seed)
{
	le32 bytes = to_le32(number);

	return crc32c(crc32c(seed, &bytes, sizeof bytes), packed, size);
}

void pack_summary(const struct pack *pack, const void *table, uint32_t i, struct summary *ret)
{
	const struct tape_pack_segment *segment = (const struct tape_pack_segment *)table + i;

	*ret = (struct summary){
		.lsn = pack->lsn + i * pack->segment_bytes,
		.end = from_le64(segment->end),
		.records = from_le64(segment->records),
		.data_bytes = from_le64(segment->data_bytes),
		.first_time_us = from_le64(segment->first_time_us),
		.last_time_us = from_le64(segment->last_time_us),
		.last_epoch = from_le32(segment->last_epoch),
	};
}

void pack_group(const struct pack *pack, const void *table, uint32_t number, struct pack_group *ret)
{
	const uint8_t *groups =
		(const uint8_t *)table + pack->segments * sizeof(struct tape_pack_segment);
	const struct tape_pack_group *group = (const struct tape_pack_group *)groups + number;

	*ret = (struct pack_group){
		.offset = from_le64(group->offset),
		.lsn = from_le64(group->lsn),
		.packed = from_le32(group->packed),
		.size = from_le32(group->size),
		.crc = from_le32(group->crc),
		.base = from_le32(group->base),
	};
}

static bool summary_ok(const struct pack *pack, const struct summary *summary)
{
	return summary->end >= summary->lsn && summary->last_epoch &&
	       summary->end - summary->lsn <= pack->segment_bytes;
}

/* A base has no base itself, and comes before; groups of heads come in order and have none. */
static bool group_ok(const struct pack *pack, const void *table, uint32_t number, uint64_t offset,
		     uint64_t lsn)
{
	struct pack_group group, base;

	pack_group(pack, table, number, &group);
	if (group.offset != offset || group.size == 0 || group.size > PACK_GROUP_MAX ||
	    group.packed == 0 || group.packed > group.size)
		return false;
	if (number >= pack->data_groups)
		return group.base == PACK_NONE && group.lsn >= lsn &&
		       group.lsn < pack->lsn + pack->segments * pack->segment_bytes;
	if (group.base == PACK_NONE)
		return group.lsn == 0;
	if (group.lsn != 0 || group.base >= number)
		return false;
	pack_group(pack, table, group.base, &base);
	return base.base == PACK_NONE;
}

int pack_check_table(const struct pack *pack, const void *table)
{
	uint64_t offset = sizeof(struct tape_pack_header), lsn = pack->lsn;
	struct summary summary;
	struct pack_group group;

	for (uint32_t i = 0; i < pack->segments; i++) {
		pack_summary(pack, table, i, &summary);
		if (!summary_ok(pack, &summary))
			return -EBADMSG;
	}
	for (uint32_t i = 0; i < pack->groups; i++) {
		if (!group_ok(pack, table, i, offset, lsn))
			return -EBADMSG;
		pack_group(pack, table, i, &group);
		offset += group.packed;
		if (i >= pack->data_groups)
			lsn = group.lsn + 1;
	}
	pack_group(pack, table, pack->data_groups, &group);
	return offset == pack->table && group.lsn == pack->lsn ? 0 : -EBADMSG;
}

int pack_unpack(const struct pack_group *group, const void *packed, const void *base,
		size_t base_size, void *ret)
{
	ZSTD_DCtx *context;
	size_t size;

	if (group->packed == group->size) {
		memcpy(ret, packed, group->size);
		return 0;
	}
	context = xcheck(ZSTD_createDCtx());
	if (base)
		ZSTD_DCtx_refPrefix(context, base, base_size);
	size = ZSTD_decompressDCtx(context, ret, group->size, packed, group->packed);
	ZSTD_freeDCtx(context);
	return !ZSTD_isError(size) && size == group->size ? 0 : -EBADMSG;
}

int pack_next(struct pack_cursor *cursor, struct pack_entry *ret)
{
	size_t left = cursor->end - cursor->at;
	const struct tape_pack_place *place = (const void *)cursor->at;
	struct record *record = &ret->record;

	if (left == 0)
		return 0;
	if (left < sizeof *place + sizeof(struct tape_record_header))
		return -EBADMSG;
	ret->head = cursor->at + sizeof *place;
	record_decode((const void *)ret->head, record);
	if (record->lsn < cursor->lsn || !record_plausible(record, record->lsn, UINT32_MAX))
		return -EBADMSG;
	ret->head_size = record_head_size(record->meta_size, record->data_size);
	if (left - sizeof *place < ret->head_size)
		return -EBADMSG;
	ret->group = from_le32(place->group);
	ret->offset = from_le32(place->offset);
	cursor->at += sizeof *place + ret->head_size;
	cursor->lsn = record->lsn + record_size(record->meta_size, record->data_size);
	return 1;
}

void pack_show(const struct pack_entry *entry, struct tape_record *ret)
{
	record_show(&entry->record, ret);
	ret->meta = entry->head + sizeof(struct tape_record_header);
}
