#include "rds/watch.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "rds/engines.h"
#include "rds/events.h"
#include "rds/keepers.h"
#include "rds/show.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define EAGER_US INT64_C(1000000)   /* between two looks, while somebody asks */
#define LAZY_US INT64_C(10000000)   /* and otherwise */
#define WANTED_US INT64_C(30000000) /* for how long a question counts */

struct watch {
	struct state *state;
	struct fleet *fleet;
	struct record like;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	/* Guarded by `lock`: */
	bool ending;
	int64_t wanted_us; /* monotonic */
};

/* --- Which clusters there are ----------------------------------------------------------------- */

static int put(sqlite3 *db, void *arg)
{
	return record_put(db, arg);
}

/* A cluster that was made by somebody else, or anew under an old name. */
static int adopt(struct state *state, struct fleet *fleet, const struct record *like,
		 const struct cluster *cluster)
{
	CLEANUP(record)
	struct record record = {
		.created_us = cluster->created_us, .settings = json_object(), .tags = json_array()};
	int r;

	memcpy(record.account, like->account, sizeof record.account);
	memcpy(record.region, like->region, sizeof record.region);
	snprintf(record.name, sizeof record.name, "%s", cluster->name);
	record_new_resource_id(record.resource_id);
	r = state_write(state, put, &record);
	return r < 0 ? r : fleet_reload(fleet, record.name);
}

struct scan {
	struct state *state;
	struct fleet *fleet;
	const struct record *like;
};

/* The list was read some time ago: what is done about it looks again. */
static int scan_one(const char *name, const struct cluster *listed, const struct problem *why,
		    void *arg)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	CLEANUP(seen) struct seen seen = {0};
	const struct scan *scan = arg;
	char now[DOING_SIZE];
	bool known;
	int r = 0;

	if (!listed || !engines_is_served(listed->engine))
		return 0;
	known = fleet_get(scan->fleet, name, &seen) == 0;
	if (seen.doing[0])
		return 0;
	if (known && seen.record.created_us == listed->created_us) {
		if (seen.port != listed->port || !seen.made)
			return fleet_reload(scan->fleet, name);
		return 0;
	}
	/* So that nobody makes one of that name meanwhile. */
	if (fleet_begin(scan->fleet, name, "creating", !known, now) < 0)
		return 0;
	if (cluster_find(name, &cluster, NULL) == 0)
		r = adopt(scan->state, scan->fleet, scan->like, cluster);
	fleet_end(scan->fleet, name);
	return r;
}

static int drop(sqlite3 *db, void *arg)
{
	const struct record *record = arg;
	const struct event event = {record, "deletion", "DB cluster deleted."};
	int r = event_put(db, &event);

	return r < 0 ? r : record_drop(db, record->name);
}

/* Deleted by somebody else: its entry is gone (what merely cannot be read stays). */
static int sweep_one(const struct seen *seen, void *arg)
{
	const struct scan *scan = arg;
	char entry[PATH_MAX], now[DOING_SIZE];
	struct record record = seen->record;
	int r = 0;

	if (seen->doing[0] || cluster_entry(record.name, false, entry, NULL) < 0 ||
	    access(entry, F_OK) == 0)
		return 0;
	/* So that nobody makes it anew meanwhile. */
	if (fleet_begin(scan->fleet, record.name, "deleting", false, now) < 0)
		return 0;
	if (access(entry, F_OK) < 0 && errno == ENOENT)
		r = state_write(scan->state, drop, &record);
	if (r == 0)
		r = fleet_reload(scan->fleet, record.name);
	fleet_end(scan->fleet, record.name);
	return r;
}

int watch_scan(struct state *state, struct fleet *fleet, const struct record *like)
{
	struct scan scan = {state, fleet, like};
	int r = cluster_for_each(scan_one, &scan, NULL);

	return r < 0 ? r : fleet_for_each(fleet, sweep_one, &scan);
}

/* --- What their keepers say ------------------------------------------------------------------- */

static int64_t number(const json_t *status, const char *name)
{
	return json_integer_value(json_object_get(status, name));
}

static bool became(const json_t *before, const json_t *now, const char *name)
{
	return !json_is_true(json_object_get(before, name)) &&
	       json_is_true(json_object_get(now, name));
}

