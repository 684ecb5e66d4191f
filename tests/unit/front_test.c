/*
 * Goal: the front door asks in its order: who, whether he may, what he said; and tells no more than
 * that allows.  Method: real identity, on a state of its own; handlers of "rds" that answer what
 * the test wants; requests as plain data, signed or as the administrator's.
 */
#include "serve/front.h"

#include "aws/cbor.h"
#include "aws/sigv4.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http_double.h"
#include "state/state.h"
#include "tap.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>

static char top[] = "/tmp/unspill-front-XXXXXX";
static struct state *state;
static struct identity *identity;
static struct front *front;
static char key_id[64], secret[64]; /* of user ana, who may describe cluster "mine" */
static int handled, resets;
static char last_log[2048];

/* --- What is behind the door ------------------------------------------------------------------ */

static int touch_cluster(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	const char *name = json_string_value(json_object_get(call->input, "DBClusterIdentifier"));

	if (!name)
		return 0;
	if (!strcmp(name, "gone"))
		return aws_fault(call, "DBClusterNotFoundFault", "DBCluster gone not found.");
	aws_touch(ret, NULL, "arn:aws:rds:us-east-1:%s:cluster:%s", call->caller.account, name);
	return 0;
}

static int describe(void *userdata, struct aws_call *call, json_t **ret)
{
	handled++;
	*ret = json_pack("{s:[{s:s}]}", "DBClusters", "DBClusterIdentifier", "mine");
	return 0;
}

static int stop(void *userdata, struct aws_call *call, json_t **ret)
{
	handled++;
	return -EIO;
}

static int start(void *userdata, struct aws_call *call, json_t **ret)
{
	handled++;
	return aws_fault(call, "InvalidDBClusterStateFault", "It is not stopped.");
}

static const struct aws_handler handlers[] = {
	{"DescribeDBClusters", describe, touch_cluster, .quick = true},
	{"StartDBCluster", start, touch_cluster},
	{"StopDBCluster", stop, touch_cluster},
	{NULL},
};
static const struct aws_answers of_rds = {"rds", handlers, NULL};

static int reset(void *arg)
{
	resets++;
	return 0;
}

static void keep_log(enum log_level level, const char *text)
{
	snprintf(last_log, sizeof last_log, "%s", text);
}

/* --- Asking ----------------------------------------------------------------------------------- */

struct asked {
	unsigned status;
	bool later; /* not answered at once */
	const char *type;
	char query_error[256]; /* the header of that name */
	char text[8192];
	size_t size;
};

static struct asked send_request(struct http_request *request)
{
	struct http_response response = {0};
	struct asked asked = {0};
	const char *error;

	asked.later = front_handle(request, &response, true, front) == -EAGAIN;
	if (asked.later)
		front_handle(request, &response, false, front);
	asked.status = response.status ? response.status : 200;
	asked.type = response.content_type;
	error = double_answered(&response, "x-amzn-query-error");
	snprintf(asked.query_error, sizeof asked.query_error, "%s", error ? error : "");
	asked.size = MIN(response.body.size, sizeof asked.text - 1);
	memcpy(asked.text, asked.size ? (char *)response.body.data : "", asked.size);
	buffer_done(&response.body);
	return asked;
}

static struct http_request post(const char *body)
{
	static const struct http_header headers[] = {
		{"Content-Type", "application/x-www-form-urlencoded"}};

	return (struct http_request){.method = "POST",
				     .target = "/",
				     .path = "/",
				     .query = "",
				     .headers = headers,
				     .header_count = 1,
				     .body = body,
				     .body_size = strlen(body),
				     .peer = "127.0.0.1"};
}

/* As the machine's administrator. */
static struct asked ask_as_root(const char *body)
{
	struct http_request request = post(body);

	request.local = true;
	request.peer = "";
	return send_request(&request);
}

/* The request, signed by ana's key, or what `with` is. */
static struct asked sign_and_send(struct http_request *request, const char *with)
{
	struct sigv4_signer signer = {key_id, with, "us-east-1", "rds", clock_realtime_us()};
	struct http_header headers[8] = {{"Host", "h"}, {"X-Amz-Date", NULL}};
	struct buffer authorization = {0};
	char time[17];
	struct asked asked;

	sigv4_time(signer.time_us, time);
	headers[1].value = time;
	assert(request->header_count + 3 <= ARRAY_SIZE(headers));
	memcpy(headers + 2, request->headers, request->header_count * sizeof *headers);
	request->headers = headers;
	request->header_count += 2;
	sigv4_sign(&signer, request, &authorization);
	buffer_put8(&authorization, 0);
	headers[request->header_count++] =
		(struct http_header){"Authorization", (char *)authorization.data};
	asked = send_request(request);
	buffer_done(&authorization);
	return asked;
}

