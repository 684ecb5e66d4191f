#include "rds/record.h"
#include "rds/rds.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static const char *const steps[] = {
	"CREATE TABLE rds_cluster ("
	" name TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL,"
	" resource_id TEXT NOT NULL UNIQUE, created_us INTEGER NOT NULL,"
	" settings TEXT NOT NULL, tags TEXT NOT NULL) STRICT;"
	"CREATE TABLE rds_backtrack ("
	" id TEXT PRIMARY KEY, resource_id TEXT NOT NULL, asked_us INTEGER NOT NULL,"
	" to_us INTEGER NOT NULL, from_us INTEGER NOT NULL, number INTEGER NOT NULL,"
	" status TEXT NOT NULL) STRICT;"
	"CREATE INDEX rds_backtrack_cluster ON rds_backtrack (resource_id, asked_us);"
	"CREATE TABLE rds_event ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT NULL, account TEXT NOT NULL,"
	" region TEXT NOT NULL, source TEXT NOT NULL, categories TEXT NOT NULL,"
	" message TEXT NOT NULL) STRICT;"
	"CREATE INDEX rds_event_time ON rds_event (time_us)",
	NULL,
};

const struct state_part rds_state_part = {"rds", steps};

void record_done(struct record *record)
{
	json_decref(record->settings);
	json_decref(record->tags);
	*record = (struct record){0};
}

/* --- Names ------------------------------------------------------------------------------------ */

static void random_bytes(uint8_t *bytes, size_t size)
{
	/* It never fails for so few, once the machine is up. */
	if (getrandom(bytes, size, 0) != (ssize_t)size)
		abort();
}

void record_new_resource_id(char ret[RESOURCE_ID_SIZE])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t bytes[26];
	size_t length = strlen(strcpy(ret, "cluster-"));

	random_bytes(bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		ret[length++] = letters[bytes[i] % 32];
	ret[length] = 0;
}

void record_new_backtrack_id(char ret[BACKTRACK_ID_SIZE])
{
	uint8_t b[16];

	random_bytes(b, sizeof b);
	snprintf(ret, BACKTRACK_ID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		 b[1], b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11],
		 b[12], b[13], b[14], b[15]);
}

/* --- Clusters --------------------------------------------------------------------------------- */

int record_put(sqlite3 *db, const struct record *record)
{
	CLEANUP(free) char *settings = xcheck(json_dumps(record->settings, JSON_COMPACT));
	CLEANUP(free) char *tags = xcheck(json_dumps(record->tags, JSON_COMPACT));

	return state_run(db,
			 "INSERT OR REPLACE INTO rds_cluster"
			 " (name, account, region, resource_id, created_us, settings, tags)"
			 " VALUES (?, ?, ?, ?, ?, ?, ?)",
			 "ssssiss", record->name, record->account, record->region,
			 record->resource_id, record->created_us, settings, tags);
}

int record_drop(sqlite3 *db, const char *name)
{
	int r;

	r = state_run(db,
		      "DELETE FROM rds_backtrack WHERE resource_id ="
		      " (SELECT resource_id FROM rds_cluster WHERE name = ?)",
		      "s", name);
	return r < 0 ? r : state_run(db, "DELETE FROM rds_cluster WHERE name = ?", "s", name);
}

#define SELECT_CLUSTER \
	"SELECT name, account, region, resource_id, created_us, settings, tags FROM rds_cluster"

static void copy_text(char *to, size_t size, sqlite3_stmt *row, int column)
{
	const unsigned char *text = sqlite3_column_text(row, column);

	snprintf(to, size, "%s", text ? (const char *)text : "");
}

static json_t *json_at(sqlite3_stmt *row, int column)
{
	const unsigned char *text = sqlite3_column_text(row, column);

	return json_loads(text ? (const char *)text : "", 0, NULL);
}

static int take_row(sqlite3_stmt *row, struct record *ret)
{
	copy_text(ret->name, sizeof ret->name, row, 0);
	copy_text(ret->account, sizeof ret->account, row, 1);
	copy_text(ret->region, sizeof ret->region, row, 2);
	copy_text(ret->resource_id, sizeof ret->resource_id, row, 3);
	ret->created_us = sqlite3_column_int64(row, 4);
	ret->settings = json_at(row, 5);
	ret->tags = json_at(row, 6);
	if (json_is_object(ret->settings) && json_is_array(ret->tags))
		return 0;
	record_done(ret);
	return -EBADMSG;
}

