#include "serve/front.h"

#include "aws/check.h"
#include "aws/wire.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "serve/once.h"
#include "serve/throttle.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

/* How an operation is answered, if it is. */
struct entry {
	const struct aws_handler *handler; /* NULL: not at all */
	void *userdata;
	char *action; /* "rds:DescribeDBClusters" */
};

struct front {
	struct front_options options;
	struct entry *entries; /* one for each operation of the table */
	atomic_bool log_requests;
	struct throttle *throttle; /* NULL: none */
};

/* --- What there is ---------------------------------------------------------------------------- */

static void add_answers(struct front *front, const struct aws_answers *answers)
{
	const struct aws_service *service = aws_service_find(answers->service);

	assert(service);
	for (const struct aws_handler *handler = answers->handlers; handler->operation; handler++) {
		const struct aws_operation *operation =
			aws_operation_find(service, handler->operation, strlen(handler->operation));
		struct entry *entry;
		char action[256];

		assert(operation);
		entry = &front->entries[operation - aws_operations];
		assert(!entry->handler);
		snprintf(action, sizeof action, "%s:%s", answers->service, handler->operation);
		*entry = (struct entry){handler, answers->userdata, xstrdup(action)};
	}
}

struct front *front_new(const struct front_options *options)
{
	struct front *front = xcalloc(1, sizeof *front);

	front->options = *options;
	front->entries = xcalloc(aws_operation_count, sizeof *front->entries);
	atomic_store(&front->log_requests, options->log_requests);
	if (options->rate)
		front->throttle = throttle_new(options->rate);
	for (const struct aws_answers *const *answers = options->answers; *answers; answers++)
		add_answers(front, *answers);
	return front;
}

void front_free(struct front *front)
{
	if (!front)
		return;
	for (unsigned i = 0; i < aws_operation_count; i++)
		free(front->entries[i].action);
	throttle_free(front->throttle);
	free(front->entries);
	free(front);
}

void front_log_requests(struct front *front, bool log)
{
	atomic_store(&front->log_requests, log);
}

void front_limit_rate(struct front *front, unsigned rate)
{
	throttle_set(front->throttle, rate);
}

/* --- One call --------------------------------------------------------------------------------- */

static int authenticate(struct front *front, const struct http_request *request,
			struct aws_call *call)
{
	/* Who may connect to the local socket is the administrator, and needs no key. */
	if (request->local) {
		identity_be_root(front->options.identity, call);
		return 0;
	}
	return identity_authenticate(front->options.identity, request, call);
}

/* Who signs is counted, so nobody is for what others send in his name. */
static int limit(struct front *front, struct aws_call *call)
{
	const char *key = call->caller.access_key_id;

	if (!front->throttle || !*key || throttle_take(front->throttle, key, clock_monotonic_us()))
		return 0;
	return aws_fault(call, "Throttling", "Rate exceeded");
}

/* What is not there is only told to those who would be allowed to see it. */
static int authorize(struct front *front, const struct entry *entry, struct aws_call *call)
{
	struct identity *identity = front->options.identity;
	struct aws_touched touched = {0};
	int r = 0;

	if (entry->handler->for_all)
		return 0;
	if (entry->handler->touch)
		r = entry->handler->touch(entry->userdata, call, &touched);
	if (r == 0) {
		r = identity_authorize(identity, call, entry->action, &touched);
	} else if (r == AWS_FAULT) {
		struct aws_fault fault = call->fault;

		if (identity_authorize(identity, call, entry->action, NULL) == 0)
			call->fault = fault;
	}
	aws_touched_done(&touched);
	return r;
}

static int answer(struct front *front, const struct http_request *request, struct aws_call *call,
		  const struct entry *entry, json_t **ret)
{
	int r = authenticate(front, request, call);

	if (r == 0)
		r = limit(front, call);
	if (r < 0)
		return r;
	if (!entry->handler)
		return aws_fault(call, "NotImplemented", "%s of %s is not answered here yet.",
				 aws_operation_name(call->operation),
				 aws_service_name(call->service));
	r = authorize(front, entry, call);
	if (r < 0)
		return r;
	r = aws_check(call);
	return r < 0 ? r
		     : once_handle(front->options.state, entry->handler, entry->userdata, call,
				   ret);
}

