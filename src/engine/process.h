/*
 * Process: other programs, started from a process with threads and a lot of memory.
 *
 * The child shares our memory until it executes the program (clone(2) with CLONE_VM | CLONE_VFORK),
 * so that starting costs the same however large we are.  No descriptor is handed down but the three
 * standard ones and `keep_fd`; it begins in "/".
 */
#pragma once

#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_options {
	const char *program;     /* a path: see process_find() */
	const char *const *argv; /* NULL-terminated, argv[0] included */
	int in, out, err;        /* descriptors for 0, 1, 2; -1: /dev/null */
	int keep_fd; /* one more that the program inherits, by its number; 0 or -1: none */
	/* With `become`, which only root may ask for: run as uid, gid and no other group. */
	bool become;
	uid_t uid;
	gid_t gid;
	/* Others go before it, as of setpriority(2), and with `apart` before its session; 0: as we
	 * are. */
	int nice;
	/* In a session of its own: what somebody types at our terminal is none of its business. */
	bool apart;
	/* SIGKILL it when the calling *thread* ends (that is what Linux looks at). */
	bool die_with_us;
	/* It has children that outlive it if nobody ends them: process_wait() and process_kill()
	 * then do, and return when all are gone. */
	bool family;
	/* The signal on which it ends with its children at once, and takes away what they share; 0:
	 * only SIGKILL does.  process_kill() tries it first, for QUIT_MS. */
	int quit;
};

struct process {
	pid_t pid;
	int pidfd;  /* readable when it has ended */
	int family; /* see family.h; 0: none */
	int quit;
};

/* Returns when the program runs: a program that cannot be executed is an error here. */
int process_spawn(const struct process_options *options, struct process *ret, struct problem *why);

/* Wait at most `timeout_ms` (-1: for ever) for it to end; 0 with the status as of waitpid(2),
 * reaped and closed; or -ETIMEDOUT. */
int process_wait(struct process *process, int timeout_ms, int *ret_status);

/* SIGKILL and reap. */
void process_kill(struct process *process);

/*
 * Run to the end, at most `timeout_ms` (-ETIMEDOUT: killed), collecting what it prints on both
 * outputs: the first `size` - 1 bytes, NUL-terminated.  `options->out` and `err` are ignored.
 * Returns the exit code, or 128 + signal.
 */
int process_run(const struct process_options *options, int timeout_ms, char *output, size_t size,
		struct problem *why);

/* The program in $PATH and the directories for servers.  False when there is none. */
bool process_find(const char *name, char *path, size_t size);

/* When the process began, in clock ticks since boot: with the pid, its identity.  0: there is none.
 */
uint64_t process_start_time(pid_t pid);

/* Killed or ended, but not gone: something holds a thread of it up. */
bool process_is_dying(pid_t pid);

/* "exit code 1", "signal 9 (Killed)" */
void process_status_text(int status, char *text, size_t size);
