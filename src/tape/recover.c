/*
 * Recovery: from the files that are there to a tape that goes on.
 *
 * Segments are visited in order.  One with a good index file is sealed.  One without is walked; it
 * is sealed too when the next segment's first record continues it.  The first one that is not is
 * the tail: the tape ends where its records end, unless a whole record further on, of the same or a
 * later opening, proves that there was more: its `durable` says what was acknowledged when it was
 * appended.
 *
 * A pack stands for the segments in it, all sealed.  Where their files are still there, the pack
 * was put in their place and the rest not done any more: they are removed.
 */
#include "tape/internal.h"
#include "tape/listing.h"
#include "tape/walk.h"
#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

/* No tape gets this long; so sums with sizes do not overflow. */
#define LSN_LIMIT (UINT64_C(1) << 62)

struct recovery {
	struct tape *tape;
	struct listing listing;
	struct problem *why;

	struct segment *tail; /* the last one added; NULL: none yet */
	uint64_t end;         /* of what was found so far */
	uint32_t epoch;       /* of its last record */
	int64_t time_us;
	uint64_t proven;    /* what is known to have been durable, from any record seen */
	uint64_t proof_lsn; /* which record says so */
	uint32_t epoch_max; /* seen in any whole record, lost ones included */
	size_t rest;        /* listing.segments from here on are not part of the tape */
	bool more_in_tail;  /* there are whole records behind the end, in its segment */
	bool rest_is_empty; /* the first of the rest does not begin like a segment */
	uint64_t cut; /* LSN of a segment whose file is not as long as it was; or UINT64_MAX */

	struct packed {
		struct pack *pack;
		struct summary summary;
		bool has_file; /* too */
		bool taken;    /* on the tape's list */
	} * packed;            /* segments in packs */
	size_t packed_count, packed_room;
	uint64_t *bad_packs; /* ids of those whose segments are still there, or in a later pack */
	size_t bad_pack_count, bad_pack_room;
};

static int open_segment(struct recovery *rec, uint64_t lsn, int flags, struct disk_file **ret)
{
	char name[TAPE_NAME_MAX];
	int r = disk_open(rec->tape->disk, segment_name(name, lsn), flags, ret);

	return r < 0 ? problem_errno(rec->why, r, "cannot open %s", name) : 0;
}

static int read_failed(struct recovery *rec, int r, uint64_t lsn)
{
	char name[TAPE_NAME_MAX];

	return problem_errno(rec->why, r, "cannot read %s", segment_name(name, lsn));
}

/* --- Packs -------------------------------------------------------------------------------- */

static struct packed *find_packed(struct recovery *rec, uint64_t lsn)
{
	for (size_t i = 0; i < rec->packed_count; i++)
		if (rec->packed[i].summary.lsn == lsn)
			return &rec->packed[i];
	return NULL;
}

static bool is_listed(const struct recovery *rec, uint64_t lsn)
{
	for (size_t i = 0; i < rec->listing.segment_count; i++)
		if (rec->listing.segments[i] == lsn)
			return true;
	return false;
}

/* The LSN takes its place among those of the segments that have files. */
static void list_segment(struct recovery *rec, uint64_t lsn)
{
	struct listing *listing = &rec->listing;
	size_t i = listing->segment_count;

	xgrow(listing->segments, listing->segment_count, listing->segment_room);
	for (; i > 0 && listing->segments[i - 1] > lsn; i--)
		listing->segments[i] = listing->segments[i - 1];
	listing->segments[i] = lsn;
	listing->segment_count++;
}

static void add_packed(struct recovery *rec, struct pack *pack, const void *table)
{
	pack->refs = pack->left = pack->segments;
	for (uint32_t i = 0; i < pack->segments; i++) {
		struct packed packed = {.pack = pack};

		pack_summary(pack, table, i, &packed.summary);
		packed.has_file = is_listed(rec, packed.summary.lsn);
		if (!packed.has_file)
			list_segment(rec, packed.summary.lsn);
		xgrow(rec->packed, rec->packed_count, rec->packed_room);
		rec->packed[rec->packed_count++] = packed;
	}
}

