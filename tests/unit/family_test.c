/*
 * Goal: a program with children is gone with all of them when family.h says so, however they
 * began.  Method: shells whose children have sessions of their own, as those of a database server
 * do.
 */
#include "engine/family.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/process.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Prints the pids of two: a child in a session of its own, and a grandchild of one that is gone. */
static const char script[] = "setsid sleep 1000 & echo $!; (sleep 1000 & echo $!); ";

static int quit_signal;
static const char *prelude = "";

/* Run it, and what comes behind it; the two pids. */
static bool spawn_family(const char *behind, bool family, struct process *ret, pid_t pids[2])
{
	char text[sizeof script + 128];
	const char *const argv[] = {"sh", "-c", text, NULL};
	int fds[2];

	snprintf(text, sizeof text, "%s%s%s", prelude, script, behind);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	struct process_options options = {.program = "/bin/sh",
					  .argv = argv,
					  .in = -1,
					  .out = fds[1],
					  .err = -1,
					  .die_with_us = true,
					  .family = family,
					  .quit = quit_signal};
	bool spawned = process_spawn(&options, ret, NULL) == 0;
	close(fds[1]);
	FILE *file = fdopen(fds[0], "r");
	spawned = spawned && fscanf(file, "%d %d", &pids[0], &pids[1]) == 2;
	fclose(file);
	return spawned;
}

static bool is_gone(pid_t pid)
{
	CLEANUP(fd) int pidfd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	char path[64], target[64];
	bool is_open;

	if (pidfd < 0 || process_start_time(pid) == 0)
		return true;
	/* Its descriptors are closed, and so the pipe hung up, some steps before its end: what has
	 * none any more is on these, and what still has one was forgotten. */
	snprintf(path, sizeof path, "/proc/%d/fd/0", (int)pid);
	is_open = readlink(path, target, sizeof target) >= 0;
	return !is_open && poll(&ended, 1, PATIENCE_US / 1000) == 1;
}

static bool all_are_gone(const pid_t pids[2])
{
	return is_gone(pids[0]) && is_gone(pids[1]);
}

static void who_is_killed_takes_its_children_along(void)
{
	struct process process;
	pid_t pids[2];

	require(spawn_family("wait", true, &process, pids));
	check(process_start_time(pids[0]) != 0 && process_start_time(pids[1]) != 0);
	process_kill(&process);
	check(all_are_gone(pids));
	check(process.pid == 0 && process.pidfd == -1 && process.family == 0);
}

static void who_ends_by_itself_leaves_no_children(void)
{
	struct process process;
	pid_t pids[2];
	int status;

	require(spawn_family("exit 3", true, &process, pids));
	check(process_wait(&process, 30000, &status) == 0 && WEXITSTATUS(status) == 3);
	check(all_are_gone(pids));
}

static void waiting_in_vain_harms_no_child(void)
{
	struct process process;
	pid_t pids[2];

	require(spawn_family("wait", true, &process, pids));
	check(process_wait(&process, 50, NULL) == -ETIMEDOUT);
	check(!all_are_gone(pids) && process_start_time(pids[0]) != 0);
	process_kill(&process);
	check(all_are_gone(pids));
}

static void two_families_are_two(void)
{
	struct process one, other;
	pid_t ones[2], others[2];

	require(spawn_family("wait", true, &one, ones));
	require(spawn_family("wait", true, &other, others));
	process_kill(&one);
	check(all_are_gone(ones));
	check(process_start_time(others[0]) != 0 && process_start_time(others[1]) != 0);
	process_kill(&other);
	check(all_are_gone(others));
}

