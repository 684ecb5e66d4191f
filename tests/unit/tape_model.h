/*
 * Tape model: what a tape should hold, kept in an array, and the comparison of a tape with it.
 *
 * The content of record number i follows from i and the model's seed, so the model keeps only
 * places and times.
 */
#pragma once

#include "base/alloc.h"
#include "disk/disk.h"
#include "tap.h"
#include "tape/tape.h"

#include <errno.h>
#include <inttypes.h>

static inline uint64_t model_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

struct model_record {
	struct tape_record record; /* as tape_append() returned it */
	uint64_t number;           /* what its content follows from */
	bool dropped;
};

struct model {
	uint64_t seed;
	uint64_t random;
	uint64_t numbers; /* given out, of lost records too */
	struct model_record *records;
	size_t count, room;
	enum tape_room room_kind; /* of what is appended */
	size_t acked;             /* so many must survive */
	int64_t now_us;
	uint32_t data_max;
	struct tape_options options;
	struct disk *disk;
	struct tape *tape;
};

static inline uint64_t model_roll(struct model *model, uint64_t sides)
{
	return model_random(&model->random) % sides;
}

/* Runs on, jumps, and now and then goes back. */
static inline int64_t model_clock(void *arg)
{
	struct model *model = arg;
	uint64_t roll = model_roll(model, 16);

	model->now_us += roll == 0 ? -5000 : roll == 1 ? 1000000 : roll < 6 ? 0 : (int64_t)roll;
	return model->now_us;
}

static inline void model_init(struct model *model, uint64_t seed)
{
	*model = (struct model){
		.seed = seed,
		.random = seed,
		.now_us = 1000000000,
		.data_max = 9000,
		.options = {.uuid = "model-of-a-tape",
			    .segment_bytes = 64 * 1024,
			    .ring_bytes = 64 * 1024,
			    .clock = model_clock,
			    .clock_arg = model},
	};
	model->disk = disk_memory_new(seed);
}

static inline void model_done(struct model *model)
{
	tape_close(model->tape);
	disk_close(model->disk);
	free(model->records);
}

static inline uint32_t model_meta_size(const struct model *model, uint64_t number)
{
	uint64_t state = model->seed ^ number * 31;
	uint64_t roll = model_random(&state);

	return roll % 16 == 0 ? roll / 16 % 3000 : roll / 16 % 60;
}

static inline uint32_t model_data_size(const struct model *model, uint64_t number)
{
	uint64_t state = model->seed ^ number * 37;
	uint64_t roll = model_random(&state);

	switch (roll % 8) {
	case 0:
		return 0;
	case 1:
		return 4096;
	case 2:
		return roll / 8 % (model->data_max + 1);
	default:
		return roll / 8 % 700;
	}
}

static inline uint16_t model_type(uint64_t number)
{
	return 1 + number % 0x7fff;
}

/* `salt` 0: meta, 1: data.  The caller frees it. */
static inline uint8_t *model_bytes(const struct model *model, uint64_t number, int salt,
				   uint32_t size)
{
	uint64_t state = model->seed * 1000003 + number * 2 + salt;
	uint8_t *bytes = xmalloc(size + 8);

	for (uint32_t i = 0; i < size; i += 8) {
		uint64_t word = model_random(&state);

		memcpy(bytes + i, &word, 8);
	}
	return bytes;
}

/* --- Doing ---------------------------------------------------------------------------------------
 */

static inline int model_open(struct model *model)
{
	struct problem why = {""};
	int r = tape_open(model->disk, &model->options, &model->tape, &why);

	if (r < 0) {
		model->tape = NULL;
		if (r == -EBADMSG)
			printf("# %s\n", why.text);
	}
	return r;
}