static struct asked ask_as_ana(const char *body, const char *with)
{
	struct http_request request = post(body);

	return sign_and_send(&request, with);
}

#define RDS(rest) "Version=2014-10-31&Action=" rest
#define IAM(rest) "Version=2010-05-08&Action=" rest

/* --- Tests ------------------------------------------------------------------------------------ */

static void who_asks_comes_before_all_that_he_said(void)
{
	struct http_request request = post(RDS("StartDBCluster"));
	struct asked asked = send_request(&request);

	check(asked.status == 403 && strstr(asked.text, "MissingAuthenticationToken"), "%s",
	      asked.text);
	asked = ask_as_ana(RDS("StartDBCluster"), "not the secret");
	check(asked.status == 403 && strstr(asked.text, "SignatureDoesNotMatch"), "%s", asked.text);
	/* What is not answered here is no secret, but is not for strangers either. */
	request = post(RDS("CreateDBSnapshot"));
	asked = send_request(&request);
	check(asked.status == 403, "%s", asked.text);
	check(handled == 0);
}

static void whether_he_may_comes_before_what_he_said(void)
{
	struct asked asked = ask_as_ana(RDS("StartDBCluster"), secret);

	/* The identifier is missing, which is not looked at. */
	check(asked.status == 403 && strstr(asked.text, "AccessDenied"), "%s", asked.text);
	check(strstr(asked.text, "rds:StartDBCluster"), "%s", asked.text);
	asked = ask_as_root(RDS("StartDBCluster"));
	check(asked.status == 400 && strstr(asked.text, "DBClusterIdentifier"), "%s", asked.text);
	check(handled == 0);
}

static void a_policy_names_what_may_be_touched(void)
{
	struct asked asked = ask_as_ana(RDS("DescribeDBClusters&DBClusterIdentifier=mine"), secret);

	check(asked.status == 200 &&
		      strstr(asked.text, "<DBClusterIdentifier>mine</DBClusterIdentifier>"),
	      "%s", asked.text);
	asked = ask_as_ana(RDS("DescribeDBClusters&DBClusterIdentifier=other"), secret);
	check(asked.status == 403 && strstr(asked.text, "cluster:other"), "%s", asked.text);
	check(handled == 1);
	handled = 0;
}

static void what_is_not_there_is_told_to_those_only_who_may_see_all(void)
{
	struct asked asked = ask_as_ana(RDS("DescribeDBClusters&DBClusterIdentifier=gone"), secret);

	check(asked.status == 403 && strstr(asked.text, "AccessDenied"), "%s", asked.text);
	asked = ask_as_root(RDS("DescribeDBClusters&DBClusterIdentifier=gone"));
	check(asked.status == 404 && strstr(asked.text, "DBClusterNotFoundFault"), "%s",
	      asked.text);
	check(handled == 0);
}

static void faults_and_failures_are_told_apart(void)
{
	struct asked asked = ask_as_root(RDS("StartDBCluster&DBClusterIdentifier=mine"));

	check(asked.status == 400 && strstr(asked.text, "InvalidDBClusterStateFault"), "%s",
	      asked.text);
	asked = ask_as_root(RDS("StopDBCluster&DBClusterIdentifier=mine"));
	check(asked.status == 500 && strstr(asked.text, "InternalFailure"), "%s", asked.text);
	check(!strstr(asked.text, "Input/output"), "%s", asked.text);
	check(handled == 2);
	handled = 0;
	asked = ask_as_root(RDS("CreateDBSnapshot"));
	check(asked.status == 501 && strstr(asked.text, "CreateDBSnapshot"), "%s", asked.text);
	asked = ask_as_root(RDS("MakeCoffee"));
	check(asked.status == 400 && strstr(asked.text, "InvalidAction"), "%s", asked.text);
}

static void only_what_is_in_memory_is_answered_at_once(void)
{
	check(!ask_as_root(RDS("DescribeDBClusters")).later);
	check(!ask_as_root(IAM("ListUsers")).later);
	check(ask_as_root(RDS("StartDBCluster&DBClusterIdentifier=mine")).later);
	check(ask_as_root(IAM("DeleteUser&UserName=nobody")).later);
	check(handled == 2, "%d", handled);
	handled = 0;
}

