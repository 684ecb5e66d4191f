/*
 * Cleanup: what a scope owns is freed when the scope is left.
 *
 *	CLEANUP(segment) struct segment *seg = NULL;
 *	...
 *	*ret = take(seg);	// hand over: the scope no longer owns it
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(name) __attribute__((cleanup(name##_cleanup)))

#define DEFINE_CLEANUP(type, name, func)           \
	static inline void name##_cleanup(type *p) \
	{                                          \
		if (*p)                            \
			func(*p);                  \
	}

/* The value of `p`, leaving NULL behind. */
#define take(p)                             \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}

/* CLEANUP(fd) int fd = -1; */
static inline void fd_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})
#define MAX(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})
#define ALIGN_DOWN(x, to) ((x) / (to) * (to))
#define ALIGN_UP(x, to) (((x) + (to)-1) / (to) * (to))
