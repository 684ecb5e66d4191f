#include "vfs/answers.h"

#include "base/clock.h"
#include "base/log.h"
#include "vfs/session.h"
#include "vfs/settle.h"
#include "vfs/single.h"
#include "vfs/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct holding holding_of(struct owner *owner)
{
	return (struct holding){.directory = owner->directory,
				.disk = owner->disk,
				.volume = owner->volume,
				.clones = &owner->clones,
				.first = owner->cluster->first};
}

static void answer_error(struct connection *connection, int r, const struct problem *why)
{
	connection_error(connection, answer_code(r), "%s", why->text);
}

static void program_name(char text[64])
{
	FILE *file = fopen("/proc/self/comm", "re");

	if (!file || !fgets(text, 64, file))
		strcpy(text, "?");
	if (file)
		fclose(file);
	text[strcspn(text, "\n")] = 0;
}

static int count_connections(struct database *database, void *arg)
{
	int *count = arg;

	pthread_mutex_lock(&database->locks.gate->lock);
	for (const struct lock_holder *h = database->locks.holders; h; h = h->next)
		*count += !h->inner;
	pthread_mutex_unlock(&database->locks.gate->lock);
	return 0;
}

static int connections_of(struct owner *owner)
{
	int count = 0;

	owner_for_each_database(owner, count_connections, &count);
	return count;
}

/* --- Status ----------------------------------------------------------------------------------- */

static json_t *last_error(const struct volume_stats *stats)
{
	if (!stats->last_error[0])
		return json_null();
	return json_pack("{s:s, s:I}", "text", stats->last_error, "time_us",
			 (json_int_t)stats->last_error_time_us);
}

static void do_status(struct owner *owner, struct connection *connection,
		      const struct request *request)
{
	const struct cluster *cluster = owner->cluster;
	struct holding holding = holding_of(owner);
	struct volume_stats stats;
	char version[64], program[64];
	json_t *status;

	snprintf(version, sizeof version, "SQLite %s", sqlite3_libversion());
	program_name(program);
	status = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:I, s:i, s:s, s:i}", "name",
			   cluster->name, "engine", cluster->engine, "engine_version", version,
			   "state", "open", "pid", (int)getpid(), "program", program, "directory",
			   cluster->directory, "keeper_pid", (int)getpid(), "up_us",
			   (json_int_t)(clock_realtime_us() - owner->opened_us), "restarts", 0,
			   "mount", "", "connections", connections_of(owner));
	holding_status(&holding, status, &stats);
	json_object_set_new(status, "backtrack", json_null());
	json_object_set_new(status, "last_error", last_error(&stats));
	connection_result(connection, status);
}

/* --- Going back ------------------------------------------------------------------------------- */

static void do_plan(struct owner *owner, struct connection *connection,
		    const struct request *request)
{
	struct holding holding = holding_of(owner);
	struct problem why = {""};
	json_t *plan;
	int r = holding_plan(&holding, request, &plan, &why);

	if (r < 0) {
		answer_error(connection, r, &why);
		return;
	}
	json_object_set_new(plan, "server", json_false());
	json_object_set_new(plan, "connections", json_integer(connections_of(owner)));
	connection_result(connection, plan);
}

static bool tell_step(const char *step, uint64_t done, uint64_t total, void *arg)
{
	connection_progress(arg, step, done, total, strcmp(step, "rewind") == 0 ? "records" : "");
	return connection_alive(arg);
}

static void do_backtrack(struct owner *owner, struct connection *connection,
			 const struct request *request)
{
	const struct settle_options options = {
		.asked_time_us = request->asked_time_us, .progress = tell_step, .arg = connection};
	struct holding holding = holding_of(owner);
	struct problem why = {""}, unsettled;
	struct volume_backtrack done = {0};
	struct moment to;
	json_t *result;
	int r;

	r = holding_resolve(&holding, &request->moment, &to, &why);
	if (r == 0)
		r = settle_backtrack(owner, &to, &options, &done, &unsettled, &why);
	if (r < 0) {
		answer_error(connection, r, &why);
		return;
	}
	log_info("backtrack %llu from lsn:%llu to lsn:%llu", (unsigned long long)done.number,
		 (unsigned long long)done.from.lsn, (unsigned long long)done.reached.lsn);
	result = answer_backtrack(&done);
	json_object_set_new(result, "unsettled", json_string(unsettled.text));
	connection_result(connection, result);
}

