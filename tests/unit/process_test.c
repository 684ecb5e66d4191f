/*
 * Goal: a program with children is gone with all of them when process.h says so, however they
 * began.  Method: shells whose children have sessions of their own, as those of a database server
 * do.
 */
#include "engine/process.h"

#include "base/clock.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Prints the pids of two: a child in a session of its own, and a grandchild of one that is gone. */
static const char script[] = "setsid sleep 1000 & echo $!; (sleep 1000 & echo $!); ";

/* Run it, and what comes behind it; the two pids. */
static bool spawn_family(const char *behind, bool family, struct process *ret, pid_t pids[2])
{
	char text[sizeof script + 64];
	const char *const argv[] = {"sh", "-c", text, NULL};
	int fds[2];

	snprintf(text, sizeof text, "%s%s", script, behind);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	struct process_options options = {.program = "/bin/sh",
					  .argv = argv,
					  .in = -1,
					  .out = fds[1],
					  .err = -1,
					  .die_with_us = true,
					  .family = family};
	bool spawned = process_spawn(&options, ret, NULL) == 0;
	close(fds[1]);
	FILE *file = fdopen(fds[0], "r");
	spawned = spawned && fscanf(file, "%d %d", &pids[0], &pids[1]) == 2;
	fclose(file);
	return spawned;
}

static bool all_are_gone(const pid_t pids[2])
{
	return process_start_time(pids[0]) == 0 && process_start_time(pids[1]) == 0;
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

/* As if we had died: nobody looks at the pipe's other end, and the leader is gone first. */
static void who_comes_later_ends_what_is_left_of_a_family(void)
{
	struct process process;
	uint64_t family, began;
	pid_t pids[2];

	require(spawn_family("wait", true, &process, pids));
	family = process_family(process.family);
	began = process_start_time(process.pid);
	check(family != 0 && process_family(0) == 0);
	check(process_end_family(0, 0) == 0 && process_end_family(family, began + 1000000) == 0);
	kill(process.pid, SIGKILL);
	check(process_end_family(family, began) >= 2);
	check(all_are_gone(pids));
	check(process_end_family(family, began) == 0);
	process_kill(&process);
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

int main(void)
{
	RUN(who_is_killed_takes_its_children_along);
	RUN(who_ends_by_itself_leaves_no_children);
	RUN(waiting_in_vain_harms_no_child);
	RUN(two_families_are_two);
	RUN(who_comes_later_ends_what_is_left_of_a_family);
	RUN(a_program_that_cannot_run_leaves_no_descriptor);
	return tap_done();
}
