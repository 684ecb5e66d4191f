/*
 * Problem: the one clear line that goes with an error.
 *
 * Library code returns -errno; where the number alone does not tell a person what, where and what
 * to do, it also fills in a `struct problem` that the caller lent it.  NULL is allowed everywhere.
 */
#pragma once

struct problem {
	char text[1024];
};

/* Set the text and return `r` (a negative errno), so that `return problem(why, -EINVAL, "...")`
 * reads well. */
int problem(struct problem *why, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As problem(), and ": " with the words for errno `r` behind it. */
int problem_errno(struct problem *why, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
