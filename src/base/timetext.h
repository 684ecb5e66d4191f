/*
 * Time text: moments as people write them, and as we print them.
 *
 * What is understood, in any case of letters, in the local time zone unless the text names another:
 *
 *	now
 *	10 minutes ago, 90s ago, 1h30m ago	units.h has the units
 *	09:41, 09:41:07.250			the last time it was that o'clock: today, or
 *yesterday
 *when that is still to come today today 09:41, yesterday 18:00		exactly that day, be it in
 *the future
 *	2026-11-22				the start of that day; so are "today" and
 *"yesterday" alone 2026-11-22T10:42:17.250123+01:00	ISO 8601: T or a blank; seconds and fraction
 *may be left out; behind it Z, UTC, +01:00, +0100, +01 or nothing
 *	@1795340537.25				seconds since the epoch
 *
 * Where the clocks are put back an hour, a local time in that hour happened twice; where they are
 *put forward, it never was.  Both are refused, with the zoned times to choose from: a rewind is no
 *place for a guess.
 */
#pragma once

#include "base/problem.h"

#include <stdbool.h>
#include <stdint.h>

#define TIME_TEXT_MAX 40

/* Years that are understood: 1970 to 9999. */
#define TIME_MAX_US (253402300799999999LL)

/* The whole of `text`, seen from `now_us`.  -EINVAL with one line that says what is wrong with it.
 */
int time_parse(const char *text, int64_t now_us, int64_t *ret_us, struct problem *why);

/* "2026-11-22T10:42:17.250123+01:00", or with `utc` "2026-11-22T09:42:17.250123Z"; time_parse()
 * reads both. */
void time_format(int64_t time_us, bool utc, char text[TIME_TEXT_MAX]);

/* As time_format() to the whole second (rounded down), for tables: "2026-11-22 10:42:17 +01:00". */
void time_format_seconds(int64_t time_us, bool utc, char text[TIME_TEXT_MAX]);
