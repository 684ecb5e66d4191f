/*
 * State: what `serve` knows, in one SQLite file.
 *
 * One thread writes: changes that come at the same time share a transaction's sync, and each is
 * whole or not there at all.  Each layer owns its tables and says by which statements they came to
 * be what they are (struct state_part); opening brings an older file up to date.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"

#include <sqlite3.h>

struct state;

/* The tables of one layer.  `steps[n]` leads from version n to n + 1; what was released is never
 * changed. */
struct state_part {
	const char *name;         /* "identity" */
	const char *const *steps; /* SQL, each one or more statements; NULL-terminated */
};

/*
 * Open the file, or make it (mode 0600), and bring each part up to its newest version, in one
 * transaction.  `parts` ends with NULL.  -EPROTONOSUPPORT when a part is newer than we are, -EBUSY
 * when another process has it open (to open it twice in one is not noticed, and not to be done),
 * -EBADMSG when it is no database of ours or damaged.  The caller owns *ret.
 */
int state_open(const char *path, const struct state_part *const *parts, struct state **ret,
	       struct problem *why);
/* Nobody else uses it any more. */
void state_close(struct state *state);
DEFINE_CLEANUP(struct state *, state, state_close)

/*
 * Run `fn` in the writer's thread, in a transaction that is durable when this returns what `fn`
 * returned.  When that is less than 0, what it did is undone.  -EIO when the file could not be
 * written: then it never can again, until it is opened anew; -ENOSPC when the disk is full.
 *
 * It may run beside others' in the same transaction, never at the same time; it uses nothing but
 * `db` and `arg`, begins and ends no transaction, and is quick.
 */
int state_write(struct state *state, int (*fn)(sqlite3 *db, void *arg), void *arg);

/* Run `fn` on a connection that only reads, in the caller's thread, and return what it returned.
 * It sees all that state_write() returned for, as it was at one moment. */
int state_read(struct state *state, int (*fn)(sqlite3 *db, void *arg), void *arg);

/*
 * Statements, inside of those functions.  state_prepare() keeps what it prepared with the
 * connection, so that the same text is prepared once: reset it with state_done(), never finalize
 * it.  `sql` is one statement with nothing behind it; the values for its parameters follow, by
 * `format`: s text (NULL is NULL), i int64_t, b blob (pointer, size_t); they are copied.
 *
 * -EEXIST where a unique key is there already, -ENOSPC; -EIO and logged for the rest.
 */
int state_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, const char *format, ...);
/* 1: a row, 0: no more of them, -errno. */
int state_step(sqlite3_stmt *statement);
/* NULL is fine. */
void state_done(sqlite3_stmt *statement);
/* Prepare, bind, step to the end; 0 or -errno.  Rows are not looked at. */
int state_run(sqlite3 *db, const char *sql, const char *format, ...);
