#include "keeper/supervisor.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/family.h"
#include "engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A server that starts is asked every 5 ms at first; one that takes long (recovery) more seldom. */
#define ASK_US 5000
#define ASK_SELDOM_US 50000
#define ASK_OFTEN_FOR_US 2000000
#define TICK_US 250000
#define LEFTOVER_TIMEOUT_MS 30000

struct supervisor {
	struct supervisor_options options;
	int wake_fd; /* an eventfd */
	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* The main thread's alone. */
	struct engine_server server; /* pid 0: none */
	int64_t launched_us, asked_us, next_us, deadline_us;

	/* Guarded by `lock`. */
	enum supervisor_state state;
	bool want_up, retry, closing; /* wishes */
	int stop_timeout_ms;          /* a wish: how patiently to stop */
	uint64_t wish; /* counts wishes: whoever waits for one sees that it was replaced */
	pid_t pid;
	int64_t up_since_us, backoff_us;
	uint64_t restarts;
	unsigned failures;
	struct problem last_error;
	int64_t last_error_time_us;
};

void supervisor_new(const struct supervisor_options *options, struct supervisor **ret)
{
	struct supervisor *supervisor = xcalloc(1, sizeof *supervisor);
	pthread_condattr_t attr;

	supervisor->options = *options;
	if (!options->backoff_first_us)
		supervisor->options.backoff_first_us = 200000;
	if (!options->backoff_most_us)
		supervisor->options.backoff_most_us = 30000000;
	if (!options->healthy_us)
		supervisor->options.healthy_us = 60000000;
	supervisor->server.pidfd = -1;
	supervisor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (supervisor->wake_fd < 0)
		abort();
	pthread_mutex_init(&supervisor->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&supervisor->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret = supervisor;
}

void supervisor_free(struct supervisor *supervisor)
{
	if (!supervisor)
		return;
	close(supervisor->wake_fd);
	pthread_cond_destroy(&supervisor->changed);
	pthread_mutex_destroy(&supervisor->lock);
	free(supervisor);
}

/* --- The pid file ----------------------------------------------------------------------------- */

static void write_pid_file(const char *path, const struct engine_server *server)
{
	FILE *file = fopen(path, "we");

	if (!file) {
		log_errno(-errno, "cannot write '%s'", path);
		return;
	}
	fprintf(file, "%d %llu %llu\n", (int)server->pid,
		(unsigned long long)process_start_time(server->pid),
		(unsigned long long)family_id(server->family));
	fclose(file);
}

static void end_process(pid_t pid, uint64_t began)
{
	CLEANUP(fd) int pidfd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};

	/* With the descriptor open, the number cannot pass to another process between the look and
	 * the kill. */
	if (pidfd < 0 || process_start_time(pid) != began)
		return;
	log_warning("ending process %d, which an earlier keeper left behind", pid);
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	poll(&ended, 1, LEFTOVER_TIMEOUT_MS);
}

void supervisor_end_leftover(const char *pid_file)
{
	unsigned long long began, family = 0;
	FILE *file = fopen(pid_file, "re");
	int pid, n;

	if (!file)
		return;
	n = fscanf(file, "%d %llu %llu", &pid, &began, &family);
	fclose(file);
	if (n >= 2 && pid > 1)
		end_process(pid, began);
	n = n == 3 ? family_end_by_id(family, began) : 0;
	if (n > 0)
		log_warning("ended %d processes of the server that an earlier keeper left behind",
			    n);
	unlink(pid_file);
}

/* --- The main thread -------------------------------------------------------------------------- */

static void set_state(struct supervisor *supervisor, enum supervisor_state state)
{
	supervisor->state = state;
	pthread_cond_broadcast(&supervisor->changed);
}

/* Under the lock. */
static void keep_error(struct supervisor *supervisor, const struct problem *why)
{
	supervisor->last_error = *why;
	supervisor->last_error_time_us = clock_realtime_us();
}

/* Under the lock: an attempt came to nothing, or what ran is gone.  Try again later, or give up. */
static void plan_next(struct supervisor *supervisor)
{
	if (!supervisor->want_up) {
		set_state(supervisor, SUPERVISOR_DOWN);
		return;
	}
	supervisor->failures++;
	if (!supervisor->retry) {
		supervisor->want_up = false;
		set_state(supervisor, SUPERVISOR_FAILED);
		return;
	}
	if (supervisor->backoff_us == 0)
		supervisor->backoff_us = supervisor->options.backoff_first_us;
	supervisor->next_us = clock_monotonic_us() + supervisor->backoff_us;
	log_warning("the next attempt to start the server comes in %.1f s",
		    supervisor->backoff_us / 1e6);
	supervisor->backoff_us =
		MIN(supervisor->backoff_us * 2, supervisor->options.backoff_most_us);
	set_state(supervisor, SUPERVISOR_WAITING);
}

