/*
 * A request comes in three parts: its header and its fixed part in the entry's header, names and
 * data in the payload.  The first two are copied to the place just before the payload, so that
 * operations_serve() sees what it sees from /dev/fuse: one piece, the data of a WRITE on a page.
 * Answers are made in the payload itself when nothing of the request is in it, as with a READ.
 */
#include "mount/ring.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "mount/cpus.h"
#include "mount/operations.h"
#include "mount/state.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define PAGE 4096

/*
 * Enough that those who sync at the same time share a flush and leave somebody to read: on a small
 * machine all come through few queues.
 */
#define WORKERS_PER_MACHINE 16
#define WORKERS_PER_CPU_MIN 4
#define WORKERS_PER_CPU_MAX 8

/* From here on a READ is work for the processor, more than a sleeper's waking. */
#define LONG_READ (128 * 1024)

/* An entry's memory: see the offsets. */
#define HEADER_OFFSET 0
#define PAYLOAD_OFFSET (2 * PAGE) /* before it: a page for the request's first parts */
#define ANSWER_OFFSET (PAYLOAD_OFFSET + PROTOCOL_IO_MAX)
#define ENTRY_BYTES (ANSWER_OFFSET + PROTOCOL_IO_MAX)

struct entry {
	struct worker *worker;
	unsigned queue;
	uint8_t *memory; /* mmap */
	struct iovec iov[2];
	uint64_t commit_id;     /* of the request in it */
	struct entry *answered; /* the next in worker->answered */
};

struct worker {
	struct ring *ring;
	pthread_t thread;
	unsigned slot;
	int cpu;    /* that it is bound to, or -1 */
	bool roams; /* just now it is not */
	struct io_uring uring;
	struct entry *entries;
	unsigned count;

	int wake_fd;         /* eventfd: look at what the lock guards */
	uint64_t wake_value; /* read from it by the ring */
	unsigned alive;      /* entries that the kernel has; the worker's own */

	struct entry *answered; /* by other threads, to be committed; guarded by ring->lock */
};

struct ring {
	struct mount *mount;
	struct worker *workers;
	unsigned count; /* of the workers that run */

	pthread_mutex_t lock; /* guards what follows, and what each worker says */
	pthread_cond_t changed;
	enum { PREPARING, STARTED, STOPPED } phase;
	unsigned reports; /* workers that have come to the end of the phase */
	int error;        /* the first of their errors */
};

/* The worker that this thread is. */
static _Thread_local struct worker *this_worker;

/* --- What goes to the kernel
 * ----------------------------------------------------------------------- */

static struct fuse_uring_req_header *header_of(const struct entry *entry)
{
	return (void *)(entry->memory + HEADER_OFFSET);
}

/* There is room: each entry, and the wake, has at most one under way. */
static struct io_uring_sqe *next_sqe(struct worker *worker)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&worker->uring);

	/* Twice as long as the structure says. */
	return memset(sqe, 0, 2 * sizeof *sqe);
}

static void command(struct entry *entry, unsigned operation)
{
	struct fuse_uring_cmd_req req = {.qid = entry->queue, .commit_id = entry->commit_id};
	struct io_uring_sqe *sqe = next_sqe(entry->worker);

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = entry->worker->ring->mount->fd;
	sqe->off = operation; /* its lower half is cmd_op */
	sqe->user_data = (uintptr_t)entry;
	if (operation == FUSE_IO_URING_CMD_REGISTER) {
		sqe->addr = (uintptr_t)entry->iov;
		sqe->len = ARRAY_SIZE(entry->iov);
	}
	memcpy(sqe->cmd, &req, sizeof req);
}

/*
 * At once: when the request is no longer in flight.h its answer is with the kernel.  (To leave it
 * to the next wait would save a system call, and measures no better.)
 */
