#include "serve/serve.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/cluster.h"
#include "http/server.h"
#include "jobs/jobs.h"
#include "rds/rds.h"
#include "serve/front.h"
#include "serve/notify.h"
#include "serve/once.h"
#include "serve/relay.h"
#include "serve/settings.h"
#include "state/state.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* What a request may be: policies and parameters are far smaller. */
#define BODY_MAX (2 << 20)
#define BODIES_MAX (16 << 20)
#define IDLE_MS 60000
#define REQUEST_MS 30000
#define ANSWER_MS 60000
#define THREADS 4
#define WORKERS 8
#define DRAIN_MS 25000

struct serve {
	const struct serve_options *options;
	struct settings settings;
	struct state *state;
	struct identity *identity;
	struct rds *rds;
	struct aws_answers of_iam, of_sts;
	const struct aws_answers *answers[4];
	struct front *front;
	struct http_certificate *certificate;
	int fd, local_fd; /* -1: none, or a server's */
	char address[HTTP_ADDRESS_SIZE];
	char local_path[PATH_MAX];
	struct http_server *http, *local;
	struct relay *relay;
};

/* --- Settings --------------------------------------------------------------------------------- */

static int say(const char *option, const char *value, char *ret, size_t size, struct problem *why)
{
	if (!value)
		return 0;
	if (strlen(value) >= size)
		return problem(why, -EINVAL, "--%s is longer than %zu bytes", option, size - 1);
	strcpy(ret, value);
	return 0;
}

/* The file's, and what was said on the command line over it. */
static int read_settings(const struct serve_options *options, struct settings *ret,
			 struct problem *why)
{
	char path[PATH_MAX];
	int r = cluster_serve_path("serve.json", path, why);

	settings_init(ret);
	if (r == 0)
		r = settings_read(path, ret, why);
	if (r == 0)
		r = say("listen", options->listen, ret->listen, sizeof ret->listen, why);
	if (r == 0)
		r = say("tls-certificate", options->tls_certificate, ret->tls_certificate,
			sizeof ret->tls_certificate, why);
	if (r == 0)
		r = say("tls-key", options->tls_key, ret->tls_key, sizeof ret->tls_key, why);
	if (r == 0)
		r = say("region", options->region, ret->region, sizeof ret->region, why);
	ret->test_reset = options->test_reset;
	return r == 0 ? settings_check(ret, why) : r;
}

static bool takes_restart(const struct settings *a, const struct settings *b)
{
	return strcmp(a->listen, b->listen) != 0 || strcmp(a->region, b->region) != 0 ||
	       strcmp(a->tls_certificate, b->tls_certificate) != 0 ||
	       strcmp(a->tls_key, b->tls_key) != 0 || a->connections_max != b->connections_max ||
	       a->per_address_max != b->per_address_max;
}

/* What is wrong is said, and what there was stays. */
static void reload(struct serve *serve)
{
	struct settings settings;
	struct problem why;
	int r;

	if (serve->options->reopen_log)
		serve->options->reopen_log(serve->options->arg);
	r = read_settings(serve->options, &settings, &why);
	if (r < 0) {
		log_error("settings are not changed: %s", why.text);
	} else {
		front_log_requests(serve->front, settings.log_requests);
		front_limit_rate(serve->front, settings.requests_per_second);
		serve->settings.log_requests = settings.log_requests;
		if (takes_restart(&settings, &serve->settings))
			log_warning("address, region, limits of connections and paths of TLS files "
				    "change when "
				    "serve is started again");
		log_info("settings have been read");
	}
	if (!serve->certificate)
		return;
	r = http_certificate_reload(serve->certificate, &why);
	if (r < 0)
		log_error("the certificate is not changed: %s", why.text);
	else
		log_info("the certificate has been read");
}

/* --- Parts ------------------------------------------------------------------------------------ */

