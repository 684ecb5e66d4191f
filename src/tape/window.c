#include "tape/window.h"
#include "base/alloc.h"

#define WINDOW_BYTES_FIRST (64 * 1024)
#define WINDOW_BYTES (1024 * 1024)

void window_init(struct window *window, struct disk_file *file)
{
	*window = (struct window){.file = file};
}

void window_done(struct window *window)
{
	free(window->buf);
	window->buf = NULL;
}

/*
 * Small steps read small at first: a walk that ends at once, or one record, need not read a
 * megabyte.
 */
static int fill(struct window *window, uint64_t offset, size_t size)
{
	bool goes_on = window->size > 0 && offset <= window->start + window->size;
	size_t want = MAX(size, (size_t)(goes_on ? WINDOW_BYTES : WINDOW_BYTES_FIRST));
	ssize_t n;

	window->size = 0;
	if (window->room < want) {
		free(window->buf);
		window->buf = xmalloc(want);
		window->room = want;
	}
	n = disk_file_read(window->file, window->buf, want, offset);
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
