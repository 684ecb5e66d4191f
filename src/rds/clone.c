/*
 * The job that makes a cluster out of another, at any moment of it, for `unspill clone`.
 *
 *	make     the directory, and the volume in it, by the other's keeper
 *	settle   where it is to begin with, and its server
 */
#include "rds/internal.h"

#include "keeper/attend.h"
#include "keeper/cluster.h"
#include "rds/life.h"

#include <errno.h>

static const char *text(const struct job *job, const char *name)
{
	return json_string_value(json_object_get(job->input, name));
}

static bool is_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static int save(struct job *job, const char *name, json_t *value, struct problem *why)
{
	int r;

	json_object_set_new(job->notes, name, value);
	r = job_note(job);
	return r < 0 ? problem_errno(why, r, "it cannot be recorded") : 0;
}

/* --- make ------------------------------------------------------------------------------------- */

/* By the parent's keeper; where it is stopped, by one for this alone. */
static int ask_parent(struct rds *rds, struct job *job, const struct cluster *parent,
		      const struct cluster *clone, struct problem *why)
{
	struct attendance attendance = {0};
	json_t *made = NULL;
	int r;

	r = attend(&attendance, parent, why);
	if (r == 0)
		r = keepers_ask_for(rds, job, parent,
				    json_pack("{s:s, s:s, s:s, s:O}", "do", "clone", "to",
					      clone->directory, "name", clone->name, "at",
					      json_object_get(job->input, "at")),
				    &made, why);
	attend_end(&attendance);
	if (r == 0)
		json_object_set_new(job->notes, "result", made);
	return r;
}

static int make(struct rds *rds, struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *parent = NULL;
	CLEANUP(cluster) struct cluster *clone = NULL;
	struct cluster_options options = {
		.name = job->subject,
		.directory = text(job, "directory"),
		.port = (int)json_integer_value(json_object_get(job->input, "port")),
		.thin = is_true(job->input, "thin"),
	};
	int r;

	r = cluster_find(text(job, "of"), &parent, why);
	if (r < 0)
		return r;
	options.clone_of = parent;
	r = cluster_make(&options, &clone, why);
	if (r < 0)
		return r;
	json_object_set_new(job->notes, "created_us", json_integer(clone->created_us));
	r = ask_parent(rds, job, parent, clone, why);
	if (r == 0)
		r = cluster_inherit(clone, parent, why);
	return r < 0 ? r : save(job, "made", json_true(), why);
}

static int run_make(void *userdata, struct job *job, struct problem *why)
{
	int r;

	if (is_true(job->notes, "made"))
		return 0;
	if (is_true(job->notes, "begun"))
		/* What there is of it is of no use. */
		r = life_remove(job->subject, why);
	else if (rds_is_taken(job->subject))
		r = problem(why, -EEXIST, "a cluster '%s' exists already", job->subject);
	else
		r = save(job, "begun", json_true(), why);
	return r < 0 ? r : make(userdata, job, why);
}

/* --- settle ----------------------------------------------------------------------------------- */

/* Once: it has no server yet, so nobody can have written to it since. */
static int go_to_moment(struct rds *rds, struct job *job, const struct cluster *clone,
			struct problem *why)
{
	const json_t *moment = json_object_get(json_object_get(job->notes, "result"), "moment");
	json_int_t lsn = json_integer_value(json_object_get(moment, "lsn"));
	struct attendance attendance = {0};
	int r;

	r = is_true(job->input, "start") ? life_spawn(job, why) : attend(&attendance, clone, why);
	if (r == 0)
		r = keepers_ask_for(
			rds, job, clone,
			json_pack("{s:s, s:{s:I}}", "do", "backtrack", "to", "lsn", lsn), NULL,
			why);
	attend_end(&attendance);
	return r < 0 ? r : save(job, "moved", json_true(), why);
}

static int start(struct rds *rds, struct job *job, const struct cluster *clone, struct problem *why)
{
	int r;

	do {
		r = life_spawn(job, why);
		if (r == 0)
			r = keepers_ask_for(rds, job, clone, json_pack("{s:s}", "do", "start"),
					    NULL, why);
	} while (r == -EBUSY && (r = life_wait(job, why)) == 0);
	return r;
}

static int run_settle(void *userdata, struct job *job, struct problem *why)
{
	bool now = is_true(json_object_get(job->input, "at"), "now");
	CLEANUP(cluster) struct cluster *clone = NULL;
	int r;

	r = cluster_find(job->subject, &clone, why);
	if (r == 0 && !now && !is_true(job->notes, "moved"))
		r = go_to_moment(userdata, job, clone, why);
	if (r == 0 && is_true(job->input, "start"))
		r = start(userdata, job, clone, why);
	return r;
}

static const struct job_step steps[] = {
	{"make", run_make, rds_undo_make},
	{"settle", run_settle},
	{NULL},
};

const struct job_kind clone_kind = {.name = "clone",
				    .steps = steps,
				    .resume = true,
				    .cancellable = true,
				    .end = rds_end_make,
				    .ended = rds_job_ended};
