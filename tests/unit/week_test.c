/*
 * A week: a simulated clock drives a volume on a real directory through days of a database's work,
 * with maintenance, marks, backtracks and reopening, in seconds.
 *
 * Goal: every moment that is promised is exactly what it was, and nothing grows once the window is
 * full: files, descriptors, memory end where they began.
 * Method: the same changes are made to files in memory, whose checksums are remembered for some
 * moments of each hour.  Files, descriptors and memory are measured at the start, with no history,
 * and every hour: while there is history, memory may be a stated bit more, files and descriptors go
 * with the tape's length; and with the history let go of, all are at the end what they were.
 *
 * Two and a half days are simulated; a week with UNSPILL_TEST_LONG.
 */
#include "volume_bed.h"

#include "base/crc32c.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#define HOUR (3600 * SECOND)
#define DAY_HOURS 24
#define SEGMENT (1 << 20)
#define PAGE 16384
#define TABLES 4
#define TABLE_PAGES 24
#define LOG_BYTES (192 * 1024)
#define TEMPORARIES 4
#define FILES (TABLES + 1 + TEMPORARIES)
#define THE_LOG TABLES
#define FILE_BYTES (TABLE_PAGES * PAGE)
#define TRANSACTIONS 30 /* per hour */
#define REMEMBERED 256  /* moments; more than a window has */

/* What may be more than at the start; segments in use and spare come and go. */
#define MORE_FILES 6
#define MORE_DESCRIPTORS 6
#define MORE_HEAP (512 * 1024)
#define MORE_RESIDENT (8 * 1024 * 1024)
/* What packs have unpacked is kept for a while: 32 MiB, and the keeping of it. */
#define MORE_UNPACKED (34 * 1024 * 1024)

static const char *const names[FILES] = {"orders.ibd",  "items.ibd",   "people.ibd",
					 "undo001",     "ib_logfile0", "#sql-temp-1",
					 "#sql-temp-2", "#sql-temp-3", "#sql-temp-4"};

/* A file as it ought to be. */
struct toy {
	bool there;
	size_t size;
	uint8_t data[FILE_BYTES];
};

/* What all files are like, in few bytes. */
struct print {
	struct {
		bool there;
		size_t size;
		uint32_t crc;
	} files[FILES];
};

struct remembered {
	struct moment moment;
	struct print print;
};

struct figures {
	size_t files, descriptors, heap_bytes, resident_bytes;
};

struct week {
	struct bed bed;
	char dir[64];
	uint64_t random;
	struct toy toys[FILES];
	size_t log_at;
	struct remembered remembered[REMEMBERED]; /* a ring */
	size_t remembered_count;
	struct figures first, most; /* without history; the peak of each */
	bool repack;
	unsigned marks, backtracks, views;
	uint64_t folds;
};

static uint64_t roll(struct week *week, uint64_t sides)
{
	week->random ^= week->random << 13;
	week->random ^= week->random >> 7;
	week->random ^= week->random << 17;
	return (week->random >> 16) % sides;
}

/* --- The work --------------------------------------------------------------------------------- */

/* Half of a page is text that repeats, as rows do. */
static void change(struct week *week, int file, size_t offset, size_t size)
{
	struct toy *toy = &week->toys[file];

	for (size_t i = 0; i < size; i++)
		toy->data[offset + i] = i % 64 < 32 ? (uint8_t)(i % 64) : (uint8_t)roll(week, 256);
	if (offset > toy->size)
		memset(toy->data + toy->size, 0, offset - toy->size);
	toy->size = MAX(toy->size, offset + size);
	toy->there = true;
	check(bed_write(&week->bed, names[file], offset, toy->data + offset, size) == 0);
}

static void write_log(struct week *week)
{
	size_t size = 512 * (1 + roll(week, 8));

	if (week->log_at + size > LOG_BYTES)
		week->log_at = 0;
	change(week, THE_LOG, week->log_at, size);
	week->log_at += size;
}

/* Make it, or remove it. */
static void use_the_temporary(struct week *week, int file)
{
	struct toy *toy = &week->toys[file];

	if (!toy->there) {
		toy->size = 0;
		change(week, file, 0, PAGE + roll(week, 3 * PAGE));
		return;
	}
	check(volume_unlink(week->bed.volume, VOLUME_ROOT_INO, names[file]) == 0);
	toy->there = false;
}

