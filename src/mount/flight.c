/*
 * The order that makes it right (all accesses are sequentially consistent): a request's end changes
 * the slot, then looks whether somebody waits; the one who waits says so, then looks at the slot.
 * One of the two sees the other.
 */
#include "mount/flight.h"

#include <stdbool.h>

void flight_init(struct flight *flight)
{
	for (unsigned i = 0; i < FLIGHT_SLOTS; i++)
		atomic_init(&flight->slots[i].number, 0);
	atomic_init(&flight->waited_for, false);
	pthread_mutex_init(&flight->lock, NULL);
	pthread_cond_init(&flight->landed, NULL);
}

void flight_done(struct flight *flight)
{
	pthread_cond_destroy(&flight->landed);
	pthread_mutex_destroy(&flight->lock);
}

void flight_begin(struct flight *flight, unsigned slot)
{
	atomic_fetch_add(&flight->slots[slot].number, 1);
}

void flight_end(struct flight *flight, unsigned slot)
{
	atomic_fetch_add(&flight->slots[slot].number, 1);
	if (!atomic_load(&flight->waited_for))
		return;
	pthread_mutex_lock(&flight->lock);
	pthread_cond_broadcast(&flight->landed);
	pthread_mutex_unlock(&flight->lock);
}

void flight_drain(struct flight *flight)
{
	unsigned seen[FLIGHT_SLOTS];

	pthread_mutex_lock(&flight->lock);
	atomic_store(&flight->waited_for, true);
	for (unsigned i = 0; i < FLIGHT_SLOTS; i++)
		seen[i] = atomic_load(&flight->slots[i].number);
	for (unsigned i = 0; i < FLIGHT_SLOTS; i++)
		while (seen[i] % 2 && atomic_load(&flight->slots[i].number) == seen[i])
			pthread_cond_wait(&flight->landed, &flight->lock);
	atomic_store(&flight->waited_for, false);
	pthread_mutex_unlock(&flight->lock);
}
