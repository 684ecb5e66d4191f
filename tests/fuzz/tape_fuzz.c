/*
 * Fuzz: whatever the files of a tape hold, opening, scanning, reading and verifying it stay within
 * bounds, and a tape that was opened can be written on.
 *
 * Input: a byte of flags, two bytes with the size of the index file, the index file, and the start
 * of the segment (zeros follow).  With FIX the checksums are made right first, or no input but a
 * lucky one would get past them.
 */
#include "base/alloc.h"
#include "base/crc32c.h"
#include "disk/disk.h"
#include "tape/record.h"
#include "tape/tape.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum flags { FIX = 1, ACCEPT_LOSS = 2, READ_ONLY = 4 };

static const struct tape_options options = {
	.uuid = "fuzzed tape",
	.segment_bytes = TAPE_SEGMENT_BYTES_MIN,
	.ring_bytes = TAPE_SEGMENT_BYTES_MIN,
};

/* Whatever looks like a record gets the checksum of what it holds. */
static void fix_segment(uint8_t *bytes)
{
	uint32_t seed = record_seed(options.uuid);
	uint64_t at = 0;

	while (at + sizeof(struct tape_record_header) <= options.segment_bytes) {
		struct tape_record_header *header = (void *)(bytes + at);
		struct record record;
		uint32_t head;

		record_decode(header, &record);
		if (!record_plausible(&record, at, options.segment_bytes - at)) {
			at += TAPE_ALIGN;
			continue;
		}
		head = record_head_size(record.meta_size, record.data_size);
		header->crc = to_le32(
			crc32c(seed, bytes + at + sizeof header->crc, head - sizeof header->crc));
		at += record_size(record.meta_size, record.data_size);
	}
}

static void fix_index(uint8_t *bytes, size_t size)
{
	uint32_t seed = record_seed(options.uuid);
	struct tape_index_header *header = (void *)bytes;
	size_t at = sizeof *header;

	if (size < sizeof *header)
		return;
	memcpy(header->magic, "UNSPLIDX", 8);
	header->bytes = to_le64(size - sizeof *header);
	header->crc =
		to_le32(crc32c(seed, &header->incompat,
			       sizeof *header - offsetof(struct tape_index_header, incompat)));
	while (size - at >= sizeof(struct tape_index_chunk)) {
		struct tape_index_chunk *chunk = (void *)(bytes + at);
		size_t n = from_le32(chunk->size);

		if (n > size - at - sizeof *chunk)
			break;
		chunk->crc = to_le32(crc32c(seed, &chunk->size, sizeof chunk->size + n));
		at += sizeof *chunk + n;
	}
}

static void put_file(struct disk *disk, const char *name, const void *data, size_t size)
{
	struct disk_file *file;

	if (disk_open(disk, name, DISK_CREATE, &file) < 0 ||
	    disk_file_write(file, data, size, 0) < 0)
		abort();
	disk_file_close(file);
}

struct scan {
	struct tape *tape;
	uint64_t last;
	unsigned sum; /* of all metas, so that they are looked at */
};

static int look(const struct tape_record *record, void *arg)
{
	static uint8_t data[TAPE_DATA_MAX];
	struct scan *scan = arg;

	assert(record->lsn >= scan->last && record->end > record->lsn);
	assert(record->end <= options.segment_bytes && record->type < TAPE_TYPE_OWN);
	for (uint32_t i = 0; i < record->meta_size; i++)
		scan->sum += record->meta[i];
	scan->last = record->end;
	(void)tape_read(scan->tape, record->lsn, 0, data, record->data_size, NULL);
	(void)tape_read(scan->tape, record->lsn, record->data_size / 2, data, record->data_size / 3,
			NULL);
	return 0;
}

static void use(struct disk *disk, const struct tape_options *chosen)
{
	struct scan scan = {0};
	struct problem why;
	struct tape_record record;
	uint64_t found;
	int r;

	r = tape_open(disk, chosen, &scan.tape, &why);
	if (r < 0)
		return;
	(void)tape_scan(scan.tape, 0, UINT64_MAX, look, &scan, &why);
	(void)tape_find_time(scan.tape, 1000, &found, &why);
	r = tape_append(scan.tape, 1, TAPE_GROWTH, "meta", 4, NULL, 0, &record);
	assert(r == (chosen->read_only ? -EROFS : 0));
	if (r == 0)
		assert(tape_sync(scan.tape, UINT64_MAX) == 0 &&
		       tape_durable(scan.tape) >= record.end);
	tape_close(scan.tape);
}

static void ignore(const char *line, void *arg)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	CLEANUP(free) uint8_t *segment = xcalloc(1, options.segment_bytes);
	CLEANUP(free) uint8_t *index = NULL;
	struct tape_options chosen = options;
	size_t index_size;

	if (size < 3)
		return 0;
	index_size = MIN((size_t)(data[1] | data[2] << 8), size - 3);
	index = xmemdup(data + 3, index_size);
	memcpy(segment, data + 3 + index_size, MIN(size - 3 - index_size, options.segment_bytes));
	if (data[0] & FIX) {
		fix_segment(segment);
		fix_index(index, index_size);
	}
	put_file(disk, "tape/0000000000000000.seg", segment, options.segment_bytes);
	if (index_size)
		put_file(disk, "tape/0000000000000000.idx", index, index_size);
	(void)tape_verify(disk, options.uuid, options.segment_bytes, 0, ignore, NULL, NULL);
	chosen.accept_loss = data[0] & ACCEPT_LOSS;
	chosen.read_only = data[0] & READ_ONLY;
	use(disk, &chosen);
	return 0;
}
