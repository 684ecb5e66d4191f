/*
 * Goal: what the parts of a mount promise that need no kernel: flight.h, nodes.h, cpus.h,
 * transport.h.
 */
#include "tap.h"

#include "base/cleanup.h"
#include "mount/cpus.h"
#include "mount/flight.h"
#include "mount/nodes.h"
#include "mount/transport.h"

#include <errno.h>
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

/* What the list names, as a text of digits. */
static const char *named(const char *list)
{
	static bool set[CPUS_MAX];
	static char text[64];
	int count = cpus_parse(list, set);
	size_t size = 0;

	for (int i = 0; i < 16; i++)
		if (set[i])
			size += snprintf(text + size, sizeof text - size, "%x", i);
	text[size] = '\0';
	check(count == (int)size, "%d of '%s'", count, list);
	return text;
}

static void a_list_of_processors_is_read_as_the_kernel_writes_it(void)
{
	static bool set[CPUS_MAX];

	check(!strcmp(named("0\n"), "0") && !strcmp(named("0-3\n"), "0123"));
	check(!strcmp(named("0-1,4,8-9"), "01489") && !strcmp(named("3,3,2-4"), "234"));
	check(cpus_parse("", set) == -EINVAL && cpus_parse("\n", set) == -EINVAL);
	check(cpus_parse("0-", set) == -EINVAL && cpus_parse("3-1", set) == -EINVAL);
	check(cpus_parse("1,", set) == -EINVAL && cpus_parse("1x", set) == -EINVAL);
	check(cpus_parse("-1", set) == -EINVAL);
	check(cpus_parse("0-1023", set) == CPUS_MAX && set[CPUS_MAX - 1]);
	check(cpus_parse("0-1024", set) == -E2BIG);
	check(cpus_parse("99999999999999999999", set) < 0);
}

static void this_machine_has_processors(void)
{
	struct cpus cpus;
	int r = cpus_read(&cpus);

	require(r == 0, "%s", strerror(-r));
	check(cpus.online >= 1 && cpus.online <= cpus.possible);
	check((long)cpus.online == sysconf(_SC_NPROCESSORS_ONLN));
}

static void a_transport_is_found_by_its_name(void)
{
	enum transport found;

	for (enum transport each = TRANSPORT_AUTO; each <= TRANSPORT_IO_URING; each++)
		check(transport_parse(transport_name(each), &found) && found == each);
	check(!transport_parse("iouring", &found) && !transport_parse("", &found));
}

static void what_keeps_io_uring_away_is_said_only_to_those_who_want_it(void)
{
	struct problem why;
	enum transport chosen;

	check(transport_choose(TRANSPORT_CLASSIC, &why) == TRANSPORT_CLASSIC && !why.text[0]);
	chosen = transport_choose(TRANSPORT_IO_URING, &why);
	check((chosen == TRANSPORT_IO_URING) == !why.text[0], "%s", why.text);
	check(chosen == TRANSPORT_IO_URING || chosen == TRANSPORT_CLASSIC);
	check(transport_choose(TRANSPORT_AUTO, &why) != TRANSPORT_AUTO);
}

int main(void)
{
	RUN(draining_waits_for_what_is_under_way);
	RUN(draining_does_not_wait_for_what_begins_later);
	RUN(nodes_are_listed_while_they_are_counted);
	RUN(forgetting_more_than_was_told_does_no_harm);
	RUN(thousands_of_nodes_are_kept_apart);
	RUN(a_list_of_processors_is_read_as_the_kernel_writes_it);
	RUN(this_machine_has_processors);
	RUN(a_transport_is_found_by_its_name);
	RUN(what_keeps_io_uring_away_is_said_only_to_those_who_want_it);
	return tap_done();
}
