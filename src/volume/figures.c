/* Figures: what an operator watches.  Counted as things happen; asking costs little, also while a
 * fold runs. */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

void figures_count_up(struct volume *v, uint64_t *counter, uint64_t by)
{
	pthread_mutex_lock(&v->notes_lock);
	*counter += by;
	pthread_mutex_unlock(&v->notes_lock);
}

void figures_count_pins(struct volume *v)
{
	uint64_t bytes = 0, pins = 0;

	for (size_t i = 0; i < v->checkpoint_count; i++)
		bytes += v->checkpoints[i].bytes;
	for (struct view *view = v->views; view; view = view->next)
		pins++;
	pins += v->holds;
	pthread_mutex_lock(&v->notes_lock);
	v->checkpoint_bytes = bytes;
	v->pins = pins;
	pthread_mutex_unlock(&v->notes_lock);
}

void figures_note_folding(struct volume *v, bool folding)
{
	pthread_mutex_lock(&v->notes_lock);
	v->folding = folding;
	pthread_mutex_unlock(&v->notes_lock);
}

/* It opens every file: after a fold, not whenever somebody asks. */
void figures_measure_base(struct volume *v)
{
	uint64_t bytes = base_bytes(v->base);

	pthread_mutex_lock(&v->notes_lock);
	v->base_bytes = bytes;
	pthread_mutex_unlock(&v->notes_lock);
}

void figures_take_sample(struct volume *v)
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

/* A minute of history says something about an hour. */
#define TELLING_US 60000000

static void get_history(struct volume *v, struct volume_stats *ret)
{
	/* A young volume's window reaches to before it was made. */
	int64_t us = MIN(ret->window_actual_us, volume_clock(v) - v->created_us);

	ret->history_bytes = horizon_history_bytes(v);
	if (us < TELLING_US)
		return;
	ret->history_bytes_per_hour = (double)ret->history_bytes * 3600e6 / us;
	ret->history_bytes_needed = ret->history_bytes_per_hour * ret->window_target_us / 3600e6;
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
	ret->packed_bytes = tape.packed_bytes;
	ret->packed_from_bytes = tape.packed_segments * volume->segment_bytes;
	tape_segments(volume->tape, add_records, &ret->records_stored);

	pthread_rwlock_rdlock(&volume->lock);
	ret->window_target_us = volume->window_us;
	volume_compute_horizon(volume, &ret->horizon);
	ret->window_actual_us = MAX(volume_clock(volume) - ret->horizon.time_us, (int64_t)0);
	ret->history_max_bytes = volume->history_max;
	ret->extents = volume->head.state->extents;
	ret->inodes = volume->head.state->inodes.count;
	ret->memory_bytes = state_memory(volume->head.state);
	ret->replayed_records = volume->replayed_records;
	pthread_rwlock_unlock(&volume->lock);

	get_history(volume, ret);
	pthread_mutex_lock(&volume->notes_lock);
	ret->attached = volume->attached;
	pthread_mutex_unlock(&volume->notes_lock);

	pthread_mutex_lock(&volume->notes_lock);
	get_rates(volume, ret);
	ret->folds = volume->folds;
	ret->checkpoints = volume->checkpoints_written;
	ret->folding = volume->folding;
	ret->checkpoint_bytes = volume->checkpoint_bytes;
	ret->pins = volume->pins;
	ret->base_bytes = volume->base_bytes;
	ret->shared_bytes = volume->shared_bytes;
	ret->space_short = volume->space_short;
	memcpy(ret->last_error, volume->last_error, sizeof ret->last_error);
	ret->last_error_time_us = volume->last_error_time_us;
	pthread_mutex_unlock(&volume->notes_lock);
}
