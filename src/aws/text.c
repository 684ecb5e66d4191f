#include "aws/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS 86400
#define TIME_MIN (-62135596800.0) /* 0001-01-01 */
#define TIME_END 253402300800.0   /* 10000-01-01 */

/* Exactly `digits` digits, which become a number. */
static bool get_digits(const char **at, unsigned digits, int *ret)
{
	*ret = 0;
	for (; digits; digits--, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return false;
		*ret = *ret * 10 + (**at - '0');
	}
	return true;
}

static bool skip(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool get_date(const char **at, struct tm *ret)
{
	if (!get_digits(at, 4, &ret->tm_year) || !skip(at, '-') ||
	    !get_digits(at, 2, &ret->tm_mon) || !skip(at, '-') || !get_digits(at, 2, &ret->tm_mday))
		return false;
	if (ret->tm_year < 1 || ret->tm_mon < 1 || ret->tm_mon > 12 || ret->tm_mday < 1 ||
	    ret->tm_mday > 31)
		return false;
	ret->tm_year -= 1900;
	ret->tm_mon -= 1;
	return true;
}

static bool get_clock(const char **at, struct tm *ret, double *ret_fraction)
{
	double unit = 0.1;

	if (!get_digits(at, 2, &ret->tm_hour) || !skip(at, ':') || !get_digits(at, 2, &ret->tm_min))
		return false;
	if (skip(at, ':')) {
		if (!get_digits(at, 2, &ret->tm_sec))
			return false;
		if (**at == '.' || **at == ',')
			for ((*at)++; isdigit((unsigned char)**at); (*at)++, unit /= 10)
				*ret_fraction += (**at - '0') * unit;
	}
	return ret->tm_hour <= 24 && ret->tm_min <= 59 && ret->tm_sec <= 60;
}

/* Z, +01:00, +0100, +01 or nothing. */
static bool get_zone(const char **at, int *ret_seconds)
{
	int sign = **at == '-' ? -1 : 1, hours = 0, minutes = 0;

	if (skip(at, 'Z') || skip(at, 'z') || !**at)
		return true;
	if (!skip(at, '+') && !skip(at, '-'))
		return false;
	if (!get_digits(at, 2, &hours))
		return false;
	skip(at, ':');
	if (**at && !get_digits(at, 2, &minutes))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return hours <= 18 && minutes <= 59;
}

static bool parse_epoch(const char *text, double *ret)
{
	char *end;

	if (strspn(text, "0123456789.-+eE") != strlen(text) || !*text)
		return false;
	*ret = strtod(text, &end);
	return !*end && *ret >= TIME_MIN && *ret < TIME_END;
}

bool aws_time_parse(const char *text, double *ret)
{
	struct tm tm = {0}, again;
	double fraction = 0;
	int zone = 0;
	time_t time;

	if (parse_epoch(text, ret))
		return true;
	if (!get_date(&text, &tm))
		return false;
	if (skip(&text, 'T') || skip(&text, 't') || skip(&text, ' ')) {
		if (!get_clock(&text, &tm, &fraction) || !get_zone(&text, &zone))
			return false;
	}
	if (*text)
		return false;
	again = tm;
	time = timegm(&again);
	/* The 31st of a month that has 30 days comes back as another one. */
	if (tm.tm_hour < 24 && tm.tm_sec < 60 && again.tm_mday != tm.tm_mday)
		return false;
	*ret = (double)(time - zone) + fraction;
	return true;
}

static char *put_digits(char *at, unsigned value, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + digits;
}

/* Days since the epoch to a date of the proleptic Gregorian calendar; gmtime_r() takes a lock. */
static char *put_date(char *at, int64_t days)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned day_of_era = (unsigned)(z - era * 146097);
	unsigned year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month = (5 * day + 2) / 153; /* from March on */

	at = put_digits(at, (unsigned)(year_of_era + era * 400) + (month >= 10), 4);
	*at++ = '-';
	at = put_digits(at, month < 10 ? month + 3 : month - 9, 2);
	*at++ = '-';
	return put_digits(at, day - (153 * month + 2) / 5 + 1, 2);
}

size_t aws_time_format(double seconds, bool whole, char ret[AWS_TEXT_MAX])
{
	int64_t ms = (int64_t)floor(fmax(fmin(seconds, TIME_END - 1), TIME_MIN) * 1000 + 0.5);
	int64_t days = ms / 1000 / DAY_SECONDS - (ms < 0 && ms % (DAY_SECONDS * 1000LL));
	unsigned left = (unsigned)(ms - days * DAY_SECONDS * 1000);
	char *at = put_date(ret, days);

	*at++ = 'T';
	at = put_digits(at, left / 3600000, 2);
	*at++ = ':';
	at = put_digits(at, left / 60000 % 60, 2);
	*at++ = ':';
	at = put_digits(at, left / 1000 % 60, 2);
	if (!whole) {
		*at++ = '.';
		at = put_digits(at, left % 1000, 3);
	}
	*at++ = 'Z';
	*at = '\0';
	return (size_t)(at - ret);
}

size_t aws_real_format(double value, char ret[AWS_TEXT_MAX])
{
	int size = 0;

	if (isnan(value))
		return (size_t)snprintf(ret, AWS_TEXT_MAX, "NaN");
	if (isinf(value))
		return (size_t)snprintf(ret, AWS_TEXT_MAX, "%sInfinity", value < 0 ? "-" : "");
	for (int precision = 15; precision <= 17; precision++) {
		size = snprintf(ret, AWS_TEXT_MAX, "%.*g", precision, value);
		if (strtod(ret, NULL) == value)
			break;
	}
	return (size_t)size;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void aws_base64_put(struct buffer *buffer, const void *data, size_t size)
{
	const uint8_t *at = data;
	char *out = size ? buffer_extend(buffer, (size + 2) / 3 * 4) : NULL;

	for (size_t i = 0; i < size; i += 3, out += 4) {
		uint32_t bits = (uint32_t)at[i] << 16 | (i + 1 < size ? at[i + 1] : 0u) << 8 |
				(i + 2 < size ? at[i + 2] : 0u);

		for (unsigned k = 0; k < 4; k++)
			out[k] = base64_digits[bits >> (18 - 6 * k) & 63];
		if (i + 2 >= size)
			out[3] = '=';
		if (i + 1 >= size)
			out[2] = '=';
	}
}

bool aws_base64_get(const char *text, size_t size, struct buffer *buffer)
{
	size_t digits = size;
	uint32_t bits = 0;

	if (size % 4)
		return false;
	while (digits > 0 && size - digits < 2 && text[digits - 1] == '=')
		digits--;
	for (size_t i = 0; i < digits; i++) {
		const char *digit = text[i] ? strchr(base64_digits, text[i]) : NULL;

		if (!digit)
			return false;
		bits = bits << 6 | (uint32_t)(digit - base64_digits);
		if (i % 4)
			buffer_put8(buffer, (uint8_t)(bits >> (6 - i % 4 * 2)));
	}
	return true;
}
