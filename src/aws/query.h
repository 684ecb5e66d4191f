/*
 * Query: a call's input as a form, "Tags.member.1.Key=team", read by the model's shapes.
 *
 * Understood is what any generation of clients sends: list members numbered behind ".member",
 * behind the model's own name for them ("VpcSecurityGroupIds.VpcSecurityGroupId.1"), or right
 * behind the list's name.
 */
#pragma once

#include "aws/form.h"
#include "aws/model.h"
#include "base/problem.h"

#include <jansson.h>

/*
 * The input tree (call.h) of the form's fields, but for those that belong to the request itself
 * (Action, Version, signature).  Texts become what the model wants where they can; what cannot
 * stays text, for aws_check() to refuse.  With one line for the client: -ENOENT for what has no
 * place in the model, -EBADMSG for what is sent twice or is no UTF-8.  The caller owns *ret.
 */
int aws_query_read(const struct form *form, const struct aws_shape *input, json_t **ret,
		   struct problem *why);
