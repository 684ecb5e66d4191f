/*
 * Settle: moving the head under open connections.
 *
 *	1  the gate is closed: no transaction is under way, and none begins
 *	2  of each open database: which schema cookie and change counter its connections may know
 *	3  the head moves
 *	4  each open database is opened by a connection of our own, which recovers it as after a
 *	   crash (hot journal, WAL), and commits a change of nothing but the two numbers: beyond all
 *	   that anybody has seen
 *	5  the gate is opened; whoever reads next finds another writer's commit, drops its cache and
 *	   its schema, and reads on
 *
 * SQLite drops its cache when the change counter (rollback modes) or the WAL's header (WAL mode) is
 * another than the one it remembers.  A head that went back shows numbers that were there before,
 * soon with other contents; hence 4.
 *
 * Connections keep their journal mode: where some are in WAL mode, the database is put into WAL
 * mode if it was not then.
 */
#pragma once

#include "vfs/owner.h"

/* How long a backtrack waits for the transactions under way. */
#define SETTLE_TIMEOUT_MS 10000

struct settle_options {
	int64_t asked_time_us;
	int timeout_ms; /* 0: SETTLE_TIMEOUT_MS */
	/* Steps "wait", "rewind" (records), "settle"; false: give up, before the head moves.  May
	 * be NULL. */
	bool (*progress)(const char *step, uint64_t done, uint64_t total, void *arg);
	void *arg;
};

/*
 * Make `to` the head.  0; -EBUSY: a transaction took too long; or as volume_backtrack().  A
 * database that cannot be opened there is told of in `unsettled`: its open connections are refused
 * from then on.
 */
int settle_backtrack(struct owner *owner, const struct moment *to,
		     const struct settle_options *options, struct volume_backtrack *ret,
		     struct problem *unsettled, struct problem *why);
