#include "repair/schema.h"

#include "base/alloc.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_column(const struct sql_column *a, const struct sql_column *b)
{
	return a && b && same_text(a->type, b->type) && same_text(a->collation, b->collation) &&
	       a->generated == b->generated;
}

static void put_definition(const struct sql_column *column, struct buffer *out)
{
	if (!column) {
		sql_put(out, "not there");
		return;
	}
	sql_putf(out, "%s%s%s%s%s", column->type, column->collation ? " collate " : "",
		 column->collation ? column->collation : "", column->nullable ? "" : " not null",
		 column->generated ? ", computed" : "");
}

static void put_column(const struct sql_column *then, const struct sql_column *now,
		       struct buffer *out)
{
	if (same_column(then, now) && then->nullable == now->nullable)
		return;
	sql_putf(out, "column %s: ", then ? then->name : now->name);
	put_definition(then, out);
	sql_put(out, " then, ");
	put_definition(now, out);
	sql_put(out, " now\n");
}

static void put_key(const struct sql_table *table, struct buffer *out)
{
	for (size_t i = 0; i < table->key_count; i++)
		sql_putf(out, "%s%s", i ? ", " : "", table->columns[table->key[i]].name);
	sql_put(out, table->key_count ? "" : "none");
}

void schema_put_changes(const struct sql_table *then, const struct sql_table *now,
			struct buffer *out)
{
	for (size_t i = 0; i < then->count; i++)
		put_column(&then->columns[i], sql_column_find(now, then->columns[i].name), out);
	for (size_t i = 0; i < now->count; i++)
		if (!sql_column_find(then, now->columns[i].name))
			put_column(NULL, &now->columns[i], out);
	if (schema_same_key(then, now))
		return;
	sql_put(out, "key: ");
	put_key(then, out);
	sql_put(out, " then, ");
	put_key(now, out);
	sql_put(out, " now\n");
}

bool schema_same_key(const struct sql_table *then, const struct sql_table *now)
{
	if (then->key_count != now->key_count)
		return false;
	for (size_t i = 0; i < then->key_count; i++) {
		const struct sql_column *a = &then->columns[then->key[i]],
					*b = &now->columns[now->key[i]];

		if (strcmp(a->name, b->name) || !same_column(a, b))
			return false;
	}
	return true;
}

bool schema_same(const struct sql_table *then, const struct sql_table *now)
{
	if (then->count != now->count || !schema_same_key(then, now))
		return false;
	for (size_t i = 0; i < then->count; i++)
		if (!same_column(&then->columns[i], sql_column_find(now, then->columns[i].name)))
			return false;
	return true;
}

const char **schema_common(const struct sql_table *then, const struct sql_table *now)
{
	const char **names = xcalloc(then->count + 1, sizeof *names);
	size_t count = 0;

	for (size_t i = 0; i < then->count; i++) {
		const struct sql_column *column = &then->columns[i];

		if (!column->generated && same_column(column, sql_column_find(now, column->name)))
			names[count++] = column->name;
	}
	return names;
}
