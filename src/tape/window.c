#include "tape/window.h"
#include "tape/record.h"
#include "base/alloc.h"

#define WINDOW_BYTES (2 * 1024 * 1024)
static_assert(RECORD_SIZE_MAX <= WINDOW_BYTES, "a record fits");

void window_init(struct window *window, struct disk_file *file)
{
	*window = (struct window){.file = file, .buf = xmalloc(WINDOW_BYTES)};
}

void window_done(struct window *window)
{
	free(window->buf);
	window->buf = NULL;
}

/*
 * Small steps read small at first: a walk that ends at once, or one record, need not read 2 MiB.
 */
static int fill(struct window *window, uint64_t offset, size_t size)
{
	bool goes_on = window->size > 0 && offset <= window->start + window->size;
	size_t want = goes_on ? WINDOW_BYTES : MAX(size, (size_t)64 * 1024);
	ssize_t n = disk_file_read(window->file, window->buf, want, offset);

	window->size = 0;
	if (n < 0)
		return n;
	if ((size_t)n < size) {
		memset(window->buf + n, 0, size - n);
		n = size;
	}
	window->start = offset;
	window->size = n;
	return 0;
}

const uint8_t *window_get(struct window *window, uint64_t offset, size_t size, int *ret_r)
{
	if (offset < window->start || offset + size > window->start + window->size) {
		int r = fill(window, offset, size);

		if (r < 0) {
			*ret_r = r;
			return NULL;
		}
	}
	return window->buf + (offset - window->start);
}
