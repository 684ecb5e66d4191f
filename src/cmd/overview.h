/*
 * Overview: what `list` and `status` show, as JSON: the keeper's own "status", or, where no keeper
 * runs, what can be known without one under the same names.
 */
#pragma once

#include "cmd/command.h"
#include "keeper/cluster.h"

#include <jansson.h>

/*
 * "state" is the keeper's, "stopped", or "unknown" when a keeper does not answer or may not be
 * asked; "problem" then says why.  "down": true when the cluster ought to run and has no keeper.
 * The caller owns the result.
 */
json_t *overview_of(const struct typed *typed, const char *name);

/* Of every cluster in the list, sorted by name; NULL after an error, which has been printed. */
json_t *overview_of_all(const struct typed *typed);
