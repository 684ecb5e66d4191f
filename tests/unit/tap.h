/*
 * TAP: the smallest harness that prints the Test Anything Protocol.
 *
 * A test is a function named by the sentence it proves; RUN() turns the name into the TAP line.
 * check() records a failure and goes on; require() leaves the test.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * How long to wait, at most, for what must come: far longer than it takes, as a busy machine may
 * let a thread or a process wait for many seconds.
 */
#define PATIENCE_US (INT64_C(120) * 1000000)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TAP_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TAP_SANITIZED 1
#endif
#ifndef TAP_SANITIZED
#define TAP_SANITIZED 0
#endif

/*
 * The sanitizers look at how something is done, and see that in fewer rounds than it takes to find
 * what comes of it, which the other build does in as many as there are.
 */
static inline bool tap_is_brief(void)
{
	return TAP_SANITIZED && !getenv("UNSPILL_TEST_LONG");
}

static int tap_count, tap_failures;
static bool tap_bad;

#define check(cond, ...)                                                           \
	({                                                                         \
		bool ok_ = (cond);                                                 \
		if (!ok_) {                                                        \
			tap_bad = true;                                            \
			printf("# %s:%d: not so: %s ", __FILE__, __LINE__, #cond); \
			printf(" " __VA_ARGS__);                                   \
			printf("\n");                                              \
		}                                                                  \
		ok_;                                                               \
	})

#define require(cond, ...)                     \
	do {                                   \
		if (!check(cond, __VA_ARGS__)) \
			return;                \
	} while (0)

#define RUN(test)                                                                    \
	do {                                                                         \
		char name_[256];                                                     \
		snprintf(name_, sizeof name_, "%s", #test);                          \
		for (char *c_ = name_; *c_; c_++)                                    \
			*c_ = *c_ == '_' ? ' ' : *c_;                                \
		tap_bad = false;                                                     \
		test();                                                              \
		tap_failures += tap_bad;                                             \
		printf("%sok %d - %s\n", tap_bad ? "not " : "", ++tap_count, name_); \
		fflush(stdout);                                                      \
	} while (0)

#define SKIP(name, reason) printf("ok %d - %s # SKIP %s\n", ++tap_count, name, reason)

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures ? 1 : 0;
}
