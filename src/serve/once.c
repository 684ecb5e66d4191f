#include "serve/once.h"

#include "aws/handle.h"
#include "base/alloc.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#define HOUR_US INT64_C(3600000000)

static const char *const steps[] = {
	/* `answer` is NULL while there is none. */
	"CREATE TABLE once ("
	" key TEXT PRIMARY KEY, input BLOB NOT NULL, answer TEXT, time_us INTEGER NOT NULL) STRICT;"
	"CREATE INDEX once_time ON once (time_us)",
	NULL,
};

const struct state_part once_state_part = {"once", steps};

/* A request, as it is remembered. */
struct request {
	char *key; /* owned */
	uint8_t input[SHA256_DIGEST_LENGTH];
	int64_t now_us;
	char *answer; /* owned; the first one's, when there is one */
};

static void request_cleanup(struct request *request)
{
	free(request->key);
	free(request->answer);
}

static const char *token_of(const struct aws_call *call)
{
	const char *name = aws_name(call->operation->token);

	return *name ? json_string_value(json_object_get(call->input, name)) : NULL;
}

/* In one order whatever the client's was, without what is secret. */
static void digest(const struct aws_call *call, uint8_t ret[SHA256_DIGEST_LENGTH])
{
	const struct aws_shape *shape = &aws_shapes[call->operation->input];
	json_t *input = xcheck(json_copy(call->input));
	CLEANUP(free) char *text = NULL;

	for (unsigned i = 0; i < shape->count; i++) {
		const struct aws_member *member = &aws_members[shape->first + i];

		if (aws_member_shape(member)->flags & AWS_SENSITIVE)
			json_object_del(input, aws_name(member->name));
	}
	text = xcheck(json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS));
	json_decref(input);
	SHA256((const unsigned char *)text, strlen(text), ret);
}

static void describe(const struct aws_call *call, const char *token, struct request *ret)
{
	*ret = (struct request){.now_us = call->now_us};
	if (asprintf(&ret->key, "%s/%s/%s/%s/%s", call->caller.account, call->region,
		     aws_service_name(call->service), aws_operation_name(call->operation),
		     token) < 0)
		abort();
	digest(call, ret->input);
}

/* --- In the writer's thread ------------------------------------------------------------------- */

static int forget_unanswered(sqlite3 *db, void *arg)
{
	(void)arg;
	return state_run(db, "DELETE FROM once WHERE answer IS NULL", "");
}

/* -EINVAL: it was another input; -EINPROGRESS: it has no answer yet. */
static int read_first(sqlite3_stmt *row, struct request *request)
{
	const void *input = sqlite3_column_blob(row, 0);
	const char *answer = (const char *)sqlite3_column_text(row, 1);

	if (sqlite3_column_bytes(row, 0) != SHA256_DIGEST_LENGTH ||
	    memcmp(input, request->input, SHA256_DIGEST_LENGTH) != 0)
		return -EINVAL;
	if (!answer)
		return -EINPROGRESS;
	request->answer = xstrdup(answer);
	return 0;
}

/* Find the first request and its answer, or write down that this is the first. */
static int begin(sqlite3 *db, void *arg)
{
	struct request *request = arg;
	sqlite3_stmt *row = NULL;
	int r = state_run(db, "DELETE FROM once WHERE time_us < ? AND answer IS NOT NULL", "i",
			  request->now_us - ONCE_HOURS * HOUR_US);

	if (r == 0)
		r = state_prepare(db, "SELECT input, answer FROM once WHERE key = ?", &row, "s",
				  request->key);
	if (r == 0)
		r = state_step(row);
	if (r > 0)
		r = read_first(row, request);
	else if (r == 0)
		r = state_run(db, "INSERT INTO once (key, input, time_us) VALUES (?, ?, ?)", "sbi",
			      request->key, request->input, sizeof request->input, request->now_us);
	state_done(row);
	return r;
}

static int keep_answer(sqlite3 *db, void *arg)
{
	const struct request *request = arg;

	return state_run(db, "UPDATE once SET answer = ? WHERE key = ?", "ss", request->answer,
			 request->key);
}

static int forget(sqlite3 *db, void *arg)
{
	const struct request *request = arg;

	return state_run(db, "DELETE FROM once WHERE key = ?", "s", request->key);
}

/* --- A request -------------------------------------------------------------------------------- */

int once_start(struct state *state)
{
	return state_write(state, forget_unanswered, NULL);
}

static int refuse(struct aws_call *call, int r)
{
	const char *name = aws_name(call->operation->token);

	if (r == -EINVAL)
		return aws_fault(call, "IdempotentParameterMismatch",
				 "The same %s was used with other parameters.", name);
	if (r == -EINPROGRESS)
		return aws_fault(call, "RequestInProgress",
				 "A request with this %s is still being answered.", name);
	return r;
}

/* An answer that could not be kept is given all the same: what was asked for is done. */
static int answer_first(struct state *state, const struct aws_handler *handler, void *userdata,
			struct aws_call *call, struct request *request, json_t **ret)
{
	int r = aws_handle(handler, userdata, call, ret);

	if (r < 0) {
		state_write(state, forget, request);
		return r;
	}
	request->answer = *ret ? xcheck(json_dumps(*ret, JSON_COMPACT)) : xstrdup("{}");
	state_write(state, keep_answer, request);
	return 0;
}

int once_handle(struct state *state, const struct aws_handler *handler, void *userdata,
		struct aws_call *call, json_t **ret)
{
	CLEANUP(request) struct request request = {0};
	const char *token = token_of(call);
	int r;

	if (!token)
		return aws_handle(handler, userdata, call, ret);
	describe(call, token, &request);
	r = state_write(state, begin, &request);
	if (r < 0)
		return refuse(call, r);
	if (!request.answer)
		return answer_first(state, handler, userdata, call, &request, ret);
	*ret = json_loads(request.answer, 0, NULL);
	return *ret ? 0 : -EBADMSG;
}
