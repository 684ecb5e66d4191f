/*
 * Goal: what a handler sees is what the model promises; what is refused is refused in the service's
 * words, whatever protocol it came by.
 */
#include "aws/check.h"
#include "aws/pattern.h"
#include "aws/wire.h"

#include "http_double.h"
#include "tap.h"

#include <stdlib.h>

/* Ask by Query; what reading it makes of it is checked.  The caller ends the call. */
static int ask_query(const char *form, struct aws_call *call)
{
	struct http_double it;
	int r;

	double_init(&it, "POST", "/", form);
	r = aws_wire_read(&it.request, call);
	return r < 0 ? r : aws_check(call);
}

static int ask_json(const char *target, const char *body, struct aws_call *call)
{
	struct http_double it;
	int r;

	double_init(&it, "POST", "/", body);
	double_header(&it, "Content-Type", "application/x-amz-json-1.0");
	double_header(&it, "X-Amz-Target", target);
	r = aws_wire_read(&it.request, call);
	return r < 0 ? r : aws_check(call);
}

#define IAM "Version=2010-05-08&Action="
#define STS "Version=2011-06-15&Action="
#define RDS "Version=2014-10-31&Action="
#define LONG_NAME "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg"

static const struct refusal {
	const char *form, *code, *message;
} refusals[] = {
	{IAM "CreateUser", "ValidationError",
	 "1 validation error detected: Value null at 'userName' failed to satisfy constraint: "
	 "Member must not be null"},
	{IAM "CreateUser&UserName=" LONG_NAME, "ValidationError",
	 "1 validation error detected: Value '" LONG_NAME "' at 'userName' failed to satisfy "
	 "constraint: Member must have length less than or equal to 64"},
	{IAM "CreateUser&UserName=" LONG_NAME "%20", "ValidationError",
	 "2 validation errors detected: Value '" LONG_NAME " ' at 'userName' failed to satisfy "
	 "constraint: Member must have length less than or equal to 64; Value '" LONG_NAME
	 " ' at 'userName' failed to satisfy constraint: Member must satisfy regular expression "
	 "pattern: [\\w+=,.@-]+"},
	{IAM "CreateUser&UserName=", "ValidationError",
	 "2 validation errors detected: Value '' at 'userName' failed to satisfy constraint: "
	 "Member "
	 "must have length greater than or equal to 1; Value '' at 'userName' failed to satisfy "
	 "constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+"},
	{IAM "UpdateAccessKey&AccessKeyId=AKIAIOSFODNN7EXAMPLE&Status=On", "ValidationError",
	 "1 validation error detected: Value 'On' at 'status' failed to satisfy constraint: Member "
	 "must satisfy enum value set: [Active, Inactive]"},
	{IAM "ListUsers&MaxItems=1001", "ValidationError",
	 "1 validation error detected: Value '1001' at 'maxItems' failed to satisfy constraint: "
	 "Member must have value less than or equal to 1000"},
	{IAM "ListUsers&MaxItems=0", "ValidationError",
	 "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: "
	 "Member must have value greater than or equal to 1"},
	{IAM "ListUsers&MaxItems=many", "MalformedInput",
	 "Value 'many' at 'maxItems' must be an integer of 32 bits"},
	{IAM "ListUsers&MaxItems=99999999999", "MalformedInput",
	 "Value '99999999999' at 'maxItems' must be an integer of 32 bits"},
	{IAM "ListUsers&MaxItems=0x10", "MalformedInput",
	 "Value '0x10' at 'maxItems' must be an integer of 32 bits"},
	{IAM "TagUser&UserName=ana&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Value=c",
	 "ValidationError",
	 "1 validation error detected: Value null at 'tags.2.member.key' failed to satisfy "
	 "constraint: Member must not be null"},
	{IAM "CreateLoginProfile&UserName=ana&Password=%00", "MalformedQueryString",
	 "The query string is not percent-encoded as it should be"},
	{IAM "CreateUser&UserName=ana&Tags.member.1.Key.x=1", "UnknownParameter",
	 "The parameter Tags.member.1.Key.x is not recognized"},
	{IAM "TagUser&UserName=ana&Tags.member.1.Key=a&Tags.member.01.Value=b", "UnknownParameter",
	 "The parameter Tags.member.01.Value is not recognized"},
	{IAM "TagUser&UserName=ana&Tags.member.1a.Key=a&Tags.member.9.Key=b&Tags.member.10.Key=c",
	 "UnknownParameter", "The parameter Tags.member.1a.Key is not recognized"},
	{IAM "CreateUser&UserName=ana&UserName=bob", "MalformedInput",
	 "Parameter UserName is given more than once"},
	{STS "AssumeRole&RoleArn=arn:aws:iam::123456789012:role/"
	     "r&RoleSessionName=ses&DurationSeconds=899",
	 "ValidationError",
	 "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy "
	 "constraint: "
	 "Member must have value greater than or equal to 900"},
	{RDS "BacktrackDBCluster&DBClusterIdentifier=shop", "MissingParameter",
	 "The request must contain the parameter BacktrackTo"},
	{RDS "BacktrackDBCluster&DBClusterIdentifier=shop&BacktrackTo=yesterday", "MalformedInput",
	 "Value 'yesterday' at 'backtrackTo' must be a timestamp"},
	{RDS "BacktrackDBCluster&DBClusterIdentifier=shop&BacktrackTo=2026-02-30T00:00:00Z",
	 "MalformedInput", "Value '2026-02-30T00:00:00Z' at 'backtrackTo' must be a timestamp"},
	{RDS "BacktrackDBCluster&DBClusterIdentifier=shop&BacktrackTo=2026-01-01&Force=maybe",
	 "MalformedInput", "Value 'maybe' at 'force' must be true or false"},
	{RDS "DescribeDBClusters&MaxRecords=19", "InvalidParameterValue",
	 "Invalid value 19 for MaxRecords. Must be between 20 and 100"},
	{RDS "DescribeDBClusters&MaxRecords=101", "InvalidParameterValue",
	 "Invalid value 101 for MaxRecords. Must be between 20 and 100"},
	{RDS "DescribeDBClusters&Filters.Filter.1.Name=engine", "MissingParameter",
	 "The request must contain the parameter Values"},
};

