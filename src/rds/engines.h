/*
 * Engines: the API's names for database servers, and ours.
 *
 * "mariadb" is MariaDB, "mysql" and "aurora-mysql" are MySQL where one is installed and MariaDB
 * where none is, "postgres" and "aurora-postgresql" are PostgreSQL.
 */
#pragma once

#include "engine/engine.h"

/* The engine that the API's name stands for; NULL without one.  *ret_names (borrowed) is a list for
 * the message. */
const struct engine *engines_find(const char *api_name, const char **ret_names);
/* The API's name for a cluster of our engine of that name, whose maker did not say: "postgres". */
const char *engines_api_name(const char *engine);
/* We show and make such clusters. */
bool engines_is_served(const char *engine);

/* The version of the engine's program, found once: "10.11.14"; "" when it is not here. */
void engines_version(const char *engine, char ret[64]);
/* The number in a server's own words: "mariadbd  Ver 10.11.14-MariaDB ..." is "10.11.14". */
void engines_version_of(const char *words, char ret[64]);
