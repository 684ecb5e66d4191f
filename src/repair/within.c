/* Rows of which it is known beforehand where they can differ: read on both sides, some ranges at
 * once. */
#include "repair/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

#define RANGES_MIN 4u
#define RANGES_MAX 256u /* the server's optimizer sorts them */

static bool is_one_key(const struct pair *range)
{
	return range->before->key_size == range->after->key_size &&
	       !memcmp(range->before->data, range->after->data, range->before->key_size);
}

static void put_range(const struct compare_side *side, const struct pair *range, struct buffer *out)
{
	buffer_put8(out, '(');
	if (is_one_key(range)) {
		shape_put_is(side->shape, side->sql, out, range->before);
	} else {
		shape_put_from(side->shape, side->sql, out, range->before);
		sql_put(out, " AND ");
		shape_put_up_to(side->shape, side->sql, out, range->after);
	}
	buffer_put8(out, ')');
}

static int send_ranges(const struct compare_side *side, const struct change_list *ranges,
		       struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	shape_put_select(side->shape, side->sql, &text);
	sql_put(&text, " WHERE ");
	for (size_t i = 0; i < ranges->count; i++) {
		sql_put(&text, i ? " OR " : "");
		put_range(side, &ranges->pairs[i], &text);
	}
	sql_put(&text, " ORDER BY ");
	shape_put_key(side->shape, side->sql, &text);
	return sql_send(side->sql, &text, why);
}

/* *ret_rows: of the side that has more. */
static int match(const struct compare *compare, const struct change_list *ranges, size_t *ret_rows,
		 struct problem *why)
{
	CLEANUP(rows) struct rows before = {0};
	CLEANUP(rows) struct rows after = {0};
	int r;

	r = send_ranges(&compare->before, ranges, why);
	if (r == 0)
		r = send_ranges(&compare->after, ranges, why);
	if (r == 0)
		r = shape_read(compare->before.shape, compare->before.sql, &before, why);
	if (r == 0)
		r = shape_read(compare->after.shape, compare->after.sql, &after, why);
	*ret_rows = MAX(before.count, after.count);
	return r < 0 ? r : three_match(&before, &after, compare->found, compare->arg);
}

static int next_ranges(struct spool *spool, size_t most, struct change_list *ranges)
{
	struct pair range;
	int r = 1;

	while (ranges->count < most && (r = spool_get(spool, &range)) > 0)
		change_list_add(ranges, &range, NULL);
	return r;
}

/* As many ranges at once as have about the rows that are read at once. */
int compare_within(const struct compare *compare, struct problem *why)
{
	size_t most = RANGES_MIN, rows;
	uint64_t total = 0,
		 wanted = compare_range_rows(compare->before.shape, compare->after.shape);
	int r = 1;

	if (spool_rewind(compare->within) < 0)
		return problem(why, -EIO, "cannot read the temporary file");
	while (r > 0) {
		CLEANUP(change_list) struct change_list ranges = {0};
		int matched;

		r = next_ranges(compare->within, most, &ranges);
		if (r < 0)
			return problem_errno(why, r, "cannot read the temporary file");
		if (!ranges.count)
			break;
		matched = match(compare, &ranges, &rows, why);
		total += rows;
		if (matched >= 0 && compare->progress)
			matched = compare->progress(compare->arg, total);
		if (matched < 0)
			return matched;
		if (rows < wanted / 2)
			most = MIN(2 * most, (size_t)RANGES_MAX);
		else if (rows > wanted)
			most = MAX(most / 2, (size_t)1);
	}
	return 0;
}
