/*
 * Transport: what carries the kernel's requests: /dev/fuse (device.h), or io_uring (ring.h).
 */
#pragma once

#include "base/problem.h"

#include <stdbool.h>

enum transport {
	TRANSPORT_AUTO, /* io_uring if it can be had: see docs/decisions/0005 */
	TRANSPORT_CLASSIC,
	TRANSPORT_IO_URING,
};

/* "auto", "classic", "io_uring". */
const char *transport_name(enum transport transport);

/* False when there is none of that name. */
bool transport_parse(const char *name, enum transport *ret);

/* Can io_uring be used here?  0, or -EOPNOTSUPP with what is missing and how to switch it on. */
int transport_check_io_uring(struct problem *why);

/*
 * Which one it will be; never TRANSPORT_AUTO.  `why` says why it is not io_uring, when that was
 * wanted; it is "" else.
 */
enum transport transport_choose(enum transport wanted, struct problem *why);
