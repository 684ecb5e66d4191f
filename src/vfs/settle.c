#include "vfs/settle.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "vfs/sqlite.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* In the header of a database file: SQLite's file format, 1.3. */
#define HEADER_BYTES 100
#define COUNTER_AT 24
#define COOKIE_AT 40
#define WRITE_VERSION_AT 18
#define VALID_FOR_AT 92
#define VERSION_WAL 2
/* When nobody could ask what the schema cookie was: further than anybody goes without a checkpoint.
 */
#define COOKIE_LEAP (1U << 20)

struct known {
	struct database *database;
	uint32_t cookie, counter; /* the greatest that a connection may know */
};

struct settling {
	struct owner *owner;
	const struct settle_options *options;
	struct known *known;
	size_t count, room;
	struct problem *unsettled;
};

static uint32_t get_be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void put_be32(uint8_t *at, uint32_t value)
{
	at[0] = value >> 24;
	at[1] = value >> 16;
	at[2] = value >> 8;
	at[3] = value;
}

/* --- A connection of our own ------------------------------------------------------------------ */

static void connection_cleanup(sqlite3 **db)
{
	sqlite3_close(*db);
}

static int open_inner(struct database *database, sqlite3 **ret)
{
	int r = sqlite3_open_v2(database->paths[0], ret,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, VFS_INNER_NAME);

	/* The last one out would remove the WAL, which others have open. */
	if (r == SQLITE_OK)
		sqlite3_db_config(*ret, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return r;
}

/* The first column of the first row, as text. */
static int ask(sqlite3 *db, const char *sql, char *ret, size_t size)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (r == SQLITE_OK) {
		r = sqlite3_step(statement);
		if (r == SQLITE_ROW)
			snprintf(ret, size, "%s", (const char *)sqlite3_column_text(statement, 0));
	}
	r = r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
	sqlite3_finalize(statement);
	return r;
}

static int ask_cookie(sqlite3 *db, uint32_t *ret)
{
	char text[32] = "";
	int r = ask(db, "PRAGMA schema_version", text, sizeof text);

	*ret = (uint32_t)strtoul(text, NULL, 10);
	return r;
}

/* --- Before ----------------------------------------------------------------------------------- */

static int read_header(struct database *database, uint8_t header[HEADER_BYTES])
{
	ssize_t n;
	uint64_t id;
	int r;

	memset(header, 0, HEADER_BYTES);
	r = store_open(database->store, database->name, false, &id);
	if (r < 0)
		return r;
	n = store_read(database->store, id, 0, header, HEADER_BYTES);
	store_unref(database->store, id);
	return n < 0 ? (int)n : 0;
}

/* What its connections may remember, at most. */
static int remember(struct database *database, void *arg)
{
	struct settling *settling = arg;
	CLEANUP(connection) sqlite3 *db = NULL;
	struct known known = {.database = database};
	uint8_t header[HEADER_BYTES];

	if (store_is_past(database->store))
		return 0;
	read_header(database, header);
	known.counter = get_be32(header + COUNTER_AT);
	/* A head that is damaged is one more reason to leave it. */
	if (open_inner(database, &db) != SQLITE_OK || ask_cookie(db, &known.cookie) != SQLITE_OK)
		known.cookie = get_be32(header + COOKIE_AT) + COOKIE_LEAP;
	xgrow(settling->known, settling->count, settling->room);
	database_ref(database); /* it may be closed meanwhile */
	settling->known[settling->count++] = known;
	return 0;
}

/* --- After ------------------------------------------------------------------------------------ */

static int into_wal_mode(sqlite3 *db)
{
	char mode[32] = "";
	int alone = 1, r;

	sqlite3_file_control(db, "main", VFS_CONTROL_ALONE, &alone);
	r = ask(db, "PRAGMA journal_mode = WAL", mode, sizeof mode);
	alone = 0;
	sqlite3_file_control(db, "main", VFS_CONTROL_ALONE, &alone);
	return r == SQLITE_OK && strcmp(mode, "wal") != 0 ? SQLITE_BUSY : r;
}

/* A commit like another writer's, with a schema that nobody has seen. */
static int commit_new_cookie(sqlite3 *db, const struct known *known)
{
	char sql[64], nothing[32];
	uint32_t cookie;
	int r = ask_cookie(db, &cookie);

	if (r != SQLITE_OK)
		return r;
	snprintf(sql, sizeof sql, "PRAGMA schema_version = %d",
		 (int)(MAX(cookie, known->cookie) + 1));
	return ask(db, sql, nothing, sizeof nothing);
}

/* In rollback modes the counter tells; a write of the header is whole or not at all. */
static int raise_counter(struct database *database, uint32_t beyond)
{
	uint8_t header[HEADER_BYTES];
	uint64_t id;
	int r = read_header(database, header);

	if (r < 0 || header[WRITE_VERSION_AT] == VERSION_WAL ||
	    get_be32(header + COUNTER_AT) > beyond)
		return r;
	put_be32(header + COUNTER_AT, beyond + 1);
	put_be32(header + VALID_FOR_AT, beyond + 1);
	r = store_open(database->store, database->name, false, &id);
	if (r < 0)
		return r;
	r = store_write(database->store, id, COUNTER_AT, header + COUNTER_AT,
			HEADER_BYTES - COUNTER_AT);
	store_unref(database->store, id);
	return r;
}

