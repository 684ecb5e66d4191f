/* What tables SQLite has, and how they are made: by its own PRAGMAs and sqlite_schema. */
#include "sql/sqlite.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEMA "main"

/* `format` has one %N in it, for the table's name as a text. */
static int ask_of(struct sql *sql, const char *format, const char *name, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	const char *at;

	while ((at = strstr(format, "%N"))) {
		buffer_put(&text, format, at - format);
		sqlite_put_text(&text, name);
		format = at + 2;
	}
	sql_put(&text, format);
	return sql_send(sql, &text, why);
}

static int64_t number_of(const struct sql_value *value)
{
	CLEANUP(free) char *text = dialect_text(value);

	return strtoll(text, NULL, 10);
}

/* One number; `otherwise` where there is none, or no such thing. */
static int ask_number(struct sql *sql, const char *format, const char *name, int64_t otherwise,
		      int64_t *ret, struct problem *why)
{
	struct sql_row row;
	int r = ask_of(sql, format, name, why);

	*ret = otherwise;
	if (r == 0)
		r = sql_next(sql, &row, why);
	if (r > 0 && row.values[0].data)
		*ret = number_of(&row.values[0]);
	if (r > 0)
		sql_drop(sql);
	return r == -ENOENT ? 0 : MIN(r, 0);
}

/* --- Tables ----------------------------------------------------------------------------------- */

int sqlite_list(struct sql *sql, struct sql_names *ret, struct problem *why)
{
	struct sql_row row;
	size_t room = 0;
	int r;

	r = ask_of(sql,
		   "SELECT name FROM pragma_table_list WHERE schema='main' AND type='table' "
		   "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name COLLATE BINARY",
		   "", why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		if (ret->count == room) {
			room = MAX(room * 2, (size_t)16);
			ret->schemas = xreallocarray(ret->schemas, room, sizeof *ret->schemas);
			ret->names = xreallocarray(ret->names, room, sizeof *ret->names);
		}
		ret->schemas[ret->count] = xstrdup(SCHEMA);
		ret->names[ret->count++] = dialect_text(&row.values[0]);
	}
	return r;
}

/* By the rules of SQLite's "determination of column affinity". */
static enum sql_kind kind_of(const char *type)
{
	if (strcasestr(type, "int"))
		return SQL_INTEGER;
	if (strcasestr(type, "char") || strcasestr(type, "clob") || strcasestr(type, "text"))
		return SQL_TEXT;
	if (strcasestr(type, "blob"))
		return SQL_BYTES;
	if (strcasestr(type, "real") || strcasestr(type, "floa") || strcasestr(type, "doub"))
		return SQL_FLOAT;
	/* Whatever it is, each value says it. */
	return SQL_OTHER;
}

/* name, type, notnull, pk, hidden */
static void add_column(struct sql_table *table, const struct sql_row *row, size_t *room,
		       size_t **keys)
{
	struct sql_column column = {
		.name = dialect_text(&row->values[0]),
		.type = dialect_text(&row->values[1]),
		.nullable = !number_of(&row->values[2]),
		.generated = number_of(&row->values[4]) != 0,
	};

	column.kind = kind_of(column.type);
	if (table->count == *room) {
		*room = MAX(*room * 2, (size_t)16);
		table->columns = xreallocarray(table->columns, *room, sizeof *table->columns);
		*keys = xreallocarray(*keys, *room, sizeof **keys);
	}
	(*keys)[table->count] = (size_t)number_of(&row->values[3]);
	table->columns[table->count++] = column;
}

/* In its order; `keys` has the place of each column in it, from 1 on. */
static void set_key(struct sql_table *table, const size_t *keys)
{
	table->key = xcalloc(table->count, sizeof *table->key);
	for (size_t place = 1; place <= table->count; place++)
		for (size_t i = 0; i < table->count; i++)
			if (keys[i] == place)
				table->key[table->key_count++] = i;
}

static void drop_key(struct sql_table *table)
{
	free(take(table->key));
	table->key_count = 0;
}

/*
 * A primary key may hold NULLs, as history has it, unless it is the rowid itself, or the table is
 * WITHOUT ROWID.
 */
static bool is_sure(const struct sql_table *table, bool without_rowid, bool has_index)
{
	const struct sql_column *first = &table->columns[table->key[0]];

	if (without_rowid)
		return true;
	if (table->key_count == 1 && !has_index && !strcasecmp(first->type, "INTEGER"))
		return true;
	for (size_t i = 0; i < table->key_count; i++)
		if (table->columns[table->key[i]].nullable)
			return false;
	return true;
}

