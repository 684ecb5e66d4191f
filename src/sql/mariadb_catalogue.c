/* MariaDB's catalogue: information_schema and SHOW CREATE. */
#include "sql/mariadb.h"

#include "base/alloc.h"
#include "sql/catalogue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool contains(const struct sql_row *row, size_t i, const char *word)
{
	return row->values[i].data &&
	       memmem(row->values[i].data, row->values[i].size, word, strlen(word));
}

/* Send `before`, "schema = '...' AND name = '...'" on the two columns, and `after`. */
static int send_for_table(struct sql *sql, const char *before, const char *schema_column,
			  const char *schema, const char *name_column, const char *name,
			  const char *after, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	sql_putf(&text, "%s%s = ", before, schema_column);
	mariadb_put_text(&text, schema);
	sql_putf(&text, " AND %s = ", name_column);
	mariadb_put_text(&text, name);
	sql_put(&text, after);
	return sql_send(sql, &text, why);
}

int mariadb_list(struct sql *sql, struct sql_names *ret, struct problem *why)
{
	const struct buffer text = {
		.data = (uint8_t *)"SELECT table_schema, table_name FROM information_schema.tables"
				   " WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
				   " AND table_schema NOT IN ('mysql', 'information_schema',"
				   " 'performance_schema', 'sys')"
				   " ORDER BY BINARY table_schema, BINARY table_name",
	};
	struct buffer query = text;
	size_t schemas = 0, names = 0;
	struct sql_row row;
	int r;

	query.size = strlen((const char *)query.data);
	r = sql_send(sql, &query, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		xgrow(ret->schemas, ret->count, schemas);
		xgrow(ret->names, ret->count, names);
		ret->schemas[ret->count] = catalogue_text(&row, 0);
		ret->names[ret->count++] = catalogue_text(&row, 1);
	}
	return r;
}

/* --- Columns ---------------------------------------------------------------------------------- */

static enum sql_kind kind_of(const char *type)
{
	static const struct {
		const char *type;
		enum sql_kind kind;
	} kinds[] = {
		{"tinyint", SQL_INTEGER},    {"smallint", SQL_INTEGER},
		{"mediumint", SQL_INTEGER},  {"int", SQL_INTEGER},
		{"bigint", SQL_INTEGER},     {"year", SQL_INTEGER},
		{"decimal", SQL_DECIMAL},    {"float", SQL_FLOAT},
		{"double", SQL_FLOAT},       {"char", SQL_TEXT},
		{"varchar", SQL_TEXT},       {"tinytext", SQL_TEXT},
		{"text", SQL_TEXT},          {"mediumtext", SQL_TEXT},
		{"longtext", SQL_TEXT},      {"json", SQL_TEXT},
		{"binary", SQL_BYTES},       {"varbinary", SQL_BYTES},
		{"tinyblob", SQL_BYTES},     {"blob", SQL_BYTES},
		{"mediumblob", SQL_BYTES},   {"longblob", SQL_BYTES},
		{"geometry", SQL_BYTES},     {"point", SQL_BYTES},
		{"linestring", SQL_BYTES},   {"polygon", SQL_BYTES},
		{"multipoint", SQL_BYTES},   {"multilinestring", SQL_BYTES},
		{"multipolygon", SQL_BYTES}, {"geometrycollection", SQL_BYTES},
		{"date", SQL_TIME},          {"time", SQL_TIME},
		{"datetime", SQL_TIME},      {"timestamp", SQL_TIME},
		{"enum", SQL_CHOICE},        {"set", SQL_CHOICE},
		{"bit", SQL_BITS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].type, type))
			return kinds[i].kind;
	return SQL_OTHER;
}

static void read_column(const struct sql_row *row, struct sql_column *column)
{
	CLEANUP(free) char *type = catalogue_text(row, 1);
	bool is_text = row->values[3].data != NULL;

	*column = (struct sql_column){
		.name = catalogue_text(row, 0),
		.type = catalogue_text(row, 2),
		.collation = catalogue_text_or_null(row, 3),
		.kind = kind_of(type),
		.nullable = catalogue_is(row, 4, "YES"),
		.generated = catalogue_is(row, 5, "ALWAYS") || contains(row, 6, "GENERATED"),
		.restamped = contains(row, 6, "on update"),
		.large = strstr(type, "blob") || strstr(type, "text") || !strcmp(type, "json") ||
			 (kind_of(type) == SQL_BYTES && !strstr(type, "binary")),
	};
	column->is_unsigned = strstr(column->type, "unsigned") != NULL;
	/* "char byte", or a type made by a plugin on a text. */
	if (column->kind == SQL_TEXT && !is_text)
		column->kind = SQL_BYTES;
}

