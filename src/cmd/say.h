/*
 * Say: how commands speak to a person.  Errors, warnings and progress go to standard error, results
 * to standard output.
 */
#pragma once

#include "cmd/command.h"
#include "base/problem.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* "unspill: backtrack shop: TEXT" on one line; control characters are shown as '?'.  Returns
 * `ending`. */
int fail(const struct typed *typed, enum ending ending, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What fits a library's -errno. */
enum ending ending_of_errno(int r);

/* As fail(), with the words that came with -errno `r`. */
int fail_why(const struct typed *typed, int r, const struct problem *why);

/* Standard error, one line, nothing in front. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- The terminal --- */

enum style { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, MAGENTA, CYAN };

/* The escape sequence that starts `style` (PLAIN: ends all), or "" where `out` is no terminal or
 * colours are not wanted. */
const char *style(FILE *out, enum style style);

/* Columns of the terminal behind `out`; 80 where there is none. */
int columns(FILE *out);

/* Characters beyond ASCII may be used: the locale says so. */
bool is_utf8(void);

/* Ask on the terminal; true only for "y" or "yes". */
bool ask(const char *question);
/* There is a terminal to ask on. */
bool can_ask(void);

/*
 * Go on only with --yes or a yes on the terminal.  Returns END_OK; END_CANCELLED after a no;
 * END_USAGE, with a line that says so, where there is nobody to ask.
 */
int confirm(const struct typed *typed, const char *question);

/* --- JSON --- */

/* Beside each "...time_us" in `value`, at any depth, put the same as ISO text: "time_us" gets
 * "time". */
void json_add_times(json_t *value, bool utc);

/* Print `value` (stolen) with times added; returns END_OK, or END_FAILED when standard output is
 * gone. */
int print_json(const struct typed *typed, json_t *value);

/* Control characters in any text of `value` become '?': for what is shown to a person and was
 * written by others. */
void json_clean(json_t *value);

/* Reading answers: 0, "" or NULL where there is no such key.  `path` has dots: "window.target_us".
 */
int64_t json_number(const json_t *value, const char *path);
double json_real_at(const json_t *value, const char *path);
const char *json_text(const json_t *value, const char *path);
bool json_truth(const json_t *value, const char *path);
const json_t *json_at(const json_t *value, const char *path);
