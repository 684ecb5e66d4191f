#include "volume/fold.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/log.h"

#include <errno.h>
#include <sys/stat.h>

/* Blocks worked on together. */
#define WINDOW_BLOCKS 256
#define WINDOW_BYTES ((uint64_t)WINDOW_BLOCKS * BASE_BLOCK)

/* What becomes of a block of a window. */
enum block_fate {
	BLOCK_UNTOUCHED = 0,
	BLOCK_ZERO,  /* wholly zero by decree: a hole */
	BLOCK_WHOLE, /* wholly from the tape */
	BLOCK_PARTLY /* partly from the base: goes into the intent */
};

struct window {
	uint64_t ino;
	uint64_t first; /* block */
	uint8_t data[WINDOW_BYTES];
	uint8_t fate[WINDOW_BLOCKS];
	/* What it is to be could not be read: its checksum is made wrong, so that nobody ever takes
	 * it for data. */
	bool poisoned[WINDOW_BLOCKS];
};

/* Entries of an intent, behind the base's pages. */
enum { INTENT_END = 0, INTENT_BLOCK = 1, INTENT_SUMS = 2 };

/* --- What a window becomes ----------------------------------------------------------------------
 */

/* Bytes of the block that extents (or the end of the file) speak for; how many of them zero by
 * decree. */
struct coverage {
	uint32_t data, zero;
};

static void cover_range(struct coverage *cover, uint64_t window_offset, uint64_t from, uint64_t to,
			bool zero)
{
	while (from < to) {
		uint64_t block = (from - window_offset) / BASE_BLOCK;
		uint64_t end = MIN(to, window_offset + (block + 1) * BASE_BLOCK);

		*(zero ? &cover[block].zero : &cover[block].data) += end - from;
		from = end;
	}
}

static void find_fates(const struct inode *inode, struct window *w)
{
	struct coverage cover[WINDOW_BLOCKS] = {0};
	uint64_t offset = w->first * BASE_BLOCK, end = offset + WINDOW_BYTES;
	struct extent e;

	for (uint64_t at = offset;
	     at < end && extents_next(&inode->extents, at, &e) && e.offset < end;
	     at = extent_end(&e))
		cover_range(cover, offset, MAX(at, e.offset), MIN(end, extent_end(&e)),
			    extent_is_zero(&e));
	for (size_t i = 0; i < WINDOW_BLOCKS; i++) {
		uint64_t start = offset + i * BASE_BLOCK;

		if (!cover[i].data && !cover[i].zero) {
			w->fate[i] = BLOCK_UNTOUCHED;
			continue;
		}
		/* Behind the end of the file all is zeros, whatever extents say. */
		if (start >= inode->size || cover[i].zero == BASE_BLOCK)
			w->fate[i] = BLOCK_ZERO;
		else if (inode->size < start + BASE_BLOCK)
			w->fate[i] = BLOCK_PARTLY;
		else
			w->fate[i] = cover[i].data + cover[i].zero == BASE_BLOCK ? BLOCK_WHOLE
										 : BLOCK_PARTLY;
	}
}

static void poison(struct window *w, uint64_t from, uint64_t to)
{
	for (uint64_t block = from / BASE_BLOCK; block * BASE_BLOCK < to; block++)
		w->poisoned[block - w->first] = true;
}

/* Bytes [from, to) of the file, from one extent, into the window. */
static int lay_extent(struct volume *v, struct window *w, const struct extent *e, uint64_t from,
		      uint64_t to)
{
	uint8_t *out = w->data + (from - w->first * BASE_BLOCK);
	struct problem why = {""};
	int r;

	if (extent_is_zero(e)) {
		memset(out, 0, to - from);
		return 0;
	}
	r = tape_read(v->tape, extent_src(e), e->skip + (from - e->offset), out, to - from, &why);
	if (r != -EBADMSG)
		return r;
	volume_note_error(v, "damage met while folding: %s", why.text);
	poison(w, from, to);
	return 0;
}

/*
 * Fill the window: old content under partly covered blocks if `with_old`, then the extents, then
 * zeros behind the end of the file.
 */
