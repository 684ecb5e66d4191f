#include "sql/dialect.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct sql_dialect *const dialects[] = {&sql_mariadb, &sql_postgres, &sql_sqlite};

/* --- Connections ------------------------------------------------------------------------------ */

int sql_open(const char *engine, const struct engine_place *place, struct sql **ret,
	     struct problem *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(dialects); i++)
		if (!strcmp(dialects[i]->engine, engine))
			return dialects[i]->open(place, ret, why);
	return problem(why, -EOPNOTSUPP, "rows of a cluster of engine '%s' cannot be read yet",
		       engine);
}

void sql_close(struct sql *sql)
{
	if (sql)
		sql->dialect->close(sql);
}

int sql_use(struct sql *sql, const char *schema, struct problem *why)
{
	return sql->dialect->use ? sql->dialect->use(sql, schema, why) : 0;
}

int sql_run_buffer(struct sql *sql, const struct buffer *text, uint64_t *ret_rows,
		   struct problem *why)
{
	uint64_t rows;

	return sql->dialect->run(sql, text, ret_rows ? ret_rows : &rows, why);
}

int sql_run(struct sql *sql, const char *text, uint64_t *ret_rows, struct problem *why)
{
	const struct buffer buffer = {.data = (uint8_t *)text, .size = strlen(text)};

	return sql_run_buffer(sql, &buffer, ret_rows, why);
}

int sql_send(struct sql *sql, const struct buffer *text, struct problem *why)
{
	return sql->dialect->send(sql, text, why);
}

int sql_next(struct sql *sql, struct sql_row *ret, struct problem *why)
{
	size_t bytes = 0;
	int r;

	r = sql->dialect->next(sql, ret, why);
	for (size_t i = 0; r > 0 && i < ret->count; i++)
		bytes += ret->values[i].size;
	if (bytes <= SQL_ROW_BYTES_MAX)
		return r;
	sql_drop(sql);
	return problem(why, -E2BIG, "a row has %zu bytes; %u can be handled", bytes,
		       SQL_ROW_BYTES_MAX);
}

void sql_drop(struct sql *sql)
{
	struct sql_row row;

	while (sql->open_rows && sql->dialect->next(sql, &row, NULL) > 0)
		;
}

int sql_number(struct sql *sql, const char *text, int64_t *ret, struct problem *why)
{
	const struct buffer buffer = {.data = (uint8_t *)text, .size = strlen(text)};
	struct sql_row row;
	int r;

	r = sql_send(sql, &buffer, why);
	if (r == 0)
		r = sql_next(sql, &row, why);
	if (r < 0)
		return r;
	if (r == 0)
		return problem(why, -ENODATA, "the server has no answer to '%s'", text);
	CLEANUP(free) char *number = dialect_text(&row.values[0]);
	*ret = strtoll(number, NULL, 10);
	sql_drop(sql);
	return 0;
}

int sql_prepare(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		struct problem *why)
{
	return sql->dialect->prepare(sql, text, ret, why);
}

int sql_execute(struct sql_statement *statement, const struct sql_value *values, size_t count,
		uint64_t *ret_rows, struct problem *why)
{
	uint64_t rows;

	return statement->sql->dialect->execute(statement, values, count,
						ret_rows ? ret_rows : &rows, why);
}

bool sql_takes_many(const struct sql *sql)
{
	return sql->dialect->execute_many != NULL;
}

int sql_execute_many(struct sql_statement *statement, const struct sql_value *values, size_t count,
		     size_t times, uint64_t *ret_rows, struct problem *why)
{
	const struct sql_dialect *dialect = statement->sql->dialect;
	uint64_t rows;

	return dialect->execute_many(statement, values, count, times, ret_rows ? ret_rows : &rows,
				     why);
}

void sql_statement_free(struct sql_statement *statement)
{
	if (statement)
		statement->sql->dialect->statement_free(statement);
}

/* --- The catalogue ---------------------------------------------------------------------------- */

int sql_list(struct sql *sql, struct sql_names *ret, struct problem *why)
{
	return sql->dialect->list(sql, ret, why);
}

static void free_words(char **words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(words[i]);
	free(words);
}

void sql_names_done(struct sql_names *names)
{
	free_words(names->schemas, names->count);
	free_words(names->names, names->count);
	*names = (struct sql_names){0};
}

static bool is_named(const struct sql *sql, const struct sql_names *names, size_t i,
		     const char *wanted)
{
	size_t schema = strlen(names->schemas[i]);

	if (sql->dialect->is_named)
		return sql->dialect->is_named(names->schemas[i], names->names[i], wanted);
	return !strcmp(names->names[i], wanted) ||
	       (!strncmp(names->schemas[i], wanted, schema) && wanted[schema] == '.' &&
		!strcmp(names->names[i], wanted + schema + 1));
}

