/*
 * HTTP double: requests that no server received, for what reads them, and a look at what was
 * answered.
 */
#pragma once

#include "http/http.h"

#include <stdio.h>
#include <string.h>

#define DOUBLE_HEADERS_MAX 80

struct http_double {
	struct http_request
		request; /* its headers are the ones below: a copy has those of the original */
	char path[2048];
	struct http_header headers[DOUBLE_HEADERS_MAX];
};

/* `target` and `body` are borrowed. */
static inline void double_init(struct http_double *it, const char *method, const char *target,
			       const char *body)
{
	size_t size = strcspn(target, "?");

	memset(it, 0, sizeof *it);
	snprintf(it->path, sizeof it->path, "%.*s", (int)size, target);
	it->request = (struct http_request){
		.method = method,
		.target = target,
		.path = it->path,
		.query = target[size] ? target + size + 1 : "",
		.headers = it->headers,
		.body = body,
		.body_size = strlen(body),
		.peer = "127.0.0.1",
	};
}

static inline void double_header(struct http_double *it, const char *name, const char *value)
{
	it->headers[it->request.header_count++] = (struct http_header){name, value};
}

static inline const char *double_answered(const struct http_response *response, const char *name)
{
	for (unsigned i = 0; i < response->header_count; i++)
		if (strcasecmp(response->headers[i].name, name) == 0)
			return response->headers[i].value;
	return NULL;
}
