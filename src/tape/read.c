/*
 * The tape's reading side: data by LSN, headers in order, positions by time.
 */
#include "tape/internal.h"
#include "tape/walk.h"
#include "base/alloc.h"

#include <assert.h>
#include <errno.h>

/* --- One record's data -------------------------------------------------------------------- */

/* What a read that does not know the sizes yet allows for header, meta and table: those of the
 * largest record have 1024 bytes of table. */
#define HEAD_GUESS 1280
/* Up to here, head and data are asked for in one go, and the data is copied; from here on it is
 * read right to where it is wanted. */
#define AT_ONCE_MAX (32 * 1024)
/* How far ahead of such a reader the disk is told what comes. */
#define AHEAD_BYTES (8ull * 1024 * 1024)

struct source {
	struct tape *tape;
	uint64_t lsn;
	uint64_t size_max;       /* to the segment's end */
	struct files_slot *file; /* NULL: the ring, with the lock held */
	unsigned turn;           /* of those who read files */
	struct pack *pack;       /* or a pack: nothing else is set then */
};

static int source_read(struct source *source, uint64_t offset, void *buf, size_t size)
{
	struct tape *tape = source->tape;
	uint64_t lsn = source->lsn + offset;
	ssize_t n;

	if (!source->file) {
		uint64_t at = tape_ring_at(tape, lsn);
		size_t first = MIN((uint64_t)size, tape->options.ring_bytes - at);

		memcpy(buf, tape->ring + at, first);
		memcpy((uint8_t *)buf + first, tape->ring, size - first);
		return 0;
	}
	n = disk_file_read(source->file->file, buf, size, lsn % tape->options.segment_bytes);
	if (n < 0)
		return n;
	memset((uint8_t *)buf + n, 0, size - n);
	return 0;
}

/* Blocks that have been read, to be checked; of two at most, not all is wanted. */
struct piece {
	uint32_t first; /* block */
	size_t size;
	uint8_t *at;
};
#define PIECES_MAX 3

struct wanted {
	uint32_t skip;
	size_t size;
	uint8_t *out;
	struct record record;
	uint8_t *bytes; /* the record from its start, as far as read; then room for two blocks */
	size_t head_size;
	struct piece pieces[PIECES_MAX];
	unsigned piece_count;
};

static int bad_record(const struct source *source, struct problem *why)
{
	uint64_t bytes = source->tape->options.segment_bytes;
	char name[TAPE_NAME_MAX];

	return problem(why, -EBADMSG,
		       "%s: the record at offset %" PRIu64 " (LSN %" PRIu64 ") is damaged",
		       segment_name(name, ALIGN_DOWN(source->lsn, bytes)), source->lsn % bytes,
		       source->lsn);
}

/* Make `bytes` as large as `size`, and two blocks, reading what is missing from `have` on. */
static int read_more(struct source *source, struct wanted *wanted, size_t have, size_t size)
{
	wanted->bytes = xreallocarray(wanted->bytes, size + 2 * TAPE_CHECK_BLOCK, 1);
	return have < size ? source_read(source, have, wanted->bytes + have, size - have) : 0;
}

/*
 * The head and, when it is not much, the data too.  On return `*ret_have` bytes are there.
 */
static int read_head(struct source *source, struct wanted *wanted, size_t *ret_have)
{
	uint64_t guess = HEAD_GUESS;
	int r;

	if (wanted->skip + wanted->size <= AT_ONCE_MAX)
		guess += wanted->skip + wanted->size + TAPE_CHECK_BLOCK;
	guess = MIN(guess, source->size_max);
	r = read_more(source, wanted, 0, guess);
	if (r < 0)
		return r;
	record_decode((const void *)wanted->bytes, &wanted->record);
	if (!record_plausible(&wanted->record, source->lsn, source->size_max))
		return -EBADMSG;
	wanted->head_size = record_head_size(wanted->record.meta_size, wanted->record.data_size);
	*ret_have = MAX(guess, (uint64_t)wanted->head_size);
	return read_more(source, wanted, guess, *ret_have);
}

static void add_piece(struct wanted *wanted, uint32_t first, size_t size, uint8_t *at)
{
	assert(wanted->piece_count < PIECES_MAX);
	wanted->pieces[wanted->piece_count++] = (struct piece){first, size, at};
}

/* [at, end) of the data; `at` is where a block begins. */
static int read_piece(struct source *source, struct wanted *wanted, size_t at, size_t end,
		      uint8_t *to)
{
	add_piece(wanted, at / TAPE_CHECK_BLOCK, end - at, to);
	return source_read(source, wanted->head_size + at, to, end - at);
}

