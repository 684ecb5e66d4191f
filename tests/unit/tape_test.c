/*
 * The tape keeps its promises: see tape.h.  `tape_test SEED [COUNT]` replays seeds of the random
 * runs.
 */
#include "tape_model.h"

/* --- The plain way ------------------------------------------------------------------------ */

static void what_is_appended_is_read_back(void)
{
	struct model model;

	model_init(&model, 1);
	require(model_open(&model) == 0);
	for (int i = 0; i < 300; i++)
		require(model_append(&model) == 0);
	model_compare(&model, true);
	check(model_sync(&model) == 0);
	model_compare(&model, true);
	model_done(&model);
}

static void a_reopened_tape_goes_on_where_it_ended(void)
{
	struct model model;
	uint64_t end;

	model_init(&model, 2);
	for (int round = 0; round < 5; round++) {
		require(model_open(&model) == 0);
		model_compare(&model, true);
		for (int i = 0; i < 50; i++)
			require(model_append(&model) == 0);
		tape_close(take(model.tape));
	}
	require(model_open(&model) == 0);
	end = tape_end(model.tape);
	check(tape_durable(model.tape) == end);
	check(tape_last_time(model.tape) == model.records[model.count - 1].record.time_us);
	tape_close(take(model.tape));
	require(model_open(&model) == 0);
	check(tape_end(model.tape) == end);
	model_compare(&model, true);
	model_done(&model);
}

static void limits_are_kept(void)
{
	struct model model;
	struct iovec iov = {xcalloc(1, TAPE_DATA_MAX + 1), TAPE_DATA_MAX + 1};
	struct tape_record record;

	model_init(&model, 3);
	require(model_open(&model) == 0);
	check(tape_append(model.tape, 1, TAPE_GROWTH, NULL, 0, &iov, 1, &record) == -E2BIG);
	iov.iov_len = 64 * 1024;
	check(tape_append(model.tape, 1, TAPE_GROWTH, NULL, 0, &iov, 1, &record) == -E2BIG);
	check(tape_append(model.tape, 1, TAPE_GROWTH, iov.iov_base, TAPE_META_MAX + 1, NULL, 0,
			  &record) == -E2BIG);
	check(tape_append(model.tape, 0, TAPE_GROWTH, NULL, 0, NULL, 0, &record) == -EINVAL);
	check(tape_append(model.tape, 0x8000, TAPE_GROWTH, NULL, 0, NULL, 0, &record) == -EINVAL);
	for (iov.iov_len = 61200; iov.iov_len > 60000; iov.iov_len -= 8)
		if (tape_append(model.tape, 1, TAPE_GROWTH, NULL, 0, &iov, 1, &record) == 0)
			break;
	check(iov.iov_len > 61000, "%zu", iov.iov_len);
	for (int i = 0; i < 10; i++)
		check(tape_append(model.tape, 1, TAPE_GROWTH, NULL, 0, &iov, 1, &record) == 0);
	tape_close(take(model.tape));
	model.options.segment_bytes = 4 << 20;
	model.options.ring_bytes = 0;
	disk_close(model.disk);
	model.disk = disk_memory_new(1);
	require(model_open(&model) == 0);
	iov.iov_len = TAPE_DATA_MAX;
	for (int i = 0; i < 10; i++)
		check(tape_append(model.tape, 1, TAPE_GROWTH, iov.iov_base, TAPE_META_MAX, &iov, 1,
				  &record) == 0);
	check(tape_read(model.tape, record.lsn, 0, iov.iov_base, TAPE_DATA_MAX, NULL) == 0);
	check(tape_read(model.tape, record.lsn, 1, iov.iov_base, TAPE_DATA_MAX, NULL) == -EINVAL);
	check(tape_read(model.tape, record.end, 0, iov.iov_base, 1, NULL) == -EINVAL);
	free(iov.iov_base);
	model_done(&model);
}

/* --- What an earlier opening left behind -------------------------------------------------- */

static int append_sized(struct model *model, uint32_t size, uint8_t fill, struct tape_record *ret)
{
	CLEANUP(free) uint8_t *data = xmalloc(size);
	struct iovec iov = {data, size};

	memset(data, fill, size);
	return tape_append(model->tape, fill, TAPE_GROWTH, NULL, 0, &iov, 1, ret);
}

