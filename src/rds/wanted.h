/*
 * Wanted: the parameters of CreateDBCluster and ModifyDBCluster, one by one: what we do, what is
 * only told again, and what is refused since it would change what the caller gets.
 */
#pragma once

#include "aws/call.h"

/* None is given that we would have to ignore; BacktrackWindow and DeletionProtection are sound. */
int wanted_check(struct aws_call *call);
/* What is given of those that are told again, by name; the caller owns it. */
json_t *wanted_settings(const struct aws_call *call);
