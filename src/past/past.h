/*
 * Past: a throw-away server at a moment of a cluster's past.
 *
 * It runs on a clone of its own, in DIR/scratch/N/, which begins by sharing all files with the
 * cluster: making it costs the same whatever the size, and only what is looked at is read.  The
 * cluster goes on undisturbed, whether its own server runs or not.  What is written to the
 * throw-away server is gone with it.
 *
 * A keeper has to answer on the cluster's socket as long as there is one of these (see
 * talk_open()). All of it goes, files included, with past_close(), or when the process ends in
 * whatever way.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "control/cluster.h"
#include "engine/engine.h"

#include <jansson.h>

struct past;

/*
 * Returns when the server answers.  `at` is a MOMENT of docs/control.md (borrowed); NULL: now.
 * `cluster` is borrowed and must outlive the past.  The server dies with the calling thread.  The
 * caller owns *ret.
 *
 * Errors with `why`: -ECONNREFUSED or -ENOENT no keeper; -ERANGE outside the window; -ENOENT no
 * such mark; -ECHILD the server does not start on what was there, with its own words; -ENOSPC; ...
 */
int past_open(const struct cluster *cluster, const json_t *at, struct past **ret,
	      struct problem *why);

/*
 * The two halves of it, for who wants several at once: begin them all, then await each; *ret is to
 * be closed after an error of past_await(), too.
 */
int past_begin(const struct cluster *cluster, const json_t *at, struct past **ret,
	       struct problem *why);
int past_await(struct past *past, struct problem *why);

/*
 * The same at another moment, within that of past_open() and before: quicker than another past, as
 * nothing is cloned again.  What was written is gone.  After an error there is no server.
 */
int past_go(struct past *past, const json_t *at, struct problem *why);

/* NULL is fine.  Returns when the files are gone, too. */
void past_close(struct past *past);
DEFINE_CLEANUP(struct past *, past, past_close)

/* The moment that it shows. */
void past_moment(const struct past *past, struct moment *ret);
/* The server: for engine->query(), engine->shell(), or a connection of one's own to its socket.
 * Borrowed. */
const struct engine *past_engine(const struct past *past);
const struct engine_place *past_place(const struct past *past);

/*
 * The files below its data directory, without asking the server, which must have written there what
 * it has in its buffers.  -ENOENT, -ENOTDIR, or an error of the disk.
 */
struct past_file {
	uint64_t ino, size; /* another file has another number, in any past of the cluster */
};
int past_find(struct past *past, const char *path, struct past_file *ret);
/* `size` bytes; -EUCLEAN when the file has fewer. */
int past_read(struct past *past, const struct past_file *file, uint64_t offset, void *buf,
	      size_t size);
/*
 * The stretches of a file that may not be the same in two pasts of one cluster; as of
 * volume_differ().  Nobody changes the file meanwhile.
 */
int past_differ(struct past *a, struct past *b, uint64_t ino,
		int (*fn)(uint64_t offset, uint64_t size, void *arg), void *arg);
