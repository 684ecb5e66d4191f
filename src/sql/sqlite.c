/* SQLite: sessions on a database whose volume is in this process, or in another one. */
#include "sql/sqlite.h"

#include "base/alloc.h"
#include "engine/engine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct sqlite_statement {
	struct sql_statement statement; /* first */
	struct buffer text;
	struct session_value *values;
	size_t room;
};

/* What a new connection does not have anyway: see session.h. */
static const char *const settings[] = {NULL};

/* So that nothing cascades into tables that were not named, and rows come back that a check would
 * refuse today. */
static const char *const repair_settings[] = {
	"PRAGMA foreign_keys = 0",
	"PRAGMA ignore_check_constraints = 1",
	NULL,
};

/* --- Connections ------------------------------------------------------------------------------ */

static void close_session(struct sql *sql)
{
	struct sqlite *sqlite = (struct sqlite *)sql;

	session_close(sqlite->session);
	free(sqlite->values);
	free(sqlite);
}

/* What is read is UTF-8, and would not be the same bytes there. */
static int check_encoding(struct sql *sql, struct problem *why)
{
	const struct buffer text = {.data = (uint8_t *)"PRAGMA encoding", .size = 15};
	struct sql_row row;
	bool is_utf8 = true;
	int r;

	r = sql_send(sql, &text, why);
	if (r == 0)
		r = sql_next(sql, &row, why);
	if (r > 0)
		is_utf8 = row.values[0].size == 5 && !memcmp(row.values[0].data, "UTF-8", 5);
	if (r < 0)
		return r;
	sql_drop(sql);
	return is_utf8 ? 0
		       : problem(why, -EOPNOTSUPP,
				 "the database is in UTF-16; only those in UTF-8 can be read row "
				 "by row");
}

/* `data_dir` is the database's path; NULL: another process has the volume, and listens in
 * `run_dir`. */
static int open_session(const struct engine_place *place, struct sql **ret, struct problem *why)
{
	CLEANUP(sql) struct sql *sql = xcalloc(1, sizeof(struct sqlite));
	struct sqlite *sqlite = (struct sqlite *)sql;
	char path[PATH_MAX];
	int r;

	sql->dialect = &sql_sqlite;
	if (place->data_dir) {
		r = session_open(place->data_dir, &sqlite->session, why);
	} else {
		if (snprintf(path, sizeof path, "%s/control.sock", place->run_dir) >= PATH_MAX)
			return problem(why, -ENAMETOOLONG, "the path '%s' is too long",
				       place->run_dir);
		r = session_connect(path, &sqlite->session, why);
	}
	if (r == 0)
		r = check_encoding(sql, why);
	if (r < 0)
		return r;
	*ret = take(sql);
	return 0;
}

/* --- Statements ------------------------------------------------------------------------------- */

static int send_query(struct sql *sql, const struct buffer *text, struct problem *why)
{
	struct sqlite *sqlite = (struct sqlite *)sql;
	int r = session_send(sqlite->session, text->data, text->size, NULL, 0, why);

	sql->open_rows = r == 0;
	return r;
}

static int next_row(struct sql *sql, struct sql_row *ret, struct problem *why)
{
	struct sqlite *sqlite = (struct sqlite *)sql;
	const struct session_value *values;
	size_t count;
	int r;

	if (!sql->open_rows)
		return 0;
	r = session_next(sqlite->session, &values, &count, why);
	if (r <= 0) {
		sql->open_rows = false;
		return r;
	}
	if (count > sqlite->room) {
		sqlite->room = count;
		sqlite->values = xreallocarray(sqlite->values, count, sizeof *sqlite->values);
	}
	for (size_t i = 0; i < count; i++)
		sqlite->values[i] = (struct sql_value){values[i].data, values[i].size};
	*ret = (struct sql_row){sqlite->values, count};
	return 1;
}

/* To its end, whatever it gives. */
static int run_with(struct sqlite *sqlite, const struct buffer *text,
		    const struct session_value *values, size_t count, uint64_t *ret_rows,
		    struct problem *why)
{
	const struct session_value *row;
	size_t columns;
	int r;

	r = session_send(sqlite->session, text->data, text->size, values, count, why);
	while (r >= 0 && (r = session_next(sqlite->session, &row, &columns, why)) > 0)
		;
	*ret_rows = session_changes(sqlite->session);
	return r;
}

static int run(struct sql *sql, const struct buffer *text, uint64_t *ret_rows, struct problem *why)
{
	return run_with((struct sqlite *)sql, text, NULL, 0, ret_rows, why);
}

static void statement_free(struct sql_statement *statement)
{
	struct sqlite_statement *own = (struct sqlite_statement *)statement;

	buffer_done(&own->text);
	free(own->values);
	free(own);
}

/* The session keeps the statements that it was sent last. */
static int prepare(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		   struct problem *why)
{
	struct sqlite_statement *own = xcalloc(1, sizeof *own);

	own->statement.sql = sql;
	buffer_put(&own->text, text->data, text->size);
	*ret = &own->statement;
	return 0;
}

static int execute(struct sql_statement *statement, const struct sql_value *values, size_t count,
		   uint64_t *ret_rows, struct problem *why)
{
	struct sqlite_statement *own = (struct sqlite_statement *)statement;

	if (count > own->room) {
		own->room = count;
		own->values = xreallocarray(own->values, count, sizeof *own->values);
	}
	for (size_t i = 0; i < count; i++)
		own->values[i] = (struct session_value){values[i].data, values[i].size};
	return run_with((struct sqlite *)statement->sql, &own->text, own->values, count, ret_rows,
			why);
}

const struct sql_dialect sql_sqlite = {
	.engine = "sqlite",
	.open = open_session,
	.close = close_session,
	.send = send_query,
	.next = next_row,
	.run = run,
	.prepare = prepare,
	.execute = execute,
	.statement_free = statement_free,
	.list = sqlite_list,
	.describe = sqlite_describe,
	.references = sqlite_references,
	.show = sqlite_show,
	.define = sqlite_define,
	.numbers = sqlite_numbers,
	.quote = '"',
	.put_text = sqlite_put_text,
	.put_read = sqlite_put_read,
	.put_same = sqlite_put_same,
	.put_given = sqlite_put_given,
	.put_native = sqlite_put_given,
	.put_hash = sqlite_put_hash,
	.put_hash_of_rows = sqlite_put_hash_of_rows,
	.put_shown = sqlite_put_shown,
	.session_settings = settings,
	.repair_settings = repair_settings,
	/* Were it to begin as a reader, another writer could make it fail in its middle. */
	.begin = "BEGIN IMMEDIATE",
	/* Whatever the table says of conflicts: its REPLACE would remove rows that nobody named. */
	.or_fail = " OR ABORT",
	.one_writer = true,
	.sum = "unspill_sum",
};
