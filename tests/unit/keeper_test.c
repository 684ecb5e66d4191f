/*
 * Goal: the life of a keeper: it comes up or says why not, there is one per volume, it goes when
 * asked and leaves nothing, and it comes back when it was killed. Method: real keepers of real
 * clusters, without a server where none is needed; this program is what keeper_spawn() executes
 * again.
 */
#include "keeper/keeper.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/process.h"
#include "control/control.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define FUSE_MAGIC 0x65735546

static char top[64] = "/tmp/unspill-keeper-XXXXXX";
static struct cluster *cluster;
static struct problem why;
static struct control_error code;

/* {"do": what, "name": text}; the result, owned by the caller, or NULL with `code` and `why`. */
static json_t *ask(const char *what, const char *text)
{
	json_t *request = json_pack("{s:s, s:s}", "do", what, "name", text), *result = NULL;
	CLEANUP(control) struct control *control = NULL;
	char path[PATH_MAX];

	cluster_socket(cluster, path);
	code.code[0] = 0;
	if (control_connect(path, &control, &why) == 0)
		control_call(control, request, NULL, NULL, &result, &code, &why);
	json_decref(request);
	return result;
}

static bool does(const char *what)
{
	json_t *result = ask(what, "x");
	bool ok = result != NULL;

	json_decref(result);
	return ok;
}

static pid_t number(const char *key)
{
	json_t *status = ask("status", "x");
	pid_t value = json_integer_value(json_object_get(status, key));

	json_decref(status);
	return value;
}

static bool is_state(const char *name)
{
	json_t *status = ask("status", "x");
	const char *state = json_string_value(json_object_get(status, "state"));
	bool is = state && strcmp(state, name) == 0;

	json_decref(status);
	return is;
}

/* In one answer: running, with another server than `pid`. */
static bool runs_another(pid_t pid)
{
	json_t *status = ask("status", "x");
	const char *state = json_string_value(json_object_get(status, "state"));
	bool is = state && strcmp(state, "running") == 0 &&
		  json_integer_value(json_object_get(status, "pid")) != pid;

	json_decref(status);
	return is;
}

/* It says what it is, and if it is not io_uring, why. */
static bool carried_by_what_there_is(void)
{
	json_t *status = ask("status", "x"), *transport = json_object_get(status, "transport");
	const char *name = json_string_value(json_object_get(transport, "name")),
		   *why_not = json_string_value(json_object_get(transport, "why"));
	bool is = name && why_not && strcmp(name, *why_not ? "classic" : "io_uring") == 0;

	json_decref(status);
	return is;
}

static bool is_mounted(void)
{
	char path[PATH_MAX];
	struct statfs fs;

	cluster_path(cluster, "mnt", path);
	return statfs(path, &fs) == 0 && fs.f_type == FUSE_MAGIC;
}

/* Until it is so. */
#define comes(condition)                                                 \
	({                                                               \
		int64_t until_us_ = clock_monotonic_us() + PATIENCE_US;  \
		while (!(condition) && clock_monotonic_us() < until_us_) \
			poll(NULL, 0, 5);                                \
		clock_monotonic_us() < until_us_;                        \
	})

static int spawn(bool no_server, bool guardian)
{
	struct keeper_options options = {.no_server = no_server, .guardian = guardian};

	why.text[0] = 0;
	return keeper_spawn(cluster, &options, &why);
}

static void a_keeper_comes_up_with_its_mount_and_goes_without_a_trace(void)
{
	char path[PATH_MAX];
	pid_t pid;

	require(spawn(true, false) == 0, "%s", why.text);
	pid = number("keeper_pid");
	check(pid > 0 && process_start_time(pid) != 0 && is_mounted() && is_state("stopped"));
	check(carried_by_what_there_is());
	check(does("shutdown"), "%s", why.text);
	/* The answer comes last: nothing is left to wait for but the end of the process. */
	check(!is_mounted());
	cluster_socket(cluster, path);
	check(access(path, F_OK) < 0);
	check(cluster_path(cluster, "run/keeper.pid", path) && access(path, F_OK) < 0);
	check(spawn(true, false) == 0, "at once again: %s", why.text);
	check(does("shutdown"));
	check(comes(process_start_time(pid) == 0));
}