static void commit(struct entry *entry)
{
	command(entry, FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
	io_uring_submit(&entry->worker->uring);
}

static void expect_wake(struct worker *worker)
{
	io_uring_prep_read(next_sqe(worker), worker->wake_fd, &worker->wake_value,
			   sizeof worker->wake_value, 0);
}

static void wake(struct worker *worker)
{
	uint64_t one = 1;

	/* It cannot fail: only a counter at its end makes it wait. */
	if (write(worker->wake_fd, &one, sizeof one) < 0)
		log_error("cannot wake a thread: %s", strerror(errno));
}

/* The answer to what was parked comes from another thread, which has no business with our ring. */
static void hand_over(struct entry *entry)
{
	struct worker *worker = entry->worker;
	struct ring *ring = worker->ring;

	pthread_mutex_lock(&ring->lock);
	entry->answered = worker->answered;
	worker->answered = entry;
	pthread_mutex_unlock(&ring->lock);
	wake(worker);
}

static void reply(struct request *req, int r, size_t size)
{
	struct entry *entry = req->carrier;
	struct fuse_uring_req_header *header = header_of(entry);
	uint8_t *payload = entry->memory + PAYLOAD_OFFSET;
	struct fuse_out_header out = {.error = r, .unique = req->in.unique};

	if (r)
		size = 0;
	out.len = sizeof out + size;
	memcpy(header->in_out, &out, sizeof out);
	header->ring_ent_in_out.payload_sz = size;
	if (size && req->out != payload)
		memcpy(payload, req->out, size);
	if (entry->worker == this_worker)
		commit(entry);
	else
		hand_over(entry);
}

/* --- What comes from it
 * ---------------------------------------------------------------------------- */

/* Put the parts together; the size of the whole, or 0 when they do not fit together. */
static size_t assemble(const struct entry *entry, const struct fuse_in_header *in,
		       const uint8_t **ret)
{
	const struct fuse_uring_req_header *header = header_of(entry);
	size_t payload_size = header->ring_ent_in_out.payload_sz,
	       fixed_size = in->len - sizeof *in - payload_size;
	uint8_t *start;

	if (in->len < sizeof *in ||
	    payload_size > MIN(in->len - sizeof *in, (size_t)PROTOCOL_IO_MAX) ||
	    fixed_size > sizeof header->op_in || fixed_size % 8)
		return 0;
	start = entry->memory + PAYLOAD_OFFSET - fixed_size - sizeof *in;
	memcpy(start, in, sizeof *in);
	memcpy(start + sizeof *in, header->op_in, fixed_size);
	*ret = start;
	return in->len;
}

static void bind_to_cpu(struct worker *worker)
{
	cpu_set_t set;

	/* Where we may not, the scheduler does as well as it can. */
	CPU_ZERO(&set);
	CPU_SET(worker->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof set, &set);
	worker->roams = false;
}

static void roam(struct worker *worker)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof set);
	pthread_setaffinity_np(pthread_self(), sizeof set, &set);
	worker->roams = true;
}

/*
 * What the kernel reads ahead comes to the queue of the CPU that its reader keeps busy, all of it:
 * with every worker bound there, reader and workers would take turns while the other CPUs idle.
 */
static void choose_cpus(struct worker *worker, const struct fuse_uring_req_header *header,
			uint32_t opcode)
{
	const struct fuse_read_in *read = (const void *)header->op_in;
	bool is_long = opcode == FUSE_READ && read->size >= LONG_READ;

	if (worker->cpu < 0 || is_long == worker->roams)
		return;
	if (is_long)
		roam(worker);
	else
		bind_to_cpu(worker);
}

static void serve(struct entry *entry)
{
	struct worker *worker = entry->worker;
	const struct fuse_uring_req_header *header = header_of(entry);
	bool has_payload = header->ring_ent_in_out.payload_sz > 0;
	struct request req = {
		.mount = worker->ring->mount,
		.slot = worker->slot,
		.carrier = entry,
		.out = entry->memory + (has_payload ? ANSWER_OFFSET : PAYLOAD_OFFSET),
		.out_room = PROTOCOL_IO_MAX,
		.reply = reply,
	};
	const uint8_t *data;
	size_t size;

	entry->commit_id = header->ring_ent_in_out.commit_id;
	memcpy(&req.in, header->in_out, sizeof req.in);
	choose_cpus(worker, header, req.in.opcode);
	counter_add(&req.mount->counters.ring_requests, 1);
	size = assemble(entry, &req.in, &data);
	if (size)
		operations_serve(&req, data, size);
	else
		reply(&req, -EIO, 0);
}