static int make_directory(struct problem *why)
{
	char path[PATH_MAX];
	struct stat st;
	int r = cluster_home(true, path, why);

	if (r == 0)
		r = cluster_serve_path("", path, why);
	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return problem_errno(why, -errno, "cannot make '%s'", path);
	if (stat(path, &st) < 0)
		return problem_errno(why, -errno, "cannot look at '%s'", path);
	if (st.st_mode & 077)
		return problem(why, -EPERM,
			       "'%s', which has secrets, can be entered by others; chmod it to 700",
			       path);
	return 0;
}

static int open_state(struct serve *serve, struct problem *why)
{
	static const struct state_part *const parts[] = {&identity_state_part, &jobs_state_part,
							 &rds_state_part, &once_state_part, NULL};
	char path[PATH_MAX];
	int r = cluster_serve_path("state.db", path, why);

	if (r < 0)
		return r;
	r = state_open(path, parts, &serve->state, why);
	if (r == -EBUSY)
		return problem(why, r, "another 'unspill serve' has '%s'", path);
	if (r == 0)
		r = once_start(serve->state);
	return r;
}

static int open_identity(struct serve *serve, struct problem *why)
{
	struct identity_options options = {.test = serve->settings.test_reset};
	char path[PATH_MAX];
	int r = cluster_serve_path("secret.key", path, why);

	if (r < 0)
		return r;
	options.key_path = path;
	r = identity_open(serve->state, &options, &serve->identity, why);
	if (r == 0)
		identity_answers(serve->identity, &serve->of_iam, &serve->of_sts);
	return r;
}

static int open_rds(struct serve *serve, struct problem *why)
{
	struct rds_options options = {.state = serve->state};

	snprintf(options.account, sizeof options.account, "%s", identity_account(serve->identity));
	snprintf(options.region, sizeof options.region, "%s", serve->settings.region);
	rds_new(&options, &serve->rds);
	return rds_start(serve->rds, why);
}

/* A program that was killed, and had just begun to start another one, is gone a moment later. */
#define ADDRESS_WAIT_MS 2000
#define ADDRESS_LOOK_MS 20

static int listen_soon(const char *address, int *ret, struct problem *why)
{
	int r = http_listen(address, ret, why);

	for (int ms = 0; r == -EADDRINUSE && ms < ADDRESS_WAIT_MS; ms += ADDRESS_LOOK_MS) {
		poll(NULL, 0, ADDRESS_LOOK_MS); /* nobody tells when it is free */
		r = http_listen(address, ret, why);
	}
	return r;
}

/* Before anything that is told once: a port that is taken ends a first start before it began. */
static int open_sockets(struct serve *serve, struct problem *why)
{
	const struct settings *settings = &serve->settings;
	int r = cluster_serve_path("http.sock", serve->local_path, why);

	if (r == 0 && settings_tls(settings))
		r = http_certificate_load(settings->tls_certificate, settings->tls_key,
					  &serve->certificate, why);
	if (r == 0)
		r = listen_soon(settings->listen, &serve->fd, why);
	return r;
}

static int reset(void *arg)
{
	struct serve *serve = arg;
	struct problem why;
	int r = rds_forget(serve->rds, &why);

	if (r < 0) {
		log_error("reset: %s", why.text);
		return r;
	}
	return identity_forget(serve->identity);
}

static void open_front(struct serve *serve)
{
	const struct front_options options = {
		.identity = serve->identity,
		.state = serve->state,
		.answers = serve->answers,
		.log_requests = serve->settings.log_requests,
		.rate = serve->settings.requests_per_second,
		.reset = serve->settings.test_reset ? reset : NULL,
		.arg = serve,
	};

	serve->answers[0] = &serve->of_iam;
	serve->answers[1] = &serve->of_sts;
	serve->answers[2] = rds_answers(serve->rds);
	serve->front = front_new(&options);
}

