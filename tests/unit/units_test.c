#include "base/units.h"

#include "base/cleanup.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>

#define S 1000000LL
#define H (3600 * S)
#define D (24 * H)

static int64_t parsed(const char *text)
{
	struct problem why;
	int64_t us = -1;

	return duration_parse(text, &us, &why) < 0 ? -1 : us;
}

static void durations_are_sums_of_numbers_with_units(void)
{
	check(parsed("90s") == 90 * S);
	check(parsed("1h30m") == H + 30 * 60 * S);
	check(parsed("1d12h") == 36 * H);
	check(parsed("72h") == 3 * D);
	check(parsed("2w") == 14 * D);
	check(parsed("1w1d1h1m1s") == 8 * D + H + 61 * S);
	check(parsed("0") == 0);
	check(parsed("0s") == 0);
}

static void durations_may_be_written_in_words_and_with_blanks(void)
{
	check(parsed("10 minutes") == 600 * S);
	check(parsed("1 day 12 hours") == 36 * H);
	check(parsed(" 5  min ") == 300 * S);
	check(parsed("1 Hour 1 SEC") == H + S);
	check(parsed("3 hrs") == 3 * H);
}

static void fractions_are_exact_to_the_microsecond(void)
{
	check(parsed("0.1s") == 100000);
	check(parsed("0.000001s") == 1);
	check(parsed("1.5h") == H + H / 2);
	check(parsed("0.000001h") == 3600);
	check(parsed("0.0000001s") == -1);
}

