/*
 * PostgreSQL's statements: how a value is read, compared and given without a change.
 *
 * Every value travels as the text that its type's own output function makes of it, which its input
 * function takes back exactly under the settings of the connection (postgres.c).  Two texts are the
 * same only if the values are, scale of a numeric, zero's sign and interval's units included, where
 * the type's "=" is less strict.
 */
#include "sql/postgres.h"

#include "base/alloc.h"

#include <string.h>
#include <sys/random.h>

static void put_column(struct buffer *out, const struct sql_column *column)
{
	dialect_put_name(out, '"', column->name);
}

/* --- Names ------------------------------------------------------------------------------------ */

static bool is_plain(const char *name)
{
	return *name && !strchr("0123456789$", *name) &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_$")] == 0;
}

static void put_part(struct buffer *out, const char *name)
{
	if (is_plain(name))
		sql_put(out, name);
	else
		dialect_put_name(out, '"', name);
}

char *postgres_join(const char *database, const char *schema)
{
	CLEANUP(buffer) struct buffer text = {0};

	put_part(&text, database);
	buffer_put8(&text, '.');
	put_part(&text, schema);
	buffer_put8(&text, 0);
	return (char *)take(text.data);
}

/* One part from `*at` on; what follows its dot is the next. */
static char *next_part(const char **at)
{
	CLEANUP(buffer) struct buffer text = {0};
	bool quoted = **at == '"';

	*at += quoted;
	while (**at && (quoted ? **at != '"' || (*at)[1] == '"' : **at != '.')) {
		*at += quoted && **at == '"';
		buffer_put8(&text, *(*at)++);
	}
	*at += quoted && **at;
	*at += **at == '.';
	buffer_put8(&text, 0);
	return (char *)take(text.data);
}

void postgres_part(const char *joined, char **ret_database, char **ret_schema)
{
	*ret_database = next_part(&joined);
	*ret_schema = next_part(&joined);
}

void postgres_put_table(struct buffer *out, const char *schema, const char *name)
{
	CLEANUP(free) char *database = NULL, *own = NULL;

	postgres_part(schema, &database, &own);
	dialect_put_name(out, '"', own);
	buffer_put8(out, '.');
	dialect_put_name(out, '"', name);
}

/* --- Values ----------------------------------------------------------------------------------- */

/* A backslash is itself (standard_conforming_strings). */
static void put_quoted(struct buffer *out, const char *data, size_t size)
{
	buffer_put8(out, '\'');
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\'')
			buffer_put8(out, '\'');
		buffer_put8(out, data[i]);
	}
	buffer_put8(out, '\'');
}

void postgres_put_text(struct buffer *out, const char *text)
{
	put_quoted(out, text, strlen(text));
}

/* A cast to text of some types says less than their output (char(n) without its blanks, which their
 * input adds again), of none anything else. */
void postgres_put_read(struct buffer *out, const struct sql_column *column)
{
	put_column(out, column);
	sql_put(out, "::text");
}

/* Its type is what stands beside it: the column's. */
static void put_placeholder(struct buffer *out, const struct sql_value *value)
{
	if (!value)
		buffer_put8(out, '?');
	else if (!value->data)
		sql_put(out, "NULL");
	else
		put_quoted(out, value->data, value->size);
}

/* A collation may take different texts for the same. */
void postgres_put_same(struct buffer *out, const struct sql_column *column,
		       const struct sql_value *value)
{
	postgres_put_read(out, column);
	sql_put(out, " COLLATE \"C\" IS NOT DISTINCT FROM ");
	put_placeholder(out, value);
}

void postgres_put_given(struct buffer *out, const struct sql_column *column,
			const struct sql_value *value)
{
	(void)column;
	put_placeholder(out, value);
}

/* --- Hashes ----------------------------------------------------------------------------------- */

/* Of each process another one, so that nobody can make rows whose hashes are the same. */
static uint64_t seed(void)
{
	static uint64_t number;

	while (!number)
		if (getrandom(&number, sizeof number, 0) != sizeof number)
			number = 0;
	return number >> 1;
}

/* The text of a row is unambiguous: it quotes, and tells NULL from nothing.  63 bits: a number with
 * a sign would not do for a bag's buckets. */
void postgres_put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count)
{
	sql_put(out, "(hashtextextended(ROW(");
	for (size_t i = 0; i < count; i++) {
		sql_put(out, i ? "," : "");
		put_column(out, columns[i]);
	}
	sql_putf(out, ")::text,%llu)&9223372036854775807)", (unsigned long long)seed());
}

void postgres_put_hash_of_rows(struct buffer *out, const struct sql_column *const *columns,
			       size_t count)
{
	sql_put(out, "SUM");
	postgres_put_hash(out, columns, count);
}

/* --- Placeholders ----------------------------------------------------------------------------- */

void postgres_number_placeholders(const struct buffer *text, struct buffer *out)
{
	unsigned number = 0;
	char quote = 0;

	for (size_t i = 0; i < text->size; i++) {
		char c = (char)text->data[i];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		if (c == '?' && !quote)
			sql_putf(out, "$%u", ++number);
		else
			buffer_put8(out, c);
	}
	buffer_put8(out, 0);
}

/* --- For a person ----------------------------------------------------------------------------- */

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* "\x00ff": the bytes. */
void postgres_put_shown(struct buffer *out, const struct sql_column *column,
			const struct sql_value *value)
{
	const char *text = value->data;

	if (column->kind != SQL_BYTES) {
		buffer_put(out, text, value->size);
		return;
	}
	for (size_t i = 2; i + 1 < value->size; i += 2)
		buffer_put8(out, digit(text[i]) << 4 | digit(text[i + 1]));
}