/*
 * The blocks that [skip, skip + size) touches: whole ones go where they are wanted, the first and
 * the last, should they be wanted in part, into `bytes` behind the head.
 */
static int read_blocks(struct source *source, struct wanted *wanted, size_t have)
{
	size_t at = wanted->skip, end = at + wanted->size, data_size = wanted->record.data_size;
	uint8_t *edge = wanted->bytes + have;
	int r = 0;

	while (at < end && r == 0) {
		size_t block = ALIGN_DOWN(at, (size_t)TAPE_CHECK_BLOCK);
		size_t next = MIN(block + TAPE_CHECK_BLOCK, data_size);

		if (block == at && next <= end) {
			next = end == data_size ? end : ALIGN_DOWN(end, (size_t)TAPE_CHECK_BLOCK);
			r = read_piece(source, wanted, at, next, wanted->out + (at - wanted->skip));
		} else {
			r = read_piece(source, wanted, block, next, edge);
			edge += TAPE_CHECK_BLOCK;
		}
		at = next;
	}
	return r;
}

/* The blocks are there already, behind the head; false when they are not. */
static bool has_blocks(struct wanted *wanted, size_t have)
{
	size_t from = ALIGN_DOWN(wanted->skip, (uint32_t)TAPE_CHECK_BLOCK);
	size_t to = MIN(ALIGN_UP(wanted->skip + wanted->size, (size_t)TAPE_CHECK_BLOCK),
			(size_t)wanted->record.data_size);

	if (wanted->head_size + to > have)
		return false;
	add_piece(wanted, from / TAPE_CHECK_BLOCK, to - from,
		  wanted->bytes + wanted->head_size + from);
	return true;
}

/*
 * Who reads long records in order finds the next ones in memory.  Several threads may do so
 * together, for one reader, and come in any order: what one of them was not told is a little late,
 * and no harm.
 */
static void look_ahead(struct source *source, const struct wanted *wanted)
{
	struct files_slot *file = source->file;
	uint64_t ahead = atomic_load(&file->ahead), lsn = source->lsn;
	uint64_t record_end = lsn + wanted->head_size + wanted->record.data_size;
	uint64_t from = MAX(ahead, lsn), to = MIN(lsn + AHEAD_BYTES, lsn + source->size_max);

	if (lsn > ahead + AHEAD_BYTES || ahead > lsn + 2 * AHEAD_BYTES) {
		/* Another reader, or the first record of this one. */
		atomic_store(&file->ahead, record_end);
		return;
	}
	if (to < from + AHEAD_BYTES / 2 && to < lsn + source->size_max)
		return;
	if (from < to && atomic_compare_exchange_strong(&file->ahead, &ahead, to))
		disk_file_prefetch(file->file, from % source->tape->options.segment_bytes,
				   to - from);
}

static int fetch(struct source *source, struct wanted *wanted)
{
	size_t have;
	int r;

	r = read_head(source, wanted, &have);
	if (r < 0)
		return r;
	/* Believed when its checksum agrees; until then it is only plausible, but that bounds it.
	 */
	if ((uint64_t)wanted->skip + wanted->size > wanted->record.data_size)
		return record_head_ok(wanted->bytes, &wanted->record, source->tape->seed)
			       ? -EINVAL
			       : -EBADMSG;
	if (!wanted->size || has_blocks(wanted, have))
		return 0;
	if (source->file)
		look_ahead(source, wanted);
	return read_blocks(source, wanted, have);
}

static bool wanted_ok(const struct wanted *wanted, uint32_t seed)
{
	if (record_is_own(&wanted->record) || !record_head_ok(wanted->bytes, &wanted->record, seed))
		return false;
	for (unsigned i = 0; i < wanted->piece_count; i++) {
		const struct piece *piece = &wanted->pieces[i];

		if (!record_blocks_ok(wanted->bytes, &wanted->record, piece->first, piece->at,
				      piece->size))
			return false;
	}
	return true;
}

/* What was read elsewhere, to where it is wanted. */
static void copy_out(const struct wanted *wanted)
{
	for (unsigned i = 0; i < wanted->piece_count; i++) {
		const struct piece *piece = &wanted->pieces[i];
		size_t start = (size_t)piece->first * TAPE_CHECK_BLOCK;
		size_t from = MAX(start, (size_t)wanted->skip);
		size_t to = MIN(start + piece->size, wanted->skip + wanted->size);
		uint8_t *out = wanted->out + (from - wanted->skip);
		const uint8_t *in = piece->at + (from - start);

		if (in != out)
			memcpy(out, in, to - from);
	}
}

