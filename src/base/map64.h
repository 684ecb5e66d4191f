/*
 * Map64: a hash map from non-zero 64-bit keys to pointers.  Open addressing, linear probing, at
 * most half full.  Initialise with {0}; map64_done() frees the table, not what it points to.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map64 {
	struct map64_slot {
		uint64_t key; /* 0: empty */
		void *value;
	} * slots;
	size_t room; /* a power of two, or 0 */
	size_t count;
};

void map64_done(struct map64 *map);
/* NULL when absent. */
void *map64_get(const struct map64 *map, uint64_t key);
/* Insert or replace.  `value` is not NULL. */
void map64_put(struct map64 *map, uint64_t key, void *value);
/* Returns what was there, or NULL. */
void *map64_remove(struct map64 *map, uint64_t key);

/* Every entry, in no particular order; the map must not change meanwhile. */
#define map64_for_each(map, slot)                                                               \
	for (struct map64_slot *slot = (map)->slots; slot && slot < (map)->slots + (map)->room; \
	     slot++)                                                                            \
		if (slot->key)
