#include "rds/internal.h"

#include "aws/filters.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static const struct job_kind *const kinds[] = {&create_kind,    &clone_kind, &modify_kind,
					       &backtrack_kind, &start_kind, &stop_kind,
					       &delete_kind,    NULL};

static const struct aws_filter cluster_filters[] = {
	{"clone-group-id"}, /* no cluster here has one, nor a domain */
	{"db-cluster-id", {"DBClusterIdentifier", "DBClusterArn"}},
	{"db-cluster-resource-id", {"DbClusterResourceId"}},
	{"domain"},
	{"engine", {"Engine"}},
	{NULL},
};

static const struct aws_filter backtrack_filters[] = {
	{"db-cluster-backtrack-id", {"BacktrackIdentifier"}},
	{"db-cluster-backtrack-status", {"Status"}},
	{NULL},
};

/* Of what there is none. */
static const struct aws_filter global_filters[] = {
	{"db-cluster-id", {NULL}},
	{"region", {NULL}},
	{NULL},
};
static const struct aws_filter no_filters[] = {{NULL}};

const struct aws_handler rds_handlers[] = {
	{"AddTagsToResource", add_tags, tags_touch},
	{"BacktrackDBCluster", backtrack_cluster, rds_touch_cluster},
	{"CreateDBCluster", create_cluster, create_touch},
	{"DeleteDBCluster", delete_cluster, rds_touch_cluster},
	{"DescribeDBClusterBacktracks", describe_backtracks, rds_touch_cluster, .mark = ".mark",
	 .filters = backtrack_filters},
	{"DescribeDBClusters", describe_clusters, rds_touch_cluster, .quick = true,
	 .mark = "DBClusterIdentifier", .filters = cluster_filters},
	{"DescribeEvents", events_describe, .mark = ".mark", .filters = no_filters},
	{"DescribeGlobalClusters", describe_global_clusters, .filters = global_filters},
	{"ListTagsForResource", list_tags, tags_touch},
	{"ModifyDBCluster", modify_cluster, rds_touch_cluster},
	{"RemoveTagsFromResource", remove_tags, tags_touch},
	{"StartDBCluster", start_cluster, rds_touch_cluster},
	{"StopDBCluster", stop_cluster, rds_touch_cluster},
	{NULL},
};

/* --- Jobs ------------------------------------------------------------------------------------- */

/* What the API says of a cluster that such a job works for. */
static const char *doing_of(const char *kind)
{
	static const struct {
		const char *kind, *doing;
	} words[] = {
		{"create", "creating"},        {"clone", "creating"}, {"modify", "modifying"},
		{"backtrack", "backtracking"}, {"start", "starting"}, {"stop", "stopping"},
		{"delete", "deleting"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].kind, kind))
			return words[i].doing;
	return "modifying";
}

void rds_job_ended(void *userdata, struct job *job, enum job_state state, const struct problem *why)
{
	struct rds *rds = userdata;
	int r = fleet_reload(rds->fleet, job->subject);

	follow_tell_end(&rds->followers, job, state, why);
	if (r < 0)
		log_errno(r, "rds: '%s' cannot be looked up", job->subject);
	watch_look(rds->state, rds->fleet, job->subject);
	fleet_end(rds->fleet, job->subject);
	follow_wake(&rds->followers);
}

int rds_begin(struct rds *rds, struct aws_call *call, const struct seen *seen,
	      const struct rds_work *work)
{
	const struct job_new new = {work->kind, seen->record.name, work->input, work->also,
				    work->arg};
	struct problem why = {""};
	char now[DOING_SIZE] = "";
	int r;

	if (!seen->doing[0] && work->must_be && strcmp(work->must_be, seen_status(seen)) != 0)
		return aws_fault(call, "InvalidDBClusterStateFault",
				 "DB cluster %s is not in %s state: it is %s.", seen->record.name,
				 work->must_be, seen_status(seen));
	r = fleet_begin(rds->fleet, seen->record.name, work->doing, false, now);
	if (r == -EBUSY)
		return aws_fault(call, "InvalidDBClusterStateFault",
				 "DB cluster %s is %s: wait until that is done.", seen->record.name,
				 now);
	if (r < 0)
		return aws_fault(call, "DBClusterNotFoundFault", "DBCluster %s not found.",
				 seen->record.name);
	r = jobs_add(rds->jobs, &new, NULL, &why);
	if (r < 0)
		fleet_end(rds->fleet, seen->record.name);
	return r < 0 ? log_errno(r, "rds: %s", why.text) : 0;
}