static int collect_types(const struct tape_record *record, void *arg)
{
	char *text = arg;

	sprintf(text + strlen(text), "%c", record->type);
	return 0;
}

/* The power goes: everything on the disk, as it is, comes back. */
static void power_cycle(struct model *model)
{
	struct disk *rest = disk_memory_copy(model->disk);

	tape_close(take(model->tape));
	disk_close(model->disk);
	model->disk = rest;
}

/*
 * A is acknowledged, B and C are written but B is torn, so the tape ends after A.  Then B's place
 * is taken, to the byte, by the next opening's record, and C stands right behind it.
 */
static void try_stale_record(bool reopened)
{
	struct model model;
	struct tape_record a, b, c, d;
	char types[16] = "";

	model_init(&model, 9);
	require(model_open(&model) == 0);
	require(append_sized(&model, 1000, 'a', &a) == 0 && model_sync(&model) == 0);
	if (reopened) {
		power_cycle(&model);
		require(model_open(&model) == 0);
	}
	/* C begins at a block, which the flush of what comes before it leaves alone. */
	require(append_sized(&model, 8192 - a.end - 48 - 2 * 4, 'b', &b) == 0 && b.end == 8192);
	require(append_sized(&model, 500, 'c', &c) == 0 && model_sync(&model) == 0);
	power_cycle(&model);
	require(disk_memory_flip(model.disk, "tape/0000000000000000.seg", b.lsn + 3, 1) == 0);

	require(model_open(&model) == 0);
	check(tape_end(model.tape) == a.end);
	require(append_sized(&model, b.data_size, 'd', &d) == 0);
	check(d.end == c.lsn, "%" PRIu64 " %" PRIu64, d.end, c.lsn);
	check(model_sync(&model) == 0);
	power_cycle(&model);
	require(model_open(&model) == 0);
	check(tape_scan(model.tape, 0, UINT64_MAX, collect_types, types, NULL) == 0);
	check(strcmp(types, "ad") == 0, "%s", types);
	model_done(&model);
}

static void a_stale_record_behind_a_torn_one_is_no_successor(void)
{
	try_stale_record(false);
	try_stale_record(true);
}

/*
 * A is acknowledged; of B only the head has reached the disk.  The next opening's first record does
 * not fit behind A, so B stays where it is, in front of the segment that C begins.
 */
static void the_head_of_a_torn_record_does_not_hide_the_next_segment(void)
{
	struct model model;
	struct tape_record a, b, c;
	char types[16] = "";

	model_init(&model, 16);
	require(model_open(&model) == 0);
	require(append_sized(&model, 30000, 'a', &a) == 0 && model_sync(&model) == 0);
	require(append_sized(&model, 20000, 'b', &b) == 0 && model_sync(&model) == 0);
	power_cycle(&model);
	require(disk_memory_flip(model.disk, "tape/0000000000000000.seg", b.end - 100, 1) == 0);

	require(model_open(&model) == 0);
	check(tape_end(model.tape) == a.end);
	require(append_sized(&model, 40000, 'c', &c) == 0 && c.lsn > 65536);
	check(model_sync(&model) == 0);
	power_cycle(&model);
	/* Its name was not synced. */
	require(disk_remove(model.disk, "tape/0000000000000000.idx") == 0);
	model_verify(&model);
	require(model_open(&model) == 0);
	check(tape_scan(model.tape, 0, UINT64_MAX, collect_types, types, NULL) == 0);
	check(strcmp(types, "ac") == 0, "%s", types);
	model_done(&model);
}

static int first_sealed(const struct tape_segment *segment, void *arg)
{
	*(uint64_t *)arg = segment->lsn;
	return segment->sealed ? 1 : -ENOENT;
}

