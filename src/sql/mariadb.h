/* MariaDB: the halves of its dialect. */
#pragma once

#include "sql/dialect.h"

/* mariadb_catalogue.c */
int mariadb_list(struct sql *sql, struct sql_names *ret, struct problem *why);
int mariadb_describe(struct sql *sql, struct sql_table *table, struct problem *why);
int mariadb_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
		       struct sql_reference **ret, size_t *ret_count, struct problem *why);
int mariadb_show(struct sql *sql, const char *schema, const char *name, char **ret,
		 struct problem *why);
int mariadb_define(struct sql *sql, const char *schema, const char *name,
		   struct sql_definition *definition, struct problem *why);

/* mariadb_text.c */
void mariadb_put_text(struct buffer *out, const char *text);
void mariadb_put_read(struct buffer *out, const struct sql_column *column);
void mariadb_put_same(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value);
void mariadb_put_given(struct buffer *out, const struct sql_column *column,
		       const struct sql_value *value);
void mariadb_put_native(struct buffer *out, const struct sql_column *column,
			const struct sql_value *value);
void mariadb_put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count);
void mariadb_put_hash_of_rows(struct buffer *out, const struct sql_column *const *columns,
			      size_t count);
void mariadb_put_shown(struct buffer *out, const struct sql_column *column,
		       const struct sql_value *value);

/* mariadb_files.c */
int mariadb_settle(struct sql *sql, const struct sql_table *table, struct sql_files *files,
		   struct problem *why);
void mariadb_unsettle(struct sql *sql);
uint32_t mariadb_file_bytes(const struct sql_column *column);
void mariadb_put_from_file(struct buffer *out, const struct sql_column *column,
			   const uint8_t *bytes, uint32_t size);
