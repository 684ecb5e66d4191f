/* Clock: microseconds since the epoch (real), or since some fixed point (monotonic). */
#pragma once

#include <stdint.h>

/* "2026-11-22T10:42:17.250123+01:00" and its NUL. */
#define CLOCK_TEXT_MAX 40

int64_t clock_realtime_us(void);
int64_t clock_monotonic_us(void);

/* ISO 8601 in the local zone, microseconds, with the zone's offset. */
void clock_format(int64_t time_us, char text[CLOCK_TEXT_MAX]);
