/*
 * Goal: what mount.h and src/mount/README.md promise beyond POSIX (which tests/posix is for):
 * durability, whole writes, a rewind that reaches all that the kernel has cached, and a clean end.
 * Method: a volume on a disk in memory, mounted for real; the kernel's answers are compared with
 * the volume's.
 */
#include "world.h"

#include "mount/attach.h"
#include "mount/operations.h"
#include "mount/state.h"

#include <dirent.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define PAGE 4096

static struct world world;

/* Some tests fork servers, which have threads; of no effect without ThreadSanitizer. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

#define fails(call, error)                                                         \
	({                                                                         \
		errno = 0;                                                         \
		check((call) == -1 && errno == (error), "errno is %d (%s)", errno, \
		      strerror(errno));                                            \
	})

/* The path of a name in the mount; good until the fourth call after it. */
static const char *in_mount(const char *name)
{
	static _Thread_local char paths[4][160];
	static _Thread_local int next;
	char *path = paths[next++ % 4];

	world_path(path, sizeof paths[0], name);
	return path;
}

static int open_file(const char *name, int flags)
{
	int fd = open(in_mount(name), flags | O_CLOEXEC, 0644);

	check(fd >= 0, "%s: %s", name, strerror(errno));
	return fd;
}

static void write_file(const char *name, const char *text)
{
	int fd = open_file(name, O_WRONLY | O_CREAT | O_TRUNC);

	check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static bool fd_is(int fd, const char *text)
{
	char buf[256];
	ssize_t n = pread(fd, buf, sizeof buf, 0);

	if (n != (ssize_t)strlen(text) || memcmp(buf, text, n) != 0) {
		printf("# it is '%.*s'\n", n < 0 ? 0 : (int)n, buf);
		return false;
	}
	return true;
}

static bool file_is(const char *name, const char *text)
{
	int fd = open(in_mount(name), O_RDONLY);
	bool same = fd >= 0 && fd_is(fd, text);

	if (fd >= 0)
		close(fd);
	return same;
}

/* Past the page cache. */
static bool starts_with(const char *name, const char *text)
{
	static _Alignas(PAGE) char page[PAGE];
	int fd = open(in_mount(name), O_RDONLY | O_DIRECT);
	ssize_t n = fd < 0 ? -1 : read(fd, page, sizeof page);

	if (fd >= 0)
		close(fd);
	return n >= (ssize_t)strlen(text) && memcmp(page, text, strlen(text)) == 0;
}

static bool is_there(const char *name)
{
	struct stat st;

	return lstat(in_mount(name), &st) == 0;
}

static struct mount_stats stats(void)
{
	struct mount_stats ret;

	mount_get_stats(world.mount, &ret);
	return ret;
}

static struct moment now(void)
{
	struct moment ret;

	volume_now(world.volume, &ret);
	return ret;
}

static int back_to(struct moment moment)
{
	struct volume_backtrack ret;
	int r = mount_backtrack(world.mount, &moment, NULL, &ret, &world.why);

	check(r == 0, "%s", world.why.text);
	return r;
}

/* --- Requests that are not what they should be ----------------------------------------------- */

struct crafted {
	_Alignas(8) uint8_t bytes[PAGE];
	_Alignas(PAGE) uint8_t out[PROTOCOL_IO_MAX + PAGE];
	int replies, r;
	size_t size;
};

static struct crafted crafted;

static void note_reply(struct request *req, int r, size_t size)
{
	crafted.replies++;
	crafted.r = r;
	crafted.size = size;
}

/* Serve what `crafted.bytes` holds, as if it were `size` bytes from the kernel; the error of the
 * answer. */
static int serve_crafted(uint32_t opcode, size_t size, uint32_t claimed)
{
	struct fuse_in_header in = {.len = claimed, .opcode = opcode, .unique = 1, .nodeid = 1};
	struct request req = {.mount = world.mount,
			      .slot = FLIGHT_SLOTS - 1,
			      .out = crafted.out,
			      .out_room = sizeof crafted.out,
			      .reply = note_reply};

	memcpy(crafted.bytes, &in, sizeof in);
	crafted.replies = 0;
	operations_serve(&req, crafted.bytes, size);
	return crafted.r;
}

static void a_request_cut_short_is_refused(void)
{
	static const struct {
		uint32_t opcode;
		size_t size;
	} fixed[] = {
		{FUSE_GETATTR, 16},     {FUSE_SETATTR, 88}, {FUSE_MKNOD, 16},    {FUSE_MKDIR, 8},
		{FUSE_RENAME, 8},       {FUSE_LINK, 8},     {FUSE_OPEN, 8},      {FUSE_READ, 40},
		{FUSE_WRITE, 40},       {FUSE_FSYNC, 16},   {FUSE_SETXATTR, 8},  {FUSE_GETXATTR, 8},
		{FUSE_FALLOCATE, 32},   {FUSE_LSEEK, 24},   {FUSE_RENAME2, 16},  {FUSE_CREATE, 16},
		{FUSE_READDIRPLUS, 40}, {FUSE_INIT, 16},    {FUSE_INTERRUPT, 8},
	};

	memset(crafted.bytes, 0, sizeof crafted.bytes);
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		size_t size = sizeof(struct fuse_in_header) + fixed[i].size - 1;

		check(serve_crafted(fixed[i].opcode, size, size) == -EINVAL, "opcode %u",
		      fixed[i].opcode);
		check(serve_crafted(fixed[i].opcode, size, size + 1) == -EIO, "opcode %u",
		      fixed[i].opcode);
	}
	check(serve_crafted(4000, 40, 40) == -ENOSYS && serve_crafted(0, 40, 40) == -ENOSYS);
}

static void a_name_must_end_and_have_1_to_255_bytes(void)
{
	uint8_t *name = crafted.bytes + sizeof(struct fuse_in_header);

	memset(name, 'n', 300);
	check(serve_crafted(FUSE_LOOKUP, 50, 50) == -EINVAL, "no end");
	check(serve_crafted(FUSE_LOOKUP, 40, 40) == -EINVAL, "nothing at all");
	name[256] = '\0';
	check(serve_crafted(FUSE_LOOKUP, 40 + 257, 40 + 257) == -ENAMETOOLONG);
	name[255] = '\0';
	check(serve_crafted(FUSE_LOOKUP, 40 + 256, 40 + 256) == 0);
	name[0] = '\0';
	check(serve_crafted(FUSE_LOOKUP, 41, 41) == -EINVAL, "empty");
	memcpy(name, "one\0", 4);
	check(serve_crafted(FUSE_SYMLINK, 44, 44) == -EINVAL, "no second name");
}

static void a_write_must_carry_the_bytes_that_it_claims(void)
{
	struct fuse_write_in *in = (void *)(crafted.bytes + sizeof(struct fuse_in_header));

	memset(in, 0, sizeof *in);
	in->size = 100;
	check(serve_crafted(FUSE_WRITE, 80 + 99, 80 + 99) == -EINVAL);
	check(serve_crafted(FUSE_WRITE, 80 + 101, 80 + 101) == -EINVAL);
	in->size = UINT32_MAX;
	check(serve_crafted(FUSE_WRITE, 80 + 100, 80 + 100) == -EINVAL);
}

/*
 * The kernel has checked no permission of what it believes not to be there.
 */
static void creating_what_is_there_sends_the_kernel_to_look(void)
{
	struct fuse_create_in *in = (void *)(crafted.bytes + sizeof(struct fuse_in_header));
	size_t size = sizeof(struct fuse_in_header) + sizeof *in + 8;

	write_file("present", "p");
	memset(in, 0, sizeof *in);
	memcpy(in + 1, "present", 8);
	in->flags = O_CREAT | O_RDWR;
	check(serve_crafted(FUSE_CREATE, size, size) == -ESTALE);
	in->flags = O_CREAT | O_EXCL | O_RDWR;
	check(serve_crafted(FUSE_CREATE, size, size) == -EEXIST);
}

