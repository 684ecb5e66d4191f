/*
 * Server: connections in, whole requests to one handler, its responses out.
 *
 * What is too large, too slow or malformed never reaches the handler.  A connection costs little
 * until it has sent a request, and may take its time for none of its stages; when there are too
 * many, the ones that have waited longest make room: so a client that sends its request at once is
 * answered, however many others hold theirs back.
 */
#pragma once

#include "base/cleanup.h"
#include "http/certificate.h"
#include "http/http.h"

struct http_server;

struct http_options {
	int fd;           /* listening (listen.h); taken over, whatever comes */
	unsigned threads; /* that read and write */
	unsigned workers; /* that handle what takes time */
	/* NULL: no TLS.  Borrowed.  One server of a process has one: libmicrohttpd's callback
	 * tells nobody whose it is. */
	struct http_certificate *certificate;
	/* Of one request; beyond it is told 413. */
	size_t body_max;
	/* Of all that are being read: what comes beyond is told 503. */
	size_t bodies_max;
	unsigned connections_max;
	unsigned per_address_max; /* beyond, it is closed at once; 0: no limit */
	unsigned idle_ms;         /* between two requests */
	unsigned request_ms; /* for a request: from connecting, or its first line, to its end */
	unsigned answer_ms;  /* for taking the answer */
	/*
	 * Answer it.  First asked with `now`, in a thread that others' requests wait for, too: what
	 * would have to wait (for the disk, for another process) returns -EAGAIN and has done
	 * nothing, and is asked again without, in a worker's thread.
	 */
	int (*handle)(const struct http_request *request, struct http_response *response, bool now,
		      void *arg);
	/* Fill in what a client is told whose request is refused with that status (413, 503);
	 * `request` has no body.  NULL: one line of text. */
	void (*refuse)(const struct http_request *request, unsigned status,
		       struct http_response *response, void *arg);
	void *arg;
};

/* All limits have to be given; from here on requests are answered. */
int http_server_open(const struct http_options *options, struct http_server **ret,
		     struct problem *why);
/*
 * Accept nobody any more, let every request that has begun be answered, and end the connections.
 * -ETIMEDOUT when that is not done after `timeout_ms`.
 */
int http_server_drain(struct http_server *server, unsigned timeout_ms);
/* Waits for requests that are being handled; everything else is cut off. */
void http_server_close(struct http_server *server);
DEFINE_CLEANUP(struct http_server *, http_server, http_server_close)

unsigned http_server_connections(struct http_server *server);
