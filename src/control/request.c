#include "control/request.h"

#include "control/control.h"

#include <errno.h>
#include <string.h>

static void json_cleanup(json_t **json)
{
	json_decref(*json);
}

static int get_integer(json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret,
		       struct problem *why)
{
	json_t *value = json_object_get(object, key);

	if (!value)
		return problem(why, -EINVAL, "the request lacks \"%s\"", key);
	if (!json_is_integer(value) || json_integer_value(value) < min ||
	    json_integer_value(value) > max)
		return problem(why, -EINVAL, "\"%s\" is not an integer from %lld to %lld", key,
			       (long long)min, (long long)max);
	*ret = json_integer_value(value);
	return 0;
}

/* As get_integer(), leaving *ret alone when there is none. */
static int get_optional(json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret,
			struct problem *why)
{
	return json_object_get(object, key) ? get_integer(object, key, min, max, ret, why) : 0;
}

static int get_text(json_t *object, const char *key, char *ret, size_t size, struct problem *why)
{
	json_t *value = json_object_get(object, key);

	if (!value)
		return problem(why, -EINVAL, "the request lacks \"%s\"", key);
	if (!json_is_string(value) || json_string_length(value) == 0)
		return problem(why, -EINVAL, "\"%s\" is not a text", key);
	if (json_string_length(value) >= size)
		return problem(why, -EINVAL, "\"%s\" is longer than %zu bytes", key, size - 1);
	/* There is no NUL in it: the parser refuses that. */
	memcpy(ret, json_string_value(value), json_string_length(value) + 1);
	return 0;
}

static int get_directory(json_t *object, const char *key, char ret[PATH_MAX], struct problem *why)
{
	int r = get_text(object, key, ret, PATH_MAX, why);

	if (r == 0 && ret[0] != '/')
		return problem(why, -EINVAL, "\"%s\" is not an absolute path", key);
	return r;
}

static int get_moment(json_t *object, const char *key, struct request_moment *ret,
		      struct problem *why)
{
	json_t *value = json_object_get(object, key);
	int64_t lsn = 0;
	int r;

	if (!json_is_object(value) || json_object_size(value) != 1)
		return problem(
			why, -EINVAL,
			"\"%s\" is not a moment: {\"time_us\": N}, {\"lsn\": N}, {\"mark\": TEXT} "
			"or {\"now\": true}",
			key);
	if (json_object_get(value, "time_us")) {
		ret->kind = AT_TIME;
		return get_integer(value, "time_us", 0, INT64_MAX, &ret->time_us, why);
	}
	if (json_object_get(value, "lsn")) {
		ret->kind = AT_LSN;
		r = get_integer(value, "lsn", 0, INT64_MAX, &lsn, why);
		ret->lsn = lsn;
		return r;
	}
	if (json_object_get(value, "mark")) {
		ret->kind = AT_MARK;
		return get_text(value, "mark", ret->mark, sizeof ret->mark, why);
	}
	ret->kind = AT_NOW;
	if (!json_is_true(json_object_get(value, "now")))
		return problem(why, -EINVAL, "\"%s\" is not a moment", key);
	return 0;
}

/* --- The arguments of each, in the order of enum request_do -------------------------------------
 */

static int no_arguments(json_t *object, struct request *request, struct problem *why)
{
	return 0;
}

static int modify_arguments(json_t *object, struct request *request, struct problem *why)
{
	int r;

	request->window_us = request->history_max = request->detach_rate = -1;
	r = get_optional(object, "window_us", 0, REQUEST_WINDOW_MAX_US, &request->window_us, why);
	if (r == 0)
		r = get_optional(object, "history_max", 0, INT64_MAX, &request->history_max, why);
	if (r == 0)
		r = get_optional(object, "detach_rate", 0, INT64_MAX, &request->detach_rate, why);
	request->detach = json_is_true(json_object_get(object, "detach"));
	if (r == 0 && request->window_us < 0 && request->history_max < 0 && !request->detach &&
	    request->detach_rate < 0)
		return problem(why, -EINVAL,
			       "the request lacks \"window_us\", \"history_max\", \"detach\" or "
			       "\"detach_rate\"");
	return r;
}

static int moments_arguments(json_t *object, struct request *request, struct problem *why)
{
	int r;

	r = get_optional(object, "since_us", 0, INT64_MAX, &request->since_us, why);
	if (r == 0)
		r = get_optional(object, "until_us", 0, INT64_MAX, &request->until_us, why);
	if (r == 0)
		r = get_optional(object, "step_us", 1, REQUEST_WINDOW_MAX_US, &request->step_us,
				 why);
	return r;
}

static int mark_arguments(json_t *object, struct request *request, struct problem *why)
{
	return get_text(object, "name", request->name, sizeof request->name, why);
}

static int backtrack_arguments(json_t *object, struct request *request, struct problem *why)
{
	int r;

	r = get_moment(object, "to", &request->moment, why);
	if (r == 0)
		r = get_optional(object, "asked_time_us", 0, INT64_MAX, &request->asked_time_us,
				 why);
	return r;
}

static int export_arguments(json_t *object, struct request *request, struct problem *why)
{
	int r;

	r = get_directory(object, "to", request->directory, why);
	if (r == 0 && json_object_get(object, "at"))
		r = get_moment(object, "at", &request->moment, why);
	if (r == 0 && json_object_get(object, "database"))
		r = get_text(object, "database", request->name, sizeof request->name, why);
	return r;
}

