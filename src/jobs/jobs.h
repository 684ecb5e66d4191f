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
#define JOBS_RUNNING_MAX 32                              /* at a time */
#define JOBS_KEPT_US (INT64_C(14) * 24 * 3600 * 1000000) /* after their end */

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_UNDOING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

/* "waiting", "running", "undoing", "done", "failed", "cancelled" */
const char *job_state_name(enum job_state state);

/* A job as its steps see it. */
struct job {
	int64_t id;
	const struct job_kind *kind;
	char subject[JOB_SUBJECT_SIZE]; /* what it works for: the cluster's name */
	json_t *input;                  /* as it was given to jobs_add(); not to be changed */
	json_t *notes; /* an object that steps leave for later steps; saved with the next step */
	int error; /* -errno of the step that failed; 0 as well when that was before a restart */
	struct jobs *jobs;
};

struct job_step {
	const char *name; /* "make"; in the database, never renamed */
	/*
	 * Do it, or what is left of it; runs again when we were killed meanwhile.  `why` on
	 * failure: then it and those before it are taken back.  -EINTR when job_stopping(): it runs
	 * again at the next start.
	 */
	int (*run)(void *userdata, struct job *job, struct problem *why);
	/* Take it back, whether it was done, half done or not begun.  NULL: nothing to take back.
	 * -EINTR as above. */
	int (*undo)(void *userdata, struct job *job, struct problem *why);
};

struct job_kind {
	const char *name;             /* "create"; in the database, never renamed */
	const struct job_step *steps; /* ends with .name NULL */
	bool resume; /* after we were killed: go on where it was; else undo, last step first */
	bool cancellable;
	/* A member of the input that nobody is shown, and that is forgotten at the end; NULL: none.
	 */
	const char *secret;
	/*
	 * What the end means in the layer above's tables: in the transaction that makes it durable,
	 * in state's thread.  May be NULL, as the next.
	 */
	int (*end)(void *userdata, struct job *job, enum job_state state, const struct problem *why,
		   sqlite3 *db);
	/* Told in the job's thread once it is durable: another job may be added for the subject. */
	void (*ended)(void *userdata, struct job *job, enum job_state state,
		      const struct problem *why);
};

extern const struct state_part jobs_state_part;

/* `kinds` ends with NULL; all is borrowed.  Nothing runs before jobs_start(). */
void jobs_new(struct state *state, const struct job_kind *const *kinds, void *userdata,
	      struct jobs **ret);
/*
 * Take up what was left unfinished, and begin.  -EPROTONOSUPPORT when there is a job of a kind, or
 * at a step, that we do not know: a newer version has left it.
 */
int jobs_start(struct jobs *jobs, struct problem *why);
/* No new steps; waits for the ones that run; what is not finished goes on at the next start. Frees.
 * NULL is fine. */
void jobs_stop(struct jobs *jobs);
DEFINE_CLEANUP(struct jobs *, jobs, jobs_stop)

struct job_new {
	const char *kind, *subject;
	const json_t *input; /* an object */
	/* What else changes with it: in the same transaction, in state's thread.  May be NULL; when
	 * it fails there is no job. */
	int (*also)(sqlite3 *db, int64_t id, void *arg);
	void *arg;
};

/* A new job, durable on return.  -EBUSY: another works for that subject; what `also` returned. */
int jobs_add(struct jobs *jobs, const struct job_new *new, int64_t *ret_id, struct problem *why);

/*
 * Ask it to end; steps see job_cancelled(), and what was done is undone.  -ENOENT; -EALREADY when
 * it is over or being undone; -EPERM when its kind cannot be cancelled.
 */
int jobs_cancel(struct jobs *jobs, int64_t id, struct problem *why);

/* --- For steps -------------------------------------------------------------------------------- */

bool job_cancelled(const struct job *job);
/* jobs_stop() waits for us: what can wait for the next start returns -EINTR. */
bool job_stopping(const struct job *job);
/* Wait so long, less when the job is cancelled or we are stopping. */
void job_pause(const struct job *job, int milliseconds);
/* Save job->notes now, in the middle of a step. */
int job_note(struct job *job);
/* How far it is, for whoever looks: not durable. */
void job_progress(struct job *job, const char *text, uint64_t done, uint64_t total);

/* --- For whoever looks ------------------------------------------------------------------------ */

/*
 * The jobs, newest first, as objects: {"id","kind","subject","state","step","error","input",
 * "created_us","started_us","ended_us","progress":{"text","done","total"}}; of one subject, or NULL
 * for all.  What there is not is left out.  The caller owns *ret.
 */
int jobs_list(struct jobs *jobs, const char *subject, unsigned limit, json_t **ret);
