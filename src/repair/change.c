/* The statements that put rows back: deletions first, which make room, then updates, then
 * insertions. */
#include "repair/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

/* Move the i-th element of `from` to `to`. */
static void move(struct change_list *from, size_t i, struct change_list *to)
{
	change_list_add(to, &from->pairs[i], take(from->now[i]));
}

/* Something differs that no UPDATE sets: the row is taken out and put in again. */
static bool is_replaced(const struct shape *shape, const struct row *before, const struct row *now)
{
	CLEANUP(free) struct sql_value *was = xcalloc(shape->set_from, sizeof *was);
	CLEANUP(free) struct sql_value *is = xcalloc(shape->set_from, sizeof *is);

	row_values(before, was, shape->set_from);
	row_values(now, is, shape->set_from);
	for (size_t i = shape->key_count; i < shape->set_from; i++)
		if (was[i].size != is[i].size || memcmp(was[i].data, is[i].data, was[i].size))
			return true;
	return false;
}

static void emit_change(struct repair *repair, const struct pair *pair, const struct row *now,
			enum change change)
{
	const struct row *before = pair->before;
	CLEANUP(buffer) struct buffer text = {0};

	if (change == CHANGE_UPDATE && is_replaced(repair->shape, before, now)) {
		emit_change(repair, pair, now, CHANGE_DELETE);
		emit_change(repair, pair, NULL, CHANGE_INSERT);
		return;
	}
	if (change == CHANGE_DELETE)
		shape_put_delete(repair->shape, repair->sql, &text, now);
	else if (change == CHANGE_UPDATE)
		shape_put_update(repair->shape, repair->sql, &text, before, now);
	else
		shape_put_insert(repair->shape, repair->sql, &text, &before, 1);
	repair_emit(repair, &text);
}

/* The values of the statement of that kind, in its order: what to set, the key, all that must be
 * there.  Returns how many. */
static size_t put_change(const struct repair *repair, const struct pair *pair,
			 const struct row *now, enum change change, struct sql_value *values)
{
	const struct shape *shape = repair->shape;
	size_t set = shape->count - shape->set_from;

	if (change == CHANGE_INSERT) {
		row_values(pair->before, values, shape->count);
		return shape->count;
	}
	if (change == CHANGE_DELETE) {
		row_values(now, values, shape->key_count);
		row_values(now, values + shape->key_count, shape->count);
		return shape->key_count + shape->count;
	}
	row_values(pair->before, values, shape->count);
	memmove(values, values + shape->set_from, set * sizeof *values);
	row_values(now, values + set, shape->key_count);
	row_values(now, values + set + shape->key_count, shape->count);
	return set + shape->key_count + shape->count;
}

static struct sql_statement *statement_of(const struct repair *repair, enum change change)
{
	return change == CHANGE_INSERT   ? repair->insert
	       : change == CHANGE_DELETE ? repair->delete
					 : repair->update;
}

static int execute_kind(struct repair *repair, const struct pair *pair, const struct row *now,
			enum change change, uint64_t *ret_rows, struct problem *why)
{
	size_t count = put_change(repair, pair, now, change, repair->values);

	return sql_execute(statement_of(repair, change), repair->values, count, ret_rows, why);
}

static int execute_change(struct repair *repair, const struct pair *pair, const struct row *now,
			  enum change change, uint64_t *ret_rows, struct problem *why)
{
	const struct shape *shape = repair->shape;
	int r;

	if (change != CHANGE_UPDATE || !is_replaced(shape, pair->before, now))
		return execute_kind(repair, pair, now, change, ret_rows, why);
	if (shape->partial)
		return problem(why, -EINVAL,
			       "the column '%s' is always numbered by the server: it comes back "
			       "with its whole row only",
			       shape->columns[shape->key_count]->name);
	r = execute_kind(repair, pair, now, CHANGE_DELETE, ret_rows, why);
	return r < 0 || !*ret_rows ? r
				   : execute_kind(repair, pair, NULL, CHANGE_INSERT, ret_rows, why);
}

/* An error ends all that was done since the last savepoint; those cost, so they are made for each
 * row only where a batch has met an error. */
