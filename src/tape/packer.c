/*
 * Putting packs in the place of segments, while all else goes on.
 *
 *	1. the segments' records are read and checked; the pack is written as pack.tmp and synced
 *	2. it is read back, every byte
 *	3. it gets its name, durably: from now on recovery takes it and not the segments
 *	4. the list of segments is changed: who looks from now on finds the pack
 *	5. who looked before is waited for; the segments' files are removed, or become spares
 */
#include "tape/internal.h"
#include "tape/walk.h"
#include "base/alloc.h"
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>

#define LEVEL_DEFAULT 5
#define PERCENT_MAX_DEFAULT 75

/* --- Who has a pack, who reads files -------------------------------------------------------- */

struct pack *packs_ref(struct pack *pack)
{
	pack->refs++;
	return pack;
}

void packs_unref(struct tape *tape, struct pack *pack)
{
	bool last;

	if (!pack)
		return;
	pthread_mutex_lock(&tape->lock);
	last = --pack->refs == 0;
	pthread_mutex_unlock(&tape->lock);
	if (!last)
		return;
	files_forget(&tape->pack_files, pack->lsn);
	unpacked_forget(&tape->unpacked, pack->lsn);
	free(pack);
}

struct pack_reader packs_reader(struct tape *tape, const struct pack *pack)
{
	return (struct pack_reader){pack, &tape->pack_files, &tape->unpacked, tape->seed};
}

void packs_count_debt(struct tape *tape)
{
	const struct pack *last = NULL;
	uint64_t before = 0, now = 0;

	for (size_t i = 0; i < tape->segment_count; i++) {
		const struct pack *pack = tape->segments[i]->pack;

		if (!pack)
			continue;
		before += tape->options.segment_bytes;
		now += pack != last ? pack->bytes : 0;
		last = pack;
	}
	atomic_store(&tape->pack_debt, before - MIN(before, now));
}

uint64_t tape_pack_debt(struct tape *tape)
{
	return atomic_load(&tape->pack_debt);
}

static int remove_pack(struct tape *tape, uint64_t lsn)
{
	char name[TAPE_NAME_MAX];
	int r = disk_remove(tape->disk, pack_name(name, lsn));

	return r < 0 ? r : disk_sync_names(tape->disk, TAPE_FOLDER);
}

int packs_drop(struct tape *tape, struct pack *pack)
{
	bool last;
	int r = 0;

	pthread_mutex_lock(&tape->lock);
	last = --pack->left == 0;
	pthread_mutex_unlock(&tape->lock);
	if (last)
		r = remove_pack(tape, pack->lsn);
	packs_unref(tape, pack);
	return r;
}

unsigned packs_begin_reading(struct tape *tape)
{
	tape->readers[tape->turn]++;
	return tape->turn;
}

void packs_end_reading(struct tape *tape, unsigned turn)
{
	if (--tape->readers[turn] == 0 && turn != tape->turn)
		pthread_cond_broadcast(&tape->changed);
}

/* All who began to read before this call have ended.  Lock held, dropped meanwhile. */
static void wait_for_readers(struct tape *tape)
{
	unsigned before = tape->turn;

	tape->turn ^= 1;
	while (tape->readers[before] > 0)
		pthread_cond_wait(&tape->changed, &tape->lock);
}

void packs_leave_alone(struct tape *tape, uint64_t lsn)
{
	while (tape->packing && lsn >= tape->pack_from && lsn < tape->pack_to) {
		tape->pack_stop = true;
		pthread_cond_wait(&tape->changed, &tape->lock);
	}
}

/* --- What goes into a pack ------------------------------------------------------------------ */

struct packer {
	struct tape *tape;
	const struct tape_pack_options *options;
	struct problem *why;
	uint64_t lsn, data_bytes;
	unsigned count;
	struct summary *summaries;
	struct disk_file **files; /* of the segments */
	struct buffer heads;
	struct pack_item *items;
	size_t item_count, item_room;
	bool bad; /* what was read back is not what was written */
};

static void packer_done(struct packer *p)
{
	for (unsigned i = 0; i < p->count; i++)
		disk_file_close(p->files[i]);
	free(p->files);
	free(p->summaries);
	free(p->items);
	buffer_done(&p->heads);
}

static bool asked_to_stop(struct tape *tape)
{
	bool stop;

	pthread_mutex_lock(&tape->lock);
	stop = tape->pack_stop || tape->stop;
	pthread_mutex_unlock(&tape->lock);
	return stop;
}

static bool go_on(uint64_t done, void *arg)
{
	struct packer *p = arg;

	return !asked_to_stop(p->tape) &&
	       (!p->options->progress ||
		p->options->progress(done, p->data_bytes, p->options->arg));
}

