/*
 * Commands: what `unspill` has serve do as a job, and waits for.
 *
 * The job is of the same kind as a call's.  Who asked may go away: what can be cancelled then is,
 * as it would be without serve.
 */
#include "rds/internal.h"

#include "base/alloc.h"
#include "control/request.h"

#include <errno.h>
#include <string.h>

#define LOOK_MS 50 /* whether who asked is still there */

/* --- create, clone ---------------------------------------------------------------------------- */

static bool is_texts(const json_t *value)
{
	json_t *one;
	size_t i;

	if (value && !json_is_array(value))
		return false;
	json_array_foreach (value, i, one)
		if (!json_is_string(one))
			return false;
	return true;
}

static bool is_absolute(const char *path)
{
	return !path || (path[0] == '/' && strlen(path) < PATH_MAX);
}

static int check_create(const json_t *input, struct problem *why)
{
	const char *engine = NULL, *directory = NULL, *bind = NULL, *from = NULL, *name = NULL;
	enum transport transport;
	json_t *options = NULL;
	json_int_t window_us;
	json_error_t error;
	int port;

	if (json_unpack_ex((json_t *)input, &error, 0, "{s:s, s:I, s:i, s?s, s?s, s?s, s?s, s?o !}",
			   "engine", &engine, "window_us", &window_us, "port", &port, "directory",
			   &directory, "bind", &bind, "from", &from, "transport", &name,
			   "server_options", &options) < 0)
		return problem(why, -EINVAL, "\"input\": %s", error.text);
	if (window_us < 0 || window_us > REQUEST_WINDOW_MAX_US || !is_texts(options) ||
	    (name && !transport_parse(name, &transport)) || !is_absolute(directory) ||
	    !is_absolute(from))
		return problem(why, -EINVAL, "\"input\" is not that of a cluster to be made");
	return 0;
}

static int check_clone(const json_t *input, struct problem *why)
{
	const char *of = NULL, *directory = NULL;
	json_t *at = NULL;
	json_error_t error;
	int port, thin, start;

	if (json_unpack_ex((json_t *)input, &error, 0, "{s:s, s:o, s:i, s:b, s:b, s?s !}", "of",
			   &of, "at", &at, "port", &port, "thin", &thin, "start", &start,
			   "directory", &directory) < 0)
		return problem(why, -EINVAL, "\"input\": %s", error.text);
	if (!json_is_object(at) || !is_absolute(directory))
		return problem(why, -EINVAL, "\"input\" is not that of a clone");
	return cluster_check_name(of, why);
}

static int put_new(sqlite3 *db, int64_t id, void *arg)
{
	return record_put(db, arg);
}

/* It is the machine's own, as those are that are made without serve. */
static void fill_record(const struct rds *rds, const char *name, struct record *ret)
{
	*ret = rds->like;
	snprintf(ret->name, sizeof ret->name, "%s", name);
	record_new_resource_id(ret->resource_id);
	ret->settings = json_object();
	ret->tags = json_array();
}

static int begin_new(struct rds *rds, const struct rds_command *command, int64_t *ret_id,
		     struct problem *why)
{
	CLEANUP(record) struct record record = {0};
	const struct job_new new = {command->kind, command->name, command->input, put_new, &record};
	char now[DOING_SIZE];
	int r;

	r = rds_is_taken(command->name)
		    ? -EEXIST
		    : fleet_begin(rds->fleet, command->name, "creating", true, now);
	if (r < 0)
		return problem(why, r, "a cluster '%s' exists already", command->name);
	fill_record(rds, command->name, &record);
	r = jobs_add(rds->jobs, &new, ret_id, why);
	if (r < 0)
		fleet_end(rds->fleet, command->name);
	else
		r = fleet_reload(rds->fleet, command->name);
	return r;
}

/* --- delete ----------------------------------------------------------------------------------- */

/* One that was made without us a moment ago is not known yet. */
static int get_known(struct rds *rds, const char *name, struct seen *ret, struct problem *why)
{
	int r = fleet_get(rds->fleet, name, ret);

	if (r == -ENOENT) {
		r = watch_scan(rds->state, rds->fleet, &rds->like);
		if (r == 0)
			r = fleet_get(rds->fleet, name, ret);
	}
	if (r < 0 || strcmp(ret->record.name, name) != 0)
		return problem(why, -ENOENT, "there is no cluster '%s'", name);
	return 0;
}

