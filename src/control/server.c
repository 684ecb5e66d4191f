#include "control/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PROGRESS_INTERVAL_US 100000
/* A client that does not take its answer for so long is gone. */
#define SEND_TIMEOUT_S 10

struct connection {
	struct server *server;
	int fd;
	uid_t uid;             /* of the client */
	bool answered, broken; /* of the connection's own thread */
	int64_t progress_at_us;
	char step[64];           /* of the last progress: a new step is always told */
	struct at_end *at_end;   /* of the connection's own thread */
	struct connection *next; /* server->lock */
};

struct at_end {
	void (*fn)(void *arg);
	void *arg;
	struct at_end *next;
};

struct server {
	struct server_options options;
	char path[PATH_MAX];
	int fd;
	int closing_fd; /* an eventfd: readable for ever once the server closes */
	pthread_t thread;
	pthread_mutex_t lock; /* the innermost: nothing else is taken while it is held */
	pthread_cond_t changed;
	struct connection *connections; /* lock */
	unsigned count;                 /* lock */
	int64_t idle_since_us;          /* lock */
};

/* --- Answering -------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *data, size_t size, int flags)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL | flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		size -= n;
	}
	return true;
}

/* Takes over `json`. */
static bool send_json(int fd, json_t *json, int flags)
{
	CLEANUP(free) char *text = json_dumps(json, JSON_COMPACT);
	size_t size;

	json_decref(json);
	if (!text)
		return false;
	size = strlen(text);
	text[size] = '\n'; /* instead of the NUL */
	return send_all(fd, text, size + 1, flags);
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

uid_t connection_uid(const struct connection *connection)
{
	return connection->uid;
}

bool connection_alive(struct connection *connection)
{
	struct pollfd p = {.fd = connection->fd, .events = POLLRDHUP};

	if (connection->broken || is_readable(connection->server->closing_fd))
		return false;
	return poll(&p, 1, 0) == 0;
}

void connection_progress(struct connection *connection, const char *step, uint64_t done,
			 uint64_t total, const char *unit)
{
	int64_t now_us = clock_monotonic_us();
	json_t *json;

	if (connection->broken)
		return;
	if (strcmp(connection->step, step) == 0 &&
	    now_us - connection->progress_at_us < PROGRESS_INTERVAL_US)
		return;
	connection->progress_at_us = now_us;
	snprintf(connection->step, sizeof connection->step, "%s", step);
	json = json_pack("{s:{s:s, s:I, s:I, s:s}}", "progress", "step", step, "done",
			 (json_int_t)done, "total", (json_int_t)total, "unit", unit);
	/* The work may hold locks that others need: it does not wait for a client that does not
	 * read. */
	if (!send_json(connection->fd, json, MSG_DONTWAIT))
		connection->broken = true;
}

static void answer(struct connection *connection, json_t *json)
{
	connection->answered = true;
	if (!connection->broken && !send_json(connection->fd, json, 0))
		connection->broken = true;
}

void connection_result(struct connection *connection, json_t *result)
{
	answer(connection, json_pack("{s:b, s:o}", "ok", 1, "result", result));
}

/* One line of UTF-8, whatever the parts of the message were. */
static json_t *one_line(char *text)
{
	json_t *string;

	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	string = json_string(text);
	for (char *c = text; !string && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return string ? string : json_string(text);
}

void connection_error(struct connection *connection, const char *code, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	answer(connection, json_pack("{s:b, s:{s:s, s:o}}", "ok", 0, "error", "code", code,
				     "message", one_line(text)));
}

int connection_detach(struct connection *connection)
{
	int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);

	connection->answered = connection->broken = true;
	return fd;
}

void server_farewell(int fd)
{
	if (fd < 0)
		return;
	send_json(fd, json_pack("{s:b, s:{}}", "ok", 1, "result"), 0);
	close(fd);
}

void connection_at_end(struct connection *connection, void (*fn)(void *arg), void *arg)
{
	struct at_end *at_end = xcalloc(1, sizeof *at_end);

	*at_end = (struct at_end){fn, arg, connection->at_end};
	connection->at_end = at_end;
}

bool connection_is_closed_by_us(struct connection *connection)
{
	return is_readable(connection->server->closing_fd);
}

static void end(struct connection *connection)
{
	while (connection->at_end) {
		struct at_end *at_end = connection->at_end;

		connection->at_end = at_end->next;
		at_end->fn(at_end->arg);
		free(at_end);
	}
}

/* --- One connection --------------------------------------------------------------------------- */

static void handle(struct connection *connection, struct request *request)
{
	const struct server_options *options = &connection->server->options;

	options->handle(connection, request, options->arg);
	request_done(request);
}

static void handle_line(struct connection *connection, const char *line, size_t size)
{
	struct request request;
	struct problem why;
	int r;

	connection->answered = false;
	connection->step[0] = 0;
	r = request_parse(line, size, &request, &why);
	if (r < 0)
		connection_error(connection,
				 r == -EPROTONOSUPPORT ? "unsupported-version" : "bad-request",
				 "%s", why.text);
	else
		handle(connection, &request);
	if (!connection->answered)
		connection_error(connection, "failed", "the keeper gave no answer");
}

/* Wait for bytes or the end of the server. */
static ssize_t receive(struct connection *connection, char *data, size_t size)
{
	struct pollfd p[2] = {{.fd = connection->fd, .events = POLLIN},
			      {.fd = connection->server->closing_fd, .events = POLLIN}};

	if (poll(p, 2, -1) < 0)
		return errno == EINTR ? receive(connection, data, size) : -errno;
	if (p[1].revents)
		return 0;
	return recv(connection->fd, data, size, 0);
}

ssize_t connection_receive(struct connection *connection, void *data, size_t size)
{
	connection->broken = true;
	return receive(connection, data, size);
}

int connection_send(struct connection *connection, const void *data, size_t size)
{
	connection->broken = true;
	return send_all(connection->fd, data, size, 0) ? 0 : -ECONNRESET;
}

/* False when there is no more to come. */
static bool pass_some(int from, int to, bool from_client,
		      void (*heard)(bool from_client, const char *data, size_t size, void *arg),
		      void *arg)
{
	char data[16384];
	ssize_t n = recv(from, data, sizeof data, 0);

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	heard(from_client, data, (size_t)n, arg);
	return send_all(to, data, (size_t)n, 0);
}

void connection_pass(struct connection *connection, int fd,
		     void (*heard)(bool from_client, const char *data, size_t size, void *arg),
		     void *arg)
{
	struct pollfd p[3] = {{.fd = connection->fd, .events = POLLIN},
			      {.fd = fd, .events = POLLIN},
			      {.fd = connection->server->closing_fd, .events = POLLIN}};

	connection->broken = true;
	for (;;) {
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return;
		if (p[2].revents)
			return;
		if (p[1].revents && !pass_some(fd, connection->fd, false, heard, arg))
			return;
		if (p[0].revents && !pass_some(connection->fd, fd, true, heard, arg)) {
			shutdown(fd, SHUT_WR);
			p[0].fd = -1;
		}
	}
}

static void serve(struct connection *connection, char *buffer)
{
	size_t used = 0, looked = 0;

	while (!connection->broken) {
		char *end = memchr(buffer + looked, '\n', used - looked);
		ssize_t n;

		if (end) {
			handle_line(connection, buffer, end - buffer);
			used -= end + 1 - buffer;
			memmove(buffer, end + 1, used);
			looked = 0;
			continue;
		}
		looked = used;
		if (used == CONTROL_LINE_MAX) {
			connection_error(connection, "bad-request",
					 "the request is longer than %d bytes", CONTROL_LINE_MAX);
			return;
		}
		n = receive(connection, buffer + used, CONTROL_LINE_MAX - used);
		if (n <= 0)
			return;
		used += n;
	}
}

static void forget(struct connection *connection)
{
	struct server *server = connection->server;

	pthread_mutex_lock(&server->lock);
	for (struct connection **at = &server->connections; *at; at = &(*at)->next) {
		if (*at == connection) {
			*at = connection->next;
			break;
		}
	}
	close(connection->fd);
	server->idle_since_us = clock_monotonic_us();
	/* Last: after it, the server may be gone. */
	if (--server->count == 0)
		pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	free(connection);
}

static void *connection_thread(void *arg)
{
	struct connection *connection = arg;
	CLEANUP(free) char *buffer = xmalloc(CONTROL_LINE_MAX);

	serve(connection, buffer);
	end(connection);
	forget(connection);
	return NULL;
}

/* --- All of them ------------------------------------------------------------------------------ */

static bool is_allowed(struct server *server, int fd, uid_t *ret_uid)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	*ret_uid = peer.uid;
	return peer.uid == 0 || peer.uid == server->options.owner;
}

