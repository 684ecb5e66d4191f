/*
 * MariaDB's statements: how a value is read, compared and given without a change.
 *
 * Numbers, dates and times travel as the server's text for them, floats as that of the double that
 * they are; strings as the bytes of the column, whatever its character set; bits, ENUM and SET as
 * numbers.
 */
#include "sql/mariadb.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

static void put_column(struct buffer *out, const struct sql_column *column)
{
	dialect_put_name(out, '`', column->name);
}

/* Quoted text is UTF-8 (SET NAMES utf8mb4); backslash is an escape. */
void mariadb_put_text(struct buffer *out, const char *text)
{
	buffer_put8(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			buffer_put8(out, '\\');
		buffer_put8(out, *text);
	}
	buffer_put8(out, '\'');
}

/* Read as a number whatever is shown for it. */
static bool is_numbered(const struct sql_column *column)
{
	return column->kind == SQL_CHOICE || column->kind == SQL_BITS;
}

/* A float alone shows six digits; a sum is a double, which shows as many as it needs. */
void mariadb_put_read(struct buffer *out, const struct sql_column *column)
{
	bool cast = is_numbered(column) || column->kind == SQL_OTHER;

	if (cast)
		sql_put(out, "CAST(");
	put_column(out, column);
	if (column->kind == SQL_FLOAT)
		sql_put(out, "+0e0");
	else if (cast)
		sql_put(out, is_numbered(column) ? "+0 AS UNSIGNED)" : " AS CHAR)");
}

/* What put_read() reads, as bytes. */
static void put_bytes(struct buffer *out, const struct sql_column *column)
{
	sql_put(out, "CAST(");
	mariadb_put_read(out, column);
	sql_put(out, " AS BINARY)");
}

static bool is_printable(const struct sql_value *value)
{
	const uint8_t *bytes = value->data;

	for (size_t i = 0; i < value->size; i++)
		if (bytes[i] < ' ' || bytes[i] > '~' || bytes[i] == '\'' || bytes[i] == '\\')
			return false;
	return true;
}

/* A binary string, legible where it can be. */
static void put_constant(struct buffer *out, const struct sql_value *value)
{
	bool printable = value->data && is_printable(value);

	if (!value->data) {
		sql_put(out, "NULL");
		return;
	}
	sql_put(out, printable ? "_binary'" : "X'");
	if (printable)
		buffer_put(out, value->data, value->size);
	else
		dialect_put_hex(out, value);
	buffer_put8(out, '\'');
}

static void put_placeholder(struct buffer *out, const struct sql_value *value)
{
	if (value)
		put_constant(out, value);
	else
		buffer_put8(out, '?');
}

void mariadb_put_same(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value)
{
	put_bytes(out, column);
	sql_put(out, "<=>");
	put_placeholder(out, value);
}

void mariadb_put_given(struct buffer *out, const struct sql_column *column,
		       const struct sql_value *value)
{
	if (is_numbered(column)) {
		sql_put(out, "CAST(");
		put_placeholder(out, value);
		sql_put(out, " AS UNSIGNED)");
	} else if (column->kind == SQL_OTHER) {
		/* Bytes would be taken for the value's inside. */
		sql_put(out, "CONVERT(");
		put_placeholder(out, value);
		sql_put(out, " USING latin1)");
	} else {
		put_placeholder(out, value);
	}
}

/* "decimal(10,2)" of "decimal(10,2) unsigned zerofill" */
static int type_alone(const struct sql_column *column)
{
	return (int)strcspn(column->type, " ");
}

/* A string compared with a whole number or a decimal would be turned into a double. */
void mariadb_put_native(struct buffer *out, const struct sql_column *column,
			const struct sql_value *value)
{
	if (column->kind == SQL_INTEGER || column->kind == SQL_DECIMAL) {
		sql_put(out, "CAST(");
		put_placeholder(out, value);
		if (column->kind == SQL_DECIMAL)
			sql_putf(out, " AS %.*s)", type_alone(column), column->type);
		else
			sql_put(out, column->is_unsigned ? " AS UNSIGNED)" : " AS SIGNED)");
	} else {
		mariadb_put_given(out, column, value);
	}
}

/* A string may have the separator in it: its length makes the whole unambiguous. */
static bool has_any_length(const struct sql_column *column)
{
	return column->kind == SQL_TEXT || column->kind == SQL_BYTES || column->kind == SQL_OTHER;
}

/*
 * A NULL is left out by CONCAT_WS, and told by the list of NULLs at the end.  What may have
 * megabytes is hashed by itself: the server makes no text longer than max_allowed_packet.
 */
void mariadb_put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count)
{
	sql_put(out, "CAST(CONV(LEFT(SHA1(CONCAT_WS('#'");
	for (size_t i = 0; i < count; i++) {
		sql_put(out, columns[i]->large ? ",SHA1(" : ",");
		if (has_any_length(columns[i]))
			put_bytes(out, columns[i]);
		else
			mariadb_put_read(out, columns[i]);
		sql_put(out, columns[i]->large ? ")" : "");
	}
	for (size_t i = 0; i < count; i++) {
		if (!has_any_length(columns[i]) || columns[i]->large)
			continue;
		sql_put(out, ",LENGTH(");
		put_column(out, columns[i]);
		buffer_put8(out, ')');
	}
	sql_put(out, ",CONCAT(''");
	for (size_t i = 0; i < count; i++) {
		if (!columns[i]->nullable)
			continue;
		sql_put(out, ",ISNULL(");
		put_column(out, columns[i]);
		buffer_put8(out, ')');
	}
	sql_put(out, "))),16),16,10)AS UNSIGNED)");
}

void mariadb_put_hash_of_rows(struct buffer *out, const struct sql_column *const *columns,
			      size_t count)
{
	sql_put(out, "BIT_XOR(");
	mariadb_put_hash(out, columns, count);
	buffer_put8(out, ')');
}

/* --- For a person ----------------------------------------------------------------------------- */

/* The n-th word of "enum('a','b''c')", from 1; false when there is none. */
static bool put_word(struct buffer *out, const char *type, uint64_t n)
{
	const char *at = strchr(type, '(');

	for (uint64_t i = 1; at && at[1] == '\''; i++) {
		for (at += 2; *at && (*at != '\'' || at[1] == '\''); at++) {
			at += *at == '\'';
			if (i == n)
				buffer_put8(out, *at);
		}
		if (i == n)
			return true;
		at = *at ? at + 1 : NULL;
	}
	return false;
}

static void put_words(struct buffer *out, const char *type, uint64_t bits)
{
	bool first = true;

	for (unsigned i = 0; i < 64; i++) {
		if (!(bits >> i & 1))
			continue;
		if (!first)
			buffer_put8(out, ',');
		put_word(out, type, i + 1);
		first = false;
	}
}

void mariadb_put_shown(struct buffer *out, const struct sql_column *column,
		       const struct sql_value *value)
{
	uint64_t number;

	if (column->kind != SQL_CHOICE) {
		buffer_put(out, value->data, value->size);
		return;
	}
	CLEANUP(free) char *text = dialect_text(value);
	number = strtoull(text, NULL, 10);
	if (!strncmp(column->type, "set", 3))
		put_words(out, column->type, number);
	else
		put_word(out, column->type, number);
}