int record_get(sqlite3 *db, const char *name, struct record *ret)
{
	sqlite3_stmt *row = NULL;
	int r;

	*ret = (struct record){0};
	r = state_prepare(db, SELECT_CLUSTER " WHERE name = ?", &row, "s", name);
	if (r == 0)
		r = state_step(row);
	if (r > 0)
		r = take_row(row, ret);
	else if (r == 0)
		r = -ENOENT;
	state_done(row);
	return r;
}

struct reading {
	const char *name;
	struct record *ret;
};

static int read_one(sqlite3 *db, void *arg)
{
	const struct reading *reading = arg;

	return record_get(db, reading->name, reading->ret);
}

int record_read(struct state *state, const char *name, struct record *ret)
{
	struct reading reading = {name, ret};

	return state_read(state, read_one, &reading);
}

struct walking {
	int (*fn)(const struct record *record, void *arg);
	void *arg;
};

static int read_all(sqlite3 *db, void *arg)
{
	const struct walking *walking = arg;
	sqlite3_stmt *row = NULL;
	int r;

	r = state_prepare(db, SELECT_CLUSTER " ORDER BY name", &row, "");
	while (r >= 0 && (r = state_step(row)) > 0) {
		CLEANUP(record) struct record record = {0};

		r = take_row(row, &record);
		if (r == 0)
			r = walking->fn(&record, walking->arg);
	}
	state_done(row);
	return r;
}

int record_for_each(struct state *state, int (*fn)(const struct record *record, void *arg),
		    void *arg)
{
	struct walking walking = {fn, arg};

	return state_read(state, read_all, &walking);
}

/* --- Backtracks ------------------------------------------------------------------------------- */

int backtrack_put(sqlite3 *db, const struct backtrack_record *backtrack)
{
	return state_run(db,
			 "INSERT INTO rds_backtrack"
			 " (id, resource_id, asked_us, to_us, from_us, number, status)"
			 " VALUES (?, ?, ?, ?, ?, ?, ?)",
			 "ssiiiis", backtrack->id, backtrack->resource_id, backtrack->asked_us,
			 backtrack->to_us, backtrack->from_us, backtrack->number,
			 backtrack->status);
}

int backtrack_set(sqlite3 *db, const char *id, const char *status, int64_t number)
{
	return state_run(db, "UPDATE rds_backtrack SET status = ?, number = ? WHERE id = ?", "sis",
			 status, number, id);
}

struct backtrack_walk {
	const char *resource_id;
	int (*fn)(const struct backtrack_record *backtrack, void *arg);
	void *arg;
};

static int read_backtracks(sqlite3 *db, void *arg)
{
	const struct backtrack_walk *walk = arg;
	sqlite3_stmt *row = NULL;
	int r;

	r = state_prepare(db,
			  "SELECT id, resource_id, asked_us, to_us, from_us, number, status"
			  " FROM rds_backtrack WHERE resource_id = ? ORDER BY asked_us",
			  &row, "s", walk->resource_id);
	while (r >= 0 && (r = state_step(row)) > 0) {
		struct backtrack_record backtrack = {
			.asked_us = sqlite3_column_int64(row, 2),
			.to_us = sqlite3_column_int64(row, 3),
			.from_us = sqlite3_column_int64(row, 4),
			.number = sqlite3_column_int64(row, 5),
			.status = (const char *)sqlite3_column_text(row, 6),
		};

		copy_text(backtrack.id, sizeof backtrack.id, row, 0);
		copy_text(backtrack.resource_id, sizeof backtrack.resource_id, row, 1);
		r = walk->fn(&backtrack, walk->arg);
	}
	state_done(row);
	return r;
}

int backtrack_for_each(struct state *state, const char *resource_id,
		       int (*fn)(const struct backtrack_record *backtrack, void *arg), void *arg)
{
	struct backtrack_walk walk = {resource_id, fn, arg};

	return state_read(state, read_backtracks, &walk);
}
