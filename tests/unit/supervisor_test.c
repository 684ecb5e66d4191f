/*
 * Goal: a server is kept running, and is down when somebody wants it down, whatever it does.
 * Method: an engine whose server is a child that obeys the test: answers or not, dies at once,
 * later, or only by force.  The test's main thread is the supervisor's; the wishes come from
 * another.
 */
#include "keeper/supervisor.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/family.h"
#include "engine/process.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct supervisor *supervisor;
static char pid_file[64] = "/tmp/unspill-supervisor-XXXXXX";

/* How the next servers behave. */
static const char *script;
static int answers_after; /* so many questions; -1: never */
static int questions, starts, stops;

static int fake_start(const struct engine_place *place, struct engine_server *ret,
		      struct problem *why)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct process_options options = {.program = "/bin/sh",
					  .argv = argv,
					  .in = -1,
					  .out = -1,
					  .err = -1,
					  .die_with_us = true};
	struct process process;
	int r;

	starts++;
	questions = 0;
	if (!script)
		return problem(why, -ENOEXEC, "no program");
	r = process_spawn(&options, &process, why);
	if (r == 0)
		*ret = (struct engine_server){process.pid, process.pidfd, 0};
	return r;
}

static int fake_ping(const struct engine_place *place, struct problem *why)
{
	return answers_after >= 0 && questions++ >= answers_after
		       ? 0
		       : problem(why, -EAGAIN, "not yet");
}

static int fake_stop(const struct engine_place *place, struct engine_server *server)
{
	stops++;
	return syscall(SYS_pidfd_send_signal, server->pidfd, SIGTERM, NULL, 0) < 0 ? -errno : 0;
}

static void fake_explain(const struct engine_place *place, char *text, size_t size)
{
	snprintf(text, size, "its own words");
}

static const struct engine fake = {.name = "fake",
				   .start = fake_start,
				   .ping = fake_ping,
				   .stop = fake_stop,
				   .explain = fake_explain};

static void begin(const char *what, int answers)
{
	struct supervisor_options options = {.engine = &fake,
					     .pid_file = pid_file,
					     .backoff_first_us = 20000,
					     .backoff_most_us = 80000,
					     .healthy_us = 1000000};

	script = what;
	answers_after = answers;
	starts = stops = 0;
	supervisor_new(&options, &supervisor);
}

static void end(void)
{
	supervisor_close_down(supervisor, 0);
	supervisor_free(supervisor);
	supervisor = NULL;
}

static void turn(void)
{
	struct pollfd fds[2];
	int timeout_ms;

	supervisor_prepare(supervisor, fds, &timeout_ms);
	poll(fds, 2, timeout_ms < 0 || timeout_ms > 100 ? 100 : timeout_ms);
	supervisor_step(supervisor);
}

static struct supervisor_status status(void)
{
	struct supervisor_status status;

	supervisor_get_status(supervisor, &status);
	return status;
}

static bool comes_to(enum supervisor_state wanted)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	while (status().state != wanted && clock_monotonic_us() < until_us)
		turn();
	return status().state == wanted;
}

/* --- A wish from another thread, while this one turns --------------------------------------------
 */

struct wish {
	pthread_t thread;
	bool up;
	int timeout_ms;
	int result, done, ticks;
	struct problem why;
};

static void tick(void *arg)
{
	((struct wish *)arg)->ticks++;
}