static void the_log_has_who_and_what_and_not_what_was_said(void)
{
	ask_as_ana(RDS("DescribeDBClusters&DBClusterIdentifier=hush"), secret);
	check(strstr(last_log, ":user/ana rds:DescribeDBClusters 403 AccessDenied "), "%s",
	      last_log);
	check(!strstr(last_log, "hush") && !strstr(last_log, key_id), "%s", last_log);
	ask_as_root("Version=2014-10-31&Action=Hush%0aforged");
	check(!strstr(last_log, "ush"), "%s", last_log);
	front_log_requests(front, false);
	*last_log = 0;
	ask_as_root(RDS("DescribeDBClusters"));
	check(!*last_log, "%s", last_log);
	front_log_requests(front, true);
	handled = 0;
}

static void what_is_too_much_is_refused_in_the_services_words(void)
{
	struct http_request request = post("");
	struct http_response response = {0};

	front_refuse(&request, 413, &response, front);
	check(response.status == 413);
	buffer_put8(&response.body, 0);
	check(strstr((char *)response.body.data, "<Code>RequestEntityTooLarge</Code>"));
	buffer_done(&response.body);
	response = (struct http_response){0};
	front_refuse(&request, 503, &response, front);
	buffer_put8(&response.body, 0);
	check(strstr((char *)response.body.data, "<Code>Throttling</Code>"));
	buffer_done(&response.body);
}

/* Also what would be refused anyway counts; the clock goes on, so the last of many is looked at. */
static void who_asks_too_often_is_told_so_and_nobody_else_is(void)
{
	struct asked asked = {0};
	int refused = 0;

	front_limit_rate(front, 3);
	for (int i = 0; i < 100 && refused < 3; i++) {
		asked = ask_as_ana(RDS("DescribeDBClusters"), secret);
		refused += asked.status == 400;
	}
	check(refused == 3 && strstr(asked.text, "<Code>Throttling</Code>"), "%s", asked.text);
	check(strstr(asked.text, "<Message>Rate exceeded</Message>"), "%s", asked.text);
	check(strstr(last_log, ":user/ana rds:DescribeDBClusters 400 Throttling "), "%s", last_log);
	/* Others may, and what others say in her name is none of hers. */
	check(ask_as_root(RDS("DescribeDBClusters")).status == 200);
	front_limit_rate(front, 1000);
	for (int i = 0; i < 2000; i++)
		check(ask_as_ana(RDS("DescribeDBClusters"), "not her secret").status == 403);
	check(ask_as_ana(RDS("DescribeDBClusters&DBClusterIdentifier=mine"), secret).status == 200);
	handled = 0;
}

/* DescribeDBClusters, in the protocols that the newest clients speak. */
static const struct way {
	const char *type, *path, *body, *error;
	struct http_header headers[2];
	unsigned header_count;
} ways[] = {
	{"application/x-amz-json-1.0",
	 "/",
	 "{}",
	 "com.amazonaws.rds#ThrottlingException",
	 {{"Content-Type", "application/x-amz-json-1.0"},
	  {"X-Amz-Target", "AmazonRDSv19.DescribeDBClusters"}},
	 2},
	{"application/x-amz-json-1.1",
	 "/",
	 "{}",
	 "ThrottlingException",
	 {{"Content-Type", "application/x-amz-json-1.1"},
	  {"X-Amz-Target", "AmazonRDSv19.DescribeDBClusters"}},
	 2},
	{"application/cbor",
	 "/service/AmazonRDSv19/operation/DescribeDBClusters",
	 "\xa0",
	 "com.amazonaws.rds#ThrottlingException",
	 {{"Content-Type", "application/cbor"}, {"Smithy-Protocol", "rpc-v2-cbor"}},
	 2},
};

/* Too often: within a second twice, unless the machine is very slow. */
static struct asked ask_too_often(const struct way *way)
{
	struct asked asked = {0};

	front_limit_rate(front, 1);
	for (int i = 0; i < 100 && asked.status != 400; i++) {
		struct http_request request = post(way->body);

		request.target = request.path = way->path;
		request.headers = way->headers;
		request.header_count = way->header_count;
		asked = sign_and_send(&request, secret);
		/* She may not see all of them, which is only looked at when she is not too fast. */
		check(asked.status == 400 || asked.status == 403, "%u", asked.status);
	}
	return asked;
}

