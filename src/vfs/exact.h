/*
 * Exact: SQL functions by which values travel as they are, whatever the column says they should be.
 *
 *	unspill_read(x)		NULL, or a blob of a letter and what SQLite has:
 *				i and the digits, r and the double's 8 bytes, t or b and the bytes
 *	unspill_value(blob)	the value again
 *	unspill_hash(a, ...)	63 bits of a hash of the values with their types, as an integer
 *	unspill_xor(hash)	an aggregate of those, of rows that are all different
 *	unspill_sum(hash)	the same of rows that may be there several times
 *
 * Two values are the same if what unspill_read() gives is, byte for byte: 1 is not 1.0 and not '1',
 * 'a' is not 'A'.
 */
#pragma once

#include "vfs/sqlite.h"

/* As many as SQLite takes arguments, with room. */
#define EXACT_HASH_VALUES 100

/* SQLite's code. */
int exact_add_functions(sqlite3 *db);
