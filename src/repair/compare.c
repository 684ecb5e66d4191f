#include "repair/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

#define RANGE_BYTES (2u * 1024 * 1024)
#define RANGE_ROWS_MIN 16u
#define RANGE_ROWS_MAX UINT64_C(8192)
#define CROWD 4 /* times the rows of a range: too many for one */
#define BUCKETS_MAX 65536u

struct sum {
	uint64_t count;
	char hash[64]; /* the server's text */
};

uint64_t compare_range_rows(const struct shape *a, const struct shape *b)
{
	uint64_t bytes = MAX(a->table->row_bytes, b->table->row_bytes);
	uint64_t rows = RANGE_BYTES / (bytes + 1);

	return rows < RANGE_ROWS_MIN ? RANGE_ROWS_MIN : MIN(rows, RANGE_ROWS_MAX);
}

static uint64_t rows_per_range(const struct compare *compare)
{
	return compare->range_rows
		       ? compare->range_rows
		       : compare_range_rows(compare->before.shape, compare->after.shape);
}

static void put_from(const struct compare_side *side, struct buffer *out)
{
	sql_put(out, " FROM ");
	sql_put_rows_of(side->sql, out, side->shape->table);
}

/* WHERE key > low AND key <= high; an end that is NULL is open. */
static void put_range(const struct compare_side *side, struct buffer *out, const struct row *low,
		      const struct row *high)
{
	sql_put(out, low || high ? " WHERE " : "");
	if (low)
		shape_put_beyond(side->shape, side->sql, out, low);
	sql_put(out, low && high ? " AND " : "");
	if (high)
		shape_put_up_to(side->shape, side->sql, out, high);
}

/* --- Ranges ----------------------------------------------------------------------------------- */

/* The key of the n-th row beyond `low`; NULL when there are fewer. */
static int find_end(const struct compare_side *side, const struct row *low, uint64_t n,
		    struct row **ret, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	const struct shape *shape = side->shape;
	struct sql_row row;
	int r;

	sql_put(&text, "SELECT ");
	for (size_t i = 0; i < shape->key_count; i++) {
		sql_put(&text, i ? "," : "");
		sql_put_read(side->sql, &text, shape->columns[i]);
	}
	put_from(side, &text);
	put_range(side, &text, low, NULL);
	sql_put(&text, " ORDER BY ");
	shape_put_key(shape, side->sql, &text);
	sql_putf(&text, " LIMIT 1 OFFSET %llu", (unsigned long long)(n - 1));
	*ret = NULL;
	r = sql_send(side->sql, &text, why);
	if (r == 0)
		r = sql_next(side->sql, &row, why);
	if (r <= 0)
		return r;
	*ret = row_new(row.values, shape->key_count, shape->key_count);
	sql_drop(side->sql);
	return 0;
}

static int send_sum(const struct compare_side *side, const struct row *low, const struct row *high,
		    struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	sql_put(&text, "SELECT COUNT(*),");
	sql_put_hash_of_rows(side->sql, &text, side->shape->columns, side->shape->count);
	put_from(side, &text);
	put_range(side, &text, low, high);
	if (side->shape->where)
		sql_putf(&text, "%s(%s\n)", low || high ? " AND " : " WHERE ", side->shape->where);
	return sql_send(side->sql, &text, why);
}

static uint64_t number_at(const struct sql_row *row, size_t i)
{
	char text[32] = "";

	if (row->values[i].data)
		memcpy(text, row->values[i].data, MIN(row->values[i].size, sizeof text - 1));
	return strtoull(text, NULL, 10);
}

static void read_sum(const struct sql_row *row, size_t at, struct sum *sum)
{
	*sum = (struct sum){.count = number_at(row, at)};
	if (row->values[at + 1].data)
		memcpy(sum->hash, row->values[at + 1].data,
		       MIN(row->values[at + 1].size, sizeof sum->hash - 1));
}

