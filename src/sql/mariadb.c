/* MariaDB's connections, through libmariadb. */
#include "sql/mariadb.h"

#include "base/alloc.h"
#include "engine/engine.h"

#include <errno.h>
#include <limits.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <errmsg.h>
#include <stdio.h>
#include <string.h>

struct mariadb {
	struct sql sql; /* first */
	MYSQL *mysql;
	bool sent; /* and not yet looked whether it worked */
	MYSQL_RES *result;
	struct sql_value *values; /* of the row last read */
	size_t room;
};

struct mariadb_statement {
	struct sql_statement statement; /* first */
	MYSQL_STMT *stmt;
	MYSQL_BIND *binds;
	size_t count;
};

/*
 * What is read must be what is there, and what is given must be stored as it is.  Text that the
 * user wrote (--where) is UTF-8; rows come in no character set: as the bytes of the column.  A time
 * stamp in UTC is never ambiguous.
 */
static const char *const settings[] = {
	"SET NAMES utf8mb4",
	"SET character_set_results = NULL",
	"SET time_zone = '+00:00'",
	"SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'",
	"SET net_write_timeout = 3600, net_read_timeout = 3600, wait_timeout = 86400",
	"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
	"SET lock_wait_timeout = 60",
	/* A limit for everybody's statements is not meant for this. */
	"SET max_statement_time = 0",
	NULL,
};

/*
 * Without foreign key checks nothing cascades into tables that were not named, and the order of
 * rows does not matter; repair/ looks itself whether references would lead nowhere.
 */
static const char *const repair_settings[] = {
	"SET foreign_key_checks = 0",
	"SET check_constraint_checks = 0",
	"SET @unspill_repair = 1",
	NULL,
};

/* --- Errors ----------------------------------------------------------------------------------- */

static int errno_of(unsigned code)
{
	switch (code) {
	case ER_DUP_ENTRY:
	case ER_DUP_ENTRY_WITH_KEY_NAME:
		return -EEXIST;
	case ER_LOCK_DEADLOCK:
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_CHECKREAD:
		return -EDEADLK;
	case ER_ACCESS_DENIED_ERROR:
	case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
	case ER_DBACCESS_DENIED_ERROR:
	case ER_TABLEACCESS_DENIED_ERROR:
	case ER_COLUMNACCESS_DENIED_ERROR:
	case ER_SPECIFIC_ACCESS_DENIED_ERROR:
	case ER_OPTION_PREVENTS_STATEMENT:
		return -EACCES;
	case ER_NO_SUCH_TABLE:
	case ER_NO_SUCH_TABLE_IN_ENGINE:
	case ER_BAD_DB_ERROR:
	case ER_BAD_FIELD_ERROR:
	case ER_BAD_TABLE_ERROR:
		return -ENOENT;
	case ER_PARSE_ERROR:
	case ER_SYNTAX_ERROR:
		return -EINVAL;
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_CONNECTION_ERROR:
	case ER_SERVER_SHUTDOWN:
	case ER_CONNECTION_KILLED:
		return -ECONNRESET;
	default:
		return -EIO;
	}
}

static int failed(struct mariadb *mariadb, struct problem *why)
{
	return problem(why, errno_of(mysql_errno(mariadb->mysql)), "%s",
		       mysql_error(mariadb->mysql));
}

static int statement_failed(MYSQL_STMT *stmt, struct problem *why)
{
	return problem(why, errno_of(mysql_stmt_errno(stmt)), "%s", mysql_stmt_error(stmt));
}

/* --- Connections ------------------------------------------------------------------------------ */

static void close_connection(struct sql *sql)
{
	struct mariadb *mariadb = (struct mariadb *)sql;

	/* Not read to its end: the connection is closed, which costs less than the rest. */
	if (mariadb->mysql)
		mysql_close(mariadb->mysql);
	if (mariadb->result)
		mysql_free_result(mariadb->result);
	free(mariadb->values);
	free(mariadb);
}

static int run(struct sql *sql, const struct buffer *text, uint64_t *ret_rows, struct problem *why)
{
	struct mariadb *mariadb = (struct mariadb *)sql;

	if (mysql_real_query(mariadb->mysql, (const char *)text->data, text->size))
		return failed(mariadb, why);
	if (mysql_field_count(mariadb->mysql))
		mysql_free_result(mysql_store_result(mariadb->mysql));
	*ret_rows = mysql_affected_rows(mariadb->mysql);
	return 0;
}

