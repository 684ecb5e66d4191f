/* Moments: finding them, naming them, counting what happened between them, going back to one. */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define HISTORY_STEPS_MAX 100000

/* --- Where a moment is
 * ---------------------------------------------------------------------------- */

struct last_time {
	uint64_t lsn;
	int64_t time_us;
	struct tape_segment segment; /* holds `lsn` */
	bool inside;
};

static int look_at_segment(const struct tape_segment *segment, void *arg)
{
	struct last_time *last = arg;

	if (segment->lsn >= last->lsn || !segment->records)
		return 0;
	last->inside = segment->end > last->lsn;
	last->segment = *segment;
	if (!last->inside)
		last->time_us = segment->last_time_us;
	return 0;
}

static int take_time(const struct tape_record *record, void *arg)
{
	struct last_time *last = arg;

	last->time_us = record->time_us;
	return 0;
}

/* Time of the last record before `lsn`, as far as the tape is there; else the volume's birth. */
static int time_before(struct volume *v, uint64_t lsn, int64_t *ret, struct problem *why)
{
	struct last_time last = {.lsn = lsn, .time_us = v->created_us};
	int r;

	r = tape_segments(v->tape, look_at_segment, &last);
	if (r >= 0 && last.inside)
		r = tape_scan(v->tape, last.segment.lsn, lsn, take_time, &last, why);
	*ret = last.time_us;
	return r;
}

void volume_compute_horizon(struct volume *v, struct moment *ret)
{
	struct moment found = {.time_us = volume_clock(v) - v->window_us};

	*ret = v->floor;
	if (found.time_us <= v->floor.time_us ||
	    tape_find_time(v->tape, found.time_us, &found.lsn, NULL) < 0)
		return;
	if (found.lsn > v->pinned.lsn)
		found = v->pinned;
	if (found.lsn >= v->floor.lsn)
		*ret = found;
}

void volume_now(struct volume *volume, struct moment *ret)
{
	ret->lsn = tape_end(volume->tape);
	ret->time_us = tape_last_time(volume->tape);
	if (!ret->time_us)
		ret->time_us = volume->created_us;
}

void volume_horizon(struct volume *volume, struct moment *ret)
{
	pthread_rwlock_rdlock(&volume->lock);
	volume_compute_horizon(volume, ret);
	pthread_rwlock_unlock(&volume->lock);
}

static int too_early(const struct moment *horizon, struct problem *why)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(horizon->time_us, text);
	return problem(why, -ERANGE, "that is before the earliest reachable moment, %s (lsn:%llu)",
		       text, (unsigned long long)horizon->lsn);
}

int volume_moment_at_time(struct volume *volume, int64_t time_us, struct moment *ret,
			  struct problem *why)
{
	struct moment horizon, found;
	char text[CLOCK_TEXT_MAX];
	int r;

	if (time_us > volume_clock(volume)) {
		clock_format(volume_clock(volume), text);
		return problem(why, -ERANGE, "that is in the future; now is %s", text);
	}
	volume_horizon(volume, &horizon);
	if (time_us < horizon.time_us)
		return too_early(&horizon, why);
	r = tape_find_time(volume->tape, time_us, &found.lsn, why);
	if (r < 0)
		return r;
	found.lsn = MAX(found.lsn, horizon.lsn);
	r = time_before(volume, found.lsn, &found.time_us, why);
	if (r < 0)
		return r;
	*ret = found;
	return 0;
}

int volume_moment_at_lsn(struct volume *volume, uint64_t lsn, struct moment *ret,
			 struct problem *why)
{
	struct moment horizon, now;
	int r;

	volume_now(volume, &now);
	volume_horizon(volume, &horizon);
	if (lsn > now.lsn)
		return problem(why, -ERANGE, "lsn:%llu is in the future; now is lsn:%llu",
			       (unsigned long long)lsn, (unsigned long long)now.lsn);
	if (lsn < horizon.lsn)
		return too_early(&horizon, why);
	ret->lsn = lsn;
	r = time_before(volume, lsn, &ret->time_us, why);
	return r;
}

