/*
 * Inside: what is different about SQLite's clusters, which have no server: the volume is inside of
 * whatever program has the database open, and of `unspill` itself when none has.
 */
#pragma once

#include "cmd/talk.h"
#include "vfs/owner.h"

/* The command's first operand names a cluster of SQLite's.  (If there is none of that name, no.) */
bool inside_is(const struct typed *typed);

/* Have the volume of talk->cluster in this process, which answers on its socket until
 * inside_close().  Ending. */
int inside_open(struct talk *talk);
void inside_close(struct talk *talk);

/* Fill the cluster that was just made: with the database file `source`, or nothing (NULL). -errno
 * with `why`. */
int inside_fill(struct cluster *cluster, const char *source, struct progress *progress,
		struct problem *why);
/* `source` is a database file: -ENOENT, -EINVAL, ... */
int inside_check_source(const char *source, struct problem *why);

/* `shell` and `query`, as of now or of --at. Ending, or the client's own. */
int inside_shell(const struct typed *typed);
int inside_query(const struct typed *typed);

/* "there is no server to start": END_USAGE. */
int inside_has_no_server(const struct typed *typed);