static int open_connection(const struct engine_place *place, struct sql **ret, struct problem *why)
{
	CLEANUP(sql) struct sql *sql = xcalloc(1, sizeof(struct mariadb));
	struct mariadb *mariadb = (struct mariadb *)sql;
	char client[PATH_MAX], sock[PATH_MAX];
	const struct engine *engine = engine_find("mariadb", NULL);
	unsigned seconds = 30;
	int r;

	sql->dialect = &sql_mariadb;
	if (snprintf(client, sizeof client, "%s/client.cnf", place->run_dir) >= PATH_MAX ||
	    snprintf(sock, sizeof sock, "%s/%s", place->run_dir, engine->socket) >= PATH_MAX)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", place->run_dir);
	mariadb->mysql = xcheck(mysql_init(NULL));
	mysql_options(mariadb->mysql, MYSQL_READ_DEFAULT_FILE, client);
	mysql_options(mariadb->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	if (!mysql_real_connect(mariadb->mysql, NULL, NULL, NULL, NULL, 0, sock, CLIENT_FOUND_ROWS))
		return failed(mariadb, why);
	for (const char *const *setting = settings; *setting; setting++) {
		r = sql_run(sql, *setting, NULL, why);
		if (r < 0)
			return r;
	}
	*ret = take(sql);
	return 0;
}

/* --- Queries ---------------------------------------------------------------------------------- */

static int send_query(struct sql *sql, const struct buffer *text, struct problem *why)
{
	struct mariadb *mariadb = (struct mariadb *)sql;

	if (mysql_send_query(mariadb->mysql, (const char *)text->data, text->size))
		return failed(mariadb, why);
	mariadb->sent = sql->open_rows = true;
	return 0;
}

static int begin_rows(struct mariadb *mariadb, struct problem *why)
{
	mariadb->sent = false;
	if (mysql_read_query_result(mariadb->mysql))
		return failed(mariadb, why);
	mariadb->result = mysql_use_result(mariadb->mysql);
	if (!mariadb->result)
		return mysql_errno(mariadb->mysql) ? failed(mariadb, why) : 0;
	if (mysql_num_fields(mariadb->result) > mariadb->room) {
		mariadb->room = mysql_num_fields(mariadb->result);
		mariadb->values =
			xreallocarray(mariadb->values, mariadb->room, sizeof *mariadb->values);
	}
	return 1;
}

static int end_rows(struct mariadb *mariadb, int r)
{
	if (mariadb->result)
		mysql_free_result(mariadb->result);
	mariadb->result = NULL;
	mariadb->sql.open_rows = false;
	return r;
}

static int next_row(struct sql *sql, struct sql_row *ret, struct problem *why)
{
	struct mariadb *mariadb = (struct mariadb *)sql;
	unsigned long *sizes;
	MYSQL_ROW row;
	int r;

	if (mariadb->sent) {
		r = begin_rows(mariadb, why);
		if (r <= 0)
			return end_rows(mariadb, r);
	}
	if (!mariadb->result)
		return 0;
	row = mysql_fetch_row(mariadb->result);
	if (!row)
		return end_rows(mariadb, mysql_errno(mariadb->mysql) ? failed(mariadb, why) : 0);
	sizes = mysql_fetch_lengths(mariadb->result);
	ret->count = mysql_num_fields(mariadb->result);
	ret->values = mariadb->values;
	for (size_t i = 0; i < ret->count; i++)
		ret->values[i] = (struct sql_value){row[i], row[i] ? sizes[i] : 0};
	return 1;
}

/* --- Prepared statements ---------------------------------------------------------------------- */

static void statement_free(struct sql_statement *statement)
{
	struct mariadb_statement *own = (struct mariadb_statement *)statement;

	if (own->stmt)
		mysql_stmt_close(own->stmt);
	free(own->binds);
	free(own);
}

static int prepare(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		   struct problem *why)
{
	struct mariadb *mariadb = (struct mariadb *)sql;
	CLEANUP(sql_statement) struct sql_statement *statement = NULL;
	struct mariadb_statement *own = xcalloc(1, sizeof *own);

	statement = &own->statement;
	statement->sql = sql;
	own->stmt = xcheck(mysql_stmt_init(mariadb->mysql));
	if (mysql_stmt_prepare(own->stmt, (const char *)text->data, text->size))
		return statement_failed(own->stmt, why);
	own->count = mysql_stmt_param_count(own->stmt);
	own->binds = xcalloc(own->count, sizeof *own->binds);
	*ret = take(statement);
	return 0;
}

/* Every value goes as a BLOB, of which the server takes the bytes as they are; what the column
 * wants instead is around the placeholder. */
static int execute(struct sql_statement *statement, const struct sql_value *values, size_t count,
		   uint64_t *ret_rows, struct problem *why)
{
	struct mariadb_statement *own = (struct mariadb_statement *)statement;

	if (count != own->count)
		return problem(why, -EUCLEAN, "%zu values for %zu placeholders", count, own->count);
	for (size_t i = 0; i < count; i++)
		own->binds[i] = (MYSQL_BIND){
			.buffer_type = values[i].data ? MYSQL_TYPE_BLOB : MYSQL_TYPE_NULL,
			.buffer = (void *)values[i].data,
			.buffer_length = values[i].size,
		};
	if (mysql_stmt_bind_param(own->stmt, own->binds) || mysql_stmt_execute(own->stmt))
		return statement_failed(own->stmt, why);
	*ret_rows = mysql_stmt_affected_rows(own->stmt);
	return 0;
}

/*
 * One packet with all sets of values, column by column.  What the server says of the rows it found
 * is the sum over all.
 */
struct bulk {
	unsigned count, times;
	const void **data;
	unsigned long *sizes;
	char *marks;
};

static void bulk_done(struct bulk *bulk)
{
	free(bulk->data);
	free(bulk->sizes);
	free(bulk->marks);
}

static void bulk_cleanup(struct bulk *bulk)
{
	bulk_done(bulk);
}

static void bulk_fill(struct bulk *bulk, const struct sql_value *values, MYSQL_BIND *binds)
{
	size_t cells = (size_t)bulk->count * bulk->times;

	bulk->data = xcalloc(cells, sizeof *bulk->data);
	bulk->sizes = xcalloc(cells, sizeof *bulk->sizes);
	bulk->marks = xcalloc(cells, 1);
	for (size_t column = 0; column < bulk->count; column++) {
		size_t first = column * bulk->times;

		for (size_t row = 0; row < bulk->times; row++) {
			const struct sql_value *value = &values[row * bulk->count + column];

			bulk->data[first + row] = value->data;
			bulk->sizes[first + row] = value->size;
			bulk->marks[first + row] =
				value->data ? STMT_INDICATOR_NONE : STMT_INDICATOR_NULL;
		}
		binds[column] = (MYSQL_BIND){
			.buffer_type = MYSQL_TYPE_BLOB,
			.buffer = &bulk->data[first],
			.length = &bulk->sizes[first],
			.u.indicator = &bulk->marks[first],
		};
	}
}

static int execute_many(struct sql_statement *statement, const struct sql_value *values,
			size_t count, size_t times, uint64_t *ret_rows, struct problem *why)
{
	struct mariadb_statement *own = (struct mariadb_statement *)statement;
	CLEANUP(bulk) struct bulk bulk = {.count = count, .times = times};
	unsigned rows = times, one = 0;
	int r = 0;

	if (count != own->count)
		return problem(why, -EUCLEAN, "%zu values for %zu placeholders", count, own->count);
	bulk_fill(&bulk, values, own->binds);
	mysql_stmt_attr_set(own->stmt, STMT_ATTR_ARRAY_SIZE, &rows);
	if (mysql_stmt_bind_param(own->stmt, own->binds) || mysql_stmt_execute(own->stmt))
		r = statement_failed(own->stmt, why);
	else
		*ret_rows = mysql_stmt_affected_rows(own->stmt);
	mysql_stmt_attr_set(own->stmt, STMT_ATTR_ARRAY_SIZE, &one);
	return r;
}

const struct sql_dialect sql_mariadb = {
	.engine = "mariadb",
	.open = open_connection,
	.close = close_connection,
	.send = send_query,
	.next = next_row,
	.run = run,
	.prepare = prepare,
	.execute = execute,
	.execute_many = execute_many,
	.statement_free = statement_free,
	.list = mariadb_list,
	.describe = mariadb_describe,
	.references = mariadb_references,
	.show = mariadb_show,
	.define = mariadb_define,
	.settle = mariadb_settle,
	.unsettle = mariadb_unsettle,
	.file_bytes = mariadb_file_bytes,
	.put_from_file = mariadb_put_from_file,
	.quote = '`',
	.put_text = mariadb_put_text,
	.put_read = mariadb_put_read,
	.put_same = mariadb_put_same,
	.put_given = mariadb_put_given,
	.put_native = mariadb_put_native,
	.put_hash = mariadb_put_hash,
	.put_hash_of_rows = mariadb_put_hash_of_rows,
	.put_shown = mariadb_put_shown,
	.session_settings = settings,
	.repair_settings = repair_settings,
	.trigger_hint = "they can tell by @unspill_repair, which is 1",
};