/* One does as it is told, the other one does not. */
static void who_has_a_way_to_end_at_once_gets_a_second_for_it(void)
{
	static const char *const preludes[] = {"trap 'rm \"$F\"; kill %1; exit 0' QUIT; ",
					       "trap '' QUIT; "};
	char name[] = "/tmp/unspill-family-XXXXXX";

	for (int i = 0; i < 2; i++) {
		int64_t start = clock_monotonic_us();
		struct process process;
		pid_t pids[2];

		close(mkstemp(name));
		setenv("F", name, 1);
		quit_signal = SIGQUIT;
		prelude = preludes[i];
		require(spawn_family("wait", true, &process, pids));
		quit_signal = 0;
		prelude = "";
		process_kill(&process);
		check(all_are_gone(pids) && process.pid == 0);
		check((access(name, F_OK) < 0) == (i == 0));
		check(clock_monotonic_us() - start < 20 * INT64_C(1000000));
		unlink(name);
		strcpy(name, "/tmp/unspill-family-XXXXXX");
	}
}

/* As if we had died: nobody looks at the pipe's other end, and the leader is gone first. */
static void who_comes_later_ends_what_is_left_of_a_family(void)
{
	struct process process;
	uint64_t family, began;
	pid_t pids[2];

	require(spawn_family("wait", true, &process, pids));
	family = family_id(process.family);
	began = process_start_time(process.pid);
	check(family != 0 && family_id(0) == 0);
	check(family_end_by_id(0, 0) == 0 && family_end_by_id(family, began + 1000000) == 0);
	kill(process.pid, SIGKILL);
	check(family_end_by_id(family, began) >= 2);
	check(all_are_gone(pids));
	check(family_end_by_id(family, began) == 0);
	process_kill(&process);
}

/* Us, run again with a file's name: map it, say so, wait. */
static int map_and_wait(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, 4096) < 0 ||
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		return 1;
	puts("1 1");
	fflush(stdout);
	pause();
	return 0;
}

static void what_a_killed_family_shared_is_removed_and_what_others_share_is_not(void)
{
	char text[PATH_MAX + 128], ours[64], theirs[128], self[PATH_MAX];
	const char *const argv[] = {"sh", "-c", text, NULL};
	struct process process;
	int fds[2], a, b;

	snprintf(ours, sizeof ours, "/dev/shm/unspill-test-%d", getpid());
	snprintf(theirs, sizeof theirs, "%s-other", ours);
	close(open(theirs, O_RDWR | O_CREAT, 0600));
	self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
	snprintf(text, sizeof text, "'%s' map %s & wait", self, ours);
	require(pipe2(fds, O_CLOEXEC) == 0);
	struct process_options options = {.program = "/bin/sh",
					  .argv = argv,
					  .in = -1,
					  .out = fds[1],
					  .err = -1,
					  .die_with_us = true,
					  .family = true};
	require(process_spawn(&options, &process, NULL) == 0);
	close(fds[1]);
	FILE *file = fdopen(fds[0], "r");
	check(fscanf(file, "%d %d", &a, &b) == 2 && access(ours, F_OK) == 0);
	fclose(file);
	process_kill(&process);
	check(access(ours, F_OK) < 0);
	check(access(theirs, F_OK) == 0);
	unlink(theirs);
	unlink(ours);
}

static void a_program_that_cannot_run_leaves_no_descriptor(void)
{
	const char *const argv[] = {"none", NULL};
	struct process_options options = {.program = "/nonexistent",
					  .argv = argv,
					  .in = -1,
					  .out = -1,
					  .err = -1,
					  .family = true};
	struct process process;
	int before = dup(0), after;

	close(before);
	check(process_spawn(&options, &process, NULL) == -ENOENT);
	after = dup(0);
	check(before == after, "%d, %d", before, after);
	close(after);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "map") == 0)
		return map_and_wait(argv[2]);
	RUN(who_is_killed_takes_its_children_along);
	RUN(who_ends_by_itself_leaves_no_children);
	RUN(waiting_in_vain_harms_no_child);
	RUN(two_families_are_two);
	RUN(who_has_a_way_to_end_at_once_gets_a_second_for_it);
	RUN(who_comes_later_ends_what_is_left_of_a_family);
	RUN(what_a_killed_family_shared_is_removed_and_what_others_share_is_not);
	RUN(a_program_that_cannot_run_leaves_no_descriptor);
	return tap_done();
}
