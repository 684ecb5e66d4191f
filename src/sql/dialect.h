/* Dialect: what differs from engine to engine, behind sql.h, which says what each is to do. */
#pragma once

#include "sql/sql.h"

struct sql_dialect {
	const char *engine;
	int (*open)(const struct engine_place *place, struct sql **ret, struct problem *why);
	void (*close)(struct sql *sql);
	int (*use)(struct sql *sql, const char *schema, struct problem *why); /* NULL: as it is */
	int (*send)(struct sql *sql, const struct buffer *text, struct problem *why);
	int (*next)(struct sql *sql, struct sql_row *ret, struct problem *why);
	/* One statement without rows. */
	int (*run)(struct sql *sql, const struct buffer *text, uint64_t *ret_rows,
		   struct problem *why);
	int (*prepare)(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		       struct problem *why);
	int (*execute)(struct sql_statement *statement, const struct sql_value *values,
		       size_t count, uint64_t *ret_rows, struct problem *why);
	/* May be NULL: one by one. */
	int (*execute_many)(struct sql_statement *statement, const struct sql_value *values,
			    size_t count, size_t times, uint64_t *ret_rows, struct problem *why);
	void (*statement_free)(struct sql_statement *statement);

	int (*list)(struct sql *sql, struct sql_names *ret, struct problem *why);
	/* Whether a person may mean it by `wanted`; NULL: NAME or SCHEMA.NAME. */
	bool (*is_named)(const char *schema, const char *name, const char *wanted);
	int (*describe)(struct sql *sql, struct sql_table *table, struct problem *why);
	int (*references)(struct sql *sql, const char *schema, const char *name, bool of_parent,
			  struct sql_reference **ret, size_t *ret_count, struct problem *why);
	int (*verify)(struct sql *sql, const char *schema, const char *name,
		      struct problem *why); /* NULL: nothing is left */
	int (*show)(struct sql *sql, const char *schema, const char *name, char **ret,
		    struct problem *why);
	int (*define)(struct sql *sql, const char *schema, const char *name,
		      struct sql_definition *definition, struct problem *why);
	int (*numbers)(struct sql *sql, const char *schema, const char *name,
		       struct sql_statements *ret, struct problem *why); /* NULL: none */

	/* These four may be NULL: no such files. */
	int (*settle)(struct sql *sql, const struct sql_table *table, struct sql_files *files,
		      struct problem *why);
	void (*unsettle)(struct sql *sql);
	uint32_t (*file_bytes)(const struct sql_column *column);
	void (*put_from_file)(struct buffer *out, const struct sql_column *column,
			      const uint8_t *bytes, uint32_t size);

	char quote; /* around identifiers; doubled within */
	/* NULL: `schema`.`name` */
	void (*put_table)(struct buffer *out, const char *schema, const char *name);
	void (*put_text)(struct buffer *out, const char *text);
	void (*put_read)(struct buffer *out, const struct sql_column *column);
	void (*put_same)(struct buffer *out, const struct sql_column *column,
			 const struct sql_value *value);
	void (*put_given)(struct buffer *out, const struct sql_column *column,
			  const struct sql_value *value);
	void (*put_native)(struct buffer *out, const struct sql_column *column,
			   const struct sql_value *value);
	void (*put_hash)(struct buffer *out, const struct sql_column *const *columns, size_t count);
	void (*put_hash_of_rows)(struct buffer *out, const struct sql_column *const *columns,
				 size_t count);
	void (*put_shown)(struct buffer *out, const struct sql_column *column,
			  const struct sql_value *value);
	const char *const *session_settings; /* NULL-terminated */
	const char *const *repair_settings;
	const char *or_fail;       /* NULL: nothing */
	const char *before_values; /* NULL: nothing */
	const char *trigger_hint;
	bool errors_end_transactions;
	const char *begin; /* NULL: START TRANSACTION */
	bool one_writer;   /* a transaction that writes is the only one: rows need no locks */
	const char *sum;   /* of hashes, without an overflow; NULL: SUM */
};

/* What every connection begins with; a dialect's own is larger. */
struct sql {
	const struct sql_dialect *dialect;
	bool open_rows; /* a query is not read to its end */
};

struct sql_statement {
	struct sql *sql;
};

extern const struct sql_dialect sql_mariadb;
extern const struct sql_dialect sql_postgres;
extern const struct sql_dialect sql_sqlite;

/* An identifier between quotes of that kind. */
void dialect_put_name(struct buffer *out, char quote, const char *name);
/* A copy of a value as text; "" for NULL. */
char *dialect_text(const struct sql_value *value);
/* Hexadecimal digits. */
void dialect_put_hex(struct buffer *out, const struct sql_value *value);
