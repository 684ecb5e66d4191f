/*
 * ModifyDBCluster.  What is only told again changes at once; what its keeper or its server has to
 * do is a job.
 *
 *	window     the keeper's target window
 *	password   the master user's
 */
#include "rds/internal.h"

#include "rds/engines.h"
#include "rds/master.h"
#include "rds/wanted.h"

#include <errno.h>
#include <string.h>

/* --- The job ---------------------------------------------------------------------------------- */

static int set_window(struct job *job, int64_t window_us, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	int r = cluster_find(job->subject, &cluster, why);

	if (r < 0)
		return r;
	return keepers_ask(
		cluster,
		json_pack("{s:s, s:I}", "do", "modify", "window_us", (json_int_t)window_us), 0, job,
		NULL, why);
}

static int run_window(void *userdata, struct job *job, struct problem *why)
{
	const json_t *window = json_object_get(job->input, "window_us");

	return window ? set_window(job, json_integer_value(window), why) : 0;
}

static int undo_window(void *userdata, struct job *job, struct problem *why)
{
	const json_t *window = json_object_get(job->input, "window_us");
	const json_t *before = json_object_get(job->input, "window_before_us");

	return window ? set_window(job, json_integer_value(before), why) : 0;
}

static int run_password(void *userdata, struct job *job, struct problem *why)
{
	const char *verifier = json_string_value(json_object_get(job->input, "verifier"));
	const char *master = json_string_value(json_object_get(job->input, "master"));
	CLEANUP(cluster) struct cluster *cluster = NULL;
	int r;

	if (!verifier)
		return 0;
	r = cluster_find(job->subject, &cluster, why);
	return r < 0 ? r : master_make(cluster, master, verifier, why);
}

static int end(void *userdata, struct job *job, enum job_state state, const struct problem *why,
	       sqlite3 *db)
{
	const json_t *window = json_object_get(job->input, "window_us");
	CLEANUP(record) struct record record = {0};
	struct event event = {&record, "configuration change", "DB cluster modified."};
	char message[512];
	int r = record_get(db, job->subject, &record);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (state != JOB_DONE) {
		snprintf(message, sizeof message, "DB cluster could not be modified: %.400s",
			 why->text);
		event = (struct event){&record, "failure", message};
	} else if (window) {
		json_object_set_new(record.settings, "BacktrackWindow",
				    json_integer(json_integer_value(window) / 1000000));
		r = record_put(db, &record);
	}
	return r < 0 ? r : event_put(db, &event);
}

static const struct job_step steps[] = {
	{"window", run_window, undo_window}, {"password", run_password}, {NULL}};

const struct job_kind modify_kind = {.name = "modify",
				     .steps = steps,
				     .resume = true,
				     .cancellable = true,
				     .secret = "verifier",
				     .end = end,
				     .ended = rds_job_ended};

/* --- The operation ---------------------------------------------------------------------------- */

struct change {
	const char *name;
	json_t *settings; /* that are told again, and change at once */
};

static int change_row(sqlite3 *db, void *arg)
{
	CLEANUP(record) struct record record = {0};
	const struct change *change = arg;
	int r = record_get(db, change->name, &record);

	if (r < 0)
		return r;
	json_object_update(record.settings, change->settings);
	return record_put(db, &record);
}

static int change_with_job(sqlite3 *db, int64_t id, void *arg)
{
	return change_row(db, arg);
}

/* Its engine cannot be changed, nor can what only matters at the beginning. */
static int check_call(struct aws_call *call, const struct seen *seen)
{
	const json_t *port = json_object_get(call->input, "Port");
	const char *version = rds_text(call, "EngineVersion");
	const char *password = rds_text(call, "MasterUserPassword");
	const char *wrong = password ? master_check_password(password) : NULL;
	int r = wanted_check(call);

	if (r < 0)
		return r;
	if (wrong)
		return aws_fault(call, "InvalidParameterValue", "%s", wrong);
	if (password && !json_object_get(seen->record.settings, "MasterUsername"))
		return aws_fault(call, "InvalidParameterCombination",
				 "MasterUserPassword: DB cluster %s was not made with a master "
				 "user.",
				 seen->record.name);
	if (port && json_integer_value(port) != seen->port)
		return aws_fault(call, "InvalidParameterCombination",
				 "Port cannot be changed: DB cluster %s listens on %d.",
				 seen->record.name, seen->port);
	if (version && strncmp(seen->version, version, strlen(version)) != 0)
		return aws_fault(call, "InvalidParameterCombination",
				 "Cannot find version %.60s; DB cluster %s runs %s.", version,
				 seen->record.name, seen->version);
	return 0;
}

/* What the job has to do; an empty object: nothing.  The caller owns *ret. */
static int job_input(const struct aws_call *call, const struct seen *seen, json_t **ret)
{
	const json_t *window = json_object_get(call->input, "BacktrackWindow");
	const char *password = rds_text(call, "MasterUserPassword");
	const struct engine *engine = engine_find(seen->engine, &(const char *){NULL});
	char verifier[MASTER_VERIFIER_SIZE];
	json_t *input = json_object();
	int r = 0;

	if (window && json_integer_value(window) * 1000000 != seen_window_us(seen)) {
		json_object_set_new(input, "window_us",
				    json_integer(json_integer_value(window) * 1000000));
		json_object_set_new(input, "window_before_us", json_integer(seen_window_us(seen)));
	}
	if (password && engine)
		r = master_verifier(engine, password, verifier, NULL);
	if (password && engine && r == 0) {
		json_object_set_new(input, "verifier", json_string(verifier));
		json_object_set(input, "master",
				json_object_get(seen->record.settings, "MasterUsername"));
	}
	*ret = input;
	return r;
}

static int begin(struct rds *rds, struct aws_call *call, struct seen *seen, const json_t *input,
		 struct change *change)
{
	const struct rds_work work = {.kind = "modify",
				      .doing = "modifying",
				      .must_be = "available",
				      .input = input,
				      .also = change_with_job,
				      .arg = change};
	int r;

	if (json_object_size(input))
		return rds_begin(rds, call, seen, &work);
	r = state_write(rds->state, change_row, change);
	if (r == 0)
		event_tell(rds->state, &seen->record, "configuration change",
			   "DB cluster modified.");
	return r == 0 ? fleet_reload(rds->fleet, seen->record.name) : r;
}

int modify_cluster(void *userdata, struct aws_call *call, json_t **ret)
{
	CLEANUP(seen) struct seen seen = {0};
	struct rds *rds = userdata;
	struct change change;
	json_t *input = NULL;
	int r;

	r = rds_find_now(rds, call, &seen);
	if (r == 0)
		r = check_call(call, &seen);
	if (r < 0)
		return r;
	change = (struct change){seen.record.name, wanted_settings(call)};
	json_object_del(change.settings, "BacktrackWindow"); /* once it is so */
	r = job_input(call, &seen, &input);
	if (r == 0)
		r = begin(rds, call, &seen, input, &change);
	if (r == 0) {
		json_t *settings = json_copy(seen.record.settings); /* others look at it */

		json_object_update(settings, change.settings);
		json_decref(seen.record.settings);
		seen.record.settings = settings;
		*ret = rds_show(&seen, json_object_size(input) ? "modifying" : seen.doing);
	}
	json_decref(change.settings);
	json_decref(input);
	return r;
}