static int import_arguments(json_t *object, struct request *request, struct problem *why)
{
	return get_directory(object, "from", request->directory, why);
}

static int view_arguments(json_t *object, struct request *request, struct problem *why)
{
	int r = get_directory(object, "directory", request->directory, why);

	return r == 0 ? get_moment(object, "at", &request->moment, why) : r;
}

static int unview_arguments(json_t *object, struct request *request, struct problem *why)
{
	request->force = json_is_true(json_object_get(object, "force"));
	return get_directory(object, "directory", request->directory, why);
}

static int clone_arguments(json_t *object, struct request *request, struct problem *why)
{
	int r;

	r = get_directory(object, "to", request->directory, why);
	if (r == 0)
		r = get_text(object, "name", request->name, sizeof request->name, why);
	if (r == 0 && json_object_get(object, "at"))
		r = get_moment(object, "at", &request->moment, why);
	return r;
}

static int scratch_arguments(json_t *object, struct request *request, struct problem *why)
{
	return json_object_get(object, "at") ? get_moment(object, "at", &request->moment, why) : 0;
}

static int relay_arguments(json_t *object, struct request *request, struct problem *why)
{
	return get_text(object, "cluster", request->name, sizeof request->name, why);
}

static int cancel_arguments(json_t *object, struct request *request, struct problem *why)
{
	return get_integer(object, "job", 1, INT64_MAX, &request->job, why);
}

static int job_arguments(json_t *object, struct request *request, struct problem *why)
{
	json_t *input = json_object_get(object, "input");
	int r;

	r = get_text(object, "kind", request->kind, sizeof request->kind, why);
	if (r == 0)
		r = get_text(object, "cluster", request->name, sizeof request->name, why);
	if (r == 0 && !json_is_object(input))
		return problem(why, -EINVAL, "\"input\" is not an object");
	if (r == 0)
		request->input = json_incref(input);
	return r;
}

static const struct {
	const char *name;
	int (*arguments)(json_t *object, struct request *request, struct problem *why);
} requests[REQUEST_COUNT] = {
	[REQUEST_STATUS] = {"status", no_arguments},
	[REQUEST_START] = {"start", no_arguments},
	[REQUEST_STOP] = {"stop", no_arguments},
	[REQUEST_RESTART] = {"restart", no_arguments},
	[REQUEST_MODIFY] = {"modify", modify_arguments},
	[REQUEST_MOMENTS] = {"moments", moments_arguments},
	[REQUEST_MARK] = {"mark", mark_arguments},
	[REQUEST_PLAN] = {"plan", backtrack_arguments},
	[REQUEST_BACKTRACK] = {"backtrack", backtrack_arguments},
	[REQUEST_BACKTRACKS] = {"backtracks", no_arguments},
	[REQUEST_EXPORT] = {"export", export_arguments},
	[REQUEST_IMPORT] = {"import", import_arguments},
	[REQUEST_CREATE] = {"create", no_arguments},
	[REQUEST_VERIFY] = {"verify", no_arguments},
	[REQUEST_REPACK] = {"repack", no_arguments},
	[REQUEST_SCRATCH] = {"scratch", scratch_arguments},
	[REQUEST_CLONE] = {"clone", clone_arguments},
	[REQUEST_SHUTDOWN] = {"shutdown", no_arguments},
	[REQUEST_VIEW] = {"view", view_arguments},
	[REQUEST_VIEWS] = {"views", no_arguments},
	[REQUEST_UNVIEW] = {"unview", unview_arguments},
	[REQUEST_SQL] = {"sql", no_arguments},
	[REQUEST_RELAY] = {"relay", relay_arguments},
	[REQUEST_JOBS] = {"jobs", no_arguments},
	[REQUEST_CANCEL] = {"cancel", cancel_arguments},
	[REQUEST_HELLO] = {"hello", no_arguments},
	[REQUEST_JOB] = {"job", job_arguments},
};

static int check_version(json_t *object, struct problem *why)
{
	json_t *version = json_object_get(object, "unspill");

	if (!json_is_integer(version))
		return problem(why, -EINVAL,
			       "the request lacks \"unspill\", the version of the protocol");
	if (json_integer_value(version) != CONTROL_VERSION)
		return problem(why, -EPROTONOSUPPORT,
			       "version %lld of the protocol is not spoken here, only %d",
			       (long long)json_integer_value(version), CONTROL_VERSION);
	return 0;
}

int request_parse(const char *line, size_t size, struct request *ret, struct problem *why)
{
	struct request request = {.since_us = -1, .until_us = -1};
	CLEANUP(json) json_t *object = NULL;
	json_error_t error;
	const char *name;
	int r;

	object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(object))
		return problem(why, -EINVAL, "the request is not one JSON object: %s",
			       object ? "it is something else" : error.text);
	r = check_version(object, why);
	if (r < 0)
		return r;
	name = json_string_value(json_object_get(object, "do"));
	if (!name)
		return problem(why, -EINVAL, "the request lacks \"do\"");
	for (int i = 0; i < REQUEST_COUNT; i++) {
		if (strcmp(requests[i].name, name) != 0)
			continue;
		request.what = i;
		r = requests[i].arguments(object, &request, why);
		if (r == 0)
			*ret = request;
		return r;
	}
	return problem(why, -EINVAL, "there is no request \"%.64s\"", name);
}

void request_done(struct request *request)
{
	json_decref(request->input);
	request->input = NULL;
}
