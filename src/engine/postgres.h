/*
 * PostgreSQL: the facts and steps of its server, behind engine.h.
 *
 * run_dir/ postgresql.conf   written at each start: what may be chosen.  What must be so comes as
 *                            arguments, which win over ALTER SYSTEM
 *          pg_hba.conf       who may come in, and pg_ident.conf, whose OS users are whose roles
 *          server/           .s.PGSQL.PORT; .s.PGSQL.5432 leads to it, so that its name is fixed
 *
 * Root is the role "postgres".  It has no password: the cluster's owner, root and the server's user
 * come in as it by the socket, where the kernel says who they are.
 */
#pragma once

#include "engine/engine.h"

extern const struct engine engine_postgres;

/* postgres_setup.c */
int postgres_create(const struct engine_place *place, struct problem *why);
int postgres_inspect(const char *dir, struct problem *why);
int postgres_adopt(const struct engine_place *place, struct problem *why);

/*
 * A program of major version `major` (0: the newest that is here): as Debian installs it, else the
 * one in $PATH, whatever its version.  False when there is none.
 */
bool postgres_program(const char *name, int major, char *path, size_t size);

/* The major version, 15, of a data directory; 0 when its PG_VERSION tells none. */
int postgres_directory_version(const char *dir);

/* Its files in run_dir; false leaves TCP out. */
int postgres_write_config(const struct engine_place *place, struct problem *why);

/* The settings that must be so, as arguments "-c", "name=value", ... */
#define POSTGRES_ARGUMENTS_MAX 96
struct postgres_arguments {
	const char *words[POSTGRES_ARGUMENTS_MAX]; /* NULL-terminated; point to what follows */
	size_t count;
	char text[16 * 1024];
	size_t used;
};
void postgres_add(struct postgres_arguments *arguments, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void postgres_add_settings(struct postgres_arguments *arguments, const struct engine_place *place);

/* engine.h's explain(). */
void postgres_explain(const struct engine_place *place, char *text, size_t size);
