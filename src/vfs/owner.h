/*
 * Owner: this process, as the one that has a volume open, and the databases in it that it has
 * connections to.
 *
 * The first connection opens the volume, the last one to go closes it.  While it is open, the
 * control socket of its cluster is served (docs/control.md).  A process made by fork(2) owns
 * nothing: what it inherited is not to be used, and is refused.
 *
 *	path of a database      ->  struct database  ->  struct owner  ->  volume
 *	"/srv/notes/app.db"         "app.db"             "/srv/notes"
 *
 * Locks: `opening` (whole openings and closings), `registry` (the lists), each owner's gate; then
 * the volume's.
 */
#pragma once

#include "control/clones.h"
#include "control/cluster.h"
#include "control/server.h"
#include "disk/disk.h"
#include "vfs/locks.h"
#include "vfs/store.h"

#include <limits.h>

/* Bytes of a path that SQLite hands us. */
#define OWNER_PATH_MAX 1024

struct owner {
	struct owner *next;       /* registry */
	char directory[PATH_MAX]; /* the cluster's, or that of a volume alone; without symbolic
				     links */
	struct cluster *cluster;  /* NULL: a volume alone */
	struct disk *disk;
	struct volume *volume;
	struct store *head;
	struct server *server; /* NULL: a volume alone */
	struct clones clones;  /* those that share the base of this volume */
	unsigned users;        /* opening */
	bool closing;          /* opening: somebody is closing the server, and looks again */
	struct gate gate;
	uint64_t generation;        /* of the head: how often it was moved; atomic */
	pthread_mutex_t work;       /* one backtrack at a time */
	struct database *databases; /* registry */
	int64_t opened_us;
	bool foreign; /* inherited through fork(2); atomic */
};

struct database {
	struct database *next; /* registry */
	struct owner *owner;
	char **paths; /* by which SQLite knows it; registry */
	size_t path_count, path_room;
	char name[VOLUME_NAME_MAX + 1]; /* of its file in the store */
	struct store *store;            /* the owner's head, or a past of its own */
	struct locks locks;
	unsigned users;  /* registry */
	uint64_t broken; /* generation from which on older connections are refused; atomic */
};

/*
 * The directory of the volume that a path is in: `volume` is what the URI says ("notes", "/srv/x"),
 * or NULL: the path's own directory, or $UNSPILL_VOLUME.  -ENOENT with `why`.
 */
int owner_find_directory(const char *path, const char *volume, char directory[PATH_MAX],
			 struct problem *why);

/* Open the volume in `directory`, or use the one that is open.  -EBUSY with who has it. */
int owner_get(const char *directory, struct owner **ret, struct problem *why);
/* The same of a volume that is open already, on `disk`; both are closed with the owner.  For tests:
 * there is no socket. */
struct owner *owner_adopt(const char *directory, struct disk *disk, struct volume *volume);
void owner_put(struct owner *owner);
DEFINE_CLEANUP(struct owner *, owner, owner_put)

/*
 * The database that SQLite knows by `path`, in that volume (borrowed; a reference is taken).
 * "NAME@MOMENT" is NAME at a moment of the past.  -EEXIST: the path stands for another volume's.
 */
int database_get(struct owner *owner, const char *path, struct database **ret, struct problem *why);
void database_ref(struct database *database);
void database_put(struct database *database);

/*
 * The open database that `path` is, or belongs to as journal, WAL or super-journal; the rest of the
 * name in *ret_suffix ("", "-journal", ...).  NULL when it is in no volume that is open.  Call
 * database_put().
 */
struct database *database_of(const char *path, const char **ret_suffix);

/* Is the path in a volume that this process does not have open? */
bool owner_is_elsewhere(const char *path);

/* In bytes of a name in the store. */
#define STORE_NAME_MAX (VOLUME_NAME_MAX + 64)

/* Was it open in the process that made this one by fork(2)? */
bool owner_is_foreign(struct owner *owner);

/* For each open database, until `fn` says other than 0, and return that. */
int owner_for_each_database(struct owner *owner, int (*fn)(struct database *database, void *arg),
			    void *arg);

/* A name in the store: the database's and `suffix`. */
void database_file_name(const struct database *database, const char *suffix,
			char name[STORE_NAME_MAX]);
