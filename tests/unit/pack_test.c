/*
 * Packs: what is in them is what was in the segments, whatever happens while they are made, and
 * damage in them is found, said, and never handed out.
 *
 * The pages here are written again and again with small changes, as a database does, beside a log.
 */
#include "tape_model.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "tape/pack.h"

#include <pthread.h>

#define PAGES 4
#define PAGE 4096

struct bed {
	uint64_t random;
	struct disk *disk;
	struct tape *tape;
	struct tape_options options;
	uint8_t pages[PAGES][PAGE];
	struct kept {
		struct tape_record record;
		uint8_t *data;
		int page; /* -1: the log */
		bool gone;
	} * kept;
	size_t count, room;
	uint64_t log_at;
};

static int64_t fixed_clock(void *arg)
{
	return 1000 + ++*(int64_t *)arg;
}

static int64_t now;

static int bed_open(struct bed *bed)
{
	struct problem why = {""};
	int r = tape_open(bed->disk, &bed->options, &bed->tape, &why);

	if (r < 0)
		printf("# open: %d %s\n", r, why.text);
	return r;
}

static void bed_init(struct bed *bed, uint64_t seed)
{
	*bed = (struct bed){.random = seed,
			    .options = {.uuid = "a packed tape",
					.segment_bytes = TAPE_SEGMENT_BYTES_MIN,
					.ring_bytes = TAPE_SEGMENT_BYTES_MIN,
					.clock = fixed_clock,
					.clock_arg = &now}};
	bed->disk = disk_memory_new(seed);
	for (int i = 0; i < PAGES; i++)
		for (int j = 0; j < PAGE; j++)
			bed->pages[i][j] = "0123456789-abcde"[model_random(&bed->random) % 16];
}

static void bed_done(struct bed *bed)
{
	tape_close(bed->tape);
	disk_close(bed->disk);
	for (size_t i = 0; i < bed->count; i++)
		free(bed->kept[i].data);
	free(bed->kept);
}

static int put(struct bed *bed, int page, const void *data, uint32_t size)
{
	struct iovec iov = {(void *)data, size};
	struct tape_record record;
	int r;

	r = tape_append(bed->tape, 5, TAPE_GROWTH, &page, sizeof page, &iov, 1, &record);
	if (r < 0)
		return r;
	xgrow(bed->kept, bed->count, bed->room);
	bed->kept[bed->count++] = (struct kept){record, xmemdup(data, size), page, false};
	return 0;
}

/* A page with some bytes changed, or a piece of log. */
static int write_one(struct bed *bed)
{
	int page = model_random(&bed->random) % (PAGES + 2) - 2;
	uint8_t log[1500];

	if (page < 0) {
		uint32_t size = 1 + model_random(&bed->random) % sizeof log;

		for (uint32_t i = 0; i < size; i++)
			log[i] = "log of changes "[(bed->log_at + i) % 15];
		bed->log_at += size;
		return put(bed, -1, log, size);
	}
	for (int i = 0; i < 20; i++)
		bed->pages[page][model_random(&bed->random) % PAGE] ^= 1;
	return put(bed, page, bed->pages[page], PAGE);
}

static void fill(struct bed *bed, unsigned segments)
{
	while (tape_end(bed->tape) <= segments * bed->options.segment_bytes)
		require(write_one(bed) == 0);
	require(tape_sync(bed->tape, UINT64_MAX) == 0);
}

static void place(const struct tape_record *record, void *arg, struct tape_place *ret)
{
	const struct bed *bed = arg;
	int page;

	memcpy(&page, record->meta, sizeof page);
	*ret = (struct tape_place){page + 2, page < 0 ? 0 : page * PAGE, TAPE_PLACE_NEWEST};
	if (page < 0)
		ret->kind = TAPE_PLACE_STREAM;
	for (size_t i = 0; page >= 0 && i < bed->count; i++)
		if (bed->kept[i].page == page && bed->kept[i].record.lsn > record->lsn)
			ret->kind = TAPE_PLACE_OLDER;
}

static int pack(struct bed *bed, uint64_t first, unsigned count, struct problem *why)
{
	struct tape_pack_options options = {.place = place, .arg = bed};

	return tape_pack(bed->tape, first * bed->options.segment_bytes, count, &options, why);
}

