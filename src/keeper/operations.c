/*
 * What the keeper does when asked.
 *
 * Each runs in the thread of the connection that asked.  Those that move the server or the head are
 * "work": one at a time, the next is told to come again.  The rest (export, verify, repack, mark,
 * modify) run beside it.
 */
#include "keeper/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "keeper/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

static const char *const work_names[] = {
	[WORK_NONE] = "idle",
	[WORK_STARTING] = "starting",
	[WORK_STOPPING] = "stopping",
	[WORK_BACKTRACKING] = "backtracking",
	[WORK_CREATING] = "being created",
	[WORK_IMPORTING] = "importing",
};

/* --- Work ------------------------------------------------------------------------------------- */

/* Take the work, or say who has it.  `over`: a kind of work that may be cut short for this one. */
bool work_begin(struct keeper *keeper, struct connection *connection, enum work work,
		enum work over)
{
	enum work now;
	bool leaving;

	pthread_mutex_lock(&keeper->lock);
	now = keeper->work;
	leaving = keeper->leave;
	if (!leaving && (now == WORK_NONE || now == over))
		keeper->work = work;
	pthread_mutex_unlock(&keeper->lock);
	if (leaving)
		connection_error(connection, "busy", "the keeper is closing down");
	else if (now != WORK_NONE && now != over)
		connection_error(connection, "busy",
				 "the cluster is %s: try again when that is done", work_names[now]);
	return !leaving && (now == WORK_NONE || now == over);
}

void work_finish(struct keeper *keeper, enum work work)
{
	pthread_mutex_lock(&keeper->lock);
	/* Somebody else may have cut it short and have the work now. */
	if (keeper->work == work)
		keeper->work = WORK_NONE;
	keeper->applied = keeper->left = 0;
	pthread_mutex_unlock(&keeper->lock);
}

/* cluster.json with what `change` makes of the settings; one writer at a time. */
static int change_settings(struct keeper *keeper,
			   void (*change)(struct keeper *keeper, const void *arg), const void *arg,
			   struct problem *why)
{
	struct cluster copy;
	int r;

	pthread_mutex_lock(&keeper->save_lock);
	pthread_mutex_lock(&keeper->lock);
	change(keeper, arg);
	copy = *keeper->cluster;
	pthread_mutex_unlock(&keeper->lock);
	r = cluster_save(&copy, why);
	pthread_mutex_unlock(&keeper->save_lock);
	return r;
}

static void change_desired(struct keeper *keeper, const void *arg)
{
	keeper->cluster->desired_running = *(const bool *)arg;
}

int work_set_desired(struct keeper *keeper, bool running, struct problem *why)
{
	return change_settings(keeper, change_desired, &running, why);
}

static void change_first(struct keeper *keeper, const void *arg)
{
	volume_now(keeper->volume, &keeper->cluster->first);
}

int work_set_first(struct keeper *keeper, struct problem *why)
{
	return change_settings(keeper, change_first, NULL, why);
}

static void forget_database(struct keeper *keeper, const void *arg)
{
	keeper->cluster->first = (struct moment){0};
	keeper->cluster->desired_running = false;
}

int work_forget_database(struct keeper *keeper, struct problem *why)
{
	return change_settings(keeper, forget_database, NULL, why);
}

/* Asked of the volume: this process keeps off its own mount, see apart.h. */
bool work_has_data(struct keeper *keeper)
{
	struct volume_attr attr;

	return view_lookup(volume_head(keeper->volume), VOLUME_ROOT_INO, DATA_NAME, &attr) == 0;
}

static bool wants_server(struct keeper *keeper)
{
	bool wants;

	pthread_mutex_lock(&keeper->lock);
	wants = keeper->cluster->desired_running && !keeper->options.no_server;
	pthread_mutex_unlock(&keeper->lock);
	return wants;
}

