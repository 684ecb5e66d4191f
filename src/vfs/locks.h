/*
 * Locks: who may read and who may write a database, among the connections of this process.
 *
 * SQLite's two sets of locks, as sqlite3_io_methods has them: those of the database file (SHARED,
 * RESERVED, PENDING, EXCLUSIVE), and the eight slots of the WAL's shared memory, which is plain
 * memory here, as nobody else has the volume.  And a gate above all databases of one volume:
 * gate_close() waits until no connection is in a transaction; until gate_open(), whoever wants to
 * begin one waits, but for those of the one who closed it ("inner").
 *
 *	connections:	---[read]-----[write]--|              |--[read]---
 *	gate:		        close()........#  head moves  # open()
 *
 * A newcomer lets somebody who waits at the gate go first, for GATE_POLITE_MS at most: it may hold
 * locks on another database that the other one waits for.
 *
 * All lock functions return SQLite's codes.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCKS_SHM_SLOTS 8
#define GATE_POLITE_MS 100

struct gate {
	pthread_mutex_t lock; /* guards all of the below, in every database of the gate */
	pthread_cond_t changed;
	struct locks *all;
	bool closed, wanted;
};

/* Of one database.  Guarded by gate->lock. */
struct locks {
	struct gate *gate;
	struct locks *next;
	struct lock_holder *holders;
	unsigned readers;           /* SHARED or more */
	struct lock_holder *writer; /* RESERVED or more */
	unsigned mapped;            /* connections with the shared memory */
	uint8_t **regions;
	size_t region_count, region_bytes;
	unsigned slot_shared[LOCKS_SHM_SLOTS];
	bool slot_exclusive[LOCKS_SHM_SLOTS];
};

/* Of one connection. */
struct lock_holder {
	struct locks *locks;
	struct lock_holder *next;
	int level;  /* SQLITE_LOCK_NONE and up */
	bool inner; /* of the one who closed the gate */
	bool alone; /* inner: the others' SHARED, which connections in WAL mode keep, does not count
		     */
	bool mapped;
	unsigned slots_shared, slots_exclusive; /* a bit per slot */
};

void gate_init(struct gate *gate);
void gate_done(struct gate *gate);

/*
 * Wait, at most `timeout_ms`, until no transaction is under way, and let none begin.  False: one
 * still was.  `alive` (may be NULL) says false to give up early.
 */
bool gate_close(struct gate *gate, int timeout_ms, bool (*alive)(void *arg), void *arg);
void gate_open(struct gate *gate);

void locks_init(struct locks *locks, struct gate *gate);
/* Nobody holds any. */
void locks_done(struct locks *locks);
/* With the gate closed: is the WAL's shared memory in use?  It is emptied, so that it is built anew
 * from the WAL. */
bool locks_forget_shm(struct locks *locks);

/* A connection comes, with no locks, and goes, giving back what it has. */
void lock_join(struct lock_holder *holder, struct locks *locks, bool inner);
void lock_leave(struct lock_holder *holder);

int lock_raise(struct lock_holder *holder, int level);
void lock_lower(struct lock_holder *holder, int level);
bool lock_is_reserved(struct lock_holder *holder);

/* NULL in *ret when the region is not there and not to be made. */
int shm_map(struct lock_holder *holder, int region, int bytes, bool make, void volatile **ret);
int shm_lock(struct lock_holder *holder, int offset, int count, int flags);
void shm_barrier(struct lock_holder *holder);
void shm_unmap(struct lock_holder *holder);
/* Does it hold the lock of who copies the WAL into the database? */
bool shm_is_checkpointing(struct lock_holder *holder);
