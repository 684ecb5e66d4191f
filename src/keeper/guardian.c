/*
 * The guardian: a small parent that does nothing but wait for the keeper and start it again.
 *
 * unspill start --fork, setsid, fork, exec--> guardian --fork--> keeper
 *
 * It has no thread, no lock and no file of the volume, so that nothing that breaks the keeper
 * breaks it.  Whoever started it waits at a pipe for one line: "ready", or the reason why there
 * will never be one.
 */
#include "keeper/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/process.h"
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define READY_VARIABLE "UNSPILL_READY_FD"
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MOST_MS 30000
#define HEALTHY_US INT64_C(60000000)
#define LOG_BYTES_MAX \
	(16 * 1024 * 1024) /* beyond, keeper.log becomes keeper.log.1 at the next start */
#define OTHER_KEEPER_MS 15000

/* --- The pipe --------------------------------------------------------------------------------- */

/* Shared with the guardian: the keeper was ready once, so that a failure later is worth another
 * attempt. */
static bool *was_ready;

static int ready_fd = -1;

void guardian_take_ready(void)
{
	const char *text = getenv(READY_VARIABLE);

	ready_fd = text ? atoi(text) : -1;
	unsetenv(READY_VARIABLE);
	if (ready_fd <= 2 || fcntl(ready_fd, F_SETFD, FD_CLOEXEC) < 0)
		ready_fd = -1;
}

void guardian_tell_ready(const struct problem *why)
{
	char line[sizeof(struct problem) + 16];
	int n;

	if (!why && was_ready)
		*was_ready = true;
	if (ready_fd < 0)
		return;
	n = snprintf(line, sizeof line, "%s\n", why ? why->text : "ready");
	if (write(ready_fd, line, n) != n)
		log_warning("nobody waits for this keeper to be ready");
	close(ready_fd);
	ready_fd = -1;
}

int guardian_write_pid(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	fprintf(file, "%d %llu\n", (int)getpid(), (unsigned long long)process_start_time(getpid()));
	return fclose(file) == 0 ? 0 : -errno;
}

/* One line, or nothing at the end of the pipe. */
static void read_line(int fd, char *line, size_t size)
{
	size_t used = 0;

	while (used + 1 < size) {
		ssize_t n = read(fd, line + used, size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += n;
		if (memchr(line, '\n', used))
			break;
	}
	line[used] = 0;
	line[strcspn(line, "\n")] = 0;
}

bool guardian_is_ready(int fd, char *line, size_t size)
{
	char own[16];

	if (!line) {
		line = own;
		size = sizeof own;
	}
	read_line(fd, line, size);
	return strcmp(line, "ready") == 0;
}

void guardian_give_ready(int fd)
{
	char number[16];

	fcntl(fd, F_SETFD, 0);
	snprintf(number, sizeof number, "%d", fd);
	setenv(READY_VARIABLE, number, 1);
}

bool guardian_is_awaited(void)
{
	return ready_fd >= 0;
}

/* --- The guardian ----------------------------------------------------------------------------- */

/* The signals that the guardian waits for, as data: it has no handlers. */
static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, NULL);
}

/* One that was killed while a thread of it waited for its own mount does not end until somebody
 * cuts that off. */
static void help_to_die(pid_t keeper, const char *directory)
{
	char path[PATH_MAX];

	if (process_is_dying(keeper) &&
	    snprintf(path, sizeof path, "%s/mnt", directory) < (int)sizeof path)
		mount_abort(path);
}

/* Until the keeper has ended; SIGTERM and SIGINT are passed on to it. */
static int wait_for_keeper(pid_t keeper, const char *directory, const sigset_t *set,
			   bool *ret_ending)
{
	static const struct timespec look_after = {.tv_sec = 1};
	int status;

	while (waitpid(keeper, &status, WNOHANG) == 0) {
		int number = sigtimedwait(set, NULL, &look_after);

		if (number < 0)
			help_to_die(keeper, directory);
		if (number == SIGTERM || number == SIGINT) {
			*ret_ending = true;
			kill(keeper, SIGTERM);
		}
	}
	return status;
}

/* False when it was told to end meanwhile. */
static bool wait_out(int ms, const sigset_t *set)
{
	int64_t until_us = clock_monotonic_us() + ms * INT64_C(1000);
	int64_t left_us;

	while ((left_us = until_us - clock_monotonic_us()) > 0) {
		struct timespec left = {.tv_sec = left_us / 1000000,
					.tv_nsec = left_us % 1000000 * 1000};
		int number = sigtimedwait(set, NULL, &left);

		if (number == SIGTERM || number == SIGINT)
			return false;
	}
	return true;
}

static pid_t fork_keeper(const char *directory,
			 int (*life)(const char *directory, const struct keeper_options *options),
			 const struct keeper_options *options, const sigset_t *set)
{
	pid_t pid = fork();

	if (pid == 0) {
		sigprocmask(SIG_UNBLOCK, set, NULL);
		exit(life(directory, options));
	}
	if (pid > 0 && ready_fd >= 0) {
		/* The keeper has it: when it dies, whoever waits sees the end of the pipe. */
		close(ready_fd);
		ready_fd = -1;
	}
	return pid;
}

/* No further attempt: it ended because it was asked to, another keeper has the volume, or it never
 * came up. */
static bool is_final(int status, bool ending)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	return ending || code == KEEPER_EXIT_DONE || code == KEEPER_EXIT_BUSY || !*was_ready;
}

/* Meanwhile somebody may have stopped the cluster, or deleted it. */
static bool is_still_wanted(const char *directory)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	int r = cluster_load(directory, &cluster, NULL);

	return r < 0 ? r != -ENOENT : cluster->desired_running;
}

