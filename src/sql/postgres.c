/* PostgreSQL's connections, through libpq. */
#include "sql/postgres.h"

#include "base/alloc.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct postgres_statement {
	struct sql_statement statement; /* first */
	char name[32];
	struct buffer text;  /* the values of one execution, each with a NUL behind it */
	const char **values; /* into it */
	size_t room;
};

/*
 * What is read must be what is there, and what is given must be stored as it is: times in UTC,
 * floats with all their digits, XML that is no whole document, money without a country.  Nothing is
 * found but by its full name, so that nobody's function is called instead of the server's own.
 */
static const char *const settings[] = {
	"SET search_path = ''",
	"SET standard_conforming_strings = on",
	"SET DateStyle = 'ISO, YMD'",
	"SET IntervalStyle = 'postgres'",
	"SET TimeZone = 'UTC'",
	"SET extra_float_digits = 3",
	"SET bytea_output = 'hex'",
	"SET xmloption = 'content'",
	"SET lc_monetary = 'C'",
	"SET row_security = off",
	"SET jit = off",
	/* Limits for everybody's statements are not meant for this. */
	"SET statement_timeout = 0",
	"SET idle_in_transaction_session_timeout = 0",
	"SET lock_timeout = '60s'",
	"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
	NULL,
};

/*
 * As a subscriber that applies what others did: neither foreign keys are looked after nor triggers
 * fired nor rules followed, but those that are there for subscribers (ENABLE REPLICA, ALWAYS).
 */
static const char *const repair_settings[] = {
	"SET session_replication_role = replica",
	NULL,
};

/* --- Errors ----------------------------------------------------------------------------------- */

static int errno_of(const char *state)
{
	static const struct {
		const char *state; /* or what it begins with */
		int r;
	} errors[] = {
		{"23505", -EEXIST},     {"23P01", -EEXIST},     {"40P01", -EDEADLK},
		{"40001", -EDEADLK},    {"55P03", -EDEADLK},    {"42501", -EACCES},
		{"28", -EACCES},        {"42P01", -ENOENT},     {"42703", -ENOENT},
		{"3F000", -ENOENT},     {"3D000", -ENOENT},     {"42601", -EINVAL},
		{"42883", -EINVAL},     {"42804", -EINVAL},     {"42P18", -EINVAL},
		{"22", -EINVAL},        {"08", -ECONNRESET},    {"57P01", -ECONNRESET},
		{"57P02", -ECONNRESET}, {"57P03", -ECONNRESET},
	};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (!strncmp(state, errors[i].state, strlen(errors[i].state)))
			return errors[i].r;
	return -EIO;
}

/* In one line. */
static void flatten(char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			*text = ' ';
}

static int say(struct problem *why, int r, const char *words, const char *detail)
{
	problem(why, r, "%s%s%s", words, detail ? ": " : "", detail ? detail : "");
	if (why)
		flatten(why->text);
	return r;
}

static int failed(struct postgres *postgres, const PGresult *result, struct problem *why)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (!words || !state || PQstatus(postgres->connection) == CONNECTION_BAD)
		return say(why, -ECONNRESET, "the server closed the connection", NULL);
	return say(why, errno_of(state), words, PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
}

/* --- Connections ------------------------------------------------------------------------------ */

static void result_cleanup(PGresult **result)
{
	PQclear(*result);
}

static void disconnect(struct postgres *postgres)
{
	PQclear(take(postgres->result));
	PQfinish(take(postgres->connection));
	free(take(postgres->database));
	postgres->sql.open_rows = false;
}

static void close_connection(struct sql *sql)
{
	struct postgres *postgres = (struct postgres *)sql;

	disconnect(postgres);
	free(postgres->values);
	free(postgres);
}

