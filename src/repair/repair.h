/*
 * Repair: rows that a mistake touched are put back on the live server.
 *
 * The rows that differ between the two past states come from a spool.  For each of them the live
 * server is asked for the row as it is now, three.h decides, and a statement changes exactly that
 * row if it is still exactly that: what somebody else writes in between is seen as a conflict and
 * never lost.  All in one transaction, or with `chunked` in one per batch; then a repair that was
 * broken off goes on when it is run again, because rows already put back are found to be so.
 *
 * After each batch its rows are read again, and must be what they were before the mistake: a
 * trigger that changed them is an error (-EUCLEAN), and nothing is committed.
 *
 * Foreign keys do not cascade (sql_repair_settings()).  Before the commit it is looked whether the
 * rows touched refer to nothing, or are referred to and gone: -ENOTEMPTY, and nothing is committed,
 * unless conflicts are to be forced.
 */
#pragma once

#include "repair/shape.h"
#include "repair/spool.h"

enum on_conflict { CONFLICT_SKIP, CONFLICT_FORCE, CONFLICT_ABORT };

struct repair_options {
	enum on_conflict on_conflict;
	bool chunked;
	uint64_t batch_rows; /* 0: 256 */
	/* With `emit` nothing is changed: it gets each statement that would have been run, in
	 * order, without a semicolon. */
	void (*emit)(void *arg, const struct buffer *statement);
	/* A row that is not put back (forced: that is put back nevertheless), and why.  Lent.  May
	 * be NULL. */
	void (*conflict)(void *arg, const struct pair *pair, const struct row *now,
			 const char *reason);
	/* Rows of the spool dealt with; a negative result ends the repair with it.  May be NULL. */
	int (*progress)(void *arg, uint64_t rows);
	void *arg;
};

struct repair_report {
	uint64_t inserted, updated, deleted; /* put back; with `emit`: would be */
	uint64_t done;                       /* were as before already */
	uint64_t conflicts;
	uint64_t left;    /* whole rows added or removed, where only some columns are repaired */
	uint64_t orphans; /* left with `chunked` or CONFLICT_FORCE: rows that refer to nothing */
};

/*
 * `live` is in no transaction.  `shape` is that of the table there; the spool's rows have the same
 * columns.  Besides sql.h's errors -ECANCELED for a conflict under CONFLICT_ABORT.
 */
int repair_rows(struct sql *live, const struct shape *shape, struct spool *spool,
		const struct repair_options *options, struct repair_report *ret,
		struct problem *why);
