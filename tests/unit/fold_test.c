/* Folds: the horizon moves, and nothing reachable changes by it, whatever fails meanwhile. */
#include "volume_bed.h"

/* What a tape without history takes: the segment in use, three spares held, two to recycle. */
#define FEW_SEGMENTS 6

#define FILES 4

static const char *const names[FILES] = {"a", "b", "c", "d"};

/*
 * Goal: back, forward into what was abandoned, and back again, with the horizon passing through the
 *middle of it. Method: the tape is
 *
 *	one -- two -- three   R1: back to one   uno -- due   R2: forward to two   zwei
 *
 * and the horizon is moved past each of these in turn, with enough writes between for folds to
 *happen; what lies behind it must stay reachable, exactly.
 */
static void the_horizon_passes_through_abandoned_stretches(void)
{
	static const char *const said[] = {"one__", "two__", "three", "uno__", "due__", "zwei_"};
	struct moment moments[ARRAY_SIZE(said)], horizon;
	struct volume_stats stats;
	struct bed bed;

	require(bed_init(&bed, 100 * SECOND));
	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		if (i == 3)
			check(bed_back(&bed, moments[0]) == 0, "%s", bed.why.text);
		if (i == 5)
			check(bed_back(&bed, moments[1]) == 0, "%s", bed.why.text);
		check(bed_fill(&bed, "noise", 48) == 0);
		bed_say(&bed, "f", said[i]);
		bed_say(&bed, said[i], "file");
		moments[i] = bed_now(&bed);
		bed.now_us += 10 * SECOND;
	}
	check(volume_sync(bed.volume) == 0);
	/* From here on time passes, and the horizon with it. */
	for (int passed = 0; passed < 16; passed++) {
		bed.now_us += 10 * SECOND;
		check(bed_maintain(&bed) == 0);
		volume_horizon(bed.volume, &horizon);
		check(bed_head_says(&bed, "f", "zwei_") && bed_head_says(&bed, "two__", "file") &&
		      bed_head_says(&bed, "three", NULL) && bed_head_says(&bed, "uno__", NULL));
		for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
			CLEANUP(view) struct view *view = NULL;
			int r = volume_view(bed.volume, &moments[i], &view, &bed.why);

			if (moments[i].lsn < horizon.lsn) {
				check(r == -ERANGE);
				continue;
			}
			if (!check(r == 0, "%s after %d: %d %s", said[i], passed, r, bed.why.text))
				continue;
			check(bed_says(view, "f", said[i]) && bed_says(view, said[i], "file"),
			      "%s after %d", said[i], passed);
			check(bed_says(view, "three", i == 2 ? "file" : NULL), "%s after %d",
			      said[i], passed);
		}
		if (passed % 3 == 0)
			check(bed_power_cut(&bed, passed) == 0, "%s", bed.why.text);
	}
	check(bed_maintain(&bed) == 0);
	volume_get_stats(bed.volume, &stats);
	check(stats.records_stored < 100, "%llu records left",
	      (unsigned long long)stats.records_stored);
	bed_done(&bed);
}

/*
 * Goal: what the horizon has let go of is not promised again by a longer window, also after a
 * crash. Method: a stretch that is abandoned at once, so that it is dropped without a fold; then
 * the power goes, the window is made as long as can be, and every moment since must be refused or
 * be as it was.
 */
