#include "base/buffer.h"
#include "base/alloc.h"

#include <assert.h>

void buffer_done(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

void *buffer_extend(struct buffer *buffer, size_t size)
{
	void *end;

	if (buffer->room - buffer->size < size) {
		size_t room = MAX(buffer->room * 2, buffer->size + size);

		buffer->data = xreallocarray(buffer->data, MAX(room, (size_t)256), 1);
		buffer->room = MAX(room, (size_t)256);
	}
	end = buffer->data + buffer->size;
	buffer->size += size;
	return end;
}

void buffer_put(struct buffer *buffer, const void *data, size_t size)
{
	if (size)
		memcpy(buffer_extend(buffer, size), data, size);
}

void buffer_put8(struct buffer *buffer, uint8_t v)
{
	buffer_put(buffer, &v, 1);
}

void buffer_put16(struct buffer *buffer, uint16_t v)
{
	le16 le = to_le16(v);

	buffer_put(buffer, &le, sizeof le);
}

void buffer_put32(struct buffer *buffer, uint32_t v)
{
	le32 le = to_le32(v);

	buffer_put(buffer, &le, sizeof le);
}

void buffer_put64(struct buffer *buffer, uint64_t v)
{
	le64 le = to_le64(v);

	buffer_put(buffer, &le, sizeof le);
}

void buffer_put_string(struct buffer *buffer, const void *data, size_t size)
{
	assert(size <= UINT16_MAX);
	buffer_put16(buffer, size);
	buffer_put(buffer, data, size);
}
