#include "vfs/exact.h"

#include "base/le.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- There and back --------------------------------------------------------------------------- */

static void result_bytes(sqlite3_context *context, char letter, const void *data, size_t size)
{
	char *bytes = sqlite3_malloc64(1 + size);

	if (!bytes) {
		sqlite3_result_error_nomem(context);
		return;
	}
	bytes[0] = letter;
	if (size)
		memcpy(bytes + 1, data, size);
	sqlite3_result_blob64(context, bytes, 1 + size, sqlite3_free);
}

static void result_integer(sqlite3_context *context, int64_t value)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%lld", (long long)value);

	result_bytes(context, 'i', digits, n);
}

static le64 bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	return to_le64(bits);
}

static void read_value(sqlite3_context *context, int count, sqlite3_value **values)
{
	sqlite3_value *value = values[0];
	const void *bytes;
	le64 bits;

	switch (sqlite3_value_type(value)) {
	case SQLITE_INTEGER:
		result_integer(context, sqlite3_value_int64(value));
		return;
	case SQLITE_FLOAT:
		bits = bits_of(sqlite3_value_double(value));
		result_bytes(context, 'r', &bits, sizeof bits);
		return;
	case SQLITE_TEXT:
		bytes = sqlite3_value_text(value);
		result_bytes(context, 't', bytes, sqlite3_value_bytes(value));
		return;
	case SQLITE_BLOB:
		bytes = sqlite3_value_blob(value);
		result_bytes(context, 'b', bytes, sqlite3_value_bytes(value));
		return;
	default:
		sqlite3_result_null(context);
	}
}

static void result_real(sqlite3_context *context, const char *bytes, size_t size)
{
	le64 stored = to_le64(0);
	uint64_t bits;
	double value;

	memcpy(&stored, bytes, size < sizeof stored ? size : sizeof stored);
	bits = from_le64(stored);
	memcpy(&value, &bits, sizeof value);
	sqlite3_result_double(context, value);
}

static void result_digits(sqlite3_context *context, const char *bytes, size_t size)
{
	char digits[24] = "";

	memcpy(digits, bytes, size < sizeof digits ? size : sizeof digits - 1);
	sqlite3_result_int64(context, strtoll(digits, NULL, 10));
}

static void make_value(sqlite3_context *context, int count, sqlite3_value **values)
{
	const char *bytes = sqlite3_value_blob(values[0]);
	size_t size = sqlite3_value_bytes(values[0]);

	if (sqlite3_value_type(values[0]) == SQLITE_NULL)
		return;
	if (!size)
		sqlite3_result_error(context, "unspill_value() takes what unspill_read() gave", -1);
	else if (*bytes == 'i')
		result_digits(context, bytes + 1, size - 1);
	else if (*bytes == 'r')
		result_real(context, bytes + 1, size - 1);
	else if (*bytes == 't')
		sqlite3_result_text64(context, bytes + 1, size - 1, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_blob64(context, bytes + 1, size - 1, SQLITE_TRANSIENT);
}

/* --- Hashes ----------------------------------------------------------------------------------- */

#define SEED UINT64_C(0x8f1bbcdcbfa53e0b)
#define FOLD UINT64_C(0xd6e8feb86659fd93)

/* Both halves of a product of 128 bits, so that each bit depends on all of `a` and `b`; and `a`
 * once more, for the product may be nothing. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)(a ^ SEED) * (b ^ FOLD);

	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ (a << 31 | a >> 33);
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *at = data;
	uint64_t word;

	hash = mix(hash, size);
	while (size > 0) {
		size_t n = size < sizeof word ? size : sizeof word;

		word = 0;
		memcpy(&word, at, n);
		hash = mix(hash + FOLD, word);
		at += n;
		size -= n;
	}
	return hash;
}

static uint64_t hash_value(uint64_t hash, sqlite3_value *value)
{
	int type = sqlite3_value_type(value);
	const void *bytes;
	uint64_t bits;

	hash = mix(hash + SEED, (uint64_t)type);
	if (type == SQLITE_INTEGER)
		return mix(hash, (uint64_t)sqlite3_value_int64(value));
	if (type == SQLITE_FLOAT) {
		double real = sqlite3_value_double(value);

		memcpy(&bits, &real, sizeof bits);
		return mix(hash, bits);
	}
	if (type == SQLITE_NULL)
		return hash;
	bytes = type == SQLITE_TEXT ? (const void *)sqlite3_value_text(value)
				    : sqlite3_value_blob(value);
	return hash_bytes(hash, bytes, sqlite3_value_bytes(value));
}

static void hash_values(sqlite3_context *context, int count, sqlite3_value **values)
{
	uint64_t hash = SEED;

	for (int i = 0; i < count; i++)
		hash = hash_value(hash, values[i]);
	sqlite3_result_int64(context, (int64_t)(mix(hash, (uint64_t)count) >> 1));
}

struct total {
	uint64_t value;
};

static void add_xor(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct total *total = sqlite3_aggregate_context(context, sizeof *total);

	if (total)
		total->value ^= (uint64_t)sqlite3_value_int64(values[0]);
}

/* As with any sum of 64 bits, what is beyond is left out. */
static void add_sum(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct total *total = sqlite3_aggregate_context(context, sizeof *total);

	if (total)
		total->value += (uint64_t)sqlite3_value_int64(values[0]);
}

static void end_total(sqlite3_context *context)
{
	struct total *total = sqlite3_aggregate_context(context, 0);

	sqlite3_result_int64(context, total ? (int64_t)total->value : 0);
}

int exact_add_functions(sqlite3 *db)
{
	static const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
	static const struct {
		const char *name;
		int count;
		void (*function)(sqlite3_context *, int, sqlite3_value **);
		void (*step)(sqlite3_context *, int, sqlite3_value **);
		void (*final)(sqlite3_context *);
	} all[] = {
		{"unspill_read", 1, read_value, NULL, NULL},
		{"unspill_value", 1, make_value, NULL, NULL},
		{"unspill_hash", -1, hash_values, NULL, NULL},
		{"unspill_xor", 1, NULL, add_xor, end_total},
		{"unspill_sum", 1, NULL, add_sum, end_total},
	};
	int r = SQLITE_OK;

	for (size_t i = 0; i < sizeof all / sizeof *all && r == SQLITE_OK; i++)
		r = sqlite3_create_function_v2(db, all[i].name, all[i].count, flags, NULL,
					       all[i].function, all[i].step, all[i].final, NULL);
	return r;
}