static void a_longer_window_promises_only_what_is_still_there(void)
{
	struct moment moments[12];
	struct moment start;
	struct bed bed;
	char said[8];

	require(bed_init(&bed, 10 * SECOND));
	bed_say(&bed, "f", "start");
	start = bed_now(&bed);
	for (int i = 0; i < 12; i++) {
		snprintf(said, sizeof said, "%05d", i);
		if (i <= 5)
			bed_fill(&bed, "noise", 20);
		bed_say(&bed, "f", said);
		moments[i] = bed_now(&bed);
		if (i == 5)
			check(bed_back(&bed, start) == 0);
		bed.now_us += SECOND;
	}
	bed.now_us += 3 * SECOND;
	check(volume_sync(bed.volume) == 0);
	for (int passed = 0; passed < 10; passed++) {
		struct moment horizon;

		bed.now_us += SECOND;
		check(bed_maintain(&bed) == 0);
		require(bed_power_cut(&bed, passed) == 0, "%s", bed.why.text);
		check(volume_set_window(bed.volume, 100000 * SECOND) == 0);
		volume_horizon(bed.volume, &horizon);
		for (int i = 0; i < 12; i++) {
			CLEANUP(view) struct view *view = NULL;
			int r = volume_view(bed.volume, &moments[i], &view, &bed.why);

			snprintf(said, sizeof said, "%05d", i);
			check(r == (moments[i].lsn < horizon.lsn ? -ERANGE : 0),
			      "%d after %d: %d %s", i, passed, r, bed.why.text);
			check(r < 0 || bed_says(view, "f", said), "%d after %d", i, passed);
		}
		check(volume_set_window(bed.volume, 10 * SECOND) == 0);
	}
	bed_done(&bed);
}

/* A volume with something to fold; `said` is what the files say. */
static bool prepare(struct bed *bed)
{
	if (!bed_init(bed, 10 * SECOND))
		return false;
	for (int round = 0; round < 3; round++)
		for (int f = 0; f < FILES; f++) {
			bed_fill(bed, names[f], 12);
			/* Not aligned: partly covered blocks. */
			bed_write(bed, names[f], 5000 + round * 3000, "unaligned", 9);
		}
	bed_say(bed, "gone", "gone");
	volume_unlink(bed->volume, VOLUME_ROOT_INO, "gone");
	for (int f = 0; f < FILES; f++)
		bed_say(bed, names[f], names[f]);
	bed->now_us += 30 * SECOND;
	bed_fill(bed, "later", 20);
	return check(volume_sync(bed->volume) == 0);
}

static bool as_prepared(struct bed *bed)
{
	for (int f = 0; f < FILES; f++) {
		struct view *head = volume_head(bed->volume);
		uint8_t found[10] = {0};

		if (!bed_says(head, names[f], names[f]) ||
		    view_read(head, bed_ino(head, names[f]), 11000, found, 9) != 9 ||
		    memcmp(found, "unaligned", 9))
			return false;
	}
	return bed_head_says(bed, "gone", NULL);
}

static void count_damage(const char *line, void *arg)
{
	printf("# %s\n", line);
	++*(int *)arg;
}

static bool is_sound(struct bed *bed)
{
	int damage = 0;
	struct volume_verify_options options = {.report = count_damage, .arg = &damage};

	return volume_verify(bed->disk, bed->volume, &options) == 0 && !damage;
}

/*
 * Goal: a fold survives a power cut at each of its disk calls.
 * Method: cut at the n-th call for n = 1, 2, ... until the fold gets through; come up, compare,
 * fold again, compare, verify.
 */
static void a_fold_survives_a_power_cut_at_every_disk_call(void)
{
	uint64_t calls, n;

	for (n = 1;; n++) {
		struct disk *left;
		struct bed bed;

		require(prepare(&bed));
		calls = disk_memory_calls(bed.disk);
		disk_memory_power_cut(bed.disk, calls + n);
		bed_maintain(&bed);
		if (disk_memory_calls(bed.disk) < calls + n) {
			bed_done(&bed);
			break;
		}
		left = disk_memory_power_on(bed.disk, n);
		volume_close(bed.volume);
		disk_close(bed.disk);
		bed.volume = NULL;
		bed.disk = left;
		require(bed_open(&bed) == 0, "call %llu: %s", (unsigned long long)n, bed.why.text);
		check(as_prepared(&bed), "after a cut at call %llu", (unsigned long long)n);
		check(bed_maintain(&bed) == 0);
		check(as_prepared(&bed) && is_sound(&bed), "folded after a cut at call %llu",
		      (unsigned long long)n);
		bed_done(&bed);
	}
	check(n > 20, "only %llu calls: was there a fold?", (unsigned long long)n);
}

