/* Start, stop and delete: operations and jobs. */
#include "rds/life.h"

#include "rds/internal.h"

#include "base/alloc.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS 200
#define DISMISS_TIMEOUT_MS 20000

/* --- Steps ------------------------------------------------------------------------------------ */

int life_wait(struct job *job, struct problem *why)
{
	job_pause(job, RETRY_MS);
	if (job_stopping(job))
		return -EINTR;
	return job_cancelled(job) ? problem(why, -ECANCELED, "cancelled") : 0;
}

/* A keeper that a command has started for itself: it is in the way of one that stays. */
static int replace_serverless(const struct cluster *cluster, const json_t *status,
			      struct problem *why)
{
	json_int_t views = json_integer_value(json_object_get(status, "views"));

	if (views)
		return problem(why, -EPERM,
			       "the stopped cluster has %lld views open, which would end",
			       (long long)views);
	return keeper_dismiss(cluster, DISMISS_TIMEOUT_MS, why);
}

int life_spawn(struct job *job, struct problem *why)
{
	static const struct keeper_options options = {.guardian = true};
	CLEANUP(cluster) struct cluster *cluster = NULL;
	json_t *status = NULL;
	char state[32];
	int r;

	r = cluster_find(job->subject, &cluster, why);
	if (r == 0)
		r = keepers_state(cluster, state, &status, why);
	if (r < 0)
		return r;
	if (json_is_true(json_object_get(status, "serverless")))
		r = replace_serverless(cluster, status, why);
	json_decref(status);
	if (r == 0)
		r = keeper_spawn(cluster, &options, why);
	return r == -EALREADY ? 0 : r;
}

static int ask_start(struct job *job, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	int r;

	r = life_spawn(job, why);
	if (r == 0)
		r = cluster_find(job->subject, &cluster, why);
	if (r < 0)
		return r;
	r = keepers_ask(cluster, json_pack("{s:s}", "do", "start"), 0, job, NULL, why);
	/* It has gone again: the next attempt brings up another. */
	return keepers_is_none(r) ? -EBUSY : r;
}

int life_bring_up(struct job *job, struct problem *why)
{
	int r;

	while ((r = ask_start(job, why)) == -EBUSY)
		if ((r = life_wait(job, why)) < 0)
			break;
	return r;
}

/* Where there is no keeper nothing runs; see to it that nothing starts it either. */
static int stay_stopped(struct cluster *cluster, struct problem *why)
{
	if (!cluster->desired_running)
		return 0;
	cluster->desired_running = false;
	return cluster_save(cluster, why);
}

static int bring_down(struct job *job, struct problem *why)
{
	int r;

	do {
		CLEANUP(cluster) struct cluster *cluster = NULL;

		r = cluster_find(job->subject, &cluster, why);
		if (r < 0)
			return r;
		r = keepers_ask(cluster, json_pack("{s:s}", "do", "stop"), 0, job, NULL, why);
		if (keepers_is_none(r))
			return stay_stopped(cluster, why);
	} while ((r == -EBUSY || r == -ECONNRESET) && (r = life_wait(job, why)) == 0);
	return r;
}

int life_remove(const char *name, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	char entry[PATH_MAX];
	int r;

	if (cluster_find(name, &cluster, NULL) == 0)
		return keeper_remove(cluster, why);
	/* What has no cluster.json, or no more: it is removed last. */
	cluster = xcalloc(1, sizeof *cluster);
	r = cluster_entry(name, false, entry, why);
	if (r < 0)
		return r;
	if (!realpath(entry, cluster->directory))
		return errno == ENOENT ? 0
				       : problem_errno(why, -errno, "cannot look at '%s'", entry);
	snprintf(cluster->name, sizeof cluster->name, "%s", name);
	return keeper_remove(cluster, why);
}

/* --- Jobs ------------------------------------------------------------------------------------- */

static int end_with(sqlite3 *db, const struct job *job, const char *category, const char *format,
		    const char *detail)
{
	CLEANUP(record) struct record record = {0};
	char message[512];
	const struct event event = {&record, category, message};
	int r = record_get(db, job->subject, &record);

	snprintf(message, sizeof message, "%s%.400s", format, detail);
	return r == 0 ? event_put(db, &event) : r == -ENOENT ? 0 : r;
}

static int run_start(void *userdata, struct job *job, struct problem *why)
{
	return life_bring_up(job, why);
}

static int end_start(void *userdata, struct job *job, enum job_state state,
		     const struct problem *why, sqlite3 *db)
{
	return state == JOB_DONE ? end_with(db, job, "notification", "DB cluster started.", "")
				 : end_with(db, job, "failure",
					    "DB cluster could not be started: ", why->text);
}

static int run_stop(void *userdata, struct job *job, struct problem *why)
{
	return bring_down(job, why);
}

