/*
 * Keeper: the process that looks after one cluster: its volume, its mount, its server, its control
 * socket.
 *
 * It brings about what cluster.json's "desired" says, restarts a server that died (with back-off),
 * and does what it is asked on the socket (docs/control.md).  Closing down always goes server,
 * mount, volume.  The server never outlives the keeper.
 */
#pragma once

#include "base/problem.h"
#include "keeper/cluster.h"

#include <stdbool.h>

struct keeper_options {
	bool no_server; /* open and mount the volume for one command; exit after `shutdown`, or a
			   minute with nobody connected */
	/*
	 * Stay behind as a small parent that starts the keeper again, with back-off, when it died
	 * of a signal or failed.  Where a service manager does that (systemd), leave it out.
	 */
	bool guardian;
};

/*
 * The life of a keeper, in this process; logs to standard error.  Returns the process's exit code:
 * 0 after SIGTERM, SIGINT, `stop` or `shutdown`.  Called by `unspill keep [--guardian]
 * [--no-server] DIR`, before any thread exists.
 */
int keeper_run(const char *directory, const struct keeper_options *options);

/*
 * Start a keeper as a daemon of its own session: runs this program (/proc/self/exe) as
 * `unspill keep [--guardian] [--no-server] DIR`, its output to run/keeper.log.  Returns when its
 * socket answers, or the reason why it did not come up.  -EALREADY when one runs already (that is:
 * the socket answers).
 *
 * The server may still be starting then: ask for `status`, or say `start` and wait for its answer.
 */
int keeper_spawn(const struct cluster *cluster, const struct keeper_options *options,
		 struct problem *why);

/*
 * Tell a cluster's keeper to end at once, its server killed, and wait for that at most
 * `timeout_ms`. -ENOENT or -ECONNREFUSED when none listens, -ECONNRESET when it did not answer in
 * time.
 */
int keeper_dismiss(const struct cluster *cluster, int timeout_ms, struct problem *why);

/* Nothing in the cluster's directory is anybody else's (-EEXIST), nothing is mounted in it that
 * cluster_delete() would refuse, and no clone stands on its files (-EBUSY). */
int keeper_check_removable(const struct cluster *cluster, struct problem *why);

/*
 * Remove the cluster with all its files.  Its keeper is told to end, also one that comes up only
 * now, and its end is waited for.  -EBUSY when something keeps its files for 20 seconds, or as
 * cluster_delete().
 */
int keeper_remove(const struct cluster *cluster, struct problem *why);
