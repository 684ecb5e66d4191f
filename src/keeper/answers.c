/* What the keeper tells when asked: nothing here changes anything. */
#include "keeper/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* So many attempts in a row may fail before the state is called what it is. */
#define FAILURES_PATIENT 3

void keeper_holding(struct keeper *keeper, struct holding *ret)
{
	*ret = (struct holding){.directory = keeper->cluster->directory,
				.disk = keeper->disk,
				.volume = keeper->volume,
				.clones = &keeper->clones,
				.clear_mount = mount_clear_stale};
	pthread_mutex_lock(&keeper->lock);
	ret->first = keeper->cluster->first;
	pthread_mutex_unlock(&keeper->lock);
}

void keeper_note_error(struct keeper *keeper, const struct problem *why)
{
	pthread_mutex_lock(&keeper->lock);
	keeper->last_error = *why;
	keeper->last_error_time_us = clock_realtime_us();
	pthread_mutex_unlock(&keeper->lock);
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

static json_t *status_endpoint(struct keeper *keeper)
{
	char sock[2 * PATH_MAX];

	snprintf(sock, sizeof sock, "%s/%s", keeper->run_dir, keeper->engine->socket);
	return json_pack("{s:s, s:i, s:s}", "address", keeper->place.bind, "port",
			 keeper->place.port, "socket", sock);
}

/* Nobody takes the mount away while the socket answers. */
static json_t *status_transport(const struct keeper *keeper)
{
	const char *why;
	enum transport transport = mount_transport(keeper->mount, &why);

	return json_pack("{s:s, s:s}", "name", transport_name(transport), "why", why);
}

void answer_add_clone(struct keeper *keeper, json_t *result)
{
	const struct cluster *cluster = keeper->cluster;

	pthread_mutex_lock(&keeper->lock);
	json_object_set_new(result, "parent",
			    cluster->parent[0] ? json_string(cluster->parent) : json_null());
	json_object_set_new(result, "thin", json_boolean(cluster->thin));
	json_object_set_new(result, "detach_rate", json_integer((json_int_t)cluster->detach_rate));
	pthread_mutex_unlock(&keeper->lock);
}

void answer_status(struct keeper *keeper, struct connection *connection,
		   const struct request *request)
{
	struct supervisor_status server;
	struct volume_stats stats;
	struct holding holding;
	struct problem own;
	uint64_t applied, left;
	int64_t own_time_us;
	enum work work;
	json_t *result;

	keeper_holding(keeper, &holding);
	supervisor_get_status(keeper->supervisor, &server);
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
	answer_add_clone(keeper, result);
	json_object_set_new(result, "endpoint", status_endpoint(keeper));
	json_object_set_new(result, "transport", status_transport(keeper));
	json_object_set_new(result, "serverless", json_boolean(keeper->options.no_server));
	json_object_set_new(result, "views", json_integer(views_count(keeper->views)));
	holding_status(&holding, result, &stats);
	json_object_set_new(result, "backtrack",
			    work == WORK_BACKTRACKING
				    ? json_pack("{s:I, s:I}", "applied", (json_int_t)applied,
						"left", (json_int_t)left)
				    : json_null());
	json_object_set_new(result, "last_error", last_error(&server, &stats, &own, own_time_us));
	connection_result(connection, result);
}

void answer_plan(struct keeper *keeper, struct connection *connection,
		 const struct request *request)
{
	struct supervisor_status server;
	struct holding holding;
	struct problem why = {""};
	json_t *plan;
	int connections = 0;
	int r;

	keeper_holding(keeper, &holding);
	r = holding_plan(&holding, request, &plan, &why);
	if (r < 0) {
		connection_error(connection, answer_code(r), "%s", why.text);
		return;
	}
	supervisor_get_status(keeper->supervisor, &server);
	if (server.state == SUPERVISOR_UP)
		connections = keeper->engine->connections(&keeper->place);
	json_object_set_new(plan, "server", json_boolean(server.pid > 0));
	json_object_set_new(plan, "connections", json_integer(MAX(connections, 0)));
	connection_result(connection, plan);
}
