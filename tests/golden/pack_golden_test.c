/*
 * A pack made once gives the same records for ever.  (That the same records give the same pack is
 * not asked: another version of the compressor may well pack better.)  `pack_golden_test --write
 * FILE` makes the image anew: only for a change of the format that is meant, and said in
 * docs/format.md.
 */
#include "golden.h"
#include "tap.h"
#include "tape/tape.h"

#define RECORDS 40
#define PAGE 8192

static const char *image_path;
static int64_t now_us;

static int64_t next_time(void *arg)
{
	return now_us += 1500;
}

static const struct tape_options options = {
	.uuid = {0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8},
	.segment_bytes = TAPE_SEGMENT_BYTES_MIN,
	.ring_bytes = TAPE_SEGMENT_BYTES_MIN,
	.clock = next_time,
};

/* Every third record is of a log, the others are of four pages in turn, each time a little
 * different. */
static bool is_log(int i)
{
	return i % 3 == 0;
}

static uint32_t make_data(int i, uint8_t data[PAGE])
{
	uint32_t size = is_log(i) ? 100 + i * 17 : PAGE;

	for (uint32_t at = 0; at < size; at++)
		data[at] = is_log(i) ? 'a' + (i + at) % 26 : i % 4 + at / 1024;
	if (!is_log(i))
		data[i * 100] ^= 0xff;
	return size;
}

static void place(const struct tape_record *record, void *arg, struct tape_place *ret)
{
	int i = record->meta[0];

	*ret = (struct tape_place){is_log(i) ? 1 : 2, is_log(i) ? 0 : i % 4 * PAGE,
				   TAPE_PLACE_NEWEST};
	if (is_log(i))
		ret->kind = TAPE_PLACE_STREAM;
	else if (i < 16)
		ret->kind = TAPE_PLACE_OLDER;
}

static struct disk *make_pack(void)
{
	static const struct tape_pack_options pack = {.place = place};
	struct disk *disk = disk_memory_new(1);
	struct problem why = {""};
	uint8_t data[PAGE];
	struct tape *tape;

	now_us = INT64_C(1792845600000000);
	check(tape_open(disk, &options, &tape, NULL) == 0);
	for (int i = 0; i < RECORDS; i++) {
		struct iovec iov = {data, make_data(i, data)};
		uint8_t meta = i;

		check(tape_append(tape, 1 + i, TAPE_GROWTH, &meta, 1, &iov, 1, NULL) == 0);
	}
	check(tape_sync(tape, UINT64_MAX) == 0);
	check(tape_pack(tape, 0, 2, &pack, &why) == 0, "%s", why.text);
	tape_close(tape);
	/* What the segments held is no part of the image. */
	(void)disk_remove(disk, "tape/spare-0.seg");
	(void)disk_remove(disk, "tape/spare-1.seg");
	return disk;
}

static int compare_record(const struct tape_record *record, void *arg)
{
	uint8_t expected[PAGE], data[PAGE];
	struct tape *tape = arg;
	uint32_t size;
	int i = record->type - 1;

	if (record->meta_size != 1 || record->meta[0] != i ||
	    record->time_us != INT64_C(1792845600000000) + (i + 1) * INT64_C(1500))
		return 1;
	size = make_data(i, expected);
	if (record->data_size != size ||
	    tape_read(tape, record->lsn, 0, data, record->data_size, NULL) < 0)
		return 2;
	now_us++; /* counts */
	return memcmp(data, expected, size) ? 3 : 0;
}

static void no_line(const char *line, void *arg)
{
	check(false, "%s", line);
}

static void look_at(struct disk *disk)
{
	struct problem why = {""};
	struct tape_stats stats;
	struct tape *tape;

	check(tape_verify(disk, options.uuid, options.segment_bytes, 0, no_line, NULL, NULL) == 0);
	require(tape_open(disk, &options, &tape, &why) == 0, "%s", why.text);
	now_us = 0;
	check(tape_scan(tape, 0, UINT64_MAX, compare_record, tape, &why) == 0, "%s", why.text);
	check(now_us == RECORDS);
	tape_get_stats(tape, &stats);
	check(stats.packed_segments == 2);
	tape_close(tape);
}

static void the_golden_image_gives_the_same_records(void)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	CLEANUP(free) char *golden = golden_load(image_path);

	require(golden != NULL && golden_restore(golden, disk) == 0);
	look_at(disk);
}

static void a_pack_made_now_gives_them_too(void)
{
	CLEANUP(disk) struct disk *disk = make_pack();

	look_at(disk);
}

static char *render(void)
{
	CLEANUP(disk) struct disk *disk = make_pack();
	CLEANUP(buffer) struct buffer out = {0};

	if (golden_render_folder(&out, disk, "tape") != 0)
		return NULL;
	buffer_put8(&out, 0);
	return (char *)take(out.data);
}

int main(int argc, char **argv)
{
	int code = golden_begin(argc, argv, render, &image_path);

	if (code >= 0)
		return code;
	RUN(the_golden_image_gives_the_same_records);
	RUN(a_pack_made_now_gives_them_too);
	return tap_done();
}
