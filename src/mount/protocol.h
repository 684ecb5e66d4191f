/*
 * Protocol: <linux/fuse.h>, and what we use of it that came after Debian 12's header (7.38).
 */
#pragma once

#include <linux/fuse.h>

/* Since 7.44 (Linux 6.16): every name that the kernel has cached so far is asked for again. */
#define FUSE_NOTIFY_INC_EPOCH 8

/* The oldest dialect we speak (Linux 5.4): all structures have their present size. */
#define PROTOCOL_MINOR_MIN 31

/* How long the kernel may believe names and attributes; what changes them in between is told by
 * notify.h. */
#define PROTOCOL_VALID_SECONDS 3600

/* Bytes in one READ or WRITE, and the pages that hold them. */
#define PROTOCOL_IO_MAX (1024 * 1024)
#define PROTOCOL_PAGES_MAX (PROTOCOL_IO_MAX / 4096)

/* How far the kernel reads ahead of a reader that goes on and on: a full READ. */
#define PROTOCOL_READ_AHEAD PROTOCOL_IO_MAX

/* Room for a request: the header, the fixed part, and a full write or a pair of names. */
#define PROTOCOL_REQUEST_MAX (PROTOCOL_IO_MAX + 4096)