static void dropped_segments_are_used_again_and_their_old_records_are_not_seen(void)
{
	struct model model;
	struct tape_stats before, after;
	uint64_t lsn;

	model_init(&model, 10);
	require(model_open(&model) == 0);
	while (model.count < 130)
		require(model_append(&model) == 0 && model_sync(&model) == 0);
	tape_get_stats(model.tape, &before);
	require(before.segments >= 3);
	require(tape_segments(model.tape, first_sealed, &lsn) == 1 && lsn == 0);
	check(tape_covers(model.tape, 0, 1) && tape_drop(model.tape, lsn) == 0);
	check(!tape_covers(model.tape, 0, 1) && tape_covers(model.tape, 65536, UINT64_MAX));
	check(tape_drop(model.tape, lsn) == -ENOENT && tape_drop(model.tape, lsn + 8) == -ENOENT);
	check(tape_drop(model.tape, tape_end(model.tape) / 65536 * 65536) == -EBUSY);
	check(tape_read(model.tape, 96, 0, NULL, 0, NULL) == -ENOENT);
	for (size_t i = 0; i < model.count; i++)
		model.records[i].dropped = model.records[i].record.lsn < 65536;
	for (int i = 0; i < 20; i++)
		require(model_append(&model) == 0 && model_sync(&model) == 0);
	tape_get_stats(model.tape, &after);
	check(after.segments == before.segments);
	check(after.bytes_on_disk == before.bytes_on_disk);
	model_compare(&model, true);
	check(model_crash(&model));
	model_done(&model);
}

/* --- A full disk -------------------------------------------------------------------------- */

static void a_full_disk_changes_nothing_and_dropping_helps(void)
{
	struct model model;
	uint64_t end = 0, lsn;
	int r;

	model_init(&model, 11);
	disk_memory_limit(model.disk, 5 * 65536);
	model.options.bytes_reserved = 65536;
	require(model_open(&model) == 0);
	while ((r = model_append(&model)) == 0)
		end = tape_end(model.tape);
	check(r == -ENOSPC && tape_broken(model.tape) == 0);
	check(tape_end(model.tape) == end && end > 2 * 65536 && end < 3 * 65536, "%" PRIu64, end);
	check(model_sync(&model) == 0);
	model_compare(&model, true);
	require(tape_segments(model.tape, first_sealed, &lsn) == 1);
	require(tape_drop(model.tape, lsn) == 0);
	for (size_t i = 0; i < model.count; i++)
		model.records[i].dropped = model.records[i].record.lsn < lsn + 65536;
	check(model_append(&model) == 0 && model_sync(&model) == 0);
	model_compare(&model, true);
	check(model_crash(&model));
	model_done(&model);
}

static uint64_t append_until_full(struct model *model, enum tape_room kind)
{
	uint64_t before = tape_end(model->tape);
	int r;

	model->room_kind = kind;
	while ((r = model_append(model)) == 0)
		;
	check(r == -ENOSPC && tape_broken(model->tape) == 0, "%d", r);
	return tape_end(model->tape) - before;
}

static void drop_oldest(struct model *model)
{
	uint64_t lsn = 0;

	require(tape_settle(model->tape) == 0);
	require(tape_segments(model->tape, first_sealed, &lsn) == 1);
	require(tape_drop(model->tape, lsn) == 0);
	for (size_t i = 0; i < model->count; i++)
		model->records[i].dropped |= model->records[i].record.lsn < lsn + 65536;
}

/* A tape of a few segments on a disk that has just become full, with three spares held. */
static void full_tape(struct model *model, uint64_t seed)
{
	model_init(model, seed);
	disk_memory_limit(model->disk, 12 * 65536);
	model->options.bytes_reserved = 3 * 65536;
	model->options.spares_held = 3;
	require(model_open(model) == 0);
	append_until_full(model, TAPE_GROWTH);
	drop_oldest(model);
	drop_oldest(model);
	drop_oldest(model);
	/* And somebody has begun the reserve. */
	disk_memory_limit(model->disk, 11 * 65536);
}

static void on_a_full_disk_growth_ends_first_and_releases_last(void)
{
	struct model model;
	uint64_t lsn;

	full_tape(&model, 21);
	check(append_until_full(&model, TAPE_GROWTH) < 8192, "growth took what is held");
	/* What goes on in a held spare does not open it to growth. */
	model.room_kind = TAPE_IN_PLACE;
	for (lsn = tape_end(model.tape); tape_end(model.tape) / 65536 == lsn / 65536;)
		require(model_append(&model) == 0);
	check(append_until_full(&model, TAPE_GROWTH) == 0, "growth in a held spare");
	check(append_until_full(&model, TAPE_IN_PLACE) > 65536 / 2);
	check(append_until_full(&model, TAPE_LAST_RESORT) > 65536 / 2);
	check(append_until_full(&model, TAPE_IN_PLACE) < 8192, "it took what is kept");
	check(append_until_full(&model, TAPE_RELEASE) > 65536 / 2);
	check(model_sync(&model) == 0);
	drop_oldest(&model);
	check(append_until_full(&model, TAPE_GROWTH) < 8192,
	      "growth took what was just held again");
	check(append_until_full(&model, TAPE_RELEASE) > 65536 / 2);
	model_compare(&model, true);
	/* With room on the disk again, spares are recycled and all may grow. */
	disk_memory_limit(model.disk, 40 * 65536);
	check(append_until_full(&model, TAPE_GROWTH) > 4 * 65536);
	check(model_sync(&model) == 0);
	check(model_crash(&model));
	model_done(&model);
}

