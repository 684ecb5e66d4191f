/*
 * Many threads on one tape.  Also to be run under the thread sanitizer.
 */
#include "base/clock.h"
#include "disk/disk.h"
#include "tap.h"
#include "tape_model.h"

#include <inttypes.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static const struct tape_options options = {
	.uuid = "threads",
	.segment_bytes = 256 * 1024,
	.ring_bytes = 64 * 1024,
	.background = true,
};

/* --- A disk whose calls wait at gates ----------------------------------------------------- */

struct gate {
	bool closed;
	unsigned waiting, passed;
};

static pthread_mutex_t gates_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gates_changed = PTHREAD_COND_INITIALIZER;
static struct gate write_gate, sync_gate, zeros_gate; /* guarded by gates_lock */
static struct disk_file_ops gated_ops, watched_ops, real_ops;
static atomic_size_t bytes_cached;                  /* written, but not past the page cache */
static atomic_size_t bytes_zeroed, bytes_allocated; /* asked for */
static atomic_uint zeros_done;
static int (*real_open)(struct disk *disk, const char *name, int flags, struct disk_file **ret);

static void pass(struct gate *gate)
{
	pthread_mutex_lock(&gates_lock);
	gate->waiting++;
	pthread_cond_broadcast(&gates_changed);
	while (gate->closed)
		pthread_cond_wait(&gates_changed, &gates_lock);
	gate->waiting--;
	gate->passed++;
	pthread_cond_broadcast(&gates_changed);
	pthread_mutex_unlock(&gates_lock);
}

static int gated_write_direct(struct disk_file *file, const struct iovec *iov, int count,
			      uint64_t offset)
{
	pass(&write_gate);
	return real_ops.write_direct(file, iov, count, offset);
}

static int counted_write(struct disk_file *file, const struct iovec *iov, int count,
			 uint64_t offset)
{
	for (int i = 0; i < count; i++)
		bytes_cached += iov[i].iov_len;
	return real_ops.write(file, iov, count, offset);
}

static int gated_sync(struct disk_file *file)
{
	pass(&sync_gate);
	return real_ops.sync(file);
}

static int gated_write_zeros(struct disk_file *file, uint64_t offset, uint64_t size)
{
	int r;

	bytes_zeroed += size;
	pass(&zeros_gate);
	r = real_ops.write_zeros(file, offset, size);
	zeros_done++;
	return r;
}

static int counted_allocate(struct disk_file *file, uint64_t offset, uint64_t size)
{
	bytes_allocated += size;
	return real_ops.allocate(file, offset, size);
}

/* Called once, when somebody has read the file of this name. */
static struct {
	const char *name;
	void (*hook)(void);
} watched;

static ssize_t watched_read(struct disk_file *file, void *buf, size_t size, uint64_t offset)
{
	ssize_t n = real_ops.read(file, buf, size, offset);
	void (*hook)(void) = watched.hook;

	watched.hook = NULL;
	if (hook)
		hook();
	return n;
}

static void make_file_ops(const struct disk_file_ops *ops)
{
	gated_ops = real_ops = *ops;
	gated_ops.write = counted_write;
	gated_ops.write_direct = gated_write_direct;
	gated_ops.sync = gated_sync;
	gated_ops.write_zeros = gated_write_zeros;
	gated_ops.allocate = counted_allocate;
	watched_ops = gated_ops;
	watched_ops.read = watched_read;
}

static int gated_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	int r = real_open(disk, name, flags, ret);

	if (r == 0) {
		/* Once: others use what is there. */
		pthread_mutex_lock(&gates_lock);
		if (!real_ops.read)
			make_file_ops((*ret)->ops);
		pthread_mutex_unlock(&gates_lock);
		(*ret)->ops =
			watched.name && !strcmp(name, watched.name) ? &watched_ops : &gated_ops;
	}
	return r;
}

/* `ops` replaces the disk's own, and has to live as long. */
static void put_gates(struct disk *disk, struct disk_ops *ops)
{
	*ops = *disk->ops;
	real_ops = (struct disk_file_ops){0};
	real_open = ops->open;
	ops->open = gated_open;
	disk->ops = ops;
}