/* --- Marks ------------------------------------------------------------------------------------ */

static struct mark *find_mark(struct volume *v, const char *name)
{
	for (size_t i = v->timeline.mark_count; i-- > 0;)
		if (strcmp(v->timeline.marks[i].name, name) == 0)
			return &v->timeline.marks[i];
	return NULL;
}

static int set_mark(struct volume *v, const char *name, struct moment *ret, struct problem *why)
{
	struct change change = {.type = CHANGE_MARK, .name = {name, strlen(name)}};
	struct mark *old = find_mark(v, name);
	struct tape_record record;
	struct moment horizon;
	int r;

	volume_compute_horizon(v, &horizon);
	if (old && old->moment.lsn >= horizon.lsn) {
		char text[CLOCK_TEXT_MAX];

		clock_format(old->moment.time_us, text);
		return problem(why, -EEXIST, "there is a mark '%s' already, at %s", name, text);
	}
	r = volume_commit(v, &change, NULL, 0, &record);
	if (r < 0)
		return problem_errno(why, r, "cannot record the mark");
	*ret = (struct moment){record.lsn, record.time_us};
	return 0;
}

int volume_mark(struct volume *volume, const char *name, struct moment *ret, struct problem *why)
{
	int r;

	if (!*name || strlen(name) > VOLUME_MARK_MAX)
		return problem(why, -EINVAL, "a mark's name has 1 to %d bytes", VOLUME_MARK_MAX);
	for (const char *c = name; *c; c++)
		if (iscntrl((unsigned char)*c))
			return problem(why, -EINVAL, "a mark's name has no control characters");
	CHANGE_HEAD(volume, r, set_mark(volume, name, ret, why));
	if (r < 0)
		return r;
	r = volume_sync(volume);
	return r < 0 ? problem_errno(why, r, "the mark could not be made durable") : 0;
}

static int no_such_mark(struct volume *v, const char *name, struct problem *why)
{
	char list[512] = "";
	size_t used = 0;

	for (size_t i = v->timeline.mark_count; i-- > 0 && used + 2 < sizeof list;)
		used += snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
				 v->timeline.marks[i].name);
	return problem(why, -ENOENT, "there is no mark '%s'; %s%s", name,
		       *list ? "there are: " : "there are none", list);
}

int volume_find_mark(struct volume *volume, const char *name, struct moment *ret,
		     struct problem *why)
{
	struct moment horizon;
	struct mark *mark;
	int r = 0;

	pthread_rwlock_rdlock(&volume->lock);
	mark = find_mark(volume, name);
	volume_compute_horizon(volume, &horizon);
	if (!mark)
		r = no_such_mark(volume, name, why);
	else if (mark->moment.lsn < horizon.lsn)
		r = too_early(&horizon, why);
	else
		*ret = mark->moment;
	pthread_rwlock_unlock(&volume->lock);
	return r;
}

int volume_for_each_mark(struct volume *volume,
			 int (*fn)(const struct volume_mark *mark, void *arg), void *arg)
{
	struct moment horizon;
	int r = 0;

	pthread_rwlock_rdlock(&volume->lock);
	volume_compute_horizon(volume, &horizon);
	for (size_t i = 0; i < volume->timeline.mark_count && r == 0; i++) {
		struct mark *mark = &volume->timeline.marks[i];

		r = fn(&(struct volume_mark){mark->name, mark->moment,
					     mark->moment.lsn >= horizon.lsn},
		       arg);
	}
	pthread_rwlock_unlock(&volume->lock);
	return r;
}

/* --- Going back ------------------------------------------------------------------------------- */

static int check_reachable(struct volume *v, const struct moment *to, struct problem *why)
{
	struct moment checked;

	return volume_moment_at_lsn(v, to->lsn, &checked, why);
}

