/*
 * Request: one question of the kernel, on its way through the operations.
 *
 * A transport (device.c) fills it in and gives it to operations_serve(); the operation looks at
 * `in`, `arg` and `rest`, puts its answer into `out`, and returns the answer's size or -errno.
 * Operations do not know which transport brought the request.
 */
#pragma once

#include "base/cursor.h"
#include "mount/protocol.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct mount;

/* What an operation returns when nothing is to be sent: never (FORGET), or not now (a parked
 * write). */
#define REQUEST_NO_REPLY INT_MIN

struct request {
	struct mount *mount;
	unsigned slot; /* of the thread that serves it: see flight.h */

	struct fuse_in_header in;
	const void *arg;    /* the fixed part: at least as long as the table of operations says */
	struct cursor rest; /* what follows: names, values, data */

	uint8_t *out; /* for the answer, aligned to a page; PROTOCOL_IO_MAX bytes at least */
	size_t out_room;

	void *carrier; /* the transport's own */

	/* Send -errno `r`, or 0 and `size` bytes of `out`.  From any thread, once. */
	void (*reply)(struct request *req, int r, size_t size);
};

/*
 * The next name of `rest`, borrowed.  -EINVAL when it has no end or is empty, -ENAMETOOLONG beyond
 * `max`.
 */
int request_name(struct request *req, size_t max, const char **ret);

/* The answer's room as a structure, zeroed.  `size` is at most PROTOCOL_IO_MAX. */
void *request_out(struct request *req, size_t size);
