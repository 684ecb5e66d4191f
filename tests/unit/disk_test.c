/*
 * Both disks keep the contract of disk.h, and the one in memory forgets as it promises.
 */
#include "disk/disk.h"
#include "base/alloc.h"
#include "tap.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* --- Both disks --------------------------------------------------------------------------- */

static struct disk *disk;
static char directory[64];

static bool holds(struct disk *on, const char *name, const char *text)
{
	CLEANUP(free) void *data = NULL;
	size_t size;

	if (disk_read_file(on, name, 1 << 20, &data, &size) < 0)
		return text == NULL;
	return text && size == strlen(text) && memcmp(data, text, size) == 0;
}

static int put(struct disk *on, const char *name, const char *text, uint64_t offset)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r = disk_open(on, name, DISK_CREATE, &file);

	return r < 0 ? r : disk_file_write(file, text, strlen(text), offset);
}

static void a_file_is_read_back_as_written(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	struct iovec iov[3] = {{(void *)"one ", 4}, {(void *)"", 0}, {(void *)"two", 3}};
	char buf[16];

	require(disk_open(disk, "tape/a", DISK_CREATE, &file) == 0);
	require(disk_file_writev(file, iov, 3, 10) == 0);
	check(disk_file_read(file, buf, sizeof buf, 0) == 16);
	check(memcmp(buf, "\0\0\0\0\0\0\0\0\0\0one tw", 16) == 0);
	check(disk_file_read(file, buf, sizeof buf, 14) == 3);
	check(disk_file_read(file, buf, sizeof buf, 17) == 0);
	check(disk_file_read(file, buf, sizeof buf, 1000) == 0);
}

static void allocating_keeps_what_is_there_and_grows_with_zeros(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char buf[8] = "?";
	uint64_t size = 0;

	require(put(disk, "tape/allocate", "here", 0) == 0);
	require(disk_open(disk, "tape/allocate", 0, &file) == 0);
	check(disk_file_allocate(file, 0, 3 * DISK_BLOCK) == 0);
	check(disk_file_size(file, &size) == 0 && size == 3 * DISK_BLOCK);
	check(disk_file_read(file, buf, 5, 0) == 5 && memcmp(buf, "here", 5) == 0);
	check(disk_file_allocated(file, &size) == 0 && size >= 3 * DISK_BLOCK);
	check(disk_file_allocate(file, 0, DISK_BLOCK) == 0 && disk_file_size(file, &size) == 0 &&
	      size == 3 * DISK_BLOCK);
}

static void opening_minds_its_flags(void)
{
	struct disk_file *file = NULL;

	check(disk_open(disk, "flags", 0, &file) == -ENOENT);
	check(disk_open(disk, "nowhere/flags", 0, &file) == -ENOENT);
	require(disk_open(disk, "flags", DISK_CREATE | DISK_EXCLUSIVE, &file) == 0);
	disk_file_close(file);
	check(disk_open(disk, "flags", DISK_CREATE | DISK_EXCLUSIVE, &file) == -EEXIST);
	require(disk_open(disk, "flags", DISK_READ_ONLY, &file) == 0);
	check(disk_file_write(file, "x", 1, 0) == -EBADF);
	disk_file_close(file);
}

static void truncation_leaves_zeros_behind_it(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	uint64_t size;
	char buf[8];

	require(put(disk, "cut", "abcdefgh", 0) == 0);
	require(disk_open(disk, "cut", 0, &file) == 0);
	require(disk_file_truncate(file, 3) == 0 && disk_file_truncate(file, 8) == 0);
	check(disk_file_size(file, &size) == 0 && size == 8);
	check(disk_file_read(file, buf, 8, 0) == 8 && memcmp(buf, "abc\0\0\0\0\0", 8) == 0);
}

