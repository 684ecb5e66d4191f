#include "engine/process.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/family.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/close_range.h>
#include <sanitizer/asan_interface.h>

#define CHILD_STACK (64 * 1024)
#define QUIT_MS 1000
#define NICE_TRIES 10
#define NICE_TRY_MS 25

/* The C library's clone(2), under its other name. */
int __clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...);

/* What the child reads and writes in our memory before it executes the program. */
struct child {
	const struct process_options *options;
	int fds[3];
	int family; /* the end of the pipe that is theirs; 0: none */
	pid_t parent;
	char nice[16]; /* options->nice, as text */
	int error;
};

/*
 * From here to execv() the child borrows the memory of a thread that is stopped: system calls only,
 * no allocation, no locks.  The C library's setuid() would signal "all threads" (of the parent):
 * raw calls.
 */
static int child_become(const struct process_options *options)
{
	if (!options->become)
		return 0;
	if (syscall(SYS_setgroups, 1, &options->gid) < 0 ||
	    syscall(SYS_setresgid, options->gid, options->gid, options->gid) < 0 ||
	    syscall(SYS_setresuid, options->uid, options->uid, options->uid) < 0)
		return -errno;
	return 0;
}

static int child_fds(const struct child *child)
{
	int keep = child->options->keep_fd;
	int high[3]; /* copies above 2 first, so that none is overwritten before it is used */

	for (int i = 0; i < 3; i++) {
		high[i] = fcntl(child->fds[i], F_DUPFD_CLOEXEC, 10);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	if (keep > 2 && fcntl(keep, F_SETFD, 0) < 0)
		return -errno;
	if (child->family && fcntl(child->family, F_SETFD, 0) < 0)
		return -errno;
	return 0;
}

/* The program starts with nothing ignored and nothing blocked, whatever its caller does with
 * signals. */
static void child_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Our own thread's is not touched: the child is a process by itself.  Where the kernel shares the
 * processors among sessions first (autogroup), a process that has one to itself gives way to its
 * own threads only, unless the session gives way.  Where it does not, there is no such file.
 */
static void child_nice(const struct child *child)
{
	int fd;

	if (!child->options->nice)
		return;
	syscall(SYS_setpriority, PRIO_PROCESS, 0, child->options->nice);
	if (!child->options->apart)
		return;
	fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Who is not root may do so ten times a second, together with everybody else. */
	for (int tries = 0; tries < NICE_TRIES; tries++) {
		if (write(fd, child->nice, strlen(child->nice)) >= 0 || errno != EAGAIN)
			break;
		poll(NULL, 0, NICE_TRY_MS);
	}
	close(fd);
}

static int child_prepare(struct child *child)
{
	int r;

	child_signals();
	r = child_fds(child);
	if (r < 0)
		return r;
	if (child->options->apart && setsid() < 0)
		return -errno;
	/* What memory a family shares by System V's ways goes with it.  Where it cannot be had (we
	 * are not root) the server looks after it itself. */
	if (child->family)
		syscall(SYS_unshare, CLONE_NEWIPC);
	child_nice(child);
	r = child_become(child->options);
	if (r < 0)
		return r;
	/* Never a place that this very process may serve: it would hold on to the mount while it
	 * waits for it. */
	if (chdir("/") < 0)
		return -errno;
	/* After the change of user, which clears it; then look whether the parent died before it
	 * was set. */
	if (child->options->die_with_us && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (child->options->die_with_us && getppid() != child->parent)
		return -ESRCH;
	return 0;
}

static int child_main(void *arg)
{
	struct child *child = arg;

	child->error = child_prepare(child);
	if (!child->error) {
		execv(child->options->program, (char *const *)child->options->argv);
		child->error = -errno;
	}
	syscall(SYS_exit_group, 127);
	return 127;
}

/* Signals wait while the child runs in our memory: a handler of ours must not run there. */
static int clone_child(struct child *child, struct process *process)
{
	sigset_t all, before;
	void *stack;
	int r;

	stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* By the name that ThreadSanitizer does not know: it takes every clone() for a fork. */
	r = __clone(child_main, (char *)stack + CHILD_STACK,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, child, &process->pidfd);
	process->pid = r;
	r = r < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* The child's frames were never left: whoever is given these addresses next would be told
	 * of them. */
	ASAN_UNPOISON_MEMORY_REGION(stack, CHILD_STACK);
	munmap(stack, CHILD_STACK);
	return r;
}

/* Nothing is ever written into it: its other end hangs up when the last of the family is gone. */
static int make_family(struct child *child, struct process *process)
{
	int fds[2];

	if (!child->options->family)
		return 0;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	process->family = fds[0];
	child->family = fds[1];
	return 0;
}

int process_spawn(const struct process_options *options, struct process *ret, struct problem *why)
{
	CLEANUP(fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct child child = {.options = options, .parent = getpid()};
	struct process process = {.pidfd = -1, .quit = options->quit};
	int r;

	if (null < 0)
		return problem_errno(why, -errno, "cannot open '/dev/null'");
	child.fds[0] = options->in < 0 ? null : options->in;
	child.fds[1] = options->out < 0 ? null : options->out;
	child.fds[2] = options->err < 0 ? null : options->err;

	snprintf(child.nice, sizeof child.nice, "%d", options->nice);
	r = make_family(&child, &process);
	if (r < 0)
		return problem_errno(why, r, "cannot make a pipe");
	r = clone_child(&child, &process);
	if (child.family)
		close(child.family);
	if (r == 0 && child.error) {
		process_wait(&process, -1, NULL);
		r = child.error;
	} else if (r < 0 && process.family) {
		close(process.family);
	}
	if (r < 0)
		return problem_errno(why, r, "cannot start '%s'", options->program);
	*ret = process;
	return 0;
}

static int poll_for(int fd, int64_t deadline_us)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		int64_t left_us = deadline_us - clock_monotonic_us();
		int timeout = deadline_us == INT64_MAX ? -1
			      : left_us <= 0           ? 0
						       : (int)(left_us + 999) / 1000;
		int r = poll(&p, 1, timeout);

		if (r < 0 && errno == EINTR)
			continue;
		return r < 0 ? -errno : r ? 0 : -ETIMEDOUT;
	}
}

static int64_t deadline_in(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : clock_monotonic_us() + timeout_ms * INT64_C(1000);
}

int process_wait(struct process *process, int timeout_ms, int *ret_status)
{
	int status = 0, r;

	r = poll_for(process->pidfd, deadline_in(timeout_ms));
	if (r < 0)
		return r;
	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(process->pidfd);
	family_end(process->family);
	*process = (struct process){.pidfd = -1};
	if (ret_status)
		*ret_status = status;
	return 0;
}

void process_kill(struct process *process)
{
	struct family_shared shared = {0};

	if (process->pid <= 0)
		return;
	if (process->quit) {
		syscall(SYS_pidfd_send_signal, process->pidfd, process->quit, NULL, 0);
		if (process_wait(process, QUIT_MS, NULL) == 0)
			return;
	}
	/* Before they go: nobody else knows what they shared. */
	family_look(process->family, &shared);
	syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
	process_wait(process, -1, NULL);
	family_remove_shared(&shared);
}

/* Everything up to the end of `fd` or the deadline; what does not fit is read and dropped. */
static int collect(int fd, int64_t deadline_us, char *output, size_t size)
{
	size_t used = 0;

	for (;;) {
		char spill[4096];
		bool full = used + 1 >= size;
		ssize_t n;
		int r;

		r = poll_for(fd, deadline_us);
		if (r < 0)
			return r;
		n = read(fd, full ? spill : output + used, full ? sizeof spill : size - 1 - used);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (!full)
			used += n;
		if (size)
			output[used] = 0;
	}
}

int process_run(const struct process_options *options, int timeout_ms, char *output, size_t size,
		struct problem *why)
{
	struct process_options with = *options;
	int64_t deadline_us = deadline_in(timeout_ms);
	struct process process;
	int fds[2], status, r;

	if (size)
		output[0] = 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return problem_errno(why, -errno, "cannot make a pipe");
	CLEANUP(fd) int from = fds[0];
	with.out = with.err = fds[1];
	r = process_spawn(&with, &process, why);
	close(fds[1]);
	if (r < 0)
		return r;
	r = collect(from, deadline_us, output, size);
	if (r == 0)
		r = poll_for(process.pidfd, deadline_us);
	if (r < 0) {
		process_kill(&process);
		return problem(why, r, "'%s' did not finish within %d ms", options->program,
			       timeout_ms);
	}
	process_wait(&process, -1, &status);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool process_find(const char *name, char *path, size_t size)
{
	const char *env = getenv("PATH");
	CLEANUP(free) char *dirs = NULL;
	char *save = NULL;

	if (asprintf(&dirs, "%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/libexec",
		     env ? env : "") < 0)
		xcheck(NULL);
	for (char *dir = strtok_r(dirs, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		int n = snprintf(path, size, "%s/%s", dir, name);

		if (dir[0] == '/' && n > 0 && (size_t)n < size && access(path, X_OK) == 0)
			return true;
	}
	return false;
}

uint64_t process_start_time(pid_t pid)
{
	char path[64], text[1024];
	unsigned long long start = 0;
	ssize_t n;
	char *end;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	/* Field 22; the second one, the name in parentheses, may hold anything. */
	end = strrchr(text, ')');
	if (!end || end[1] != ' ' || end[2] == 'Z')
		return 0;
	for (int field = 2; field < 22 && end; field++)
		end = strchr(end + 1, ' ');
	if (end)
		sscanf(end, "%llu", &start);
	return start;
}

bool process_is_dying(pid_t pid)
{
	unsigned long long pending = 0, bits;
	char path[64], line[256], state = '?';
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof line, file)) {
		(void)sscanf(line, "State: %c", &state);
		if (sscanf(line, "SigPnd: %llx", &bits) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &bits) == 1)
			pending |= bits;
	}
	fclose(file);
	return state == 'Z' || pending >> (SIGKILL - 1) & 1;
}

void process_status_text(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exit code %d", WEXITSTATUS(status));
}