/* As above, but the call fails, once; the volume must go on, and be whole when it is opened again.
 */
static void a_fold_survives_the_failure_of_every_disk_call(void)
{
	uint64_t calls, n;

	for (n = 1;; n++) {
		struct bed bed;

		require(prepare(&bed));
		calls = disk_memory_calls(bed.disk);
		disk_memory_fail(bed.disk, calls + n, false);
		bed_maintain(&bed);
		if (disk_memory_calls(bed.disk) < calls + n) {
			bed_done(&bed);
			break;
		}
		check(as_prepared(&bed), "after call %llu failed", (unsigned long long)n);
		volume_close(bed.volume);
		bed.volume = NULL;
		require(bed_open(&bed) == 0, "call %llu: %s", (unsigned long long)n, bed.why.text);
		check(as_prepared(&bed), "opened after call %llu failed", (unsigned long long)n);
		check(bed_maintain(&bed) == 0);
		check(as_prepared(&bed) && is_sound(&bed), "folded after call %llu failed",
		      (unsigned long long)n);
		bed_done(&bed);
	}
	check(n > 20, "only %llu calls: was there a fold?", (unsigned long long)n);
}

static void folding_moves_only_the_newest_version(void)
{
	struct volume_stats stats;
	struct bed bed;

	require(bed_init(&bed, 10 * SECOND));
	for (int i = 0; i < 40; i++)
		bed_fill(&bed, "f", 16);
	bed.now_us += 30 * SECOND;
	check(bed_maintain(&bed) == 0);
	volume_get_stats(bed.volume, &stats);
	check(stats.folds > 0 && stats.base_bytes <= 32 * 4096, "%llu bytes",
	      (unsigned long long)stats.base_bytes);
	check(stats.tape_bytes <= FEW_SEGMENTS * BED_SEGMENT, "%llu bytes",
	      (unsigned long long)stats.tape_bytes);
	bed_done(&bed);
}

static void more_files_than_descriptors_are_folded_and_read_back(void)
{
	char name[16], text[24];
	struct bed bed;

	require(bed_init(&bed, 10 * SECOND));
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 600; i++) {
			snprintf(name, sizeof name, "file%d", i);
			snprintf(text, sizeof text, "round %d of %d", round, i);
			require(bed_say(&bed, name, text) == 0);
		}
		bed.now_us += 30 * SECOND;
		bed_fill(&bed, "f", 64);
		bed.now_us += 30 * SECOND;
		check(bed_maintain(&bed) == 0);
	}
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof name, "file%d", i * 7 % 600);
		snprintf(text, sizeof text, "round 1 of %d", i * 7 % 600);
		check(bed_head_says(&bed, name, text), "%s", name);
	}
	check(is_sound(&bed));
	bed_done(&bed);
}

static void memory_grows_with_distinct_ranges_not_with_changes(void)
{
	struct volume_stats before, after;
	struct bed bed;

	require(bed_init(&bed, 1000 * SECOND));
	bed_fill(&bed, "f", 16);
	volume_get_stats(bed.volume, &before);
	bed_fill(&bed, "f", 20000);
	volume_get_stats(bed.volume, &after);
	check(after.extents == before.extents && after.memory_bytes == before.memory_bytes);
	bed_done(&bed);
}

/* From now on the disk has so many segments' room, of which so many are kept free. */
static bool bed_shrink_disk(struct bed *bed, uint64_t segments, uint64_t reserved)
{
	disk_memory_limit(bed->disk, segments * BED_SEGMENT);
	bed->options.bytes_reserved = reserved * BED_SEGMENT;
	volume_close(bed->volume);
	bed->volume = NULL;
	return check(bed_open(bed) == 0, "%s", bed->why.text);
}