static void durable_writes_and_zeros_and_holes_read_back(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(free) uint8_t *buf = aligned_alloc(DISK_BLOCK, 2 * DISK_BLOCK);
	uint64_t before, after, size;

	require(disk_open(disk, "tape/seg", DISK_CREATE, &file) == 0);
	require(disk_file_write_zeros(file, 0, 64 * DISK_BLOCK) == 0 && disk_file_sync(file) == 0);
	check(disk_file_size(file, &size) == 0 && size == 64 * DISK_BLOCK);
	memset(buf, 'x', 2 * DISK_BLOCK);
	require(disk_file_write_direct(file, buf, 2 * DISK_BLOCK, 8 * DISK_BLOCK) == 0);
	memset(buf, 0, 2 * DISK_BLOCK);
	check(disk_file_read(file, buf, 2 * DISK_BLOCK, 9 * DISK_BLOCK) == 2 * DISK_BLOCK);
	check(buf[0] == 'x' && buf[DISK_BLOCK - 1] == 'x' && buf[DISK_BLOCK] == 0);
	require(disk_file_allocated(file, &before) == 0);
	check(before >= 64 * DISK_BLOCK);
	require(disk_file_punch(file, 8 * DISK_BLOCK, 32 * DISK_BLOCK) == 0);
	check(disk_file_read(file, buf, 2 * DISK_BLOCK, 9 * DISK_BLOCK) == 2 * DISK_BLOCK);
	check(buf[0] == 0 && buf[DISK_BLOCK - 1] == 0);
	check(disk_file_size(file, &size) == 0 && size == 64 * DISK_BLOCK);
	check(disk_file_allocated(file, &after) == 0 && after <= before - 32 * DISK_BLOCK);
}

