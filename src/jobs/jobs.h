/*
 * Jobs: work that takes longer than an answer, and survives us.
 *
 * A job is a row before anything is done for it.  It runs in a thread of its own, step by step;
 * each step is recorded before it is begun, and may be begun again after we were killed in the
 * middle of it: so a step finds out what is so, and does what is left.  One job at a time works for
 * one subject (a cluster).
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "state/state.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct jobs;

#define JOB_SUBJECT_SIZE 256

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_UNDOING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

/* A job as its steps see it. */
struct job {
	int64_t id;
	const struct job_kind *kind;
	char subject[JOB_SUBJECT_SIZE]; /* what it works for: the cluster's name */
	json_t *input;                  /* as it was given to jobs_add() */
	json_t *notes; /* an object that steps leave for later steps; saved with the next step */
	struct jobs *jobs;
};

struct job_step {
	const char *name; /* "make"; in the database, never renamed */
	/* Do it, or what is left of it; runs again when we were killed meanwhile.  `why` on
	 * failure. */
	int (*run)(void *userdata, struct job *job, struct problem *why);
	/* Take it back, whether it was done, half done or not begun.  NULL: nothing to take back.
	 */
	int (*undo)(void *userdata, struct job *job, struct problem *why);
};

struct job_kind {
	const char *name;             /* "create"; in the database, never renamed */
	const struct job_step *steps; /* ends with .name NULL */
	bool resume; /* after we were killed: go on where it was; else undo, last step first */
	/* Told at the end, before the state is visible to others.  May be NULL. */
	void (*ended)(void *userdata, struct job *job, enum job_state state,
		      const struct problem *why);
};

extern const struct state_part jobs_state_part;

/* `kinds` ends with NULL.  Nothing runs before jobs_start(). */
int jobs_new(struct state *state, const struct job_kind *const *kinds, void *userdata,
	     struct jobs **ret, struct problem *why);
/* Take up what was left unfinished, and begin. */
int jobs_start(struct jobs *jobs, struct problem *why);
/* No new steps; waits for the ones that run; what is not finished goes on at the next start. Frees.
 */
void jobs_stop(struct jobs *jobs);

/* A new job, durable on return; `input` is borrowed.  -EBUSY: another works for that subject. */
int jobs_add(struct jobs *jobs, const char *kind, const char *subject, const json_t *input,
	     int64_t *ret_id, struct problem *why);
/* Ask it to end; steps see job_cancelled(), and what was done is undone.  -ENOENT, -EALREADY when
 * it is over. */
int jobs_cancel(struct jobs *jobs, int64_t id, struct problem *why);
bool job_cancelled(const struct job *job);
/* Save job->notes now, in the middle of a step. */
int job_note(struct job *job);
/* How far it is, for whoever looks: not durable. */
void job_progress(struct job *job, const char *text, uint64_t done, uint64_t total);

/* The jobs, newest first, as objects:
 * {"id","kind","subject","state","step","error","created_us","started_us",
 * "ended_us","progress":{"text","done","total"}}; of one subject, or NULL for all.  The caller owns
 * *ret. */
int jobs_list(struct jobs *jobs, const char *subject, unsigned limit, json_t **ret);
