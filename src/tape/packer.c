/*
 * Putting packs in the place of segments, and of smaller packs, while all else goes on.
 *
 *	1. the records are read and checked; the pack is written as pack.tmp and synced
 *	2. it is read back, every byte
 *	3. it gets its name, durably: from now on recovery takes it and not the segments, nor a
 *	   pack of an earlier generation
 *	4. the list of segments is changed: who looks from now on finds the pack
 *	5. who looked before is waited for; the segments' files are removed, or become spares, and
 *	   the files of packs that it replaces are removed
 */
#include "tape/internal.h"
#include "tape/walk.h"
#include "base/alloc.h"
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>

#define LEVEL_DEFAULT 5
#define PERCENT_MAX_DEFAULT 75
/* Of unpacked groups, while packs are made anew: those that are read side by side stay. */
#define UNPACKED_BYTES ((size_t)32 << 20)

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
	if (pack->left == 0) /* its replacement may wait for this: wait_for_pack() */
		pthread_cond_broadcast(&tape->changed);
	pthread_mutex_unlock(&tape->lock);
	if (!last)
		return;
	files_forget(&tape->pack_files, pack->id);
	unpacked_forget(&tape->unpacked, pack->id);
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

static int remove_pack(struct tape *tape, uint64_t id)
{
	char name[TAPE_NAME_MAX];
	int r = disk_remove(tape->disk, pack_name(name, id));

	return r < 0 ? r : disk_sync_names(tape->disk, TAPE_FOLDER);
}

int packs_drop(struct tape *tape, struct pack *pack, bool last)
{
	int r = last ? remove_pack(tape, pack->id) : 0;

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
	struct disk_file **files; /* of the segments that are in no pack */
	struct pack **packs;      /* references, of those that are in one; one for each segment */
	uint64_t id;              /* of the new one */
	struct unpacked unpacked; /* of theirs: readers keep what they have in the tape's */
	struct buffer heads;
	struct pack_item *items;
	size_t item_count, item_room;
	bool bad; /* what was read back is not what was written */
};

static void packer_done(struct packer *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		disk_file_close(p->files[i]);
		packs_unref(p->tape, p->packs[i]);
	}
	unpacked_done(&p->unpacked);
	free(p->files);
	free(p->packs);
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

