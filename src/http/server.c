/*
 * libmicrohttpd reads and writes; here is who may stay connected for how long.
 *
 *	             connect              first line              whole               queued
 *	  (nothing) ---------> CONNECTED -----------> READING ---------> ANSWERING --------->
 *SENDING ^                                       | |  first line               sent        |
 *	                                                 +------------- WAITING <----------------+
 *
 * What the handler cannot answer at once is suspended, and waits in a queue for a worker; for
 * libmicrohttpd's threads it is as if it were not there until that has queued the answer.
 *
 * Each stage but ANSWERING has its time.  A watchman shuts the socket of a connection down that has
 * used it up; libmicrohttpd sees its end as if the client had gone, and closes it in its own
 * thread.
 */
#include "http/server.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* The request's first line and all headers, and the answer's. */
#define HEAD_MAX (32 << 10)
/* Of a request that is refused for its size so much is read to no end, so that the client, who may
 * not look before he has sent all, sees why. */
#define DISCARD_MAX (16 << 20)
/* Larger buffers are not kept for a connection's next request. */
#define KEEP_MAX (16 << 10)
#define WATCH_MIN_MS 20u
#define WATCH_MAX_MS 1000u

enum stage { CONNECTED, READING, ANSWERING, SENDING, WAITING };

struct connection {
	struct http_server *server;
	struct MHD_Connection *mhd;
	int fd;
	char peer[INET6_ADDRSTRLEN];
	bool local;
	uid_t uid;

	TAILQ_ENTRY(connection) entry; /* lock, as all of this paragraph */
	enum stage stage;
	int64_t since_us; /* in this stage; the list is in this order */
	bool served;      /* has had an answer */
	bool ended;       /* its socket is shut down */

	/* The request at hand, of the connection's own thread. */
	char *text; /* target and NUL, path and NUL */
	size_t text_room;
	const char *target, *path, *query;
	struct http_header *headers;
	size_t header_count, header_room;
	struct buffer body;
	bool begun;       /* its headers have been seen */
	unsigned refused; /* the status why it does not reach the handler; 0: it does */
	size_t discarded;

	const char *method;               /* of one that is in the queue */
	STAILQ_ENTRY(connection) waiting; /* lock */
};

TAILQ_HEAD(connections, connection);
STAILQ_HEAD(queue, connection);

struct http_server {
	struct http_options options;
	struct MHD_Daemon *daemon;
	bool tls, local;
	atomic_size_t bodies; /* bytes of all bodies */
	atomic_bool draining;
	int quiesced_fd;
	pthread_t watchman;

	pthread_mutex_t lock; /* innermost; for all that follows */
	pthread_cond_t changed;
	struct connections connections; /* who has been in his stage for longest comes first */
	unsigned count, ended;          /* of them, those that are shut down */
	bool closing;
	struct queue queue; /* suspended, for a worker */
	pthread_cond_t queued;
	bool closed; /* nothing comes to the queue any more */

	pthread_t *workers;
	unsigned worker_count;
};

/* What libmicrohttpd's callback for certificates, which has no argument, shows. */
static _Atomic(struct http_certificate *) shown;

/* --- Who may stay ----------------------------------------------------------------------------- */

static void end_connection(struct connection *connection)
{
	shutdown(connection->fd, SHUT_RDWR);
	connection->ended = true;
	connection->server->ended++;
}

static void enter(struct connection *connection, enum stage stage)
{
	struct http_server *server = connection->server;
	int64_t now_us = clock_monotonic_us();

	pthread_mutex_lock(&server->lock);
	connection->stage = stage;
	connection->since_us = now_us;
	connection->served |= stage == WAITING;
	TAILQ_REMOVE(&server->connections, connection, entry);
	TAILQ_INSERT_TAIL(&server->connections, connection, entry);
	/* Its answer was on the way, without a "close", when the others were told. */
	if (stage == WAITING && atomic_load(&server->draining))
		shutdown(connection->fd, SHUT_RD);
	pthread_mutex_unlock(&server->lock);
}

/*
 * Who has waited for longest makes room; who has never sent a whole request, before others.  The
 * lock is held.
 */