/* An endless window on a small disk. */
static bool bed_init_small(struct bed *bed, uint64_t segments, uint64_t reserved)
{
	return bed_init(bed, 1000000 * SECOND) && bed_shrink_disk(bed, segments, reserved);
}

static void history_gives_way_to_the_live_database_and_only_then_the_disk_is_full(void)
{
	struct moment first, horizon;
	struct volume_stats stats;
	char name[16];
	struct bed bed;
	int r = 0, i;

	require(bed_init(&bed, 1000000 * SECOND));
	bed_say(&bed, "f", "first");
	first = bed_now(&bed);
	require(bed_shrink_disk(&bed, 32, 4));
	/* Rewriting the same file for ever fits, at the cost of the window. */
	check(bed_fill(&bed, "f", 2000) == 0);
	volume_horizon(bed.volume, &horizon);
	check(horizon.lsn > first.lsn);
	volume_get_stats(bed.volume, &stats);
	check(stats.window_actual_us < stats.window_target_us &&
		      strstr(stats.last_error, "given up"),
	      "%s", stats.last_error);
	/* More and more files do not. */
	for (i = 0; i < 1000 && r == 0; i++) {
		snprintf(name, sizeof name, "g%d", i);
		r = bed_fill(&bed, name, 16);
	}
	check(r == -ENOSPC && i > 10, "%d after %d files", r, i);
	check(volume_sync(bed.volume) == 0);
	require(bed_power_cut(&bed, 9) == 0, "%s", bed.why.text);
	check(!bed_head_says(&bed, "g0", NULL) && is_sound(&bed));
	/* Room comes back when files go. */
	while (i-- > 4) {
		snprintf(name, sizeof name, "g%d", i);
		volume_unlink(bed.volume, VOLUME_ROOT_INO, name);
	}
	bed_maintain(&bed);
	check(bed_fill(&bed, "h", 64) == 0);
	bed_done(&bed);
}

/* All the room that there is, taken by somebody else. */
static uint64_t fill_the_rest(struct bed *bed, uint64_t size)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	uint8_t block[4096] = {1};

	check(disk_open(bed->disk, "filler", DISK_CREATE, &file) == 0);
	while (disk_file_write(file, block, sizeof block, size) == 0)
		size += sizeof block;
	return size;
}

/* So many blocks, each one in its place among the first 64, all that becomes free taken at once. */
static int write_in_place(struct bed *bed, uint64_t *filler, int blocks)
{
	uint8_t noise[4096];
	int r = 0;

	for (int i = 0; i < blocks && r == 0; i++) {
		uint64_t at = (uint64_t)(i * 7 % 64) * sizeof noise;

		*filler = fill_the_rest(bed, *filler);
		memset(noise, i, sizeof noise);
		memcpy(noise, &i, sizeof i);
		r = bed_write(bed, "f", at, noise, sizeof noise);
	}
	return r;
}

