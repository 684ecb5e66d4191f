/*
 * Follow: who waits for a cluster's job, as the command does that asked for it, and hears how it
 * goes and how it ended.
 *
 * At most one follows a cluster: it begins while nobody else can add a job for it (fleet_begin()),
 * and before it adds its own.
 */
#pragma once

#include "base/problem.h"
#include "jobs/jobs.h"

#include <pthread.h>

/* The name of a step that takes back what those before it did. */
#define FOLLOW_UNDO "undo"

typedef void follow_progress(const char *step, uint64_t done, uint64_t total, const char *unit,
			     void *arg);

struct follower {
	const char *subject;
	follow_progress *progress; /* called in the job's thread, never after follow_end() */
	void *arg;
	/* Filled in before follow_wait() says true: */
	bool ended;
	enum job_state state;
	int error; /* -errno; 0: it is done */
	struct problem why;
	json_t *notes; /* the job's own, for follow_end() to let go of */
	bool over;     /* of what is said from here on nothing is for it */
	struct follower *next;
};

struct followers {
	pthread_mutex_t lock; /* innermost; `progress` is called with it held */
	pthread_cond_t change;
	struct follower *first;
};

void followers_init(struct followers *followers);
void followers_done(struct followers *followers);

void follow_begin(struct followers *followers, struct follower *follower);
void follow_end(struct followers *followers, struct follower *follower);
/* Wait so long at most for the end; true when it has come. */
bool follow_wait(struct followers *followers, struct follower *follower, int milliseconds);

/* For jobs: how far it is; told to its follower, and as job_progress(). */
void follow_tell(struct followers *followers, struct job *job, const char *step, uint64_t done,
		 uint64_t total, const char *unit);
/*
 * It has ended: nothing more is told, and no other job's progress either, once others may work for
 * the cluster; who waits is woken by follow_wake(), when all else is as it is to be.
 */
void follow_tell_end(struct followers *followers, const struct job *job, enum job_state state,
		     const struct problem *why);
void follow_wake(struct followers *followers);
