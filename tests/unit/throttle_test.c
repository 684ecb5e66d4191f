/*
 * Goal: who asks too often is told so, nobody else is, and it costs little to know.  Method: a
 * clock that the test moves.
 */
#include "serve/throttle.h"

#include "base/clock.h"
#include "tap.h"

#include <pthread.h>

#define SECOND INT64_C(1000000)
#define NOW (SECOND * 1000)

static unsigned take_all(struct throttle *throttle, const char *key, int64_t now_us)
{
	unsigned count = 0;

	while (count < 10000 && throttle_take(throttle, key, now_us))
		count++;
	return count;
}

static void a_bucket_holds_one_second_and_fills_evenly(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(50);

	check(take_all(throttle, "AKIA1", NOW) == 50);
	check(take_all(throttle, "AKIA1", NOW + SECOND / 50 - 1) == 0);
	check(take_all(throttle, "AKIA1", NOW + SECOND / 50) == 1);
	check(take_all(throttle, "AKIA1", NOW + SECOND / 2) == 24);
	/* It holds no more than that, however long it was left alone. */
	check(take_all(throttle, "AKIA1", NOW + 1000 * SECOND) == 50);
}

static void what_is_refused_is_not_counted(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(10);

	take_all(throttle, "AKIA1", NOW);
	for (int i = 0; i < 1000; i++)
		check(!throttle_take(throttle, "AKIA1", NOW));
	check(take_all(throttle, "AKIA1", NOW + SECOND / 10) == 1);
}

static void one_a_second_is_one_a_second(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(1);

	check(take_all(throttle, "AKIA1", NOW) == 1);
	check(take_all(throttle, "AKIA1", NOW + SECOND - 1) == 0);
	check(take_all(throttle, "AKIA1", NOW + SECOND) == 1);
}

static void each_key_has_its_own(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(5);
	char key[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "AKIA%016d", i);
		check(take_all(throttle, key, NOW) == 5, "%s", key);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "AKIA%016d", i);
		check(!throttle_take(throttle, key, NOW), "%s", key);
	}
}

/* Many more than it has room for: whoever is not the busiest of them is let through. */
static void keys_without_number_take_no_memory_and_refuse_nobody_else(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(5);
	char key[32];

	check(take_all(throttle, "AKIABUSY", NOW) == 5);
	for (int i = 0; i < 200000; i++) {
		snprintf(key, sizeof key, "ASIA%016d", i);
		check(throttle_take(throttle, key, NOW), "%s", key);
	}
	check(!throttle_take(throttle, "AKIABUSY", NOW), "it was the busiest");
}

static void another_rate_counts_from_then_on(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(10);

	check(take_all(throttle, "AKIA1", NOW) == 10);
	throttle_set(throttle, 100);
	check(take_all(throttle, "AKIA1", NOW + SECOND / 10) == 10);
	throttle_set(throttle, THROTTLE_MAX);
	check(take_all(throttle, "AKIA1", NOW + SECOND * 2) == 10000);
}

#define THREADS 4
#define TRIES 20000

struct racer {
	struct throttle *throttle;
	unsigned taken;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	for (int i = 0; i < TRIES; i++)
		racer->taken += throttle_take(racer->throttle, "AKIA1", NOW);
	return NULL;
}

static void threads_share_a_bucket(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(30000);
	struct racer racers[THREADS];
	pthread_t threads[THREADS];
	unsigned taken = 0;

	for (int i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){throttle};
		require(pthread_create(&threads[i], NULL, race, &racers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		taken += racers[i].taken;
	}
	check(taken == 30000, "%u", taken);
}

static void what_a_take_costs(void)
{
	CLEANUP(throttle) struct throttle *throttle = throttle_new(THROTTLE_MAX);
	int64_t begun_us = clock_monotonic_us();

	for (int i = 0; i < 1000000; i++)
		throttle_take(throttle, "AKIAABCDEFGHIJKLMNOP", NOW + i);
	printf("# %.3f us each\n", (double)(clock_monotonic_us() - begun_us) / 1e6);
}

int main(void)
{
	RUN(a_bucket_holds_one_second_and_fills_evenly);
	RUN(what_is_refused_is_not_counted);
	RUN(one_a_second_is_one_a_second);
	RUN(each_key_has_its_own);
	RUN(keys_without_number_take_no_memory_and_refuse_nobody_else);
	RUN(another_rate_counts_from_then_on);
	RUN(threads_share_a_bucket);
	what_a_take_costs();
	return tap_done();
}
