/*
 * Goal: whatever call fails and whenever the power goes, everything acknowledged is there
 * afterwards, in order, and nothing damaged is returned. Method: one fixed run over several
 * segments, with syncs, a clean reopening, packs and drops.  For n = 1, 2,
 * ... until n is beyond the run: cut the power at disk call n and look at several possible rests;
 * let call n fail once, and for good, and look at the same disk and at rests.
 */
#include "tape_model.h"

#define RESTS 8
#define RESTS_BRIEF 2

static int drop_first(const struct tape_segment *segment, void *arg)
{
	*(uint64_t *)arg = segment->lsn;
	return segment->sealed ? 1 : -1;
}

static int run_drop(struct model *model)
{
	uint64_t lsn;
	int r;

	if (tape_segments(model->tape, drop_first, &lsn) != 1)
		return 0;
	r = tape_drop(model->tape, lsn);
	for (size_t i = 0; i < model->count; i++)
		if (model->records[i].record.lsn - lsn < model->options.segment_bytes)
			model->records[i].dropped = true;
	return r;
}

/* What the tape says while calls fail: appended or not, acknowledged or not. */
static int run_part(struct model *model, int appends)
{
	int r, first = 0;

	for (int i = 0; i < appends; i++) {
		r = model_append(model);
		first = first ? first : r;
		if (i % 5 == 4) {
			r = model_sync(model);
			first = first ? first : r;
		}
		if (i % 60 == 30) {
			r = model_pack(model);
			first = first ? first : r;
		}
		if (i % 60 == 59) {
			r = run_drop(model);
			first = first ? first : r;
		}
	}
	return first;
}

/* 0, or the first error met; the run goes on after it as far as it can. */
static int run(struct model *model)
{
	int r, first = 0;

	for (int part = 0; part < 3; part++) {
		r = model_open(model);
		if (r < 0)
			return first ? first : r;
		if (!model_adopt(model))
			return -EBADMSG;
		r = run_part(model, 90);
		first = first ? first : r;
		if (part == 1) {
			tape_close(take(model->tape));
			/* A close syncs, but nobody was told. */
		} else if (part == 0) {
			r = model_sync(model);
			first = first ? first : r;
			tape_close(take(model->tape));
		}
	}
	return first;
}

static void start(struct model *model)
{
	model_init(model, 77);
	model->data_max = 3000;
}

static uint64_t calls_of_a_run(void)
{
	struct model model;
	uint64_t calls;

	start(&model);
	check(run(&model) == 0);
	check(model.count > 200);
	calls = disk_memory_calls(model.disk);
	model_done(&model);
	return calls;
}

/* Each of several rests has what was acknowledged, and can be written on. */
static bool rests_are_good(struct model *model, uint64_t n)
{
	uint64_t rests = tap_is_brief() ? RESTS_BRIEF : RESTS;
	bool good = true;

	for (uint64_t seed = 0; seed < rests && good; seed++) {
		struct model rest = *model;

		rest.tape = NULL;
		rest.options.clock_arg = &rest;
		rest.records = xcalloc(model->count, sizeof *model->records);
		rest.room = model->count;
		if (model->count)
			memcpy(rest.records, model->records, model->count * sizeof *model->records);
		rest.disk = disk_memory_power_on(model->disk, n * 1000 + seed);
		good = check(model_open(&rest) == 0, "call %" PRIu64 ", rest %" PRIu64, n, seed) &&
		       model_adopt(&rest) && model_compare(&rest, true) && model_verify(&rest);
		for (int i = 0; i < 3 && good; i++)
			good = check(model_append(&rest) == 0 && model_sync(&rest) == 0);
		good = good && model_compare(&rest, true) && model_crash(&rest);
		check(good, "call %" PRIu64 ", rest %" PRIu64, n, seed);
		model_done(&rest);
	}
	return good;
}

static void no_power_cut_loses_an_acknowledged_record(void)
{
	uint64_t calls = calls_of_a_run();
	bool good = true;

	for (uint64_t n = 1; n <= calls && good; n++) {
		struct model model;

		start(&model);
		disk_memory_power_cut(model.disk, n);
		run(&model);
		tape_close(take(model.tape));
		good = rests_are_good(&model, n);
		model_done(&model);
	}
}