static void transact(struct week *week)
{
	write_log(week);
	for (uint64_t pages = 1 + roll(week, 3); pages > 0; pages--)
		change(week, roll(week, TABLES), roll(week, TABLE_PAGES) * PAGE, PAGE);
	if (roll(week, 8) == 0)
		use_the_temporary(week, THE_LOG + 1 + roll(week, TEMPORARIES));
	write_log(week);
	if (roll(week, 4) == 0)
		check(volume_sync(week->bed.volume) == 0);
}

/* --- What was, and what is -------------------------------------------------------------------- */

static void remember(struct week *week)
{
	struct remembered *one = &week->remembered[week->remembered_count++ % REMEMBERED];

	*one = (struct remembered){.moment = bed_now(&week->bed)};
	for (int i = 0; i < FILES; i++)
		if (week->toys[i].there) {
			one->print.files[i].there = true;
			one->print.files[i].size = week->toys[i].size;
			one->print.files[i].crc = crc32c(0, week->toys[i].data, week->toys[i].size);
		}
}

/* Read a file of the view into `ret`; what is past its end there is as it was. */
static void read_file(struct view *view, const char *name, struct toy *ret)
{
	struct volume_attr attr;
	int r = view_lookup(view, VOLUME_ROOT_INO, name, &attr);

	ret->there = r == 0;
	if (!check(r == 0 || r == -ENOENT, "%s: %d", name, r) || r < 0)
		return;
	ret->size = attr.size;
	if (check(attr.size <= FILE_BYTES))
		check(view_read(view, attr.ino, 0, ret->data, attr.size) == (ssize_t)attr.size,
		      "%s", name);
}

/* The view shows what is remembered; its files are left in `ret`. */
static void compare(struct view *view, const struct remembered *with, struct toy ret[FILES])
{
	for (int i = 0; i < FILES; i++) {
		read_file(view, names[i], &ret[i]);
		if (!check(ret[i].there == with->print.files[i].there, "%s at %" PRIu64, names[i],
			   with->moment.lsn) ||
		    !ret[i].there)
			continue;
		check(ret[i].size == with->print.files[i].size &&
			      crc32c(0, ret[i].data, ret[i].size) == with->print.files[i].crc,
		      "%s at %" PRIu64, names[i], with->moment.lsn);
	}
}

/* Any that is remembered and still reachable; NULL: none. */
static struct remembered *choose(struct week *week)
{
	size_t count = MIN(week->remembered_count, (size_t)REMEMBERED);
	struct moment horizon;

	volume_horizon(week->bed.volume, &horizon);
	for (int tries = 0; tries < 100; tries++) {
		struct remembered *one = &week->remembered[roll(week, count)];

		/* The clock goes on: what is at the edge now may be over it when it is asked for.
		 */
		if (one->moment.time_us > horizon.time_us + 60 * SECOND)
			return one;
	}
	return NULL;
}

static void look_back(struct week *week)
{
	struct remembered *one = choose(week);
	CLEANUP(view) struct view *view = NULL;
	struct toy *seen;

	if (!one)
		return;
	require(volume_view(week->bed.volume, &one->moment, &view, &week->bed.why) == 0, "%s",
		week->bed.why.text);
	seen = xmalloc(sizeof(struct toy[FILES]));
	compare(view, one, seen);
	free(seen);
	week->views++;
}

static void go_back(struct week *week)
{
	struct remembered *one = choose(week);

	if (!one)
		return;
	require(bed_back(&week->bed, one->moment) == 0, "%s", week->bed.why.text);
	compare(volume_head(week->bed.volume), one, week->toys);
	week->backtracks++;
}

/* --- What it takes ---------------------------------------------------------------------------- */

static size_t counted;

static int count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	counted += type == FTW_F;
	return 0;
}

static size_t count_files(const char *path)
{
	counted = 0;
	nftw(path, count_one, 16, FTW_PHYS);
	return counted;
}

static size_t count_descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* 0 where a sanitizer has replaced malloc(). */
static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	size_t all, resident = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%zu %zu", &all, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

static struct figures measure(struct week *week)
{
	/* What is free in the heap is nobody's. */
	malloc_trim(0);
	return (struct figures){.files = count_files(week->dir),
				.descriptors = count_descriptors(),
				.heap_bytes = heap_bytes(),
				.resident_bytes = resident_bytes()};
}

static void print_figures(const char *when, const struct figures *figures)
{
	printf("# %s: %zu files, %zu descriptors, %zu KiB of heap, %zu KiB resident\n", when,
	       figures->files, figures->descriptors, figures->heap_bytes / 1024,
	       figures->resident_bytes / 1024);
}