static void with_the_whole_disk_taken_what_is_there_can_still_be_rewritten_for_ever(void)
{
	uint64_t filler = 0;
	uint8_t block[4096] = "new";
	struct bed bed;
	int found = 0, grown = 0, r;

	require(bed_init_small(&bed, 40, 6));
	/* 64 blocks, written often enough for history to give way: from then on spares are held. */
	for (int i = 0; i < 64; i++)
		require(bed_write(&bed, "f", i * UINT64_C(4096), block, sizeof block) == 0);
	for (int i = 0; i < 60; i++)
		require((r = bed_fill(&bed, "f", 16)) == 0, "%d in round %d", r, i);
	check(write_in_place(&bed, &filler, 3000) == 0);
	check(volume_sync(bed.volume) == 0 && is_sound(&bed));
	require(bed_power_cut(&bed, 5) == 0, "%s", bed.why.text);
	require(write_in_place(&bed, &filler, 500) == 0);
	require(view_read(volume_head(bed.volume), bed_ino(volume_head(bed.volume), "f"),
			  499 * 7 % 64 * 4096, &found, sizeof found) == sizeof found);
	check(found == 499);
	/* Growing ends with the last of history. */
	for (r = 0; r == 0 && grown < 2000; grown++) {
		filler = fill_the_rest(&bed, filler);
		r = bed_write(&bed, "f", (64 + grown) * UINT64_C(4096), block, sizeof block);
	}
	check(r == -ENOSPC, "it grows on a full disk: %d", r);
	/* And with the other one gone, all is as ever. */
	require(disk_remove(bed.disk, "filler") == 0);
	check(bed_write(&bed, "f", 65 * 4096, "more", 4) == 0 && bed_fill(&bed, "g", 200) == 0);
	check(is_sound(&bed));
	bed_done(&bed);
}

static void a_step_that_does_not_fit_on_a_full_disk_is_made_smaller(void)
{
	struct bed bed;
	int r;

	require(bed_init_small(&bed, 40, 6));
	/* Some 40 bytes on the tape each, but a block each in the intent and one in the base. */
	for (int i = 0; i < 40; i++)
		require(bed_write(&bed, "f", i * UINT64_C(4096), "few", 3) == 0);
	for (int i = 0; i < 60; i++)
		require((r = bed_fill(&bed, "f", 16)) == 0, "%d in round %d", r, i);
	check(is_sound(&bed));
	bed_done(&bed);
}

/* So many bytes every 8 KiB, until the disk is full.  Returns how many times. */
static int grow_thinly(struct bed *bed, size_t size)
{
	uint8_t bytes[512] = "thin";
	int i = 0, r;

	do
		r = bed_write(bed, "thin", i++ * UINT64_C(8192), bytes, size);
	while (r == 0 && i < 100000);
	check(r == -ENOSPC, "%d after %d", r, i);
	return i;
}

/*
 * Goal: what a few bytes far behind the end of a file will take, once they are folded, is kept
 * free: else a tape with room for many of them is full of what can never be folded.
 * Method: fill a disk with such; then what is there is written in its place, and files go, as on
 * any full disk.  Also when the volume was closed, or the power went, meanwhile.
 */
static void what_grows_thinly_leaves_room_to_be_folded(void)
{
	static const struct {
		uint64_t segments, reserved;
		size_t size;
	} cases[] = {{40, 6, 3}, {64, 4, 3}, {64, 8, 512}, {40, 6, 100}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t block[4096] = "here";
		struct bed bed;

		require(bed_init_small(&bed, cases[i].segments, cases[i].reserved));
		require(bed_fill(&bed, "f", 16) == 0);
		for (int n = 0; n < 60; n++)
			require(bed_write(&bed, "thin", n * UINT64_C(8192), block, cases[i].size) ==
				0);
		require(volume_sync(bed.volume) == 0);
		require(bed_power_cut(&bed, i) == 0, "%s", bed.why.text);
		check(grow_thinly(&bed, cases[i].size) > 200);
		for (int n = 0, r = 0; n < 2000 && r == 0; n++)
			check((r = bed_write(&bed, "f", n % 16 * UINT64_C(4096), block,
					     sizeof block)) == 0,
			      "in place: %d in round %d of case %zu", r, n, i);
		check(volume_unlink(bed.volume, VOLUME_ROOT_INO, "thin") == 0);
		check(bed_fill(&bed, "f", 200) == 0 && bed_fill(&bed, "g", 16) == 0);
		check(is_sound(&bed));
		bed_done(&bed);
	}
}

static uint64_t taken;

/* Whenever anybody asks for the time, all the room that there is has been taken. */
static int64_t greedy_clock(void *arg)
{
	taken = fill_the_rest(arg, taken);
	return bed_clock(arg);
}