/* "shop.users, test.users" of those that fit, or of all tables. */
static void name_some(const struct sql *sql, const struct sql_names *names, const char *wanted,
		      char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (size_t i = 0; i < names->count && used + 1 < size; i++)
		if (!wanted || is_named(sql, names, i, wanted))
			used += snprintf(text + used, size - used, "%s%s.%s", used ? ", " : "",
					 names->schemas[i], names->names[i]);
	if (used >= size)
		memcpy(text + size - 4, "...", 4);
}

int sql_find_table(struct sql *sql, const char *name, char **ret_schema, char **ret_table,
		   struct problem *why)
{
	CLEANUP(sql_names) struct sql_names names = {0};
	size_t found = 0, at = 0;
	char some[512];
	int r;

	r = sql_list(sql, &names, why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.count; i++) {
		if (!is_named(sql, &names, i, name))
			continue;
		found++;
		at = i;
	}
	name_some(sql, &names, found ? name : NULL, some, sizeof some);
	if (!found)
		return problem(why, -ENOENT, "there is no table '%s'; there %s %s", name,
			       names.count ? "are" : "is", names.count ? some : "none at all");
	if (found > 1)
		return problem(why, -ENOTUNIQ, "'%s' may be each of %s: write SCHEMA.TABLE", name,
			       some);
	*ret_schema = xstrdup(names.schemas[at]);
	*ret_table = xstrdup(names.names[at]);
	return 0;
}

int sql_describe(struct sql *sql, const char *schema, const char *name, struct sql_table **ret,
		 struct problem *why)
{
	CLEANUP(sql_table) struct sql_table *table = xcalloc(1, sizeof *table);
	int r;

	table->schema = xstrdup(schema);
	table->name = xstrdup(name);
	r = sql_use(sql, schema, why);
	if (r == 0)
		r = sql->dialect->describe(sql, table, why);
	if (r < 0)
		return r;
	if (!table->count)
		return problem(why, -ENOENT, "there is no table %s.%s", schema, name);
	*ret = take(table);
	return 0;
}

void sql_table_free(struct sql_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++) {
		free(table->columns[i].name);
		free(table->columns[i].type);
		free(table->columns[i].collation);
	}
	free(table->columns);
	free(table->key);
	free(table->schema);
	free(table->name);
	free_words(table->triggers, table->trigger_count);
	free(table);
}

int sql_settle(struct sql *sql, const struct sql_table *table, struct sql_files *ret,
	       struct problem *why)
{
	int r;

	*ret = (struct sql_files){0};
	if (!sql->dialect->settle)
		return problem(why, -EOPNOTSUPP, "the files of engine '%s' are not read",
			       sql->dialect->engine);
	r = sql->dialect->settle(sql, table, ret, why);
	if (r < 0)
		sql_files_done(ret);
	return r;
}

void sql_unsettle(struct sql *sql)
{
	sql->dialect->unsettle(sql);
}

void sql_files_done(struct sql_files *files)
{
	free(files->data);
	free(files->definition);
	*files = (struct sql_files){0};
}

uint32_t sql_file_bytes(const struct sql *sql, const struct sql_column *column)
{
	return sql->dialect->file_bytes(column);
}

void sql_put_from_file(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		       const uint8_t *bytes, uint32_t size)
{
	sql->dialect->put_from_file(out, column, bytes, size);
}

int sql_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
		   struct sql_reference **ret, size_t *ret_count, struct problem *why)
{
	return sql->dialect->references(sql, schema, name, of_parent, ret, ret_count, why);
}

void sql_references_free(struct sql_reference *references, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct sql_reference *reference = &references[i];

		free(reference->name);
		free(reference->schema);
		free(reference->table);
		free(reference->parent_schema);
		free(reference->parent);
		free_words(reference->columns, reference->count);
		free_words(reference->parent_columns, reference->count);
	}
	free(references);
}

int sql_define(struct sql *sql, const char *schema, const char *name, struct sql_definition **ret,
	       struct problem *why)
{
	CLEANUP(sql_definition) struct sql_definition *definition = xcalloc(1, sizeof *definition);
	int r;

	r = sql->dialect->define(sql, schema, name, definition, why);
	if (r < 0)
		return r;
	*ret = take(definition);
	return 0;
}

void sql_definition_free(struct sql_definition *definition)
{
	if (!definition)
		return;
	sql_statements_done(&definition->before);
	sql_statements_done(&definition->after);
	free(definition);
}

int sql_verify(struct sql *sql, const char *schema, const char *name, struct problem *why)
{
	return sql->dialect->verify ? sql->dialect->verify(sql, schema, name, why) : 0;
}

int sql_show(struct sql *sql, const char *schema, const char *name, char **ret, struct problem *why)
{
	return sql->dialect->show(sql, schema, name, ret, why);
}

