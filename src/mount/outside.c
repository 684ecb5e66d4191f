#include "mount/outside.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* How the kernel's FUSE packs a file handle: the node's number, upper half first, and its
 * generation. */
#define HANDLE_TYPE 0x81

#define STACK_SIZE (64 * 1024)

/* clone(2) by the name that ThreadSanitizer does not know: it takes every clone() for a fork. */
int __clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...);

struct errand {
	const struct outside *outside;
	void (*run)(int fd, const struct errand *errand);
	const uint64_t *inos;
	size_t count;
};

/*
 * In the child: it shares our memory, of which it changes nothing but its stack, and has
 * descriptors of its own, which it drops.
 */
static int go(void *arg)
{
	const struct errand *errand = arg;
	struct stat st;
	int fd;

	close_range(STDERR_FILENO + 1, ~0u, 0);
	/* Not by open(): a sanitizer would take the descriptor for the parent's. */
	fd = syscall(SYS_openat, AT_FDCWD, errand->outside->path, O_RDONLY | O_DIRECTORY);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == errand->outside->device_number)
		errand->run(fd, errand);
	return 0;
}

/*
 * As vfork(2): nothing is copied, however much memory we have, and this thread waits, killably, for
 * the child's end.  No SIGCHLD, and no waitpid(-1) of somebody else's, comes of it.
 */
static void send(const struct errand *errand)
{
	CLEANUP(free) char *stack = xmalloc(STACK_SIZE);
	pid_t pid = __clone(go, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, (void *)errand);

	while (pid > 0 && waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
		;
}

dev_t outside_device(const char *path)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
		return 0;
	return makedev(st.stx_dev_major, st.stx_dev_minor);
}

static void run_sync(int fd, const struct errand *errand)
{
	syncfs(fd);
}

void outside_sync(const struct outside *outside)
{
	send(&(struct errand){.outside = outside, .run = run_sync});
}

/* Reaching an inode by its number alone, as NFS servers do. */
static int open_ino(int mount_fd, uint64_t ino)
{
	uint32_t words[] = {ino >> 32, ino, 0};
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof words];
	} u = {.handle = {.handle_bytes = sizeof words, .handle_type = HANDLE_TYPE}};

	memcpy(u.handle.f_handle, words, sizeof words);
	return open_by_handle_at(mount_fd, &u.handle, O_PATH);
}

static void run_refresh(int mount_fd, const struct errand *errand)
{
	struct stat st;

	for (size_t i = 0; i < errand->count; i++) {
		CLEANUP(fd) int fd = open_ino(mount_fd, errand->inos[i]);

		if (fd >= 0)
			fstat(fd, &st);
		else if (errno == EPERM)
			return;
	}
}

void outside_refresh(const struct outside *outside, const uint64_t *inos, size_t count)
{
	send(&(struct errand){
		.outside = outside, .run = run_refresh, .inos = inos, .count = count});
}
