/*
 * Session: statements on a database, one after another, and exactly what they answer: in this
 * process, or in the one that has the volume inside, by its control socket (request "sql").
 *
 * The functions of exact.h are there; no trigger fires; foreign keys are not looked after unless a
 * PRAGMA says so.  To other connections a session is a connection like any: it waits for locks, up
 * to SESSION_BUSY_MS.
 *
 *	there:	a message is its size (32 bits) and so many bytes, everything little-endian
 *	->	number of values (32), size of the text (32), the text; each value: its size (32)
 *		or SESSION_NULL, and its bytes
 *	<-	'r' number of values (32), values as above: a row
 *		'd' rows changed (64): the end of the answer
 *		'e' errno (32), words: likewise
 *
 * One session is one thread's.
 */
#pragma once

#include "base/buffer.h"
#include "base/problem.h"

#include <stdbool.h>

#define SESSION_BUSY_MS 60000
#define SESSION_NULL UINT32_MAX
/* Bytes of a message: as much as SQLite itself takes for one value. */
#define SESSION_MESSAGE_MAX 1000000000u

struct session;

struct session_value {
	const void *data; /* NULL: the value is NULL */
	size_t size;
};

/* Here.  `path` as SQLite's VFS of ours knows it: of a database, or of one at a moment of the past
 * (see owner.h), in a volume that this process has.  -errno with `why`. */
int session_open(const char *path, struct session **ret, struct problem *why);
/* There: the one database of the volume whose holder listens on `socket_path`. */
int session_connect(const char *socket_path, struct session **ret, struct problem *why);
void session_close(struct session *session);
DEFINE_CLEANUP(struct session *, session, session_close)

/*
 * Run one statement.  `values` are bound as blobs, NULLs as NULL, and must live until the answer is
 * read to its end.  -EEXIST: a unique key has that value already; -EDEADLK: locked for too long;
 * -ENOENT: no such table or column; -EINVAL: SQLite does not understand it; -EACCES, -ENOSPC,
 * -EBADMSG, -ENOMEM, -E2BIG, -ECONNRESET, -EIO; these may come from session_next(), too.
 */
int session_send(struct session *session, const void *text, size_t size,
		 const struct session_value *values, size_t count, struct problem *why);

/* 1 and a row, borrowed until the next call: numbers as text; 0: the answer has ended. */
int session_next(struct session *session, const struct session_value **ret, size_t *ret_count,
		 struct problem *why);

/* Rows that the last INSERT, UPDATE or DELETE changed; known when its answer has ended. */
uint64_t session_changes(const struct session *session);

/* --- For who answers the request --- */

struct connection;
/* Statements of the connection's client on `session`, until it has had enough. */
void session_serve(struct session *session, struct connection *connection);