static void a_second_keeper_is_refused_and_the_first_one_unharmed(void)
{
	const char *const argv[] = {"keeper_test", "keep", cluster->directory, NULL};
	struct process_options options = {.program = "/proc/self/exe", .argv = argv, .in = -1};
	char output[4096];
	pid_t pid;

	require(spawn(true, true) == 0, "%s", why.text);
	pid = number("keeper_pid");
	check(spawn(true, true) == -EALREADY, "%s", why.text);
	check(process_run(&options, 30000, output, sizeof output, &why) == 75, "%s", output);
	check(strstr(output, "error: "), "%s", output);
	check(number("keeper_pid") == pid && is_mounted());
	check(does("shutdown"));
}

static void what_keeps_a_keeper_from_coming_up_is_told(void)
{
	char path[PATH_MAX], saved[PATH_MAX];

	cluster_path(cluster, "volume", path);
	cluster_path(cluster, "volume.away", saved);
	check(rename(path, saved) == 0);
	check(spawn(true, true) < 0 && strstr(why.text, "/volume"), "%s", why.text);
	check(!strchr(why.text, '\n'));
	check(rename(saved, path) == 0);
}

static void a_signal_ends_it_cleanly_also_through_its_guardian(void)
{
	pid_t keeper, guardian;
	char path[64], line[64];
	FILE *file;

	require(spawn(true, true) == 0, "%s", why.text);
	keeper = number("keeper_pid");
	snprintf(path, sizeof path, "/proc/%d/status", (int)keeper);
	file = fopen(path, "r");
	guardian = 0;
	require(file);
	while (fgets(line, sizeof line, file))
		sscanf(line, "PPid: %d", &guardian);
	fclose(file);
	require(guardian > 1);
	kill(guardian, SIGTERM);
	check(comes(process_start_time(keeper) == 0) && comes(process_start_time(guardian) == 0));
	check(!is_mounted());
}

static void marks_and_moments_are_served_without_a_server(void)
{
	json_t *result;

	require(spawn(true, false) == 0, "%s", why.text);
	check(does("mark"), "%s", why.text);
	check(!does("mark") && strcmp(code.code, "exists") == 0, "%s %s", code.code, why.text);
	result = ask("moments", "x");
	check(json_array_size(json_object_get(result, "marks")) == 1, "%s", why.text);
	json_decref(result);
	check(!does("start") && strcmp(code.code, "bad-request") == 0);
	check(does("verify"), "%s", why.text);
	check(does("shutdown"));
}

/* --- With a server ---------------------------------------------------------------------------- */

static void a_database_is_created_once(void)
{
	require(spawn(false, true) == 0, "%s", why.text);
	check(!does("start") && strcmp(code.code, "not-found") == 0, "%s", why.text);
	check(does("create"), "%s", why.text);
	check(is_state("running") && number("pid") > 0);
	check(!does("create") && strcmp(code.code, "exists") == 0, "%s", why.text);
}

static json_t *rewind_to(json_t *moment)
{
	json_t *request = json_pack("{s:s, s:o}", "do", "backtrack", "to", moment), *result = NULL;
	CLEANUP(control) struct control *control = NULL;
	char path[PATH_MAX];

	cluster_socket(cluster, path);
	if (control_connect(path, &control, &why) == 0)
		control_call(control, request, NULL, NULL, &result, &code, &why);
	json_decref(request);
	return result;
}

static void what_was_before_the_database_is_no_moment_to_go_back_to(void)
{
	json_t *result = ask("status", "x");
	json_int_t first =
		json_integer_value(json_object_get(json_object_get(result, "horizon"), "time_us"));
	pid_t pid = number("pid");

	json_decref(result);
	check(!rewind_to(json_pack("{s:I}", "time_us", first - 1)));
	check(strcmp(code.code, "out-of-window") == 0 && strstr(why.text, "earliest"), "%s %s",
	      code.code, why.text);
	check(!rewind_to(json_pack("{s:I}", "lsn", (json_int_t)1)) &&
	      strcmp(code.code, "out-of-window") == 0);
	check(!rewind_to(json_pack("{s:s}", "mark", "x")) &&
		      strcmp(code.code, "out-of-window") == 0,
	      "%s %s", code.code, why.text);
	check(number("pid") == pid, "the server was killed for nothing");
	result = rewind_to(json_pack("{s:I}", "time_us", first));
	check(result && json_integer_value(json_object_get(result, "start_us")) > 0, "%s",
	      why.text);
	json_decref(result);
	check(is_state("running"));
}