void work_fail(struct keeper *keeper, struct connection *connection, int r,
	       const struct problem *why)
{
	if (r != -ECANCELED && r != -ERANGE && r != -EINVAL && r != -ENOENT && r != -EEXIST)
		keeper_note_error(keeper, why);
	connection_error(connection, answer_code(r), "%s", why->text);
}

/* --- Start and stop --------------------------------------------------------------------------- */

static void start_tick(void *arg)
{
	connection_progress(arg, "start", 0, 0, "");
}

/* Start the server and wait; the time it took. */
int work_start_server(struct keeper *keeper, struct connection *connection, int64_t *ret_us,
		      struct problem *why)
{
	int64_t begun_us = clock_monotonic_us();
	int r;

	connection_progress(connection, "start", 0, 0, "");
	r = supervisor_start(keeper->supervisor, start_tick, connection, why);
	*ret_us = clock_monotonic_us() - begun_us;
	return r;
}

static void do_start(struct keeper *keeper, struct connection *connection,
		     const struct request *request)
{
	struct problem why = {""};
	int64_t start_us = 0;
	int r;

	if (keeper->options.no_server) {
		connection_error(connection, "bad-request",
				 "this keeper was started without a server (--no-server)");
		return;
	}
	if (!work_begin(keeper, connection, WORK_STARTING, WORK_STARTING))
		return;
	if (!work_has_data(keeper))
		r = problem(&why, -ENOENT, "there is no database in the cluster yet");
	else
		r = work_set_desired(keeper, true, &why);
	if (r == 0)
		r = work_start_server(keeper, connection, &start_us, &why);
	work_finish(keeper, WORK_STARTING);
	if (r < 0)
		work_fail(keeper, connection, r, &why);
	else
		connection_result(connection, json_pack("{s:I}", "start_us", (json_int_t)start_us));
}

/* Tell the main thread to end, and to answer when everything is closed. */
static void leave(struct keeper *keeper, struct connection *connection, bool at_once)
{
	pthread_mutex_lock(&keeper->lock);
	keeper->leave = true;
	keeper->leave_at_once = at_once;
	if (keeper->farewell_fd < 0)
		keeper->farewell_fd = connection_detach(connection);
	pthread_mutex_unlock(&keeper->lock);
	(void)eventfd_write(keeper->wake_fd, 1);
}

static void do_stop(struct keeper *keeper, struct connection *connection,
		    const struct request *request)
{
	struct problem why = {""};
	int r;

	if (!work_begin(keeper, connection, WORK_STOPPING, WORK_STARTING))
		return;
	log_info("asked to stop");
	r = work_set_desired(keeper, false, &why);
	connection_progress(connection, "stop", 0, 0, "");
	if (r == 0)
		r = supervisor_stop(keeper->supervisor, KEEPER_STOP_TIMEOUT_MS, &why);
	if (r == 0)
		leave(keeper, connection, false);
	work_finish(keeper, WORK_STOPPING);
	if (r < 0)
		work_fail(keeper, connection, r, &why);
}

static void do_shutdown(struct keeper *keeper, struct connection *connection,
			const struct request *request)
{
	log_info("asked to shut down at once");
	leave(keeper, connection, true);
}

/* What a person wrote into cluster.json; while the server is down and nobody wants it up, nobody
 * reads the old ones. */
static int reload_options(struct keeper *keeper, struct problem *why)
{
	CLEANUP(cluster) struct cluster *fresh = NULL;
	char **old;
	int r;

	r = cluster_load(keeper->cluster->directory, &fresh, why);
	if (r < 0)
		return r;
	pthread_mutex_lock(&keeper->save_lock);
	pthread_mutex_lock(&keeper->lock);
	old = keeper->cluster->server_options;
	keeper->cluster->server_options = fresh->server_options;
	keeper->place.options = fresh->server_options;
	fresh->server_options = old;
	pthread_mutex_unlock(&keeper->lock);
	pthread_mutex_unlock(&keeper->save_lock);
	return 0;
}

