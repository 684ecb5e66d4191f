/*
 * Control: the conversation between `unspill` and a keeper, one JSON object per line over a Unix
 * socket.
 *
 * docs/control.md is the protocol, version by version.  A request is {"unspill": 1, "do": NAME,
 * ...}.  The keeper answers with any number of {"progress": {...}} lines and one last line, {"ok":
 * true, "result":
 * {...}} or {"ok": false, "error": {"code": CODE, "message": TEXT}}.  Closing the connection while
 * a cancellable request runs cancels it.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define CONTROL_VERSION 1
#define CONTROL_LINE_MAX (1024 * 1024)

struct control;

/* -ENOENT or -ECONNREFUSED when no keeper listens there.  The caller owns *ret. */
int control_connect(const char *socket_path, struct control **ret, struct problem *why);
/*
 * A conversation with `unspill serve` itself, which listens on `socket_path` and has said hello.
 * -ETIMEDOUT when it did not within `timeout_ms`, however many it has accepted; others as
 * control_connect()'s.
 */
int control_connect_serve(const char *socket_path, int timeout_ms, struct control **ret,
			  struct problem *why);
/*
 * The same conversation with `cluster`'s keeper through `unspill serve`, which listens on
 * `socket_path` and hears what is done, and by whom.  Errors as control_connect_serve()'s, and
 * -EREMOTEIO when it does not pass it on.
 */
int control_connect_through(const char *socket_path, const char *cluster, int timeout_ms,
			    struct control **ret, struct problem *why);
void control_close(struct control *control);
DEFINE_CLEANUP(struct control *, control, control_close)

struct control_error {
	char code[64]; /* "bad-request", "not-found", "exists", "out-of-window", "busy", "damaged",
			  "no-space", "failed", ... */
};

/*
 * Send `request` ("unspill": 1 is added) and wait for the last line.  `progress` (may be NULL) gets
 * each progress object, borrowed.  Returns 0 with the caller owning *ret_result; -EREMOTEIO when
 * the keeper answered with an error (`code` and `why` filled in), -ECONNRESET when it went away.
 */
int control_call(struct control *control, json_t *request,
		 void (*progress)(json_t *progress, void *arg), void *arg, json_t **ret_result,
		 struct control_error *code, struct problem *why);

/*
 * While a call waits for its answer, `fn` is called every `every_ms`, in its thread: it may give
 * the request up by one of the next two.
 */
void control_watch(struct control *control, int every_ms,
		   void (*fn)(struct control *control, void *arg), void *arg);

/* Who listens: as whom it began to. */
int control_peer(const struct control *control, uid_t *ret);

/* The socket, borrowed: for requests whose answer goes on as something else than lines. */
int control_descriptor(const struct control *control);

/*
 * Give the request up, from a signal handler or another thread: what can be cancelled is.
 * control_call() still waits for the answer, which may be that it was too late.
 */
void control_withdraw(struct control *control);

/* Shut the connection down from a signal handler or another thread: control_call() then returns
 * -ECONNRESET. */
void control_cancel(struct control *control);
