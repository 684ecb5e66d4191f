/*
 * Goal: a program starts with the priority that process.h says, whatever the kernel shares the
 * processors among, and leaves our memory as it was.  Method: programs that print what the kernel
 * says of them; under a sanitizer, memory that is written to once they have begun.
 */
#include "engine/process.h"

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define AUTOGROUP "/proc/self/autogroup"

/* What it prints. */
static void run(const char *path, int nice, bool apart, char *text, size_t size)
{
	const char *const argv[] = {"cat", path, NULL};
	struct process_options options = {
		.argv = argv, .in = -1, .nice = nice, .apart = apart, .die_with_us = true};
	char program[4096];
	struct problem why = {""};

	text[0] = 0;
	require(process_find("cat", program, sizeof program));
	options.program = program;
	check(process_run(&options, 30000, text, size, &why) == 0, "%s: %s", why.text, text);
}

static int nice_of_session(int nice, bool apart)
{
	char text[256];
	const char *at;

	run(AUTOGROUP, nice, apart, text, sizeof text);
	at = strstr(text, " nice ");
	return check(at, "%s", text) ? atoi(at + strlen(" nice ")) : -100;
}

/* Field 19; the name in parentheses is the second, and the third has no sign. */
static int nice_of_process(int nice, bool apart)
{
	char text[1024], *save = NULL, *word;

	run("/proc/self/stat", nice, apart, text, sizeof text);
	word = strtok_r(text, " ", &save);
	for (int field = 1; word && field < 19; field++)
		word = strtok_r(NULL, " ", &save);
	return check(word) ? atoi(word) : -100;
}

/* The most, which anybody may ask for. */
static void who_is_nice_gives_way_to_others(void)
{
	int ours = getpriority(PRIO_PROCESS, 0);

	check(nice_of_process(19, false) == 19);
	check(nice_of_process(19, true) == 19);
	check(nice_of_process(0, true) == ours);
}

/* Else it would give way to nobody: nobody else is in its session. */
static void whose_session_is_its_own_gives_way_with_all_of_it(void)
{
	int ours = nice_of_session(0, false);

	check(nice_of_session(19, true) == 19);
	/* Also where the kernel lets somebody ask so often only. */
	check(nice_of_session(18, true) == 18);
	check(nice_of_session(0, true) == 0);
	/* A session that is shared with us stays as it is. */
	check(nice_of_session(19, false) == ours);
	check(nice_of_session(0, false) == ours);
}

/*
 * The child borrows memory of ours.  AddressSanitizer has been seen to take SQLite's mapping, which
 * came to lie where a child's stack had been, for that stack.
 */
static void memory_that_a_child_had_can_be_used_again(void)
{
	enum { COUNT = 16, SIZE = 64 * 1024 };
	char text[256], *maps[COUNT];

	run("/dev/null", 0, false, text, sizeof text);
	for (int i = 0; i < COUNT; i++) {
		maps[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
		require(maps[i] != MAP_FAILED);
		memset(maps[i], 1, SIZE);
	}
	for (int i = 0; i < COUNT; i++)
		check(munmap(maps[i], SIZE) == 0);
}

int main(void)
{
	RUN(memory_that_a_child_had_can_be_used_again);
	RUN(who_is_nice_gives_way_to_others);
	if (access(AUTOGROUP, R_OK) == 0)
		RUN(whose_session_is_its_own_gives_way_with_all_of_it);
	else
		SKIP("whose session is its own gives way with all of it",
		     "this kernel has no groups for sessions");
	return tap_done();
}
