/* Moments: finding, naming, and going to them. */
#include "volume_bed.h"

#define WINDOW (100 * SECOND)

static void a_backtrack_goes_back_and_forward_again(void)
{
	struct moment before, after;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed_say(&bed, "f", "good");
	before = bed_now(&bed);
	bed_say(&bed, "f", "oops");
	after = bed_now(&bed);
	check(bed_back(&bed, before) == 0, "%s", bed.why.text);
	check(bed_head_says(&bed, "f", "good"));
	check(bed_back(&bed, after) == 0, "%s", bed.why.text);
	check(bed_head_says(&bed, "f", "oops"));
	check(bed_back(&bed, before) == 0 && bed_head_says(&bed, "f", "good"));
	bed_done(&bed);
}

static void a_moment_by_time_holds_everything_up_to_that_time_and_nothing_later(void)
{
	struct moment found;
	int64_t first, second;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed_say(&bed, "f", "one");
	first = bed_now(&bed).time_us;
	bed.now_us += SECOND;
	bed_say(&bed, "f", "two");
	second = bed_now(&bed).time_us;
	bed.now_us += SECOND;
	check(volume_moment_at_time(bed.volume, first, &found, &bed.why) == 0 &&
	      found.time_us == first);
	check(bed_back(&bed, found) == 0 && bed_head_says(&bed, "f", "one"));
	check(volume_moment_at_time(bed.volume, second - 1, &found, &bed.why) == 0 &&
	      found.time_us == first);
	check(bed_back(&bed, found) == 0 && bed_head_says(&bed, "f", "one"));
	check(volume_moment_at_time(bed.volume, second, &found, &bed.why) == 0 &&
	      found.time_us == second);
	check(bed_back(&bed, found) == 0 && bed_head_says(&bed, "f", "two"));
	bed_done(&bed);
}

static void moments_before_the_horizon_and_in_the_future_are_refused_with_a_reason(void)
{
	struct moment found, horizon;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	volume_horizon(bed.volume, &horizon);
	check(volume_moment_at_time(bed.volume, horizon.time_us - 1, &found, &bed.why) == -ERANGE);
	check(strstr(bed.why.text, "earliest"), "%s", bed.why.text);
	check(volume_moment_at_time(bed.volume, bed.now_us + SECOND, &found, &bed.why) == -ERANGE);
	check(strstr(bed.why.text, "future"), "%s", bed.why.text);
	check(volume_moment_at_lsn(bed.volume, bed_now(&bed).lsn + 1, &found, &bed.why) == -ERANGE);
	check(volume_moment_at_lsn(bed.volume, bed_now(&bed).lsn, &found, &bed.why) == 0);
	bed_done(&bed);
}

static void marks_survive_backtracks_and_crashes_and_are_unique_while_reachable(void)
{
	struct moment mark, found;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed_say(&bed, "f", "one");
	check(volume_mark(bed.volume, "clean", &mark, &bed.why) == 0, "%s", bed.why.text);
	check(volume_mark(bed.volume, "clean", &found, &bed.why) == -EEXIST);
	bed_say(&bed, "f", "two");
	check(bed_back(&bed, (struct moment){100, 0}) == 0);
	check(volume_find_mark(bed.volume, "clean", &found, &bed.why) == 0 &&
	      found.lsn == mark.lsn);
	check(bed_power_cut(&bed, 3) == 0, "%s", bed.why.text);
	check(volume_find_mark(bed.volume, "clean", &found, &bed.why) == 0 &&
	      found.lsn == mark.lsn);
	check(bed_back(&bed, found) == 0 && bed_head_says(&bed, "f", "one"));
	check(volume_find_mark(bed.volume, "dirty", &found, &bed.why) == -ENOENT);
	check(strstr(bed.why.text, "clean"), "%s", bed.why.text);
	check(volume_mark(bed.volume, "", &found, &bed.why) == -EINVAL);
	check(volume_mark(bed.volume, "a\nb", &found, &bed.why) == -EINVAL);
	bed_done(&bed);
}

static int take_backtrack(const struct volume_backtrack *backtrack, void *arg)
{
	*(struct volume_backtrack *)arg = *backtrack;
	return 0;
}

static void a_backtrack_is_remembered_with_what_it_did_and_how_long_it_took(void)
{
	struct volume_backtrack done, found = {0};
	struct moment before;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed_say(&bed, "f", "one");
	before = bed_now(&bed);
	bed_say(&bed, "f", "two");
	bed_say(&bed, "f", "three");
	check(volume_backtrack(bed.volume, &before,
			       &(struct volume_backtrack_options){.asked_time_us = 77}, &done,
			       &bed.why) == 0);
	check(volume_backtrack_took(bed.volume, done.number, 1, 2, 3) == 0);
	check(bed_power_cut(&bed, 1) == 0);
	volume_for_each_backtrack(bed.volume, take_backtrack, &found);
	check(found.number == done.number && found.records == 2 && found.asked_time_us == 77);
	check(found.reached.lsn == before.lsn && found.finished);
	check(found.kill_us == 1 && found.rewind_us == 2 && found.start_us == 3);
	bed_done(&bed);
}

static bool refuse(uint64_t done, uint64_t total, void *arg)
{
	return false;
}

static void a_cancelled_backtrack_changes_nothing(void)
{
	struct volume_backtrack_options options = {.progress = refuse};
	struct volume_backtrack done;
	struct moment to, before;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	for (int i = 0; i < 5000; i++)
		bed_say(&bed, "f", "many");
	to = bed_now(&bed);
	bed_say(&bed, "f", "last");
	before = bed_now(&bed);
	check(volume_backtrack(bed.volume, &to, &options, &done, &bed.why) == -ECANCELED);
	check(bed_now(&bed).lsn == before.lsn && bed_head_says(&bed, "f", "last"));
	bed_done(&bed);
}

