/*
 * MariaDB: the facts and steps of its server, behind engine.h.
 *
 * run_dir/ my.cnf       written at each start; owned by the cluster's owner, readable
 *          client.cnf   root's password; mode 0600
 *          server.log   the server's own words
 *          server/      owned by the server's user: sock, pid, tmp/
 *
 * run_dir itself belongs to the owner: a server that somebody broke into cannot replace what the
 * keeper trusts.
 */
#pragma once

#include "engine/engine.h"

#include <limits.h>

#define MARIADB_SECRET_MAX 32 /* with its NUL */

extern const struct engine engine_mariadb;

/* mariadb_setup.c */
int mariadb_create(const struct engine_place *place, struct problem *why);
int mariadb_inspect(const char *dir, struct problem *why);
int mariadb_adopt(const struct engine_place *place, struct problem *why);

/* run_dir/`below`.  -ENAMETOOLONG. */
int mariadb_path(const struct engine_place *place, const char *below, char *path, size_t size,
		 struct problem *why);
/* server.log and server/ with its tmp/, as the server needs them. */
int mariadb_prepare_run_dir(const struct engine_place *place, struct problem *why);
/* run_dir/my.cnf; `setup` leaves TCP out. */
int mariadb_write_config(const struct engine_place *place, bool setup, struct problem *why);
/* Start mariadbd on my.cnf with up to two more arguments; `keep_fd` as in process.h. */
int mariadb_launch(const struct engine_place *place, const char *more, int keep_fd,
		   struct engine_server *ret, struct problem *why);
/* engine.h's explain(). */
void mariadb_explain(const struct engine_place *place, char *text, size_t size);
