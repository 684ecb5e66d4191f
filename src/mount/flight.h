/*
 * Flight: which requests are being served at this instant.
 *
 * A thread that serves requests has a slot, whose number is odd while a request is under way, from
 * before it looks at the volume until its answer is with the kernel.  flight_drain() waits for
 * those that are under way, but not for those that begin later: after it, every answer that the
 * kernel gets was made from what the volume was when flight_drain() was called, or from something
 * newer.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#define FLIGHT_SLOTS 640

struct flight {
	struct flight_slot {
		_Alignas(64) atomic_uint number;
	} slots[FLIGHT_SLOTS];
	atomic_bool waited_for;
	pthread_mutex_t lock; /* with `landed`: nothing but the sleep of flight_drain() */
	pthread_cond_t landed;
};

void flight_init(struct flight *flight);
void flight_done(struct flight *flight);

void flight_begin(struct flight *flight, unsigned slot);
void flight_end(struct flight *flight, unsigned slot);

/* Not from inside a request. */
void flight_drain(struct flight *flight);