static int collect(const char *name, void *arg)
{
	strcat(strcat(arg, name), " ");
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

static void names_are_listed_in_order_and_by_folder(void)
{
	char seen[256] = "";

	require(put(disk, "names/b", "", 0) == 0 && put(disk, "names/a", "", 0) == 0);
	require(put(disk, "names/t", "", 0) == 0 && put(disk, "names/stop", "", 0) == 0);
	require(disk_rename(disk, "names/b", "names/c") == 0 && disk_remove(disk, "names/a") == 0);
	check(disk_list(disk, "names", collect, seen) == 7);
	check(strcmp(seen, "c stop ") == 0, "%s", seen);
	check(disk_list(disk, "no-such-folder", collect, seen) == 0);
	check(disk_remove(disk, "names/a") == -ENOENT);
	check(disk_rename(disk, "names/a", "names/d") == -ENOENT);
	check(disk_sync_names(disk, "names") == 0 && disk_sync_names(disk, "") == 0);
}

static void replacing_a_file_leaves_the_new_one_only(void)
{
	char seen[256] = "";

	require(disk_replace_file(disk, "box/it", "old and long", 12) == 0);
	require(disk_replace_file(disk, "box/it", "new", 3) == 0);
	check(holds(disk, "box/it", "new"));
	check(disk_list(disk, "box", collect, seen) == 0 && strcmp(seen, "it ") == 0, "%s", seen);
}

static void reading_a_whole_file_minds_the_limit(void)
{
	void *data;
	size_t size;

	require(put(disk, "whole", "12345678", 0) == 0);
	check(disk_read_file(disk, "whole", 7, &data, &size) == -EFBIG);
	check(holds(disk, "whole", "12345678"));
	check(disk_read_file(disk, "missing", 7, &data, &size) == -ENOENT);
}

static void there_is_space_and_it_shrinks(void)
{
	struct disk_space space;

	require(disk_space(disk, &space) == 0);
	check(space.bytes_free > 0 && space.bytes_free <= space.bytes_total);
}

static void a_file_with_two_names_is_one_file(void)
{
	CLEANUP(disk) struct disk *elsewhere = disk_memory_new(9);
	unsigned links = 0;

	require(put(disk, "two/first", "both", 0) == 0);
	check(disk_links(disk, "two/first", &links) == 0 && links == 1);
	check(disk_links(disk, "two/none", &links) == -ENOENT);
	require(disk_link(disk, "two/first", disk, "other/second") == 0);
	check(disk_links(disk, "two/first", &links) == 0 && links == 2);
	check(disk_link(disk, "two/first", disk, "other/second") == -EEXIST);
	check(disk_link(disk, "two/none", disk, "other/third") == -ENOENT);
	check(disk_link(disk, "two/first", elsewhere, "other/second") == -EXDEV);
	check(put(disk, "other/second", "BOTH", 0) == 0 && holds(disk, "two/first", "BOTH"));
	check(disk_remove(disk, "two/first") == 0 && holds(disk, "other/second", "BOTH"));
	check(disk_links(disk, "other/second", &links) == 0 && links == 1);
}

static void a_reflink_is_a_copy_or_is_refused(void)
{
	CLEANUP(disk_file) struct disk_file *from = NULL, *to = NULL;
	int r;

	require(put(disk, "whole-from", "reflink", 0) == 0);
	require(disk_open(disk, "whole-from", 0, &from) == 0);
	require(disk_open(disk, "whole-to", DISK_CREATE, &to) == 0);
	r = disk_file_reflink(to, from);
	check(r == -EOPNOTSUPP || (r == 0 && holds(disk, "whole-to", "reflink")), "%d", r);
	check(disk_file_write(to, "X", 1, 0) == 0 && holds(disk, "whole-from", "reflink"));
}

static void contract_of_every_disk(void)
{
	RUN(a_file_is_read_back_as_written);
	RUN(allocating_keeps_what_is_there_and_grows_with_zeros);
	RUN(opening_minds_its_flags);
	RUN(truncation_leaves_zeros_behind_it);
	RUN(durable_writes_and_zeros_and_holes_read_back);
	RUN(names_are_listed_in_order_and_by_folder);
	RUN(replacing_a_file_leaves_the_new_one_only);
	RUN(reading_a_whole_file_minds_the_limit);
	RUN(there_is_space_and_it_shrinks);
	RUN(a_file_with_two_names_is_one_file);
	RUN(a_reflink_is_a_copy_or_is_refused);
}

/* --- The directory ------------------------------------------------------------------------ */

static void a_second_one_on_the_same_place_is_told_who_has_it(void)
{
	CLEANUP(disk) struct disk *second = NULL;
	int owner = 0;

	require(disk_lock(disk, &owner) == 0 && disk_local_open(directory, &second) == 0);
	check(disk_lock(second, &owner) == -EBUSY && owner == getpid());
	check(disk_lock(disk, &owner) == 0);
	disk_close(disk);
	check(disk_lock(second, &owner) == 0);
	require(disk_local_open(directory, &disk) == 0);
}

static void names_that_lead_out_are_refused(void)
{
	struct disk_file *file;

	check(disk_open(disk, "../x", DISK_CREATE, &file) == -EINVAL);
	check(disk_open(disk, "a/../x", DISK_CREATE, &file) == -EINVAL);
	check(disk_open(disk, "/etc/x", DISK_CREATE, &file) == -EINVAL);
	check(disk_open(disk, "", DISK_CREATE, &file) == -EINVAL);
	check(disk_remove(disk, "a/b/c") == -EINVAL);
	check(disk_rename(disk, "x", "..") == -EINVAL);
}

/* Bytes that this process has given to write(2) so far. */
static uint64_t written_so_far(void)
{
	unsigned long long bytes = 0;
	FILE *file = fopen("/proc/self/io", "re");
	char line[128];

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "wchar: %llu", &bytes) == 1)
			break;
	if (file)
		fclose(file);
	return bytes;
}

/* Of those, how many fill a file of `size` bytes with zeros. */
static uint64_t written_for_zeros(uint64_t size)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	uint64_t before;

	if (disk_open(disk, "tape/zeros", DISK_CREATE, &file) < 0)
		return UINT64_MAX;
	before = written_so_far();
	if (disk_file_write_zeros(file, 0, size) < 0 || disk_file_sync(file) < 0)
		return UINT64_MAX;
	return written_so_far() - before;
}

