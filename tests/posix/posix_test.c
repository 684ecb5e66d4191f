/*
 * Goal: the filesystem does what POSIX and Linux say, as root and as another user.
 * Method: `posix_test` mounts a volume and runs there; `posix_test DIR` runs in DIR, to see the
 * same tests pass on a filesystem that everybody trusts; `posix_test --run COMMAND [ARGUMENT]...`
 * mounts a volume and runs COMMAND in it: that is how other people's tests are run.  With
 * `--verify` instead of `--run`, the files are then compared with a view of the same moment, and
 * the volume is verified.  `--transport io_uring` before all that mounts over io_uring.
 */
#include "world.h"

#include "base/clock.h"

#include <dirent.h>
#include <grp.h>
#include <liburing.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>

#define NOBODY 65534

/* `call` fails with errno `error`. */
#define fails(call, error)                                                         \
	({                                                                         \
		errno = 0;                                                         \
		check((call) == -1 && errno == (error), "errno is %d (%s)", errno, \
		      strerror(errno));                                            \
	})
#define works(call) check((call) >= 0, "errno is %d (%s)", errno, strerror(errno))

static void make_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (!check(fd >= 0, "%s: %s", name, strerror(errno)))
		return;
	check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static bool file_is(const char *name, const char *text)
{
	char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf);

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(buf, text, n) == 0;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) < 0 ? 0 : st.st_mode;
}

static nlink_t links_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) < 0 ? 0 : st.st_nlink;
}

/* Run `fn` as somebody who owns nothing; its checks count here. */
static void as_nobody(void (*fn)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		tap_bad = false;
		if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(2);
		fn();
		fflush(stdout);
		_exit(tap_bad);
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* --- Data ---------------------------------------------------------------------------------------
 */

static void what_is_written_at_any_offset_is_read_back(void)
{
	static unsigned char model[300000], got[sizeof model];
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	unsigned seed = 7;
	size_t size = 0;

	require(fd >= 0);
	memset(model, 0, sizeof model);
	for (int i = 0; i < 400; i++) {
		size_t at = rand_r(&seed) % 250000, n = 1 + rand_r(&seed) % 20000;

		memset(model + at, i, n);
		size = at + n > size ? at + n : size;
		if (!check(pwrite(fd, model + at, n, at) == (ssize_t)n))
			break;
	}
	check(pread(fd, got, sizeof got, 0) == (ssize_t)size);
	check(memcmp(model, got, size) == 0);
	check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	check(pread(fd, got, sizeof got, 0) == (ssize_t)size && memcmp(model, got, size) == 0);
	check(pread(fd, got, 10, size) == 0, "there is nothing behind the end");
	close(fd);
}

static void a_file_has_holes_that_read_as_zeros(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char buf[8192], zeros[8192] = {0};
	struct stat st;

	require(fd >= 0);
	check(pwrite(fd, "x", 1, 10 << 20) == 1);
	check(pread(fd, buf, sizeof buf, 5 << 20) == sizeof buf &&
	      memcmp(buf, zeros, sizeof buf) == 0);
	check(fstat(fd, &st) == 0 && st.st_size == (10 << 20) + 1);
	check(lseek(fd, 0, SEEK_END) == (10 << 20) + 1);
	close(fd);
}

static void truncating_and_extending_show_zeros_never_old_bytes(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char buf[10000], zeros[10000] = {0};

	require(fd >= 0);
	memset(buf, 'a', sizeof buf);
	check(write(fd, buf, sizeof buf) == sizeof buf);
	works(ftruncate(fd, 100));
	works(ftruncate(fd, sizeof buf));
	check(pread(fd, buf, sizeof buf, 0) == sizeof buf);
	check(buf[99] == 'a' && memcmp(buf + 100, zeros, sizeof buf - 100) == 0);
	works(truncate("f", 0));
	check(pread(fd, buf, sizeof buf, 0) == 0);
	fails(truncate("f", -1), EINVAL);
	fails(truncate(".", 0), EISDIR);
	close(fd);
}

static void opening_with_trunc_empties_and_append_adds_at_the_end(void)
{
	int fd;

	make_file("f", "old");
	make_file("f", "ab");
	fd = open("f", O_WRONLY | O_APPEND);
	check(pwrite(fd, "cd", 2, 0) == 2, "Linux appends although an offset is given");
	check(write(fd, "e", 1) == 1);
	close(fd);
	check(file_is("f", "abcde"));
	fd = open("f", O_RDONLY);
	fails(write(fd, "x", 1), EBADF);
	close(fd);
}

static void direct_io_works_beside_the_page_cache(void)
{
	int direct = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644), cached = open("f", O_RDWR);
	char *buf, small[16];

	require(direct >= 0 && cached >= 0 && posix_memalign((void **)&buf, 4096, 1 << 20) == 0);
	memset(buf, 'a', 1 << 20);
	check(pwrite(direct, buf, 1 << 20, 0) == 1 << 20);
	check(pread(cached, small, 16, 70000) == 16 && small[0] == 'a');
	memset(buf, 'b', 16384);
	check(pwrite(direct, buf, 16384, 65536) == 16384);
	check(pread(cached, small, 16, 70000) == 16 && small[0] == 'b');
	check(pwrite(cached, "c", 1, 70000) == 1);
	check(pread(direct, buf, 16384, 65536) == 16384 && buf[70000 - 65536] == 'c');
	check(pread(direct, buf, 16384, 1 << 20) == 0);
	free(buf);
	close(direct);
	close(cached);
}