static void note_bad_pack(struct recovery *rec, uint64_t id)
{
	xgrow(rec->bad_packs, rec->bad_pack_count, rec->bad_pack_room);
	rec->bad_packs[rec->bad_pack_count++] = id;
}

/* A pack that has been visited before, which is of a later generation, was made from it. */
static bool is_replaced(struct recovery *rec, const struct pack *pack)
{
	for (uint32_t i = 0; i < pack->segments; i++) {
		const struct packed *packed = find_packed(rec, pack->lsn + i * pack->segment_bytes);

		if (packed && pack_id_generation(packed->pack->id) > pack_id_generation(pack->id))
			return true;
	}
	return false;
}

/* The segment's file is there, or another pack with it. */
static bool is_elsewhere(const struct recovery *rec, uint64_t id)
{
	for (size_t i = 0; i < rec->listing.pack_count; i++)
		if (rec->listing.packs[i] < id &&
		    pack_id_lsn(rec->listing.packs[i]) == pack_id_lsn(id))
			return true;
	return is_listed(rec, pack_id_lsn(id));
}

/* A pack that cannot be used is none when what it was made from is still there. */
static int visit_pack(struct recovery *rec, uint64_t id)
{
	struct tape *tape = rec->tape;
	CLEANUP(free) void *table = NULL;
	uint64_t lsn = pack_id_lsn(id);
	char name[TAPE_NAME_MAX];
	struct pack *pack;
	int r;

	pack_name(name, id);
	r = lsn % tape->options.segment_bytes == 0 && lsn < LSN_LIMIT
		    ? pack_load(tape->disk, id, tape->options.segment_bytes, tape->seed, &pack,
				&table)
		    : -EBADMSG;
	if (r == 0 && is_replaced(rec, pack)) {
		note_bad_pack(rec, id);
		free(pack);
		return 0;
	}
	if (r == 0 && find_packed(rec, lsn)) {
		free(pack);
		r = -EBADMSG;
	}
	if (r == 0) {
		add_packed(rec, pack, table);
		return 0;
	}
	if (r == -EPROTONOSUPPORT)
		return problem(rec->why, r, "%s is of a newer format than this program knows",
			       name);
	if (r != -EBADMSG)
		return problem_errno(rec->why, r, "cannot read %s", name);
	if (!is_elsewhere(rec, id) && !tape->options.accept_loss)
		return problem(rec->why, r, "%s is damaged: what it holds cannot be found any more",
			       name);
	note_bad_pack(rec, id);
	return 0;
}