static int receive_sum(const struct compare_side *side, struct sum *sum, struct problem *why)
{
	struct sql_row row;
	int r;

	r = sql_next(side->sql, &row, why);
	if (r < 0)
		return r;
	if (r == 0)
		return problem(why, -EIO, "the server gave no sum");
	read_sum(&row, 0, sum);
	sql_drop(side->sql);
	return 0;
}

/* Both servers work at the same time. */
static int sum_both(const struct compare *compare, const struct row *low, const struct row *high,
		    struct sum *before, struct sum *after, struct problem *why)
{
	int r;

	r = send_sum(&compare->before, low, high, why);
	if (r == 0)
		r = send_sum(&compare->after, low, high, why);
	if (r == 0)
		r = receive_sum(&compare->before, before, why);
	if (r == 0)
		r = receive_sum(&compare->after, after, why);
	return r;
}

static bool sum_same(const struct sum *a, const struct sum *b)
{
	return a->count == b->count && !strcmp(a->hash, b->hash);
}

static int send_rows(const struct compare_side *side, const struct row *low, const struct row *high,
		     struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	shape_put_select(side->shape, side->sql, &text);
	put_range(side, &text, low, high);
	sql_put(&text, " ORDER BY ");
	shape_put_key(side->shape, side->sql, &text);
	return sql_send(side->sql, &text, why);
}

static int match_range(const struct compare *compare, const struct row *low, const struct row *high,
		       struct problem *why)
{
	CLEANUP(rows) struct rows before = {0};
	CLEANUP(rows) struct rows after = {0};
	int r;

	r = send_rows(&compare->before, low, high, why);
	if (r == 0)
		r = send_rows(&compare->after, low, high, why);
	if (r == 0)
		r = shape_read(compare->before.shape, compare->before.sql, &before, why);
	if (r == 0)
		r = shape_read(compare->after.shape, compare->after.sql, &after, why);
	return r < 0 ? r : three_match(&before, &after, compare->found, compare->arg);
}

/*
 * One range, which begins beyond `low`: as many rows as `before` has to a range; where `after` has
 * a crowd of rows there, as many of those.  *ret_high is where it ends, NULL at the end of all.
 */
static int one_range(const struct compare *compare, const struct row *low, struct row **ret_high,
		     uint64_t *ret_rows, struct problem *why)
{
	uint64_t n = rows_per_range(compare);
	struct sum before, after;
	struct row *high;
	int r;

	r = find_end(&compare->before, low, n, &high, why);
	if (r < 0)
		return r;
	*ret_high = high;
	r = sum_both(compare, low, high, &before, &after, why);
	if (r == 0 && !sum_same(&before, &after) && after.count > CROWD * n) {
		free(take(*ret_high));
		r = find_end(&compare->after, low, n, &high, why);
		if (r < 0)
			return r;
		*ret_high = high;
		r = sum_both(compare, low, high, &before, &after, why);
	}
	if (r < 0)
		return r;
	*ret_rows = before.count;
	return sum_same(&before, &after) ? 0 : match_range(compare, low, *ret_high, why);
}

static int compare_ranges(const struct compare *compare, struct problem *why)
{
	CLEANUP(free) struct row *low = NULL;
	uint64_t total = 0;
	bool more = true;
	int r = 0;

	while (more && r >= 0) {
		CLEANUP(free) struct row *high = NULL;
		uint64_t rows = 0;

		r = one_range(compare, low, &high, &rows, why);
		more = high != NULL;
		free(low);
		low = take(high);
		total += rows;
		if (r >= 0 && compare->progress)
			r = compare->progress(compare->arg, total);
	}
	return r < 0 ? r : 0;
}

/* --- Bags ------------------------------------------------------------------------------------- */

/*
 * Rows that are the same have the same hash: in a bag a XOR of them would cancel out.  A sum of 64
 * bits' hashes does not.
 */
