/*
 * Relay: the CLI's conversation with a keeper, through `serve`.
 *
 * What is said passes unchanged both ways, so that a command prints the same whether serve runs or
 * not; serve hears what was asked, by whom, and what came of it.  A client says {"do": "relay",
 * "cluster": NAME} first; what follows is the keeper's protocol (docs/control.md).  Who connects is
 * who serve runs as, or root: to the keeper, a relay is serve itself.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"
#include "control/request.h"
#include "control/server.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct relay;

/* One request, heard twice: when it is passed on, and when it is answered.  Borrowed. */
struct relay_heard {
	const char *cluster;
	const char *what; /* "backtrack" */
	uid_t uid;        /* who asked */
	bool answered;
	bool ok;             /* once answered */
	const char *message; /* the keeper's words when it was refused or failed; NULL otherwise */
};

struct relay_options {
	const char *path; /* of the socket; replaced when it is there */
	/* Called in the connection's thread, or in that of its answers.  May be NULL. */
	void (*hear)(const struct relay_heard *heard, void *arg);
	/*
	 * A request for serve itself ("jobs", "cancel"): 0 with *ret the result, which is then the
	 * relay's; -ENOENT, -EALREADY, -EPERM, ... with `why`.  NULL: serve answers nothing itself.
	 */
	int (*answer)(const struct request *request, json_t **ret, struct problem *why, void *arg);
	/* A command that is done as a job ("job"): likewise, once it has ended; `connection` is
	 * told how it goes.  NULL: there are none. */
	int (*work)(struct connection *connection, const struct request *request, json_t **ret,
		    struct problem *why, void *arg);
	void *arg;
};

int relay_open(const struct relay_options *options, struct relay **ret, struct problem *why);
/* Ends all conversations; what can be cancelled in them is, by the keepers. */
void relay_close(struct relay *relay);
DEFINE_CLEANUP(struct relay *, relay, relay_close)
