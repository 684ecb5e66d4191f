/*
 * Goal: the conversation on the control socket goes as docs/control.md says, also with clients that
 * are wrong, slow or gone. Method: the real server and the real client in one process; the handler
 * does what the request's mark tells it.
 */
#include "control/control.h"
#include "control/request.h"
#include "control/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char path[64] = "/tmp/unspill-control-XXXXXX";
static struct server *server;
static int seen_cancel; /* handlers that noticed that their client had gone */
static int running;     /* handlers under way */
static int detached = -1;

static struct request parse_ok(const char *line)
{
	struct request request = {0};
	struct problem why = {""};

	check(request_parse(line, strlen(line), &request, &why) == 0, "%s: %s", line, why.text);
	return request;
}

static bool is_refused(const char *line, int error, const char *words)
{
	struct request request;
	struct problem why = {""};
	int r = request_parse(line, strlen(line), &request, &why);

	return check(r == error && strstr(why.text, words), "%s: %d %s", line, r, why.text);
}

static void every_request_is_read_with_its_arguments(void)
{
	struct request request;

	check(parse_ok("{\"unspill\":1,\"do\":\"status\",\"unknown\":[1]}").what == REQUEST_STATUS);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"window_us\":86400000000}").window_us ==
	      INT64_C(86400000000));
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"window_us\":0}").window_us == 0);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"window_us\":0}").history_max == -1);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"history_max\":5}").history_max == 5);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"history_max\":5}").window_us == -1);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"detach\":true}").detach);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"detach\":true}").detach_rate == -1);
	check(parse_ok("{\"unspill\":1,\"do\":\"modify\",\"detach_rate\":0}").detach_rate == 0);
	check(!parse_ok("{\"unspill\":1,\"do\":\"modify\",\"detach_rate\":9}").detach);
	request = parse_ok("{\"unspill\":1,\"do\":\"backtrack\",\"to\":{\"time_us\":17},\"asked_"
			   "time_us\":18}");
	check(request.moment.kind == AT_TIME && request.moment.time_us == 17 &&
	      request.asked_time_us == 18);
	request = parse_ok("{\"unspill\":1,\"do\":\"plan\",\"to\":{\"lsn\":9007199254740993}}");
	check(request.moment.kind == AT_LSN && request.moment.lsn == UINT64_C(9007199254740993));
	request = parse_ok(
		"{\"unspill\":1,\"do\":\"plan\",\"to\":{\"mark\":\"vor der \xc3\x84nderung\"}}");
	check(request.moment.kind == AT_MARK &&
	      strcmp(request.moment.mark, "vor der \xc3\x84nderung") == 0);
	check(parse_ok("{\"unspill\":1,\"do\":\"export\",\"to\":\"/x\"}").moment.kind == AT_NOW);
	request = parse_ok("{\"unspill\":1,\"do\":\"moments\",\"step_us\":5}");
	check(request.since_us == -1 && request.until_us == -1 && request.step_us == 5);
	check(strcmp(parse_ok("{\"unspill\":1,\"do\":\"import\",\"from\":\"/var/lib/mysql\"}")
			     .directory,
		     "/var/lib/mysql") == 0);
	request = parse_ok("{\"unspill\":1,\"do\":\"view\",\"directory\":\"/mnt/then\",\"at\":{"
			   "\"lsn\":7}}");
	check(request.moment.kind == AT_LSN && strcmp(request.directory, "/mnt/then") == 0);
	check(parse_ok("{\"unspill\":1,\"do\":\"views\"}").what == REQUEST_VIEWS);
	check(parse_ok("{\"unspill\":1,\"do\":\"scratch\"}").moment.kind == AT_NOW);
	request = parse_ok("{\"unspill\":1,\"do\":\"clone\",\"to\":\"/c\",\"name\":\"c\",\"at\":{"
			   "\"mark\":\"m\"}}");
	check(request.moment.kind == AT_MARK && strcmp(request.directory, "/c") == 0 &&
	      strcmp(request.name, "c") == 0);
	check(!parse_ok("{\"unspill\":1,\"do\":\"unview\",\"directory\":\"/x\"}").force);
	check(parse_ok("{\"unspill\":1,\"do\":\"unview\",\"directory\":\"/x\",\"force\":true}")
		      .force);
}

