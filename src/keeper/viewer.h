/*
 * Viewer: a process that shows one moment of a cluster that has no keeper, on a clone of its own.
 *
 *	DIR/scratch/N/volume		the clone; whoever has its lock is the viewer
 *	DIR/scratch/N/run/views.json	the directory that shows it; see views.h
 *	DIR/scratch/N/sock		answers views, unview and shutdown
 *
 * Whoever has the cluster's volume makes the clone, and then goes on as if there were none: it may
 * end, and another one come.  A viewer that was killed is cleared away by the next command that
 * meets it: viewer_sweep().
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "control/cluster.h"

#include <jansson.h>

struct viewer;

/*
 * Show the moment `at` (of docs/control.md, borrowed) on `directory`; as views_open().  Somebody
 * has to answer on the cluster's socket meanwhile, and not afterwards.  From here on SIGTERM,
 * SIGINT and SIGHUP are blocked in this thread and its children.  The caller owns *ret.
 */
int viewer_open(const struct cluster *cluster, const json_t *at, const char *directory,
		struct viewer **ret, struct problem *why);
/* What it shows, as `view` is answered; the caller owns it. */
json_t *viewer_shown(struct viewer *viewer);
/* Until a signal or a request ends it. */
void viewer_serve(struct viewer *viewer);
/* Nothing is left of it; then whoever asked for that is answered.  NULL is fine. */
void viewer_close(struct viewer *viewer);
DEFINE_CLEANUP(struct viewer *, viewer, viewer_close)

/*
 * Run this program with `argv` (NULL at its end) in a session of its own, until it says that it is
 * there: 0; or ends: its exit code.  -ECANCELED when a signal ended us meanwhile: then it has
 * ended, and nothing is left of it.
 */
int viewer_spawn(const char *const *argv, struct problem *why);
/* In what was run so: it is there.  From now on its words go to run/viewer.log.  Nothing happens
 * where nobody waits. */
void viewer_settle(const struct cluster *cluster);

/* The socket of each that lives, until `fn` returns non-zero, and return that. */
int viewer_for_each(const struct cluster *cluster, int (*fn)(const char *socket, void *arg),
		    void *arg);
/* Clear away those that were killed; was one of them on `directory` (NULL: never mind)? */
bool viewer_sweep(const struct cluster *cluster, const char *directory);
/* End all, whoever uses them. */
void viewer_end_all(const struct cluster *cluster);