/* What is read is right, or -EBADMSG where `damage` is allowed.  How many could not be read. */
static int compare(struct bed *bed, bool damage)
{
	int bad = 0;

	for (size_t i = 0; i < bed->count; i++) {
		const struct kept *kept = &bed->kept[i];
		uint32_t size = kept->record.data_size, skip = i * 7919 % size;
		CLEANUP(free) uint8_t *buf = xmalloc(size);
		struct problem why = {""};
		int r;

		if (kept->gone)
			continue;
		r = tape_read(bed->tape, kept->record.lsn, 0, buf, size, &why);
		if (r == -EBADMSG && damage) {
			check(why.text[0]);
			bad++;
			continue;
		}
		check(r == 0, "%d %s", r, why.text);
		check(memcmp(buf, kept->data, size) == 0, "record %zu", i);
		r = tape_read(bed->tape, kept->record.lsn, skip, buf, size - skip, &why);
		check(r == 0 && memcmp(buf, kept->data + skip, size - skip) == 0, "record %zu", i);
	}
	return bad;
}

struct scanned {
	struct bed *bed;
	size_t at;
};

static int same(const struct tape_record *record, void *arg)
{
	struct scanned *scanned = arg;
	const struct kept *kept;

	while (scanned->at < scanned->bed->count && scanned->bed->kept[scanned->at].gone)
		scanned->at++;
	if (!check(scanned->at < scanned->bed->count))
		return 1;
	kept = &scanned->bed->kept[scanned->at++];
	return !check(record->lsn == kept->record.lsn && record->end == kept->record.end &&
		      record->time_us == kept->record.time_us && record->type == 5 &&
		      record->data_size == kept->record.data_size && record->meta_size == 4 &&
		      memcmp(record->meta, &kept->page, 4) == 0);
}

static void compare_all(struct bed *bed)
{
	struct scanned scanned = {.bed = bed};
	struct problem why = {""};
	uint64_t found;

	check(compare(bed, false) == 0);
	check(tape_scan(bed->tape, 0, UINT64_MAX, same, &scanned, &why) == 0, "%s", why.text);
	while (scanned.at < bed->count && bed->kept[scanned.at].gone)
		scanned.at++;
	check(scanned.at == bed->count);
	for (size_t i = 1; i < bed->count; i += 5)
		if (!bed->kept[i].gone && !bed->kept[i - 1].gone)
			check(tape_find_time(bed->tape, bed->kept[i].record.time_us - 1, &found,
					     &why) == 0 &&
			      found == bed->kept[i].record.lsn);
}

static void keep_line(const char *line, void *arg)
{
	char *text = arg;

	if (!text[0])
		snprintf(text, 512, "%s", line);
}

/* The first line that verify says, or "". */
static void verify(struct bed *bed, char text[512])
{
	text[0] = '\0';
	check(tape_verify(bed->disk, bed->options.uuid, bed->options.segment_bytes,
			  bed->tape ? tape_durable(bed->tape) : 0, keep_line, NULL, text) == 0);
}

static void verify_clean(struct bed *bed)
{
	char text[512];

	verify(bed, text);
	check(!text[0], "%s", text);
}

static bool exists(struct bed *bed, const char *name)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;

	return disk_open(bed->disk, name, DISK_READ_ONLY, &file) == 0;
}

/* --- Making ------------------------------------------------------------------------------- */

static void a_pack_holds_what_the_segments_held_in_less_space(void)
{
	struct tape_stats before, after;
	struct problem why = {""};
	struct bed bed;

	for (uint64_t seed = 1; seed <= 12; seed++) {
		unsigned count = 1 + seed % 4;

		bed_init(&bed, seed);
		require(bed_open(&bed) == 0);
		fill(&bed, 6);
		tape_get_stats(bed.tape, &before);
		check(pack(&bed, 1, count, &why) == 0, "%s", why.text);
		tape_get_stats(bed.tape, &after);
		check(after.segments == before.segments && after.packed_segments == count);
		check(after.packed_bytes < count * bed.options.segment_bytes / 2, "%" PRIu64,
		      after.packed_bytes);
		check(tape_covers(bed.tape, 0, UINT64_MAX));
		check(exists(&bed, "tape/0000000000010000.pack"));
		check(!exists(&bed, "tape/0000000000010000.seg"));
		check(!exists(&bed, "tape/pack.tmp"));
		compare_all(&bed);
		verify_clean(&bed);
		tape_close(take(bed.tape));
		verify_clean(&bed);
		require(bed_open(&bed) == 0);
		compare_all(&bed);
		fill(&bed, 8);
		check(pack(&bed, 1 + count, 2, &why) == 0, "%s", why.text);
		compare_all(&bed);
		verify_clean(&bed);
		bed_done(&bed);
	}
}

