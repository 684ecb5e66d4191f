/*
 * HTTP: requests in, responses out, over plain sockets or TLS.
 *
 * A request is plain data: the server (server.h) makes one, and so does whoever wants to test what
 * answers it.
 */
#pragma once

#include "base/buffer.h"
#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct http_header {
	const char *name; /* as it was sent */
	const char *value;
};

/* One request.  Everything is borrowed, and good until the handler returns. */
struct http_request {
	const char *method;
	const char *target;                /* as it was sent: path and query, nothing decoded */
	const char *path;                  /* the target up to the '?', not decoded */
	const char *query;                 /* behind it; "" without one */
	const struct http_header *headers; /* in the order in which they came */
	size_t header_count;
	const void *body;
	size_t body_size;
	const char
		*peer; /* numeric address of the client, without the port; "" on a local socket */
	bool tls;
	bool local; /* over a Unix socket: by a process of this machine that runs as `uid` */
	uid_t uid;
};

/* The first header of that name, any case; NULL without one. */
const char *http_request_header(const struct http_request *request, const char *name);
/* Each header in the order in which it came, as it came; until `fn` returns non-zero, which is
 * returned. */
int http_request_headers(const struct http_request *request,
			 int (*fn)(const char *name, const char *value, void *arg), void *arg);

/*
 * Whether this is a header as RFC 9110 has them: its name a token, no carriage return, line feed or
 * NUL in its value.  Others are read by one in this way and by the next in that.
 */
bool http_header_is_sound(const char *name, size_t name_size, const char *value, size_t value_size);

#define HTTP_HEADERS_MAX 8

/* What the handler fills in.  {0} is an empty 200. */
struct http_response {
	unsigned status;          /* 0: 200 */
	const char *content_type; /* a literal; NULL: none */
	struct {
		const char *name; /* a literal */
		char value[256];
	} headers[HTTP_HEADERS_MAX];
	unsigned header_count;
	struct buffer body; /* taken over by the server */
};

/* `name` is a literal; a value that does not fit is cut.  At most HTTP_HEADERS_MAX. */
void http_response_header(struct http_response *response, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Text behind what the body has already. */
void http_response_text(struct http_response *response, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