static void add_item(struct packer *p, const struct record *record, const uint8_t *head)
{
	struct tape_place place = {0};
	struct tape_record shown;
	struct pack_item item = {
		.lsn = record->lsn,
		.data_size = record->data_size,
		.head_size = record_head_size(record->meta_size, record->data_size),
		.head = p->heads.size,
	};

	buffer_put(&p->heads, head, item.head_size);
	if (record->data_size) {
		record_show(record, &shown);
		shown.meta = head + sizeof(struct tape_record_header);
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

/* The first of its pack, of the segments that are in one. */
static bool begins_pack(const struct packer *p, unsigned i)
{
	return p->packs[i] && (i == 0 || p->packs[i] != p->packs[i - 1]);
}

static int add_entry(const struct pack_entry *entry, void *arg)
{
	struct packer *p = arg;

	add_item(p, &entry->record, entry->head);
	return p->item_count % 1024 == 0 && !go_on(0, p) ? -ECANCELED : 0;
}

static struct pack_reader reader_of(struct packer *p, unsigned i)
{
	return (struct pack_reader){p->packs[i], &p->tape->pack_files, &p->unpacked, p->tape->seed};
}

/* Its data is checked when it is read. */
static int collect_packed(struct packer *p, unsigned i)
{
	struct pack_reader reader = reader_of(p, i);

	return pack_walk(&reader, p->summaries[i].lsn, p->summaries[i].end, add_entry, p, p->why);
}

/* Every record of the segment, checked. */
static int collect(struct packer *p, unsigned i)
{
	const struct summary *summary = &p->summaries[i];
	CLEANUP(walk) struct walk walk = {0};
	struct walk_record found;
	int r;

	if (p->packs[i])
		return collect_packed(p, i);
	walk_init(&walk, p->files[i], summary->lsn, p->tape->options.segment_bytes, p->tape->seed);
	while (walk.at < summary->end) {
		r = walk_next(&walk, &found);
		if (r < 0)
			return problem_errno(p->why, r, "cannot read the segment at LSN %" PRIu64,
					     summary->lsn);
		if (r == 0 || !found.data_ok)
			return damaged(p, summary->lsn, r ? found.record.lsn : walk.at);
		add_item(p, &found.record, found.bytes);
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
	unsigned i = (item->lsn - p->lsn) / bytes;
	struct pack_reader reader = reader_of(p, i);
	struct record record;
	ssize_t n;

	if (p->packs[i])
		return pack_read(&reader, item->lsn, 0, buf, item->data_size, p->why);
	n = disk_file_read(p->files[i], buf, item->data_size, in_segment + item->head_size);
	if (n < 0)
		return problem_errno(p->why, n, "cannot read the record at LSN %" PRIu64,
				     item->lsn);
	record_decode((const void *)head, &record);
	if (n != item->data_size || !record_data_ok(head, &record, buf))
		return damaged(p, item->lsn - in_segment, item->lsn);
	return 0;
}

/* --- Steps 1 to 3 ----------------------------------------------------------------------------- */

/* So much smaller than segments, and smaller than packs. */
static uint64_t bytes_max(const struct packer *p)
{
	unsigned percent = p->options->percent_max ? p->options->percent_max : PERCENT_MAX_DEFAULT;
	uint64_t segments = 0, packs = 0;

	for (unsigned i = 0; i < p->count; i++) {
		segments += !p->packs[i];
		packs += begins_pack(p, i) ? p->packs[i]->bytes : 0;
	}
	return segments * p->tape->options.segment_bytes / 100 * percent + packs;
}

static int write_pack(struct packer *p)
{
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
		.bytes_max = bytes_max(p),
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

	r = disk_rename(tape->disk, TAPE_NEW_PACK_NAME, pack_name(name, p->id));
	if (r == 0)
		r = disk_sync_names(tape->disk, TAPE_FOLDER);
	if (r == 0)
		r = pack_load(tape->disk, p->id, tape->options.segment_bytes, tape->seed, ret,
			      NULL);
	return r < 0 ? problem_errno(p->why, r, "cannot put %s in place", name) : 0;
}

/* --- Steps 4 and 5 ---------------------------------------------------------------------------- */

/* Nobody has it but `ours`, and on the list it is no more.  Lock held, dropped meanwhile. */
static void wait_for_pack(struct tape *tape, const struct pack *pack, unsigned ours)
{
	while (pack->refs > ours)
		pthread_cond_wait(&tape->changed, &tape->lock);
}

static void wait_for_packs(struct packer *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		unsigned ours = 0;

		for (unsigned j = 0; j < p->count; j++)
			ours += p->packs[j] == p->packs[i];
		if (begins_pack(p, i))
			wait_for_pack(p->tape, p->packs[i], ours);
	}
}

static void switch_over(struct packer *p, struct pack *pack)
{
	struct tape *tape = p->tape;

	pthread_mutex_lock(&tape->lock);
	pack->left = pack->refs = p->count;
	for (unsigned i = 0; i < p->count; i++) {
		struct segment *segment = segments_find(tape, p->summaries[i].lsn);

		assert(segment && segment->state == SEGMENT_SEALED && segment->pack == p->packs[i]);
		if (segment->pack) {
			segment->pack->left--;
			segment->pack->refs--; /* not the last: there is ours */
		}
		segment->pack = pack;
		index_unref(take(segment->index));
	}
	packs_count_debt(tape);
	wait_for_readers(tape);
	wait_for_packs(p);
	pthread_mutex_unlock(&tape->lock);
}

static int discard_old(struct packer *p)
{
	int r, first = 0;

	for (unsigned i = 0; i < p->count; i++) {
		r = !p->packs[i]        ? segments_discard(p->tape, p->summaries[i].lsn)
		    : begins_pack(p, i) ? remove_pack(p->tape, p->packs[i]->id)
					: 0;
		first = first ? first : r;
	}
	return first < 0 ? problem_errno(p->why, first, "cannot remove what has been packed") : 0;
}

/* --- All of it -------------------------------------------------------------------------------- */

/* When in doubt it is. */
static bool is_shared(struct packer *p, const struct pack *pack)
{
	char name[TAPE_NAME_MAX];
	unsigned links;

	return disk_links(p->tape->disk, pack_name(name, pack->id), &links) < 0 || links > 1;
}

static int open_segments(struct packer *p)
{
	char name[TAPE_NAME_MAX];
	int r = 0;

	for (unsigned i = 0; i < p->count && r == 0; i++) {
		if (begins_pack(p, i) && is_shared(p, p->packs[i]))
			return problem(p->why, -EMLINK, "%s is another volume's too",
				       pack_name(name, p->packs[i]->id));
		if (p->packs[i])
			continue;
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
	return discard_old(p);
}

/* All that is left of each pack is there, and it is not one pack alone.  Lock held. */
static bool packs_are_whole(const struct packer *p)
{
	unsigned units = 0;

	for (unsigned i = 0; i < p->count; i++) {
		unsigned count = 0;

		units += !p->packs[i] || begins_pack(p, i);
		for (unsigned j = 0; p->packs[i] && j < p->count; j++)
			count += p->packs[j] == p->packs[i];
		if (p->packs[i] && count != p->packs[i]->left)
			return false;
	}
	return units > 1 || !p->packs[0];
}

/* What comes after all that it replaces.  False when there are no more numbers. */
static bool choose_id(struct packer *p)
{
	unsigned generation = 0;

	for (unsigned i = 0; i < p->count; i++)
		if (p->packs[i])
			generation = MAX(generation, pack_id_generation(p->packs[i]->id) + 1);
	p->id = pack_id(p->lsn, generation);
	return generation < PACK_GENERATIONS;
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
		if (segment->state != SEGMENT_SEALED)
			return -EBUSY;
		p->summaries[i] = segment->summary;
		p->packs[i] = segment->pack ? packs_ref(segment->pack) : NULL;
	}
	return packs_are_whole(p) && choose_id(p) ? 0 : -EBUSY;
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
	p.packs = xcalloc(count, sizeof *p.packs);
	unpacked_init(&p.unpacked, UNPACKED_BYTES);
	r = begin(&p);
	if (r == 0) {
		r = pack(&p);
		end(tape);
	}
	packer_done(&p);
	return r;
}