static void older_versions_take_a_small_part_of_their_size(void)
{
	struct problem why = {""};
	struct tape_stats stats;
	struct bed bed;

	bed_init(&bed, 99);
	require(bed_open(&bed) == 0);
	fill(&bed, 20);
	check(pack(&bed, 0, 19, &why) == 0, "%s", why.text);
	tape_get_stats(bed.tape, &stats);
	/* Half a byte each for 4 pages, and some 150 differences of 20 bytes. */
	check(stats.packed_bytes < 19 * bed.options.segment_bytes / 10, "%" PRIu64,
	      stats.packed_bytes);
	compare_all(&bed);
	bed_done(&bed);
}

static void what_cannot_be_made_smaller_stays_as_it_is(void)
{
	struct tape_pack_options options = {.place = model_place};
	struct model model;

	model_init(&model, 5);
	require(model_open(&model) == 0);
	while (tape_end(model.tape) < 3 * 65536)
		require(model_append(&model) == 0);
	require(model_sync(&model) == 0);
	check(tape_pack(model.tape, 0, 2, &options, NULL) == -E2BIG);
	model_compare(&model, true);
	model_verify(&model);
	model_done(&model);
}

static void forget(struct bed *bed, uint64_t segment)
{
	for (size_t i = 0; i < bed->count; i++)
		if (bed->kept[i].record.lsn / bed->options.segment_bytes == segment)
			bed->kept[i].gone = true;
}

static void only_sealed_segments_are_packed_and_only_once(void)
{
	struct problem why = {""};
	struct bed bed;

	bed_init(&bed, 3);
	require(bed_open(&bed) == 0);
	fill(&bed, 3);
	check(pack(&bed, 2, 2, &why) == -EBUSY && why.text[0]);
	check(pack(&bed, 7, 1, &why) == -ENOENT);
	check(pack(&bed, 0, 0, &why) == -EINVAL && pack(&bed, 0, 65, &why) == -EINVAL);
	check(pack(&bed, 0, 2, &why) == 0, "%s", why.text);
	check(pack(&bed, 1, 2, &why) == -EBUSY && pack(&bed, 0, 1, &why) == -EBUSY);
	check(pack(&bed, 0, 2, &why) == -EBUSY);
	compare_all(&bed);
	bed_done(&bed);
}

/* --- Anew --------------------------------------------------------------------------------- */

/* A bed with `packs` packs of one segment, two more that are full, and one that is not. */
static void bed_of_packs(struct bed *bed, uint64_t seed, unsigned packs)
{
	bed_init(bed, seed);
	require(bed_open(bed) == 0);
	fill(bed, packs + 2);
	for (unsigned i = 0; i < packs; i++)
		require(pack(bed, i, 1, NULL) == 0);
}

static void what_packs_have_in_common_is_kept_once_when_they_are_made_anew(void)
{
	struct tape_stats stats;
	uint64_t before;
	struct bed bed;

	bed_of_packs(&bed, 21, 3);
	tape_get_stats(bed.tape, &stats);
	before = stats.packed_bytes;
	check(pack(&bed, 0, 4, NULL) == 0);
	tape_get_stats(bed.tape, &stats);
	check(stats.packed_segments == 4 && stats.packed_bytes < before);
	for (int round = 0; round < 2; round++) {
		check(exists(&bed, "tape/0000000000000001.pack"));
		check(!exists(&bed, "tape/0000000000000000.pack") &&
		      !exists(&bed, "tape/0000000000010000.pack") &&
		      !exists(&bed, "tape/0000000000030000.seg"));
		compare_all(&bed);
		verify_clean(&bed);
		tape_close(take(bed.tape));
		require(bed_open(&bed) == 0);
	}
	fill(&bed, 7);
	check(tape_drop(bed.tape, 0) == 0);
	forget(&bed, 0);
	check(pack(&bed, 1, 5, NULL) == 0);
	check(exists(&bed, "tape/0000000000010002.pack") &&
	      !exists(&bed, "tape/0000000000000001.pack"));
	compare_all(&bed);
	verify_clean(&bed);
	bed_done(&bed);
}