static int fill_window(struct volume *v, const struct inode *inode, struct window *w, bool with_old)
{
	uint64_t offset = w->first * BASE_BLOCK, end = offset + WINDOW_BYTES;
	struct problem why = {""};
	struct extent e;
	int r;

	memset(w->data, 0, sizeof w->data);
	memset(w->poisoned, 0, sizeof w->poisoned);
	for (size_t i = 0; i < WINDOW_BLOCKS && with_old; i++) {
		if (w->fate[i] != BLOCK_PARTLY)
			continue;
		r = base_read(v->base, inode->ino, offset + i * BASE_BLOCK,
			      w->data + i * BASE_BLOCK, BASE_BLOCK, &why);
		if (r == -EBADMSG)
			w->poisoned[i] = true;
		else if (r < 0)
			return r;
	}
	for (uint64_t at = offset;
	     at < end && extents_next(&inode->extents, at, &e) && e.offset < end;
	     at = extent_end(&e)) {
		r = lay_extent(v, w, &e, MAX(at, e.offset), MIN(end, extent_end(&e)));
		if (r < 0)
			return r;
	}
	if (inode->size < end) {
		uint64_t from = MAX(inode->size, offset) - offset;

		memset(w->data + from, 0, WINDOW_BYTES - from);
	}
	return 0;
}

/*
 * Call `fn` for each window of the inode that an extent touches and where anything is or will be:
 * where there is neither data now nor before, zeros need no work.
 */
static int for_each_window(struct volume *v, const struct inode *inode,
			   int (*fn)(struct volume *v, const struct inode *inode, struct window *w,
				     void *arg),
			   void *arg)
{
	CLEANUP(free) struct window *w = xmalloc(sizeof *w);
	uint64_t at = 0,
		 limit = MAX(base_data_end(v->base, inode->ino), extents_data_end(&inode->extents));
	struct extent e;
	int r = 0;

	w->ino = inode->ino;
	while (r >= 0 && at < limit && extents_next(&inode->extents, at, &e)) {
		w->first = ALIGN_DOWN(MAX(at, e.offset), WINDOW_BYTES) / BASE_BLOCK;
		if (w->first * BASE_BLOCK >= limit)
			break;
		find_fates(inode, w);
		r = fn(v, inode, w, arg);
		at = w->first * BASE_BLOCK + WINDOW_BYTES;
	}
	return r;
}

/* --- Steps 1 and 2: the intent
 * -------------------------------------------------------------------- */

/* The page of checksums being changed; windows come in order, so one at a time is enough. */
struct staging {
	struct buffer entries;
	struct sum_page page;
	uint64_t ino, index;
	bool loaded, changed;
	bool careful; /* see fold_step() */
};

static void flush_page(struct staging *s)
{
	if (s->loaded && s->changed) {
		base_seal_sums(&s->page, s->ino, s->index);
		buffer_put8(&s->entries, INTENT_SUMS);
		buffer_put64(&s->entries, s->ino);
		buffer_put64(&s->entries, s->index);
		buffer_put(&s->entries, &s->page, sizeof s->page);
	}
	s->loaded = s->changed = false;
}

static int set_sum(struct volume *v, struct staging *s, uint64_t ino, uint64_t block, uint32_t sum)
{
	uint64_t index = block / SUMS_PER_PAGE;
	le32 *slot = &s->page.sums[block % SUMS_PER_PAGE];
	struct problem why = {""};
	int r;

	if (!s->loaded || s->ino != ino || s->index != index) {
		flush_page(s);
		r = base_load_sums(v->base, ino, index, &s->page, &why);
		if (r < 0) {
			volume_note_error(v, "a fold failed: %s", why.text);
			return r;
		}
		s->loaded = true;
		s->ino = ino;
		s->index = index;
	}
	s->changed = s->changed || from_le32(*slot) != sum;
	*slot = to_le32(sum);
	return 0;
}

static bool is_data(enum block_fate fate)
{
	return fate == BLOCK_WHOLE || fate == BLOCK_PARTLY;
}