static uint64_t free_bytes(struct model *model)
{
	struct disk_space space;

	return check(disk_space(model->disk, &space) == 0) ? space.bytes_free : 0;
}

static void what_is_held_is_lent_but_for_the_last_and_comes_back_with_a_dropped_segment(void)
{
	struct model model;
	uint64_t before;

	full_tape(&model, 22);
	before = free_bytes(&model);
	check(tape_lend(model.tape, 8192) && free_bytes(&model) == before + 8192);
	check(tape_lend(model.tape, 1) && free_bytes(&model) == before + 8192 + 4096);
	/* The rest of it, and another one. */
	check(tape_lend(model.tape, 65536) && free_bytes(&model) == before + 65536);
	check(tape_lend(model.tape, 65536) && free_bytes(&model) == before + 2 * 65536);
	check(!tape_lend(model.tape, 1) && free_bytes(&model) == before + 2 * 65536);
	drop_oldest(&model);
	check(free_bytes(&model) < before + 3 * 65536, "the segment was not held");
	check(tape_lend(model.tape, 65536) && free_bytes(&model) >= before + 3 * 65536);
	/* What came free is taken back. */
	drop_oldest(&model);
	tape_regain(model.tape);
	before = free_bytes(&model);
	check(tape_lend(model.tape, 3 * 4096));
	tape_regain(model.tape);
	check(free_bytes(&model) == before && tape_lend(model.tape, 4096));
	disk_memory_limit(model.disk, 1);
	tape_regain(model.tape);
	disk_memory_limit(model.disk, 11 * 65536);
	check(free_bytes(&model) == before + 4096);
	/* One that is shorter now is no segment, also after a crash. */
	drop_oldest(&model);
	check(tape_lend(model.tape, 4096) && model_sync(&model) == 0);
	check(model_crash(&model));
	model.room_kind = TAPE_IN_PLACE;
	check(model_append(&model) == 0 && model_sync(&model) == 0);
	model_compare(&model, true);
	model_done(&model);
}

/* To be gone with all that others leave is what a fold that fails must not come to. */
static void what_was_lent_whole_comes_back_too_also_after_a_crash(void)
{
	struct model model;
	uint64_t before;

	full_tape(&model, 23);
	before = free_bytes(&model);
	for (int again = 0; again < 2; again++) {
		check(tape_lend(model.tape, 65536) && tape_lend(model.tape, 65536));
		check(!tape_lend(model.tape, 1) && free_bytes(&model) == before + 2 * 65536);
		tape_regain(model.tape);
		check(free_bytes(&model) == before, "lost in round %d", again);
	}
	check(tape_lend(model.tape, 65536) && tape_lend(model.tape, 65536));
	check(model_sync(&model) == 0 && model_crash(&model));
	tape_regain(model.tape);
	check(tape_lend(model.tape, 65536) && tape_lend(model.tape, 65536));
	/* Dropped segments take its place: no more is held than was before. */
	drop_oldest(&model);
	drop_oldest(&model);
	before = free_bytes(&model);
	tape_regain(model.tape);
	check(free_bytes(&model) == before && tape_lend(model.tape, 65536) &&
	      tape_lend(model.tape, 65536) && !tape_lend(model.tape, 1));
	model_done(&model);
}

/* --- Times -------------------------------------------------------------------------------- */

static int64_t set_clock(void *arg)
{
	return *(int64_t *)arg;
}

static bool time_is_at(struct model *model, int64_t time_us, uint64_t expected)
{
	uint64_t found;

	return check(tape_find_time(model->tape, time_us, &found, NULL) == 0) &&
	       check(found == expected, "%" PRIu64 " and not %" PRIu64, found, expected);
}

