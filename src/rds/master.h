/*
 * Master: the user that a call's MasterUsername and MasterUserPassword make in a server.
 *
 * A password is turned at once into what the server keeps of it: nothing that we store or log has
 * it.
 */
#pragma once

#include "control/cluster.h"
#include "engine/engine.h"

#define MASTER_VERIFIER_SIZE 256

/* NULL, or what is wrong with it, as the API words it. */
const char *master_check_name(const struct engine *engine, const char *name);
const char *master_check_password(const char *password);
/* Of the first database: letters, digits and '_', a letter first, at most 63. */
const char *master_check_database(const char *name);

/* What the server of that engine keeps of a password. */
int master_verifier(const struct engine *engine, const char *password,
		    char ret[MASTER_VERIFIER_SIZE], struct problem *why);

/* Make the user, or give it the password where it is there already. */
int master_make(const struct cluster *cluster, const char *name, const char *verifier,
		struct problem *why);
/* Make the database, the user's, where it is not there already. */
int master_make_database(const struct cluster *cluster, const char *database, const char *user,
			 struct problem *why);