/* Where a sanitizer has replaced malloc(), it keeps freed memory for a while. */
static void memory_is_bounded(const struct figures *now, const struct figures *first, size_t more)
{
	if (!first->heap_bytes)
		return;
	check(now->heap_bytes <= first->heap_bytes + MORE_HEAP + more);
	check(now->resident_bytes <= first->resident_bytes + MORE_RESIDENT + more);
}

/* With the history let go of, all is as it was. */
static void as_at_the_start(const struct figures *now, const struct figures *first)
{
	check(now->files <= first->files + MORE_FILES);
	check(now->descriptors <= first->descriptors + MORE_DESCRIPTORS);
	memory_is_bounded(now, first, 0);
}

/*
 * With history: a segment has two files, and may be open.  Where moments of the window are on
 * branches, the tape goes back to where they part.
 */
static void as_it_may_be(struct week *week, int hour, const struct figures *now)
{
	struct volume_stats stats;
	size_t segments;

	volume_get_stats(week->bed.volume, &stats);
	/* Before any were packed. */
	segments = (stats.tape_bytes - stats.packed_bytes + stats.packed_from_bytes) / SEGMENT;
	check(now->files <= week->first.files + 2 * segments + MORE_FILES);
	check(now->descriptors <= week->first.descriptors + segments + MORE_DESCRIPTORS);
	memory_is_bounded(now, &week->first, week->repack ? MORE_UNPACKED : 0);
	if (tap_bad) {
		printf("# hour %d, %zu segments\n", hour, segments);
		print_figures("at the start", &week->first);
		print_figures("now", now);
	}
}

static void keep_the_most(struct figures *most, const struct figures *now)
{
	most->files = MAX(most->files, now->files);
	most->descriptors = MAX(most->descriptors, now->descriptors);
	most->heap_bytes = MAX(most->heap_bytes, now->heap_bytes);
	most->resident_bytes = MAX(most->resident_bytes, now->resident_bytes);
}

static void complain(const char *line, void *arg)
{
	check(false, "%s", line);
}

static void verify(struct week *week, struct volume *volume)
{
	struct volume_verify_options options = {.report = complain};

	check(volume_verify(week->bed.disk, volume, &options) == 0);
}

/* --- The week --------------------------------------------------------------------------------- */

static bool begin(struct week *week, uint64_t seed)
{
	struct bed *bed = &week->bed;
	struct volume_format_options format = {.segment_bytes = SEGMENT,
					       .window_us = DAY_HOURS * HOUR,
					       .root_mode = 0755,
					       .clock = bed_clock,
					       .clock_arg = bed};

	log_set_level(LOG_ERROR);
	week->random = seed * 2 + 1;
	snprintf(week->dir, sizeof week->dir, "/tmp/unspill-week-XXXXXX");
	bed->now_us = 1000 * HOUR;
	bed->options = (struct volume_options){.clock = bed_clock,
					       .clock_arg = bed,
					       .bytes_reserved = 1,
					       .checkpoint_records = 1000};
	return check(mkdtemp(week->dir) != NULL) &&
	       check(disk_local_open(week->dir, &bed->disk) == 0) &&
	       check(volume_format(bed->disk, &format, &bed->why) == 0, "%s", bed->why.text) &&
	       check(bed_open(bed) == 0, "%s", bed->why.text);
}

/* Every file there, every page written more than once. */
static void write_all(struct week *week)
{
	write_log(week);
	for (int file = THE_LOG + 1; file < FILES; file++) {
		if (week->toys[file].there)
			use_the_temporary(week, file);
		use_the_temporary(week, file);
	}
	for (int i = 0; i < 8 * TABLES * TABLE_PAGES; i++)
		change(week, i % TABLES, (size_t)(i / TABLES % TABLE_PAGES) * PAGE, PAGE);
}

/* Fold all there is, and see what is left.  First the head moves on from where it parted from
 * others. */
