/*
 * Record: what the state knows of clusters and of backtracks that were asked for by a call.
 *
 * Functions with a `db` run inside of state_write() or state_read().
 */
#pragma once

#include "aws/call.h"
#include "control/cluster.h"
#include "state/state.h"

#define RESOURCE_ID_SIZE 40
#define BACKTRACK_ID_SIZE 37

/* A cluster's row.  {0} is none. */
struct record {
	char name[CLUSTER_NAME_MAX + 1];
	char account[AWS_ACCOUNT_SIZE];
	char region[AWS_REGION_SIZE];
	char resource_id[RESOURCE_ID_SIZE]; /* "cluster-" and 26 letters */
	int64_t created_us;                 /* as in its cluster.json; 0: not made yet */
	/* What was asked for, by the API's names, as it is to be told: {"Engine": ...,
	 * "DeletionProtection": true}.  Not to be changed, as the next: others look at it. */
	json_t *settings;
	json_t *tags; /* [{"Key", "Value"}] */
};

void record_done(struct record *record);
static inline void record_cleanup(struct record *record)
{
	record_done(record);
}

void record_new_resource_id(char ret[RESOURCE_ID_SIZE]);
void record_new_backtrack_id(char ret[BACKTRACK_ID_SIZE]);

/* Insert it, or put it in the place of the one of that name. */
int record_put(sqlite3 *db, const struct record *record);
int record_drop(sqlite3 *db, const char *name);
/* The caller owns what is in *ret; -ENOENT. */
int record_get(sqlite3 *db, const char *name, struct record *ret);
int record_read(struct state *state, const char *name, struct record *ret);
int record_for_each(struct state *state, int (*fn)(const struct record *record, void *arg),
		    void *arg);

/* A backtrack that was asked for by a call. */
struct backtrack_record {
	char id[BACKTRACK_ID_SIZE];
	char resource_id[RESOURCE_ID_SIZE];
	int64_t asked_us; /* when it was asked for */
	int64_t to_us, from_us;
	int64_t number;     /* the volume's; 0: not, or not yet */
	const char *status; /* "PENDING", "APPLYING", "COMPLETED", "FAILED" */
};

int backtrack_put(sqlite3 *db, const struct backtrack_record *backtrack);
int backtrack_set(sqlite3 *db, const char *id, const char *status, int64_t number);
/* All of one cluster; strings are borrowed for the call. */
int backtrack_for_each(struct state *state, const char *resource_id,
		       int (*fn)(const struct backtrack_record *backtrack, void *arg), void *arg);