static void a_pack_of_another_tape_too_is_not_made_anew(void)
{
	struct problem why = {""};
	struct bed bed;

	bed_of_packs(&bed, 22, 1);
	require(disk_link(bed.disk, "tape/0000000000000000.pack", bed.disk, "other") == 0);
	check(pack(&bed, 0, 2, &why) == -EMLINK && strstr(why.text, "0000000000000000.pack"));
	check(pack(&bed, 1, 1, &why) == 0, "%s", why.text);
	compare_all(&bed);
	bed_done(&bed);
}

static void a_damaged_pack_is_not_made_anew(void)
{
	struct problem why = {""};
	struct bed bed;
	int bad;

	bed_of_packs(&bed, 23, 1);
	require(disk_memory_flip(bed.disk, "tape/0000000000000000.pack", 500, 4) == 0);
	bad = compare(&bed, true);
	check(bad > 0);
	check(pack(&bed, 0, 2, &why) == -EBADMSG);
	check(strstr(why.text, "tape/0000000000000000.pack") != NULL, "%s", why.text);
	check(compare(&bed, true) == bad && !exists(&bed, "tape/pack.tmp"));
	bed_done(&bed);
}

static void a_damaged_segment_is_not_packed(void)
{
	struct problem why = {""};
	struct bed bed;

	bed_init(&bed, 4);
	require(bed_open(&bed) == 0);
	fill(&bed, 5);
	require(disk_memory_flip(bed.disk, "tape/0000000000010000.seg", 20000, 4) == 0);
	check(pack(&bed, 0, 3, &why) == -EBADMSG);
	check(strstr(why.text, "tape/0000000000010000.seg") != NULL, "%s", why.text);
	check(!exists(&bed, "tape/pack.tmp") && !exists(&bed, "tape/0000000000000000.pack"));
	check(compare(&bed, true) == 1);
	check(pack(&bed, 2, 2, &why) == 0, "%s", why.text);
	check(compare(&bed, true) == 1);
	bed_done(&bed);
}

/* --- Dropping ----------------------------------------------------------------------------- */

static void the_last_segment_dropped_takes_the_pack_along(void)
{
	struct bed bed;

	bed_init(&bed, 6);
	require(bed_open(&bed) == 0);
	fill(&bed, 5);
	require(pack(&bed, 0, 3, NULL) == 0);
	for (uint64_t i = 0; i < 3; i++) {
		check(exists(&bed, "tape/0000000000000000.pack"));
		check(tape_drop(bed.tape, i * 65536) == 0);
		check(tape_drop(bed.tape, i * 65536) == -ENOENT);
		forget(&bed, i);
		compare_all(&bed);
		verify_clean(&bed);
	}
	check(!exists(&bed, "tape/0000000000000000.pack"));
	check(tape_read(bed.tape, 96, 0, NULL, 0, NULL) == -ENOENT);
	tape_close(take(bed.tape));
	require(bed_open(&bed) == 0);
	compare_all(&bed);
	bed_done(&bed);
}

struct stop {
	int calls, stop_at;
};

static bool stop_at(uint64_t done, uint64_t total, void *arg)
{
	struct stop *stop = arg;

	return ++stop->calls != stop->stop_at;
}

static void packing_can_be_given_up_at_any_step(void)
{
	int asked = 0;

	for (int n = 1; n < 100; n++) {
		struct stop stop = {0, n};
		struct tape_pack_options options = {.progress = stop_at, .arg = &stop};
		struct bed bed;
		int r;

		bed_init(&bed, 7);
		require(bed_open(&bed) == 0);
		fill(&bed, 3);
		r = tape_pack(bed.tape, 0, 2, &options, NULL);
		asked = stop.calls;
		check(r == (asked == n ? -ECANCELED : 0));
		check(!exists(&bed, "tape/pack.tmp"));
		compare_all(&bed);
		verify_clean(&bed);
		bed_done(&bed);
		if (asked < n)
			break;
	}
	check(asked > 2, "%d", asked);
}

/* --- Readers ------------------------------------------------------------------------------ */

struct slow_reader {
	struct bed *bed;
	const char *name; /* of the file that it reads */
	pthread_t packer;
	bool started;
};

static void *pack_two(void *arg)
{
	return (void *)(intptr_t)pack(arg, 0, 2, NULL);
}

static int is_packed(const struct tape_segment *segment, void *arg)
{
	return segment->packed && segment->pack_segments == 2;
}

