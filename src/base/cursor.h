/*
 * Cursor: the bounds-checked reader for all bytes that come from outside.
 *
 * A read past the end returns zeros and sets `bad`, which stays set: parse straight through, look
 * at cursor_ok() once at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

void cursor_init(struct cursor *cursor, const void *data, size_t size);
size_t cursor_left(const struct cursor *cursor);

/* The next `size` bytes, borrowed from the input; NULL and bad when there are fewer. */
const void *cursor_bytes(struct cursor *cursor, size_t size);
uint8_t cursor_get8(struct cursor *cursor);
uint16_t cursor_get16(struct cursor *cursor);
uint32_t cursor_get32(struct cursor *cursor);
uint64_t cursor_get64(struct cursor *cursor);
/* What buffer_put_string() wrote: borrowed bytes, not NUL-terminated. */
const char *cursor_get_string(struct cursor *cursor, size_t *ret_size);

/* Nothing was missing. */
static inline bool cursor_ok(const struct cursor *cursor)
{
	return !cursor->bad;
}

/* Nothing was missing and nothing is left over. */
static inline bool cursor_done(const struct cursor *cursor)
{
	return !cursor->bad && cursor->at == cursor->end;
}
