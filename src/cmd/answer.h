/*
 * Answer: what a query answers, written as CSV, JSON or a table.
 *
 * csv	RFC 4180: a line of names, a line per row, CRLF not used; NULL is empty, an empty text is ""
 * json	one array per statement that has rows, an object per row and line; NULL is null, bytes that
 *	are no UTF-8 are the text "0x" and their digits
 * table	for people: NULL is NULL, control characters are '?'
 */
#pragma once

#include "engine/engine.h"

#include <stdio.h>

struct answer;

enum answer_format { ANSWER_CSV, ANSWER_JSON, ANSWER_TABLE };

/* The caller owns the result.  `out` is borrowed. */
struct answer *answer_new(enum answer_format format, FILE *out);
/* For engine->query(). */
struct engine_answer answer_callbacks(struct answer *answer);
/* Write what has not been written yet. 0, or -EIO when `out` has had an error. */
int answer_end(struct answer *answer);
void answer_free(struct answer *answer);
DEFINE_CLEANUP(struct answer *, answer, answer_free)