/* Its first record takes so long that the segments are packed meanwhile. */
static int read_slowly(const struct tape_record *record, void *arg)
{
	struct slow_reader *reader = arg;
	int64_t until = clock_realtime_us() + 200000;
	struct timespec deadline = {until / 1000000, until % 1000000 * 1000};

	if (reader->started)
		return 0;
	reader->started = check(pthread_create(&reader->packer, NULL, pack_two, reader->bed) == 0);
	while (reader->started && !tape_segments(reader->bed->tape, is_packed, NULL))
		sched_yield();
	/* Who reads is waited for, however long it takes. */
	check(pthread_timedjoin_np(reader->packer, NULL, &deadline) == ETIMEDOUT);
	check(exists(reader->bed, reader->name));
	return 0;
}

static void who_reads_can_read_on_while_it_is_packed(unsigned packs, const char *name)
{
	struct slow_reader reader;
	void *result = NULL;
	struct bed bed;

	bed_of_packs(&bed, 13, packs);
	reader = (struct slow_reader){.bed = &bed, .name = name};
	check(tape_scan(bed.tape, 0, UINT64_MAX, read_slowly, &reader, NULL) == 0);
	require(reader.started);
	check(pthread_join(reader.packer, &result) == 0 && result == NULL);
	check(!exists(&bed, name));
	compare_all(&bed);
	bed_done(&bed);
}

static void who_reads_a_segment_or_a_pack_can_read_on_while_it_is_packed(void)
{
	who_reads_can_read_on_while_it_is_packed(0, "tape/0000000000000000.seg");
	who_reads_can_read_on_while_it_is_packed(1, "tape/0000000000000000.pack");
}

/* --- Crashes ------------------------------------------------------------------------------ */

/*
 * Goal: a power cut at any disk call of packing loses nothing, and what comes up is consistent.
 * Method: cut at call n = 1, 2, ... of the packing, look at several rests each.
 */
static void cut_the_power_while_packing(unsigned packs, const char *made, const char *packed)
{
	uint64_t calls = 1;

	for (uint64_t n = 1; n <= calls; n++) {
		struct bed bed;
		uint64_t before;

		bed_of_packs(&bed, 8, packs);
		before = disk_memory_calls(bed.disk);
		if (n > 1)
			disk_memory_power_cut(bed.disk, before + n - 1);
		(void)pack(&bed, 0, packs + 1, NULL);
		if (n == 1)
			calls = disk_memory_calls(bed.disk) - before + 1;
		for (uint64_t seed = 0; seed < 6; seed++) {
			struct bed rest = bed;

			rest.tape = NULL;
			rest.disk = disk_memory_power_on(bed.disk, n * 100 + seed);
			if (check(bed_open(&rest) == 0, "call %" PRIu64, n)) {
				compare_all(&rest);
				verify_clean(&rest);
				check(!exists(&rest, "tape/pack.tmp"));
				check(exists(&rest, made) != exists(&rest, packed));
			}
			tape_close(rest.tape);
			disk_close(rest.disk);
		}
		bed_done(&bed);
	}
	check(calls > 10, "%" PRIu64, calls);
}

static void a_power_cut_while_packing_loses_nothing(void)
{
	cut_the_power_while_packing(0, "tape/0000000000000000.pack", "tape/0000000000000000.seg");
	cut_the_power_while_packing(2, "tape/0000000000000001.pack", "tape/0000000000000000.pack");
}

static void fail_calls_while_packing(unsigned packs)
{
	for (uint64_t n = 1; n < 100; n++) {
		struct problem why = {""};
		struct bed bed;
		uint64_t before;
		bool fired;
		int r;

		bed_of_packs(&bed, 9, packs);
		before = disk_memory_calls(bed.disk);
		disk_memory_fail(bed.disk, before + n, false);
		r = pack(&bed, 0, packs + 1, &why);
		fired = disk_memory_calls(bed.disk) >= before + n;
		disk_memory_fail(bed.disk, 0, false);
		check(r == 0 || (r == -EIO && why.text[0]), "%d", r);
		check(fired || r == 0);
		compare_all(&bed);
		require(write_one(&bed) == 0 && tape_sync(bed.tape, UINT64_MAX) == 0);
		tape_close(take(bed.tape));
		if (check(bed_open(&bed) == 0)) {
			compare_all(&bed);
			verify_clean(&bed);
		}
		bed_done(&bed);
		if (!fired)
			break;
	}
}

