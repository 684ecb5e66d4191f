#include "cmd/talk.h"
#include "cmd/inside.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/timetext.h"
#include "base/units.h"
#include "keeper/keeper.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#define LOOK_TIMEOUT_MS 500 /* of serve, where the keeper can as well be asked itself */

/* --- Interrupts ------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t timed_out;
static struct control *volatile current;  /* what a signal shuts down */
static volatile sig_atomic_t withdrawing; /* or only withdraws from, to hear how it ended */

static void shut_down_current(void)
{
	struct control *control = current;

	if (control && withdrawing)
		control_withdraw(control);
	else if (control)
		control_cancel(control);
}

static void on_interrupt(int signal_number)
{
	int saved = errno;

	interrupted = 1;
	shut_down_current();
	errno = saved;
}

static void on_alarm(int signal_number)
{
	int saved = errno;

	timed_out = 1;
	shut_down_current();
	errno = saved;
}

void talk_catch_interrupts(void)
{
	/* RESETHAND: the second one does what it does by default. */
	struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool talk_interrupted(void)
{
	return interrupted;
}

static void set_alarm(int timeout_ms)
{
	struct itimerval timer = {.it_value = {timeout_ms / 1000, timeout_ms % 1000 * 1000}};
	struct sigaction action = {.sa_handler = on_alarm};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* --- Opening and closing ---------------------------------------------------------------------- */

/* Through `serve`, if it answers; once it does not, it is not asked again. */
static bool reach_through(struct talk *talk)
{
	int timeout_ms = talk->looks ? LOOK_TIMEOUT_MS : TALK_SERVE_TIMEOUT_MS;
	static bool silent;
	char path[PATH_MAX];
	int r = -ETIMEDOUT;

	if (!silent && cluster_serve_path("control.sock", path, NULL) == 0)
		r = control_connect_through(path, talk->cluster->name, timeout_ms, &talk->control,
					    NULL);
	silent = r == -ETIMEDOUT;
	return r == 0;
}

int talk_reach(struct talk *talk, struct problem *why)
{
	char path[PATH_MAX];

	talk->through = (talk->told || talk->looks) && reach_through(talk);
	if (talk->through)
		return 0;
	cluster_socket(talk->cluster, path);
	return control_connect(path, &talk->control, why);
}

int talk_connect(struct talk *talk)
{
	struct problem why = {""};
	int r;

	control_close(talk->control);
	talk->control = NULL;
	r = talk_reach(talk, &why);
	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

/* Start a keeper without a server, for this command. */
static int start_temporary(struct talk *talk)
{
	struct problem why = {""};
	int r = attend_start(&talk->attendance, &why);

	return r < 0 ? fail_why(talk->typed, r, &why) : talk_connect(talk);
}

/* Ending. */
static int lock(struct talk *talk)
{
	struct problem why = {""};
	int r = attend_lock(&talk->attendance, talk->cluster, talk_interrupted, &why);

	return r < 0 ? fail_why(talk->typed, r, &why) : END_OK;
}

void talk_unlock(struct talk *talk)
{
	attend_unlock(&talk->attendance);
}

void talk_keep(struct talk *talk)
{
	talk->attendance.temporary = false;
	talk_unlock(talk);
}

int talk_open_cluster(struct talk *ret, const struct typed *typed, struct cluster *cluster,
		      enum talk_flags flags)
{
	struct problem why = {""};
	int ending, r;

	*ret = (struct talk){.typed = typed,
			     .cluster = cluster,
			     .told = flags & TALK_TOLD,
			     .looks = flags & TALK_LOOKS};
	ending = lock(ret);
	if (ending != END_OK)
		return ending;
	r = talk_reach(ret, &why);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return flags & TALK_ONLY_IF_RUNS    ? END_OK
		       : cluster_is_inside(cluster) ? inside_open(ret)
						    : start_temporary(ret);
	if (r < 0)
		return fail_why(typed, r, &why);
	talk_unlock(ret);
	return END_OK;
}

int talk_open(struct talk *ret, const struct typed *typed, enum talk_flags flags)
{
	struct problem why = {""};
	struct cluster *cluster;
	int r;

	*ret = (struct talk){.typed = typed};
	r = cluster_check_name(typed->operands[0], &why);
	if (r < 0)
		return fail_why(typed, r, &why);
	r = cluster_find(typed->operands[0], &cluster, &why);
	if (r < 0)
		return fail_why(typed, r, &why);
	return talk_open_cluster(ret, typed, cluster, flags);
}

void talk_close(struct talk *talk)
{
	/* The old connection may have been shut down by an interrupt. */
	control_close(talk->control);
	attend_end(&talk->attendance);
	inside_close(talk);
	cluster_free(talk->cluster);
	*talk = (struct talk){0};
}

/* --- Asking ----------------------------------------------------------------------------------- */

static enum ending ending_of_code(const char *code)
{
	static const struct {
		const char *code;
		enum ending ending;
	} endings[] = {
		{"bad-request", END_USAGE}, {"not-found", END_NOT_FOUND},
		{"exists", END_TAKEN},      {"out-of-window", END_UNREACHABLE},
		{"busy", END_BUSY},         {"cancelled", END_CANCELLED},
		{"damaged", END_DAMAGED},   {"no-space", END_MACHINE},
		{"forbidden", END_MACHINE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		if (!strcmp(endings[i].code, code))
			return endings[i].ending;
	}
	return END_FAILED;
}

/*
 * As control_call(), on the talk's connection.  Serve may end between a question and its answer:
 * what only looks is asked again, of the keeper itself.
 */
static int call(struct talk *talk, json_t *request, struct progress *progress, json_t **ret,
		struct control_error *code, struct problem *why)
{
	int r;

	current = talk->control;
	r = control_call(talk->control, request, progress ? progress_update : NULL, progress, ret,
			 code, why);
	current = NULL;
	if (r != -ECONNRESET || !talk->looks || !talk->through || interrupted || timed_out)
		return r;
	talk->looks = false;
	control_close(take(talk->control));
	r = talk_reach(talk, why);
	return r < 0 ? r : call(talk, request, progress, ret, code, why);
}

int talk_ask_quietly(struct talk *talk, json_t *request, int timeout_ms, json_t **ret,
		     struct problem *why)
{
	struct control_error code;
	int r;

	timed_out = 0;
	withdrawing = 0;
	set_alarm(timeout_ms);
	r = call(talk, request, NULL, ret, &code, why);
	set_alarm(0);
	json_decref(request);
	if (r < 0 && timed_out)
		return problem(why, -ETIMEDOUT, "its keeper does not answer");
	return r;
}

/* After a cancelled request: what the cluster is doing now. */
static int say_cancelled(struct talk *talk)
{
	struct problem why = {""};
	const char *name = talk->cluster->name, *state;
	json_t *status = NULL;
	int r = -ENOTCONN;

	if (talk->cancelled)
		return fail(talk->typed, END_CANCELLED, "%s", talk->cancelled);
	if (talk_connect(talk) == END_OK)
		r = talk_ask_quietly(talk, json_pack("{s:s}", "do", "status"), 5000, &status, &why);
	state = r < 0 ? "" : json_text(status, "state");
	if (r < 0)
		fail(talk->typed, END_CANCELLED, "cancelled; see 'unspill status %s'", name);
	else if (!strcmp(state, "backtracking"))
		fail(talk->typed, END_CANCELLED,
		     "it was too late to cancel: the backtrack goes on; see 'unspill status %s'",
		     name);
	else if (talk->attendance.temporary || !strcmp(state, "stopped"))
		fail(talk->typed, END_CANCELLED, "cancelled; the server is stopped, as it was");
	else
		fail(talk->typed, END_CANCELLED, "cancelled; the server is %s", state);
	json_decref(status);
	return END_CANCELLED;
}

static int say_failed(struct talk *talk, int r, const struct control_error *code,
		      const struct problem *why)
{
	bool told = r == -EREMOTEIO && strcmp(code->code, "cancelled");

	if (talk->served && r == -ECONNRESET)
		return fail(talk->typed, END_FAILED,
			    "unspill serve went away before it was done; it goes on with it when "
			    "it runs again: see 'unspill jobs'");
	if (talk->served && interrupted && !told)
		return fail(talk->typed, END_CANCELLED, "%s", talk->cancelled);
	if (interrupted && !told && strncmp(why->text, "cancelled", strlen("cancelled")))
		return say_cancelled(talk);
	if (r == -EREMOTEIO)
		return fail(talk->typed, ending_of_code(code->code), "%s", why->text);
	if (r == -ECONNRESET)
		return fail(talk->typed, END_FAILED,
			    "the keeper went away before it answered; its log is %s/run/keeper.log",
			    talk->cluster->directory);
	return fail_why(talk->typed, r, why);
}

/* docs/control.md: cancelled at once, and answered. */
static bool is_cancellable(const json_t *request)
{
	const char *what = json_text(request, "do");

	return !strcmp(what, "backtrack") || !strcmp(what, "export") || !strcmp(what, "verify") ||
	       !strcmp(what, "repack") || !strcmp(what, "job");
}

int talk_ask(struct talk *talk, json_t *request, json_t **ret)
{
	struct control_error code = {""};
	struct problem why = {""};
	struct progress progress;
	json_t *result = NULL;
	int r = -ECONNRESET;

	progress_init(&progress, typed_has(talk->typed, "json"));
	withdrawing = is_cancellable(request);
	if (!interrupted)
		r = call(talk, request, &progress, &result, &code, &why);
	json_decref(request);
	progress_done(&progress, r == 0 || progress.undone);
	if (r < 0)
		return say_failed(talk, r, &code, &why);
	if (!typed_has(talk->typed, "json"))
		json_clean(result);
	if (interrupted)
		note("It was too late to cancel.");
	if (ret)
		*ret = result;
	else
		json_decref(result);
	return END_OK;
}

/* --- Moments ---------------------------------------------------------------------------------- */

static int parse_lsn(const struct typed *typed, const char *what, const char *text, json_t **ret)
{
	const char *digits = text + strlen("lsn:");
	char *end;
	long long lsn;

	errno = 0;
	lsn = strtoll(digits, &end, 10);
	if (!isdigit((unsigned char)*digits) || *end || errno)
		return fail(typed, END_USAGE,
			    "%s: '%.60s' is not a place on the tape; write it like lsn:123456",
			    what, text);
	*ret = json_pack("{s:I}", "lsn", (json_int_t)lsn);
	return END_OK;
}

static int parse_mark(const struct typed *typed, const char *what, const char *text, json_t **ret)
{
	const char *name = text + strlen("mark:");

	*ret = *name ? json_pack("{s:s}", "mark", name) : NULL;
	if (!*ret)
		return fail(typed, END_USAGE,
			    "%s: '%.60s' does not name a mark; write it like mark:before-migration",
			    what, text);
	return END_OK;
}

int moment_parse(const struct typed *typed, const char *what, const char *text, json_t **ret,
		 int64_t *ret_asked_us)
{
	int64_t now = clock_realtime_us(), time;
	char shown[TIME_TEXT_MAX], current_time[TIME_TEXT_MAX];
	struct problem why;

	*ret_asked_us = 0;
	if (!strncmp(text, "lsn:", 4))
		return parse_lsn(typed, what, text, ret);
	if (!strncmp(text, "mark:", 5))
		return parse_mark(typed, what, text, ret);
	if (time_parse(text, now, &time, &why) < 0)
		return fail(typed, END_USAGE, "%s: %s", what, why.text);
	if (time > now) {
		time_format(time, typed_switch(typed, "utc"), shown);
		time_format(now, typed_switch(typed, "utc"), current_time);
		return fail(typed, END_UNREACHABLE, "%s: %s is in the future; it is %s now", what,
			    shown, current_time);
	}
	*ret = time == now ? json_pack("{s:b}", "now", 1)
			   : json_pack("{s:I}", "time_us", (json_int_t)time);
	*ret_asked_us = time;
	return END_OK;
}

void moment_format(const json_t *moment, bool utc, char text[MOMENT_TEXT_MAX])
{
	char time[TIME_TEXT_MAX];

	if (!json_is_object(moment)) {
		snprintf(text, MOMENT_TEXT_MAX, "-");
		return;
	}
	time_format(json_number(moment, "time_us"), utc, time);
	snprintf(text, MOMENT_TEXT_MAX, "%s (lsn:%lld)", time,
		 (long long)json_number(moment, "lsn"));
}

void took_format(const json_t *backtrack, bool inside, char text[TOOK_TEXT_MAX])
{
	int64_t kill_us = json_number(backtrack, "kill_us"),
		rewind_us = json_number(backtrack, "rewind_us"),
		start_us = json_number(backtrack, "start_us");
	char kill_text[UNITS_TEXT_MAX], rewind[UNITS_TEXT_MAX], start[UNITS_TEXT_MAX],
		total[UNITS_TEXT_MAX];

	elapsed_format(kill_us, kill_text);
	elapsed_format(rewind_us, rewind);
	elapsed_format(start_us, start);
	elapsed_format(kill_us + rewind_us + start_us, total);
	if (inside)
		snprintf(text, TOOK_TEXT_MAX, "%s: wait for transactions %s, rewind %s, settle %s",
			 total, kill_text, rewind, start);
	else if (start_us)
		snprintf(text, TOOK_TEXT_MAX, "%s: kill %s, rewind %s, start %s", total, kill_text,
			 rewind, start);
	else
		snprintf(text, TOOK_TEXT_MAX, "%s; the server was stopped, and stayed so", rewind);
}