int sql_numbers(struct sql *sql, const char *schema, const char *name, struct sql_statements *ret,
		struct problem *why)
{
	return sql->dialect->numbers ? sql->dialect->numbers(sql, schema, name, ret, why) : 0;
}

void sql_statements_add(struct sql_statements *statements, char *text)
{
	xgrow(statements->texts, statements->count, statements->room);
	statements->texts[statements->count++] = text;
}

void sql_statements_done(struct sql_statements *statements)
{
	free_words(statements->texts, statements->count);
	*statements = (struct sql_statements){0};
}

const struct sql_column *sql_column_find(const struct sql_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (!strcmp(table->columns[i].name, name))
			return &table->columns[i];
	return NULL;
}

/* --- Writing statements ----------------------------------------------------------------------- */

void sql_put(struct buffer *out, const char *text)
{
	buffer_put(out, text, strlen(text));
}

void sql_putf(struct buffer *out, const char *format, ...)
{
	CLEANUP(free) char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	xcheck(n < 0 ? NULL : text);
	buffer_put(out, text, n);
}

void dialect_put_name(struct buffer *out, char quote, const char *name)
{
	buffer_put8(out, quote);
	for (; *name; name++) {
		if (*name == quote)
			buffer_put8(out, quote);
		buffer_put8(out, *name);
	}
	buffer_put8(out, quote);
}

char *dialect_text(const struct sql_value *value)
{
	char *text = xmalloc(value->size + 1);

	if (value->data)
		memcpy(text, value->data, value->size);
	text[value->data ? value->size : 0] = 0;
	return text;
}

void dialect_put_hex(struct buffer *out, const struct sql_value *value)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = value->data;
	char *to = buffer_extend(out, value->size * 2);

	for (size_t i = 0; i < value->size; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
	}
}

void sql_put_name(const struct sql *sql, struct buffer *out, const char *name)
{
	dialect_put_name(out, sql->dialect->quote, name);
}

void sql_put_table(const struct sql *sql, struct buffer *out, const char *schema, const char *name)
{
	if (sql->dialect->put_table) {
		sql->dialect->put_table(out, schema, name);
		return;
	}
	sql_put_name(sql, out, schema);
	buffer_put8(out, '.');
	sql_put_name(sql, out, name);
}

void sql_put_rows_of(const struct sql *sql, struct buffer *out, const struct sql_table *table)
{
	sql_put(out, table->alone ? "ONLY " : "");
	sql_put_table(sql, out, table->schema, table->name);
}

void sql_put_or_fail(const struct sql *sql, struct buffer *out)
{
	if (sql->dialect->or_fail)
		sql_put(out, sql->dialect->or_fail);
}

void sql_put_before_values(const struct sql *sql, struct buffer *out)
{
	if (sql->dialect->before_values)
		sql_put(out, sql->dialect->before_values);
}

void sql_put_text(const struct sql *sql, struct buffer *out, const char *text)
{
	sql->dialect->put_text(out, text);
}

void sql_put_read(const struct sql *sql, struct buffer *out, const struct sql_column *column)
{
	sql->dialect->put_read(out, column);
}

void sql_put_same(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		  const struct sql_value *value)
{
	sql->dialect->put_same(out, column, value);
}

void sql_put_given(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		   const struct sql_value *value)
{
	sql->dialect->put_given(out, column, value);
}

void sql_put_native(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		    const struct sql_value *value)
{
	sql->dialect->put_native(out, column, value);
}

void sql_put_hash(const struct sql *sql, struct buffer *out,
		  const struct sql_column *const *columns, size_t count)
{
	sql->dialect->put_hash(out, columns, count);
}

const char *sql_sum(const struct sql *sql)
{
	return sql->dialect->sum ? sql->dialect->sum : "SUM";
}

void sql_put_hash_of_rows(const struct sql *sql, struct buffer *out,
			  const struct sql_column *const *columns, size_t count)
{
	sql->dialect->put_hash_of_rows(out, columns, count);
}

void sql_put_shown(const struct sql *sql, struct buffer *out, const struct sql_column *column,
		   const struct sql_value *value)
{
	sql->dialect->put_shown(out, column, value);
}

const char *const *sql_session_settings(const struct sql *sql)
{
	return sql->dialect->session_settings;
}

const char *const *sql_repair_settings(const struct sql *sql)
{
	return sql->dialect->repair_settings;
}

const char *sql_begin(const struct sql *sql)
{
	return sql->dialect->begin ? sql->dialect->begin : "START TRANSACTION";
}

bool sql_has_one_writer(const struct sql *sql)
{
	return sql->dialect->one_writer;
}

const char *sql_trigger_hint(const struct sql *sql)
{
	return sql->dialect->trigger_hint;
}

bool sql_errors_end_transactions(const struct sql *sql)
{
	return sql->dialect->errors_end_transactions;
}
