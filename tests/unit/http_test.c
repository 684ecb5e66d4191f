/* HTTP: what reaches a handler, what it costs to keep a connection, and who is heard beside others.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "http/http.h"
#include "http/listen.h"
#include "http/server.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define BODY_MAX 10000
#define BIG_ANSWER (32 << 20)

static char directory[] = "/tmp/unspill-http-test-XXXXXX";

/* --- The server under test -------------------------------------------------------------------- */

struct bed {
	struct http_server *server;
	char address[HTTP_ADDRESS_SIZE];
	uint16_t port;
	atomic_int handled;
	/* A handler of "/wait" says that it waits, and does so until it is let go. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool waits, let_go;
};

static int tell_header(const char *name, const char *value, void *arg)
{
	http_response_text(arg, "%s=%s\n", name, value);
	return 0;
}

static void wait_to_be_let_go(struct bed *bed)
{
	pthread_mutex_lock(&bed->lock);
	bed->waits = true;
	pthread_cond_broadcast(&bed->changed);
	while (!bed->let_go)
		pthread_cond_wait(&bed->changed, &bed->lock);
	pthread_mutex_unlock(&bed->lock);
}

/* Answers with what it was asked. */
static int handle(const struct http_request *request, struct http_response *response, bool now,
		  void *arg)
{
	struct bed *bed = arg;

	if (!strcmp(request->path, "/wait") || !strcmp(request->path, "/later")) {
		if (now)
			return -EAGAIN;
		if (!strcmp(request->path, "/wait"))
			wait_to_be_let_go(bed);
	}
	if (!strcmp(request->path, "/big"))
		memset(buffer_extend(&response->body, BIG_ANSWER), 'x', BIG_ANSWER);
	response->status = strcmp(request->path, "/missing") ? 0 : 404;
	response->content_type = "text/plain";
	http_response_header(response, "X-Seen", "%s", "yes\r\nEvil: header");
	http_response_text(response, "%s|%s|%s|%s|%s|%s%s%d\n", request->method, request->target,
			   request->path, request->query, request->peer, request->tls ? "tls" : "",
			   request->local ? "local" : "", request->local ? (int)request->uid : 0);
	http_request_headers(request, tell_header, response);
	http_response_text(response, "body %zu ", request->body_size);
	buffer_put(&response->body, request->body, MIN(request->body_size, (size_t)100));
	atomic_fetch_add(&bed->handled, 1);
	return 0;
}

static const struct http_options usual = {
	.fd = -1,
	.threads = 4,
	.workers = 2,
	.body_max = BODY_MAX,
	.bodies_max = 1 << 20,
	.connections_max = 1000,
	.idle_ms = 60000,
	.request_ms = 60000,
	.answer_ms = 60000,
	.handle = handle,
};

/* Serve on any port, or on the socket in `options`. */
static bool make_bed(struct bed *bed, const struct http_options *options)
{
	struct http_options mine = *options;
	struct problem why;

	*bed = (struct bed){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	mine.arg = bed;
	if (mine.fd < 0 && !check(http_listen("127.0.0.1:0", &mine.fd, &why) == 0, "%s", why.text))
		return false;
	http_address_of(mine.fd, bed->address);
	bed->port = atoi(strchr(bed->address, ':') ? strchr(bed->address, ':') + 1 : "0");
	return check(http_server_open(&mine, &bed->server, &why) == 0, "%s", why.text);
}

static void unmake_bed(struct bed *bed)
{
	http_server_close(bed->server);
}

static void wait_for_waiting(struct bed *bed)
{
	pthread_mutex_lock(&bed->lock);
	while (!bed->waits)
		pthread_cond_wait(&bed->changed, &bed->lock);
	pthread_mutex_unlock(&bed->lock);
}

static void let_go(struct bed *bed)
{
	pthread_mutex_lock(&bed->lock);
	bed->let_go = true;
	pthread_cond_broadcast(&bed->changed);
	pthread_mutex_unlock(&bed->lock);
}

/* --- Clients ---------------------------------------------------------------------------------- */

static int dial(const struct bed *bed)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(bed->port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = PATIENCE_US / 1000000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool say(int fd, const char *text)
{
	size_t size = strlen(text);

	return send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* One whole answer, with its head, in `text`: "" when the connection ended before. */
static const char *hear(int fd, char *text, size_t size)
{
	size_t used = 0, whole = 0;

	*text = 0;
	while (!whole || used < whole) {
		ssize_t n = recv(fd, text + used, whole ? whole - used : 1, 0);
		const char *length;

		if (n <= 0 || used + n >= size)
			return *text = 0, text;
		used += n;
		text[used] = 0;
		if (!whole && used >= 4 && !strcmp(text + used - 4, "\r\n\r\n")) {
			length = strcasestr(text, "\r\nContent-Length: ");
			whole = used + (length ? strtoul(length + 18, NULL, 10) : 0);
		}
	}
	return text;
}

static bool is_ended(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) <= 0 && errno != EAGAIN;
}

/* Ask on a connection of its own; the status, 0 when there was no answer. */
static unsigned ask(const struct bed *bed, const char *request, char *text, size_t size)
{
	CLEANUP(fd) int fd = dial(bed);

	if (fd < 0 || !say(fd, request))
		return 0;
	hear(fd, text, size);
	return *text ? strtoul(text + 9, NULL, 10) : 0;
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static bool is_heard(const struct bed *bed)
{
	char text[4096];

	return ask(bed, GET, text, sizeof text) == 200;
}

/* --- Requests --------------------------------------------------------------------------------- */

static void a_request_arrives_as_it_was_sent(void)
{
	struct bed bed;
	char text[4096];

	require(make_bed(&bed, &usual));
	check(ask(&bed,
		  "POST /a%2Fb//c?Action=X&y=%20+z?&& HTTP/1.1\r\nHost: h:1\r\n"
		  "X-Amz-Date: 1 2\r\nx-twice: one\r\nX-TWICE: two\r\nContent-Length: "
		  "5\r\n\r\na&b=c",
		  text, sizeof text) == 200);
	check(strstr(text, "POST|/a%2Fb//c?Action=X&y=%20+z?&&|/a%2Fb//c|Action=X&y=%20+z?&&|"
			   "127.0.0.1|0\n"
			   "Host=h:1\nX-Amz-Date=1 2\nx-twice=one\nX-TWICE=two\nContent-Length=5\n"
			   "body 5 a&b=c"),
	      "%s", text);
	check(strstr(text, "Content-Type: text/plain\r\n"), "%s", text);
	/* What a value holds ends no header. */
	check(strstr(text, "X-Seen: yes  Evil: header\r\n"), "%s", text);
	check(ask(&bed, "GET /missing HTTP/1.1\r\nHost: h\r\n\r\n", text, sizeof text) == 404);
	unmake_bed(&bed);
}

static int stop_at_second(const char *name, const char *value, void *arg)
{
	return ++*(int *)arg == 2 ? -7 : 0;
}

static void headers_are_found_in_any_case_the_first_of_a_name(void)
{
	const struct http_header headers[] = {{"A", "1"}, {"x-b", "2"}, {"X-B", "3"}};
	const struct http_request request = {.headers = headers, .header_count = 3};
	int seen = 0;

	check(!strcmp(http_request_header(&request, "X-b"), "2"));
	check(http_request_header(&request, "X") == NULL);
	check(http_request_headers(&request, stop_at_second, &seen) == -7 && seen == 2);
}

static void a_connection_carries_many_requests_also_when_they_come_at_once(void)
{
	struct bed bed;
	char text[4096], wanted[64];
	int fd;

	require(make_bed(&bed, &usual));
	fd = dial(&bed);
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof text,
			 "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n%03d", i, i);
		check(say(fd, text));
		snprintf(wanted, sizeof wanted, "|/%d|", i);
		check(strstr(hear(fd, text, sizeof text), wanted), "%s", text);
	}
	check(say(fd, "GET /one HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n"));
	check(strstr(hear(fd, text, sizeof text), "|/one|"), "%s", text);
	check(strstr(hear(fd, text, sizeof text), "|/two|"), "%s", text);
	check(http_server_connections(bed.server) == 1);
	close(fd);
	unmake_bed(&bed);
}

/* A POST of `size` bytes in one string; the caller frees. */
static char *post(const char *headers, size_t size)
{
	char *text = xmalloc(size + strlen(headers) + 200);
	int used = sprintf(text, "POST /post HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n",
			   headers, size);

	memset(text + used, 'b', size);
	text[used + size] = 0;
	return text;
}

static void a_body_may_be_as_large_as_the_limit_and_no_larger(void)
{
	CLEANUP(free) char *fits = post("", BODY_MAX);
	CLEANUP(free) char *large = post("", BODY_MAX + 1);
	struct bed bed;
	char text[4096];
	int fd;

	require(make_bed(&bed, &usual));
	check(ask(&bed, fits, text, sizeof text) == 200);
	check(strstr(text, "body 10000 b"), "%s", text);
	/* Refused, and the same connection goes on. */
	fd = dial(&bed);
	check(say(fd, large));
	check(!strncmp(hear(fd, text, sizeof text), "HTTP/1.1 413", 12), "%s", text);
	check(say(fd, GET));
	check(!strncmp(hear(fd, text, sizeof text), "HTTP/1.1 200", 12), "%s", text);
	close(fd);
	check(atomic_load(&bed.handled) == 2);
	unmake_bed(&bed);
}

static void a_body_without_a_length_is_measured_as_it_comes(void)
{
	struct bed bed;
	char text[4096];
	int fd;

	require(make_bed(&bed, &usual));
	check(ask(&bed,
		  "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
		  text, sizeof text) == 200);
	check(strstr(text, "body 11 hello world"), "%s", text);
	fd = dial(&bed);
	check(say(fd, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
	for (int i = 0; i < BODY_MAX / 16 + 1; i++)
		check(say(fd, "10\r\n0123456789abcdef\r\n"));
	check(say(fd, "0\r\n\r\n"));
	check(!strncmp(hear(fd, text, sizeof text), "HTTP/1.1 413", 12), "%s", text);
	close(fd);
	unmake_bed(&bed);
}

static void who_asks_before_sending_too_much_is_told_at_once(void)
{
	struct bed bed;
	char text[4096];
	int fd;

	require(make_bed(&bed, &usual));
	check(ask(&bed,
		  "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
		  "Content-Length: 20000\r\n\r\n",
		  text, sizeof text) == 413);
	check(ask(&bed, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999\r\n\r\n",
		  text, sizeof text) == 413);
	fd = dial(&bed);
	check(say(fd, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
		      "Content-Length: 4\r\n\r\n"));
	check(!strncmp(hear(fd, text, sizeof text), "HTTP/1.1 100", 12), "%s", text);
	check(say(fd, "body"));
	check(strstr(hear(fd, text, sizeof text), "body 4 body"), "%s", text);
	close(fd);
	unmake_bed(&bed);
}

static void refuse(const struct http_request *request, unsigned status,
		   struct http_response *response, void *arg)
{
	response->content_type = "text/xml";
	http_response_text(response, "<Refused path=\"%s\">%u</Refused>", request->path, status);
}

static void all_bodies_together_have_a_limit_and_it_is_given_back(void)
{
	CLEANUP(free) char *half = post("", 9000);
	struct http_options options = usual;
	struct bed bed;
	char text[4096];
	int fds[2];

	options.bodies_max = 20000;
	options.refuse = refuse;
	require(make_bed(&bed, &options));
	/* Two that never end, and one more: it does not fit. */
	for (int i = 0; i < 2; i++) {
		fds[i] = dial(&bed);
		check(send(fds[i], half, strlen(half) - 1, MSG_NOSIGNAL) > 0);
	}
	/* Their bytes may still be on their way. */
	while (ask(&bed, half, text, sizeof text) == 200)
		;
	check(!strncmp(text, "HTTP/1.1 503", 12), "%s", text);
	check(strstr(text, "<Refused path=\"/post\">503</Refused>"), "%s", text);
	check(strstr(text, "text/xml"), "%s", text);
	close(fds[0]);
	close(fds[1]);
	/* The server sees their end when it does. */
	while (ask(&bed, half, text, sizeof text) == 503)
		;
	check(!strncmp(text, "HTTP/1.1 200", 12), "%s", text);
	unmake_bed(&bed);
}

static void what_is_no_request_never_reaches_the_handler(void)
{
	static const char *const bad[] = {
		"\r\n\r\n\r\n garbage\r\n\r\n",
		"GET\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
	};
	CLEANUP(free) char *long_line = xmalloc(100001);
	struct bed bed;
	char text[4096];

	require(make_bed(&bed, &usual));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		unsigned status = ask(&bed, bad[i], text, sizeof text);

		check(status == 0 || status >= 400, "%zu: %u", i, status);
	}
	memset(long_line, 'a', 100000);
	memcpy(long_line, "GET /", 5);
	long_line[100000] = 0;
	check(ask(&bed, long_line, text, sizeof text) != 200);
	check(atomic_load(&bed.handled) == 0);
	check(is_heard(&bed));
	unmake_bed(&bed);
}

static void a_header_that_is_none_is_refused_with_all_behind_it(void)
{
	static const char *const bad[] = {
		"X-A: one\rtwo",    "X-A: one\r", "X-A : one",    "X-A\t: one",      "X A: one",
		"X-A: one\r\n t o", "X(A): one",  "X-\001A: one", "X-\303\244: one", "Host : other",
	};
	struct bed bed;
	char text[4096], request[256];

	require(make_bed(&bed, &usual));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(fd) int fd = dial(&bed);

		snprintf(request, sizeof request,
			 "POST / HTTP/1.1\r\nHost: h\r\n%s\r\nContent-Length: %zu\r\n\r\n" GET,
			 bad[i], strlen(GET));
		check(say(fd, request));
		check(!strncmp(hear(fd, text, sizeof text), "HTTP/1.1 400", 12), "%zu: %s", i,
		      text);
		check(is_ended(fd), "%zu", i);
		snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n",
			 bad[i]);
		check(ask(&bed, request, text, sizeof text) == 400, "%zu: %s", i, text);
	}
	check(atomic_load(&bed.handled) == 0);
	check(ask(&bed,
		  "GET / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~09azAZ: \t\303\244 \001\r\n\r\n",
		  text, sizeof text) == 200);
	unmake_bed(&bed);
}

/* --- Time ------------------------------------------------------------------------------------- */

/* A byte now and then, so that the connection is never quiet; until it is ended, or for ever. */
static bool trickle(int fd)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (clock_monotonic_us() < until_us) {
		if (!say(fd, "a") || poll(&p, 1, 10) > 0)
			return true;
	}
	return false;
}

