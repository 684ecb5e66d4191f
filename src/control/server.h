/*
 * Server: the keeper's end of the control socket.
 *
 * One thread accepts, one per connection (at most SERVER_CONNECTIONS_MAX) reads requests and calls
 * the handler, which answers once.  Only the owner and root get further than accept(2).
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "control/request.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVER_CONNECTIONS_MAX 32

struct server;
struct connection;

struct server_options {
	const char *path; /* of the socket; replaced when it is there: the caller holds the volume's
			     lock */
	uid_t owner;
	/* Called in the connection's thread; answers by exactly one of connection_result(),
	 * _error(), _detach(). */
	void (*handle)(struct connection *connection, const struct request *request, void *arg);
	void *arg;
};

int server_open(const struct server_options *options, struct server **ret, struct problem *why);

/*
 * Accept nobody any more, let every running handler see connection_alive() say no, wait until all
 * have returned, and remove the socket.
 */
void server_close(struct server *server);
DEFINE_CLEANUP(struct server *, server, server_close)

/* Connections now; when there is none, since when (monotonic microseconds). */
unsigned server_connections(struct server *server, int64_t *ret_idle_since_us);

/* False when the client has gone away, or the server is closing: stop what can be stopped. */
bool connection_alive(struct connection *connection);

/* Who asks: as whom the client connected. */
uid_t connection_uid(const struct connection *connection);
/* Call `fn` in the connection's thread once the connection has ended, the last one asked for first.
 */
void connection_at_end(struct connection *connection, void (*fn)(void *arg), void *arg);
/* It ends, or has ended, because the server is closing. */
bool connection_is_closed_by_us(struct connection *connection);

/* At most ten a second are sent; `total` 0: unknown.  Never waits for a slow client. */
void connection_progress(struct connection *connection, const char *step, uint64_t done,
			 uint64_t total, const char *unit);

/* Takes over `result`. */
void connection_result(struct connection *connection, json_t *result);
void connection_error(struct connection *connection, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * After connection_result(), for an answer that goes on as something else than lines: what the
 * client sends next, as recv(2) has it; 0 as well when the server closes.  From the first of these
 * calls on there is no other request: the connection ends when the handler returns.
 */
ssize_t connection_receive(struct connection *connection, void *data, size_t size);
/* All of it, or -ECONNRESET. */
int connection_send(struct connection *connection, const void *data, size_t size);

/*
 * After connection_result(): pass on what the client sends to `fd`, and what comes from there to
 * the client, until that side ends, or the server closes.  A client that stops sending still gets
 * what comes.  `heard` is told of all of it, before it goes on.  The two take turns in talking: who
 * sends and does not read for ten seconds is cut off.
 */
void connection_pass(struct connection *connection, int fd,
		     void (*heard)(bool from_client, const char *data, size_t size, void *arg),
		     void *arg);

/* The caller takes over the connection: it answers on the returned descriptor with
 * server_farewell(), after server_close(). */
int connection_detach(struct connection *connection);
/* Send an empty result and close. */
void server_farewell(int fd);