/* The kernel gives the entry up: the connection has ended. */
static void retire(struct entry *entry, int error)
{
	struct worker *worker = entry->worker;

	worker->alive--;
	if (error != -ENOTCONN && error != -ECONNABORTED && error != -ECANCELED)
		log_error("the kernel has given up a thread of '%s': %s", worker->ring->mount->path,
			  strerror(-error));
}

/* False when there is to be no more. */
static bool wake_up(struct worker *worker)
{
	struct ring *ring = worker->ring;
	struct entry *answered;
	bool stopped;

	pthread_mutex_lock(&ring->lock);
	answered = take(worker->answered);
	stopped = ring->phase == STOPPED;
	pthread_mutex_unlock(&ring->lock);
	for (; answered; answered = answered->answered)
		commit(answered);
	expect_wake(worker);
	return !stopped;
}

/* --- The workers
 * ----------------------------------------------------------------------------------- */

static int open_uring(struct io_uring *uring, unsigned entries)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SQE128};

	uring->ring_fd = -1;
	return io_uring_queue_init_params(entries, uring, &params);
}

int ring_probe(void)
{
	struct io_uring uring;
	int r = open_uring(&uring, 2);

	if (r == 0)
		io_uring_queue_exit(&uring);
	return r;
}

static void report(struct ring *ring, int r)
{
	pthread_mutex_lock(&ring->lock);
	ring->reports++;
	if (r < 0 && !ring->error)
		ring->error = r;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

/* Until every worker has reported; the first error among them. */
static int await_reports(struct ring *ring)
{
	int r;

	pthread_mutex_lock(&ring->lock);
	while (ring->reports < ring->count)
		pthread_cond_wait(&ring->changed, &ring->lock);
	r = ring->error;
	ring->reports = 0;
	ring->error = 0;
	pthread_mutex_unlock(&ring->lock);
	return r;
}

static bool await_start(struct ring *ring)
{
	bool started;

	pthread_mutex_lock(&ring->lock);
	while (ring->phase == PREPARING)
		pthread_cond_wait(&ring->changed, &ring->lock);
	started = ring->phase == STARTED;
	pthread_mutex_unlock(&ring->lock);
	return started;
}

/* A refusal is there at once; it stays in the queue for serve_next(). */
static int give_entries(struct worker *worker)
{
	struct io_uring_cqe *cqe;
	unsigned head;
	int r;

	expect_wake(worker);
	for (unsigned i = 0; i < worker->count; i++)
		command(&worker->entries[i], FUSE_IO_URING_CMD_REGISTER);
	worker->alive = worker->count;
	r = io_uring_submit(&worker->uring);
	if (r < 0)
		return r;
	r = 0;
	io_uring_for_each_cqe (&worker->uring, head, cqe)
		if (cqe->user_data && cqe->res < 0)
			r = cqe->res;
	return r;
}

/* False when there is to be no more. */
static bool serve_next(struct worker *worker)
{
	struct io_uring *uring = &worker->uring;
	struct io_uring_cqe *cqe;
	int r = 0;

	/* With the answer the next request may have come. */
	if (!io_uring_cq_ready(uring) || io_uring_sq_ready(uring))
		r = io_uring_submit_and_wait(uring, 1);
	if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY) {
		log_errno(r, "cannot wait for requests for '%s'", worker->ring->mount->path);
		return false;
	}
	while (io_uring_peek_cqe(uring, &cqe) == 0) {
		struct entry *entry = (void *)(uintptr_t)cqe->user_data;
		int result = cqe->res;

		io_uring_cqe_seen(uring, cqe);
		if (!entry) {
			if (!wake_up(worker))
				return false;
		} else if (result < 0) {
			retire(entry, result);
		} else {
			serve(entry);
		}
	}
	return worker->alive > 0;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct ring *ring = worker->ring;
	int r;

	this_worker = worker;
	if (worker->cpu >= 0)
		bind_to_cpu(worker);
	r = open_uring(&worker->uring, worker->count + 1);
	report(ring, r);
	if (await_start(ring) && r == 0) {
		report(ring, give_entries(worker));
		while (serve_next(worker))
			;
	}
	if (r == 0)
		io_uring_queue_exit(&worker->uring);
	return NULL;
}