static void make_room(struct http_server *server)
{
	struct connection *chosen = NULL, *connection = NULL;

	TAILQ_FOREACH(connection, &server->connections, entry)
	{
		if (connection->ended || connection->stage == ANSWERING)
			continue;
		if (!chosen)
			chosen = connection;
		if (!connection->served) {
			chosen = connection;
			break;
		}
	}
	if (chosen)
		end_connection(chosen);
}

static unsigned stage_ms(const struct http_options *options, enum stage stage)
{
	switch (stage) {
	case CONNECTED:
	case READING:
		return options->request_ms;
	case SENDING:
		return options->answer_ms;
	case WAITING:
		return options->idle_ms;
	case ANSWERING:
		break;
	}
	return UINT32_MAX;
}

static void end_late(struct http_server *server)
{
	int64_t now_us = clock_monotonic_us();
	struct connection *connection = NULL;

	TAILQ_FOREACH(connection, &server->connections, entry)
	{
		int64_t stayed_ms = (now_us - connection->since_us) / 1000;

		if (!connection->ended && stayed_ms > stage_ms(&server->options, connection->stage))
			end_connection(connection);
	}
}

/* Wait for a change, `ms` at most; false when nothing changed.  The lock is held. */
static bool wait_ms(struct http_server *server, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return pthread_cond_timedwait(&server->changed, &server->lock, &until) == 0;
}

static void *watch(void *arg)
{
	struct http_server *server = arg;
	const struct http_options *options = &server->options;
	unsigned of_client_ms = MIN(options->request_ms, options->answer_ms);
	unsigned least_ms = MIN(options->idle_ms, of_client_ms);
	unsigned most_ms = MIN(least_ms / 4, WATCH_MAX_MS);
	unsigned period_ms = MAX(most_ms, WATCH_MIN_MS);

	pthread_mutex_lock(&server->lock);
	while (!server->closing) {
		if (server->count == 0)
			pthread_cond_wait(&server->changed, &server->lock);
		else
			wait_ms(server, period_ms);
		end_late(server);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* --- Connections ------------------------------------------------------------------------------ */

static void name_peer(struct connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (connection->server->local) {
		connection->local =
			getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
		connection->uid = connection->local ? peer.uid : (uid_t)-1;
	} else if (info && info->client_addr->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)info->client_addr)->sin6_addr,
			  connection->peer, sizeof connection->peer);
	} else if (info && info->client_addr->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((struct sockaddr_in *)info->client_addr)->sin_addr,
			  connection->peer, sizeof connection->peer);
	}
}

static struct connection *begin_connection(struct http_server *server, struct MHD_Connection *mhd)
{
	struct connection *connection = xcalloc(1, sizeof *connection);

	connection->server = server;
	connection->mhd = mhd;
	connection->fd =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	connection->since_us = clock_monotonic_us();
	name_peer(connection);

	pthread_mutex_lock(&server->lock);
	TAILQ_INSERT_TAIL(&server->connections, connection, entry);
	if (server->count++ == 0)
		pthread_cond_broadcast(&server->changed);
	if (server->count - server->ended > server->options.connections_max)
		make_room(server);
	if (atomic_load(&server->draining))
		shutdown(connection->fd, SHUT_RD);
	pthread_mutex_unlock(&server->lock);
	return connection;
}

static void forget_connection(struct connection *connection)
{
	struct http_server *server = connection->server;

	pthread_mutex_lock(&server->lock);
	TAILQ_REMOVE(&server->connections, connection, entry);
	server->ended -= connection->ended;
	if (--server->count == 0)
		pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	buffer_done(&connection->body);
	free(connection->headers);
	free(connection->text);
	free(connection);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = begin_connection(arg, mhd);
	else if (*context)
		forget_connection(take(*context));
}

/* --- A request -------------------------------------------------------------------------------- */

