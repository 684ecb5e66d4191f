#include "rds/fleet.h"

#include "base/alloc.h"
#include "rds/engines.h"
#include "rds/show.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct item {
	struct seen seen;
	json_t *shown; /* as the API shows it; NULL: not yet, or not any more */
};

struct fleet {
	struct state *state;
	char account[AWS_ACCOUNT_SIZE], region[AWS_REGION_SIZE];
	pthread_mutex_t lock;
	/* Guarded by `lock`: */
	struct item **items; /* by name */
	size_t count, room;
};

void seen_done(struct seen *seen)
{
	record_done(&seen->record);
	json_decref(seen->status);
	*seen = (struct seen){0};
}

static void seen_copy(struct seen *to, const struct seen *from)
{
	*to = *from;
	json_incref(to->record.settings);
	json_incref(to->record.tags);
	json_incref(to->status);
}

static void item_free(struct item *item)
{
	seen_done(&item->seen);
	json_decref(item->shown);
	free(item);
}

static void changed(struct item *item)
{
	json_decref(item->shown);
	item->shown = NULL;
}

/* --- What it is doing ------------------------------------------------------------------------- */

/* The keeper's word for it, and the API's. */
static const char *status_of(const char *state)
{
	static const struct {
		const char *state, *status;
	} words[] = {
		{"running", "available"},         {"starting", "starting"},
		{"stopping", "stopping"},         {"stopped", "stopped"},
		{"creating", "creating"},         {"importing", "creating"},
		{"backtracking", "backtracking"}, {"failed", "failed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].state, state))
			return words[i].status;
	return "unknown";
}

const char *seen_status(const struct seen *seen)
{
	const char *state = json_string_value(json_object_get(seen->status, "state"));

	if (seen->doing[0])
		return seen->doing;
	if (!seen->made)
		return "failed";
	if (!seen->looked)
		return seen->desired ? "available" : "stopped";
	return state ? status_of(state) : "stopped";
}

/* --- The list; under the lock ----------------------------------------------------------------- */

/* Where it is, or would be. */
static size_t place_of(const struct fleet *fleet, const char *name, bool *ret_found)
{
	size_t low = 0, high = fleet->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcasecmp(fleet->items[middle]->seen.record.name, name);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = false;
	return low;
}

static struct item *find(const struct fleet *fleet, const char *name)
{
	bool found;
	size_t place = place_of(fleet, name, &found);

	return found ? fleet->items[place] : NULL;
}

static struct item *find_or_add(struct fleet *fleet, const char *name)
{
	bool found;
	size_t place = place_of(fleet, name, &found);

	if (found)
		return fleet->items[place];
	xgrow(fleet->items, fleet->count, fleet->room);
	memmove(fleet->items + place + 1, fleet->items + place,
		(fleet->count++ - place) * sizeof(struct item *));
	fleet->items[place] = xcalloc(1, sizeof(struct item));
	snprintf(fleet->items[place]->seen.record.name, CLUSTER_NAME_MAX + 1, "%s", name);
	return fleet->items[place];
}

static void remove_item(struct fleet *fleet, const char *name)
{
	bool found;
	size_t place = place_of(fleet, name, &found);

	if (!found)
		return;
	item_free(fleet->items[place]);
	memmove(fleet->items + place, fleet->items + place + 1,
		(--fleet->count - place) * sizeof(struct item *));
}

/* --- Loading ---------------------------------------------------------------------------------- */

static void take_cluster(struct seen *seen, const struct cluster *cluster)
{
	const char *asked = json_string_value(json_object_get(seen->record.settings, "Engine"));
	const struct engine *engine = asked ? engines_find(asked, &(const char *){NULL}) : NULL;

	seen->made = cluster != NULL;
	if (!cluster && engine) /* it is still to be made */
		engines_version(engine->name, seen->version);
	if (!cluster)
		return;
	snprintf(seen->engine, sizeof seen->engine, "%s", cluster->engine);
	snprintf(seen->bind, sizeof seen->bind, "%s", cluster->bind);
	seen->port = cluster->port;
	seen->desired = cluster->desired_running;
	engines_version(cluster->engine, seen->version);
}

/* `record` is emptied. */
static void take_record(struct fleet *fleet, struct record *record, const struct cluster *cluster)
{
	struct item *item;

	pthread_mutex_lock(&fleet->lock);
	item = find_or_add(fleet, record->name);
	record_done(&item->seen.record);
	item->seen.record = *record;
	*record = (struct record){0};
	take_cluster(&item->seen, cluster);
	changed(item);
	pthread_mutex_unlock(&fleet->lock);
}

int fleet_reload(struct fleet *fleet, const char *name)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	CLEANUP(record) struct record record = {0};
	int r = record_read(fleet->state, name, &record);

	if (r < 0 && r != -ENOENT)
		return r;
	(void)cluster_find(name, &cluster, NULL);
	if (r == 0) {
		take_record(fleet, &record, cluster);
		return 0;
	}
	pthread_mutex_lock(&fleet->lock);
	remove_item(fleet, name);
	pthread_mutex_unlock(&fleet->lock);
	return 0;
}

static int load_one(const struct record *record, void *arg)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	CLEANUP(record) struct record copy = *record;

	json_incref(copy.settings);
	json_incref(copy.tags);
	(void)cluster_find(record->name, &cluster, NULL);
	take_record(arg, &copy, cluster);
	return 0;
}