/*
 * Goal: what a fold was lent in vain is back before others can have it.
 * Method: changes of 4 bytes, each of which takes a block in the intent: the first step of every
 * fold is too large, even with all that is lent.
 */
static void a_fold_that_did_not_fit_loses_nothing_of_what_is_held_to_others(void)
{
	uint8_t block[4096] = "whole";
	struct bed bed;
	int r = 0;

	require(bed_init_small(&bed, 24, 6));
	for (int i = 0; i < 64; i++)
		require(bed_write(&bed, "f", i * UINT64_C(4096), block, sizeof block) == 0);
	for (int i = 0; i < 30; i++)
		require((r = bed_fill(&bed, "f", 16)) == 0, "%d in round %d", r, i);
	volume_close(bed.volume);
	taken = 0;
	bed.options.clock = greedy_clock;
	require(bed_open(&bed) == 0, "%s", bed.why.text);
	for (int i = 0; i < 30000 && r == 0; i++)
		r = bed_write(&bed, "f", i * 7 % 64 * UINT64_C(4096) + i % 4000, &i, sizeof i);
	check(r == 0, "%d", r);
	check(volume_sync(bed.volume) == 0 && is_sound(&bed));
	bed_done(&bed);
}

/* Somebody who writes in place as fast as room is made for him, and takes all other room. */
static struct busy {
	struct bed *bed;
	const struct disk_ops *below;
	uint64_t filler;
	unsigned turns, turns_max; /* segments that folds gave back; when he has had enough */
} busy;

static int count_whole(const char *name, void *arg)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char path[DISK_NAME_MAX];
	uint64_t size;

	snprintf(path, sizeof path, "tape/%s", name);
	*(unsigned *)arg += strncmp(name, "spare-", 6) == 0 &&
			    disk_open(busy.bed->disk, path, DISK_READ_ONLY, &file) == 0 &&
			    disk_file_size(file, &size) == 0 && size == BED_SEGMENT;
	return 0;
}

/* A block, a segment's first record and its last fit before the next segment begins. */
static bool has_room_in_its_segment(void)
{
	struct moment now;

	volume_now(busy.bed->volume, &now);
	return now.lsn % BED_SEGMENT + 4096 + 512 < BED_SEGMENT;
}

/* As much as fits into what is left of a segment and into `segments` more. */
static void write_on(unsigned segments)
{
	uint8_t block[4096] = "busy";

	for (int i = 0; has_room_in_its_segment() || segments--; i++)
		check(bed_write(busy.bed, "f", i % 16 * UINT64_C(4096), block, sizeof block) == 0);
}

/* Before a fold has taken room there are more spares than are left to changes in place. */
static int write_on_and_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	unsigned spares = 0;

	if (strncmp(name, "base/intent", 11) == 0 && flags && busy.turns < busy.turns_max) {
		disk_list(disk, "tape", count_whole, &spares);
		write_on(spares > 2);
	}
	return busy.below->open(disk, name, flags, ret);
}

static int rename_and_count(struct disk *disk, const char *from, const char *to)
{
	busy.turns += strncmp(to, "tape/spare-", 11) == 0;
	return busy.below->rename(disk, from, to);
}

static int remove_and_take(struct disk *disk, const char *name)
{
	int r = busy.below->remove(disk, name);

	if (strstr(name, ".seg")) {
		busy.turns++;
		busy.filler = fill_the_rest(busy.bed, busy.filler);
	}
	return r;
}

/*
 * Goal: a change that grows does not wait for room that goes round among those who write in place.
 * Method: whenever folds have given a segment back, one is filled in place, and what comes free
 * otherwise is taken.
 */
