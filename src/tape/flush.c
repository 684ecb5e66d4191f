/*
 * Flush: the ring's way to the disk, in two stages.
 *
 *	       write_on()              sync_on()
 *	ring ─────────────▶ the device ─────────────▶ durable
 *
 *	     end        written                durable
 *
 * One thread at a time is at work in each stage, but the two stages run side by side: while the
 * device flushes what one group of callers waits for, the bytes of the next are on their way to it.
 * As a write takes a device about as long as a flush, that is up to twice the groups per second.
 *
 * There is no thread for this.  Whoever wants something durable works the stage that is needed and
 * free, for all that has come together by then; else it waits until somebody tells it that it is
 * done, or that it is its turn.  Nobody is woken for less.
 */
#include "tape/internal.h"

struct flush_waiter {
	uint64_t upto;
	enum flush_stage stage;
	bool called;
	pthread_cond_t call;
	struct flush_waiter *next;
};

static uint64_t reached(const struct tape *tape, enum flush_stage stage)
{
	return stage == FLUSH_DURABLE ? tape->durable : tape->written;
}

/* --- Who waits, and who is called (lock held) --------------------------------------------- */

/* It has nothing more to wait for, or there is work that it can do. */
static bool is_to_be_called(const struct tape *tape, const struct flush_waiter *waiter,
			    bool *writer_called, bool *syncer_called)
{
	bool *role = waiter->upto > tape->written ? writer_called : syncer_called;

	if (tape->broken || reached(tape, waiter->stage) >= waiter->upto)
		return true;
	if (*role)
		return false;
	*role = true;
	return true;
}