static void end_reading(struct source *source)
{
	pthread_mutex_lock(&source->tape->lock);
	packs_end_reading(source->tape, source->turn);
	pthread_mutex_unlock(&source->tape->lock);
}

static int open_file(struct source *source, struct problem *why)
{
	struct tape *tape = source->tape;
	uint64_t bytes = tape->options.segment_bytes;
	int r;

	r = files_get(&tape->files, ALIGN_DOWN(source->lsn, bytes), &source->file);
	if (r < 0) {
		end_reading(source);
		return problem_errno(why, r, "cannot open the segment of LSN %" PRIu64,
				     source->lsn);
	}
	source->size_max = bytes - source->lsn % bytes;
	return 0;
}

/* With the lock held; drops it unless the ring is the source. */
static int open_source(struct source *source, struct problem *why)
{
	struct tape *tape = source->tape;
	struct segment *segment = segments_find(tape, source->lsn);
	bool in_ring = tape->ring && source->lsn >= tape->ring_from;
	uint64_t end = tape->end;

	if (segment && in_ring && source->lsn < segment->summary.end) {
		source->size_max = segment->summary.end - source->lsn;
		return 0;
	}
	if (segment && source->lsn < end && segment->pack)
		source->pack = packs_ref(segment->pack);
	else if (segment && source->lsn < end)
		source->turn = packs_begin_reading(tape);
	pthread_mutex_unlock(&tape->lock);
	if (source->lsn >= end)
		return problem(why, -EINVAL,
			       "LSN %" PRIu64 " is not on the tape, which ends at %" PRIu64,
			       source->lsn, end);
	if (!segment)
		return problem(why, -ENOENT, "the record at LSN %" PRIu64 " has been dropped",
			       source->lsn);
	return source->pack ? 0 : open_file(source, why);
}

static void close_source(struct source *source)
{
	if (source->file) {
		files_put(&source->tape->files, source->file);
		end_reading(source);
	} else {
		pthread_mutex_unlock(&source->tape->lock);
	}
}

static int read_packed(struct source *source, uint32_t skip, void *buf, size_t size,
		       struct problem *why)
{
	struct pack_reader reader = packs_reader(source->tape, source->pack);
	int r = size > TAPE_DATA_MAX ? -EINVAL
				     : pack_read(&reader, source->lsn, skip, buf, size, why);

	packs_unref(source->tape, source->pack);
	return r;
}

int tape_read(struct tape *tape, uint64_t lsn, uint32_t skip, void *buf, size_t size,
	      struct problem *why)
{
	struct source source = {.tape = tape, .lsn = lsn};
	struct wanted wanted = {.skip = skip, .size = size, .out = buf};
	int r;

	pthread_mutex_lock(&tape->lock);
	r = open_source(&source, why);
	if (r < 0)
		return r;
	if (source.pack)
		return read_packed(&source, skip, buf, size, why);
	if (source.size_max < sizeof(struct tape_record_header) || size > TAPE_DATA_MAX)
		r = -EINVAL;
	else
		r = fetch(&source, &wanted);
	close_source(&source);
	if (r == 0 && !wanted_ok(&wanted, tape->seed))
		r = -EBADMSG;
	if (r == 0)
		copy_out(&wanted);
	free(wanted.bytes);
	if (r == -EBADMSG)
		return bad_record(&source, why);
	return r < 0 ? problem_errno(why, r, "cannot read the record at LSN %" PRIu64, lsn) : 0;
}

/* --- Headers in order --------------------------------------------------------------------- */

/* What a scan needs of a segment, without the lock. */
struct stop {
	struct summary summary;
	struct index *index; /* a reference, or NULL: in the file */
	struct pack *pack;   /* a reference, or NULL */
	unsigned turn;       /* with neither: of those who read files */
};

static bool next_stop(struct tape *tape, uint64_t at, struct stop *ret)
{
	struct segment *segment;

	pthread_mutex_lock(&tape->lock);
	segment = segments_at_or_after(tape, at);
	if (segment) {
		ret->summary = segment->summary;
		ret->index = segment->index ? index_ref(segment->index) : NULL;
		ret->pack = segment->pack ? packs_ref(segment->pack) : NULL;
		if (!segment->pack)
			ret->turn = packs_begin_reading(tape);
	}
	pthread_mutex_unlock(&tape->lock);
	return segment != NULL;
}

static void leave_stop(struct tape *tape, struct stop *stop)
{
	index_unref(stop->index);
	if (stop->pack) {
		packs_unref(tape, stop->pack);
		return;
	}
	pthread_mutex_lock(&tape->lock);
	packs_end_reading(tape, stop->turn);
	pthread_mutex_unlock(&tape->lock);
}

