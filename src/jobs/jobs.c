/*
 * The walk through a job's steps, and the threads that do it.
 *
 *	WAITING ──▶ RUNNING step by step ──────────▶ DONE
 *	               │ a step fails, or is cancelled; or we were killed, and the kind does not
 *resume ▼ UNDOING, the last step first ──▶ FAILED, CANCELLED
 */
#include "jobs/jobs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "jobs/record.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define RETRY_MS 1000 /* of a write to the database that failed */

/* A job that has not ended. */
struct work {
	struct job job; /* first: a step's job is its work */
	struct record record;
	struct problem why;
	/* Guarded by jobs->lock: */
	bool taken; /* a thread has it */
	bool cancel;
	char progress_text[128]; /* "": none */
	uint64_t progress_done, progress_total;
	struct work *next;
};

/* A thread that takes one job after the other, until there is none. */
struct runner {
	struct jobs *jobs;
	pthread_t thread;
	/* Guarded by jobs->lock: */
	bool begun; /* has to be joined */
	bool ended; /* its last act */
};

struct jobs {
	struct state *state;
	const struct job_kind *const *kinds;
	void *userdata;
	pthread_mutex_t lock;
	pthread_cond_t change;
	/* Guarded by `lock`: */
	struct work *first, **last; /* in the order of their numbers */
	struct runner runners[JOBS_RUNNING_MAX];
	bool started, stopping;
};

static const struct job_kind *find_kind(const struct jobs *jobs, const char *name)
{
	for (size_t i = 0; jobs->kinds[i]; i++)
		if (!strcmp(jobs->kinds[i]->name, name))
			return jobs->kinds[i];
	return NULL;
}

static void work_free(struct work *work)
{
	json_decref(work->job.input);
	json_decref(work->job.notes);
	free(work);
}
DEFINE_CLEANUP(struct work *, work, work_free)

static struct work *work_new(struct jobs *jobs, const struct job_kind *kind, const char *subject)
{
	struct work *work = xcalloc(1, sizeof *work);

	work->job.jobs = jobs;
	work->job.kind = kind;
	snprintf(work->job.subject, sizeof work->job.subject, "%s", subject);
	work->record.job = &work->job;
	return work;
}

/* --- What steps see --------------------------------------------------------------------------- */

static struct work *work_of(const struct job *job)
{
	return (struct work *)job;
}

bool job_cancelled(const struct job *job)
{
	bool cancelled;

	pthread_mutex_lock(&job->jobs->lock);
	cancelled = work_of(job)->cancel;
	pthread_mutex_unlock(&job->jobs->lock);
	return cancelled;
}

static bool is_stopping(struct jobs *jobs)
{
	bool stopping;

	pthread_mutex_lock(&jobs->lock);
	stopping = jobs->stopping;
	pthread_mutex_unlock(&jobs->lock);
	return stopping;
}

bool job_stopping(const struct job *job)
{
	return is_stopping(job->jobs);
}

static void pause_work(struct work *work, int milliseconds, bool for_cancel)
{
	struct jobs *jobs = work->job.jobs;
	int64_t until_us = clock_monotonic_us() + (int64_t)milliseconds * 1000;
	const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stopping && !(for_cancel && work->cancel) &&
	       pthread_cond_timedwait(&jobs->change, &jobs->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&jobs->lock);
}

void job_pause(const struct job *job, int milliseconds)
{
	pause_work(work_of(job), milliseconds, work_of(job)->record.state == JOB_RUNNING);
}

int job_note(struct job *job)
{
	return record_update(job->jobs->state, &work_of(job)->record);
}

void job_progress(struct job *job, const char *text, uint64_t done, uint64_t total)
{
	struct work *work = work_of(job);

	pthread_mutex_lock(&job->jobs->lock);
	snprintf(work->progress_text, sizeof work->progress_text, "%s", text);
	work->progress_done = done;
	work->progress_total = total;
	pthread_mutex_unlock(&job->jobs->lock);
}

/* --- The walk --------------------------------------------------------------------------------- */

enum outcome { FORWARD_DONE, FORWARD_FAILED, LEFT };

/* Write it down, however long that takes; false when we are stopping before. */
static bool persist(struct work *work, bool end)
{
	struct jobs *jobs = work->job.jobs;
	bool told = false;
	int r;

	while ((r = end ? record_end(jobs->state, &work->record, jobs->userdata, &work->why)
			: record_update(jobs->state, &work->record)) < 0) {
		if (is_stopping(jobs))
			return false;
		if (!told)
			log_errno(r, "job %lld (%s %s) waits, as it cannot be recorded",
				  (long long)work->job.id, work->job.kind->name, work->job.subject);
		told = true;
		pause_work(work, RETRY_MS, false);
	}
	return true;
}

