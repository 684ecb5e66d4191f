/*
 * RDS: the clusters of this machine, as the stock AWS clients ask for them.
 *
 * What there is are the clusters of $UNSPILL_HOME, whoever made them; what is known of them besides
 * (region, tags, what was asked for when they were made) is in the state.  Their keepers are looked
 * at in the background, so that no question waits for one.  What takes longer than an answer is a
 * job (jobs.h), and is taken up again after we were killed; the keepers never notice.
 */
#pragma once

#include "aws/call.h"
#include "base/problem.h"
#include "state/state.h"

struct jobs;
struct rds;

struct rds_options {
	struct state *state; /* borrowed */
	char account[AWS_ACCOUNT_SIZE];
	char region[AWS_REGION_SIZE]; /* of clusters that were not made by a call: "us-east-1" */
};

/* The tables that it needs, jobs' own besides. */
extern const struct state_part rds_state_part;

/* Nothing is looked at, and nothing goes on, before rds_start(). */
void rds_new(const struct rds_options *options, struct rds **ret);
/* Know all clusters, without a word to any keeper; take up the jobs that were left. */
int rds_start(struct rds *rds, struct problem *why);
/* Waits for the steps of jobs that run.  Frees; NULL is fine. */
void rds_stop(struct rds *rds);
DEFINE_CLEANUP(struct rds *, rds, rds_stop)

/* What is answered; ends with .operation NULL. */
extern const struct aws_handler rds_handlers[];
/* As the front door asks; borrowed. */
const struct aws_answers *rds_answers(struct rds *rds);
/* What is under way. */
struct jobs *rds_jobs(struct rds *rds);

/*
 * What a command of `unspill` has done as a job, while it waits.
 *
 * "create": {"engine", "window_us", "port" (0: any), "directory", "bind", "transport",
 * "server_options": [...], "from": a data directory to import}, the last five where they are said;
 * "clone": {"of": another's name, "at": a moment as docs/control.md has it, "port" (0: any),
 * "thin", "start", "directory" where it is said}, and *ret is {"moment", "now"} of the other;
 * "delete": {}.
 */
enum rds_wish {
	RDS_WAIT,
	RDS_CANCEL, /* who asked has gone away, or thought better of it */
	RDS_LEAVE,  /* nobody waits any more: it goes on */
};

struct rds_command {
	const char *kind, *name; /* of the cluster that is made, or deleted */
	const json_t *input;     /* unchecked but for being an object */
	/* How it goes, from another thread; never waits.  "undo": what was done is taken back. */
	void (*progress)(const char *step, uint64_t done, uint64_t total, const char *unit,
			 void *arg);
	/* Asked often, in the caller's. */
	enum rds_wish (*wish)(void *arg);
	void *arg;
};

/*
 * Returns when it has ended: 0, and the caller owns *ret, what it says; else -errno with `why`, and
 * what was done is undone; -ECANCELED when it was cancelled, and -EINTR when it goes on by itself.
 */
int rds_command(struct rds *rds, const struct rds_command *command, json_t **ret,
		struct problem *why);

/*
 * For tests' resets: remove the clusters that were made by calls since rds_start(), whatever
 * protects them, and what else is known but of this machine's other clusters.  Waits.
 */
int rds_forget(struct rds *rds, struct problem *why);
