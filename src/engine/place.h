/*
 * Place: what every engine does with the directories that it is told (struct engine_place).
 *
 * run_dir/ server.log   the server's own words
 *          server/      owned by the server's user: its socket and temporary files
 *          tmp          in server/
 *
 * run_dir itself belongs to the cluster's owner: a server that somebody broke into cannot replace
 * what the keeper trusts.
 */
#pragma once

#include "engine/engine.h"
#include "engine/process.h"

#include <limits.h>
#include <stdio.h>

#define PLACE_SECRET_MAX 32 /* with its NUL */

/* run_dir/`below`.  -ENAMETOOLONG. */
int place_path(const struct engine_place *place, const char *below, char *path, size_t size,
	       struct problem *why);

/* server.log and server/ with its tmp/, as a server needs them whose socket is `socket`. */
int place_prepare(const struct engine_place *place, const char *socket, struct problem *why);

/*
 * Write run_dir/`name` anew, all of it by `print`, so that nobody sees half of it.  With `secret`
 * only its owner may read it.
 */
int place_write(const struct engine_place *place, const char *name, bool secret,
		void (*print)(FILE *file, const struct engine_place *place, const void *arg),
		const void *arg, struct problem *why);

/* 144 random bits in letters that need no quoting anywhere. */
int place_make_secret(char secret[PLACE_SECRET_MAX], struct problem *why);

/* A file in memory that holds `text`, to be handed down; its descriptor. */
int place_open_text(const char *text, struct problem *why);

/* The paths can be quoted in the files and arguments that servers read. */
int place_check_paths(const struct engine_place *place, struct problem *why);
/* Each option is one line that begins with a name. */
int place_check_options(const struct engine_place *place, struct problem *why);

/*
 * Start `options->program` with `options->argv` as the server: as its user, both outputs into
 * server.log, dying with us.  The rest of `options` is the caller's.
 */
int place_launch(const struct engine_place *place, const struct process_options *options,
		 struct engine_server *ret, struct problem *why);

/* Ask it to end by a signal. */
int place_signal(struct engine_server *server, int signal);

/*
 * Wait, for minutes if need be, for a server that sets itself up and ends.  Otherwise -ECHILD, or
 * -ETIMEDOUT, in the words that `explain` finds.
 */
int place_await_setup(const struct engine_place *place, struct engine_server *server,
		      void (*explain)(const struct engine_place *, char *, size_t),
		      struct problem *why);
#define PLACE_SETUP_TIMEOUT_MS (10 * 60 * 1000) /* recovery of a large directory takes its time */

/* The end of server.log, from the last line on that has `begins` in it (where there is one).  The
 * caller frees. */
char *place_log_tail(const struct engine_place *place, const char *begins);

/*
 * The lines of `log` that tell() takes, without what it leaves out in front (it returns where the
 * words begin, or NULL), each once; where it takes none, the last three.
 */
void place_tell(const struct engine_place *place, const char *log,
		const char *(*tell)(const char *line), char *text, size_t size);

/* A copy in one block, for one free(). */
char **place_argv(const char *const *words);

/* The process that works in the directory, as servers do in theirs; 0: none that we may see. */
pid_t place_find_user(const char *dir);

/* There is a file dir/name. */
bool place_has(const char *dir, const char *name);