static void garbage_is_answered_once_and_harms_nothing(void)
{
	unsigned seed = 42;

	for (int i = 0; i < 100000; i++) {
		uint32_t opcode = rand_r(&seed) % 60;
		size_t size = 40 + rand_r(&seed) % 200;

		if (opcode == FUSE_INIT)
			continue;
		for (size_t b = 0; b < 200; b++)
			crafted.bytes[40 + b] = rand_r(&seed) % 3 ? 0 : rand_r(&seed);
		serve_crafted(opcode, size, size);
		if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET)
			check(crafted.replies == 0 || crafted.r == -EINVAL);
		else
			check(crafted.replies == 1 && crafted.size <= sizeof crafted.out);
	}
	write_file("still", "alive");
	check(file_is("still", "alive"));
}

static void another_protocol_is_refused_or_asked_for_ours(void)
{
	struct fuse_init_in *in = (void *)(crafted.bytes + sizeof(struct fuse_in_header));
	const struct fuse_init_out *out = (void *)crafted.out;
	size_t size = sizeof(struct fuse_in_header) + sizeof *in;

	*in = (struct fuse_init_in){.major = 8, .minor = 0};
	check(serve_crafted(FUSE_INIT, size, size) == 0 && out->major == 7);
	*in = (struct fuse_init_in){.major = 7, .minor = 44, .flags = ~0u};
	check(serve_crafted(FUSE_INIT, size, size) == 0 && out->max_write == 1 << 20 &&
	      out->max_pages == 256);
	check(!(out->flags & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_ACL | FUSE_POSIX_LOCKS |
			      FUSE_FLOCK_LOCKS | FUSE_DONT_MASK)));
}

/* --- Writes and syncs ------------------------------------------------------------------------ */

static void a_direct_write_of_a_mebibyte_is_one_write(void)
{
	int fd = open_file("whole", O_WRONLY | O_CREAT | O_DIRECT);
	struct mount_stats before = stats(), after;
	void *buf;

	require(fd >= 0 && posix_memalign(&buf, PAGE, PROTOCOL_IO_MAX) == 0);
	memset(buf, 'w', PROTOCOL_IO_MAX);
	check(pwrite(fd, buf, PROTOCOL_IO_MAX, 0) == PROTOCOL_IO_MAX);
	check(pwrite(fd, buf, 16384, PROTOCOL_IO_MAX) == 16384);
	after = stats();
	check(after.writes - before.writes == 2);
	check(after.write_bytes - before.write_bytes == PROTOCOL_IO_MAX + 16384);
	free(buf);
	close(fd);
}

/*
 * Method: count the requests; the kernel's own 128 KiB make 64 of them.
 */
static void a_reader_from_start_to_end_is_read_ahead_of_by_the_mebibyte(void)
{
	static char buf[64 * 1024];
	uint64_t before;
	int fd = open_file("long", O_RDWR | O_CREAT);

	memset(buf, 'r', sizeof buf);
	for (int i = 0; i < 128; i++)
		check(write(fd, buf, sizeof buf) == sizeof buf);
	check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	before = stats().reads;
	for (int i = 0; i < 128; i++)
		check(read(fd, buf, sizeof buf) == sizeof buf);
	check(stats().reads - before <= 24, "%llu reads of 8 MiB",
	      (unsigned long long)(stats().reads - before));
	close(fd);
}

static void run_read_ahead(void)
{
	if (access("/sys/class/bdi", W_OK) == 0)
		RUN(a_reader_from_start_to_end_is_read_ahead_of_by_the_mebibyte);
	else
		SKIP("a reader from start to end is read ahead of by the mebibyte",
		     "/sys cannot be written to");
}

enum how { PLAIN, VECTOR_DSYNC, ASYNCHRONOUS };

static bool write_asynchronously(int fd, const void *buf, size_t size)
{
	struct iocb iocb = {.aio_lio_opcode = IOCB_CMD_PWRITE,
			    .aio_fildes = fd,
			    .aio_buf = (uintptr_t)buf,
			    .aio_nbytes = size},
		    *list = &iocb;
	aio_context_t context = 0;
	struct io_event event;
	bool done = syscall(SYS_io_setup, 1, &context) == 0 &&
		    syscall(SYS_io_submit, context, 1, &list) == 1 &&
		    syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1 &&
		    event.res == (int64_t)size;

	syscall(SYS_io_destroy, context);
	return done;
}

static bool write_somehow(int fd, void *buf, size_t size, enum how how)
{
	struct iovec iov = {buf, size};

	if (how == ASYNCHRONOUS)
		return write_asynchronously(fd, buf, size);
	return pwritev2(fd, &iov, 1, 0, how == VECTOR_DSYNC ? RWF_DSYNC : 0) == (ssize_t)size;
}

/* Is this page in the file on what a power cut at this instant leaves? */
static bool survives(const char *name, const void *page)
{
	CLEANUP(volume) struct volume *volume = NULL;
	struct volume_options options = {0};
	struct volume_attr attr;
	char got[PAGE];
	bool same = false;

	for (uint64_t seed = 1; seed <= 2; seed++) {
		CLEANUP(disk) struct disk *left = disk_memory_power_on(world.disk, seed);

		if (!check(volume_open(left, &options, &volume, &world.why) == 0, "%s",
			   world.why.text))
			return false;
		same = view_lookup(volume_head(volume), VOLUME_ROOT_INO, name, &attr) == 0 &&
		       view_read(volume_head(volume), attr.ino, 0, got, PAGE) == PAGE &&
		       memcmp(got, page, PAGE) == 0;
		volume_close(take(volume));
		if (!same)
			return false;
	}
	return true;
}

/*
 * Method: write in every synchronous way, cut the power, look.
 */
static void what_is_written_synchronously_survives_a_power_cut(void)
{
	static const struct {
		int flags;
		enum how how;
	} ways[] = {
		{O_SYNC, PLAIN},
		{O_DSYNC, PLAIN},
		{O_DIRECT | O_SYNC, PLAIN},
		{O_DIRECT | O_DSYNC, PLAIN},
		{0, VECTOR_DSYNC},
		{O_DIRECT, VECTOR_DSYNC},
		{O_DSYNC, ASYNCHRONOUS},
		{O_DIRECT | O_DSYNC, ASYNCHRONOUS},
		{O_DIRECT | O_SYNC, ASYNCHRONOUS},
	};
	char *page;

	require(posix_memalign((void **)&page, PAGE, PAGE) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int fd = open_file("sync", O_WRONLY | O_CREAT | ways[i].flags);

		memset(page, 'A' + i, PAGE);
		check(write_somehow(fd, page, PAGE, ways[i].how));
		check(survives("sync", page), "way %zu", i);
		close(fd);
	}
	free(page);
}

static void what_fsync_covers_survives_a_power_cut(void)
{
	int fd = open_file("synced", O_RDWR | O_CREAT), root;
	char page[PAGE], *map;

	memset(page, 's', PAGE);
	check(pwrite(fd, page, PAGE, 0) == PAGE && fdatasync(fd) == 0);
	check(survives("synced", page));
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(page, 'm', PAGE);
	memcpy(map, page, PAGE);
	check(msync(map, PAGE, MS_SYNC) == 0 && survives("synced", page));
	munmap(map, PAGE);
	close(fd);
	check(rename(in_mount("synced"), in_mount("renamed")) == 0);
	root = open(world_mnt, O_RDONLY | O_DIRECTORY);
	check(fsync(root) == 0 && survives("renamed", page));
	close(root);
}

/* --- Direct mounts ----------------------------------------------------------------------------
 */

/* A second mount of the volume, which closes it with itself. */
struct second {
	char dir[128];
	struct mount *mount;
};

static bool second_open(struct second *second, struct mount_options options)
{
	snprintf(second->dir, sizeof second->dir, "%s/past", world_dir);
	mkdir(second->dir, 0755);
	options.transport = world_transport;
	return check(mount_open(world.volume, second->dir, &options, &second->mount, &world.why) ==
			     0,
		     "%s", world.why.text);
}

