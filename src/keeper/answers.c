/* What the keeper tells when asked: nothing here changes anything. */
#include "keeper/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One line has to hold them all: the newest count. */
#define BACKTRACKS_MAX 1500
#define MARKS_MAX 2000
/* So many attempts in a row may fail before the state is called what it is. */
#define FAILURES_PATIENT 3

const char *answer_code(int r)
{
	switch (r) {
	case -EINVAL:
	case -E2BIG:
		return "bad-request";
	case -ERANGE:
		return "out-of-window";
	case -ENOENT:
		return "not-found";
	case -EEXIST:
	case -ENOTEMPTY:
		return "exists";
	case -EBUSY:
		return "busy";
	case -ECANCELED:
		return "cancelled";
	case -EBADMSG:
		return "damaged";
	case -ENOSPC:
		return "no-space";
	case -ECHILD:
		return "server-failed";
	default:
		return "failed";
	}
}

json_t *answer_moment(const struct moment *moment)
{
	return json_pack("{s:I, s:I}", "lsn", (json_int_t)moment->lsn, "time_us",
			 (json_int_t)moment->time_us);
}

json_t *answer_backtrack(const struct volume_backtrack *b)
{
	return json_pack("{s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:b}", "number",
			 (json_int_t)b->number, "at", answer_moment(&b->at), "asked_time_us",
			 (json_int_t)b->asked_time_us, "from", answer_moment(&b->from), "reached",
			 answer_moment(&b->reached), "records", (json_int_t)b->records, "kill_us",
			 (json_int_t)b->kill_us, "rewind_us", (json_int_t)b->rewind_us, "start_us",
			 (json_int_t)b->start_us, "finished", b->finished);
}

void keeper_note_error(struct keeper *keeper, const struct problem *why)
{
	pthread_mutex_lock(&keeper->lock);
	keeper->last_error = *why;
	keeper->last_error_time_us = clock_realtime_us();
	pthread_mutex_unlock(&keeper->lock);
}

/* --- Moments ---------------------------------------------------------------------------------- */

static void first_moment(struct keeper *keeper, struct moment *ret)
{
	pthread_mutex_lock(&keeper->lock);
	*ret = keeper->cluster->first;
	pthread_mutex_unlock(&keeper->lock);
}

void keeper_earliest(struct keeper *keeper, struct moment *ret)
{
	struct moment first;

	first_moment(keeper, &first);
	volume_horizon(keeper->volume, ret);
	if (first.lsn > ret->lsn)
		*ret = first;
}

static int too_early(const struct moment *earliest, struct problem *why)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(earliest->time_us, text);
	return problem(
		why, -ERANGE,
		"that is before the database was there: the earliest moment is %s (lsn:%llu)", text,
		(unsigned long long)earliest->lsn);
}

static int look_up(struct keeper *keeper, const struct request_moment *asked, struct moment *ret,
		   struct problem *why)
{
	switch (asked->kind) {
	case AT_TIME:
		return volume_moment_at_time(keeper->volume, asked->time_us, ret, why);
	case AT_LSN:
		return volume_moment_at_lsn(keeper->volume, asked->lsn, ret, why);
	case AT_MARK:
		return volume_find_mark(keeper->volume, asked->mark, ret, why);
	default:
		volume_now(keeper->volume, ret);
		return 0;
	}
}

int keeper_resolve(struct keeper *keeper, const struct request_moment *asked, struct moment *ret,
		   struct problem *why)
{
	struct moment first, earliest;
	int r;

	first_moment(keeper, &first);
	keeper_earliest(keeper, &earliest);
	/* The volume would name its own horizon, when there was no database yet. */
	if (earliest.lsn == first.lsn && asked->kind == AT_TIME && asked->time_us < first.time_us)
		return too_early(&earliest, why);
	if (earliest.lsn == first.lsn && asked->kind == AT_LSN && asked->lsn < first.lsn)
		return too_early(&earliest, why);
	r = look_up(keeper, asked, ret, why);
	if (r == 0 && ret->lsn < first.lsn)
		return too_early(&earliest, why);
	return r;
}

/* --- Status ----------------------------------------------------------------------------------- */

static const char *state_name(const struct keeper *keeper, enum work work,
			      const struct supervisor_status *server)
{
	if (work == WORK_BACKTRACKING)
		return "backtracking";
	if (work == WORK_CREATING)
		return "creating";
	if (work == WORK_IMPORTING)
		return "importing";
	switch (server->state) {
	case SUPERVISOR_UP:
		return "running";
	case SUPERVISOR_STARTING:
		return "starting";
	case SUPERVISOR_STOPPING:
		return "stopping";
	case SUPERVISOR_WAITING:
		return server->failures < FAILURES_PATIENT ? "starting" : "failed";
	case SUPERVISOR_FAILED:
		return "failed";
	default:
		return server->wanted ? "starting" : work == WORK_STOPPING ? "stopping" : "stopped";
	}
}

