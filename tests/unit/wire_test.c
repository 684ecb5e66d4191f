/*
 * Goal: any operation can be asked in any protocol, and what cannot be read is answered with a
 * fault in that protocol.
 */
#include "aws/wire.h"

#include "aws/cbor.h"
#include "http_double.h"
#include "tap.h"

#include <stdlib.h>

#define SCOPE                                                                   \
	"AWS4-HMAC-SHA256 Credential=AKID/20261127/us-east-1/%s/aws4_request, " \
	"SignedHeaders=host, Signature=00"
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

/* One way to ask for an operation of IAM with {"UserName": "ana", "Tags": [{"Key": "team", "Value":
 * "a&b"}]}. */
struct way {
	enum aws_protocol protocol;
	const char *type, *target, *path, *body;
	size_t body_size;
};

static const struct way ways[] = {
	{AWS_QUERY, FORM, NULL, "/",
	 "Action=CreateUser&Version=2010-05-08&UserName=ana&Tags.member.1.Key=team&"
	 "Tags.member.1.Value=a%26b"},
	{AWS_QUERY, NULL, NULL,
	 "/?Action=CreateUser&Version=2010-05-08&UserName=ana&Tags.member.1.Key=team&"
	 "Tags.member.1.Value=a%26b",
	 ""},
	{AWS_JSON_10, "application/x-amz-json-1.0", "AWSIdentityManagementV20100508.CreateUser",
	 "/", "{\"UserName\": \"ana\", \"Tags\": [{\"Key\": \"team\", \"Value\": \"a&b\"}]}"},
	{AWS_JSON_11, "application/x-amz-json-1.1", "AWSIdentityManagementV20100508.CreateUser",
	 "/", "{\"UserName\": \"ana\", \"Tags\": [{\"Key\": \"team\", \"Value\": \"a&b\"}]}"},
	{AWS_CBOR, "application/cbor", NULL,
	 "/service/AWSIdentityManagementV20100508/operation/CreateUser",
	 "\xa2\x68UserName\x63"
	 "ana\x64Tags\x81\xa2\x63Key\x64team\x65Value\x63"
	 "a&b"},
};

static void build(const struct way *way, struct http_double *it)
{
	double_init(it, *way->body ? "POST" : "GET", way->path, way->body);
	if (way->type)
		double_header(it, "Content-Type", way->type);
	if (way->target)
		double_header(it, "X-Amz-Target", way->target);
	if (way->protocol == AWS_CBOR)
		double_header(it, "smithy-protocol", "rpc-v2-cbor");
	if (way->protocol == AWS_CBOR)
		it->request.method = "POST";
}

static void read_way(const struct way *way, struct aws_call *call)
{
	static struct http_double it;

	build(way, &it);
	check(aws_wire_read(&it.request, call) == 0, "%d: %s", way->protocol, call->fault.message);
}

static bool body_has(const struct http_response *response, const char *text)
{
	return response->body.size &&
	       memmem(response->body.data, response->body.size, text, strlen(text));
}

static void the_same_operation_can_be_asked_in_every_protocol(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		json_auto_t *want = json_pack("{s:s,s:[{s:s,s:s}]}", "UserName", "ana", "Tags",
					      "Key", "team", "Value", "a&b");
		struct aws_call call;

		read_way(&ways[i], &call);
		check(call.protocol == ways[i].protocol, "%zu", i);
		require(call.operation, "%zu", i);
		check(strcmp(aws_service_name(call.service), "iam") == 0);
		check(strcmp(aws_operation_name(call.operation), "CreateUser") == 0);
		check(json_equal(call.input, want), "%zu: %s", i, json_dumps(call.input, 0));
		check(strlen(call.request_id) == 36 && call.request_id[14] == '4', "%s",
		      call.request_id);
		aws_call_done(&call);
	}
}

static json_t *make_answer(void)
{
	return json_pack("{s:{s:s,s:s,s:f,s:n,s:[{s:s,s:s}]}}", "User", "UserName", "a<b", "Arn",
			 "arn:aws:iam::123456789012:user/a", "CreateDate", 1795356000.125, "Path",
			 "Tags", "Key", "k", "Value", "v");
}

