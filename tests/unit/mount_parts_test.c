/*
 * Goal: what the parts of a mount promise that need no kernel: flight.h and nodes.h.
 */
#include "tap.h"

#include "base/cleanup.h"
#include "mount/flight.h"
#include "mount/nodes.h"

#include <sched.h>
#include <stdatomic.h>

struct airplane {
	struct flight *flight;
	unsigned slot;
	atomic_bool up, land, landed;
};

static void *fly(void *arg)
{
	struct airplane *airplane = arg;

	flight_begin(airplane->flight, airplane->slot);
	atomic_store(&airplane->up, true);
	while (!atomic_load(&airplane->land) && !atomic_load(&airplane->flight->waited_for))
		sched_yield();
	atomic_store(&airplane->landed, true);
	flight_end(airplane->flight, airplane->slot);
	return NULL;
}

/*
 * Method: a request that ends when it sees that it is waited for.
 */
static void draining_waits_for_what_is_under_way(void)
{
	for (int i = 0; i < 1000; i++) {
		struct flight flight;
		struct airplane airplane = {.flight = &flight, .slot = i % FLIGHT_SLOTS};
		pthread_t thread;

		flight_init(&flight);
		require(pthread_create(&thread, NULL, fly, &airplane) == 0);
		while (!atomic_load(&airplane.up))
			sched_yield();
		flight_drain(&flight);
		check(atomic_load(&airplane.landed));
		pthread_join(thread, NULL);
		flight_done(&flight);
	}
}

struct shuttle {
	struct flight *flight;
	unsigned slot;
	atomic_bool *stop;
};

static void *shuttle(void *arg)
{
	struct shuttle *me = arg;

	while (!atomic_load(me->stop)) {
		flight_begin(me->flight, me->slot);
		flight_end(me->flight, me->slot);
	}
	return NULL;
}

/*
 * Method: threads that are never still; a drain that waited for all of them to be would not end.
 */
static void draining_does_not_wait_for_what_begins_later(void)
{
	atomic_bool stop = false;
	struct shuttle shuttles[3];
	pthread_t threads[3];
	struct flight flight;

	flight_init(&flight);
	for (unsigned i = 0; i < 3; i++) {
		shuttles[i] = (struct shuttle){&flight, i, &stop};
		require(pthread_create(&threads[i], NULL, shuttle, &shuttles[i]) == 0);
	}
	for (int i = 0; i < 2000; i++)
		flight_drain(&flight);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	check(!atomic_load(&flight.waited_for));
	flight_done(&flight);
}

static void nodes_are_listed_while_they_are_counted(void)
{
	CLEANUP(free) struct node_count *list = NULL;
	struct nodes nodes;

	nodes_init(&nodes);
	nodes_ref(&nodes, 5);
	nodes_ref(&nodes, 5);
	nodes_ref(&nodes, 21);
	check(nodes_forget(&nodes, 5, 1) == 1);
	check(nodes_forget(&nodes, 21, 1) == 1);
	check(nodes_list(&nodes, &list) == 1 && list[0].ino == 5 && list[0].count == 1);
	nodes_done(&nodes);
}

static void forgetting_more_than_was_told_does_no_harm(void)
{
	CLEANUP(free) struct node_count *list = NULL;
	struct nodes nodes;

	nodes_init(&nodes);
	check(nodes_forget(&nodes, 7, 3) == 0);
	check(nodes_forget(&nodes, 0, 3) == 0);
	nodes_ref(&nodes, 7);
	check(nodes_forget(&nodes, 7, UINT64_MAX) == 1);
	check(nodes_list(&nodes, &list) == 0);
	nodes_done(&nodes);
}

static void thousands_of_nodes_are_kept_apart(void)
{
	CLEANUP(free) struct node_count *list = NULL;
	uint64_t sum = 0;
	struct nodes nodes;

	nodes_init(&nodes);
	for (uint64_t ino = 2; ino < 5000; ino++)
		for (uint64_t i = 0; i < ino % 3 + 1; i++)
			nodes_ref(&nodes, ino);
	check(nodes_list(&nodes, &list) == 4998);
	for (size_t i = 0; i < 4998; i++) {
		check(list[i].count == list[i].ino % 3 + 1);
		sum += list[i].ino;
	}
	check(sum == UINT64_C(4999) * 5000 / 2 - 1);
	nodes_done(&nodes);
}

int main(void)
{
	RUN(draining_waits_for_what_is_under_way);
	RUN(draining_does_not_wait_for_what_begins_later);
	RUN(nodes_are_listed_while_they_are_counted);
	RUN(forgetting_more_than_was_told_does_no_harm);
	RUN(thousands_of_nodes_are_kept_apart);
	return tap_done();
}
