/*
 * Rows that would refer to nothing: foreign keys are not checked while rows are put back, so that
 * nothing cascades into other tables; they are looked at here, for the rows that were touched.
 */
#include "repair/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GROUP 256

struct touched {
	struct row *rows[GROUP]; /* owned */
	size_t count;
};

static void touched_done(struct touched *touched)
{
	for (size_t i = 0; i < touched->count; i++)
		free(touched->rows[i]);
	touched->count = 0;
}

static void touched_cleanup(struct touched *touched)
{
	touched_done(touched);
}

/* The next rows of the spool, as before or as after; 0 at its end. */
static int next_rows(struct spool *spool, bool after, struct touched *ret)
{
	struct pair pair;
	int r = 1;

	touched_done(ret);
	while (ret->count < GROUP && (r = spool_get(spool, &pair)) > 0) {
		struct row **row = after ? &pair.after : &pair.before;

		if (*row)
			ret->rows[ret->count++] = take(*row);
		pair_done(&pair);
	}
	return r < 0 ? r : ret->count > 0;
}

/* Positions of the names in the shape; false when one of them is not looked at. */
static bool positions(const struct shape *shape, char **names, size_t count, size_t *ret)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;

		while (at < shape->count && strcmp(shape->columns[at]->name, names[i]))
			at++;
		if (at == shape->count)
			return false;
		ret[i] = at;
	}
	return true;
}

static void put_names(const struct sql *sql, struct buffer *out, char **names, size_t count,
		      const char *between)
{
	for (size_t i = 0; i < count; i++) {
		sql_put(out, i ? between : "");
		sql_put_name(sql, out, names[i]);
	}
}

/* AND NOT EXISTS a parent, where no part of the reference is NULL. */
static void put_fatherless(const struct sql *sql, struct buffer *out,
			   const struct sql_reference *reference)
{
	for (size_t i = 0; i < reference->count; i++) {
		sql_put(out, i ? " AND c." : " c.");
		sql_put_name(sql, out, reference->columns[i]);
		sql_put(out, " IS NOT NULL");
	}
	sql_put(out, " AND NOT EXISTS (SELECT 1 FROM ");
	sql_put_table(sql, out, reference->parent_schema, reference->parent);
	sql_put(out, " AS p WHERE ");
	for (size_t i = 0; i < reference->count; i++) {
		sql_put(out, i ? " AND p." : "p.");
		sql_put_name(sql, out, reference->parent_columns[i]);
		sql_put(out, "=c.");
		sql_put_name(sql, out, reference->columns[i]);
	}
	buffer_put8(out, ')');
}

/* Of the rows put back: those without a parent. */
static void put_children(const struct repair *repair, struct buffer *out,
			 const struct sql_reference *reference, const struct touched *touched)
{
	const struct shape *shape = repair->shape;

	sql_put(out, "SELECT COUNT(*) FROM (SELECT ");
	put_names(repair->sql, out, reference->columns, reference->count, ",");
	sql_put(out, " FROM ");
	sql_put_rows_of(repair->sql, out, shape->table);
	sql_put(out, " WHERE ");
	for (size_t i = 0; i < touched->count; i++) {
		sql_put(out, i ? " OR (" : "(");
		if (shape->bag)
			shape_put_same(shape, repair->sql, out, touched->rows[i]);
		else
			shape_put_is(shape, repair->sql, out, touched->rows[i]);
		buffer_put8(out, ')');
	}
	sql_put(out, ") AS c WHERE");
	put_fatherless(repair->sql, out, reference);
}

/* Rows elsewhere that refer to what the touched rows were. */
static void put_elsewhere(const struct repair *repair, struct buffer *out,
			  const struct sql_reference *reference, const struct touched *touched,
			  const size_t *at)
{
	const struct shape *shape = repair->shape;
	CLEANUP(free) struct sql_value *values = xcalloc(shape->count, sizeof *values);
	bool any = false;

	sql_put(out, "SELECT COUNT(*) FROM ");
	sql_put_table(repair->sql, out, reference->schema, reference->table);
	sql_put(out, " AS c WHERE (");
	for (size_t i = 0; i < touched->count; i++) {
		bool whole = true;

		row_values(touched->rows[i], values, shape->count);
		for (size_t j = 0; j < reference->count; j++)
			whole = whole && values[at[j]].data;
		if (!whole)
			continue;
		sql_put(out, any ? " OR (" : "(");
		any = true;
		for (size_t j = 0; j < reference->count; j++) {
			sql_put(out, j ? " AND c." : "c.");
			sql_put_name(repair->sql, out, reference->columns[j]);
			buffer_put8(out, '=');
			sql_put_native(repair->sql, out, shape->columns[at[j]], &values[at[j]]);
		}
		buffer_put8(out, ')');
	}
	sql_put(out, any ? ") AND" : "1=0) AND");
	put_fatherless(repair->sql, out, reference);
}

static int count_one(struct repair *repair, struct spool *spool,
		     const struct sql_reference *reference, bool of_parent, uint64_t *ret,
		     struct problem *why)
{
	char **names = of_parent ? reference->parent_columns : reference->columns;
	CLEANUP(free) size_t *at = xcalloc(reference->count, sizeof *at);
	CLEANUP(touched) struct touched touched = {.count = 0};
	int r;

	*ret = 0;
	/* Columns that were not touched refer as before. */
	if (!positions(repair->shape, names, reference->count, at))
		return 0;
	r = spool_rewind(spool);
	while (r >= 0 && (r = next_rows(spool, of_parent, &touched)) > 0) {
		CLEANUP(buffer) struct buffer text = {0};
		int64_t n;

		if (of_parent)
			put_elsewhere(repair, &text, reference, &touched, at);
		else
			put_children(repair, &text, reference, &touched);
		buffer_put8(&text, 0);
		r = sql_number(repair->sql, (const char *)text.data, &n, why);
		*ret += r < 0 ? 0 : n;
	}
	return r;
}

static int count_side(struct repair *repair, struct spool *spool, bool of_parent, uint64_t *ret,
		      char *names, size_t size, struct problem *why)
{
	const struct sql_table *table = repair->shape->table;
	struct sql_reference *references;
	size_t count, used;
	uint64_t n;
	int r;

	r = sql_references(repair->sql, table->schema, table->name, of_parent, &references, &count,
			   why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && r >= 0; i++) {
		r = count_one(repair, spool, &references[i], of_parent, &n, why);
		if (r < 0 || !n)
			continue;
		*ret += n;
		used = strlen(names);
		snprintf(names + used, size - used, "%s%s of %s.%s", used ? ", " : "",
			 references[i].name, references[i].schema, references[i].table);
	}
	sql_references_free(references, count);
	return r;
}

int repair_count_orphans(struct repair *repair, struct spool *spool, uint64_t *ret, char *names,
			 size_t size, struct problem *why)
{
	int r;

	*ret = 0;
	*names = 0;
	r = count_side(repair, spool, false, ret, names, size, why);
	return r < 0 ? r : count_side(repair, spool, true, ret, names, size, why);
}