static void a_call_that_fails_while_packing_changes_nothing(void)
{
	fail_calls_while_packing(0);
	fail_calls_while_packing(2);
}

static int begins_at_zero(const struct tape_segment *segment, void *arg)
{
	return segment->lsn == 0;
}

static int copy_file(struct disk *from, struct disk *to, const char *name)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(free) void *data = NULL;
	size_t size;
	int r;

	r = disk_read_file(from, name, 1 << 20, &data, &size);
	if (r == 0)
		r = disk_open(to, name, DISK_CREATE, &file);
	return r < 0 ? r : disk_file_write(file, data, size, 0);
}

static void what_was_left_half_done_is_finished_and_a_bad_pack_is_none(void)
{
	for (int bad = 0; bad < 2; bad++) {
		CLEANUP(disk) struct disk *before = NULL;
		struct bed bed;

		bed_init(&bed, 10);
		require(bed_open(&bed) == 0);
		fill(&bed, 4);
		before = disk_memory_copy(bed.disk);
		require(pack(&bed, 0, 2, NULL) == 0);
		tape_close(take(bed.tape));
		require(copy_file(before, bed.disk, "tape/0000000000000000.seg") == 0);
		require(copy_file(before, bed.disk, "tape/0000000000010000.seg") == 0);
		if (bad)
			require(disk_memory_cut(bed.disk, "tape/0000000000000000.pack", 900) == 0);
		else
			verify_clean(&bed);
		require(bed_open(&bed) == 0);
		compare_all(&bed);
		check(exists(&bed, "tape/0000000000000000.pack") == !bad);
		check(exists(&bed, "tape/0000000000010000.seg") == bad);
		verify_clean(&bed);
		bed_done(&bed);
	}
}

/* Also one whose beginning had been dropped before, so that it begins where the other one does not.
 */
static void a_pack_that_another_was_made_of_does_not_come_back(void)
{
	CLEANUP(disk) struct disk *before = NULL;
	struct bed bed;

	bed_init(&bed, 25);
	require(bed_open(&bed) == 0);
	fill(&bed, 5);
	require(pack(&bed, 0, 3, NULL) == 0 && tape_drop(bed.tape, 0) == 0);
	forget(&bed, 0);
	before = disk_memory_copy(bed.disk);
	require(pack(&bed, 1, 3, NULL) == 0);
	tape_close(take(bed.tape));
	require(copy_file(before, bed.disk, "tape/0000000000000000.pack") == 0);
	require(bed_open(&bed) == 0);
	compare_all(&bed);
	check(exists(&bed, "tape/0000000000010001.pack"));
	check(!exists(&bed, "tape/0000000000000000.pack"));
	check(tape_segments(bed.tape, begins_at_zero, NULL) == 0);
	verify_clean(&bed);
	bed_done(&bed);
}

static void packs_that_another_was_made_of_are_removed_and_stand_in_for_a_bad_one(void)
{
	for (int bad = 0; bad < 2; bad++) {
		CLEANUP(disk) struct disk *before = NULL;
		struct bed bed;

		bed_of_packs(&bed, 24, 2);
		before = disk_memory_copy(bed.disk);
		require(pack(&bed, 0, 3, NULL) == 0);
		tape_close(take(bed.tape));
		require(copy_file(before, bed.disk, "tape/0000000000000000.pack") == 0);
		require(copy_file(before, bed.disk, "tape/0000000000010000.pack") == 0);
		require(copy_file(before, bed.disk, "tape/0000000000020000.seg") == 0);
		if (bad)
			require(disk_memory_cut(bed.disk, "tape/0000000000000001.pack", 900) == 0);
		else
			verify_clean(&bed);
		require(bed_open(&bed) == 0);
		compare_all(&bed);
		check(exists(&bed, "tape/0000000000000001.pack") == !bad);
		check(exists(&bed, "tape/0000000000000000.pack") == bad);
		check(exists(&bed, "tape/0000000000010000.pack") == bad);
		verify_clean(&bed);
		bed_done(&bed);
	}
}

/* --- Damage ------------------------------------------------------------------------------- */

/*
 * Goal: no damaged byte of a pack goes unseen or is handed out.
 * Method: flip each byte of a small pack in turn; verify names the file, every read is right or
 * says -EBADMSG, and a scan is right or stops.
 */
