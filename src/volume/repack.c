/*
 * Repack: history in less space.  What of the tape may be packed, and the thread that does it a
 * little at a time when nobody asks and the machine has time.
 */
#include "volume/internal.h"
#include "volume/layout.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

/*
 * A pack is made of so much tape: pages that are written again only much later have an older
 * version in it all the same.  Fewer, when the records are so many that knowing them all takes
 * memory.  In the background so much is done at a time.
 */
#define RUN_BYTES (UINT64_C(4) << 30)
#define BATCH_BYTES (UINT64_C(1) << 30)
#define RUN_SEGMENTS_MIN 16
#define RUN_RECORDS_MAX 400000
/*
 * A pack is made anew together with what follows it, up to so much for what is new: so each record
 * is packed a few times at most, however often somebody asks.
 */
#define PACKED_PERCENT 400
#define PACKED_PERCENT_BACKGROUND 50
/* In the background: younger segments wait, those that are to be folded soon are left, and those
 * that are so old do not wait for a whole run: parts of the window. */
#define AGE_US INT64_C(10000000)
#define LIFE_LEFT_PART 4
#define DUE_PART 8
#define RATE_DEFAULT (UINT64_C(32) << 20)
/*
 * A mebibyte takes 13 ms of a processor.  While the machine is busy a run that is not due for long
 * goes on at a step a second, as long as what is not packed takes but a part of its room.
 */
#define BUSY_STEP_US INT64_C(1000000)
#define BUSY_ROOM_PART 4

/* --- Which segments ------------------------------------------------------------------------------
 */

struct run {
	uint64_t lsn, records, data_bytes;
	unsigned count;
	unsigned packed;       /* the first of them, in packs that are taken along */
	uint64_t packed_bytes; /* of those packs */
};

/* What is looked for. */
struct wanted {
	uint64_t from; /* no segment before this, but in packs that are taken along */
	uint64_t segment_bytes;
	unsigned count_max;      /* in a pack */
	unsigned batch_max;      /* of those in no pack yet */
	unsigned packed_percent; /* of those in no pack yet, for taking a pack along */
	int64_t older_than_us, younger_than_us; /* its last record */
};

struct segments {
	struct tape_segment *all;
	size_t count, room;
};

static int add_segment(const struct tape_segment *segment, void *arg)
{
	struct segments *segments = arg;

	xgrow(segments->all, segments->count, segments->room);
	segments->all[segments->count++] = *segment;
	return 0;
}

static bool fits(const struct wanted *wanted, const struct tape_segment *segment)
{
	return segment->sealed && !segment->packed && segment->lsn >= wanted->from &&
	       segment->last_time_us <= wanted->older_than_us &&
	       segment->last_time_us > wanted->younger_than_us;
}

static void take_segment(const struct tape_segment *segment, struct run *run)
{
	run->count++;
	run->records += segment->records;
	run->data_bytes += segment->data_bytes;
}

/* The first run of segments in no pack.  Where it begins. */
static size_t find_batch(const struct wanted *wanted, const struct segments *segments,
			 struct run *ret)
{
	const struct tape_segment *all = segments->all;
	size_t first = 0;

	*ret = (struct run){0};
	while (first < segments->count && !fits(wanted, &all[first]))
		first++;
	for (size_t i = first; i < segments->count && fits(wanted, &all[i]); i++) {
		if (ret->count == wanted->batch_max ||
		    (ret->count && (all[i].lsn != all[i - 1].lsn + wanted->segment_bytes ||
				    ret->records + all[i].records > RUN_RECORDS_MAX)))
			break;
		take_segment(&all[i], ret);
	}
	if (ret->count)
		ret->lsn = all[first].lsn;
	return first;
}

/*
 * The pack that ends where the run begins is made anew with it, when it is small beside what is
 * new: what is in both is kept once then.  0 when it is not, or how many segments it has.
 */
static unsigned take_pack(const struct wanted *wanted, const struct segments *segments,
			  size_t first, struct run *run)
{
	const struct tape_segment *last = first ? &segments->all[first - 1] : NULL;
	unsigned count = last && last->packed ? last->pack_segments : 0;
	unsigned fresh = run->count - run->packed;
	struct run with = *run;

	if (count == 0 || count > first || run->count + count > wanted->count_max ||
	    count * 100 > fresh * wanted->packed_percent)
		return 0;
	for (size_t i = first - count; i < first; i++) {
		const struct tape_segment *segment = &segments->all[i];

		if (!segment->packed || segment->pack != last->pack ||
		    segment->last_time_us <= wanted->younger_than_us ||
		    segment->lsn + (first - i) * wanted->segment_bytes != run->lsn)
			return 0;
		take_segment(segment, &with);
	}
	if (with.records > RUN_RECORDS_MAX)
		return 0;
	with.lsn = segments->all[first - count].lsn;
	with.packed += count;
	with.packed_bytes += last->pack_bytes;
	*run = with;
	return count;
}