static inline int model_append(struct model *model)
{
	uint64_t number = model->numbers++;
	uint32_t meta_size = model_meta_size(model, number), size = model_data_size(model, number);
	CLEANUP(free) uint8_t *meta = model_bytes(model, number, 0, meta_size);
	CLEANUP(free) uint8_t *data = model_bytes(model, number, 1, size);
	uint32_t split = size ? number * 7919 % size : 0;
	struct iovec iov[2] = {{data, split}, {data + split, size - split}};
	struct tape_record record;
	int r;

	r = tape_append(model->tape, model_type(number), model->room_kind, meta, meta_size, iov, 2,
			&record);
	if (r < 0)
		return r;
	xgrow(model->records, model->count, model->room);
	model->records[model->count++] = (struct model_record){record, number, false};
	return 0;
}

static inline int model_sync(struct model *model)
{
	int r = tape_sync(model->tape, UINT64_MAX);

	if (r == 0)
		model->acked = model->count;
	return r;
}

/* By chance, but the same for the same record: a pack is right whatever it is told. */
static inline void model_place(const struct tape_record *record, void *arg, struct tape_place *ret)
{
	uint64_t state = record->lsn, roll = model_random(&state);

	ret->object = roll % 3;
	ret->offset = roll / 3 % 8 * 4096;
	ret->kind = roll / 24 % 4 ? roll / 96 % 2 : TAPE_PLACE_STREAM;
}

struct model_run {
	uint64_t segment_bytes;
	uint64_t lsn;
	unsigned count, fresh;
	struct tape_segment pack; /* the first of the pack right before */
	unsigned pack_count;
};

static inline void model_note_pack(struct model_run *run, const struct tape_segment *segment)
{
	if (run->pack_count == 0 || run->pack.pack != segment->pack) {
		run->pack = *segment;
		run->pack_count = 0;
	}
	run->pack_count++;
}

/*
 * The first run of sealed segments that are not packed, of at most three, together with the pack
 * right before them, unless that is large already.
 */
static inline int model_find_run(const struct tape_segment *segment, void *arg)
{
	struct model_run *run = arg;

	if (segment->packed && !run->count) {
		model_note_pack(run, segment);
		return 0;
	}
	if (!segment->sealed || segment->packed || run->fresh == 3 ||
	    (run->count && segment->lsn != run->lsn + run->count * run->segment_bytes))
		return run->count > 0;
	if (run->count == 0) {
		run->lsn = segment->lsn;
		if (run->pack_count && run->pack_count < 6 &&
		    run->pack_count == run->pack.pack_segments &&
		    run->pack.lsn + run->pack_count * run->segment_bytes == segment->lsn) {
			run->lsn = run->pack.lsn;
			run->count = run->pack_count;
		}
	}
	run->count++;
	run->fresh++;
	return 0;
}

/* What the model writes cannot be compressed, so any size will do. */
static inline int model_pack(struct model *model)
{
	struct tape_pack_options options = {.place = model_place, .percent_max = 1000};
	struct model_run run = {.segment_bytes = model->options.segment_bytes};
	struct problem why = {""};
	int r;

	tape_segments(model->tape, model_find_run, &run);
	if (run.count == 0)
		return 0;
	r = tape_pack(model->tape, run.lsn, run.count, &options, &why);
	if (r < 0 && r != -EIO && r != -ENOSPC)
		printf("# pack: %d %s\n", r, why.text);
	return r;
}

/* --- Comparing
 * ------------------------------------------------------------------------------------ */

struct model_compare {
	struct model *model;
	size_t at;
	bool all_there;
};

static inline bool same_record(const struct model *model, const struct model_record *mine,
			       const struct tape_record *found)
{
	CLEANUP(free) uint8_t *meta = model_bytes(model, mine->number, 0, mine->record.meta_size);

	return found->lsn == mine->record.lsn && found->end == mine->record.end &&
	       found->time_us == mine->record.time_us && found->type == model_type(mine->number) &&
	       found->meta_size == model_meta_size(model, mine->number) &&
	       found->data_size == model_data_size(model, mine->number) &&
	       memcmp(found->meta, meta, found->meta_size) == 0;
}

