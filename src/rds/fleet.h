/*
 * Fleet: all clusters, in memory, as questions find them: the row of the state, cluster.json, and
 * what the keeper said last.
 *
 * A cluster is `doing` something from before its job is added until after it has ended, so that two
 * calls at the same time meet here, and so that what the watcher sees of a cluster that is half
 * made or half gone is nothing to act upon.
 *
 * Everything here may be called from any thread.  Nothing waits for a keeper or for the disk but
 * where it says so.
 */
#pragma once

#include "control/cluster.h"
#include "rds/record.h"

#include <pthread.h>

struct fleet;

#define DOING_SIZE 24

/* What is known of one cluster, at one moment.  {0}; seen_done() lets go of it. */
struct seen {
	struct record record;
	char doing[DOING_SIZE]; /* "creating", ...; "": no job works for it */
	/* Of cluster.json: */
	bool made; /* there is one */
	char engine[32], bind[64];
	int port;
	char version[64]; /* of its server's program: "10.11.14"; "" when that is not here */
	bool desired;     /* it is to run */
	bool looked;      /* somebody has asked for its keeper; until then it is as desired */
	json_t *status;   /* the keeper's last; NULL: there is no keeper */
	/* While `status` is NULL, what was last known of these; 0: nothing */
	int64_t window_us;
};

void seen_done(struct seen *seen);
static inline void seen_cleanup(struct seen *seen)
{
	seen_done(seen);
}

/* The status of the API: "available", "stopped", ... */
const char *seen_status(const struct seen *seen);

void fleet_new(struct state *state, const char *account, const char *region, struct fleet **ret);
void fleet_free(struct fleet *fleet);

/* Read all rows anew; a cluster whose row is new has no status yet. */
int fleet_load(struct fleet *fleet);
/* Read one row and its cluster.json anew, from the disk; gone when there is no row. */
int fleet_reload(struct fleet *fleet, const char *name);

/*
 * From now on it is doing this.  -EBUSY when it is doing something already, which is left in `now`;
 * -ENOENT; with `make` -EEXIST when there is one of that name.
 */
int fleet_begin(struct fleet *fleet, const char *name, const char *doing, bool make,
		char now[DOING_SIZE]);
/* It is doing this from now on, whatever it was: for jobs that were left. */
void fleet_resume(struct fleet *fleet, const char *name, const char *doing);
/* It is doing nothing any more. */
void fleet_end(struct fleet *fleet, const char *name);

/* What there is of that name, in any letters; -ENOENT. */
int fleet_get(struct fleet *fleet, const char *name, struct seen *ret);
/* The keeper's word, stolen; NULL: there is none. */
void fleet_set_status(struct fleet *fleet, const char *name, json_t *status);

/* Call `fn` for each cluster, by name, without the lock. */
int fleet_for_each(struct fleet *fleet, int (*fn)(const struct seen *seen, void *arg), void *arg);
/*
 * The clusters as the API shows them (show.h), by name, those of one account and region.  The
 * caller owns *ret, whose elements others have, too.
 */
void fleet_show(struct fleet *fleet, const char *account, const char *region, json_t **ret);