static void a_fleeting_one_only_promises_zeros(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	uint8_t buf[2 * DISK_BLOCK], zeros[2 * DISK_BLOCK] = {0};
	uint64_t size = 64 * DISK_BLOCK, written = written_for_zeros(size), now;

	/* A filesystem that has no such promise gets them. */
	check(written == 0 || (written >= size && written < 2 * size), "%" PRIu64, written);
	/* What was there is zeros, too, and no more than asked. */
	memset(buf, 'x', sizeof buf);
	require(disk_open(disk, "tape/zeros", 0, &file) == 0);
	require(disk_file_write(file, buf, sizeof buf, 2 * DISK_BLOCK) == 0);
	require(disk_file_write_zeros(file, 0, 3 * DISK_BLOCK) == 0);
	require(disk_file_read(file, buf, sizeof buf, 2 * DISK_BLOCK) == sizeof buf);
	check(!memcmp(buf, zeros, DISK_BLOCK) && buf[DISK_BLOCK] == 'x');
	check(disk_file_size(file, &now) == 0 && now == size);
}

static void zeros_of_another_one_are_written(void)
{
	uint64_t written = written_for_zeros(64 * DISK_BLOCK);

	check(written >= 64 * DISK_BLOCK && written < 128 * DISK_BLOCK, "%" PRIu64, written);
}

static void remove_tree(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", path, NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

/* --- Memory ------------------------------------------------------------------------------- */

enum { SEEDS = 200 };

/* What of `name` comes back, over many seeds: bit 0 for `a`, 1 for `b`, 2 for missing, 3 for else.
 */
static unsigned outcomes(struct disk *of, const char *name, const char *a, const char *b)
{
	unsigned seen = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		CLEANUP(disk) struct disk *back = disk_memory_power_on(of, seed);

		seen |= holds(back, name, a)      ? 1
			: holds(back, name, b)    ? 2
			: holds(back, name, NULL) ? 4
						  : 8;
	}
	return seen;
}

static struct disk *disk_with_file(struct disk_file **ret)
{
	struct disk *new = disk_memory_new(1);

	check(put(new, "f", "old", 0) == 0 && disk_open(new, "f", 0, ret) == 0);
	check(disk_file_sync(*ret) == 0 && disk_sync_names(new, "") == 0);
	return new;
}

static void what_was_synced_survives_and_the_rest_may_or_may_not(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(disk) struct disk *m = disk_with_file(&file);

	check(outcomes(m, "f", "old", "new") == 1);
	check(disk_file_write(file, "new", 3, 0) == 0);
	check(outcomes(m, "f", "old", "new") == 3);
	check(disk_file_sync(file) == 0);
	check(outcomes(m, "f", "old", "new") == 2);
	disk_file_close(take(file));
}

static void a_file_without_a_synced_name_may_vanish(void)
{
	CLEANUP(disk) struct disk *m = disk_memory_new(1);
	struct disk_file *file;

	require(disk_open(m, "f", DISK_CREATE, &file) == 0);
	check(disk_file_write(file, "x", 1, 0) == 0 && disk_file_sync(file) == 0);
	disk_file_close(file);
	check(outcomes(m, "f", "x", "?") == (1 | 4));
	check(disk_sync_names(m, "tape") == 0);
	check(outcomes(m, "f", "x", "?") == (1 | 4));
	check(disk_sync_names(m, "") == 0);
	check(outcomes(m, "f", "x", "?") == 1);
	check(disk_remove(m, "f") == 0);
	check(outcomes(m, "f", "x", "?") == (1 | 4));
	check(disk_sync_names(m, "") == 0);
	check(outcomes(m, "f", "x", "?") == 4);
}

