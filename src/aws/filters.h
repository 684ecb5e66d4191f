/*
 * Filters: which elements of a list the call's Filters, [{"Name", "Values"}], let through.
 *
 * Handlers answer with the whole list; which filters an operation knows, and which members of an
 * element each looks at, its struct aws_handler says.
 */
#pragma once

#include "aws/call.h"

/* A table of them ends with .name NULL; one without any refuses each. */
struct aws_filter {
	const char *name;
	/* Of the element: one of these has one of the values, in any letters.  None, or none that
	 * an answer has: nothing is let through. */
	const char *members[2];
};

/* The call has only filters that are in the table; or the fault. */
int aws_filters_check(struct aws_call *call, const struct aws_filter *known);

/* Leave in *answer's list what passes each of the call's filters, which have been checked. *answer
 * is replaced, what others see of it stays as it is; nothing is done for a call without filters. */
void aws_filters_apply(const struct aws_call *call, const struct aws_filter *known,
		       json_t **answer);
