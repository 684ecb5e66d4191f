/*
 * Room for the next segment: made while there is plenty, recycled from dropped ones, held for a
 * full disk, lent to who folds.
 */
#include "tape/internal.h"

#include <errno.h>

/*
 * Growth of so much of a segment, between two looks at the disk, is what others can make the disk
 * too full for: less than what is held for folding it.
 */
#define GROWTH_PART 16

/* --- What is owed ------------------------------------------------------------------------- */

uint64_t tape_debt(struct tape *tape)
{
	return atomic_load(&tape->pack_debt) + atomic_load(&tape->owed);
}

void tape_owe(struct tape *tape, uint64_t bytes)
{
	uint64_t before = atomic_exchange(&tape->owed, bytes);

	if (bytes > before)
		atomic_fetch_sub(&tape->growth_left, (int64_t)(bytes - before));
}

/*
 * Where something is owed, dropped segments are counted on, which become spares as long as some are
 * missing.
 */
static uint64_t to_be_held(struct tape *tape)
{
	unsigned held = 0;

	if (!atomic_load(&tape->owed))
		return 0;
	pthread_mutex_lock(&tape->lock);
	held = TAPE_SPARES - spares_count(tape, SPARE_NONE);
	pthread_mutex_unlock(&tape->lock);
	return held < tape->options.spares_held
		       ? (tape->options.spares_held - held) * tape->options.segment_bytes
		       : 0;
}

/* --- Making ------------------------------------------------------------------------------- */

int spares_room_for(struct tape *tape, uint64_t bytes)
{
	uint64_t needed = bytes + tape->options.bytes_reserved + tape_debt(tape);
	struct disk_space space;
	int r = disk_space(tape->disk, &space);

	if (r < 0)
		return r;
	return space.bytes_free < needed ? -ENOSPC : 0;
}

/*
 * Zeros, really written and durable: a flush inside them is one write and changes no metadata.
 * `blank`: only their room.  They would take as long to write as what somebody who is in a hurry
 * wants to write there, and he asks for a flush only now and then.
 */
static int fill_new(struct tape *tape, bool blank)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r;

	r = disk_open(tape->disk, TAPE_NEW_NAME, DISK_CREATE, &file);
	if (r < 0)
		return r;
	r = disk_file_truncate(file, 0);
	if (r < 0)
		return r;
	r = blank ? disk_file_allocate(file, 0, tape->options.segment_bytes)
		  : disk_file_write_zeros(file, 0, tape->options.segment_bytes);
	if (r < 0)
		return r;
	return disk_file_sync(file);
}

static int make_new(struct tape *tape, bool blank)
{
	int r = spares_room_for(tape, tape->options.segment_bytes);

	if (r < 0)
		return r;
	r = fill_new(tape, blank);
	if (r < 0)
		(void)disk_remove(tape->disk, TAPE_NEW_NAME);
	return r;
}

/* The zeros that a blank spare still needs: see fill_new(). */
static int write_blank(struct tape *tape, const char *name)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r;

	r = disk_open(tape->disk, name, 0, &file);
	if (r < 0)
		return r;
	r = disk_file_write_zeros(file, 0, tape->options.segment_bytes);
	return r < 0 ? r : disk_file_sync(file);
}