/* What happened since the last look, and no job of ours tells. */
static void tell_changes(struct state *state, const struct seen *before, const struct seen *now)
{
	const struct record *record = &now->record;
	const char *was = seen_status(before), *is = seen_status(now);

	if (before->status && now->status &&
	    number(now->status, "restarts") > number(before->status, "restarts"))
		event_tell(state, record, "failover",
			   "The database server died, and was started again.");
	if (before->status && became(before->status, now->status, "space_short"))
		event_tell(state, record, "backtrack",
			   "The actual backtrack window is smaller than the target backtrack "
			   "window you specified: the disk runs short.");
	if (!strcmp(was, "available") && !strcmp(is, "stopped"))
		event_tell(state, record, "notification", "DB cluster stopped.");
	if (!strcmp(was, "stopped") && !strcmp(is, "available"))
		event_tell(state, record, "notification", "DB cluster started.");
	if (strcmp(was, "failed") != 0 && !strcmp(is, "failed"))
		event_tell(state, record, "failure", "The database server does not start.");
}

static void look(struct state *state, struct fleet *fleet, const char *name, bool tell)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	CLEANUP(seen) struct seen before = {0};
	CLEANUP(seen) struct seen now = {0};
	json_t *status = NULL;
	char word[32];

	if (cluster_find(name, &cluster, NULL) < 0 || fleet_get(fleet, name, &before) < 0)
		return;
	/* Who does not answer is as before. */
	if (keepers_state(cluster, word, &status, NULL) < 0)
		return;
	fleet_set_status(fleet, name, status);
	if (tell && !before.doing[0] && fleet_get(fleet, name, &now) == 0 && !now.doing[0])
		tell_changes(state, &before, &now);
}

void watch_look(struct state *state, struct fleet *fleet, const char *name)
{
	look(state, fleet, name, false);
}

struct looking {
	struct watch *watch;
	bool first;
};

static bool is_ending(struct watch *watch)
{
	bool ending;

	pthread_mutex_lock(&watch->lock);
	ending = watch->ending;
	pthread_mutex_unlock(&watch->lock);
	return ending;
}

static int look_at(const struct seen *seen, void *arg)
{
	const struct looking *looking = arg;

	if (is_ending(looking->watch))
		return 1;
	if (seen->made)
		look(looking->watch->state, looking->watch->fleet, seen->record.name,
		     !looking->first);
	return 0;
}

/* --- The thread ------------------------------------------------------------------------------- */

/* False when it is over. */
static bool wait_for_turn(struct watch *watch)
{
	int64_t begun_us = clock_monotonic_us(), until_us;
	bool ending;

	pthread_mutex_lock(&watch->lock);
	do {
		bool wanted = begun_us - watch->wanted_us < WANTED_US;
		struct timespec until;

		until_us = begun_us + (wanted ? EAGER_US : LAZY_US);
		until = (struct timespec){until_us / 1000000, until_us % 1000000 * 1000};
		if (!watch->ending)
			pthread_cond_timedwait(&watch->change, &watch->lock, &until);
	} while (!watch->ending && clock_monotonic_us() < until_us);
	ending = watch->ending;
	pthread_mutex_unlock(&watch->lock);
	return !ending;
}

static void *watch_thread(void *arg)
{
	struct looking looking = {arg, true};
	struct watch *watch = arg;

	do {
		int r = watch_scan(watch->state, watch->fleet, &watch->like);

		if (r < 0)
			log_errno(r, "rds: the list of clusters cannot be read");
		(void)fleet_for_each(watch->fleet, look_at, &looking);
		looking.first = false;
	} while (wait_for_turn(watch));
	return NULL;
}

int watch_start(struct state *state, struct fleet *fleet, const struct record *like,
		struct watch **ret, struct problem *why)
{
	struct watch *watch = xcalloc(1, sizeof *watch);
	pthread_condattr_t attributes;
	int r;

	watch->state = state;
	watch->fleet = fleet;
	watch->like = *like;
	watch->wanted_us = INT64_MIN / 2;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->change, &attributes);
	pthread_condattr_destroy(&attributes);
	r = pthread_create(&watch->thread, NULL, watch_thread, watch);
	if (r) {
		free(watch);
		return problem_errno(why, -r, "cannot start a thread");
	}
	*ret = watch;
	return 0;
}

void watch_stop(struct watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	watch->ending = true;
	pthread_cond_signal(&watch->change);
	pthread_mutex_unlock(&watch->lock);
	pthread_join(watch->thread, NULL);
	pthread_cond_destroy(&watch->change);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

void watch_wanted(struct watch *watch)
{
	int64_t now_us = clock_monotonic_us();

	pthread_mutex_lock(&watch->lock);
	if (now_us - watch->wanted_us >= WANTED_US)
		pthread_cond_signal(&watch->change);
	watch->wanted_us = now_us;
	pthread_mutex_unlock(&watch->lock);
}
