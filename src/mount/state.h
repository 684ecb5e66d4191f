/*
 * State: what one mount consists of, for the modules of this folder (and their tests).
 *
 * Lock order: rewind.turn, then rewind.gate, then the volume's own locks; nodes' and names' locks
 * are innermost.  While any of them but rewind.turn is held, nothing is written to the kernel but
 * answers.
 */
#pragma once

#include "mount/device.h"
#include "mount/flight.h"
#include "mount/mount.h"
#include "mount/nodes.h"
#include "mount/outside.h"
#include "mount/request.h"
#include "mount/rewind.h"
#include "mount/ring.h"

struct mount_counters {
	_Atomic uint64_t requests, reads, writes, syncs, errors, ring_requests;
	_Atomic uint64_t read_bytes, write_bytes, dropped_writes;
};

struct mount {
	struct volume *volume;
	struct view *view;   /* what is shown: the head, or a moment */
	bool read_only;      /* a view of the past */
	bool direct, inward; /* as in mount_options */

	char *path;
	struct outside outside;
	int fd; /* of /dev/fuse */
	struct device *device;

	/* Beside it, or NULL: `ring_promised` is set by the handshake. */
	struct ring *ring;
	bool ring_promised;
	struct problem no_ring; /* why there is none, if one was wanted */

	struct flight flight;
	struct nodes nodes;
	struct rewind rewind;
	struct mount_counters counters;

	/* The handshake: `greeted` is 1 when it succeeded, -errno when not; guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int greeted;
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* The handshake came to an end: see mount.greeted. */
void mount_greet(struct mount *mount, int greeted);
