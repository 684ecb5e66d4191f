/*
 * The tape's writing side: the ring, appending, the thread.
 */
#include "tape/internal.h"
#include "base/alloc.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>

#define RING_MIN (64 * 1024)
#define WRITE_BEHIND_PART 8
/* Who writes faster is in a hurry. */
#define HURRY_BYTES_PER_MICROSECOND 128
#define RING_DEFAULT (16 * 1024 * 1024)
/* Of unpacked groups of packs, kept for the next read. */
#define UNPACKED_BYTES (32 * 1024 * 1024)

/* --- The ring ----------------------------------------------------------------------------- */

static void ring_put(struct tape *tape, uint64_t lsn, const void *data, size_t size)
{
	uint64_t at = tape_ring_at(tape, lsn);
	size_t first = MIN((uint64_t)size, tape->options.ring_bytes - at);

	if (first)
		memcpy(tape->ring + at, data, first);
	if (size > first)
		memcpy(tape->ring, (const uint8_t *)data + first, size - first);
}

/* The ring can hold everything from the block that the next write begins with up to `end`. */
static bool ring_holds(struct tape *tape, uint64_t end)
{
	return end - ALIGN_DOWN(tape->written, DISK_BLOCK) <= tape->options.ring_bytes;
}

/* --- Putting records in order (lock held) ------------------------------------------------- */

struct piece {
	uint16_t type;
	int64_t time_us;
	const void *meta;
	uint32_t meta_size;
	const le32 *table;
	const struct iovec *data;
	int data_count;
	uint32_t data_size;
};

/* Copy the record to the end of the tape; reserve() has made room. */
static void put_record(struct tape *tape, const struct piece *piece, struct record *ret)
{
	static const uint8_t zeros[TAPE_ALIGN];
	struct tape_record_header header;
	uint64_t at = tape->end, end;

	*ret = (struct record){
		.lsn = tape->end,
		.time_us = piece->time_us,
		.durable = tape->proven,
		.meta_size = piece->meta_size,
		.data_size = piece->data_size,
		.epoch = tape->epoch,
		.type = piece->type,
	};
	end = at + record_size(piece->meta_size, piece->data_size);
	record_encode(ret, piece->meta, piece->table, tape->seed, &header);
	ring_put(tape, at, &header, sizeof header);
	ring_put(tape, at + sizeof header, piece->meta, piece->meta_size);
	ring_put(tape, at + sizeof header + piece->meta_size, zeros,
		 ALIGN_UP(piece->meta_size, 4u) - piece->meta_size);
	at += record_table_offset(piece->meta_size);
	ring_put(tape, at, piece->table, 4 * record_blocks(piece->data_size));
	at += 4 * record_blocks(piece->data_size);
	for (int i = 0; i < piece->data_count; i++) {
		ring_put(tape, at, piece->data[i].iov_base, piece->data[i].iov_len);
		at += piece->data[i].iov_len;
	}
	ring_put(tape, at, zeros, end - at);

	tape->end = end;
	tape->started = true;
	if (end > tape->options.ring_bytes)
		tape->ring_from = MAX(tape->ring_from, end - tape->options.ring_bytes);
	segment_count_record(tape->active, ret, end);
	if (!record_is_own(ret))
		index_add(tape->active->index, &header, piece->meta);
}

/* One of the tape's own: it takes no time of its own, so that it cannot push that of others. */
static void put_own(struct tape *tape, uint16_t type, const void *meta, uint32_t meta_size)
{
	struct piece piece = {type, tape->last_time_us, meta, meta_size, NULL, NULL, 0, 0};
	struct record record;

	put_record(tape, &piece, &record);
}

/* How fast the active segment was filled tells what is made next: see spares_prepare(). */
static void note_pace(struct tape *tape)
{
	const struct segment *segment = tape->active;

	tape->hurried = segment &&
			segment->summary.last_time_us - segment->summary.first_time_us <
				(int64_t)tape->options.segment_bytes / HURRY_BYTES_PER_MICROSECOND;
}

/*
 * `next` becomes the active segment.  All before it is durable, so that the bytes of a segment are
 * on the disk before those of the next, and a flush has to do with one file only.
 */
static void begin_segment(struct tape *tape)
{
	struct tape_segment_meta meta = {
		.segment_bytes = to_le64(tape->options.segment_bytes),
		.prev_end = to_le64(tape->end),
	};
	struct segment *segment = segment_new(tape->next_lsn);

	memcpy(meta.uuid, tape->options.uuid, sizeof meta.uuid);
	note_pace(tape);
	if (tape->active)
		tape->active->state = SEGMENT_FULL;
	segment->file = take(tape->next);
	if (tape->next_blank)
		segment->blank_from = tape->next_lsn;
	tape->next_blank = false;
	segment->index = index_new();
	segments_add(tape, segment);
	tape->active = segment;
	assert(tape->durable == tape->end && tape->written == tape->end);
	tape->durable = tape->written = tape->end = tape->next_lsn;
	tape->next_lsn += tape->options.segment_bytes;
	put_own(tape, TAPE_TYPE_SEGMENT, &meta, sizeof meta);
	tape->prepare_wanted = true;
	pthread_cond_signal(&tape->work);
}