/* The first unique index, by name, that is of whole columns without NULLs. */
static int find_unique(struct sql *sql, struct sql_table *table, struct problem *why)
{
	struct sql_row row;
	int r;

	r = ask_of(sql,
		   "SELECT ii.cid FROM pragma_index_info((SELECT il.name FROM "
		   "pragma_index_list(%N) AS il WHERE il.\"unique\" AND NOT il.partial AND "
		   "il.origin<>'pk' AND NOT EXISTS (SELECT 1 FROM pragma_index_info(il.name) AS "
		   "i LEFT JOIN pragma_table_xinfo(%N) AS c ON c.cid=i.cid WHERE c.cid IS NULL OR "
		   "NOT c.\"notnull\" OR c.hidden) ORDER BY il.name LIMIT 1)) AS ii ORDER BY "
		   "ii.seqno",
		   table->name, why);
	table->key = xcalloc(table->count, sizeof *table->key);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0) {
		size_t i = (size_t)number_of(&row.values[0]);

		if (i < table->count && table->key_count < table->count)
			table->key[table->key_count++] = i;
	}
	return r;
}

static int find_key(struct sql *sql, struct sql_table *table, const size_t *keys,
		    int64_t without_rowid, struct problem *why)
{
	int64_t has_index;
	int r;

	r = ask_number(sql, "SELECT 1 FROM pragma_index_list(%N) WHERE origin='pk'", table->name, 0,
		       &has_index, why);
	if (r < 0)
		return r;
	set_key(table, keys);
	if (table->key_count && is_sure(table, without_rowid, has_index))
		return 0;
	drop_key(table);
	return find_unique(sql, table, why);
}

/* Both from above: what the largest rowid and all of the file's pages would be. */
static int guess_size(struct sql *sql, struct sql_table *table, int64_t without_rowid,
		      struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	int64_t rows = 0, bytes;
	int r;

	r = ask_number(sql,
		       "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size "
		       "FROM pragma_page_size)",
		       "", 0, &bytes, why);
	if (r == 0 && !without_rowid) {
		sql_put(&text, "SELECT max(_rowid_) FROM ");
		sql_put_table(sql, &text, table->schema, table->name);
		buffer_put8(&text, 0);
		r = ask_number(sql, (const char *)text.data, "", 0, &rows, why);
	}
	table->rows = (uint64_t)MAX(rows, (int64_t)0);
	table->row_bytes = table->rows ? (uint64_t)bytes / table->rows : 0;
	return r;
}