/* --- Copies out ------------------------------------------------------------------------------- */

static bool tell_copied(uint64_t done, uint64_t total, void *arg)
{
	connection_progress(arg, "copy", done, total, "bytes");
	return connection_alive(arg);
}

static int export(struct owner *owner, struct connection *connection, const struct request *request,
		  const struct moment *at, uint64_t *ret_bytes, struct problem *why)
{
	const struct single_options options = {tell_copied, connection};
	CLEANUP(view) struct view *view = NULL;
	char name[VOLUME_NAME_MAX + 1];
	int r;

	r = volume_view(owner->volume, at, &view, why);
	if (r == 0)
		r = single_choose(view, request->name, name, why);
	return r < 0 ? r : single_out(view, name, request->directory, &options, ret_bytes, why);
}

static void do_export(struct owner *owner, struct connection *connection,
		      const struct request *request)
{
	struct holding holding = holding_of(owner);
	struct problem why = {""};
	uint64_t bytes = 0;
	struct moment at;
	int r;

	r = holding_resolve(&holding, &request->moment, &at, &why);
	if (r == 0)
		r = export(owner, connection, request, &at, &bytes, &why);
	if (r < 0)
		answer_error(connection, r, &why);
	else
		connection_result(connection,
				  json_pack("{s:i, s:I, s:o}", "files", 1, "bytes",
					    (json_int_t)bytes, "moment", answer_moment(&at)));
}

/* --- Statements ------------------------------------------------------------------------------- */

/* A connection like any of the program's, but in the thread that answers. */
static void do_sql(struct owner *owner, struct connection *connection,
		   const struct request *request)
{
	CLEANUP(session) struct session *session = NULL;
	char name[VOLUME_NAME_MAX + 1], path[PATH_MAX + VOLUME_NAME_MAX + 2];
	struct problem why = {""};
	int r = single_choose(volume_head(owner->volume), "", name, &why);

	if (r == 0) {
		snprintf(path, sizeof path, "%s/%s", owner->directory, name);
		r = session_open(path, &session, &why);
	}
	if (r < 0) {
		answer_error(connection, r, &why);
		return;
	}
	connection_result(connection, json_object());
	session_serve(session, connection);
}

/* --- All -------------------------------------------------------------------------------------- */

static void do_volume(struct owner *owner, struct connection *connection,
		      const struct request *request)
{
	struct holding holding = holding_of(owner);
	struct problem why = {""};
	json_t *result = NULL;
	int r = holding_do(&holding, connection, request, &result, &why);

	if (r < 0)
		answer_error(connection, r, &why);
	else
		connection_result(connection, result);
}

/* There is neither server nor mount, and the process is not ours to end. */
static void refuse(struct owner *owner, struct connection *connection, enum request_do what)
{
	char program[64];

	program_name(program);
	if (what == REQUEST_STOP || what == REQUEST_SHUTDOWN)
		connection_error(
			connection, "busy",
			"process %d (%s) has '%s' inside; the volume is free when that process "
			"ends or closes its last connection",
			(int)getpid(), program, owner->cluster->name);
	else
		connection_error(
			connection, "bad-request",
			"'%s' is SQLite's, with neither a server nor a mount: a view of it is "
			"a process of its own",
			owner->cluster->name);
}

void answers_handle(struct connection *connection, const struct request *request, void *arg)
{
	struct owner *owner = arg;

	/* A clone that has copied what it shared is nowhere told of. */
	clones_review(&owner->clones, owner->directory, owner->volume);
	if (request->what == REQUEST_MODIFY && (request->detach || request->detach_rate >= 0))
		connection_error(connection, "bad-request",
				 "how a clone of SQLite's detaches is said when it is made: "
				 "without --thin it does so by itself");
	else if (holding_does(request->what))
		do_volume(owner, connection, request);
	else if (request->what == REQUEST_STATUS)
		do_status(owner, connection, request);
	else if (request->what == REQUEST_PLAN)
		do_plan(owner, connection, request);
	else if (request->what == REQUEST_BACKTRACK)
		do_backtrack(owner, connection, request);
	else if (request->what == REQUEST_EXPORT)
		do_export(owner, connection, request);
	else if (request->what == REQUEST_SQL)
		do_sql(owner, connection, request);
	else
		refuse(owner, connection, request->what);
}