/* The thread's own, but that jobs_cancel() looks at it. */
static void set_state(struct work *work, enum job_state state)
{
	pthread_mutex_lock(&work->job.jobs->lock);
	work->record.state = state;
	pthread_mutex_unlock(&work->job.jobs->lock);
}

static bool begin_step(struct work *work, enum job_state state, const struct job_step *step)
{
	if (is_stopping(work->job.jobs))
		return false;
	set_state(work, state);
	work->record.step = step->name;
	work->record.error = work->why.text[0] ? work->why.text : NULL;
	if (!work->record.started_us)
		work->record.started_us = clock_realtime_us();
	return persist(work, false);
}

/* From step `*at` on; on failure, it is the last one to be taken back. */
static enum outcome go_forward(struct work *work, int *at)
{
	struct jobs *jobs = work->job.jobs;
	const struct job_step *steps = work->job.kind->steps;
	int r;

	for (; steps[*at].name; (*at)++) {
		if (job_cancelled(&work->job)) {
			problem(&work->why, -ECANCELED, "cancelled");
			(*at)--;
			return FORWARD_FAILED;
		}
		if (!begin_step(work, JOB_RUNNING, &steps[*at]))
			return LEFT;
		r = steps[*at].run(jobs->userdata, &work->job, &work->why);
		if (r == -EINTR && is_stopping(jobs))
			return LEFT;
		if (r < 0 && !work->why.text[0])
			problem_errno(&work->why, r, "%s", steps[*at].name);
		work->job.error = r;
		if (r < 0)
			return FORWARD_FAILED;
		work->why.text[0] = 0;
	}
	return FORWARD_DONE;
}

static void add_failure(struct problem *why, const struct problem *also, const char *step)
{
	size_t length = strlen(why->text);

	snprintf(why->text + length, sizeof why->text - length,
		 "; and what step '%s' did could not be taken back: %.300s", step, also->text);
}

/* From step `at` down; false when we are stopping.  What cannot be taken back is said, and does not
 * keep the rest. */
static bool go_back(struct work *work, int at)
{
	struct jobs *jobs = work->job.jobs;
	const struct job_step *steps = work->job.kind->steps;

	for (; at >= 0; at--) {
		struct problem also = {""};
		int r = 0;

		if (!begin_step(work, JOB_UNDOING, &steps[at]))
			return false;
		if (steps[at].undo)
			r = steps[at].undo(jobs->userdata, &work->job, &also);
		if (r == -EINTR && is_stopping(jobs))
			return false;
		if (r < 0 && !also.text[0])
			problem_errno(&also, r, "it failed");
		if (r < 0)
			add_failure(&work->why, &also, steps[at].name);
	}
	return true;
}

static bool finish(struct work *work, enum job_state state)
{
	set_state(work, state);
	work->record.error = state == JOB_DONE ? NULL : work->why.text;
	work->record.ended_us = clock_realtime_us();
	return persist(work, true);
}

/* False when it is left for the next start. */
static bool walk(struct work *work)
{
	const struct job_step *steps = work->job.kind->steps;
	enum outcome outcome = FORWARD_FAILED;
	int at = 0;

	while (work->record.step && steps[at].name &&
	       strcmp(steps[at].name, work->record.step) != 0)
		at++;
	if (work->record.state == JOB_RUNNING && !work->job.kind->resume)
		problem(&work->why, -ECANCELED, "interrupted: unspill serve ended meanwhile");
	else if (work->record.state != JOB_UNDOING)
		outcome = go_forward(work, &at);
	if (outcome == FORWARD_DONE)
		return finish(work, JOB_DONE);
	if (outcome == LEFT || !go_back(work, at))
		return false;
	return finish(work, job_cancelled(&work->job) ? JOB_CANCELLED : JOB_FAILED);
}

/* --- Threads ---------------------------------------------------------------------------------- */

static void unlink_work(struct jobs *jobs, struct work *work)
{
	struct work **place = &jobs->first;

	while (*place != work)
		place = &(*place)->next;
	*place = work->next;
	if (!work->next)
		jobs->last = place;
}

static struct work *take_next(struct jobs *jobs)
{
	for (struct work *work = jobs->first; work && !jobs->stopping; work = work->next) {
		if (!work->taken) {
			work->taken = true;
			return work;
		}
	}
	return NULL;
}

