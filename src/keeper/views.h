/*
 * Views: moments of the volume, each mounted read-only on a directory of its user, beside the head.
 *
 * They end with the process.  What one that was killed has left mounted is known from a file, and
 * cleared away by whoever comes next.
 *
 * All functions may be called from any thread.
 */
#pragma once

#include "base/cleanup.h"
#include "control/scratch.h"
#include "mount/mount.h"

/* The file that remembers them, in the cluster's directory. */
#define VIEWS_FILE SCRATCH_SHOWN

/* Of one keeper; each has some threads. */
#define VIEWS_MAX 64

struct views;

struct views_options {
	struct volume *volume;
	const char *name;         /* of the cluster: in the mount table */
	const char *list_path;    /* the file that remembers them */
	const struct mount *head; /* what is the volume's own: no place for a view; may be NULL */
};

/* What is in the options is borrowed and must outlive the views. */
struct views *views_new(const struct views_options *options);
/* Ends them all, lazily where somebody uses them.  NULL is fine. */
void views_free(struct views *views);
DEFINE_CLEANUP(struct views *, views, views_free)

/*
 * Clear away what a dead process left mounted, by its file `list_path`.  With the volume's lock
 * held, or where nobody can have it.
 */
void views_sweep(const char *list_path);

/* The file `list_path` says that a view is, or was, on `directory`. */
bool views_remembers(const char *list_path, const char *directory);

struct view_shown {
	const char *directory;
	struct moment moment;
	int64_t since_us;
};

/*
 * Show `at` on `directory`, absolute and without symbolic links, which exists, is empty, and lies
 * neither in the volume nor in another view.  *ret->directory is `directory`.
 *
 * -EEXIST: a view is there, -ENOTDIR, -ENOTEMPTY, -ENOENT, -EBUSY, -ERANGE, -EMFILE, ... with
 * `why`.
 */
int views_open(struct views *views, const struct moment *at, const char *directory,
	       struct view_shown *ret, struct problem *why);

/* End the one on `directory`.  -ENOENT; -EBUSY when somebody uses it, unless `force`. */
int views_end(struct views *views, const char *directory, bool force, struct problem *why);

/* In the order in which they were opened, until `fn` returns non-zero. */
void views_for_each(struct views *views, int (*fn)(const struct view_shown *view, void *arg),
		    void *arg);
unsigned views_count(struct views *views);