static void gate_set(struct gate *gate, bool closed)
{
	pthread_mutex_lock(&gates_lock);
	gate->closed = closed;
	gate->passed = closed ? 0 : gate->passed;
	pthread_cond_broadcast(&gates_changed);
	pthread_mutex_unlock(&gates_lock);
}

/* Until so many wait there and so many have passed, since it was closed. */
static void gate_wait(struct gate *gate, unsigned waiting, unsigned passed)
{
	pthread_mutex_lock(&gates_lock);
	while (gate->waiting < waiting || gate->passed < passed)
		pthread_cond_wait(&gates_changed, &gates_lock);
	pthread_mutex_unlock(&gates_lock);
}

static void *append_and_sync(void *arg)
{
	struct tape *tape = arg;
	struct tape_record record;

	if (tape_append(tape, 1, TAPE_GROWTH, "x", 1, NULL, 0, &record) < 0 ||
	    tape_sync(tape, record.end) < 0)
		return tape;
	return tape_durable(tape) >= record.end ? NULL : tape;
}

static void wait_for_records(struct tape *tape, uint64_t count)
{
	struct tape_stats stats;

	do {
		tape_get_stats(tape, &stats);
		sched_yield();
	} while (stats.records_appended < count || stats.syncs_asked < count);
}

/*
 * Goal: who arrives while a flush is under way is covered by the next one, all together.
 * Method: hold the first flush at a gate until all others have arrived.
 */
static void syncs_that_arrive_together_share_one_flush(void)
{
	enum { THREADS = 9 };
	struct disk_ops ops; /* before the disk, which is closed by them */
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	struct tape_options quiet = options;
	pthread_t threads[THREADS];
	struct tape_stats stats;
	struct tape *tape;
	void *failed;

	put_gates(disk, &ops);
	quiet.background = false;
	require(tape_open(disk, &quiet, &tape, NULL) == 0);
	require(append_and_sync(tape) == NULL);
	tape_get_stats(tape, &stats);

	gate_set(&write_gate, true);
	pthread_create(&threads[0], NULL, append_and_sync, tape);
	gate_wait(&write_gate, 1, 0);
	for (int i = 1; i < THREADS; i++)
		pthread_create(&threads[i], NULL, append_and_sync, tape);
	wait_for_records(tape, stats.records_appended + THREADS);
	gate_set(&write_gate, false);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		check(failed == NULL);
	}
	check(write_gate.passed == 2, "%u writes", write_gate.passed);
	tape_close(tape);
}

/*
 * Goal: the device need not have flushed the bytes of one before it gets those of another; but
 * nothing is said to be durable before its own flush.
 * Method: hold the first flush at a gate until the second one's bytes are written.
 */
static void while_the_device_flushes_it_gets_what_comes_next(void)
{
	struct disk_ops ops; /* before the disk, which is closed by them */
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	struct tape_options quiet = options;
	pthread_t threads[2];
	struct tape *tape;
	uint64_t durable;
	void *failed;

	put_gates(disk, &ops);
	quiet.background = false;
	require(tape_open(disk, &quiet, &tape, NULL) == 0);
	require(append_and_sync(tape) == NULL);
	durable = tape_durable(tape);

	gate_set(&sync_gate, true);
	gate_set(&write_gate, true);
	gate_set(&write_gate, false);
	pthread_create(&threads[0], NULL, append_and_sync, tape);
	gate_wait(&sync_gate, 1, 0);
	pthread_create(&threads[1], NULL, append_and_sync, tape);
	gate_wait(&write_gate, 0, 2);
	check(sync_gate.passed == 0 && tape_durable(tape) == durable);
	gate_set(&sync_gate, false);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &failed);
		check(failed == NULL);
	}
	check(sync_gate.passed == 2, "%u flushes", sync_gate.passed);
	tape_close(tape);
}