static struct figures without_history(struct week *week)
{
	write_all(week);
	check(volume_set_window(week->bed.volume, 0) == 0);
	week->bed.now_us += SECOND;
	check(volume_sync(week->bed.volume) == 0 && bed_maintain(&week->bed) == 0);
	return measure(week);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void end(struct week *week)
{
	volume_close(week->bed.volume);
	week->bed.volume = NULL;
	if (week->bed.disk)
		verify(week, NULL);
	disk_close(week->bed.disk);
	nftw(week->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void count_folds(struct week *week)
{
	struct volume_stats stats;

	volume_get_stats(week->bed.volume, &stats);
	week->folds += stats.folds;
}

static void reopen(struct week *week)
{
	count_folds(week);
	volume_close(week->bed.volume);
	week->bed.volume = NULL;
	check(bed_open(&week->bed) == 0, "%s", week->bed.why.text);
}

static void pass_an_hour(struct week *week, int hour)
{
	int64_t ends_us = (1000 + hour + 1) * HOUR;
	struct volume_repack_options packing = {0};
	struct volume_repacked repacked;
	struct moment moment;
	char name[32];

	for (int i = 0; i < TRANSACTIONS; i++) {
		transact(week);
		if (i % 10 == 5) {
			remember(week);
			check(bed_maintain(&week->bed) == 0);
		}
		week->bed.now_us += (ends_us - week->bed.now_us) / (TRANSACTIONS - i);
	}
	snprintf(name, sizeof name, "hour %d", hour);
	check(volume_mark(week->bed.volume, name, &moment, &week->bed.why) == 0, "%s",
	      week->bed.why.text);
	remember(week);
	if (hour % 5 == 4)
		go_back(week);
	if (week->repack && hour % 3 == 0)
		check(volume_repack(week->bed.volume, &packing, &repacked, &week->bed.why) == 0,
		      "%s", week->bed.why.text);
	check(bed_maintain(&week->bed) == 0);
	look_back(week);
}

static int count_reachable(const struct volume_mark *mark, void *arg)
{
	*(unsigned *)arg += mark->reachable;
	return 0;
}

static void pass(struct week *week, int hours, int reopen_hours)
{
	struct volume_stats stats;
	struct figures now;

	week->first = without_history(week);
	check(volume_set_window(week->bed.volume, DAY_HOURS * HOUR) == 0);
	for (int hour = 0; hour < hours && !tap_bad; hour++) {
		pass_an_hour(week, hour);
		if (hour % reopen_hours == reopen_hours - 1)
			reopen(week);
		if (tap_bad)
			break;
		now = measure(week);
		as_it_may_be(week, hour, &now);
		keep_the_most(&week->most, &now);
		if (hour % DAY_HOURS == DAY_HOURS - 1)
			verify(week, week->bed.volume);
	}
	if (tap_bad)
		return;
	volume_get_stats(week->bed.volume, &stats);
	volume_for_each_mark(week->bed.volume, count_reachable, &week->marks);
	/* What there was to see was seen: the window was full, and folds made it so. */
	check(stats.window_actual_us >= (DAY_HOURS - 2) * HOUR &&
		      stats.window_actual_us <= (DAY_HOURS + 2) * HOUR,
	      "a window of %.1f hours", (double)stats.window_actual_us / (double)HOUR);
	check(week->marks >= DAY_HOURS - 2 && week->marks <= DAY_HOURS + 2, "%u marks",
	      week->marks);
	count_folds(week);
	check(week->folds > 0, "no fold");
	check(week->backtracks >= (unsigned)hours / 6, "%u backtracks", week->backtracks);
	check(week->views >= (unsigned)hours - 2, "%u views", week->views);
	check(!week->repack || stats.packed_bytes > 0);
	print_figures("without history, at the start", &week->first);
	print_figures("the most of each hour's", &week->most);
	print_figures("at the end", &now);
	now = without_history(week);
	print_figures("without history, at the end", &now);
	as_at_the_start(&now, &week->first);
	printf("# %u backtracks, %u views, %" PRIu64 " folds, %.1f MiB of tape, %.1f MiB of base\n",
	       week->backtracks, week->views, week->folds, (double)stats.tape_bytes / 1048576,
	       (double)stats.base_bytes / 1048576);
}

static void live(int hours, int reopen_hours, bool repack)
{
	const char *wanted = getenv("UNSPILL_TEST_SEED");
	uint64_t seed = wanted ? strtoull(wanted, NULL, 0) : (uint64_t)time(NULL);
	size_t descriptors = count_descriptors();
	struct week *week = xcalloc(1, sizeof *week);

	printf("# UNSPILL_TEST_SEED=%" PRIu64 "\n", seed);
	week->repack = repack;
	if (begin(week, seed))
		pass(week, hours, reopen_hours);
	end(week);
	free(week);
	check(count_descriptors() == descriptors, "%zu descriptors, not %zu", count_descriptors(),
	      descriptors);
}

static bool is_long;

static void days_of_work_leave_nothing_behind(void)
{
	live(is_long ? 7 * DAY_HOURS : 60, is_long ? 61 : 50, false);
}

static void nor_with_history_repacked(void)
{
	live(is_long ? 7 * DAY_HOURS : 54, 61, true);
}

int main(void)
{
	is_long = getenv("UNSPILL_TEST_LONG") != NULL;
	RUN(days_of_work_leave_nothing_behind);
	RUN(nor_with_history_repacked);
	return tap_done();
}
