/*
 * SQL: one small interface over a database server's local socket, whatever the engine.
 *
 * A value is the bytes that the server has, or NULL.  What a column is read by (sql_put_read())
 * gives text or bytes from which sql_put_given() makes exactly the same value again, and comparing
 * what is read byte by byte is comparing values: no rounding, no time zone, no character set or
 * collation comes between.
 *
 * Everything that differs from engine to engine is behind struct sql_dialect (dialect.h).
 *
 * One connection is one thread's.
 */
#pragma once

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_place;

/* A longer row is refused: -E2BIG.  What is read is held in memory a few thousand rows, or a few
 * MiB, at a time; one row always whole. */
#define SQL_ROW_BYTES_MAX (256u * 1024 * 1024)

struct sql_value {
	const void *data; /* NULL: the value is NULL */
	size_t size;
};

struct sql_row {
	struct sql_value *values;
	size_t count;
};

/* How a column's values travel. */
enum sql_kind {
	SQL_INTEGER,
	SQL_DECIMAL,
	SQL_FLOAT,
	SQL_TEXT, /* has a character set */
	SQL_BYTES,
	SQL_TIME,   /* dates and times; time stamps in UTC */
	SQL_CHOICE, /* ENUM, SET: by number, which is exact where the words are not */
	SQL_BITS,
	SQL_OTHER, /* by the server's own text for it */
};

struct sql_column {
	char *name;
	char *type;      /* in the server's words, with everything that decides what fits into it */
	char *collation; /* NULL: none */
	enum sql_kind kind;
	bool is_unsigned, nullable;
	bool generated; /* the server computes it: read only */
	bool restamped; /* changes by itself when the row is updated, unless it is set */
	bool fixed;     /* given when a row is inserted, and no UPDATE may set it */
	bool large;     /* may have megabytes */
};

/* A foreign key of `table`, which refers to `parent`. */
struct sql_reference {
	char *name;
	char *schema, *table, *parent_schema, *parent;
	char **columns, **parent_columns;
	size_t count;
};

struct sql_table {
	char *schema, *name;
	struct sql_column *columns;
	size_t count;
	size_t *key; /* columns of the primary key, or of a unique one without NULLs; in its order
		      */
	size_t key_count;         /* 0: there is none, the table is a bag of rows */
	bool primary;             /* it is the primary key */
	uint64_t rows, row_bytes; /* the server's guess */
	bool alone;               /* other tables inherit from it, whose rows are not its own */
	char **triggers;          /* those that fire for a repair: "name (BEFORE UPDATE)" */
	size_t trigger_count;
};

struct sql_statements {
	char **texts;
	size_t count, room;
};

/* Statements that make a table again, in the order in which they are to be run. */
struct sql_definition {
	/* The first one is its own CREATE TABLE; ends the first line in "... `NAME` (", unless
	 * all is done at once. */
	struct sql_statements before;
	struct sql_statements after; /* once the rows are in */
	/* All of it can be one transaction, the table's rows included: nobody sees a part of it. */
	bool at_once;
};

/* Where a table's rows are, for those who read them there: see innodb/changed.h. */
struct sql_files {
	char *data, *definition; /* below the data directory; another definition is another file */
	bool legible; /* what follows is known: the key's columns have a fixed size, ... */
	uint32_t page_bytes, root, key_bytes;
	uint64_t index;
	uint32_t head_bytes; /* the most that lengths and NULLs of a row take */
	bool off_page;       /* a value may be kept outside of its row */
};

struct sql;
struct sql_statement;

/* --- Connections --- */

/*
 * As the database's root, on the socket of the server at `place`, of the engine of that name. Reads
 * and writes whatever the table holds: zero dates, zero as a key, rows that a constraint made later
 * would refuse; time stamps are in UTC.  `why` says what is wrong; -EACCES when we are not let in.
 */
int sql_open(const char *engine, const struct engine_place *place, struct sql **ret,
	     struct problem *why);
/*
 * What follows is about tables of that schema: where a connection is to one database of several, it
 * is made to the one that has it.  sql_describe() does that for the table's.  -ENOENT when there is
 * none.  Statements prepared before are gone.
 */
int sql_use(struct sql *sql, const char *schema, struct problem *why);
void sql_close(struct sql *sql);
DEFINE_CLEANUP(struct sql *, sql, sql_close)

