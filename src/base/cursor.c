#include "base/cursor.h"
#include "base/le.h"

void cursor_init(struct cursor *cursor, const void *data, size_t size)
{
	cursor->at = data;
	cursor->end = cursor->at + size;
	cursor->bad = false;
}

size_t cursor_left(const struct cursor *cursor)
{
	return cursor->end - cursor->at;
}

const void *cursor_bytes(struct cursor *cursor, size_t size)
{
	const void *bytes = cursor->at;

	if (cursor->bad || cursor_left(cursor) < size) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += size;
	return bytes;
}

uint8_t cursor_get8(struct cursor *cursor)
{
	const uint8_t *p = cursor_bytes(cursor, 1);

	return p ? *p : 0;
}

uint16_t cursor_get16(struct cursor *cursor)
{
	const le16 *p = cursor_bytes(cursor, sizeof *p);

	return p ? from_le16(*p) : 0;
}

uint32_t cursor_get32(struct cursor *cursor)
{
	const le32 *p = cursor_bytes(cursor, sizeof *p);

	return p ? from_le32(*p) : 0;
}

uint64_t cursor_get64(struct cursor *cursor)
{
	const le64 *p = cursor_bytes(cursor, sizeof *p);

	return p ? from_le64(*p) : 0;
}

const char *cursor_get_string(struct cursor *cursor, size_t *ret_size)
{
	size_t size = cursor_get16(cursor);
	const char *bytes = cursor_bytes(cursor, size);

	*ret_size = bytes ? size : 0;
	return bytes ? bytes : "";
}
