/*
 * Policy check: whether a document is one, in IAM's order and words.
 *
 * IAM looks at a document several times, each time for something else, so that which of two
 * mistakes is reported does not depend on which comes first in the text.
 */
#pragma once

#include "base/problem.h"
#include "identity/policy.h"

#include <jansson.h>

/* `document` is what jansson made of the text, NULL where that failed.  -EINVAL and IAM's words. */
int policy_check(const json_t *document, enum policy_kind kind, struct problem *why);

/* `statement`: the document's Statement, which is one or a list; the n-th of it or NULL. */
const json_t *policy_statement_json(const json_t *document, size_t n);