static void do_restart(struct keeper *keeper, struct connection *connection,
		       const struct request *request)
{
	struct problem why = {""};
	int64_t begun_us = clock_monotonic_us(), stop_us, start_us = 0;
	int r;

	if (keeper->options.no_server || !work_has_data(keeper)) {
		connection_error(connection, "bad-request", "there is no server to restart");
		return;
	}
	if (!work_begin(keeper, connection, WORK_STOPPING, WORK_STARTING))
		return;
	connection_progress(connection, "stop", 0, 0, "");
	r = work_set_desired(keeper, true, &why);
	if (r == 0)
		r = supervisor_stop(keeper->supervisor, KEEPER_STOP_TIMEOUT_MS, &why);
	stop_us = clock_monotonic_us() - begun_us;
	if (r == 0)
		r = reload_options(keeper, &why);
	if (r == 0)
		r = work_start_server(keeper, connection, &start_us, &why);
	work_finish(keeper, WORK_STOPPING);
	if (r < 0)
		work_fail(keeper, connection, r, &why);
	else
		connection_result(connection,
				  json_pack("{s:I, s:I}", "stop_us", (json_int_t)stop_us,
					    "start_us", (json_int_t)start_us));
}

/* --- Backtrack -------------------------------------------------------------------------------- */

struct rewinding {
	struct keeper *keeper;
	struct connection *connection;
};

static bool rewind_progress(uint64_t done, uint64_t total, void *arg)
{
	struct rewinding *rewinding = arg;
	struct keeper *keeper = rewinding->keeper;

	pthread_mutex_lock(&keeper->lock);
	keeper->applied = done;
	keeper->left = total - MIN(done, total);
	pthread_mutex_unlock(&keeper->lock);
	connection_progress(rewinding->connection, "rewind", done, total, "records");
	return connection_alive(rewinding->connection);
}

/* Nothing is written between the kill and the switch, so that "from" is what the killed server
 * left. */
static int kill_and_rewind(struct keeper *keeper, struct connection *connection,
			   const struct moment *to, int64_t asked_time_us,
			   struct volume_backtrack *ret, struct problem *why)
{
	struct rewinding rewinding = {keeper, connection};
	struct volume_backtrack_options options = {
		.asked_time_us = asked_time_us, .progress = rewind_progress, .arg = &rewinding};
	int64_t begun_us = clock_monotonic_us(), killed_us;
	int r;

	connection_progress(connection, "kill", 0, 0, "");
	r = supervisor_stop(keeper->supervisor, 0, why);
	if (r < 0)
		return r;
	killed_us = clock_monotonic_us();
	r = mount_backtrack(keeper->mount, to, &options, ret, why);
	if (r < 0)
		return r;
	ret->kill_us = killed_us - begun_us;
	ret->rewind_us = clock_monotonic_us() - killed_us;
	return 0;
}

/* The head has moved: whatever happens now is told as such. */
static int start_at_new_head(struct keeper *keeper, struct connection *connection,
			     struct volume_backtrack *done, struct problem *why)
{
	struct problem words = {""};
	char text[CLOCK_TEXT_MAX];
	int r = 0;

	if (wants_server(keeper))
		r = work_start_server(keeper, connection, &done->start_us, &words);
	volume_backtrack_took(keeper->volume, done->number, done->kill_us, done->rewind_us,
			      done->start_us);
	done->finished = true;
	if (r == 0)
		return 0;
	clock_format(done->reached.time_us, text);
	return problem(
		why, r,
		"the cluster is at %s (lsn:%llu) now, but the server does not start there: %s; "
		"backtrack to another moment, or back to lsn:%llu",
		text, (unsigned long long)done->reached.lsn, words.text,
		(unsigned long long)done->from.lsn);
}

/* Before the switch nothing has changed: on with the old head. */
static void resume(struct keeper *keeper)
{
	if (wants_server(keeper))
		supervisor_want_up(keeper->supervisor);
}

