/*
 * How SQLite's values are read, compared and given.
 *
 * A column's type says little about what is in it: each value has a type of its own.  What is read
 * is therefore a letter for the type and the bytes (vfs/exact.h), and where a value stands in a
 * statement by itself it is written so that any SQLite makes exactly that value of it again.
 */
#include "sql/sqlite.h"

#include "base/le.h"
#include "vfs/exact.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_name(struct buffer *out, const struct sql_column *column)
{
	dialect_put_name(out, '"', column->name);
}

static char letter_of(const struct sql_value *value)
{
	return value->size ? *(const char *)value->data : 0;
}

/* The value without its letter. */
static struct sql_value bytes_of(const struct sql_value *value)
{
	return (struct sql_value){(const char *)value->data + 1, value->size - 1};
}

static double real_of(const struct sql_value *value)
{
	struct sql_value bytes = bytes_of(value);
	le64 stored = to_le64(0);
	uint64_t bits;
	double real;

	memcpy(&stored, bytes.data, bytes.size < sizeof stored ? bytes.size : sizeof stored);
	bits = from_le64(stored);
	memcpy(&real, &bits, sizeof real);
	return real;
}

/* --- Constants -------------------------------------------------------------------------------- */

void sqlite_put_text(struct buffer *out, const char *text)
{
	dialect_put_name(out, '\'', text);
}

static void put_bytes(struct buffer *out, const struct sql_value *bytes)
{
	sql_put(out, "x'");
	dialect_put_hex(out, bytes);
	buffer_put8(out, '\'');
}

/* Within quotes SQLite takes whatever bytes there are, but ends at a zero. */
static void put_text(struct buffer *out, const struct sql_value *bytes)
{
	const char *at = bytes->data;

	if (bytes->size && memchr(at, 0, bytes->size)) {
		sql_put(out, "CAST(");
		put_bytes(out, bytes);
		sql_put(out, " AS TEXT)");
		return;
	}
	buffer_put8(out, '\'');
	for (size_t i = 0; i < bytes->size; i++) {
		if (at[i] == '\'')
			buffer_put8(out, '\'');
		buffer_put8(out, at[i]);
	}
	buffer_put8(out, '\'');
}

/*
 * Not every SQLite makes the nearest double of a decimal number, but all divide whole numbers of 53
 * bits by powers of two without a remainder.
 */
static void put_real(struct buffer *out, double real)
{
	int exponent;
	double fraction = frexp(fabs(real), &exponent);
	long long whole = (long long)ldexp(fraction, 53);
	const char *sign = signbit(real) ? "-" : "";

	if (isinf(real)) {
		sql_putf(out, "%s9e999", sign);
		return;
	}
	if (fabs(real) < 1e15 && real == floor(real)) {
		sql_putf(out, "%.1f", real);
		return;
	}
	sql_putf(out, "(%s%lld.0", sign, whole);
	for (exponent -= 53; exponent > 0; exponent -= 62)
		sql_putf(out, "*%lld", 1LL << (exponent < 62 ? exponent : 62));
	for (; exponent < 0; exponent += 62)
		sql_putf(out, "/%lld", 1LL << (-exponent < 62 ? -exponent : 62));
	sql_putf(out, " /* %.15g */)", real);
}

/* The smallest whole number is none to SQLite's parser, which reads its digits first. */
static void put_integer(struct buffer *out, const struct sql_value *digits)
{
	bool smallest = digits->size == 20 && !memcmp(digits->data, "-9223372036854775808", 20);

	if (smallest)
		sql_put(out, "(-9223372036854775807-1)");
	else
		buffer_put(out, digits->data, digits->size);
}

static void put_constant(struct buffer *out, const struct sql_value *value)
{
	struct sql_value bytes;

	if (!value->data) {
		sql_put(out, "NULL");
		return;
	}
	bytes = bytes_of(value);
	if (letter_of(value) == 'i')
		put_integer(out, &bytes);
	else if (letter_of(value) == 'r')
		put_real(out, real_of(value));
	else if (letter_of(value) == 't')
		put_text(out, &bytes);
	else
		put_bytes(out, &bytes);
}

static const char *type_of(const struct sql_value *value)
{
	switch (letter_of(value)) {
	case 'i':
		return "integer";
	case 'r':
		return "real";
	case 't':
		return "text";
	default:
		return "blob";
	}
}

/* --- In statements ---------------------------------------------------------------------------- */

void sqlite_put_read(struct buffer *out, const struct sql_column *column)
{
	sql_put(out, "unspill_read(");
	put_name(out, column);
	buffer_put8(out, ')');
}

void sqlite_put_same(struct buffer *out, const struct sql_column *column,
		     const struct sql_value *value)
{
	if (!value) {
		sqlite_put_read(out, column);
		sql_put(out, " IS ?");
		return;
	}
	if (!value->data) {
		put_name(out, column);
		sql_put(out, " IS NULL");
		return;
	}
	sql_put(out, "(typeof(");
	put_name(out, column);
	sql_putf(out, ")='%s' AND ", type_of(value));
	put_name(out, column);
	buffer_put8(out, '=');
	put_constant(out, value);
	sql_put(out, letter_of(value) == 't' ? " COLLATE BINARY)" : ")");
}

void sqlite_put_given(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value)
{
	if (value)
		put_constant(out, value);
	else
		sql_put(out, "unspill_value(?)");
}

/* Of more than a call takes, a hash of hashes. */
void sqlite_put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count)
{
	sql_put(out, "unspill_hash(");
	if (count > EXACT_HASH_VALUES) {
		sqlite_put_hash(out, columns, EXACT_HASH_VALUES - 1);
		buffer_put8(out, ',');
		sqlite_put_hash(out, columns + EXACT_HASH_VALUES - 1,
				count - (EXACT_HASH_VALUES - 1));
	} else {
		for (size_t i = 0; i < count; i++) {
			sql_put(out, i ? "," : "");
			put_name(out, columns[i]);
		}
	}
	buffer_put8(out, ')');
}

void sqlite_put_hash_of_rows(struct buffer *out, const struct sql_column *const *columns,
			     size_t count)
{
	sql_put(out, "unspill_xor(");
	sqlite_put_hash(out, columns, count);
	buffer_put8(out, ')');
}

void sqlite_put_shown(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value)
{
	char digits[32];
	struct sql_value bytes;

	if (!value->data || !value->size)
		return;
	bytes = bytes_of(value);
	if (letter_of(value) != 'r') {
		buffer_put(out, bytes.data, bytes.size);
		return;
	}
	/* As short as it can be read back. */
	snprintf(digits, sizeof digits, "%.15g", real_of(value));
	if (strtod(digits, NULL) != real_of(value))
		snprintf(digits, sizeof digits, "%.17g", real_of(value));
	sql_put(out, digits);
	if (!strpbrk(digits, ".en"))
		sql_put(out, ".0");
}