static int read_columns(struct sql *sql, struct sql_table *table, struct problem *why)
{
	int r;

	r = send_for_table(
		sql,
		"SELECT column_name, data_type, column_type, collation_name, is_nullable,"
		" is_generated, extra FROM information_schema.columns WHERE ",
		"table_schema", table->schema, "table_name", table->name,
		" ORDER BY ordinal_position", why);
	return r < 0 ? r : catalogue_read_columns(sql, table, read_column, why);
}

/* --- The key ---------------------------------------------------------------------------------- */

/* Not where it is part of a text. */
static bool is_whole(const struct sql_row *row)
{
	return !row->values[2].data;
}

static int read_key(struct sql *sql, struct sql_table *table, struct problem *why)
{
	CLEANUP(free) char *name = NULL;
	int r;

	r = send_for_table(sql,
			   "SELECT index_name, column_name, sub_part FROM"
			   " information_schema.statistics WHERE non_unique = 0 AND index_type ="
			   " 'BTREE' AND ",
			   "table_schema", table->schema, "table_name", table->name,
			   " ORDER BY index_name <> 'PRIMARY', BINARY index_name, seq_in_index",
			   why);
	if (r == 0)
		r = catalogue_read_key(sql, table, is_whole, &name, why);
	table->primary = name && !strcmp(name, "PRIMARY");
	return r;
}

/* --- What else there is ----------------------------------------------------------------------- */

static int read_size(struct sql *sql, struct sql_table *table, struct problem *why)
{
	struct sql_row row;
	int r;

	r = send_for_table(sql,
			   "SELECT COALESCE(table_rows, 0), COALESCE(avg_row_length, 0) FROM"
			   " information_schema.tables WHERE ",
			   "table_schema", table->schema, "table_name", table->name, "", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		table->rows = catalogue_number(&row, 0);
		table->row_bytes = catalogue_number(&row, 1);
	}
	return r;
}

static int read_triggers(struct sql *sql, struct sql_table *table, struct problem *why)
{
	struct sql_row row;
	size_t room = 0;
	int r;

	r = send_for_table(sql,
			   "SELECT CONCAT(trigger_name, ' (', action_timing, ' ',"
			   " event_manipulation, ')') FROM information_schema.triggers WHERE ",
			   "event_object_schema", table->schema, "event_object_table", table->name,
			   " ORDER BY action_order, trigger_name", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		xgrow(table->triggers, table->trigger_count, room);
		table->triggers[table->trigger_count++] = catalogue_text(&row, 0);
	}
	return r;
}

int mariadb_describe(struct sql *sql, struct sql_table *table, struct problem *why)
{
	int r;

	r = read_columns(sql, table, why);
	if (r == 0)
		r = read_key(sql, table, why);
	if (r == 0)
		r = read_size(sql, table, why);
	if (r == 0)
		r = read_triggers(sql, table, why);
	return r;
}

/* --- Foreign keys ----------------------------------------------------------------------------- */

static void add_reference(const struct sql_row *row, struct sql_reference **references,
			  size_t *count, size_t *room)
{
	struct sql_reference *last = *count ? &(*references)[*count - 1] : NULL;

	if (!last || !catalogue_is(row, 0, last->name) || !catalogue_is(row, 1, last->schema) ||
	    !catalogue_is(row, 2, last->table)) {
		xgrow(*references, *count, *room);
		last = &(*references)[(*count)++];
		*last = (struct sql_reference){
			.name = catalogue_text(row, 0),
			.schema = catalogue_text(row, 1),
			.table = catalogue_text(row, 2),
			.parent_schema = catalogue_text(row, 3),
			.parent = catalogue_text(row, 4),
		};
	}
	last->columns = xreallocarray(last->columns, last->count + 1, sizeof *last->columns);
	last->parent_columns =
		xreallocarray(last->parent_columns, last->count + 1, sizeof *last->parent_columns);
	last->columns[last->count] = catalogue_text(row, 5);
	last->parent_columns[last->count++] = catalogue_text(row, 6);
}