static int damaged(struct packer *p, uint64_t segment, uint64_t at)
{
	char name[TAPE_NAME_MAX];

	return problem(p->why, -EBADMSG,
		       "%s: the record at offset %" PRIu64 " (LSN %" PRIu64 ") is damaged",
		       segment_name(name, segment), at - segment, at);
}

static void add_item(struct packer *p, const struct walk_record *found)
{
	const struct record *record = &found->record;
	struct tape_place place = {0};
	struct tape_record shown;
	struct pack_item item = {
		.lsn = record->lsn,
		.data_size = record->data_size,
		.head_size = record_head_size(record->meta_size, record->data_size),
		.head = p->heads.size,
	};

	buffer_put(&p->heads, found->bytes, item.head_size);
	if (record->data_size) {
		record_show(record, &shown);
		shown.meta = found->bytes + sizeof(struct tape_record_header);
		if (p->options->place)
			p->options->place(&shown, p->options->arg, &place);
		item.object = place.object;
		item.at = place.offset;
		item.kind = place.kind;
	}
	p->data_bytes += record->data_size;
	xgrow(p->items, p->item_count, p->item_room);
	p->items[p->item_count++] = item;
}

/* Every record of the segment, checked. */
static int collect(struct packer *p, unsigned i)
{
	const struct summary *summary = &p->summaries[i];
	CLEANUP(walk) struct walk walk = {0};
	struct walk_record found;
	int r;

	walk_init(&walk, p->files[i], summary->lsn, p->tape->options.segment_bytes, p->tape->seed);
	while (walk.at < summary->end) {
		r = walk_next(&walk, &found);
		if (r < 0)
			return problem_errno(p->why, r, "cannot read the segment at LSN %" PRIu64,
					     summary->lsn);
		if (r == 0 || !found.data_ok)
			return damaged(p, summary->lsn, r ? found.record.lsn : walk.at);
		add_item(p, &found);
		if (p->item_count % 1024 == 0 && !go_on(0, p))
			return -ECANCELED;
	}
	return 0;
}

static int read_item(const struct pack_item *item, void *buf, void *arg)
{
	struct packer *p = arg;
	uint64_t bytes = p->tape->options.segment_bytes, in_segment = item->lsn % bytes;
	const uint8_t *head = p->heads.data + item->head;
	struct record record;
	ssize_t n;

	n = disk_file_read(p->files[(item->lsn - p->lsn) / bytes], buf, item->data_size,
			   in_segment + item->head_size);
	if (n < 0)
		return problem_errno(p->why, n, "cannot read the record at LSN %" PRIu64,
				     item->lsn);
	record_decode((const void *)head, &record);
	if (n != item->data_size || !record_data_ok(head, &record, buf))
		return damaged(p, item->lsn - in_segment, item->lsn);
	return 0;
}

/* --- Steps 1 to 3 ----------------------------------------------------------------------------- */

static int write_pack(struct packer *p)
{
	unsigned percent = p->options->percent_max ? p->options->percent_max : PERCENT_MAX_DEFAULT;
	uint64_t bytes = p->tape->options.segment_bytes, written;
	struct pack_input input = {
		.lsn = p->lsn,
		.segment_bytes = bytes,
		.summaries = p->summaries,
		.segments = p->count,
		.seed = p->tape->seed,
		.level = p->options->level ? p->options->level : LEVEL_DEFAULT,
		.items = p->items,
		.count = p->item_count,
		.heads = p->heads.data,
		.read = read_item,
		.go_on = go_on,
		.arg = p,
		.bytes_max = p->count * bytes / 100 * percent,
	};
	int r = pack_write(p->tape->disk, TAPE_NEW_PACK_NAME, &input, &written);

	if (r == -E2BIG)
		return problem(p->why, r, "packing would not make it much smaller");
	return r < 0 && r != -ECANCELED && !(r == -EBADMSG && p->why && p->why->text[0])
		       ? problem_errno(p->why, r, "cannot write " TAPE_NEW_PACK_NAME)
		       : r;
}

static void note_damage(void *arg, const char *line)
{
	struct packer *p = arg;

	(void)problem(p->why, -EIO, "what was just written is not what is read back: %s", line);
	p->bad = true;
}

static bool check_goes_on(void *arg, uint64_t done, uint64_t total)
{
	return !asked_to_stop(((struct packer *)arg)->tape);
}

static int check_pack(struct packer *p)
{
	struct pack_checker checker = {note_damage, NULL, check_goes_on, p};
	struct summary last;
	struct pack pack;
	int r;

	r = pack_check(p->tape->disk, TAPE_NEW_PACK_NAME, p->lsn, p->tape->options.segment_bytes,
		       p->tape->seed, &checker, &pack, &last);
	if (r == 0 && (p->bad || pack.segments != p->count))
		r = -EIO;
	return r == -EBADMSG ? -EIO : r;
}

