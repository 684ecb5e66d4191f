/*
 * Horizon: how far the base may advance, what may be dropped then, and giving up history when the
 * disk runs short.
 */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

/* A fold step moves at most so many segments' worth of tape. */
#define STEP_SEGMENTS 2
/* With the disk short, a step is so small a part of the reserve: it takes room before it gives any.
 */
#define STEP_RESERVE_PART 8
/* Not much more than one record. */
#define STEP_MIN UINT64_C(64)

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
 * one begins there), now, every view, and the base itself while it is held.
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
	/* Somebody stands on the base as it is. */
	if (v->holds)
		add_lineage(v, ret, v->base_position);
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
		r = fold_step(v, &(struct lineage){0}, horizon, false);
	if (r >= 0 && d.count) {
		drop_checkpoints(v, &l);
		pthread_rwlock_wrlock(&v->lock);
		timeline_prune(&v->timeline, v->base_position, horizon.lsn);
		pthread_rwlock_unlock(&v->lock);
	}
	/* Readers that looked an extent up before the fold have finished once the lock was to be
	 * had. */
	pthread_rwlock_wrlock(&v->base_lock);
	pthread_rwlock_unlock(&v->base_lock);
	tape_regain(v->tape);
	for (size_t i = 0; i < d.count && r >= 0; i++) {
		r = tape_drop(v->tape, d.segments[i]);
		dropped += r >= 0;
	}
	figures_count_up(v, &v->drops, dropped);
	free(d.segments);
	lineages_done(&l);
	return r < 0 ? r : dropped;
}

/*
 * The horizon stays at the oldest moment that somebody looks at, or where it was when the base was
 * first held: what is kept for them can be reached, too.  A clone's hold on itself does not count:
 * what it has abandoned beyond its window may go, or a laboratory that is reset all day would grow.
 */