static void an_answer_leaves_by_the_protocol_that_asked(void)
{
	static const char xml[] =
		"<CreateUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">"
		"<CreateUserResult><User><UserName>a&lt;b</UserName>"
		"<Arn>arn:aws:iam::123456789012:user/a</Arn>"
		"<CreateDate>2026-11-22T14:00:00.125Z</CreateDate>"
		"<Tags><member><Key>k</Key><Value>v</Value></member></Tags></User>"
		"</CreateUserResult><ResponseMetadata><RequestId>";
	static const char json[] = "{\"User\":{\"UserName\":\"a<b\",\"Arn\":\"arn:aws:iam::"
				   "123456789012:user/a\",\"CreateDate\":1795356000.125,\"Tags\":"
				   "[{\"Key\":\"k\",\"Value\":\"v\"}]}}";
	static const char *const types[] = {"text/xml", "text/xml", "application/x-amz-json-1.0",
					    "application/x-amz-json-1.1", "application/cbor"};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		json_auto_t *answer = make_answer(), *read = NULL;
		struct http_response response = {0};
		struct aws_call call;

		read_way(&ways[i], &call);
		aws_wire_answer(&call, answer, &response);
		check(strcmp(response.content_type, types[i]) == 0);
		check(strcmp(double_answered(&response, "x-amzn-RequestId"), call.request_id) == 0);
		if (i < 2) {
			check(body_has(&response, xml) && body_has(&response, call.request_id),
			      "%.*s", (int)response.body.size, (char *)response.body.data);
		} else if (i < 4) {
			check(response.body.size == strlen(json) && body_has(&response, json),
			      "%.*s", (int)response.body.size, (char *)response.body.data);
		} else {
			json_object_del(json_object_get(answer, "User"), "Path");
			check(cbor_read(response.body.data, response.body.size, &read, NULL) == 0);
			check(json_equal(read, answer));
			check(strcmp(double_answered(&response, "smithy-protocol"),
				     "rpc-v2-cbor") == 0);
		}
		buffer_done(&response.body);
		aws_call_done(&call);
	}
}

static void a_fault_has_the_codes_and_the_status_of_the_model(void)
{
	static const char *const words[] = {
		("<Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no &lt;ana&gt;"
		 "</Message></Error>"),
		"<Code>NoSuchEntity</Code>",
		"{\"__type\":\"com.amazonaws.iam#NoSuchEntityException\",\"message\":\"no <ana>\"}",
		"{\"__type\":\"NoSuchEntityException\",\"message\":\"no <ana>\"}",
		"com.amazonaws.iam#NoSuchEntityException",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct http_response response = {0};
		struct aws_call call;

		read_way(&ways[i], &call);
		/* CreateUser knows it by its shape, as the model does. */
		check(aws_fault(&call, i % 2 ? "NoSuchEntity" : "NoSuchEntityException", "no <%s>",
				"ana") == AWS_FAULT);
		aws_wire_fault(&call, &response);
		check(response.status == 404, "%u", response.status);
		check(body_has(&response, words[i]), "%.*s", (int)response.body.size,
		      (char *)response.body.data);
		if (i >= 2)
			check(strcmp(double_answered(&response, "x-amzn-query-error"),
				     "NoSuchEntity;Sender") == 0);
		buffer_done(&response.body);
		aws_call_done(&call);
	}
}

static void common_faults_are_named_as_each_protocol_names_them(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct http_response response = {0};
		struct aws_call call;

		read_way(&ways[i], &call);
		aws_fault(&call, "AccessDenied", "no");
		aws_wire_fault(&call, &response);
		check(response.status == 403);
		check(body_has(&response,
			       i < 2 ? "<Code>AccessDenied</Code>" : "AccessDeniedException"));
		buffer_done(&response.body);
		aws_fault(&call, "InternalFailure", "ours");
		response = (struct http_response){0};
		aws_wire_fault(&call, &response);
		check(response.status == 500);
		check(i >= 2 || body_has(&response, "<Type>Receiver</Type>"));
		buffer_done(&response.body);
		aws_call_done(&call);
	}
}

static void an_operation_without_an_output_answers_with_its_request_id_only(void)
{
	struct http_response response = {0};
	struct http_double it;
	struct aws_call call;

	double_init(&it, "POST", "/", "Action=DeleteUser&Version=2010-05-08&UserName=ana");
	require(aws_wire_read(&it.request, &call) == 0, "%s", call.fault.message);
	aws_wire_answer(&call, NULL, &response);
	check(body_has(&response, "<DeleteUserResponse xmlns=\"https://iam.amazonaws.com/doc/"
				  "2010-05-08/\"><ResponseMetadata><RequestId>"));
	buffer_done(&response.body);
	aws_call_done(&call);
}

static void the_signature_says_whose_operation_is_meant(void)
{
	struct http_double it;
	struct aws_call call;
	char header[256];

	double_init(&it, "POST", "/", "Action=DescribeDBClusters&Version=2014-10-31");
	snprintf(header, sizeof header, SCOPE, "rds");
	double_header(&it, "Authorization", header);
	check(aws_wire_read(&it.request, &call) == 0, "%s", call.fault.message);
	check(strcmp(aws_service_name(call.service), "rds") == 0);
	aws_call_done(&call);

	snprintf(header, sizeof header, SCOPE, "sts");
	check(aws_wire_read(&it.request, &call) == AWS_FAULT);
	check(strcmp(call.fault.code, "InvalidAction") == 0 && call.fault.status == 400);
	check(strcmp(call.fault.message,
		     "Could not find operation DescribeDBClusters for version 2014-10-31") == 0,
	      "%s", call.fault.message);
	aws_call_done(&call);

	double_init(&it, "GET",
		    "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Credential=A%2F20261127%"
		    "2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Signature=00",
		    "");
	check(aws_wire_read(&it.request, &call) == 0, "%s", call.fault.message);
	check(strcmp(aws_service_name(call.service), "sts") == 0);
	check(json_object_size(call.input) == 0);
	aws_call_done(&call);
}