static void what_the_model_does_not_allow_is_refused_in_the_service_s_words(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct aws_call call;

		check(ask_query(refusals[i].form, &call) == AWS_FAULT, "%s", refusals[i].form);
		check(strcmp(call.fault.code, refusals[i].code) == 0 &&
			      strcmp(call.fault.message, refusals[i].message) == 0,
		      "%s: %s: %s", refusals[i].form, call.fault.code, call.fault.message);
		aws_call_done(&call);
	}
}

static const struct good {
	const char *form, *input; /* JSON */
} goods[] = {
	{STS "GetCallerIdentity", "{}"},
	{IAM "CreateUser&UserName=ana@example.org&Path=%2Fteam%2F",
	 "{\"UserName\": \"ana@example.org\", \"Path\": \"/team/\"}"},
	{IAM "ListUsers&MaxItems=1000", "{\"MaxItems\": 1000}"},
	{IAM "CreateUser&UserName=ana&Tags=", "{\"UserName\": \"ana\", \"Tags\": []}"},
	/* Numbers that have gaps, and are not in order. */
	{IAM "TagUser&UserName=ana&Tags.member.10.Key=b&Tags.member.10.Value=&Tags.member.9.Key=a&"
	     "Tags.member.9.Value=+",
	 "{\"UserName\": \"ana\", \"Tags\": [{\"Key\": \"a\", \"Value\": \" \"}, {\"Key\": \"b\", "
	 "\"Value\": \"\"}]}"},
	{RDS "BacktrackDBCluster&DBClusterIdentifier=shop&BacktrackTo=2026-11-27T15:00:00%2B01:00&"
	     "Force=TRUE",
	 "{\"DBClusterIdentifier\": \"shop\", \"BacktrackTo\": 1795788000.0, \"Force\": true}"},
	/* Three generations of lists. */
	{RDS "CreateDBCluster&DBClusterIdentifier=a&Engine=mariadb&VpcSecurityGroupIds."
	     "VpcSecurityGroupId.1=x&VpcSecurityGroupIds.VpcSecurityGroupId.2=y",
	 "{\"DBClusterIdentifier\": \"a\", \"Engine\": \"mariadb\", \"VpcSecurityGroupIds\": "
	 "[\"x\", \"y\"]}"},
	{RDS "CreateDBCluster&DBClusterIdentifier=a&Engine=mariadb&VpcSecurityGroupIds.member.1=x&"
	     "VpcSecurityGroupIds.member.2=y",
	 "{\"DBClusterIdentifier\": \"a\", \"Engine\": \"mariadb\", \"VpcSecurityGroupIds\": "
	 "[\"x\", \"y\"]}"},
	{RDS "CreateDBCluster&DBClusterIdentifier=a&Engine=mariadb&VpcSecurityGroupIds.1=x&"
	     "VpcSecurityGroupIds.2=y",
	 "{\"DBClusterIdentifier\": \"a\", \"Engine\": \"mariadb\", \"VpcSecurityGroupIds\": "
	 "[\"x\", \"y\"]}"},
	{RDS "DescribeDBClusters&Filters.Filter.1.Name=engine&Filters.Filter.1.Values.Value.1=m&"
	     "MaxRecords=20",
	 "{\"Filters\": [{\"Name\": \"engine\", \"Values\": [\"m\"]}], \"MaxRecords\": 20}"},
};