/* --- Bulk through the page cache ---------------------------------------------------------- */

static int run_bulk(struct model *model)
{
	int r = model_open(model);

	for (int i = 0; i < 1200 && r == 0; i++) {
		r = model_append(model);
		if (r == 0 && i % 400 == 399)
			r = model_sync(model);
	}
	return r;
}

static void start_bulk(struct model *model)
{
	model_init(model, 78);
	model->data_max = 3000;
	model->options.segment_bytes = model->options.ring_bytes = 1024 * 1024;
	model->options.bulk_cached = true;
}

static void no_power_cut_loses_an_acknowledged_record_that_went_through_the_page_cache(void)
{
	struct model model;
	uint64_t calls, n = 0;
	bool good;

	start_bulk(&model);
	require(run_bulk(&model) == 0);
	calls = disk_memory_calls(model.disk);
	require(model.records[399].record.end > 256 * 1024);
	do {
		model_done(&model);
		start_bulk(&model);
		disk_memory_power_cut(model.disk, ++n);
		(void)run_bulk(&model);
		tape_close(take(model.tape));
		good = rests_are_good(&model, n);
	} while (good && n < calls);
	model_done(&model);
}

/* --- Calls that fail ---------------------------------------------------------------------- */

static bool failure_is_survived(uint64_t n, bool forever)
{
	struct model model;
	bool good;

	start(&model);
	disk_memory_fail(model.disk, n, forever);
	run(&model);
	tape_close(take(model.tape));
	disk_memory_fail(model.disk, 0, false);
	good = rests_are_good(&model, n);
	good = good && check(model_open(&model) == 0, "call %" PRIu64, n) && model_adopt(&model) &&
	       model_compare(&model, true) && model_verify(&model);
	/* What the reopened tape shows is durable, even where the failed call left it only in a
	 * cache. */
	good = good && rests_are_good(&model, n);
	check(good, "call %" PRIu64 " fails %s", n, forever ? "for good" : "once");
	model_done(&model);
	return good;
}

static void no_single_failure_loses_an_acknowledged_record(void)
{
	uint64_t calls = calls_of_a_run();

	for (uint64_t n = 1; n <= calls; n++)
		if (!failure_is_survived(n, false))
			break;
}

static void no_lasting_failure_loses_an_acknowledged_record(void)
{
	uint64_t calls = calls_of_a_run();

	for (uint64_t n = 1; n <= calls; n++)
		if (!failure_is_survived(n, true))
			break;
}

static void a_failed_flush_is_final(void)
{
	struct model model;

	start(&model);
	require(model_open(&model) == 0 && model_append(&model) == 0 && model_sync(&model) == 0);
	require(model_append(&model) == 0);
	disk_memory_fail(model.disk, disk_memory_calls(model.disk) + 1, false);
	check(model_sync(&model) == -EIO);
	check(tape_broken(model.tape) == -EIO);
	check(model_sync(&model) == -EIO && model_append(&model) == -EIO);
	/* What is there is still read. */
	model_compare(&model, true);
	tape_close(take(model.tape));
	require(model_open(&model) == 0);
	check(tape_broken(model.tape) == 0);
	model_adopt(&model);
	model_compare(&model, true);
	model_done(&model);
}

static void a_failed_preparation_is_not_final(void)
{
	struct model model;
	int failed = 0;

	start(&model);
	require(model_open(&model) == 0);
	disk_memory_fail(model.disk, disk_memory_calls(model.disk) + 3, false);
	for (int i = 0; i < 100; i++)
		failed += model_append(&model) < 0;
	check(failed == 1, "%d", failed);
	check(tape_broken(model.tape) == 0 && model_sync(&model) == 0);
	model_compare(&model, true);
	model_done(&model);
}

int main(void)
{
	RUN(a_failed_flush_is_final);
	RUN(a_failed_preparation_is_not_final);
	RUN(no_power_cut_loses_an_acknowledged_record);
	RUN(no_power_cut_loses_an_acknowledged_record_that_went_through_the_page_cache);
	RUN(no_single_failure_loses_an_acknowledged_record);
	RUN(no_lasting_failure_loses_an_acknowledged_record);
	return tap_done();
}
