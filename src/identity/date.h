/*
 * Date: moments as policies write them: a W3C profile of ISO 8601 ("2026", "2026-11-27",
 * "2026-11-27T10:42Z", "2026-11-27T10:42:17.25+01:00"), in UTC without a zone, or whole seconds
 * since the epoch.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policy_date {
	int64_t seconds;
	int32_t nanoseconds;
};

/* False: not a date.  Leaves *ret alone then. */
bool policy_date_parse(const char *text, struct policy_date *ret);
/* Less than, equal to, greater than 0. */
int policy_date_compare(struct policy_date a, struct policy_date b);