/*
 * So much waits for a sync that a ring full of it would be near: the thread writes it while others
 * go on.
 */
static bool is_behind(const struct tape *tape)
{
	return tape->end - tape->written >= tape->options.ring_bytes / WRITE_BEHIND_PART;
}

/* --- Appending ---------------------------------------------------------------------------- */

static bool fits_active(struct tape *tape, uint64_t size)
{
	return tape->active && tape->end + size + RECORD_CLOSE_SIZE <= tape->next_lsn;
}

/*
 * While there is no next segment, the last part of this one is for records without data: on a full
 * disk files can still be removed.
 */
static uint64_t kept_back(struct tape *tape, enum tape_room room)
{
	return room != TAPE_RELEASE && !tape->next ? tape->options.segment_bytes / 8 : 0;
}

/* One step towards room for `size` bytes at the end of the tape.  1: there is; 0: look again;
 * -errno. */
static int reserve_step(struct tape *tape, uint64_t size, enum tape_room room)
{
	if (tape->broken)
		return tape->broken;
	if (!fits_active(tape, size + kept_back(tape, room))) {
		if (!tape->next)
			return spares_prepare(tape, room);
		if (tape->durable < tape->end)
			return flush_upto(tape, tape->end, FLUSH_DURABLE);
		begin_segment(tape);
		return 0;
	}
	if (ring_holds(tape, tape->end + size))
		return 1;
	return flush_upto(tape, tape->end, FLUSH_WRITTEN);
}

static int reserve(struct tape *tape, uint64_t size, enum tape_room room)
{
	int r;

	do
		r = reserve_step(tape, size, room);
	while (r == 0);
	return MIN(r, 0);
}

static int64_t next_time(struct tape *tape)
{
	int64_t now = tape->options.clock ? tape->options.clock(tape->options.clock_arg)
					  : clock_realtime_us();

	tape->last_time_us = MAX(tape->last_time_us, now);
	return tape->last_time_us;
}

int tape_append(struct tape *tape, uint16_t type, enum tape_room room, const void *meta,
		size_t meta_size, const struct iovec *data, int data_count, struct tape_record *ret)
{
	le32 table[TAPE_DATA_MAX / TAPE_CHECK_BLOCK];
	struct piece piece = {
		.type = type, .meta = meta, .table = table, .data = data, .data_count = data_count};
	struct record record;
	size_t data_size = disk_iov_size(data, data_count);
	uint32_t size;
	int r;

	if (meta_size > TAPE_META_MAX || data_size > TAPE_DATA_MAX)
		return -E2BIG;
	piece.meta_size = meta_size;
	piece.data_size = data_size;
	size = record_size(meta_size, data_size);
	if (size > tape->record_size_max)
		return -E2BIG;
	if (type == 0 || type >= TAPE_TYPE_OWN)
		return -EINVAL;
	if (tape->options.read_only)
		return -EROFS;
	if (room == TAPE_GROWTH && atomic_fetch_sub(&tape->growth_left, size) <= 0) {
		r = spares_allow_growth(tape);
		if (r < 0)
			return r;
	}
	record_sum_data(data, data_count, table);

	pthread_mutex_lock(&tape->lock);
	r = reserve(tape, size, room);
	if (r == 0) {
		piece.time_us = next_time(tape);
		put_record(tape, &piece, &record);
		if (tape->threaded && is_behind(tape) && !tape->writing)
			pthread_cond_signal(&tape->work);
		tape->stats.records_appended++;
		tape->stats.bytes_appended += size;
	}
	pthread_mutex_unlock(&tape->lock);
	if (r == 0 && ret)
		record_show(&record, ret);
	return r;
}

int tape_sync(struct tape *tape, uint64_t upto)
{
	int r;

	if (tape->options.read_only)
		return -EROFS;
	pthread_mutex_lock(&tape->lock);
	tape->stats.syncs_asked++;
	r = flush_upto(tape, MIN(upto, tape->end), FLUSH_DURABLE);
	pthread_mutex_unlock(&tape->lock);
	return r;
}