static void fallocate_has_its_modes(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char buf[12288], zeros[12288] = {0};
	struct stat st;

	require(fd >= 0);
	memset(buf, 'a', sizeof buf);
	check(pwrite(fd, buf, sizeof buf, 0) == sizeof buf);
	works(fallocate(fd, 0, 12288, 4096));
	check(fstat(fd, &st) == 0 && st.st_size == 16384);
	works(fallocate(fd, FALLOC_FL_KEEP_SIZE, 16384, 1 << 20));
	check(fstat(fd, &st) == 0 && st.st_size == 16384);
	works(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 5000));
	check(pread(fd, buf, sizeof buf, 0) == sizeof buf && buf[99] == 'a' && buf[5100] == 'a');
	check(memcmp(buf + 100, zeros, 5000) == 0);
	works(fallocate(fd, FALLOC_FL_ZERO_RANGE, 10000, 10000));
	check(fstat(fd, &st) == 0 && st.st_size == 20000);
	check(pread(fd, buf, 288, 10000) == 288 && memcmp(buf, zeros, 288) == 0);
	works(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 19000, 10000));
	check(fstat(fd, &st) == 0 && st.st_size == 20000);
	fails(fallocate(fd, 0, 0, 0), EINVAL);
	fails(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
	close(fd);
}

static void seeking_finds_data_and_the_end(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	require(fd >= 0);
	check(pwrite(fd, "x", 1, 0) == 1 && pwrite(fd, "x", 1, 1 << 20) == 1);
	check(lseek(fd, 0, SEEK_DATA) == 0);
	check(lseek(fd, 1 << 20, SEEK_DATA) == 1 << 20);
	check(lseek(fd, 1 << 20, SEEK_HOLE) == (1 << 20) + 1);
	check(lseek(fd, 0, SEEK_HOLE) <= 1 << 20, "a hole, or the end");
	fails(lseek(fd, (1 << 20) + 1, SEEK_DATA), ENXIO);
	close(fd);
}

static void a_vector_is_written_and_read_in_order(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char a[3] = "", b[4] = "";
	struct iovec out[] = {{(char *)"one", 3}, {(char *)"two!", 4}}, in[] = {{a, 3}, {b, 4}};

	require(fd >= 0);
	check(pwritev(fd, out, 2, 5) == 7 && preadv(fd, in, 2, 5) == 7);
	check(memcmp(a, "one", 3) == 0 && memcmp(b, "two!", 4) == 0);
	close(fd);
}

/* --- Mappings and programs ------------------------------------------------------------------- */

static void a_shared_mapping_and_the_file_are_one(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char buf[4], *map;

	require(fd >= 0 && ftruncate(fd, 12288) == 0);
	map = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(map != MAP_FAILED);
	memcpy(map + 5000, "map", 3);
	check(pread(fd, buf, 3, 5000) == 3 && memcmp(buf, "map", 3) == 0);
	check(pwrite(fd, "wri", 3, 9000) == 3 && memcmp(map + 9000, "wri", 3) == 0);
	works(msync(map, 12288, MS_SYNC));
	munmap(map, 12288);
	check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	check(pread(fd, buf, 3, 5000) == 3 && memcmp(buf, "map", 3) == 0);
	close(fd);
}

static void a_private_mapping_changes_nothing(void)
{
	int fd;
	char *map;

	make_file("f", "untouched");
	fd = open("f", O_RDWR);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	require(map != MAP_FAILED && memcmp(map, "untouched", 9) == 0);
	memcpy(map, "scribbled", 9);
	munmap(map, 4096);
	close(fd);
	check(file_is("f", "untouched"));
}

