/*
 * Numbers are read as digits before and after the point and never as floating point, so that "0.1s"
 * is 100,000 microseconds and not nearly that many.
 */
#include "base/units.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define UNIT_LIST "s (seconds), m (minutes), h (hours), d (days), w (weeks)"

static const struct unit {
	char letter;
	int64_t us;
	const char *words[5];
} units[] = {
	{'w', 7 * 86400 * 1000000LL, {"w", "week", "weeks"}},
	{'d', 86400 * 1000000LL, {"d", "day", "days"}},
	{'h', 3600 * 1000000LL, {"h", "hour", "hours", "hr", "hrs"}},
	{'m', 60 * 1000000LL, {"m", "minute", "minutes", "min", "mins"}},
	{'s', 1000000LL, {"s", "second", "seconds", "sec", "secs"}},
};

static const char *skip_blanks(const char *at)
{
	while (*at == ' ')
		at++;
	return at;
}

static size_t word_size(const char *at)
{
	size_t size = 0;

	while (isalpha((unsigned char)at[size]))
		size++;
	return size;
}

static const struct unit *find_unit(const char *word, size_t size)
{
	for (const struct unit *unit = units; unit < units + ARRAY_SIZE(units); unit++) {
		for (size_t i = 0; i < ARRAY_SIZE(unit->words) && unit->words[i]; i++) {
			if (strlen(unit->words[i]) == size &&
			    !strncasecmp(unit->words[i], word, size))
				return unit;
		}
	}
	return NULL;
}

/* A number with at most six digits behind the point, in millionths; NULL when there is none or it
 * is too large. */
static const char *scan_number(const char *at, int64_t *ret_millionths)
{
	int64_t whole = 0, part = 0, scale = 1000000;

	if (!isdigit((unsigned char)*at))
		return NULL;
	for (; isdigit((unsigned char)*at); at++) {
		whole = whole * 10 + (*at - '0');
		if (whole > DURATION_MAX_US / 1000000)
			return NULL;
	}
	if (*at == '.') {
		for (at++; isdigit((unsigned char)*at) && scale > 1; at++) {
			scale /= 10;
			part += (*at - '0') * scale;
		}
		if (scale == 1000000 || isdigit((unsigned char)*at))
			return NULL;
	}
	*ret_millionths = whole * 1000000 + part;
	return at;
}

int duration_scan(const char *text, const char **ret_end, int64_t *ret_us, struct problem *why)
{
	const char *at = skip_blanks(text);
	int64_t sum = 0;

	do {
		const struct unit *unit;
		__int128 product;
		int64_t number;
		size_t size;

		at = scan_number(at, &number);
		if (!at)
			return problem(why, -EINVAL,
				       "'%s' is not a duration; write it like 90s, 1h30m or 1d12h",
				       text);
		at = skip_blanks(at);
		size = word_size(at);
		if (!size)
			return problem(why, -EINVAL,
				       "'%s': a unit is missing; the units are " UNIT_LIST, text);
		unit = find_unit(at, size);
		if (!unit)
			return problem(why, -EINVAL,
				       "'%s': unknown unit '%.*s'; the units are " UNIT_LIST, text,
				       (int)MIN(size, 40), at);
		product = (__int128)number * (unit->us / 1000000);
		if (product > DURATION_MAX_US - sum)
			return problem(why, -EINVAL, "'%s' is longer than a thousand years", text);
		sum += (int64_t)product;
		at = skip_blanks(at + size);
	} while (isdigit((unsigned char)*at));
	*ret_end = at;
	*ret_us = sum;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_us, struct problem *why)
{
	const char *end;
	int64_t us;
	int r;

	for (end = text; *end; end++) {
		if (iscntrl((unsigned char)*end))
			return problem(why, -EINVAL, "a duration has no control characters in it");
	}
	if (strlen(text) > 100)
		return problem(why, -EINVAL, "'%.40s...' is not a duration", text);
	if (!strcmp(text, "0")) {
		*ret_us = 0;
		return 0;
	}
	r = duration_scan(text, &end, &us, why);
	if (r < 0)
		return r;
	if (*end)
		return problem(why, -EINVAL, "'%s': '%s' does not belong to a duration", text, end);
	*ret_us = us;
	return 0;
}