/* Goal: a failed flush is final for all who wait, in whichever stage. */
static void who_waits_for_a_flush_that_fails_is_told(void)
{
	enum { THREADS = 6 };
	struct disk_ops ops; /* before the disk, which is closed by them */
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	struct tape_options quiet = options;
	pthread_t threads[THREADS];
	struct tape_stats stats;
	struct tape *tape;
	void *failed;

	put_gates(disk, &ops);
	quiet.background = false;
	require(tape_open(disk, &quiet, &tape, NULL) == 0);
	require(append_and_sync(tape) == NULL);
	tape_get_stats(tape, &stats);

	gate_set(&sync_gate, true);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, append_and_sync, tape);
	gate_wait(&sync_gate, 1, 0);
	wait_for_records(tape, stats.records_appended + THREADS);
	disk_memory_fail(disk, disk_memory_calls(disk) + 1, true);
	gate_set(&sync_gate, false);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		check(failed == tape);
	}
	check(tape_broken(tape) == -EIO && append_and_sync(tape) == tape);
	tape_close(tape);
}

/* --- Segments that are wanted in a hurry -------------------------------------------------- */

/* Goes on by so much with each record. */
struct pace {
	_Atomic int64_t now_us;
	int64_t step_us;
};

static int64_t paced_clock(void *arg)
{
	struct pace *pace = arg;

	return atomic_fetch_add(&pace->now_us, pace->step_us) + pace->step_us;
}

/* Records of several blocks, numbered from 1. */
struct numbered {
	struct tape *tape;
	unsigned count;
};

static bool append_numbered(struct numbered *to)
{
	static uint8_t data[16000];
	struct iovec iov = {data, sizeof data};

	memset(data, ++to->count, sizeof data);
	return tape_append(to->tape, 1, TAPE_GROWTH, "x", 1, &iov, 1, NULL) == 0;
}

static void *append_numbered_and_sync(void *arg)
{
	struct numbered *to = arg;

	return append_numbered(to) && tape_sync(to->tape, UINT64_MAX) == 0 ? NULL : to;
}

/* Until the tape has so many segments more. */
static void append_segments(struct numbered *to, uint64_t segments)
{
	struct tape_stats before, stats;

	tape_get_stats(to->tape, &before);
	do {
		require(append_numbered(to));
		tape_get_stats(to->tape, &stats);
	} while (stats.segments < before.segments + segments);
}

/* Appends segments at a pace of its own to a tape without a thread, and closes it. */
static void append_at_pace(int64_t step_us)
{
	struct disk_ops ops; /* before the disk, which is closed by them */
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	struct pace pace = {1000000, step_us};
	struct tape_options paced = options;
	struct numbered made = {0};

	put_gates(disk, &ops);
	paced.background = false;
	paced.clock = paced_clock;
	paced.clock_arg = &pace;
	bytes_zeroed = bytes_allocated = 0;
	require(tape_open(disk, &paced, &made.tape, NULL) == 0);
	append_segments(&made, 5);
	tape_close(made.tape);
}

static void a_segment_that_is_wanted_in_a_hurry_is_not_filled_with_zeros_first(void)
{
	append_at_pace(0);
	/* The pace is known when the first is full, and the second is made by then. */
	check(bytes_zeroed == 2 * options.segment_bytes, "%zu", bytes_zeroed);
	check(bytes_allocated == 3 * options.segment_bytes, "%zu", bytes_allocated);

	append_at_pace(1000);
	check(bytes_zeroed == 5 * options.segment_bytes, "%zu", bytes_zeroed);
	check(bytes_allocated == 0, "%zu", bytes_allocated);
}

static int check_numbered(const struct tape_record *record, void *arg)
{
	static uint8_t expected[16000], data[16000];
	struct numbered *found = arg;

	memset(expected, ++found->count, sizeof expected);
	return tape_read(found->tape, record->lsn, 0, data, record->data_size, NULL) < 0 ||
	       memcmp(data, expected, record->data_size) != 0;
}

/* A tape on whose disk it is always the same time, its thread at the gate before the zeros. */
struct hurried {
	struct disk_ops ops; /* those of the disk, to its end */
	struct disk *disk;
	struct pace pace;
	struct tape_options paced;
	struct numbered made;
};