static int open_servers(struct serve *serve, struct problem *why)
{
	const struct settings *settings = &serve->settings;
	struct http_options options = {
		.fd = serve->fd,
		.threads = THREADS,
		.workers = WORKERS,
		.certificate = serve->certificate,
		.body_max = BODY_MAX,
		.bodies_max = BODIES_MAX,
		.connections_max = settings->connections_max,
		.idle_ms = IDLE_MS,
		.request_ms = REQUEST_MS,
		.answer_ms = ANSWER_MS,
		.handle = front_handle,
		.refuse = front_refuse,
		.arg = serve->front,
	};
	bool is_loopback;
	int r = http_address_check(settings->listen, &is_loopback, why);

	if (r < 0)
		return r;
	/* On loopback everybody has the same. */
	options.per_address_max = is_loopback ? 0 : settings->per_address_max;
	http_address_of(serve->fd, serve->address);
	serve->fd = -1;
	r = http_server_open(&options, &serve->http, why);
	if (r < 0)
		return r;
	r = http_listen_local(serve->local_path, geteuid(), &serve->local_fd, why);
	if (r < 0)
		return r;
	options.fd = serve->local_fd;
	options.threads = 1;
	options.workers = 2;
	options.certificate = NULL;
	options.per_address_max = 0;
	serve->local_fd = -1;
	return http_server_open(&options, &serve->local, why);
}

/* What only looks is not worth a line: others look every second. */
static bool looks(const char *what)
{
	static const char *const all[] = {"status", "moments", "plan", "backtracks", "views"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(all[i], what))
			return true;
	return false;
}

static void hear(const struct relay_heard *heard, void *arg)
{
	if (looks(heard->what))
		return;
	if (!heard->answered)
		log_info("command: user %u: %s of '%s'", (unsigned)heard->uid, heard->what,
			 heard->cluster);
	else
		log_info("command: %s of '%s' %s%s", heard->what, heard->cluster,
			 heard->ok ? "is done" : "failed: ", heard->message ? heard->message : "");
}

/* So many jobs are told of. */
#define JOBS_MAX 1000

static int answer_command(const struct request *request, json_t **ret, struct problem *why,
			  void *arg)
{
	const struct serve *serve = arg;
	struct jobs *jobs = rds_jobs(serve->rds);
	json_t *list = NULL;
	int r;

	if (request->what == REQUEST_CANCEL) {
		r = jobs_cancel(jobs, request->job, why);
		*ret = r < 0 ? NULL : json_object();
		return r;
	}
	r = jobs_list(jobs, NULL, JOBS_MAX, &list);
	if (r < 0)
		return problem_errno(why, r, "cannot read the jobs");
	*ret = json_pack("{s:o}", "jobs", list);
	return 0;
}

/* A command that waits: its connection's thread asks of it what the job's tells it. */
struct waiting {
	struct connection *connection;
	pthread_mutex_t lock;
};

static void tell_progress(const char *step, uint64_t done, uint64_t total, const char *unit,
			  void *arg)
{
	struct waiting *waiting = arg;

	pthread_mutex_lock(&waiting->lock);
	connection_progress(waiting->connection, step, done, total, unit);
	pthread_mutex_unlock(&waiting->lock);
}

static enum rds_wish wish_of(void *arg)
{
	struct waiting *waiting = arg;
	bool alive;

	pthread_mutex_lock(&waiting->lock);
	alive = connection_alive(waiting->connection);
	pthread_mutex_unlock(&waiting->lock);
	return alive                                             ? RDS_WAIT
	       : connection_is_closed_by_us(waiting->connection) ? RDS_LEAVE
								 : RDS_CANCEL;
}

static int do_command(struct connection *connection, const struct request *request, json_t **ret,
		      struct problem *why, void *arg)
{
	struct waiting waiting = {connection, PTHREAD_MUTEX_INITIALIZER};
	const struct rds_command command = {
		.kind = request->kind,
		.name = request->name,
		.input = request->input,
		.progress = tell_progress,
		.wish = wish_of,
		.arg = &waiting,
	};
	const struct serve *serve = arg;

	return rds_command(serve->rds, &command, ret, why);
}

