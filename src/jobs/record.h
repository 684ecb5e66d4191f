/*
 * Record: a job as it is in the database.
 *
 * Inside the jobs layer: everything here is SQL, and returns as state.h has it.
 */
#pragma once

#include "jobs/jobs.h"

struct record {
	struct job *job;
	enum job_state state;
	const char *step; /* that is being done, or undone; NULL: none yet */
	const char *error;
	bool cancel; /* somebody asked */
	int64_t created_us, started_us, ended_us;
};

/* Insert it, with what is added at the same time; job->id is set. */
int record_add(struct state *state, struct record *record, const struct job_new *new);
/* State, step, error, notes and times, as they are now. */
int record_update(struct state *state, const struct record *record);
/* The same for the end, together with what that is for the kind; what ended long ago goes. */
int record_end(struct state *state, const struct record *record, void *userdata,
	       const struct problem *why);
int record_cancel(struct state *state, int64_t id);

/* Call `fn` for each that has not ended, in their order; job->input and ->notes are fn's to keep.
 * The kind is only a name. */
int record_for_unfinished(struct state *state,
			  int (*fn)(const struct record *record, const char *kind, void *arg),
			  void *arg);

/* As jobs_list(), without progress. */
int record_list(struct state *state, const char *subject, unsigned limit, json_t **ret);