/* Room for the window's blocks: none is to be missing once the fold must be finished. */
static int take_room(struct volume *v, uint64_t ino, const struct window *w)
{
	int r = 0;

	pthread_rwlock_wrlock(&v->base_lock);
	for (size_t i = 0, next; i < WINDOW_BLOCKS && r >= 0; i = next) {
		next = i + 1;
		if (!is_data(w->fate[i]))
			continue;
		while (next < WINDOW_BLOCKS && is_data(w->fate[next]))
			next++;
		r = base_allocate(v->base, ino, (w->first + i) * BASE_BLOCK,
				  (next - i) * BASE_BLOCK);
	}
	pthread_rwlock_unlock(&v->base_lock);
	return r;
}

static int stage_window(struct volume *v, const struct inode *inode, struct window *w, void *arg)
{
	struct staging *s = arg;
	int r;

	r = s->careful ? take_room(v, inode->ino, w) : 0;
	if (r >= 0)
		r = fill_window(v, inode, w, true);
	for (size_t i = 0; i < WINDOW_BLOCKS && r >= 0; i++) {
		const uint8_t *data = w->data + i * BASE_BLOCK;
		uint32_t sum = 0;

		if (w->fate[i] == BLOCK_UNTOUCHED)
			continue;
		if (w->fate[i] != BLOCK_ZERO)
			sum = base_sum(data) ^ (w->poisoned[i] ? 0x5a5a5a5a : 0);
		if (w->fate[i] == BLOCK_PARTLY) {
			buffer_put8(&s->entries, INTENT_BLOCK);
			buffer_put64(&s->entries, inode->ino);
			buffer_put64(&s->entries, w->first + i);
			buffer_put(&s->entries, data, BASE_BLOCK);
		}
		r = set_sum(v, s, inode->ino, w->first + i, sum);
	}
	return r;
}

static int apply_record(const struct tape_record *record, void *arg)
{
	struct state *state = arg;
	struct change change;
	int r;

	r = change_decode(record, &change);
	return r < 0 ? r : state_apply(state, &change, record->lsn, record->time_us);
}

/*
 * The base's state, moved along `path`.  With the extents that are to be moved; `state` is of no
 * use after a failure.
 */
static int advance_state(struct volume *v, const struct lineage *path)
{
	struct problem why = {""};
	int r = 0;

	for (size_t i = 0; i < path->count && r >= 0; i++)
		r = tape_scan(v->tape, path->spans[i].from, path->spans[i].to, apply_record,
			      v->base_state, &why);
	v->base_state->position = lineage_end(path, v->base_state->position);
	if (r < 0)
		volume_note_error(v, "a fold failed: %s", why.text[0] ? why.text : strerror(-r));
	return r;
}

static bool has_extents(const struct inode *inode)
{
	return S_ISREG(inode->mode) && inode->extents.count;
}

/*
 * An image of the base's state.  The timeline in it knows of all that has been recorded, so all
 * that must be durable before the image is: else a crash takes back records of which the timeline
 * goes on to tell.
 */
static int replace_image(struct volume *v, const char *name, uint64_t base, struct moment horizon,
			 const struct buffer *extra)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	uint64_t known;
	int r;

	pthread_rwlock_rdlock(&v->lock);
	known = v->timeline.known;
	image_encode(v->uuid, base, horizon, v->base_state, &v->timeline, extra, &bytes);
	pthread_rwlock_unlock(&v->lock);
	image_seal(&bytes);
	r = tape_sync(v->tape, known);
	return r < 0 ? r : disk_replace_file(v->fold_disk, name, bytes.data, bytes.size);
}

/*
 * What the fold will change is to be this volume's alone, durably, before the fold must be
 * finished: a clone may have the same files.
 */
static int own_files(struct volume *v)
{
	bool copied = false;
	int r = 0;

	state_for_each_inode (v->base_state, inode) {
		if (r < 0 || !has_extents(inode))
			continue;
		r = clone_own_file(v, inode->ino, NULL, NULL);
		copied = copied || r > 0;
	}
	return r >= 0 && copied ? disk_sync_names(v->fold_disk, "base") : MIN(r, 0);
}

