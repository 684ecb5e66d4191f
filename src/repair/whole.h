/*
 * Whole: a table that is gone comes back as it was.
 *
 * It is made under another name, filled, compared with the original, and then given its own name,
 * so that nobody sees half of it; or, where nobody sees what is not committed, in one transaction
 * (sql_definition.at_once).  Its indexes, foreign keys, next automatic number and triggers come
 * with it; grants on a table outlive it on MariaDB, and come with it on PostgreSQL.  Triggers are
 * made last: no row of the past fires one.
 */
#pragma once

#include "repair/shape.h"

struct whole_options {
	/* Rows copied; a negative result ends it with it.  May be NULL. */
	int (*progress)(void *arg, uint64_t rows);
	void *arg;
};

/*
 * From `past`, where the table is, to `live`, where there is none of the name.  On failure nothing
 * of it is left there.
 */
int whole_table(struct sql *past, struct sql *live, const struct sql_table *table,
		const struct whole_options *options, uint64_t *ret_rows, struct problem *why);

/* The same as statements (without the comparison) for `emit`. */
int whole_emit(struct sql *past, struct sql *live, const struct sql_table *table,
	       void (*emit)(void *arg, const struct buffer *statement), void *arg,
	       uint64_t *ret_rows, struct problem *why);
