/*
 * MySQL family: what MariaDB and MySQL have in common, which is nearly all.
 *
 * run_dir/ my.cnf       written at each start; owned by the cluster's owner, readable
 *          client.cnf   root's password; mode 0600
 *          server/      sock, pid
 */
#pragma once

#include "engine/engine.h"
#include "engine/place.h"

#define MYSQL_FAMILY_SOCKET "server/sock"
#define MYSQL_FAMILY_SECRET "client.cnf"

struct mysql_family {
	const char *program; /* the server, and its group in the option file */
	const char *client;
	const char *package; /* "MariaDB (Debian: apt-get install mariadb-server)" */
	const char *chosen;  /* lines of its own in the option file: what may be chosen */
	const char *musts;   /* what must be so */
};

/* The server's program.  -ENOENT with the package to install. */
int mysql_family_find(const struct mysql_family *family, char path[PATH_MAX], struct problem *why);
/* Its own words for its version, "10.11.14-MariaDB-0+deb12u2", and what they begin with. */
int mysql_family_version(const struct mysql_family *family, char version[128], int *ret_major,
			 int *ret_minor, struct problem *why);

/* run_dir/my.cnf; `setup` leaves TCP out. */
int mysql_family_write_config(const struct mysql_family *family, const struct engine_place *place,
			      bool setup, struct problem *why);
/* Start the server on my.cnf with one more argument, or NULL; `keep_fd` as in process.h. */
int mysql_family_launch(const struct mysql_family *family, const struct engine_place *place,
			const char *more, int keep_fd, struct engine_server *ret,
			struct problem *why);
/* A new password, left where root's client finds it. */
int mysql_family_give_password(const struct engine_place *place, char secret[PLACE_SECRET_MAX],
			       struct problem *why);

/* Of inspect(): a server holds its lock; tables lie outside, in `depth` more levels of folders. */
int mysql_family_check_not_in_use(const char *dir, struct problem *why);
int mysql_family_check_no_outside_tables(const char *dir, int depth, struct problem *why);

/* One number. */
int64_t mysql_family_count(const struct engine_place *place, const char *sql);

/* As in engine.h. */
int mysql_family_start(const struct mysql_family *family, const struct engine_place *place,
		       struct engine_server *ret, struct problem *why);
int mysql_family_adopt(const struct mysql_family *family, const struct engine_place *place,
		       struct problem *why);
int mysql_family_inherit(const struct engine_place *place, const char *run_dir,
			 struct problem *why);
int mysql_family_stop(const struct engine_place *place, struct engine_server *server);
int mysql_family_ping(const struct engine_place *place, struct problem *why);
int mysql_family_connections(const struct engine_place *place);
int mysql_family_query(const struct engine_place *place, const char *sql,
		       const struct engine_answer *answer, struct problem *why);
char **mysql_family_shell(const struct mysql_family *family, const struct engine_place *place);
void mysql_family_explain(const struct engine_place *place, char *text, size_t size);
