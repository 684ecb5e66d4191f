/*
 * Compare: the rows of a table that differ between two servers.
 *
 * A table with a key is gone through in ranges of it: each server hashes its range, both at the
 * same time, and only where number or hash differ are the rows themselves read.  Two ranges that
 * differ have the same hash with a chance of 2^-64.  Rows are matched by the bytes of their keys,
 * so the order of a collation is the server's business alone.
 *
 * A table without a key is compared as a bag: hashed into buckets in one go, and the buckets that
 * differ are read, at the cost of one more look at the whole table for each group of them.
 *
 * Where it is known beforehand which ranges can differ, only those are looked at.
 *
 * Memory: the rows of one range or group, some MiB, of both sides.
 */
#pragma once

#include "repair/shape.h"
#include "repair/spool.h"

struct compare_side {
	struct sql *sql;
	const struct shape *shape;
};

struct compare {
	struct compare_side before, after; /* both servers' shapes have the same columns */
	/*
	 * NULL: all of the table.  Else rows differ only in these ranges: pairs of keys, the first
	 * and the last of each (both are in it), ascending.  Their rows are read, not hashed.
	 */
	struct spool *within;
	/* A row that differs; lent.  A negative result ends the comparison with it. */
	int (*found)(void *arg, const struct pair *pair);
	/* Rows of `before` gone through; a negative result ends it likewise.  May be NULL. */
	int (*progress)(void *arg, uint64_t rows);
	void *arg;
	uint64_t range_rows; /* 0: chosen by the size of rows; else for tests */
};

/* How many rows are read at once. */
uint64_t compare_range_rows(const struct shape *a, const struct shape *b);

int compare_tables(const struct compare *compare, struct problem *why);