static void a_time_is_found_between_its_last_record_and_the_next(void)
{
	struct model model;
	int64_t now = 100;
	struct tape_record a[3], b, c;

	model_init(&model, 12);
	model.options.clock = set_clock;
	model.options.clock_arg = &now;
	require(model_open(&model) == 0);
	check(tape_last_time(model.tape) == 0);
	time_is_at(&model, 100, tape_end(model.tape));
	for (int i = 0; i < 3; i++)
		require(append_sized(&model, 10, 'a', &a[i]) == 0 && a[i].time_us == 100);
	now = 50; /* the clock was put back */
	require(append_sized(&model, 30000, 'b', &b) == 0 && b.time_us == 100);
	now = 200;
	require(append_sized(&model, 40000, 'c', &c) == 0 && c.time_us == 200 && c.lsn > 65536);
	for (int round = 0; round < 2; round++) {
		time_is_at(&model, INT64_MIN, a[0].lsn);
		time_is_at(&model, 99, a[0].lsn);
		time_is_at(&model, 100, c.lsn);
		time_is_at(&model, 199, c.lsn);
		time_is_at(&model, 200, tape_end(model.tape));
		time_is_at(&model, INT64_MAX, tape_end(model.tape));
		check(tape_last_time(model.tape) == 200);
		tape_close(take(model.tape));
		now = 10;
		require(model_open(&model) == 0);
	}
	require(append_sized(&model, 10, 'd', &b) == 0);
	check(b.time_us == 200);
	model_done(&model);
}

static void time_goes_on_although_all_that_had_it_was_dropped(void)
{
	struct model model;
	int64_t now = 500;
	struct tape_record a, b;

	model_init(&model, 17);
	model.options.clock = set_clock;
	model.options.clock_arg = &now;
	require(model_open(&model) == 0);
	require(append_sized(&model, 40000, 'a', &a) == 0 && model_sync(&model) == 0);
	/* The next segment has begun, but of its first record only the head has reached the disk.
	 */
	require(append_sized(&model, 40000, 'b', &b) == 0 && model_sync(&model) == 0);
	require(tape_drop(model.tape, 0) == 0);
	power_cycle(&model);
	require(disk_memory_flip(model.disk, "tape/0000000000010000.seg", b.end % 65536 - 100, 1) ==
		0);
	now = 10;
	require(model_open(&model) == 0);
	check(tape_end(model.tape) == b.lsn && tape_last_time(model.tape) == 500);
	require(append_sized(&model, 10, 'c', &b) == 0 && b.time_us == 500);
	model_done(&model);
}

/* --- Read-only
 * -------------------------------------------------------------------------------------- */

static void a_read_only_tape_changes_nothing(void)
{
	struct model model;
	uint64_t calls;
	struct tape_record record;

	model_init(&model, 13);
	require(model_open(&model) == 0);
	for (int i = 0; i < 80; i++)
		require(model_append(&model) == 0);
	require(model_sync(&model) == 0);
	power_cycle(&model);
	calls = disk_memory_calls(model.disk);
	model.options.read_only = true;
	require(model_open(&model) == 0);
	model_compare(&model, true);
	check(tape_append(model.tape, 1, TAPE_GROWTH, NULL, 0, NULL, 0, &record) == -EROFS);
	check(tape_sync(model.tape, 0) == -EROFS && tape_drop(model.tape, 0) == -EROFS);
	tape_close(take(model.tape));
	check(disk_memory_calls(model.disk) == calls);
	model_done(&model);
}

static void nothing_new_costs_no_flush(void)
{
	struct tape_stats before, after;
	struct model model;

	model_init(&model, 14);
	require(model_open(&model) == 0 && model_append(&model) == 0 && model_sync(&model) == 0);
	tape_get_stats(model.tape, &before);
	check(model_sync(&model) == 0 && tape_sync(model.tape, 5) == 0);
	check(model_append(&model) == 0 && tape_sync(model.tape, tape_durable(model.tape)) == 0);
	tape_get_stats(model.tape, &after);
	check(after.flushes == before.flushes && after.syncs_asked == before.syncs_asked + 3);
	check(tape_durable(model.tape) < tape_end(model.tape));
	model_done(&model);
}

/* --- Random runs -------------------------------------------------------------------------- */

/* It may go in a call whose failure the tape takes lightly, such as writing an index. */
static bool has_power(struct model *model)
{
	struct disk_space space;

	return disk_space(model->disk, &space) == 0;
}

