/*
 * Maintain: the volume's background work: checkpoints, moving the horizon, folding, giving up
 * history when the disk runs short, and the figures that an operator watches.
 */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

/* A fold step moves at most so many segments' worth of tape. */
#define STEP_SEGMENTS 2
/* With the disk short, a step is so small a part of the reserve: it takes room before it gives any.
 */
#define STEP_RESERVE_PART 8

/* --- Room ---------------------------------------------------------------------------------- */

uint64_t volume_reserve(struct volume *v)
{
	struct disk_space space;

	if (v->options.bytes_reserved || disk_space(v->disk, &space) < 0)
		return v->options.bytes_reserved;
	return MAX(space.bytes_total / 20, 4 * v->segment_bytes);
}

static uint64_t free_bytes(struct volume *v)
{
	struct disk_space space;

	return disk_space(v->disk, &space) < 0 ? 0 : space.bytes_free;
}

static void count_up(struct volume *v, uint64_t *counter)
{
	pthread_mutex_lock(&v->notes_lock);
	++*counter;
	pthread_mutex_unlock(&v->notes_lock);
}

/* --- Checkpoints ------------------------------------------------------------------------------ */

static int write_checkpoint(struct volume *v)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	char name[DISK_NAME_MAX];
	uint64_t position;
	int r;

	/* The lock is held for a copy in memory, not for the disk. */
	pthread_rwlock_wrlock(&v->lock);
	position = v->head.state->position;
	image_encode(v->uuid, v->base_position, v->floor, v->head.state, &v->timeline, NULL,
		     &bytes);
	v->head.state->applied = 0;
	pthread_rwlock_unlock(&v->lock);
	if (v->checkpoint_count && v->checkpoints[v->checkpoint_count - 1].position == position)
		return 0;
	image_seal(&bytes);
	if (free_bytes(v) < volume_reserve(v) / 2 + bytes.size)
		return -ENOSPC; /* what is left is for folds, which make room */
	r = tape_sync(v->tape, position);
	if (r < 0)
		return r;
	checkpoint_name(position, name);
	r = disk_replace_file(v->disk, name, bytes.data, bytes.size);
	if (r < 0)
		return r;
	xgrow(v->checkpoints, v->checkpoint_count, v->checkpoint_room);
	v->checkpoints[v->checkpoint_count++] = (struct checkpoint){position, bytes.size};
	volume_count_pins(v);
	count_up(v, &v->checkpoints_written);
	return 0;
}

int volume_checkpoint(struct volume *volume)
{
	int r;

	pthread_mutex_lock(&volume->fold_lock);
	r = write_checkpoint(volume);
	pthread_mutex_unlock(&volume->fold_lock);
	if (r < 0)
		volume_note_error(volume, "no checkpoint could be written: %s", strerror(-r));
	return r;
}

/* In step with the size of the state, so that writing checkpoints stays a small part of all
 * writing. */
static bool checkpoint_due(struct volume *v)
{
	bool due;

	pthread_rwlock_rdlock(&v->lock);
	due = v->head.state->applied >=
	      MAX(v->options.checkpoint_records, v->head.state->extents / 2);
	pthread_rwlock_unlock(&v->lock);
	return due;
}

/* --- Moving the horizon -------------------------------------------------------------------------
 */

/* What the reachable states stand on: the lineage of each position that no other's lineage
 * contains. */
struct lineages {
	struct lineage *all;
	size_t count, room;
};

static void lineages_done(struct lineages *l)
{
	for (size_t i = 0; i < l->count; i++)
		lineage_done(&l->all[i]);
	free(l->all);
}

static void add_lineage(struct volume *v, struct lineages *l, uint64_t position)
{
	xgrow(l->all, l->count, l->room);
	timeline_lineage(&v->timeline, v->base_position, position, &l->all[l->count++]);
}

/*
 * From `horizon` to now: the horizon itself, the end of every branch that ends after it (the next
 * one begins there), now, and every view.
 */