static int begin_delete(struct rds *rds, const struct rds_command *command, int64_t *ret_id,
			struct problem *why)
{
	const struct job_new new = {command->kind, command->name, command->input};
	CLEANUP(seen) struct seen seen = {0};
	char now[DOING_SIZE] = "";
	int r;

	r = get_known(rds, command->name, &seen, why);
	if (r < 0)
		return r;
	if (json_is_true(json_object_get(seen.record.settings, "DeletionProtection")))
		return problem(why, -EPERM,
			       "it is protected against deletion; 'aws rds modify-db-cluster "
			       "--db-cluster-identifier %s --no-deletion-protection' ends that",
			       command->name);
	r = fleet_begin(rds->fleet, command->name, "deleting", false, now);
	if (r == -EBUSY)
		return problem(why, r, "it is %s: wait until that is done, or see 'unspill jobs'",
			       now);
	if (r < 0)
		return problem(why, r, "there is no cluster '%s'", command->name);
	r = jobs_add(rds->jobs, &new, ret_id, why);
	if (r < 0)
		fleet_end(rds->fleet, command->name);
	return r;
}

static int check_nothing(const json_t *input, struct problem *why)
{
	return json_object_size(input) ? problem(why, -EINVAL, "\"input\" is not empty") : 0;
}

/* --- All of them ------------------------------------------------------------------------------ */

static const struct {
	const char *kind;
	int (*check)(const json_t *input, struct problem *why);
	int (*begin)(struct rds *rds, const struct rds_command *command, int64_t *ret_id,
		     struct problem *why);
} commands[] = {
	{"create", check_create, begin_new},
	{"clone", check_clone, begin_new},
	{"delete", check_nothing, begin_delete},
};

static int check_and_begin(struct rds *rds, const struct rds_command *command, int64_t *ret_id,
			   struct problem *why)
{
	int r = cluster_check_name(command->name, why);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].kind, command->kind) != 0)
			continue;
		r = commands[i].check(command->input, why);
		return r < 0 ? r : commands[i].begin(rds, command, ret_id, why);
	}
	return r < 0 ? r
		     : problem(why, -EINVAL, "there is no job of the kind \"%s\"", command->kind);
}

/* 0 once it has ended; -EINTR when nobody waits for that any more. */
static int wait_for_end(struct rds *rds, const struct rds_command *command, int64_t id,
			struct follower *follower)
{
	bool cancelled = false;

	while (!follow_wait(&rds->followers, follower, LOOK_MS)) {
		enum rds_wish wish = command->wish(command->arg);

		if (wish == RDS_LEAVE)
			return -EINTR;
		/* One that cannot be cancelled goes on, and it is too late for one that is over. */
		if (wish == RDS_CANCEL && !cancelled && jobs_cancel(rds->jobs, id, NULL) == -EPERM)
			return -EINTR;
		cancelled |= wish == RDS_CANCEL;
	}
	return 0;
}

int rds_command(struct rds *rds, const struct rds_command *command, json_t **ret,
		struct problem *why)
{
	struct follower follower = {
		.subject = command->name, .progress = command->progress, .arg = command->arg};
	json_t *result;
	int64_t id;
	int r;

	follow_begin(&rds->followers, &follower);
	r = check_and_begin(rds, command, &id, why);
	if (r == 0 && wait_for_end(rds, command, id, &follower) < 0)
		r = problem(why, -EINTR,
			    "unspill serve is ending; it goes on with job %lld when it runs "
			    "again: see 'unspill jobs'",
			    (long long)id);
	else if (r == 0)
		r = follower.error;
	if (r < 0 && follower.ended)
		*why = follower.why;
	result = r == 0 ? json_object_get(follower.notes, "result") : NULL;
	if (r == 0)
		*ret = result ? json_incref(result) : json_object();
	follow_end(&rds->followers, &follower);
	return r;
}