static void growth_is_refused_when_only_what_goes_round_is_left(void)
{
	uint8_t block[4096] = "new";
	struct disk_ops ops;
	struct bed bed;
	int r;

	require(bed_init_small(&bed, 40, 6));
	for (int i = 0; i < 60; i++)
		require((r = bed_fill(&bed, "f", 16)) == 0, "%d in round %d", r, i);
	busy = (struct busy){.bed = &bed, .below = bed.disk->ops, .turns_max = 1000};
	ops = *bed.disk->ops;
	ops.open = write_on_and_open;
	ops.rename = rename_and_count;
	ops.remove = remove_and_take;
	busy.filler = fill_the_rest(&bed, 0);
	bed.disk->ops = &ops;
	r = bed_write(&bed, "grown", 0, block, sizeof block);
	bed.disk->ops = busy.below;
	check(r == -ENOSPC, "%d", r);
	check(busy.turns > 3 && busy.turns < 50, "%u segments went round", busy.turns);
	check(volume_sync(bed.volume) == 0 && is_sound(&bed));
	bed_done(&bed);
}

static uint64_t history_bytes(struct bed *bed)
{
	struct volume_stats stats;

	volume_get_stats(bed->volume, &stats);
	return stats.history_bytes;
}

static void a_limited_history_gives_way_whatever_the_window_and_stays_in_its_bounds(void)
{
	struct volume_stats stats;
	struct moment before, horizon;
	struct bed bed;

	require(bed_init(&bed, 1000000 * SECOND));
	bed_say(&bed, "f", "first");
	before = bed_now(&bed);
	bed_fill(&bed, "f", 400);
	bed_maintain(&bed);
	volume_horizon(bed.volume, &horizon);
	require(horizon.lsn <= before.lsn && history_bytes(&bed) > 20 * BED_SEGMENT);
	check(volume_set_history_max(bed.volume, volume_history_min(bed.volume) - 1) == -ERANGE);
	check(volume_set_history_max(bed.volume, 8 * BED_SEGMENT) == 0);
	bed_maintain(&bed);
	check(history_bytes(&bed) <= 8 * BED_SEGMENT && history_bytes(&bed) > 6 * BED_SEGMENT,
	      "%llu", (unsigned long long)history_bytes(&bed));
	volume_horizon(bed.volume, &horizon);
	check(horizon.lsn > before.lsn && is_sound(&bed));
	/* Also after a crash, and for as long as writes come. */
	require(bed_power_cut(&bed, 3) == 0, "%s", bed.why.text);
	for (int i = 0; i < 30; i++) {
		bed_fill(&bed, "f", 32);
		bed_maintain(&bed);
		check(history_bytes(&bed) <= 8 * BED_SEGMENT);
	}
	volume_get_stats(bed.volume, &stats);
	check(stats.history_max_bytes == 8 * BED_SEGMENT && !stats.last_error[0], "%s",
	      stats.last_error);
	check(volume_set_history_max(bed.volume, 0) == 0 && bed_fill(&bed, "f", 400) == 0);
	bed_maintain(&bed);
	check(history_bytes(&bed) > 20 * BED_SEGMENT);
	bed_done(&bed);
}

static int count_packs(const char *name, void *arg)
{
	*(unsigned *)arg += strstr(name, ".pack") != NULL;
	return 0;
}

static unsigned repack(struct bed *bed)
{
	const struct volume_repack_options all = {0};
	struct volume_repacked repacked;
	unsigned packs = 0;

	check(volume_repack(bed->volume, &all, &repacked, &bed->why) == 0, "%s", bed->why.text);
	check(repacked.segments > 0 && repacked.left == 0 &&
	      repacked.bytes_after < repacked.bytes_before);
	disk_list(bed->disk, "tape", count_packs, &packs);
	return packs;
}

/* Five times, so that it comes to more than a pack that is made anew may be beside what is new. */
static void a_pack_is_made_anew_with_what_follows_it_unless_that_is_little(void)
{
	struct bed bed;

	require(bed_init(&bed, 1000000 * SECOND));
	require(bed_shrink_disk(&bed, 600, 100));
	for (int i = 0; i < 5; i++) {
		require(bed_fill(&bed, "f", 160) == 0);
		check(repack(&bed) == 1, "in round %d", i);
	}
	/* One segment or two beside fifty. */
	require(bed_fill(&bed, "f", 24) == 0);
	check(repack(&bed) == 2);
	check(is_sound(&bed));
	bed_done(&bed);
}