static void what_is_wrong_is_named(void)
{
	is_refused("", -EINVAL, "not one JSON object");
	is_refused("[1]", -EINVAL, "not one JSON object");
	is_refused("{\"unspill\":1,\"do\":\"status\"} {}", -EINVAL, "not one JSON object");
	is_refused("{\"do\":\"status\"}", -EINVAL, "version");
	is_refused("{\"unspill\":2,\"do\":\"status\"}", -EPROTONOSUPPORT, "version 2");
	is_refused("{\"unspill\":1}", -EINVAL, "\"do\"");
	is_refused("{\"unspill\":1,\"do\":\"explode\"}", -EINVAL, "explode");
	is_refused("{\"unspill\":1,\"do\":\"modify\"}", -EINVAL, "window_us");
	is_refused("{\"unspill\":1,\"do\":\"modify\",\"history_max\":-1}", -EINVAL, "history_max");
	is_refused("{\"unspill\":1,\"do\":\"modify\",\"detach\":false}", -EINVAL, "detach");
	is_refused("{\"unspill\":1,\"do\":\"modify\",\"detach_rate\":-1}", -EINVAL, "detach_rate");
	is_refused("{\"unspill\":1,\"do\":\"modify\",\"window_us\":-1}", -EINVAL, "window_us");
	is_refused("{\"unspill\":1,\"do\":\"modify\",\"window_us\":1.5}", -EINVAL, "window_us");
	is_refused("{\"unspill\":1,\"do\":\"modify\",\"window_us\":9223372036854775807}", -EINVAL,
		   "window_us");
	is_refused("{\"unspill\":1,\"do\":\"plan\"}", -EINVAL, "\"to\"");
	is_refused("{\"unspill\":1,\"do\":\"plan\",\"to\":{}}", -EINVAL, "\"to\"");
	is_refused("{\"unspill\":1,\"do\":\"plan\",\"to\":{\"now\":false}}", -EINVAL, "\"to\"");
	is_refused("{\"unspill\":1,\"do\":\"plan\",\"to\":{\"lsn\":-5}}", -EINVAL, "lsn");
	is_refused("{\"unspill\":1,\"do\":\"plan\",\"to\":{\"lsn\":5,\"time_us\":6}}", -EINVAL,
		   "\"to\"");
	is_refused("{\"unspill\":1,\"do\":\"mark\",\"name\":\"\"}", -EINVAL, "name");
	is_refused("{\"unspill\":1,\"do\":\"mark\",\"name\":\"a\\u0000b\"}", -EINVAL, "");
	is_refused("{\"unspill\":1,\"do\":\"export\",\"to\":\"relative\"}", -EINVAL, "absolute");
	is_refused("{\"unspill\":1,\"do\":\"view\",\"directory\":\"/x\"}", -EINVAL, "\"at\"");
	is_refused("{\"unspill\":1,\"do\":\"view\",\"at\":{\"lsn\":1}}", -EINVAL, "directory");
	is_refused("{\"unspill\":1,\"do\":\"unview\",\"directory\":\"x\"}", -EINVAL, "absolute");
	is_refused("{\"unspill\":1,\"do\":\"clone\",\"to\":\"/c\"}", -EINVAL, "name");
	is_refused("{\"unspill\":1,\"do\":\"clone\",\"to\":\"c\",\"name\":\"c\"}", -EINVAL,
		   "absolute");
	is_refused("{\"unspill\":1,\"do\":\"scratch\",\"at\":5}", -EINVAL, "\"at\"");
	is_refused("{\"unspill\":1,\"do\":\"moments\",\"step_us\":0}", -EINVAL, "step_us");
	is_refused("{\"unspill\":1,\"do\":\"status\",\"do\":\"stop\"}", -EINVAL, "");
}