static void who_sends_his_request_slowly_is_cut_off_at_any_stage_of_it(void)
{
	static const char *const beginnings[] = {
		"", "GET /", "GET / HTTP/1.1\r\nHost: ",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n"};
	struct http_options options = usual;
	struct bed bed;
	char text[4096];

	options.request_ms = 200;
	require(make_bed(&bed, &options));
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		int fd = dial(&bed);

		check(say(fd, beginnings[i]));
		check(trickle(fd), "%zu", i);
		close(fd);
	}
	/* So is the second request of a connection. */
	options.request_ms = 60000;
	options.idle_ms = 200;
	unmake_bed(&bed);
	require(make_bed(&bed, &options));
	for (size_t i = 0; i < 2; i++) {
		int fd = dial(&bed);

		check(say(fd, GET));
		check(*hear(fd, text, sizeof text));
		check(say(fd, beginnings[i]));
		check(trickle(fd), "%zu", i);
		close(fd);
	}
	check(is_heard(&bed));
	unmake_bed(&bed);
}

static void who_says_nothing_is_cut_off(void)
{
	struct http_options options = usual;
	struct bed bed;
	char text[4096];
	int fd;

	options.idle_ms = 100;
	require(make_bed(&bed, &options));
	fd = dial(&bed);
	check(say(fd, GET));
	check(*hear(fd, text, sizeof text));
	check(is_ended(fd));
	close(fd);
	unmake_bed(&bed);
}