static void the_space_that_the_window_will_need_is_told_from_what_is_there(void)
{
	struct volume_stats stats;
	struct bed bed;

	require(bed_init(&bed, 900 * SECOND));
	bed_fill(&bed, "f", 100);
	volume_get_stats(bed.volume, &stats);
	check(stats.history_bytes_per_hour == 0 && stats.history_bytes_needed == 0,
	      "told too early");
	bed.now_us += 450 * SECOND;
	volume_get_stats(bed.volume, &stats);
	check(stats.history_bytes_per_hour > 7.9 * stats.history_bytes &&
		      stats.history_bytes_per_hour < 8.1 * stats.history_bytes,
	      "%f", stats.history_bytes_per_hour);
	check(stats.history_bytes_needed > 1.9 * stats.history_bytes &&
	      stats.history_bytes_needed < 2.1 * stats.history_bytes);
	bed_done(&bed);
}

static void a_window_of_zero_keeps_no_history_and_one_set_again_does(void)
{
	struct moment then, found;
	struct volume_stats stats;
	struct bed bed;

	require(bed_init(&bed, 0));
	bed_fill(&bed, "f", 200);
	check(bed_maintain(&bed) == 0);
	volume_get_stats(bed.volume, &stats);
	check(stats.tape_bytes <= FEW_SEGMENTS * BED_SEGMENT);
	check(volume_set_window(bed.volume, 100 * SECOND) == 0);
	bed_say(&bed, "f", "then");
	then = bed_now(&bed);
	bed_fill(&bed, "f", 200);
	check(bed_maintain(&bed) == 0);
	check(bed_power_cut(&bed, 1) == 0, "%s", bed.why.text);
	volume_get_stats(bed.volume, &stats);
	check(stats.window_target_us == 100 * SECOND);
	check(bed_back(&bed, then) == 0 && bed_head_says(&bed, "f", "then"), "%s", bed.why.text);
	check(volume_set_window(bed.volume, 0) == 0);
	bed.now_us += SECOND;
	check(volume_moment_at_time(bed.volume, then.time_us, &found, &bed.why) == -ERANGE);
	bed_done(&bed);
}

int main(void)
{
	RUN(the_horizon_passes_through_abandoned_stretches);
	RUN(a_longer_window_promises_only_what_is_still_there);
	RUN(a_fold_survives_a_power_cut_at_every_disk_call);
	RUN(a_fold_survives_the_failure_of_every_disk_call);
	RUN(folding_moves_only_the_newest_version);
	RUN(more_files_than_descriptors_are_folded_and_read_back);
	RUN(memory_grows_with_distinct_ranges_not_with_changes);
	RUN(history_gives_way_to_the_live_database_and_only_then_the_disk_is_full);
	RUN(with_the_whole_disk_taken_what_is_there_can_still_be_rewritten_for_ever);
	RUN(a_step_that_does_not_fit_on_a_full_disk_is_made_smaller);
	RUN(what_grows_thinly_leaves_room_to_be_folded);
	RUN(a_fold_that_did_not_fit_loses_nothing_of_what_is_held_to_others);
	RUN(growth_is_refused_when_only_what_goes_round_is_left);
	RUN(a_limited_history_gives_way_whatever_the_window_and_stays_in_its_bounds);
	RUN(a_pack_is_made_anew_with_what_follows_it_unless_that_is_little);
	RUN(the_space_that_the_window_will_need_is_told_from_what_is_there);
	RUN(a_window_of_zero_keeps_no_history_and_one_set_again_does);
	return tap_done();
}