static void a_mapping_outlives_its_descriptor_and_its_name(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *map;

	require(fd >= 0 && ftruncate(fd, 4096) == 0 && link("f", "g") == 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(map != MAP_FAILED);
	close(fd);
	unlink("f");
	strcpy(map, "kept");
	works(msync(map, 4096, MS_SYNC));
	munmap(map, 4096);
	fd = open("g", O_RDONLY);
	char buf[5] = "";
	check(read(fd, buf, 4) == 4 && strcmp(buf, "kept") == 0);
	close(fd);
}

static void programs_run(void)
{
	check(system("cp /bin/echo ./program && test \"$(./program ran)\" = ran") == 0);
	check(chmod("program", 0644) == 0);
	fails(execl("./program", "program", NULL), EACCES);
}

/* --- Names --------------------------------------------------------------------------------------
 */

static void names_are_made_and_removed_with_the_right_errors(void)
{
	works(mkdir("d", 0755));
	fails(mkdir("d", 0755), EEXIST);
	make_file("d/f", "x");
	fails(open("d/f", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
	fails(rmdir("d"), ENOTEMPTY);
	fails(unlink("d"), EISDIR);
	fails(rmdir("d/f"), ENOTDIR);
	fails(open("d/f/g", O_RDONLY), ENOTDIR);
	fails(open("none/f", O_CREAT | O_WRONLY, 0644), ENOENT);
	fails(open("d", O_WRONLY), EISDIR);
	fails(unlink("none"), ENOENT);
	fails(rmdir("d/."), EINVAL);
	works(unlink("d/f"));
	works(rmdir("d"));
	fails(open("d", O_RDONLY), ENOENT);
	works(mkdir("d", 0755));
}

static void a_name_has_255_bytes_at_most(void)
{
	char name[257];

	memset(name, 'n', sizeof name);
	name[255] = '\0';
	make_file(name, "long");
	check(file_is(name, "long"));
	name[255] = 'n';
	name[256] = '\0';
	fails(open(name, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
	fails(mkdir(name, 0755), ENAMETOOLONG);
	fails(symlink("x", name), ENAMETOOLONG);
	make_file("f", "x");
	fails(rename("f", name), ENAMETOOLONG);
	make_file("\xc3\xa4 \n\t\x01\xff", "any bytes");
	check(file_is("\xc3\xa4 \n\t\x01\xff", "any bytes"));
}

static void hard_links_share_one_file(void)
{
	make_file("a", "one");
	works(link("a", "b"));
	check(links_of("a") == 2);
	make_file("b", "two");
	check(file_is("a", "two"));
	fails(link("a", "b"), EEXIST);
	works(mkdir("d", 0755));
	fails(link("d", "e"), EPERM);
	fails(link("none", "e"), ENOENT);
	works(unlink("a"));
	check(links_of("b") == 1 && file_is("b", "two"));
}

static void directories_count_their_subdirectories(void)
{
	works(mkdir("d", 0755));
	check(links_of("d") == 2);
	works(mkdir("d/a", 0755));
	works(mkdir("d/b", 0755));
	check(links_of("d") == 4);
	works(rename("d/a", "a"));
	check(links_of("d") == 3);
	works(rmdir("d/b"));
	check(links_of("d") == 2);
}

static void symbolic_links_are_followed_and_read(void)
{
	char target[4096], buf[4096];

	make_file("f", "data");
	works(symlink("f", "l"));
	check(S_ISLNK(mode_of("l")) && file_is("l", "data"));
	check(readlink("l", buf, sizeof buf) == 1 && buf[0] == 'f');
	check(readlink("l", buf, sizeof buf) == 1, "from the cache, too");
	fails(readlink("f", buf, sizeof buf), EINVAL);
	fails(symlink("x", "l"), EEXIST);
	memset(target, 't', sizeof target);
	target[4095] = '\0';
	works(symlink(target, "long"));
	check(readlink("long", buf, sizeof buf) == 4095 && memcmp(buf, target, 4095) == 0);
	works(symlink("loop", "loop"));
	fails(open("loop", O_RDONLY), ELOOP);
	works(symlink("nowhere", "dangling"));
	fails(open("dangling", O_RDONLY), ENOENT);
	fails(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	make_file("dangling", "made by opening the link");
	check(file_is("nowhere", "made by opening the link"));
}

static void rename_replaces(void)
{
	make_file("a", "new");
	make_file("b", "old");
	works(rename("a", "b"));
	check(file_is("b", "new"));
	fails(open("a", O_RDONLY), ENOENT);
	works(mkdir("d", 0755));
	works(mkdir("e", 0755));
	make_file("e/f", "x");
	fails(rename("d", "b"), ENOTDIR);
	fails(rename("b", "d"), EISDIR);
	fails(rename("d", "e"), ENOTEMPTY);
	fails(rename("e", "e/inside"), EINVAL);
	works(rename("e", "d"));
	check(file_is("d/f", "x"));
	works(link("b", "c"));
	works(rename("b", "c"));
	check(links_of("b") == 2, "two names of one file stay");
	works(rename("d/f", "d/f"));
}

static void rename_has_noreplace_and_exchange(void)
{
	make_file("a", "A");
	make_file("b", "B");
	works(mkdir("d", 0755));
	works(mkdir("d/sub", 0755));
	fails(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	works(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	works(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
	check(file_is("b", "A") && file_is("c", "B"));
	works(renameat2(AT_FDCWD, "b", AT_FDCWD, "d/sub", RENAME_EXCHANGE));
	check(S_ISDIR(mode_of("b")) && file_is("d/sub", "A"));
	check(links_of("d") == 2);
	fails(renameat2(AT_FDCWD, "b", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
	fails(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
}

static void an_unlinked_file_lives_while_it_is_open(void)
{
	char buf[10] = "";
	struct stat st;
	int fd, other;

	make_file("f", "before");
	make_file("g", "replacement");
	fd = open("f", O_RDWR);
	other = open("g", O_RDWR);
	works(unlink("f"));
	check(pwrite(fd, "after!", 6, 0) == 6 && pread(fd, buf, 6, 0) == 6 &&
	      strcmp(buf, "after!") == 0);
	check(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 6);
	works(ftruncate(fd, 3));
	works(fchmod(fd, 0600));
	make_file("h", "x");
	works(rename("h", "g"));
	check(pread(other, buf, 3, 0) == 3 && memcmp(buf, "rep", 3) == 0);
	make_file("f", "another");
	check(pread(fd, buf, 10, 0) == 3);
	close(fd);
	close(other);
	check(file_is("f", "another"));
}

static void a_removed_directory_is_empty_for_those_who_are_in_it(void)
{
	int fd;

	works(mkdir("d", 0755));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	works(rmdir("d"));
	fails(openat(fd, "f", O_CREAT | O_WRONLY, 0644), ENOENT);
	fails(openat(fd, "f", O_RDONLY), ENOENT);
	close(fd);
}

static void devices_pipes_and_sockets_keep_their_kind(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;

	works(mkfifo("pipe", 0600));
	check(S_ISFIFO(mode_of("pipe")));
	works(bind(fd, (struct sockaddr *)&address, sizeof address));
	check(S_ISSOCK(mode_of("socket")));
	works(listen(fd, 1));
	close(fd);
	if (geteuid() != 0)
		return;
	works(mknod("char", S_IFCHR | 0600, makedev(4000, 70000)));
	check(stat("char", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(4000, 70000));
	works(mknod("block", S_IFBLK | 0600, makedev(8, 1)));
	check(stat("block", &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == makedev(8, 1));
	works(mknod("plain", S_IFREG | 0600, 0));
	check(S_ISREG(mode_of("plain")));
}

/* --- Directories --------------------------------------------------------------------------------
 */

#define MANY 2000

static void make_many(void)
{
	char name[32];

	mkdir("many", 0755);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "many/entry-%04d", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
}

static void a_long_directory_lists_every_name_once(void)
{
	static int seen[MANY];
	struct dirent *entry;
	int dots = 0, i;
	DIR *dir;

	make_many();
	memset(seen, 0, sizeof seen);
	dir = opendir("many");
	require(dir);
	while ((entry = readdir(dir))) {
		dots += strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
		if (sscanf(entry->d_name, "entry-%d", &i) == 1) {
			seen[i]++;
			check(entry->d_type == DT_REG);
		}
	}
	closedir(dir);
	check(dots == 2);
	for (i = 0; i < MANY; i++)
		check(seen[i] == 1, "entry %d was seen %d times", i, seen[i]);
}

static void offsets_in_a_directory_stay_good_while_names_come_and_go(void)
{
	static int seen[MANY];
	struct dirent *entry;
	char name[32];
	long middle;
	int i, read = 0;
	DIR *dir;

	make_many();
	memset(seen, 0, sizeof seen);
	dir = opendir("many");
	require(dir);
	while (read++ < MANY / 2 && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "entry-%d", &i) == 1)
			seen[i]++;
	middle = telldir(dir);
	/* Every third goes, seen or not; and others come. */
	for (i = 0; i < MANY; i += 3) {
		snprintf(name, sizeof name, "many/entry-%04d", i);
		unlink(name);
		snprintf(name, sizeof name, "many/new-%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
	rewinddir(dir);
	seekdir(dir, middle);
	while ((entry = readdir(dir)))
		if (sscanf(entry->d_name, "entry-%d", &i) == 1)
			seen[i]++;
	closedir(dir);
	for (i = 0; i < MANY; i++)
		check(seen[i] == 1 || (i % 3 == 0 && seen[i] == 0), "%d: %d times", i, seen[i]);
}

static void a_directory_can_be_emptied_while_it_is_read(void)
{
	struct dirent *entry;
	DIR *dir;

	make_many();
	dir = opendir("many");
	require(dir);
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	works(rmdir("many"));
}

static void syncing_files_and_directories_works(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY), file = open("f", O_CREAT | O_RDWR, 0644);

	works(fsync(fd));
	works(fdatasync(fd));
	works(fsync(file));
	works(fdatasync(file));
	works(syncfs(fd));
	close(fd);
	fd = open("f", O_RDONLY);
	works(fsync(fd));
	close(fd);
	close(file);
}

/* --- Attributes ---------------------------------------------------------------------------------
 */

static void times_have_nanoseconds(void)
{
	struct timespec set[] = {{1234567890, 123456789}, {987654321, 999999999}};
	struct stat st, now;

	make_file("f", "x");
	works(utimensat(AT_FDCWD, "f", set, 0));
	check(stat("f", &st) == 0);
	check(st.st_atim.tv_sec == 1234567890 && st.st_atim.tv_nsec == 123456789);
	check(st.st_mtim.tv_sec == 987654321 && st.st_mtim.tv_nsec == 999999999);
	set[0].tv_nsec = UTIME_OMIT;
	set[1].tv_nsec = UTIME_NOW;
	works(utimensat(AT_FDCWD, "f", set, 0));
	check(stat("f", &now) == 0 && now.st_atim.tv_nsec == 123456789 &&
	      now.st_mtim.tv_sec > 987654321);
	set[0] = set[1] = (struct timespec){-5, 7};
	works(utimensat(AT_FDCWD, "f", set, 0));
	check(stat("f", &now) == 0 && now.st_mtim.tv_sec == -5 && now.st_mtim.tv_nsec == 7,
	      "before 1970");
}

static struct stat stat_of(const char *name)
{
	struct stat st = {0};

	lstat(name, &st);
	return st;
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* Wait until the clock that times are taken from has moved on. */
static void tick(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &start);
	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (!later(now, start));
}

static void changes_move_the_times_that_they_should(void)
{
	struct stat before, after;

	works(mkdir("d", 0755));
	make_file("d/f", "x");
	before = stat_of("d/f");
	tick();
	works(chmod("d/f", 0600));
	after = stat_of("d/f");
	check(later(after.st_ctim, before.st_ctim) && !later(after.st_mtim, before.st_mtim));
	before = after;
	tick();
	make_file("d/f", "y");
	after = stat_of("d/f");
	check(later(after.st_ctim, before.st_ctim) && later(after.st_mtim, before.st_mtim));
	before = stat_of("d");
	tick();
	works(link("d/f", "d/g"));
	check(later(stat_of("d").st_mtim, before.st_mtim) &&
	      later(stat_of("d/f").st_ctim, after.st_ctim));
	before = stat_of("d");
	tick();
	works(unlink("d/g"));
	check(later(stat_of("d").st_mtim, before.st_mtim));
}

static void extended_attributes_are_kept(void)
{
	char buf[1000];

	make_file("f", "x");
	works(setxattr("f", "user.a", "one", 3, XATTR_CREATE));
	fails(setxattr("f", "user.a", "one", 3, XATTR_CREATE), EEXIST);
	fails(setxattr("f", "user.b", "two", 3, XATTR_REPLACE), ENODATA);
	works(setxattr("f", "user.empty", "", 0, 0));
	check(getxattr("f", "user.a", buf, sizeof buf) == 3 && memcmp(buf, "one", 3) == 0);
	check(getxattr("f", "user.a", NULL, 0) == 3);
	check(getxattr("f", "user.empty", buf, sizeof buf) == 0);
	fails(getxattr("f", "user.a", buf, 2), ERANGE);
	fails(getxattr("f", "user.none", buf, sizeof buf), ENODATA);
	check(listxattr("f", buf, sizeof buf) == 18 && listxattr("f", NULL, 0) == 18);
	fails(listxattr("f", buf, 5), ERANGE);
	works(removexattr("f", "user.a"));
	fails(removexattr("f", "user.a"), ENODATA);
	check(listxattr("f", buf, sizeof buf) == 11 && strcmp(buf, "user.empty") == 0);
}

static void a_filesystem_has_sizes(void)
{
	struct statvfs st;

	check(statvfs(".", &st) == 0);
	check(st.f_blocks > 0 && st.f_bavail <= st.f_bfree && st.f_bfree <= st.f_blocks &&
	      st.f_namemax == 255);
	check(st.f_files > 0);
}

/* --- Whose it is --------------------------------------------------------------------------------
 */

static void nobody_is_kept_out(void)
{
	fails(open("secret", O_RDONLY), EACCES);
	fails(open("secret", O_WRONLY), EACCES);
	fails(open("readable", O_WRONLY), EACCES);
	check(file_is("readable", "r"));
	fails(open("new", O_CREAT | O_WRONLY, 0644), EACCES);
	fails(unlink("readable"), EACCES);
	fails(rename("readable", "moved"), EACCES);
	fails(mkdir("new", 0755), EACCES);
	fails(chmod("readable", 0777), EPERM);
	fails(chown("readable", NOBODY, -1), EPERM);
	fails(truncate("readable", 0), EACCES);
	fails(utimensat(AT_FDCWD, "readable", NULL, 0), EACCES);
	fails(access("closed/f", F_OK), EACCES);
	fails(unlink("sticky/root"), EPERM);
	fails(setxattr("readable", "user.x", "", 0, 0), EACCES);
	make_file("sticky/mine", "m");
	check(stat_of("sticky/mine").st_uid == NOBODY && stat_of("sticky/mine").st_gid == NOBODY);
	works(chmod("sticky/mine", 0600));
	fails(chown("sticky/mine", 0, -1), EPERM);
	works(unlink("sticky/mine"));
}

static void other_users_have_the_permissions_that_the_mode_says(void)
{
	make_file("secret", "s");
	chmod("secret", 0600);
	make_file("readable", "r");
	mkdir("closed", 0700);
	make_file("closed/f", "x");
	mkdir("sticky", 0755);
	chmod("sticky", 01777);
	make_file("sticky/root", "x");
	chmod("sticky/root", 0666);
	as_nobody(nobody_is_kept_out);
}

static void the_umask_applies(void)
{
	mode_t before = umask(027);

	close(open("f", O_CREAT | O_WRONLY, 0666));
	mkdir("d", 0777);
	mkfifo("p", 0666);
	umask(before);
	check((mode_of("f") & 07777) == 0640);
	check((mode_of("d") & 07777) == 0750);
	check((mode_of("p") & 07777) == 0640);
}

static void nobody_makes_files_in_a_group_directory(void)
{
	make_file("shared/f", "x");
	works(mkdir("shared/d", 0755));
}

static void a_set_group_id_directory_gives_its_group(void)
{
	mkdir("shared", 0755);
	check(chown("shared", 0, 4242) == 0 && chmod("shared", 02777) == 0);
	as_nobody(nobody_makes_files_in_a_group_directory);
	check(stat_of("shared/f").st_gid == 4242 && stat_of("shared/f").st_uid == NOBODY);
	check(stat_of("shared/d").st_gid == 4242 && mode_of("shared/d") & S_ISGID);
	check(!(mode_of("shared/f") & S_ISGID));
}

static void nobody_writes_and_truncates(void)
{
	int fd = open("written", O_WRONLY);

	check(write(fd, "x", 1) == 1);
	close(fd);
	works(truncate("truncated", 1));
	close(open("opened", O_WRONLY | O_TRUNC));
	fd = open("allocated", O_WRONLY);
	works(fallocate(fd, 0, 0, 100));
	close(fd);
}

static void set_user_id_is_lost_when_another_writes(void)
{
	static const char *const names[] = {"written", "truncated", "opened"};

	for (size_t i = 0; i < 3; i++) {
		make_file(names[i], "text");
		chmod(names[i], 06777);
	}
	make_file("allocated", "text");
	chmod("allocated", 06777);
	as_nobody(nobody_writes_and_truncates);
	for (size_t i = 0; i < 3; i++)
		check((mode_of(names[i]) & 07777) == 0777, "%s: %o", names[i], mode_of(names[i]));
}

static void set_user_id_is_lost_when_the_owner_changes(void)
{
	make_file("f", "x");
	mkdir("d", 0755);
	chmod("f", 06755);
	chmod("d", 06755);
	works(chown("f", 1, 1));
	works(chown("d", 1, 1));
	check((mode_of("f") & 07777) == 0755, "%o", mode_of("f"));
	check((mode_of("d") & 07777) == 06755, "a directory keeps it");
	chmod("f", 02644);
	works(chown("f", 2, 2));
	check((mode_of("f") & 07777) == 02644, "without group execute it means something else: %o",
	      mode_of("f"));
	check(stat_of("f").st_uid == 2 && stat_of("f").st_gid == 2);
	make_file("f", "root keeps it when writing");
	check((mode_of("f") & 07777) == 02644);
}

/* --- Locks --------------------------------------------------------------------------------------
 */

static void a_child_meets_the_locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 100};
	int fd = open("f", O_RDWR);

	fails(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	check(fcntl(fd, F_SETLK, &lock) == -1 && (errno == EAGAIN || errno == EACCES));
	check(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == getppid());
	lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 200, .l_len = 10};
	works(fcntl(fd, F_SETLK, &lock));
	lock.l_start = 50;
	check(fcntl(fd, F_OFD_SETLK, &lock) == -1 && errno == EAGAIN);
	close(fd);
}

static void locks_exclude_other_processes(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
	int fd = open("f", O_RDWR | O_CREAT, 0666), status;
	pid_t pid;

	require(fd >= 0);
	works(flock(fd, LOCK_EX));
	works(fcntl(fd, F_SETLK, &lock));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(fd);
		tap_bad = false;
		a_child_meets_the_locks();
		fflush(stdout);
		_exit(tap_bad);
	}
	waitpid(pid, &status, 0);
	check(status == 0);
	works(flock(fd, LOCK_UN));
	close(fd);
}

/* --- From above ---------------------------------------------------------------------------------
 */

#define DEPTH 32
#define BLOCK 16384

/* libaio's system calls, as InnoDB makes them. */
static void asynchronous_direct_io_works(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	struct iocb iocbs[DEPTH], *pointers[DEPTH];
	struct io_event events[DEPTH];
	aio_context_t context = 0;
	char *buf;

	require(fd >= 0 && posix_memalign((void **)&buf, 4096, DEPTH * BLOCK) == 0);
	require(syscall(SYS_io_setup, DEPTH, &context) == 0);
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < DEPTH; i++) {
			iocbs[i] = (struct iocb){.aio_lio_opcode =
							 pass ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE,
						 .aio_fildes = fd,
						 .aio_buf = (uintptr_t)buf + i * BLOCK,
						 .aio_nbytes = BLOCK,
						 .aio_offset = (DEPTH - 1 - i) * BLOCK};
			pointers[i] = &iocbs[i];
			memset(buf + i * BLOCK, pass ? 0 : i + 1, BLOCK);
		}
		check(syscall(SYS_io_submit, context, DEPTH, pointers) == DEPTH);
		check(syscall(SYS_io_getevents, context, DEPTH, DEPTH, events, NULL) == DEPTH);
		for (int i = 0; i < DEPTH; i++)
			check(events[i].res == BLOCK, "%lld", (long long)events[i].res);
	}
	for (int i = 0; i < DEPTH; i++)
		check(buf[i * BLOCK] == i + 1 && buf[i * BLOCK + BLOCK - 1] == i + 1);
	syscall(SYS_io_destroy, context);
	free(buf);
	close(fd);
}

static int submit_ring(struct io_uring *ring, int fd, char *buf, bool write)
{
	struct io_uring_cqe *cqe;
	int good = 0;

	for (int i = 0; i < DEPTH; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
		char *at = buf + i * BLOCK;

		memset(at, write ? i + 1 : 0, BLOCK);
		if (write)
			io_uring_prep_write(sqe, fd, at, BLOCK, i * BLOCK);
		else
			io_uring_prep_read(sqe, fd, at, BLOCK, i * BLOCK);
	}
	io_uring_submit(ring);
	for (int i = 0; i < DEPTH && io_uring_wait_cqe(ring, &cqe) == 0; i++) {
		good += cqe->res == BLOCK;
		io_uring_cqe_seen(ring, cqe);
	}
	return good;
}

static void io_uring_works_with_and_without_the_page_cache(void)
{
	struct io_uring ring;
	char *buf;

	if (io_uring_queue_init(DEPTH, &ring, 0) < 0)
		return; /* switched off by the administrator */
	require(posix_memalign((void **)&buf, 4096, DEPTH * BLOCK) == 0);
	for (int direct = 0; direct < 2; direct++) {
		int fd = open("f", O_RDWR | O_CREAT | (direct ? O_DIRECT : 0), 0644);

		check(submit_ring(&ring, fd, buf, true) == DEPTH);
		check(submit_ring(&ring, fd, buf, false) == DEPTH);
		for (int i = 0; i < DEPTH; i++)
			check(buf[i * BLOCK] == i + 1 && buf[i * BLOCK + BLOCK - 1] == i + 1);
		close(fd);
		unlink("f");
	}
	io_uring_queue_exit(&ring);
	free(buf);
}

struct writer {
	pthread_t thread;
	int number;
};

static void *append_lines(void *arg)
{
	struct writer *writer = arg;
	int fd = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644);
	char line[16];

	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof line, "%d %8d\n", writer->number, i);
		if (write(fd, line, 11) != 11)
			break;
	}
	close(fd);
	return NULL;
}

static void appending_from_many_threads_loses_no_line(void)
{
	struct writer writers[4];
	int next[4] = {0}, number, i, lines = 0;
	FILE *log;

	for (i = 0; i < 4; i++) {
		writers[i].number = i;
		pthread_create(&writers[i].thread, NULL, append_lines, &writers[i]);
	}
	for (i = 0; i < 4; i++)
		pthread_join(writers[i].thread, NULL);
	log = fopen("log", "r");
	require(log);
	while (fscanf(log, "%d %d", &number, &i) == 2 && number < 4) {
		check(next[number] == i);
		next[number] = i + 1;
		lines++;
	}
	fclose(log);
	check(lines == 800, "%d", lines);
}

static void limits_are_kept(void)
{
	struct rlimit limit = {4096, 4096};
	char buf[8192] = {0};
	int fd = open("f", O_WRONLY | O_CREAT, 0644), status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		tap_bad = false;
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		check(write(fd, buf, sizeof buf) == 4096);
		fails(write(fd, buf, 1), EFBIG);
		fflush(stdout);
		_exit(tap_bad);
	}
	waitpid(pid, &status, 0);
	check(status == 0);
	close(fd);
}

/* --- All of them --------------------------------------------------------------------------------
 */

/* Each test in a directory of its own. */
#define RUN_IN_DIR(test)                                    \
	do {                                                \
		if (mkdir("t", 0755) < 0 || chdir("t") < 0) \
			perror("mkdir");                    \
		RUN(test);                                  \
		if (chdir("..") < 0)                        \
			perror("chdir");                    \
		world_remove("t");                          \
	} while (0)

#define RUN_AS_ROOT(test)                          \
	do {                                       \
		if (geteuid() == 0)                \
			RUN_IN_DIR(test);          \
		else                               \
			SKIP(#test, "needs root"); \
	} while (0)

static void run_data(void)
{
	RUN_IN_DIR(what_is_written_at_any_offset_is_read_back);
	RUN_IN_DIR(a_file_has_holes_that_read_as_zeros);
	RUN_IN_DIR(truncating_and_extending_show_zeros_never_old_bytes);
	RUN_IN_DIR(opening_with_trunc_empties_and_append_adds_at_the_end);
	RUN_IN_DIR(direct_io_works_beside_the_page_cache);
	RUN_IN_DIR(fallocate_has_its_modes);
	RUN_IN_DIR(seeking_finds_data_and_the_end);
	RUN_IN_DIR(a_vector_is_written_and_read_in_order);
	RUN_IN_DIR(a_shared_mapping_and_the_file_are_one);
	RUN_IN_DIR(a_private_mapping_changes_nothing);
	RUN_IN_DIR(a_mapping_outlives_its_descriptor_and_its_name);
	RUN_IN_DIR(programs_run);
	RUN_IN_DIR(asynchronous_direct_io_works);
	RUN_IN_DIR(io_uring_works_with_and_without_the_page_cache);
	RUN_IN_DIR(appending_from_many_threads_loses_no_line);
	RUN_IN_DIR(limits_are_kept);
}

static void run_names(void)
{
	RUN_IN_DIR(names_are_made_and_removed_with_the_right_errors);
	RUN_IN_DIR(a_name_has_255_bytes_at_most);
	RUN_IN_DIR(hard_links_share_one_file);
	RUN_IN_DIR(directories_count_their_subdirectories);
	RUN_IN_DIR(symbolic_links_are_followed_and_read);
	RUN_IN_DIR(rename_replaces);
	RUN_IN_DIR(rename_has_noreplace_and_exchange);
	RUN_IN_DIR(an_unlinked_file_lives_while_it_is_open);
	RUN_IN_DIR(a_removed_directory_is_empty_for_those_who_are_in_it);
	RUN_IN_DIR(devices_pipes_and_sockets_keep_their_kind);
	RUN_IN_DIR(a_long_directory_lists_every_name_once);
	RUN_IN_DIR(offsets_in_a_directory_stay_good_while_names_come_and_go);
	RUN_IN_DIR(a_directory_can_be_emptied_while_it_is_read);
	RUN_IN_DIR(syncing_files_and_directories_works);
}

static void run_attributes(void)
{
	RUN_IN_DIR(times_have_nanoseconds);
	RUN_IN_DIR(changes_move_the_times_that_they_should);
	RUN_IN_DIR(extended_attributes_are_kept);
	RUN_IN_DIR(a_filesystem_has_sizes);
	RUN_IN_DIR(the_umask_applies);
	RUN_IN_DIR(locks_exclude_other_processes);
	RUN_AS_ROOT(other_users_have_the_permissions_that_the_mode_says);
	RUN_AS_ROOT(a_set_group_id_directory_gives_its_group);
	RUN_AS_ROOT(set_user_id_is_lost_when_another_writes);
	RUN_AS_ROOT(set_user_id_is_lost_when_the_owner_changes);
}

static int run_in(const char *dir)
{
	if (chdir(dir) < 0) {
		perror(dir);
		return 1;
	}
	umask(022);
	run_data();
	run_names();
	run_attributes();
	return chdir("/") < 0;
}

static int run_on_a_volume(void)
{
	struct world world;

	if (!world_open(&world) || run_in(world_mnt))
		return 1;
	world_close(&world);
	return tap_done();
}

/* --- Others' tests --------------------------------------------------------------------------- */

static char *const *command;
static struct view *compared; /* nftw() has no argument for it */
static unsigned long files_compared;

struct pair {
	const char *path;
	int fd;       /* through the mount */
	uint64_t ino; /* from the view */
};

/* Bytes [from, to), or up to the end of the file if that comes before. */
static bool same_bytes(const struct pair *pair, uint64_t from, uint64_t to)
{
	static char ours[256 * 1024], theirs[sizeof ours];

	for (ssize_t got = 1; from < to && got > 0; from += got) {
		size_t size = MIN(to - from, (uint64_t)sizeof ours);
		ssize_t wanted = view_read(compared, pair->ino, from, theirs, size);

		got = pread(pair->fd, ours, size, from);
		if (!check(got >= 0 && got == wanted && memcmp(ours, theirs, got) == 0,
			   "%s at %llu: %zd, %zd", pair->path, (unsigned long long)from, got,
			   wanted))
			return false;
	}
	return true;
}

/* Where it goes on with data or with a hole; UINT64_MAX: nowhere. */
static uint64_t seek_both(const struct pair *pair, uint64_t from, int whence)
{
	off_t ours = lseek(pair->fd, from, whence);
	int64_t theirs = view_seek(compared, pair->ino, from, whence);

	check(ours >= 0 ? ours == theirs : errno == ENXIO && theirs == -ENXIO,
	      "%s at %llu: the mount goes on at %lld, the view at %lld", pair->path,
	      (unsigned long long)from, (long long)ours, (long long)theirs);
	return ours < 0 ? UINT64_MAX : ours;
}

/*
 * All data, and of each hole the beginning: most of what fsstress leaves is holes, and a tree of
 * its has hundreds of gigabytes of them.
 */
static bool same_content(const struct pair *pair, uint64_t size)
{
	const uint64_t edge = 4096;
	uint64_t at = 0, data;

	while (at < size) {
		data = MIN(seek_both(pair, at, SEEK_DATA), size);
		if (!same_bytes(pair, at, MIN(at + edge, data)))
			return false;
		at = data < size ? seek_both(pair, data, SEEK_HOLE) : size;
		if (!same_bytes(pair, data, at) ||
		    !check(at > data || at == size, "%s", pair->path))
			return false;
	}
	return same_bytes(pair, size, size + 1);
}

/* A file, read through the mount and from the view. */
static int compare_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct pair pair = {path, -1, st->st_ino};

	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	pair.fd = open(path, O_RDONLY);
	if (!check(pair.fd >= 0, "%s", path))
		return 0;
	posix_fadvise(pair.fd, 0, 0, POSIX_FADV_RANDOM); /* holes are not read ahead */
	same_content(&pair, st->st_size);
	/* What is compared once would push everything else out of memory. */
	posix_fadvise(pair.fd, 0, 0, POSIX_FADV_DONTNEED);
	close(pair.fd);
	files_compared++;
	return 0;
}

/* Every file of the mount against a view of this moment. */
static void compare_with_a_view(struct world *world)
{
	int fd = open(world_mnt, O_RDONLY | O_DIRECTORY);
	int64_t started = clock_monotonic_us();
	struct moment now;

	check(fd >= 0 && syncfs(fd) == 0);
	close(fd);
	volume_now(world->volume, &now);
	if (!check(volume_view(world->volume, &now, &compared, &world->why) == 0, "%s",
		   world->why.text))
		return;
	nftw(world_mnt, compare_one, 64, FTW_PHYS);
	view_close(compared);
	printf("# %lu files compared in %.1f s\n", files_compared,
	       (clock_monotonic_us() - started) / 1e6);
	fflush(stdout);
}

static void complain(const char *line, void *arg)
{
	check(false, "%s", line);
}

static bool verifies;

/* On a disk that is one: others' tests write more than memory holds. */
static int run_command(void)
{
	struct world world = {0};
	char dir[128];
	int status;
	pid_t pid;

	snprintf(dir, sizeof dir, "%s/disk", world_dir);
	mkdir(dir, 0700);
	if (disk_local_open(dir, &world.disk) < 0 || !world_open_on(&world, 0))
		return 1;
	pid = fork();
	if (pid == 0) {
		if (chdir(world_mnt) == 0)
			execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	if (verifies)
		compare_with_a_view(&world);
	mount_close(world.mount);
	volume_close(world.volume);
	if (verifies) {
		struct volume_verify_options options = {.report = complain};

		check(volume_verify(world.disk, NULL, &options) == 0);
	}
	disk_close(world.disk);
	if (tap_bad)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	const char *missing;
	bool runs;

	world_take_transport(&argc, &argv);
	verifies = argc > 2 && strcmp(argv[1], "--verify") == 0;
	runs = verifies || (argc > 2 && strcmp(argv[1], "--run") == 0);
	if (argc > 1 && !runs)
		return run_in(argv[1]) || tap_done();
	missing = world_missing();
	if (missing) {
		printf("1..0 # SKIP %s\n", missing);
		return 0;
	}
	command = argv + 2;
	return world_run(runs ? run_command : run_on_a_volume);
}