static int right_or_stop(const struct tape_record *record, void *arg)
{
	struct bed *bed = arg;

	for (size_t i = 0; i < bed->count; i++)
		if (bed->kept[i].record.lsn == record->lsn)
			return !check(memcmp(record->meta, &bed->kept[i].page, 4) == 0 &&
				      record->data_size == bed->kept[i].record.data_size);
	return check(false, "no record at %" PRIu64, record->lsn);
}

static void flip_and_look(struct bed *bed, uint64_t offset, int *lost)
{
	struct problem why = {""};
	char text[512];
	int r;

	require(disk_memory_flip(bed->disk, "tape/0000000000000000.pack", offset, 0x10) == 0);
	verify(bed, text);
	check(strstr(text, "tape/0000000000000000.pack"), "offset %" PRIu64 ": '%s'", offset, text);
	if (!check(bed_open(bed) == 0, "offset %" PRIu64, offset))
		return;
	*lost += compare(bed, true) > 0;
	r = tape_scan(bed->tape, 0, UINT64_MAX, right_or_stop, bed, &why);
	check(r == 0 || (r == -EBADMSG && why.text[0]), "offset %" PRIu64, offset);
	tape_close(take(bed->tape));
	require(disk_memory_flip(bed->disk, "tape/0000000000000000.pack", offset, 0x10) == 0);
}

static uint64_t size_of(struct bed *bed, const char *name)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	uint64_t size = 0;

	check(disk_open(bed->disk, name, DISK_READ_ONLY, &file) == 0 &&
	      disk_file_size(file, &size) == 0);
	return size;
}

static void every_damaged_byte_is_found_and_none_is_handed_out(void)
{
	uint64_t size;
	struct bed bed;
	int lost = 0;

	bed_init(&bed, 11);
	require(bed_open(&bed) == 0);
	fill(&bed, 3);
	require(pack(&bed, 0, 2, NULL) == 0);
	tape_close(take(bed.tape));
	bed.options.read_only = true;
	size = size_of(&bed, "tape/0000000000000000.pack");
	for (uint64_t offset = 0; offset < size; offset++)
		flip_and_look(&bed, offset, &lost);
	/* The description is there twice: only groups lose something. */
	check(lost > 100, "%d", lost);
	check(bed_open(&bed) == 0 && compare(&bed, false) == 0);
	bed_done(&bed);
}

static void a_pack_cut_short_is_said_at_opening_and_by_verify(void)
{
	struct problem why = {""};
	struct bed bed;
	char text[512];

	bed_init(&bed, 12);
	require(bed_open(&bed) == 0);
	fill(&bed, 3);
	require(pack(&bed, 0, 2, NULL) == 0);
	tape_close(take(bed.tape));
	require(disk_memory_cut(bed.disk, "tape/0000000000000000.pack", 5000) == 0);
	verify(&bed, text);
	check(strstr(text, "tape/0000000000000000.pack"), "%s", text);
	check(tape_open(bed.disk, &bed.options, &bed.tape, &why) == -EBADMSG);
	check(strstr(why.text, "tape/0000000000000000.pack"), "%s", why.text);
	bed.options.accept_loss = true;
	check(bed_open(&bed) == 0);
	check(!tape_covers(bed.tape, 0, 1));
	bed_done(&bed);
}

static int read_other_data(const struct pack_item *item, void *buf, void *arg)
{
	memset(buf, 'b', item->data_size);
	return 0;
}

/* A head of a record whose data is all 'a'. */
static void put_head(struct buffer *heads, uint64_t lsn, uint16_t type, uint32_t data_size,
		     struct pack_item *ret)
{
	uint8_t data[PAGE];
	struct record record = {
		.lsn = lsn, .time_us = 1, .data_size = data_size, .epoch = 1, .type = type};
	struct iovec iov = {memset(data, 'a', sizeof data), data_size};
	struct tape_record_header header;
	le32 table[1];

	*ret = (struct pack_item){.lsn = lsn, .data_size = data_size, .head = heads->size};
	record_sum_data(&iov, 1, table);
	record_encode(&record, NULL, table, 7, &header);
	buffer_put(heads, &header, sizeof header);
	buffer_put(heads, table, 4 * record_blocks(data_size));
	ret->head_size = heads->size - ret->head;
}

static void note_line(void *arg, const char *line)
{
	++*(int *)arg;
}

