/*
 * Cluster: the directory of one cluster, its settings, and the list of all clusters.
 *
 * docs/control.md has the layout.  The list is a directory, $UNSPILL_HOME: one entry per cluster,
 * the cluster's directory itself or a symbolic link to it.  cluster.json is replaced atomically:
 * whoever reads it sees the old settings or the new ones.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "base/transport.h"
#include "volume/volume.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CLUSTER_FORMAT 1
#define CLUSTER_NAME_MAX 63
#define CLUSTER_SERVER_OPTIONS_MAX 64
#define CLUSTER_DIRECTORY_MODE 0711 /* the server's user passes through, nobody lists */

struct cluster {
	char name[CLUSTER_NAME_MAX + 1];
	char engine[32];
	char bind[64];
	int port;
	uid_t server_uid; /* the server runs as */
	gid_t server_gid;
	int64_t created_us;
	bool desired_running;     /* "desired": what the keeper brings about when it starts */
	char **server_options;    /* extra options for the server, "name=value"; NULL-terminated, or
				     NULL */
	bool repack;              /* old history is packed in the background */
	enum transport transport; /* what is to carry the mount's requests */
	char parent[CLUSTER_NAME_MAX + 1]; /* it was cloned from; "" if it was not */
	bool thin;                         /* it stays attached to that */
	uint64_t detach_rate; /* else copies so many bytes per second; 0: any default */
	/*
	 * Where the database begins: nothing before it is a state to go back to.  {0, 0} until it
	 * has been created or imported.
	 */
	struct moment first;
	char directory[PATH_MAX]; /* absolute, without symbolic links; not in cluster.json */
	uid_t owner; /* of the directory: who may speak to the keeper; not in cluster.json */
};

/* Of the engine that has no server: the volume is inside of a program (vfs/). */
#define CLUSTER_INSIDE "sqlite"
bool cluster_is_inside(const struct cluster *cluster);

void cluster_free(struct cluster *cluster);
DEFINE_CLEANUP(struct cluster *, cluster, cluster_free)

/* By name, from the list.  -ENOENT (`why` names the clusters there are).  The caller owns *ret. */
int cluster_find(const char *name, struct cluster **ret, struct problem *why);
/* By directory.  -ENOENT, -EBADMSG, -EPROTONOSUPPORT, ... */
int cluster_load(const char *directory, struct cluster **ret, struct problem *why);
/* Write cluster.json so that after any crash it is the old one or the new one; durable on return.
 */
int cluster_save(const struct cluster *cluster, struct problem *why);

/*
 * Call `fn` for each entry of the list, sorted by name, until it returns non-zero, and return that.
 * `cluster` is borrowed, or NULL when it could not be loaded: `why` then says what is wrong with
 * it.
 */
int cluster_for_each(int (*fn)(const char *name, const struct cluster *cluster,
			       const struct problem *why, void *arg),
		     void *arg, struct problem *why);

/* DIR/`below`; false when it does not fit (then path is ""). */
bool cluster_path(const struct cluster *cluster, const char *below, char path[PATH_MAX]);

/* $UNSPILL_HOME, or its default; made (0755) if missing when `make`. */
int cluster_home(bool make, char path[PATH_MAX], struct problem *why);

/* Letters, digits, '-' and '_', a letter first, at most CLUSTER_NAME_MAX.  -EINVAL. */
int cluster_check_name(const char *name, struct problem *why);

/* The entry of `name` in the list, whether it is there or not; `make` the list itself if missing.
 */
int cluster_entry(const char *name, bool make, char path[PATH_MAX], struct problem *why);

/*
 * $UNSPILL_HOME/.serve/`below`: what `unspill serve` keeps beside the clusters, none of which can
 * have that name.  -ENAMETOOLONG.
 */
int cluster_serve_path(const char *below, char path[PATH_MAX], struct problem *why);

/* The cluster's control socket: DIR/run/control.sock. */
void cluster_socket(const struct cluster *cluster, char path[PATH_MAX]);