static void find_run(struct volume *v, const struct wanted *wanted, struct run *ret)
{
	struct segments segments = {0};
	unsigned count;
	size_t first;

	(void)tape_segments(v->tape, add_segment, &segments);
	first = find_batch(wanted, &segments, ret);
	while (ret->count && (count = take_pack(wanted, &segments, first, ret)))
		first -= count;
	free(segments.all);
}

/*
 * A pack gives its room back only when all of it has been folded, and folding may take as much as
 * was written: so that a full disk can always fold, a pack holds no more tape than the reserve.
 */
static unsigned run_length(struct volume *v, uint64_t bytes)
{
	uint64_t count = MAX(bytes / v->segment_bytes, (uint64_t)RUN_SEGMENTS_MIN);

	count = MIN(count, (uint64_t)TAPE_PACK_SEGMENTS_MAX);
	count = MIN(count, volume_reserve(v) / v->segment_bytes);
	return MAX(count, (uint64_t)1);
}

/*
 * The next run from `from` on.  `margin_us`: what has not so long to live is left alone.  In the
 * background packs are made anew only where they were made of little.
 */
static bool choose_run(struct volume *v, uint64_t from, int64_t age_us, int64_t margin_us,
		       bool background, struct run *ret)
{
	int64_t now = volume_clock(v), window;
	struct wanted wanted = {
		.from = from,
		.segment_bytes = v->segment_bytes,
		.count_max = run_length(v, RUN_BYTES),
		.batch_max = run_length(v, background ? BATCH_BYTES : RUN_BYTES),
		.packed_percent = background ? PACKED_PERCENT_BACKGROUND : PACKED_PERCENT,
	};

	pthread_rwlock_rdlock(&v->lock);
	window = v->window_us;
	pthread_rwlock_unlock(&v->lock);
	wanted.older_than_us = now - age_us;
	wanted.younger_than_us = now - window + margin_us;
	find_run(v, &wanted, ret);
	return ret->count > 0;
}

/* History that is about to give way is not worth the room that packing takes first. */
static bool has_room(struct volume *v, const struct run *run)
{
	return volume_free_bytes(v) >= 2 * volume_reserve(v) + run->count * v->segment_bytes;
}

/* --- One run
 * --------------------------------------------------------------------------------------- */

struct work {
	struct volume *v;
	struct layout layout;
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
	uint64_t before, total; /* in all runs */
};

static void place_record(const struct tape_record *record, void *arg, struct tape_place *ret)
{
	struct work *work = arg;

	layout_place(&work->layout, record, ret);
}

static bool run_goes_on(uint64_t done, uint64_t total, void *arg)
{
	struct work *work = arg;

	return !work->progress || work->progress(work->before + done,
						 MAX(work->total, work->before + total), work->arg);
}

static int pack_once(struct work *work, const struct run *run, struct problem *why)
{
	struct tape_pack_options options = {
		.place = place_record, .progress = run_goes_on, .arg = work};
	struct volume *v = work->v;
	int r;

	r = volume_add_feature(v, VOLUME_INCOMPAT_PACKS |
					  (run->packed ? VOLUME_INCOMPAT_REPACKED : 0));
	if (r < 0)
		return problem_errno(why, r, "cannot write the file 'volume'");
	work->layout = (struct layout){0};
	r = tape_scan(v->tape, run->lsn, run->lsn + run->count * v->segment_bytes, layout_note,
		      &work->layout, why);
	if (r >= 0) {
		layout_settle(&work->layout);
		r = tape_pack(v->tape, run->lsn, run->count, &options, why);
	}
	layout_done(&work->layout);
	return r;
}

