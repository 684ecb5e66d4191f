/*
 * Shape: which columns of a table are looked at, and the pieces of statements made of them.
 *
 * The key's columns come first.  A table without a key has all its columns for one, and is a bag of
 * rows.
 */
#pragma once

#include "repair/row.h"

struct shape {
	const struct sql_table *table; /* borrowed */
	const struct sql_column **columns;
	size_t count, key_count;
	size_t set_from; /* what an UPDATE sets: behind the key, and what it may not set */
	bool bag;
	bool partial;      /* not all columns that can be written */
	const char *where; /* SQL; NULL: all rows */
};

/*
 * The table's key, and all columns that are not computed, or those that `names` (NULL-terminated;
 * NULL: all) says, in that order.  -ENOENT for a name that the table has not, -EINVAL for one that
 * is computed.  `table` and `where` are borrowed.
 */
int shape_init(struct shape *shape, const struct sql_table *table, const char *const *names,
	       const char *where, struct problem *why);
void shape_done(struct shape *shape);
static inline void shape_cleanup(struct shape *shape)
{
	shape_done(shape);
}

/* "SELECT every column, hash, wanted FROM table" without a WHERE; shape_read() reads its rows. */
void shape_put_select(const struct shape *shape, const struct sql *sql, struct buffer *out);
/* What such a query (already sent) gives, into `rows`. */
int shape_read(const struct shape *shape, struct sql *sql, struct rows *rows, struct problem *why);

/*
 * For ORDER BY: "s.t.k1, s.t.k2".  A bare name is that of an output column to PostgreSQL, where
 * there is one: of the text that is read, not of the column, so the rows would be sorted as texts
 * and the index would be of no use.
 */
void shape_put_key(const struct shape *shape, const struct sql *sql, struct buffer *out);
/* The key is greater than that of `row`; in the server's own order. */
void shape_put_beyond(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *row);
/* It is, or is the same. */
void shape_put_from(const struct shape *shape, const struct sql *sql, struct buffer *out,
		    const struct row *row);
/* It is not greater. */
void shape_put_up_to(const struct shape *shape, const struct sql *sql, struct buffer *out,
		     const struct row *row);
/* The key is the one of `row`, by its index; with NULL one placeholder per key column. */
void shape_put_is(const struct shape *shape, const struct sql *sql, struct buffer *out,
		  const struct row *row);
/* Every column is exactly as in `row`; with NULL one placeholder per column. */
void shape_put_same(const struct shape *shape, const struct sql *sql, struct buffer *out,
		    const struct row *row);

/* The whole statements, with the values of the rows or, with NULL, with placeholders in the order
 * in which shape_*_values() gives them. */
void shape_put_insert(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *const *rows, size_t count);
void shape_put_update(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *before, const struct row *now);
void shape_put_delete(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *now);
