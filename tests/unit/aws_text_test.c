#include "aws/text.h"

#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

static const struct {
	const char *text;
	double seconds;
	const char *printed;
} times[] = {
	{"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000Z"},
	{"2015-08-30T12:36:00Z", 1440938160, "2015-08-30T12:36:00.000Z"},
	{"2026-11-27T15:00:00.125+01:00", 1795788000.125, "2026-11-27T14:00:00.125Z"},
	{"2026-11-27T15:00:00+0100", 1795788000, "2026-11-27T14:00:00.000Z"},
	{"2026-11-27T13:00:00-01", 1795788000, "2026-11-27T14:00:00.000Z"},
	{"2026-11-27 14:00", 1795788000, "2026-11-27T14:00:00.000Z"},
	{"2026-11-27", 1795737600, "2026-11-27T00:00:00.000Z"},
	{"2024-02-29T23:59:59.999Z", 1709251199.999, "2024-02-29T23:59:59.999Z"},
	{"1969-12-31T23:59:59.5Z", -0.5, "1969-12-31T23:59:59.500Z"},
	{"1600-02-29T00:00:00Z", -11670998400, "1600-02-29T00:00:00.000Z"},
	{"0001-01-01T00:00:00Z", -62135596800, "0001-01-01T00:00:00.000Z"},
	{"9999-12-31T23:59:59Z", 253402300799, "9999-12-31T23:59:59.000Z"},
	{"1795788000.5", 1795788000.5, "2026-11-27T14:00:00.500Z"},
	{"1.7957880005E9", 1795788000.5, "2026-11-27T14:00:00.500Z"},
};

static void times_are_read_in_every_form_and_printed_in_one(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		char text[AWS_TEXT_MAX];
		double seconds;

		check(aws_time_parse(times[i].text, &seconds), "%s", times[i].text);
		check(fabs(seconds - times[i].seconds) < 1e-6, "%s: %f", times[i].text, seconds);
		check(aws_time_format(times[i].seconds, false, text) == strlen(text));
		check(strcmp(text, times[i].printed) == 0, "%s: %s", times[i].text, text);
	}
}

static void what_is_no_time_is_refused(void)
{
	static const char *const wrong[] = {"",
					    "now",
					    "2026-11",
					    "2026-13-01",
					    "2026-00-01",
					    "2026-02-30",
					    "2026-11-31T00:00:00Z",
					    "2026-11-27T",
					    "2026-11-27T14",
					    "2026-11-27T14:0",
					    "2026-11-27T14:60:00Z",
					    "2026-11-27T25:00:00Z",
					    "2026-11-27T14:00:00Zx",
					    "2026-11-27T14:00:00+",
					    "2026-11-27T14:00:00+1",
					    "2026-11-27T14:00:00+01:6",
					    "2026-11-27T14:00:00+19:00",
					    "0000-01-01",
					    "1e300",
					    "-1e300",
					    "0x10",
					    "inf",
					    "nan",
					    "1 2"};
	double seconds;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		check(!aws_time_parse(wrong[i], &seconds), "%s", wrong[i]);
}

static void our_calendar_is_the_library_s(void)
{
	for (int64_t day = -700000; day < 2900000; day += 17) {
		time_t seconds = day * 86400 + 86399;
		char text[AWS_TEXT_MAX], want[AWS_TEXT_MAX];
		struct tm tm;

		if (seconds < -62135596800 || seconds >= 253402300800)
			continue;
		gmtime_r(&seconds, &tm);
		snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		aws_time_format((double)seconds, true, text);
		if (!check(strcmp(text, want) == 0, "%s, not %s", text, want))
			return;
	}
}

static void numbers_are_as_short_as_they_read_back(void)
{
	static const struct {
		double value;
		const char *text;
	} numbers[] = {{0.1, "0.1"},
		       {100, "100"},
		       {1.0 / 3, "0.3333333333333333"},
		       {-2.5, "-2.5"},
		       {1e300, "1e+300"},
		       {INFINITY, "Infinity"},
		       {-INFINITY, "-Infinity"},
		       {NAN, "NaN"}};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char text[AWS_TEXT_MAX];

		check(aws_real_format(numbers[i].value, text) == strlen(text));
		check(strcmp(text, numbers[i].text) == 0, "%s", text);
	}
}

static void base64_goes_there_and_back(void)
{
	static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
					    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	static const char *const wrong[] = {
		"Z", "Zg", "Zg=", "Zg===", "====", "Z===", "Zm9v Zg==", "Zm9\n", "Zm=v"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(buffer) struct buffer bytes = {0}, again = {0};

		check(aws_base64_get(texts[i], strlen(texts[i]), &bytes));
		check(bytes.size == i && (!i || memcmp(bytes.data, "foobar", i) == 0));
		aws_base64_put(&again, bytes.data, bytes.size);
		check(again.size == strlen(texts[i]) &&
		      (!i || memcmp(again.data, texts[i], again.size) == 0));
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		CLEANUP(buffer) struct buffer bytes = {0};

		check(!aws_base64_get(wrong[i], strlen(wrong[i]), &bytes), "%s", wrong[i]);
	}
}

int main(void)
{
	RUN(times_are_read_in_every_form_and_printed_in_one);
	RUN(what_is_no_time_is_refused);
	RUN(our_calendar_is_the_library_s);
	RUN(numbers_are_as_short_as_they_read_back);
	RUN(base64_goes_there_and_back);
	return tap_done();
}