static void names_of_a_folder_change_in_order(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(disk) struct disk *m = disk_with_file(&file);
	unsigned seen = 0;

	check(disk_rename(m, "f", "g") == 0 && disk_rename(m, "g", "h") == 0);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		CLEANUP(disk) struct disk *back = disk_memory_power_on(m, seed);
		unsigned f = holds(back, "f", "old"), g = holds(back, "g", "old"),
			 h = holds(back, "h", "old");

		check(f + g + h == 1);
		seen |= f | g << 1 | h << 2;
	}
	check(seen == 7);
	disk_file_close(take(file));
}

static void a_write_tears_at_sectors_and_nowhere_else(void)
{
	CLEANUP(disk) struct disk *m = disk_memory_new(1);
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(free) uint8_t *buf = aligned_alloc(DISK_BLOCK, DISK_BLOCK);
	unsigned torn = 0;

	require(disk_open(m, "f", DISK_CREATE, &file) == 0 && disk_sync_names(m, "") == 0);
	require(disk_file_write_zeros(file, 0, DISK_BLOCK) == 0 && disk_file_sync(file) == 0);
	memset(buf, 'x', DISK_BLOCK);
	require(disk_file_write(file, buf, DISK_BLOCK, 0) == 0);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		CLEANUP(disk) struct disk *back = disk_memory_power_on(m, seed);
		CLEANUP(free) uint8_t *data = NULL;
		size_t size;
		unsigned kept = 0;

		require(disk_read_file(back, "f", DISK_BLOCK, (void **)&data, &size) == 0);
		require(size == DISK_BLOCK);
		for (int i = 0; i < 8; i++) {
			check(data[i * 512] == data[i * 512 + 511]);
			kept += data[i * 512] == 'x';
		}
		torn += kept > 0 && kept < 8;
	}
	check(torn > SEEDS / 4);
	/* The same, synced: whole, also over what was not certain before. */
	memset(buf, 'y', DISK_BLOCK);
	require(disk_file_write_direct(file, buf, DISK_BLOCK, 0) == 0 && disk_file_sync(file) == 0);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		CLEANUP(disk) struct disk *back = disk_memory_power_on(m, seed);
		CLEANUP(free) uint8_t *data = NULL;
		size_t size;

		require(disk_read_file(back, "f", DISK_BLOCK, (void **)&data, &size) == 0);
		check(size == DISK_BLOCK && memcmp(data, buf, size) == 0);
	}
	disk_file_close(take(file));
}

static void growth_is_not_certain_before_a_sync(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(disk) struct disk *m = disk_with_file(&file);

	check(disk_file_write(file, "er", 2, 3) == 0);
	check(outcomes(m, "f", "old", "older") & 1);
	check(outcomes(m, "f", "old", "older") & 2);
	check(disk_file_sync(file) == 0);
	check(outcomes(m, "f", "old", "older") == 2);
	check(disk_file_truncate(file, 3) == 0);
	check(outcomes(m, "f", "old", "older") == 3);
	disk_file_close(take(file));
}

static void the_same_seed_gives_the_same_rest(void)
{
	CLEANUP(disk) struct disk *m = disk_memory_new(1);

	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof name, "f%d", i);
		require(put(m, name, "content", 0) == 0);
	}
	for (uint64_t seed = 0; seed < 20; seed++) {
		CLEANUP(disk) struct disk *a = disk_memory_power_on(m, seed);
		CLEANUP(disk) struct disk *b = disk_memory_power_on(m, seed);
		char seen_a[256] = "", seen_b[256] = "";

		disk_list(a, "", collect, seen_a);
		disk_list(b, "", collect, seen_b);
		check(strcmp(seen_a, seen_b) == 0);
	}
}

static void the_chosen_call_fails_and_later_ones_as_asked(void)
{
	CLEANUP(disk) struct disk *m = disk_memory_new(1);
	CLEANUP(disk_file) struct disk_file *file = NULL;

	require(disk_open(m, "f", DISK_CREATE, &file) == 0);
	check(disk_memory_calls(m) == 1);
	disk_memory_fail(m, 3, false);
	check(disk_file_write(file, "1", 1, 0) == 0);
	check(disk_file_write(file, "2", 1, 0) == -EIO);
	check(disk_file_write(file, "3", 1, 0) == 0);
	disk_memory_fail(m, 6, true);
	check(disk_sync_names(m, "") == 0);
	check(disk_sync_names(m, "") == -EIO && disk_file_sync(file) == -EIO);
	check(holds(m, "f", "3"));
	disk_file_close(take(file));
}