static void second_close(struct second *second)
{
	mount_close(second->mount);
	rmdir(second->dir);
}

/* How many WRITEs the kernel makes of one write(2) at `offset`. */
static int count_pieces(struct mount *mount, const char *path, const char *from, size_t size,
			off_t offset)
{
	struct mount_stats before, after;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	mount_get_stats(mount, &before);
	check(fd >= 0 && pwrite(fd, from, size, offset) == (ssize_t)size, "%s", strerror(errno));
	close(fd);
	mount_get_stats(mount, &after);
	check(after.write_bytes - before.write_bytes == size);
	return (int)(after.writes - before.writes);
}

/*
 * Method: the data of a write begins in the middle of a page that is there, and goes on in one that
 * the kernel must bring first.  Through the cache that makes two of it (on Linux 6.18), which is
 * printed to show that this is the case to look at.
 */
static void on_a_direct_mount_a_database_page_arrives_whole_wherever_it_comes_from(void)
{
	enum { DATABASE_PAGE = 8192, ROOM = 2 << 20 };
	char *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct second direct;
	char path[160], *from;
	int pieces;

	require(room != MAP_FAILED && second_open(&direct, (struct mount_options){.direct = true}));
	snprintf(path, sizeof path, "%s/pages", direct.dir);
	memset(room, 'p', ROOM);
	from = room + PAGE - 1000;
	check(madvise(room + PAGE, PAGE, MADV_DONTNEED) == 0);
	pieces = count_pieces(world.mount, in_mount("cached"), from, DATABASE_PAGE, 0);
	printf("# through the cache it comes in %d\n", pieces);
	for (int i = 0; i < 16; i++) {
		check(madvise(room + PAGE, PAGE, MADV_DONTNEED) == 0);
		pieces = count_pieces(direct.mount, path, from, DATABASE_PAGE,
				      (off_t)(i % 4) * DATABASE_PAGE);
		check(pieces == 1, "%d pieces", pieces);
	}
	pieces = count_pieces(direct.mount, path, from, PROTOCOL_IO_MAX - PAGE, 0);
	check(pieces == 1, "%d pieces of nearly a mebibyte", pieces);
	unlink(path);
	second_close(&direct);
	munmap(room, ROOM);
}

static void what_is_written_synchronously_on_a_direct_mount_survives_a_power_cut(void)
{
	static const struct {
		int flags;
		enum how how;
	} ways[] = {
		{O_SYNC, PLAIN},         {O_DSYNC, PLAIN},
		{0, VECTOR_DSYNC},       {O_DIRECT | O_DSYNC, PLAIN},
		{O_DSYNC, ASYNCHRONOUS},
	};
	struct second direct;
	char path[160], page[PAGE];

	require(second_open(&direct, (struct mount_options){.direct = true}));
	snprintf(path, sizeof path, "%s/sync", direct.dir);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		CLEANUP(free) char *aligned = aligned_alloc(PAGE, PAGE);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | ways[i].flags, 0644);

		memset(page, 'a' + (int)i, PAGE);
		memcpy(aligned, page, PAGE);
		check(fd >= 0 && write_somehow(fd, aligned, PAGE, ways[i].how));
		check(survives("sync", page), "way %zu", i);
		close(fd);
	}
	second_close(&direct);
}

