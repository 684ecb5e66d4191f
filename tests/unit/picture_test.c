/* Whole pictures are looked at in tests/cli/; here are the edges. */
#include "cmd/picture.h"

#include "tap.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define S 1000000LL
#define H (3600 * S)
#define DAY (24 * H)
#define NOW (1795341600 * S) /* 2026-11-22T10:00:00Z, 11:00 in Berlin */

static void live_in(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void a_step_is_round_and_its_lines_are_not_too_many(void)
{
	check(picture_step(3600 * S, 40) == 120 * S);
	check(picture_step(40 * S, 40) == S);
	check(picture_step(40 * S + 1, 40) == 2 * S);
	check(picture_step(4 * S, 40) == S / 10);
	check(picture_step(1, 40) == S / 10);
	check(picture_step(40 * 604800 * S, 40) == 604800 * S);
	check(picture_step(40 * 604800 * S + 1, 40) == 2 * 604800 * S);
	for (int64_t span = 1; span < 1000 * 366 * DAY; span = span * 3 / 2 + 1)
		check(span <= picture_step(span, 40) * 40, "%lld", (long long)span);
}

static void steps_begin_where_local_clocks_are_round(void)
{
	live_in("Europe/Berlin");
	check(picture_align(NOW + 7, S, false) == NOW);
	check(picture_align(NOW, DAY, false) == NOW - 11 * H);
	check(picture_align(NOW, DAY, true) == NOW - 10 * H);
	live_in("Asia/Kathmandu"); /* +05:45: it is 15:45 */
	check(picture_align(NOW, H, false) == NOW - 45 * 60 * S);
	check(picture_align(NOW, H, true) == NOW);
}

static void fine_steps_divide_a_line_and_are_not_too_many(void)
{
	check(picture_fine(60 * S, S) == S / 16);
	check(picture_fine(4000 * S, S) == S);
	check(picture_fine(2000 * S, S) == S / 2);
	check(picture_fine(2001 * S, S) == S);
	check(picture_fine(10010, 1001) == 1001, "an odd step cannot be halved");
	check(picture_fine(10060, 1006) == 503);
}

/* The picture of [NOW, NOW + span) at one line per second, in UTC, plain; `steps` is [[second,
 * records], ...]. */
static char *drawn(double span, json_t *steps, json_t *marks, double horizon)
{
	const struct picture_options options = {
		.name = "shop",
		.since_us = NOW,
		.until_us = NOW + (int64_t)(span * S),
		.step_us = S,
		.fine_us = S / 4,
		.utc = true,
		.columns = 80,
	};
	json_t *all = json_array(), *moments, *step;
	char *text = NULL;
	size_t i, size;
	FILE *out = open_memstream(&text, &size);

	json_array_foreach (steps, i, step) {
		double second = json_number_value(json_array_get(step, 0));
		json_int_t records = json_integer_value(json_array_get(step, 1));

		json_array_append_new(all, json_pack("[I, I, I]", (json_int_t)(NOW + second * S),
						     records, records * 100));
	}
	json_decref(steps);
	moments = json_pack("{s:o, s:o, s:[], s:{s:i, s:I}, s:{s:i, s:I}}", "steps", all, "marks",
			    marks, "backtracks", "horizon", "lsn", 1, "time_us",
			    (json_int_t)(NOW + horizon * S), "now", "lsn", 1000, "time_us",
			    (json_int_t)(NOW + span * S));
	picture_draw(&options, moments, out);
	json_decref(moments);
	fclose(out);
	assert(text);
	return text;
}

/* For messages: a compiler that looks for NULL with the sanitizers sees one here that never comes.
 */
static const char *shown(const char *text)
{
	return text ? text : "";
}

static json_t *mark(const char *name, int lsn, double second)
{
	return json_pack("{s:s, s:{s:i, s:I}, s:b}", "name", name, "moment", "lsn", lsn, "time_us",
			 (json_int_t)(NOW + second * S), "reachable", 1);
}

static void the_last_line_may_be_shorter_than_a_step(void)
{
	char *text = drawn(2.5, json_pack("[[f, i], [f, i]]", 0.0, 3, 2.25, 7), json_array(), -9);

	check(strstr(text, "10:00:00  ") && strstr(text, "\n10:00:02  ####"), "%s", shown(text));
	check(strstr(text, " 7  ") && !strstr(text, "10:00:03"), "%s", shown(text));
	free(text);
}

static void steps_outside_the_picture_are_left_out(void)
{
	char *text = drawn(2, json_pack("[[f, i], [f, i], [f, i]]", -0.25, 5, 1.0, 1, 2.0, 9),
			   json_array(), -9);

	check(strstr(text, "the longest bar is 1\n"), "%s", shown(text));
	free(text);
}

static void marks_stand_after_the_line_that_they_are_in_and_outside_not_at_all(void)
{
	json_t *marks = json_array();
	const char *first, *last, *line;
	char *text;

	json_array_append_new(marks, mark("too-early", 2, -0.001));
	json_array_append_new(marks, mark("first", 3, 0));
	json_array_append_new(marks, mark("last", 9, 1.999999));
	json_array_append_new(marks, mark("too-late", 10, 2));
	text = drawn(2, json_pack("[[f, i], [f, i]]", 0.0, 1, 1.0, 1), marks, -9);
	first = strstr(text, "10:00:00.000  mark first");
	line = strstr(text, "\n10:00:01  ");
	last = strstr(text, "10:00:01.999  mark last");
	check(first && line && last && first < line && line < last, "%s", shown(text));
	check(!strstr(text, "too-"), "%s", shown(text));
	free(text);
}

static void a_small_picture_is_exactly_this(void)
{
	static const char want[] =
		"shop: 2026-11-22 10:00:00Z to 2026-11-22 10:00:05Z\n"
		"change records and bytes per 1s; the longest bar is 40\n"
		"\n"
		"10:00:00  .\n"
		"          = 10:00:00.999  horizon: nothing earlier can be reached\n"
		"10:00:01  ##########################################            40    3.91 KiB\n"
		"10:00:02  ###########                                           10    0.98 KiB\n"
		"10:00:03  .\n"
		"10:00:04  #                                                      1       100 B\n";
	char *text = drawn(5, json_pack("[[f, i], [f, i], [f, i]]", 1.0, 40, 2.0, 10, 4.75, 1),
			   json_array(), 0.999999);

	check(!strcmp(text, want), "%s", shown(text));
	free(text);
}

static void a_long_mark_is_cut_between_characters(void)
{
	char name[129] = "", *text;
	const char *end;

	for (int i = 0; i < 64; i++)
		strcat(name, "\xC3\xBC");
	text = drawn(2, json_pack("[[f, i]]", 1.0, 1), json_pack("[o]", mark(name, 3, 1.5)), -9);
	end = strstr(text, "mark \xC3\xBC");
	require(end, "%s", shown(text));
	end = strchr(end, '\n');
	check((unsigned char)end[-1] == 0xBC && (unsigned char)end[-2] == 0xC3, "%s", shown(text));
	free(text);
}

static void of_many_marks_in_a_row_the_first_and_the_last_are_shown(void)
{
	json_t *marks = json_array();
	char name[16], *text;

	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof name, "m%d", i);
		json_array_append_new(marks, mark(name, i + 2, (i < 4 ? 0 : 1) + i * 0.01));
	}
	text = drawn(2, json_pack("[[f, i], [f, i]]", 0.0, 1, 1.0, 1), marks, -9);
	check(strstr(text, "mark m0\n") && strstr(text, "mark m1\n") && strstr(text, "mark m3\n"),
	      "four are all shown: %s", shown(text));
	check(strstr(text, "mark m4\n          ... and 3 more, to\n"), "%s", shown(text));
	check(strstr(text, "to\n          * 10:00:01.080  mark m8\n"), "%s", shown(text));
	free(text);
}