static int write_intent(struct volume *v, struct moment horizon, bool careful,
			struct buffer *ret_entries)
{
	struct staging *s = xcalloc(1, sizeof *s);
	int r;

	s->careful = careful;
	r = own_files(v);
	state_for_each_inode (v->base_state, inode)
		if (r >= 0 && has_extents(inode))
			r = for_each_window(v, inode, stage_window, s);
	flush_page(s);
	buffer_put8(&s->entries, INTENT_END);
	if (r >= 0) {
		CLEANUP(buffer) struct buffer extra = {0};

		base_encode(v->base, &extra);
		buffer_put(&extra, s->entries.data, s->entries.size);
		r = replace_image(v, "base/intent", v->base_position, horizon, &extra);
	}
	*ret_entries = s->entries;
	free(s);
	return r;
}

/* --- Step 3: the blocks
 * --------------------------------------------------------------------------- */

static int put_entry(struct volume *v, uint8_t kind, uint64_t ino, uint64_t index,
		     const void *bytes)
{
	if (kind == INTENT_BLOCK)
		return base_write(v->base, ino, index * BASE_BLOCK, bytes, BASE_BLOCK);
	base_add_page(v->base, ino, index);
	return base_write_sums(v->base, ino, bytes);
}

/*
 * Partly covered blocks and pages of checksums.  Those of one inode stand together and are written
 * together, so that a reader never sees one without the other.
 */
static int put_entries(struct volume *v, const struct buffer *entries)
{
	struct cursor in;
	uint64_t last = 0;
	int r = 0;

	cursor_init(&in, entries->data, entries->size);
	for (;;) {
		uint8_t kind = cursor_get8(&in);
		uint64_t ino, index;
		const void *bytes;

		if (kind == INTENT_END)
			break;
		ino = cursor_get64(&in);
		index = cursor_get64(&in);
		bytes = cursor_bytes(&in, BASE_BLOCK);
		if (!bytes || kind > INTENT_SUMS) {
			r = -EBADMSG;
			break;
		}
		if (ino != last) {
			if (last)
				pthread_rwlock_unlock(&v->base_lock);
			pthread_rwlock_wrlock(&v->base_lock);
			last = ino;
		}
		r = put_entry(v, kind, ino, index, bytes);
		if (r < 0)
			break;
	}
	if (last)
		pthread_rwlock_unlock(&v->base_lock);
	return r < 0 ? r : cursor_done(&in) ? 0 : -EBADMSG;
}

static int put_window(struct volume *v, const struct inode *inode, struct window *w, void *arg)
{
	int r;

	if (!memchr(w->fate, BLOCK_WHOLE, sizeof w->fate))
		return 0;
	r = fill_window(v, inode, w, false);
	for (size_t i = 0, next; i < WINDOW_BLOCKS && r >= 0; i = next) {
		next = i + 1;
		if (w->fate[i] != BLOCK_WHOLE)
			continue;
		while (next < WINDOW_BLOCKS && w->fate[next] == BLOCK_WHOLE)
			next++;
		r = base_write(v->base, inode->ino, (w->first + i) * BASE_BLOCK,
			       w->data + i * BASE_BLOCK, (next - i) * BASE_BLOCK);
	}
	return r;
}

static int put_inode(struct volume *v, const struct inode *inode)
{
	int r;

	r = for_each_window(v, inode, put_window, NULL);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&v->base_lock);
	r = base_shrink(v->base, inode->ino, inode->size);
	pthread_rwlock_unlock(&v->base_lock);
	return r < 0 ? r : base_sync(v->base, inode->ino);
}

static int put_blocks(struct volume *v, const struct buffer *entries)
{
	int r;

	r = put_entries(v, entries);
	state_for_each_inode (v->base_state, inode)
		if (r >= 0 && has_extents(inode))
			r = put_inode(v, inode);
	return r < 0 ? r : disk_sync_names(v->fold_disk, "base");
}

/* --- Step 4: the new base
 * --------------------------------------------------------------------------- */

