/*
 * Visit: a command's stay at a moment of a cluster's past, on a server that is thrown away with it.
 *
 * The thread that opens it has to live as long as the process: the server dies with it.
 */
#pragma once

#include "cmd/talk.h"
#include "past/past.h"

struct visit {
	struct talk talk;
	struct past *past;
	int64_t changes; /* see visit_note_changes() */
};

/*
 * The cluster that the first operand names, at the moment that --at says (now if left out). Ending;
 * visit_close() in any case.
 */
int visit_open(struct visit *ret, const struct typed *typed);
void visit_close(struct visit *visit);

/* Say so on standard error when something was changed: nobody should think that it stays. */
void visit_note_changes(struct visit *visit);

/*
 * Run the engine's client on it, with `sql` (NULL: it reads standard input) and `rest`
 * (NULL-terminated, or NULL) behind it, until it ends.  Ctrl-C is the client's.  Returns its exit
 * code as the command's, or an ending when it could not be run.
 */
int visit_run_client(struct visit *visit, const char *sql, char *const *rest);

/* The engine's client for `place`, with what is behind it; the caller frees with free(). */
char **client_arguments(const struct engine *engine, const struct engine_place *place,
			const char *sql, char *const *rest);
