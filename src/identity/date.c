#include "identity/date.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The years that AWS takes: what fits into 64 bits of milliseconds. */
#define YEAR_MIN (-292275054)
#define YEAR_MAX 292278993

struct scanned {
	int64_t year, month, day, hour, minute, second, nanoseconds, offset_s;
};

/* One to `digits` digits, from `min` to `max`. */
static bool scan_number(const char **at, int digits, int64_t min, int64_t max, int64_t *ret)
{
	int64_t value = 0;
	int count = 0;

	for (; isdigit((unsigned char)**at); (*at)++, count++) {
		if (count == digits)
			return false;
		value = value * 10 + (**at - '0');
	}
	if (!count || value < min || value > max)
		return false;
	*ret = value;
	return true;
}

static bool scan_sign(const char **at, char sign)
{
	if (**at != sign)
		return false;
	(*at)++;
	return true;
}

/* YYYY[-MM[-DD]] */
static bool scan_date(const char **at, struct scanned *when)
{
	bool before = scan_sign(at, '-');

	if (!scan_number(at, 9, 0, before ? -YEAR_MIN : YEAR_MAX, &when->year))
		return false;
	if (before)
		when->year = -when->year;
	if (!scan_sign(at, '-'))
		return true;
	if (!scan_number(at, 2, 1, 12, &when->month))
		return false;
	return !scan_sign(at, '-') || scan_number(at, 2, 1, 31, &when->day);
}

/* .123456789 */
static bool scan_fraction(const char **at, struct scanned *when)
{
	const char *begin;

	if (!scan_sign(at, '.'))
		return true;
	begin = *at;
	if (!scan_number(at, 9, 0, INT64_MAX, &when->nanoseconds))
		return false;
	for (long digits = *at - begin; digits < 9; digits++)
		when->nanoseconds *= 10;
	return true;
}

/* Z, +HH, +HH:MM, or nothing. */
static bool scan_zone(const char **at, struct scanned *when)
{
	int64_t sign = **at == '-' ? -1 : 1, hours, minutes = 0;
	const char *begin;

	if (scan_sign(at, 'Z') || scan_sign(at, 'z') || !**at)
		return true;
	if (!scan_sign(at, '+') && !scan_sign(at, '-'))
		return false;
	begin = *at;
	if (!scan_number(at, 2, 0, 23, &hours) || *at != begin + 2)
		return false;
	if (scan_sign(at, ':')) {
		begin = *at;
		if (!scan_number(at, 2, 0, 59, &minutes) || *at != begin + 2)
			return false;
	}
	when->offset_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* HH[:MM[:SS[.fraction]]] and a zone; nothing at all is fine, too. */
static bool scan_time(const char **at, struct scanned *when)
{
	if (!isdigit((unsigned char)**at))
		return scan_zone(at, when);
	if (!scan_number(at, 2, 0, 23, &when->hour))
		return false;
	if (scan_sign(at, ':') && !scan_number(at, 2, 0, 59, &when->minute))
		return false;
	if (scan_sign(at, ':') &&
	    (!scan_number(at, 2, 0, 59, &when->second) || !scan_fraction(at, when)))
		return false;
	return scan_zone(at, when);
}

/* Days since 1970-01-01, counted in eras of 400 years that begin on the first of March. */
static int64_t days_of(const struct scanned *when)
{
	int64_t year = when->year - (when->month <= 2);
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t month = when->month + (when->month > 2 ? -3 : 9);
	int64_t day_of_year = (153 * month + 2) / 5 + when->day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static bool parse_epoch(const char *text, struct policy_date *ret)
{
	char *end;
	long long seconds;

	errno = 0;
	seconds = strtoll(text, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*text))
		return false;
	*ret = (struct policy_date){.seconds = seconds};
	return true;
}

bool policy_date_parse(const char *text, struct policy_date *ret)
{
	struct scanned when = {.month = 1, .day = 1};
	const char *at = text;

	/* "2026" is taken for seconds, as AWS does. */
	if (!strpbrk(text, "-tT"))
		return parse_epoch(text, ret);
	if (!scan_date(&at, &when))
		return false;
	if ((scan_sign(&at, 'T') || scan_sign(&at, 't')) && !scan_time(&at, &when))
		return false;
	if (*at)
		return false;
	ret->seconds = days_of(&when) * 86400 + when.hour * 3600 + when.minute * 60 + when.second -
		       when.offset_s;
	ret->nanoseconds = (int32_t)when.nanoseconds;
	return true;
}

int policy_date_compare(struct policy_date a, struct policy_date b)
{
	if (a.seconds != b.seconds)
		return a.seconds < b.seconds ? -1 : 1;
	if (a.nanoseconds != b.nanoseconds)
		return a.nanoseconds < b.nanoseconds ? -1 : 1;
	return 0;
}
