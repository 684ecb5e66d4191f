/*
 * Make: a new cluster, for `create` and `import`.
 *
 * Everything is checked before anything is done; whatever fails, or is interrupted, leaves nothing
 * behind.
 */
#pragma once

#include "cmd/talk.h"

/* The options that both have. */
#define MAKE_OPTIONS                                                                               \
	{"engine", .argument = "ENGINE",                                                           \
	 .text = "The database server: mariadb, which is the default, postgresql, mysql or "       \
		 "redis; or sqlite, which has none."},                                             \
		{"backtrack-window", .argument = "DURATION",                                       \
		 .text = "How far back the cluster can be put, such as 72h or 1d12h; 0 or off "    \
			 "keeps no past. 24h if left "                                             \
			 "out."},                                                                  \
		{"dir", .argument = "DIR",                                                         \
		 .text = "The cluster's directory; new, or empty. $UNSPILL_HOME/NAME if left "     \
			 "out."},                                                                  \
		{"port", .argument = "N",                                                          \
		 .text = "The TCP port. If left out, the engine's own (3306), or the next that "   \
			 "is free."},                                                              \
		{"bind", .argument = "ADDRESS",                                                    \
		 .text = "The address to listen on; 127.0.0.1 if left out."},                      \
		{"transport", .argument = "NAME",                                                  \
		 .text = "What carries the requests of the filesystem: auto, classic (/dev/fuse) " \
			 "or io_uring; see 'unspill doctor'. auto if left out."},                  \
	{                                                                                          \
		"server-option", .argument = "NAME=VALUE", .repeatable = true,                     \
				 .text = "An option for the server's configuration file, such as " \
					 "innodb-buffer-pool-size=2G. May be given "               \
					 "several times."                                          \
	}

/* --port; 0 when it was not given.  Ending. */
int make_parse_port(const struct typed *typed, int *ret);
/* Others than this process are told of it, to whom a relative path means something else. */
void make_absolute(const char *path, char ret[PATH_MAX]);
/* A cluster that was half made is taken away again, with its keeper. */
void make_take_back(const struct typed *typed, struct progress *progress, struct talk *talk);

/* `source`: the data directory to import, or NULL for a new database.  Ending. */
int make_cluster(const struct typed *typed, const char *source);