int fleet_load(struct fleet *fleet)
{
	return record_for_each(fleet->state, load_one, fleet);
}

void fleet_new(struct state *state, const char *account, const char *region, struct fleet **ret)
{
	struct fleet *fleet = xcalloc(1, sizeof *fleet);

	fleet->state = state;
	snprintf(fleet->account, sizeof fleet->account, "%s", account);
	snprintf(fleet->region, sizeof fleet->region, "%s", region);
	pthread_mutex_init(&fleet->lock, NULL);
	*ret = fleet;
}

void fleet_free(struct fleet *fleet)
{
	if (!fleet)
		return;
	for (size_t i = 0; i < fleet->count; i++)
		item_free(fleet->items[i]);
	free(fleet->items);
	pthread_mutex_destroy(&fleet->lock);
	free(fleet);
}

/* --- Jobs ------------------------------------------------------------------------------------- */

static int begin(struct fleet *fleet, const char *name, const char *doing, bool make,
		 char now[DOING_SIZE])
{
	struct item *item = find(fleet, name);

	if (make && item)
		return -EEXIST;
	if (!make && !item)
		return -ENOENT;
	if (make)
		item = find_or_add(fleet, name);
	memcpy(now, item->seen.doing, DOING_SIZE);
	if (item->seen.doing[0])
		return -EBUSY;
	snprintf(item->seen.doing, DOING_SIZE, "%s", doing);
	changed(item);
	return 0;
}

int fleet_begin(struct fleet *fleet, const char *name, const char *doing, bool make,
		char now[DOING_SIZE])
{
	int r;

	pthread_mutex_lock(&fleet->lock);
	r = begin(fleet, name, doing, make, now);
	pthread_mutex_unlock(&fleet->lock);
	return r;
}

void fleet_resume(struct fleet *fleet, const char *name, const char *doing)
{
	struct item *item;

	pthread_mutex_lock(&fleet->lock);
	item = find_or_add(fleet, name);
	snprintf(item->seen.doing, DOING_SIZE, "%s", doing);
	changed(item);
	pthread_mutex_unlock(&fleet->lock);
}

void fleet_end(struct fleet *fleet, const char *name)
{
	struct item *item;

	pthread_mutex_lock(&fleet->lock);
	item = find(fleet, name);
	if (item) {
		item->seen.doing[0] = 0;
		changed(item);
	}
	/* It was to be made, and was not. */
	if (item && !item->seen.record.settings)
		remove_item(fleet, name);
	pthread_mutex_unlock(&fleet->lock);
}

/* --- Looking ---------------------------------------------------------------------------------- */

/* One that has no row yet is nobody's. */
static bool is_known(const struct item *item)
{
	return item && item->seen.record.settings;
}

int fleet_get(struct fleet *fleet, const char *name, struct seen *ret)
{
	struct item *item;

	pthread_mutex_lock(&fleet->lock);
	item = find(fleet, name);
	if (is_known(item))
		seen_copy(ret, &item->seen);
	pthread_mutex_unlock(&fleet->lock);
	return is_known(item) ? 0 : -ENOENT;
}

void fleet_set_status(struct fleet *fleet, const char *name, json_t *status)
{
	const json_t *window = json_object_get(json_object_get(status, "window"), "target_us");
	struct item *item;

	pthread_mutex_lock(&fleet->lock);
	item = find(fleet, name);
	if (item) {
		json_decref(item->seen.status);
		item->seen.status = json_incref(status);
		item->seen.looked = true;
		if (window)
			item->seen.window_us = json_integer_value(window);
		changed(item);
	}
	pthread_mutex_unlock(&fleet->lock);
	json_decref(status);
}

int fleet_for_each(struct fleet *fleet, int (*fn)(const struct seen *seen, void *arg), void *arg)
{
	struct seen *all;
	size_t count;
	int r = 0;

	pthread_mutex_lock(&fleet->lock);
	count = fleet->count;
	all = xcalloc(count, sizeof *all);
	for (size_t i = 0; i < count; i++)
		seen_copy(&all[i], &fleet->items[i]->seen);
	pthread_mutex_unlock(&fleet->lock);
	for (size_t i = 0; i < count; i++) {
		if (r == 0 && all[i].record.settings)
			r = fn(&all[i], arg);
		seen_done(&all[i]);
	}
	free(all);
	return r;
}

void fleet_show(struct fleet *fleet, const char *account, const char *region, json_t **ret)
{
	json_t *list = json_array();

	pthread_mutex_lock(&fleet->lock);
	for (size_t i = 0; i < fleet->count; i++) {
		struct item *item = fleet->items[i];

		if (!is_known(item) || strcmp(item->seen.record.account, account) != 0 ||
		    strcmp(item->seen.record.region, region) != 0)
			continue;
		if (!item->shown)
			item->shown = show_cluster(&item->seen);
		json_array_append(list, item->shown);
	}
	pthread_mutex_unlock(&fleet->lock);
	*ret = list;
}
