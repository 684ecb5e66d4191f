#include "vfs/locks.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "vfs/sqlite.h"

#include <string.h>
#include <time.h>

/* WAL_CKPT_LOCK of SQLite's WAL format. */
#define CHECKPOINT_SLOT 1
#define SHM_REGIONS_MAX 65536

/* --- The gate --------------------------------------------------------------------------------- */

void gate_init(struct gate *gate)
{
	pthread_condattr_t attr;

	*gate = (struct gate){.all = NULL};
	pthread_mutex_init(&gate->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&gate->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void gate_done(struct gate *gate)
{
	pthread_cond_destroy(&gate->changed);
	pthread_mutex_destroy(&gate->lock);
}

/* Wait for a change, until `until_us` at most; false: it is past that. */
static bool wait_until(struct gate *gate, int64_t until_us)
{
	struct timespec at = {until_us / 1000000, until_us % 1000000 * 1000};

	if (clock_monotonic_us() >= until_us)
		return false;
	pthread_cond_timedwait(&gate->changed, &gate->lock, &at);
	return true;
}

/* A connection in WAL mode keeps its SHARED; what tells is the slots. */
static bool is_quiet(const struct locks *locks)
{
	for (const struct lock_holder *holder = locks->holders; holder; holder = holder->next)
		if (holder->level > (holder->mapped ? SQLITE_LOCK_SHARED : SQLITE_LOCK_NONE))
			return false;
	for (int i = 0; i < LOCKS_SHM_SLOTS; i++)
		if (locks->slot_shared[i] || locks->slot_exclusive[i])
			return false;
	return true;
}

static bool are_quiet(const struct gate *gate)
{
	for (const struct locks *locks = gate->all; locks; locks = locks->next)
		if (!is_quiet(locks))
			return false;
	return true;
}

bool gate_close(struct gate *gate, int timeout_ms, bool (*alive)(void *arg), void *arg)
{
	int64_t until_us = clock_monotonic_us() + timeout_ms * INT64_C(1000);
	bool closed;

	pthread_mutex_lock(&gate->lock);
	gate->wanted = true;
	while (gate->closed || !are_quiet(gate)) {
		int64_t look_us = MIN(until_us, clock_monotonic_us() + 50000);

		if (clock_monotonic_us() >= until_us || (alive && !alive(arg)))
			break;
		wait_until(gate, look_us);
	}
	gate->wanted = false;
	closed = !gate->closed && are_quiet(gate);
	gate->closed |= closed;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
	return closed;
}

void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->closed = false;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

/* Before a lock is taken.  `begins`: nothing was held on this database. */
static void pass(struct lock_holder *holder, bool begins)
{
	struct gate *gate = holder->locks->gate;
	int64_t polite_us;

	if (holder->inner)
		return;
	if (begins && gate->wanted) {
		polite_us = clock_monotonic_us() + GATE_POLITE_MS * INT64_C(1000);
		while (gate->wanted && !gate->closed && wait_until(gate, polite_us))
			;
	}
	while (gate->closed)
		pthread_cond_wait(&gate->changed, &gate->lock);
}

/* Whoever waits at the gate looks again. */
static void changed(struct gate *gate)
{
	if (gate->wanted)
		pthread_cond_broadcast(&gate->changed);
}

/* --- Databases -------------------------------------------------------------------------------- */

void locks_init(struct locks *locks, struct gate *gate)
{
	*locks = (struct locks){.gate = gate};
	pthread_mutex_lock(&gate->lock);
	locks->next = gate->all;
	gate->all = locks;
	pthread_mutex_unlock(&gate->lock);
}

static void free_regions(struct locks *locks)
{
	for (size_t i = 0; i < locks->region_count; i++)
		free(locks->regions[i]);
	free(locks->regions);
	locks->regions = NULL;
	locks->region_count = 0;
}

void locks_done(struct locks *locks)
{
	struct gate *gate = locks->gate;

	pthread_mutex_lock(&gate->lock);
	for (struct locks **at = &gate->all; *at; at = &(*at)->next) {
		if (*at == locks) {
			*at = locks->next;
			break;
		}
	}
	free_regions(locks);
	pthread_mutex_unlock(&gate->lock);
}

bool locks_forget_shm(struct locks *locks)
{
	bool used;

	pthread_mutex_lock(&locks->gate->lock);
	used = locks->mapped > 0;
	for (size_t i = 0; i < locks->region_count; i++)
		memset(locks->regions[i], 0, locks->region_bytes);
	pthread_mutex_unlock(&locks->gate->lock);
	return used;
}

/* --- The database file's lock ----------------------------------------------------------------- */

static int take_shared(struct locks *locks, struct lock_holder *holder)
{
	/* RESERVED lets readers in, PENDING and EXCLUSIVE do not. */
	if (locks->writer && locks->writer->level > SQLITE_LOCK_RESERVED)
		return SQLITE_BUSY;
	locks->readers++;
	holder->level = SQLITE_LOCK_SHARED;
	return SQLITE_OK;
}

static int take_exclusive(struct locks *locks, struct lock_holder *holder)
{
	locks->writer = holder;
	if (locks->readers > 1 && !holder->alone) {
		/* No new readers; those that there are end some time. */
		holder->level = SQLITE_LOCK_PENDING;
		return SQLITE_BUSY;
	}
	holder->level = SQLITE_LOCK_EXCLUSIVE;
	return SQLITE_OK;
}

static int raise(struct lock_holder *holder, int level)
{
	struct locks *locks = holder->locks;

	if (level == SQLITE_LOCK_SHARED)
		return take_shared(locks, holder);
	if (locks->writer && locks->writer != holder)
		return SQLITE_BUSY;
	if (level >= SQLITE_LOCK_PENDING)
		return take_exclusive(locks, holder);
	locks->writer = holder;
	holder->level = level;
	return SQLITE_OK;
}

int lock_raise(struct lock_holder *holder, int level)
{
	struct gate *gate = holder->locks->gate;
	int r = SQLITE_OK;

	pthread_mutex_lock(&gate->lock);
	if (holder->level < level) {
		pass(holder, holder->level == SQLITE_LOCK_NONE);
		r = raise(holder, level);
	}
	pthread_mutex_unlock(&gate->lock);
	return r;
}

static void lower(struct lock_holder *holder, int level)
{
	struct locks *locks = holder->locks;

	if (holder->level <= level)
		return;
	if (locks->writer == holder)
		locks->writer = NULL;
	if (level == SQLITE_LOCK_NONE)
		locks->readers--;
	holder->level = level;
	changed(locks->gate);
}

void lock_lower(struct lock_holder *holder, int level)
{
	pthread_mutex_lock(&holder->locks->gate->lock);
	lower(holder, level);
	pthread_mutex_unlock(&holder->locks->gate->lock);
}

bool lock_is_reserved(struct lock_holder *holder)
{
	bool reserved;

	pthread_mutex_lock(&holder->locks->gate->lock);
	reserved = holder->locks->writer != NULL;
	pthread_mutex_unlock(&holder->locks->gate->lock);
	return reserved;
}

/* --- The WAL's shared memory ------------------------------------------------------------------ */

static int add_regions(struct locks *locks, int region, int bytes)
{
	uint8_t **regions;

	if (region >= SHM_REGIONS_MAX)
		return SQLITE_IOERR_SHMSIZE;
	regions = realloc(locks->regions, (region + 1) * sizeof *regions);
	if (!regions)
		return SQLITE_IOERR_NOMEM;
	locks->regions = regions;
	locks->region_bytes = bytes;
	while (locks->region_count <= (size_t)region) {
		regions[locks->region_count] = calloc(1, bytes);
		if (!regions[locks->region_count])
			return SQLITE_IOERR_NOMEM;
		locks->region_count++;
	}
	return SQLITE_OK;
}

int shm_map(struct lock_holder *holder, int region, int bytes, bool make, void volatile **ret)
{
	struct locks *locks = holder->locks;
	int r = SQLITE_OK;

	*ret = NULL;
	pthread_mutex_lock(&locks->gate->lock);
	if (!holder->mapped) {
		holder->mapped = true;
		locks->mapped++;
	}
	if ((size_t)region >= locks->region_count && make)
		r = add_regions(locks, region, bytes);
	if (r == SQLITE_OK && (size_t)region < locks->region_count)
		*ret = locks->regions[region];
	pthread_mutex_unlock(&locks->gate->lock);
	return r;
}

static void unlock_slots(struct lock_holder *holder, unsigned mask)
{
	struct locks *locks = holder->locks;

	for (int i = 0; i < LOCKS_SHM_SLOTS; i++) {
		if (!(mask & 1U << i))
			continue;
		if (holder->slots_exclusive & 1U << i)
			locks->slot_exclusive[i] = false;
		else if (holder->slots_shared & 1U << i)
			locks->slot_shared[i]--;
	}
	holder->slots_exclusive &= ~mask;
	holder->slots_shared &= ~mask;
	changed(locks->gate);
}

static int lock_slots(struct lock_holder *holder, unsigned mask, bool exclusive)
{
	struct locks *locks = holder->locks;

	for (int i = 0; i < LOCKS_SHM_SLOTS; i++) {
		if (!(mask & 1U << i))
			continue;
		if (locks->slot_exclusive[i] || (exclusive && locks->slot_shared[i]))
			return SQLITE_BUSY;
	}
	for (int i = 0; i < LOCKS_SHM_SLOTS; i++) {
		if (!(mask & 1U << i))
			continue;
		if (exclusive)
			locks->slot_exclusive[i] = true;
		else
			locks->slot_shared[i]++;
	}
	if (exclusive)
		holder->slots_exclusive |= mask;
	else
		holder->slots_shared |= mask;
	return SQLITE_OK;
}

int shm_lock(struct lock_holder *holder, int offset, int count, int flags)
{
	unsigned mask = ((1U << count) - 1) << offset;
	bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
	struct gate *gate = holder->locks->gate;
	int r = SQLITE_OK;

	pthread_mutex_lock(&gate->lock);
	if (flags & SQLITE_SHM_UNLOCK) {
		unlock_slots(holder, mask);
	} else {
		/* Waiting here, it may have got what it is about to take: a lock is taken once. */
		pass(holder, !(holder->slots_shared | holder->slots_exclusive));
		mask &= exclusive ? ~holder->slots_exclusive : ~holder->slots_shared;
		r = lock_slots(holder, mask, exclusive);
	}
	pthread_mutex_unlock(&gate->lock);
	return r;
}

void shm_barrier(struct lock_holder *holder)
{
	__sync_synchronize();
	pthread_mutex_lock(&holder->locks->gate->lock);
	pthread_mutex_unlock(&holder->locks->gate->lock);
}

static void unmap(struct lock_holder *holder)
{
	if (!holder->mapped)
		return;
	unlock_slots(holder, ~0U);
	holder->mapped = false;
	/* From now on its SHARED is a reader's. */
	if (--holder->locks->mapped == 0)
		free_regions(holder->locks);
}

void shm_unmap(struct lock_holder *holder)
{
	pthread_mutex_lock(&holder->locks->gate->lock);
	unmap(holder);
	pthread_mutex_unlock(&holder->locks->gate->lock);
}

bool shm_is_checkpointing(struct lock_holder *holder)
{
	return holder->slots_exclusive & 1U << CHECKPOINT_SLOT;
}

/* --- Coming and going ------------------------------------------------------------------------- */

void lock_join(struct lock_holder *holder, struct locks *locks, bool inner)
{
	*holder = (struct lock_holder){.locks = locks, .inner = inner};
	pthread_mutex_lock(&locks->gate->lock);
	holder->next = locks->holders;
	locks->holders = holder;
	pthread_mutex_unlock(&locks->gate->lock);
}

void lock_leave(struct lock_holder *holder)
{
	struct locks *locks = holder->locks;

	pthread_mutex_lock(&locks->gate->lock);
	unmap(holder);
	lower(holder, SQLITE_LOCK_NONE);
	for (struct lock_holder **at = &locks->holders; *at; at = &(*at)->next) {
		if (*at == holder) {
			*at = holder->next;
			break;
		}
	}
	pthread_mutex_unlock(&locks->gate->lock);
}