/*
 * Errors of everything that asks the server, with its own words in `why`:
 * -EEXIST	a unique key has that value already
 * -EDEADLK	the server gave up waiting for a lock: the transaction may be gone
 * -EACCES	no privilege
 * -ENOENT	no such table or column
 * -EINVAL	it does not understand the statement
 * -ECONNRESET	the server went away
 * -EIO		anything else
 */

/* One statement without rows; `ret_rows` (may be NULL) counts those that it found. */
int sql_run(struct sql *sql, const char *text, uint64_t *ret_rows, struct problem *why);
int sql_run_buffer(struct sql *sql, const struct buffer *text, uint64_t *ret_rows,
		   struct problem *why);

/*
 * A query: sql_send() returns when it was sent, so that two servers can work at the same time;
 * sql_next() gives row after row as they come (1; borrowed until the next call), then 0 and the
 * connection is free again.  sql_drop() gives up the rest.
 */
int sql_send(struct sql *sql, const struct buffer *text, struct problem *why);
int sql_next(struct sql *sql, struct sql_row *ret, struct problem *why);
void sql_drop(struct sql *sql);

/* The first row's first value as a number; 0 for NULL.  -ENODATA when there is no row. */
int sql_number(struct sql *sql, const char *text, int64_t *ret, struct problem *why);

/* A statement without rows, to be run with values again and again.  Placeholders are written by
 * sql_put_given(). */
int sql_prepare(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		struct problem *why);
int sql_execute(struct sql_statement *statement, const struct sql_value *values, size_t count,
		uint64_t *ret_rows, struct problem *why);
/* It can be given several sets of values in one go, which costs less than one by one. */
bool sql_takes_many(const struct sql *sql);
/*
 * `times` times `count` values, one set after the other; *ret_rows is the sum.  At the first error
 * the rest is left, and what came before it stays, like what several statements do.
 */
int sql_execute_many(struct sql_statement *statement, const struct sql_value *values, size_t count,
		     size_t times, uint64_t *ret_rows, struct problem *why);
void sql_statement_free(struct sql_statement *statement);
DEFINE_CLEANUP(struct sql_statement *, sql_statement, sql_statement_free)

/* --- The catalogue --- */

/* `name` as the user wrote it: SCHEMA.TABLE, or TABLE where only one schema has it.  -ENOENT when
 * there is none, -ENOTUNIQ with the list when there are several.  On PostgreSQL a schema is
 * "DATABASE.SCHEMA", of which one part may be left out. */
int sql_find_table(struct sql *sql, const char *name, char **ret_schema, char **ret_table,
		   struct problem *why);
/* -ENOENT when there is no such table. */
int sql_describe(struct sql *sql, const char *schema, const char *name, struct sql_table **ret,
		 struct problem *why);
void sql_table_free(struct sql_table *table);
DEFINE_CLEANUP(struct sql_table *, sql_table, sql_table_free)

struct sql_names {
	char **schemas, **names;
	size_t count;
};
/* All tables but the server's own, in order of their names (bytes). */
int sql_list(struct sql *sql, struct sql_names *ret, struct problem *why);
void sql_names_done(struct sql_names *names);
static inline void sql_names_cleanup(struct sql_names *names)
{
	sql_names_done(names);
}

/* The foreign keys that the table has, or (`of_parent`) those that refer to it. */
int sql_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
		   struct sql_reference **ret, size_t *ret_count, struct problem *why);
void sql_references_free(struct sql_reference *references, size_t count);

/* What sql_repair_settings() leave unchecked, and nothing else of a repair looks after, holds for
 * the table's rows: -EEXIST with the constraint that does not.  To be asked before the commit. */
int sql_verify(struct sql *sql, const char *schema, const char *name, struct problem *why);
/* How the table is made, line by line, for a person to compare; without the next automatic number.
 * The caller frees it. */
int sql_show(struct sql *sql, const char *schema, const char *name, char **ret,
	     struct problem *why);
/* Statements that let the table's automatic numbers go on at least from where they are here; none
 * where the engine sees to it by itself. */
int sql_numbers(struct sql *sql, const char *schema, const char *name, struct sql_statements *ret,
		struct problem *why);
int sql_define(struct sql *sql, const char *schema, const char *name, struct sql_definition **ret,
	       struct problem *why);
