/* Life: what jobs do to bring a cluster up, down or away.  Each is safe to begin again. */
#pragma once

#include "jobs/jobs.h"

/* Pause before another attempt: -ECANCELED when the job is cancelled, -EINTR when we are stopping.
 */
int life_wait(struct job *job, struct problem *why);
/* A keeper that stays looks after the job's cluster; one that was there for a command is sent
 * away. -EPERM when that one shows views. */
int life_spawn(struct job *job, struct problem *why);
/* As that, and its server answers. */
int life_bring_up(struct job *job, struct problem *why);
/* The cluster, whole or half made, is gone with all its files and its keeper. */
int life_remove(const char *name, struct problem *why);