static void find_lineages(struct volume *v, uint64_t horizon, struct lineages *ret)
{
	pthread_rwlock_rdlock(&v->lock);
	add_lineage(v, ret, horizon);
	for (size_t i = 0; i < v->timeline.backtrack_count; i++)
		if (v->timeline.backtracks[i].at.lsn >= horizon)
			add_lineage(v, ret, v->timeline.backtracks[i].at.lsn);
	add_lineage(v, ret, v->head.state->position);
	for (struct view *view = v->views; view; view = view->next)
		add_lineage(v, ret, view->moment.lsn);
	pthread_rwlock_unlock(&v->lock);
}

/* The beginning of what all have in common, at most `bytes_max` of tape.  Returns its bytes. */
static uint64_t find_path(const struct lineages *l, uint64_t bytes_max, struct lineage *ret)
{
	uint64_t bytes = 0;

	*ret = (struct lineage){0};
	for (size_t i = 0; i < l->all[0].count; i++) {
		xgrow(ret->spans, ret->count, ret->room);
		ret->spans[ret->count++] = l->all[0].spans[i];
	}
	for (size_t i = 1; i < l->count; i++)
		lineage_intersect(ret, &l->all[i]);
	for (size_t i = 0; i < ret->count; i++) {
		struct span *span = &ret->spans[i];

		span->to = MIN(span->to, span->from + (bytes_max - bytes));
		bytes += span->to - span->from;
		if (bytes == bytes_max)
			ret->count = i + 1;
	}
	return bytes;
}

static bool is_needed(const struct lineages *l, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < l->count; i++)
		for (size_t j = 0; j < l->all[i].count; j++)
			if (l->all[i].spans[j].from < to && from < l->all[i].spans[j].to)
				return true;
	return false;
}

struct droppable {
	const struct lineages *lineages;
	uint64_t segment_bytes;
	uint64_t *segments;
	size_t count, room;
};

static int find_droppable(const struct tape_segment *segment, void *arg)
{
	struct droppable *d = arg;

	/* With its unused end: a lineage may begin there, and must begin in a segment that is
	 * there. */
	if (!segment->sealed ||
	    is_needed(d->lineages, segment->lsn, segment->lsn + d->segment_bytes))
		return 0;
	xgrow(d->segments, d->count, d->room);
	d->segments[d->count++] = segment->lsn;
	return 0;
}

static void drop_checkpoints(struct volume *v, const struct lineages *l)
{
	for (size_t i = v->checkpoint_count; i-- > 0;) {
		bool needed = false;

		for (size_t j = 0; j < l->count; j++)
			needed = needed || lineage_contains(&l->all[j], v->checkpoints[i].position);
		if (!needed)
			checkpoint_forget(v, i);
	}
}

/* Drop what no reachable state stands on.  Returns the number of segments dropped. */
static int drop_unneeded(struct volume *v, struct moment horizon)
{
	struct lineages l = {0};
	struct droppable d = {.lineages = &l, .segment_bytes = v->segment_bytes};
	int r, dropped = 0;

	find_lineages(v, horizon.lsn, &l);
	r = tape_segments(v->tape, find_droppable, &d);
	/* The horizon is on the disk before what lies behind it goes. */
	if (r >= 0 && d.count && v->floor.lsn < horizon.lsn)
		r = fold_step(v, &(struct lineage){0}, horizon);
	if (r >= 0 && d.count) {
		drop_checkpoints(v, &l);
		pthread_rwlock_wrlock(&v->lock);
		timeline_prune(&v->timeline, v->base_position, horizon.lsn);
		pthread_rwlock_unlock(&v->lock);
	}
	for (size_t i = 0; i < d.count && r >= 0; i++) {
		/* Readers that looked an extent up before the fold have finished with it. */
		pthread_rwlock_wrlock(&v->base_lock);
		r = tape_drop(v->tape, d.segments[i]);
		pthread_rwlock_unlock(&v->base_lock);
		dropped += r >= 0;
	}
	free(d.segments);
	lineages_done(&l);
	return r < 0 ? r : dropped;
}

struct next_segment {
	uint64_t after, segment_bytes;
	struct moment end;
};

static int find_next_segment(const struct tape_segment *segment, void *arg)
{
	struct next_segment *next = arg;

	if (!segment->sealed || segment->lsn + next->segment_bytes <= next->after)
		return 0;
	next->end = (struct moment){segment->lsn + next->segment_bytes, segment->last_time_us};
	return 1;
}

