/*
 * Goal: a tree comes out of a volume, and into a directory, as it was; what fails or is cancelled
 * leaves nothing. Method: a volume on a disk in memory; a source directory of our own.
 */
#include "keeper/transfer.h"

#include "base/alloc.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define MIB (1024 * 1024)

static char top[64] = "/tmp/unspill-transfer-XXXXXX";
static struct problem why;
static struct transfer_result result;
static const struct transfer_options quiet;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void clear(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *at(const char *below)
{
	static char paths[8][256];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof paths[0], "%s/%s", top, below);
	return path;
}

static void put(const char *below, const char *text)
{
	FILE *file = fopen(at(below), "w");

	fputs(text, file);
	fclose(file);
}

static bool holds(const char *below, const char *text)
{
	char got[256] = "";
	FILE *file = fopen(at(below), "r");

	if (!file)
		return false;
	got[fread(got, 1, sizeof got - 1, file)] = 0;
	fclose(file);
	return strcmp(got, text) == 0;
}

static bool stop_at_once(uint64_t done, uint64_t total, void *arg)
{
	return false;
}

static bool remember(uint64_t done, uint64_t total, void *arg)
{
	uint64_t *seen = arg;

	check(done >= seen[0] && done <= total, "%llu of %llu", (unsigned long long)done,
	      (unsigned long long)total);
	seen[0] = done;
	seen[1] = total;
	return true;
}

/* --- In --------------------------------------------------------------------------------------- */

/* text, dir/inner, a sparse file, a link beside it. */
static void make_source(void)
{
	struct timespec times[2] = {{1000000, 5}, {2000000, 7}};
	char *block = xcalloc(1, MIB);

	clear(at("source"));
	clear(at("target"));
	mkdir(at("source"), 0755);
	mkdir(at("source/dir"), 0750);
	put("source/text", "hello");
	put("source/dir/inner", "world");
	check(chmod(at("source/text"), 0640) == 0 &&
	      setxattr(at("source/text"), "user.note", "x", 1, 0) == 0);
	check(utimensat(AT_FDCWD, at("source/text"), times, 0) == 0);
	check(symlink("text", at("source/link")) == 0);
	mkdir(at("source/lost+found"), 0700);
	CLEANUP(fd) int fd = open(at("source/sparse"), O_WRONLY | O_CREAT, 0600);
	memset(block, 'x', MIB);
	check(pwrite(fd, block, 4096, 8 * MIB) == 4096 && ftruncate(fd, 32 * MIB) == 0);
	free(block);
}

static int copy_in(const struct transfer_options *options)
{
	return transfer_in(at("source"), at("target"), getuid(), getgid(), options, &result, &why);
}

static void a_tree_comes_in_as_it_was(void)
{
	char value[16], target[64] = "";
	uint64_t seen[2] = {0};
	struct transfer_options options = {remember, seen};
	struct stat st;

	make_source();
	require(copy_in(&options) == 0, "%s", why.text);
	check(holds("target/text", "hello") && holds("target/dir/inner", "world"));
	check(stat(at("target/text"), &st) == 0 && (st.st_mode & 07777) == 0640);
	check(st.st_mtim.tv_sec == 2000000 && st.st_mtim.tv_nsec == 7);
	check(getxattr(at("target/text"), "user.note", value, sizeof value) == 1);
	check(stat(at("target/dir"), &st) == 0 && (st.st_mode & 07777) == 0750);
	check(readlink(at("target/link"), target, sizeof target - 1) == 4 &&
	      strcmp(target, "text") == 0);
	check(stat(at("target/sparse"), &st) == 0 && st.st_size == 32 * MIB &&
	      st.st_blocks * 512 < MIB);
	check(access(at("target/lost+found"), F_OK) < 0);
	check(result.files == 3 && seen[0] > 4096, "%llu files", (unsigned long long)result.files);
}

static void a_link_out_of_the_tree_is_refused_before_anything_is_copied(void)
{
	make_source();
	check(symlink("/etc/passwd", at("source/dir/out")) == 0);
	check(copy_in(&quiet) == -EXDEV && strstr(why.text, "dir/out"), "%s", why.text);
	check(access(at("target"), F_OK) < 0);
	unlink(at("source/dir/out"));
	check(symlink("../../x", at("source/dir/out")) == 0);
	check(copy_in(&quiet) == -EXDEV, "%s", why.text);
}

static void a_cancelled_import_leaves_nothing(void)
{
	struct transfer_options options = {stop_at_once};

	make_source();
	check(copy_in(&options) == -ECANCELED && access(at("target"), F_OK) < 0, "%s", why.text);
}

static bool change_the_source(uint64_t done, uint64_t total, void *arg)
{
	put("source/sparse", "changed");
	return true;
}

static void a_source_that_changes_meanwhile_is_noticed(void)
{
	struct transfer_options options = {change_the_source};

	make_source();
	unlink(at("source/text"));
	unlink(at("source/dir/inner"));
	check(copy_in(&options) == -EBUSY && strstr(why.text, "changed"), "%s", why.text);
	check(access(at("target"), F_OK) < 0);
}