static void two_empty_lines_stay_and_three_become_one(void)
{
	char *text = drawn(6, json_pack("[[f, i], [f, i]]", 2.0, 1, 5.75, 1), json_array(), -9);

	check(strstr(text, "10:00:00  .\n10:00:01  .\n10:00:02  #"), "%s", shown(text));
	free(text);
	text = drawn(6, json_pack("[[f, i], [f, i]]", 1.0, 1, 5.75, 1), json_array(), -9);
	check(strstr(text, "... nothing for 3s\n10:00:05"), "%s", shown(text));
	free(text);
}

static void what_lies_before_the_horizon_is_no_longer_kept(void)
{
	char *text = drawn(10, json_pack("[[f, i], [f, i]]", 4.0, 5, 8.0, 5), json_array(), 6.5);

	check(strstr(text, "... no longer kept: 4s\n10:00:04  ____"), "%s", shown(text));
	check(strstr(text, "= 10:00:06.500  horizon") && strstr(text, "\n10:00:08  ####"), "%s",
	      text);
	check(strstr(text, "\n_  before the horizon"), "%s", shown(text));
	free(text);
	text = drawn(10, json_pack("[[f, i]]", 4.75, 5), json_array(), 5);
	check(strstr(text, "no longer kept: 4s\n10:00:04  ____"), "%s", shown(text));
	free(text);
}

static void a_picture_of_nothing_says_so(void)
{
	char *text = drawn(10, json_array(), json_array(), -9);

	check(strstr(text, "no changes in that time") && strstr(text, "... nothing for 10s"), "%s",
	      text);
	free(text);
}

int main(void)
{
	RUN(a_step_is_round_and_its_lines_are_not_too_many);
	RUN(steps_begin_where_local_clocks_are_round);
	RUN(fine_steps_divide_a_line_and_are_not_too_many);
	RUN(the_last_line_may_be_shorter_than_a_step);
	RUN(steps_outside_the_picture_are_left_out);
	RUN(marks_stand_after_the_line_that_they_are_in_and_outside_not_at_all);
	RUN(a_small_picture_is_exactly_this);
	RUN(a_long_mark_is_cut_between_characters);
	RUN(of_many_marks_in_a_row_the_first_and_the_last_are_shown);
	RUN(two_empty_lines_stay_and_three_become_one);
	RUN(what_lies_before_the_horizon_is_no_longer_kept);
	RUN(a_picture_of_nothing_says_so);
	return tap_done();
}
