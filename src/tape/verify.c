/*
 * Verify: every byte of every segment, believing nothing and changing nothing.
 *
 * It works on the files alone, also while a tape is open on them: beyond `durable_to` it does not
 * look, and what it finds in a file that is dropped meanwhile is not reported.
 */
#include "tape/listing.h"
#include "tape/index.h"
#include "tape/names.h"
#include "tape/pack.h"
#include "tape/walk.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"

#include <errno.h>
#include <stdarg.h>

#define PROGRESS_BYTES (4 * 1024 * 1024)

/* What of a record must agree with the index. */
struct seen {
	struct tape_record record;
	uint32_t meta_crc;
};

struct verify {
	struct disk *disk;
	uint64_t segment_bytes, durable_to;
	uint32_t seed;
	void (*report)(const char *line, void *arg);
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;

	struct listing listing;
	uint64_t done, shown; /* bytes, for progress */

	/* What came before. */
	uint64_t end;     /* 0: nothing, or there is a gap */
	uint64_t pack_to; /* where the last pack ends; 0: none yet */
	size_t packs;     /* looked at */
	uint32_t epoch;
	int64_t time_us;

	/* The segment at hand. */
	uint64_t lsn;
	char name[TAPE_NAME_MAX];
	char **lines; /* reported when the segment turns out to be still there */
	size_t line_count, line_room;
	struct seen *seen;
	size_t seen_count, seen_room;
	bool whole; /* no record of it is missing */
	/* Its index, as it was before the walk: an open tape may write one meanwhile. */
	struct summary summary;
	int r_summary;
};

/* --- Reports ------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void note(struct verify *v, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	xgrow(v->lines, v->line_count, v->line_room);
	v->lines[v->line_count++] = xstrdup(text);
}

static void forget_lines(struct verify *v)
{
	while (v->line_count > 0)
		free(v->lines[--v->line_count]);
}

static void say_lines(struct verify *v)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;

	if (disk_open(v->disk, v->name, DISK_READ_ONLY, &file) != -ENOENT)
		for (size_t i = 0; i < v->line_count; i++)
			v->report(v->lines[i], v->arg);
	else /* where it ended is not known: what was read may be of another use of the file */
		v->end = 0;
	forget_lines(v);
}

static bool go_on(struct verify *v, uint64_t done)
{
	uint64_t total = (v->listing.segment_count + v->listing.pack_count) * v->segment_bytes;

	if (!v->progress || (done - v->shown < PROGRESS_BYTES && done != total))
		return true;
	v->shown = done;
	return v->progress(done, total, v->arg);
}

/* --- Where a segment should end ----------------------------------------------------------- */