static void a_mark_may_be_as_long_as_the_volume_allows_and_no_longer(void)
{
	char line[512], name[VOLUME_MARK_MAX + 2];
	struct request request;

	memset(name, 'm', sizeof name);
	snprintf(line, sizeof line, "{\"unspill\":1,\"do\":\"mark\",\"name\":\"%.*s\"}",
		 VOLUME_MARK_MAX, name);
	check(strlen(parse_ok(line).name) == VOLUME_MARK_MAX);
	snprintf(line, sizeof line, "{\"unspill\":1,\"do\":\"mark\",\"name\":\"%.*s\"}",
		 VOLUME_MARK_MAX + 1, name);
	check(request_parse(line, strlen(line), &request, NULL) == -EINVAL);
}

/* --- With a server ---------------------------------------------------------------------------- */

static void handle(struct connection *connection, const struct request *request, void *arg)
{
	__atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
	switch (request->what) {
	case REQUEST_MARK:
		for (int i = 1; i <= 3; i++)
			connection_progress(connection,
					    i == 1   ? "one"
					    : i == 2 ? "two"
						     : "three",
					    i, 3, "steps");
		connection_result(connection, json_pack("{s:s}", "name", request->name));
		break;
	case REQUEST_VERIFY:
		while (connection_alive(connection))
			poll(NULL, 0, 1);
		__atomic_add_fetch(&seen_cancel, 1, __ATOMIC_SEQ_CST);
		connection_error(connection, "cancelled", "cancelled");
		break;
	case REQUEST_STOP:
		__atomic_store_n(&detached, connection_detach(connection), __ATOMIC_SEQ_CST);
		break;
	case REQUEST_START:
		break; /* a handler that forgets to answer */
	default:
		connection_error(connection, "failed", "line one\nline\ttwo \xff %d", 7);
	}
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
}

static bool open_server(void)
{
	struct server_options options = {.path = path, .owner = geteuid(), .handle = handle};
	struct problem why = {""};

	return check(server_open(&options, &server, &why) == 0, "%s", why.text);
}

/* Until `*number` is `wanted`. */
static bool comes_to(const int *number, int wanted)
{
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;

	while (__atomic_load_n(number, __ATOMIC_SEQ_CST) != wanted &&
	       clock_monotonic_us() < deadline)
		poll(NULL, 0, 1);
	return __atomic_load_n(number, __ATOMIC_SEQ_CST) == wanted;
}

static void count_progress(json_t *progress, void *arg)
{
	struct problem *seen = arg;

	strncat(seen->text, json_string_value(json_object_get(progress, "step")), 64);
	strcat(seen->text, ";");
}

/* {"do": name, "name": mark}; the result is freed. */
static int call(struct control *control, const char *name, const char *mark,
		struct control_error *code, struct problem *why)
{
	json_t *request = json_pack("{s:s, s:s}", "do", name, "name", mark), *result = NULL;
	struct problem seen = {""};
	int r = control_call(control, request, count_progress, &seen, &result, code, why);

	if (r == 0)
		snprintf(why->text, sizeof why->text, "%s%s", seen.text,
			 json_is_object(result) && json_object_get(result, "name")
				 ? json_string_value(json_object_get(result, "name"))
				 : "");
	json_decref(result);
	json_decref(request);
	return r;
}

static void a_call_gets_its_progress_and_its_result(void)
{
	CLEANUP(control) struct control *control = NULL;
	struct control_error code;
	struct problem why;

	require(open_server());
	require(control_connect(path, &control, &why) == 0, "%s", why.text);
	for (int i = 0; i < 3; i++) {
		check(call(control, "mark", "m1", &code, &why) == 0, "%s", why.text);
		check(strcmp(why.text, "one;two;three;m1") == 0, "%s", why.text);
	}
	server_close(server);
}