void sql_definition_free(struct sql_definition *definition);
DEFINE_CLEANUP(struct sql_definition *, sql_definition, sql_definition_free)

/* Takes the text over. */
void sql_statements_add(struct sql_statements *statements, char *text);
void sql_statements_done(struct sql_statements *statements);
static inline void sql_statements_cleanup(struct sql_statements *statements)
{
	sql_statements_done(statements);
}

/*
 * Until sql_unsettle() all that was committed of the table is in its files, and nothing else; they
 * do not change, and the table can be read on this connection only.  Of a throw-away server: it
 * waits for what the server's own recovery still has to undo.  -EOPNOTSUPP when the engine has no
 * such files, -EBUSY for a transaction that does not end.
 */
int sql_settle(struct sql *sql, const struct sql_table *table, struct sql_files *ret,
	       struct problem *why);
void sql_unsettle(struct sql *sql);
void sql_files_done(struct sql_files *files);
static inline void sql_files_cleanup(struct sql_files *files)
{
	sql_files_done(files);
}
/* The value of a key's column (legible ones) from its `size` bytes in a file, as it is read. */
void sql_put_from_file(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		       const uint8_t *bytes, uint32_t size);
/* How many bytes it has there; 0: it is not legible. */
uint32_t sql_file_bytes(const struct sql *sql, const struct sql_column *column);

const struct sql_column *sql_column_find(const struct sql_table *table, const char *name);

/* --- Writing statements --- */

void sql_put(struct buffer *out, const char *text);
void sql_putf(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An identifier, or `schema`.`name`, quoted. */
void sql_put_name(const struct sql *sql, struct buffer *out, const char *name);
void sql_put_table(const struct sql *sql, struct buffer *out, const char *schema, const char *name);
/* The same to read, change or remove its rows, and no others. */
void sql_put_rows_of(const struct sql *sql, struct buffer *out, const struct sql_table *table);
/* What stands behind INSERT and UPDATE, so that a row that has no room makes the statement fail,
 * and nothing else. */
void sql_put_or_fail(const struct sql *sql, struct buffer *out);
/* What stands between an INSERT's columns and VALUES, so that every column takes what it is given.
 */
void sql_put_before_values(const struct sql *sql, struct buffer *out);
/* A text constant. */
void sql_put_text(const struct sql *sql, struct buffer *out, const char *text);

/* The column's value as it is to be read. */
void sql_put_read(const struct sql *sql, struct buffer *out, const struct sql_column *column);
/* "this column is, byte for byte, what was read as ...": a condition with one placeholder, or with
 * `value` in it. */
void sql_put_same(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		  const struct sql_value *value);
/* What was read, as a value to be stored into the column: a placeholder, or with `value` in it. */
void sql_put_given(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		   const struct sql_value *value);
/* The same as a constant to compare the column with in its own order, which an index can serve. */
void sql_put_native(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		    const struct sql_value *value);
/* A hash of the named columns' values, of 63 bits or more: two rows that differ have the same one
 * with a chance of 2^-63. */
void sql_put_hash(const struct sql *sql, struct buffer *out,
		  const struct sql_column *const *columns, size_t count);
/* The aggregate that adds such hashes up, of rows that may be there several times. */
const char *sql_sum(const struct sql *sql);
/* An aggregate of those over rows that are all different (of a table with a key). */
void sql_put_hash_of_rows(const struct sql *sql, struct buffer *out,
			  const struct sql_column *const *columns, size_t count);
/* A number that a person reads instead of the words: the words.  Else the text as it is. */
void sql_put_shown(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		   const struct sql_value *value);

/* What every connection begins with. */
const char *const *sql_session_settings(const struct sql *sql);
/* Run these before a repair on this connection, and have them in a file of SQL: no foreign key
 * cascades, and as little is checked as the engine lets us that was not when the rows were written.
 */
const char *const *sql_repair_settings(const struct sql *sql);
/* The statement that begins a transaction which writes. */
const char *sql_begin(const struct sql *sql);
/* Who is in a transaction that writes is alone in that: there are no locks on rows to ask for. */
bool sql_has_one_writer(const struct sql *sql);
/* How a trigger can tell that it is a repair for which it fires. */
const char *sql_trigger_hint(const struct sql *sql);
/* After an error nothing works until the transaction, or its part since a savepoint, was rolled
 * back. */
bool sql_errors_end_transactions(const struct sql *sql);
