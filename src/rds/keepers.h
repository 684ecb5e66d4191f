/*
 * Keepers: asking a cluster's keeper, and its server, from a thread that may wait.
 */
#pragma once

#include "control/cluster.h"
#include "engine/engine.h"
#include "jobs/jobs.h"

#include <errno.h>
#include <jansson.h>

/*
 * Ask, on a connection of its own.  `request` is stolen; 0 with the caller owning *ret (may be
 * NULL).  -ENOENT or -ECONNREFUSED when no keeper listens; the errno of the keeper's code
 * (-EREMOTEIO where it has none) when it refuses; -ECONNRESET when it went away or did not answer
 * within `timeout_ms` (0: any time it takes).  With `job` its progress is told there.
 */
int keepers_ask(const struct cluster *cluster, json_t *request, int timeout_ms, struct job *job,
		json_t **ret, struct problem *why);

struct rds;
/*
 * The same in a step that is given up when the job is cancelled (-ECANCELED) or serve ends
 * (-EINTR): at once, by hanging up, whatever the keeper makes of that.
 */
int keepers_ask_for(struct rds *rds, struct job *job, const struct cluster *cluster,
		    json_t *request, json_t **ret, struct problem *why);

/* Nobody looks after it. */
static inline bool keepers_is_none(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* Its state ("running", ...), "" when there is no keeper; -errno. */
int keepers_state(const struct cluster *cluster, char state[32], json_t **ret_status,
		  struct problem *why);

/* Its server, to be asked as root.  *ret refers to `cluster` and to run_dir. */
void keepers_place(const struct cluster *cluster, char run_dir[PATH_MAX], struct engine_place *ret);
/* One column of one row, as text; "" without a row. */
int keepers_query(const struct cluster *cluster, const char *database, const char *sql, char *value,
		  size_t size, struct problem *why);
