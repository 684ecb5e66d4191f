/*
 * Goal: changes, reads, views, backtracks, folds and syncs by several threads at once.
 * Method: every write fills one page with one value, every reader checks that a page is of one
 * value: a write is seen whole or not at all.  A backtrack to a mark must show the pages as they
 * were.  Meant for ThreadSanitizer too
 * (./check --long).
 */
#include "volume_bed.h"

#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PAGE 16384
#define PAGES 24
#define WRITERS 2
#define READERS 2
#define BACKTRACKS 6

struct crowd {
	struct volume *volume;
	uint64_t ino;
	atomic_bool stop;
	atomic_int writes, reads, torn;
};

static void *write_pages(void *arg)
{
	static atomic_uint seeds;
	struct crowd *crowd = arg;
	unsigned seed = 1 + atomic_fetch_add(&seeds, 1);
	uint8_t page[PAGE];
	struct iovec iov = {page, sizeof page};

	while (!atomic_load(&crowd->stop)) {
		int r;

		memset(page, rand_r(&seed), sizeof page);
		r = volume_write(crowd->volume, crowd->ino,
				 (uint64_t)(rand_r(&seed) % PAGES) * PAGE, &iov, 1, false);
		if (r == 0 && rand_r(&seed) % 8 == 0)
			r = volume_sync(crowd->volume);
		atomic_fetch_add(r == 0 ? &crowd->writes : &crowd->torn, 1);
	}
	return NULL;
}

static bool is_whole(struct view *view, uint64_t ino, uint64_t page)
{
	uint8_t bytes[PAGE];
	ssize_t got = view_read(view, ino, page * PAGE, bytes, sizeof bytes);

	/* Not there yet, or of one value. */
	return got == 0 || (got == PAGE && memcmp(bytes, bytes + 1, PAGE - 1) == 0);
}

static void *read_pages(void *arg)
{
	struct crowd *crowd = arg;
	unsigned seed = 99;

	while (!atomic_load(&crowd->stop)) {
		struct view *view = NULL;
		struct moment now;

		if (!is_whole(volume_head(crowd->volume), crowd->ino, rand_r(&seed) % PAGES))
			atomic_fetch_add(&crowd->torn, 1);
		atomic_fetch_add(&crowd->reads, 1);
		if (rand_r(&seed) % 64)
			continue;
		volume_now(crowd->volume, &now);
		/* By now it may have fallen off a short window. */
		if (volume_view(crowd->volume, &now, &view, NULL) < 0)
			continue;
		for (uint64_t page = 0; page < PAGES; page++)
			if (!is_whole(view, crowd->ino, page))
				atomic_fetch_add(&crowd->torn, 1);
		view_close(view);
	}
	return NULL;
}

static void *watch(void *arg)
{
	struct crowd *crowd = arg;
	struct volume_stats stats;

	while (!atomic_load(&crowd->stop))
		volume_get_stats(crowd->volume, &stats);
	return NULL;
}

/* Wait until so many more writes were made. */
static void wait_for_writes(struct crowd *crowd, int more)
{
	int until = atomic_load(&crowd->writes) + more;
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;

	while (atomic_load(&crowd->writes) < until && clock_monotonic_us() < deadline)
		sched_yield();
}

static void threads_see_whole_writes_through_backtracks_and_folds(void)
{
	int64_t window_us = SECOND / 2;
	struct volume_format_options format = {
		.segment_bytes = 1 << 20, .window_us = window_us, .root_mode = 0755};
	struct volume_options options = {
		.background = true, .bytes_reserved = 1, .checkpoint_records = 200};
	struct disk *disk = disk_memory_new(1);
	struct crowd crowd = {0};
	struct volume_new new = {.mode = S_IFREG | 0644};
	pthread_t threads[WRITERS + READERS + 1];
	struct volume_stats stats;
	struct volume_attr attr;
	struct problem why;
	int64_t deadline = clock_monotonic_us() + 2 * PATIENCE_US;
	int n = 0, backtracks = 0;

	log_set_level(LOG_ERROR);
	require(volume_format(disk, &format, &why) == 0, "%s", why.text);
	require(volume_open(disk, &options, &crowd.volume, &why) == 0, "%s", why.text);
	require(volume_create(crowd.volume, VOLUME_ROOT_INO, "pages", &new, &attr) == 0);
	crowd.ino = attr.ino;
	for (int i = 0; i < WRITERS; i++)
		pthread_create(&threads[n++], NULL, write_pages, &crowd);
	for (int i = 0; i < READERS; i++)
		pthread_create(&threads[n++], NULL, read_pages, &crowd);
	pthread_create(&threads[n++], NULL, watch, &crowd);
	do {
		struct volume_backtrack done;
		struct moment mark;

		wait_for_writes(&crowd, 300);
		volume_now(crowd.volume, &mark);
		wait_for_writes(&crowd, 30);
		/* The window is short, so that folds have work: under load the moment may be out of
		 * it. */
		if (volume_backtrack(crowd.volume, &mark, NULL, &done, &why) == 0)
			backtracks++;
		else
			volume_set_window(crowd.volume, window_us *= 2);
		volume_get_stats(crowd.volume, &stats);
	} while ((!stats.folds || !stats.checkpoints || backtracks < BACKTRACKS) &&
		 clock_monotonic_us() < deadline);
	atomic_store(&crowd.stop, true);
	while (n)
		pthread_join(threads[--n], NULL);
	check(!atomic_load(&crowd.torn), "%d torn or failed", atomic_load(&crowd.torn));
	check(backtracks >= BACKTRACKS, "%s", why.text);
	check(stats.folds > 0 && stats.checkpoints > 0, "%llu folds, %llu checkpoints",
	      (unsigned long long)stats.folds, (unsigned long long)stats.checkpoints);
	volume_close(crowd.volume);
	disk_close(disk);
}