/* --- Out -------------------------------------------------------------------------------------- */

static struct disk *disk;
static struct volume *volume;

static uint64_t make_in_volume(uint64_t parent, const char *name, mode_t mode, const char *target)
{
	struct volume_new new = {.mode = mode, .uid = getuid(), .gid = getgid(), .target = target};
	struct volume_attr attr = {0};

	check(volume_create(volume, parent, name, &new, &attr) == 0, "%s", name);
	return attr.ino;
}

static void write_in_volume(uint64_t ino, uint64_t offset, const char *text)
{
	struct iovec iov = {(void *)text, strlen(text)};

	check(volume_write(volume, ino, offset, &iov, 1, false) >= 0);
}

static uint64_t open_volume(void)
{
	struct volume_format_options format = {.segment_bytes = MIB, .root_mode = 0755};
	struct volume_options options = {.checkpoint_records = 1000};
	struct volume_attr attr;
	uint64_t data, file;

	disk = disk_memory_new(1);
	check(volume_format(disk, &format, &why) == 0, "%s", why.text);
	check(volume_open(disk, &options, &volume, &why) == 0, "%s", why.text);
	data = make_in_volume(VOLUME_ROOT_INO, "data", S_IFDIR | 0750, NULL);
	file = make_in_volume(data, "file", S_IFREG | 0640, NULL);
	write_in_volume(file, 0, "hello");
	check(volume_setxattr(volume, file, "user.note", "y", 1, 0) == 0);
	check(volume_link(volume, file, data, "second", &attr) == 0);
	file = make_in_volume(data, "sparse", S_IFREG | 0600, NULL);
	write_in_volume(file, 5 * MIB, "end");
	make_in_volume(data, "link", S_IFLNK | 0777, "file");
	make_in_volume(make_in_volume(data, "dir", S_IFDIR | 0700, NULL), "empty", S_IFREG | 0400,
		       NULL);
	make_in_volume(VOLUME_ROOT_INO, "outside", S_IFREG | 0600, NULL);
	clear(at("out"));
	return data;
}

static void close_volume(void)
{
	volume_close(volume);
	disk_close(disk);
}

static int copy_out(uint64_t ino, const struct transfer_options *options)
{
	return transfer_out(volume_head(volume), ino, at("out"), options, &result, &why);
}

static void a_tree_comes_out_as_it_was(void)
{
	uint64_t data = open_volume(), seen[2] = {0};
	struct transfer_options options = {remember, seen};
	struct stat st, second;
	char value[16], target[64] = "";

	check(copy_out(data, &options) == 0, "%s", why.text);
	check(holds("out/file", "hello") && holds("out/dir/empty", ""));
	check(stat(at("out/file"), &st) == 0 && (st.st_mode & 07777) == 0640 && st.st_nlink == 2);
	check(stat(at("out/second"), &second) == 0 && second.st_ino == st.st_ino);
	check(getxattr(at("out/file"), "user.note", value, sizeof value) == 1 && value[0] == 'y');
	check(stat(at("out/sparse"), &st) == 0 && st.st_size == 5 * MIB + 3 &&
	      st.st_blocks * 512 < MIB);
	check(stat(at("out/dir"), &st) == 0 && (st.st_mode & 07777) == 0700);
	check(readlink(at("out/link"), target, sizeof target - 1) == 4 &&
	      strcmp(target, "file") == 0);
	check(access(at("out/outside"), F_OK) < 0);
	check(result.files == 4 && seen[0] == seen[1], "%llu files, %llu of %llu",
	      (unsigned long long)result.files, (unsigned long long)seen[0],
	      (unsigned long long)seen[1]);
	close_volume();
}

static void an_export_into_what_is_not_empty_is_refused_and_touches_nothing(void)
{
	uint64_t data = open_volume();

	mkdir(at("out"), 0755);
	check(copy_out(data, &quiet) == 0, "into an empty one: %s", why.text);
	check(copy_out(data, &quiet) == -ENOTEMPTY && strstr(why.text, "not empty"), "%s",
	      why.text);
	check(holds("out/file", "hello"));
	close_volume();
}

static void a_cancelled_export_removes_what_it_made_and_no_more(void)
{
	struct transfer_options options = {stop_at_once};
	uint64_t data = open_volume();

	check(copy_out(data, &options) == -ECANCELED && access(at("out"), F_OK) < 0, "%s",
	      why.text);
	mkdir(at("out"), 0755);
	check(copy_out(data, &options) == -ECANCELED && rmdir(at("out")) == 0,
	      "it stays, and is empty");
	close_volume();
}

int main(void)
{
	if (!mkdtemp(top))
		return 1;
	RUN(a_tree_comes_in_as_it_was);
	RUN(a_link_out_of_the_tree_is_refused_before_anything_is_copied);
	RUN(a_cancelled_import_leaves_nothing);
	RUN(a_source_that_changes_meanwhile_is_noticed);
	RUN(a_tree_comes_out_as_it_was);
	RUN(an_export_into_what_is_not_empty_is_refused_and_touches_nothing);
	RUN(a_cancelled_export_removes_what_it_made_and_no_more);
	clear(top);
	return tap_done();
}
