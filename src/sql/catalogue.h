/*
 * Catalogue: what the servers' catalogues have in common: values of a row that answers, a table's
 * columns, and which unique key tells its rows apart.
 */
#pragma once

#include "sql/dialect.h"

/* The caller frees. */
char *catalogue_text(const struct sql_row *row, size_t i);
char *catalogue_text_or_null(const struct sql_row *row, size_t i);

/* A text that is none counts as 0. */
uint64_t catalogue_number(const struct sql_row *row, size_t i);

bool catalogue_is(const struct sql_row *row, size_t i, const char *word);

/* What was sent answers a row per column, in their order: read() makes each. */
int catalogue_read_columns(struct sql *sql, struct sql_table *table,
			   void (*read)(const struct sql_row *row, struct sql_column *column),
			   struct problem *why);

/*
 * What was sent answers the columns of unique keys: the key's name, the column's, and what
 * is_usable() looks at; key by key, the best one first.  The first of which every column is usable,
 * and neither generated nor ever NULL, becomes the table's.  *ret_name is its name, for the caller
 * to free, or NULL when there is none.
 */
int catalogue_read_key(struct sql *sql, struct sql_table *table,
		       bool (*is_usable)(const struct sql_row *row), char **ret_name,
		       struct problem *why);