int sqlite_describe(struct sql *sql, struct sql_table *table, struct problem *why)
{
	CLEANUP(free) size_t *keys = NULL;
	int64_t without_rowid = 0;
	struct sql_row row;
	size_t room = 0;
	int r;

	r = ask_of(sql,
		   "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(%N) ORDER "
		   "BY cid",
		   table->name, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		add_column(table, &row, &room, &keys);
	if (r == 0)
		r = ask_number(sql,
			       "SELECT wr FROM pragma_table_list WHERE schema='main' AND name=%N",
			       table->name, 0, &without_rowid, why);
	if (r < 0 || !table->count)
		return r;
	r = find_key(sql, table, keys, without_rowid, why);
	return r < 0 ? r : guess_size(sql, table, without_rowid, why);
}

/* --- Foreign keys ----------------------------------------------------------------------------- */

static void add_name(char ***names, size_t count, const struct sql_value *value)
{
	*names = xreallocarray(*names, count + 1, sizeof **names);
	(*names)[count] = dialect_text(value);
}

/* They have no names of their own. */
static void set_name(struct sql_reference *reference)
{
	CLEANUP(buffer) struct buffer name = {0};

	sql_put(&name, "FOREIGN KEY (");
	for (size_t i = 0; i < reference->count; i++)
		sql_putf(&name, "%s%s", i ? ", " : "", reference->columns[i]);
	sql_put(&name, ")");
	buffer_put8(&name, 0);
	free(reference->name);
	reference->name = xstrdup((const char *)name.data);
}

/* table, id, parent, column, parent's column; of one that another row began, or a new one. */
static void add_reference(const struct sql_row *row, struct sql_reference **list, size_t *count,
			  size_t *room, int64_t *id)
{
	CLEANUP(free) char *table = dialect_text(&row->values[0]);
	struct sql_reference *last = *count ? &(*list)[*count - 1] : NULL;

	if (!last || *id != number_of(&row->values[1]) || strcmp(last->table, table) != 0) {
		xgrow(*list, *count, *room);
		last = &(*list)[(*count)++];
		*last = (struct sql_reference){
			.schema = xstrdup(SCHEMA),
			.table = take(table),
			.parent_schema = xstrdup(SCHEMA),
			.parent = dialect_text(&row->values[2]),
		};
		*id = number_of(&row->values[1]);
	}
	add_name(&last->columns, last->count, &row->values[3]);
	add_name(&last->parent_columns, last->count++, &row->values[4]);
	set_name(last);
}

/* Those to tables that are there; a parent's columns are its primary key where none are named. */
int sqlite_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
		      struct sql_reference **ret, size_t *ret_count, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	size_t room = 0;
	struct sql_row row;
	int64_t id = -1;
	int r;

	sql_putf(&text,
		 "SELECT t.name, f.id, f.\"table\", f.\"from\", ifnull(f.\"to\", (SELECT p.name "
		 "FROM pragma_table_info(f.\"table\") AS p WHERE p.pk=f.seq+1)) FROM "
		 "pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f WHERE "
		 "t.schema='main' AND t.type='table' AND %s=%%N COLLATE NOCASE AND EXISTS (SELECT "
		 "1 FROM pragma_table_list AS o WHERE o.schema='main' AND o.type='table' AND "
		 "o.name=f.\"table\" COLLATE NOCASE) ORDER BY t.name, f.id, f.seq",
		 of_parent ? "f.\"table\"" : "t.name");
	buffer_put8(&text, 0);
	*ret = NULL;
	*ret_count = 0;
	r = ask_of(sql, (const char *)text.data, name, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		if (row.values[3].data && row.values[4].data)
			add_reference(&row, ret, ret_count, &room, &id);
	return r;
}

/* --- How they are made ------------------------------------------------------------------------ */

/* The texts of the table, or of what belongs to it. */
static int read_texts(struct sql *sql, const char *name, const char *which,
		      struct sql_statements *ret, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	struct sql_row row;
	int r;

	sql_putf(&text,
		 "SELECT sql FROM sqlite_schema WHERE tbl_name=%%N COLLATE NOCASE AND sql IS NOT "
		 "NULL AND %s ORDER BY type, name",
		 which);
	buffer_put8(&text, 0);
	r = ask_of(sql, (const char *)text.data, name, why);
	while (r >= 0 && (r = sql_next(sql, &row, why)) > 0)
		sql_statements_add(ret, dialect_text(&row.values[0]));
	return r;
}

int sqlite_define(struct sql *sql, const char *schema, const char *name,
		  struct sql_definition *definition, struct problem *why)
{
	int r;

	definition->at_once = true;
	r = read_texts(sql, name, "type='table'", &definition->before, why);
	if (r == 0 && !definition->before.count)
		return problem(why, -ENOENT, "there is no table %s.%s", schema, name);
	/* Indexes come before triggers. */
	return r < 0 ? r : read_texts(sql, name, "type<>'table'", &definition->after, why);
}

int sqlite_show(struct sql *sql, const char *schema, const char *name, char **ret,
		struct problem *why)
{
	CLEANUP(sql_statements) struct sql_statements texts = {0};
	CLEANUP(buffer) struct buffer all = {0};
	int r;

	r = read_texts(sql, name, "type='table'", &texts, why);
	if (r == 0)
		r = read_texts(sql, name, "type<>'table'", &texts, why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < texts.count; i++)
		sql_putf(&all, "%s\n", texts.texts[i]);
	buffer_put8(&all, 0);
	*ret = xstrdup((const char *)all.data);
	return 0;
}

static void add_statement(struct sql_statements *ret, struct buffer *text)
{
	buffer_put8(text, 0);
	sql_statements_add(ret, xstrdup((const char *)text->data));
	text->size = 0;
}

/* AUTOINCREMENT goes on from the largest rowid that there ever was. */
int sqlite_numbers(struct sql *sql, const char *schema, const char *name,
		   struct sql_statements *ret, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	int64_t last;
	int r = ask_number(sql, "SELECT seq FROM sqlite_sequence WHERE name=%N", name, -1, &last,
			   why);

	if (r < 0 || last < 0)
		return r;
	sql_putf(&text,
		 "UPDATE sqlite_sequence SET seq=%lld WHERE seq<%lld AND name=", (long long)last,
		 (long long)last);
	sqlite_put_text(&text, name);
	add_statement(ret, &text);
	sql_putf(&text, "INSERT INTO sqlite_sequence (seq, name) SELECT %lld, n FROM (SELECT ",
		 (long long)last);
	sqlite_put_text(&text, name);
	sql_put(&text,
		" AS n) WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence AS s WHERE s.name=n)");
	add_statement(ret, &text);
	return 0;
}