static void who_does_not_take_his_answer_is_cut_off(void)
{
	struct http_options options = usual;
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;
	struct bed bed;
	int fd;

	options.answer_ms = 200;
	require(make_bed(&bed, &options));
	fd = dial(&bed);
	check(say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
	while (atomic_load(&bed.handled) == 0 || http_server_connections(bed.server) > 0) {
		require(clock_monotonic_us() < until_us);
		poll(NULL, 0, 5);
	}
	check(is_heard(&bed));
	close(fd);
	unmake_bed(&bed);
}

static void who_handles_a_request_for_long_is_not_cut_off(void)
{
	struct http_options options = usual;
	struct bed bed;
	char text[4096];
	int fd;

	options.idle_ms = options.request_ms = options.answer_ms = 100;
	require(make_bed(&bed, &options));
	fd = dial(&bed);
	check(say(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for_waiting(&bed);
	poll(NULL, 0, 400);
	let_go(&bed);
	check(strstr(hear(fd, text, sizeof text), "|/wait|"), "%s", text);
	close(fd);
	unmake_bed(&bed);
}

static void who_waits_for_his_answer_holds_nobody_up(void)
{
	struct http_options options = usual;
	struct bed bed;
	char text[4096];
	int fds[10];

	options.threads = 1;
	require(make_bed(&bed, &options));
	for (int i = 0; i < 10; i++) {
		fds[i] = dial(&bed);
		check(say(fds[i], "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"));
	}
	wait_for_waiting(&bed);
	for (int i = 0; i < 10; i++)
		check(is_heard(&bed));
	let_go(&bed);
	for (int i = 0; i < 10; i++) {
		check(strstr(hear(fds[i], text, sizeof text), "|/wait|"), "%s", text);
		close(fds[i]);
	}
	unmake_bed(&bed);
}

/* --- Crowds ----------------------------------------------------------------------------------- */

#define CROWD 1500

/*
 * Goal: others that hold their requests back, however many, do not stop who sends his at once.
 * Method: 1,500 connections in all stages of a request on a server that keeps 100; after each
 * hundred of them, and at the end, new clients and one that was there before are answered.
 */
static void a_crowd_that_holds_its_requests_back_does_not_stop_others(void)
{
	static const char *const beginnings[] = {
		"", "G", "GET / HTTP/1.1\r\nHost: h\r\nX: ",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999\r\n\r\nabc"};
	struct http_options options = usual;
	struct bed bed;
	char text[4096];
	int fds[CROWD], known;

	options.connections_max = 100;
	require(make_bed(&bed, &options));
	known = dial(&bed);
	check(say(known, GET));
	check(*hear(known, text, sizeof text));
	for (int i = 0; i < CROWD; i++) {
		fds[i] = dial(&bed);
		require(fds[i] >= 0, "%d: %s", i, strerror(errno));
		/* May be cut off by now. */
		say(fds[i], beginnings[i % ARRAY_SIZE(beginnings)]);
		check(i % 100 || is_heard(&bed), "%d", i);
	}
	for (int i = 0; i < 50; i++)
		check(is_heard(&bed));
	/* Who was answered before is cut off last. */
	check(say(known, GET));
	check(*hear(known, text, sizeof text));
	check(http_server_connections(bed.server) < 300);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	close(known);
	unmake_bed(&bed);
}

static void one_address_has_so_many_connections_and_no_more(void)
{
	struct http_options options = usual;
	struct bed bed;
	char text[4096];
	int fds[6], answered = 0;

	options.per_address_max = 4;
	require(make_bed(&bed, &options));
	for (int i = 0; i < 6; i++) {
		fds[i] = dial(&bed);
		say(fds[i], GET);
		answered += *hear(fds[i], text, sizeof text) != 0;
	}
	check(answered == 4, "%d", answered);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	while (!is_heard(&bed))
		;
	unmake_bed(&bed);
}

struct client {
	const struct bed *bed;
	int requests, answered;
};

static void *client_thread(void *arg)
{
	struct client *client = arg;
	char text[4096], wanted[64];
	int fd = dial(client->bed);

	for (int i = 0; i < client->requests; i++) {
		/* Every tenth on a new connection. */
		if (i % 10 == 9) {
			close(fd);
			fd = dial(client->bed);
		}
		snprintf(text, sizeof text,
			 "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n%04d",
			 i % 3 ? "/" : "/later", i);
		snprintf(wanted, sizeof wanted, "body 4 %04d", i);
		if (say(fd, text))
			client->answered += strstr(hear(fd, text, sizeof text), wanted) != 0;
	}
	close(fd);
	return NULL;
}

static void many_clients_at_once_get_their_own_answers(void)
{
	struct client clients[16];
	pthread_t threads[16];
	struct bed bed;

	require(make_bed(&bed, &usual));
	for (int i = 0; i < 16; i++) {
		clients[i] = (struct client){&bed, 200, 0};
		pthread_create(&threads[i], NULL, client_thread, &clients[i]);
	}
	for (int i = 0; i < 16; i++) {
		pthread_join(threads[i], NULL);
		check(clients[i].answered == 200, "%d", clients[i].answered);
	}
	check(atomic_load(&bed.handled) == 16 * 200);
	unmake_bed(&bed);
}

/* --- The end ---------------------------------------------------------------------------------- */

struct drain {
	struct bed *bed;
	unsigned timeout_ms;
	int result;
};

static void *drain_thread(void *arg)
{
	struct drain *drain = arg;

	drain->result = http_server_drain(drain->bed->server, drain->timeout_ms);
	return NULL;
}

static void draining_answers_what_has_begun_and_ends_the_rest(void)
{
	struct drain drain = {.timeout_ms = PATIENCE_US / 1000};
	int asking, idle, half;
	struct bed bed;
	char text[4096];
	pthread_t thread;

	require(make_bed(&bed, &usual));
	idle = dial(&bed);
	check(say(idle, GET));
	check(*hear(idle, text, sizeof text));
	asking = dial(&bed);
	check(say(asking, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for_waiting(&bed);
	half = dial(&bed);
	check(say(half, "POST /half HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
			"Content-Length: 4\r\n\r\n"));
	check(!strncmp(hear(half, text, sizeof text), "HTTP/1.1 100", 12));

	drain.bed = &bed;
	pthread_create(&thread, NULL, drain_thread, &drain);
	check(is_ended(idle));
	check(dial(&bed) < 0, "connections are refused");
	check(say(half, "body"));
	check(strstr(hear(half, text, sizeof text), "body 4 body"), "%s", text);
	check(strcasestr(text, "Connection: close"), "%s", text);
	let_go(&bed);
	check(strstr(hear(asking, text, sizeof text), "|/wait|"), "%s", text);
	check(is_ended(asking));
	pthread_join(thread, NULL);
	check(drain.result == 0);
	check(http_server_connections(bed.server) == 0);
	close(asking);
	close(idle);
	close(half);
	unmake_bed(&bed);
}

static void draining_gives_up_after_its_time(void)
{
	struct bed bed;
	int fd;

	require(make_bed(&bed, &usual));
	fd = dial(&bed);
	check(say(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for_waiting(&bed);
	check(http_server_drain(bed.server, 50) == -ETIMEDOUT);
	let_go(&bed);
	unmake_bed(&bed);
	close(fd);
}

/* --- Listening -------------------------------------------------------------------------------- */

static void an_address_is_numbers_and_a_port(void)
{
	static const char *const bad[] = {"",      "127.0.0.1",  "localhost:80",  "127.0.0.1:",
					  ":80",   "1.2.3.4:-1", "1.2.3.4:65536", "::1:80",
					  "[::1]", "[::1:80",    "[1.2.3.4]:80",  "1.2.3.4:8a"};
	struct problem why;
	bool loopback;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(http_address_check(bad[i], &loopback, &why) == -EINVAL &&
			      http_listen(bad[i], &fd, &why) == -EINVAL,
		      "%s", bad[i]);
	check(http_address_check("127.9.9.9:80", &loopback, &why) == 0 && loopback);
	check(http_address_check("[::1]:0", &loopback, &why) == 0 && loopback);
	check(http_address_check("0.0.0.0:80", &loopback, &why) == 0 && !loopback);
	check(http_address_check("[::]:80", &loopback, &why) == 0 && !loopback);
	check(http_address_check("128.0.0.1:80", &loopback, &why) == 0 && !loopback);
}

static void an_address_that_is_taken_is_refused(void)
{
	char address[HTTP_ADDRESS_SIZE];
	struct problem why;
	int fd = -1, other = -1;

	require(http_listen("127.0.0.1:0", &fd, &why) == 0, "%s", why.text);
	http_address_of(fd, address);
	check(http_listen(address, &other, &why) == -EADDRINUSE);
	check(strstr(why.text, address), "%s", why.text);
	close(fd);
}

static void on_a_local_socket_the_server_knows_who_asks(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct http_options options = usual;
	struct problem why;
	struct bed bed;
	char text[4096], wanted[64];
	struct stat st;
	int fd;

	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
	require(http_listen_local(address.sun_path, geteuid(), &options.fd, &why) == 0, "%s",
		why.text);
	check(stat(address.sun_path, &st) == 0 && (st.st_mode & 0777) == 0600);
	require(make_bed(&bed, &options));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	check(say(fd, GET));
	snprintf(wanted, sizeof wanted, "||local%d\n", (int)geteuid());
	check(strstr(hear(fd, text, sizeof text), wanted), "%s", text);
	close(fd);
	check(http_server_drain(bed.server, PATIENCE_US / 1000) == 0);
	unmake_bed(&bed);
}

/* --- TLS -------------------------------------------------------------------------------------- */

struct pair {
	char chain[256], key[256];
};

static void write_file(const char *path, mode_t mode, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	check(fd >= 0 && fchmod(fd, mode) == 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* A self-signed certificate of that name. */
static void make_pair(const struct pair *pair, const char *name, int64_t valid_s)
{
	unsigned char pem[16384];
	size_t size = sizeof pem;
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;

	gnutls_x509_privkey_init(&key);
	check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					   GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
					   0) == 0);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, strlen(name));
	gnutls_x509_crt_set_activation_time(crt, time(NULL) - 86400);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + valid_s);
	gnutls_x509_crt_set_key(crt, key);
	check(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) == 0);
	gnutls_x509_crt_export(crt, GNUTLS_X509_FMT_PEM, pem, &size);
	write_file(pair->chain, 0644, pem, size);
	size = sizeof pem;
	gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, pem, &size);
	write_file(pair->key, 0600, pem, size);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

static struct pair pair_named(const char *name)
{
	struct pair pair;

	snprintf(pair.chain, sizeof pair.chain, "%s/%s.crt", directory, name);
	snprintf(pair.key, sizeof pair.key, "%s/%s.key", directory, name);
	return pair;
}

struct secure {
	int fd;
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
};

/* Dial and shake hands; the name in the certificate that was shown. */
static bool dial_tls(const struct bed *bed, const char *priorities, struct secure *secure,
		     char name[64])
{
	const gnutls_datum_t *chain;
	unsigned count = 0;
	size_t size = 64;
	gnutls_x509_crt_t crt;
	int r;

	*name = 0;
	secure->fd = dial(bed);
	gnutls_certificate_allocate_credentials(&secure->credentials);
	gnutls_init(&secure->session, GNUTLS_CLIENT);
	gnutls_priority_set_direct(secure->session, priorities, NULL);
	gnutls_credentials_set(secure->session, GNUTLS_CRD_CERTIFICATE, secure->credentials);
	gnutls_transport_set_int(secure->session, secure->fd);
	do
		r = gnutls_handshake(secure->session);
	while (r < 0 && !gnutls_error_is_fatal(r));
	if (r < 0)
		return false;
	chain = gnutls_certificate_get_peers(secure->session, &count);
	if (!check(count == 1))
		return false;
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_import(crt, chain, GNUTLS_X509_FMT_DER);
	gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size);
	gnutls_x509_crt_deinit(crt);
	return true;
}

static void hang_up(struct secure *secure)
{
	gnutls_deinit(secure->session);
	gnutls_certificate_free_credentials(secure->credentials);
	close(secure->fd);
}

static bool ask_tls(struct secure *secure, const char *request, char *text, size_t size)
{
	size_t used = 0;

	if (gnutls_record_send(secure->session, request, strlen(request)) < 0)
		return false;
	do {
		ssize_t n = gnutls_record_recv(secure->session, text + used, size - 1 - used);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n <= 0)
			return false;
		used += n;
		text[used] = 0;
	} while (!strstr(text, "body "));
	return !strncmp(text, "HTTP/1.1 200", 12);
}

static void a_new_certificate_is_shown_from_the_next_handshake_on(void)
{
	CLEANUP(http_certificate) struct http_certificate *certificate = NULL;
	struct pair pair = pair_named("server");
	struct http_options options = usual;
	struct secure old, new;
	struct problem why;
	struct bed bed;
	char text[4096], name[64];

	make_pair(&pair, "first", 86400);
	require(http_certificate_load(pair.chain, pair.key, &certificate, &why) == 0, "%s",
		why.text);
	options.certificate = certificate;
	require(make_bed(&bed, &options));
	require(dial_tls(&bed, "NORMAL", &old, name));
	check(!strcmp(name, "first"), "%s", name);
	check(ask_tls(&old, GET, text, sizeof text) && strstr(text, "|127.0.0.1|tls0"), "%s", text);

	make_pair(&pair, "second", 86400);
	check(http_certificate_reload(certificate, &why) == 0, "%s", why.text);
	require(dial_tls(&bed, "NORMAL", &new, name));
	check(!strcmp(name, "second"), "%s", name);
	check(ask_tls(&new, GET, text, sizeof text));
	/* The old connection has noticed nothing. */
	check(ask_tls(&old, GET, text, sizeof text));
	hang_up(&new);

	/* What is no certificate leaves the one that is there. */
	write_file(pair.chain, 0644, "half", 4);
	check(http_certificate_reload(certificate, &why) == -EBADMSG);
	require(dial_tls(&bed, "NORMAL", &new, name));
	check(!strcmp(name, "second"), "%s", name);
	hang_up(&new);
	hang_up(&old);
	unmake_bed(&bed);
}

static void old_tls_plain_text_and_half_handshakes_stop_nobody(void)
{
	CLEANUP(http_certificate) struct http_certificate *certificate = NULL;
	struct pair pair = pair_named("only");
	struct http_options options = usual;
	struct secure secure;
	struct problem why;
	struct bed bed;
	char text[4096], name[64];
	int halves[200];

	make_pair(&pair, "only", 86400);
	require(http_certificate_load(pair.chain, pair.key, &certificate, &why) == 0, "%s",
		why.text);
	options.certificate = certificate;
	options.connections_max = 50;
	require(make_bed(&bed, &options));
	check(!dial_tls(&bed, "NORMAL:-VERS-ALL:+VERS-TLS1.1", &secure, name));
	hang_up(&secure);
	check(ask(&bed, GET, text, sizeof text) == 0);
	check(atomic_load(&bed.handled) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		halves[i] = dial(&bed);
		send(halves[i], "\x16\x03\x01\x02\x00\x01\x00", i % 8, MSG_NOSIGNAL);
	}
	for (int i = 0; i < 5; i++) {
		check(dial_tls(&bed, i % 2 ? "NORMAL" : "NORMAL:-VERS-ALL:+VERS-TLS1.2", &secure,
			       name));
		check(ask_tls(&secure, GET, text, sizeof text));
		hang_up(&secure);
	}
	for (size_t i = 0; i < ARRAY_SIZE(halves); i++)
		close(halves[i]);
	unmake_bed(&bed);
}

static void a_bad_certificate_or_key_is_refused_with_its_reason(void)
{
	CLEANUP(http_certificate) struct http_certificate *certificate = NULL;
	struct pair one = pair_named("one"), other = pair_named("other"), past = pair_named("past");
	struct problem why;

	make_pair(&one, "one", 86400);
	make_pair(&other, "other", 86400);
	make_pair(&past, "past", -3600);
	check(http_certificate_load(one.chain, other.key, &certificate, &why) == -EBADMSG);
	check(strstr(why.text, "is not that of"), "%s", why.text);
	check(http_certificate_load(past.chain, past.key, &certificate, &why) == -EBADMSG);
	check(strstr(why.text, "expired"), "%s", why.text);
	check(http_certificate_load(one.key, one.key, &certificate, &why) == -EBADMSG);
	check(http_certificate_load(one.chain, one.chain, &certificate, &why) == -EPERM,
	      "a key that everybody can read");
	chmod(one.chain, 0600);
	check(http_certificate_load(one.chain, one.chain, &certificate, &why) == -EBADMSG);
	check(http_certificate_load("/nowhere/x.crt", one.key, &certificate, &why) == -ENOENT);
	check(strstr(why.text, "/nowhere/x.crt"), "%s", why.text);
}

/* A crowd needs two descriptors each. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void sweep_up(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r '%s'", directory);
	check(system(command) == 0);
}

int main(void)
{
	allow_descriptors();
	if (!mkdtemp(directory))
		return 1;
	RUN(headers_are_found_in_any_case_the_first_of_a_name);
	RUN(a_request_arrives_as_it_was_sent);
	RUN(a_connection_carries_many_requests_also_when_they_come_at_once);
	RUN(a_body_may_be_as_large_as_the_limit_and_no_larger);
	RUN(a_body_without_a_length_is_measured_as_it_comes);
	RUN(who_asks_before_sending_too_much_is_told_at_once);
	RUN(all_bodies_together_have_a_limit_and_it_is_given_back);
	RUN(what_is_no_request_never_reaches_the_handler);
	RUN(a_header_that_is_none_is_refused_with_all_behind_it);
	RUN(who_sends_his_request_slowly_is_cut_off_at_any_stage_of_it);
	RUN(who_says_nothing_is_cut_off);
	RUN(who_does_not_take_his_answer_is_cut_off);
	RUN(who_handles_a_request_for_long_is_not_cut_off);
	RUN(who_waits_for_his_answer_holds_nobody_up);
	RUN(a_crowd_that_holds_its_requests_back_does_not_stop_others);
	RUN(one_address_has_so_many_connections_and_no_more);
	RUN(many_clients_at_once_get_their_own_answers);
	RUN(draining_answers_what_has_begun_and_ends_the_rest);
	RUN(draining_gives_up_after_its_time);
	RUN(an_address_is_numbers_and_a_port);
	RUN(an_address_that_is_taken_is_refused);
	RUN(on_a_local_socket_the_server_knows_who_asks);
	RUN(a_new_certificate_is_shown_from_the_next_handshake_on);
	RUN(old_tls_plain_text_and_half_handshakes_stop_nobody);
	RUN(a_bad_certificate_or_key_is_refused_with_its_reason);
	sweep_up();
	return tap_done();
}