/* Only our own words are run by this; there may be several statements in them. */
static int run(struct sql *sql, const struct buffer *text, uint64_t *ret_rows, struct problem *why)
{
	struct postgres *postgres = (struct postgres *)sql;
	CLEANUP(free) char *words = strndup((const char *)text->data, text->size);
	CLEANUP(result) PGresult *result = PQexec(postgres->connection, xcheck(words));
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
		return failed(postgres, result, why);
	/* That is how it tells that the transaction had failed before. */
	if (!strcmp(words, "COMMIT") && strcmp(PQcmdStatus(result), "COMMIT"))
		return problem(why, -EIO, "the server rolled the transaction back");
	*ret_rows = strtoull(PQcmdTuples(result), NULL, 10);
	return 0;
}

/* "FATAL:  role ... is not permitted": libpq puts the whole path of the socket before it. */
static int connect_failed(PGconn *connection, struct problem *why)
{
	const char *message = PQerrorMessage(connection);
	const char *fatal = strstr(message, "FATAL:  ");
	CLEANUP(free) char *words = xstrdup(fatal ? fatal + strlen("FATAL:  ") : message);
	bool no_database = strstr(words, "database \"") && strstr(words, "does not exist");

	words[strcspn(words, "\n")] = 0;
	if (!fatal)
		return say(why, -ECONNREFUSED, words, NULL);
	return say(why, no_database ? -ENOENT : -EACCES, words, NULL);
}