int volume_plan_backtrack(struct volume *volume, const struct moment *to, struct volume_plan *ret,
			  struct problem *why)
{
	int r;

	r = check_reachable(volume, to, why);
	if (r < 0)
		return r;
	volume_now(volume, &ret->from);
	ret->to = *to;
	r = volume_count_records(volume, to->lsn, ret->from.lsn, &ret->records, &ret->bytes, why);
	if (r < 0)
		return r;
	pthread_mutex_lock(&volume->fold_lock);
	ret->replay_records = volume_replay_length(volume, to->lsn);
	pthread_mutex_unlock(&volume->fold_lock);
	return 0;
}

/* Record the backtrack and make `*state` the head; `*state` is then the old head. */
static int switch_head(struct volume *v, const struct change *change,
		       const struct volume_backtrack_options *options, struct state **state)
{
	struct state *old = v->head.state;
	struct tape_record record;
	int r;

	/* The record is applied to the head it makes: one that is taken back if the tape does not
	 * take the record. */
	v->head.state = *state;
	r = volume_commit(v, change, NULL, 0, &record);
	if (r < 0) {
		v->head.state = old;
		return r;
	}
	*state = old;
	if (options->switched)
		options->switched(options->arg);
	return 0;
}

static int backtrack(struct volume *v, const struct moment *to,
		     const struct volume_backtrack_options *options, struct volume_backtrack *ret,
		     struct problem *why)
{
	CLEANUP(state) struct state *state = NULL;
	struct change change = {
		.type = CHANGE_BACKTRACK,
		.target = to->lsn,
		.target_time_us = to->time_us,
		.asked_time_us = options->asked_time_us,
	};
	struct moment now;
	int r;

	r = check_reachable(v, to, why);
	if (r >= 0)
		r = volume_build_state(v, to->lsn, options->progress, options->arg, &state, why);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&v->lock);
	volume_now(v, &now);
	r = volume_count_records(v, to->lsn, now.lsn, &change.records, NULL, why);
	change.from_time_us = now.time_us;
	change.number = v->timeline.next_number;
	if (r >= 0)
		r = switch_head(v, &change, options, &state);
	if (r >= 0)
		*ret = v->timeline.backtracks[v->timeline.backtrack_count - 1];
	pthread_rwlock_unlock(&v->lock);
	if (r >= 0)
		r = volume_sync(v);
	return r < 0 ? problem_errno(why, r, "cannot record the backtrack") : 0;
}

int volume_backtrack(struct volume *volume, const struct moment *to,
		     const struct volume_backtrack_options *options, struct volume_backtrack *ret,
		     struct problem *why)
{
	static const struct volume_backtrack_options none;
	int64_t started = clock_monotonic_us();
	struct room_wish wish = {0};
	int r;

	if (volume->options.read_only)
		return problem(why, -EROFS, "the volume is open for reading only");
	do {
		pthread_mutex_lock(&volume->fold_lock);
		r = backtrack(volume, to, options ? options : &none, ret, why);
		pthread_mutex_unlock(&volume->fold_lock);
	} while (r == -ENOSPC && volume_make_room(volume, &wish));
	if (r >= 0)
		ret->rewind_us = clock_monotonic_us() - started;
	return r;
}

int volume_backtrack_took(struct volume *volume, uint64_t number, int64_t kill_us,
			  int64_t rewind_us, int64_t start_us)
{
	struct change change = {
		.type = CHANGE_TOOK,
		.number = number,
		.kill_us = kill_us,
		.rewind_us = rewind_us,
		.start_us = start_us,
	};
	struct tape_record record;
	int r;

	CHANGE_HEAD(volume, r, volume_commit(volume, &change, NULL, 0, &record));
	return r < 0 ? r : volume_sync(volume);
}