static void a_checkpoint_bounds_what_is_replayed(void)
{
	struct volume_stats stats;
	struct volume_plan plan;
	struct moment middle;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed_fill(&bed, "f", 500);
	check(volume_checkpoint(bed.volume) == 0);
	bed_fill(&bed, "f", 10);
	middle = bed_now(&bed);
	bed_fill(&bed, "f", 300);
	check(volume_plan_backtrack(bed.volume, &middle, &plan, &bed.why) == 0);
	check(plan.records == 300 && plan.replay_records == 10, "%llu %llu",
	      (unsigned long long)plan.records, (unsigned long long)plan.replay_records);
	check(volume_sync(bed.volume) == 0);
	check(bed_power_cut(&bed, 5) == 0);
	volume_get_stats(bed.volume, &stats);
	check(stats.replayed_records == 310, "%llu", (unsigned long long)stats.replayed_records);
	bed_done(&bed);
}

static void a_view_stays_while_the_head_moves_on_and_holds_the_horizon(void)
{
	struct view *view = NULL;
	struct moment then, horizon, found;
	struct bed bed;

	require(bed_init(&bed, 10 * SECOND));
	bed_say(&bed, "f", "then");
	then = bed_now(&bed);
	require(volume_view(bed.volume, &then, &view, &bed.why) == 0, "%s", bed.why.text);
	for (int i = 0; i < 5; i++) {
		bed_fill(&bed, "f", 64);
		bed.now_us += 20 * SECOND;
		check(bed_maintain(&bed) == 0);
	}
	bed_say(&bed, "f", "now!");
	check(bed_says(view, "f", "then"));
	check(bed_head_says(&bed, "f", "now!"));
	volume_horizon(bed.volume, &horizon);
	check(horizon.lsn == then.lsn);
	check(volume_moment_at_lsn(bed.volume, then.lsn, &found, &bed.why) == 0, "%s",
	      bed.why.text);
	view_close(view);
	volume_horizon(bed.volume, &horizon);
	check(horizon.lsn > then.lsn);
	check(bed_maintain(&bed) == 0);
	check(volume_view(bed.volume, &then, &view, &bed.why) == -ERANGE);
	bed_done(&bed);
}

static int sum_records(const struct volume_step *step, void *arg)
{
	uint64_t *records = arg;

	records[0] += step->records;
	records[1]++;
	return 0;
}

static void history_counts_every_change_in_its_step(void)
{
	uint64_t found[2] = {0};
	int64_t since;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed.now_us += SECOND;
	since = bed.now_us;
	bed_fill(&bed, "f", 40); /* and one record for the creation */
	bed.now_us = since + 5 * SECOND;
	check(volume_history(bed.volume, since, since + 5 * SECOND - 1, SECOND, sum_records,
			     found) == 0);
	check(found[0] == 41 && found[1] == 5, "%llu in %llu", (unsigned long long)found[0],
	      (unsigned long long)found[1]);
	check(volume_history(bed.volume, 0, since, 1, sum_records, found) == -E2BIG);
	bed_done(&bed);
}

static void an_open_file_lives_on_without_its_name_and_is_gone_after_a_crash(void)
{
	struct volume_attr attr;
	char found[5] = "";
	uint64_t ino;
	struct bed bed;

	require(bed_init(&bed, WINDOW));
	bed_say(&bed, "f", "open");
	ino = bed_ino(volume_head(bed.volume), "f");
	volume_ref(bed.volume, ino, 1);
	check(volume_unlink(bed.volume, VOLUME_ROOT_INO, "f") == 0);
	check(view_read(volume_head(bed.volume), ino, 0, found, 4) == 4 &&
	      strcmp(found, "open") == 0);
	volume_ref(bed.volume, ino, 1);
	volume_unref(bed.volume, ino, 1);
	check(view_getattr(volume_head(bed.volume), ino, &attr) == 0 && attr.nlink == 0);
	volume_unref(bed.volume, ino, 1);
	check(view_getattr(volume_head(bed.volume), ino, &attr) == -ESTALE);

	bed_say(&bed, "g", "open");
	ino = bed_ino(volume_head(bed.volume), "g");
	volume_ref(bed.volume, ino, 1);
	volume_unlink(bed.volume, VOLUME_ROOT_INO, "g");
	check(volume_sync(bed.volume) == 0);
	check(bed_power_cut(&bed, 2) == 0);
	check(view_getattr(volume_head(bed.volume), ino, &attr) == -ESTALE);
	bed_done(&bed);
}

int main(void)
{
	RUN(a_backtrack_goes_back_and_forward_again);
	RUN(a_moment_by_time_holds_everything_up_to_that_time_and_nothing_later);
	RUN(moments_before_the_horizon_and_in_the_future_are_refused_with_a_reason);
	RUN(marks_survive_backtracks_and_crashes_and_are_unique_while_reachable);
	RUN(a_backtrack_is_remembered_with_what_it_did_and_how_long_it_took);
	RUN(a_cancelled_backtrack_changes_nothing);
	RUN(a_checkpoint_bounds_what_is_replayed);
	RUN(a_view_stays_while_the_head_moves_on_and_holds_the_horizon);
	RUN(history_counts_every_change_in_its_step);
	RUN(an_open_file_lives_on_without_its_name_and_is_gone_after_a_crash);
	return tap_done();
}
