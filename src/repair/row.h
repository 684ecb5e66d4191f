/*
 * Row: one row of a table in memory, and sets of rows found by their keys.
 *
 * The values of the key come first, so that a row's name is the beginning of its bytes.  Where a
 * table has no key the whole row is its name, and `copies` says how many of them there are.
 */
#pragma once

#include "sql/sql.h"

struct row {
	uint64_t hash;   /* the server's, where it was asked for; else 0 */
	uint64_t copies; /* at least 1 */
	bool wanted;     /* the condition of --where holds, or there is none */
	uint32_t key_size, size;
	uint8_t data[]; /* per value a 32-bit length, or ROW_NULL, and its bytes */
};

#define ROW_NULL UINT32_MAX

/* Head and data in one piece, as they are written to a spool. */
static inline size_t row_bytes(const struct row *row)
{
	return offsetof(struct row, data) + row->size;
}

/* A copy of `values`, of which the first `key_count` are the key.  The caller frees it with free().
 */
struct row *row_new(const struct sql_value *values, size_t count, size_t key_count);
struct row *row_copy(const struct row *row);
/* Its values, borrowed; there are `count` of them. */
void row_values(const struct row *row, struct sql_value *values, size_t count);
/* The same values, in as many copies; a row that is not there (NULL) is the same as another one. */
bool row_same(const struct row *a, const struct row *b);

struct rows {
	struct row **rows; /* in the order in which they came */
	size_t count, room;
	size_t *slots; /* 1 + index into `rows`; open addressing */
	size_t slot_room;
};

void rows_done(struct rows *rows);
static inline void rows_cleanup(struct rows *rows)
{
	rows_done(rows);
}

/* Takes the row over.  One with the same key adds to the copies of the first. */
void rows_add(struct rows *rows, struct row *row);
/* The row with the key that `like` has; NULL when there is none. */
struct row *rows_find(const struct rows *rows, const struct row *like);