void duration_format(int64_t duration_us, char text[UNITS_TEXT_MAX])
{
	size_t used = 0;

	if (duration_us < 0)
		used = snprintf(text, UNITS_TEXT_MAX, "-");
	uint64_t left = duration_us < 0 ? -(uint64_t)duration_us : (uint64_t)duration_us;

	for (size_t i = 1; i + 1 < ARRAY_SIZE(units); i++) {
		if (left >= (uint64_t)units[i].us)
			used += snprintf(text + used, UNITS_TEXT_MAX - used, "%llu%c",
					 (unsigned long long)(left / units[i].us), units[i].letter);
		left %= units[i].us;
	}
	if (left % 1000000) {
		used += snprintf(text + used, UNITS_TEXT_MAX - used, "%llu.%06llu",
				 (unsigned long long)(left / 1000000),
				 (unsigned long long)(left % 1000000));
		while (text[used - 1] == '0')
			used--;
		snprintf(text + used, UNITS_TEXT_MAX - used, "s");
	} else if (left || !duration_us) {
		snprintf(text + used, UNITS_TEXT_MAX - used, "%llus",
			 (unsigned long long)(left / 1000000));
	}
}

/* Two units, the larger one first. */
static void put_pair(char *text, const char *sign, int64_t large, const char *large_unit,
		     int64_t small, const char *small_unit)
{
	snprintf(text, UNITS_TEXT_MAX, "%s%lld %s %02lld %s", sign, (long long)large, large_unit,
		 (long long)small, small_unit);
}

void elapsed_format(int64_t duration_us, char text[UNITS_TEXT_MAX])
{
	const char *sign = duration_us < 0 ? "-" : "";
	int64_t us = duration_us < 0 ? -MAX(duration_us, -INT64_MAX) : duration_us;
	int64_t s = us / 1000000 + (us % 1000000 >= 500000);

	if (us < 1000)
		snprintf(text, UNITS_TEXT_MAX, "%s%lld us", sign, (long long)us);
	else if (us < 999500)
		snprintf(text, UNITS_TEXT_MAX, "%s%lld ms", sign, (long long)(us + 500) / 1000);
	else if (us < 9995000)
		snprintf(text, UNITS_TEXT_MAX, "%s%.2f s", sign, us / 1e6);
	else if (us < 59950000)
		snprintf(text, UNITS_TEXT_MAX, "%s%.1f s", sign, us / 1e6);
	else if (s < 3600)
		put_pair(text, sign, s / 60, "min", s % 60, "s");
	else if (s < 86400)
		put_pair(text, sign, s / 3600, "h", s % 3600 / 60, "min");
	else
		snprintf(text, UNITS_TEXT_MAX, "%s%lld d %lld h", sign, (long long)s / 86400,
			 (long long)s % 86400 / 3600);
}

void bytes_format(double bytes, char text[UNITS_TEXT_MAX])
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double size = fabs(bytes);
	size_t i = 0;

	/* 1023.7 would be shown with four digits. */
	while (i + 1 < ARRAY_SIZE(names) && size >= 999.5) {
		size /= 1024;
		i++;
	}
	snprintf(text, UNITS_TEXT_MAX, "%s%.*f %s", bytes < 0 && (i || size >= 0.5) ? "-" : "",
		 !i || size >= 99.95 ? 0
		 : size >= 9.995     ? 1
				     : 2,
		 size, names[i]);
}

/* What "K", "MiB" or "GB" multiply by; 0 for anything else. */
static double byte_unit(const char *text)
{
	static const char letters[] = "KMGTP";
	const char *letter;
	double step = 1024, unit = 1;

	if (!*text || !strcasecmp(text, "B"))
		return 1;
	letter = strchr(letters, toupper((unsigned char)*text));
	if (!letter)
		return 0;
	if (!strcasecmp(text + 1, "B"))
		step = 1000;
	else if (text[1] && strcasecmp(text + 1, "iB"))
		return 0;
	for (; letter >= letters; letter--)
		unit *= step;
	return unit;
}

int bytes_parse(const char *text, uint64_t *ret, struct problem *why)
{
	char *end = NULL;
	double number = isdigit((unsigned char)*text) && text[1] != 'x' && text[1] != 'X'
				? strtod(text, &end)
				: -1;
	double unit;

	if (number < 0)
		return problem(why, -EINVAL,
			       "'%.40s' is not a size; write it like 20G, 500M or 1.5T", text);
	while (*end == ' ')
		end++;
	unit = byte_unit(end);
	if (!unit)
		return problem(why, -EINVAL,
			       "'%.20s' is not a unit of size; there are K, M, G, T and P (powers "
			       "of 1024) and "
			       "KB, MB, GB, TB and PB (of 1000)",
			       end);
	if (number * unit > 9e18)
		return problem(why, -EINVAL, "'%.40s' is too much", text);
	*ret = (uint64_t)(number * unit);
	return 0;
}

void count_format(uint64_t count, char text[UNITS_TEXT_MAX])
{
	char digits[24];
	size_t size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
	char *to = text;

	for (size_t i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
}

void things_format(uint64_t count, const char *one, char text[UNITS_TEXT_MAX])
{
	size_t n;

	count_format(count, text);
	n = strlen(text);
	snprintf(text + n, UNITS_TEXT_MAX - n, " %s%s", one, count == 1 ? "" : "s");
}
