/*
 * A scanner over the text: `at` moves on over what was understood; each scan_*() either takes its
 * piece and returns true, or leaves `at` alone.
 */
#include "base/timetext.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define SECOND_US 1000000LL

#define FORMS "write it like '10 minutes ago', 09:41, 'yesterday 18:00' or 2026-11-22T10:42:17.250Z"

struct when {
	int year, month, day; /* month from 1 */
	int hour, minute, second;
	int fraction_us;
	bool zoned;
	int offset_s; /* east of Greenwich; with `zoned` */
};

static const char *skip_blanks(const char *at)
{
	while (*at == ' ')
		at++;
	return at;
}

/* Exactly `digits` digits, no fewer and no more. */
static bool scan_digits(const char **at, int digits, int *ret)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if (!isdigit((unsigned char)(*at)[i]))
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	if (isdigit((unsigned char)(*at)[digits]))
		return false;
	*at += digits;
	*ret = value;
	return true;
}

static bool scan_word(const char **at, const char *word)
{
	size_t size = strlen(word);

	if (strncasecmp(*at, word, size) || isalnum((unsigned char)(*at)[size]))
		return false;
	*at = skip_blanks(*at + size);
	return true;
}

/* "." or "," and one to six digits; nothing at all is fine too. */
static bool scan_fraction(const char **at, int *ret_us)
{
	const char *p = *at;
	int scale = 1000000, value = 0;

	*ret_us = 0;
	if (*p != '.' && *p != ',')
		return true;
	for (p++; isdigit((unsigned char)*p) && scale > 1; p++) {
		scale /= 10;
		value += (*p - '0') * scale;
	}
	if (scale == 1000000 || isdigit((unsigned char)*p))
		return false;
	*at = p;
	*ret_us = value;
	return true;
}

static bool scan_date(const char **at, struct when *when)
{
	const char *p = *at;

	if (!scan_digits(&p, 4, &when->year) || *p++ != '-' || !scan_digits(&p, 2, &when->month) ||
	    *p++ != '-' || !scan_digits(&p, 2, &when->day))
		return false;
	*at = p;
	return true;
}

/* HH:MM[:SS[.fraction]] */
static bool scan_clock(const char **at, struct when *when)
{
	const char *p = *at;

	if (!scan_digits(&p, 2, &when->hour)) {
		if (!scan_digits(&p, 1, &when->hour))
			return false;
	}
	if (*p++ != ':' || !scan_digits(&p, 2, &when->minute))
		return false;
	if (*p == ':') {
		p++;
		if (!scan_digits(&p, 2, &when->second) || !scan_fraction(&p, &when->fraction_us))
			return false;
	}
	*at = p;
	return true;
}

/* Z, UTC, GMT, +HH, +HHMM, +HH:MM, or nothing. */
static bool scan_zone(const char **at, struct when *when)
{
	const char *p = skip_blanks(*at);
	int sign = *p == '-' ? -1 : 1, hours, minutes = 0;

	if (scan_word(&p, "Z") || scan_word(&p, "UTC") || scan_word(&p, "GMT")) {
		when->zoned = true;
		when->offset_s = 0;
	} else if (*p == '+' || *p == '-') {
		p++;
		if (scan_digits(&p, 4, &hours)) {
			minutes = hours % 100;
			hours /= 100;
		} else if (!scan_digits(&p, 2, &hours)) {
			return false;
		} else if (*p == ':') {
			p++;
			if (!scan_digits(&p, 2, &minutes))
				return false;
		}
		if (hours > 15 || minutes > 59)
			return false;
		when->zoned = true;
		when->offset_s = sign * (hours * 3600 + minutes * 60);
	}
	*at = skip_blanks(p);
	return true;
}

static bool is_real(const struct when *when)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = when->year;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return year >= 1970 && year <= 9999 && when->month >= 1 && when->month <= 12 &&
	       when->day >= 1 && when->day <= days[when->month - 1] + (leap && when->month == 2) &&
	       when->hour <= 23 && when->minute <= 59 && when->second <= 59;
}

static time_t as_if_utc(const struct when *when)
{
	struct tm tm = {
		.tm_year = when->year - 1900,
		.tm_mon = when->month - 1,
		.tm_mday = when->day,
		.tm_hour = when->hour,
		.tm_min = when->minute,
		.tm_sec = when->second,
	};

	return timegm(&tm);
}

/* How far local clocks are ahead of UTC at that instant, in seconds. */
static long offset_at(time_t utc)
{
	struct tm tm;

	return localtime_r(&utc, &tm) ? tm.tm_gmtoff : 0;
}

