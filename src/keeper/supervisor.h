/*
 * Supervisor: one database server, kept running.
 *
 * A server dies with the thread that started it, so one thread, the keeper's main one, starts,
 *watches and ends it: supervisor_step(), which never waits.  Any thread says what it wants and
 *waits for that.
 *
 *	          launch              answers
 *	DOWN ------------> STARTING ----------> UP ------ stop -----> STOPPING ---> DOWN
 *	  ^                   | dies             | dies
 *	  |   nobody retries  v                  v
 *	FAILED <----------- (died) ----------> WAITING (back-off) --> STARTING
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "engine/engine.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct supervisor;

enum supervisor_state {
	SUPERVISOR_DOWN,
	SUPERVISOR_STARTING,
	SUPERVISOR_UP,
	SUPERVISOR_STOPPING,
	SUPERVISOR_WAITING, /* died; the next attempt comes */
	SUPERVISOR_FAILED,  /* died; no attempt comes unless somebody asks */
};

struct supervisor_options {
	const struct engine *engine; /* borrowed, as is the place */
	const struct engine_place *place;
	const char *pid_file; /* where the server's pid and start time are kept while it runs */
	int64_t backoff_first_us, backoff_most_us, healthy_us; /* 0: 0.2 s, 30 s, 60 s */
};

void supervisor_new(const struct supervisor_options *options, struct supervisor **ret);
/* The server is down: see supervisor_close_down(). */
void supervisor_free(struct supervisor *supervisor);
DEFINE_CLEANUP(struct supervisor *, supervisor, supervisor_free)

/* End a server that an earlier keeper left behind, after making sure by start time and program that
 * it is that process. */
void supervisor_end_leftover(const char *pid_file);

/* --- The main thread -------------------------------------------------------------------------- */

/* What to poll for, and for how long at most (-1: for ever). */
void supervisor_prepare(struct supervisor *supervisor, struct pollfd fds[2], int *ret_timeout_ms);
/* Do what is due. */
void supervisor_step(struct supervisor *supervisor);
/*
 * From now on every request returns -ECANCELED, also those under way; stop the server cleanly,
 * after `timeout_ms` by force. With 0 by force at once.
 */
void supervisor_close_down(struct supervisor *supervisor, int timeout_ms);

/* --- Any thread ------------------------------------------------------------------------------- */

/* Bring it up, without waiting, and try for ever. */
void supervisor_want_up(struct supervisor *supervisor);
/*
 * Bring it up, at once even in the middle of a back-off, and wait until it answers a query.  When
 * it dies instead: -ECHILD, with its own words in `why`; then it stays down.  `tick` (may be NULL)
 * is called a few times a second meanwhile. -ECANCELED when somebody wants it down meanwhile.
 */
int supervisor_start(struct supervisor *supervisor, void (*tick)(void *arg), void *arg,
		     struct problem *why);
/* Bring it down and wait: cleanly, by force after `timeout_ms`; with 0 by force.  -ECANCELED:
 * closing down. */
int supervisor_stop(struct supervisor *supervisor, int timeout_ms, struct problem *why);

struct supervisor_status {
	enum supervisor_state state;
	bool wanted;       /* somebody wants it up */
	pid_t pid;         /* 0: none */
	int64_t up_us;     /* since it answered for the first time */
	uint64_t restarts; /* after a death that nobody asked for */
	unsigned failures; /* attempts in a row that came to nothing */
	char last_error[1024];
	int64_t last_error_time_us; /* 0: none */
};
void supervisor_get_status(struct supervisor *supervisor, struct supervisor_status *ret);