static void note_loss(struct volume *v, const struct moment *horizon)
{
	int64_t now = clock_monotonic_us();
	char text[CLOCK_TEXT_MAX];

	if (v->gave_way_us && now - v->gave_way_us < 60000000)
		return;
	v->gave_way_us = now;
	clock_format(horizon->time_us, text);
	volume_note_error(v, "the disk is short of space: history before %s is given up", text);
}

/*
 * Give up the oldest segment's worth of history, or what there is in the last segment.  False when
 * there is none to give, or a view holds it.
 */
static bool give_way(struct volume *v, struct moment *horizon)
{
	struct next_segment next = {.after = horizon->lsn, .segment_bytes = v->segment_bytes};

	if (tape_segments(v->tape, find_next_segment, &next) != 1)
		volume_now(v, &next.end);
	if (next.end.lsn <= horizon->lsn)
		return false;
	for (struct view *view = v->views; view; view = view->next)
		if (view->moment.lsn < next.end.lsn)
			return false;
	*horizon = next.end;
	note_loss(v, horizon);
	return true;
}

void volume_count_pins(struct volume *v)
{
	uint64_t bytes = 0, pins = 0;

	for (size_t i = 0; i < v->checkpoint_count; i++)
		bytes += v->checkpoints[i].bytes;
	for (struct view *view = v->views; view; view = view->next)
		pins++;
	pthread_mutex_lock(&v->notes_lock);
	v->checkpoint_bytes = bytes;
	v->pins = pins;
	pthread_mutex_unlock(&v->notes_lock);
}

static void note_folding(struct volume *v, bool folding)
{
	pthread_mutex_lock(&v->notes_lock);
	v->folding = folding;
	pthread_mutex_unlock(&v->notes_lock);
}

/* It opens every file: after a fold, not whenever somebody asks. */
static void measure_base(struct volume *v)
{
	uint64_t bytes = base_bytes(v->base);

	pthread_mutex_lock(&v->notes_lock);
	v->base_bytes = bytes;
	pthread_mutex_unlock(&v->notes_lock);
}

static uint64_t step_bytes(struct volume *v, bool urgent)
{
	uint64_t bytes = STEP_SEGMENTS * v->segment_bytes;

	if (urgent)
		bytes = MIN(bytes, volume_reserve(v) / STEP_RESERVE_PART);
	return MAX(bytes, (uint64_t)BASE_BLOCK);
}

static uint64_t path_to(struct volume *v, const struct moment *horizon, bool urgent,
			struct lineage *ret)
{
	struct lineages l = {0};
	uint64_t bytes;

	find_lineages(v, horizon->lsn, &l);
	bytes = find_path(&l, step_bytes(v, urgent), ret);
	lineages_done(&l);
	return bytes;
}

/*
 * One step towards the horizon, which moves itself only when what is before it is folded.  Returns
 * 1 when there is more to do.
 */
static int fold_round(struct volume *v, bool urgent)
{
	CLEANUP(lineage) struct lineage path = {0};
	struct moment horizon;
	uint64_t bytes;
	int r;

	volume_horizon(v, &horizon);
	bytes = path_to(v, &horizon, urgent, &path);
	if (urgent && !bytes && give_way(v, &horizon)) {
		lineage_done(&path);
		bytes = path_to(v, &horizon, urgent, &path);
	}
	if (!bytes || (bytes < v->segment_bytes && !urgent)) {
		r = drop_unneeded(v, horizon);
		return r < 0 ? r : urgent && r > 0;
	}
	note_folding(v, true);
	r = fold_step(v, &path, horizon);
	note_folding(v, false);
	measure_base(v);
	if (r < 0)
		return r;
	count_up(v, &v->folds);
	r = drop_unneeded(v, horizon);
	return r < 0 ? r : urgent || bytes == step_bytes(v, urgent);
}

/* --- Figures ---------------------------------------------------------------------------------- */