static int sum_buckets(const struct compare_side *side, uint64_t buckets, struct sum *sums,
		       struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	struct sql_row row;
	int r;

	sql_putf(&text, "SELECT h %% %llu, COUNT(*), %s(h) FROM (SELECT ",
		 (unsigned long long)buckets, sql_sum(side->sql));
	sql_put_hash(side->sql, &text, side->shape->columns, side->shape->count);
	sql_put(&text, " AS h");
	put_from(side, &text);
	if (side->shape->where)
		sql_putf(&text, " WHERE (%s\n)", side->shape->where);
	sql_put(&text, ") AS hashes GROUP BY 1");
	r = sql_send(side->sql, &text, why);
	while (r >= 0 && (r = sql_next(side->sql, &row, why)) > 0) {
		uint64_t at = number_at(&row, 0);

		if (at < buckets)
			read_sum(&row, 1, &sums[at]);
	}
	return r;
}

static int send_buckets(const struct compare_side *side, const struct buffer *list,
			uint64_t buckets, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	shape_put_select(side->shape, side->sql, &text);
	sql_put(&text, " WHERE ");
	sql_put_hash(side->sql, &text, side->shape->columns, side->shape->count);
	sql_putf(&text, " %% %llu IN (", (unsigned long long)buckets);
	buffer_put(&text, list->data, list->size);
	buffer_put8(&text, ')');
	return sql_send(side->sql, &text, why);
}

static int match_buckets(const struct compare *compare, const struct buffer *list, uint64_t buckets,
			 struct problem *why)
{
	CLEANUP(rows) struct rows before = {0};
	CLEANUP(rows) struct rows after = {0};
	int r;

	if (!list->size)
		return 0;
	r = send_buckets(&compare->before, list, buckets, why);
	if (r == 0)
		r = send_buckets(&compare->after, list, buckets, why);
	if (r == 0)
		r = shape_read(compare->before.shape, compare->before.sql, &before, why);
	if (r == 0)
		r = shape_read(compare->after.shape, compare->after.sql, &after, why);
	return r < 0 ? r : three_match(&before, &after, compare->found, compare->arg);
}

/* Buckets that differ, in groups that fit into memory. */
static int match_groups(const struct compare *compare, const struct sum *before,
			const struct sum *after, uint64_t buckets, struct problem *why)
{
	uint64_t n = rows_per_range(compare) * CROWD, held = 0, total = 0;
	CLEANUP(buffer) struct buffer list = {0};
	int r = 0;

	for (uint64_t i = 0; i < buckets && r >= 0; i++) {
		total += before[i].count;
		if (sum_same(&before[i], &after[i]))
			continue;
		sql_putf(&list, "%s%llu", list.size ? "," : "", (unsigned long long)i);
		held += before[i].count + after[i].count;
		if (held < n)
			continue;
		r = match_buckets(compare, &list, buckets, why);
		held = list.size = 0;
		if (r >= 0 && compare->progress)
			r = compare->progress(compare->arg, total);
	}
	return r < 0 ? r : match_buckets(compare, &list, buckets, why);
}

static int compare_bags(const struct compare *compare, struct problem *why)
{
	uint64_t rows = MAX(compare->before.shape->table->rows, compare->after.shape->table->rows);
	uint64_t buckets = MIN(1 + rows / rows_per_range(compare), (uint64_t)BUCKETS_MAX);
	CLEANUP(free) struct sum *before = xcalloc(buckets, sizeof *before);
	CLEANUP(free) struct sum *after = xcalloc(buckets, sizeof *after);
	int r;

	r = sum_buckets(&compare->before, buckets, before, why);
	if (r == 0)
		r = sum_buckets(&compare->after, buckets, after, why);
	return r < 0 ? r : match_groups(compare, before, after, buckets, why);
}

int compare_tables(const struct compare *compare, struct problem *why)
{
	if (compare->within)
		return compare_within(compare, why);
	return compare->before.shape->bag ? compare_bags(compare, why)
					  : compare_ranges(compare, why);
}
