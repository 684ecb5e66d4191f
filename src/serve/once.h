/*
 * Once: a request that is repeated with the same idempotency token has the first one's answer, and
 * no second effect; also when serve was killed in between.
 *
 * Which operations have a token, the model says (struct aws_operation's .token).  A token is its
 * caller's account's, and means that operation in that region.  It is remembered for ONCE_HOURS
 * after the first request was answered; a request that ended in a fault is not, and can be tried
 * again.
 */
#pragma once

#include "aws/call.h"
#include "base/cleanup.h"
#include "state/state.h"

#define ONCE_HOURS 24

extern const struct state_part once_state_part;

/*
 * Forget the requests that were never answered, since whoever was answering them ended.  Before the
 * first once_handle().
 */
int once_start(struct state *state);

/*
 * As aws_handle(), which it calls for a request without a token, and for the first one with it. The
 * same token with another input is the fault IdempotentParameterMismatch; while the first is being
 * answered, RequestInProgress.  Members that the model calls sensitive are not compared, and
 * nothing of them is kept.
 */
int once_handle(struct state *state, const struct aws_handler *handler, void *userdata,
		struct aws_call *call, json_t **ret);
