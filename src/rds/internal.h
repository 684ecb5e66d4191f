/*
 * Inside of the RDS layer: what its files share.
 *
 * rds.c         the whole: kinds of jobs, operations, start and stop
 * describe.c    finding the cluster that a call means; lists, filters, pages
 * create.c      CreateDBCluster, and the job that makes one
 * clone.c       the job that makes one out of another
 * commands.c    what `unspill` has done as a job
 * changes.c     ModifyDBCluster
 * backtracks.c  BacktrackDBCluster, DescribeDBClusterBacktracks
 * life.c        starting, stopping, deleting
 * tags.c        tags
 * events.c      events
 * absent.c      what there is none of here
 * watch.c       the thread that looks at the clusters and their keepers
 *
 * Lock order: none of ours is held while another is taken, or anybody is asked.
 */
#pragma once

#include "jobs/jobs.h"
#include "rds/events.h"
#include "rds/fleet.h"
#include "rds/follow.h"
#include "rds/keepers.h"
#include "rds/rds.h"
#include "rds/show.h"
#include "rds/watch.h"

#include <stdatomic.h>

struct rds {
	struct rds_options options;
	struct state *state;
	struct fleet *fleet;
	struct jobs *jobs;
	struct watch *watch;
	struct followers followers;
	struct record like; /* account and region of what was not made by a call */
	struct aws_answers answers;
	int64_t started_us;
};

/* --- describe.c ------------------------------------------------------------------------------- */

/* The cluster that the call's DBClusterIdentifier (a name or an ARN) means, the caller's and in its
 * region; or the fault. */
int rds_find(struct rds *rds, struct aws_call *call, const char *identifier, struct seen *ret);
/* The one that DBClusterIdentifier means, whose keeper is asked: what was last seen of it may be
 * seconds old. */
int rds_find_now(struct rds *rds, struct aws_call *call, struct seen *ret);
/* The text of the call's input; NULL without one. */
const char *rds_text(const struct aws_call *call, const char *member);

/* {"DBCluster": as it was seen, now doing that}; `doing` may be seen->doing. */
json_t *rds_show(struct seen *seen, const char *doing);

/* Begin to do something with the cluster, by a job of that kind: AWS_FAULT when it is at work
 * already, or not `available` where that is asked for. */
struct rds_work {
	const char *kind, *doing;
	const char *must_be; /* "available", "stopped"; NULL: any */
	const json_t *input;
	int (*also)(sqlite3 *db, int64_t id, void *arg);
	void *arg;
};
int rds_begin(struct rds *rds, struct aws_call *call, const struct seen *seen,
	      const struct rds_work *work);

int rds_touch_cluster(void *userdata, struct aws_call *call, struct aws_touched *ret);
int describe_clusters(void *userdata, struct aws_call *call, json_t **ret);

/* There is something of that name, also one that was made by somebody else a moment ago, or that
 * cannot be read. */
bool rds_is_taken(const char *name);

/* --- the rest --------------------------------------------------------------------------------- */

extern const struct job_kind create_kind, clone_kind, modify_kind, backtrack_kind, start_kind,
	stop_kind, delete_kind;

int create_cluster(void *userdata, struct aws_call *call, json_t **ret);
int create_touch(void *userdata, struct aws_call *call, struct aws_touched *ret);
int modify_cluster(void *userdata, struct aws_call *call, json_t **ret);
int backtrack_cluster(void *userdata, struct aws_call *call, json_t **ret);
int describe_backtracks(void *userdata, struct aws_call *call, json_t **ret);
int start_cluster(void *userdata, struct aws_call *call, json_t **ret);
int stop_cluster(void *userdata, struct aws_call *call, json_t **ret);
int delete_cluster(void *userdata, struct aws_call *call, json_t **ret);
int add_tags(void *userdata, struct aws_call *call, json_t **ret);
int remove_tags(void *userdata, struct aws_call *call, json_t **ret);
int list_tags(void *userdata, struct aws_call *call, json_t **ret);
int tags_touch(void *userdata, struct aws_call *call, struct aws_touched *ret);

int describe_global_clusters(void *userdata, struct aws_call *call, json_t **ret);

/* What tags may be. */
extern const struct aws_tag_rules rds_tag_rules;

/* Of jobs that make a cluster: what was made goes; it is made, or there is none. */
int rds_undo_make(void *userdata, struct job *job, struct problem *why);
int rds_end_make(void *userdata, struct job *job, enum job_state state, const struct problem *why,
		 sqlite3 *db);

/* After a job: read anew what there is, ask its keeper, and it is doing nothing any more. */
void rds_job_ended(void *userdata, struct job *job, enum job_state state,
		   const struct problem *why);
