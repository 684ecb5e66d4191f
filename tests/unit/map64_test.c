#include "base/map64.h"
#include "base/alloc.h"
#include "tap.h"

enum { KEYS = 700 };

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return random_state >> 33;
}

static void an_empty_map_has_nothing(void)
{
	struct map64 map = {0};
	size_t count = 0;

	check(map64_get(&map, 1) == NULL && map64_remove(&map, 1) == NULL);
	map64_for_each (&map, slot)
		count++;
	check(count == 0);
	map64_done(&map);
}

static void putting_again_replaces(void)
{
	struct map64 map = {0};
	int a, b;

	map64_put(&map, UINT64_MAX, &a);
	map64_put(&map, UINT64_MAX, &b);
	check(map.count == 1 && map64_get(&map, UINT64_MAX) == &b);
	check(map64_remove(&map, UINT64_MAX) == &b && map.count == 0);
	map64_done(&map);
}

static bool agrees(const struct map64 *map, void **model, const uint64_t *keys)
{
	size_t count = 0, walked = 0;

	for (size_t i = 0; i < KEYS; i++) {
		count += model[i] != NULL;
		if (map64_get(map, keys[i]) != model[i])
			return false;
	}
	map64_for_each (map, slot)
		walked++;
	return map->count == count && walked == count && map->count * 2 <= map->room;
}

/*
 * Goal: it does what an array does.
 * Method: random puts and removals of keys that are close together, far apart, and collide.
 */
static void it_agrees_with_an_array(void)
{
	static void *model[KEYS];
	static uint64_t keys[KEYS];
	struct map64 map = {0};

	for (size_t i = 0; i < KEYS; i++)
		keys[i] = i % 3 == 0 ? i + 1 : i % 3 == 1 ? (i + 1) << 40 : ~(uint64_t)i;
	random_state = 1;
	for (int step = 0; step < 60000; step++) {
		size_t i = next_random() % KEYS;

		/* Fuller for a while, then emptier, so that it is tried at every load. */
		if (next_random() % 100 < (step / 10000 % 2 ? 30 : 70)) {
			model[i] = &keys[next_random() % KEYS];
			map64_put(&map, keys[i], model[i]);
		} else {
			require(map64_remove(&map, keys[i]) == model[i], "step %d", step);
			model[i] = NULL;
		}
		if (step % 97 == 0)
			require(agrees(&map, model, keys), "step %d", step);
	}
	check(agrees(&map, model, keys));
	map64_done(&map);
}

int main(void)
{
	RUN(an_empty_map_has_nothing);
	RUN(putting_again_replaces);
	RUN(it_agrees_with_an_array);
	return tap_done();
}
