/*
 * Apart: work on our own mount, done in a child process.
 *
 * A process that waits for its own filesystem cannot be killed any more: the kernel waits for the
 * answer, which the killed process will never give, and with it for the end of the process.  So the
 * keeper itself never touches what it has mounted.  The child has nothing open but the pipe through
 * which it reports, and dies with the thread that waits for it.
 */
#pragma once

#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APART_RESULT_MAX 64

struct apart;

struct apart_work {
	/* Runs in the child, on its copy of everything; fills in `result`, which travels back. */
	int (*run)(struct apart *apart, const void *input, void *result, struct problem *why);
	const void *input;
	void *result;       /* NULL: none */
	size_t result_size; /* at most APART_RESULT_MAX */
	/* Runs here, at every report and a few times a second; false kills the child.  May be NULL.
	 */
	bool (*progress)(const char *step, uint64_t done, uint64_t total, void *arg);
	void *arg;
};

/* What run() returned; -ECANCELED when progress() said so, -EIO when the child died. */
int apart_run(const struct apart_work *work, struct problem *why);

/* In the child: report progress. */
void apart_tell(struct apart *apart, const char *step, uint64_t done, uint64_t total);
