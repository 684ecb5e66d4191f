/*
 * The bytes of a tape are what they were: the same appends give the golden image, and the golden
 * image gives the same records.  `tape_golden_test --write FILE` makes the image anew: only for a
 * change of the format that is meant, and said in docs/format.md.
 */
#include "golden.h"
#include "tap.h"
#include "tape/tape.h"

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

/* Metas and data of sizes on both sides of each limit of the layout. */
static const struct script {
	uint16_t type;
	const char *meta;
	uint32_t data_size;
	bool sync, reopen;
} script[] = {
	{1, "", 0, false, false},
	{2, "m", 1, true, false},
	{3, "meta", 7, false, false},
	{0x7fff, "four-and-three", 4096, true, true},
	{5, "two blocks", 4097, true, false},
	{6, "large", 30000, false, false},
	{7, "next segment", 30000, true, true},
	{8, "last", 100, true, false},
};

static uint8_t byte_of(const struct script *line)
{
	return 'a' + (line - script);
}

static int append_line(struct tape *tape, const struct script *line)
{
	CLEANUP(free) uint8_t *data = xmalloc(line->data_size);
	struct iovec iov = {data, line->data_size};
	struct tape_record record;
	int r;

	memset(data, byte_of(line), line->data_size);
	r = tape_append(tape, line->type, TAPE_GROWTH, line->meta, strlen(line->meta), &iov, 1,
			&record);
	return r < 0 || !line->sync ? r : tape_sync(tape, UINT64_MAX);
}

static struct disk *play_script(void)
{
	struct disk *disk = disk_memory_new(1);
	struct tape *tape;

	now_us = INT64_C(1792845600000000);
	check(tape_open(disk, &options, &tape, NULL) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(script); i++) {
		check(append_line(tape, &script[i]) == 0);
		if (!script[i].reopen)
			continue;
		tape_close(tape);
		check(tape_open(disk, &options, &tape, NULL) == 0);
	}
	tape_close(tape);
	return disk;
}

static char *render(void)
{
	CLEANUP(disk) struct disk *disk = play_script();
	struct buffer out = {0};

	check(golden_render_folder(&out, disk, "tape") == 0);
	buffer_put8(&out, 0);
	return (char *)out.data;
}

/* The line number of the first difference, 0 for none. */
static unsigned first_difference(const char *a, const char *b)
{
	unsigned line = 1;

	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	return *a == *b ? 0 : line;
}

static void the_same_appends_give_the_same_bytes(void)
{
	CLEANUP(free) char *golden = golden_load(image_path);
	CLEANUP(free) char *made = render();

	require(golden != NULL, "%s", image_path);
	check(first_difference(golden, made) == 0, "line %u", first_difference(golden, made));
}

struct reading {
	struct tape *tape;
	size_t at;
};

static int compare_record(const struct tape_record *record, void *arg)
{
	struct reading *reading = arg;
	const struct script *line = &script[reading->at++];
	CLEANUP(free) uint8_t *data = xmalloc(record->data_size);
	bool same = true;

	if (reading->at > ARRAY_SIZE(script) || record->type != line->type ||
	    record->meta_size != strlen(line->meta) || record->data_size != line->data_size ||
	    memcmp(record->meta, line->meta, record->meta_size) != 0 ||
	    record->time_us != INT64_C(1792845600000000) + (int64_t)reading->at * 1500)
		return 1;
	if (tape_read(reading->tape, record->lsn, 0, data, record->data_size, NULL) < 0)
		return 2;
	for (uint32_t i = 0; i < record->data_size; i++)
		same = same && data[i] == byte_of(line);
	return same ? 0 : 3;
}

static void no_line(const char *line, void *arg)
{
	check(false, "%s", line);
}

static void the_golden_image_gives_the_same_records(void)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	CLEANUP(free) char *golden = golden_load(image_path);
	struct reading reading = {0};
	struct problem why = {""};

	require(golden != NULL && golden_restore(golden, disk) == 0);
	check(tape_verify(disk, options.uuid, options.segment_bytes, 0, no_line, NULL, NULL) == 0);
	require(tape_open(disk, &options, &reading.tape, &why) == 0, "%s", why.text);
	check(tape_scan(reading.tape, 0, UINT64_MAX, compare_record, &reading, &why) == 0, "%s",
	      why.text);
	check(reading.at == ARRAY_SIZE(script));
	tape_close(reading.tape);
}

int main(int argc, char **argv)
{
	int code = golden_begin(argc, argv, render, &image_path);

	if (code >= 0)
		return code;
	RUN(the_same_appends_give_the_same_bytes);
	RUN(the_golden_image_gives_the_same_records);
	return tap_done();
}
