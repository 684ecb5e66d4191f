/*
 * Handle: a checked call, answered by its handler, and what is the same for all of them around it.
 */
#pragma once

#include "aws/call.h"

/* Refuse filters that the operation does not know, ask the handler, filter its list and cut it into
 * pages.  As struct aws_handler's .handle. */
int aws_handle(const struct aws_handler *handler, void *userdata, struct aws_call *call,
	       json_t **ret);
