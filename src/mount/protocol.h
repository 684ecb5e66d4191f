/*
 * Protocol: <linux/fuse.h>, and what we use of it that came after Debian 12's header (7.38).
 */
#pragma once

#include <linux/fuse.h>

/* Since 7.44 (Linux 6.16): every name that the kernel has cached so far is asked for again. */
#define FUSE_NOTIFY_INC_EPOCH 8

/*
 * FUSE over io_uring: since 7.42 (Linux 6.14), as the kernel's own include/uapi/linux/fuse.h and
 * Documentation/filesystems/fuse/fuse-io-uring.rst have it.
 */
#if FUSE_KERNEL_MINOR_VERSION < 42

#define FUSE_OVER_IO_URING (1ULL << 41)

/* What an entry is given to the kernel with, and the answer to its request. */
enum fuse_uring_cmd {
	FUSE_IO_URING_CMD_REGISTER = 1,
	FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2,
};

/* In the submission's 80 bytes. */
struct fuse_uring_cmd_req {
	uint64_t flags;
	uint64_t commit_id; /* as it came with the request */
	uint16_t qid;
	uint8_t padding[6];
};

struct fuse_uring_ent_in_out {
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_sz;
	uint32_t padding;
	uint64_t reserved;
};

struct fuse_uring_req_header {
	char in_out[128]; /* fuse_in_header, then fuse_out_header */
	char op_in[128];  /* the fixed part */
	struct fuse_uring_ent_in_out ring_ent_in_out;
};

#endif

/* The oldest dialect we speak (Linux 5.4): all structures have their present size. */
#define PROTOCOL_MINOR_MIN 31

/* How long the kernel may believe names and attributes; what changes them in between is told by
 * notify.h. */
#define PROTOCOL_VALID_SECONDS 3600

/* Bytes in one READ or WRITE, and the pages that hold them. */
#define PROTOCOL_IO_MAX (1024 * 1024)
#define PROTOCOL_PAGES_MAX (PROTOCOL_IO_MAX / 4096)

/*
 * How far the kernel reads ahead of a reader that goes on and on: so many full READs that they
 * share the processors, so few that they leave threads for who waits for something else meanwhile.
 */
#define PROTOCOL_READ_AHEAD (4 * PROTOCOL_IO_MAX)

/* Room for a request: the header, the fixed part, and a full write or a pair of names. */
#define PROTOCOL_REQUEST_MAX (PROTOCOL_IO_MAX + 4096)