static int name_pack(struct packer *p, struct pack **ret)
{
	struct tape *tape = p->tape;
	char name[TAPE_NAME_MAX];
	int r;

	r = disk_rename(tape->disk, TAPE_NEW_PACK_NAME, pack_name(name, p->lsn));
	if (r == 0)
		r = disk_sync_names(tape->disk, TAPE_FOLDER);
	if (r == 0)
		r = pack_load(tape->disk, p->lsn, tape->options.segment_bytes, tape->seed, ret,
			      NULL);
	return r < 0 ? problem_errno(p->why, r, "cannot put %s in place", name) : 0;
}

/* --- Steps 4 and 5 ---------------------------------------------------------------------------- */

static void switch_over(struct packer *p, struct pack *pack)
{
	struct tape *tape = p->tape;

	pthread_mutex_lock(&tape->lock);
	pack->left = pack->refs = p->count;
	for (unsigned i = 0; i < p->count; i++) {
		struct segment *segment = segments_find(tape, p->summaries[i].lsn);

		assert(segment && segment->state == SEGMENT_SEALED && !segment->pack);
		segment->pack = pack;
		index_unref(take(segment->index));
	}
	packs_count_debt(tape);
	wait_for_readers(tape);
	pthread_mutex_unlock(&tape->lock);
}

static int discard_segments(struct packer *p)
{
	int r, first = 0;

	for (unsigned i = 0; i < p->count; i++) {
		r = segments_discard(p->tape, p->summaries[i].lsn);
		first = first ? first : r;
	}
	return first < 0 ? problem_errno(p->why, first, "cannot remove what has been packed") : 0;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int open_segments(struct packer *p)
{
	char name[TAPE_NAME_MAX];
	int r = 0;

	for (unsigned i = 0; i < p->count && r == 0; i++) {
		segment_name(name, p->summaries[i].lsn);
		r = disk_open(p->tape->disk, name, DISK_READ_ONLY, &p->files[i]);
		if (r < 0)
			return problem_errno(p->why, r, "cannot open %s", name);
	}
	return r;
}

static int pack(struct packer *p)
{
	struct pack *made;
	int r;

	r = open_segments(p);
	for (unsigned i = 0; i < p->count && r == 0; i++)
		r = collect(p, i);
	if (r == 0)
		r = write_pack(p);
	if (r == 0)
		r = check_pack(p);
	if (r < 0) {
		(void)disk_remove(p->tape->disk, TAPE_NEW_PACK_NAME);
		return r;
	}
	r = name_pack(p, &made);
	if (r < 0) {
		/* Perhaps it has its name, perhaps not: another pack might overlap with it. */
		p->tape->pack_broken = r;
		return r;
	}
	switch_over(p, made);
	return discard_segments(p);
}

/* Copy what is to be packed off the list.  Lock held. */
static int choose(struct packer *p)
{
	struct tape *tape = p->tape;
	uint64_t bytes = tape->options.segment_bytes;

	for (unsigned i = 0; i < p->count; i++) {
		struct segment *segment = segments_find(tape, p->lsn + i * bytes);

		if (!segment || segment->summary.lsn != p->lsn + i * bytes)
			return -ENOENT;
		if (segment->state != SEGMENT_SEALED || segment->pack)
			return -EBUSY;
		p->summaries[i] = segment->summary;
	}
	return 0;
}

static int begin(struct packer *p)
{
	struct tape *tape = p->tape;
	int r;

	pthread_mutex_lock(&tape->lock);
	r = tape->packing ? -EBUSY : tape->pack_broken;
	if (r == 0)
		r = choose(p);
	if (r == 0) {
		tape->packing = true;
		tape->pack_stop = false;
		tape->pack_from = p->lsn;
		tape->pack_to = p->lsn + p->count * tape->options.segment_bytes;
	}
	pthread_mutex_unlock(&tape->lock);
	return r < 0 ? problem_errno(p->why, r, "cannot pack the segments from LSN %" PRIu64 " on",
				     p->lsn)
		     : 0;
}

static void end(struct tape *tape)
{
	pthread_mutex_lock(&tape->lock);
	tape->packing = false;
	pthread_cond_broadcast(&tape->changed);
	pthread_mutex_unlock(&tape->lock);
}

int tape_pack(struct tape *tape, uint64_t lsn, unsigned count,
	      const struct tape_pack_options *options, struct problem *why)
{
	struct problem ignored = {""};
	struct packer p = {.tape = tape, .options = options, .lsn = lsn, .count = count};
	int r;

	p.why = why ? why : &ignored;
	p.why->text[0] = '\0';
	if (tape->options.read_only)
		return -EROFS;
	if (count < 1 || count > PACK_SEGMENTS_MAX)
		return -EINVAL;
	p.summaries = xcalloc(count, sizeof *p.summaries);
	p.files = xcalloc(count, sizeof *p.files);
	r = begin(&p);
	if (r == 0) {
		r = pack(&p);
		end(tape);
	}
	packer_done(&p);
	return r;
}