static int end_stop(void *userdata, struct job *job, enum job_state state,
		    const struct problem *why, sqlite3 *db)
{
	return state == JOB_DONE
		       ? end_with(db, job, "notification", "DB cluster stopped.", "")
		       : end_with(db, job, "failure", "DB cluster stop failed: ", why->text);
}

static int run_delete(void *userdata, struct job *job, struct problem *why)
{
	struct rds *rds = userdata;

	follow_tell(&rds->followers, job, "removing the files", 0, 0, "");
	return life_remove(job->subject, why);
}

static int end_delete(void *userdata, struct job *job, enum job_state state,
		      const struct problem *why, sqlite3 *db)
{
	int r;

	if (state != JOB_DONE)
		return end_with(db, job, "failure", "DB cluster could not be deleted: ", why->text);
	r = end_with(db, job, "deletion", "DB cluster deleted.", "");
	return r < 0 ? r : record_drop(db, job->subject);
}

static const struct job_step start_steps[] = {{"start", run_start}, {NULL}};
static const struct job_step stop_steps[] = {{"stop", run_stop}, {NULL}};
static const struct job_step delete_steps[] = {{"remove", run_delete}, {NULL}};

#define KIND(kind, can_be_cancelled)             \
	const struct job_kind kind##_kind = {    \
		.name = #kind,                   \
		.steps = kind##_steps,           \
		.resume = true,                  \
		.cancellable = can_be_cancelled, \
		.end = end_##kind,               \
		.ended = rds_job_ended,          \
	}
KIND(start, true);
KIND(stop, true);
KIND(delete, false); /* half of a cluster is of no use to anybody */

/* --- Operations ------------------------------------------------------------------------------- */

static int begin(void *userdata, struct aws_call *call, const struct rds_work *work, json_t **ret)
{
	CLEANUP(seen) struct seen seen = {0};
	struct rds *rds = userdata;
	int r = rds_find_now(rds, call, &seen);

	if (r == 0)
		r = rds_begin(rds, call, &seen, work);
	if (r == 0)
		*ret = rds_show(&seen, work->doing);
	return r;
}

static int begin_plain(void *userdata, struct aws_call *call, const char *kind, const char *doing,
		       const char *must_be, json_t **ret)
{
	json_t *input = json_object();
	const struct rds_work work = {
		.kind = kind, .doing = doing, .must_be = must_be, .input = input};
	int r = begin(userdata, call, &work, ret);

	json_decref(input);
	return r;
}

int start_cluster(void *userdata, struct aws_call *call, json_t **ret)
{
	return begin_plain(userdata, call, "start", "starting", "stopped", ret);
}

int stop_cluster(void *userdata, struct aws_call *call, json_t **ret)
{
	return begin_plain(userdata, call, "stop", "stopping", "available", ret);
}

static int check_deletable(struct rds *rds, struct aws_call *call, const struct seen *seen)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	struct problem why = {""};

	if (json_is_true(json_object_get(seen->record.settings, "DeletionProtection")))
		return aws_fault(call, "InvalidParameterCombination",
				 "Cannot delete protected Cluster, please disable deletion "
				 "protection and try again.");
	if (!json_is_true(json_object_get(call->input, "SkipFinalSnapshot")))
		return rds_text(call, "FinalDBSnapshotIdentifier")
			       ? aws_fault(call, "InvalidParameterCombination",
					   "Final snapshots are not there yet: say "
					   "SkipFinalSnapshot, and export the data before if it "
					   "is needed.")
			       : aws_fault(call, "InvalidParameterCombination",
					   "FinalDBSnapshotIdentifier is required unless "
					   "SkipFinalSnapshot is specified.");
	if (json_is_false(json_object_get(call->input, "DeleteAutomatedBackups")))
		return aws_fault(
			call, "InvalidParameterCombination",
			"DeleteAutomatedBackups=false cannot be honoured: a cluster's past "
			"goes with it.");
	if (cluster_find(seen->record.name, &cluster, NULL) == 0 &&
	    keeper_check_removable(cluster, &why) < 0)
		return aws_fault(call, "InvalidDBClusterStateFault",
				 "DB cluster %s cannot be deleted: %s", seen->record.name,
				 why.text);
	return 0;
}

int delete_cluster(void *userdata, struct aws_call *call, json_t **ret)
{
	CLEANUP(seen) struct seen seen = {0};
	struct rds *rds = userdata;
	int r = rds_find(rds, call, rds_text(call, "DBClusterIdentifier"), &seen);

	if (r == 0 && !seen.doing[0])
		r = check_deletable(rds, call, &seen);
	return r < 0 ? r : begin_plain(userdata, call, "delete", "deleting", NULL, ret);
}