/* Without the lock: starting a program takes its time. */
static void launch(struct supervisor *supervisor)
{
	const struct supervisor_options *options = &supervisor->options;
	struct problem why = {""};
	int r;

	r = options->engine->start(options->place, &supervisor->server, &why);
	pthread_mutex_lock(&supervisor->lock);
	if (r < 0) {
		supervisor->server = (struct engine_server){.pidfd = -1};
		log_error("cannot start the server: %s", why.text);
		keep_error(supervisor, &why);
		plan_next(supervisor);
	} else {
		supervisor->launched_us = supervisor->asked_us = clock_monotonic_us();
		supervisor->pid = supervisor->server.pid;
		set_state(supervisor, SUPERVISOR_STARTING);
	}
	pthread_mutex_unlock(&supervisor->lock);
	if (r == 0)
		write_pid_file(options->pid_file, &supervisor->server);
}

/* Without the lock: the server may take its time with the answer. */
static void ask(struct supervisor *supervisor)
{
	const struct supervisor_options *options = &supervisor->options;
	struct problem why = {""};
	int r;

	r = options->engine->ping(options->place, &why);
	supervisor->asked_us = clock_monotonic_us();
	if (r == -EAGAIN)
		return;
	pthread_mutex_lock(&supervisor->lock);
	if (r < 0) {
		log_warning("the server runs, but: %s", why.text);
		keep_error(supervisor, &why);
	}
	log_info("the server answers, %.3f s after its start",
		 (supervisor->asked_us - supervisor->launched_us) / 1e6);
	supervisor->up_since_us = supervisor->asked_us;
	supervisor->failures = 0;
	supervisor->retry = true;
	set_state(supervisor, SUPERVISOR_UP);
	pthread_mutex_unlock(&supervisor->lock);
}

/* Without the lock.  Its own words, unless we ended it. */
static void tell_death(struct supervisor *supervisor, int status, struct problem *why)
{
	char how[128], words[768];

	process_status_text(status, how, sizeof how);
	supervisor->options.engine->explain(supervisor->options.place, words, sizeof words);
	problem(why, 0, "the server ended with %s: %s", how, words);
}

/* Under the lock: one that was well for long is started again without delay. */
static void count_death(struct supervisor *supervisor)
{
	supervisor->restarts++;
	if (clock_monotonic_us() - supervisor->up_since_us > supervisor->options.healthy_us)
		supervisor->backoff_us = 0;
}

static void bury(struct supervisor *supervisor)
{
	struct problem why = {""};
	bool expected;
	int status = 0;

	if (engine_wait(&supervisor->server, 0, &status) < 0)
		return;
	unlink(supervisor->options.pid_file);
	pthread_mutex_lock(&supervisor->lock);
	expected = !supervisor->want_up || supervisor->state == SUPERVISOR_STOPPING;
	pthread_mutex_unlock(&supervisor->lock);
	if (!expected) {
		tell_death(supervisor, status, &why);
		log_error("%s", why.text);
	}

	pthread_mutex_lock(&supervisor->lock);
	supervisor->pid = 0;
	if (expected) {
		/* It may be wanted again already: the next step sees to that. */
		set_state(supervisor, SUPERVISOR_DOWN);
	} else {
		keep_error(supervisor, &why);
		if (supervisor->state == SUPERVISOR_UP)
			count_death(supervisor);
		plan_next(supervisor);
	}
	pthread_mutex_unlock(&supervisor->lock);
}

static void end(struct supervisor *supervisor)
{
	engine_kill(&supervisor->server);
	unlink(supervisor->options.pid_file);
	pthread_mutex_lock(&supervisor->lock);
	supervisor->pid = 0;
	set_state(supervisor, SUPERVISOR_DOWN);
	pthread_mutex_unlock(&supervisor->lock);
}