static void take_sample(struct volume *v)
{
	struct sample now = {.monotonic_us = clock_monotonic_us()};
	struct tape_stats tape;
	const struct sample *last;

	last = &v->seconds[v->second_count % SAMPLES];
	if (v->second_count && now.monotonic_us - last->monotonic_us < 1000000)
		return;
	tape_get_stats(v->tape, &tape);
	now.tape_bytes = tape.bytes_appended;
	pthread_rwlock_rdlock(&v->lock);
	now.records = v->records;
	pthread_rwlock_unlock(&v->lock);
	pthread_mutex_lock(&v->notes_lock);
	now.base_bytes = v->base_bytes;
	last = &v->minutes[v->minute_count % SAMPLES];
	if (!v->minute_count || now.monotonic_us - last->monotonic_us >= 60000000)
		v->minutes[++v->minute_count % SAMPLES] = now;
	v->seconds[++v->second_count % SAMPLES] = now;
	pthread_mutex_unlock(&v->notes_lock);
}

/* The oldest sample of a ring into which `count` were written, the first at index 1. */
static const struct sample *oldest(const struct sample *ring, uint64_t count)
{
	return &ring[count < SAMPLES ? 1 % SAMPLES : (count + 1) % SAMPLES];
}

static double rate(uint64_t now, uint64_t then, int64_t elapsed_us, double per_us)
{
	return elapsed_us > 0 ? ((double)now - (double)then) * per_us / elapsed_us : 0;
}

static void get_rates(struct volume *v, struct volume_stats *ret)
{
	const struct sample *now, *then;

	if (!v->second_count)
		return;
	now = &v->seconds[v->second_count % SAMPLES];
	then = oldest(v->seconds, v->second_count);
	ret->records_per_second =
		rate(now->records, then->records, now->monotonic_us - then->monotonic_us, 1e6);
	then = v->minute_count ? oldest(v->minutes, v->minute_count) : then;
	ret->tape_bytes_per_hour = rate(now->tape_bytes, then->tape_bytes,
					now->monotonic_us - then->monotonic_us, 3600e6);
	ret->base_bytes_per_hour = rate(now->base_bytes, then->base_bytes,
					now->monotonic_us - then->monotonic_us, 3600e6);
}

static int add_records(const struct tape_segment *segment, void *arg)
{
	*(uint64_t *)arg += segment->records;
	return 0;
}

void volume_get_stats(struct volume *volume, struct volume_stats *ret)
{
	struct tape_stats tape;

	*ret = (struct volume_stats){.broken = tape_broken(volume->tape)};
	volume_now(volume, &ret->now);
	tape_get_stats(volume->tape, &tape);
	ret->tape_bytes = tape.bytes_on_disk;
	tape_segments(volume->tape, add_records, &ret->records_stored);

	pthread_rwlock_rdlock(&volume->lock);
	ret->window_target_us = volume->window_us;
	volume_compute_horizon(volume, &ret->horizon);
	ret->window_actual_us = MAX(volume_clock(volume) - ret->horizon.time_us, (int64_t)0);
	ret->extents = volume->head.state->extents;
	ret->inodes = volume->head.state->inodes.count;
	ret->memory_bytes = state_memory(volume->head.state);
	ret->replayed_records = volume->replayed_records;
	pthread_rwlock_unlock(&volume->lock);

	pthread_mutex_lock(&volume->notes_lock);
	get_rates(volume, ret);
	ret->folds = volume->folds;
	ret->checkpoints = volume->checkpoints_written;
	ret->folding = volume->folding;
	ret->checkpoint_bytes = volume->checkpoint_bytes;
	ret->pins = volume->pins;
	ret->base_bytes = volume->base_bytes;
	ret->space_short = volume->space_short;
	memcpy(ret->last_error, volume->last_error, sizeof ret->last_error);
	ret->last_error_time_us = volume->last_error_time_us;
	pthread_mutex_unlock(&volume->notes_lock);
}

int volume_set_window(struct volume *volume, int64_t window_us)
{
	struct superblock super;
	int r;

	if (window_us < 0)
		return -EINVAL;
	if (volume->options.read_only)
		return -EROFS;
	r = volume_read_superblock(volume->disk, &super, NULL);
	if (r < 0)
		return r;
	super.window_us = to_le64(window_us);
	r = volume_write_superblock(volume->disk, &super);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&volume->lock);
	volume->window_us = window_us;
	pthread_rwlock_unlock(&volume->lock);
	return 0;
}