static bool is_whole_batch(const struct repair *repair)
{
	return sql_errors_end_transactions(repair->sql) && !repair->careful;
}

static int begin_row(struct repair *repair, struct problem *why)
{
	return repair->careful ? sql_run(repair->sql, "SAVEPOINT unspill_row", NULL, why) : 0;
}

/* `r`, or -EIO. */
static int end_row(struct repair *repair, int r, struct problem *why)
{
	if (!repair->careful || (r < 0 && r != -EEXIST))
		return r;
	if (sql_run(repair->sql,
		    r == 0 ? "RELEASE SAVEPOINT unspill_row" : "ROLLBACK TO SAVEPOINT unspill_row",
		    NULL, why) < 0)
		return -EIO;
	return r;
}

static int try_change(struct repair *repair, const struct pair *pair, const struct row *now,
		      enum change change, uint64_t *ret_rows, struct problem *why)
{
	int r = begin_row(repair, why);

	if (r == 0)
		r = execute_change(repair, pair, now, change, ret_rows, why);
	return end_row(repair, r, why);
}

static void count_change(struct repair *repair, enum change change)
{
	repair->report->inserted += change == CHANGE_INSERT;
	repair->report->updated += change == CHANGE_UPDATE;
	repair->report->deleted += change == CHANGE_DELETE;
}

static int change_one(struct repair *repair, struct change_list *list, size_t i,
		      struct change_list *changed, struct problem *why)
{
	const struct pair *pair = &list->pairs[i];
	enum change change = change_to(pair->before, list->now[i]);
	uint64_t rows = 1;
	int r = 0;

	if (repair->options->emit)
		emit_change(repair, pair, list->now[i], change);
	else
		r = try_change(repair, pair, list->now[i], change, &rows, why);
	if (r == -EEXIST && !is_whole_batch(repair)) {
		move(list, i, &repair->deferred);
		return 0;
	}
	if (r < 0)
		return r;
	if (!rows)
		return repair_conflict(repair, pair, list->now[i],
				       "it was changed while it was being put back", why);
	count_change(repair, change);
	move(list, i, changed);
	return 0;
}

/* Those of one kind, one by one. */
static int change_kind(struct repair *repair, struct change_list *list, enum change kind,
		       struct change_list *changed, struct problem *why)
{
	int r = 0;

	for (size_t i = 0; i < list->count && r >= 0; i++)
		if (change_to(list->pairs[i].before, list->now[i]) == kind)
			r = change_one(repair, list, i, changed, why);
	return r;
}

/*
 * All of one kind in one go; 1 when each of them found its row.  Else (somebody came in between, or
 * a unique value is another row's) it is as if nothing had been tried, and each is done by itself.
 */
static int change_kind_at_once(struct repair *repair, struct change_list *list, enum change kind,
			       size_t count, struct problem *why)
{
	CLEANUP(free)
	struct sql_value *values = xcalloc(count * 2 * repair->shape->count, sizeof *values);
	uint64_t rows = 0;
	size_t each = 0;
	int r;

	for (size_t i = 0, n = 0; i < list->count; i++)
		if (change_to(list->pairs[i].before, list->now[i]) == kind)
			each = put_change(repair, &list->pairs[i], list->now[i], kind,
					  values + each * n++);
	r = sql_run(repair->sql, "SAVEPOINT unspill_kind", NULL, why);
	if (r < 0)
		return r;
	r = sql_execute_many(statement_of(repair, kind), values, each, count, &rows, why);
	if (r == 0 && rows == count)
		return 1;
	if (r < 0 && r != -EEXIST)
		return r;
	return sql_run(repair->sql, "ROLLBACK TO SAVEPOINT unspill_kind", NULL, why);
}

static size_t count_kind(const struct change_list *list, enum change kind)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		count += change_to(list->pairs[i].before, list->now[i]) == kind;
	return count;
}

/* Where an UPDATE is one statement, and several are one packet. */
static bool can_do_many(const struct repair *repair)
{
	return !repair->options->emit && !repair->careful && sql_takes_many(repair->sql) &&
	       repair->shape->set_from == repair->shape->key_count;
}

