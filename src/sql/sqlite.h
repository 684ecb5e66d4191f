/* SQLite's: what its files share. */
#pragma once

#include "sql/dialect.h"
#include "vfs/session.h"

struct sqlite {
	struct sql sql; /* first */
	struct session *session;
	struct sql_value *values; /* of the row last read */
	size_t room;
};

/* sqlite_catalogue.c */
int sqlite_list(struct sql *sql, struct sql_names *ret, struct problem *why);
int sqlite_describe(struct sql *sql, struct sql_table *table, struct problem *why);
int sqlite_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
		      struct sql_reference **ret, size_t *ret_count, struct problem *why);
int sqlite_show(struct sql *sql, const char *schema, const char *name, char **ret,
		struct problem *why);
int sqlite_define(struct sql *sql, const char *schema, const char *name,
		  struct sql_definition *definition, struct problem *why);
int sqlite_numbers(struct sql *sql, const char *schema, const char *name,
		   struct sql_statements *ret, struct problem *why);

/* sqlite_text.c */
void sqlite_put_text(struct buffer *out, const char *text);
void sqlite_put_read(struct buffer *out, const struct sql_column *column);
void sqlite_put_same(struct buffer *out, const struct sql_column *column,
		     const struct sql_value *value);
void sqlite_put_given(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value);
void sqlite_put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count);
void sqlite_put_hash_of_rows(struct buffer *out, const struct sql_column *const *columns,
			     size_t count);
void sqlite_put_shown(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value);