static void begin_hurried(struct hurried *it)
{
	size_t zeroed;

	*it = (struct hurried){.disk = disk_memory_new(1), .pace = {1000000, 0}, .paced = options};
	put_gates(it->disk, &it->ops);
	it->paced.clock = paced_clock;
	it->paced.clock_arg = &it->pace;
	require(tape_open(it->disk, &it->paced, &it->made.tape, NULL) == 0);
	append_segments(&it->made, 3);
	do { /* on a busy machine the thread may find it quiet in between */
		gate_set(&zeros_gate, false);
		zeroed = bytes_zeroed;
		append_segments(&it->made, 2);
		require(append_numbered_and_sync(&it->made) == NULL);
		gate_set(&zeros_gate, true);
	} while (bytes_zeroed != zeroed);
	gate_wait(&zeros_gate, 1, 0);
}

static void check_all(struct disk *disk, const struct tape_options *paced, unsigned count)
{
	struct numbered found = {0};
	struct problem why = {""};

	require(tape_open(disk, paced, &found.tape, &why) == 0, "%s", why.text);
	check(tape_scan(found.tape, 0, UINT64_MAX, check_numbered, &found, NULL) == 0);
	check(found.count == count, "%u of %u", found.count, count);
	tape_close(found.tape);
}

/*
 * Goal: when the hurry is over the zeros are written, where nothing else is.
 * Method: cut the power when the first of them are written, before anything else is.
 */
static void zeros_that_were_left_out_hurt_nothing_when_the_power_goes(void)
{
	struct hurried it;
	unsigned before;

	begin_hurried(&it);
	before = zeros_done;
	gate_set(&zeros_gate, false);
	while (zeros_done == before)
		sched_yield();
	for (uint64_t seed = 0; seed < 16; seed++) {
		CLEANUP(disk) struct disk *left = disk_memory_power_on(it.disk, seed);

		check_all(left, &it.paced, it.made.count);
	}
	tape_close(it.made.tape);
	disk_close(it.disk);
}

/*
 * Goal: what is written meanwhile comes after them.
 * Method: hold the first of them at a gate until somebody wants a record to be durable; what is on
 * the disk in the end is read again.
 */
static void zeros_that_were_left_out_are_written_when_it_is_quiet(void)
{
	struct hurried it;
	struct tape_stats stats;
	uint64_t syncs_before;
	pthread_t thread;
	void *failed;

	begin_hurried(&it);
	tape_get_stats(it.made.tape, &stats);
	syncs_before = stats.syncs_asked;
	pthread_create(&thread, NULL, append_numbered_and_sync, &it.made);
	while (stats.syncs_asked == syncs_before) {
		sched_yield();
		tape_get_stats(it.made.tape, &stats);
	}
	gate_set(&zeros_gate, false);
	pthread_join(thread, &failed);
	check(failed == NULL);
	check(zeros_gate.passed == 1, "%u", zeros_gate.passed);
	tape_close(it.made.tape);
	check_all(it.disk, &it.paced, it.made.count);
	disk_close(it.disk);
}

/* --- Everything at once ------------------------------------------------------------------- */

enum { WRITERS = 4, ROUNDS = 400 };

struct writer {
	struct tape *tape;
	unsigned number;
	uint64_t lsns[ROUNDS];
	atomic_uint acked; /* lsns[0 .. acked) are durable */
	bool failed;
};

static void fill_data(uint8_t *data, size_t size, unsigned writer, unsigned round)
{
	for (size_t i = 0; i < size; i++)
		data[i] = writer * 37 + round * 11 + i;
}

static size_t size_of(unsigned writer, unsigned round)
{
	return (writer * 977 + round * 131) % 6000;
}

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	uint8_t data[6000];
	struct tape_record record;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct iovec iov = {data, size_of(writer->number, round)};
		uint32_t meta[2] = {writer->number, round};

		fill_data(data, iov.iov_len, writer->number, round);
		if (tape_append(writer->tape, 7, TAPE_GROWTH, meta, sizeof meta, &iov, 1, &record) <
		    0)
			writer->failed = true;
		writer->lsns[round] = record.lsn;
		if (round % 8 != 7)
			continue;
		if (tape_sync(writer->tape, record.end) < 0)
			writer->failed = true;
		atomic_store(&writer->acked, round + 1);
	}
	return NULL;
}