/*
 * Names that are the client's own do not get in here: no key, no token, no line break.  The caller
 * is one of ours by now, or nobody.
 */
static void log_request(struct front *front, const struct http_request *request,
			const struct aws_call *call, unsigned status)
{
	if (!atomic_load_explicit(&front->log_requests, memory_order_relaxed))
		return;
	log_info("request %s %s %s %s:%s %u%s%s %lld us", call->request_id,
		 request->local ? "local" : request->peer,
		 *call->caller.arn ? call->caller.arn : "-",
		 call->service ? aws_service_name(call->service) : "-",
		 call->operation ? aws_operation_name(call->operation) : "-", status ? status : 200,
		 *call->fault.code ? " " : "", call->fault.code,
		 (long long)(clock_realtime_us() - call->now_us));
}

static void finish(struct front *front, const struct http_request *request, struct aws_call *call,
		   int r, const json_t *output, struct http_response *response)
{
	if (r < 0 && r != AWS_FAULT) {
		log_errno(r, "request %s, %s, failed", call->request_id,
			  call->operation ? aws_operation_name(call->operation) : "-");
		r = aws_fault(call, "InternalFailure",
			      "The request failed for a reason of ours; the log has it.");
	}
	if (r < 0)
		aws_wire_fault(call, response);
	else
		aws_wire_answer(call, output, response);
	log_request(front, request, call, response->status);
}

static int handle_call(struct front *front, const struct http_request *request,
		       struct http_response *response, bool now)
{
	const struct entry *entry = NULL;
	json_t *output = NULL;
	struct aws_call call;
	int r = aws_wire_read(request, &call);

	if (r == 0)
		entry = &front->entries[call.operation - aws_operations];
	if (now && entry && entry->handler && !entry->handler->quick) {
		aws_call_done(&call);
		return -EAGAIN;
	}
	if (r == 0)
		r = answer(front, request, &call, entry, &output);
	finish(front, request, &call, r, output, response);
	json_decref(output);
	aws_call_done(&call);
	return 0;
}

/* --- What is no call -------------------------------------------------------------------------- */

static void answer_health(struct http_response *response)
{
	response->content_type = "application/json";
	http_response_text(response, "{\"status\": \"ok\"}\n");
}

static int answer_reset(struct front *front, struct http_response *response, bool now)
{
	int r;

	if (now)
		return -EAGAIN;
	r = front->options.reset(front->options.arg);
	response->status = r < 0 ? 500 : 200;
	response->content_type = "application/json";
	http_response_text(response, "{\"status\": \"%s\"}\n", r < 0 ? "failed" : "ok");
	log_info("reset: %s", r < 0 ? "failed" : "everything is forgotten");
	return 0;
}

int front_handle(const struct http_request *request, struct http_response *response, bool now,
		 void *arg)
{
	struct front *front = arg;

	if (strcmp(request->path, "/health") == 0) {
		answer_health(response);
		return 0;
	}
	if (front->options.reset && strcmp(request->path, "/moto-api/reset") == 0 &&
	    strcmp(request->method, "POST") == 0)
		return answer_reset(front, response, now);
	return handle_call(front, request, response, now);
}

void front_refuse(const struct http_request *request, unsigned status,
		  struct http_response *response, void *arg)
{
	struct front *front = arg;
	struct aws_call call;

	/* What can be known without the body: the protocol to answer in. */
	aws_wire_read(request, &call);
	if (status == 413)
		aws_fault(&call, "RequestEntityTooLarge", "The request is too large.");
	else
		aws_fault(&call, "Throttling", "Rate exceeded");
	finish(front, request, &call, AWS_FAULT, NULL, response);
	aws_call_done(&call);
}
