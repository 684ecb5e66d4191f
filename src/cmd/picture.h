/*
 * Picture: change records over time, one line per step, with marks, backtracks and the horizon at
 * their places.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct picture_options {
	const char *name;
	int64_t since_us, until_us;
	int64_t step_us; /* of a line */
	int64_t fine_us; /* of a step in the answer; picture_fine() */
	bool utc;
	int columns;
	bool utf8; /* draw with characters beyond ASCII */
};

/* `moments` is the result of the protocol's "moments". */
void picture_draw(const struct picture_options *options, const json_t *moments, FILE *out);

/* A step of a round length that shows `span_us` in at most `lines` lines. */
int64_t picture_step(int64_t span_us, int lines);

/* Into what steps to divide those of the picture's lines, so that not too many come. */
int64_t picture_fine(int64_t span_us, int64_t step_us);

/* The last whole step, by local clocks (or UTC's), at or before `time_us`. */
int64_t picture_align(int64_t time_us, int64_t step_us, bool utc);