/* Give the file its final name, durably; it is whole. */
static int make_segment(struct tape *tape, const char *from, uint64_t lsn, struct disk_file **ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char to[TAPE_NAME_MAX];
	int r;

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

size_t spares_count(const struct tape *tape, enum spare_state state)
{
	size_t count = 0;

	for (int i = 0; i < TAPE_SPARES; i++)
		count += tape->spares[i].state == state;
	return count;
}

int spares_find(struct tape *tape, enum spare_state state)
{
	for (int i = 0; i < TAPE_SPARES; i++)
		if (tape->spares[i].state == state)
			return i;
	return -1;
}

/* A spare, if more than `kept` are ready, becomes the segment at `lsn`.  Drops the lock meanwhile.
 */
static int use_spare(struct tape *tape, size_t kept, uint64_t lsn)
{
	int i = spares_find(tape, SPARE_READY), r;
	struct disk_file *file = NULL;
	char name[TAPE_NAME_MAX];
	struct spare *spare;

	if (spares_count(tape, SPARE_READY) <= kept)
		return -ENOSPC;
	spare = &tape->spares[i];
	spare->state = SPARE_BUSY;
	pthread_mutex_unlock(&tape->lock);
	r = spare->blank ? write_blank(tape, spare_name(name, i)) : 0;
	if (r == 0)
		r = make_segment(tape, spare_name(name, i), lsn, &file);
	pthread_mutex_lock(&tape->lock);
	/* Taken, or not to be relied on. */
	spare->state = SPARE_NONE;
	tape->next = file;
	return r;
}

/*
 * Of what is to be held, what the tape has not come to hold yet, or has lent, as far as there is
 * room for it.
 */
static size_t not_held(struct tape *tape)
{
	size_t ready = spares_count(tape, SPARE_READY);
	struct disk_space space;

	if (ready >= tape->options.spares_held || disk_space(tape->disk, &space) < 0)
		return 0;
	return MIN(tape->options.spares_held - ready,
		   space.bytes_free / tape->options.segment_bytes);
}

/* The same with room that is not held, as if it were.  Drops the lock meanwhile. */
static int use_room(struct tape *tape, size_t kept, uint64_t lsn)
{
	struct disk_file *file = NULL;
	int r;

	if (spares_count(tape, SPARE_READY) + not_held(tape) <= kept)
		return -ENOSPC;
	pthread_mutex_unlock(&tape->lock);
	r = fill_new(tape, false);
	if (r == 0)
		r = make_segment(tape, TAPE_NEW_NAME, lsn, &file);
	else
		(void)disk_remove(tape->disk, TAPE_NEW_NAME);
	pthread_mutex_lock(&tape->lock);
	tape->next = file;
	return r;
}

/* Much more room than the reserve: as much again for the tape to grow into. */
#define PLENTY_RESERVES 3

static int plenty_for(struct tape *tape, uint64_t bytes)
{
	return spares_room_for(tape, bytes + PLENTY_RESERVES * tape->options.bytes_reserved);
}

/* While the reserve is whole: a spare that is not held, or a new file. */
static int prepare_from_plenty(struct tape *tape, uint64_t lsn)
{
	bool recycle = spares_count(tape, SPARE_READY) > tape->options.spares_held;
	bool blank = tape->hurried && !recycle;
	struct disk_file *file = NULL;
	int r;

	pthread_mutex_unlock(&tape->lock);
	/* Where room is short, who writes is not to be faster than what makes room again. */
	blank = blank && plenty_for(tape, tape->options.segment_bytes) == 0;
	/* A spare takes no room, but with the reserve begun it is not for growth. */
	r = recycle ? spares_room_for(tape, 0) : make_new(tape, blank);
	if (r == 0 && !recycle)
		r = make_segment(tape, TAPE_NEW_NAME, lsn, &file);
	pthread_mutex_lock(&tape->lock);
	tape->next = file;
	tape->next_blank = file && blank;
	return r == 0 && recycle ? use_spare(tape, tape->options.spares_held, lsn) : r;
}

int spares_prepare(struct tape *tape, enum tape_room room)
{
	/* The spares that each leaves. */
	static const size_t kept[] = {
		[TAPE_IN_PLACE] = 2, [TAPE_LAST_RESORT] = 1, [TAPE_RELEASE] = 0};
	uint64_t lsn = tape->next_lsn;
	int r;

	if (tape->preparing) {
		pthread_cond_wait(&tape->changed, &tape->lock);
		return 0;
	}
	tape->preparing = true;
	r = prepare_from_plenty(tape, lsn);
	if (r == -ENOSPC && room != TAPE_GROWTH) {
		tape->growth_left = 0;
		r = use_spare(tape, kept[room], lsn);
		if (r == -ENOSPC && room != TAPE_IN_PLACE)
			r = use_room(tape, kept[room], lsn);
	}
	tape->preparing = false;
	pthread_cond_broadcast(&tape->changed);
	return r;
}

int spares_allow_growth(struct tape *tape)
{
	int r = spares_room_for(tape, to_be_held(tape));

	if (r == 0)
		tape->growth_left = (int64_t)(tape->options.segment_bytes / GROWTH_PART);
	return r;
}

/* --- Spares that are held ----------------------------------------------------------------- */

static int make_spare(struct tape *tape, int i)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char name[TAPE_NAME_MAX];
	int r;

	r = plenty_for(tape, tape->options.segment_bytes);
	if (r < 0)
		return r;
	r = disk_open(tape->disk, spare_name(name, i), DISK_CREATE, &file);
	if (r == 0)
		r = disk_file_allocate(file, 0, tape->options.segment_bytes);
	if (r < 0)
		(void)disk_remove(tape->disk, name);
	return r;
}