static void what_the_model_allows_arrives_as_the_handler_wants_it(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
		json_auto_t *want = json_loads(goods[i].input, 0, NULL);
		struct aws_call call;

		check(ask_query(goods[i].form, &call) == 0, "%s: %s", goods[i].form,
		      call.fault.message);
		check(want && json_equal(call.input, want), "%s: %s", goods[i].form,
		      json_dumps(call.input, 0));
		aws_call_done(&call);
	}
}

#define BACKTRACK "AmazonRDSv19.BacktrackDBCluster"
#define USER "AWSIdentityManagementV20100508.CreateUser"
#define USERS "AWSIdentityManagementV20100508.ListUsers"

static const struct json_case {
	const char *target, *body;
	const char *code; /* NULL: it is right, and */
	const char *text; /* then looks like this; else the message has this */
} json_cases[] = {
	{BACKTRACK, "{\"DBClusterIdentifier\": \"a\", \"BacktrackTo\": 5, \"Force\": null}", NULL,
	 "{\"DBClusterIdentifier\": \"a\", \"BacktrackTo\": 5.0}"},
	{BACKTRACK, "{\"DBClusterIdentifier\": \"a\", \"BacktrackTo\": \"1970-01-01T00:00:05Z\"}",
	 NULL, "{\"DBClusterIdentifier\": \"a\", \"BacktrackTo\": 5.0}"},
	{USERS, "{\"MaxItems\": 7.0}", NULL, "{\"MaxItems\": 7}"},
	{USERS, "{\"MaxItems\": 7.5}", "MalformedInput", "at 'maxItems' must be an integer"},
	{USERS, "{\"MaxItems\": \"7\"}", "MalformedInput", "at 'maxItems' must be an integer"},
	{USER, "{\"UserName\": 7}", "MalformedInput", "Value '7' at 'userName' must be a string"},
	{USER, "{\"UserName\": [\"a\", \"b\"]}", "MalformedInput",
	 "Value '[a, b]' at 'userName' must be a string"},
	{USER, "{\"UserName\": \"a\", \"Tags\": {}}", "MalformedInput",
	 "Value '{...}' at 'tags' must be a list"},
	{USER, "{\"UserName\": \"a\", \"Tags\": [null]}", "MalformedInput",
	 "at 'tags.1.member' must be a structure"},
	{USER, "{\"UserName\": \"a\", \"Nonsense\": 1}", "UnknownParameter",
	 "The parameter Nonsense is not recognized"},
	{USER, "{\"UserName\": \"a\", \"Tags\": [{\"Key\": \"k\", \"Value\": \"v\", \"x\": 1}]}",
	 "UnknownParameter", "The parameter tags.1.member.x is not recognized"},
	{USER, "[]", "MalformedInput", "The request is no structure"},
	{BACKTRACK, "{\"DBClusterIdentifier\": \"a\", \"BacktrackTo\": 1e300}", "MalformedInput",
	 "must be a timestamp"},
	{"AWSIdentityManagementV20100508.ChangePassword",
	 "{\"OldPassword\": \"\", \"NewPassword\": \"secret\\u0007\"}", "ValidationError",
	 "Value at 'newPassword' failed to satisfy constraint: Member must satisfy regular"},
};

