/*
 * VFS bed: a volume on a disk in memory, owned by this process, and SQLite on it.
 *
 * The run: transactions 1, 2, ... each of which adds a row to `log` and sets `last` to its number.
 * A database that is whole shows, for some number n, exactly the rows 1 to n.
 */
#pragma once

#include "tap.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "disk/disk.h"
#include "vfs/owner.h"
#include "vfs/settle.h"
#include "vfs/sqlite.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdlib.h>

#define BED_DIRECTORY "/unspill-test"
#define BED_PATH BED_DIRECTORY "/app.db"
#define BED_SEGMENT (256 * 1024)

struct bed {
	struct disk *disk;
	struct volume *volume;
	struct owner *owner;
	struct volume_options options;
	struct problem why;
	int64_t now_us;
};

static inline int64_t bed_clock(void *arg)
{
	return __atomic_add_fetch(&((struct bed *)arg)->now_us, 10, __ATOMIC_RELAXED);
}

/* Takes the disk, in the end. */
static inline int bed_open(struct bed *bed, struct disk *disk)
{
	int r;

	bed->disk = disk;
	bed->options.clock = bed_clock;
	bed->options.clock_arg = bed;
	bed->options.bytes_reserved = 1;
	bed->options.checkpoint_records = bed->options.background ? 0 : UINT64_MAX;
	r = volume_open(disk, &bed->options, &bed->volume, &bed->why);
	if (r == 0)
		bed->owner = owner_adopt(BED_DIRECTORY, disk, bed->volume);
	else
		disk_close(take(bed->disk));
	return r;
}

static inline struct disk *bed_format(struct bed *bed)
{
	struct volume_format_options format = {.segment_bytes = BED_SEGMENT,
					       .window_us = INT64_C(3600) * 1000000,
					       .root_mode = 0755,
					       .clock = bed_clock,
					       .clock_arg = bed};
	struct disk *disk = disk_memory_new(1);

	bed->now_us = INT64_C(1000) * 1000000;
	check(volume_format(disk, &format, &bed->why) == 0, "%s", bed->why.text);
	return disk;
}

static inline bool bed_init(struct bed *bed)
{
	*bed = (struct bed){0};
	return check(bed_open(bed, bed_format(bed)) == 0, "%s", bed->why.text);
}

static inline void bed_done(struct bed *bed)
{
	owner_put(take(bed->owner));
}

static inline sqlite3 *bed_connect(const char *path)
{
	sqlite3 *db = NULL;
	int r = sqlite3_open_v2(
		path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, VFS_NAME);

	if (r != SQLITE_OK) {
		sqlite3_close(db);
		return NULL;
	}
	sqlite3_busy_timeout(db, 20000);
	return db;
}

static inline int run_sql(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The first column of the first row; "" for none, "!" and the error. */
static inline const char *ask_sql(sqlite3 *db, const char *sql)
{
	static _Thread_local char text[512];
	sqlite3_stmt *statement = NULL;
	int r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	text[0] = 0;
	if (r == SQLITE_OK) {
		r = sqlite3_step(statement);
		if (r == SQLITE_ROW)
			snprintf(text, sizeof text, "%s",
				 (const char *)sqlite3_column_text(statement, 0));
	}
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		snprintf(text, sizeof text, "!%s", sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	return text;
}

static inline int set_mode(sqlite3 *db, const char *mode)
{
	char sql[64];

	snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", mode);
	return strcasecmp(ask_sql(db, sql), mode) == 0 ? SQLITE_OK : SQLITE_ERROR;
}

/* --- The run ---------------------------------------------------------------------------------- */

#define MAKE_TABLES                                            \
	"CREATE TABLE log (n INTEGER PRIMARY KEY, body BLOB);" \
	"CREATE INDEX by_body ON log (substr(body, 1, 8));"    \
	"CREATE TABLE last (n INTEGER); INSERT INTO last VALUES (0)"

static inline int bytes_of(int n)
{
	return n * 7919 % 9000;
}

static inline int transact(sqlite3 *db, int n)
{
	char sql[256];

	snprintf(sql, sizeof sql,
		 "BEGIN IMMEDIATE; INSERT INTO log VALUES (%d, randomblob(%d)); UPDATE last SET n "
		 "= %d; "
		 "COMMIT",
		 n, bytes_of(n), n);
	int r = run_sql(db, sql);

	if (r != SQLITE_OK && !sqlite3_get_autocommit(db))
		run_sql(db, "ROLLBACK");
	return r;
}

/* The number n that the database shows, whole; -1: it is not whole, and it was said. */
static inline int shows(sqlite3 *db)
{
	long long bytes = 0;
	char sum[64];
	int n;

	if (!check(strcmp(ask_sql(db, "PRAGMA integrity_check"), "ok") == 0, "%s",
		   ask_sql(db, "PRAGMA integrity_check")))
		return -1;
	n = atoi(ask_sql(db, "SELECT n FROM last"));
	for (int i = 1; i <= n; i++)
		bytes += bytes_of(i);
	snprintf(sum, sizeof sum, "%d %d %lld", n, n, n ? bytes : 0LL);
	if (!check(strcmp(ask_sql(db, "SELECT count(*) || ' ' || ifnull(max(n), 0) || ' ' || "
				      "ifnull(sum(length(body)), 0) FROM log"),
			  sum) == 0,
		   "%s", sum))
		return -1;
	return n;
}