/*
 * The instants at which local clocks show `when`: none in a gap, two in an overlap.  Its offset
 * from UTC is the one in force the day before or the day after: no zone has changed its clocks
 * twice within two days.
 */
static int local_instants(const struct when *when, time_t ret[2])
{
	time_t wall = as_if_utc(when);
	long before = offset_at(wall - 86400), after = offset_at(wall + 86400);
	int count = 0;

	if (offset_at(wall - before) == before)
		ret[count++] = wall - before;
	if (after != before && offset_at(wall - after) == after)
		ret[count++] = wall - after;
	return count;
}

static int to_instant(const char *text, const struct when *when, int64_t *ret_us,
		      struct problem *why)
{
	char first[TIME_TEXT_MAX], second[TIME_TEXT_MAX];
	time_t instants[2];
	int count = 1;

	if (!is_real(when))
		return problem(why, -EINVAL,
			       "'%s': there is no such date or time of day (years 1970 to 9999)",
			       text);
	if (when->zoned)
		instants[0] = as_if_utc(when) - when->offset_s;
	else
		count = local_instants(when, instants);
	if (!count)
		return problem(why, -EINVAL,
			       "'%s' never was: the clocks were put forward over it; add a zone, "
			       "such as Z for UTC",
			       text);
	if (count == 2) {
		time_format(instants[0] * SECOND_US + when->fraction_us, false, first);
		time_format(instants[1] * SECOND_US + when->fraction_us, false, second);
		return problem(why, -EINVAL,
			       "'%s' was twice: the clocks were put back over it; write %s or %s",
			       text, first, second);
	}
	*ret_us = instants[0] * SECOND_US + when->fraction_us;
	if (*ret_us < 0 || *ret_us > TIME_MAX_US)
		return problem(why, -EINVAL, "'%s' is outside the years 1970 to 9999", text);
	return 0;
}

/* The date on the calendar of `when`'s zone, `days` days after (or before) `now_us`. */
static void set_day(struct when *when, int64_t now_us, int days)
{
	time_t seconds = now_us / SECOND_US;
	struct tm tm;

	if (when->zoned)
		seconds += when->offset_s;
	if (!when->zoned)
		localtime_r(&seconds, &tm);
	else
		gmtime_r(&seconds, &tm);
	/* Noon, so that adding days never meets a change of the clocks. */
	tm.tm_hour = 12;
	tm.tm_mday += days;
	seconds = timegm(&tm);
	gmtime_r(&seconds, &tm);
	when->year = tm.tm_year + 1900;
	when->month = tm.tm_mon + 1;
	when->day = tm.tm_mday;
}

static int not_a_time(const char *text, struct problem *why)
{
	return problem(why, -EINVAL, "'%s' is not a time; " FORMS, text);
}

/* HH:MM: the last time that clocks showed it. */
static int parse_clock(const char *text, const char *at, int64_t now_us, int64_t *ret_us,
		       struct problem *why)
{
	struct when when = {0};
	int r;

	if (!scan_clock(&at, &when) || !scan_zone(&at, &when) || *at)
		return not_a_time(text, why);
	set_day(&when, now_us, 0);
	r = to_instant(text, &when, ret_us, why);
	if (r < 0 || *ret_us <= now_us)
		return r;
	set_day(&when, now_us, -1);
	return to_instant(text, &when, ret_us, why);
}

/* today, yesterday, each with or without a time of day. */
static int parse_day(const char *text, const char *at, int64_t now_us, int days, int64_t *ret_us,
		     struct problem *why)
{
	struct when when = {0};

	if (*at) {
		if (!scan_clock(&at, &when) || !scan_zone(&at, &when) || *at)
			return not_a_time(text, why);
	}
	set_day(&when, now_us, days);
	return to_instant(text, &when, ret_us, why);
}

static int parse_date(const char *text, const char *at, int64_t *ret_us, struct problem *why)
{
	struct when when = {0};

	if (!scan_date(&at, &when))
		return not_a_time(text, why);
	if (*at == 'T' || *at == 't' || (*at == ' ' && *skip_blanks(at))) {
		at = *at == ' ' ? skip_blanks(at) : at + 1;
		if (!scan_clock(&at, &when) || !scan_zone(&at, &when))
			return not_a_time(text, why);
	}
	if (*skip_blanks(at))
		return not_a_time(text, why);
	return to_instant(text, &when, ret_us, why);
}

