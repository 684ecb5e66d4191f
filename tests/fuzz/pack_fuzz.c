/*
 * Fuzz: whatever a pack holds, opening, scanning, reading and verifying it stay within bounds.
 *
 * Input: a byte of flags and the file.  With FIX the checksums of the description and of the groups
 * are made right first, or no input but a lucky one would get past them.
 */
#include "base/alloc.h"
#include "base/crc32c.h"
#include "disk/disk.h"
#include "tape/pack.h"
#include "tape/record.h"
#include "tape/tape.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum flags { FIX = 1, READ_ONLY = 2 };

static const struct tape_options options = {
	.uuid = {0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8},
	.segment_bytes = TAPE_SEGMENT_BYTES_MIN,
	.ring_bytes = TAPE_SEGMENT_BYTES_MIN,
};

static void fix_groups(uint8_t *bytes, size_t size, const struct pack *pack, uint32_t seed)
{
	uint8_t *table = bytes + pack->table;
	size_t skip = pack->segments * sizeof(struct tape_pack_segment);

	for (uint32_t i = 0; i < pack->groups; i++) {
		struct tape_pack_group *raw =
			(void *)(table + skip + i * sizeof(struct tape_pack_group));
		struct pack_group group;

		pack_group(pack, table, i, &group);
		if (group.offset <= size && group.packed <= size - group.offset)
			raw->crc = to_le32(
				pack_group_crc(i, bytes + group.offset, group.packed, seed));
	}
}

static void fix(uint8_t *bytes, size_t size)
{
	uint32_t seed = record_seed(options.uuid);
	struct tape_pack_header *header = (void *)bytes;
	struct pack pack = {0};
	size_t table;

	if (size < sizeof *header)
		return;
	memcpy(header->magic, "UNSPLPAK", 8);
	pack.segments = from_le32(header->segments) % (PACK_SEGMENTS_MAX + 1);
	pack.groups = from_le32(header->groups) % 1000;
	pack.table = from_le64(header->table);
	table = pack_table_size(&pack);
	if (pack.table <= size && table <= size - pack.table) {
		fix_groups(bytes, size, &pack, seed);
		header->table_crc = to_le32(pack_table_crc(bytes + pack.table, table, seed));
	}
	header->crc = to_le32(crc32c(seed, &header->incompat,
				     sizeof *header - offsetof(struct tape_pack_header, incompat)));
}

struct scan {
	struct tape *tape;
	uint64_t last;
};

static int look(const struct tape_record *record, void *arg)
{
	static uint8_t data[TAPE_DATA_MAX];
	struct scan *scan = arg;

	assert(record->lsn >= scan->last && record->end > record->lsn);
	assert(record->type < TAPE_TYPE_OWN);
	scan->last = record->end;
	(void)tape_read(scan->tape, record->lsn, 0, data, record->data_size, NULL);
	(void)tape_read(scan->tape, record->lsn, record->data_size / 2, data, record->data_size / 3,
			NULL);
	return 0;
}

static void ignore(const char *line, void *arg)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	CLEANUP(free) uint8_t *bytes = NULL;
	struct tape_options chosen = options;
	struct disk_file *file;
	struct scan scan = {0};
	struct problem why;
	uint64_t found;

	if (size < 2)
		return 0;
	bytes = xmemdup(data + 1, size - 1);
	if (data[0] & FIX)
		fix(bytes, size - 1);
	if (disk_open(disk, "tape/0000000000000000.pack", DISK_CREATE, &file) < 0 ||
	    disk_file_write(file, bytes, size - 1, 0) < 0)
		abort();
	disk_file_close(file);
	(void)tape_verify(disk, options.uuid, options.segment_bytes, 0, ignore, NULL, NULL);
	chosen.read_only = data[0] & READ_ONLY;
	if (tape_open(disk, &chosen, &scan.tape, &why) < 0)
		return 0;
	(void)tape_scan(scan.tape, 0, UINT64_MAX, look, &scan, &why);
	(void)tape_find_time(scan.tape, 1000, &found, &why);
	tape_close(scan.tape);
	return 0;
}
