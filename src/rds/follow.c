#include "rds/follow.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

void followers_init(struct followers *followers)
{
	pthread_condattr_t attributes;

	*followers = (struct followers){0};
	pthread_mutex_init(&followers->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&followers->change, &attributes);
	pthread_condattr_destroy(&attributes);
}

void followers_done(struct followers *followers)
{
	pthread_cond_destroy(&followers->change);
	pthread_mutex_destroy(&followers->lock);
}

void follow_begin(struct followers *followers, struct follower *follower)
{
	pthread_mutex_lock(&followers->lock);
	follower->next = followers->first;
	followers->first = follower;
	pthread_mutex_unlock(&followers->lock);
}

void follow_end(struct followers *followers, struct follower *follower)
{
	struct follower **place = &followers->first;

	pthread_mutex_lock(&followers->lock);
	while (*place != follower)
		place = &(*place)->next;
	*place = follower->next;
	pthread_mutex_unlock(&followers->lock);
	json_decref(follower->notes);
	follower->notes = NULL;
}

bool follow_wait(struct followers *followers, struct follower *follower, int milliseconds)
{
	int64_t until_us = clock_monotonic_us() + (int64_t)milliseconds * 1000;
	const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	bool ended;

	pthread_mutex_lock(&followers->lock);
	while (!follower->ended &&
	       pthread_cond_timedwait(&followers->change, &followers->lock, &until) != ETIMEDOUT)
		;
	ended = follower->ended;
	pthread_mutex_unlock(&followers->lock);
	return ended;
}

/* Under the lock. */
static struct follower *find(const struct followers *followers, const struct job *job)
{
	struct follower *follower = followers->first;

	while (follower && (follower->over || strcmp(follower->subject, job->subject) != 0))
		follower = follower->next;
	return follower;
}

void follow_tell(struct followers *followers, struct job *job, const char *step, uint64_t done,
		 uint64_t total, const char *unit)
{
	struct follower *follower;

	job_progress(job, step, done, total);
	pthread_mutex_lock(&followers->lock);
	follower = find(followers, job);
	if (follower)
		follower->progress(step, done, total, unit, follower->arg);
	pthread_mutex_unlock(&followers->lock);
}

void follow_tell_end(struct followers *followers, const struct job *job, enum job_state state,
		     const struct problem *why)
{
	struct follower *follower;

	pthread_mutex_lock(&followers->lock);
	follower = find(followers, job);
	if (follower) {
		follower->over = true;
		follower->state = state;
		follower->error = state == JOB_DONE        ? 0
				  : state == JOB_CANCELLED ? -ECANCELED
				  : job->error             ? job->error
							   : -EIO;
		follower->why = *why;
		follower->notes = json_incref(job->notes);
	}
	pthread_mutex_unlock(&followers->lock);
}

void follow_wake(struct followers *followers)
{
	pthread_mutex_lock(&followers->lock);
	for (struct follower *follower = followers->first; follower; follower = follower->next)
		follower->ended = follower->over;
	pthread_cond_broadcast(&followers->change);
	pthread_mutex_unlock(&followers->lock);
}