/* Before they go on: those whose clusters are not what they seem. */
static int resume(struct rds *rds)
{
	json_t *list = NULL, *job;
	size_t i;
	int r;

	r = jobs_list(rds->jobs, NULL, 1000, &list);
	if (r < 0)
		return r;
	json_array_foreach (list, i, job)
		if (!json_object_get(job, "ended_us"))
			fleet_resume(rds->fleet, json_string_value(json_object_get(job, "subject")),
				     doing_of(json_string_value(json_object_get(job, "kind"))));
	json_decref(list);
	return 0;
}

/* --- The whole -------------------------------------------------------------------------------- */

void rds_new(const struct rds_options *options, struct rds **ret)
{
	struct rds *rds = xcalloc(1, sizeof *rds);

	rds->options = *options;
	rds->state = options->state;
	fleet_new(rds->state, options->account, options->region, &rds->fleet);
	followers_init(&rds->followers);
	snprintf(rds->like.account, sizeof rds->like.account, "%s", options->account);
	snprintf(rds->like.region, sizeof rds->like.region, "%s", options->region);
	jobs_new(rds->state, kinds, rds, &rds->jobs);
	rds->answers = (struct aws_answers){"rds", rds_handlers, rds};
	*ret = rds;
}

int rds_start(struct rds *rds, struct problem *why)
{
	int r;

	rds->started_us = clock_realtime_us();
	r = fleet_load(rds->fleet);
	if (r == 0)
		r = resume(rds);
	if (r == 0)
		r = watch_scan(rds->state, rds->fleet, &rds->like);
	if (r < 0)
		return problem_errno(why, r, "the clusters cannot be listed");
	r = jobs_start(rds->jobs, why);
	return r < 0 ? r : watch_start(rds->state, rds->fleet, &rds->like, &rds->watch, why);
}

void rds_stop(struct rds *rds)
{
	if (!rds)
		return;
	watch_stop(rds->watch);
	jobs_stop(rds->jobs);
	fleet_free(rds->fleet);
	followers_done(&rds->followers);
	free(rds);
}

/* --- Forgetting ------------------------------------------------------------------------------- */

struct forgetting {
	struct rds *rds;
	unsigned left;
};

/* Delete it when it is not at work; what is, is looked at again. */
static int forget_one(const struct seen *seen, void *arg)
{
	struct forgetting *forgetting = arg;
	struct rds *rds = forgetting->rds;
	const struct record *record = &seen->record;
	json_t *input;
	struct job_new new = {.kind = "delete", .subject = record->name};
	char now[DOING_SIZE];
	int r;

	if (!json_object_get(record->settings, "Engine") ||
	    (record->created_us && record->created_us < rds->started_us))
		return 0;
	forgetting->left++;
	if (fleet_begin(rds->fleet, record->name, "deleting", false, now) < 0)
		return 0;
	input = json_object();
	new.input = input;
	r = jobs_add(rds->jobs, &new, NULL, NULL);
	json_decref(input);
	if (r < 0)
		fleet_end(rds->fleet, record->name);
	return r;
}

static int forget_past(sqlite3 *db, void *arg)
{
	return state_run(db, "DELETE FROM rds_event", "");
}

int rds_forget(struct rds *rds, struct problem *why)
{
	struct forgetting forgetting = {rds};
	int r;

	do {
		forgetting.left = 0;
		r = fleet_for_each(rds->fleet, forget_one, &forgetting);
	} while (r == 0 && forgetting.left && poll(NULL, 0, 50) == 0);
	if (r == 0)
		r = state_write(rds->state, forget_past, NULL);
	return r < 0 ? problem_errno(why, r, "the clusters cannot be removed") : 0;
}

const struct aws_answers *rds_answers(struct rds *rds)
{
	return &rds->answers;
}

struct jobs *rds_jobs(struct rds *rds)
{
	return rds->jobs;
}