/* --- Making and ending it
 * -------------------------------------------------------------------------- */

static int open_entry(struct worker *worker, unsigned queue)
{
	struct entry *entry = &worker->entries[worker->count];
	/* Pages that no request needs are never touched. */
	uint8_t *memory = mmap(NULL, ENTRY_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	*entry = (struct entry){
		.worker = worker,
		.queue = queue,
		.memory = memory,
		.iov = {{memory + HEADER_OFFSET, sizeof(struct fuse_uring_req_header)},
			{memory + PAYLOAD_OFFSET, PROTOCOL_IO_MAX}},
	};
	worker->count++;
	return 0;
}

static void close_worker(struct worker *worker)
{
	for (unsigned i = 0; i < worker->count; i++)
		munmap(worker->entries[i].memory, ENTRY_BYTES);
	free(worker->entries);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
}

/* The next worker, for the queues [first, end) of those CPUs that are online, or are not. */
static int start_worker(struct ring *ring, const struct cpus *cpus, unsigned first, unsigned end,
			bool online, unsigned slot)
{
	struct worker *worker = &ring->workers[ring->count];
	int r = 0;

	*worker = (struct worker){.ring = ring, .slot = slot, .cpu = online ? (int)first : -1};
	worker->entries = xcalloc(end - first, sizeof *worker->entries);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (worker->wake_fd < 0)
		r = -errno;
	for (unsigned queue = first; queue < end && r == 0; queue++)
		if (cpus->runs[queue] == online)
			r = open_entry(worker, queue);
	if (r == 0)
		r = -pthread_create(&worker->thread, NULL, work, worker);
	if (r < 0) {
		close_worker(worker);
		return r;
	}
	pthread_setname_np(worker->thread, "unspill-ring");
	ring->count++;
	return 0;
}

static int start_workers(struct ring *ring, const struct cpus *cpus, unsigned first_slot)
{
	unsigned each = WORKERS_PER_MACHINE / cpus->online;
	int r = 0;

	each = MAX(each, (unsigned)WORKERS_PER_CPU_MIN);
	each = MIN(each, (unsigned)WORKERS_PER_CPU_MAX);
	each = MIN(each, (RING_WORKERS_MAX - 1) / cpus->online);
	ring->workers = xcalloc(each * cpus->online + 1, sizeof *ring->workers);
	for (unsigned cpu = 0; cpu < cpus->possible; cpu++)
		for (unsigned i = 0; cpus->runs[cpu] && i < each && r == 0; i++)
			r = start_worker(ring, cpus, cpu, cpu + 1, true, first_slot + ring->count);
	if (r == 0 && cpus->online < cpus->possible)
		r = start_worker(ring, cpus, 0, cpus->possible, false, first_slot + ring->count);
	return r;
}

int ring_prepare(struct mount *mount, unsigned first_slot, struct ring **ret)
{
	struct ring *ring;
	sigset_t all, before;
	struct cpus cpus;
	int r, r_workers;

	r = cpus_read(&cpus);
	if (r < 0)
		return r;
	if (cpus.online >= RING_WORKERS_MAX)
		return -E2BIG;
	ring = xcalloc(1, sizeof *ring);
	ring->mount = mount;
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	/* Signals are for the program's other threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = start_workers(ring, &cpus, first_slot);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	r_workers = await_reports(ring);
	if (r < 0 || r_workers < 0) {
		ring_stop(ring);
		return r < 0 ? r : r_workers;
	}
	*ret = ring;
	return 0;
}

static void enter(struct ring *ring, int phase)
{
	pthread_mutex_lock(&ring->lock);
	ring->phase = phase;
	pthread_cond_broadcast(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

int ring_start(struct ring *ring)
{
	enter(ring, STARTED);
	return await_reports(ring);
}

void ring_stop(struct ring *ring)
{
	if (!ring)
		return;
	enter(ring, STOPPED);
	for (unsigned i = 0; i < ring->count; i++)
		wake(&ring->workers[i]);
	for (unsigned i = 0; i < ring->count; i++)
		pthread_join(ring->workers[i].thread, NULL);
	for (unsigned i = 0; i < ring->count; i++)
		close_worker(&ring->workers[i]);
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->lock);
	free(ring->workers);
	free(ring);
}
