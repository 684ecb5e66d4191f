/*
 * Serve: the control plane in one process: state, identity, clusters, and the front door.
 *
 * One per state directory ($UNSPILL_HOME/.serve).  The keepers are processes of their own: they do
 * not notice when serve comes, goes or is killed.
 */
#pragma once

#include "base/problem.h"
#include "identity/identity.h"

#include <stdbool.h>

/* What the command line says; it goes before the settings file. */
struct serve_options {
	const char *listen, *tls_certificate, *tls_key, *region; /* NULL: not said */
	bool test_reset;
	/*
	 * Called once requests are answered; `first` is the new account and its root's key when
	 * this is the first start, NULL otherwise: nothing else ever tells that secret.
	 */
	void (*ready)(const char *url, const char *region, const struct identity_first *first,
		      void *arg);
	/* Called on SIGHUP, for whoever has the log in a file.  May be NULL. */
	void (*reopen_log)(void *arg);
	void *arg;
};

/*
 * Serve until SIGTERM or SIGINT, then answer what has begun, and return 0.  SIGHUP reads settings
 * and certificate again.  Logs to standard error.  -EBUSY when another one serves that directory,
 * -EADDRINUSE, -EINVAL for what does not fit together, -EBADMSG for a file that is not what it
 * should be.  Call it before any thread exists.
 */
int serve_run(const struct serve_options *options, struct problem *why);

/* Each operation that is answered, by the names of the published models: "rds",
 * "BacktrackDBCluster". */
void serve_operations(void (*tell)(const char *service, const char *operation, void *arg),
		      void *arg);