static void ignore(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/*
 * Text comes in the database's own encoding, so that nothing is converted.  Settings that not every
 * version has are set where they are.
 */
static int set_up(struct postgres *postgres, struct problem *why)
{
	const char *encoding = PQparameterStatus(postgres->connection, "server_encoding");
	int r;

	PQsetNoticeReceiver(postgres->connection, ignore, NULL);
	if (!encoding || PQsetClientEncoding(postgres->connection, encoding) < 0)
		return problem(why, -EIO, "the server does not speak its own encoding");
	for (const char *const *setting = settings; *setting; setting++) {
		r = sql_run(&postgres->sql, *setting, NULL, why);
		if (r < 0)
			return r;
	}
	return sql_run(&postgres->sql,
		       "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN"
		       " ('idle_session_timeout', 'transaction_timeout')",
		       NULL, why);
}

int postgres_connect(struct postgres *postgres, const char *database, struct problem *why)
{
	static const char *const names[] = {"host",     "port",    "user",     "dbname",
					    "password", "options", "passfile", "connect_timeout",
					    NULL};
	/* Nothing of what the environment or a file may say for clients. */
	const char *const values[] = {postgres->host, "5432", "postgres", database, "", "",
				      "/dev/null/",   "30",   NULL};

	if (postgres->database && !strcmp(postgres->database, database))
		return 0;
	disconnect(postgres);
	postgres->connection = xcheck(PQconnectdbParams(names, values, 0));
	if (PQstatus(postgres->connection) != CONNECTION_OK) {
		int r = connect_failed(postgres->connection, why);

		disconnect(postgres);
		return r;
	}
	postgres->database = xstrdup(database);
	return set_up(postgres, why);
}

int postgres_use(struct sql *sql, const char *schema, struct problem *why)
{
	CLEANUP(free) char *database = NULL, *own = NULL;

	postgres_part(schema, &database, &own);
	return postgres_connect((struct postgres *)sql, database, why);
}

static int open_connection(const struct engine_place *place, struct sql **ret, struct problem *why)
{
	CLEANUP(sql) struct sql *sql = xcalloc(1, sizeof(struct postgres));
	struct postgres *postgres = (struct postgres *)sql;
	int r;

	sql->dialect = &sql_postgres;
	if (snprintf(postgres->host, sizeof postgres->host, "%s/server", place->run_dir) >=
	    PATH_MAX)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", place->run_dir);
	/* People may drop the first; the second they cannot. */
	r = postgres_connect(postgres, "postgres", why);
	if (r == -ENOENT)
		r = postgres_connect(postgres, "template1", why);
	if (r < 0)
		return r;
	*ret = take(sql);
	return 0;
}

/* --- Queries ---------------------------------------------------------------------------------- */

/* As a statement with parameters, of which it has none: then it cannot be two statements. */
static int send_query(struct sql *sql, const struct buffer *text, struct problem *why)
{
	struct postgres *postgres = (struct postgres *)sql;
	CLEANUP(free) char *words = strndup((const char *)text->data, text->size);

	if (!PQsendQueryParams(postgres->connection, xcheck(words), 0, NULL, NULL, NULL, NULL, 0) ||
	    !PQsetSingleRowMode(postgres->connection))
		return say(why, -ECONNRESET, PQerrorMessage(postgres->connection), NULL);
	sql->open_rows = true;
	return 0;
}

/* To the end of it, so that the connection is free again. */
static int end_rows(struct postgres *postgres, int r)
{
	PGresult *rest;

	PQclear(take(postgres->result));
	while ((rest = PQgetResult(postgres->connection)) != NULL)
		PQclear(rest);
	postgres->sql.open_rows = false;
	return r;
}

static int next_row(struct sql *sql, struct sql_row *ret, struct problem *why)
{
	struct postgres *postgres = (struct postgres *)sql;
	ExecStatusType status;

	if (!sql->open_rows)
		return 0;
	PQclear(postgres->result);
	postgres->result = PQgetResult(postgres->connection);
	status = PQresultStatus(postgres->result);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return end_rows(postgres, 0);
	if (status != PGRES_SINGLE_TUPLE)
		return end_rows(postgres, failed(postgres, postgres->result, why));
	ret->count = PQnfields(postgres->result);
	if (ret->count > postgres->room) {
		postgres->room = ret->count;
		postgres->values =
			xreallocarray(postgres->values, postgres->room, sizeof *postgres->values);
	}
	ret->values = postgres->values;
	for (size_t i = 0; i < ret->count; i++) {
		int at = (int)i;
		bool null = PQgetisnull(postgres->result, 0, at);

		ret->values[i] =
			(struct sql_value){null ? NULL : PQgetvalue(postgres->result, 0, at),
					   PQgetlength(postgres->result, 0, at)};
	}
	return 1;
}

/* --- Prepared statements ---------------------------------------------------------------------- */

static void statement_free(struct sql_statement *statement)
{
	struct postgres_statement *own = (struct postgres_statement *)statement;
	struct postgres *postgres = (struct postgres *)statement->sql;
	char text[64];

	snprintf(text, sizeof text, "DEALLOCATE %s", own->name);
	if (own->name[0])
		PQclear(PQexec(postgres->connection, text));
	buffer_done(&own->text);
	free(own->values);
	free(own);
}

static int prepare(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		   struct problem *why)
{
	struct postgres *postgres = (struct postgres *)sql;
	CLEANUP(sql_statement) struct sql_statement *statement = NULL;
	struct postgres_statement *own = xcalloc(1, sizeof *own);
	CLEANUP(result) PGresult *result = NULL;
	CLEANUP(buffer) struct buffer numbered = {0};
	char name[sizeof own->name];

	statement = &own->statement;
	statement->sql = sql;
	postgres_number_placeholders(text, &numbered);
	snprintf(name, sizeof name, "unspill_%u", ++postgres->statements);
	result = PQprepare(postgres->connection, name, (const char *)numbered.data, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		return failed(postgres, result, why);
	memcpy(own->name, name, sizeof name);
	*ret = take(statement);
	return 0;
}

/* libpq wants texts to end in NUL. */
static void copy_values(struct postgres_statement *own, const struct sql_value *values,
			size_t count)
{
	size_t at = 0;

	if (count > own->room) {
		own->room = count;
		own->values = xreallocarray(own->values, count, sizeof *own->values);
	}
	own->text.size = 0;
	for (size_t i = 0; i < count; i++) {
		if (values[i].data)
			buffer_put(&own->text, values[i].data, values[i].size);
		buffer_put8(&own->text, 0);
	}
	for (size_t i = 0; i < count; i++) {
		own->values[i] = values[i].data ? (const char *)own->text.data + at : NULL;
		at += (values[i].data ? values[i].size : 0) + 1;
	}
}

static int execute(struct sql_statement *statement, const struct sql_value *values, size_t count,
		   uint64_t *ret_rows, struct problem *why)
{
	struct postgres_statement *own = (struct postgres_statement *)statement;
	struct postgres *postgres = (struct postgres *)statement->sql;
	CLEANUP(result) PGresult *result = NULL;

	copy_values(own, values, count);
	result = PQexecPrepared(postgres->connection, own->name, (int)count, own->values, NULL,
				NULL, 0);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		return failed(postgres, result, why);
	*ret_rows = strtoull(PQcmdTuples(result), NULL, 10);
	return 0;
}

/* The results of a pipeline, to its end.  After an error what came behind it was left undone. */
static int end_pipeline(struct postgres *postgres, uint64_t *ret_rows, struct problem *why)
{
	bool ended = false;
	int r = 0;

	*ret_rows = 0;
	while (!ended) {
		CLEANUP(result) PGresult *result = PQgetResult(postgres->connection);

		switch (PQresultStatus(result)) {
		case PGRES_COMMAND_OK:
			*ret_rows += strtoull(PQcmdTuples(result), NULL, 10);
			break;
		case PGRES_PIPELINE_SYNC:
			ended = true;
			break;
		case PGRES_PIPELINE_ABORTED:
			break;
		default:
			/* NULL is the end of one statement, and of all where the server is gone. */
			ended = PQstatus(postgres->connection) == CONNECTION_BAD;
			if ((result || ended) && r == 0)
				r = failed(postgres, result, why);
		}
	}
	return r;
}

/* All are sent before the first is answered: the way to the server and back is gone once. */
static int execute_many(struct sql_statement *statement, const struct sql_value *values,
			size_t count, size_t times, uint64_t *ret_rows, struct problem *why)
{
	struct postgres_statement *own = (struct postgres_statement *)statement;
	struct postgres *postgres = (struct postgres *)statement->sql;
	bool sent = true;
	int r;

	if (!PQenterPipelineMode(postgres->connection))
		return problem(why, -EUCLEAN, "the connection is not free");
	for (size_t i = 0; i < times && sent; i++) {
		copy_values(own, values + i * count, count);
		sent = PQsendQueryPrepared(postgres->connection, own->name, (int)count, own->values,
					   NULL, NULL, 0);
	}
	sent = PQpipelineSync(postgres->connection) && sent;
	r = end_pipeline(postgres, ret_rows, why);
	PQexitPipelineMode(postgres->connection);
	return r == 0 && !sent
		       ? problem(why, -ECONNRESET, "%s", PQerrorMessage(postgres->connection))
		       : r;
}

const struct sql_dialect sql_postgres = {
	.engine = "postgresql",
	.open = open_connection,
	.close = close_connection,
	.use = postgres_use,
	.send = send_query,
	.next = next_row,
	.run = run,
	.prepare = prepare,
	.execute = execute,
	.execute_many = execute_many,
	.statement_free = statement_free,
	.list = postgres_list,
	.is_named = postgres_is_named,
	.describe = postgres_describe,
	.references = postgres_references,
	.verify = postgres_verify,
	.show = postgres_show,
	.define = postgres_define,
	.numbers = postgres_numbers,
	.quote = '"',
	.put_table = postgres_put_table,
	.put_text = postgres_put_text,
	.put_read = postgres_put_read,
	.put_same = postgres_put_same,
	.put_given = postgres_put_given,
	/* A constant without a type takes that of the column beside it. */
	.put_native = postgres_put_given,
	.put_hash = postgres_put_hash,
	.put_hash_of_rows = postgres_put_hash_of_rows,
	.put_shown = postgres_put_shown,
	.session_settings = settings,
	.repair_settings = repair_settings,
	.before_values = " OVERRIDING SYSTEM VALUE",
	.trigger_hint = "they can tell by session_replication_role, which is replica",
	.errors_end_transactions = true,
};
