/*
 * Engine: how each database server is created, started, asked, stopped and killed.
 *
 * One small file of facts and steps per engine (mariadb.c), behind this interface; adding an engine
 * touches nothing else but the list in engine.c and meson.build.  An engine knows nothing of
 * volumes: it is told directories.  What a rewind must not touch (error log, socket, pid, password,
 * temporary tables) lives in `run_dir`, outside the volume.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct engine_place {
	const char *data_dir; /* inside the volume's mount */
	const char *run_dir;  /* outside it: socket, error log, tmp/, secrets */
	const char *bind;     /* address; "127.0.0.1" by default */
	int port;             /* TCP; 0: none */
	uid_t uid;            /* the server runs as */
	gid_t gid;
	char *const *options; /* extra options for the server, "name=value", NULL-terminated; may be
				 NULL */
	/* The server is thrown away soon: little memory, nothing durable, and nothing that runs by
	 * itself: no events, no replication. */
	bool fleeting;
};

struct engine_column {
	const char *name;
	bool number; /* its values are numbers, written as JSON writes them */
};

/* Where a query is asked, and who gets what it answers; all is borrowed for the length of the call.
 * A callback returns 0, or -errno to stop. */
struct engine_answer {
	const char *database; /* of several; NULL: the one that root comes into, or none */
	/* A statement has rows, of these columns. */
	int (*columns)(const struct engine_column *columns, unsigned count, void *arg);
	/* One of them, as text; NULL is NULL. */
	int (*row)(const char *const *values, const size_t *sizes, unsigned count, void *arg);
	void *arg;
};

/* A server process that we started. */
struct engine_server {
	pid_t pid;
	/* Readable when the process has ended (pidfd_open(2)). */
	int pidfd;
	int family; /* see family.h; 0: it has no children */
	int quit;   /* see process.h */
};

struct engine {
	const char *name;  /* "mariadb" */
	const char *title; /* "MariaDB" */
	const char *user;  /* system user that the server runs as when we are root: "mysql" */
	int default_port;
	const char *socket; /* where local clients connect, below run_dir: "server/sock" */
	const char
		*secret; /* root's password, below run_dir: "client.cnf"; NULL: root needs none */
	/* The client's option that runs what follows and ends: "-e"; NULL: the words themselves are
	 * the command. */
	const char *execute;
	const char *choose; /* likewise: in which database; "--dbname=".  NULL: it has one only */
	/*
	 * What it needs of the mount (mount_options).  `direct`: its pages have to arrive whole,
	 * and it writes them through the kernel's cache.  `inward`: it can be told to keep data
	 * elsewhere, behind symbolic links.
	 */
	bool direct, inward;
	/* Names in the data directory that tell of a running server and mean nothing elsewhere;
	 * NULL-terminated, or NULL. */
	const char *const *transient;

	/* The server's program is here and new enough; `version` gets its own words.  -ENOENT with
	 * the package to install. */
	int (*check)(char version[128], struct problem *why);
	/*
	 * Make a new data directory in the empty `data_dir`.  Root has a random password, left in
	 * run_dir/`secret`, readable by its owner only; or none, and then comes in by the socket
	 * only, as the cluster's owner.
	 */
	int (*create)(const struct engine_place *place, struct problem *why);
	/*
	 * `dir` is a data directory that can be taken over: of this engine, of a version we can
	 * start, whole, and not in use by a running server.  Reads only.
	 */
	int (*inspect)(const char *dir, struct problem *why);
	/*
	 * Settle in a data directory copied from elsewhere (import): check that it is one, of a
	 * version we can start, cleanly shut down or recoverable; make sure that we are let in.
	 */
	int (*adopt)(const struct engine_place *place, struct problem *why);
	/*
	 * Start; returns as soon as the process runs.  It dies with the calling *thread*, which
	 * therefore has to live as long as the process.  Must not touch data_dir itself: the caller
	 * serves the mount that it is in.  Nor may what follows, but shell().
	 */
	int (*start)(const struct engine_place *place, struct engine_server *ret,
		     struct problem *why);
	/*
	 * One harmless query as root: 0 when answered, -EAGAIN when not yet, -EACCES when the
	 * server is up but does not let us in (somebody changed root's password).  Cheap enough to
	 * call every few milliseconds.
	 */
	int (*ping)(const struct engine_place *place, struct problem *why);
	/* Clients connected now, ourselves not counted. */
	int (*connections)(const struct engine_place *place);
	/* Ask for a clean shutdown, without waiting for clients; the caller waits for the process
	 * to end. */
	int (*stop)(const struct engine_place *place, struct engine_server *server);
	/*
	 * The data is a copy of that of the server whose run_dir is the other one: see to it that
	 * we are let in as we are there.  NULL: nothing has to be done for that.
	 */
	int (*inherit)(const struct engine_place *place, const char *run_dir, struct problem *why);
	/*
	 * Run `sql`, one statement or several, as root.  -EINVAL when the server refuses one, with
	 * its words; -ENOENT when there is no such database; what `answer` returned; ...  Any time
	 * it takes.  NULL: its client is the only way to ask.
	 */
	int (*query)(const struct engine_place *place, const char *sql,
		     const struct engine_answer *answer, struct problem *why);
	/* A number that grows when a client changes something; -errno when it cannot be told. NULL:
	 * never. */
	int64_t (*changes)(const struct engine_place *place);
	/* The argument vector of the interactive client as root (NULL-terminated, the caller frees
	 * with free()). */
	char **(*shell)(const struct engine_place *place);
	/* The last lines of the server's log that tell why it did not come up or went away. */
	void (*explain)(const struct engine_place *place, char *text, size_t size);
};

#define ENGINE_DEFAULT "mariadb"

/* NULL when there is none of that name; *ret_names (borrowed) is a list for the message. */
const struct engine *engine_find(const char *name, const char **ret_names);
/* The i-th of them, in the order of that list; NULL behind the last. */
const struct engine *engine_at(size_t i);

/* Wait at most `timeout_ms` for the process to end; 0, or -ETIMEDOUT.  Reaps it, and ends its
 * children. */
int engine_wait(struct engine_server *server, int timeout_ms, int *ret_status);
/* SIGKILL, and wait until it is gone, its children, too.  Nothing happens when `server->pid` is 0;
 * it is afterwards. */
void engine_kill(struct engine_server *server);

/* Who the servers run as: `user` (a name) when we are root, else ourselves.  -ENOENT when there is
 * no such user. */
int engine_user(const struct engine *engine, uid_t *ret_uid, gid_t *ret_gid, struct problem *why);
