/*
 * Check: is a call's input what the model says?
 */
#pragma once

#include "aws/call.h"

/*
 * Look at call->input: members that nobody knows, types, required members, lengths, ranges,
 * patterns, enumerations, page sizes; 0, or AWS_FAULT in the service's own words.  Afterwards the
 * tree is as call.h says: what is null is gone, timestamps are numbers, whole numbers are integers.
 *
 * A call that asks for a dry run gets its fault here, too: it would have succeeded as far as this.
 */
int aws_check(struct aws_call *call);