static void refuse(int fd, const char *code, const char *message)
{
	send_json(fd,
		  json_pack("{s:b, s:{s:s, s:s}}", "ok", 0, "error", "code", code, "message",
			    message),
		  MSG_DONTWAIT);
	close(fd);
}

static bool admit(struct server *server, struct connection *connection)
{
	bool room;

	pthread_mutex_lock(&server->lock);
	room = server->count < SERVER_CONNECTIONS_MAX;
	if (room) {
		connection->next = server->connections;
		server->connections = connection;
		server->count++;
	}
	pthread_mutex_unlock(&server->lock);
	return room;
}

static void take_connection(struct server *server, int fd)
{
	struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
	struct connection *connection;
	pthread_attr_t attr;
	pthread_t thread;
	uid_t uid;

	if (!is_allowed(server, fd, &uid)) {
		refuse(fd, "forbidden", "only its owner and root may speak to this keeper");
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	connection = xcalloc(1, sizeof *connection);
	connection->server = server;
	connection->fd = fd;
	connection->uid = uid;
	if (!admit(server, connection)) {
		refuse(fd, "busy", "too many connections to this keeper");
		free(connection);
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, connection_thread, connection) != 0)
		forget(connection);
	pthread_attr_destroy(&attr);
}

static void *accept_thread(void *arg)
{
	struct server *server = arg;
	struct pollfd p[2] = {{.fd = server->fd, .events = POLLIN},
			      {.fd = server->closing_fd, .events = POLLIN}};

	while (poll(p, 2, -1) >= 0 || errno == EINTR) {
		int fd;

		if (p[1].revents)
			break;
		fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			take_connection(server, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			/* Nothing to wait on: whoever holds the descriptors tells nobody. */
			poll(p + 1, 1, 100);
	}
	return NULL;
}

static int listen_on(struct server *server, struct problem *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(server->path) >= sizeof address.sun_path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long for a socket",
			       server->path);
	strcpy(address.sun_path, server->path);
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0)
		return problem_errno(why, -errno, "cannot make a socket");
	unlink(server->path);
	/* Nobody else's from its first instant: bind() gives the file the socket's own mode.  By
	 * umask() it would be given to what other threads make meanwhile, too. */
	if (fchmod(server->fd, 0600) < 0 ||
	    bind(server->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(server->fd, SERVER_CONNECTIONS_MAX) < 0)
		return problem_errno(why, -errno, "cannot listen on '%s'", server->path);
	if (geteuid() != server->options.owner &&
	    chown(server->path, server->options.owner, -1) < 0)
		return problem_errno(why, -errno, "cannot give '%s' to its owner", server->path);
	return 0;
}

