/*
 * Transport: what carries the kernel's requests: /dev/fuse (device.h), or io_uring (ring.h).
 */
#pragma once

#include "base/problem.h"
#include "base/transport.h"

/* Can io_uring be used here?  0, or -EOPNOTSUPP with what is missing and how to switch it on. */
int transport_check_io_uring(struct problem *why);

/*
 * Which one it will be; never TRANSPORT_AUTO.  `why` says why it is not io_uring, when that was
 * wanted; it is "" else.
 */
enum transport transport_choose(enum transport wanted, struct problem *why);
