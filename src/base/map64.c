#include "base/map64.h"
#include "base/alloc.h"

static size_t slot_of(const struct map64 *map, uint64_t key)
{
	/* Fibonacci hashing: the golden ratio spreads consecutive keys. */
	return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (map->room - 1);
}

static struct map64_slot *find(const struct map64 *map, uint64_t key)
{
	size_t i = slot_of(map, key);

	while (map->slots[i].key && map->slots[i].key != key)
		i = (i + 1) & (map->room - 1);
	return &map->slots[i];
}

void map64_done(struct map64 *map)
{
	free(map->slots);
	*map = (struct map64){0};
}

void *map64_get(const struct map64 *map, uint64_t key)
{
	return map->room ? find(map, key)->value : NULL;
}

static void grow(struct map64 *map)
{
	struct map64 wider = {.room = map->room ? map->room * 2 : 16, .count = map->count};

	wider.slots = xcalloc(wider.room, sizeof *wider.slots);
	map64_for_each (map, slot)
		*find(&wider, slot->key) = *slot;
	free(map->slots);
	*map = wider;
}

void map64_put(struct map64 *map, uint64_t key, void *value)
{
	struct map64_slot *slot;

	if (map->count * 2 >= map->room)
		grow(map);
	slot = find(map, key);
	map->count += !slot->key;
	*slot = (struct map64_slot){key, value};
}

void *map64_remove(struct map64 *map, uint64_t key)
{
	struct map64_slot *slot;
	void *value;
	size_t hole, i;

	if (!map->room)
		return NULL;
	slot = find(map, key);
	if (!slot->key)
		return NULL;
	value = slot->value;
	/* Close the gap: move back every later entry of the run that may stand there. */
	hole = slot - map->slots;
	for (i = (hole + 1) & (map->room - 1); map->slots[i].key; i = (i + 1) & (map->room - 1)) {
		size_t home = slot_of(map, map->slots[i].key);

		if (((i - home) & (map->room - 1)) < ((i - hole) & (map->room - 1)))
			continue;
		map->slots[hole] = map->slots[i];
		hole = i;
	}
	map->slots[hole] = (struct map64_slot){0};
	map->count--;
	return value;
}
