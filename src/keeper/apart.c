#include "keeper/apart.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define TICK_MS 200
#define TELL_INTERVAL_US 50000
#define REPORT_FD 3

/* One write into the pipe: whole or not at all, because it is smaller than PIPE_BUF. */
struct report {
	bool last;
	int r;
	uint64_t done, total;
	char step[32];
	struct problem why;
	uint8_t result[APART_RESULT_MAX];
};
_Static_assert(sizeof(struct report) <= PIPE_BUF, "a report is not written in one piece");

struct apart {
	int64_t told_us;
	char step[32];
};

/* --- In the child ----------------------------------------------------------------------------- */

static void send(const struct report *report)
{
	/* Nobody listens any more: then nobody needs the work. */
	if (write(REPORT_FD, report, sizeof *report) != sizeof *report)
		_exit(1);
}

void apart_tell(struct apart *apart, const char *step, uint64_t done, uint64_t total)
{
	struct report report = {.done = done, .total = total};
	int64_t now_us = clock_monotonic_us();

	if (now_us - apart->told_us < TELL_INTERVAL_US && strcmp(step, apart->step) == 0)
		return;
	apart->told_us = now_us;
	snprintf(apart->step, sizeof apart->step, "%s", step);
	snprintf(report.step, sizeof report.step, "%s", step);
	send(&report);
}

/* Above all the kernel's end of the mount is closed: as long as we had it, the mount would outlive
 * the keeper. */
static void leave_everything(int fd, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || chdir("/") < 0 ||
	    dup2(fd, REPORT_FD) < 0 || syscall(SYS_close_range, REPORT_FD + 1, ~0U, 0) < 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(1);
}

static void child(const struct apart_work *work, int fd, pid_t parent)
{
	struct report report = {.last = true};
	struct apart apart = {0};

	leave_everything(fd, parent);
	report.r = work->run(&apart, work->input, report.result, &report.why);
	send(&report);
	_exit(0);
}

/* --- Here ------------------------------------------------------------------------------------- */

static bool tell_here(const struct apart_work *work, const struct report *report)
{
	return !work->progress ||
	       work->progress(report->step, report->done, report->total, work->arg);
}

/* Reports until the last one, the end of the child, or our own wish to stop. */
static int listen_to(const struct apart_work *work, int fd, struct report *report)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct report last = {0};

	for (;;) {
		int r = poll(&p, 1, TICK_MS);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0) {
			ssize_t n = read(fd, report, sizeof *report);

			if (n != sizeof *report)
				return -EIO;
			if (report->last)
				return 0;
			last = *report;
		}
		if (!tell_here(work, &last))
			return -ECANCELED;
	}
}

static void bury(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int apart_run(const struct apart_work *work, struct problem *why)
{
	struct report report;
	pid_t parent = getpid(), pid;
	int fds[2], r;

	assert(work->result_size <= APART_RESULT_MAX);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return problem_errno(why, -errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0)
		child(work, fds[1], parent);
	r = pid < 0 ? -errno : 0;
	close(fds[1]);
	CLEANUP(fd) int fd = fds[0];
	if (r < 0)
		return problem_errno(why, r, "cannot start a process");
	r = listen_to(work, fd, &report);
	bury(pid);
	if (r == -ECANCELED)
		return problem(why, r, "cancelled");
	if (r < 0)
		return problem(why, r, "the process that did the work ended before it was done");
	if (work->result)
		memcpy(work->result, report.result, work->result_size);
	if (why)
		*why = report.why;
	return report.r;
}