int tape_settle(struct tape *tape)
{
	int r;

	pthread_mutex_lock(&tape->lock);
	r = flush_upto(tape, tape->end, FLUSH_DURABLE);
	while (tape->sealing)
		pthread_cond_wait(&tape->changed, &tape->lock);
	segments_seal(tape);
	pthread_mutex_unlock(&tape->lock);
	return r;
}

int tape_put_cut(struct tape *tape)
{
	int r;

	pthread_mutex_lock(&tape->lock);
	r = reserve(tape, sizeof(struct tape_record_header), TAPE_RELEASE);
	if (r == 0) {
		put_own(tape, TAPE_TYPE_CUT, NULL, 0);
		r = flush_upto(tape, tape->end, FLUSH_DURABLE);
	}
	pthread_mutex_unlock(&tape->lock);
	return r;
}

/* --- The thread --------------------------------------------------------------------------- */

/*
 * What the thread does once; false when there was nothing.  A preparation that fails is not tried
 * again before it is wanted again: who needs it now does it himself and learns why.
 */
static bool work_once(struct tape *tape)
{
	if (tape->prepare_wanted && !tape->broken) {
		tape->prepare_wanted = false;
		if (!tape->next && !tape->preparing)
			(void)spares_prepare(tape, TAPE_GROWTH);
		return true;
	}
	if (is_behind(tape) && !tape->writing && !tape->broken) {
		(void)flush_upto(tape, tape->end, FLUSH_WRITTEN);
		return true;
	}
	if (segments_unsealed(tape) && !tape->sealing) {
		segments_seal(tape);
		return true;
	}
	return false;
}

/*
 * The hurry is over: what comes now is likely to be little, and waited for.  The reserve comes
 * first: a disk may be about to be full, and writing zeros takes long while others write there.
 */
static void fill_in(struct tape *tape)
{
	while (!tape->stop && !tape->prepare_wanted && !is_behind(tape) && spares_whole(tape) &&
	       flush_fill(tape))
		;
}

static void *thread_main(void *arg)
{
	struct tape *tape = arg;
	struct timespec until;

	pthread_mutex_lock(&tape->lock);
	while (!tape->stop) {
		if (work_once(tape))
			continue;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		if (pthread_cond_timedwait(&tape->work, &tape->lock, &until) == ETIMEDOUT) {
			(void)flush_upto(tape, tape->end, FLUSH_DURABLE);
			spares_hold(tape);
			fill_in(tape);
		}
	}
	pthread_mutex_unlock(&tape->lock);
	return NULL;
}

static int start_thread(struct tape *tape)
{
	int r = pthread_create(&tape->thread, NULL, thread_main, tape);

	if (r != 0)
		return -r;
	return 0;
}

static void stop_thread(struct tape *tape)
{
	pthread_mutex_lock(&tape->lock);
	tape->stop = true;
	pthread_cond_signal(&tape->work);
	pthread_mutex_unlock(&tape->lock);
	pthread_join(tape->thread, NULL);
	tape->threaded = false;
}

/* --- Open and close ----------------------------------------------------------------------- */

static int check_options(struct tape_options *options, struct problem *why)
{
	uint64_t ring;

	if (options->spares_held > TAPE_SPARES_HELD_MAX)
		return problem(why, -EINVAL, "%u spare segments are too many to hold",
			       options->spares_held);
	if (options->segment_bytes < TAPE_SEGMENT_BYTES_MIN || options->segment_bytes % DISK_BLOCK)
		return problem(why, -EINVAL, "a segment of %" PRIu64 " bytes is not possible",
			       options->segment_bytes);
	ring = options->ring_bytes;
	if (!ring) /* the largest power of two that divides it */
		ring = MIN(options->segment_bytes & -options->segment_bytes,
			   (uint64_t)RING_DEFAULT);
	if (ring < RING_MIN || (ring & (ring - 1)) || options->segment_bytes % ring)
		return problem(why, -EINVAL,
			       "a ring of %" PRIu64
			       " bytes is not possible with segments of %" PRIu64,
			       ring, options->segment_bytes);
	options->ring_bytes = ring;
	return 0;
}

static void tape_free(struct tape *tape)
{
	for (size_t i = 0; i < tape->segment_count; i++) {
		packs_unref(tape, tape->segments[i]->pack);
		segment_free(tape->segments[i]);
	}
	free(tape->segments);
	disk_file_close(tape->next);
	files_done(&tape->files);
	files_done(&tape->pack_files);
	unpacked_done(&tape->unpacked);
	free(tape->ring);
	free(tape->bounce);
	pthread_cond_destroy(&tape->changed);
	pthread_cond_destroy(&tape->work);
	pthread_mutex_destroy(&tape->lock);
	free(tape);
}
DEFINE_CLEANUP(struct tape *, half_open, tape_free)

