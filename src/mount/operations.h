/*
 * Operations: the table of what the kernel may ask, and the way of every request through it.
 */
#pragma once

#include "mount/request.h"

/*
 * Serve the request whose bytes are `data` (borrowed until the return), aligned to 8; everything in
 * it is checked.  The transport has filled in mount, slot, out, out_room and reply.
 */
void operations_serve(struct request *req, const void *data, size_t size);