int volume_for_each_backtrack(struct volume *volume,
			      int (*fn)(const struct volume_backtrack *backtrack, void *arg),
			      void *arg)
{
	int r = 0;

	pthread_rwlock_rdlock(&volume->lock);
	for (size_t i = 0; i < volume->timeline.backtrack_count && r == 0; i++)
		r = fn(&volume->timeline.backtracks[i], arg);
	pthread_rwlock_unlock(&volume->lock);
	return r;
}

/* --- Views ------------------------------------------------------------------------------------ */

int volume_view(struct volume *volume, const struct moment *at, struct view **ret,
		struct problem *why)
{
	struct view *view = xcalloc(1, sizeof *view);
	int r;

	view->volume = volume;
	view->moment = *at;
	pthread_mutex_lock(&volume->fold_lock);
	r = check_reachable(volume, at, why);
	if (r >= 0)
		r = volume_build_state(volume, at->lsn, NULL, NULL, &view->state, why);
	if (r >= 0) {
		state_purge(view->state);
		view->next = volume->views;
		volume->views = view;
		horizon_pin(volume);
		*ret = view;
	} else {
		free(view);
	}
	pthread_mutex_unlock(&volume->fold_lock);
	return r;
}

void view_close(struct view *view)
{
	struct volume *v;

	if (!view)
		return;
	v = view->volume;
	pthread_mutex_lock(&v->fold_lock);
	for (struct view **link = &v->views; *link; link = &(*link)->next)
		if (*link == view) {
			*link = view->next;
			break;
		}
	horizon_pin(v);
	pthread_mutex_unlock(&v->fold_lock);
	state_free(view->state);
	free(view);
}

/* --- What happened when
 * ----------------------------------------------------------------------------- */

struct history {
	struct volume *v;
	int64_t since_us, until_us, step_us;
	struct volume_step *steps;
	size_t count;
};

static void count_at(struct history *h, int64_t time_us, uint64_t records, uint64_t bytes)
{
	if (time_us < h->since_us || time_us > h->until_us)
		return;
	h->steps[(time_us - h->since_us) / h->step_us].records += records;
	h->steps[(time_us - h->since_us) / h->step_us].bytes += bytes;
}

static int history_record(const struct tape_record *record, void *arg)
{
	count_at(arg, record->time_us, 1, record->data_size);
	return 0;
}

static int history_segment(const struct tape_segment *segment, void *arg)
{
	struct history *h = arg;
	int64_t first = segment->first_time_us, last = segment->last_time_us;

	if (!segment->records || last < h->since_us || first > h->until_us)
		return 0;
	if (first >= h->since_us && last <= h->until_us &&
	    (first - h->since_us) / h->step_us == (last - h->since_us) / h->step_us) {
		count_at(h, first, segment->records, segment->data_bytes);
		return 0;
	}
	return tape_scan(h->v->tape, segment->lsn, segment->end, history_record, h, NULL);
}

int volume_history(struct volume *volume, int64_t since_us, int64_t until_us, int64_t step_us,
		   int (*fn)(const struct volume_step *step, void *arg), void *arg)
{
	struct history h = {
		.v = volume, .since_us = since_us, .until_us = until_us, .step_us = step_us};
	CLEANUP(free) struct volume_step *steps = NULL;
	int r;

	if (step_us <= 0 || until_us < since_us)
		return -EINVAL;
	if ((until_us - since_us) / step_us >= HISTORY_STEPS_MAX)
		return -E2BIG;
	h.count = (until_us - since_us) / step_us + 1;
	h.steps = steps = xcalloc(h.count, sizeof *steps);
	for (size_t i = 0; i < h.count; i++)
		steps[i].time_us = since_us + (int64_t)i * step_us;
	r = tape_segments(volume->tape, history_segment, &h);
	for (size_t i = 0; i < h.count && r >= 0; i++) {
		r = fn(&steps[i], arg);
		if (r)
			break;
	}
	return r;
}
