/*
 * Ring: the transport over io_uring (since Linux 6.14), beside the one over /dev/fuse.
 *
 *	  queue of CPU 0                 queue of CPU 1
 *	+---------+---------+          +---------+---------+
 *	| entry   | entry   | ...      | entry   | entry   | ...       in the kernel
 *	+----|----+----|----+          +----|----+----|----+
 *	   worker    worker               worker    worker              each with a ring of its own
 *
 * The kernel has a queue for each CPU that there may ever be, and puts a request into an entry of
 * the queue of the CPU that its caller runs on.  An entry is free while its worker waits, so that
 * what comes is served at once as long as any worker of the queue is idle, however long another one
 * syncs; and the worker, bound to its queue's CPU, runs where the caller has just gone to sleep.
 *
 * CPUs that are not online share one worker, until they are.
 *
 * Before all queues have an entry the kernel sends nothing.  It goes on over /dev/fuse for FORGET
 * and INTERRUPT, and for everything if an entry is refused: so device.c's threads stay.
 */
#pragma once

#include <stdint.h>

struct mount;
struct ring;

/* How many slots of flight.h it takes at most. */
#define RING_WORKERS_MAX 512

/* 0 when this process may have rings as they are needed here, else -errno. */
int ring_probe(void);

/*
 * Before the handshake: the workers with their rings, in the slots from `first_slot` on.  The
 * caller owns *ret.  -errno: it is not to be had, and the handshake must not promise it.
 */
int ring_prepare(struct mount *mount, unsigned first_slot, struct ring **ret);

/*
 * After a handshake that promised it: give the kernel the entries.  0, or -errno: the kernel has
 * refused one and goes on over /dev/fuse; what it may still send here is served.
 */
int ring_start(struct ring *ring);

/* Stop and free, as device_stop().  NULL is fine. */
void ring_stop(struct ring *ring);
