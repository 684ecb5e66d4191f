/*
 * Whatever bytes come over a connection, in whatever pieces: what reaches the handler is a request
 * as http.h has it, within its limits, and the connection comes to its end.
 *
 * The real server, libmicrohttpd in it, with its threads, on a socket without a name in any
 * directory.  The first byte is the size of the pieces, 0: all at once.
 */
#include "http/server.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BODY_MAX 1000
#define TOKEN                                                            \
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"!#$%&'*+-.^_`|~"
#define PATIENCE_MS 60000
/* libmicrohttpd does not always notice that a client will send no more; then this ends it. */
#define SLOW_MS 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_size = sizeof address;

/* --- The server ------------------------------------------------------------------------------- */

static int check_header(const char *name, const char *value, void *arg)
{
	const struct http_request *request = arg;

	assert(http_request_header(request, name));
	/* What libmicrohttpd lets through is stopped behind it: a blank before the colon, a
	 * carriage return alone, a folded line, which it puts behind the name. */
	assert(*name && !name[strspn(name, TOKEN)]);
	assert(!value[strcspn(value, "\r\n")]);
	return 0;
}

static void check_target(const struct http_request *request)
{
	size_t path_size = strcspn(request->target, "?");

	assert(strlen(request->path) == path_size);
	assert(!strncmp(request->path, request->target, path_size));
	assert(!strcmp(request->query,
		       request->target + path_size + (request->target[path_size] == '?')));
	assert(!strchr(request->target, '\n'));
}

static int handle(const struct http_request *request, struct http_response *response, bool now,
		  void *arg)
{
	const char *length = http_request_header(request, "Content-Length");
	unsigned sum = 0;

	if (now && !strcmp(request->path, "/later"))
		return -EAGAIN;
	assert(*request->method && !strchr(request->method, '\n'));
	check_target(request);
	http_request_headers(request, check_header, (void *)request);
	assert(request->local && !request->tls && !*request->peer);
	assert(request->body && request->body_size <= BODY_MAX);
	assert(!length || http_request_header(request, "Transfer-Encoding") ||
	       strtoull(length, NULL, 10) == request->body_size);
	/* Every byte is there. */
	for (size_t i = 0; i < request->body_size; i++)
		sum += ((const uint8_t *)request->body)[i];
	http_response_text(response, "%u", sum);
	return 0;
}

static void refuse(const struct http_request *request, unsigned status,
		   struct http_response *response, void *arg)
{
	assert(status == 413 || status == 503);
	assert(request->body_size == 0);
	check_target(request);
	http_request_headers(request, check_header, (void *)request);
}

static void start(void)
{
	struct http_options options = {
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
		.threads = 1,
		.workers = 1,
		.body_max = BODY_MAX,
		.bodies_max = 2 * BODY_MAX,
		.connections_max = 16,
		.idle_ms = SLOW_MS,
		.request_ms = SLOW_MS,
		.answer_ms = PATIENCE_MS,
		.handle = handle,
		.refuse = refuse,
	};
	static struct http_server *server;
	struct problem why;
	int r;

	/* The kernel finds a name. */
	r = bind(options.fd, (struct sockaddr *)&address, sizeof address.sun_family);
	assert(r == 0);
	r = getsockname(options.fd, (struct sockaddr *)&address, &address_size);
	assert(r == 0);
	r = listen(options.fd, 16);
	assert(r == 0);
	r = http_server_open(&options, &server, &why);
	assert(r == 0);
}

/* --- The client ------------------------------------------------------------------------------- */

/* Until it does not want any more. */
static void send_pieces(int fd, const uint8_t *data, size_t size, size_t piece)
{
	while (size) {
		size_t now = piece && piece < size ? piece : size;
		ssize_t sent = send(fd, data, now, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		data += sent;
		size -= sent;
	}
}

/* The end of what is sent is noticed best when all before it has been read. */
static void await_read(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	int left = 0;

	while (ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0 && poll(&p, 1, 0) == 0)
		sched_yield();
}

static void hear(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char answer[4096];
	bool first = true;
	ssize_t got;

	do {
		int ready = poll(&p, 1, PATIENCE_MS);

		assert(ready > 0); /* else it hangs */
		got = recv(fd, answer, sizeof answer, 0);
		assert(!first || got <= 0 || !strncmp(answer, "HTTP/1.", MIN(got, 7)));
		first = false;
	} while (got > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	int fd, r;

	if (!started)
		start();
	started = true;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(fd >= 0);
	r = connect(fd, (struct sockaddr *)&address, address_size);
	assert(r == 0);
	if (size > 1)
		send_pieces(fd, data + 1, size - 1, data[0]);
	await_read(fd);
	shutdown(fd, SHUT_WR);
	hear(fd);
	close(fd);
	return 0;
}