static void a_rewind_reaches_readers_on_a_direct_mount(void)
{
	struct volume_backtrack ret;
	struct second direct;
	struct moment then;
	char path[160];
	int fd;

	require(second_open(&direct, (struct mount_options){.direct = true}));
	snprintf(path, sizeof path, "%s/direct", direct.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	check(pwrite(fd, "then", 4, 0) == 4 && fd_is(fd, "then"));
	then = now();
	check(pwrite(fd, "now, and longer", 15, 0) == 15 && fd_is(fd, "now, and longer"));
	check(mount_backtrack(direct.mount, &then, NULL, &ret, &world.why) == 0, "%s",
	      world.why.text);
	check(fd_is(fd, "then"));
	close(fd);
	second_close(&direct);
}

static void an_inward_mount_takes_no_link_that_leads_out(void)
{
	static const char *const out[] = {"/srv/fast", "..", "../x", "a/../../b", "a/.."};
	static const char *const in[] = {"a", "a/b", "..a", "a..", "a/..b", "...", "./a"};
	struct second inward;
	char path[160];

	require(second_open(&inward, (struct mount_options){.inward = true}));
	snprintf(path, sizeof path, "%s/link", inward.dir);
	for (size_t i = 0; i < ARRAY_SIZE(out); i++)
		fails(symlink(out[i], path), EXDEV);
	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		check(symlink(in[i], path) == 0 && unlink(path) == 0, "%s", in[i]);
	second_close(&inward);
}

static void run_direct(void)
{
	RUN(on_a_direct_mount_a_database_page_arrives_whole_wherever_it_comes_from);
	RUN(what_is_written_synchronously_on_a_direct_mount_survives_a_power_cut);
	RUN(a_rewind_reaches_readers_on_a_direct_mount);
	RUN(an_inward_mount_takes_no_link_that_leads_out);
}

/* --- Rewinding ------------------------------------------------------------------------------- */

static void a_rewind_reaches_cached_data(void)
{
	int fd = open_file("data", O_RDWR | O_CREAT), again;
	struct moment then;

	check(pwrite(fd, "old", 3, 0) == 3 && fd_is(fd, "old"));
	then = now();
	check(pwrite(fd, "newer", 5, 0) == 5 && fd_is(fd, "newer"));
	require(back_to(then) == 0);
	check(fd_is(fd, "old"), "through the descriptor from before");
	again = open_file("data", O_RDONLY);
	check(fd_is(again, "old"));
	close(again);
	close(fd);
}

static void a_rewind_reaches_cached_attributes(void)
{
	struct stat before, changed, after;
	struct moment then;

	write_file("attr", "12345");
	stat(in_mount("attr"), &before);
	then = now();
	chmod(in_mount("attr"), 0600);
	chown(in_mount("attr"), 7, 8);
	truncate(in_mount("attr"), 100);
	stat(in_mount("attr"), &changed);
	check(changed.st_size == 100 && changed.st_uid == 7);
	require(back_to(then) == 0);
	check(stat(in_mount("attr"), &after) == 0);
	check(after.st_mode == before.st_mode && after.st_uid == before.st_uid &&
	      after.st_size == 5);
	check(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec &&
	      after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

static void a_rewind_reaches_cached_names(void)
{
	struct moment then;

	mkdir(in_mount("dir"), 0755);
	write_file("dir/gone", "g");
	write_file("stays", "s");
	write_file("one", "1");
	then = now();
	unlink(in_mount("dir/gone"));
	write_file("dir/new", "n");
	rename(in_mount("one"), in_mount("two"));
	mkdir(in_mount("later"), 0755);
	write_file("later/inside", "i");
	check(!is_there("dir/gone") && is_there("dir/new") && !is_there("one") &&
	      is_there("later/inside"));
	require(back_to(then) == 0);
	check(file_is("dir/gone", "g"), "it was cached as absent");
	check(!is_there("dir/new") && !is_there("two") && !is_there("later") &&
	      !is_there("later/inside"));
	check(file_is("one", "1") && file_is("stays", "s"));
	write_file("dir/new", "made again");
	check(file_is("dir/new", "made again"));
}

static void forward_again_brings_back_what_was_left(void)
{
	struct moment first, second;

	write_file("f", "first");
	first = now();
	write_file("f", "second");
	write_file("g", "only later");
	second = now();
	require(back_to(first) == 0);
	check(file_is("f", "first") && !is_there("g"));
	require(back_to(second) == 0);
	check(file_is("f", "second") && file_is("g", "only later"));
	unlink(in_mount("g"));
}

static void what_is_gone_is_stale_for_those_who_hold_it(void)
{
	struct moment then = now();
	int fd = open_file("made-later", O_RDWR | O_CREAT), dir;
	char byte;

	mkdir(in_mount("dir-later"), 0755);
	dir = open_file("dir-later", O_RDONLY | O_DIRECTORY);
	check(pwrite(fd, "x", 1, 0) == 1);
	require(back_to(then) == 0);
	fails(pread(fd, &byte, 1, 0), ESTALE);
	fails(pwrite(fd, "x", 1, 0), ESTALE);
	struct stat st;
	fails(fstat(fd, &st), ESTALE);
	check(openat(dir, "f", O_CREAT | O_WRONLY, 0644) == -1);
	close(dir);
	close(fd);
	check(!is_there("made-later"));
}

static void a_file_open_across_a_rewind_can_be_unlinked_and_lives(void)
{
	struct moment then;
	int fd;

	write_file("kept", "kept");
	then = now();
	fd = open_file("kept", O_RDWR);
	unlink(in_mount("kept"));
	require(back_to(then) == 0);
	check(file_is("kept", "kept"));
	unlink(in_mount("kept"));
	check(fd_is(fd, "kept"));
	close(fd);
}

static void appending_after_a_rewind_starts_at_the_rewound_end(void)
{
	int fd = open_file("log", O_RDWR | O_CREAT | O_APPEND);
	struct moment then;

	check(write(fd, "12345", 5) == 5);
	then = now();
	check(write(fd, "67890", 5) == 5);
	require(back_to(then) == 0);
	check(write(fd, "abc", 3) == 3);
	check(fd_is(fd, "12345abc"));
	close(fd);
}

static char *map_file(const char *name, size_t size, int *ret_fd)
{
	char *map;
	int fd;

	unlink(in_mount(name));
	fd = open_file(name, O_RDWR | O_CREAT);
	check(ftruncate(fd, size) == 0);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(map != MAP_FAILED);
	*ret_fd = fd;
	return map;
}

static void a_mapping_shows_the_rewound_content(void)
{
	struct moment then;
	int fd;
	char *map = map_file("mapped", PAGE, &fd);

	check(pwrite(fd, "old", 3, 0) == 3);
	then = now();
	check(pwrite(fd, "new", 3, 0) == 3 && memcmp(map, "new", 3) == 0);
	require(back_to(then) == 0);
	check(memcmp(map, "old", 3) == 0);
	memcpy(map, "mapped again", 12);
	check(msync(map, PAGE, MS_SYNC) == 0);
	check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 &&
	      memcmp(map, "mapped again", 12) == 0);
	munmap(map, PAGE);
	close(fd);
}

static void a_page_dirtied_before_the_rewind_is_in_the_past_and_not_in_the_present(void)
{
	struct moment then, dirtied;
	int fd;
	char *map = map_file("mapped", PAGE, &fd);
	struct volume_backtrack backtrack;

	check(pwrite(fd, "old", 3, 0) == 3);
	then = now();
	memcpy(map, "dirty", 5);
	check(mount_backtrack(world.mount, &then, NULL, &backtrack, &world.why) == 0);
	check(memcmp(map, "old\0\0", 5) == 0);
	dirtied = backtrack.from;
	require(back_to(dirtied) == 0);
	check(memcmp(map, "dirty", 5) == 0, "the abandoned past has it");
	munmap(map, PAGE);
	close(fd);
}

/* What happens while the rewind is on its way, from the progress callback, before the switch. */
struct meanwhile {
	char *map;
	pthread_t syncer;
	bool sync, go_on, started;
};

static void *sync_map(void *arg)
{
	struct meanwhile *meanwhile = arg;

	return (void *)(intptr_t)msync(meanwhile->map, PAGE, MS_SYNC);
}

static bool something_is_parked(void)
{
	struct rewind *rewind = &world.mount->rewind;
	bool parked;

	pthread_mutex_lock(&rewind->lock);
	parked = rewind->parked != NULL;
	pthread_mutex_unlock(&rewind->lock);
	return parked;
}

static bool dirty_meanwhile(uint64_t done, uint64_t total, void *arg)
{
	struct meanwhile *meanwhile = arg;
	time_t deadline = time(NULL) + PATIENCE_US / 1000000;

	if (meanwhile->started)
		return meanwhile->go_on;
	meanwhile->started = true;
	memcpy(meanwhile->map, "stale", 5);
	if (!meanwhile->sync)
		return meanwhile->go_on;
	pthread_create(&meanwhile->syncer, NULL, sync_map, meanwhile);
	while (!something_is_parked() && check(time(NULL) < deadline))
		sched_yield();
	return meanwhile->go_on;
}

static int back_with(struct moment then, struct meanwhile *meanwhile)
{
	struct volume_backtrack_options options = {.progress = dirty_meanwhile, .arg = meanwhile};
	struct volume_backtrack ret;
	int r = mount_backtrack(world.mount, &then, &options, &ret, &world.why);
	void *synced = NULL;

	check(meanwhile->started, "the volume told no progress");
	if (meanwhile->started && meanwhile->sync) {
		pthread_join(meanwhile->syncer, &synced);
		check(synced == NULL, "msync");
	}
	return r;
}

static void a_page_dirtied_during_the_rewind_does_not_land_on_the_new_head(void)
{
	for (int sync = 0; sync < 2; sync++) {
		struct mount_stats before = stats();
		struct moment then;
		int fd;
		struct meanwhile meanwhile = {.sync = sync, .go_on = true};
		char *map = meanwhile.map = map_file("mapped", PAGE, &fd);

		check(pwrite(fd, "old  ", 5, 0) == 5);
		then = now();
		check(pwrite(fd, "newer", 5, 0) == 5);
		check(back_with(then, &meanwhile) == 0);
		check(memcmp(map, "old  ", 5) == 0);
		check(stats().dropped_writes > before.dropped_writes);
		munmap(map, PAGE);
		close(fd);
		check(starts_with("mapped", "old  "), "past the page cache, too");
	}
}

static void a_page_dirtied_during_a_rewind_that_is_given_up_is_kept(void)
{
	struct moment then;
	int fd;
	struct meanwhile meanwhile = {.sync = true, .go_on = false};
	char *map = meanwhile.map = map_file("mapped", PAGE, &fd);

	check(pwrite(fd, "old  ", 5, 0) == 5);
	then = now();
	check(pwrite(fd, "newer", 5, 0) == 5);
	check(back_with(then, &meanwhile) == -ECANCELED);
	check(memcmp(map, "stale", 5) == 0);
	munmap(map, PAGE);
	check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	char buf[5];
	check(pread(fd, buf, 5, 0) == 5 && memcmp(buf, "stale", 5) == 0);
	close(fd);
}

static void set_phase(int phase, bool switched)
{
	struct rewind *rewind = &world.mount->rewind;

	pthread_rwlock_wrlock(&rewind->gate);
	rewind->phase = phase;
	pthread_rwlock_unlock(&rewind->gate);
	atomic_store(&rewind->switched, switched);
}

/*
 * Method: set the flags as they are between the switch and the invalidation of this file, by hand.
 */
static void between_switch_and_invalidation_only_pages_of_the_new_head_are_written(void)
{
	uint64_t dropped = stats().dropped_writes;
	int fd;
	char *map = map_file("mapped", 2 * PAGE, &fd);

	check(pwrite(fd, "a", 1, 0) == 1 && pwrite(fd, "b", 1, PAGE) == 1 && map[0] == 'a');
	check(posix_fadvise(fd, PAGE, PAGE, POSIX_FADV_DONTNEED) == 0);
	set_phase(REWIND_DROPPING, true);
	map[0] = 'A';
	map[PAGE] = 'B';
	check(msync(map, 2 * PAGE, MS_SYNC) == 0);
	set_phase(REWIND_NONE, false);
	check(stats().dropped_writes == dropped + 1, "%lu", stats().dropped_writes - dropped);
	munmap(map, 2 * PAGE);
	close(fd);
	check(starts_with("mapped", "a"));
	fd = open_file("mapped", O_RDONLY);
	char byte;
	check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	check(pread(fd, &byte, 1, PAGE) == 1 && byte == 'B');
	close(fd);
}

static void a_directory_being_read_goes_on_after_a_rewind(void)
{
	int seen[300] = {0}, number, count = 0;
	struct dirent *entry;
	struct moment then;
	char name[32];
	DIR *dir;

	mkdir(in_mount("many"), 0755);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "many/%d", i);
		write_file(name, "");
	}
	then = now();
	for (int i = 0; i < 300; i += 2) {
		snprintf(name, sizeof name, "many/%d", i);
		unlink(in_mount(name));
	}
	dir = opendir(in_mount("many"));
	require(dir);
	require(back_to(then) == 0);
	while ((entry = readdir(dir)))
		if (sscanf(entry->d_name, "%d", &number) == 1) {
			seen[number]++;
			count++;
		}
	closedir(dir);
	check(count == 300, "%d", count);
	for (int i = 0; i < 300; i++)
		check(seen[i] == 1, "%d: %d", i, seen[i]);
}

