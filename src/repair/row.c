#include "repair/row.h"

#include "base/alloc.h"
#include "base/crc32c.h"

#include <string.h>

static size_t bytes_of(const struct sql_value *values, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += sizeof(uint32_t) + (values[i].data ? values[i].size : 0);
	return size;
}

struct row *row_new(const struct sql_value *values, size_t count, size_t key_count)
{
	size_t size = bytes_of(values, count);
	struct row *row = xcalloc(1, offsetof(struct row, data) + size);
	uint8_t *to = row->data;

	for (size_t i = 0; i < count; i++) {
		uint32_t n = values[i].data ? (uint32_t)values[i].size : ROW_NULL;

		memcpy(to, &n, sizeof n);
		to += sizeof n;
		if (values[i].data && n)
			memcpy(to, values[i].data, n);
		to += values[i].data ? n : 0;
	}
	row->copies = 1;
	row->wanted = true;
	row->size = size;
	row->key_size = bytes_of(values, key_count);
	return row;
}

struct row *row_copy(const struct row *row)
{
	return xmemdup(row, row_bytes(row));
}

void row_values(const struct row *row, struct sql_value *values, size_t count)
{
	const uint8_t *at = row->data;

	for (size_t i = 0; i < count; i++) {
		uint32_t n;

		memcpy(&n, at, sizeof n);
		at += sizeof n;
		values[i] = n == ROW_NULL ? (struct sql_value){0} : (struct sql_value){at, n};
		at += n == ROW_NULL ? 0 : n;
	}
}

bool row_same(const struct row *a, const struct row *b)
{
	if (!a || !b)
		return a == b;
	return a->copies == b->copies && a->size == b->size && !memcmp(a->data, b->data, a->size);
}

/* --- Sets ------------------------------------------------------------------------------------- */

void rows_done(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		free(rows->rows[i]);
	free(rows->rows);
	free(rows->slots);
	*rows = (struct rows){0};
}

/* The slot that has the key, or the empty one where it would be. */
static size_t slot_of(const struct rows *rows, const struct row *like)
{
	size_t at = crc32c(0, like->data, like->key_size) & (rows->slot_room - 1);

	for (; rows->slots[at]; at = (at + 1) & (rows->slot_room - 1)) {
		const struct row *row = rows->rows[rows->slots[at] - 1];

		if (row->key_size == like->key_size &&
		    !memcmp(row->data, like->data, row->key_size))
			break;
	}
	return at;
}

/* At most half full. */
static void make_room(struct rows *rows)
{
	if (rows->count * 2 < rows->slot_room)
		return;
	rows->slot_room = rows->slot_room ? rows->slot_room * 2 : 64;
	free(rows->slots);
	rows->slots = xcalloc(rows->slot_room, sizeof *rows->slots);
	for (size_t i = 0; i < rows->count; i++)
		rows->slots[slot_of(rows, rows->rows[i])] = i + 1;
}

void rows_add(struct rows *rows, struct row *row)
{
	size_t at;

	make_room(rows);
	at = slot_of(rows, row);
	if (rows->slots[at]) {
		rows->rows[rows->slots[at] - 1]->copies += row->copies;
		free(row);
		return;
	}
	xgrow(rows->rows, rows->count, rows->room);
	rows->rows[rows->count++] = row;
	rows->slots[at] = rows->count;
}

struct row *rows_find(const struct rows *rows, const struct row *like)
{
	size_t at;

	if (!rows->count)
		return NULL;
	at = slot_of(rows, like);
	return rows->slots[at] ? rows->rows[rows->slots[at] - 1] : NULL;
}
