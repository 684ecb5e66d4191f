/*
 * Window: forward reading of a file in big pieces, for those who walk a whole segment.
 */
#pragma once

#include "disk/disk.h"

struct window {
	struct disk_file *file; /* borrowed */
	uint8_t *buf;
	size_t room;
	uint64_t start; /* of `buf` in the file */
	size_t size;    /* bytes in `buf` */
};

void window_init(struct window *window, struct disk_file *file);
void window_done(struct window *window);
static inline void window_cleanup(struct window *window)
{
	window_done(window);
}

/*
 * Pointer to [offset, offset + size) of the file, until the next call; zeros behind its end. `size`
 * is at most RECORD_SIZE_MAX.  -errno of the read in *ret_r, and NULL.
 */
const uint8_t *window_get(struct window *window, uint64_t offset, size_t size, int *ret_r);