static void do_work(struct jobs *jobs, struct work *work)
{
	const struct job_kind *kind = work->job.kind;

	if (!walk(work))
		return;
	if (work->record.state != JOB_DONE)
		log_warning("job %lld (%s %s) %s: %s", (long long)work->job.id, kind->name,
			    work->job.subject, job_state_name(work->record.state), work->why.text);
	if (kind->ended)
		kind->ended(jobs->userdata, &work->job, work->record.state, &work->why);
	pthread_mutex_lock(&jobs->lock);
	unlink_work(jobs, work);
	pthread_mutex_unlock(&jobs->lock);
	work_free(work);
}

static void *work_thread(void *arg)
{
	struct runner *runner = arg;
	struct jobs *jobs = runner->jobs;
	struct work *work;

	pthread_mutex_lock(&jobs->lock);
	while ((work = take_next(jobs))) {
		pthread_mutex_unlock(&jobs->lock);
		do_work(jobs, work);
		pthread_mutex_lock(&jobs->lock);
	}
	runner->ended = true;
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* One that is not at work; NULL when all are.  Under the lock, which one that has ended needs no
 * more. */
static struct runner *free_runner(struct jobs *jobs)
{
	for (size_t i = 0; i < ARRAY_SIZE(jobs->runners); i++) {
		struct runner *runner = &jobs->runners[i];

		if (runner->begun && !runner->ended)
			continue;
		if (runner->begun)
			pthread_join(runner->thread, NULL);
		*runner = (struct runner){.jobs = jobs};
		return runner;
	}
	return NULL;
}

/* One more, where there is room; under the lock. */
static void start_thread(struct jobs *jobs)
{
	struct runner *runner;
	int r;

	if (!jobs->started || jobs->stopping)
		return;
	runner = free_runner(jobs);
	if (!runner)
		return;
	r = pthread_create(&runner->thread, NULL, work_thread, runner);
	runner->begun = r == 0;
	if (r)
		log_errno(-r, "cannot start a thread for a job: it waits for another's end");
}

static void append(struct jobs *jobs, struct work *work)
{
	*jobs->last = work;
	jobs->last = &work->next;
}

/* --- The whole -------------------------------------------------------------------------------- */

void jobs_new(struct state *state, const struct job_kind *const *kinds, void *userdata,
	      struct jobs **ret)
{
	struct jobs *jobs = xcalloc(1, sizeof *jobs);
	pthread_condattr_t attributes;

	jobs->state = state;
	jobs->kinds = kinds;
	jobs->userdata = userdata;
	jobs->last = &jobs->first;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs->change, &attributes);
	pthread_condattr_destroy(&attributes);
	*ret = jobs;
}

/* The name in the kind's own memory; NULL when it has no such step. */
static const char *find_step(const struct job_kind *kind, const char *name)
{
	for (const struct job_step *step = kind->steps; step->name; step++)
		if (!strcmp(step->name, name))
			return step->name;
	return NULL;
}

struct taking_up {
	struct jobs *jobs;
	struct problem *why;
};

static int take_up(const struct record *record, const char *kind_name, void *arg)
{
	struct taking_up *taking = arg;
	const struct job_kind *kind = find_kind(taking->jobs, kind_name);
	CLEANUP(work) struct work *work = work_new(taking->jobs, kind, record->job->subject);

	work->job.id = record->job->id;
	work->job.input = record->job->input;
	work->job.notes = record->job->notes;
	if (!kind || (record->step && !find_step(kind, record->step)))
		return problem(taking->why, -EPROTONOSUPPORT,
			       "job %lld (%.60s of '%s', step %.60s) was begun by another version "
			       "of unspill, and we cannot go on with it",
			       (long long)work->job.id, kind_name, work->job.subject,
			       record->step ? record->step : "none");
	work->cancel = record->cancel;
	work->record.state = record->state;
	work->record.step = record->step ? find_step(kind, record->step) : NULL;
	work->record.created_us = record->created_us;
	work->record.started_us = record->started_us;
	if (record->error)
		snprintf(work->why.text, sizeof work->why.text, "%s", record->error);
	append(taking->jobs, take(work));
	return 0;
}

int jobs_start(struct jobs *jobs, struct problem *why)
{
	struct taking_up taking = {jobs, why};
	int r = record_for_unfinished(jobs->state, take_up, &taking);

	if (r == -EPROTONOSUPPORT)
		return r;
	if (r < 0)
		return problem_errno(why, r, "the jobs that were left cannot be read");
	pthread_mutex_lock(&jobs->lock);
	jobs->started = true;
	for (struct work *work = jobs->first; work; work = work->next)
		start_thread(jobs);
	pthread_mutex_unlock(&jobs->lock);
	return 0;
}

