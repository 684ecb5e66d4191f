/*
 * MariaDB: the facts and steps of its server, behind engine.h.
 *
 * run_dir/ my.cnf       written at each start; owned by the cluster's owner, readable
 *          client.cnf   root's password; mode 0600
 *          server/      sock, pid
 */
#pragma once

#include "engine/engine.h"

extern const struct engine engine_mariadb;

/* mariadb_setup.c */
int mariadb_create(const struct engine_place *place, struct problem *why);
int mariadb_inspect(const char *dir, struct problem *why);
int mariadb_adopt(const struct engine_place *place, struct problem *why);

int mariadb_inherit(const struct engine_place *place, const char *run_dir, struct problem *why);

/* run_dir/my.cnf; `setup` leaves TCP out. */
int mariadb_write_config(const struct engine_place *place, bool setup, struct problem *why);
/* Start mariadbd on my.cnf with one more argument, or NULL; `keep_fd` as in process.h. */
int mariadb_launch(const struct engine_place *place, const char *more, int keep_fd,
		   struct engine_server *ret, struct problem *why);
/* engine.h's explain(). */
void mariadb_explain(const struct engine_place *place, char *text, size_t size);