static const struct wrong {
	const char *method, *type, *target, *path, *body, *code;
	unsigned status;
} wrongs[] = {
	{"POST", FORM, NULL, "/", "", "MissingAction", 400},
	{"POST", FORM, NULL, "/", "Action=&Version=1", "MissingAction", 400},
	{"POST", FORM, NULL, "/", "Action=Foo&Version=2010-05-08", "InvalidAction", 400},
	{"POST", FORM, NULL, "/", "Action=CreateUser&Version=2010-05-09", "InvalidAction", 400},
	{"POST", FORM, NULL, "/", "Action=CreateUser&UserName=%zz", "MalformedQueryString", 404},
	{"POST", FORM, NULL, "/", "Action=CreateUser&UserName=a%00", "MalformedQueryString", 404},
	{"POST", FORM, NULL, "/", "Action=CreateUser&UserName=%ff", "MalformedInput", 400},
	{"POST", FORM, NULL, "/", "Action=CreateUser&Nonsense=1", "UnknownParameter", 400},
	{"POST", "application/x-amz-json-1.1", NULL, "/", "{}", "MissingAction", 400},
	{"POST", "application/x-amz-json-1.1", "Foo.Bar", "/", "{}", "InvalidAction", 400},
	{"POST", "application/x-amz-json-1.0", "AmazonRDSv19.Foo", "/", "{}", "InvalidAction", 400},
	{"POST", "application/x-amz-json-1.0", "AmazonRDSv19.StopDBCluster", "/", "{",
	 "MalformedInput", 400},
	{"POST", "application/x-amz-json-1.0", "AmazonRDSv19.StopDBCluster", "/",
	 "{\"a\":1,\"a\":2}", "MalformedInput", 400},
	{"GET", "application/x-amz-json-1.0", "AmazonRDSv19.StopDBCluster", "/", "{}",
	 "InvalidAction", 400},
	{"POST", "application/cbor", NULL, "/service/AmazonRDSv19", "\xa0", "InvalidAction", 400},
	{"POST", "application/cbor", NULL, "/service/AmazonRDSv19/operation/Foo", "\xa0",
	 "InvalidAction", 400},
	{"POST", "application/cbor", NULL, "/service/AmazonRDSv19/operation/StopDBCluster", "\xff",
	 "MalformedInput", 400},
};

static void what_cannot_be_read_is_a_fault(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		struct http_response response = {0};
		struct http_double it;
		struct aws_call call;

		double_init(&it, wrongs[i].method, wrongs[i].path, wrongs[i].body);
		double_header(&it, "Content-Type", wrongs[i].type);
		if (wrongs[i].target)
			double_header(&it, "X-Amz-Target", wrongs[i].target);
		check(aws_wire_read(&it.request, &call) == AWS_FAULT, "%zu", i);
		check(strcmp(call.fault.code, wrongs[i].code) == 0 &&
			      call.fault.status == wrongs[i].status,
		      "%zu: %s %u: %s", i, call.fault.code, call.fault.status, call.fault.message);
		aws_wire_fault(&call, &response);
		check(response.body.size > 0 && response.status == wrongs[i].status);
		buffer_done(&response.body);
		aws_call_done(&call);
	}
}

static void a_message_that_is_too_long_is_cut_between_characters(void)
{
	char text[4096];
	struct aws_fault fault;
	json_auto_t *valid = NULL;

	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof text; i += 3)
			memcpy(text + i, "\xE2\x82\xAC", 3);
		text[shift + 3999] = '\0';
		aws_fault_set(&fault, "ValidationError", "%s", text);
		json_decref(valid);
		valid = json_string(fault.message);
		check(valid != NULL && strlen(fault.message) > sizeof fault.message - 5);
	}
}

int main(void)
{
	RUN(the_same_operation_can_be_asked_in_every_protocol);
	RUN(an_answer_leaves_by_the_protocol_that_asked);
	RUN(a_fault_has_the_codes_and_the_status_of_the_model);
	RUN(common_faults_are_named_as_each_protocol_names_them);
	RUN(an_operation_without_an_output_answers_with_its_request_id_only);
	RUN(the_signature_says_whose_operation_is_meant);
	RUN(what_cannot_be_read_is_a_fault);
	RUN(a_message_that_is_too_long_is_cut_between_characters);
	return tap_done();
}