static bool random_read(struct model *model)
{
	const struct model_record *mine;
	uint32_t skip;

	if (model->count == 0)
		return true;
	mine = &model->records[model_roll(model, model->count)];
	skip = model_roll(model, mine->record.data_size + 1);
	return mine->dropped ||
	       model_read(model, mine, skip, model_roll(model, mine->record.data_size - skip + 1));
}

static bool random_find(struct model *model)
{
	int64_t time_us;
	uint64_t found, expected = tape_end(model->tape);

	if (model->count == 0)
		return true;
	time_us = model->records[model_roll(model, model->count)].record.time_us +
		  model_roll(model, 3) - 1;
	for (size_t i = model->count; i > 0; i--)
		if (!model->records[i - 1].dropped &&
		    model->records[i - 1].record.time_us > time_us)
			expected = model->records[i - 1].record.lsn;
	return check(tape_find_time(model->tape, time_us, &found, NULL) == 0 && found == expected,
		     "seed %" PRIu64 ": time %" PRId64, model->seed, time_us);
}

struct chosen {
	struct model *model;
	uint64_t lsn;
};

static int choose_sealed(const struct tape_segment *segment, void *arg)
{
	struct chosen *chosen = arg;

	if (segment->sealed && model_roll(chosen->model, 3) == 0)
		chosen->lsn = segment->lsn;
	return 0;
}

static int random_drop(struct model *model)
{
	struct chosen chosen = {model, UINT64_MAX};
	int r;

	tape_segments(model->tape, choose_sealed, &chosen);
	if (chosen.lsn == UINT64_MAX)
		return 0;
	r = tape_drop(model->tape, chosen.lsn);
	for (size_t i = 0; i < model->count; i++)
		if (model->records[i].record.lsn / model->options.segment_bytes ==
		    chosen.lsn / model->options.segment_bytes)
			model->records[i].dropped = true;
	return r;
}

/* 0, -EIO once the power is gone, or 1 when the model and the tape differ. */
static int random_step(struct model *model)
{
	uint64_t roll = model_roll(model, 100);
	if (!has_power(model))
		return -EIO;
	if (roll < 68)
		return model_append(model);
	if (roll < 70)
		return model_pack(model);
	if (roll < 82)
		return model_sync(model);
	if (roll < 90)
		return !random_read(model);
	if (roll < 92)
		return !random_find(model);
	if (roll < 93)
		return random_drop(model);
	if (roll < 94)
		return !model_compare(model, false) || !model_verify(model);
	if (roll < 96)
		disk_memory_power_cut(model->disk,
				      disk_memory_calls(model->disk) + 1 + model_roll(model, 12));
	else if (roll < 98)
		disk_memory_fail(model->disk,
				 disk_memory_calls(model->disk) + 1 + model_roll(model, 12), false);
	else if (roll < 99)
		return -EIO;
	return 0;
}

/* The process starts again, on the same disk; a call that was to fail may fail now. */
static bool random_restart(struct model *model)
{
	int r = -EIO;

	(void)model_sync(model);
	tape_close(take(model->tape));
	for (int tries = 0; tries < 3 && r < 0 && has_power(model); tries++)
		r = model_open(model);
	if (!has_power(model))
		return model_crash(model);
	return check(r == 0, "seed %" PRIu64 ": reopen: %d", model->seed, r) &&
	       model_adopt(model) && model_compare(model, true) && model_verify(model);
}

static bool random_reopen(struct model *model)
{
	if (!has_power(model) || model_roll(model, 2))
		return model_crash(model);
	return random_restart(model);
}

static bool random_run(uint64_t seed)
{
	struct model model;
	bool good = true;
	int r;

	model_init(&model, seed);
	if (seed % 3 == 0)
		model.options.segment_bytes = 192 * 1024;
	good = check(model_open(&model) == 0);
	for (int step = 0; step < 250 && good; step++) {
		r = random_step(&model);
		if (r == -EIO)
			good = random_reopen(&model);
		else
			good = check(r == 0, "seed %" PRIu64 ": step %d: %d", seed, step, r);
	}
	if (good && model_sync(&model) == 0 && has_power(&model))
		good = model_compare(&model, true);
	if (!good)
		printf("# replay with: tape_test %" PRIu64 "\n", seed);
	model_done(&model);
	return good;
}

