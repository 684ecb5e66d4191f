#include "serve/relay.h"
#include "base/alloc.h"
#include "control/cluster.h"
#include "control/control.h"
#include "control/holding.h"
#include "control/server.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* Requests and last lines that are worth hearing are short; of longer ones nothing is heard. */
#define HEARD_MAX 16384

struct relay {
	struct relay_options options;
	struct server *server;
};

/* The lines of one direction, as far as they are short. */
struct lines {
	char text[HEARD_MAX];
	size_t size;
	bool too_long;
};

struct passing {
	struct relay *relay;
	const char *cluster;
	uid_t uid;
	struct lines asked, answered;
	char what[32]; /* is waited for; "" when nothing is */
};

/* --- Hearing ---------------------------------------------------------------------------------- */

static void hear(struct passing *passing, const char *what, const json_t *answer)
{
	struct relay_heard heard = {
		.cluster = passing->cluster,
		.what = what,
		.uid = passing->uid,
		.answered = answer != NULL,
		.ok = json_is_true(json_object_get(answer, "ok")),
	};
	const json_t *error = json_object_get(answer, "error");

	heard.message = json_string_value(json_object_get(error, "message"));
	if (passing->relay->options.hear)
		passing->relay->options.hear(&heard, passing->relay->options.arg);
}

static void hear_request(struct passing *passing, const json_t *line)
{
	const char *what = json_string_value(json_object_get(line, "do"));

	if (!what)
		return;
	snprintf(passing->what, sizeof passing->what, "%s", what);
	hear(passing, what, NULL);
}

static void hear_answer(struct passing *passing, const json_t *line)
{
	char what[sizeof passing->what];

	if (!json_object_get(line, "ok"))
		return;
	memcpy(what, passing->what, sizeof what);
	passing->what[0] = 0;
	if (what[0])
		hear(passing, what, line);
}

static void hear_line(struct passing *passing, struct lines *lines,
		      void (*fn)(struct passing *passing, const json_t *line))
{
	json_t *line = lines->too_long ? NULL : json_loadb(lines->text, lines->size, 0, NULL);

	if (json_is_object(line))
		fn(passing, line);
	json_decref(line);
	lines->size = 0;
	lines->too_long = false;
}

static void hear_lines(struct passing *passing, struct lines *lines, const char *data, size_t size,
		       void (*fn)(struct passing *passing, const json_t *line))
{
	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) : size;

		if (n > sizeof lines->text - lines->size)
			lines->too_long = true;
		else
			memcpy(lines->text + lines->size, data, n);
		lines->size += lines->too_long ? 0 : n;
		if (!end)
			return;
		hear_line(passing, lines, fn);
		data = end + 1;
		size -= n + 1;
	}
}

/* --- Passing on ------------------------------------------------------------------------------- */

static void hear_bytes(bool from_client, const char *data, size_t size, void *arg)
{
	struct passing *passing = arg;

	hear_lines(passing, from_client ? &passing->asked : &passing->answered, data, size,
		   from_client ? hear_request : hear_answer);
}

static void pass(struct relay *relay, struct connection *connection, const char *cluster,
		 const struct control *keeper)
{
	struct passing *passing = xcalloc(1, sizeof *passing);

	passing->relay = relay;
	passing->uid = connection_uid(connection);
	passing->cluster = cluster;
	connection_pass(connection, control_descriptor(keeper), hear_bytes, passing);
	free(passing);
}

static int connect_keeper(const char *name, struct control **ret, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	char path[PATH_MAX];
	int r = cluster_check_name(name, why);

	if (r == 0)
		r = cluster_find(name, &cluster, why);
	if (r < 0)
		return r;
	cluster_socket(cluster, path);
	return control_connect(path, ret, why);
}

static const char *code_of(int r)
{
	return r == -ENOENT ? "not-found" : r == -EALREADY || r == -EPERM ? "busy" : "failed";
}

static void answer_ourselves(const struct relay *relay, struct connection *connection,
			     const struct request *request)
{
	struct problem why = {""};
	json_t *result = NULL;
	int r = relay->options.answer(request, &result, &why, relay->options.arg);

	if (r < 0)
		connection_error(connection, code_of(r), "%s", why.text);
	else
		connection_result(connection, result);
}

/* What is none of a keeper's errors has the code that it would have there. */
static const char *code_of_work(int r)
{
	switch (r) {
	case -EADDRNOTAVAIL:
		return "bad-request";
	case -ENODATA:
		return "not-found";
	case -EADDRINUSE:
		return "exists";
	case -EALREADY:
		return "busy";
	case -EUCLEAN:
		return "damaged";
	case -EPERM:
	case -EACCES:
	case -EROFS:
	case -ENODEV:
		return "forbidden";
	default:
		return answer_code(r);
	}
}

static void tell(const struct relay *relay, struct connection *connection,
		 const struct request *request, const struct problem *failed, bool answered)
{
	const struct relay_heard heard = {
		.cluster = request->name,
		.what = request->kind,
		.uid = connection_uid(connection),
		.answered = answered,
		.ok = !failed,
		.message = failed ? failed->text : NULL,
	};

	if (relay->options.hear)
		relay->options.hear(&heard, relay->options.arg);
}

static void work(const struct relay *relay, struct connection *connection,
		 const struct request *request)
{
	struct problem why = {""};
	json_t *result = NULL;
	int r;

	tell(relay, connection, request, NULL, false);
	r = relay->options.work(connection, request, &result, &why, relay->options.arg);
	if (r < 0)
		connection_error(connection, code_of_work(r), "%s", why.text);
	else
		connection_result(connection, result);
	tell(relay, connection, request, r < 0 ? &why : NULL, true);
}

/* True when it was for serve itself. */
static bool handle_ours(const struct relay *relay, struct connection *connection,
			const struct request *request)
{
	if (request->what == REQUEST_HELLO)
		connection_result(connection, json_object());
	else if (request->what == REQUEST_JOB && relay->options.work)
		work(relay, connection, request);
	else if ((request->what == REQUEST_JOBS || request->what == REQUEST_CANCEL) &&
		 relay->options.answer)
		answer_ourselves(relay, connection, request);
	else
		return false;
	return true;
}

static void handle(struct connection *connection, const struct request *request, void *arg)
{
	CLEANUP(control) struct control *keeper = NULL;
	struct problem why = {""};
	const struct relay *relay = arg;
	int r;

	if (handle_ours(relay, connection, request))
		return;
	if (request->what != REQUEST_RELAY) {
		connection_error(connection, "bad-request",
				 "this is serve's socket: say \"relay\" and a cluster first");
		return;
	}
	r = connect_keeper(request->name, &keeper, &why);
	if (r < 0) {
		connection_error(connection, r == -EINVAL ? "bad-request" : "not-found", "%s",
				 why.text);
		return;
	}
	connection_result(connection, json_object());
	pass(arg, connection, request->name, keeper);
}

/* --- Opening and closing ---------------------------------------------------------------------- */

int relay_open(const struct relay_options *options, struct relay **ret, struct problem *why)
{
	struct relay *relay = xcalloc(1, sizeof *relay);
	const struct server_options server = {
		.path = options->path, .owner = geteuid(), .handle = handle, .arg = relay};
	int r;

	relay->options = *options;
	r = server_open(&server, &relay->server, why);
	if (r < 0) {
		free(relay);
		return r;
	}
	*ret = relay;
	return 0;
}

void relay_close(struct relay *relay)
{
	if (!relay)
		return;
	server_close(relay->server);
	free(relay);
}
