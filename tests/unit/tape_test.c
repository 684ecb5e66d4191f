/*
 * The tape keeps its promises: see tape.h.  `tape_test SEED` replays one seed of the random runs.
 */
#include "tape_model.h"

#include <pthread.h>

/* --- The plain way ------------------------------------------------------------------------ */

static void what_is_appended_is_read_back(void)
{
	struct model model;

	model_init(&model, 1);
	require(model_open(&model) == 0);
	for (int i = 0; i < 300; i++)
		require(model_append(&model) == 0);
	model_compare(&model, true);
	check(model_sync(&model) == 0);
	model_compare(&model, true);
	model_done(&model);
}

static void a_reopened_tape_goes_on_where_it_ended(void)
{
	struct model model;
	uint64_t end;

	model_init(&model, 2);
	for (int round = 0; round < 5; round++) {
		require(model_open(&model) == 0);
		model_compare(&model, true);
		for (int i = 0; i < 50; i++)
			require(model_append(&model) == 0);
		tape_close(take(model.tape));
	}
	require(model_open(&model) == 0);
	end = tape_end(model.tape);
	check(tape_durable(model.tape) == end);
	check(tape_last_time(model.tape) == model.records[model.count - 1].record.time_us);
	tape_close(take(model.tape));
	require(model_open(&model) == 0);
	check(tape_end(model.tape) == end);
	model_compare(&model, true);
	model_done(&model);
}

static void limits_are_kept(void)
{
	struct model model;
	struct iovec iov = {xcalloc(1, TAPE_DATA_MAX + 1), TAPE_DATA_MAX + 1};
	struct tape_record record;

	model_init(&model, 3);
	require(model_open(&model) == 0);
	check(tape_append(model.tape, 1, NULL, 0, &iov, 1, &record) == -E2BIG);
	iov.iov_len = 64 * 1024;
	check(tape_append(model.tape, 1, NULL, 0, &iov, 1, &record) == -E2BIG);
	check(tape_append(model.tape, 1, iov.iov_base, TAPE_META_MAX + 1, NULL, 0, &record) ==
	      -E2BIG);
	check(tape_append(model.tape, 0, NULL, 0, NULL, 0, &record) == -EINVAL);
	check(tape_append(model.tape, 0x8000, NULL, 0, NULL, 0, &record) == -EINVAL);
	for (iov.iov_len = 61200; iov.iov_len > 60000; iov.iov_len -= 8)
		if (tape_append(model.tape, 1, NULL, 0, &iov, 1, &record) == 0)
			break;
	check(iov.iov_len > 61000, "%zu", iov.iov_len);
	for (int i = 0; i < 10; i++)
		check(tape_append(model.tape, 1, NULL, 0, &iov, 1, &record) == 0);
	tape_close(take(model.tape));
	model.options.segment_bytes = 4 << 20;
	model.options.ring_bytes = 0;
	disk_close(model.disk);
	model.disk = disk_memory_new(1);
	require(model_open(&model) == 0);
	iov.iov_len = TAPE_DATA_MAX;
	for (int i = 0; i < 10; i++)
		check(tape_append(model.tape, 1, iov.iov_base, TAPE_META_MAX, &iov, 1, &record) ==
		      0);
	check(tape_read(model.tape, record.lsn, 0, iov.iov_base, TAPE_DATA_MAX, NULL) == 0);
	check(tape_read(model.tape, record.lsn, 1, iov.iov_base, TAPE_DATA_MAX, NULL) == -EINVAL);
	check(tape_read(model.tape, record.end, 0, iov.iov_base, 1, NULL) == -EINVAL);
	free(iov.iov_base);
	model_done(&model);
}

/* --- Random runs -------------------------------------------------------------------------- */

static bool random_read(struct model *model)
{
	const struct model_record *mine;
	uint32_t skip;

	if (model->count == 0)
		return true;
	mine = &model->records[model_roll(model, model->count)];
	skip = model_roll(model, mine->record.data_size + 1);
	return mine->dropped ||
	       model_read(model, mine, skip, model_roll(model, mine->record.data_size - skip + 1));
}