static void who_asks_too_often_is_told_so_in_the_protocol_that_he_speaks(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];
		struct asked asked = ask_too_often(way);
		json_auto_t *want =
			json_pack("{s:s, s:s}", "__type", way->error, "message", "Rate exceeded");
		json_auto_t *told = NULL;

		check(asked.status == 400 && strcmp(asked.type, way->type) == 0, "%u %s",
		      asked.status, asked.type);
		if (strcmp(way->type, "application/cbor") == 0)
			check(cbor_read(asked.text, asked.size, &told, NULL) == 0);
		else
			told = json_loadb(asked.text, asked.size, JSON_REJECT_DUPLICATES, NULL);
		check(json_equal(told, want), "%s: %.*s", way->type, (int)asked.size, asked.text);
		check(strcmp(asked.query_error, "Throttling;Sender") == 0, "%s", asked.query_error);
	}
	front_limit_rate(front, 1000);
	handled = 0;
}

static void health_needs_no_key_and_a_reset_has_to_be_switched_on(void)
{
	const struct aws_answers *const none[] = {NULL};
	struct front_options options = {.identity = identity, .answers = none};
	CLEANUP(front) struct front *without = front_new(&options);
	struct http_request request = post("");
	struct http_response response = {0};

	request.path = request.target = "/health";
	check(send_request(&request).status == 200);
	request.path = request.target = "/moto-api/reset";
	check(send_request(&request).status == 200 && resets == 1);
	request.method = "GET";
	check(send_request(&request).status >= 400 && resets == 1);
	request.method = "POST";
	front_handle(&request, &response, false, without);
	check(response.status >= 400 && resets == 1);
	buffer_done(&response.body);
}

/* --- The bed ---------------------------------------------------------------------------------- */

static void cut_out(const char *text, const char *tag, char *ret, size_t size)
{
	const char *at = strstr(text, tag);

	*ret = 0;
	if (check(at != NULL, "%s in %s", tag, text))
		snprintf(ret, size, "%.*s", (int)strcspn(at + strlen(tag), "<"), at + strlen(tag));
}

static bool make_bed(void)
{
	static const struct state_part *const parts[] = {&identity_state_part, NULL};
	static struct aws_answers of_iam, of_sts;
	static const struct aws_answers *const answers[] = {&of_iam, &of_sts, &of_rds, NULL};
	struct identity_options options = {0};
	struct front_options of_front = {
		.answers = answers, .log_requests = true, .rate = 50000, .reset = reset};
	char path[128], key_path[128];
	struct problem why;
	struct asked asked;

	log_set_sink(keep_log);
	if (!mkdtemp(top))
		return false;
	snprintf(path, sizeof path, "%s/state.db", top);
	snprintf(key_path, sizeof key_path, "%s/secret.key", top);
	options.key_path = key_path;
	if (!check(state_open(path, parts, &state, &why) == 0, "%s", why.text) ||
	    !check(identity_open(state, &options, &identity, &why) == 0, "%s", why.text))
		return false;
	identity_answers(identity, &of_iam, &of_sts);
	of_front.identity = identity;
	front = front_new(&of_front);
	check(ask_as_root(IAM("CreateUser&UserName=ana")).status == 200);
	asked = ask_as_root(IAM("CreateAccessKey&UserName=ana"));
	cut_out(asked.text, "<AccessKeyId>", key_id, sizeof key_id);
	cut_out(asked.text, "<SecretAccessKey>", secret, sizeof secret);
	asked = ask_as_root(
		IAM("PutUserPolicy&UserName=ana&PolicyName=p&PolicyDocument="
		    "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A"
		    "%22Allow%22%2C%22Action%22%3A%22rds%3ADescribe*%22%2C%22Resource%22%3A"
		    "%22arn%3Aaws%3Ards%3A*%3A*%3Acluster%3Amine%22%7D%7D"));
	return check(asked.status == 200, "%s", asked.text);
}

static void unmake_bed(void)
{
	char command[128];

	front_free(front);
	identity_close(identity);
	state_close(state);
	snprintf(command, sizeof command, "rm -r '%s'", top);
	check(system(command) == 0);
}

int main(void)
{
	if (!make_bed())
		return 1;
	RUN(who_asks_comes_before_all_that_he_said);
	RUN(whether_he_may_comes_before_what_he_said);
	RUN(a_policy_names_what_may_be_touched);
	RUN(what_is_not_there_is_told_to_those_only_who_may_see_all);
	RUN(faults_and_failures_are_told_apart);
	RUN(only_what_is_in_memory_is_answered_at_once);
	RUN(the_log_has_who_and_what_and_not_what_was_said);
	RUN(what_is_too_much_is_refused_in_the_services_words);
	RUN(who_asks_too_often_is_told_so_and_nobody_else_is);
	RUN(who_asks_too_often_is_told_so_in_the_protocol_that_he_speaks);
	RUN(health_needs_no_key_and_a_reset_has_to_be_switched_on);
	unmake_bed();
	return tap_done();
}
