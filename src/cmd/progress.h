/*
 * Progress: long work as it goes on.
 *
 * On a terminal (standard error) one line that is drawn over, with a bar, a rate and the time left
 * where they are known; a finished step leaves its line behind.  Elsewhere one line per step and at
 * most one per second within it, on standard output: standard error is for what went wrong.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool terminal, quiet;
	bool undone;   /* what was begun has failed, and is taken back */
	char step[96]; /* "" before the first */
	char unit[32];
	double done, total;
	int64_t step_began_us, drawn_us; /* monotonic */
};

/* `quiet`: draws on a terminal only. */
void progress_init(struct progress *progress, bool quiet);
/* One progress object of the control protocol; fits control_call()'s callback. */
void progress_update(json_t *object, void *progress);
/* As if {"step": step} had come. */
void progress_step(struct progress *progress, const char *step);
/* The last step is over (or broken off): leave its line, so that others may print. */
void progress_done(struct progress *progress, bool finished);