int mariadb_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
		       struct sql_reference **ret, size_t *ret_count, struct problem *why)
{
	struct sql_reference *references = NULL;
	size_t count = 0, room = 0;
	struct sql_row row;
	int r;

	r = send_for_table(sql,
			   "SELECT constraint_name, table_schema, table_name,"
			   " referenced_table_schema, referenced_table_name, column_name,"
			   " referenced_column_name FROM information_schema.key_column_usage WHERE"
			   " referenced_table_name IS NOT NULL AND ",
			   of_parent ? "referenced_table_schema" : "table_schema", schema,
			   of_parent ? "referenced_table_name" : "table_name", name,
			   " ORDER BY BINARY table_schema, BINARY table_name,"
			   " BINARY constraint_name, ordinal_position",
			   why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		add_reference(&row, &references, &count, &room);
	if (r < 0) {
		sql_references_free(references, count);
		return r;
	}
	*ret = references;
	*ret_count = count;
	return 0;
}

/* --- Definitions ------------------------------------------------------------------------------ */

/* One value of the first row of SHOW CREATE. */
static int show_create(struct sql *sql, const char *what, const char *schema, const char *name,
		       size_t column, char **ret, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	struct sql_row row;
	int r;

	sql_putf(&text, "SHOW CREATE %s ", what);
	sql_put_table(sql, &text, schema, name);
	r = sql_send(sql, &text, why);
	if (r == 0)
		r = sql_next(sql, &row, why);
	if (r < 0)
		return r;
	if (r == 0 || row.count <= column)
		return problem(why, -EIO, "the server does not show how %s.%s was created", schema,
			       name);
	*ret = catalogue_text(&row, column);
	sql_drop(sql);
	return 0;
}

static int trigger_names(struct sql *sql, const char *schema, const char *name,
			 struct sql_names *ret, struct problem *why)
{
	size_t schemas = 0, names = 0;
	struct sql_row row;
	int r;

	r = send_for_table(sql,
			   "SELECT trigger_name, sql_mode FROM information_schema.triggers WHERE ",
			   "event_object_schema", schema, "event_object_table", name,
			   " ORDER BY event_manipulation, action_timing, action_order", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		xgrow(ret->schemas, ret->count, schemas);
		xgrow(ret->names, ret->count, names);
		ret->names[ret->count] = catalogue_text(&row, 0);
		ret->schemas[ret->count++] =
			catalogue_text(&row, 1); /* the mode it was written in */
	}
	return r;
}

/* A trigger keeps the sql_mode in which it is created. */
static char *set_mode(const char *mode)
{
	CLEANUP(buffer) struct buffer text = {0};

	sql_put(&text, "SET sql_mode = ");
	mariadb_put_text(&text, mode);
	buffer_put8(&text, 0);
	return (char *)take(text.data);
}

static int show_table(struct sql *sql, const char *schema, const char *name, char **ret,
		      struct problem *why)
{
	int r;

	r = sql_run(sql, "SET sql_quote_show_create = 1", NULL, why);
	return r < 0 ? r : show_create(sql, "TABLE", schema, name, 1, ret, why);
}

int mariadb_show(struct sql *sql, const char *schema, const char *name, char **ret,
		 struct problem *why)
{
	char *text, *number, *end;
	int r;

	r = show_table(sql, schema, name, &text, why);
	if (r < 0)
		return r;
	number = strstr(text, " AUTO_INCREMENT=");
	if (number) {
		end = number + strlen(" AUTO_INCREMENT=");
		end += strspn(end, "0123456789");
		memmove(number, end, strlen(end) + 1);
	}
	*ret = text;
	return 0;
}

int mariadb_define(struct sql *sql, const char *schema, const char *name,
		   struct sql_definition *definition, struct problem *why)
{
	CLEANUP(sql_names) struct sql_names triggers = {0};
	char *text;
	int r;

	r = show_table(sql, schema, name, &text, why);
	if (r < 0)
		return r;
	sql_statements_add(&definition->before, text);
	r = trigger_names(sql, schema, name, &triggers, why);
	for (size_t i = 0; i < triggers.count && r == 0; i++) {
		r = show_create(sql, "TRIGGER", schema, triggers.names[i], 2, &text, why);
		if (r < 0)
			return r;
		sql_statements_add(&definition->after, set_mode(triggers.schemas[i]));
		sql_statements_add(&definition->after, text);
	}
	return r;
}