static void data_that_is_not_the_records_own_is_not_believed(void)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	CLEANUP(buffer) struct buffer heads = {0};
	CLEANUP(free) struct pack *pack = NULL;
	struct summary summary = {0, 8192, 1, PAGE, 1, 1, 1};
	struct pack_item items[2];
	struct pack_input input = {.segment_bytes = 65536,
				   .summaries = &summary,
				   .segments = 1,
				   .seed = 7,
				   .level = 1,
				   .items = items,
				   .count = 2,
				   .read = read_other_data,
				   .bytes_max = 65536};
	struct problem why = {""};
	struct files files;
	struct unpacked cache;
	struct pack_reader reader = {NULL, &files, &cache, 7};
	struct pack_checker checker = {.note = note_line};
	uint8_t data[PAGE];
	struct pack found;
	uint64_t bytes;
	int lines = 0;

	put_head(&heads, 0, TAPE_TYPE_SEGMENT, 0, &items[0]);
	put_head(&heads, 48, 5, PAGE, &items[1]);
	input.heads = heads.data;
	require(pack_write(disk, "tape/0000000000000000.pack", &input, &bytes) == 0);
	checker.arg = &lines;
	check(pack_check(disk, "tape/0000000000000000.pack", 0, 65536, 7, &checker, &found,
			 &summary) == 0);
	check(lines > 0);
	require(pack_load(disk, 0, 65536, 7, &pack, NULL) == 0);
	reader.pack = pack;
	files_init(&files, disk, pack_name);
	unpacked_init(&cache, 1 << 20);
	check(pack_read(&reader, 48, 0, data, PAGE, &why) == -EBADMSG && why.text[0]);
	check(pack_read(&reader, 48, 10, data, 1, &why) == -EBADMSG);
	files_done(&files);
	unpacked_done(&cache);
}

/* --- The cache ---------------------------------------------------------------------------- */

static void the_cache_keeps_to_its_limit_and_what_is_in_use(void)
{
	struct unpacked unpacked;
	struct unpacked_group *held;

	unpacked_init(&unpacked, 1000);
	held = unpacked_add(&unpacked, unpacked_new(1, 0, 400));
	for (uint32_t i = 1; i < 20; i++) {
		unpacked_put(&unpacked, unpacked_add(&unpacked, unpacked_new(1, i, 300)));
		check(unpacked.bytes <= 1000 + 300);
	}
	check(held == unpacked_get(&unpacked, 1, 0));
	unpacked_put(&unpacked, held);
	check(unpacked_get(&unpacked, 1, 1) == NULL && unpacked_get(&unpacked, 2, 19) == NULL);
	unpacked_put(&unpacked, held);
	held = unpacked_get(&unpacked, 1, 19);
	check(held && held->number == 19);
	check(unpacked_add(&unpacked, unpacked_new(1, 19, 300)) == held);
	unpacked_put(&unpacked, held);
	unpacked_put(&unpacked, held);
	unpacked_forget(&unpacked, 1);
	check(unpacked.count == 0 && unpacked.bytes == 0);
	unpacked_done(&unpacked);
}

int main(void)
{
	RUN(a_pack_holds_what_the_segments_held_in_less_space);
	RUN(older_versions_take_a_small_part_of_their_size);
	RUN(what_cannot_be_made_smaller_stays_as_it_is);
	RUN(only_sealed_segments_are_packed_and_only_once);
	RUN(what_packs_have_in_common_is_kept_once_when_they_are_made_anew);
	RUN(a_pack_of_another_tape_too_is_not_made_anew);
	RUN(a_damaged_pack_is_not_made_anew);
	RUN(a_damaged_segment_is_not_packed);
	RUN(the_last_segment_dropped_takes_the_pack_along);
	RUN(packing_can_be_given_up_at_any_step);
	RUN(who_reads_a_segment_or_a_pack_can_read_on_while_it_is_packed);
	RUN(a_power_cut_while_packing_loses_nothing);
	RUN(a_call_that_fails_while_packing_changes_nothing);
	RUN(what_was_left_half_done_is_finished_and_a_bad_pack_is_none);
	RUN(a_pack_that_another_was_made_of_does_not_come_back);
	RUN(packs_that_another_was_made_of_are_removed_and_stand_in_for_a_bad_one);
	RUN(every_damaged_byte_is_found_and_none_is_handed_out);
	RUN(a_pack_cut_short_is_said_at_opening_and_by_verify);
	RUN(data_that_is_not_the_records_own_is_not_believed);
	RUN(the_cache_keeps_to_its_limit_and_what_is_in_use);
	return tap_done();
}
