/* Buffer: bytes that grow at the end.  Initialise with {0}; buffer_done() frees. */
#pragma once

#include "base/cleanup.h"
#include "base/le.h"

#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data;
	size_t size;
	size_t room;
};

void buffer_done(struct buffer *buffer);
static inline void buffer_cleanup(struct buffer *buffer)
{
	buffer_done(buffer);
}

/* Room for `size` more bytes at the end, not initialised; the pointer holds until the next call. */
void *buffer_extend(struct buffer *buffer, size_t size);
void buffer_put(struct buffer *buffer, const void *data, size_t size);
void buffer_put8(struct buffer *buffer, uint8_t v);
void buffer_put16(struct buffer *buffer, uint16_t v);
void buffer_put32(struct buffer *buffer, uint32_t v);
void buffer_put64(struct buffer *buffer, uint64_t v);
/* A 16-bit length, then the bytes.  `size` is at most 65535. */
void buffer_put_string(struct buffer *buffer, const void *data, size_t size);