/* Packs that cannot be made anew, or not with profit, stay, and the rest is packed by itself. */
static int pack_run(struct work *work, struct run *run, struct problem *why)
{
	uint64_t bytes = work->v->segment_bytes;
	int r = pack_once(work, run, why);

	if (!run->packed || (r != -EMLINK && r != -E2BIG && r != -EBADMSG && r != -EBUSY))
		return r;
	run->lsn += run->packed * bytes;
	run->count -= run->packed;
	run->packed = 0;
	run->packed_bytes = 0;
	return pack_once(work, run, why);
}

/* --- Turns -------------------------------------------------------------------------------------
 */

/* For the thread: whoever asked and waits goes first. */
static bool try_turn(struct volume *v)
{
	bool mine;

	pthread_mutex_lock(&v->notes_lock);
	mine = !v->repacking && !v->repack_waiting;
	v->repacking = v->repacking || mine;
	pthread_mutex_unlock(&v->notes_lock);
	return mine;
}

static void end_turn(struct volume *v)
{
	pthread_mutex_lock(&v->notes_lock);
	v->repacking = false;
	pthread_cond_broadcast(&v->repack_turn);
	pthread_mutex_unlock(&v->notes_lock);
}

/* How often who waits looks whether to go on. */
#define TURN_LOOK_US 100000

/* Until the turn is ours, or whoever asked has had enough. */
static int await_turn(struct work *work)
{
	struct volume *v = work->v;
	int r = 0;

	pthread_mutex_lock(&v->notes_lock);
	v->repack_waiting++;
	while (v->repacking && r == 0) {
		int64_t until = clock_realtime_us() + TURN_LOOK_US;
		struct timespec deadline = {until / 1000000, until % 1000000 * 1000};

		pthread_cond_timedwait(&v->repack_turn, &v->notes_lock, &deadline);
		pthread_mutex_unlock(&v->notes_lock);
		r = run_goes_on(0, 0, work) ? 0 : -ECANCELED;
		pthread_mutex_lock(&v->notes_lock);
	}
	v->repack_waiting--;
	if (r == 0)
		v->repacking = true;
	pthread_mutex_unlock(&v->notes_lock);
	return r;
}

/* --- Asked for
 * ------------------------------------------------------------------------------------- */

static int add_bytes(const struct tape_segment *segment, void *arg)
{
	if (segment->sealed && !segment->packed)
		*(uint64_t *)arg += segment->data_bytes;
	return 0;
}

static int repack_all(struct work *work, struct volume_repacked *ret, struct problem *why)
{
	struct volume *volume = work->v;
	struct tape_stats before, after;
	struct run run;
	uint64_t replaced = 0;
	int r = 0;

	tape_segments(volume->tape, add_bytes, &work->total);
	tape_get_stats(volume->tape, &before);
	for (uint64_t from = 0; r == 0 && choose_run(volume, from, 0, 0, false, &run);
	     from = run.lsn + run.count * volume->segment_bytes) {
		if (!has_room(volume, &run)) {
			r = problem(why, -ENOSPC, "there is too little room on the disk to repack");
			break;
		}
		r = pack_run(work, &run, why);
		if (r == 0) {
			ret->segments += run.count;
			ret->bytes_before +=
				(run.count - run.packed) * volume->segment_bytes + run.packed_bytes;
			replaced += run.packed_bytes;
		}
		if (r == -E2BIG || r == -EBADMSG) { /* they stay as they are */
			ret->left += run.count;
			r = 0;
		}
		work->before += run.data_bytes;
	}
	tape_get_stats(volume->tape, &after);
	after.packed_bytes += replaced;
	ret->bytes_after = after.packed_bytes - MIN(after.packed_bytes, before.packed_bytes);
	return r;
}

int volume_repack(struct volume *volume, const struct volume_repack_options *options,
		  struct volume_repacked *ret, struct problem *why)
{
	struct work work = {.v = volume, .progress = options->progress, .arg = options->arg};
	int r;

	*ret = (struct volume_repacked){0};
	if (volume->options.read_only)
		return problem(why, -EROFS, "the volume is open for reading only");
	r = await_turn(&work);
	if (r < 0)
		return problem(why, r, "cancelled");
	r = repack_all(&work, ret, why);
	end_turn(volume);
	return r;
}

/* --- In the background
 * ------------------------------------------------------------------------------- */

/* What is not packed takes so much of the room for history that packing cannot wait. */
static bool is_much(struct volume *v)
{
	uint64_t room = volume_free_bytes(v), max;
	struct tape_stats tape;

	pthread_rwlock_rdlock(&v->lock);
	max = v->history_max;
	pthread_rwlock_unlock(&v->lock);
	if (max)
		room = MIN(room, max);
	tape_get_stats(v->tape, &tape);
	return (tape.segments - tape.packed_segments) * v->segment_bytes > room / BUSY_ROOM_PART;
}