/* --- Rounds ----------------------------------------------------------------------------------- */

int volume_maintain(struct volume *volume)
{
	uint64_t before = free_bytes(volume);
	bool short_now = before < volume_reserve(volume), urgent;
	int r;

	if (volume->options.read_only || tape_broken(volume->tape))
		return 0;
	pthread_mutex_lock(&volume->notes_lock);
	urgent = short_now || volume->room_wanted;
	volume->room_wanted = false;
	volume->space_short = short_now;
	pthread_mutex_unlock(&volume->notes_lock);
	if (checkpoint_due(volume))
		volume_checkpoint(volume);
	pthread_mutex_lock(&volume->fold_lock);
	r = volume->fold_error ? fold_recover(volume) : 0;
	if (r >= 0)
		r = fold_round(volume, urgent);
	pthread_mutex_unlock(&volume->fold_lock);
	take_sample(volume);
	pthread_mutex_lock(&volume->notes_lock);
	volume->rounds++;
	volume->round_gained = free_bytes(volume) > before;
	pthread_cond_broadcast(&volume->round_done);
	pthread_mutex_unlock(&volume->notes_lock);
	return r;
}

/* Wait until somebody wants something, or for `us`.  False when it is time to stop. */
static bool wait_for_work(struct volume *v, int64_t us)
{
	int64_t until = clock_realtime_us() + us;
	struct timespec deadline = {until / 1000000, until % 1000000 * 1000};
	bool go_on;
	int r = 0;

	pthread_mutex_lock(&v->notes_lock);
	while (!v->stop && !v->room_wanted && r == 0)
		r = pthread_cond_timedwait(&v->wake, &v->notes_lock, &deadline);
	go_on = !v->stop;
	pthread_mutex_unlock(&v->notes_lock);
	return go_on;
}

static bool is_short(struct volume *v)
{
	bool now;

	pthread_mutex_lock(&v->notes_lock);
	now = v->space_short;
	pthread_mutex_unlock(&v->notes_lock);
	return now;
}

static void *run(void *arg)
{
	struct volume *v = arg;
	int64_t pause = 0;

	while (wait_for_work(v, pause)) {
		int64_t started = clock_monotonic_us(), step;
		int more = volume_maintain(v);

		/* At most fold_bytes_per_second, unless the disk is short; a look every second when
		 * idle. */
		step = STEP_SEGMENTS * v->segment_bytes * 1000000 /
		       v->options.fold_bytes_per_second;
		pause = more == 1 ? step - (clock_monotonic_us() - started) : 1000000;
		if (more == 1 && is_short(v))
			pause = 0;
		pause = MAX(pause, (int64_t)0);
	}
	return NULL;
}

int volume_start_thread(struct volume *v)
{
	int r = pthread_create(&v->thread, NULL, run, v);

	v->thread_runs = r == 0;
	return -r;
}

void volume_stop_thread(struct volume *v)
{
	if (!v->thread_runs)
		return;
	pthread_mutex_lock(&v->notes_lock);
	v->stop = true;
	pthread_cond_broadcast(&v->wake);
	pthread_cond_broadcast(&v->round_done);
	pthread_mutex_unlock(&v->notes_lock);
	pthread_join(v->thread, NULL);
	v->thread_runs = false;
}

/* A whole round that began after the wish; it ends with the word whether room was made. */
static bool wait_for_round(struct volume *v)
{
	uint64_t before;
	bool gained;

	pthread_mutex_lock(&v->notes_lock);
	before = v->rounds;
	v->room_wanted = true;
	pthread_cond_signal(&v->wake);
	/* One that is under way now may have looked already: its end does not count unless it
	 * gained. */
	while (!v->stop && (v->rounds < before + 1 || (v->rounds < before + 2 && !v->round_gained)))
		pthread_cond_wait(&v->round_done, &v->notes_lock);
	gained = v->round_gained;
	pthread_mutex_unlock(&v->notes_lock);
	return gained;
}

bool volume_make_room(struct volume *v)
{
	int more;

	if (v->thread_runs)
		return wait_for_round(v);
	do {
		v->room_wanted = true;
		more = volume_maintain(v);
	} while (more == 1 && !v->round_gained);
	return v->round_gained;
}
