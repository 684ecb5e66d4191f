/*
 * PostgreSQL: the halves of its dialect.
 *
 * A connection of PostgreSQL is to one database.  What sql.h calls a schema is "DATABASE.SCHEMA"
 * here, each part quoted where it has to be, and sql_use() connects to the database in it.
 */
#pragma once

#include "sql/dialect.h"

#include <libpq-fe.h>
#include <limits.h>

struct postgres {
	struct sql sql;      /* first */
	char host[PATH_MAX]; /* the folder of its socket */
	char *database;      /* connected to; NULL: to none */
	PGconn *connection;
	PGresult *result;         /* the row last read */
	struct sql_value *values; /* of it */
	size_t room;
	unsigned statements; /* prepared so far: their names */
};

/* postgres.c: connect to the database of `schema`.  -ENOENT when there is none. */
int postgres_use(struct sql *sql, const char *schema, struct problem *why);
int postgres_connect(struct postgres *postgres, const char *database, struct problem *why);

/* postgres_catalogue.c */
int postgres_list(struct sql *sql, struct sql_names *ret, struct problem *why);
bool postgres_is_named(const char *schema, const char *name, const char *wanted);
int postgres_describe(struct sql *sql, struct sql_table *table, struct problem *why);
int postgres_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
			struct sql_reference **ret, size_t *ret_count, struct problem *why);
int postgres_verify(struct sql *sql, const char *schema, const char *name, struct problem *why);
int postgres_show(struct sql *sql, const char *schema, const char *name, char **ret,
		  struct problem *why);
int postgres_numbers(struct sql *sql, const char *schema, const char *name,
		     struct sql_statements *ret, struct problem *why);
/* The table and all that is in its partitions' names; of an ordinary one itself. */
int postgres_partitions(struct sql *sql, const char *schema, const char *name,
			struct sql_names *ret, struct problem *why);
/* Statements that make what belongs to a table and is no part of its dump. */
int postgres_beside(struct sql *sql, const char *schema, const char *name,
		    struct sql_statements *ret, struct problem *why);

/* postgres_dump.c */
int postgres_define(struct sql *sql, const char *schema, const char *name,
		    struct sql_definition *definition, struct problem *why);
/* The statements of what pg_dump prints, without comments, settings and what is for psql only. */
void postgres_split(const char *text, struct sql_statements *ret);

/* postgres_text.c */
/* "DATABASE.SCHEMA" of two names, and back; the caller frees both. */
char *postgres_join(const char *database, const char *schema);
void postgres_part(const char *joined, char **ret_database, char **ret_schema);
void postgres_put_table(struct buffer *out, const char *schema, const char *name);
void postgres_put_text(struct buffer *out, const char *text);
void postgres_put_read(struct buffer *out, const struct sql_column *column);
void postgres_put_same(struct buffer *out, const struct sql_column *column,
		       const struct sql_value *value);
void postgres_put_given(struct buffer *out, const struct sql_column *column,
			const struct sql_value *value);
void postgres_put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count);
void postgres_put_hash_of_rows(struct buffer *out, const struct sql_column *const *columns,
			       size_t count);
void postgres_put_shown(struct buffer *out, const struct sql_column *column,
			const struct sql_value *value);
/* The statement with "?" outside of quotes turned into $1, $2 ...  NUL-terminated. */
void postgres_number_placeholders(const struct buffer *text, struct buffer *out);