static bool random_runs(uint64_t from, uint64_t count)
{
	for (uint64_t seed = from; seed < from + count; seed++)
		if (!random_run(seed))
			return false;
	return true;
}

static void random_runs_agree_with_the_model(void)
{
	random_runs(1, 800);
}

/* --- On a directory ----------------------------------------------------------------------- */

static int remove_one(const char *name, void *arg)
{
	char path[DISK_NAME_MAX];

	snprintf(path, sizeof path, "tape/%s", name);
	return disk_remove(arg, path);
}

static void a_directory_serves_as_well(void)
{
	char directory[] = "tape-test-XXXXXX", folder[64];
	struct model model;

	require(mkdtemp(directory) != NULL);
	model_init(&model, 15);
	disk_close(take(model.disk));
	require(disk_local_open(directory, &model.disk) == 0);
	for (int round = 0; round < 4; round++) {
		model.options.background = round % 2;
		require(model_open(&model) == 0);
		model_compare(&model, true);
		for (int i = 0; i < 90; i++)
			require(model_append(&model) == 0 && (i % 3 || model_sync(&model) == 0));
		check(random_drop(&model) == 0);
		check(model_pack(&model) == 0);
		model_compare(&model, true);
		tape_close(take(model.tape));
		model_verify(&model);
	}
	disk_list(model.disk, "tape", remove_one, model.disk);
	model_done(&model);
	snprintf(folder, sizeof folder, "%s/tape", directory);
	check(rmdir(folder) == 0 && rmdir(directory) == 0);
}

/* --- Long records ------------------------------------------------------------------------- */

#define LONG_BYTES 200003

static void long_model_init(struct model *model, uint64_t seed)
{
	model_init(model, seed);
	model->options.segment_bytes = 4 << 20;
	model->options.ring_bytes = 0;
	require(model_open(model) == 0);
}

static int append_long(struct model *model, const uint8_t *data, struct tape_record *ret)
{
	struct iovec iov[] = {{(void *)data, 777}, {(void *)(data + 777), LONG_BYTES - 777}};

	return tape_append(model->tape, 7, TAPE_GROWTH, "meta", 4, iov, 2, ret);
}

/* The part comes as it is, and nothing around it is touched. */
static void check_part(struct model *model, const struct tape_record *record, const uint8_t *data,
		       uint32_t skip, size_t size)
{
	CLEANUP(free) uint8_t *out = xmalloc(size + 32);

	memset(out, 0xee, size + 32);
	check(tape_read(model->tape, record->lsn, skip, out + 16, size, NULL) == 0, "%u %zu", skip,
	      size);
	check(memcmp(out + 16, data + skip, size) == 0, "%u %zu", skip, size);
	for (int i = 0; i < 16; i++)
		check(out[i] == 0xee && out[16 + size + i] == 0xee, "%u %zu", skip, size);
}

static void check_parts(struct model *model, const struct tape_record *record, const uint8_t *data)
{
	static const uint32_t from[] = {0,     1,     4095,   4096,   4097,   8192,
					12289, 65536, 163839, 163840, 196608, 200002};
	static const uint32_t to[] = {1,      4096,   33000,  36864,  40960,
				      131072, 131073, 196608, 199999, LONG_BYTES};

	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		for (size_t j = 0; j < ARRAY_SIZE(to); j++)
			if (from[i] <= to[j])
				check_part(model, record, data, from[i], to[j] - from[i]);
}

static void any_part_of_a_long_record_is_read_from_memory_and_from_the_disk(void)
{
	CLEANUP(free) uint8_t *data = NULL;
	struct tape_record record;
	struct model model;

	long_model_init(&model, 21);
	data = model_bytes(&model, 1, 1, LONG_BYTES);
	require(append_long(&model, data, &record) == 0);
	check_parts(&model, &record, data);
	tape_close(take(model.tape));
	require(model_open(&model) == 0);
	check_parts(&model, &record, data);
	model_done(&model);
}