static int compare_packs(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	if (pack_id_generation(x) != pack_id_generation(y))
		return pack_id_generation(x) > pack_id_generation(y) ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* The latest generation first: it stands for what it was made from. */
static int find_packs(struct recovery *rec)
{
	int r = 0;

	if (rec->listing.pack_count)
		qsort(rec->listing.packs, rec->listing.pack_count, sizeof *rec->listing.packs,
		      compare_packs);
	for (size_t i = 0; i < rec->listing.pack_count && r == 0; i++)
		r = visit_pack(rec, rec->listing.packs[i]);
	return r;
}

/* The first record of a segment in a pack: 1 and *ret, 0 when that is damaged, or -errno. */
static int peek_packed(struct recovery *rec, const struct packed *packed, struct walk_start *ret)
{
	struct pack_reader reader = packs_reader(rec->tape, packed->pack);
	int r = pack_find(&reader, packed->summary.lsn, &ret->record, &ret->meta, sizeof ret->meta,
			  rec->why);

	return r == 0 ? 1 : r == -EBADMSG || r == -EINVAL ? 0 : r;
}

/* The tape has what recovery has found: of packs that no segment on the list is in, free ours. */
static void packs_done(struct recovery *rec)
{
	for (size_t i = 0; i < rec->packed_count; i++)
		if (!rec->packed[i].taken)
			packs_unref(rec->tape, rec->packed[i].pack);
	free(rec->packed);
	free(rec->bad_packs);
}

/* --- Proof -------------------------------------------------------------------------------- */

static void note_proof(struct recovery *rec, const struct walk_record *found)
{
	uint64_t durable = found->record.durable;

	/* The segment before is on the disk, whole, before the first byte of the next is. */
	if (found->record.type == TAPE_TYPE_SEGMENT &&
	    found->record.meta_size == sizeof(struct tape_segment_meta)) {
		const struct tape_segment_meta *meta =
			(const void *)(found->bytes + sizeof(struct tape_record_header));

		durable = MAX(durable, from_le64(meta->prev_end));
	}
	rec->epoch_max = MAX(rec->epoch_max, found->record.epoch);
	if (durable > rec->proven) {
		rec->proven = durable;
		rec->proof_lsn = found->record.lsn;
	}
}

/* What has been packed was durable. */
static void note_pack_proof(struct recovery *rec, const struct packed *packed)
{
	rec->epoch_max = MAX(rec->epoch_max, packed->summary.last_epoch);
	if (packed->summary.end > rec->proven) {
		rec->proven = packed->summary.end;
		rec->proof_lsn = packed->summary.lsn;
	}
}

/* A segment gets its name when it has its whole length. */
static int check_size(struct recovery *rec, struct disk_file *file, uint64_t lsn)
{
	uint64_t size;
	int r = disk_file_size(file, &size);

	if (r < 0)
		return read_failed(rec, r, lsn);
	if (size < rec->tape->options.segment_bytes)
		rec->cut = MIN(rec->cut, lsn);
	return 0;
}

/* Everything whole in the segment from `at` on, wherever it stands. */
static int search_proof(struct recovery *rec, uint64_t lsn, uint64_t at, bool *ret_found)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(walk) struct walk walk = {0};
	const struct packed *packed = find_packed(rec, lsn);
	struct walk_record found;
	int r;

	if (packed) {
		note_pack_proof(rec, packed);
		return 0;
	}
	r = open_segment(rec, lsn, DISK_READ_ONLY, &file);
	if (r == 0)
		r = check_size(rec, file, lsn);
	if (r < 0)
		return r;
	walk_init(&walk, file, lsn, rec->tape->options.segment_bytes, rec->tape->seed);
	walk.at = at;
	walk.epoch = rec->epoch;
	while ((r = walk_search(&walk, &found)) > 0) {
		note_proof(rec, &found);
		*ret_found = true;
	}
	return r < 0 ? read_failed(rec, r, lsn) : 0;
}

/* --- One segment -------------------------------------------------------------------------- */

struct scan {
	struct segment *segment;
	bool bad_data;   /* in some record */
	int64_t time_us; /* of the last record, the tape's own included */
};

/*
 * The segment after says that this one ends where the record begins, and it is of a later opening:
 * the record is what an earlier one has left behind the end that the later one found.
 */
static bool is_stale(const struct record *record, const struct walk_start *next)
{
	return next && record->lsn >= from_le64(next->meta.prev_end) &&
	       record->epoch < next->record.epoch;
}

/*
 * Walk the segment, building its index, up to a record at `trust` or later whose data is damaged.
 * `next`: the start of the segment right after it, or NULL.
 */
static int scan_segment(struct recovery *rec, uint64_t lsn, uint64_t trust,
			const struct walk_start *next, struct scan *ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(walk) struct walk walk = {0};
	struct walk_record found;
	int r;

	*ret = (struct scan){.segment = segment_new(lsn)};
	ret->segment->index = index_new();
	r = open_segment(rec, lsn, DISK_READ_ONLY, &file);
	if (r == 0)
		r = check_size(rec, file, lsn);
	if (r < 0)
		goto fail;
	walk_init(&walk, file, lsn, rec->tape->options.segment_bytes, rec->tape->seed);
	walk.epoch = rec->epoch;
	while ((r = walk_next(&walk, &found)) > 0) {
		if (is_stale(&found.record, next) || (!found.data_ok && found.record.lsn >= trust))
			break;
		ret->bad_data |= !found.data_ok;
		note_proof(rec, &found);
		ret->time_us = found.record.time_us;
		segment_count_record(ret->segment, &found.record, walk.at);
		if (!record_is_own(&found.record))
			index_add(ret->segment->index, (const void *)found.bytes,
				  found.bytes + sizeof(struct tape_record_header));
	}

	if (r >= 0)
		return 0;
	r = read_failed(rec, r, lsn);
fail:
	segment_free(ret->segment);
	return r;
}

