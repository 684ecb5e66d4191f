/*
 * Transport: the words for what carries a mount's requests, as settings and command lines have
 * them.  What they mean is in mount/transport.h.
 */
#pragma once

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