static int parse_epoch(const char *text, const char *at, int64_t *ret_us, struct problem *why)
{
	int64_t seconds = 0;
	int fraction;

	if (!isdigit((unsigned char)*at))
		return not_a_time(text, why);
	for (; isdigit((unsigned char)*at); at++) {
		seconds = seconds * 10 + (*at - '0');
		if (seconds > TIME_MAX_US / SECOND_US)
			return problem(why, -EINVAL, "'%s' is outside the years 1970 to 9999",
				       text);
	}
	if (!scan_fraction(&at, &fraction) || *skip_blanks(at))
		return not_a_time(text, why);
	*ret_us = seconds * SECOND_US + fraction;
	return 0;
}

static int parse_ago(const char *text, const char *at, int64_t now_us, int64_t *ret_us,
		     struct problem *why)
{
	int64_t duration;
	int r;

	r = duration_scan(at, &at, &duration, why);
	if (r < 0)
		return r;
	if (!*at)
		return problem(why, -EINVAL,
			       "'%s' is a duration, not a time; did you mean '%s ago'?", text,
			       text);
	if (!scan_word(&at, "ago") || *at)
		return not_a_time(text, why);
	if (duration > now_us)
		return problem(why, -EINVAL, "'%s' is outside the years 1970 to 9999", text);
	*ret_us = now_us - duration;
	return 0;
}

/* Whether the text starts like a time of day or a date: digits, then ':' or '-'. */
static char after_digits(const char *at)
{
	while (isdigit((unsigned char)*at))
		at++;
	return *at;
}

static int parse(const char *text, int64_t now_us, int64_t *ret_us, struct problem *why)
{
	const char *at = skip_blanks(text);

	if (scan_word(&at, "now")) {
		if (*at)
			return not_a_time(text, why);
		*ret_us = now_us;
		return 0;
	}
	if (scan_word(&at, "today"))
		return parse_day(text, at, now_us, 0, ret_us, why);
	if (scan_word(&at, "yesterday"))
		return parse_day(text, at, now_us, -1, ret_us, why);
	if (*at == '@')
		return parse_epoch(text, at + 1, ret_us, why);
	if (!isdigit((unsigned char)*at))
		return not_a_time(text, why);
	if (after_digits(at) == ':')
		return parse_clock(text, at, now_us, ret_us, why);
	if (after_digits(at) == '-')
		return parse_date(text, at, ret_us, why);
	return parse_ago(text, at, now_us, ret_us, why);
}

int time_parse(const char *text, int64_t now_us, int64_t *ret_us, struct problem *why)
{
	int64_t us;
	int r;

	for (const char *at = text; *at; at++) {
		if (iscntrl((unsigned char)*at))
			return problem(why, -EINVAL,
				       "a time has no control characters in it; " FORMS);
	}
	if (strlen(text) > 100)
		return problem(why, -EINVAL, "'%.40s...' is not a time; " FORMS, text);
	r = parse(text, now_us, &us, why);
	if (r < 0)
		return r;
	*ret_us = us;
	return 0;
}

/* Broken down in the zone wanted; returns the part of a second. */
static int break_down(int64_t time_us, bool utc, struct tm *ret)
{
	int fraction = ((time_us % SECOND_US) + SECOND_US) % SECOND_US;
	time_t seconds = (time_us - fraction) / SECOND_US;

	if (utc)
		gmtime_r(&seconds, ret);
	else
		localtime_r(&seconds, ret);
	return fraction;
}

/* 'Z' or "+HH:MM". */
static void put_zone(const struct tm *tm, bool utc, char text[8])
{
	int minutes = (int)(tm->tm_gmtoff / 60), size = minutes < 0 ? -minutes : minutes;

	if (utc)
		snprintf(text, 8, "Z");
	else
		snprintf(text, 8, "%c%02d:%02d", minutes < 0 ? '-' : '+', size / 60 % 24,
			 size % 60);
}

void time_format(int64_t time_us, bool utc, char text[TIME_TEXT_MAX])
{
	char day[24], zone[8];
	struct tm tm;
	int fraction = break_down(time_us, utc, &tm);

	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	put_zone(&tm, utc, zone);
	snprintf(text, TIME_TEXT_MAX, "%s.%06d%s", day, fraction, zone);
}

void time_format_seconds(int64_t time_us, bool utc, char text[TIME_TEXT_MAX])
{
	char day[24], zone[8];
	struct tm tm;

	break_down(time_us, utc, &tm);
	strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &tm);
	put_zone(&tm, utc, zone);
	snprintf(text, TIME_TEXT_MAX, "%s%s%s", day, utc ? "" : " ", zone);
}
