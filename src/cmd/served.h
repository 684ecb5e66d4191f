/*
 * Served: what `create`, `import`, `clone` and `delete` have `unspill serve` do, as a job, where
 * one runs: it is recorded, can be seen ('unspill jobs'), and goes on when serve was killed
 * meanwhile. What is printed is the same as where none runs and the command does its own work.
 *
 * Who goes away (Ctrl-C, a terminal that is closed, kill) cancels what is being made.  A deletion
 * goes on.
 */
#pragma once

#include "cmd/talk.h"

/*
 * Open a talk with serve.  False where none runs, or none that answers, or as somebody else than
 * we are: what it made would be that one's.  talk_close() in any case.
 */
bool served_open(struct talk *ret, const struct typed *typed);

/* Have a job of that kind done for the cluster `name`, and wait for it; `input` is stolen.  As
 * talk_ask(). */
int served_ask(struct talk *talk, const char *kind, const char *name, json_t *input, json_t **ret);