/* The first record of a segment; *ret_r when even asking fails. */
static int peek(struct verify *v, uint64_t lsn, struct walk_start *ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char name[TAPE_NAME_MAX];
	int r;

	r = disk_open(v->disk, segment_name(name, lsn), DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	return walk_peek(file, lsn, v->segment_bytes, v->seed, ret);
}

/* 1 and the position after its last record, when the index or the next segment tells; 0; -errno. */
static int known_end(struct verify *v, size_t i, uint64_t *ret)
{
	struct walk_start start;
	int r;

	r = index_read_summary(v->disk, v->lsn, v->segment_bytes, v->seed, &v->summary);
	v->r_summary = r;
	if (r == 0) {
		*ret = v->summary.end;
		return 1;
	}
	if (r != -ENOENT && r != -EBADMSG)
		return r;
	if (i + 1 == v->listing.segment_count ||
	    v->listing.segments[i + 1] != v->lsn + v->segment_bytes)
		return 0;
	r = peek(v, v->listing.segments[i + 1], &start);
	if (r != 1 || start.record.epoch < v->epoch)
		return r == -EIO ? r : 0;
	*ret = from_le64(start.meta.prev_end);
	return 1;
}

/* Is there a later record that proves that `at` was durable?  1, 0 or -errno. */
static int proven_in(struct verify *v, struct disk_file *file, uint64_t lsn, uint64_t from,
		     uint64_t at)
{
	CLEANUP(walk) struct walk walk = {0};
	struct walk_record found;
	int r;

	walk_init(&walk, file, lsn, v->segment_bytes, v->seed);
	walk.at = from;
	walk.epoch = v->epoch;
	while ((r = walk_search(&walk, &found)) > 0)
		if (found.record.durable > at)
			return 1;
	return r;
}

/* What followed this segment has been dropped, so it was sealed: only its own records can tell. */
static bool before_gap(const struct verify *v, size_t i)
{
	return i + 1 < v->listing.segment_count &&
	       v->listing.segments[i + 1] != v->lsn + v->segment_bytes;
}

static int is_proven(struct verify *v, size_t i, struct disk_file *file, uint64_t at)
{
	int r;

	r = proven_in(v, file, v->lsn, at, at);
	if (r != 0 || before_gap(v, i))
		return r;
	/* On a segment's edge it says nothing about the end of the segment before. */
	if (v->durable_to > at && v->durable_to % v->segment_bytes != 0)
		return 1;
	for (i++; r == 0 && i < v->listing.segment_count; i++) {
		CLEANUP(disk_file) struct disk_file *other = NULL;
		char name[TAPE_NAME_MAX];

		r = disk_open(v->disk, segment_name(name, v->listing.segments[i]), DISK_READ_ONLY,
			      &other);
		if (r == 0)
			r = proven_in(v, other, v->listing.segments[i], v->listing.segments[i], at);
		else if (r == -ENOENT) /* dropped meanwhile */
			r = 0;
	}
	return r;
}

/* --- One segment -------------------------------------------------------------------------- */

static const char *when(int64_t time_us, char text[CLOCK_TEXT_MAX])
{
	if (!time_us)
		return "the beginning";
	clock_format(time_us, text);
	return text;
}

static void look_at(struct verify *v, const struct walk_record *found)
{
	const struct record *record = &found->record;
	uint32_t used = record_head_size(record->meta_size, record->data_size) + record->data_size;
	uint32_t size = record_size(record->meta_size, record->data_size);
	uint64_t offset = record->lsn - v->lsn;
	char text[CLOCK_TEXT_MAX];
	struct seen seen;

	if (!found->data_ok)
		note(v,
		     "%s: offset %" PRIu64 " (LSN %" PRIu64
		     "): the data of this record, of %s, is damaged: %u bytes are lost",
		     v->name, offset, record->lsn, when(record->time_us, text), record->data_size);
	for (uint32_t i = used; i < size; i++)
		if (found->bytes[i] != 0)
			note(v,
			     "%s: offset %" PRIu64 " (LSN %" PRIu64
			     "): padding is not zero; nothing is lost",
			     v->name, offset + i, record->lsn);
	if (record->time_us < v->time_us)
		note(v, "%s: offset %" PRIu64 " (LSN %" PRIu64 "): time runs backwards here",
		     v->name, offset, record->lsn);
	v->time_us = MAX(v->time_us, record->time_us);
	if (record_is_own(record))
		return;
	record_show(record, &seen.record);
	seen.meta_crc =
		crc32c(0, found->bytes + sizeof(struct tape_record_header), record->meta_size);
	xgrow(v->seen, v->seen_count, v->seen_room);
	v->seen[v->seen_count++] = seen;
}

/*
 * There is no record at walk->at, though there should be.  Look for the next whole one; 1 when
 * there is one (already looked at), 0 when all up to the end is lost.
 */
static int skip_damage(struct verify *v, struct walk *walk, uint64_t end)
{
	uint64_t at = walk->at, next;
	char before[CLOCK_TEXT_MAX], after[CLOCK_TEXT_MAX];
	int64_t time_us = v->time_us;
	struct walk_record found;
	int r = walk_search(walk, &found);

	if (r < 0)
		return r;
	v->whole = false;
	if (r > 0 && found.record.lsn < end) {
		next = found.record.lsn;
		note(v,
		     "%s: offset %" PRIu64 " (LSN %" PRIu64
		     "): no whole record up to offset %" PRIu64
		     ": what was changed between %s and %s is lost",
		     v->name, at - v->lsn, at, next - v->lsn, when(time_us, before),
		     when(found.record.time_us, after));
		look_at(v, &found);
		return 1;
	}
	note(v,
	     "%s: offset %" PRIu64 " (LSN %" PRIu64
	     "): no whole record to the end of the segment: what was changed after %s is lost",
	     v->name, at - v->lsn, at, when(time_us, before));
	walk->at = end;
	return 0;
}

/* All records up to `end`, which is known. */
static int walk_all(struct verify *v, struct walk *walk, uint64_t end)
{
	struct walk_record found;
	int r;

	while (walk->at < end) {
		r = walk_next(walk, &found);
		if (r > 0)
			look_at(v, &found);
		else if (r == 0)
			r = skip_damage(v, walk, end);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		if (!go_on(v, v->done + (walk->at - v->lsn)))
			return -ECANCELED;
	}
	return 0;
}

/*
 * What is proven to follow is in a later segment, perhaps, as an open tape has gone on there since:
 * then where this one ends is known now.
 */
static bool ends_here(struct verify *v, size_t i, uint64_t at)
{
	uint64_t end;

	return known_end(v, i, &end) > 0 && end == at;
}

/*
 * One step where the segment's end is not known: it is at the first place without a record, or
 * whose record has damaged data, unless there is proof of more.  1: go on; 0: the end; -errno.
 */
static int step_in_tail(struct verify *v, size_t i, struct disk_file *file, struct walk *walk,
			uint64_t stop)
{
	uint64_t at = walk->at;
	struct walk_record found;
	int r, r_proven = 1;

	r = walk_next(walk, &found);
	if (r < 0)
		return r;
	if (r == 0 || !found.data_ok) {
		v->epoch = MAX(v->epoch, walk->epoch);
		r_proven = is_proven(v, i, file, at);
	}
	if (r_proven <= 0)
		return r_proven;
	if (r == 0)
		return ends_here(v, i, at) ? 0 : skip_damage(v, walk, stop);
	look_at(v, &found);
	return 1;
}

static int walk_tail(struct verify *v, size_t i, struct disk_file *file, struct walk *walk)
{
	uint64_t stop = v->lsn + v->segment_bytes;
	int r = 1;

	if (v->durable_to)
		stop = MIN(stop, v->durable_to);
	while (r > 0 && walk->at + sizeof(struct tape_record_header) <= stop) {
		r = step_in_tail(v, i, file, walk, stop);
		if (r > 0 && !go_on(v, v->done + (walk->at - v->lsn)))
			return -ECANCELED;
	}
	return MIN(r, 0);
}

/* --- Its index ---------------------------------------------------------------------------- */

struct match {
	struct verify *v;
	size_t at;
};

static int match_one(const struct tape_record *record, void *arg)
{
	struct match *match = arg;
	const struct tape_record *mine;
	const struct seen *seen;

	if (match->at == match->v->seen_count)
		return 1;
	seen = &match->v->seen[match->at++];
	mine = &seen->record;
	return record->lsn != mine->lsn || record->end != mine->end ||
	       record->time_us != mine->time_us || record->type != mine->type ||
	       record->meta_size != mine->meta_size || record->data_size != mine->data_size ||
	       crc32c(0, record->meta, record->meta_size) != seen->meta_crc;
}

static bool summary_agrees(const struct verify *v)
{
	const struct summary *summary = &v->summary;
	uint64_t data_bytes = 0;
	int64_t first = 0, last = 0;

	for (size_t i = 0; i < v->seen_count; i++)
		data_bytes += v->seen[i].record.data_size;
	if (v->seen_count) {
		first = v->seen[0].record.time_us;
		last = v->seen[v->seen_count - 1].record.time_us;
	}
	return summary->records == v->seen_count && summary->data_bytes == data_bytes &&
	       summary->first_time_us == first && summary->last_time_us == last;
}

static int check_index(struct verify *v)
{
	struct match match = {.v = v};
	char name[TAPE_NAME_MAX];
	uint64_t from = 0;
	int r = v->r_summary, differs = 0;

	if (r == 0)
		r = index_walk_file(v->disk, &v->summary, v->seed, &from, UINT64_MAX, match_one,
				    &match, &differs);
	if (r == -EBADMSG) {
		note(v, "%s is damaged; nothing is lost, its segment is read instead",
		     index_name(name, v->lsn));
		return 0;
	}
	/* Where records are missing, the segment is what was reported. */
	if (r == 0 && v->whole && (differs || match.at != v->seen_count || !summary_agrees(v)))
		note(v, "%s does not agree with its segment", index_name(name, v->lsn));
	return r == -ENOENT ? 0 : r;
}

/* --- All of them -------------------------------------------------------------------------- */

/* 1 when there is something to walk over. */
static int check_start(struct verify *v, size_t i, struct disk_file *file)
{
	struct walk_start start;
	uint64_t size;
	int r;

	r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	if (size != v->segment_bytes)
		note(v, "%s is %" PRIu64 " bytes long and should be %" PRIu64, v->name, size,
		     v->segment_bytes);
	r = walk_peek(file, v->lsn, v->segment_bytes, v->seed, &start);
	if (r == -EXDEV || r == -EINVAL || r == -EPROTONOSUPPORT) {
		note(v, "%s %s", v->name,
		     r == -EXDEV    ? "belongs to another volume"
		     : r == -EINVAL ? "was made with another size of segments"
				    : "is of a newer format than this program knows");
		return 0;
	}
	if (r == 1 && v->end && from_le64(start.meta.prev_end) != v->end &&
	    start.record.epoch >= v->epoch)
		note(v,
		     "%s says that the segment before ends at LSN %" PRIu64
		     ", but it ends at %" PRIu64,
		     v->name, from_le64(start.meta.prev_end), v->end);
	if (r == 0 && i > 0 && v->listing.segments[i - 1] + v->segment_bytes != v->lsn &&
	    i + 1 == v->listing.segment_count)
		note(v,
		     "the segment before %s is missing: all its changes, and what came after, are "
		     "lost",
		     v->name);
	return r < 0 ? r : 1;
}

static int walk_segment(struct verify *v, size_t i, struct disk_file *file)
{
	CLEANUP(walk) struct walk walk = {0};
	uint64_t end = 0;
	int r;

	walk_init(&walk, file, v->lsn, v->segment_bytes, v->seed);
	walk.epoch = v->epoch;
	r = known_end(v, i, &end);
	if (r < 0)
		return r;
	r = r > 0 ? walk_all(v, &walk, end) : walk_tail(v, i, file, &walk);
	v->end = walk.at;
	v->epoch = MAX(v->epoch, walk.epoch);
	return r;
}

static int verify_segment(struct verify *v, size_t i)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r;

	v->lsn = v->listing.segments[i];
	segment_name(v->name, v->lsn);
	if (v->lsn % v->segment_bytes != 0) {
		note(v, "%s: no segment of this tape can begin there", v->name);
		say_lines(v);
		return 0;
	}
	if (v->durable_to && v->lsn >= v->durable_to)
		return 0;
	if ((i == 0 || v->listing.segments[i - 1] + v->segment_bytes != v->lsn) &&
	    v->pack_to != v->lsn)
		v->end = 0;
	v->seen_count = 0;
	v->whole = true;
	v->r_summary = -ENOENT;
	r = disk_open(v->disk, v->name, DISK_READ_ONLY, &file);
	if (r == -ENOENT) { /* dropped or packed meanwhile */
		v->end = 0;
		return 0;
	}
	if (r < 0)
		return r;
	r = check_start(v, i, file);
	if (r > 0)
		r = walk_segment(v, i, file);
	if (r == 0)
		r = check_index(v);
	say_lines(v);
	v->done += v->segment_bytes;
	if (r == 0 && !go_on(v, v->done))
		r = -ECANCELED;
	return r;
}