static void free_server(struct server *server)
{
	fd_cleanup(&server->fd);
	fd_cleanup(&server->closing_fd);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int server_open(const struct server_options *options, struct server **ret, struct problem *why)
{
	struct server *server = xcalloc(1, sizeof *server);
	int r;

	server->options = *options;
	server->fd = server->closing_fd = -1;
	server->idle_since_us = clock_monotonic_us();
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	snprintf(server->path, sizeof server->path, "%s", options->path);
	r = listen_on(server, why);
	if (r == 0) {
		server->closing_fd = eventfd(0, EFD_CLOEXEC);
		r = server->closing_fd < 0
			    ? -errno
			    : -pthread_create(&server->thread, NULL, accept_thread, server);
		if (r < 0)
			problem_errno(why, r, "cannot serve '%s'", server->path);
	}
	if (r < 0) {
		free_server(server);
		return r;
	}
	*ret = server;
	return 0;
}

void server_close(struct server *server)
{
	if (!server)
		return;
	unlink(server->path);
	if (eventfd_write(server->closing_fd, 1) < 0)
		abort();
	pthread_join(server->thread, NULL);
	pthread_mutex_lock(&server->lock);
	while (server->count > 0)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	free_server(server);
}

unsigned server_connections(struct server *server, int64_t *ret_idle_since_us)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = server->count;
	*ret_idle_since_us = server->idle_since_us;
	pthread_mutex_unlock(&server->lock);
	return count;
}
