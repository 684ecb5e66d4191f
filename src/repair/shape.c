#include "repair/shape.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

/* --- Which columns ---------------------------------------------------------------------------- */

static bool is_looked_at(const struct shape *shape, const struct sql_column *column)
{
	for (size_t i = 0; i < shape->count; i++)
		if (shape->columns[i] == column)
			return true;
	return false;
}

/* Once, and not what is computed. */
static void look_at(struct shape *shape, const struct sql_column *column)
{
	if (!column->generated && !is_looked_at(shape, column))
		shape->columns[shape->count++] = column;
}

static int check_names(const struct sql_table *table, const char *const *names, struct problem *why)
{
	for (; names && *names; names++) {
		const struct sql_column *column = sql_column_find(table, *names);

		if (!column)
			return problem(why, -ENOENT, "%s.%s has no column '%s'", table->schema,
				       table->name, *names);
		if (column->generated)
			return problem(why, -EINVAL,
				       "the column '%s' is computed by the server: it follows the "
				       "others by itself",
				       *names);
	}
	return 0;
}

static bool is_listed(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

int shape_init(struct shape *shape, const struct sql_table *table, const char *const *names,
	       const char *where, struct problem *why)
{
	int r;

	*shape = (struct shape){.table = table, .where = where};
	r = check_names(table, names, why);
	if (r < 0)
		return r;
	shape->columns = xcalloc(table->count, sizeof *shape->columns);
	for (size_t i = 0; i < table->key_count; i++)
		look_at(shape, &table->columns[table->key[i]]);
	for (size_t i = 0; i < table->count; i++)
		if (table->columns[i].fixed && (!names || is_listed(names, table->columns[i].name)))
			look_at(shape, &table->columns[i]);
	shape->set_from = shape->count;
	for (size_t i = 0; names && names[i]; i++)
		look_at(shape, sql_column_find(table, names[i]));
	for (size_t i = 0; i < table->count; i++) {
		if (!names)
			look_at(shape, &table->columns[i]);
		else if (!table->columns[i].generated && !is_looked_at(shape, &table->columns[i]))
			shape->partial = true;
	}
	shape->bag = !table->key_count;
	shape->key_count = shape->bag ? shape->count : table->key_count;
	shape->set_from = MAX(shape->set_from, shape->key_count);
	return 0;
}

void shape_done(struct shape *shape)
{
	free(shape->columns);
	*shape = (struct shape){0};
}

/* --- Reading ---------------------------------------------------------------------------------- */

void shape_put_select(const struct shape *shape, const struct sql *sql, struct buffer *out)
{
	sql_put(out, "SELECT ");
	for (size_t i = 0; i < shape->count; i++) {
		sql_put_read(sql, out, shape->columns[i]);
		buffer_put8(out, ',');
	}
	if (shape->bag)
		sql_put_hash(sql, out, shape->columns, shape->count);
	else
		buffer_put8(out, '0');
	if (shape->where)
		sql_putf(out, ",CASE WHEN (%s\n) THEN 1 ELSE 0 END", shape->where);
	else
		sql_put(out, ",1");
	sql_put(out, " FROM ");
	sql_put_rows_of(sql, out, shape->table);
}

static uint64_t number_of(const struct sql_value *value)
{
	uint64_t number = 0;
	const char *digits = value->data;

	for (size_t i = 0; i < value->size && digits[i] >= '0' && digits[i] <= '9'; i++)
		number = number * 10 + (digits[i] - '0');
	return number;
}

int shape_read(const struct shape *shape, struct sql *sql, struct rows *rows, struct problem *why)
{
	struct sql_row values;
	int r;

	while ((r = sql_next(sql, &values, why)) > 0) {
		struct row *row = row_new(values.values, shape->count, shape->key_count);

		row->hash = number_of(&values.values[shape->count]);
		row->wanted = number_of(&values.values[shape->count + 1]);
		rows_add(rows, row);
	}
	return r;
}

/* --- Conditions ------------------------------------------------------------------------------- */

void shape_put_key(const struct shape *shape, const struct sql *sql, struct buffer *out)
{
	for (size_t i = 0; i < shape->key_count; i++) {
		sql_put(out, i ? "," : "");
		sql_put_table(sql, out, shape->table->schema, shape->table->name);
		buffer_put8(out, '.');
		sql_put_name(sql, out, shape->columns[i]->name);
	}
}

static void put_compared(const struct shape *shape, const struct sql *sql, struct buffer *out,
			 size_t i, const char *how, const struct sql_value *value)
{
	sql_put_name(sql, out, shape->columns[i]->name);
	sql_put(out, how);
	sql_put_native(sql, out, shape->columns[i], value);
}

/*
 * (a, b) > (x, y) as a > x OR (a = x AND (b > y)), with a >= x in front, which tells the server
 * where in the index to begin.
 */
static void put_ordered(const struct shape *shape, const struct sql *sql, struct buffer *out,
			const struct row *row, const char *order)
{
	const char strictly[2] = {*order, 0}, loosely[3] = {*order, '=', 0};
	CLEANUP(free) struct sql_value *values = xcalloc(shape->count, sizeof *values);
	size_t last = shape->key_count - 1;

	row_values(row, values, shape->key_count);
	if (last) {
		put_compared(shape, sql, out, 0, loosely, &values[0]);
		sql_put(out, " AND ");
	}
	for (size_t i = 0; i < last; i++) {
		buffer_put8(out, '(');
		put_compared(shape, sql, out, i, strictly, &values[i]);
		sql_put(out, " OR ");
		put_compared(shape, sql, out, i, "=", &values[i]);
		sql_put(out, " AND ");
	}
	put_compared(shape, sql, out, last, order, &values[last]);
	for (size_t i = 0; i < last; i++)
		buffer_put8(out, ')');
}

void shape_put_beyond(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *row)
{
	put_ordered(shape, sql, out, row, ">");
}

void shape_put_from(const struct shape *shape, const struct sql *sql, struct buffer *out,
		    const struct row *row)
{
	put_ordered(shape, sql, out, row, ">=");
}

void shape_put_up_to(const struct shape *shape, const struct sql *sql, struct buffer *out,
		     const struct row *row)
{
	put_ordered(shape, sql, out, row, "<=");
}

void shape_put_is(const struct shape *shape, const struct sql *sql, struct buffer *out,
		  const struct row *row)
{
	CLEANUP(free) struct sql_value *values = xcalloc(shape->count, sizeof *values);

	if (row)
		row_values(row, values, shape->key_count);
	for (size_t i = 0; i < shape->key_count; i++) {
		sql_put(out, i ? " AND " : "");
		put_compared(shape, sql, out, i, "=", row ? &values[i] : NULL);
	}
}

void shape_put_same(const struct shape *shape, const struct sql *sql, struct buffer *out,
		    const struct row *row)
{
	CLEANUP(free) struct sql_value *values = xcalloc(shape->count, sizeof *values);

	if (row)
		row_values(row, values, shape->count);
	for (size_t i = 0; i < shape->count; i++) {
		sql_put(out, i ? " AND " : "");
		sql_put_same(sql, out, shape->columns[i], row ? &values[i] : NULL);
	}
}

/* --- Statements ------------------------------------------------------------------------------- */

static void put_values(const struct shape *shape, const struct sql *sql, struct buffer *out,
		       const struct row *row)
{
	CLEANUP(free) struct sql_value *values = xcalloc(shape->count, sizeof *values);

	if (row)
		row_values(row, values, shape->count);
	for (size_t i = 0; i < shape->count; i++) {
		buffer_put8(out, i ? ',' : '(');
		sql_put_given(sql, out, shape->columns[i], row ? &values[i] : NULL);
	}
	buffer_put8(out, ')');
}

void shape_put_insert(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *const *rows, size_t count)
{
	sql_put(out, "INSERT");
	sql_put_or_fail(sql, out);
	sql_put(out, " INTO ");
	sql_put_table(sql, out, shape->table->schema, shape->table->name);
	for (size_t i = 0; i < shape->count; i++) {
		sql_put(out, i ? "," : " (");
		sql_put_name(sql, out, shape->columns[i]->name);
	}
	buffer_put8(out, ')');
	sql_put_before_values(sql, out);
	sql_put(out, " VALUES ");
	for (size_t i = 0; i < count; i++) {
		sql_put(out, i ? "," : "");
		put_values(shape, sql, out, rows ? rows[i] : NULL);
	}
}

/* What would change by itself is told to stay as it is. */
static void put_restamped(const struct shape *shape, const struct sql *sql, struct buffer *out)
{
	for (size_t i = 0; i < shape->table->count; i++) {
		const struct sql_column *column = &shape->table->columns[i];

		if (!column->restamped || is_looked_at(shape, column))
			continue;
		buffer_put8(out, ',');
		sql_put_name(sql, out, column->name);
		buffer_put8(out, '=');
		sql_put_name(sql, out, column->name);
	}
}

static void put_exactly(const struct shape *shape, const struct sql *sql, struct buffer *out,
			const struct row *row)
{
	sql_put(out, " WHERE ");
	shape_put_is(shape, sql, out, row);
	sql_put(out, " AND ");
	shape_put_same(shape, sql, out, row);
}

void shape_put_update(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *before, const struct row *now)
{
	CLEANUP(free) struct sql_value *values = xcalloc(shape->count, sizeof *values);

	if (before)
		row_values(before, values, shape->count);
	sql_put(out, "UPDATE");
	sql_put_or_fail(sql, out);
	buffer_put8(out, ' ');
	sql_put_rows_of(sql, out, shape->table);
	for (size_t i = shape->set_from; i < shape->count; i++) {
		sql_put(out, i > shape->set_from ? "," : " SET ");
		sql_put_name(sql, out, shape->columns[i]->name);
		buffer_put8(out, '=');
		sql_put_given(sql, out, shape->columns[i], before ? &values[i] : NULL);
	}
	put_restamped(shape, sql, out);
	put_exactly(shape, sql, out, now);
}

void shape_put_delete(const struct shape *shape, const struct sql *sql, struct buffer *out,
		      const struct row *now)
{
	sql_put(out, "DELETE FROM ");
	sql_put_rows_of(sql, out, shape->table);
	put_exactly(shape, sql, out, now);
}