/* Updates or deletions. */
static int change_all(struct repair *repair, struct change_list *list, enum change kind,
		      struct change_list *changed, struct problem *why)
{
	size_t count = count_kind(list, kind);
	int r = 0;

	if (count > 1 && can_do_many(repair))
		r = change_kind_at_once(repair, list, kind, count, why);
	if (r <= 0)
		return r < 0 ? r : change_kind(repair, list, kind, changed, why);
	for (size_t i = 0; i < list->count; i++) {
		if (change_to(list->pairs[i].before, list->now[i]) != kind)
			continue;
		count_change(repair, kind);
		move(list, i, changed);
	}
	return 0;
}

/* As many at once as the statement takes, from the i-th on; false: there are not that many, or not
 * all of them have room. */
static int insert_many(struct repair *repair, struct change_list *list, size_t i,
		       struct change_list *changed, struct problem *why)
{
	const struct shape *shape = repair->shape;
	size_t n = repair->inserts_rows;
	int r;

	if (repair->options->emit || repair->careful || list->count - i < n)
		return false;
	for (size_t j = 0; j < n; j++) {
		if (!list->pairs[i + j].before || list->now[i + j])
			return false;
		row_values(list->pairs[i + j].before, repair->values + j * shape->count,
			   shape->count);
	}
	r = sql_execute(repair->inserts, repair->values, n * shape->count, NULL, why);
	if (r < 0)
		return r == -EEXIST && !is_whole_batch(repair) ? false : r;
	for (size_t j = 0; j < n; j++) {
		count_change(repair, CHANGE_INSERT);
		move(list, i + j, changed);
	}
	return true;
}

static int insert_all(struct repair *repair, struct change_list *list, struct change_list *changed,
		      struct problem *why)
{
	int r = 0;

	for (size_t i = 0; i < list->count && r >= 0; i++) {
		if (change_to(list->pairs[i].before, list->now[i]) != CHANGE_INSERT)
			continue;
		r = insert_many(repair, list, i, changed, why);
		if (r > 0)
			i += repair->inserts_rows - 1;
		else if (r == 0)
			r = change_one(repair, list, i, changed, why);
	}
	return r < 0 ? r : 0;
}

static int change_rows_each(struct repair *repair, struct change_list *list,
			    struct change_list *changed, struct problem *why)
{
	int r;

	r = change_all(repair, list, CHANGE_DELETE, changed, why);
	if (r == 0)
		r = change_all(repair, list, CHANGE_UPDATE, changed, why);
	return r < 0 ? r : insert_all(repair, list, changed, why);
}

/* --- Bags ------------------------------------------------------------------------------------- */

/* All copies of all of the list's rows at once, by their hashes: each statement costs a look at the
 * whole table. */
static int delete_copies(struct repair *repair, const struct change_list *list, struct problem *why)
{
	const struct shape *shape = repair->shape;
	CLEANUP(buffer) struct buffer text = {0};
	uint64_t copies = 0, rows;
	int r;

	sql_put(&text, "DELETE FROM ");
	sql_put_rows_of(repair->sql, &text, shape->table);
	sql_put(&text, " WHERE ");
	sql_put_hash(repair->sql, &text, shape->columns, shape->count);
	sql_put(&text, " IN (0");
	for (size_t i = 0; i < list->count; i++) {
		if (!list->now[i])
			continue;
		sql_putf(&text, ",%llu", (unsigned long long)list->now[i]->hash);
		copies += list->now[i]->copies;
	}
	buffer_put8(&text, ')');
	if (!copies)
		return 0;
	r = sql_run_buffer(repair->sql, &text, &rows, why);
	if (r == 0 && rows != copies)
		r = problem(why, -EDEADLK, "rows of %s.%s changed while they were put back",
			    shape->table->schema, shape->table->name);
	return r;
}

