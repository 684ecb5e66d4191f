/*
 * Unpacked: groups of packs as they are when unpacked, a limited number of bytes, least recently
 * used out first, so that who reads an old moment unpacks each of them a few times at most.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct unpacked_group {
	uint64_t pack; /* LSN */
	uint32_t number;
	unsigned users; /* not freed while there are any */
	uint64_t used;  /* tick of the last use */
	size_t size;
	uint8_t bytes[];
};

struct unpacked {
	pthread_mutex_t lock; /* guards the rest; a leaf */
	struct unpacked_group **groups;
	size_t count, room;
	size_t bytes, bytes_max;
	uint64_t tick;
};

void unpacked_init(struct unpacked *unpacked, size_t bytes_max);
void unpacked_done(struct unpacked *unpacked);

/* A new group, not yet in the cache: fill its bytes, then unpacked_add() or free() it. */
struct unpacked_group *unpacked_new(uint64_t pack, uint32_t number, size_t size);

/* The group, until unpacked_put(); NULL when it is not there. */
struct unpacked_group *unpacked_get(struct unpacked *unpacked, uint64_t pack, uint32_t number);

/* Give it to the cache; the caller uses the one returned, until unpacked_put(). */
struct unpacked_group *unpacked_add(struct unpacked *unpacked, struct unpacked_group *group);
void unpacked_put(struct unpacked *unpacked, struct unpacked_group *group);

/* The pack is no more; nobody uses its groups. */
void unpacked_forget(struct unpacked *unpacked, uint64_t pack);
