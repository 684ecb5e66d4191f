/*
 * Maintain: rounds of background work, by a thread of the volume's own or by whoever calls; and
 * waiting for one that makes room.
 */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <time.h>

/* --- Room ---------------------------------------------------------------------------------- */

uint64_t volume_reserve(struct volume *v)
{
	struct disk_space space;

	if (v->options.bytes_reserved || disk_space(v->disk, &space) < 0)
		return v->options.bytes_reserved;
	return MAX(space.bytes_total / 20, 4 * v->segment_bytes);
}

uint64_t volume_free_bytes(struct volume *v)
{
	struct disk_space space;

	if (disk_space(v->disk, &space) < 0)
		return 0;
	return space.bytes_free - MIN(space.bytes_free, v->tape ? tape_debt(v->tape) : 0);
}

/* --- Rounds ----------------------------------------------------------------------------------- */

/*
 * Checkpoint, fold, drop, as far as there is reason to.  With no room left, what is on its way to
 * being sealed must not be missed: it may be all that there is to drop.
 */
static int work(struct volume *v, bool urgent)
{
	int r;

	if (checkpoint_is_due(v))
		volume_checkpoint(v);
	r = urgent ? tape_settle(v->tape) : 0;
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->fold_lock);
	r = v->fold_error ? fold_recover(v) : 0;
	if (r >= 0)
		r = horizon_step(v, urgent);
	pthread_mutex_unlock(&v->fold_lock);
	return r;
}

int volume_maintain(struct volume *volume)
{
	bool short_now, urgent;
	uint64_t drops;
	int r;

	if (volume->options.read_only)
		return 0;
	short_now = volume_free_bytes(volume) < volume_reserve(volume);
	pthread_mutex_lock(&volume->notes_lock);
	urgent = short_now || volume->room_wanted;
	volume->room_wanted = false;
	volume->space_short = short_now;
	drops = volume->drops;
	pthread_mutex_unlock(&volume->notes_lock);
	r = tape_broken(volume->tape) ? 0 : work(volume, urgent);
	figures_take_sample(volume);
	pthread_mutex_lock(&volume->notes_lock);
	volume->rounds++;
	volume->round_gained = volume->drops > drops;
	volume->round_more = r == 1;
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
		step = horizon_step_bytes(v, false) * 1000000 / v->options.fold_bytes_per_second;
		pause = more == 1 ? step - (clock_monotonic_us() - started) : 1000000;
		if (more == 1 && is_short(v))
			pause = 0;
		pause = MAX(pause, (int64_t)0);
	}
	return NULL;
}

bool volume_wait_for_stop(struct volume *v, pthread_cond_t *wake, int64_t us)
{
	int64_t until = clock_realtime_us() + us;
	struct timespec deadline = {until / 1000000, until % 1000000 * 1000};
	bool stop;
	int r = 0;

	pthread_mutex_lock(&v->notes_lock);
	while (!v->stop && r == 0)
		r = pthread_cond_timedwait(wake, &v->notes_lock, &deadline);
	stop = v->stop;
	pthread_mutex_unlock(&v->notes_lock);
	return stop;
}

int volume_start_thread(struct volume *v)
{
	int r = pthread_create(&v->thread, NULL, run, v);

	v->thread_runs = r == 0;
	if (r == 0 && v->options.repack)
		repack_start_thread(v);
	if (r == 0 && v->attached)
		clone_start_thread(v);
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
	repack_stop_thread(v);
	clone_stop_thread(v);
	pthread_join(v->thread, NULL);
	v->thread_runs = false;
}

/*
 * Rounds that began after the wish, until one has made room, or there is nothing left to do: a step
 * of a fold takes room before a later one, which ends a segment, gives any.  Ends with the word
 * whether room was made.
 */
static bool wait_for_rounds(struct volume *v)
{
	uint64_t before, wished;
	bool gained;

	pthread_mutex_lock(&v->notes_lock);
	do {
		before = v->rounds;
		wished = before - 1;
		/* One that is under way now may have looked already: its end does not count unless
		 * it gained, and the next one is to come at once. */
		while (!v->stop &&
		       (v->rounds < before + 1 || (v->rounds < before + 2 && !v->round_gained))) {
			if (v->rounds != wished) {
				wished = v->rounds;
				v->room_wanted = true;
				pthread_cond_signal(&v->wake);
			}
			pthread_cond_wait(&v->round_done, &v->notes_lock);
		}
		gained = v->round_gained;
	} while (!v->stop && !gained && v->round_more);
	pthread_mutex_unlock(&v->notes_lock);
	return gained;
}

static bool run_rounds(struct volume *v)
{
	int more;

	do {
		v->room_wanted = true;
		more = volume_maintain(v);
	} while (more == 1 && !v->round_gained);
	return v->round_gained;
}

static int note_first(const struct tape_segment *segment, void *arg)
{
	*(uint64_t *)arg = segment->lsn;
	return 1;
}

/*
 * More than the segment in use and the one behind it, and some of it older than the wish: what has
 * been written and folded meanwhile is others' room, which would go round for ever.
 */
static bool has_history(struct volume *v, uint64_t wished_at)
{
	struct tape_stats tape;
	uint64_t first = UINT64_MAX;

	tape_get_stats(v->tape, &tape);
	tape_segments(v->tape, note_first, &first);
	return tape.segments > LAST_SEGMENTS + 1 && first + v->segment_bytes <= wished_at;
}

bool volume_make_room(struct volume *v, struct room_wish *wish)
{
	bool gained;

	if (!wish->at)
		wish->at = tape_end(v->tape);
	gained = v->thread_runs ? wait_for_rounds(v) : run_rounds(v);
	return gained && (!wish->grows || has_history(v, wish->at));
}
