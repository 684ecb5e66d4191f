/*
 * Goal: the extent map does what an array of one entry per byte does.
 * Method: random sets, zeros and forgets from a seed on both, compared byte for byte.
 */
#include "tap.h"

#include "base/cleanup.h"
#include "volume/extents.h"

#include <stdlib.h>

#define BYTES 3000

struct byte {
	uint64_t src; /* 0: the base's */
	bool zero;
	uint32_t skip;
};

static struct byte toy[BYTES];

static void set_data(struct extents *x, uint64_t offset, uint32_t size, uint64_t src, uint32_t skip)
{
	extents_set_data(x, offset, size, src, skip);
	for (uint32_t i = 0; i < size; i++)
		toy[offset + i] = (struct byte){src, false, skip + i};
}

static void set_zero(struct extents *x, uint64_t offset, uint64_t size, uint64_t src)
{
	extents_set_zero(x, offset, size, src);
	for (uint64_t i = 0; i < size; i++)
		toy[offset + i] = (struct byte){src, true, 0};
}

static void forget(struct extents *x, uint64_t offset, uint64_t size, uint64_t src)
{
	extents_forget(x, offset, size, src);
	for (uint64_t i = 0; i < size; i++)
		if (toy[offset + i].src < src)
			toy[offset + i] = (struct byte){0};
}

static bool same(const struct extents *x)
{
	uint64_t at = 0, count = 0;
	struct extent e;

	while (extents_next(x, at, &e)) {
		for (; at < e.offset; at++)
			if (toy[at].src)
				return false;
		for (; at < extent_end(&e); at++)
			if (toy[at].src != extent_src(&e) || toy[at].zero != extent_is_zero(&e) ||
			    (!toy[at].zero && toy[at].skip != e.skip + (at - e.offset)))
				return false;
		count++;
	}
	for (; at < BYTES; at++)
		if (toy[at].src)
			return false;
	return count == x->count;
}

static void the_map_does_what_an_array_of_bytes_does(void)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		struct extents x = {0};

		srandom(seed);
		memset(toy, 0, sizeof toy);
		for (uint64_t src = 1; src <= 400; src++) {
			uint64_t offset = random() % BYTES;
			uint64_t size = 1 + random() % (random() % 4 ? 12 : 300);

			size = MIN(size, BYTES - offset);
			if (random() % 8 == 0)
				set_zero(&x, offset, size, src);
			else if (random() % 16 == 0)
				forget(&x, offset, size, src / 2);
			else
				set_data(&x, offset, size, src, random() % 1000);
			if (src % 20 == 0)
				require(same(&x), "seed %u after %u", seed, (unsigned)src);
		}
		extents_done(&x);
	}
}

static void a_page_written_again_takes_no_more_memory(void)
{
	struct extents x = {0};
	uint64_t before;

	for (uint64_t i = 0; i < 1000; i++)
		extents_set_data(&x, i * 16384, 16384, i + 1, 0);
	before = extents_memory(&x);
	for (uint64_t i = 0; i < 10000; i++)
		extents_set_data(&x, i * 7919 % 1000 * 16384, 16384, i + 2000, 0);
	check(x.count == 1000 && extents_memory(&x) == before);
	extents_done(&x);
}

static void a_changed_page_of_16_KiB_costs_at_most_64_bytes(void)
{
	struct extents x = {0};
	double each;

	srandom(1);
	for (uint64_t i = 0; i < 200000; i++)
		extents_set_data(&x, random() % 1000000 * UINT64_C(16384), 16384, i + 1, 0);
	each = (double)extents_memory(&x) / x.count;
	check(each <= 64, "%.1f bytes", each);
	printf("# %.1f bytes per page after random writes\n", each);
	extents_done(&x);
}

static void zeros_may_be_longer_than_32_bits_can_say(void)
{
	struct extents x = {0};
	struct extent e;

	extents_set_zero(&x, 4096, UINT64_C(1) << 40, 5);
	extents_set_data(&x, UINT64_C(1) << 35, 100, 6, 0);
	check(x.count == 3 && extents_next(&x, 0, &e) && extent_end(&e) == UINT64_C(1) << 35);
	check(extents_next(&x, (UINT64_C(1) << 35) + 100, &e) && extent_is_zero(&e) &&
	      extent_end(&e) == 4096 + (UINT64_C(1) << 40));
	check(extents_data_end(&x) == (UINT64_C(1) << 35) + 100);
	extents_done(&x);
}

int main(void)
{
	RUN(the_map_does_what_an_array_of_bytes_does);
	RUN(a_page_written_again_takes_no_more_memory);
	RUN(a_changed_page_of_16_KiB_costs_at_most_64_bytes);
	RUN(zeros_may_be_longer_than_32_bits_can_say);
	return tap_done();
}
