/*
 * Inside the cluster module: cluster.c settings and list, cluster_make.c making and removing,
 * cluster_port.c the port.
 */
#pragma once

#include "engine/engine.h"
#include "keeper/cluster.h"

/* The entry of `name` in the list, whether it is there or not; `make` the list itself if missing.
 */
int cluster_entry(const char *name, bool make, char path[PATH_MAX], struct problem *why);

/* Fill in cluster->port for cluster->bind: what `options` ask for, or one that is free.  -EINVAL,
 * -EADDRINUSE. */
int cluster_choose_port(const struct cluster_options *options, const struct engine *engine,
			struct cluster *cluster, struct problem *why);