static int settle_by_commit(const struct known *known, bool used, char *words, size_t size)
{
	CLEANUP(connection) sqlite3 *db = NULL;
	int r = open_inner(known->database, &db);

	if (r == SQLITE_OK && used)
		r = into_wal_mode(db);
	if (r == SQLITE_OK)
		r = commit_new_cookie(db, known);
	if (r != SQLITE_OK)
		snprintf(words, size, "%s", db ? sqlite3_errmsg(db) : sqlite3_errstr(r));
	return r;
}

static void refuse(struct settling *settling, struct database *database, const char *words)
{
	struct problem *list = settling->unsettled;
	size_t used = strlen(list->text);

	__atomic_store_n(&database->broken,
			 __atomic_load_n(&settling->owner->generation, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	snprintf(list->text + used, sizeof list->text - used, "%s'%.200s': %s", used ? "; " : "",
		 database->name, words);
	log_warning("'%s' at the moment that it was put to: %s: its open connections are refused",
		    database->name, words);
}

static void settle(struct settling *settling, const struct known *known)
{
	struct database *database = known->database;
	bool used = locks_forget_shm(&database->locks);
	char words[256] = "";

	if (store_look(database->store, database->name, NULL) < 0)
		refuse(settling, database, "it is not there");
	else if (settle_by_commit(known, used, words, sizeof words) != SQLITE_OK)
		refuse(settling, database, words);
	else if (raise_counter(database, known->counter) < 0)
		refuse(settling, database, "its header cannot be written");
}

/* --- All of it -------------------------------------------------------------------------------- */

static bool tell_progress(struct settling *settling, const char *step, uint64_t done,
			  uint64_t total)
{
	const struct settle_options *options = settling->options;

	return !options->progress || options->progress(step, done, total, options->arg);
}

static bool tell_rewind(uint64_t done, uint64_t total, void *arg)
{
	return tell_progress(arg, "rewind", done, total);
}

static bool is_alive(void *arg)
{
	return tell_progress(arg, "wait", 0, 0);
}

static int move_head(struct settling *settling, const struct moment *to,
		     struct volume_backtrack *ret, struct problem *why)
{
	const struct volume_backtrack_options options = {.asked_time_us =
								 settling->options->asked_time_us,
							 .progress = tell_rewind,
							 .arg = settling};
	struct owner *owner = settling->owner;
	int r = volume_backtrack(owner->volume, to, &options, ret, why);

	if (r == 0)
		__atomic_add_fetch(&owner->generation, 1, __ATOMIC_ACQ_REL);
	return r;
}

static int backtrack(struct settling *settling, const struct moment *to,
		     struct volume_backtrack *ret, struct problem *why)
{
	const struct settle_options *options = settling->options;
	int timeout_ms = options->timeout_ms ? options->timeout_ms : SETTLE_TIMEOUT_MS;
	struct owner *owner = settling->owner;
	int64_t begun_us = clock_monotonic_us(), closed_us, moved_us;
	int r;

	if (!gate_close(&owner->gate, timeout_ms, is_alive, settling))
		return is_alive(settling)
			       ? problem(why, -EBUSY,
					 "a connection has been in a transaction for %d s: nothing "
					 "was done",
					 timeout_ms / 1000)
			       : problem(why, -ECANCELED, "cancelled; nothing was done");
	closed_us = clock_monotonic_us();
	owner_for_each_database(owner, remember, settling);
	r = move_head(settling, to, ret, why);
	moved_us = clock_monotonic_us();
	for (size_t i = 0; r == 0 && i < settling->count; i++) {
		tell_progress(settling, "settle", i, settling->count);
		settle(settling, &settling->known[i]);
	}
	gate_open(&owner->gate);
	if (r < 0)
		return r;
	ret->kill_us = closed_us - begun_us;
	ret->rewind_us = moved_us - closed_us;
	ret->start_us = clock_monotonic_us() - moved_us;
	ret->finished = true;
	volume_backtrack_took(owner->volume, ret->number, ret->kill_us, ret->rewind_us,
			      ret->start_us);
	return 0;
}

int settle_backtrack(struct owner *owner, const struct moment *to,
		     const struct settle_options *options, struct volume_backtrack *ret,
		     struct problem *unsettled, struct problem *why)
{
	struct settling settling = {.owner = owner, .options = options, .unsettled = unsettled};
	int r;

	unsettled->text[0] = 0;
	pthread_mutex_lock(&owner->work);
	r = backtrack(&settling, to, ret, why);
	pthread_mutex_unlock(&owner->work);
	for (size_t i = 0; i < settling.count; i++)
		database_put(settling.known[i].database);
	free(settling.known);
	return r;
}