/* The newest of what the server, the volume and we ourselves have to complain of. */
static json_t *last_error(const struct supervisor_status *server, const struct volume_stats *volume,
			  const struct problem *own, int64_t own_time_us)
{
	const char *text = own->text;
	int64_t time_us = own_time_us;

	if (server->last_error_time_us > time_us) {
		text = server->last_error;
		time_us = server->last_error_time_us;
	}
	if (volume->last_error[0] && volume->last_error_time_us > time_us) {
		text = volume->last_error;
		time_us = volume->last_error_time_us;
	}
	if (time_us == 0)
		return json_null();
	return json_pack("{s:s, s:I}", "text", text, "time_us", (json_int_t)time_us);
}

static json_t *status_bytes(struct keeper *keeper, const struct volume_stats *stats)
{
	struct disk_space space = {0};

	disk_space(keeper->disk, &space);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I}", "tape",
			 (json_int_t)stats->tape_bytes, "packed", (json_int_t)stats->packed_bytes,
			 "packed_from", (json_int_t)stats->packed_from_bytes, "base",
			 (json_int_t)stats->base_bytes, "checkpoints",
			 (json_int_t)stats->checkpoint_bytes, "tape_per_hour",
			 stats->tape_bytes_per_hour, "base_per_hour", stats->base_bytes_per_hour,
			 "disk_free", (json_int_t)space.bytes_free, "disk_total",
			 (json_int_t)space.bytes_total, "memory", (json_int_t)stats->memory_bytes);
}

static json_t *status_history(const struct volume_stats *stats)
{
	return json_pack("{s:I, s:I, s:f, s:f}", "bytes", (json_int_t)stats->history_bytes,
			 "max_bytes", (json_int_t)stats->history_max_bytes, "bytes_per_hour",
			 stats->history_bytes_per_hour, "bytes_needed",
			 stats->history_bytes_needed);
}

static json_t *status_endpoint(struct keeper *keeper)
{
	char sock[2 * PATH_MAX];

	snprintf(sock, sizeof sock, "%s/%s", keeper->run_dir, keeper->engine->socket);
	return json_pack("{s:s, s:i, s:s}", "address", keeper->place.bind, "port",
			 keeper->place.port, "socket", sock);
}

/* What was before the database's beginning does not count as a window. */
static int64_t actual_window(const struct volume_stats *stats, const struct moment *earliest)
{
	int64_t lost_us = earliest->time_us - stats->horizon.time_us;

	return lost_us > 0 ? MAX(stats->window_actual_us - lost_us, 0) : stats->window_actual_us;
}

/* Nobody takes the mount away while the socket answers. */
static json_t *status_transport(const struct keeper *keeper)
{
	const char *why;
	enum transport transport = mount_transport(keeper->mount, &why);

	return json_pack("{s:s, s:s}", "name", transport_name(transport), "why", why);
}

void answer_status(struct keeper *keeper, struct connection *connection,
		   const struct request *request)
{
	struct supervisor_status server;
	struct volume_stats stats;
	struct moment earliest;
	struct problem own;
	uint64_t applied, left;
	int64_t own_time_us;
	enum work work;
	json_t *result;

	supervisor_get_status(keeper->supervisor, &server);
	volume_get_stats(keeper->volume, &stats);
	keeper_earliest(keeper, &earliest);
	pthread_mutex_lock(&keeper->lock);
	work = keeper->work;
	own = keeper->last_error;
	own_time_us = keeper->last_error_time_us;
	applied = keeper->applied;
	left = keeper->left;
	pthread_mutex_unlock(&keeper->lock);

	result = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:I, s:I}", "name",
			   keeper->cluster->name, "engine", keeper->engine->name, "engine_version",
			   keeper->version, "state", state_name(keeper, work, &server), "pid",
			   (int)server.pid, "directory", keeper->cluster->directory, "mount",
			   keeper->mount_dir, "keeper_pid", (int)getpid(), "up_us",
			   (json_int_t)server.up_us, "restarts", (json_int_t)server.restarts);
	json_object_set_new(result, "endpoint", status_endpoint(keeper));
	json_object_set_new(result, "transport", status_transport(keeper));
	json_object_set_new(result, "window",
			    json_pack("{s:I, s:I}", "target_us", (json_int_t)stats.window_target_us,
				      "actual_us", (json_int_t)actual_window(&stats, &earliest)));
	json_object_set_new(result, "horizon", answer_moment(&earliest));
	json_object_set_new(result, "now", answer_moment(&stats.now));
	json_object_set_new(result, "records",
			    json_pack("{s:I, s:f}", "stored", (json_int_t)stats.records_stored,
				      "per_second", stats.records_per_second));
	json_object_set_new(result, "bytes", status_bytes(keeper, &stats));
	json_object_set_new(result, "history", status_history(&stats));
	json_object_set_new(result, "backtrack",
			    work == WORK_BACKTRACKING
				    ? json_pack("{s:I, s:I}", "applied", (json_int_t)applied,
						"left", (json_int_t)left)
				    : json_null());
	json_object_set_new(result, "folding", json_boolean(stats.folding));
	json_object_set_new(result, "space_short", json_boolean(stats.space_short));
	json_object_set_new(result, "pins", json_integer(stats.pins));
	json_object_set_new(result, "last_error", last_error(&server, &stats, &own, own_time_us));
	connection_result(connection, result);
}