/* The first line has come. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *mhd)
{
	struct connection *connection =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	size_t size = strlen(target) + 1, path_size = strcspn(target, "?");
	char *path;

	if (connection->text_room < 2 * size) {
		connection->text_room = 2 * size;
		connection->text = xreallocarray(connection->text, 2, size);
	}
	memcpy(connection->text, target, size);
	path = connection->text + size;
	memcpy(path, target, path_size);
	path[path_size] = 0;
	connection->target = connection->text;
	connection->path = path;
	connection->query = connection->text + path_size + (target[path_size] == '?');
	enter(connection, READING);
	return connection;
}

static enum MHD_Result add_header(void *arg, enum MHD_ValueKind kind, const char *name,
				  size_t name_size, const char *value, size_t value_size)
{
	struct connection *connection = arg;

	/* libmicrohttpd lets some through that are none (README.md). */
	if (!http_header_is_sound(name, name_size, value, value_size)) {
		connection->refused = MHD_HTTP_BAD_REQUEST;
		return MHD_NO;
	}
	xgrow(connection->headers, connection->header_count, connection->header_room);
	connection->headers[connection->header_count++] =
		(struct http_header){name, value ? value : ""};
	return MHD_YES;
}

static struct http_request request_of(struct connection *connection, const char *method)
{
	return (struct http_request){
		.method = method,
		.target = connection->target,
		.path = connection->path,
		.query = connection->query,
		.headers = connection->headers,
		.header_count = connection->header_count,
		.body = connection->body.data ? connection->body.data : (const void *)"",
		.body_size = connection->body.size,
		.peer = connection->peer,
		.tls = connection->server->tls,
		.local = connection->local,
		.uid = connection->uid,
	};
}

static enum MHD_Result send_response(struct connection *connection, struct http_response *response)
{
	unsigned status = response->status ? response->status : MHD_HTTP_OK;
	struct MHD_Response *mhd;
	enum MHD_Result result;