struct found {
	struct tape *tape;
	unsigned next[WRITERS]; /* each writer's rounds come in order */
	bool read_data, failed;
	uint64_t last_lsn;
	int64_t last_time_us;
};

static int look(const struct tape_record *record, void *arg)
{
	struct found *found = arg;
	uint8_t data[6000], expected[6000];
	uint32_t meta[2];

	memcpy(meta, record->meta, sizeof meta);
	if (record->meta_size != sizeof meta || meta[0] >= WRITERS ||
	    meta[1] != found->next[meta[0]]++ || record->lsn < found->last_lsn ||
	    record->time_us < found->last_time_us || record->data_size != size_of(meta[0], meta[1]))
		return 1;
	found->last_lsn = record->lsn;
	found->last_time_us = record->time_us;
	if (!found->read_data)
		return 0;
	fill_data(expected, record->data_size, meta[0], meta[1]);
	if (tape_read(found->tape, record->lsn, 0, data, record->data_size, NULL) < 0)
		return 2;
	return memcmp(data, expected, record->data_size) ? 3 : 0;
}

static atomic_bool done;

static void *read_on(void *arg)
{
	struct found *found = arg;

	while (!atomic_load(&done) && !found->failed) {
		struct found once = {.tape = found->tape, .read_data = true};
		int r = tape_scan(found->tape, 0, UINT64_MAX, look, &once, NULL);

		if (r != 0)
			found->failed = true;
		tape_durable(found->tape);
	}
	return NULL;
}

struct verifier {
	struct disk *disk;
	struct tape *tape;
	atomic_uint rounds;
	unsigned lines;
	char first[300];
};

static void count_damage(const char *line, void *arg)
{
	struct verifier *verifier = arg;

	if (verifier->lines++ == 0)
		snprintf(verifier->first, sizeof verifier->first, "%s", line);
}

static void *verify_on(void *arg)
{
	struct verifier *verifier = arg;

	while (!atomic_load(&done) && !verifier->lines) {
		uint64_t durable = tape_durable(verifier->tape);

		if (durable == 0) /* that would say that the tape is not open */
			continue;
		if (tape_verify(verifier->disk, options.uuid, options.segment_bytes, durable,
				count_damage, NULL, verifier) < 0)
			verifier->lines++;
		atomic_fetch_add(&verifier->rounds, 1);
	}
	return NULL;
}

struct packer {
	struct tape *tape;
	atomic_uint packs, anew;
	bool drops;
	atomic_bool failed;
};

/* Whatever there is to pack, as soon as it is there. */
static void *pack_on(void *arg)
{
	struct tape_pack_options pack = {.percent_max = 1000};
	struct packer *packer = arg;

	while (!atomic_load(&done) && !packer->failed) {
		struct model_run run = {.segment_bytes = options.segment_bytes};
		int r;

		tape_segments(packer->tape, model_find_run, &run);
		if (!run.count) {
			sched_yield();
			continue;
		}
		r = tape_pack(packer->tape, run.lsn, run.count, &pack, NULL);
		atomic_fetch_add(&packer->packs, r == 0);
		atomic_fetch_add(&packer->anew, r == 0 && run.count > run.fresh);
		packer->failed = r < 0 && !(packer->drops && (r == -ENOENT || r == -ECANCELED));
	}
	return NULL;
}

static void start_writers(struct tape *tape, struct writer *writers, pthread_t *threads)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.tape = tape, .number = i};
		pthread_create(&threads[i], NULL, write_on, &writers[i]);
	}
}

/* What was acknowledged before the power went is in the rest. */
static void check_rest(struct disk *rest, const unsigned *acked)
{
	struct found found = {.read_data = true};
	struct tape_options reopened = options;
	struct problem why = {""};
	int r;

	reopened.background = false;
	require(tape_open(rest, &reopened, &found.tape, &why) == 0, "%s", why.text);
	r = tape_scan(found.tape, 0, UINT64_MAX, look, &found, NULL);
	check(r == 0, "%d", r);
	for (unsigned i = 0; i < WRITERS; i++)
		check(found.next[i] >= acked[i], "%u of %u", found.next[i], acked[i]);
	tape_close(found.tape);
}