static int open_relay(struct serve *serve, struct problem *why)
{
	struct relay_options options = {
		.hear = hear, .answer = answer_command, .work = do_command, .arg = serve};
	char path[PATH_MAX];
	int r = cluster_serve_path("control.sock", path, why);

	if (r < 0)
		return r;
	options.path = path;
	return relay_open(&options, &serve->relay, why);
}

/* --- Life ------------------------------------------------------------------------------------- */

static int open_all(struct serve *serve, struct problem *why)
{
	int r = make_directory(why);

	if (r == 0)
		r = read_settings(serve->options, &serve->settings, why);
	if (r == 0)
		r = open_state(serve, why);
	if (r == 0)
		r = open_sockets(serve, why);
	if (r == 0)
		r = open_identity(serve, why);
	if (r == 0)
		r = open_rds(serve, why);
	if (r < 0)
		return r;
	open_front(serve);
	r = open_servers(serve, why);
	if (r == 0)
		r = open_relay(serve, why);
	return r;
}

/* The door first, what it leads to last. */
static void close_all(struct serve *serve)
{
	relay_close(serve->relay);
	http_server_close(serve->local);
	http_server_close(serve->http);
	rds_stop(serve->rds);
	front_free(serve->front);
	identity_close(serve->identity);
	http_certificate_free(serve->certificate);
	fd_cleanup(&serve->fd);
	fd_cleanup(&serve->local_fd);
	if (serve->local)
		unlink(serve->local_path);
	state_close(serve->state);
}

/* For `kill $(cat serve.pid)`; there while requests are answered. */
static void write_pid(void)
{
	char path[PATH_MAX];
	FILE *file;

	if (cluster_serve_path("serve.pid", path, NULL) < 0)
		return;
	file = fopen(path, "we");
	if (!file)
		return;
	fchmod(fileno(file), 0600);
	fprintf(file, "%d\n", (int)getpid());
	fclose(file);
}

static void remove_pid(void)
{
	char path[PATH_MAX];

	if (cluster_serve_path("serve.pid", path, NULL) == 0)
		unlink(path);
}

static void say_ready(struct serve *serve)
{
	struct identity_first first;
	bool is_first = identity_first_start(serve->identity, &first);
	char url[128], status[256];

	snprintf(url, sizeof url, "%s://%s", settings_tls(&serve->settings) ? "https" : "http",
		 serve->address);
	serve->options->ready(url, serve->settings.region, is_first ? &first : NULL,
			      serve->options->arg);
	explicit_bzero(&first, sizeof first);
	log_info("serving account %s on %s%s", identity_account(serve->identity), url,
		 serve->settings.test_reset ? "; anybody can do anything (--test-reset)" : "");
	snprintf(status, sizeof status, "Serving on %s", url);
	notify_ready(status);
}

/* Until it is time to end. */
static void wait_for_the_end(struct serve *serve, const sigset_t *signals)
{
	int number;

	while ((number = sigwaitinfo(signals, NULL)) == SIGHUP || number < 0) {
		if (number < 0)
			continue;
		notify_reloading();
		reload(serve);
		notify_ready("Serving");
	}
	log_info("ending: %s", strsignal(number));
}

static void drain(struct serve *serve)
{
	notify_stopping();
	if (http_server_drain(serve->http, DRAIN_MS) < 0)
		log_warning("%u connections have not ended after %d s, and are cut off",
			    http_server_connections(serve->http), DRAIN_MS / 1000);
	http_server_drain(serve->local, 1000);
}

/* Each connection takes one; the state, the keepers and the programs that are started, some. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int serve_run(const struct serve_options *options, struct problem *why)
{
	struct serve serve = {.options = options, .fd = -1, .local_fd = -1};
	sigset_t signals, before;
	int r;

	notify_take();
	/* Threads that begin from here on leave these to us. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, &before);
	allow_descriptors();
	r = open_all(&serve, why);
	if (r == 0) {
		write_pid();
		say_ready(&serve);
		wait_for_the_end(&serve, &signals);
		drain(&serve);
		remove_pid();
	}
	close_all(&serve);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
