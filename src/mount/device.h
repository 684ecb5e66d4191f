/*
 * Device: the transport over /dev/fuse: threads that read requests and write answers.
 *
 * A transport's duties: deliver each request once to operations_serve(), with the slot of the
 * serving thread and an aligned buffer for the answer; carry answers to the kernel from any thread;
 * stop on request.
 */
#pragma once

struct mount;
struct device;

/* Start `threads` threads serving mount->fd.  The caller owns *ret. */
int device_start(struct mount *mount, unsigned threads, struct device **ret);

/* Before an orderly unmount: from now on nobody ends the connection when this process dies. */
void device_end(struct device *device);

/* Stop and free; a request half-way through is finished, one not begun is left to the kernel.  NULL
 * is fine. */
void device_stop(struct device *device);