/* --- History ---------------------------------------------------------------------------------- */

static int add_step(const struct volume_step *step, void *arg)
{
	json_array_append_new(arg, json_pack("[I, I, I]", (json_int_t)step->time_us,
					     (json_int_t)step->records, (json_int_t)step->bytes));
	return 0;
}

static void drop_oldest(json_t *array, size_t most)
{
	while (json_array_size(array) > most)
		json_array_remove(array, 0);
}

static int add_mark(const struct volume_mark *mark, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s, s:o, s:b}", "name", mark->name, "moment",
					     answer_moment(&mark->moment), "reachable",
					     mark->reachable));
	drop_oldest(arg, MARKS_MAX);
	return 0;
}

static int add_backtrack(const struct volume_backtrack *backtrack, void *arg)
{
	json_array_append_new(arg, answer_backtrack(backtrack));
	drop_oldest(arg, BACKTRACKS_MAX);
	return 0;
}

static json_t *all_backtracks(struct keeper *keeper)
{
	json_t *array = json_array();

	volume_for_each_backtrack(keeper->volume, add_backtrack, array);
	return array;
}

static json_t *all_marks(struct keeper *keeper)
{
	json_t *array = json_array();

	volume_for_each_mark(keeper->volume, add_mark, array);
	return array;
}

void answer_moments(struct keeper *keeper, struct connection *connection,
		    const struct request *request)
{
	int64_t since_us = request->since_us, until_us = request->until_us,
		step_us = request->step_us;
	struct moment earliest, now;
	json_t *steps;
	int r;

	keeper_earliest(keeper, &earliest);
	volume_now(keeper->volume, &now);
	if (since_us < 0)
		since_us = earliest.time_us;
	if (until_us < 0)
		until_us = clock_realtime_us();
	if (until_us < since_us) {
		connection_error(connection, "bad-request",
				 "the end of the time asked for lies before its beginning");
		return;
	}
	if (step_us == 0)
		step_us = MAX((until_us - since_us) / 60, INT64_C(1000000));
	if ((until_us - since_us) / step_us >= REQUEST_STEPS_MAX) {
		connection_error(
			connection, "bad-request",
			"that makes more than %d steps: ask for longer ones, or for less time",
			REQUEST_STEPS_MAX);
		return;
	}
	steps = json_array();
	r = volume_history(keeper->volume, since_us, until_us, step_us, add_step, steps);
	if (r < 0) {
		json_decref(steps);
		connection_error(connection, answer_code(r), "cannot read the history: %s",
				 strerror(-r));
		return;
	}
	connection_result(connection,
			  json_pack("{s:o, s:o, s:o, s:o, s:o}", "steps", steps, "marks",
				    all_marks(keeper), "backtracks", all_backtracks(keeper),
				    "horizon", answer_moment(&earliest), "now",
				    answer_moment(&now)));
}

void answer_backtracks(struct keeper *keeper, struct connection *connection,
		       const struct request *request)
{
	connection_result(connection, json_pack("{s:o}", "backtracks", all_backtracks(keeper)));
}

void answer_plan(struct keeper *keeper, struct connection *connection,
		 const struct request *request)
{
	struct supervisor_status server;
	struct volume_plan plan;
	struct moment to;
	struct problem why = {""};
	int connections = 0;
	int r;

	r = keeper_resolve(keeper, &request->moment, &to, &why);
	if (r == 0)
		r = volume_plan_backtrack(keeper->volume, &to, &plan, &why);
	if (r < 0) {
		connection_error(connection, answer_code(r), "%s", why.text);
		return;
	}
	supervisor_get_status(keeper->supervisor, &server);
	if (server.state == SUPERVISOR_UP)
		connections = keeper->engine->connections(&keeper->place);
	connection_result(connection,
			  json_pack("{s:o, s:o, s:I, s:I, s:I, s:b, s:i}", "from",
				    answer_moment(&plan.from), "to", answer_moment(&plan.to),
				    "records", (json_int_t)plan.records, "bytes",
				    (json_int_t)plan.bytes, "replay_records",
				    (json_int_t)plan.replay_records, "server", server.pid > 0,
				    "connections", MAX(connections, 0)));
}