static int backtrack(struct keeper *keeper, struct connection *connection,
		     const struct request *request, struct volume_backtrack *ret,
		     struct problem *why)
{
	struct volume_plan plan;
	struct holding holding;
	struct moment to;
	int r;

	keeper_holding(keeper, &holding);
	r = holding_resolve(&holding, &request->moment, &to, why);
	if (r == 0)
		r = volume_plan_backtrack(keeper->volume, &to, &plan, why);
	if (r < 0)
		return r;
	r = kill_and_rewind(keeper, connection, &to, request->asked_time_us, ret, why);
	if (r < 0) {
		resume(keeper);
		return r;
	}
	return start_at_new_head(keeper, connection, ret, why);
}

static void do_backtrack(struct keeper *keeper, struct connection *connection,
			 const struct request *request)
{
	struct volume_backtrack done = {0};
	struct problem why = {""};
	int r;

	if (!work_begin(keeper, connection, WORK_BACKTRACKING, WORK_STARTING))
		return;
	r = backtrack(keeper, connection, request, &done, &why);
	work_finish(keeper, WORK_BACKTRACKING);
	if (r < 0) {
		log_warning("backtrack: %s", why.text);
		work_fail(keeper, connection, r, &why);
		return;
	}
	log_info("backtrack %llu from lsn:%llu to lsn:%llu: kill %.3f s, rewind %.3f s, start %.3f "
		 "s",
		 (unsigned long long)done.number, (unsigned long long)done.from.lsn,
		 (unsigned long long)done.reached.lsn, done.kill_us / 1e6, done.rewind_us / 1e6,
		 done.start_us / 1e6);
	connection_result(connection, answer_backtrack(&done));
}

/* --- Beside the work -------------------------------------------------------------------------- */

static bool copy_progress(uint64_t done, uint64_t total, void *arg)
{
	connection_progress(arg, "copy", done, total, "bytes");
	return connection_alive(arg);
}

static int export(struct keeper *keeper, const struct moment *at, const char *to,
		  struct connection *connection, struct transfer_result *ret, struct problem *why)
{
	struct transfer_options options = {copy_progress, connection, keeper->engine->transient};
	CLEANUP(view) struct view *view = NULL;
	struct volume_attr data;
	int r;

	r = volume_view(keeper->volume, at, &view, why);
	if (r < 0)
		return r;
	r = view_lookup(view, VOLUME_ROOT_INO, DATA_NAME, &data);
	if (r < 0)
		return problem(why, r, "there is no database in the volume at that moment");
	return transfer_out(view, data.ino, to, &options, ret, why);
}

static void do_export(struct keeper *keeper, struct connection *connection,
		      const struct request *request)
{
	struct transfer_result copied = {0};
	struct problem why = {""};
	struct holding holding;
	struct moment at;
	int r;

	keeper_holding(keeper, &holding);
	r = holding_resolve(&holding, &request->moment, &at, &why);
	if (r == 0)
		r = export(keeper, &at, request->directory, connection, &copied, &why);
	if (r < 0)
		work_fail(keeper, connection, r, &why);
	else
		connection_result(connection,
				  json_pack("{s:I, s:I, s:o}", "files", (json_int_t)copied.files,
					    "bytes", (json_int_t)copied.bytes, "moment",
					    answer_moment(&at)));
}

/* --- All -------------------------------------------------------------------------------------- */

/* The request is for volumes inside of programs. */
static void refuse_sql(struct keeper *keeper, struct connection *connection,
		       const struct request *request)
{
	connection_error(connection, "bad-request", "'%s' has a server: it is asked on its socket",
			 keeper->cluster->name);
}

/* The request is for `unspill serve`, on its own socket. */
static void refuse_serve(struct keeper *keeper, struct connection *connection,
			 const struct request *request)
{
	connection_error(connection, "bad-request", "this is the keeper of '%s', and not serve",
			 keeper->cluster->name);
}