static void *wish_thread(void *arg)
{
	struct wish *wish = arg;

	wish->result = wish->up ? supervisor_start(supervisor, tick, wish, &wish->why)
				: supervisor_stop(supervisor, wish->timeout_ms, &wish->why);
	__atomic_store_n(&wish->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void make(struct wish *wish)
{
	pthread_create(&wish->thread, NULL, wish_thread, wish);
}

static int grant(struct wish *wish)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	while (!__atomic_load_n(&wish->done, __ATOMIC_SEQ_CST) && clock_monotonic_us() < until_us)
		turn();
	if (!check(wish->done, "the wish is never granted"))
		supervisor_close_down(supervisor, 0);
	pthread_join(wish->thread, NULL);
	return wish->result;
}

static int start(struct wish *ret)
{
	*ret = (struct wish){.up = true};
	make(ret);
	return grant(ret);
}

static int stop(int timeout_ms)
{
	struct wish wish = {.timeout_ms = timeout_ms};

	make(&wish);
	return grant(&wish);
}

/* --- The tests -------------------------------------------------------------------------------- */

static void a_server_is_up_when_it_answers_and_not_before(void)
{
	struct wish wish;

	begin("exec sleep 100", 3);
	check(start(&wish) == 0, "%s", wish.why.text);
	check(status().state == SUPERVISOR_UP && status().pid > 0 && questions == 4, "%d questions",
	      questions);
	end();
}

static void a_server_that_dies_at_its_first_start_is_told_in_its_own_words_and_left_alone(void)
{
	struct wish wish;

	begin("exit 7", -1);
	check(start(&wish) == -ECHILD);
	check(strstr(wish.why.text, "exit code 7") && strstr(wish.why.text, "its own words"), "%s",
	      wish.why.text);
	check(status().state == SUPERVISOR_FAILED && !status().wanted &&
	      status().last_error_time_us > 0);
	for (int i = 0; i < 5; i++)
		turn();
	check(starts == 1, "%d", starts);
	script = "exec sleep 100";
	answers_after = 0;
	check(start(&wish) == 0, "%s", wish.why.text);
	end();
}

static void a_server_that_cannot_even_be_executed_is_told(void)
{
	struct wish wish;

	begin(NULL, -1);
	check(start(&wish) == -ECHILD && strstr(wish.why.text, "no program"), "%d %s", wish.result,
	      wish.why.text);
	end();
}

static void a_server_that_was_up_is_started_again_and_counted(void)
{
	struct wish wish;
	pid_t first;

	begin("exec sleep 100", 0);
	check(start(&wish) == 0);
	first = status().pid;
	kill(first, SIGKILL);
	check(comes_to(SUPERVISOR_WAITING));
	check(comes_to(SUPERVISOR_UP));
	check(status().restarts == 1 && status().pid != first && status().failures == 0);
	check(strstr(status().last_error, "signal 9"), "%s", status().last_error);
	end();
}

/* The delays double up to the limit: 20 + 40 + 80 + 80 ms before the fifth start. */
static void attempts_come_more_and_more_seldom(void)
{
	int64_t begun_us = clock_monotonic_us(), took_us;

	begin("exit 1", -1);
	supervisor_want_up(supervisor);
	while (starts < 5 && clock_monotonic_us() - begun_us < PATIENCE_US)
		turn();
	took_us = clock_monotonic_us() - begun_us;
	check(starts == 5 && took_us >= 220000, "%d starts in %lld us", starts, (long long)took_us);
	check(status().failures >= 4);
	end();
}

static void a_wish_does_not_wait_for_the_back_off(void)
{
	struct supervisor_options slow = {
		.engine = &fake, .pid_file = pid_file, .backoff_first_us = 3600000000};
	struct wish wish;

	begin("exit 1", -1);
	end();
	supervisor_new(&slow, &supervisor);
	supervisor_want_up(supervisor);
	check(comes_to(SUPERVISOR_WAITING));
	script = "exec sleep 100";
	answers_after = 0;
	check(start(&wish) == 0, "%s", wish.why.text);
	kill(status().pid, SIGKILL);
	check(comes_to(SUPERVISOR_WAITING));
	check(stop(0) == 0 && status().state == SUPERVISOR_DOWN);
	end();
}

static void a_polite_server_is_stopped_politely(void)
{
	struct wish wish;

	begin("trap 'exit 0' TERM; while :; do sleep 0.01; done", 0);
	check(start(&wish) == 0);
	/* The shell has its trap once it runs; a signal before that ends it just as well. */
	check(stop(20000) == 0 && stops == 1 && status().state == SUPERVISOR_DOWN &&
	      status().pid == 0);
	check(status().last_error_time_us == 0, "%s", status().last_error);
	for (int i = 0; i < 3; i++)
		turn();
	check(starts == 1);
	end();
}

static void a_deaf_server_is_killed_when_its_time_is_up(void)
{
	int64_t begun_us;
	struct wish wish;

	begin("trap '' TERM; while :; do sleep 0.01; done", 30);
	check(start(&wish) == 0);
	begun_us = clock_monotonic_us();
	check(stop(100) == 0 && status().pid == 0);
	check(clock_monotonic_us() - begun_us >= 100000);
	end();
}

static void a_kill_asks_nobody(void)
{
	struct wish wish;
	pid_t pid;

	begin("trap '' TERM; while :; do sleep 0.01; done", 0);
	check(start(&wish) == 0);
	pid = status().pid;
	check(stop(0) == 0 && stops == 0 && status().state == SUPERVISOR_DOWN);
	check(process_start_time(pid) == 0);
	end();
}

static void a_stop_ends_the_wait_of_a_start(void)
{
	struct wish up = {.up = true};

	begin("exec sleep 100", -1);
	make(&up);
	check(comes_to(SUPERVISOR_STARTING));
	check(stop(0) == 0);
	check(grant(&up) == -ECANCELED, "%d", up.result);
	end();
}

static void a_long_start_ticks(void)
{
	struct wish wish;

	begin("exec sleep 100", 120);
	check(start(&wish) == 0 && wish.ticks >= 1, "%d ticks", wish.ticks);
	end();
}

static void closing_down_ends_every_wish(void)
{
	struct wish up = {.up = true};
	pid_t pid;

	begin("exec sleep 100", -1);
	make(&up);
	check(comes_to(SUPERVISOR_STARTING));
	pid = status().pid;
	supervisor_close_down(supervisor, 1000);
	pthread_join(up.thread, NULL);
	check(up.result == -ECANCELED && process_start_time(pid) == 0);
	check(supervisor_start(supervisor, NULL, NULL, NULL) == -ECANCELED);
	check(supervisor_stop(supervisor, 0, NULL) == -ECANCELED);
	end();
}

static pid_t spawn_sleeper(struct process *process)
{
	const char *const argv[] = {"sleep", "100", NULL};
	struct process_options options = {
		.program = "/bin/sleep", .argv = argv, .in = -1, .out = -1, .err = -1};

	return process_spawn(&options, process, NULL) == 0 ? process->pid : 0;
}

static void write_pid(pid_t pid, unsigned long long began)
{
	FILE *file = fopen(pid_file, "w");

	fprintf(file, "%d %llu\n", (int)pid, began);
	fclose(file);
}

static void a_left_over_server_is_ended_and_a_stranger_with_its_number_is_not(void)
{
	struct process process;
	pid_t pid = spawn_sleeper(&process);
	int ended = -1;

	require(pid > 0);
	write_pid(pid, process_start_time(pid) - 1);
	supervisor_end_leftover(pid_file);
	check(process_wait(&process, 50, &ended) == -ETIMEDOUT);
	write_pid(pid, process_start_time(pid));
	supervisor_end_leftover(pid_file);
	check(process_wait(&process, 5000, &ended) == 0 && WIFSIGNALED(ended));
	check(access(pid_file, F_OK) < 0);
	supervisor_end_leftover(pid_file);
}

static void what_a_left_over_server_has_started_is_ended_with_it(void)
{
	const char *const argv[] = {"sh", "-c", "setsid sleep 100 & echo $!; wait", NULL};
	struct process process;
	int fds[2], child = 0;

	require(pipe2(fds, O_CLOEXEC) == 0);
	struct process_options options = {.program = "/bin/sh",
					  .argv = argv,
					  .in = -1,
					  .out = fds[1],
					  .err = -1,
					  .family = true};
	require(process_spawn(&options, &process, NULL) == 0);
	close(fds[1]);
	FILE *file = fdopen(fds[0], "r");
	check(fscanf(file, "%d", &child) == 1);
	fclose(file);

	file = fopen(pid_file, "w");
	fprintf(file, "%d %llu %llu\n", process.pid,
		(unsigned long long)process_start_time(process.pid),
		(unsigned long long)family_id(process.family));
	fclose(file);
	check(process_start_time(child) != 0);
	supervisor_end_leftover(pid_file);
	check(process_start_time(child) == 0);
	process_kill(&process);
}

int main(void)
{
	int fd = mkstemp(pid_file);

	if (fd < 0)
		return 1;
	close(fd);
	log_set_level(LOG_ERROR + 1);
	RUN(a_server_is_up_when_it_answers_and_not_before);
	RUN(a_server_that_dies_at_its_first_start_is_told_in_its_own_words_and_left_alone);
	RUN(a_server_that_cannot_even_be_executed_is_told);
	RUN(a_server_that_was_up_is_started_again_and_counted);
	RUN(attempts_come_more_and_more_seldom);
	RUN(a_wish_does_not_wait_for_the_back_off);
	RUN(a_polite_server_is_stopped_politely);
	RUN(a_deaf_server_is_killed_when_its_time_is_up);
	RUN(a_kill_asks_nobody);
	RUN(a_stop_ends_the_wait_of_a_start);
	RUN(a_long_start_ticks);
	RUN(closing_down_ends_every_wish);
	RUN(a_left_over_server_is_ended_and_a_stranger_with_its_number_is_not);
	RUN(what_a_left_over_server_has_started_is_ended_with_it);
	return tap_done();
}