static void json_is_checked_by_its_types_too(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(json_cases); i++) {
		const struct json_case *it = &json_cases[i];
		json_auto_t *want = it->code ? NULL : json_loads(it->text, 0, NULL);
		struct aws_call call;
		int r = ask_json(it->target, it->body, &call);

		if (it->code) {
			check(r == AWS_FAULT && strcmp(call.fault.code, it->code) == 0 &&
				      strstr(call.fault.message, it->text),
			      "%s: %s: %s", it->body, call.fault.code, call.fault.message);
			check(!strstr(call.fault.message, "secret"));
		} else {
			check(r == 0 && json_equal(call.input, want), "%s: %s", it->body,
			      call.fault.message);
		}
		aws_call_done(&call);
	}
}

static void every_pattern_of_the_model_is_understood(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < aws_shape_count; i++) {
		if (!aws_shapes[i].pattern)
			continue;
		count++;
		check(aws_pattern_is_understood(&aws_shapes[i]), "%s: %s",
		      aws_name(aws_shapes[i].name), aws_name(aws_shapes[i].pattern));
	}
	check(count > 50, "%u", count);
}

static const struct aws_shape *find_shape(const char *name)
{
	for (unsigned i = 0; i < aws_shape_count; i++)
		if (strcmp(aws_name(aws_shapes[i].name), name) == 0)
			return &aws_shapes[i];
	return NULL;
}

static void patterns_match_the_whole_text_and_give_up_in_time(void)
{
	const struct aws_shape *names = find_shape("userNameType");
	const struct aws_shape *prefixes = find_shape("policyPathType");
	char text[20002];

	require(names && prefixes);
	check(aws_pattern_matches(names, "ana", 3));
	check(!aws_pattern_matches(names, "ana\n", 4));
	check(!aws_pattern_matches(names, "\xC3\xA4", 2));
	check(aws_pattern_matches(prefixes, "/a/b/", 5));
	check(!aws_pattern_matches(prefixes, "/a/b", 4));
	/* "((/[...]+)*)/" over slashes, which it could split in more ways than there is time. */
	memset(text, 'a', sizeof text);
	for (size_t i = 0; i < sizeof text; i += 2)
		text[i] = '/';
	text[sizeof text - 1] = '!';
	check(!aws_pattern_matches(prefixes, text, sizeof text));
}

static void a_message_stays_within_its_size_whatever_is_wrong(void)
{
	char form[16384] = IAM "TagUser&UserName=ana";
	struct aws_call call;
	size_t at = strlen(form);

	for (int i = 1; i <= 50; i++)
		at += (size_t)snprintf(form + at, sizeof form - at,
				       "&Tags.member.%d.Key=" LONG_NAME LONG_NAME LONG_NAME
				       "&Tags.member.%d.Value=x",
				       i, i);
	check(ask_query(form, &call) == AWS_FAULT);
	check(strncmp(call.fault.message, "50 validation errors detected: ", 31) == 0, "%s",
	      call.fault.message);
	check(strlen(call.fault.message) == sizeof call.fault.message - 1);
	aws_call_done(&call);
}

int main(void)
{
	RUN(what_the_model_does_not_allow_is_refused_in_the_service_s_words);
	RUN(what_the_model_allows_arrives_as_the_handler_wants_it);
	RUN(json_is_checked_by_its_types_too);
	RUN(every_pattern_of_the_model_is_understood);
	RUN(patterns_match_the_whole_text_and_give_up_in_time);
	RUN(a_message_stays_within_its_size_whatever_is_wrong);
	return tap_done();
}