static void (*const handlers[REQUEST_COUNT])(struct keeper *keeper, struct connection *connection,
					     const struct request *request) = {
	[REQUEST_STATUS] = answer_status,  [REQUEST_START] = do_start,
	[REQUEST_STOP] = do_stop,          [REQUEST_RESTART] = do_restart,
	[REQUEST_PLAN] = answer_plan,      [REQUEST_BACKTRACK] = do_backtrack,
	[REQUEST_EXPORT] = do_export,      [REQUEST_IMPORT] = install_import,
	[REQUEST_CREATE] = install_create, [REQUEST_SHUTDOWN] = do_shutdown,
	[REQUEST_VIEW] = looking_view,     [REQUEST_VIEWS] = looking_views,
	[REQUEST_UNVIEW] = looking_unview, [REQUEST_SQL] = refuse_sql,
	[REQUEST_RELAY] = refuse_serve,    [REQUEST_JOBS] = refuse_serve,
	[REQUEST_CANCEL] = refuse_serve,   [REQUEST_HELLO] = refuse_serve,
	[REQUEST_JOB] = refuse_serve,
};

/* What needs nothing but the volume; it runs beside all work. */
static void ask_volume(struct keeper *keeper, struct connection *connection,
		       const struct request *request)
{
	struct holding holding;
	struct problem why = {""};
	json_t *result = NULL;
	int r;

	keeper_holding(keeper, &holding);
	r = holding_do(&holding, connection, request, &result, &why);
	if (r < 0)
		work_fail(keeper, connection, r, &why);
	else
		connection_result(connection, result);
}

static void change_detaching(struct keeper *keeper, const void *arg)
{
	const struct request *request = arg;

	keeper->cluster->thin = keeper->cluster->thin && !request->detach;
	if (request->detach_rate >= 0)
		keeper->cluster->detach_rate = request->detach_rate;
}

/* How a clone becomes independent: the volume learns of it, and the next keeper. */
static int set_detaching(struct keeper *keeper, const struct request *request, struct problem *why)
{
	char least[UNITS_TEXT_MAX];
	int r;

	if (!keeper->cluster->parent[0])
		return problem(why, -EINVAL, "%s is not a clone: there is nothing to detach",
			       keeper->cluster->name);
	if (request->detach_rate > 0 && request->detach_rate < VOLUME_DETACH_RATE_MIN) {
		bytes_format(VOLUME_DETACH_RATE_MIN, least);
		return problem(why, -EINVAL, "a clone detaches at no less than %s per second",
			       least);
	}
	r = change_settings(keeper, change_detaching, request, why);
	return r < 0 ? r
		     : volume_set_detaching(keeper->volume, keeper->cluster->thin,
					    keeper->cluster->detach_rate);
}

static void do_modify(struct keeper *keeper, struct connection *connection,
		      const struct request *request)
{
	struct problem why = {""};
	struct holding holding;
	struct volume_stats stats;
	json_t *result = NULL;
	int r = 0;

	keeper_holding(keeper, &holding);
	if (request->detach || request->detach_rate >= 0)
		r = set_detaching(keeper, request, &why);
	if (r == 0)
		r = holding_do(&holding, connection, request, &result, &why);
	if (r < 0) {
		work_fail(keeper, connection, r, &why);
		return;
	}
	volume_get_stats(keeper->volume, &stats);
	json_object_set_new(result, "attached", json_boolean(stats.attached));
	answer_add_clone(keeper, result);
	connection_result(connection, result);
}

void keeper_handle(struct connection *connection, const struct request *request, void *arg)
{
	if (request->what == REQUEST_MODIFY)
		do_modify(arg, connection, request);
	else if (holding_does(request->what))
		ask_volume(arg, connection, request);
	else
		handlers[request->what](arg, connection, request);
}