static struct tape *tape_new(struct disk *disk, const struct tape_options *options)
{
	struct tape *tape = xcalloc(1, sizeof *tape);
	pthread_condattr_t attr;

	tape->disk = disk;
	tape->options = *options;
	tape->seed = record_seed(options->uuid);
	/* Beside it must fit: a segment's first record and a close; in the ring, a begun block. */
	tape->record_size_max = MIN(options->segment_bytes, options->ring_bytes - DISK_BLOCK) -
				RECORD_SEGMENT_SIZE - RECORD_CLOSE_SIZE;
	pthread_mutex_init(&tape->lock, NULL);
	pthread_cond_init(&tape->changed, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&tape->work, &attr);
	pthread_condattr_destroy(&attr);
	files_init(&tape->files, disk, segment_name);
	files_init(&tape->pack_files, disk, pack_name);
	unpacked_init(&tape->unpacked, UNPACKED_BYTES);
	if (!options->read_only) {
		tape->ring = xcheck(aligned_alloc(DISK_BLOCK, options->ring_bytes));
		tape->bounce = xcheck(aligned_alloc(DISK_BLOCK, TAPE_BOUNCE_BYTES + DISK_BLOCK));
	}
	return tape;
}

int tape_open(struct disk *disk, const struct tape_options *options, struct tape **ret,
	      struct problem *why)
{
	CLEANUP(half_open) struct tape *tape = NULL;
	struct tape_options checked = *options;
	int r;

	r = check_options(&checked, why);
	if (r < 0)
		return r;
	tape = tape_new(disk, &checked);
	r = tape_recover(tape, why);
	if (r < 0)
		return r;
	if (!options->read_only && options->background) {
		tape->threaded = tape->prepare_wanted = true;
		r = start_thread(tape);
		if (r < 0)
			return problem_errno(why, r, "cannot start the tape's thread");
	}
	*ret = take(tape);
	return 0;
}

/*
 * The last word of an opening that appended something: it vouches for what the last flush wrote,
 * which otherwise nothing on the tape could tell from a torn tail.
 */
static void put_close(struct tape *tape)
{
	if (!tape->started || flush_upto(tape, tape->end, FLUSH_DURABLE) < 0)
		return;
	put_own(tape, TAPE_TYPE_CLOSE, NULL, 0);
	(void)flush_upto(tape, tape->end, FLUSH_DURABLE);
}

void tape_close(struct tape *tape)
{
	if (!tape)
		return;
	if (tape->threaded)
		stop_thread(tape);
	pthread_mutex_lock(&tape->lock);
	if (!tape->options.read_only && !tape->broken) {
		put_close(tape);
		segments_seal(tape);
	}
	pthread_mutex_unlock(&tape->lock);
	tape_free(tape);
}

/* --- Looking ------------------------------------------------------------------------------ */

uint64_t tape_end(struct tape *tape)
{
	uint64_t end;

	pthread_mutex_lock(&tape->lock);
	end = tape->end;
	pthread_mutex_unlock(&tape->lock);
	return end;
}

uint64_t tape_durable(struct tape *tape)
{
	uint64_t durable;

	pthread_mutex_lock(&tape->lock);
	durable = tape->durable;
	pthread_mutex_unlock(&tape->lock);
	return durable;
}

int64_t tape_last_time(struct tape *tape)
{
	int64_t time_us;

	pthread_mutex_lock(&tape->lock);
	time_us = tape->last_time_us;
	pthread_mutex_unlock(&tape->lock);
	return time_us;
}

int tape_broken(struct tape *tape)
{
	int broken;

	pthread_mutex_lock(&tape->lock);
	broken = tape->broken;
	pthread_mutex_unlock(&tape->lock);
	return broken;
}

static void count_packed(struct tape *tape, struct tape_stats *ret)
{
	const struct pack *last = NULL;

	ret->packed_segments = ret->packed_bytes = 0;
	for (size_t i = 0; i < tape->segment_count; i++) {
		const struct pack *pack = tape->segments[i]->pack;

		ret->packed_segments += pack != NULL;
		if (pack && pack != last)
			ret->packed_bytes += pack->bytes;
		last = pack ? pack : last;
	}
}

void tape_get_stats(struct tape *tape, struct tape_stats *ret)
{
	pthread_mutex_lock(&tape->lock);
	*ret = tape->stats;
	ret->segments = tape->segment_count;
	count_packed(tape, ret);
	ret->bytes_on_disk = tape->segment_count - ret->packed_segments + (tape->next != NULL) +
			     spares_count(tape, SPARE_READY);
	ret->bytes_on_disk *= tape->options.segment_bytes;
	ret->bytes_on_disk += ret->packed_bytes;
	pthread_mutex_unlock(&tape->lock);
}