/* Something has changed: a stage has become free, or something is done. */
static void call_waiters(struct tape *tape)
{
	bool writer_called = tape->writing, syncer_called = tape->syncing;
	struct flush_waiter **at = &tape->flush_waiters, *waiter;

	while ((waiter = *at)) {
		if (!is_to_be_called(tape, waiter, &writer_called, &syncer_called)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->called = true;
		pthread_cond_signal(&waiter->call);
	}
}

/* The oldest is called first. */
static void wait_for_call(struct tape *tape, uint64_t upto, enum flush_stage stage)
{
	struct flush_waiter waiter = {.upto = upto, .stage = stage}, **at = &tape->flush_waiters;

	while (*at)
		at = &(*at)->next;
	*at = &waiter;
	pthread_cond_init(&waiter.call, NULL);
	while (!waiter.called)
		pthread_cond_wait(&waiter.call, &tape->lock);
	pthread_cond_destroy(&waiter.call);
}

/* --- The stages (lock held, dropped during I/O) ------------------------------------------- */

static void break_tape(struct tape *tape, int r)
{
	if (!tape->broken)
		tape->broken = r;
	pthread_cond_broadcast(&tape->changed);
}

static void ring_get(const struct tape *tape, uint64_t lsn, void *data, size_t size)
{
	uint64_t at = tape_ring_at(tape, lsn);
	size_t first = MIN((uint64_t)size, tape->options.ring_bytes - at);

	memcpy(data, tape->ring + at, first);
	memcpy((uint8_t *)data + first, tape->ring, size - first);
}

/* The ring's bytes [at, stop), which may go round its end; how many pieces. */
static int show_ring(const struct tape *tape, uint64_t at, uint64_t stop, struct iovec iov[2])
{
	uint64_t from = tape_ring_at(tape, at);
	uint64_t first = MIN(stop - at, tape->options.ring_bytes - from);

	iov[0] = (struct iovec){tape->ring + from, first};
	iov[1] = (struct iovec){tape->ring, stop - at - first};
	return iov[1].iov_len ? 2 : 1;
}

/* `bulk` pieces of many whole blocks, and one of a few that are waited for, as one write if can be.
 */
static int write_pieces(const struct tape *tape, struct iovec *iov, int bulk, uint64_t offset)
{
	struct disk_file *file = tape->active->file;
	int r;

	if (!bulk || !tape->options.bulk_cached)
		return disk_file_writev_direct(file, iov, bulk + 1, offset);
	r = disk_file_writev(file, iov, bulk, offset);
	for (int i = 0; i < bulk; i++)
		offset += iov[i].iov_len;
	return r < 0 ? r : disk_file_writev_direct(file, iov + bulk, 1, offset);
}

/*
 * [at, stop), `at` at a block.  What others may append to the last block meanwhile must not be in
 * it half: a small piece, and the last block of a big one, is copied first.
 */
static int write_piece(struct tape *tape, uint64_t at, uint64_t stop)
{
	uint64_t offset = at - tape->active->summary.lsn, size;
	struct iovec iov[3];
	int bulk = 0, r;

	if (stop - at > TAPE_BOUNCE_BYTES) {
		bulk = show_ring(tape, at, ALIGN_DOWN(stop, DISK_BLOCK), iov);
		at = ALIGN_DOWN(stop, DISK_BLOCK);
	}
	size = ALIGN_UP(stop - at, (uint64_t)DISK_BLOCK);
	ring_get(tape, at, tape->bounce, stop - at);
	memset(tape->bounce + (stop - at), 0, size - (stop - at));
	iov[bulk] = (struct iovec){tape->bounce, size};
	pthread_mutex_unlock(&tape->lock);
	r = write_pieces(tape, iov, bulk, offset);
	pthread_mutex_lock(&tape->lock);
	return r;
}

/* All of it is in the active segment: see begin_segment(). */
static void write_on(struct tape *tape)
{
	uint64_t to = tape->end;
	int r;

	tape->writing = true;
	call_waiters(tape);
	r = write_piece(tape, ALIGN_DOWN(tape->written, DISK_BLOCK), to);
	tape->writing = false;
	if (r < 0)
		break_tape(tape, r);
	else
		tape->written = to;
}

static void sync_on(struct tape *tape)
{
	struct disk_file *file = tape->active->file;
	uint64_t to = tape->written;
	int r;

	tape->syncing = true;
	tape->stats.flushes++;
	call_waiters(tape);
	pthread_mutex_unlock(&tape->lock);
	r = disk_file_sync(file);
	pthread_mutex_lock(&tape->lock);
	tape->syncing = false;
	if (r < 0) {
		break_tape(tape, r);
		return;
	}
	if (!tape->broken)
		tape->durable = tape->proven = to;
	if (tape->threaded && segments_unsealed(tape))
		pthread_cond_signal(&tape->work);
	else if (!tape->threaded)
		segments_seal(tape);
}

/* So much at a time that who comes meanwhile need not wait long. */
#define FILL_BYTES (UINT64_C(1) << 20)

/*
 * Who writes waits for us, so the segment stays the active one, or at least is not sealed: what
 * comes after it cannot become durable.
 */
bool flush_fill(struct tape *tape)
{
	struct segment *segment = tape->active;
	uint64_t stop = tape->next_lsn, from;
	int r;

	if (!segment || tape->writing || tape->broken)
		return false;
	from = MAX(segment->blank_from, ALIGN_UP(tape->end, (uint64_t)DISK_BLOCK));
	segment->blank_from = from = MIN(from, stop);
	stop = MIN(stop, from + FILL_BYTES);
	if (from == stop)
		return false;
	tape->writing = true;
	pthread_mutex_unlock(&tape->lock);
	r = disk_file_write_zeros(segment->file, from - segment->summary.lsn, stop - from);
	pthread_mutex_lock(&tape->lock);
	tape->writing = false;
	/* They only make writing faster: if the disk is broken, who writes will learn it. */
	segment->blank_from = r < 0 ? UINT64_MAX : stop;
	call_waiters(tape);
	return true;
}

int flush_upto(struct tape *tape, uint64_t upto, enum flush_stage stage)
{
	if (tape->broken || reached(tape, stage) >= upto)
		return tape->broken;
	do {
		if (tape->written < upto && !tape->writing) {
			write_on(tape);
		} else if (stage == FLUSH_DURABLE && tape->written >= upto && !tape->syncing) {
			sync_on(tape);
		} else {
			call_waiters(tape);
			wait_for_call(tape, upto, stage);
		}
	} while (!tape->broken && reached(tape, stage) < upto);
	call_waiters(tape);
	return tape->broken;
}