/* --- Packs -------------------------------------------------------------------------------- */

static void note_pack(void *arg, const char *line)
{
	note(arg, "%s", line);
}

static void see_packed(void *arg, const struct record *record)
{
	struct verify *v = arg;

	v->time_us = MAX(v->time_us, record->time_us);
}

static bool pack_goes_on(void *arg, uint64_t done, uint64_t total)
{
	struct verify *v = arg;

	return go_on(v, v->done + (uint64_t)((double)done / total * v->segment_bytes));
}

/* From where to where a pack goes; nothing when it cannot be made sense of. */
static void find_range(struct verify *v, uint64_t id, uint64_t *ret_from, uint64_t *ret_to)
{
	struct pack *pack;

	*ret_from = *ret_to = pack_id_lsn(id);
	if (pack_load(v->disk, id, v->segment_bytes, v->seed, &pack, NULL) < 0)
		return;
	*ret_to += pack->segments * pack->segment_bytes;
	free(pack);
}

/* A pack of a later generation was made from this one, which is about to be removed. */
static bool is_replaced(struct verify *v, uint64_t id)
{
	uint64_t from, to, other_from, other_to;
	bool replaced = false;

	find_range(v, id, &from, &to);
	for (size_t i = 0; i < v->listing.pack_count && !replaced; i++) {
		uint64_t other = v->listing.packs[i];

		if (pack_id_generation(other) <= pack_id_generation(id))
			continue;
		find_range(v, other, &other_from, &other_to);
		replaced = from < other_to && other_from < to;
	}
	return replaced;
}