void horizon_pin(struct volume *v)
{
	struct moment pinned = {.lsn = UINT64_MAX};

	if (v->holds > v->attached)
		pinned = v->held;
	for (struct view *view = v->views; view; view = view->next)
		if (view->moment.lsn < pinned.lsn)
			pinned = view->moment;
	pthread_rwlock_wrlock(&v->lock);
	v->pinned = pinned;
	pthread_rwlock_unlock(&v->lock);
	figures_count_pins(v);
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
 * Give up the oldest segment's worth of history, or, when it is urgent, what there is in the last
 * segment.  False when there is none to give, or a view holds it.
 */
static bool give_way(struct volume *v, bool urgent, struct moment *horizon)
{
	struct next_segment next = {.after = horizon->lsn, .segment_bytes = v->segment_bytes};

	if (tape_segments(v->tape, find_next_segment, &next) != 1) {
		if (!urgent)
			return false;
		volume_now(v, &next.end);
	}
	if (next.end.lsn <= horizon->lsn || v->holds)
		return false;
	for (struct view *view = v->views; view; view = view->next)
		if (view->moment.lsn < next.end.lsn)
			return false;
	*horizon = next.end;
	if (urgent)
		note_loss(v, horizon);
	return true;
}

uint64_t horizon_step_bytes(struct volume *v, bool urgent)
{
	uint64_t bytes = STEP_SEGMENTS * v->segment_bytes;

	if (urgent)
		bytes = MIN(bytes, volume_reserve(v) / STEP_RESERVE_PART);
	if (v->step_limit)
		bytes = MIN(bytes, v->step_limit);
	return MAX(bytes, STEP_MIN);
}

/*
 * What a fold writes before it gives any room depends on what is in the stretch: many small records
 * in many blocks make an intent larger than the tape that it folds.  So a step that did not fit is
 * tried again smaller, and the next ones grow again.  Returns 1 when that is worth it.
 */
static int fit_step(struct volume *v, uint64_t bytes, int r)
{
	if (r == -ENOSPC && bytes > STEP_MIN) {
		v->step_limit = bytes / 4;
		return 1;
	}
	if (r == -ENOSPC)
		volume_note_error(
			v, "a fold does not fit on the disk any more; it will be tried again");
	if (r >= 0 && v->step_limit)
		v->step_limit =
			v->step_limit < STEP_SEGMENTS * v->segment_bytes ? 2 * v->step_limit : 0;
	return r;
}

static uint64_t path_to(struct volume *v, const struct moment *horizon, bool urgent,
			struct lineage *ret)
{
	struct lineages l = {0};
	uint64_t bytes;

	find_lineages(v, horizon->lsn, &l);
	bytes = find_path(&l, horizon_step_bytes(v, urgent), ret);
	lineages_done(&l);
	return bytes;
}

uint64_t horizon_history_bytes(struct volume *v)
{
	struct tape_stats tape;

	tape_get_stats(v->tape, &tape);
	return (tape.segments - tape.packed_segments) * v->segment_bytes + tape.packed_bytes;
}

static bool is_over(struct volume *v)
{
	uint64_t max;

	pthread_rwlock_rdlock(&v->lock);
	max = v->history_max;
	pthread_rwlock_unlock(&v->lock);
	return max && horizon_history_bytes(v) > max;
}

/*
 * One step towards the horizon, which moves itself only when what is before it is folded.  Returns
 * 1 when there is more to do.
 */
int horizon_step(struct volume *v, bool urgent)
{
	CLEANUP(lineage) struct lineage path = {0};
	struct moment horizon;
	bool hurried = urgent || is_over(v);
	uint64_t bytes;
	int r;

	volume_horizon(v, &horizon);
	bytes = path_to(v, &horizon, urgent, &path);
	if (hurried && !bytes && give_way(v, urgent, &horizon)) {
		lineage_done(&path);
		bytes = path_to(v, &horizon, urgent, &path);
	}
	if (!bytes || (bytes < v->segment_bytes && !hurried)) {
		r = drop_unneeded(v, horizon);
		return r < 0 ? r : hurried && r > 0;
	}
	figures_note_folding(v, true);
	r = fold_step(v, &path, horizon, urgent);
	figures_note_folding(v, false);
	figures_measure_base(v);
	/* What was lent in vain is not left to others. */
	if (r == -ENOSPC)
		tape_regain(v->tape);
	r = fit_step(v, bytes, r);
	if (r)
		return r;
	figures_count_up(v, &v->folds, 1);
	r = drop_unneeded(v, horizon);
	return r < 0 ? r : hurried || bytes == horizon_step_bytes(v, urgent);
}

static int set_limits(struct volume *v, const int64_t *window_us, const uint64_t *history_max)
{
	struct superblock super;
	int r;

	if (v->options.read_only)
		return -EROFS;
	pthread_mutex_lock(&v->super_lock);
	r = volume_read_superblock(v->disk, &super, NULL);
	if (window_us)
		super.window_us = to_le64(*window_us);
	if (history_max)
		super.history_max = to_le64(*history_max);
	if (r >= 0)
		r = volume_write_superblock(v->disk, &super);
	pthread_mutex_unlock(&v->super_lock);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&v->lock);
	v->window_us = from_le64(super.window_us);
	v->history_max = from_le64(super.history_max);
	pthread_rwlock_unlock(&v->lock);
	return 0;
}

int volume_set_window(struct volume *volume, int64_t window_us)
{
	return window_us < 0 ? -EINVAL : set_limits(volume, &window_us, NULL);
}

/* The segment in use, the one being folded, and two to choose a horizon from. */
uint64_t volume_history_min(struct volume *volume)
{
	return 4 * volume->segment_bytes;
}

int volume_set_history_max(struct volume *volume, uint64_t bytes)
{
	if (bytes && bytes < volume_history_min(volume))
		return -ERANGE;
	return set_limits(volume, NULL, &bytes);
}