static void an_error_is_one_line_of_text_with_a_code(void)
{
	CLEANUP(control) struct control *control = NULL;
	struct control_error code;
	struct problem why;

	require(open_server());
	require(control_connect(path, &control, &why) == 0, "%s", why.text);
	check(call(control, "status", "m", &code, &why) == -EREMOTEIO &&
	      strcmp(code.code, "failed") == 0);
	check(strcmp(why.text, "line one line two ? 7") == 0, "%s", why.text);
	check(call(control, "explode", "m", &code, &why) == -EREMOTEIO &&
	      strcmp(code.code, "bad-request") == 0);
	check(call(control, "start", "m", &code, &why) == -EREMOTEIO &&
	      strcmp(code.code, "failed") == 0);
	check(call(control, "mark", "still served", &code, &why) == 0);
	server_close(server);
}

static void a_client_that_leaves_cancels_its_request(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static const char line[] = "{\"unspill\":1,\"do\":\"verify\"}\n";
	int before = seen_cancel;

	require(open_server());
	strcpy(address.sun_path, path);
	for (int how = 0; how < 2; how++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
		check(send(fd, line, sizeof line - 1, 0) == sizeof line - 1);
		check(comes_to(&running, 1));
		if (how == 0)
			close(fd);
		else
			shutdown(fd, SHUT_WR);
		check(comes_to(&seen_cancel, before + how + 1));
		if (how == 1)
			close(fd);
	}
	server_close(server);
}

static void *call_verify(void *arg)
{
	struct control_error code;
	struct problem why;

	return (void *)(intptr_t)call(arg, "verify", "m", &code, &why);
}

static void a_client_can_cancel_from_another_thread(void)
{
	CLEANUP(control) struct control *control = NULL;
	struct problem why;
	pthread_t thread;
	void *r;

	require(open_server());
	require(control_connect(path, &control, &why) == 0, "%s", why.text);
	require(pthread_create(&thread, NULL, call_verify, control) == 0);
	check(comes_to(&running, 1));
	control_cancel(control);
	pthread_join(thread, &r);
	check((intptr_t)r == -ECONNRESET, "%d", (int)(intptr_t)r);
	server_close(server);
}

static void closing_ends_what_runs_and_waits_for_it(void)
{
	CLEANUP(control) struct control *control = NULL;
	CLEANUP(control) struct control *idle = NULL, *late = NULL;
	struct problem why;
	pthread_t thread;
	int before;

	require(open_server());
	before = seen_cancel;
	require(control_connect(path, &control, &why) == 0 &&
		control_connect(path, &idle, &why) == 0);
	require(pthread_create(&thread, NULL, call_verify, control) == 0);
	check(comes_to(&running, 1));
	server_close(server);
	check(running == 0 && seen_cancel == before + 1);
	pthread_join(thread, NULL);
	check(access(path, F_OK) < 0);
	check(control_connect(path, &late, &why) == -ENOENT && strstr(why.text, "no keeper runs"),
	      "%s", why.text);
}

static void *call_stop(void *arg)
{
	struct control_error code;
	struct problem why;

	return (void *)(intptr_t)call(arg, "stop", "m", &code, &why);
}

static void a_detached_request_is_answered_after_the_server_has_closed(void)
{
	CLEANUP(control) struct control *control = NULL;
	struct problem why;
	pthread_t thread;
	void *r;

	require(open_server());
	require(control_connect(path, &control, &why) == 0);
	detached = -1;
	require(pthread_create(&thread, NULL, call_stop, control) == 0);
	while (__atomic_load_n(&detached, __ATOMIC_SEQ_CST) < 0)
		poll(NULL, 0, 1);
	server_close(server);
	server_farewell(detached);
	pthread_join(thread, &r);
	check((intptr_t)r == 0, "%d", (int)(intptr_t)r);
}