static void nonsense_is_not_a_duration(void)
{
	static const char *const bad[] = {"",      "s",      "h1",    "10",    "-1s",   "1s-",
					  "1.s",   ".5s",    "1..5s", "1 s x", "1,5s",  "1e3s",
					  "0x10s", "1s ago", "+1s",   "1 2s",  "1d 12", "NaN s",
					  "1y",    "00 ",    "0 0",   "٣s"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check(parsed(bad[i]) == -1, "'%s' is %lld", bad[i], (long long)parsed(bad[i]));
}

static void an_unknown_unit_is_named_and_the_units_are_listed(void)
{
	struct problem why = {""};
	int64_t us = 7;

	check(duration_parse("72x", &us, &why) == -EINVAL);
	check(strstr(why.text, "'x'") && strstr(why.text, "s (seconds)") &&
		      strstr(why.text, "w (weeks)"),
	      "%s", why.text);
	check(!strchr(why.text, '\n'));
	check(us == 7, "a failure changes nothing");
	check(duration_parse("72", &us, &why) == -EINVAL);
	check(strstr(why.text, "missing") && strstr(why.text, "h (hours)"), "%s", why.text);
}

static void too_long_a_duration_is_refused_and_does_not_overflow(void)
{
	check(parsed("1001d") == 1001 * D);
	check(parsed("52000w") == 52000 * 7 * D);
	check(parsed("53000w") == -1);
	check(parsed("365000d365000d") == -1);
	check(parsed("99999999999999999999s") == -1);
	check(parsed("9223372036854775807w") == -1);
	check(parsed("18446744073709551617s") == -1);
}

/* Goal: what is printed is read back as the same.  Method: random durations of every size. */
static void a_formatted_duration_is_read_back_exactly(void)
{
	char text[UNITS_TEXT_MAX];

	srand(1);
	for (int i = 0; i < 100000; i++) {
		int64_t us = (((int64_t)rand() << 31) | rand()) >> (rand() % 62);

		us %= DURATION_MAX_US;
		if (i % 3 == 0)
			us = us / S * S;
		duration_format(us, text);
		require(parsed(text) == us, "%lld is '%s' is %lld", (long long)us, text,
			(long long)parsed(text));
	}
}

#define CHECK_TEXT(call, want)                                              \
	do {                                                                \
		char text_[UNITS_TEXT_MAX];                                 \
		call;                                                       \
		check(!strcmp(text_, want), "'%s', not '%s'", text_, want); \
	} while (0)

static void formatted_durations_are_short(void)
{
	CHECK_TEXT(duration_format(0, text_), "0s");
	CHECK_TEXT(duration_format(36 * H, text_), "1d12h");
	CHECK_TEXT(duration_format(3 * D, text_), "3d");
	CHECK_TEXT(duration_format(14 * D, text_), "14d");
	CHECK_TEXT(duration_format(250000, text_), "0.25s");
	CHECK_TEXT(duration_format(90 * S, text_), "1m30s");
	CHECK_TEXT(duration_format(-90 * S, text_), "-1m30s");
	CHECK_TEXT(duration_format(60 * S + 1, text_), "1m0.000001s");
}

static void elapsed_times_show_what_counts(void)
{
	CHECK_TEXT(elapsed_format(0, text_), "0 us");
	CHECK_TEXT(elapsed_format(999, text_), "999 us");
	CHECK_TEXT(elapsed_format(1499, text_), "1 ms");
	CHECK_TEXT(elapsed_format(999499, text_), "999 ms");
	CHECK_TEXT(elapsed_format(999500, text_), "1.00 s");
	CHECK_TEXT(elapsed_format(4213000, text_), "4.21 s");
	CHECK_TEXT(elapsed_format(9995000, text_), "10.0 s");
	CHECK_TEXT(elapsed_format(59949999, text_), "59.9 s");
	CHECK_TEXT(elapsed_format(59950000, text_), "1 min 00 s");
	CHECK_TEXT(elapsed_format(125 * S, text_), "2 min 05 s");
	CHECK_TEXT(elapsed_format(3599 * S + 500000, text_), "1 h 00 min");
	CHECK_TEXT(elapsed_format(3 * H + 7 * 60 * S, text_), "3 h 07 min");
	CHECK_TEXT(elapsed_format(86399 * S, text_), "23 h 59 min");
	CHECK_TEXT(elapsed_format(D, text_), "1 d 0 h");
	CHECK_TEXT(elapsed_format(52 * H, text_), "2 d 4 h");
	CHECK_TEXT(elapsed_format(-2 * S, text_), "-2.00 s");
	CHECK_TEXT(elapsed_format(INT64_MIN, text_), "-106751991 d 4 h");
}

static void sizes_have_three_digits_that_count(void)
{
	CHECK_TEXT(bytes_format(0, text_), "0 B");
	CHECK_TEXT(bytes_format(812, text_), "812 B");
	CHECK_TEXT(bytes_format(999, text_), "999 B");
	CHECK_TEXT(bytes_format(1000, text_), "0.98 KiB");
	CHECK_TEXT(bytes_format(4096, text_), "4.00 KiB");
	CHECK_TEXT(bytes_format(64.0 * 1024 * 1024, text_), "64.0 MiB");
	CHECK_TEXT(bytes_format(10 * 1024, text_), "10.0 KiB");
	CHECK_TEXT(bytes_format(99.95 * 1024, text_), "100 KiB");
	CHECK_TEXT(bytes_format(100.0 * 1024 * 1024, text_), "100 MiB");
	CHECK_TEXT(bytes_format(999.5 * 1024, text_), "0.98 MiB");
	CHECK_TEXT(bytes_format(1.25 * 1024 * 1024 * 1024, text_), "1.25 GiB");
	CHECK_TEXT(bytes_format(-2048, text_), "-2.00 KiB");
	CHECK_TEXT(bytes_format(-0.2, text_), "0 B");
	CHECK_TEXT(bytes_format(18446744073709551615.0, text_), "16.0 EiB");
}

static void counts_are_grouped_by_three(void)
{
	CHECK_TEXT(count_format(0, text_), "0");
	CHECK_TEXT(count_format(999, text_), "999");
	CHECK_TEXT(count_format(1000, text_), "1,000");
	CHECK_TEXT(count_format(1234567, text_), "1,234,567");
	CHECK_TEXT(count_format(UINT64_MAX, text_), "18,446,744,073,709,551,615");
	CHECK_TEXT(things_format(0, "row", text_), "0 rows");
	CHECK_TEXT(things_format(1, "row", text_), "1 row");
	CHECK_TEXT(things_format(2857, "row", text_), "2,857 rows");
}

static void sizes_are_read_with_binary_and_decimal_units(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"20G", UINT64_C(20) << 30},
		{"20g", UINT64_C(20) << 30},
		{"1.5 TiB", UINT64_C(3) << 39},
		{"500MB", 500000000},
		{"1kb", 1000},
		{"2PiB", UINT64_C(2) << 50},
		{"7 B", 7},
	};
	static const char *const bad[] = {"",       "G",    "-1G", "20X", "20GiBB", "1e400",
					  "20 G B", "0x10", "nan", "inf", "9000P",  "1.G.2"};
	struct problem why;
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check(bytes_parse(good[i].text, &bytes, &why) == 0 && bytes == good[i].bytes,
		      "%s: %llu", good[i].text, (unsigned long long)bytes);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(bytes_parse(bad[i], &bytes, &why) == -EINVAL && why.text[0], "'%s'", bad[i]);
}

int main(void)
{
	RUN(durations_are_sums_of_numbers_with_units);
	RUN(durations_may_be_written_in_words_and_with_blanks);
	RUN(fractions_are_exact_to_the_microsecond);
	RUN(nonsense_is_not_a_duration);
	RUN(an_unknown_unit_is_named_and_the_units_are_listed);
	RUN(too_long_a_duration_is_refused_and_does_not_overflow);
	RUN(a_formatted_duration_is_read_back_exactly);
	RUN(formatted_durations_are_short);
	RUN(elapsed_times_show_what_counts);
	RUN(sizes_have_three_digits_that_count);
	RUN(counts_are_grouped_by_three);
	RUN(sizes_are_read_with_binary_and_decimal_units);
	return tap_done();
}