/* Linux reports a failed write-back once, and forgets the pages. */
static void after_a_failed_sync_the_next_one_proves_nothing(void)
{
	unsigned seen = 0;

	for (uint64_t seed = 0; seed < 50; seed++) {
		CLEANUP(disk) struct disk *m = disk_memory_new(seed);
		struct disk_file *file;

		require(put(m, "f", "old", 0) == 0 && disk_open(m, "f", 0, &file) == 0);
		require(disk_file_sync(file) == 0 && disk_sync_names(m, "") == 0);
		disk_memory_fail(m, disk_memory_calls(m) + 2, false);
		check(disk_file_write(file, "new", 3, 0) == 0 && disk_file_sync(file) == -EIO);
		check(disk_file_sync(file) == 0 && holds(m, "f", "new"));
		disk_file_close(file);
		seen |= outcomes(m, "f", "old", "new");
	}
	check(seen == 3, "%u", seen);
}

static void without_power_nothing_works_and_the_rest_comes_back(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(disk) struct disk *m = disk_with_file(&file);
	char c;

	disk_memory_power_cut(m, disk_memory_calls(m) + 2);
	check(disk_file_write(file, "new", 3, 0) == 0);
	check(disk_file_sync(file) == -EIO);
	check(disk_file_read(file, &c, 1, 0) == -EIO && disk_remove(m, "f") == -EIO);
	check(outcomes(m, "f", "old", "new") == 3);
	disk_file_close(take(file));
}

static void a_file_with_two_names_is_still_one_after_a_power_cut(void)
{
	struct disk *memory = disk_memory_new(5), *left;

	disk = memory;
	check(put(disk, "two/first", "both", 0) == 0 && disk_sync_names(disk, "two") == 0);
	check(disk_link(disk, "two/first", disk, "two/second") == 0 &&
	      disk_sync_names(disk, "two") == 0);
	left = disk_memory_power_on(memory, 1);
	disk = left;
	check(put(disk, "two/second", "BOTH", 0) == 0 && holds(disk, "two/first", "BOTH"));
	disk_close(left);
	disk_close(memory);
}

static void the_limit_is_kept_and_what_is_removed_is_free_again(void)
{
	CLEANUP(disk) struct disk *m = disk_memory_new(1);
	CLEANUP(disk_file) struct disk_file *file = NULL;
	struct disk_space space;

	disk_memory_limit(m, 8 * DISK_BLOCK);
	require(disk_open(m, "f", DISK_CREATE, &file) == 0);
	check(disk_file_write_zeros(file, 0, 6 * DISK_BLOCK) == 0);
	check(put(m, "g", "x", 0) == 0 && put(m, "g", "x", DISK_BLOCK) == 0);
	check(put(m, "g", "x", 2 * DISK_BLOCK) == -ENOSPC);
	check(disk_space(m, &space) == 0 && space.bytes_free == 0);
	check(disk_file_punch(file, DISK_BLOCK, 2 * DISK_BLOCK) == 0);
	check(disk_remove(m, "g") == 0);
	check(disk_space(m, &space) == 0 && space.bytes_free == 4 * DISK_BLOCK);
	disk_file_close(take(file));
}

static bool take_off(uint64_t bytes, void *arg)
{
	struct disk *m = arg;
	uint64_t size;
	CLEANUP(disk_file) struct disk_file *file = NULL;

	if (disk_open(m, "ballast", 0, &file) < 0 || disk_file_size(file, &size) < 0 || !size)
		return false;
	return disk_file_truncate(file, size - MIN(size, ALIGN_UP(bytes, (uint64_t)DISK_BLOCK))) ==
	       0;
}

