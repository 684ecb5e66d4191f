#include "rds/keepers.h"

#include "rds/internal.h"

#include "control/control.h"
#include "control/holding.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MS 50

static void tell(json_t *progress, void *arg)
{
	const char *step = json_string_value(json_object_get(progress, "step"));

	if (arg && step)
		job_progress(arg, step, json_integer_value(json_object_get(progress, "done")),
			     json_integer_value(json_object_get(progress, "total")));
}

/* "not-found" is not that there is no keeper. */
static int errno_of(const struct control_error *code)
{
	int r = answer_errno(code->code);

	return r == -ENOENT ? -ENODATA : r;
}

/* How a keeper is asked. */
struct manner {
	int timeout_ms; /* 0: any time it takes */
	void (*tell)(json_t *progress, void *arg);
	void (*look)(struct control *control, void *arg); /* now and then; may be NULL */
	void *arg;
};

static int ask(const struct cluster *cluster, json_t *request, const struct manner *manner,
	       json_t **ret, struct problem *why)
{
	const struct timeval timeout = {manner->timeout_ms / 1000,
					manner->timeout_ms % 1000 * 1000};
	CLEANUP(control) struct control *control = NULL;
	struct control_error code;
	json_t *result = NULL;
	char path[PATH_MAX];
	int r;

	cluster_socket(cluster, path);
	r = control_connect(path, &control, why);
	if (r == 0) {
		setsockopt(control_descriptor(control), SOL_SOCKET, SO_RCVTIMEO, &timeout,
			   sizeof timeout);
		if (manner->look)
			control_watch(control, LOOK_MS, manner->look, manner->arg);
		r = control_call(control, request, manner->tell, manner->arg, &result, &code, why);
	}
	json_decref(request);
	if (r == -EREMOTEIO)
		r = errno_of(&code);
	if (r == 0 && ret)
		*ret = result;
	else
		json_decref(result);
	return r;
}

int keepers_ask(const struct cluster *cluster, json_t *request, int timeout_ms, struct job *job,
		json_t **ret, struct problem *why)
{
	const struct manner manner = {.timeout_ms = timeout_ms, .tell = tell, .arg = job};

	return ask(cluster, request, &manner, ret, why);
}

struct asking {
	struct rds *rds;
	struct job *job;
	int given_up; /* -ECANCELED, -EINTR */
};

static void tell_follower(json_t *progress, void *arg)
{
	const char *step = json_string_value(json_object_get(progress, "step"));
	const char *unit = json_string_value(json_object_get(progress, "unit"));
	const struct asking *asking = arg;

	if (step)
		follow_tell(&asking->rds->followers, asking->job, step,
			    json_integer_value(json_object_get(progress, "done")),
			    json_integer_value(json_object_get(progress, "total")),
			    unit ? unit : "");
}

static void give_up(struct control *control, void *arg)
{
	struct asking *asking = arg;

	if (job_stopping(asking->job))
		asking->given_up = -EINTR;
	else if (job_cancelled(asking->job))
		asking->given_up = -ECANCELED;
	if (asking->given_up)
		control_cancel(control);
}

int keepers_ask_for(struct rds *rds, struct job *job, const struct cluster *cluster,
		    json_t *request, json_t **ret, struct problem *why)
{
	struct asking asking = {rds, job, 0};
	const struct manner manner = {.tell = tell_follower, .look = give_up, .arg = &asking};
	int r = ask(cluster, request, &manner, ret, why);

	if (asking.given_up && r < 0)
		return problem(why, asking.given_up, "cancelled");
	if (r == -ECONNRESET)
		return problem(why, r,
			       "the keeper went away before it answered; its log is "
			       "%s/run/keeper.log",
			       cluster->directory);
	return r;
}

int keepers_state(const struct cluster *cluster, char state[32], json_t **ret_status,
		  struct problem *why)
{
	json_t *status = NULL;
	const char *word;
	int r;

	state[0] = 0;
	if (ret_status)
		*ret_status = NULL;
	r = keepers_ask(cluster, json_pack("{s:s}", "do", "status"), 5000, NULL, &status, why);
	if (keepers_is_none(r))
		return 0;
	if (r < 0)
		return r;
	word = json_string_value(json_object_get(status, "state"));
	snprintf(state, 32, "%s", word ? word : "");
	if (ret_status)
		*ret_status = status;
	else
		json_decref(status);
	return 0;
}

void keepers_place(const struct cluster *cluster, char run_dir[PATH_MAX], struct engine_place *ret)
{
	cluster_path(cluster, "run", run_dir);
	*ret = (struct engine_place){
		.data_dir = "", /* nothing that we ask for looks there */
		.run_dir = run_dir,
		.bind = cluster->bind,
		.port = cluster->port,
		.uid = cluster->server_uid,
		.gid = cluster->server_gid,
	};
}

struct value {
	char *text;
	size_t size;
};

static int no_columns(const struct engine_column *columns, unsigned count, void *arg)
{
	return 0;
}

static int take_value(const char *const *values, const size_t *sizes, unsigned count, void *arg)
{
	const struct value *value = arg;

	snprintf(value->text, value->size, "%s", count && values[0] ? values[0] : "");
	return 0;
}

int keepers_query(const struct cluster *cluster, const char *database, const char *sql, char *value,
		  size_t size, struct problem *why)
{
	const struct engine *engine = engine_find(cluster->engine, &(const char *){NULL});
	struct value where = {value, size};
	const struct engine_answer answer = {database, no_columns, take_value, &where};
	struct engine_place place;
	char run_dir[PATH_MAX];

	if (!engine || !engine->query)
		return problem(why, -ENOTSUP, "the server of '%s' cannot be asked", cluster->name);
	value[0] = 0;
	keepers_place(cluster, run_dir, &place);
	return engine->query(&place, sql, &answer, why);
}
