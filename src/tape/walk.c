#include "tape/walk.h"

#include <errno.h>

#define SEARCH_BYTES (32 * 1024)

void walk_init(struct walk *walk, struct disk_file *file, uint64_t segment, uint64_t segment_bytes,
	       uint32_t seed)
{
	*walk = (struct walk){
		.at = segment,
		.segment = segment,
		.segment_bytes = segment_bytes,
		.seed = seed,
	};
	window_init(&walk->window, file);
}

void walk_done(struct walk *walk)
{
	window_done(&walk->window);
}

static uint64_t left(const struct walk *walk)
{
	return walk->segment + walk->segment_bytes - walk->at;
}

/* The 48 bytes at `at` may be a header here; 1, 0 or -errno. */
static int look(struct walk *walk, struct record *ret)
{
	const uint8_t *header;
	int r = 0;

	if (left(walk) < sizeof(struct tape_record_header))
		return 0;
	header = window_get(&walk->window, walk->at - walk->segment,
			    sizeof(struct tape_record_header), &r);
	if (!header)
		return r;
	record_decode((const void *)header, ret);
	return record_plausible(ret, walk->at, left(walk)) && ret->epoch >= walk->epoch &&
	       (ret->type == TAPE_TYPE_SEGMENT) == (walk->at == walk->segment);
}

int walk_next(struct walk *walk, struct walk_record *ret)
{
	struct record *record = &ret->record;
	uint32_t size;
	int r;

	r = look(walk, record);
	if (r <= 0)
		return r;
	size = record_size(record->meta_size, record->data_size);
	ret->bytes = window_get(&walk->window, walk->at - walk->segment, size, &r);
	if (!ret->bytes)
		return r;
	if (!record_head_ok(ret->bytes, record, walk->seed))
		return 0;
	ret->data_ok =
		walk->skip_data ||
		record_data_ok(ret->bytes, record,
			       ret->bytes + record_head_size(record->meta_size, record->data_size));
	walk->at += size;
	walk->epoch = record->epoch;
	return 1;
}

/*
 * Move `at` to the next place that holds its own LSN where a header would: all but few can be
 * passed over like that.  1, 0 at the segment's end, or -errno.
 */
static int skip_to_lsn(struct walk *walk)
{
	size_t header = sizeof(struct tape_record_header);
	int r = 0;

	while (left(walk) >= header) {
		size_t n = MIN(left(walk), (uint64_t)SEARCH_BYTES);
		const uint8_t *bytes = window_get(&walk->window, walk->at - walk->segment, n, &r);

		if (!bytes)
			return r;
		for (size_t i = 0; i + header <= n; i += TAPE_ALIGN, walk->at += TAPE_ALIGN) {
			le64 lsn;

			memcpy(&lsn, bytes + i + offsetof(struct tape_record_header, lsn),
			       sizeof lsn);
			if (from_le64(lsn) == walk->at)
				return 1;
		}
	}
	return 0;
}

int walk_search(struct walk *walk, struct walk_record *ret)
{
	uint32_t epoch = walk->epoch;
	int r;

	while ((r = skip_to_lsn(walk)) > 0) {
		uint64_t at = walk->at;

		r = walk_next(walk, ret);
		if (r != 0)
			return r;
		walk->at = at + TAPE_ALIGN;
		walk->epoch = epoch;
	}
	return r;
}

/* A whole record under another volume's seed. */
static bool is_foreign(const uint8_t *bytes, const struct record *record,
		       const struct tape_segment_meta *meta, uint32_t seed)
{
	uint32_t other = record_seed(meta->uuid);

	return other != seed && record_head_ok(bytes, record, other);
}

int walk_peek(struct disk_file *file, uint64_t segment, uint64_t segment_bytes, uint32_t seed,
	      struct walk_start *ret)
{
	uint8_t bytes[RECORD_SEGMENT_SIZE] = {0};
	struct record *record = &ret->record;
	ssize_t n = disk_file_read(file, bytes, sizeof bytes, 0);

	if (n < 0)
		return n;
	record_decode((const void *)bytes, record);
	memcpy(&ret->meta, bytes + sizeof(struct tape_record_header), sizeof ret->meta);
	if (!record_plausible(record, segment, sizeof bytes) || record->type != TAPE_TYPE_SEGMENT ||
	    record_size(record->meta_size, record->data_size) != sizeof bytes)
		return 0;
	if (is_foreign(bytes, record, &ret->meta, seed))
		return -EXDEV;
	if (!record_head_ok(bytes, record, seed))
		return 0;
	if (from_le32(ret->meta.incompat) & ~TAPE_INCOMPAT_KNOWN)
		return -EPROTONOSUPPORT;
	if (from_le64(ret->meta.segment_bytes) != segment_bytes)
		return -EINVAL;
	return 1;
}
