#include "mount/warden.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* What the kernel sends to the warden; nobody else does. */
#define DEATH_SIGNAL SIGUSR1

/* ThreadSanitizer takes a child that shares our memory for a copy of us, and loses its way. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#define WARDEN_IMPOSSIBLE (__has_feature(thread_sanitizer) || SANITIZED_BY_GCC)
#ifdef __SANITIZE_THREAD__
#define SANITIZED_BY_GCC 1
#else
#define SANITIZED_BY_GCC 0
#endif

#define CONNECTIONS "/sys/fs/fuse/connections"

struct warden {
	int hold; /* a detached copy of the mount, or -1 */
	char abort_path[64];
	pid_t parent, pid; /* pid 0: not posted */
	int ready[2];      /* a pipe: the warden says that it will be told */
	sem_t posted;
	char stack[64 * 1024];
};

/*
 * In the child, whose memory is that of the dead: any lock in it may be held for ever, of the C
 * library, of a sanitizer. So it makes system calls, and nothing else.
 */
#define ALONE __attribute__((no_sanitize("thread")))

static ALONE bool abort_connection(const struct warden *warden)
{
	int fd = syscall(SYS_openat, AT_FDCWD, warden->abort_path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && syscall(SYS_write, fd, "1", 1) == 1;
}

/* Where nobody has mounted the place of the connections: for ourselves alone. */
static ALONE void mount_connections(void)
{
	if (syscall(SYS_unshare, CLONE_NEWNS) == 0 &&
	    syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		syscall(SYS_mount, "none", CONNECTIONS, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			NULL);
}

/*
 * Errno is that of the thread that made the child: what is called while that thread lives does not
 * fail.
 */
static ALONE int watch(void *arg)
{
	struct warden *warden = arg;
	uint64_t set = UINT64_C(1) << (DEATH_SIGNAL - 1);

	syscall(SYS_prctl, PR_SET_NAME, "unspill-warden");
	syscall(SYS_prctl, PR_SET_PDEATHSIG, DEATH_SIGNAL);
	syscall(SYS_write, warden->ready[1], "", 1);
	if (warden->hold > 0)
		syscall(SYS_close_range, 0, warden->hold - 1, 0);
	syscall(SYS_close_range, warden->hold + 1, ~0u, 0);
	if (syscall(SYS_getppid) == warden->parent)
		syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, sizeof set);
	if (!abort_connection(warden)) {
		mount_connections();
		abort_connection(warden);
	}
	return 0;
}

/*
 * A connection is found by its number, which is another's as soon as the filesystem is gone.  While
 * we hold a copy of the mount, detached so that nobody who unmounts meets it, the filesystem is not
 * gone.
 */
struct warden *warden_new(const struct outside *outside)
{
	struct warden *warden = xcalloc(1, sizeof *warden);

	snprintf(warden->abort_path, sizeof warden->abort_path, CONNECTIONS "/%u/abort",
		 minor(outside->device_number));
	warden->hold = open_tree(AT_FDCWD, outside->path,
				 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	sem_init(&warden->posted, 0, 0);
	return warden;
}

/*
 * Until the warden has said that it will be told: a thread that dies before that is not noticed, as
 * the warden is passed on to another thread of the same process.  Or until it is dead itself.
 */
static void await_ready(struct warden *warden)
{
	char byte;

	close(warden->ready[1]);
	while (read(warden->ready[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(warden->ready[0]);
}

static void post(struct warden *warden)
{
	uintptr_t top = ALIGN_DOWN((uintptr_t)warden->stack + sizeof warden->stack, 16);
	sigset_t all, before;

	if (pipe2(warden->ready, O_CLOEXEC) < 0)
		return;
	warden->parent = getpid();
	/* The child starts with everything blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	warden->pid = clone(watch, (void *)top, CLONE_VM, warden);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	await_ready(warden);
	/* It has its own. */
	if (warden->pid > 0)
		close(warden->hold);
}

void warden_post(struct warden *warden)
{
	if (warden->hold >= 0 && !WARDEN_IMPOSSIBLE)
		post(warden);
	sem_post(&warden->posted);
}

void warden_await(struct warden *warden)
{
	while (sem_wait(&warden->posted) < 0)
		;
}

void warden_free(struct warden *warden)
{
	if (!warden)
		return;
	if (warden->pid <= 0 && warden->hold >= 0)
		close(warden->hold);
	if (warden->pid > 0) {
		kill(warden->pid, SIGKILL);
		while (waitpid(warden->pid, NULL, __WCLONE) < 0 && errno == EINTR)
			;
	}
	sem_destroy(&warden->posted);
	free(warden);
}