static bool random_find(struct model *model)
{
	int64_t time_us;
	uint64_t found, expected = tape_end(model->tape);

	if (model->count == 0)
		return true;
	time_us = model->records[model_roll(model, model->count)].record.time_us +
		  model_roll(model, 3) - 1;
	for (size_t i = model->count; i > 0; i--)
		if (!model->records[i - 1].dropped &&
		    model->records[i - 1].record.time_us > time_us)
			expected = model->records[i - 1].record.lsn;
	return check(tape_find_time(model->tape, time_us, &found, NULL) == 0 && found == expected,
		     "seed %" PRIu64 ": time %" PRId64, model->seed, time_us);
}

struct chosen {
	struct model *model;
	uint64_t lsn;
};

static int choose_sealed(const struct tape_segment *segment, void *arg)
{
	struct chosen *chosen = arg;

	if (segment->sealed && model_roll(chosen->model, 3) == 0)
		chosen->lsn = segment->lsn;
	return 0;
}

static int random_drop(struct model *model)
{
	struct chosen chosen = {model, UINT64_MAX};
	int r;

	tape_segments(model->tape, choose_sealed, &chosen);
	if (chosen.lsn == UINT64_MAX)
		return 0;
	r = tape_drop(model->tape, chosen.lsn);
	for (size_t i = 0; i < model->count; i++)
		if (model->records[i].record.lsn / model->options.segment_bytes ==
		    chosen.lsn / model->options.segment_bytes)
			model->records[i].dropped = true;
	return r;
}

/* 0, -EIO once the power is gone, or 1 when the model and the tape differ. */
static int random_step(struct model *model)
{
	uint64_t roll = model_roll(model, 100);

	if (roll < 70)
		return model_append(model);
	if (roll < 82)
		return model_sync(model);
	if (roll < 90)
		return !random_read(model);
	if (roll < 92)
		return !random_find(model);
	if (roll < 93)
		return random_drop(model);
	if (roll < 94)
		return !model_compare(model, false) || !model_verify(model);
	if (roll < 96)
		disk_memory_power_cut(model->disk, disk_memory_calls(model->disk) + 1 + roll % 7);
	if (roll < 97)
		return -EIO;
	return 0;
}

static bool random_reopen(struct model *model)
{
	struct disk_space space;
	if (model_roll(model, 2))
		return model_crash(model);
	if (model_sync(model) < 0)
		return model_crash(model);
	tape_close(take(model->tape));
	if (disk_space(model->disk, &space) < 0) /* the power went meanwhile */
		return model_crash(model);
	if (!model_verify(model))
		return false;
	if (model_open(model) < 0)
		return model_crash(model);
	return model_compare(model, false);
}

static bool random_run(uint64_t seed)
{
	struct model model;
	bool good = true;
	int r;

	model_init(&model, seed);
	if (seed % 3 == 0)
		model.options.segment_bytes = 192 * 1024;
	good = check(model_open(&model) == 0);
	for (int step = 0; step < 250 && good; step++) {
		r = random_step(&model);
		if (r == -EIO)
			good = random_reopen(&model);
		else
			good = check(r == 0, "seed %" PRIu64 ": step %d: %d", seed, step, r);
	}
	if (good && model_sync(&model) == 0)
		good = model_compare(&model, true);
	if (!good)
		printf("# replay with: tape_test %" PRIu64 "\n", seed);
	model_done(&model);
	return good;
}

static uint64_t run_count = 300;

static void random_runs_agree_with_the_model(void)
{
	for (uint64_t seed = 1; seed <= run_count; seed++)
		if (!random_run(seed))
			break;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return !random_run(strtoull(argv[1], NULL, 0));
	RUN(what_is_appended_is_read_back);
	RUN(a_reopened_tape_goes_on_where_it_ended);
	RUN(limits_are_kept);
	RUN(random_runs_agree_with_the_model);
	return tap_done();
}