/* Reads of which one touches the block, and the others come up to it on either side. */
static void check_around_damage(struct model *model, const struct tape_record *record,
				uint32_t block)
{
	uint32_t start = block * TAPE_CHECK_BLOCK;
	uint32_t end = MIN(start + TAPE_CHECK_BLOCK, (uint32_t)LONG_BYTES);
	CLEANUP(free) uint8_t *out = xmalloc(LONG_BYTES);
	struct tape *tape = model->tape;

	check(tape_read(tape, record->lsn, 0, out, LONG_BYTES, NULL) == -EBADMSG, "%u", block);
	check(tape_read(tape, record->lsn, 0, out, start + 1, NULL) == -EBADMSG, "%u", block);
	check(tape_read(tape, record->lsn, end - 1, out, LONG_BYTES - end + 1, NULL) == -EBADMSG,
	      "%u", block);
	check(tape_read(tape, record->lsn, 0, out, start, NULL) == 0, "%u", block);
	check(tape_read(tape, record->lsn, end, out, LONG_BYTES - end, NULL) == 0, "%u", block);
}

static void no_part_of_a_damaged_block_of_a_long_record_is_given_out(void)
{
	uint32_t blocks = ALIGN_UP(LONG_BYTES, TAPE_CHECK_BLOCK) / TAPE_CHECK_BLOCK;
	CLEANUP(free) uint8_t *data = NULL;
	struct tape_record record;
	struct model model;

	long_model_init(&model, 22);
	data = model_bytes(&model, 1, 1, LONG_BYTES);
	require(append_long(&model, data, &record) == 0 && model_sync(&model) == 0);
	tape_close(take(model.tape));
	require(model_open(&model) == 0);
	for (uint32_t block = 0; block < blocks; block++) {
		uint64_t data_at = record.lsn + 48 + 4 + 4ull * blocks;
		uint64_t at = data_at + (uint64_t)block * TAPE_CHECK_BLOCK + block % 7;

		require(disk_memory_flip(model.disk, "tape/0000000000000000.seg", at, 4) == 0);
		check_around_damage(&model, &record, block);
		require(disk_memory_flip(model.disk, "tape/0000000000000000.seg", at, 4) == 0);
	}
	model_done(&model);
}

/* Every part of the file is asked for once, or never. */
static void who_reads_long_records_in_order_has_the_next_ones_fetched(void)
{
	CLEANUP(free) uint8_t *data = xcalloc(1, LONG_BYTES);
	struct tape_record records[40];
	struct model model;
	uint64_t before;

	long_model_init(&model, 23);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		require(append_long(&model, data, &records[i]) == 0);
	require(model_sync(&model) == 0);
	tape_close(take(model.tape));
	require(model_open(&model) == 0);
	before = disk_memory_prefetched(model.disk);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		check_part(&model, &records[i], data, 0, LONG_BYTES);
	before = disk_memory_prefetched(model.disk) - before;
	check(before >= 7ull << 20 && before <= 8ull << 20, "%" PRIu64, before);

	/* Short parts are nobody's who goes on. */
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		check_part(&model, &records[i], data, 0, 16384);
	check(disk_memory_prefetched(model.disk) <= 8ull << 20);
	model_done(&model);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return !random_runs(strtoull(argv[1], NULL, 0),
				    argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
	RUN(what_is_appended_is_read_back);
	RUN(a_reopened_tape_goes_on_where_it_ended);
	RUN(limits_are_kept);
	RUN(a_stale_record_behind_a_torn_one_is_no_successor);
	RUN(the_head_of_a_torn_record_does_not_hide_the_next_segment);
	RUN(dropped_segments_are_used_again_and_their_old_records_are_not_seen);
	RUN(a_full_disk_changes_nothing_and_dropping_helps);
	RUN(on_a_full_disk_growth_ends_first_and_releases_last);
	RUN(what_is_held_is_lent_but_for_the_last_and_comes_back_with_a_dropped_segment);
	RUN(what_was_lent_whole_comes_back_too_also_after_a_crash);
	RUN(a_time_is_found_between_its_last_record_and_the_next);
	RUN(time_goes_on_although_all_that_had_it_was_dropped);
	RUN(a_read_only_tape_changes_nothing);
	RUN(nothing_new_costs_no_flush);
	RUN(any_part_of_a_long_record_is_read_from_memory_and_from_the_disk);
	RUN(no_part_of_a_damaged_block_of_a_long_record_is_given_out);
	RUN(who_reads_long_records_in_order_has_the_next_ones_fetched);
	RUN(a_directory_serves_as_well);
	RUN(random_runs_agree_with_the_model);
	return tap_done();
}