static int find_removed(uint64_t ino, void *arg)
{
	struct {
		struct volume *v;
		uint64_t *inos;
		size_t count, room;
	} *removed = arg;

	if (!state_inode(removed->v->base_state, ino)) {
		xgrow(removed->inos, removed->count, removed->room);
		removed->inos[removed->count++] = ino;
	}
	return 0;
}

/* Files of inodes that no reachable state has. */
static int remove_files(struct volume *v)
{
	struct {
		struct volume *v;
		uint64_t *inos;
		size_t count, room;
	} removed = {.v = v};
	int r = 0;

	base_for_each(v->base, find_removed, &removed);
	pthread_rwlock_wrlock(&v->base_lock);
	for (size_t i = 0; i < removed.count && r >= 0; i++)
		r = base_remove(v->base, removed.inos[i]);
	pthread_rwlock_unlock(&v->base_lock);
	free(removed.inos);
	return r;
}

static int write_state(struct volume *v, struct moment horizon)
{
	CLEANUP(buffer) struct buffer extra = {0};

	base_encode(v->base, &extra);
	return replace_image(v, "base/state", v->base_state->position, horizon, &extra);
}

/* The head need not remember what the base has now. */
static void forget_extents(struct volume *v, const struct inode *folded)
{
	struct inode *inode;
	struct extent e;

	pthread_rwlock_wrlock(&v->lock);
	inode = v->head.state ? state_inode(v->head.state, folded->ino) : NULL;
	for (uint64_t at = 0; inode && extents_next(&folded->extents, at, &e);
	     at = extent_end(&e)) {
		v->head.state->extents -= inode->extents.count;
		extents_forget(&inode->extents, e.offset, extent_size(&e), v->base_position);
		v->head.state->extents += inode->extents.count;
	}
	pthread_rwlock_unlock(&v->lock);
}

static int publish(struct volume *v, struct moment horizon)
{
	int r;

	/* The new base's own description must not have extents: they are in its files now. */
	struct map64 *inodes = &v->base_state->inodes;
	struct extents *kept = xcalloc(inodes->room, sizeof *kept);

	map64_for_each (inodes, slot) {
		struct inode *inode = slot->value;

		if (!has_extents(inode))
			continue;
		kept[slot - inodes->slots] = inode->extents;
		inode->extents = (struct extents){0};
	}
	v->base_state->extents = 0;
	r = remove_files(v);
	if (r >= 0)
		r = write_state(v, horizon);
	if (r >= 0) {
		pthread_rwlock_wrlock(&v->base_lock);
		v->base_position = v->base_state->position;
		pthread_rwlock_unlock(&v->base_lock);
		pthread_rwlock_wrlock(&v->lock);
		owed_forget_folded(v);
		pthread_rwlock_unlock(&v->lock);
	}
	map64_for_each (inodes, slot) {
		struct extents *extents = &kept[slot - inodes->slots];

		if (extents->count && r >= 0)
			forget_extents(v, &(struct inode){.ino = slot->key, .extents = *extents});
		extents_done(extents);
	}
	free(kept);
	return r;
}

static int remove_intent(struct volume *v)
{
	int r = disk_remove(v->fold_disk, "base/intent");

	return r < 0 ? r : disk_sync_names(v->fold_disk, "base");
}

static void raise_floor(struct volume *v, struct moment horizon)
{
	pthread_rwlock_wrlock(&v->lock);
	if (horizon.lsn > v->floor.lsn)
		v->floor = horizon;
	pthread_rwlock_unlock(&v->lock);
}

/* Nothing to move, but abandoned stretches of tape are to be dropped. */
static int move_horizon(struct volume *v, struct moment horizon)
{
	int r = write_state(v, horizon);

	if (r >= 0)
		raise_floor(v, horizon);
	return r;
}

int fold_step(struct volume *v, const struct lineage *path, struct moment horizon, bool careful)
{
	CLEANUP(buffer) struct buffer entries = {0};
	int r;

	if (!path->count)
		return move_horizon(v, horizon);
	r = advance_state(v, path);
	if (r >= 0)
		r = write_intent(v, horizon, careful, &entries);
	if (r >= 0) {
		raise_floor(v, horizon);
		r = put_blocks(v, &entries);
	}
	if (r >= 0)
		r = publish(v, horizon);
	if (r >= 0)
		r = remove_intent(v);
	if (r < 0)
		v->fold_error = r;
	if (r < 0 && r != -ENOSPC)
		volume_note_error(v, "a fold failed and will be tried again: %s", strerror(-r));
	return r;
}