/*
 * Somebody else takes the room there is, but two segments: who takes every block that a fold cuts
 * off a held spare, before the fold can write there, stops the folds until there is room.  Returns
 * the size of his file.
 */
static uint64_t fill_the_disk(struct disk *disk, uint64_t left, uint64_t size)
{
	struct disk_file *file = NULL;
	struct disk_space space;
	uint8_t block[4096] = {1};

	if (!check(disk_open(disk, "filler", DISK_CREATE, &file) == 0))
		return size;
	while (disk_space(disk, &space) == 0 && space.bytes_free > left &&
	       disk_file_write(file, block, sizeof block, size) == 0)
		size += sizeof block;
	disk_file_close(file);
	return size;
}

static void on_a_full_disk_what_grows_is_refused_although_others_go_on_in_place(void)
{
	struct volume_format_options format = {
		.segment_bytes = 1 << 18, .window_us = 1000 * SECOND, .root_mode = 0755};
	struct volume_options options = {
		.background = true, .bytes_reserved = 8 << 18, .checkpoint_records = UINT64_MAX};
	struct disk *disk = disk_memory_new(1);
	struct crowd crowd = {0};
	struct volume_new new = {.mode = S_IFREG | 0644};
	struct volume_attr attr, grown;
	uint8_t page[PAGE] = {1};
	struct iovec iov = {page, sizeof page};
	pthread_t writers[WRITERS];
	uint64_t filler = 0;
	struct problem why;
	int r = 0;

	log_set_level(LOG_ERROR);
	disk_memory_limit(disk, 64 << 18);
	require(volume_format(disk, &format, &why) == 0, "%s", why.text);
	require(volume_open(disk, &options, &crowd.volume, &why) == 0, "%s", why.text);
	require(volume_create(crowd.volume, VOLUME_ROOT_INO, "pages", &new, &attr) == 0);
	require(volume_create(crowd.volume, VOLUME_ROOT_INO, "grown", &new, &grown) == 0);
	for (int i = 0; i < PAGES; i++)
		require(volume_write(crowd.volume, attr.ino, (uint64_t)i * PAGE, &iov, 1, false) ==
			0);
	crowd.ino = attr.ino;
	for (int i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, write_pages, &crowd);
	wait_for_writes(&crowd, 3000); /* more than the disk holds: history gives way */
	for (uint64_t at = 0; r == 0; at += PAGE) {
		filler = fill_the_disk(disk, 2 << 18, filler);
		r = volume_write(crowd.volume, grown.ino, at, &iov, 1, false);
	}
	check(r == -ENOSPC, "%d", r);
	wait_for_writes(&crowd, 500);
	atomic_store(&crowd.stop, true);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	check(!atomic_load(&crowd.torn), "%d writes in place were refused",
	      atomic_load(&crowd.torn));
	volume_close(crowd.volume);
	disk_close(disk);
}

static atomic_llong now_us = 1000 * SECOND;

static int64_t shared_clock(void *arg)
{
	return atomic_fetch_add(&now_us, 10);
}

/* Nobody waits for more than the turn: it goes no further. */
static bool look_at_the_turn(uint64_t done, uint64_t total, void *arg)
{
	*(bool *)arg = total == 0;
	return false;
}

static bool wait_for_the_thread_to_pack(struct volume *volume)
{
	bool waits = false;
	struct volume_repack_options options = {look_at_the_turn, &waits};
	int64_t deadline = clock_monotonic_us() + 60 * SECOND;
	struct volume_repacked repacked;
	struct problem why;

	while (!waits && clock_monotonic_us() < deadline) {
		(void)volume_repack(volume, &options, &repacked, &why);
		poll(NULL, 0, 50); /* the turn is not ours all the time */
	}
	return waits;
}

