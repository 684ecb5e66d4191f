/*
 * Goal: a job that was added is done, or taken back, whenever we are killed; what its end means is
 * recorded with it, once.
 *
 * Method: a job of three steps, each of which makes a file, in a process that kills itself at each
 * place in turn; then another process opens the database and goes on.
 */
#include "tap.h"

#include "base/clock.h"
#include "base/log.h"
#include "jobs/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64];
static struct problem why;

/* Where the process kills itself, "run b before"; "": nowhere. */
static char kill_at[32];
static const char *fail_at = ""; /* the step that fails: "c" */

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

static void no_log(enum log_level level, const char *text)
{
}

static void here(const char *what, const char *step, const char *when)
{
	char place[32];

	snprintf(place, sizeof place, "%s %s %s", what, step, when);
	if (!strcmp(place, kill_at))
		raise(SIGKILL);
}

static const char *path_of(const char *name)
{
	static _Thread_local char path[PATH_MAX]; /* of the steps, too */

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

/* --- The kinds -------------------------------------------------------------------------------- */

static int do_step(struct job *job, const char *name, struct problem *ret_why)
{
	here("run", name, "before");
	close(open(path_of(name), O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
	json_object_set_new(job->notes, name, json_true());
	here("run", name, "after");
	return strcmp(fail_at, name) ? 0 : problem(ret_why, -EIO, "step %s does not want to", name);
}

static int undo_step(const char *name)
{
	here("undo", name, "before");
	unlink(path_of(name));
	here("undo", name, "after");
	return 0;
}

#define STEP(name)                                                                       \
	static int run_##name(void *userdata, struct job *job, struct problem *ret_why)  \
	{                                                                                \
		return do_step(job, #name, ret_why);                                     \
	}                                                                                \
	static int undo_##name(void *userdata, struct job *job, struct problem *ret_why) \
	{                                                                                \
		return undo_step(#name);                                                 \
	}
STEP(a)
STEP(b)
STEP(c)

static const struct job_step three_steps[] = {
	{"a", run_a, undo_a}, {"b", run_b, undo_b}, {"c", run_c, undo_c}, {NULL}};

static int note_end(void *userdata, struct job *job, enum job_state state,
		    const struct problem *said, sqlite3 *db)
{
	here("end", "-", "inside");
	return state_run(db, "INSERT INTO ended (subject, state) VALUES (?, ?)", "ss", job->subject,
			 job_state_name(state));
}

static sem_t ended;

static void tell_ended(void *userdata, struct job *job, enum job_state state,
		       const struct problem *said)
{
	sem_post(&ended);
}

/* Waits until it is let go, cancelled, or told to stop. */
static sem_t entered, let_go;

static int run_wait(void *userdata, struct job *job, struct problem *ret_why)
{
	sem_post(&entered);
	while (sem_trywait(&let_go) < 0) {
		if (job_cancelled(job))
			return problem(ret_why, -ECANCELED, "cancelled in the middle");
		if (job_stopping(job))
			return -EINTR;
		job_pause(job, 5);
	}
	return 0;
}

static const struct job_step wait_steps[] = {
	{"a", run_a, undo_a}, {"wait", run_wait, NULL}, {NULL}};

#define KIND(kind, its_steps, resumes, can_be_cancelled) \
	static const struct job_kind kind = {            \
		.name = #kind,                           \
		.steps = its_steps,                      \
		.resume = resumes,                       \
		.cancellable = can_be_cancelled,         \
		.secret = "password",                    \
		.end = note_end,                         \
		.ended = tell_ended,                     \
	}
KIND(resuming, three_steps, true, true);
KIND(returning, three_steps, false, true);
KIND(waiting, wait_steps, true, true);
KIND(stubborn, wait_steps, true, false);
static const struct job_kind *const kinds[] = {&resuming, &returning, &waiting, &stubborn, NULL};

static const char *const ended_steps[] = {
	"CREATE TABLE ended (subject TEXT NOT NULL, state TEXT NOT NULL) STRICT", NULL};
static const struct state_part ended_part = {"ended", ended_steps};
static const struct state_part *const parts[] = {&jobs_state_part, &ended_part, NULL};

/* --- The bed ---------------------------------------------------------------------------------- */

static struct state *state;
static struct jobs *jobs;

static bool begin(void)
{
	why.text[0] = 0;
	if (!check(state_open(path_of("state.db"), parts, &state, &why) == 0, "%s", why.text))
		return false;
	jobs_new(state, kinds, NULL, &jobs);
	return check(jobs_start(jobs, &why) == 0, "%s", why.text);
}

static void end(void)
{
	jobs_stop(jobs);
	state_close(state);
}

static int add(const char *kind, const char *subject, int64_t *ret_id)
{
	json_t *input = json_pack("{s:s, s:s}", "colour", "red", "password", "Tr0ub4dor");
	const struct job_new new = {kind, subject, input};
	int r = jobs_add(jobs, &new, ret_id, &why);

	json_decref(input);
	return r;
}

static bool wait_for(sem_t *semaphore)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_US / 1000000;
	return sem_timedwait(semaphore, &until) == 0;
}

/* The newest job of the subject has this state; "" when there is none. */
static bool is_in_state(const char *subject, const char *expected)
{
	json_t *list = NULL;
	const char *found;
	bool ok;

	if (!check(jobs_list(jobs, subject, 10, &list) == 0))
		return false;
	found = json_string_value(json_object_get(json_array_get(list, 0), "state"));
	ok = check(!strcmp(found ? found : "", expected), "%s", found);
	/* It has ended once it is told. */
	check(!found || json_object_get(json_array_get(list, 0), "ended_us"));
	json_decref(list);
	return ok;
}

static unsigned files_left(void)
{
	return !access(path_of("a"), F_OK) + !access(path_of("b"), F_OK) +
	       !access(path_of("c"), F_OK);
}

static int count_ended(sqlite3 *db, void *arg)
{
	sqlite3_stmt *row = NULL;
	int r = state_prepare(db, "SELECT count(*) FROM ended WHERE state = ?", &row, "s",
			      (const char *)arg);

	if (r == 0)
		r = state_step(row) == 1 ? sqlite3_column_int(row, 0) : -EIO;
	state_done(row);
	return r;
}

static int ended_as(const char *expected)
{
	return state_read(state, count_ended, (void *)expected);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void a_job_is_done_step_by_step(void)
{
	int64_t id = 0;

	require(begin());
	check(add("resuming", "shop", &id) == 0 && id > 0);
	check(wait_for(&ended));
	check(is_in_state("shop", "done"));
	check(files_left() == 3);
	check(ended_as("done") == 1);
	end();
}

static void a_step_that_fails_is_taken_back_with_those_before_it(void)
{
	json_t *list = NULL;

	require(begin());
	fail_at = "b";
	log_set_sink(no_log);
	check(add("resuming", "shop", NULL) == 0);
	check(wait_for(&ended));
	log_set_sink(NULL);
	fail_at = "";
	check(is_in_state("shop", "failed"));
	check(files_left() == 0);
	check(jobs_list(jobs, NULL, 10, &list) == 0);
	check(!strcmp(json_string_value(json_object_get(json_array_get(list, 0), "error")),
		      "step b does not want to"));
	json_decref(list);
	end();
}

static void a_subject_has_one_job_at_a_time(void)
{
	require(begin());
	check(add("waiting", "shop", NULL) == 0);
	check(wait_for(&entered));
	check(add("resuming", "shop", NULL) == -EBUSY, "%s", why.text);
	check(strstr(why.text, "'shop'"), "%s", why.text);
	check(add("resuming", "blog", NULL) == 0, "another's is not kept waiting");
	check(wait_for(&ended));
	check(is_in_state("blog", "done"));
	sem_post(&let_go);
	check(wait_for(&ended));
	check(add("resuming", "shop", NULL) == 0, "its turn has come");
	check(wait_for(&ended));
	end();
}

static int refuse(sqlite3 *db, int64_t id, void *arg)
{
	int r = state_run(db, "INSERT INTO ended (subject, state) VALUES ('x', 'also')", "");

	return r < 0 ? r : *(int *)arg;
}

static void what_is_added_with_a_job_is_there_with_it_or_not_at_all(void)
{
	json_t *input = json_object();
	int answer = -EEXIST;
	const struct job_new new = {"resuming", "shop", input, refuse, &answer};

	require(begin());
	check(jobs_add(jobs, &new, NULL, &why) == -EEXIST);
	check(ended_as("also") == 0);
	check(is_in_state("shop", ""));
	answer = 0;
	check(jobs_add(jobs, &new, NULL, &why) == 0);
	check(wait_for(&ended));
	check(ended_as("also") == 1);
	json_decref(input);
	end();
}

static bool shows_input(const char *expected)
{
	json_t *list = NULL, *input;
	char *text;
	bool ok;

	if (!check(jobs_list(jobs, "shop", 1, &list) == 0))
		return false;
	input = json_object_get(json_array_get(list, 0), "input");
	text = json_dumps(input, JSON_COMPACT);
	ok = check(text && !strcmp(text, expected), "%s", text);
	free(text);
	json_decref(list);
	return ok;
}

static int count_passwords(sqlite3 *db, void *arg)
{
	sqlite3_stmt *row = NULL;
	int r = state_prepare(db, "SELECT count(*) FROM job WHERE input LIKE '%Tr0ub4dor%'", &row,
			      "");

	if (r == 0)
		r = state_step(row) == 1 ? sqlite3_column_int(row, 0) : -EIO;
	state_done(row);
	return r;
}

static void a_secret_is_never_shown_and_forgotten_at_the_end(void)
{
	require(begin());
	check(add("waiting", "shop", NULL) == 0);
	check(wait_for(&entered));
	check(shows_input("{\"colour\":\"red\"}"));
	check(state_read(state, count_passwords, NULL) == 1, "it is still needed");
	sem_post(&let_go);
	check(wait_for(&ended));
	check(shows_input("{\"colour\":\"red\"}"));
	check(state_read(state, count_passwords, NULL) == 0);
	end();
}

static void a_cancelled_job_is_taken_back(void)
{
	int64_t id;

	require(begin());
	check(add("waiting", "shop", &id) == 0);
	check(wait_for(&entered));
	log_set_sink(no_log);
	check(jobs_cancel(jobs, id, &why) == 0, "%s", why.text);
	check(wait_for(&ended));
	log_set_sink(NULL);
	check(is_in_state("shop", "cancelled"));
	check(files_left() == 0);
	check(ended_as("cancelled") == 1);
	check(jobs_cancel(jobs, id + 1, &why) == -ENOENT);
	end();
}

static void what_cannot_be_cancelled_says_so(void)
{
	int64_t id;

	require(begin());
	check(add("stubborn", "shop", &id) == 0);
	check(wait_for(&entered));
	check(jobs_cancel(jobs, id, &why) == -EPERM);
	sem_post(&let_go);
	check(wait_for(&ended));
	check(is_in_state("shop", "done"));
	end();
}

static void a_job_that_was_under_way_at_the_end_goes_on_at_the_next_start(void)
{
	require(begin());
	check(add("waiting", "shop", NULL) == 0);
	check(wait_for(&entered));
	end();
	require(begin());
	check(wait_for(&entered), "the step begins again");
	sem_post(&let_go);
	check(wait_for(&ended));
	check(is_in_state("shop", "done"));
	check(files_left() == 1);
	end();
}

static void a_job_of_a_newer_version_is_left_alone(void)
{
	static const struct job_kind *const fewer[] = {&resuming, NULL};

	require(begin());
	check(add("waiting", "shop", NULL) == 0);
	check(wait_for(&entered));
	end();
	require(state_open(path_of("state.db"), parts, &state, &why) == 0);
	jobs_new(state, fewer, NULL, &jobs);
	check(jobs_start(jobs, &why) == -EPROTONOSUPPORT);
	check(strstr(why.text, "another version") && strstr(why.text, "'shop'"), "%s", why.text);
	end();
}

#define MANY (2 * JOBS_RUNNING_MAX)

static void more_jobs_than_threads_all_get_done(void)
{
	char subject[32];

	require(begin());
	for (int i = 0; i < MANY; i++) {
		snprintf(subject, sizeof subject, "c%d", i);
		check(add("resuming", subject, NULL) == 0);
	}
	for (int i = 0; i < MANY; i++)
		require(wait_for(&ended));
	check(ended_as("done") == MANY);
	end();
}

/* --- Kills ------------------------------------------------------------------------------------ */

/* Add a job and be killed at `kill_at`; in a process of its own. */
static void run_into_the_kill(const char *kind)
{
	log_set_sink(no_log);
	if (!begin() || add(kind, "shop", NULL) < 0)
		_exit(1);
	wait_for(&ended);
	_exit(2); /* it came to its end: there was no such place */
}

/* In another one: go on; exits 0 when all is as expected. */
static void go_on(const char *expected, unsigned files)
{
	bool ok;

	log_set_sink(no_log);
	kill_at[0] = 0;
	ok = begin() && check(wait_for(&ended)) && is_in_state("shop", expected) &&
	     check(files_left() == files, "%u", files_left()) &&
	     check(ended_as(expected) == 1, "its end is told once") &&
	     check(add("resuming", "shop", NULL) == 0, "the subject is free");
	jobs_stop(jobs);
	fflush(stdout);
	_exit(!ok);
}

static int wait_status(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

static bool make_dir(void)
{
	strcpy(dir, "/tmp/unspill-jobs-XXXXXX");
	return check(mkdtemp(dir));
}

static void remove_dir(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Killed at `place`, the job of that kind (its step c failing where `fails`) comes to that end. */
static void kill_and_go_on(const char *kind, const char *place, bool fails, const char *expected)
{
	unsigned files = !strcmp(expected, "done") ? 3 : 0;
	pid_t pid;
	int status;

	if (!make_dir())
		return;
	fail_at = fails ? "c" : "";
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		snprintf(kill_at, sizeof kill_at, "%s", place);
		run_into_the_kill(kind);
	}
	status = wait_status(pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s at %s: %d", kind, place,
	      status);
	pid = fork();
	if (pid == 0)
		go_on(expected, files);
	status = wait_status(pid);
	check(status == 0, "%s, killed at %s: %d", kind, place, status);
	fail_at = "";
	remove_dir();
}

static const char *const run_places[] = {"run a before", "run a after",  "run b before",
					 "run b after",  "run c before", "run c after"};

static void killed_in_any_step_a_job_that_resumes_is_done(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_places); i++)
		kill_and_go_on("resuming", run_places[i], false, "done");
}

static void killed_in_any_step_a_job_that_does_not_is_taken_back(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_places); i++)
		kill_and_go_on("returning", run_places[i], false, "failed");
}

static void killed_while_it_is_taken_back_it_is_taken_back(void)
{
	static const char *const places[] = {"undo c before", "undo c after", "undo b after",
					     "undo a before", "undo a after"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		kill_and_go_on("resuming", places[i], true, "failed");
}

static void killed_while_its_end_is_recorded_it_ends_once(void)
{
	kill_and_go_on("resuming", "end - inside", false, "done");
	kill_and_go_on("resuming", "end - inside", true, "failed");
}

#define IN_NEW_DIR(test)              \
	do {                          \
		if (make_dir()) {     \
			RUN(test);    \
			remove_dir(); \
		}                     \
	} while (0)

int main(void)
{
	sem_init(&ended, 0, 0);
	sem_init(&entered, 0, 0);
	sem_init(&let_go, 0, 0);
	RUN(killed_in_any_step_a_job_that_resumes_is_done);
	RUN(killed_in_any_step_a_job_that_does_not_is_taken_back);
	RUN(killed_while_it_is_taken_back_it_is_taken_back);
	RUN(killed_while_its_end_is_recorded_it_ends_once);
	IN_NEW_DIR(a_job_is_done_step_by_step);
	IN_NEW_DIR(a_step_that_fails_is_taken_back_with_those_before_it);
	IN_NEW_DIR(a_subject_has_one_job_at_a_time);
	IN_NEW_DIR(what_is_added_with_a_job_is_there_with_it_or_not_at_all);
	IN_NEW_DIR(a_secret_is_never_shown_and_forgotten_at_the_end);
	IN_NEW_DIR(a_cancelled_job_is_taken_back);
	IN_NEW_DIR(what_cannot_be_cancelled_says_so);
	IN_NEW_DIR(a_job_that_was_under_way_at_the_end_goes_on_at_the_next_start);
	IN_NEW_DIR(a_job_of_a_newer_version_is_left_alone);
	IN_NEW_DIR(more_jobs_than_threads_all_get_done);
	return tap_done();
}
