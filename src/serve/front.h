/*
 * Front: the door through which every request comes.
 *
 *	read -> authenticate -> limit -> touch -> authorize -> check -> handle -> answer
 *
 * As AWS does it: who you are comes first, then what you may, and only then what you said.  One
 *line in the log for each request: who did what to which end, and never what was said.
 */
#pragma once

#include "aws/call.h"
#include "base/cleanup.h"
#include "http/http.h"
#include "identity/identity.h"
#include "state/state.h"

#include <stdbool.h>

struct front;

struct front_options {
	struct identity *identity; /* borrowed */
	/* What is answered, NULL at the end; borrowed, as long as the front is. */
	const struct aws_answers *const *answers;
	struct state *state; /* borrowed */
	bool log_requests;
	unsigned rate; /* requests a second that one access key may send; 0: any number */
	/* For an unsigned `POST /moto-api/reset`; NULL: there is no such thing. */
	int (*reset)(void *arg);
	void *arg;
};

struct front *front_new(const struct front_options *options);
void front_free(struct front *front);
DEFINE_CLEANUP(struct front *, front, front_free)

void front_log_requests(struct front *front, bool log);
/* Where there was a limit before. */
void front_limit_rate(struct front *front, unsigned rate);

/* As struct http_options has them. */
int front_handle(const struct http_request *request, struct http_response *response, bool now,
		 void *front);
void front_refuse(const struct http_request *request, unsigned status,
		  struct http_response *response, void *front);
