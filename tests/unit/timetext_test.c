#include "base/timetext.h"

#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define S 1000000LL
#define H (3600 * S)
#define D (24 * H)

/* 2026-11-22T10:00:00Z, which is 11:00 in Berlin and 05:00 in New York. */
#define NOW (1795341600 * S)

static void live_in(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

/* The time that `text` means, seen from `now`, or -1. */
static int64_t seen_from(int64_t now, const char *text)
{
	struct problem why = {""};
	int64_t us = -7;
	int r = time_parse(text, now, &us, &why);

	if (r < 0) {
		check(us == -7, "a failure changes nothing");
		check(r == -EINVAL && why.text[0] && !strchr(why.text, '\n'), "'%s': %d '%s'", text,
		      r, why.text);
		return -1;
	}
	return us;
}

static void check_is(const char *text, const char *utc)
{
	char got[TIME_TEXT_MAX] = "nothing";
	int64_t us = seen_from(NOW, text);

	if (us >= 0)
		time_format(us, true, got);
	check(!strcmp(got, utc), "'%s' is %s, not %s", text, got, utc);
}

static void relative_times_count_back_from_now(void)
{
	check(seen_from(NOW, "now") == NOW);
	check(seen_from(NOW, "NOW ") == NOW);
	check(seen_from(NOW, "10 minutes ago") == NOW - 600 * S);
	check(seen_from(NOW, "90s ago") == NOW - 90 * S);
	check(seen_from(NOW, "1h30m ago") == NOW - 5400 * S);
	check(seen_from(NOW, "1 day 2 hours AGO") == NOW - 26 * H);
	check(seen_from(NOW, "0.25s ago") == NOW - 250000);
	check(seen_from(NOW, "  5m  ago  ") == NOW - 300 * S);
}

static void iso_8601_is_read_with_and_without_zone(void)
{
	live_in("Europe/Berlin");
	check_is("2026-11-22T10:42:17.250123Z", "2026-11-22T10:42:17.250123Z");
	check_is("2026-11-22T10:42:17.250123z", "2026-11-22T10:42:17.250123Z");
	check_is("2026-11-22t10:42:17.250Z", "2026-11-22T10:42:17.250000Z");
	check_is("2026-11-22 10:42:17,25 Z", "2026-11-22T10:42:17.250000Z");
	check_is("2026-11-22 10:42 UTC", "2026-11-22T10:42:00.000000Z");
	check_is("2026-11-22T10:42+01:00", "2026-11-22T09:42:00.000000Z");
	check_is("2026-11-22T10:42:17.250 -0530", "2026-11-22T16:12:17.250000Z");
	check_is("2026-11-22T15:59+15:59", "2026-11-22T00:00:00.000000Z");
	check_is("2026-11-22T00:42+02", "2026-11-21T22:42:00.000000Z");
	check_is("2026-11-22T10:42:17.25", "2026-11-22T09:42:17.250000Z");
	check_is("2026-11-22 10:42", "2026-11-22T09:42:00.000000Z");
	check_is("2026-07-22 10:42", "2026-07-22T08:42:00.000000Z");
	check_is("2026-11-22", "2026-11-21T23:00:00.000000Z");
	check_is("1970-01-01T00:00Z", "1970-01-01T00:00:00.000000Z");
	check_is("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z");
}

static void a_time_of_day_is_the_last_time_it_was_that(void)
{
	live_in("Europe/Berlin");
	check_is("09:41", "2026-11-22T08:41:00.000000Z");
	check_is("9:41", "2026-11-22T08:41:00.000000Z");
	check_is("09:41:07.250", "2026-11-22T08:41:07.250000Z");
	check_is("11:00", "2026-11-22T10:00:00.000000Z");
	check_is("11:00:00.000001", "2026-11-21T10:00:00.000001Z");
	check_is("23:30", "2026-11-21T22:30:00.000000Z");
	check_is("09:41Z", "2026-11-22T09:41:00.000000Z");
	check_is("09:41+13:00", "2026-11-21T20:41:00.000000Z");
	live_in("America/New_York");
	check_is("04:59", "2026-11-22T09:59:00.000000Z");
	check_is("09:41", "2026-11-21T14:41:00.000000Z");
}

static void today_and_yesterday_are_calendar_days(void)
{
	live_in("Europe/Berlin");
	check_is("yesterday 18:00", "2026-11-21T17:00:00.000000Z");
	check_is("Yesterday 18:00:01.5", "2026-11-21T17:00:01.500000Z");
	check_is("today 09:00", "2026-11-22T08:00:00.000000Z");
	check_is("today 23:00", "2026-11-22T22:00:00.000000Z");
	check_is("today", "2026-11-21T23:00:00.000000Z");
	check_is("yesterday", "2026-11-20T23:00:00.000000Z");
	check_is("yesterday 18:00Z", "2026-11-21T18:00:00.000000Z");
}

/* On 2026-03-30 yesterday had 23 hours, on 2026-10-26 it had 25; a month, a year and a leap day end
 * in between. */
static void yesterday_is_right_across_changes_of_clocks_months_and_years(void)
{
	char text[TIME_TEXT_MAX];

	live_in("Europe/Berlin");
	time_format(seen_from(1774821600 * S, "yesterday 00:30"), true,
		    text); /* 2026-03-30T00:00 local */
	check(!strcmp(text, "2026-03-28T23:30:00.000000Z"), "%s", text);
	time_format(seen_from(1792971000 * S, "yesterday 23:30"), true,
		    text); /* 2026-10-26T00:30 local */
	check(!strcmp(text, "2026-10-25T22:30:00.000000Z"), "%s", text);
	time_format(seen_from(1767225600 * S, "yesterday 12:00Z"), true,
		    text); /* 2026-01-01T00:00Z */
	check(!strcmp(text, "2025-12-31T12:00:00.000000Z"), "%s", text);
	time_format(seen_from(1835395200 * S, "yesterday 12:00Z"), true,
		    text); /* 2028-02-29T00:00Z */
	check(!strcmp(text, "2028-02-28T12:00:00.000000Z"), "%s", text);
}

static void the_epoch_is_counted_in_seconds(void)
{
	check(seen_from(NOW, "@0") == 0);
	check(seen_from(NOW, "@1795341600.25") == NOW + 250000);
	check(seen_from(NOW, "@1795341600.000001") == NOW + 1);
	check(seen_from(NOW, "@253402300800") == -1);
	check(seen_from(NOW, "@99999999999999999999999") == -1);
	check(seen_from(NOW, "@") == -1);
	check(seen_from(NOW, "@-1") == -1);
	check(seen_from(NOW, "@1x") == -1);
}

static void a_time_that_was_twice_is_refused_with_both_to_choose_from(void)
{
	struct problem why = {""};
	int64_t us;

	live_in("Europe/Berlin");
	check(time_parse("2026-10-25 02:30", NOW, &us, &why) == -EINVAL);
	check(strstr(why.text, "2026-10-25T02:30:00.000000+02:00"), "%s", why.text);
	check(strstr(why.text, "2026-10-25T02:30:00.000000+01:00"), "%s", why.text);
	check(time_parse("2026-10-25 02:30:00.25", NOW, &us, &why) == -EINVAL);
	check(strstr(why.text, "2026-10-25T02:30:00.250000+02:00"), "%s", why.text);
	check(strstr(why.text, "2026-10-25T02:30:00.250000+01:00"), "%s", why.text);
	check_is("2026-10-25 02:30 +02:00", "2026-10-25T00:30:00.000000Z");
	check_is("2026-10-25 01:59:59", "2026-10-24T23:59:59.000000Z");
	check_is("2026-10-25 03:00", "2026-10-25T02:00:00.000000Z");
	live_in("Australia/Lord_Howe"); /* half an hour */
	check(time_parse("2026-04-05 01:45", NOW, &us, &why) == -EINVAL);
	check_is("2026-04-05 02:00", "2026-04-04T15:30:00.000000Z");
}

static void a_time_that_never_was_is_refused(void)
{
	struct problem why = {""};
	int64_t us;

	live_in("Europe/Berlin");
	check(time_parse("2026-03-29 02:30", NOW, &us, &why) == -EINVAL);
	check(strstr(why.text, "never was"), "%s", why.text);
	check_is("2026-03-29 01:59:59.999999", "2026-03-29T00:59:59.999999Z");
	check_is("2026-03-29 03:00", "2026-03-29T01:00:00.000000Z");
	check_is("2026-03-29 02:30Z", "2026-03-29T02:30:00.000000Z");
	live_in("Pacific/Apia"); /* 2011-12-30 was left out */
	check(time_parse("2011-12-30 12:00", NOW, &us, &why) == -EINVAL);
	check_is("2011-12-31 00:00", "2011-12-30T10:00:00.000000Z");
}

static void nonsense_is_not_a_time(void)
{
	static const char *const bad[] = {
		"",
		" ",
		"ago",
		"soon",
		"tomorrow",
		"nowish",
		"now now",
		"10 minutes",
		"10 ago",
		"ten minutes ago",
		"10 minutes ago x",
		"-10 minutes ago",
		"in 10 minutes",
		"5 fortnights ago",
		"10m agony",
		"12",
		"24:00",
		"23:60",
		"23:59:60",
		"1:2",
		"123:00",
		"12:00:00.",
		"12:00:00.1234567",
		"12:00.5",
		"12:00x",
		"12:00 x",
		"2026-13-01",
		"2026-02-29",
		"2026-00-10",
		"2026-01-00",
		"2026-1-1",
		"26-01-01",
		"2026-11-22T",
		"2026-11-22Tx",
		"2026-11-22x",
		"2026-11-22T10",
		"2026-11-22T10:42:17.250ZZ",
		"2026-11-22T10:42+1",
		"2026-11-22T10:42+25:00",
		"2026-11-22T10:42+01:60",
		"2026-11-22T10:42+",
		"2026-11-22T10:42 CET",
		"2026-11-22T 10:42",
		"2026-11-22T10:42Zx",
		"1969-12-31T23:59Z",
		"2026/11/22",
		"22.11.2026",
		"20261122",
		"2026-11-22-10:42",
		"yesterdays",
		"yesterday x",
		"yesterday 25:00",
		"today10:00",
		"@",
		"lsn:5",
		"1e3s ago",
		"10000-01-01",
		"1001 weeks",
		"999999 weeks ago",
		"1970-01-01T00:00+01:00",
		"٠٩:٤١",
		"09:41\n",
		"2026-11-22T10:42:17.250Z\t\r",
	};

	live_in("UTC");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check(seen_from(NOW, bad[i]) == -1, "'%s' is %lld", bad[i],
		      (long long)seen_from(NOW, bad[i]));
}

static void the_message_for_a_bare_duration_says_what_is_missing(void)
{
	struct problem why = {""};
	int64_t us;

	check(time_parse("10 minutes", NOW, &us, &why) == -EINVAL);
	check(strstr(why.text, "did you mean '10 minutes ago'"), "%s", why.text);
	check(time_parse("10 fortnights ago", NOW, &us, &why) == -EINVAL);
	check(strstr(why.text, "'fortnights'") && strstr(why.text, "w (weeks)"), "%s", why.text);
}

static void a_very_long_text_is_refused_with_one_line(void)
{
	char text[5000];

	memset(text, '1', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	check(seen_from(NOW, text) == -1);
	memset(text, ' ', sizeof text - 1);
	check(seen_from(NOW, text) == -1);
}

/* Goal: what is printed is read back as the same, in any zone, and not only in easy ones. */
static void printed_times_are_read_back_exactly(void)
{
	static const char *const zones[] = {
		"UTC",          "Europe/Berlin",       "America/St_Johns", "Asia/Kathmandu",
		"Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca"};

	srand(1);
	for (size_t zone = 0; zone < sizeof zones / sizeof *zones; zone++) {
		live_in(zones[zone]);
		for (int i = 0; i < 20000; i++) {
			int64_t us = (((int64_t)rand() << 31) | rand()) % (4102444800 * S);
			char text[TIME_TEXT_MAX];

			/* Liberia apart, offsets have been whole minutes since 1972. */
			us += 2 * 366 * D;
			time_format(us, i % 2, text);
			require(seen_from(NOW, text) == us, "%s: %lld is '%s'", zones[zone],
				(long long)us, text);
			time_format_seconds(us, i % 2, text);
			require(seen_from(NOW, text) == us / S * S, "%s: %lld is '%s'", zones[zone],
				(long long)us, text);
		}
	}
}

/*
 * Goal: a local time without a zone is read as the instant at which local clocks show it, or
 * refused with reason. Method: half hours through years with changes; what is refused must be near
 * a change of the clocks.
 */
static void local_times_are_what_local_clocks_show(void)
{
	static const char *const zones[] = {"Europe/Berlin", "America/New_York",
					    "Australia/Lord_Howe"};

	for (size_t zone = 0; zone < sizeof zones / sizeof *zones; zone++) {
		int refused = 0;

		live_in(zones[zone]);
		for (int64_t s = 1735689600; s < 1830297600; s += 1800) {
			struct tm tm;
			time_t t = s;
			char text[64];
			int64_t us;

			localtime_r(&t, &tm);
			strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
			us = seen_from(NOW, text);
			refused += us < 0;
			require(us < 0 || us == s * S, "%s: '%s'", zones[zone], text);
		}
		/* Three autumns; an hour holds two half hours, and is there twice; half an hour
		 * holds one. */
		check(refused == (zone == 2 ? 6 : 12), "%s: %d", zones[zone], refused);
	}
}

static void times_are_printed_with_their_zone(void)
{
	char text[TIME_TEXT_MAX];

	live_in("America/St_Johns");
	time_format(NOW + 5, false, text);
	check(!strcmp(text, "2026-11-22T06:30:00.000005-03:30"), "%s", text);
	time_format(NOW + 5, true, text);
	check(!strcmp(text, "2026-11-22T10:00:00.000005Z"), "%s", text);
	time_format_seconds(NOW + 999999, false, text);
	check(!strcmp(text, "2026-11-22 06:30:00 -03:30"), "%s", text);
	time_format_seconds(NOW, true, text);
	check(!strcmp(text, "2026-11-22 10:00:00Z"), "%s", text);
	time_format(-1, true, text);
	check(!strcmp(text, "1969-12-31T23:59:59.999999Z"), "%s", text);
}

int main(void)
{
	RUN(relative_times_count_back_from_now);
	RUN(iso_8601_is_read_with_and_without_zone);
	RUN(a_time_of_day_is_the_last_time_it_was_that);
	RUN(today_and_yesterday_are_calendar_days);
	RUN(yesterday_is_right_across_changes_of_clocks_months_and_years);
	RUN(the_epoch_is_counted_in_seconds);
	RUN(a_time_that_was_twice_is_refused_with_both_to_choose_from);
	RUN(a_time_that_never_was_is_refused);
	RUN(nonsense_is_not_a_time);
	RUN(the_message_for_a_bare_duration_says_what_is_missing);
	RUN(a_very_long_text_is_refused_with_one_line);
	RUN(printed_times_are_read_back_exactly);
	RUN(local_times_are_what_local_clocks_show);
	RUN(times_are_printed_with_their_zone);
	return tap_done();
}