static void emit_copies(struct repair *repair, const struct pair *pair, const struct row *now)
{
	CLEANUP(buffer) struct buffer text = {0};
	const struct row *before = pair->before;

	if (now) {
		sql_put(&text, "DELETE FROM ");
		sql_put_rows_of(repair->sql, &text, repair->shape->table);
		sql_put(&text, " WHERE ");
		shape_put_same(repair->shape, repair->sql, &text, now);
		repair_emit(repair, &text);
	}
	text.size = 0;
	if (before)
		shape_put_insert(repair->shape, repair->sql, &text, &before, 1);
	for (uint64_t i = 0; before && i < before->copies; i++)
		repair_emit(repair, &text);
}

static int insert_copies(struct repair *repair, const struct row *before, struct problem *why)
{
	int r = begin_row(repair, why);

	row_values(before, repair->values, repair->shape->count);
	for (uint64_t i = 0; i < before->copies && r == 0; i++)
		r = sql_execute(repair->insert, repair->values, repair->shape->count, NULL, why);
	return end_row(repair, r, why);
}

static void count_copies(struct repair *repair, const struct row *before, const struct row *now)
{
	uint64_t wanted = before ? before->copies : 0, there = now ? now->copies : 0;

	if (wanted > there)
		repair->report->inserted += wanted - there;
	else
		repair->report->deleted += there - wanted;
}

/*
 * What was deleted is gone, so only a row of which there was none can come again; and of one that
 * has a unique value there is one at most.
 */
static bool can_wait(const struct repair *repair, const struct row *before, const struct row *now)
{
	return !now && before->copies == 1 && !is_whole_batch(repair);
}

static int change_copies(struct repair *repair, struct change_list *list, size_t i,
			 struct change_list *changed, struct problem *why)
{
	const struct row *before = list->pairs[i].before, *now = list->now[i];
	int r = 0;

	if (repair->options->emit)
		emit_copies(repair, &list->pairs[i], now);
	else if (before)
		r = insert_copies(repair, before, why);
	if (r == -EEXIST && can_wait(repair, before, now)) {
		move(list, i, &repair->deferred);
		return 0;
	}
	if (r < 0)
		return r;
	count_copies(repair, before, now);
	move(list, i, changed);
	return 0;
}

static int change_bag_each(struct repair *repair, struct change_list *list,
			   struct change_list *changed, struct problem *why)
{
	int r = 0;

	if (!repair->options->emit)
		r = delete_copies(repair, list, why);
	/* What was moved away in an attempt that came to nothing is further on. */
	for (size_t i = 0; i < list->count && r == 0; i++)
		if (list->pairs[i].before || list->now[i])
			r = change_copies(repair, list, i, changed, why);
	return r;
}

/* --- A batch ---------------------------------------------------------------------------------- */

static int change_each(struct repair *repair, struct change_list *list, struct change_list *changed,
		       struct problem *why)
{
	return repair->shape->bag ? change_bag_each(repair, list, changed, why)
				  : change_rows_each(repair, list, changed, why);
}

/* All at once; when one of them has no room, again from the start, row by row. */
static int change_batch(struct repair *repair, struct change_list *list,
			struct change_list *changed, struct problem *why)
{
	struct repair_report report = *repair->report;
	int r;

	if (!is_whole_batch(repair) || repair->options->emit)
		return change_each(repair, list, changed, why);
	r = sql_run(repair->sql, "SAVEPOINT unspill_batch", NULL, why);
	if (r == 0)
		r = change_each(repair, list, changed, why);
	if (r == 0)
		return sql_run(repair->sql, "RELEASE SAVEPOINT unspill_batch", NULL, why);
	if (r != -EEXIST)
		return r;
	r = sql_run(repair->sql, "ROLLBACK TO SAVEPOINT unspill_batch", NULL, why);
	*repair->report = report;
	for (size_t i = 0; i < changed->count; i++)
		move(changed, i, list);
	changed->count = 0;
	repair->careful = true;
	if (r == 0)
		r = change_each(repair, list, changed, why);
	repair->careful = false;
	return r;
}

int change_rows(struct repair *repair, struct change_list *list, struct problem *why)
{
	CLEANUP(change_list) struct change_list changed = {0};
	int r;

	r = change_batch(repair, list, &changed, why);
	if (r < 0)
		return r;
	change_list_done(list);
	*list = changed;
	changed = (struct change_list){0};
	return 0;
}