int guardian_run(const char *directory,
		 int (*life)(const char *directory, const struct keeper_options *options),
		 const struct keeper_options *options)
{
	int backoff_ms = BACKOFF_FIRST_MS;
	bool ending = false;
	sigset_t set;

	was_ready = mmap(NULL, sizeof *was_ready, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (was_ready == MAP_FAILED)
		return log_errno(-errno, "cannot share memory"), KEEPER_EXIT_FAILED;
	block_signals(&set);
	for (;;) {
		int64_t begun_us = clock_monotonic_us();
		pid_t keeper = fork_keeper(directory, life, options, &set);
		char how[128];
		int status;

		if (keeper < 0)
			return log_errno(-errno, "cannot start the keeper"), KEEPER_EXIT_FAILED;
		status = wait_for_keeper(keeper, directory, &set, &ending);
		if (is_final(status, ending))
			return WIFEXITED(status) ? WEXITSTATUS(status) : KEEPER_EXIT_FAILED;
		if (clock_monotonic_us() - begun_us > HEALTHY_US)
			backoff_ms = BACKOFF_FIRST_MS;
		process_status_text(status, how, sizeof how);
		log_error("the keeper ended with %s; it is started again in %.1f s", how,
			  backoff_ms / 1e3);
		if (!wait_out(backoff_ms, &set) || !is_still_wanted(directory))
			return KEEPER_EXIT_DONE;
		backoff_ms = MIN(backoff_ms * 2, BACKOFF_MOST_MS);
	}
}

/* --- Starting one as a daemon ----------------------------------------------------------------- */

int guardian_open_log(const struct cluster *cluster, const char *name, struct problem *why)
{
	char path[PATH_MAX], old[PATH_MAX];
	struct stat st;
	int fd;

	if (snprintf(path, sizeof path, "%s/run/%s", cluster->directory, name) >= (int)sizeof path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", cluster->directory);
	if (snprintf(old, sizeof old, "%s.1", path) < (int)sizeof old && stat(path, &st) == 0 &&
	    st.st_size > LOG_BYTES_MAX)
		rename(path, old);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd < 0 ? problem_errno(why, -errno, "cannot open '%s'", path) : fd;
}

/* In the second child: away from the terminal, the session and the directory of whoever started us.
 */
static void become_keeper(const struct cluster *cluster, const struct keeper_options *options,
			  int log_fd, int status_fd)
{
	char *argv[6] = {(char *)"unspill", (char *)"keep"};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), n = 2;

	if (options->guardian)
		argv[n++] = (char *)"--guardian";
	if (options->no_server)
		argv[n++] = (char *)"--no-server";
	argv[n] = (char *)cluster->directory;
	if (null < 0 || chdir("/") < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 ||
	    dup2(log_fd, 2) < 0)
		_exit(KEEPER_EXIT_FAILED);
	guardian_give_ready(status_fd);
	execv("/proc/self/exe", argv);
	dprintf(status_fd, "cannot execute this program again: %s\n", strerror(errno));
	_exit(KEEPER_EXIT_FAILED);
}

/* Two forks, so that it is nobody's child and never gets a terminal. */
static int fork_daemon(const struct cluster *cluster, const struct keeper_options *options,
		       int log_fd, int status_fd, struct problem *why)
{
	pid_t first = fork(), second;

	if (first < 0)
		return problem_errno(why, -errno, "cannot start a keeper");
	if (first > 0) {
		while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
			;
		return 0;
	}
	setsid();
	second = fork();
	if (second == 0)
		become_keeper(cluster, options, log_fd, status_fd);
	_exit(second < 0);
}

static bool answers(const struct cluster *cluster)
{
	CLEANUP(control) struct control *control = NULL;
	char path[PATH_MAX];

	cluster_socket(cluster, path);
	return control_connect(path, &control, NULL) == 0;
}

static bool is_locked_by_another(const struct cluster *cluster)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX];
	int owner;

	return cluster_path(cluster, "volume", path) && disk_local_open(path, &disk) == 0 &&
	       disk_lock(disk, &owner) == -EBUSY;
}

/* Another keeper was faster, and is about to answer: that is as good. */
static bool another_comes_up(const struct cluster *cluster)
{
	int64_t until_us = clock_monotonic_us() + OTHER_KEEPER_MS * INT64_C(1000);

	while (is_locked_by_another(cluster) && clock_monotonic_us() < until_us) {
		if (answers(cluster))
			return true;
		poll(NULL, 0, 20); /* there is nothing to wait on: it is not our child */
	}
	return answers(cluster);
}

int keeper_spawn(const struct cluster *cluster, const struct keeper_options *options,
		 struct problem *why)
{
	char line[sizeof why->text];
	int fds[2], r;

	if (answers(cluster))
		return problem(why, -EALREADY, "a keeper looks after cluster '%s' already",
			       cluster->name);
	CLEANUP(fd) int log_fd = guardian_open_log(cluster, "keeper.log", why);
	if (log_fd < 0)
		return log_fd;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return problem_errno(why, -errno, "cannot make a pipe");
	CLEANUP(fd) int status_fd = fds[0];
	r = fork_daemon(cluster, options, log_fd, fds[1], why);
	close(fds[1]);
	if (r < 0)
		return r;
	if (guardian_is_ready(status_fd, line, sizeof line))
		return 0;
	if (another_comes_up(cluster))
		return problem(why, -EALREADY, "a keeper looks after cluster '%s' already",
			       cluster->name);
	return problem(why, -ECHILD, "%s%s%s",
		       line[0] ? line : "the keeper ended without a word: see ",
		       line[0] ? "" : cluster->directory, line[0] ? "" : "/run/keeper.log");
}