static inline int compare_one(const struct tape_record *found, void *arg)
{
	struct model_compare *compare = arg;
	struct model *model = compare->model;

	while (compare->at < model->count && model->records[compare->at].dropped)
		compare->at++;
	if (!check(compare->at < model->count, "seed %" PRIu64 ": a record too many at %" PRIu64,
		   model->seed, found->lsn))
		return 1;
	return !check(same_record(model, &model->records[compare->at++], found),
		      "seed %" PRIu64 ": another record at %" PRIu64, model->seed, found->lsn);
}

/* Data [skip, skip + size) of the record is what it should be. */
static inline bool model_read(struct model *model, const struct model_record *mine, uint32_t skip,
			      uint32_t size)
{
	CLEANUP(free) uint8_t *data = model_bytes(model, mine->number, 1, mine->record.data_size);
	CLEANUP(free) uint8_t *buf = xmalloc(size);
	struct problem why = {""};
	int r = tape_read(model->tape, mine->record.lsn, skip, buf, size, &why);

	return check(r == 0, "seed %" PRIu64 ": read of %" PRIu64 ": %d %s", model->seed,
		     mine->record.lsn, r, why.text) &&
	       check(memcmp(buf, data + skip, size) == 0,
		     "seed %" PRIu64 ": wrong data at %" PRIu64, model->seed, mine->record.lsn);
}

/* The tape holds exactly the model's records; with `data`, read every one. */
static inline bool model_compare(struct model *model, bool data)
{
	struct model_compare compare = {.model = model};
	struct problem why = {""};
	bool same = true;
	int r;

	r = tape_scan(model->tape, 0, UINT64_MAX, compare_one, &compare, &why);
	if (!check(r == 0, "seed %" PRIu64 ": scan: %d %s", model->seed, r, why.text))
		return false;
	while (compare.at < model->count && model->records[compare.at].dropped)
		compare.at++;
	if (!check(compare.at == model->count, "seed %" PRIu64 ": %zu records of %zu", model->seed,
		   compare.at, model->count))
		return false;
	for (size_t i = 0; data && same && i < model->count; i++)
		if (!model->records[i].dropped)
			same = model_read(model, &model->records[i], 0,
					  model->records[i].record.data_size);
	return same;
}

static inline void count_line(const char *line, void *arg)
{
	if ((*(int *)arg)++ == 0)
		printf("# %s\n", line);
}

/* tape_verify() finds nothing, whether it knows that the tape is open or not. */
static inline bool model_verify(struct model *model)
{
	int lines = 0;
	int r = tape_verify(model->disk, model->options.uuid, model->options.segment_bytes,
			    model->tape ? tape_durable(model->tape) : 0, count_line, NULL, &lines);

	return check(r == 0 && lines == 0, "seed %" PRIu64 ": verify: %d, %d lines", model->seed, r,
		     lines);
}

/* --- After a crash
 * --------------------------------------------------------------------------------- */

/*
 * The tape has been opened after a crash: forget what was never acknowledged and is not there. What
 * was dropped may be back.  False when an acknowledged record is missing.
 */
static inline bool model_adopt(struct model *model)
{
	uint64_t bytes = model->options.segment_bytes;
	bool complete;
	for (size_t i = 0; i < model->count; i++) {
		uint64_t lsn = model->records[i].record.lsn;

		if (model->records[i].dropped && lsn < tape_end(model->tape))
			model->records[i].dropped =
				!tape_covers(model->tape, lsn / bytes * bytes, lsn + 1);
	}
	while (model->count > 0 &&
	       model->records[model->count - 1].record.lsn >= tape_end(model->tape))
		model->count--;
	complete = check(model->count >= model->acked,
			 "seed %" PRIu64 ": %zu records of %zu acknowledged", model->seed,
			 model->count, model->acked);
	model->acked = model->count;
	return complete;
}

/* Power off, and on again with another rest. */
static inline bool model_crash(struct model *model)
{
	struct disk *rest = disk_memory_power_on(model->disk, model_random(&model->random));
	int r;

	tape_close(take(model->tape));
	disk_close(model->disk);
	model->disk = rest;
	r = model_open(model);
	return check(r == 0, "seed %" PRIu64 ": open after a crash: %d", model->seed, r) &&
	       model_adopt(model) && model_compare(model, true) && model_verify(model);
}
