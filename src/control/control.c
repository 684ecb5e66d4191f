#include "control/control.h"

#include "base/alloc.h"
#include "base/buffer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct control {
	int fd;
	struct buffer input; /* received and not yet taken */
	bool timed_out;      /* there is a limit to how long an answer may take, and it did */
	int every_ms;        /* 0: nobody watches */
	void (*watch)(struct control *control, void *arg);
	void *watch_arg;
};

static void json_cleanup(json_t **json)
{
	json_decref(*json);
}

static int connect_error(const char *path, int r, struct problem *why)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return problem(why, r, "no keeper runs there: nobody listens on '%s'", path);
	if (r == -EACCES)
		return problem(why, r, "only its owner and root may speak to the keeper on '%s'",
			       path);
	return problem_errno(why, r, "cannot connect to '%s'", path);
}

static void limit(int fd, int which, int milliseconds)
{
	const struct timeval time = {milliseconds / 1000, milliseconds % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, which, &time, sizeof time);
}

/* Who does not accept lets us wait, once enough others do. */
static int connect_within(const char *socket_path, int timeout_ms, struct control **ret,
			  struct problem *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP(control) struct control *control = xcalloc(1, sizeof *control);

	buffer_extend(&control->input, 4096);
	control->input.size = 0;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (control->fd < 0)
		return problem_errno(why, -errno, "cannot make a socket");
	if (strlen(socket_path) >= sizeof address.sun_path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long for a socket",
			       socket_path);
	strcpy(address.sun_path, socket_path);
	limit(control->fd, SO_SNDTIMEO, timeout_ms);
	if (connect(control->fd, (struct sockaddr *)&address, sizeof address) < 0)
		return connect_error(socket_path, -errno, why);
	*ret = take(control);
	return 0;
}

int control_connect(const char *socket_path, struct control **ret, struct problem *why)
{
	return connect_within(socket_path, 0, ret, why);
}

void control_close(struct control *control)
{
	if (!control)
		return;
	if (control->fd >= 0)
		close(control->fd);
	buffer_done(&control->input);
	free(control);
}

int control_descriptor(const struct control *control)
{
	return control->fd;
}

void control_watch(struct control *control, int every_ms,
		   void (*fn)(struct control *control, void *arg), void *arg)
{
	control->every_ms = every_ms;
	control->watch = fn;
	control->watch_arg = arg;
}

int control_peer(const struct control *control, uid_t *ret)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(control->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	*ret = peer.uid;
	return 0;
}

void control_withdraw(struct control *control)
{
	shutdown(control->fd, SHUT_WR);
}

void control_cancel(struct control *control)
{
	shutdown(control->fd, SHUT_RDWR);
}

static int gone(struct problem *why)
{
	return problem(why, -ECONNRESET, "the keeper went away without an answer");
}

static int send_request(struct control *control, json_t *request, struct problem *why)
{
	CLEANUP(free) char *text = NULL;
	size_t size, sent = 0;

	json_object_set_new(request, "unspill", json_integer(CONTROL_VERSION));
	text = json_dumps(request, JSON_COMPACT);
	if (!text)
		return problem(why, -EINVAL, "the request is not UTF-8");
	size = strlen(text);
	text[size++] = '\n'; /* where the NUL was: `size` says how long it is */
	while (sent < size) {
		ssize_t n = send(control->fd, text + sent, size - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* It may have answered before it closed: reading will tell. */
		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0)
			return gone(why);
		sent += n;
	}
	return 0;
}

/* Until there is something to receive. */
static void wait_for_more(struct control *control)
{
	struct pollfd p = {.fd = control->fd, .events = POLLIN};

	while (control->every_ms && poll(&p, 1, control->every_ms) == 0)
		control->watch(control, control->watch_arg);
}

/* The next line as JSON. */
static int read_line(struct control *control, json_t **ret, struct problem *why)
{
	struct buffer *input = &control->input;
	size_t looked = 0;
	json_error_t error;
	uint8_t *end;

	while (!(end = memchr(input->data + looked, '\n', input->size - looked))) {
		ssize_t n;

		looked = input->size;
		if (input->size > CONTROL_LINE_MAX)
			return problem(why, -EPROTO, "the keeper's answer is longer than %d bytes",
				       CONTROL_LINE_MAX);
		wait_for_more(control);
		n = recv(control->fd, buffer_extend(input, 16384), 16384, 0);
		input->size = looked + (n > 0 ? n : 0);
		if (n < 0 && errno == EINTR)
			continue;
		control->timed_out = n < 0 && errno == EAGAIN;
		if (n <= 0)
			return gone(why);
	}
	*ret = json_loadb((char *)input->data, end - input->data, 0, &error);
	input->size -= end + 1 - input->data;
	memmove(input->data, end + 1, input->size);
	if (!*ret)
		return problem(why, -EPROTO, "the keeper's answer is not JSON: %s", error.text);
	return 0;
}

static int take_error(json_t *answer, struct control_error *code, struct problem *why)
{
	json_t *error = json_object_get(answer, "error");
	const char *name = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));

	snprintf(code->code, sizeof code->code, "%s", name ? name : "failed");
	return problem(why, -EREMOTEIO, "%s", message ? message : "the keeper does not say why");
}

int control_call(struct control *control, json_t *request,
		 void (*progress)(json_t *progress, void *arg), void *arg, json_t **ret_result,
		 struct control_error *code, struct problem *why)
{
	int r;

	code->code[0] = 0;
	r = send_request(control, request, why);
	if (r < 0)
		return r;
	for (;;) {
		CLEANUP(json) json_t *answer = NULL;
		json_t *step, *result;

		r = read_line(control, &answer, why);
		if (r < 0)
			return r;
		step = json_object_get(answer, "progress");
		if (step) {
			if (progress)
				progress(step, arg);
			continue;
		}
		if (!json_is_true(json_object_get(answer, "ok")))
			return take_error(answer, code, why);
		result = json_object_get(answer, "result");
		*ret_result = result ? json_incref(result) : json_object();
		return 0;
	}
}

/* Connect, and say `request` first, which is answered at once by whoever is well.  Stolen. */
static int connect_and_say(const char *socket_path, json_t *said, int timeout_ms,
			   struct control **ret, struct problem *why)
{
	CLEANUP(control) struct control *control = NULL;
	CLEANUP(json) json_t *request = said, *result = NULL;
	struct control_error code;
	int r;

	r = connect_within(socket_path, timeout_ms, &control, why);
	if (r < 0)
		return r == -EAGAIN
			       ? problem(why, -ETIMEDOUT, "nobody answers on '%s'", socket_path)
			       : r;
	limit(control->fd, SO_RCVTIMEO, timeout_ms);
	r = control_call(control, request, NULL, NULL, &result, &code, why);
	if (r == -ECONNRESET && control->timed_out)
		return problem(why, -ETIMEDOUT, "nobody answers on '%s'", socket_path);
	if (r < 0)
		return r;
	limit(control->fd, SO_RCVTIMEO, 0);
	limit(control->fd, SO_SNDTIMEO, 0);
	*ret = take(control);
	return 0;
}

int control_connect_serve(const char *socket_path, int timeout_ms, struct control **ret,
			  struct problem *why)
{
	return connect_and_say(socket_path, json_pack("{s:s}", "do", "hello"), timeout_ms, ret,
			       why);
}

int control_connect_through(const char *socket_path, const char *cluster, int timeout_ms,
			    struct control **ret, struct problem *why)
{
	json_t *request = json_pack("{s:s, s:s}", "do", "relay", "cluster", cluster);

	return connect_and_say(socket_path, request, timeout_ms, ret, why);
}