/*
 * Goal: appends, syncs, scans, reads and verification from many threads keep the promises, also
 * when the power goes. Method: take what a power cut would leave, again and again, while the
 * threads run, until every one of them had its turn.
 */
static void threads_append_sync_scan_read_verify_and_pack_and_nothing_acknowledged_is_lost(void)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	static struct writer writers[WRITERS];
	struct found reader = {0};
	pthread_t threads[WRITERS], reading, verifying, packing;
	struct verifier verifier = {.disk = disk};
	struct packer packer = {0};
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;
	bool all = false;

	require(tape_open(disk, &options, &reader.tape, NULL) == 0);
	atomic_store(&done, false);
	start_writers(reader.tape, writers, threads);
	pthread_create(&reading, NULL, read_on, &reader);
	verifier.tape = reader.tape;
	pthread_create(&verifying, NULL, verify_on, &verifier);
	packer.tape = reader.tape;
	pthread_create(&packing, NULL, pack_on, &packer);
	for (uint64_t seed = 0; !all && clock_monotonic_us() < deadline; seed++) {
		unsigned acked[WRITERS];

		all = packer.failed || (packer.anew > 0 && verifier.rounds > 0);
		for (unsigned i = 0; i < WRITERS; i++) {
			acked[i] = atomic_load(&writers[i].acked);
			all = all && acked[i] == ROUNDS;
		}
		CLEANUP(disk) struct disk *rest = disk_memory_power_on(disk, seed);
		check_rest(rest, acked);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		check(!writers[i].failed);
	}
	atomic_store(&done, true);
	pthread_join(reading, NULL);
	pthread_join(verifying, NULL);
	pthread_join(packing, NULL);
	check(packer.anew > 0 && !packer.failed, "%u packs, %u made anew", packer.packs,
	      packer.anew);
	check(!reader.failed);
	check(verifier.rounds > 0 && verifier.lines == 0, "%s", verifier.first);
	tape_close(reader.tape);
}

struct counted {
	uint64_t first_sealed;
	bool found;
};

static int find_sealed(const struct tape_segment *segment, void *arg)
{
	struct counted *counted = arg;

	counted->first_sealed = segment->lsn;
	counted->found = segment->sealed;
	return 1;
}

static void *write_until_done(void *arg)
{
	static const uint8_t data[5000];
	struct iovec iov = {(void *)data, sizeof data};
	struct tape_record record;

	struct tape *tape = arg;

	while (!atomic_load(&done))
		if (tape_append(tape, 7, TAPE_GROWTH, "m", 1, &iov, 1, &record) < 0 ||
		    tape_sync(tape, record.end) < 0)
			return tape;
	return NULL;
}

static void segments_are_dropped_and_used_again_while_others_write(void)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	pthread_t threads[WRITERS], packing;
	struct packer packer = {.drops = true};
	struct tape *tape;
	void *failed;
	int dropped = 0;

	require(tape_open(disk, &options, &tape, NULL) == 0);
	atomic_store(&done, false);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, write_until_done, tape);
	packer.tape = tape;
	pthread_create(&packing, NULL, pack_on, &packer);
	while (dropped < 30) {
		struct counted counted = {0};

		tape_segments(tape, find_sealed, &counted);
		if (counted.found)
			dropped += check(tape_drop(tape, counted.first_sealed) == 0);
		sched_yield();
	}
	atomic_store(&done, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], &failed);
		check(!failed);
	}
	pthread_join(packing, NULL);
	check(!packer.failed);
	tape_close(tape);
}

static void what_nobody_syncs_is_flushed_within_two_seconds(void)
{
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	struct timespec pause = {.tv_nsec = 10000000};
	struct tape_record record;
	struct tape *tape;
	int left = PATIENCE_US / 10000;

	require(tape_open(disk, &options, &tape, NULL) == 0);
	require(tape_append(tape, 1, TAPE_GROWTH, NULL, 0, NULL, 0, &record) == 0);
	for (; left > 0 && tape_durable(tape) < record.end; left--)
		nanosleep(&pause, NULL);
	check(left > 0);
	tape_close(tape);
}

/*
 * Goal: where the caller asks for it, bulk is in the page cache, and what is little is not.
 * Method: two syncs, one of more than is copied out of the ring, one of a record.
 */
