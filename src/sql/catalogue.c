#include "sql/catalogue.h"

#include "base/alloc.h"

#include <string.h>

/* --- Values ----------------------------------------------------------------------------------- */

char *catalogue_text(const struct sql_row *row, size_t i)
{
	return dialect_text(&row->values[i]);
}

char *catalogue_text_or_null(const struct sql_row *row, size_t i)
{
	return row->values[i].data ? catalogue_text(row, i) : NULL;
}

uint64_t catalogue_number(const struct sql_row *row, size_t i)
{
	CLEANUP(free) char *text = catalogue_text(row, i);

	return strtoull(text, NULL, 10);
}

bool catalogue_is(const struct sql_row *row, size_t i, const char *word)
{
	return row->values[i].size == strlen(word) &&
	       !memcmp(row->values[i].data, word, row->values[i].size);
}

/* --- Columns ---------------------------------------------------------------------------------- */

int catalogue_read_columns(struct sql *sql, struct sql_table *table,
			   void (*read)(const struct sql_row *row, struct sql_column *column),
			   struct problem *why)
{
	struct sql_row row;
	size_t room = 0;
	int r;

	while ((r = sql_next(sql, &row, why)) > 0) {
		xgrow(table->columns, table->count, room);
		read(&row, &table->columns[table->count++]);
	}
	return r;
}

/* --- The key ---------------------------------------------------------------------------------- */

/* One unique key, or what we have read of it. */
struct candidate {
	char *name;
	bool bad; /* no name for a row */
	size_t *columns;
	size_t count, room;
};

/* The first one that will do. */
static void settle(struct sql_table *table, struct candidate *candidate, char **ret_name)
{
	if (candidate->name && !candidate->bad && !table->key_count) {
		table->key = take(candidate->columns);
		table->key_count = candidate->count;
		*ret_name = take(candidate->name);
	}
	free(candidate->name);
	free(candidate->columns);
	*candidate = (struct candidate){0};
}

static void add_column(const struct sql_table *table, const struct sql_row *row, bool usable,
		       struct candidate *candidate)
{
	CLEANUP(free) char *name = catalogue_text(row, 1);
	const struct sql_column *column = sql_column_find(table, name);

	if (!column || column->nullable || column->generated || !usable) {
		candidate->bad = true;
		return;
	}
	xgrow(candidate->columns, candidate->count, candidate->room);
	candidate->columns[candidate->count++] = column - table->columns;
}

int catalogue_read_key(struct sql *sql, struct sql_table *table,
		       bool (*is_usable)(const struct sql_row *row), char **ret_name,
		       struct problem *why)
{
	struct candidate candidate = {0};
	struct sql_row row;
	int r;

	*ret_name = NULL;
	while ((r = sql_next(sql, &row, why)) > 0) {
		if (!candidate.name || !catalogue_is(&row, 0, candidate.name)) {
			settle(table, &candidate, ret_name);
			candidate.name = catalogue_text(&row, 0);
		}
		add_column(table, &row, is_usable(&row), &candidate);
	}
	settle(table, &candidate, ret_name);
	return r;
}
