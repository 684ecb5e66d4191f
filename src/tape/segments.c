/*
 * The list of segments: begun, sealed, dropped.
 */
#include "tape/internal.h"
#include "base/alloc.h"

#include <errno.h>

/* --- The list ----------------------------------------------------------------------------- */

struct segment *segment_new(uint64_t lsn)
{
	struct segment *segment = xcalloc(1, sizeof *segment);

	segment->summary.lsn = segment->summary.end = lsn;
	segment->blank_from = UINT64_MAX;
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
		const struct pack *pack = tape->segments[i]->pack;

		copies[i] = (struct tape_segment){
			.lsn = summary->lsn,
			.end = summary->end,
			.first_time_us = summary->first_time_us,
			.last_time_us = summary->last_time_us,
			.records = summary->records,
			.data_bytes = summary->data_bytes,
			.sealed = tape->segments[i]->state == SEGMENT_SEALED,
			.packed = pack != NULL,
			.pack = pack ? pack->id : 0,
			.pack_segments = pack ? pack->left : 0,
			.pack_bytes = pack ? pack->bytes : 0,
		};
	}
	pthread_mutex_unlock(&tape->lock);
	for (size_t i = 0; i < count && r == 0; i++)
		r = fn(&copies[i], arg);
	free(copies);
	return r;
}

/* --- Sealing ------------------------------------------------------------------------------ */

/*
 * It is durable, and so is a record of a later one: were it dropped before that, nothing would tell
 * recovery where the tape goes on.
 */
static bool is_past(const struct tape *tape, const struct segment *segment)
{
	return segment->state == SEGMENT_FULL &&
	       tape->durable > segment->summary.lsn + tape->options.segment_bytes;
}

/* The oldest: they are sealed in order, so all before a sealed one are. */
static struct segment *find_unsealed(struct tape *tape)
{
	struct segment *oldest = NULL;

	for (size_t i = tape->segment_count; i > 0; i--) {
		struct segment *segment = tape->segments[i - 1];

		if (segment->state == SEGMENT_SEALED)
			break;
		if (is_past(tape, segment))
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

/* Another tape has it too: see tape_share().  When in doubt it is so. */
static bool is_shared(struct tape *tape, uint64_t lsn)
{
	char name[TAPE_NAME_MAX];
	unsigned links;

	return disk_links(tape->disk, segment_name(name, lsn), &links) < 0 || links > 1;
}

int segments_discard(struct tape *tape, uint64_t lsn)
{
	bool short_of_room = spares_room_for(tape, tape->options.segment_bytes) < 0;
	bool shared;
	size_t spares;
	int r, spare;

	pthread_mutex_lock(&tape->lock);
	tape->discarding++;
	shared = tape->sharing > 0;
	pthread_mutex_unlock(&tape->lock);
	shared = shared || is_shared(tape, lsn);

	pthread_mutex_lock(&tape->lock);
	/* With the disk short only what is held is kept. */
	spares = tape->options.spares_held + (short_of_room ? 0 : TAPE_SPARES_TO_RECYCLE);
	spare = !shared && spares_count(tape, SPARE_READY) < spares ? spares_find(tape, SPARE_NONE)
								    : -1;
	if (spare >= 0)
		tape->spares[spare].state = SPARE_BUSY;
	pthread_mutex_unlock(&tape->lock);

	files_forget(&tape->files, lsn);
	r = remove_files(tape, lsn, spare);
	pthread_mutex_lock(&tape->lock);
	if (spare >= 0)
		tape->spares[spare] =
			(struct spare){r == 0 ? SPARE_READY : SPARE_NONE, .blank = false};
	if (--tape->discarding == 0)
		pthread_cond_broadcast(&tape->changed);
	pthread_mutex_unlock(&tape->lock);
	return r;
}

int tape_drop(struct tape *tape, uint64_t lsn)
{
	struct segment *segment;
	struct pack *pack;
	bool last;
	int r;

	if (tape->options.read_only)
		return -EROFS;
	pthread_mutex_lock(&tape->lock);
	packs_leave_alone(tape, lsn);
	segment = segments_find(tape, lsn);
	r = !segment || segment->summary.lsn != lsn ? -ENOENT
	    : segment->state != SEGMENT_SEALED      ? -EBUSY
						    : 0;
	if (r < 0) {
		pthread_mutex_unlock(&tape->lock);
		return r;
	}
	list_remove(tape, segment);
	packs_count_debt(tape);
	pack = segment->pack;
	last = pack && --pack->left == 0;
	pthread_mutex_unlock(&tape->lock);

	segment_free(segment);
	return pack ? packs_drop(tape, pack, last) : segments_discard(tape, lsn);
}
