/*
 * Inside the cluster module: cluster_make.c making and removing,
 * cluster_port.c the port.
 */
#pragma once

#include "engine/engine.h"
#include "keeper/cluster.h"

/* Fill in cluster->port for cluster->bind: what `options` ask for, or one that is free.  -EINVAL,
 * -EADDRINUSE. */
int cluster_choose_port(const struct cluster_options *options, const struct engine *engine,
			struct cluster *cluster, struct problem *why);
