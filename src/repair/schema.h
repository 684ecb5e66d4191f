/* Schema: two descriptions of a table, beside each other. */
#pragma once

#include "sql/sql.h"

/* One line per column or key that is not the same; nothing when all is. */
void schema_put_changes(const struct sql_table *then, const struct sql_table *now,
			struct buffer *out);
/* The same columns, in any order, and the same key: rows of one fit into the other. */
bool schema_same(const struct sql_table *then, const struct sql_table *now);
bool schema_same_key(const struct sql_table *then, const struct sql_table *now);
/* Columns that are the same in both and not computed, in the order of `then`; NULL-terminated, the
 * names borrowed, the list the caller's to free(). */
const char **schema_common(const struct sql_table *then, const struct sql_table *now);