/* --- The kernel's picture and the volume's --------------------------------------------------- */

#define DIRECTORIES 3
#define NAMES 6
#define HELD 8

static const char *any_name(unsigned *seed)
{
	static _Thread_local char names[4][32];
	static _Thread_local int next;
	char *name = names[next++ % 4];
	int dir = rand_r(seed) % (DIRECTORIES + 1);

	if (dir == DIRECTORIES)
		snprintf(name, sizeof names[0], "n%d", rand_r(seed) % NAMES);
	else
		snprintf(name, sizeof names[0], "d%d/n%d", dir, rand_r(seed) % NAMES);
	return name;
}

/* One random operation; whether it works does not matter. */
static void do_something(unsigned *seed)
{
	const char *name = in_mount(any_name(seed)), *other = in_mount(any_name(seed));
	char text[64];
	struct stat st;
	int fd;

	switch (rand_r(seed) % 12) {
	case 0:
	case 1:
	case 2:
		fd = open(name, O_RDWR | O_CREAT, 0644);
		if (fd < 0)
			break;
		snprintf(text, sizeof text, "%u", rand_r(seed));
		if (pwrite(fd, text, strlen(text), rand_r(seed) % 9000) < 0)
			check(errno == ESTALE, "%s", strerror(errno));
		close(fd);
		break;
	case 3:
		unlink(name);
		break;
	case 4:
		rename(name, other);
		break;
	case 5:
		truncate(name, rand_r(seed) % 10000);
		break;
	case 6:
		link(name, other);
		break;
	case 7:
		symlink(other, name);
		break;
	case 8:
		snprintf(text, sizeof text, "d%d", rand_r(seed) % DIRECTORIES);
		mkdir(in_mount(text), 0755);
		break;
	case 9:
		snprintf(text, sizeof text, "d%d", rand_r(seed) % DIRECTORIES);
		rmdir(in_mount(text));
		break;
	case 10:
		chmod(name, rand_r(seed) % 512);
		break;
	default:
		lstat(name, &st);
	}
}

static bool same_data(uint64_t ino, const char *path)
{
	static char ours[16384], theirs[16384];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : pread(fd, theirs, sizeof theirs, 0);

	if (fd >= 0)
		close(fd);
	return n == view_read(volume_head(world.volume), ino, 0, ours, sizeof ours) &&
	       memcmp(ours, theirs, n) == 0;
}

static void compare_one(uint64_t parent, const char *dir, const char *name)
{
	struct volume_attr attr;
	struct stat st;
	char path[200];
	int r = view_lookup(volume_head(world.volume), parent, name, &attr), k;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	k = lstat(path, &st) < 0 ? -errno : 0;
	if (!check(r == k, "%s: the volume says %d, the kernel %d", path, r, k) || r < 0)
		return;
	check(st.st_ino == attr.ino && st.st_mode == attr.mode && st.st_nlink == attr.nlink, "%s",
	      path);
	check(st.st_size == (off_t)attr.size || S_ISDIR(st.st_mode), "%s: %ld, %lu", path,
	      st.st_size, attr.size);
	check(st.st_mtim.tv_nsec == attr.mtime.tv_nsec && st.st_ctim.tv_nsec == attr.ctime.tv_nsec,
	      "%s", path);
	if (S_ISREG(st.st_mode))
		check(same_data(attr.ino, path), "%s", path);
}

static void compare_all(void)
{
	struct volume_attr attr;
	char name[32], dir[160];

	for (int d = 0; d <= DIRECTORIES; d++) {
		uint64_t parent = VOLUME_ROOT_INO;

		snprintf(name, sizeof name, "d%d", d);
		snprintf(dir, sizeof dir, "%s", d == DIRECTORIES ? world_mnt : in_mount(name));
		if (d < DIRECTORIES) {
			compare_one(VOLUME_ROOT_INO, world_mnt, name);
			if (view_lookup(volume_head(world.volume), VOLUME_ROOT_INO, name, &attr) <
			    0)
				continue;
			parent = attr.ino;
		}
		for (int n = 0; n < NAMES; n++) {
			snprintf(name, sizeof name, "n%d", n);
			compare_one(parent, dir, name);
		}
	}
}

static void compare_held(const int *fds)
{
	char ours[16384], theirs[16384];
	struct volume_attr attr;
	struct stat st;

	for (int i = 0; i < HELD; i++) {
		uint64_t ino;

		if (fds[i] < 0)
			continue;
		if (fstat(fds[i], &st) < 0) {
			check(errno == ESTALE);
			continue;
		}
		ino = st.st_ino;
		check(view_getattr(volume_head(world.volume), ino, &attr) == 0);
		check((uint64_t)st.st_size == attr.size && st.st_nlink == attr.nlink);
		ssize_t n = pread(fds[i], theirs, sizeof theirs, 0);
		check(n == view_read(volume_head(world.volume), ino, 0, ours, sizeof ours));
		check(n < 0 || memcmp(ours, theirs, n) == 0);
	}
}

#define MOMENTS 6

/*
 * Method: random operations and rewinds by seed; after each rewind, names, attributes and data as
 * the kernel shows them, also through descriptors opened before, against the volume.
 */
