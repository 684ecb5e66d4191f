/*
 * Sharing: the tape as it is now, on another disk, without copying what will not change any more.
 *
 * A sealed segment, its index and a pack are never written to again, so they get one more name over
 * there.  The segment that records are appended to is copied as far as the tape goes now, and is
 * the other tape's own from then on.  All that is left to see to is that a file with two names is
 * not recycled: see segments_discard().
 */
#include "tape/internal.h"
#include "base/alloc.h"

#include <errno.h>

#define COPY_BYTES ((size_t)1 << 20)
/* What has been packed between a look at the list and a look at the disk is looked for again. */
#define ATTEMPTS 4

struct share {
	struct tape *tape;
	struct disk *to;
	bool fleeting;
	uint64_t end;
	struct problem *why;
};

/* What is to be done about one segment. */
struct part {
	uint64_t lsn, end, pack_id;
	bool sealed, packed;
};

/* --- One segment -------------------------------------------------------------------------- */

/* As it is now; a sealed one may have been packed since the last look.  False: it is gone. */
static bool look_at(struct share *s, uint64_t lsn, struct part *ret)
{
	const struct segment *segment;

	pthread_mutex_lock(&s->tape->lock);
	segment = segments_find(s->tape, lsn);
	if (segment)
		*ret = (struct part){
			.lsn = lsn,
			.end = MIN(segment->summary.end, s->end),
			.pack_id = segment->pack ? segment->pack->id : 0,
			.sealed = segment->state == SEGMENT_SEALED,
			.packed = segment->pack != NULL,
		};
	pthread_mutex_unlock(&s->tape->lock);
	return segment != NULL;
}

/* Some segments may have been brought along by the pack already. */
static int link_pack(struct share *s, uint64_t id)
{
	char name[TAPE_NAME_MAX];
	int r = disk_link(s->tape->disk, pack_name(name, id), s->to, name);

	return r == -EEXIST ? 0 : r;
}

/* An index that is missing is made again by whoever opens the tape. */
static int link_segment(struct share *s, uint64_t lsn)
{
	char name[TAPE_NAME_MAX];
	int r;

	r = disk_link(s->tape->disk, segment_name(name, lsn), s->to, name);
	if (r < 0)
		return r;
	r = disk_link(s->tape->disk, index_name(name, lsn), s->to, name);
	return r == -ENOENT ? 0 : r;
}

/* Bytes [0, size), which nobody changes any more; behind them zeros, as in a new segment. */
static int copy_bytes(struct share *s, struct disk_file *from, struct disk_file *to, uint64_t size)
{
	uint64_t whole = s->tape->options.segment_bytes,
		 rest = ALIGN_UP(size, (uint64_t)DISK_BLOCK);
	CLEANUP(free) uint8_t *bytes = xmalloc(COPY_BYTES);
	int r;

	r = disk_file_allocate(to, 0, whole);
	for (uint64_t at = 0; r == 0 && at < size;) {
		ssize_t n = disk_file_read(from, bytes, MIN(size - at, (uint64_t)COPY_BYTES), at);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		r = disk_file_write(to, bytes, n, at);
		at += n;
	}
	if (r < 0 || s->fleeting)
		return r;
	if (rest < whole)
		r = disk_file_write_zeros(to, rest, whole - rest);
	return r < 0 ? r : disk_file_sync(to);
}

static int copy_segment(struct share *s, const struct part *part)
{
	CLEANUP(disk_file) struct disk_file *from = NULL, *to = NULL;
	char name[TAPE_NAME_MAX];
	int r;

	segment_name(name, part->lsn);
	r = disk_open(s->tape->disk, name, DISK_READ_ONLY, &from);
	if (r < 0)
		return r;
	r = disk_open(s->to, TAPE_NEW_NAME, DISK_CREATE | DISK_EXCLUSIVE, &to);
	if (r == 0)
		r = copy_bytes(s, from, to, part->end - part->lsn);
	return r < 0 ? r : disk_rename(s->to, TAPE_NEW_NAME, name);
}

static int share_segment(struct share *s, uint64_t lsn)
{
	char name[TAPE_NAME_MAX];
	struct part part;
	int r = -ENOENT;

	for (int i = 0; i < ATTEMPTS && r == -ENOENT; i++) {
		if (!look_at(s, lsn, &part))
			break;
		r = part.packed   ? link_pack(s, part.pack_id)
		    : part.sealed ? link_segment(s, lsn)
				  : copy_segment(s, &part);
	}
	if (r == -EXDEV)
		return problem(s->why, r,
			       "it is on another filesystem, where files cannot be shared");
	return r < 0 ? problem_errno(s->why, r, "cannot share %s", segment_name(name, lsn)) : 0;
}

/* --- All of them -------------------------------------------------------------------------- */

/* From now on no segment's file is recycled; those that are about to be have been. */
static void begin(struct tape *tape)
{
	pthread_mutex_lock(&tape->lock);
	tape->sharing++;
	while (tape->discarding > 0)
		pthread_cond_wait(&tape->changed, &tape->lock);
	pthread_mutex_unlock(&tape->lock);
}

static void end(struct tape *tape)
{
	pthread_mutex_lock(&tape->lock);
	tape->sharing--;
	pthread_mutex_unlock(&tape->lock);
}

/* The segments that there are, and where the tape ends. */
static uint64_t *list(struct tape *tape, size_t *ret_count, uint64_t *ret_end)
{
	uint64_t *lsns;

	pthread_mutex_lock(&tape->lock);
	*ret_count = tape->segment_count;
	*ret_end = tape->end;
	lsns = xcalloc(tape->segment_count + 1, sizeof *lsns);
	for (size_t i = 0; i < tape->segment_count; i++)
		lsns[i] = tape->segments[i]->summary.lsn;
	pthread_mutex_unlock(&tape->lock);
	return lsns;
}

static int share(struct share *s)
{
	CLEANUP(free) uint64_t *lsns = NULL;
	size_t count;
	int r;

	lsns = list(s->tape, &count, &s->end);
	r = tape_sync(s->tape, s->end);
	if (r < 0)
		return problem_errno(s->why, r, "cannot make the tape durable");
	for (size_t i = 0; i < count && r == 0; i++)
		r = share_segment(s, lsns[i]);
	if (r == 0 && !s->fleeting) {
		r = disk_sync_names(s->to, TAPE_FOLDER);
		if (r < 0)
			return problem_errno(s->why, r, "cannot make the names durable");
	}
	return r;
}

int tape_share(struct tape *tape, struct disk *to, bool fleeting, uint64_t *ret_end,
	       struct problem *why)
{
	struct share s = {.tape = tape, .to = to, .fleeting = fleeting, .why = why};
	int r;

	if (tape->options.read_only)
		return -EROFS;
	begin(tape);
	r = tape_settle(tape);
	r = r < 0 ? problem_errno(why, r, "cannot make the tape durable") : share(&s);
	end(tape);
	*ret_end = s.end;
	return r;
}
