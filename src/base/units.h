/*
 * Units: durations, sizes and counts as people write and read them.
 *
 * A duration is a sum of numbers with units: "90s", "1h30m", "1 day 12 hours", "1.5h".  Units are
 * s, m, h, d and w, or the words second, minute, hour, day and week with their usual shortenings
 * and plurals; upper and lower case are alike.
 */
#pragma once

#include "base/problem.h"

#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT_MAX 48

/* No duration is longer: it would not be a duration but a mistake. */
#define DURATION_MAX_US (1000LL * 366 * 86400 * 1000000)

/*
 * The whole of `text` as a duration, to the microsecond.  "0" needs no unit.  -EINVAL for anything
 * else, with a line that names the units where the unit is what is wrong.
 */
int duration_parse(const char *text, int64_t *ret_us, struct problem *why);

/*
 * As duration_parse(), but stops at the first word that does not go on with it; `*ret_end` points
 * there (blanks skipped).  For texts like "10 minutes ago".
 */
int duration_scan(const char *text, const char **ret_end, int64_t *ret_us, struct problem *why);

/* Exact and short, as duration_parse() reads it: "1d12h", "72h" as "3d", "0.25s", "0s". */
void duration_format(int64_t duration_us, char text[UNITS_TEXT_MAX]);

/* How long something took, to be read at a glance: "85 us", "320 ms", "4.21 s", "2 min 05 s", "3 h
 * 07 min", "2 d 4 h". */
void elapsed_format(int64_t duration_us, char text[UNITS_TEXT_MAX]);

/* "0 B", "812 B", "4.0 KiB", "1.25 GiB": three digits that count; a minus where there is one. */
void bytes_format(double bytes, char text[UNITS_TEXT_MAX]);

/*
 * The whole of `text` as a number of bytes: "20G", "1.5 TiB", "500MB", "4096".  K, M, G, T and P,
 * alone or with iB, are powers of 1024, with B of 1000, as the GNU tools have it; upper and lower
 * case are alike.  -EINVAL with the units.
 */
int bytes_parse(const char *text, uint64_t *ret, struct problem *why);

/* "1,234,567" */
void count_format(uint64_t count, char text[UNITS_TEXT_MAX]);

/* "1 row", "1,234 rows": `one` with an s behind it when there are not one of it. */
void things_format(uint64_t count, const char *one, char text[UNITS_TEXT_MAX]);