static void rewind_at_random(unsigned seed, bool epoch)
{
	struct moment moments[MOMENTS];
	unsigned first = seed;
	int fds[HELD];

	world.mount->rewind.no_epoch = !epoch;
	for (int i = 0; i < HELD; i++)
		fds[i] = -1;
	for (int i = 0; i < MOMENTS; i++)
		moments[i] = now();
	for (int i = 0; i < 400 && !tap_bad; i++) {
		int which = rand_r(&seed) % MOMENTS, held = rand_r(&seed) % HELD;

		do_something(&seed);
		if (i % 7 == 0)
			moments[which] = now();
		if (i % 11 == 0) {
			if (fds[held] >= 0)
				close(fds[held]);
			fds[held] =
				open(in_mount(any_name(&seed)), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		}
		if (i % 23 == 0) {
			back_to(moments[which]);
			compare_all();
			compare_held(fds);
		}
	}
	compare_all();
	for (int i = 0; i < HELD; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	check(!tap_bad, "seed %u", first);
	world.mount->rewind.no_epoch = false;
}

static void after_random_rewinds_the_kernel_shows_what_the_volume_has(void)
{
	for (unsigned seed = 1; seed <= 6 && !tap_bad; seed++)
		rewind_at_random(seed, true);
}

static void so_it_is_on_kernels_that_forget_names_one_by_one(void)
{
	for (unsigned seed = 101; seed <= 106 && !tap_bad; seed++)
		rewind_at_random(seed, false);
}

struct bystander {
	pthread_t thread;
	unsigned seed;
	atomic_bool *stop;
};

static void *stand_by(void *arg)
{
	struct bystander *bystander = arg;

	while (!atomic_load(bystander->stop))
		do_something(&bystander->seed);
	return NULL;
}

static void rewinding_under_load_leaves_nothing_stale(void)
{
	struct bystander bystanders[4];
	struct moment moments[MOMENTS];
	unsigned seed = 99;

	for (int round = 0; round < 4 && !tap_bad; round++) {
		atomic_bool stop = false;

		for (int i = 0; i < MOMENTS; i++)
			moments[i] = now();
		world.mount->rewind.no_epoch = round % 2;
		for (unsigned i = 0; i < 4; i++) {
			bystanders[i] = (struct bystander){.seed = round * 10 + i, .stop = &stop};
			pthread_create(&bystanders[i].thread, NULL, stand_by, &bystanders[i]);
		}
		for (int i = 0; i < 6; i++) {
			back_to(moments[rand_r(&seed) % MOMENTS]);
			moments[rand_r(&seed) % MOMENTS] = now();
		}
		atomic_store(&stop, true);
		for (int i = 0; i < 4; i++)
			pthread_join(bystanders[i].thread, NULL);
		compare_all();
	}
	world.mount->rewind.no_epoch = false;
}

struct looker {
	pthread_t thread;
	_Atomic unsigned looks; /* that have ended */
	atomic_bool *stop;
};

static void *look_at_directory(void *arg)
{
	struct looker *looker = arg;
	struct stat st;
	char path[128];

	world_path(path, sizeof path, "busy");
	while (!atomic_load(looker->stop)) {
		stat(path, &st);
		atomic_fetch_add(&looker->looks, 1);
	}
	return NULL;
}

static void await_the_end_of_each_look(struct looker *lookers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned looks = atomic_load(&lookers[i].looks);

		while (atomic_load(&lookers[i].looks) == looks)
			sched_yield();
	}
}

static bool shows_last_change(const char *dir)
{
	struct volume_attr attr;
	struct stat st;

	return stat(in_mount(dir), &st) == 0 &&
	       view_lookup(volume_head(world.volume), VOLUME_ROOT_INO, dir, &attr) == 0 &&
	       st.st_mtim.tv_sec == attr.mtime.tv_sec && st.st_mtim.tv_nsec == attr.mtime.tv_nsec;
}

/*
 * Method: change it while others look on without a pause: what one of them was told before a change
 * must not be believed after it.
 *
 * The kernel takes over an answer in two steps: first it says that the inode's attributes are good,
 * then it sets them; stat(2) takes no lock.  So who asks while another's answer is being taken over
 * may see the time of before, for as long as the CPU that does so is held up.  No filesystem can
 * help that; it is over when the look that brought the answer has returned, and until the next
 * change no further answer brings anything else.
 */
static void the_times_of_a_directory_are_those_of_the_last_change(void)
{
	atomic_bool stop = false;
	struct looker lookers[3];

	mkdir(in_mount("busy"), 0755);
	for (int i = 0; i < 3; i++) {
		lookers[i] = (struct looker){.stop = &stop};
		pthread_create(&lookers[i].thread, NULL, look_at_directory, &lookers[i]);
	}
	for (int i = 0; i < 4000 && !tap_bad; i++) {
		if (i % 2)
			unlink(in_mount("busy/f"));
		else
			write_file("busy/f", "");
		if (shows_last_change("busy"))
			continue;
		await_the_end_of_each_look(lookers, 3);
		check(shows_last_change("busy"), "change %d", i);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(lookers[i].thread, NULL);
	rmdir(in_mount("busy"));
}

/* --- Views ----------------------------------------------------------------------------------- */

static void a_view_shows_the_past_and_cannot_be_changed(void)
{
	struct mount_options options = {.source = "unspill:past", .transport = world_transport};
	struct moment then;
	struct view *view = NULL;
	struct mount *past = NULL;
	char dir[128], path[160];

	snprintf(dir, sizeof dir, "%s/past", world_dir);
	mkdir(dir, 0755);
	write_file("v", "then");
	then = now();
	write_file("v", "now");
	require(volume_view(world.volume, &then, &view, &world.why) == 0, "%s", world.why.text);
	options.view = view;
	if (check(mount_open(world.volume, dir, &options, &past, &world.why) == 0, "%s",
		  world.why.text)) {
		char buf[10];
		int fd;

		snprintf(path, sizeof path, "%s/v", dir);
		fd = open(path, O_RDONLY);
		check(read(fd, buf, sizeof buf) == 4 && memcmp(buf, "then", 4) == 0);
		check(fsync(fd) == 0);
		close(fd);
		fails(open(path, O_WRONLY), EROFS);
		fails(unlink(path), EROFS);
		fails(chmod(path, 0), EROFS);
		fails(mkdir(path, 0755), EEXIST);
		struct volume_backtrack ret;
		check(mount_backtrack(past, &then, NULL, &ret, &world.why) == -EROFS);
		mount_close(past);
	}
	view_close(view);
	rmdir(dir);
	check(file_is("v", "now"));
}

struct past {
	struct view *view;
	struct mount *mount;
	char dir[128], content[16];
};

static void open_past(struct past *past, int number)
{
	struct mount_options options = {.source = "unspill:past", .transport = world_transport};
	struct moment then;

	snprintf(past->dir, sizeof past->dir, "%s/past%d", world_dir, number);
	snprintf(past->content, sizeof past->content, "number %d", number);
	mkdir(past->dir, 0755);
	write_file("several", past->content);
	then = now();
	require(volume_view(world.volume, &then, &past->view, &world.why) == 0, "%s",
		world.why.text);
	options.view = past->view;
	require(mount_open(world.volume, past->dir, &options, &past->mount, &world.why) == 0, "%s",
		world.why.text);
}

/* What the kernel has of it would do for a while: so it is read past the cache too. */
static bool shows_its_own(const struct past *past, int flags)
{
	static _Alignas(4096) char buf[4096];
	char path[160];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/several", past->dir);
	fd = open(path, O_RDONLY | flags);
	n = read(fd, buf, sizeof buf);
	close(fd);
	return n == (ssize_t)strlen(past->content) && memcmp(buf, past->content, n) == 0;
}

static void several_views_stay_as_they_are_when_the_head_changes_and_is_rewound(void)
{
	enum { VIEWS = 4 };
	struct past pasts[VIEWS] = {{0}};
	struct volume_backtrack ret;
	struct moment to;

	for (int i = 0; i < VIEWS; i++)
		open_past(&pasts[i], i);
	to = now();
	unlink(in_mount("several"));
	for (int i = 0; i < VIEWS; i++)
		check(shows_its_own(&pasts[i], i % 2 ? O_DIRECT : 0), "%d", i);
	check(mount_backtrack(world.mount, &to, NULL, &ret, &world.why) == 0, "%s", world.why.text);
	check(file_is("several", pasts[VIEWS - 1].content));
	for (int i = 0; i < VIEWS; i++) {
		check(shows_its_own(&pasts[i], 0) && shows_its_own(&pasts[i], O_DIRECT), "%d", i);
		check(mount_device(pasts[i].mount) != mount_device(world.mount));
		mount_close(pasts[i].mount);
		view_close(pasts[i].view);
		check(rmdir(pasts[i].dir) == 0);
	}
	unlink(in_mount("several"));
}

static void a_mount_is_left_only_when_nobody_uses_it(void)
{
	struct past past = {0};
	char path[160];
	int fd;

	open_past(&past, 9);
	snprintf(path, sizeof path, "%s/several", past.dir);
	fd = open(path, O_RDONLY);
	check(fd >= 0 && mount_leave(past.mount) == -EBUSY && shows_its_own(&past, O_DIRECT));
	close(fd);
	check(mount_leave(past.mount) == 0 && mount_leave(past.mount) == 0);
	check(access(path, F_OK) < 0 && errno == ENOENT);
	mount_close(past.mount);
	view_close(past.view);
	check(rmdir(past.dir) == 0);
	unlink(in_mount("several"));
}

/* --- Beginning and end ----------------------------------------------------------------------- */

static int try_mount(const char *path)
{
	struct mount_options options = {.transport = world_transport};
	struct mount *mount;
	int r = mount_open(world.volume, path, &options, &mount, &world.why);

	if (r == 0)
		mount_close(mount);
	return r;
}

static void a_place_that_cannot_be_mounted_on_is_named(void)
{
	char path[200];

	check(try_mount(world_mnt) == -EBUSY && strstr(world.why.text, world_mnt));
	snprintf(path, sizeof path, "%s/none", world_dir);
	check(try_mount(path) == -ENOENT && strstr(world.why.text, path));
	snprintf(path, sizeof path, "%s/file", world_dir);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	check(try_mount(path) == -ENOTDIR && strstr(world.why.text, path));
	unlink(path);
	check(mount_clear_stale(world_mnt, &world.why) == -EBUSY, "a live one is not cleared away");
	check(file_is("still", "alive") || is_there(""));
}

/* A ring's last entries go after the process, so that there is an instant in which it is dying. */
static bool is_of_a_dead_server(int error)
{
	if (world_transport == TRANSPORT_IO_URING && (error == ECANCELED || error == ECONNABORTED))
		return true;
	return error == ENOTCONN;
}

static void give_up(const struct world *own)
{
	printf("# the server gave up: %s\n", own->why.text);
	fflush(stdout);
	_exit(1);
}

/* A server of its own on `dir`, until it is killed. */
static void serve_until_killed(const char *dir, int ready)
{
	struct mount_options options = {.transport = world_transport};
	struct world own = {.disk = disk_memory_new(1)};
	struct volume_format_options format = {.segment_bytes = 8 << 20};

	if (volume_format(own.disk, &format, &own.why) < 0 || world_open_volume(&own) < 0 ||
	    mount_open(own.volume, dir, &options, &own.mount, &own.why) < 0 ||
	    write(ready, "x", 1) != 1)
		give_up(&own);
	pause();
	_exit(1);
}

static void what_a_dead_process_left_mounted_is_cleared_away(void)
{
	char dir[128];
	struct stat st;
	int ready[2], status;
	char byte;
	pid_t pid;

	snprintf(dir, sizeof dir, "%s/stale", world_dir);
	mkdir(dir, 0755);
	check(mount_clear_stale(dir, &world.why) == 0, "there is nothing yet");
	require(pipe(ready) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		serve_until_killed(dir, ready[1]);
	close(ready[1]);
	check(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check(open(dir, O_RDONLY | O_DIRECTORY) == -1 && is_of_a_dead_server(errno), "%s",
	      strerror(errno));
	require(world_open(&world));
	check(try_mount(dir) == -EBUSY);
	check(mount_clear_stale(dir, &world.why) == 0, "%s", world.why.text);
	check(stat(dir, &st) == 0 && try_mount(dir) == 0);
	world_close(&world);
	rmdir(dir);
}

/* A server of its own on `dir`, rewinding to and fro from when it gets a byte until it is killed.
 */
static void serve_and_rewind(const char *dir, int wake, int ready)
{
	struct mount_options options = {.transport = world_transport};
	struct world own = {.disk = disk_memory_new(1)};
	struct volume_format_options format = {.segment_bytes = 8 << 20,
					       .window_us = INT64_C(3600) * 1000000};
	struct volume_backtrack ret;
	struct moment moments[2];
	char byte, path[200];

	if (volume_format(own.disk, &format, &own.why) < 0 || world_open_volume(&own) < 0 ||
	    mount_open(own.volume, dir, &options, &own.mount, &own.why) < 0 ||
	    write(ready, "x", 1) != 1 || read(wake, &byte, 1) != 1)
		give_up(&own);
	volume_now(own.volume, &moments[0]);
	/* To be closed by the kernel when we are dead. */
	snprintf(path, sizeof path, "%s/own", dir);
	if (open(path, O_RDWR | O_CREAT, 0644) < 0)
		_exit(1);
	volume_now(own.volume, &moments[1]);
	for (int i = 0;; i++)
		if (mount_backtrack(own.mount, &moments[i % 2], NULL, &ret, &own.why) < 0)
			give_up(&own);
}

/* A server that writes into its own mount, as an import does. */
static void serve_and_write(const char *dir, int ready)
{
	struct mount_options options = {.transport = world_transport};
	struct world own = {.disk = disk_memory_new(1)};
	struct volume_format_options format = {.segment_bytes = 8 << 20};
	char path[200], page[PAGE] = {0};
	int fd;

	snprintf(path, sizeof path, "%s/own", dir);
	if (volume_format(own.disk, &format, &own.why) < 0 || world_open_volume(&own) < 0 ||
	    mount_open(own.volume, dir, &options, &own.mount, &own.why) < 0)
		give_up(&own);
	fd = open(path, O_RDWR | O_CREAT, 0644);
	if (fd < 0 || write(ready, "x", 1) != 1)
		give_up(&own);
	while (pwrite(fd, page, sizeof page, 0) == sizeof page)
		;
	give_up(&own);
}

/* Does the process end? */
static bool ends(pid_t pid)
{
	struct timespec pause = {0, 1000000};

	for (int i = 0; i < PATIENCE_US / 1000; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void kill_a_rewinding_server(const char *dir, int after_us)
{
	struct timespec pause = {0, after_us * 1000};
	int wake[2], ready[2], fds[20];
	char byte, path[200];
	pid_t pid;

	require(pipe(wake) == 0 && pipe(ready) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		serve_and_rewind(dir, wake[0], ready[1]);
	close(wake[0]);
	close(ready[1]);
	check(read(ready[0], &byte, 1) == 1);
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof path, "%s/%d", dir, i);
		fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	}
	check(write(wake[1], "x", 1) == 1);
	nanosleep(&pause, NULL);
	kill(pid, SIGKILL);
	if (!check(ends(pid), "it hangs, killed after %d us", after_us))
		umount2(dir, MNT_FORCE);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	close(wake[1]);
	close(ready[0]);
	check(mount_clear_stale(dir, &world.why) == 0, "%s", world.why.text);
}

/*
 * Method: kill it after more and more of a rewind.
 */
static __attribute__((unused)) void a_server_killed_while_it_rewinds_does_not_hang(void)
{
	char dir[128];

	snprintf(dir, sizeof dir, "%s/stale", world_dir);
	mkdir(dir, 0755);
	for (int i = 0; i < 30 && !tap_bad; i++)
		kill_a_rewinding_server(dir, 500 + i * 311);
	rmdir(dir);
}

/*
 * Method: kill it at any moment of its writes; a thread of it waits for an answer from those that
 * are dead.
 */
static __attribute__((unused)) void
a_server_killed_while_it_writes_into_its_own_mount_does_not_hang(void)
{
	struct timespec pause = {0, 0};
	char dir[128], byte;
	int ready[2];
	pid_t pid;

	snprintf(dir, sizeof dir, "%s/stale", world_dir);
	mkdir(dir, 0755);
	for (int i = 0; i < 30 && !tap_bad; i++) {
		require(pipe(ready) == 0);
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			serve_and_write(dir, ready[1]);
		close(ready[1]);
		check(read(ready[0], &byte, 1) == 1);
		close(ready[0]);
		pause.tv_nsec = 100000 + i * 7000;
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		if (!check(ends(pid), "it hangs"))
			umount2(dir, MNT_FORCE);
		check(mount_clear_stale(dir, &world.why) == 0, "%s", world.why.text);
	}
	rmdir(dir);
}

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

static void run_killed(void)
{
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
	SKIP("servers that are killed do not hang",
	     "ThreadSanitizer and forked threads do not mix");
#else
	RUN(a_server_killed_while_it_rewinds_does_not_hang);
	RUN(a_server_killed_while_it_writes_into_its_own_mount_does_not_hang);
#endif
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void closing_does_not_wait_for_those_who_still_use_it(void)
{
	int fds = count_fds(), fd;
	struct volume_attr attr;
	struct stat st;
	uint64_t ino;

	fd = open_file("in-use", O_RDWR | O_CREAT);
	fstat(fd, &st);
	ino = st.st_ino;
	unlink(in_mount("in-use"));
	check(view_getattr(volume_head(world.volume), ino, &attr) == 0);
	mount_close(take(world.mount));
	check(pwrite(fd, "x", 1, 0) == -1, "nobody answers any more");
	close(fd);
	check(view_getattr(volume_head(world.volume), ino, &attr) == -ESTALE,
	      "the unlinked file is gone");
	check(stat(world_mnt, &st) == 0 && st.st_ino != VOLUME_ROOT_INO);
	require(world_mount(&world) == 0, "%s", world.why.text);
	check(count_fds() == fds, "%d, before %d", count_fds(), fds);
}

static void a_mount_that_somebody_took_off_closes_quietly(void)
{
	check(umount2(world_mnt, 0) == 0);
	mount_close(take(world.mount));
	require(world_mount(&world) == 0, "%s", world.why.text);
	write_file("again", "here");
	check(file_is("again", "here"));
}

static void a_mount_whose_connection_is_ended_closes_quietly(void)
{
	int fd = open_file("cut", O_RDWR | O_CREAT);

	mount_abort(world_mnt);
	check(pwrite(fd, "x", 1, 0) == -1 && !is_there("cut"));
	mount_close(take(world.mount));
	close(fd);
	require(world_mount(&world) == 0, "%s", world.why.text);
	check(is_there("cut"));
}

/* --- Transports ------------------------------------------------------------------------------ */

static void requests_come_by_the_transport_that_was_chosen(void)
{
	struct mount_stats before = stats(), after;

	for (int i = 0; i < 100; i++) {
		write_file("carried", "by whom?");
		unlink(in_mount("carried"));
	}
	after = stats();
	check(after.requests - before.requests >= 300);
	if (world_transport == TRANSPORT_CLASSIC)
		check(after.ring_requests == 0);
	else
		/* FORGETs come by the other way. */
		check(after.ring_requests - before.ring_requests >= 300);
}

/* A mount that wants io_uring, and cannot have it, works and says why. */
static void mount_without_a_ring(const char *word)
{
	struct mount_options options = {.transport = TRANSPORT_IO_URING};
	struct mount *mount = NULL;
	char dir[128], path[160];
	const char *why;
	int r;

	snprintf(dir, sizeof dir, "%s/past", world_dir);
	snprintf(path, sizeof path, "%s/f", dir);
	mkdir(dir, 0755);
	r = mount_open(world.volume, dir, &options, &mount, &world.why);
	require(r == 0, "%s", world.why.text);
	check(mount_transport(mount, &why) == TRANSPORT_CLASSIC && strstr(why, word), "it says: %s",
	      why);
	r = creat(path, 0644);
	check(r >= 0, "%s", strerror(errno));
	close(r);
	unlink(path);
	mount_close(mount);
	rmdir(dir);
}

static void where_io_uring_is_switched_off_the_classic_way_is_taken(void)
{
	mount_without_a_ring("enable_uring");
}

static void where_a_ring_cannot_be_had_the_classic_way_is_taken(void)
{
	struct rlimit before, few;

	getrlimit(RLIMIT_NOFILE, &before);
	/* Enough for a mount, and for a few of the threads. */
	few = (struct rlimit){count_fds() + 8, before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	mount_without_a_ring("Too many open files");
	setrlimit(RLIMIT_NOFILE, &before);
}

static void run_transports(void)
{
	RUN(requests_come_by_the_transport_that_was_chosen);
	if (world_transport == TRANSPORT_IO_URING)
		RUN(where_a_ring_cannot_be_had_the_classic_way_is_taken);
	else if (world_switched_off())
		RUN(where_io_uring_is_switched_off_the_classic_way_is_taken);
	else
		SKIP("where io_uring is switched off the classic way is taken", "it is on here");
	if (world_transport == TRANSPORT_CLASSIC)
		world_switch_back();
}

static void it_can_be_mounted_by_the_helper_of_those_who_are_not_root(void)
{
	struct attach_options options = {.source = "unspill:helped"};
	char dir[128];
	int fd = -1, r;

	snprintf(dir, sizeof dir, "%s/helped", world_dir);
	mkdir(dir, 0755);
	r = attach_open_by_helper(dir, &options, &fd, &world.why);
	if (r == -ENOENT) {
		rmdir(dir);
		return; /* no fusermount3 on this machine: `why` says how to get it */
	}
	check(r == 0, "%s", world.why.text);
	check(attach_close(dir, true) == 0);
	close(fd);
	rmdir(dir);
	check(attach_open_by_helper("/proc/none", &options, &fd, &world.why) < 0 &&
		      strlen(world.why.text) > 30,
	      "%s", world.why.text);
}

static void run_rewinds(void)
{
	RUN(a_rewind_reaches_cached_data);
	RUN(a_rewind_reaches_cached_attributes);
	RUN(a_rewind_reaches_cached_names);
	RUN(forward_again_brings_back_what_was_left);
	RUN(what_is_gone_is_stale_for_those_who_hold_it);
	RUN(a_file_open_across_a_rewind_can_be_unlinked_and_lives);
	RUN(appending_after_a_rewind_starts_at_the_rewound_end);
	RUN(a_mapping_shows_the_rewound_content);
	RUN(a_page_dirtied_before_the_rewind_is_in_the_past_and_not_in_the_present);
	RUN(a_page_dirtied_during_the_rewind_does_not_land_on_the_new_head);
	RUN(a_page_dirtied_during_a_rewind_that_is_given_up_is_kept);
	RUN(between_switch_and_invalidation_only_pages_of_the_new_head_are_written);
	RUN(a_directory_being_read_goes_on_after_a_rewind);
	RUN(after_random_rewinds_the_kernel_shows_what_the_volume_has);
	RUN(so_it_is_on_kernels_that_forget_names_one_by_one);
	RUN(rewinding_under_load_leaves_nothing_stale);
}

static int run_all(void)
{
	/* First, while we have no threads: a fork would leave their locks behind. */
	RUN(what_a_dead_process_left_mounted_is_cleared_away);
	run_killed();
	if (!world_open(&world))
		return 1;
	RUN(a_direct_write_of_a_mebibyte_is_one_write);
	run_read_ahead();
	RUN(what_is_written_synchronously_survives_a_power_cut);
	RUN(what_fsync_covers_survives_a_power_cut);
	run_direct();
	RUN(the_times_of_a_directory_are_those_of_the_last_change);
	run_rewinds();
	RUN(a_view_shows_the_past_and_cannot_be_changed);
	RUN(several_views_stay_as_they_are_when_the_head_changes_and_is_rewound);
	RUN(a_mount_is_left_only_when_nobody_uses_it);
	RUN(a_place_that_cannot_be_mounted_on_is_named);
	RUN(closing_does_not_wait_for_those_who_still_use_it);
	RUN(a_mount_that_somebody_took_off_closes_quietly);
	RUN(a_mount_whose_connection_is_ended_closes_quietly);
	RUN(it_can_be_mounted_by_the_helper_of_those_who_are_not_root);
	run_transports();
	/* Last: what they do to the tree is anybody's guess. */
	RUN(a_request_cut_short_is_refused);
	RUN(a_name_must_end_and_have_1_to_255_bytes);
	RUN(a_write_must_carry_the_bytes_that_it_claims);
	RUN(creating_what_is_there_sends_the_kernel_to_look);
	RUN(another_protocol_is_refused_or_asked_for_ours);
	RUN(garbage_is_answered_once_and_harms_nothing);
	world_close(&world);
	return tap_done();
}

int main(int argc, char **argv)
{
	const char *missing;

	world_take_transport(&argc, &argv);
	missing = world_missing();
	if (missing) {
		printf("1..0 # SKIP %s\n", missing);
		return 0;
	}
	return world_run(run_all);
}