bool spares_whole(const struct tape *tape)
{
	return spares_count(tape, SPARE_READY) >= tape->options.spares_held;
}

void spares_hold(struct tape *tape)
{
	int i = spares_find(tape, SPARE_NONE), r;

	if (i < 0 || spares_whole(tape))
		return;
	tape->spares[i].state = SPARE_BUSY;
	pthread_mutex_unlock(&tape->lock);
	r = make_spare(tape, i);
	pthread_mutex_lock(&tape->lock);
	tape->spares[i] = (struct spare){r == 0 ? SPARE_READY : SPARE_NONE, .blank = true};
}

/* The one to lend from: one that is lent in part; else any but the last. */
static int find_lender(struct tape *tape)
{
	for (int i = 0; i < TAPE_SPARES; i++)
		if (tape->spares[i].state == SPARE_LENT && !tape->spares[i].empty)
			return i;
	return spares_count(tape, SPARE_READY) > 1 ? spares_find(tape, SPARE_READY) : -1;
}

/*
 * Cut up to `bytes` off the end of a spare.  Returns what is left of it, or -errno.  With nothing
 * left the file stays: what is lent, and not to be had for good, is known by it.
 */
static int64_t shorten(struct tape *tape, int i, uint64_t bytes)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char name[TAPE_NAME_MAX];
	uint64_t size;
	int r;

	r = disk_open(tape->disk, spare_name(name, i), 0, &file);
	if (r == 0)
		r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	size -= MIN(size, bytes);
	r = disk_file_truncate(file, size);
	return r < 0 ? r : (int64_t)size;
}

bool tape_lend(struct tape *tape, uint64_t bytes)
{
	int64_t left = -ENOSPC;
	int i;

	bytes = MIN(ALIGN_UP(bytes, (uint64_t)DISK_BLOCK), tape->options.segment_bytes);
	pthread_mutex_lock(&tape->lock);
	i = find_lender(tape);
	if (i >= 0) {
		tape->spares[i].state = SPARE_BUSY;
		pthread_mutex_unlock(&tape->lock);
		left = shorten(tape, i, bytes);
		pthread_mutex_lock(&tape->lock);
		tape->spares[i] = (struct spare){SPARE_LENT, .blank = true, .empty = left <= 0};
	}
	pthread_mutex_unlock(&tape->lock);
	return left >= 0;
}

/* Grow a spare to a whole segment, or as far as there is room.  Returns its size, or -errno. */
static int64_t lengthen(struct tape *tape, int i)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	struct disk_space space;
	char name[TAPE_NAME_MAX];
	uint64_t size, whole = tape->options.segment_bytes;
	int r;

	r = disk_space(tape->disk, &space);
	if (r == 0)
		r = disk_open(tape->disk, spare_name(name, i), 0, &file);
	if (r == 0)
		r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	whole = MIN(whole, size + ALIGN_DOWN(space.bytes_free, (uint64_t)DISK_BLOCK));
	/* Somebody else may have been faster: then it stays as long as it was. */
	if (whole > size && disk_file_allocate(file, size, whole - size) < 0) {
		r = disk_file_truncate(file, size);
		return r < 0 ? r : (int64_t)size;
	}
	return whole;
}

/* What became of one that was lent.  Drops the lock meanwhile. */
static struct spare regain(struct tape *tape, int i)
{
	bool missing = spares_count(tape, SPARE_READY) < tape->options.spares_held;
	char name[TAPE_NAME_MAX];
	int64_t size = 0;

	tape->spares[i].state = SPARE_BUSY;
	pthread_mutex_unlock(&tape->lock);
	if (missing)
		size = lengthen(tape, i);
	else
		(void)disk_remove(tape->disk, spare_name(name, i));
	pthread_mutex_lock(&tape->lock);
	if (!missing)
		return (struct spare){SPARE_NONE};
	return (struct spare){size == tape->options.segment_bytes ? SPARE_READY : SPARE_LENT,
			      .blank = true, .empty = size <= 0};
}

void tape_regain(struct tape *tape)
{
	pthread_mutex_lock(&tape->lock);
	/* What is there in part is whole soonest. */
	for (int empty = 0; empty <= 1; empty++)
		for (int i = 0; i < TAPE_SPARES; i++)
			if (tape->spares[i].state == SPARE_LENT && tape->spares[i].empty == empty)
				tape->spares[i] = regain(tape, i);
	pthread_mutex_unlock(&tape->lock);
}