/* Somebody wants it down: by force, or ask first and look at the clock. */
static void bring_down(struct supervisor *supervisor, enum supervisor_state state, int timeout_ms)
{
	int64_t now_us = clock_monotonic_us();

	if (timeout_ms > 0 && state != SUPERVISOR_STOPPING) {
		supervisor->deadline_us = now_us + timeout_ms * INT64_C(1000);
		pthread_mutex_lock(&supervisor->lock);
		set_state(supervisor, SUPERVISOR_STOPPING);
		pthread_mutex_unlock(&supervisor->lock);
		supervisor->options.engine->stop(supervisor->options.place, &supervisor->server);
		return;
	}
	if (timeout_ms > 0 && now_us < supervisor->deadline_us)
		return;
	if (timeout_ms > 0)
		log_warning("the server did not stop in time and is killed");
	end(supervisor);
}

/* Due: there is no server, and there should be one. */
static bool is_launch_due(struct supervisor *supervisor, enum supervisor_state state)
{
	return state == SUPERVISOR_DOWN || state == SUPERVISOR_FAILED ||
	       (state == SUPERVISOR_WAITING && clock_monotonic_us() >= supervisor->next_us);
}

void supervisor_step(struct supervisor *supervisor)
{
	enum supervisor_state state;
	bool want_up;
	int timeout_ms;
	eventfd_t count;

	(void)eventfd_read(supervisor->wake_fd, &count);
	if (supervisor->server.pid > 0)
		bury(supervisor);

	pthread_mutex_lock(&supervisor->lock);
	if (!supervisor->want_up && supervisor->state == SUPERVISOR_WAITING)
		set_state(supervisor, SUPERVISOR_DOWN);
	state = supervisor->state;
	want_up = supervisor->want_up;
	timeout_ms = supervisor->stop_timeout_ms;
	pthread_mutex_unlock(&supervisor->lock);

	if (supervisor->server.pid > 0 && (!want_up || state == SUPERVISOR_STOPPING))
		bring_down(supervisor, state, timeout_ms);
	else if (supervisor->server.pid > 0 && state == SUPERVISOR_STARTING)
		ask(supervisor);
	else if (supervisor->server.pid <= 0 && want_up && is_launch_due(supervisor, state))
		launch(supervisor);
}

static int timeout_until(int64_t time_us)
{
	int64_t left_us = time_us - clock_monotonic_us();

	return left_us <= 0 ? 0 : (int)MIN((left_us + 999) / 1000, INT64_C(60000));
}

void supervisor_prepare(struct supervisor *supervisor, struct pollfd fds[2], int *ret_timeout_ms)
{
	int64_t now_us = clock_monotonic_us();
	bool often = now_us - supervisor->launched_us < ASK_OFTEN_FOR_US;
	int timeout = -1;

	pthread_mutex_lock(&supervisor->lock);
	if (supervisor->state == SUPERVISOR_STARTING)
		timeout = timeout_until(supervisor->asked_us + (often ? ASK_US : ASK_SELDOM_US));
	else if (supervisor->state == SUPERVISOR_STOPPING)
		timeout = timeout_until(supervisor->deadline_us);
	else if (supervisor->state == SUPERVISOR_WAITING)
		timeout = timeout_until(supervisor->next_us);
	else if (supervisor->want_up && supervisor->state != SUPERVISOR_UP)
		timeout = 0;
	pthread_mutex_unlock(&supervisor->lock);
	fds[0] = (struct pollfd){.fd = supervisor->wake_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = supervisor->server.pid > 0 ? supervisor->server.pidfd : -1,
				 .events = POLLIN};
	*ret_timeout_ms = timeout;
}

void supervisor_close_down(struct supervisor *supervisor, int timeout_ms)
{
	int status;

	pthread_mutex_lock(&supervisor->lock);
	supervisor->closing = true;
	supervisor->want_up = false;
	supervisor->wish++;
	if (supervisor->server.pid > 0)
		supervisor->state = SUPERVISOR_STOPPING;
	pthread_cond_broadcast(&supervisor->changed);
	pthread_mutex_unlock(&supervisor->lock);

	if (supervisor->server.pid <= 0)
		return;
	if (timeout_ms > 0) {
		supervisor->options.engine->stop(supervisor->options.place, &supervisor->server);
		if (engine_wait(&supervisor->server, timeout_ms, &status) < 0)
			log_warning("the server did not stop within %d s and is killed",
				    timeout_ms / 1000);
	}
	end(supervisor);
}

/* --- Any thread ------------------------------------------------------------------------------- */

