/*
 * Goal: through the relay, a conversation is what it would be with the keeper itself, and what is
 * done in it is heard.  Method: the real relay and the real client in one process; the keeper is a
 * server whose handler answers by the request's mark.
 */
#include "serve/relay.h"

#include "base/clock.h"
#include "control/control.h"
#include "control/server.h"
#include "keeper/cluster.h"
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char top[64] = "/tmp/unspill-relay-XXXXXX", home[128], relay_path[PATH_MAX];
static struct cluster *cluster;
static struct server *keeper;
static struct relay *relay;
static int answers; /* that were heard of; atomic */

/* What was heard, a word each; relay's threads end before it is read, or the last word has been
 * waited for. */
static char heard_text[1024];

static void hear(const struct relay_heard *heard, void *arg)
{
	size_t used = strlen(heard_text);

	check(heard->uid == geteuid() && strcmp(heard->cluster, "shop") == 0 && arg == &relay);
	snprintf(heard_text + used, sizeof heard_text - used, "%s%s%s%s ", heard->what,
		 !heard->answered ? "?"
		 : heard->ok      ? "+"
				  : "-",
		 heard->message ? ":" : "", heard->message ? heard->message : "");
	if (heard->answered)
		__atomic_add_fetch(&answers, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_cancel(struct connection *connection)
{
	while (connection_alive(connection))
		poll(NULL, 0, 1);
	connection_error(connection, "cancelled", "cancelled");
}

static void handle(struct connection *connection, const struct request *request, void *arg)
{
	if (request->what == REQUEST_STATUS) {
		connection_progress(connection, "look", 1, 2, "steps");
		connection_result(connection, json_pack("{s:s}", "state", "running"));
	} else if (request->what == REQUEST_BACKTRACK) {
		wait_for_cancel(connection);
	} else if (request->what == REQUEST_MARK) {
		connection_error(connection, "exists", "there is a mark '%s'", request->name);
	} else {
		connection_result(connection, json_object());
	}
}

static bool open_keeper(void)
{
	char path[PATH_MAX];
	const struct server_options options = {.path = path, .owner = geteuid(), .handle = handle};
	struct problem why = {""};

	cluster_socket(cluster, path);
	return check(server_open(&options, &keeper, &why) == 0, "%s", why.text);
}

static bool open_relay(void)
{
	const struct relay_options options = {.path = relay_path, .hear = hear, .arg = &relay};
	struct problem why = {""};

	heard_text[0] = 0;
	return check(relay_open(&options, &relay, &why) == 0, "%s", why.text);
}

static void count(json_t *progress, void *arg)
{
	++*(int *)arg;
}

static void what_is_said_and_answered_passes_unchanged_and_is_heard(void)
{
	struct control *control = NULL;
	struct control_error code = {""};
	struct problem why = {""};
	json_t *request, *result = NULL;
	int progress = 0;

	require(open_keeper() && open_relay());
	require(control_connect_through(relay_path, "shop", 5000, &control, &why) == 0, "%s",
		why.text);
	request = json_pack("{s:s}", "do", "status");
	check(control_call(control, request, count, &progress, &result, &code, &why) == 0, "%s",
	      why.text);
	json_decref(request);
	check(progress == 1 &&
	      strcmp(json_string_value(json_object_get(result, "state")), "running") == 0);
	json_decref(result);
	request = json_pack("{s:s, s:s}", "do", "mark", "name", "here");
	check(control_call(control, request, NULL, NULL, &result, &code, &why) == -EREMOTEIO);
	json_decref(request);
	check(strcmp(code.code, "exists") == 0 && strcmp(why.text, "there is a mark 'here'") == 0,
	      "%s", why.text);
	control_close(control);
	relay_close(relay);
	server_close(keeper);
	check(strcmp(heard_text, "status? status+ mark? mark-:there is a mark 'here' ") == 0, "%s",
	      heard_text);
}

static const char backtrack_line[] = "{\"unspill\":1,\"do\":\"backtrack\",\"to\":{\"now\":true}}\n";

static bool ask_for_a_backtrack(struct control **ret)
{
	struct problem why = {""};

	return check(control_connect_through(relay_path, "shop", 5000, ret, &why) == 0, "%s",
		     why.text) &&
	       check(write(control_descriptor(*ret), backtrack_line, sizeof backtrack_line - 1) ==
		     sizeof backtrack_line - 1);
}

static void who_withdraws_still_hears_how_it_ended(void)
{
	struct control *control = NULL;
	char answer[1024] = "";

	require(open_keeper() && open_relay() && ask_for_a_backtrack(&control));
	control_withdraw(control);
	check(read(control_descriptor(control), answer, sizeof answer - 1) > 0);
	check(strstr(answer, "\"cancelled\"") != NULL, "%s", answer);
	control_close(control);
	relay_close(relay);
	server_close(keeper);
}

static void who_goes_away_cancels(void)
{
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;
	int before = __atomic_load_n(&answers, __ATOMIC_SEQ_CST);
	struct control *control = NULL;

	require(open_keeper() && open_relay() && ask_for_a_backtrack(&control));
	control_close(control);
	while (__atomic_load_n(&answers, __ATOMIC_SEQ_CST) == before &&
	       clock_monotonic_us() < deadline)
		poll(NULL, 0, 1);
	check(__atomic_load_n(&answers, __ATOMIC_SEQ_CST) == before + 1, "%d %d %s", answers,
	      before, heard_text);
	relay_close(relay);
	server_close(keeper);
	check(strcmp(heard_text, "backtrack? backtrack-:cancelled ") == 0, "%s", heard_text);
}

static void who_asks_for_what_is_not_there_is_told(void)
{
	struct control *control = NULL;
	struct control_error code = {""};
	struct problem why = {""};
	json_t *request, *result = NULL;

	require(open_relay());
	check(control_connect_through(relay_path, "none", 5000, &control, &why) == -EREMOTEIO &&
		      strstr(why.text, "there is no cluster 'none'"),
	      "%s", why.text);
	check(control_connect_through(relay_path, "../x", 5000, &control, &why) == -EREMOTEIO, "%s",
	      why.text);
	/* There is a cluster, and nobody who keeps it. */
	check(control_connect_through(relay_path, "shop", 5000, &control, &why) == -EREMOTEIO &&
		      strstr(why.text, "no keeper runs"),
	      "%s", why.text);
	require(control_connect(relay_path, &control, &why) == 0, "%s", why.text);
	request = json_pack("{s:s}", "do", "status");
	check(control_call(control, request, NULL, NULL, &result, &code, &why) == -EREMOTEIO &&
	      strcmp(code.code, "bad-request") == 0);
	json_decref(request);
	control_close(control);
	relay_close(relay);
}

static int answer_ourselves(const struct request *request, json_t **ret, struct problem *why,
			    void *arg)
{
	if (request->what == REQUEST_CANCEL && request->job != 7)
		return problem(why, -ENOENT, "no job %lld", (long long)request->job);
	*ret = json_pack("{s:s}", "said", request->what == REQUEST_JOBS ? "jobs" : "cancel");
	return 0;
}

static int ask_serve(json_t *request, json_t **ret, struct control_error *code)
{
	struct control *control = NULL;
	struct problem why = {""};
	int r = control_connect(relay_path, &control, &why);

	*ret = NULL;
	if (r == 0)
		r = control_call(control, request, NULL, NULL, ret, code, &why);
	control_close(control);
	json_decref(request);
	return r;
}

static void what_serve_itself_is_asked_it_answers(void)
{
	const struct relay_options options = {.path = relay_path, .answer = answer_ourselves};
	struct control_error code = {""};
	struct problem why = {""};
	json_t *result;

	require(relay_open(&options, &relay, &why) == 0, "%s", why.text);
	check(ask_serve(json_pack("{s:s}", "do", "jobs"), &result, &code) == 0);
	check(strcmp(json_string_value(json_object_get(result, "said")), "jobs") == 0);
	json_decref(result);
	check(ask_serve(json_pack("{s:s, s:i}", "do", "cancel", "job", 7), &result, &code) == 0);
	json_decref(result);
	check(ask_serve(json_pack("{s:s, s:i}", "do", "cancel", "job", 8), &result, &code) ==
	      -EREMOTEIO);
	check(strcmp(code.code, "not-found") == 0, "%s", code.code);
	check(ask_serve(json_pack("{s:s}", "do", "cancel"), &result, &code) == -EREMOTEIO);
	check(strcmp(code.code, "bad-request") == 0, "%s", code.code);
	relay_close(relay);
}

/* As a job would: until who asked goes away, or for "delete" at once. */
static int work(struct connection *connection, const struct request *request, json_t **ret,
		struct problem *why, void *arg)
{
	connection_progress(connection, "making the volume", 0, 0, "");
	if (strcmp(request->kind, "delete") == 0) {
		*ret = json_pack("{s:s, s:O}", "name", request->name, "input", request->input);
		return 0;
	}
	while (connection_alive(connection))
		poll(NULL, 0, 1);
	if (connection_is_closed_by_us(connection))
		return problem(why, -EINTR, "ending");
	return problem(why, -EADDRINUSE, "that port is taken");
}

static bool open_working_relay(struct control **ret)
{
	const struct relay_options options = {
		.path = relay_path, .hear = hear, .work = work, .arg = &relay};
	struct problem why = {""};

	heard_text[0] = 0;
	return check(relay_open(&options, &relay, &why) == 0, "%s", why.text) &&
	       check(control_connect_serve(relay_path, 5000, ret, &why) == 0, "%s", why.text);
}

static json_t *job(const char *kind)
{
	return json_pack("{s:s, s:s, s:s, s:{s:i}}", "do", "job", "kind", kind, "cluster", "shop",
			 "input", "port", 7);
}

static void what_is_done_as_a_job_is_told_of_until_it_has_ended(void)
{
	struct control *control = NULL;
	struct control_error code = {""};
	struct problem why = {""};
	json_t *request = job("delete"), *result = NULL;
	int progress = 0, port = 0;

	require(open_working_relay(&control));
	check(control_call(control, request, count, &progress, &result, &code, &why) == 0, "%s",
	      why.text);
	check(json_unpack(result, "{s:{s:i}}", "input", "port", &port) == 0 && port == 7);
	check(progress == 1);
	json_decref(result);
	json_decref(request);
	control_close(control);
	relay_close(relay);
	check(strcmp(heard_text, "delete? delete+ ") == 0, "%s", heard_text);
}

static void withdraw(struct control *control, void *arg)
{
	control_withdraw(control);
	++*(int *)arg;
}

static void who_withdraws_from_a_job_hears_what_came_of_it(void)
{
	struct control *control = NULL;
	struct control_error code = {""};
	struct problem why = {""};
	json_t *request = job("create"), *result = NULL;
	int watched = 0;

	require(open_working_relay(&control));
	control_watch(control, 10, withdraw, &watched);
	check(control_call(control, request, NULL, NULL, &result, &code, &why) == -EREMOTEIO);
	check(watched > 0 && strcmp(code.code, "exists") == 0 &&
		      strcmp(why.text, "that port is taken") == 0,
	      "%s: %s", code.code, why.text);
	json_decref(request);
	control_close(control);
	relay_close(relay);
	check(strcmp(heard_text, "create? create-:that port is taken ") == 0, "%s", heard_text);
}

/* A listener that accepts nobody, or accepts and is silent, as serve when it is stopped. */
static void who_says_nothing_is_not_waited_for(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct control *control = NULL;
	struct problem why = {""};

	snprintf(address.sun_path, sizeof address.sun_path, "%.100s", relay_path);
	require(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 0) == 0);
	for (int i = 0; i < 3; i++)
		check(control_connect_serve(relay_path, 20, &control, &why) == -ETIMEDOUT, "%s",
		      why.text);
	check(control_connect_through(relay_path, "shop", 20, &control, &why) == -ETIMEDOUT, "%s",
	      why.text);
	close(fd);
	unlink(relay_path);
	check(control_connect_serve(relay_path, 20, &control, &why) == -ENOENT, "%s", why.text);
}

static void closing_ends_the_conversations(void)
{
	struct control *control = NULL;
	char byte;

	require(open_keeper() && open_relay() && ask_for_a_backtrack(&control));
	relay_close(relay);
	check(read(control_descriptor(control), &byte, 1) <= 0);
	control_close(control);
	server_close(keeper);
}

static bool make_home(void)
{
	const struct cluster_options options = {
		.name = "shop", .engine = CLUSTER_INSIDE, .window_us = 1000000};
	struct problem why = {""};

	if (!mkdtemp(top))
		return false;
	snprintf(home, sizeof home, "%s/home", top);
	setenv("UNSPILL_HOME", home, 1);
	snprintf(relay_path, sizeof relay_path, "%s/relay.sock", top);
	return check(cluster_make(&options, &cluster, &why) == 0, "%s", why.text);
}

int main(void)
{
	struct problem why = {""};

	if (!make_home())
		return 1;
	RUN(what_is_said_and_answered_passes_unchanged_and_is_heard);
	RUN(who_withdraws_still_hears_how_it_ended);
	RUN(who_goes_away_cancels);
	RUN(who_asks_for_what_is_not_there_is_told);
	RUN(what_serve_itself_is_asked_it_answers);
	RUN(what_is_done_as_a_job_is_told_of_until_it_has_ended);
	RUN(who_withdraws_from_a_job_hears_what_came_of_it);
	RUN(who_says_nothing_is_not_waited_for);
	RUN(closing_ends_the_conversations);
	check(cluster_delete(cluster, &why) == 0, "%s", why.text);
	cluster_free(cluster);
	rmdir(home);
	check(rmdir(top) == 0);
	return tap_done();
}