/* Goal: at a byte a second the thread would never end, but with somebody waiting it does. */
static void a_repack_that_is_asked_for_waits_for_the_threads_own_and_hurries_it(void)
{
	struct volume_format_options format = {.segment_bytes = BED_SEGMENT,
					       .window_us = 80 * SECOND,
					       .root_mode = 0755,
					       .clock = shared_clock};
	struct volume_options options = {.background = true,
					 .repack = true,
					 .repack_bytes_per_second = 1,
					 .bytes_reserved = 1,
					 .clock = shared_clock};
	const struct volume_repack_options all = {0};
	struct bed bed = {.disk = disk_memory_new(1)};
	struct volume_repacked repacked;
	struct volume_stats stats;

	require(volume_format(bed.disk, &format, &bed.why) == 0, "%s", bed.why.text);
	require(volume_open(bed.disk, &options, &bed.volume, &bed.why) == 0, "%s", bed.why.text);
	require(bed_fill(&bed, "f", 600) == 0 && volume_sync(bed.volume) == 0);
	atomic_fetch_add(&now_us, 20 * SECOND);
	require(wait_for_the_thread_to_pack(bed.volume));
	check(volume_repack(bed.volume, &all, &repacked, &bed.why) == 0, "%s", bed.why.text);
	volume_get_stats(bed.volume, &stats);
	check(stats.packed_bytes > 0);
	bed_done(&bed);
}

/* --- Repacking beside others ------------------------------------------------------------------ */

static atomic_bool is_busy;
static atomic_int busy_asked;

static bool say_whether_busy(void)
{
	atomic_fetch_add(&busy_asked, 1);
	return atomic_load(&is_busy);
}

/* A volume with history that could be packed, and a machine that is busy. */
static void bed_beside_others(struct bed *bed)
{
	struct volume_format_options format = {.segment_bytes = BED_SEGMENT,
					       .window_us = 800 * SECOND,
					       .root_mode = 0755,
					       .clock = shared_clock};
	struct volume_options options = {.background = true,
					 .repack = true,
					 .busy = say_whether_busy,
					 .bytes_reserved = 1,
					 .clock = shared_clock};

	atomic_store(&is_busy, true);
	bed->disk = disk_memory_new(1);
	require(volume_format(bed->disk, &format, &bed->why) == 0, "%s", bed->why.text);
	require(volume_open(bed->disk, &options, &bed->volume, &bed->why) == 0, "%s",
		bed->why.text);
	require(bed_fill(bed, "f", 600) == 0 && volume_sync(bed->volume) == 0);
	atomic_fetch_add(&now_us, 20 * SECOND);
}

static bool is_packed_soon(struct volume *volume)
{
	int64_t deadline = clock_monotonic_us() + 60 * SECOND;
	struct volume_stats stats;

	do {
		poll(NULL, 0, 20);
		volume_get_stats(volume, &stats);
	} while (stats.packed_bytes == 0 && clock_monotonic_us() < deadline);
	return stats.packed_bytes > 0;
}

static bool is_left(struct volume *volume)
{
	int64_t deadline = clock_monotonic_us() + 60 * SECOND;
	int asked = atomic_load(&busy_asked);
	struct volume_stats stats;

	/* The second time it has not begun to pack after the first. */
	while (atomic_load(&busy_asked) < asked + 2 && clock_monotonic_us() < deadline)
		poll(NULL, 0, 20);
	volume_get_stats(volume, &stats);
	return atomic_load(&busy_asked) >= asked + 2 && stats.packed_bytes == 0;
}

static void while_the_machine_is_busy_what_need_not_be_packed_yet_waits(void)
{
	struct bed bed = {0};

	bed_beside_others(&bed);
	require(is_left(bed.volume));
	atomic_store(&is_busy, false);
	check(is_packed_soon(bed.volume));
	bed_done(&bed);
}

static void on_a_busy_machine_what_has_waited_for_an_eighth_of_the_window_is_packed(void)
{
	struct bed bed = {0};

	bed_beside_others(&bed);
	require(is_left(bed.volume));
	atomic_fetch_add(&now_us, 100 * SECOND);
	check(is_packed_soon(bed.volume));
	bed_done(&bed);
}

static void on_a_busy_machine_what_takes_much_of_its_room_is_packed(void)
{
	struct volume_stats stats;
	struct bed bed = {0};

	bed_beside_others(&bed);
	require(is_left(bed.volume));
	volume_get_stats(bed.volume, &stats);
	check(volume_set_history_max(bed.volume, 4 * stats.history_bytes + 4 * BED_SEGMENT) == 0);
	require(is_left(bed.volume));
	check(volume_set_history_max(bed.volume, 4 * stats.history_bytes - 4) == 0);
	check(is_packed_soon(bed.volume));
	bed_done(&bed);
}

int main(void)
{
	RUN(while_the_machine_is_busy_what_need_not_be_packed_yet_waits);
	RUN(on_a_busy_machine_what_has_waited_for_an_eighth_of_the_window_is_packed);
	RUN(on_a_busy_machine_what_takes_much_of_its_room_is_packed);
	RUN(a_repack_that_is_asked_for_waits_for_the_threads_own_and_hurries_it);
	RUN(on_a_full_disk_what_grows_is_refused_although_others_go_on_in_place);
	RUN(threads_see_whole_writes_through_backtracks_and_folds);
	return tap_done();
}
