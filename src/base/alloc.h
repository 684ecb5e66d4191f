/*
 * Alloc: for sizes that we choose ourselves.  Running out of memory aborts: there is nothing sane
 * to do half-way through a change, and recovery after the abort is exact.  Sizes that input or disk
 * choose are checked against a limit first.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *xcheck(void *p)
{
	if (!p) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

static inline void *xmalloc(size_t size)
{
	return xcheck(malloc(size ? size : 1));
}

static inline void *xcalloc(size_t count, size_t size)
{
	return xcheck(calloc(count ? count : 1, size ? size : 1));
}

static inline void *xreallocarray(void *p, size_t count, size_t size)
{
	return xcheck(reallocarray(p, count ? count : 1, size ? size : 1));
}

static inline char *xstrdup(const char *s)
{
	return xcheck(strdup(s));
}

static inline void *xmemdup(const void *p, size_t size)
{
	return memcpy(xmalloc(size), p, size);
}

/* Room for one more element in a growing array of which `count` are used. */
#define xgrow(array, count, room)                                                  \
	do {                                                                       \
		if ((count) == (room)) {                                           \
			(room) = (room) ? (room)*2 : 8;                            \
			(array) = xreallocarray((array), (room), sizeof *(array)); \
		}                                                                  \
	} while (0)