	if (response->body.data)
		mhd = MHD_create_response_from_buffer(response->body.size, response->body.data,
						      MHD_RESPMEM_MUST_FREE);
	else
		mhd = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	if (!mhd) {
		buffer_done(&response->body);
		return MHD_NO;
	}
	if (response->content_type)
		MHD_add_response_header(mhd, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
	for (unsigned i = 0; i < response->header_count; i++)
		MHD_add_response_header(mhd, response->headers[i].name, response->headers[i].value);
	if (connection->refused == MHD_HTTP_BAD_REQUEST ||
	    atomic_load(&connection->server->draining))
		MHD_add_response_header(mhd, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(connection->mhd, status, mhd);
	MHD_destroy_response(mhd);
	enter(connection, SENDING);
	return result;
}

static void release_body(struct connection *connection)
{
	atomic_fetch_sub(&connection->server->bodies, connection->body.size);
	connection->body.size = 0;
	if (connection->body.room > KEEP_MAX)
		buffer_done(&connection->body);
}

static enum MHD_Result answer_refused(struct connection *connection, const char *method)
{
	const struct http_options *options = &connection->server->options;
	struct http_request request = request_of(connection, method);
	struct http_response response = {.status = connection->refused};

	if (options->refuse)
		options->refuse(&request, connection->refused, &response, options->arg);
	else
		http_response_text(&response, connection->refused == MHD_HTTP_CONTENT_TOO_LARGE
						      ? "The request is too large.\n"
						      : "Too much at once; try again.\n");
	return send_response(connection, &response);
}

/* Where it ends can be doubted, too: nothing behind it is a request. */
static enum MHD_Result answer_unsound(struct connection *connection)
{
	struct http_response response = {.status = connection->refused};

	http_response_text(&response, "A header is malformed.\n");
	return send_response(connection, &response);
}

/* The headers have come. */
static enum MHD_Result begin_request(struct connection *connection, const char *method)
{
	const char *length;

	connection->begun = true;
	MHD_get_connection_values_n(connection->mhd, MHD_HEADER_KIND, add_header, connection);
	if (connection->refused)
		return answer_unsound(connection);
	length = MHD_lookup_connection_value(connection->mhd, MHD_HEADER_KIND,
					     MHD_HTTP_HEADER_CONTENT_LENGTH);
	if (!length || strtoull(length, NULL, 10) <= connection->server->options.body_max)
		return MHD_YES;
	connection->refused = MHD_HTTP_CONTENT_TOO_LARGE;
	/* Who asks first ("Expect: 100-continue"), or has too much to send, is told at once. */
	if (MHD_lookup_connection_value(connection->mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) ||
	    strtoull(length, NULL, 10) > DISCARD_MAX)
		return answer_refused(connection, method);
	return MHD_YES;
}

static enum MHD_Result take_body(struct connection *connection, const char *data, size_t size)
{
	struct http_server *server = connection->server;

	if (!connection->refused && connection->body.size + size > server->options.body_max)
		connection->refused = MHD_HTTP_CONTENT_TOO_LARGE;
	if (!connection->refused &&
	    atomic_load(&server->bodies) + size > server->options.bodies_max)
		connection->refused = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (connection->refused) {
		release_body(connection);
		connection->discarded += size;
		return connection->discarded > DISCARD_MAX ? MHD_NO : MHD_YES;
	}
	atomic_fetch_add(&server->bodies, size);
	buffer_put(&connection->body, data, size);
	return MHD_YES;
}

/* Have a worker answer it. */
static enum MHD_Result answer_later(struct connection *connection, const char *method)
{
	struct http_server *server = connection->server;
	bool closed;

	connection->method = method;
	pthread_mutex_lock(&server->lock);
	closed = server->closed;
	if (!closed) {
		MHD_suspend_connection(connection->mhd);
		STAILQ_INSERT_TAIL(&server->queue, connection, waiting);
		pthread_cond_signal(&server->queued);
	}
	pthread_mutex_unlock(&server->lock);
	return closed ? MHD_NO : MHD_YES;
}

static void *work(void *arg)
{
	struct http_server *server = arg;

	pthread_mutex_lock(&server->lock);
	while (!server->closed || !STAILQ_EMPTY(&server->queue)) {
		struct connection *connection = STAILQ_FIRST(&server->queue);
		struct http_response response = {0};
		struct http_request request;

		if (!connection) {
			pthread_cond_wait(&server->queued, &server->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&server->queue, waiting);
		pthread_mutex_unlock(&server->lock);
		request = request_of(connection, connection->method);
		server->options.handle(&request, &response, false, server->options.arg);
		send_response(connection, &response);
		/* From here on it is the other thread's again. */
		MHD_resume_connection(connection->mhd);
		pthread_mutex_lock(&server->lock);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

static enum MHD_Result answer(struct connection *connection, const char *method)
{
	const struct http_options *options = &connection->server->options;
	struct http_request request = request_of(connection, method);
	struct http_response response = {0};

	if (connection->refused)
		return answer_refused(connection, method);
	enter(connection, ANSWERING);
	if (options->handle(&request, &response, true, options->arg) == -EAGAIN)
		return answer_later(connection, method);
	return send_response(connection, &response);
}

/* Called with the headers, with each piece of the body, and when there is no more of it. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **context)
{
	struct connection *connection = *context;
	enum MHD_Result result;

	if (!connection->begun)
		return begin_request(connection, method);
	if (*size == 0)
		return answer(connection, method);
	result = take_body(connection, data, *size);
	*size = 0;
	return result;
}

/* The answer has been sent, or there will be none. */
static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct connection *connection = take(*context);

	if (!connection)
		return;
	release_body(connection);
	connection->header_count = 0;
	connection->begun = false;
	connection->refused = 0;
	connection->discarded = 0;
	enter(connection, WAITING);
}

static int on_handshake(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
			gnutls_pcert_st **chain, unsigned *count, gnutls_ocsp_data_st **ocsp,
			unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
	*ocsp = NULL;
	*ocsp_count = 0;
	*flags = GNUTLS_CERT_RETR_DEINIT_ALL;
	return http_certificate_copy(atomic_load(&shown), chain, count, key);
}

/* --- The server ------------------------------------------------------------------------------- */

static bool is_local(int fd)
{
	int family = 0;
	socklen_t size = sizeof family;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_UNIX;
}

static struct MHD_Daemon *start(struct http_server *server)
{
	const struct http_options *options = &server->options;
	/* Its limit is for each thread: ours, over all, is reached first. */
	unsigned connections = MIN(options->connections_max * 2, UINT32_MAX / options->threads);
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
	static char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
	struct MHD_OptionItem of_tls[] = {{MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, on_handshake},
					  {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
					  {MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem of_none[] = {{MHD_OPTION_END, 0, NULL}};

	if (server->tls)
		flags |= MHD_USE_TLS;
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET,
				options->fd, MHD_OPTION_THREAD_POOL_SIZE, options->threads,
				MHD_OPTION_CONNECTION_LIMIT, connections * options->threads,
				MHD_OPTION_PER_IP_CONNECTION_LIMIT, options->per_address_max,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX,
				MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
				on_target, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
				server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
				MHD_OPTION_ARRAY, server->tls ? of_tls : of_none, MHD_OPTION_END);
}

static int start_workers(struct http_server *server)
{
	server->workers = xcalloc(server->options.workers, sizeof *server->workers);
	for (; server->worker_count < server->options.workers; server->worker_count++) {
		int r = pthread_create(&server->workers[server->worker_count], NULL, work, server);

		if (r)
			return -r;
	}
	return 0;
}

/* They answer what is in the queue before they end. */
static void stop_workers(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->closed = true;
	pthread_cond_broadcast(&server->queued);
	pthread_mutex_unlock(&server->lock);
	while (server->worker_count > 0)
		pthread_join(server->workers[--server->worker_count], NULL);
}

static void free_server(struct http_server *server)
{
	if (server->tls)
		atomic_store(&shown, NULL);
	free(server->workers);
	pthread_cond_destroy(&server->queued);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

static struct http_server *new_server(const struct http_options *options)
{
	struct http_server *server = xcalloc(1, sizeof *server);
	pthread_condattr_t attr;

	server->options = *options;
	server->local = is_local(options->fd);
	server->quiesced_fd = -1;
	TAILQ_INIT(&server->connections);
	STAILQ_INIT(&server->queue);
	pthread_cond_init(&server->queued, NULL);
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&server->changed, &attr);
	pthread_condattr_destroy(&attr);
	return server;
}

static void stop(struct http_server *server)
{
	stop_workers(server);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	else
		close(server->options.fd);
}

/* The threads that wait before the one that gives them work. */
static int start_all(struct http_server *server, struct problem *why)
{
	int r = start_workers(server);

	if (r < 0)
		return problem_errno(why, r, "cannot start a thread");
	server->daemon = start(server);
	if (!server->daemon)
		return problem(why, -ENOMEM, "libmicrohttpd could not start");
	r = -pthread_create(&server->watchman, NULL, watch, server);
	return r < 0 ? problem_errno(why, r, "cannot start a thread") : 0;
}

int http_server_open(const struct http_options *options, struct http_server **ret,
		     struct problem *why)
{
	struct http_server *server = new_server(options);
	struct http_certificate *nothing = NULL;
	int r = 0;

	if (options->certificate) {
		server->tls =
			atomic_compare_exchange_strong(&shown, &nothing, options->certificate);
		if (!server->tls)
			r = problem(why, -EBUSY, "another server of this process speaks TLS");
	}
	if (r == 0)
		r = start_all(server, why);
	if (r < 0) {
		stop(server);
		free_server(server);
		return r;
	}
	*ret = server;
	return 0;
}

/* No more connections, and no more requests on those that are there. */
static void stop_listening(struct http_server *server)
{
	struct connection *connection = NULL;

	server->quiesced_fd = MHD_quiesce_daemon(server->daemon);
	shutdown(server->quiesced_fd, SHUT_RDWR);
	pthread_mutex_lock(&server->lock);
	atomic_store(&server->draining, true);
	/* What a client has sent already is read and answered; then comes the end. */
	TAILQ_FOREACH(connection, &server->connections, entry)
	if (connection->stage == WAITING || connection->stage == CONNECTED)
		shutdown(connection->fd, SHUT_RD);
	pthread_mutex_unlock(&server->lock);
}

int http_server_drain(struct http_server *server, unsigned timeout_ms)
{
	int64_t until_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000, left_us;
	int r;

	if (server->quiesced_fd < 0)
		stop_listening(server);
	pthread_mutex_lock(&server->lock);
	while (server->count > 0 && (left_us = until_us - clock_monotonic_us()) > 0)
		wait_ms(server, left_us / 1000 + 1);
	r = server->count > 0 ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&server->lock);
	return r;
}

void http_server_close(struct http_server *server)
{
	if (!server)
		return;
	stop(server);
	pthread_mutex_lock(&server->lock);
	server->closing = true;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	pthread_join(server->watchman, NULL);
	if (server->quiesced_fd >= 0)
		close(server->quiesced_fd);
	free_server(server);
}

unsigned http_server_connections(struct http_server *server)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = server->count;
	pthread_mutex_unlock(&server->lock);
	return count;
}