static void no_more_than_the_limit_are_served_and_the_next_is_told(void)
{
	struct control *all[SERVER_CONNECTIONS_MAX + 1] = {NULL};
	struct control_error code = {""};
	struct problem why = {""};

	require(open_server());
	for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
		check(control_connect(path, &all[i], &why) == 0 &&
		      call(all[i], "mark", "m", &code, &why) == 0);
	check(control_connect(path, &all[SERVER_CONNECTIONS_MAX], &why) == 0);
	check(call(all[SERVER_CONNECTIONS_MAX], "mark", "m", &code, &why) == -EREMOTEIO &&
		      strcmp(code.code, "busy") == 0,
	      "%s %s", code.code, why.text);
	for (int i = 0; i <= SERVER_CONNECTIONS_MAX; i++)
		control_close(all[i]);
	server_close(server);
}

static void a_line_without_an_end_is_refused(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char *flood = xmalloc(2 * CONTROL_LINE_MAX), answer[512] = "";
	struct timeval second = {.tv_sec = 5};
	ssize_t n = 0;
	int fd;

	require(open_server());
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
	memset(flood, 'x', 2 * CONTROL_LINE_MAX);
	check(send(fd, flood, CONTROL_LINE_MAX, MSG_NOSIGNAL) == CONTROL_LINE_MAX);
	n = recv(fd, answer, sizeof answer - 1, 0);
	check(n > 0 && strstr(answer, "bad-request"), "%s", answer);
	close(fd);
	free(flood);
	server_close(server);
}

static void the_socket_is_the_owners_alone(void)
{
	struct stat st;

	require(open_server());
	check(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600, "%o", st.st_mode);
	server_close(server);
}

static int wrong_modes; /* of directories that were made while servers opened */

static void *make_directories(void *arg)
{
	const bool *stop = arg;
	struct stat st;
	char name[80];

	snprintf(name, sizeof name, "%s.made", path);
	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		if (mkdir(name, 0700) < 0 || stat(name, &st) < 0 || (st.st_mode & 07777) != 0700)
			wrong_modes++;
		rmdir(name);
	}
	return NULL;
}

/*
 * The server may be inside of somebody's program, which makes files while it opens.  Method: the
 * mask of new files' modes is the process's; a thread makes directories all the time.
 */
static void what_other_threads_make_meanwhile_has_the_mode_that_they_want(void)
{
	pthread_t thread;
	bool stop = false;

	require(pthread_create(&thread, NULL, make_directories, &stop) == 0);
	for (int i = 0; i < 3000; i++) {
		require(open_server());
		server_close(server);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	check(wrong_modes == 0, "%d directories", wrong_modes);
}

/* Who gets past the socket's mode (or inherited it) is looked at again. */
static void another_user_is_refused(void)
{
	struct server_options options = {.path = path, .owner = 12345, .handle = handle};
	CLEANUP(control) struct control *control = NULL;
	struct control_error code = {""};
	struct problem why = {""};
	int r;

	require(server_open(&options, &server, &why) == 0, "%s", why.text);
	check(chmod(path, 0666) == 0 && seteuid(54321) == 0);
	r = control_connect(path, &control, &why);
	if (r == 0)
		r = call(control, "mark", "m", &code, &why);
	check(seteuid(0) == 0);
	check(r == -EREMOTEIO && strcmp(code.code, "forbidden") == 0, "%d %s", r, why.text);
	server_close(server);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	RUN(every_request_is_read_with_its_arguments);
	RUN(what_is_wrong_is_named);
	RUN(a_mark_may_be_as_long_as_the_volume_allows_and_no_longer);
	RUN(a_call_gets_its_progress_and_its_result);
	RUN(an_error_is_one_line_of_text_with_a_code);
	RUN(a_client_that_leaves_cancels_its_request);
	RUN(a_client_can_cancel_from_another_thread);
	RUN(closing_ends_what_runs_and_waits_for_it);
	RUN(a_detached_request_is_answered_after_the_server_has_closed);
	RUN(no_more_than_the_limit_are_served_and_the_next_is_told);
	RUN(a_line_without_an_end_is_refused);
	RUN(the_socket_is_the_owners_alone);
	RUN(what_other_threads_make_meanwhile_has_the_mode_that_they_want);
	if (geteuid() == 0)
		RUN(another_user_is_refused);
	else
		SKIP("another user is refused", "only root can become another user");
	return tap_done();
}