/* What the first record says: 1 and *ret when it is one of this tape's, 0 when not, or -errno. */
static int peek(struct recovery *rec, uint64_t lsn, struct walk_start *ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	const struct packed *packed = find_packed(rec, lsn);
	char name[TAPE_NAME_MAX];
	int r;

	if (packed)
		return peek_packed(rec, packed, ret);
	segment_name(name, lsn);
	r = open_segment(rec, lsn, DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	r = walk_peek(file, lsn, rec->tape->options.segment_bytes, rec->tape->seed, ret);
	if (r == -EPROTONOSUPPORT)
		return problem(rec->why, r, "%s is of a newer format than this program knows",
			       name);
	if (r == -EXDEV)
		return problem(rec->why, -EBADMSG, "%s belongs to another volume", name);
	if (r == -EINVAL)
		return problem(
			rec->why, r, "%s was made with segments of %" PRIu64 " bytes, not %" PRIu64,
			name, from_le64(ret->meta.segment_bytes), rec->tape->options.segment_bytes);
	return r < 0 ? read_failed(rec, r, lsn) : r;
}

/* A segment that begins like this is not older than what was found so far, and continues it if it
 * can. */
static bool continues(const struct recovery *rec, const struct segment *after, uint64_t lsn,
		      const struct walk_start *start)
{
	if (!after)
		return true;
	return start->record.epoch >= after->summary.last_epoch &&
	       (after->summary.lsn + rec->tape->options.segment_bytes != lsn ||
		from_le64(start->meta.prev_end) == after->summary.end);
}

static void add_tail(struct recovery *rec, struct segment *segment, enum segment_state state)
{
	segment->state = state;
	segments_add(rec->tape, segment);
	rec->tail = segment;
	rec->end = segment->summary.end;
	rec->epoch = MAX(rec->epoch, segment->summary.last_epoch);
	rec->epoch_max = MAX(rec->epoch_max, rec->epoch);
	if (segment->summary.records)
		rec->time_us = segment->summary.last_time_us;
}

static bool add_by_index(struct recovery *rec, uint64_t lsn)
{
	struct tape *tape = rec->tape;
	struct summary summary;
	struct segment *segment;

	if (index_read_summary(tape->disk, lsn, tape->options.segment_bytes, tape->seed, &summary) <
	    0)
		return false;
	segment = segment_new(lsn);
	segment->summary = summary;
	add_tail(rec, segment, SEGMENT_SEALED);
	return true;
}

static bool add_by_pack(struct recovery *rec, uint64_t lsn)
{
	struct packed *packed = find_packed(rec, lsn);
	struct segment *segment;

	if (!packed)
		return false;
	packed->taken = true;
	segment = segment_new(lsn);
	segment->summary = packed->summary;
	segment->pack = packed->pack;
	add_tail(rec, segment, SEGMENT_SEALED);
	return true;
}

/*
 * Walk the segment and see whether it is whole because the next one that is there says so: that one
 * continues it; or it stands behind a gap, and this one was sealed before what followed was
 * dropped. 1, 0 or -errno; the caller owns ret->segment but for an error.
 */
static int scan_and_ask_next(struct recovery *rec, size_t i, struct scan *ret)
{
	uint64_t lsn = rec->listing.segments[i], next_lsn = 0;
	struct walk_start next;
	int r, begun = 0;

	if (i + 1 < rec->listing.segment_count) {
		next_lsn = rec->listing.segments[i + 1];
		begun = peek(rec, next_lsn, &next);
		if (begun < 0)
			return begun;
	}
	r = scan_segment(rec, lsn, UINT64_MAX,
			 begun && next_lsn - lsn == rec->tape->options.segment_bytes ? &next : NULL,
			 ret);
	if (r < 0)
		return r;
	/* Nothing is packed before all that comes before it has been sealed. */
	if (next_lsn && find_packed(rec, next_lsn))
		return 1;
	return begun && continues(rec, ret->segment, next_lsn, &next);
}

/* Returns 1 to go on to the next segment, 0 when the tail has been found, or -errno. */
static int visit(struct recovery *rec, size_t i, struct scan *ret_tail)
{
	uint64_t lsn = rec->listing.segments[i];
	struct tape *tape = rec->tape;
	struct walk_start start;
	struct segment *segment;
	int r;

	if (add_by_pack(rec, lsn) || add_by_index(rec, lsn))
		return 1;
	r = peek(rec, lsn, &start);
	if (r < 0)
		return r;
	if (r == 0 || !continues(rec, rec->tail, lsn, &start))
		return 0;
	rec->rest = i + 1;
	r = scan_and_ask_next(rec, i, ret_tail);
	if (r <= 0)
		return r;
	segment = take(ret_tail->segment);
	if (!tape->options.read_only &&
	    index_write(segment->index, tape->disk, &segment->summary, tape->seed) == 0)
		index_unref(take(segment->index));
	add_tail(rec, segment, SEGMENT_SEALED);
	return 1;
}

/* --- The end ------------------------------------------------------------------------------ */

/* Where the first record is that should be there and is not. */
static uint64_t lost_at(const struct recovery *rec)
{
	bool in_next = rec->rest < rec->listing.segment_count && rec->rest_is_empty &&
		       (!rec->tail || rec->tail->state == SEGMENT_SEALED || !rec->more_in_tail);

	return in_next ? rec->listing.segments[rec->rest] : rec->end;
}

/* What is there proves that there was more. */
static int lost_records(struct recovery *rec)
{
	uint64_t bytes = rec->tape->options.segment_bytes, at = lost_at(rec);
	char name[TAPE_NAME_MAX], when[CLOCK_TEXT_MAX] = "the beginning";

	if (rec->proven <= rec->end)
		return 0;
	if (rec->time_us)
		clock_format(rec->time_us, when);
	return problem(rec->why, -EBADMSG,
		       "%s is damaged at offset %" PRIu64 " (LSN %" PRIu64
		       "): the record at LSN %" PRIu64 " proves that all before LSN %" PRIu64
		       " was durable; lost is what came after %s",
		       segment_name(name, ALIGN_DOWN(at, bytes)), at % bytes, at, rec->proof_lsn,
		       rec->proven, when);
}

static int lost_length(struct recovery *rec)
{
	char name[TAPE_NAME_MAX], when[CLOCK_TEXT_MAX] = "the beginning";

	if (rec->cut == UINT64_MAX)
		return 0;
	if (rec->time_us)
		clock_format(rec->time_us, when);
	return problem(rec->why, -EBADMSG,
		       "%s has been cut short after LSN %" PRIu64
		       "; lost is what may have come after %s",
		       segment_name(name, rec->cut), rec->end, when);
}

/*
 * What lies behind the end must be nothing, or one segment prepared for what comes next.  An index
 * is only there when a later segment is.
 */
static int lost_segment(struct recovery *rec)
{
	const struct listing *listing = &rec->listing;
	uint64_t bytes = rec->tape->options.segment_bytes;
	uint64_t expected = rec->tail ? rec->tail->summary.lsn + bytes : 0;
	char name[TAPE_NAME_MAX], there[TAPE_NAME_MAX];

	if (listing->index_count > 0 &&
	    (listing->segment_count == 0 || listing->indexes[listing->index_count - 1] >
						    listing->segments[listing->segment_count - 1]))
		return problem(rec->why, -EBADMSG,
			       "%s is missing: %s is there, which is made after it",
			       segment_name(name, listing->indexes[listing->index_count - 1]),
			       index_name(there, listing->indexes[listing->index_count - 1]));
	if (rec->rest == listing->segment_count || listing->segments[rec->rest] == expected)
		return 0;
	return problem(
		rec->why, -EBADMSG, "%s is missing: %s is there, which is made after it",
		segment_name(name, rec->tail ? expected : rec->listing.segments[rec->rest] - bytes),
		segment_name(there, rec->listing.segments[rec->rest]));
}

/*
 * Where does the tape end?  Walked records with damaged data stay when they are proven to have been
 * durable (reading them tells), and are a torn tail when not.
 */
static int find_end(struct recovery *rec, struct scan *tail)
{
	uint32_t epoch = rec->epoch;
	uint64_t lsn = 0;
	bool more;
	size_t i;
	int r = 0;

	if (tail->segment) {
		lsn = tail->segment->summary.lsn;
		rec->epoch = MAX(rec->epoch, tail->segment->summary.last_epoch);
		r = search_proof(rec, lsn, tail->segment->summary.end, &rec->more_in_tail);
	}
	for (i = rec->rest; r == 0 && i < rec->listing.segment_count; i++)
		r = search_proof(rec, rec->listing.segments[i], rec->listing.segments[i], &more);
	if (r < 0)
		goto out;
	if (tail->bad_data) {
		rec->epoch = epoch;
		segment_free(take(tail->segment));
		r = scan_segment(rec, lsn, rec->proven, NULL, tail);
		if (r < 0)
			return r;
	}

	if (tail->segment)
		add_tail(rec, take(tail->segment), SEGMENT_ACTIVE);
	/* One of the tape's own may be all that still tells the time of records that were dropped.
	 */
	rec->time_us = MAX(rec->time_us, tail->time_us);
out:
	segment_free(tail->segment);
	return r;
}

/* A tape that has lost its start begins where the first file does. */
static int look_at_rest(struct recovery *rec)
{
	struct walk_start start;
	int r;

	if (rec->rest == rec->listing.segment_count)
		return 0;
	if (!rec->tail)
		rec->end = rec->listing.segments[rec->rest];
	r = peek(rec, rec->listing.segments[rec->rest], &start);
	rec->rest_is_empty = r == 0;
	return MIN(r, 0);
}

/* --- Going on ----------------------------------------------------------------------------- */

static int remove_file(struct recovery *rec, const char *name)
{
	int r = disk_remove(rec->tape->disk, name);

	return r < 0 && r != -ENOENT ? problem_errno(rec->why, r, "cannot remove %s", name) : 0;
}

static bool has_sealed(struct tape *tape, uint64_t lsn)
{
	struct segment *segment = segments_find(tape, lsn);

	return segment && segment->state == SEGMENT_SEALED && !segment->pack;
}

/* Those of segments that are gone, or that are to be written again. */
static int sweep_indexes(struct recovery *rec)
{
	char name[TAPE_NAME_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < rec->listing.index_count; i++)
		if (!has_sealed(rec->tape, rec->listing.indexes[i]))
			r = remove_file(rec, index_name(name, rec->listing.indexes[i]));
	return r;
}

/* Segments that are in packs, and packs that are none. */
static int sweep_packs(struct recovery *rec)
{
	char name[TAPE_NAME_MAX];
	int r = rec->listing.new_pack ? remove_file(rec, TAPE_NEW_PACK_NAME) : 0;

	/* Not before the name of what stands for them is durable. */
	if (r == 0 && rec->listing.pack_count)
		r = disk_sync_names(rec->tape->disk, TAPE_FOLDER);
	for (size_t i = 0; r == 0 && i < rec->packed_count; i++)
		if (rec->packed[i].has_file)
			r = remove_file(rec, segment_name(name, rec->packed[i].summary.lsn));
	for (size_t i = 0; r == 0 && i < rec->bad_pack_count; i++)
		r = remove_file(rec, pack_name(name, rec->bad_packs[i]));
	return r;
}

static int find_size(struct recovery *rec, const char *name, uint64_t *ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r;

	r = disk_open(rec->tape->disk, name, DISK_READ_ONLY, &file);
	if (r == 0)
		r = disk_file_size(file, ret);
	return r < 0 ? problem_errno(rec->why, r, "cannot look at %s", name) : 0;
}

static int has_whole_size(struct recovery *rec, const char *name)
{
	uint64_t size;
	int r = find_size(rec, name, &size);

	return r < 0 ? r : size == rec->tape->options.segment_bytes;
}

/* One that is shorter than a segment was lent: what is left of its room is still held. */
static int find_spare(struct recovery *rec, const char *name, struct spare *ret)
{
	uint64_t size;
	int r = find_size(rec, name, &size);

	if (r < 0)
		return r;
	ret->state = size == rec->tape->options.segment_bytes ? SPARE_READY : SPARE_LENT;
	ret->blank = true;
	ret->empty = size == 0;
	return 0;
}

static int sweep_spares(struct recovery *rec)
{
	char name[TAPE_NAME_MAX];
	int r = rec->listing.new_file ? remove_file(rec, TAPE_NEW_NAME) : 0;

	if (r == 0 && rec->listing.new_index)
		r = remove_file(rec, TAPE_NEW_INDEX_NAME);

	for (unsigned i = 0; r == 0 && i < TAPE_SPARES; i++)
		if (rec->listing.spares & 1u << i)
			r = find_spare(rec, spare_name(name, i), &rec->tape->spares[i]);
	return r;
}

/* Segments behind the end: the next one is kept for use, unless it holds what was given up. */
static int sweep_rest(struct recovery *rec, bool damaged)
{
	struct tape *tape = rec->tape;
	char name[TAPE_NAME_MAX];
	int r = 0;

	for (size_t i = rec->listing.segment_count; r == 0 && i > rec->rest; i--) {
		uint64_t lsn = rec->listing.segments[i - 1];
		const struct packed *packed = find_packed(rec, lsn);

		if (packed) { /* one of its segments may stay: then it does */
			packed->pack->left--;
			r = packed->pack->left
				    ? 0
				    : remove_file(rec, pack_name(name, packed->pack->id));
			continue;
		}
		r = has_whole_size(rec, segment_name(name, lsn));
		if (r > 0 && lsn == tape->next_lsn && !damaged) {
			r = open_segment(rec, lsn, 0, &tape->next);
			continue;
		}
		if (r >= 0)
			r = remove_file(rec, name);
	}
	return r;
}

/* Bytes [from, to) of the active segment into the ring. */
static int load_ring(struct recovery *rec, uint64_t from, uint64_t to)
{
	struct tape *tape = rec->tape;

	while (from < to) {
		uint64_t at = tape_ring_at(tape, from);
		uint64_t n = MIN(to - from, tape->options.ring_bytes - at);
		ssize_t got = disk_file_read(tape->active->file, tape->ring + at, n,
					     from - tape->active->summary.lsn);

		if (got < (ssize_t)n)
			return read_failed(rec, got < 0 ? got : -EIO, tape->active->summary.lsn);
		from += n;
	}
	return 0;
}

/*
 * What was found is not yet known to be durable: it may be in a cache, even in one that a sync has
 * failed to write and will not try again.  From the last proven position on it is written once
 * more, by the first flush.
 */
static int go_on_in(struct recovery *rec, struct segment *segment)
{
	struct tape *tape = rec->tape;
	uint64_t from = MAX(rec->proven, segment->summary.lsn);
	int r;

	tape->active = segment;
	from = MIN(from, tape->end);
	if (tape->end - ALIGN_DOWN(from, DISK_BLOCK) > tape->options.ring_bytes)
		from = ALIGN_UP(tape->end, (uint64_t)DISK_BLOCK) - tape->options.ring_bytes;
	tape->written = tape->durable = tape->proven = from;

	r = open_segment(rec, segment->summary.lsn, 0, &segment->file);
	if (r < 0)
		return r;
	if (rec->cut == segment->summary.lsn) /* its end is zeros again */
		r = disk_file_write_zeros(segment->file, tape->end - rec->cut,
					  tape->next_lsn - tape->end);
	if (r < 0)
		return read_failed(rec, r, rec->cut);
	r = load_ring(rec, ALIGN_DOWN(from, DISK_BLOCK), tape->end);
	if (r < 0)
		return r;
	r = disk_file_sync(segment->file);
	return r < 0 ? read_failed(rec, r, segment->summary.lsn) : 0;
}

static int go_on(struct recovery *rec, bool damaged)
{
	struct tape *tape = rec->tape;
	int r;

	tape->written = tape->durable = tape->proven = tape->end;
	if (tape->options.read_only)
		return 0;
	r = sweep_indexes(rec);
	if (r == 0)
		r = sweep_packs(rec);
	if (r == 0)
		r = sweep_spares(rec);
	if (r == 0)
		r = sweep_rest(rec, damaged);
	if (r == 0 && rec->tail && rec->tail->state == SEGMENT_ACTIVE)
		r = go_on_in(rec, rec->tail);
	/* Before anything is written: an index that came back would speak for other records. */
	if (r == 0 &&
	    (rec->listing.segment_count || rec->listing.index_count || rec->listing.pack_count))
		r = disk_sync_names(tape->disk, TAPE_FOLDER);
	if (r < 0)
		return r;
	r = tape_sync(tape, UINT64_MAX);
	tape->stats = (struct tape_stats){0};

	if (r == 0 && damaged)
		r = tape_put_cut(tape);
	return r < 0 ? problem_errno(rec->why, r, "cannot make what was found durable") : 0;
}

static int check_name(struct recovery *rec, uint64_t lsn)
{
	char name[TAPE_NAME_MAX];

	if (lsn % rec->tape->options.segment_bytes == 0 && lsn < LSN_LIMIT)
		return 0;
	return problem(rec->why, -EBADMSG, "%s: no segment of this tape can begin there",
		       segment_name(name, lsn));
}

static int recover(struct recovery *rec)
{
	struct tape *tape = rec->tape;
	struct scan tail = {0};
	int r, damage;

	r = listing_read(&rec->listing, tape->disk);
	if (r < 0)
		return problem_errno(rec->why, r, "cannot list the tape's folder");
	r = find_packs(rec);
	if (r < 0)
		return r;
	for (size_t i = 0; i < rec->listing.segment_count; i++) {
		rec->rest = i;
		r = check_name(rec, rec->listing.segments[i]);
		if (r < 0)
			break;
		r = visit(rec, i, &tail);
		if (r <= 0)
			break;
		rec->rest = i + 1;
	}
	if (r < 0)
		return r;
	r = find_end(rec, &tail);
	if (r == 0)
		r = look_at_rest(rec);
	if (r == 0 && MAX(rec->epoch, rec->epoch_max) == UINT32_MAX)
		r = problem(rec->why, -EBADMSG, "the tape has been opened too often");
	if (r < 0)
		return r;
	damage = lost_records(rec);
	if (damage == 0)
		damage = lost_length(rec);
	if (damage == 0)
		damage = lost_segment(rec);
	if (damage < 0 && !tape->options.accept_loss)
		return damage;
	tape->end = rec->end;
	tape->ring_from = rec->end; /* what is loaded before it is no whole record for certain */
	tape->next_lsn =
		rec->tail ? rec->tail->summary.lsn + tape->options.segment_bytes : rec->end;
	tape->last_time_us = rec->time_us;
	tape->epoch = MAX(rec->epoch, rec->epoch_max) + 1;
	return go_on(rec, damage < 0);
}

int tape_recover(struct tape *tape, struct problem *why)
{
	struct recovery rec = {.tape = tape, .why = why, .cut = UINT64_MAX};
	int r = recover(&rec);

	packs_count_debt(tape);
	packs_done(&rec);
	listing_done(&rec.listing);
	return r;
}