static void a_lending_disk_is_full_only_when_nothing_more_is_lent(void)
{
	CLEANUP(disk) struct disk *m = disk_memory_new(1);
	CLEANUP(disk) struct disk *lending = disk_lending_new(m, take_off, m);
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char block[DISK_BLOCK] = "x";
	uint64_t size = 0;

	disk_memory_limit(m, 64 * DISK_BLOCK);
	require(disk_open(m, "ballast", DISK_CREATE, &file) == 0);
	require(disk_file_allocate(file, 0, 60 * DISK_BLOCK) == 0);
	disk_file_close(take(file));
	require(disk_open(lending, "f", DISK_CREATE, &file) == 0);
	while (disk_file_write(file, block, sizeof block, size) == 0)
		size += sizeof block;
	check(size == 64 * sizeof block, "%" PRIu64, size);
	check(put(lending, "g", "x", 0) == -ENOSPC &&
	      disk_file_write_zeros(file, size, 1) == -ENOSPC);
	check(disk_file_write(file, "old place", 9, 0) == 0);
	disk_file_close(take(file));
}

static void damage_is_seen_and_survives(void)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(disk) struct disk *m = disk_with_file(&file);
	CLEANUP(disk) struct disk *copy = disk_memory_copy(m);

	check(disk_memory_flip(m, "f", 0, 'o' ^ 'b') == 0 && holds(m, "f", "bld"));
	check(disk_memory_flip(m, "f", 3, 1) == -EINVAL &&
	      disk_memory_flip(m, "x", 0, 1) == -ENOENT);
	check(outcomes(m, "f", "old", "bld") == 2);
	check(disk_memory_cut(m, "f", 1) == 0 && outcomes(m, "f", "old", "b") == 2);
	check(holds(copy, "f", "old") && outcomes(copy, "f", "old", "bld") == 1);
	disk_file_close(take(file));
}

static bool nothing(uint64_t bytes, void *arg)
{
	return false;
}

int main(void)
{
	struct disk *memory;

	memory = disk_memory_new(1);
	disk = memory;
	contract_of_every_disk();
	disk_close(memory);

	memory = disk_memory_new(2);
	disk = disk_lending_new(memory, nothing, NULL);
	contract_of_every_disk();
	disk_close(disk);
	disk_close(memory);

	snprintf(directory, sizeof directory, "disk-test-XXXXXX");
	if (!mkdtemp(directory) || disk_local_open(directory, &disk) < 0)
		return 1;
	contract_of_every_disk();
	RUN(a_second_one_on_the_same_place_is_told_who_has_it);
	RUN(names_that_lead_out_are_refused);
	RUN(zeros_of_another_one_are_written);
	disk_close(disk);
	remove_tree(directory);

	if (mkdir(directory, 0700) < 0 || disk_local_open_fleeting(directory, &disk) < 0)
		return 1;
	contract_of_every_disk();
	RUN(a_fleeting_one_only_promises_zeros);
	disk_close(disk);
	remove_tree(directory);

	RUN(what_was_synced_survives_and_the_rest_may_or_may_not);
	RUN(a_file_without_a_synced_name_may_vanish);
	RUN(names_of_a_folder_change_in_order);
	RUN(a_write_tears_at_sectors_and_nowhere_else);
	RUN(growth_is_not_certain_before_a_sync);
	RUN(the_same_seed_gives_the_same_rest);
	RUN(the_chosen_call_fails_and_later_ones_as_asked);
	RUN(after_a_failed_sync_the_next_one_proves_nothing);
	RUN(without_power_nothing_works_and_the_rest_comes_back);
	RUN(a_file_with_two_names_is_still_one_after_a_power_cut);
	RUN(the_limit_is_kept_and_what_is_removed_is_free_again);
	RUN(a_lending_disk_is_full_only_when_nothing_more_is_lent);
	RUN(damage_is_seen_and_survives);
	return tap_done();
}
