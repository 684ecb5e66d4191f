/*
 * The list of segments: made ahead of need, begun, sealed, dropped, recycled.
 */
#include "tape/internal.h"
#include "base/alloc.h"

#include <assert.h>
#include <errno.h>

/* --- The list ----------------------------------------------------------------------------- */

struct segment *segment_new(uint64_t lsn)
{
	struct segment *segment = xcalloc(1, sizeof *segment);

	segment->summary.lsn = segment->summary.end = lsn;
	return segment;
}

void segment_free(struct segment *segment)
{
	if (!segment)
		return;
	index_unref(segment->index);
	disk_file_close(segment->file);
	free(segment);
}

void segment_count_record(struct segment *segment, const struct record *record, uint64_t end)
{
	struct summary *summary = &segment->summary;

	summary->end = end;
	summary->last_epoch = record->epoch;
	if (record_is_own(record))
		return;
	if (summary->records++ == 0)
		summary->first_time_us = record->time_us;
	summary->last_time_us = record->time_us;
	summary->data_bytes += record->data_size;
}

/* How many segments begin at or before `lsn`. */
static size_t count_upto(struct tape *tape, uint64_t lsn)
{
	size_t low = 0, high = tape->segment_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (tape->segments[middle]->summary.lsn <= lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_in(struct tape *tape, const struct segment *segment, uint64_t lsn)
{
	return lsn - segment->summary.lsn < tape->options.segment_bytes;
}

struct segment *segments_find(struct tape *tape, uint64_t lsn)
{
	size_t i = count_upto(tape, lsn);

	return i > 0 && is_in(tape, tape->segments[i - 1], lsn) ? tape->segments[i - 1] : NULL;
}

struct segment *segments_at_or_after(struct tape *tape, uint64_t lsn)
{
	size_t i = count_upto(tape, lsn);

	if (i > 0 && is_in(tape, tape->segments[i - 1], lsn))
		return tape->segments[i - 1];
	return i < tape->segment_count ? tape->segments[i] : NULL;
}

void segments_add(struct tape *tape, struct segment *segment)
{
	size_t i = count_upto(tape, segment->summary.lsn);

	xgrow(tape->segments, tape->segment_count, tape->segment_room);
	memmove(tape->segments + i + 1, tape->segments + i,
		(tape->segment_count - i) * sizeof *tape->segments);
	tape->segments[i] = segment;
	tape->segment_count++;
}

static void list_remove(struct tape *tape, const struct segment *segment)
{
	size_t i = count_upto(tape, segment->summary.lsn);

	memmove(tape->segments + i - 1, tape->segments + i,
		(tape->segment_count - i) * sizeof *tape->segments);
	tape->segment_count--;
}

bool tape_covers(struct tape *tape, uint64_t from, uint64_t to)
{
	uint64_t bytes = tape->options.segment_bytes;
	bool covers = true;

	pthread_mutex_lock(&tape->lock);
	to = MIN(to, tape->end);
	for (uint64_t lsn = ALIGN_DOWN(from, bytes); lsn < to && covers; lsn += bytes)
		covers = segments_find(tape, lsn) != NULL;
	pthread_mutex_unlock(&tape->lock);
	return covers;
}

int tape_segments(struct tape *tape, int (*fn)(const struct tape_segment *segment, void *arg),
		  void *arg)
{
	struct tape_segment *copies;
	size_t count;
	int r = 0;

	pthread_mutex_lock(&tape->lock);
	count = tape->segment_count;
	copies = xcalloc(count, sizeof *copies);
	for (size_t i = 0; i < count; i++) {
		const struct summary *summary = &tape->segments[i]->summary;

		copies[i] = (struct tape_segment){
			.lsn = summary->lsn,
			.end = summary->end,
			.first_time_us = summary->first_time_us,
			.last_time_us = summary->last_time_us,
			.records = summary->records,
			.data_bytes = summary->data_bytes,
			.sealed = tape->segments[i]->state == SEGMENT_SEALED,
		};
	}
	pthread_mutex_unlock(&tape->lock);
	for (size_t i = 0; i < count && r == 0; i++)
		r = fn(&copies[i], arg);
	free(copies);
	return r;
}

/* --- Making ------------------------------------------------------------------------------- */

/* `bytes` more, and the reserve is still whole. */
static int room_for(struct tape *tape, uint64_t bytes)
{
	uint64_t needed = bytes + tape->options.bytes_reserved;
	struct disk_space space;
	int r = disk_space(tape->disk, &space);

	if (r < 0)
		return r;
	return space.bytes_free < needed ? -ENOSPC : 0;
}

/* Zeros, really written and durable: a flush inside them is one write and changes no metadata. */
static int fill_new(struct tape *tape)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r;

	r = disk_open(tape->disk, TAPE_NEW_NAME, DISK_CREATE, &file);
	if (r < 0)
		return r;
	r = disk_file_truncate(file, 0);
	if (r < 0)
		return r;
	r = disk_file_write_zeros(file, 0, tape->options.segment_bytes);
	if (r < 0)
		return r;
	return disk_file_sync(file);
}

static int make_new(struct tape *tape)
{
	int r = room_for(tape, tape->options.segment_bytes);

	if (r < 0)
		return r;
	r = fill_new(tape);
	if (r < 0)
		(void)disk_remove(tape->disk, TAPE_NEW_NAME);
	return r;
}

/* Under its final name only when whole.  `spare` < 0: none.  No lock held. */
static int make_next(struct tape *tape, int spare, uint64_t lsn, struct disk_file **ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char from[TAPE_NAME_MAX] = TAPE_NEW_NAME, to[TAPE_NAME_MAX];
	int r;

	if (spare >= 0)
		spare_name(from, spare);
	/* A spare takes no room, but with the reserve begun it is not the tape's to use. */
	r = spare < 0 ? make_new(tape) : room_for(tape, 0);
	if (r < 0)
		return r;
	r = disk_rename(tape->disk, from, segment_name(to, lsn));
	if (r < 0)
		return r;
	r = disk_sync_names(tape->disk, TAPE_FOLDER);
	if (r < 0)
		return r;
	r = disk_open(tape->disk, to, 0, &file);
	if (r < 0)
		return r;
	*ret = take(file);
	return 0;
}

static int find_spare(struct tape *tape, enum spare_state state)
{
	for (int i = 0; i < TAPE_SPARES; i++)
		if (tape->spares[i] == state)
			return i;
	return -1;
}

int segments_prepare(struct tape *tape)
{
	int spare = find_spare(tape, SPARE_READY);
	uint64_t lsn = tape->next_lsn;
	struct disk_file *file = NULL;
	int r;

	if (tape->preparing) {
		pthread_cond_wait(&tape->changed, &tape->lock);
		return 0;
	}
	tape->preparing = true;
	if (spare >= 0)
		tape->spares[spare] = SPARE_BUSY;
	pthread_mutex_unlock(&tape->lock);
	r = make_next(tape, spare, lsn, &file);
	pthread_mutex_lock(&tape->lock);
	tape->preparing = false;
	/* Taken, or not to be relied on; but where there was no room, nothing was done with it. */
	if (spare >= 0)
		tape->spares[spare] = r == -ENOSPC ? SPARE_READY : SPARE_NONE;
	if (r == 0)
		tape->next = file;
	pthread_cond_broadcast(&tape->changed);
	return r;
}

/* --- Sealing ------------------------------------------------------------------------------ */

/* The oldest: they are sealed in order, so all before a sealed one are. */
static struct segment *find_unsealed(struct tape *tape)
{
	struct segment *oldest = NULL;

	for (size_t i = tape->segment_count; i > 0; i--) {
		struct segment *segment = tape->segments[i - 1];

		if (segment->state == SEGMENT_SEALED)
			break;
		if (segment->state == SEGMENT_FULL && segment->summary.end <= tape->durable)
			oldest = segment;
	}
	return oldest;
}

bool segments_unsealed(struct tape *tape)
{
	return find_unsealed(tape) != NULL;
}

void segments_seal(struct tape *tape)
{
	struct segment *segment;
	int r;

	if (tape->sealing)
		return;
	tape->sealing = true;
	while ((segment = find_unsealed(tape))) {
		assert(segment->summary.end <= tape->durable);
		/* Full: nobody changes or drops it. */
		pthread_mutex_unlock(&tape->lock);
		r = index_write(segment->index, tape->disk, &segment->summary, tape->seed);
		disk_file_close(take(segment->file));
		pthread_mutex_lock(&tape->lock);
		/* An index that could not be written stays in memory, and the next opening makes
		 * it. */
		if (r == 0)
			index_unref(take(segment->index));
		segment->state = SEGMENT_SEALED;
	}
	tape->sealing = false;
	pthread_cond_broadcast(&tape->changed);
}

/* --- Dropping ----------------------------------------------------------------------------- */

/* The file goes first: an index without its segment is swept up, a segment without index is read.
 */
static int remove_files(struct tape *tape, uint64_t lsn, int spare)
{
	char segment[TAPE_NAME_MAX], other[TAPE_NAME_MAX];
	int r;

	segment_name(segment, lsn);
	if (spare >= 0)
		r = disk_rename(tape->disk, segment, spare_name(other, spare));
	else
		r = disk_remove(tape->disk, segment);
	if (r < 0)
		return r;
	r = disk_remove(tape->disk, index_name(other, lsn));
	if (r < 0 && r != -ENOENT)
		return r;
	/* Room that was given back stays given back: after a crash the disk is not fuller than
	 * before. */
	return disk_sync_names(tape->disk, TAPE_FOLDER);
}

int tape_drop(struct tape *tape, uint64_t lsn)
{
	bool short_of_room = room_for(tape, tape->options.segment_bytes) < 0;
	struct segment *segment;
	int r, spare;

	if (tape->options.read_only)
		return -EROFS;
	pthread_mutex_lock(&tape->lock);
	segment = segments_find(tape, lsn);
	r = !segment || segment->summary.lsn != lsn ? -ENOENT
	    : segment->state != SEGMENT_SEALED      ? -EBUSY
						    : 0;
	if (r < 0) {
		pthread_mutex_unlock(&tape->lock);
		return r;
	}
	list_remove(tape, segment);
	spare = short_of_room ? -1 : find_spare(tape, SPARE_NONE);
	if (spare >= 0)
		tape->spares[spare] = SPARE_BUSY;
	pthread_mutex_unlock(&tape->lock);

	segment_free(segment);
	files_forget(&tape->files, lsn);
	r = remove_files(tape, lsn, spare);
	if (spare >= 0) {
		pthread_mutex_lock(&tape->lock);
		tape->spares[spare] = r == 0 ? SPARE_READY : SPARE_NONE;
		pthread_mutex_unlock(&tape->lock);
	}
	return r;
}