static int verify_pack(struct verify *v, uint64_t id)
{
	struct pack_checker checker = {note_pack, see_packed, pack_goes_on, v};
	uint64_t lsn = pack_id_lsn(id);
	struct summary last;
	struct pack pack;
	int r;

	v->lsn = lsn;
	pack_name(v->name, id);
	if (is_replaced(v, id))
		return 0;
	if (lsn < v->pack_to)
		note(v, "%s: this is in the pack before it already", v->name);
	r = pack_check(v->disk, v->name, lsn, v->segment_bytes, v->seed, &checker, &pack, &last);
	if (r == 0) {
		v->pack_to = lsn + pack.segments * v->segment_bytes;
		v->end = last.end;
		v->epoch = MAX(v->epoch, last.last_epoch);
	}
	if (r == -EPROTONOSUPPORT)
		note(v, "%s is of a newer format than this program knows", v->name);
	say_lines(v);
	v->done += v->segment_bytes;
	if (r == -EBADMSG || r == -EPROTONOSUPPORT || r == -ENOENT) /* said, or dropped meanwhile */
		return 0;
	return r < 0 || go_on(v, v->done) ? r : -ECANCELED;
}

/* Those that begin before `lsn`, or at it: a pack goes before segments that it stands for. */
static int verify_packs(struct verify *v, uint64_t lsn)
{
	int r = 0;

	while (r == 0 && v->packs < v->listing.pack_count &&
	       pack_id_lsn(v->listing.packs[v->packs]) <= lsn)
		r = verify_pack(v, v->listing.packs[v->packs++]);
	return r;
}

static int verify_all(struct verify *v)
{
	int r = 0;

	for (size_t i = 0; i < v->listing.segment_count && r == 0; i++) {
		r = verify_packs(v, v->listing.segments[i]);
		/* One that is in a pack too is about to be removed. */
		if (r == 0 && v->listing.segments[i] >= v->pack_to)
			r = verify_segment(v, i);
	}
	return r == 0 ? verify_packs(v, UINT64_MAX) : r;
}

int tape_verify(struct disk *disk, const uint8_t uuid[16], uint64_t segment_bytes,
		uint64_t durable_to, void (*report)(const char *line, void *arg),
		bool (*progress)(uint64_t done, uint64_t total, void *arg), void *arg)
{
	struct verify v = {
		.disk = disk,
		.segment_bytes = segment_bytes,
		.durable_to = durable_to,
		.seed = record_seed(uuid),
		.report = report,
		.progress = progress,
		.arg = arg,
	};
	int r = listing_read(&v.listing, disk);

	if (r == 0)
		r = verify_all(&v);
	forget_lines(&v);
	free(v.lines);
	free(v.seen);
	listing_done(&v.listing);
	return r;
}