static void bulk_goes_through_the_page_cache_where_that_is_wanted(void)
{
	static uint8_t data[512 * 1024];
	struct iovec iov = {data, sizeof data};

	for (int wanted = 0; wanted < 2; wanted++) {
		struct disk_ops ops;
		CLEANUP(disk) struct disk *disk = disk_memory_new(1);
		CLEANUP(tape) struct tape *tape = NULL;
		struct tape_options big = options;
		struct tape_record record;
		struct problem why;
		size_t bulk, before;

		big.background = false;
		big.segment_bytes = big.ring_bytes = 1024 * 1024;
		big.bulk_cached = wanted;
		put_gates(disk, &ops);
		require(tape_open(disk, &big, &tape, &why) == 0);
		before = bytes_cached;
		require(tape_append(tape, 1, TAPE_GROWTH, "x", 1, &iov, 1, &record) == 0 &&
			tape_sync(tape, record.end) == 0);
		bulk = bytes_cached - before;
		check(wanted ? bulk > sizeof data - DISK_BLOCK : bulk == 0, "%zu", bulk);
		require(append_and_sync(tape) == NULL);
		check(bytes_cached - before == bulk);
		require(tape_read(tape, record.lsn, 0, data, sizeof data, &why) == 0);
	}
}

static struct {
	struct tape *tape;
	uint64_t end; /* of what is not synced yet */
} growing;

/* The record after the first one in the segment says that the first one was durable. */
static void grow(void)
{
	check(tape_sync(growing.tape, growing.end) == 0);
	check(append_and_sync(growing.tape) == NULL);
}

/*
 * Goal: a tape that grows into its next segment while it is verified is sound.
 * Method: nothing tells where the first segment ends; when the next one has been looked at, in
 * vain, it gets its first records.
 */
static void where_a_segment_ends_may_come_to_be_known_while_it_is_verified(void)
{
	struct disk_ops ops;
	CLEANUP(disk) struct disk *disk = disk_memory_new(1);
	CLEANUP(tape) struct tape *tape = NULL;
	static const uint8_t data[5000];
	struct iovec iov = {(void *)data, sizeof data};
	struct tape_options quiet = options;
	struct verifier verifier = {.disk = disk};
	struct tape_record record;
	char name[64];

	quiet.background = false;
	put_gates(disk, &ops);
	require(tape_open(disk, &quiet, &tape, NULL) == 0);
	do {
		require(tape_sync(tape, tape_end(tape)) == 0);
		require(tape_append(tape, 7, TAPE_GROWTH, "m", 1, &iov, 1, &record) == 0);
	} while (record.lsn < quiet.segment_bytes);
	growing.tape = tape;
	growing.end = record.end;
	snprintf(name, sizeof name, "tape/%016" PRIx64 ".seg", quiet.segment_bytes);
	watched.name = name;
	watched.hook = grow;
	check(tape_verify(disk, quiet.uuid, quiet.segment_bytes, tape_durable(tape), count_line,
			  NULL, &verifier) == 0);
	check(!watched.hook, "%s was not looked at", name);
	check(verifier.lines == 0, "%s", verifier.first);
	watched.name = NULL;
}

int main(void)
{
	RUN(syncs_that_arrive_together_share_one_flush);
	RUN(while_the_device_flushes_it_gets_what_comes_next);
	RUN(who_waits_for_a_flush_that_fails_is_told);
	RUN(threads_append_sync_scan_read_verify_and_pack_and_nothing_acknowledged_is_lost);
	RUN(a_segment_that_is_wanted_in_a_hurry_is_not_filled_with_zeros_first);
	RUN(zeros_that_were_left_out_hurt_nothing_when_the_power_goes);
	RUN(zeros_that_were_left_out_are_written_when_it_is_quiet);
	RUN(segments_are_dropped_and_used_again_while_others_write);
	RUN(what_nobody_syncs_is_flushed_within_two_seconds);
	RUN(where_a_segment_ends_may_come_to_be_known_while_it_is_verified);
	RUN(bulk_goes_through_the_page_cache_where_that_is_wanted);
	return tap_done();
}