/* Under the lock. */
static uint64_t make_wish(struct supervisor *supervisor, bool up, bool retry, int timeout_ms)
{
	supervisor->want_up = up;
	supervisor->retry = retry;
	/* One that is stopping cleanly is left to it, though it is wanted again. */
	if (!up)
		supervisor->stop_timeout_ms = timeout_ms;
	/* An attempt at once, and no grudge from earlier ones. */
	supervisor->next_us = 0;
	supervisor->backoff_us = 0;
	supervisor->failures = 0;
	if (supervisor->state == SUPERVISOR_WAITING || supervisor->state == SUPERVISOR_FAILED)
		supervisor->state = SUPERVISOR_DOWN;
	pthread_cond_broadcast(&supervisor->changed);
	(void)eventfd_write(supervisor->wake_fd, 1);
	return ++supervisor->wish;
}

void supervisor_want_up(struct supervisor *supervisor)
{
	pthread_mutex_lock(&supervisor->lock);
	if (!supervisor->closing)
		make_wish(supervisor, true, true, 0);
	pthread_mutex_unlock(&supervisor->lock);
}

/* Under the lock: until something changes, or a tick has passed. */
static void wait_a_tick(struct supervisor *supervisor)
{
	int64_t until_us = clock_monotonic_us() + TICK_US;
	struct timespec until = {.tv_sec = until_us / 1000000,
				 .tv_nsec = until_us % 1000000 * 1000};

	pthread_cond_timedwait(&supervisor->changed, &supervisor->lock, &until);
}

static int replaced(struct supervisor *supervisor, struct problem *why)
{
	return problem(why, -ECANCELED,
		       supervisor->closing ? "the keeper is closing down"
					   : "something else was asked of the server meanwhile");
}

int supervisor_start(struct supervisor *supervisor, void (*tick)(void *arg), void *arg,
		     struct problem *why)
{
	uint64_t wish;
	int r = 0;

	pthread_mutex_lock(&supervisor->lock);
	if (supervisor->closing) {
		r = replaced(supervisor, why);
		pthread_mutex_unlock(&supervisor->lock);
		return r;
	}
	/* An attempt under way is as good as a new one. */
	if (supervisor->want_up &&
	    (supervisor->state == SUPERVISOR_STARTING || supervisor->state == SUPERVISOR_UP))
		wish = supervisor->wish;
	else
		wish = make_wish(supervisor, true, false, 0);
	while (supervisor->wish == wish && supervisor->state != SUPERVISOR_UP &&
	       supervisor->want_up && supervisor->state != SUPERVISOR_WAITING) {
		wait_a_tick(supervisor);
		if (tick) {
			pthread_mutex_unlock(&supervisor->lock);
			tick(arg);
			pthread_mutex_lock(&supervisor->lock);
		}
	}
	if (supervisor->wish != wish)
		r = replaced(supervisor, why);
	else if (supervisor->state != SUPERVISOR_UP)
		r = problem(why, -ECHILD, "%s", supervisor->last_error.text);
	pthread_mutex_unlock(&supervisor->lock);
	return r;
}

int supervisor_stop(struct supervisor *supervisor, int timeout_ms, struct problem *why)
{
	uint64_t wish;
	int r = 0;

	pthread_mutex_lock(&supervisor->lock);
	wish = supervisor->closing ? 0 : make_wish(supervisor, false, false, timeout_ms);
	while (supervisor->wish == wish && supervisor->state != SUPERVISOR_DOWN &&
	       supervisor->state != SUPERVISOR_FAILED)
		pthread_cond_wait(&supervisor->changed, &supervisor->lock);
	if (supervisor->wish != wish)
		r = replaced(supervisor, why);
	pthread_mutex_unlock(&supervisor->lock);
	return r;
}

void supervisor_get_status(struct supervisor *supervisor, struct supervisor_status *ret)
{
	pthread_mutex_lock(&supervisor->lock);
	*ret = (struct supervisor_status){
		.state = supervisor->state,
		.wanted = supervisor->want_up,
		.pid = supervisor->pid,
		.up_us = supervisor->state == SUPERVISOR_UP
				 ? clock_monotonic_us() - supervisor->up_since_us
				 : 0,
		.restarts = supervisor->restarts,
		.failures = supervisor->failures,
		.last_error_time_us = supervisor->last_error_time_us,
	};
	snprintf(ret->last_error, sizeof ret->last_error, "%s", supervisor->last_error.text);
	pthread_mutex_unlock(&supervisor->lock);
}