static bool is_better_left(struct volume *v)
{
	return v->options.busy && v->options.busy() && !is_much(v);
}

/* For how long before the next step, so that it is at most so many bytes a second. */
static int64_t pause_before(struct volume *v, uint64_t done)
{
	uint64_t rate = v->options.repack_bytes_per_second ? v->options.repack_bytes_per_second
							   : RATE_DEFAULT;
	int64_t ahead;

	if (v->repack_early && is_better_left(v)) {
		v->repack_started_us += BUSY_STEP_US;
		return BUSY_STEP_US;
	}
	ahead = v->repack_started_us + (int64_t)(done * 1000000 / rate) - clock_monotonic_us();
	ahead = MAX(ahead, (int64_t)0);
	return MIN(ahead, (int64_t)1000000);
}

/* Unless somebody waits; false when it is time to stop. */
static bool slowly(uint64_t done, uint64_t total, void *arg)
{
	struct volume *v = arg;
	bool hurry, stop;

	pthread_mutex_lock(&v->notes_lock);
	hurry = v->repack_waiting > 0;
	pthread_mutex_unlock(&v->notes_lock);
	stop = volume_wait_for_stop(v, &v->repack_wake, hurry ? 0 : pause_before(v, done));
	pthread_mutex_lock(&v->notes_lock);
	stop = stop || v->space_short;
	pthread_mutex_unlock(&v->notes_lock);
	return !stop;
}

static bool is_whole(struct volume *v, const struct run *run)
{
	return run->count - run->packed >= run_length(v, BATCH_BYTES) ||
	       run->records >= RUN_RECORDS_MAX / 2;
}

/* A whole one, or what has waited long enough; only the latter whatever else goes on. */
static bool choose_in_background(struct volume *v, struct run *ret)
{
	struct run overdue;
	int64_t window;
	bool whole;

	pthread_rwlock_rdlock(&v->lock);
	window = v->window_us;
	pthread_rwlock_unlock(&v->lock);
	if (!choose_run(v, v->repacked_to, AGE_US, window / LIFE_LEFT_PART, true, ret))
		return false;
	whole = is_whole(v, ret);
	v->repack_early = !choose_run(v, v->repacked_to, window / DUE_PART, window / LIFE_LEFT_PART,
				      true, &overdue);
	if (v->repack_early)
		return whole && !is_better_left(v);
	if (!whole)
		*ret = overdue;
	return true;
}

/* One run.  1 when there may be more to do. */
static int repack_step(struct volume *v)
{
	struct work work = {.v = v, .progress = slowly, .arg = v};
	struct problem why = {""};
	struct run run;
	int r;

	if (!choose_in_background(v, &run) || !has_room(v, &run))
		return 0;
	v->repack_started_us = clock_monotonic_us();
	r = pack_run(&work, &run, &why);
	if (r == -ECANCELED || r == -EBUSY || r == -ENOENT)
		return 0;
	/* Whatever it was, it would be so again. */
	v->repacked_to = run.lsn + run.count * v->segment_bytes;
	if (r < 0 && r != -E2BIG)
		volume_note_error(v, "repacking failed: %s", why.text);
	return 1;
}

static void *repack_main(void *arg)
{
	struct volume *v = arg;
	int more = 0;

	/* Whoever else wants the processor goes first. */
	(void)setpriority(PRIO_PROCESS, syscall(SYS_gettid), 19);
	while (!volume_wait_for_stop(v, &v->repack_wake, more ? 0 : 1000000)) {
		more = 0;
		if (tape_broken(v->tape) || !try_turn(v))
			continue;
		more = repack_step(v);
		end_turn(v);
	}
	return NULL;
}

void repack_start_thread(struct volume *v)
{
	int r = pthread_create(&v->repack_thread, NULL, repack_main, v);

	v->repack_runs = r == 0;
	if (r != 0)
		volume_note_error(v, "cannot start a thread to repack: %s", strerror(r));
}

/* `stop` has been set. */
void repack_stop_thread(struct volume *v)
{
	if (!v->repack_runs)
		return;
	pthread_cond_broadcast(&v->repack_wake);
	pthread_join(v->repack_thread, NULL);
	v->repack_runs = false;
}