/* The way of the server's files is blocked while it runs: what runs does not mind, a start does. */
static void a_server_that_does_not_start_at_the_new_head_is_told_and_another_backtrack_helps(void)
{
	char server[PATH_MAX], away[PATH_MAX];
	json_t *result;
	struct stat st;

	cluster_path(cluster, "run/server", server);
	cluster_path(cluster, "run/server.away", away);
	check(rename(server, away) == 0);
	CLEANUP(fd) int fd = open(server, O_WRONLY | O_CREAT, 0600);
	check(fd >= 0 && stat(server, &st) == 0);
	check(!rewind_to(json_pack("{s:b}", "now", 1)));
	check(strcmp(code.code, "server-failed") == 0 && strstr(why.text, "does not start there"),
	      "%s %s", code.code, why.text);
	check(strstr(why.text, "run/server/tmp") && strstr(why.text, "back to lsn:"), "%s",
	      why.text);
	check(is_state("failed"));
	check(unlink(server) == 0 && rename(away, server) == 0);
	result = rewind_to(json_pack("{s:b}", "now", 1));
	check(result, "%s", why.text);
	json_decref(result);
	check(is_state("running"));
}

static void a_killed_server_comes_back(void)
{
	pid_t pid = number("pid");

	require(pid > 0);
	kill(pid, SIGKILL);
	check(comes(runs_another(pid)));
	check(number("restarts") == 1);
}

static void a_killed_keeper_comes_back_with_its_server(void)
{
	pid_t keeper = number("keeper_pid"), server = number("pid");

	require(keeper > 0 && server > 0);
	kill(keeper, SIGKILL);
	check(comes(process_start_time(server) == 0));
	check(comes(runs_another(server)));
	check(number("keeper_pid") != keeper);
}

static void a_stopped_cluster_stays_stopped_and_a_started_one_comes_up_by_itself(void)
{
	struct cluster *now = NULL;

	check(does("stop"), "%s", why.text);
	check(!is_mounted() && cluster_load(cluster->directory, &now, &why) == 0 &&
	      !now->desired_running);
	cluster_free(now);
	require(spawn(false, true) == 0, "%s", why.text);
	check(is_state("stopped") && number("pid") == 0);
	check(does("start") && is_state("running"), "%s", why.text);
	check(does("shutdown"), "%s", why.text);
	require(spawn(false, true) == 0, "%s", why.text);
	check(comes(is_state("running")));
	check(does("shutdown"));
}

static int keep(int argc, char **argv)
{
	struct keeper_options options = {0};

	for (int i = 2; i < argc - 1; i++) {
		options.guardian |= strcmp(argv[i], "--guardian") == 0;
		options.no_server |= strcmp(argv[i], "--no-server") == 0;
	}
	return keeper_run(argv[argc - 1], &options);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void run_all(void)
{
	RUN(a_keeper_comes_up_with_its_mount_and_goes_without_a_trace);
	RUN(a_second_keeper_is_refused_and_the_first_one_unharmed);
	RUN(what_keeps_a_keeper_from_coming_up_is_told);
	RUN(a_signal_ends_it_cleanly_also_through_its_guardian);
	RUN(marks_and_moments_are_served_without_a_server);
	RUN(a_database_is_created_once);
	RUN(what_was_before_the_database_is_no_moment_to_go_back_to);
	RUN(a_server_that_does_not_start_at_the_new_head_is_told_and_another_backtrack_helps);
	RUN(a_killed_server_comes_back);
	RUN(a_killed_keeper_comes_back_with_its_server);
	RUN(a_stopped_cluster_stays_stopped_and_a_started_one_comes_up_by_itself);
}

int main(int argc, char **argv)
{
	struct cluster_options options = {.name = "kept", .window_us = 3600000000};
	char version[128], home[128];

	if (argc > 2 && strcmp(argv[1], "keep") == 0)
		return keep(argc, argv);
	if ((engine_find("mariadb", NULL)->check)(version, &why) < 0 ||
	    access("/dev/fuse", R_OK | W_OK) < 0) {
		SKIP("the life of a keeper", why.text[0] ? why.text : "no /dev/fuse");
		return tap_done();
	}
	if (!mkdtemp(top) || chmod(top, 0755) < 0)
		return 1;
	snprintf(home, sizeof home, "%s/home", top);
	setenv("UNSPILL_HOME", home, 1);
	if (cluster_make(&options, &cluster, &why) < 0) {
		printf("Bail out! %s\n", why.text);
		return 1;
	}
	run_all();
	/* Whatever went wrong, nothing stays. */
	does("shutdown");
	check(cluster_delete(cluster, &why) == 0, "%s", why.text);
	cluster_free(cluster);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