void jobs_stop(struct jobs *jobs)
{
	struct work *next;

	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	pthread_cond_broadcast(&jobs->change);
	pthread_mutex_unlock(&jobs->lock);
	/* None begins any more. */
	for (size_t i = 0; i < ARRAY_SIZE(jobs->runners); i++)
		if (jobs->runners[i].begun)
			pthread_join(jobs->runners[i].thread, NULL);
	for (struct work *work = jobs->first; work; work = next) {
		next = work->next;
		work_free(work);
	}
	pthread_cond_destroy(&jobs->change);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}

int jobs_add(struct jobs *jobs, const struct job_new *new, int64_t *ret_id, struct problem *why)
{
	const struct job_kind *kind = find_kind(jobs, new->kind);
	CLEANUP(work) struct work *work = work_new(jobs, kind, new->subject);
	int r;

	assert(kind && json_is_object(new->input));
	if (is_stopping(jobs))
		return problem(why, -ECANCELED, "unspill serve is ending");
	work->job.input = json_deep_copy(new->input);
	work->job.notes = json_object();
	work->record.created_us = clock_realtime_us();
	r = record_add(jobs->state, &work->record, new);
	if (r == -EBUSY)
		return problem(why, r, "another job is at work for '%s'", new->subject);
	if (r < 0)
		return problem_errno(why, r, "the job cannot be recorded");
	if (ret_id)
		*ret_id = work->job.id;
	pthread_mutex_lock(&jobs->lock);
	append(jobs, take(work));
	start_thread(jobs);
	pthread_mutex_unlock(&jobs->lock);
	return 0;
}

/* --- Cancelling and looking ------------------------------------------------------------------- */

static struct work *find_work(struct jobs *jobs, int64_t id)
{
	for (struct work *work = jobs->first; work; work = work->next)
		if (work->job.id == id)
			return work;
	return NULL;
}

/* Under the lock. */
static int mark_cancelled(struct jobs *jobs, int64_t id, struct problem *why)
{
	struct work *work = find_work(jobs, id);

	if (!work)
		return problem(why, -ENOENT, "no job %lld is waiting or running", (long long)id);
	if (!work->job.kind->cancellable)
		return problem(why, -EPERM, "a job that is to %s something cannot be cancelled",
			       work->job.kind->name);
	if (work->record.state >= JOB_UNDOING)
		return problem(why, -EALREADY, "job %lld is over, or being taken back",
			       (long long)id);
	work->cancel = true;
	pthread_cond_broadcast(&jobs->change);
	return 0;
}

int jobs_cancel(struct jobs *jobs, int64_t id, struct problem *why)
{
	int r;

	pthread_mutex_lock(&jobs->lock);
	r = mark_cancelled(jobs, id, why);
	pthread_mutex_unlock(&jobs->lock);
	if (r < 0)
		return r;
	r = record_cancel(jobs->state, id);
	return r < 0 ? problem_errno(why, r, "that it is cancelled cannot be recorded") : 0;
}

static void hide_secret(const struct jobs *jobs, json_t *job)
{
	const struct job_kind *kind =
		find_kind(jobs, json_string_value(json_object_get(job, "kind")));

	if (!kind)
		json_object_del(job, "input"); /* nobody knows what is in it */
	else if (kind->secret)
		json_object_del(json_object_get(job, "input"), kind->secret);
}

static void add_progress(struct jobs *jobs, json_t *job)
{
	struct work *work;

	pthread_mutex_lock(&jobs->lock);
	work = find_work(jobs, json_integer_value(json_object_get(job, "id")));
	if (work && work->progress_text[0])
		json_object_set_new(job, "progress",
				    json_pack("{s:s, s:I, s:I}", "text", work->progress_text,
					      "done", (json_int_t)work->progress_done, "total",
					      (json_int_t)work->progress_total));
	pthread_mutex_unlock(&jobs->lock);
}

int jobs_list(struct jobs *jobs, const char *subject, unsigned limit, json_t **ret)
{
	json_t *list = NULL, *job;
	size_t i;
	int r;

	r = record_list(jobs->state, subject, limit, &list);
	if (r < 0)
		return r;
	json_array_foreach (list, i, job) {
		hide_secret(jobs, job);
		add_progress(jobs, job);
	}
	*ret = list;
	return 0;
}