struct range {
	uint64_t from, to;
	record_fn fn;
	void *arg;
};

/* 0 at the end of the range, what `fn` returned, or -EBADMSG in *ret_r (with 0). */
static int walk_range(struct walk *walk, const struct range *range, int *ret_r)
{
	struct tape_record record;
	struct walk_record found;
	int r;

	while (walk->at < range->to) {
		r = walk_next(walk, &found);
		if (r <= 0) {
			*ret_r = r < 0 ? r : -EBADMSG;
			return 0;
		}
		if (found.record.lsn < range->from || record_is_own(&found.record))
			continue;
		record_show(&found.record, &record);
		record.meta = found.bytes + sizeof(struct tape_record_header);
		r = range->fn(&record, range->arg);
		if (r)
			return r;
	}
	return 0;
}

/* The long way, when the index file is missing or damaged. */
static int walk_segment(struct tape *tape, const struct summary *summary, const struct range *range,
			struct problem *why)
{
	CLEANUP(walk) struct walk walk = {0};
	struct files_slot *file;
	int r, r_walk = 0;

	r = files_get(&tape->files, summary->lsn, &file);
	if (r < 0)
		return problem_errno(why, r, "cannot open the segment at LSN %" PRIu64,
				     summary->lsn);
	walk_init(&walk, file->file, summary->lsn, tape->options.segment_bytes, tape->seed);
	walk.skip_data = true;
	r = walk_range(&walk, range, &r_walk);
	files_put(&tape->files, file);
	if (r_walk == -EBADMSG)
		return bad_record(&(struct source){.tape = tape, .lsn = walk.at}, why);
	if (r_walk < 0)
		return problem_errno(why, r_walk, "cannot read the segment at LSN %" PRIu64,
				     summary->lsn);
	return r;
}

static int scan_stop(struct tape *tape, struct stop *stop, uint64_t from, uint64_t to, record_fn fn,
		     void *arg, struct problem *why)
{
	struct pack_reader reader;
	int r, r_fn;

	if (stop->pack) {
		/* Not what the pack still has of segments that have been dropped. */
		reader = packs_reader(tape, stop->pack);
		return pack_scan(&reader, MAX(from, stop->summary.lsn), MIN(to, stop->summary.end),
				 fn, arg, why);
	}
	if (stop->index)
		return index_walk(stop->index, from, to, fn, arg);
	r = index_walk_file(tape->disk, &stop->summary, tape->seed, &from, to, fn, arg, &r_fn);
	if (r_fn || r == 0)
		return r_fn;
	return walk_segment(tape, &stop->summary,
			    &(struct range){from, MIN(to, stop->summary.end), fn, arg}, why);
}

int tape_scan(struct tape *tape, uint64_t from, uint64_t to,
	      int (*fn)(const struct tape_record *record, void *arg), void *arg,
	      struct problem *why)
{
	uint64_t bytes = tape->options.segment_bytes;
	struct stop stop;
	int r = 0;

	to = MIN(to, tape_end(tape));
	while (r == 0 && from < to && next_stop(tape, from, &stop)) {
		if (stop.summary.lsn < to)
			r = scan_stop(tape, &stop, from, to, fn, arg, why);
		leave_stop(tape, &stop);
		from = stop.summary.lsn + bytes;
	}
	return r;
}

/* --- Positions by time -------------------------------------------------------------------- */

struct find {
	int64_t time_us;
	uint64_t lsn;
};

static int is_later(const struct tape_record *record, void *arg)
{
	struct find *find = arg;

	if (record->time_us <= find->time_us)
		return 0;
	find->lsn = record->lsn;
	return 1;
}

/* The first segment with a later record: its summary says so. */
static bool find_segment(struct tape *tape, int64_t time_us, uint64_t *ret_lsn)
{
	bool found = false;

	pthread_mutex_lock(&tape->lock);
	for (size_t i = 0; i < tape->segment_count && !found; i++) {
		const struct summary *summary = &tape->segments[i]->summary;

		found = summary->records && summary->last_time_us > time_us;
		*ret_lsn = summary->lsn;
	}
	pthread_mutex_unlock(&tape->lock);
	return found;
}

int tape_find_time(struct tape *tape, int64_t time_us, uint64_t *ret, struct problem *why)
{
	struct find find = {.time_us = time_us};
	uint64_t end = tape_end(tape), lsn;
	int r;

	if (!find_segment(tape, time_us, &lsn)) {
		*ret = end;
		return 0;
	}
	r = tape_scan(tape, lsn, UINT64_MAX, is_later, &find, why);
	if (r < 0)
		return r;
	*ret = r > 0 ? find.lsn : end;
	return 0;
}
