/*
 * Cluster: making one, and removing it.  What it is, is in control/cluster.h.
 */
#pragma once

#include "control/cluster.h"

struct cluster_options {
	const char *name;
	const char *engine;    /* NULL: ENGINE_DEFAULT */
	const char *directory; /* NULL: $UNSPILL_HOME/NAME; else made if missing, must be empty */
	const char *bind;      /* NULL: 127.0.0.1 */
	int port; /* 0: the engine's default port, or the first free one above it that no cluster
		     has */
	int64_t window_us; /* target backtrack window; 0: off */
	enum transport transport;
	const char *const *server_options; /* NULL-terminated; may be NULL */
	/*
	 * To be a clone of that one: what is not said above is as there, and there is no volume
	 * yet: its keeper makes it.  With `thin` it is to stay attached.
	 */
	const struct cluster *clone_of;
	bool thin;
};

/*
 * Make a new cluster: its directory, an empty volume, cluster.json (desired: stopped) and its entry
 * in the list; no process.  What fails leaves nothing behind.  The caller owns *ret.
 *
 * Errors with `why`: -EINVAL a name, bind address or port that cannot be; -EEXIST the name is
 * taken; -ENOTEMPTY the directory is not empty; -EADDRINUSE the port is taken; -ENAMETOOLONG the
 * directory's path is too long for sockets; -ENOENT engine unknown or its package not installed;
 * ...
 */
int cluster_make(const struct cluster_options *options, struct cluster **ret, struct problem *why);

/*
 * The clone has its volume, which is a copy of the parent's: see to it that its server lets us in
 * as the parent's does.
 */
int cluster_inherit(const struct cluster *clone, const struct cluster *parent, struct problem *why);

/*
 * Remove everything: what we put into the directory, the directory unless it was not empty of other
 * things, the entry. -EBUSY when a keeper runs or something of ours is still mounted: `shutdown`
 * first; -EEXIST when something else is.
 */
int cluster_delete(const struct cluster *cluster, struct problem *why);

/* -EEXIST when something is mounted in the directory that is nobody's of ours. */
int cluster_check_mounts(const struct cluster *cluster, struct problem *why);

/* Remove the entry of a cluster that cannot be loaded (its directory is gone).  -ENOENT. */
int cluster_forget(const char *name, struct problem *why);