/* --- After a crash or an error
 * ---------------------------------------------------------------------- */

int fold_load_base(struct volume *v, struct timeline *ret_timeline, struct problem *why)
{
	CLEANUP(image) struct image image = {0};
	struct cursor extra;
	int r;

	r = image_load(v->fold_disk, "base/state", v->uuid, 0, &image);
	if (r < 0)
		return problem_errno(why, r,
				     "base/state: the description of the base cannot be used");
	cursor_init(&extra, image.extra.data, image.extra.size);
	pthread_rwlock_wrlock(&v->base_lock);
	r = base_decode(v->base, &extra);
	v->base_position = image.state->position;
	pthread_rwlock_unlock(&v->base_lock);
	if (r < 0)
		return problem_errno(why, r, "base/state: the pages of checksums");
	state_free(v->base_state);
	v->base_state = take(image.state);
	raise_floor(v, image.horizon);
	if (ret_timeline) {
		timeline_done(ret_timeline);
		*ret_timeline = image.timeline;
		image.timeline = (struct timeline){0};
	}
	return 0;
}

/* Steps 3 and 4 of the fold that `intent` is about. */
static int redo(struct volume *v, struct image *intent, struct problem *why)
{
	CLEANUP(buffer) struct buffer entries = {0};
	struct cursor extra;
	int r;

	cursor_init(&extra, intent->extra.data, intent->extra.size);
	pthread_rwlock_wrlock(&v->base_lock);
	r = base_decode(v->base, &extra);
	pthread_rwlock_unlock(&v->base_lock);
	if (r < 0)
		return problem_errno(why, r, "base/intent: the pages of checksums");
	buffer_put(&entries, extra.at, cursor_left(&extra));
	state_free(v->base_state);
	v->base_state = take(intent->state);
	raise_floor(v, intent->horizon);
	r = own_files(v);
	if (r >= 0)
		r = put_blocks(v, &entries);
	if (r >= 0)
		r = publish(v, intent->horizon);
	if (r < 0)
		return problem_errno(why, r, "cannot finish the fold that was interrupted");
	log_info("volume: finished the fold to LSN %llu that was interrupted",
		 (unsigned long long)v->base_position);
	return 0;
}

int fold_finish(struct volume *v, struct timeline *timeline, struct problem *why)
{
	CLEANUP(image) struct image intent = {0};
	int r;

	r = image_load(v->fold_disk, "base/intent", v->uuid, 0, &intent);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return problem_errno(
			why, r, "base/intent: the record of an unfinished fold cannot be used");
	if (v->options.read_only)
		return problem(
			why, -EROFS,
			"a fold was interrupted: the volume has to be opened for writing once");
	if (timeline && intent.timeline.known > timeline->known) {
		timeline_done(timeline);
		*timeline = intent.timeline;
		intent.timeline = (struct timeline){0};
	}
	/* Not so when all but the removal of the intent was done. */
	if (intent.state->position > v->base_state->position) {
		r = redo(v, &intent, why);
		if (r < 0)
			return r;
	}
	r = remove_intent(v);
	return r < 0 ? problem_errno(why, r, "cannot remove base/intent") : 0;
}

int fold_sweep(struct volume *v, struct problem *why)
{
	int r = v->options.read_only ? 0 : base_sweep(v->base);

	return r < 0 ? problem_errno(why, r, "cannot remove what an unfinished fold left in base/")
		     : 0;
}

int fold_recover(struct volume *v)
{
	struct problem why = {""};
	int r;

	r = fold_load_base(v, NULL, &why);
	if (r >= 0)
		r = fold_finish(v, NULL, &why);
	if (r < 0) {
		volume_note_error(v, "folding is still stopped: %s", why.text);
		return r;
	}
	v->fold_error = 0;
	return 0;
}
