/*
 * The policy language, as tables of cases with the verdict that AWS's documentation asks for.
 *
 * JSON is written with ' for " so that it can be read; a ` is a '.
 */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "identity/context.h"
#include "identity/date.h"
#include "identity/evaluate.h"
#include "identity/policy.h"

#include "tap.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

/* ' becomes ", and ` becomes '. */
static char *quoted(const char *text)
{
	char *copy = xstrdup(text);

	for (char *at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at == '`' ? '\'' : *at;
	return copy;
}

/* {'aws:username': 'ana', 'aws:TagKeys': ['a', 'b']} */
static void read_context(struct context *context, const char *text)
{
	CLEANUP(free) char *json = quoted(text && *text ? text : "{}");
	json_t *object = json_loads(json, 0, NULL), *value, *item;
	const char *key;
	size_t i;

	check(object, "%s", text);
	context_init(context, NULL);
	json_object_foreach (object, key, value) {
		context_add(context, key, json_string_value(value));
		json_array_foreach (value, i, item)
			context_add(context, key, json_string_value(item));
	}
	json_decref(object);
}

/* A whole document, or only its statement or list of statements. */
static struct policy *read_policy(const char *text, enum policy_kind kind)
{
	CLEANUP(free) char *json = NULL, *whole = NULL;
	struct policy *policy = NULL;
	struct problem why = {""};
	int r;

	if (!strstr(text, "'Version'")) {
		r = asprintf(&whole, "{'Version': '2012-10-17', 'Statement': %s}", text);
		check(r > 0);
	}
	json = quoted(whole ? whole : text);
	r = policy_parse(json, kind, &policy, &why);
	check(r == 0, "%s: %s", json, why.text);
	return policy;
}

/* ---- actions and resources ---------------------------------------------------------------- */

struct statement_case {
	const char *statement;
	const char *action, *resource;
	const char *context;
	enum policy_verdict verdict;
};

#define NOTHING POLICY_NOTHING
#define ALLOW POLICY_ALLOW
#define DENY POLICY_DENY

static enum policy_verdict verdict_of(const struct statement_case *c)
{
	CLEANUP(policy) struct policy *policy = read_policy(c->statement, POLICY_IDENTITY);
	CLEANUP(context) struct context context;
	const struct policy_statement *statement;
	struct policy_request request = {
		.action = c->action, .resource = c->resource, .context = &context.policy};

	read_context(&context, c->context);
	return policy ? policy_evaluate(policy, &request, &statement) : (enum policy_verdict) - 1;
}

static void run_statements(const struct statement_case *cases, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		enum policy_verdict got = verdict_of(&cases[i]);

		check(got == cases[i].verdict, "%s with %s on %s, %s: %d, not %d",
		      cases[i].statement, cases[i].action, cases[i].resource,
		      cases[i].context ? cases[i].context : "", got, cases[i].verdict);
	}
}

#define SHOP "arn:aws:rds:eu-west-1:123456789012:cluster:shop"
#define ON_ALL "'Resource': '*'}"

/* clang-format off */
static const struct statement_case action_cases[] = {
	/* The action: any case, * and ?, with the service before the colon. */
	{"{'Effect': 'Allow', 'Action': 'rds:StopDBCluster', " ON_ALL, "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:StopDBCluster', " ON_ALL, "rds:StartDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 'RDS:stopdbCLUSTER', " ON_ALL, "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:*', " ON_ALL, "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:*', " ON_ALL, "iam:ListUsers", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', " ON_ALL, "iam:ListUsers", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*:*', " ON_ALL, "iam:ListUsers", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*:List*', " ON_ALL, "iam:ListUsers", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*:List*', " ON_ALL, "iam:GetUser", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 'rds:Describe*', " ON_ALL, "rds:DescribeDBClusters", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:Describe*', " ON_ALL, "rds:Describe", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:Describe*', " ON_ALL, "rds:DeleteDBCluster", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 'rds:*DBCluster', " ON_ALL, "rds:DeleteDBCluster", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:*DBCluster', " ON_ALL, "rds:DescribeDBClusters", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 'rds:St??tDBCluster', " ON_ALL, "rds:StartDBCluster", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:St??tDBCluster', " ON_ALL, "rds:StopDBCluster", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 'rds:*D*B*C*r', " ON_ALL, "rds:DeleteDBCluster", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': ['iam:Get*', 'rds:Stop*'], " ON_ALL, "rds:StopDBCluster", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': ['iam:Get*', 'rds:Stop*'], " ON_ALL, "iam:GetUser", "*", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': ['iam:Get*', 'rds:Stop*'], " ON_ALL, "iam:ListUsers", "*", "", NOTHING},

	/* NotAction: all others, also of other services. */
	{"{'Effect': 'Allow', 'NotAction': 'iam:*', " ON_ALL, "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'NotAction': 'iam:*', " ON_ALL, "iam:GetUser", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'NotAction': ['iam:*', 'sts:*'], " ON_ALL, "sts:AssumeRole", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'NotAction': ['iam:*', 'sts:*'], " ON_ALL, "rds:AddTagsToResource", "*", "", ALLOW},
	{"{'Effect': 'Deny', 'NotAction': 'iam:*', " ON_ALL, "rds:AddTagsToResource", "*", "", DENY},
	{"{'Effect': 'Deny', 'NotAction': 'iam:*', " ON_ALL, "iam:GetUser", "*", "", NOTHING},

	/* The resource: case counts, a wildcard reaches as far as it can. */
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': '" SHOP "'}", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': '" SHOP "'}", "rds:StopDBCluster", SHOP "s", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:eu-west-1:123456789012:cluster:SHOP'}", "rds:StopDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:*:*:cluster:sh*'}", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:*:*:cluster:sh?p'}", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:*:*:cluster:sh?'}", "rds:StopDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:*:*:db:*'}", "rds:StopDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:us-*:*:cluster:*'}", "rds:StopDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:*'}", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:rds:*:999999999999:*'}", "rds:StopDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:*:rds:*:*:*'}", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': ['arn:aws:s3:::a', '" SHOP "']}", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': '" SHOP "'}", "rds:DescribeDBClusters", "*", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': ['arn:aws:s3:::a', null]}", "s3:GetObject", "arn:aws:s3:::a", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': ['arn:aws:s3:::a', null]}", "s3:GetObject", "arn:aws:s3:::b", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 's3:*', 'Resource': 'arn:aws:s3:::a/*/c'}", "s3:GetObject", "arn:aws:s3:::a/b/d/c", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 's3:*', 'Resource': 'arn:aws:s3:::a/*/c'}", "s3:GetObject", "arn:aws:s3:::a/c", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 's3:*', 'Resource': 'arn:aws:s3:::?'}", "s3:GetObject", "arn:aws:s3:::\xc3\xa4", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 's3:*', 'Resource': 'arn:aws:s3:::*a*a*a*a*b'}", "s3:GetObject", "arn:aws:s3:::aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", NOTHING},

	/* NotResource. */
	{"{'Effect': 'Deny', 'Action': 'rds:*', 'NotResource': 'arn:aws:rds:*:*:cluster:test-*'}", "rds:DeleteDBCluster", SHOP, "", DENY},
	{"{'Effect': 'Deny', 'Action': 'rds:*', 'NotResource': 'arn:aws:rds:*:*:cluster:test-*'}", "rds:DeleteDBCluster", "arn:aws:rds:eu-west-1:123456789012:cluster:test-1", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': 'rds:*', 'NotResource': ['arn:aws:rds:*:*:cluster:a', 'arn:aws:rds:*:*:cluster:b']}", "rds:DeleteDBCluster", SHOP, "", ALLOW},
	{"{'Effect': 'Allow', 'Action': 'rds:*', 'NotResource': ['arn:aws:rds:*:*:cluster:a', '" SHOP "']}", "rds:DeleteDBCluster", SHOP, "", NOTHING},
	{"{'Effect': 'Allow', 'NotAction': 'rds:*', 'NotResource': '*'}", "iam:GetUser", "*", "", NOTHING},

	/* Several statements: a Deny wins, wherever it stands. */
	{"[{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}, {'Effect': 'Deny', 'Action': 'rds:Delete*', 'Resource': '*'}]", "rds:DeleteDBCluster", SHOP, "", DENY},
	{"[{'Effect': 'Deny', 'Action': 'rds:Delete*', 'Resource': '*'}, {'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]", "rds:DeleteDBCluster", SHOP, "", DENY},
	{"[{'Effect': 'Deny', 'Action': 'rds:Delete*', 'Resource': '*'}, {'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]", "rds:StopDBCluster", SHOP, "", ALLOW},
	{"[{'Effect': 'Deny', 'Action': 'rds:Delete*', 'Resource': '" SHOP "'}, {'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]", "rds:DeleteDBCluster", SHOP "2", "", ALLOW},
	{"{'Effect': 'Deny', 'Action': '*', 'Resource': '*'}", "rds:DeleteDBCluster", SHOP, "", DENY},
	{"[{'Effect': 'Allow', 'Action': 'rds:Stop*', 'Resource': '*'}, {'Effect': 'Allow', 'Action': 'rds:Start*', 'Resource': '*'}]", "rds:StartDBCluster", SHOP, "", ALLOW},
};

#define OF_USER "{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::home/${aws:username}/*'}"
#define TEAM "{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::${aws:PrincipalTag/team, `all`}/*'}"

static const struct statement_case variable_cases[] = {
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/ana/notes", "{'aws:username': 'ana'}", ALLOW},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/ben/notes", "{'aws:username': 'ana'}", NOTHING},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/Ana/notes", "{'aws:username': 'ana'}", NOTHING},
	/* A name is no pattern, and without a name nothing is meant. */
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/ben/notes", "{'aws:username': '*'}", NOTHING},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/*/notes", "{'aws:username': '*'}", ALLOW},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/b/notes", "{'aws:username': '?'}", NOTHING},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home//notes", "{}", NOTHING},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/${aws:username}/notes", "{}", NOTHING},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/a/notes", "{'aws:username': ['a', 'b']}", NOTHING},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/ana/notes", "{'AWS:UserName': 'ana'}", ALLOW},
	{OF_USER, "s3:GetObject", "arn:aws:s3:::home/x/notes", "{'aws:username': '\\u0001'}", NOTHING},
	/* A default is for where there is no value. */
	{TEAM, "s3:GetObject", "arn:aws:s3:::red/x", "{'aws:PrincipalTag/team': 'red'}", ALLOW},
	{TEAM, "s3:GetObject", "arn:aws:s3:::all/x", "{'aws:PrincipalTag/team': 'red'}", NOTHING},
	{TEAM, "s3:GetObject", "arn:aws:s3:::all/x", "{}", ALLOW},
	{TEAM, "s3:GetObject", "arn:aws:s3:::red/x", "{}", NOTHING},
	/* The characters themselves. */
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::a${*}b'}", "s3:GetObject", "arn:aws:s3:::a*b", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::a${*}b'}", "s3:GetObject", "arn:aws:s3:::axb", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::a${?}b'}", "s3:GetObject", "arn:aws:s3:::a?b", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::a${?}b'}", "s3:GetObject", "arn:aws:s3:::axb", "", NOTHING},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::a${$}{aws:username}'}", "s3:GetObject", "arn:aws:s3:::a${aws:username}", "{'aws:username': 'ana'}", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::a$b'}", "s3:GetObject", "arn:aws:s3:::a$b", "", ALLOW},
	{"{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:aws:s3:::${aws:userid}/${aws:username}'}", "s3:GetObject", "arn:aws:s3:::AIDA1/ana", "{'aws:username': 'ana', 'aws:userid': 'AIDA1'}", ALLOW},
	/* NotResource with a variable that has no value excludes nothing. */
	{"{'Effect': 'Deny', 'Action': '*', 'NotResource': 'arn:aws:s3:::home/${aws:username}/*'}", "s3:GetObject", "arn:aws:s3:::home/ana/x", "{}", DENY},
	{"{'Effect': 'Deny', 'Action': '*', 'NotResource': 'arn:aws:s3:::home/${aws:username}/*'}", "s3:GetObject", "arn:aws:s3:::home/ana/x", "{'aws:username': 'ana'}", NOTHING},
};
/* clang-format on */

static void actions_and_resources_match_as_written(void)
{
	run_statements(action_cases, ARRAY_SIZE(action_cases));
}

static void variables_take_their_values_from_the_request(void)
{
	run_statements(variable_cases, ARRAY_SIZE(variable_cases));
}

static void policies_of_2008_have_no_variables(void)
{
	CLEANUP(policy)
	struct policy *policy = read_policy(
		"{'Version': '2008-10-17', 'Statement': {'Effect': 'Allow', 'Action': '*', "
		"'Resource': 'arn:aws:s3:::${aws:username}'}}",
		POLICY_SESSION);
	CLEANUP(context) struct context context;
	const struct policy_statement *statement;
	struct policy_request request = {.action = "s3:GetObject", .context = &context.policy};

	read_context(&context, "{'aws:username': 'ana'}");
	require(policy);
	request.resource = "arn:aws:s3:::ana";
	check(policy_evaluate(policy, &request, &statement) == POLICY_NOTHING);
	request.resource = "arn:aws:s3:::${aws:username}";
	check(policy_evaluate(policy, &request, &statement) == POLICY_ALLOW);
}

/* ---- conditions --------------------------------------------------------------------------- */

struct condition_case {
	const char *condition;
	const char *context;
	bool holds;
};

/* clang-format off */
static const struct condition_case condition_cases[] = {
	/* Strings. */
	{"{'StringEquals': {'aws:username': 'ana'}}", "{'aws:username': 'ana'}", true},
	{"{'StringEquals': {'aws:username': 'ana'}}", "{'aws:username': 'Ana'}", false},
	{"{'StringEquals': {'AWS:UserName': 'ana'}}", "{'aws:username': 'ana'}", true},
	{"{'StringEquals': {'aws:username': 'ana'}}", "{'aws:username': 'anabel'}", false},
	{"{'StringEquals': {'aws:username': ['ben', 'ana']}}", "{'aws:username': 'ana'}", true},
	{"{'StringEquals': {'aws:username': ['ben', 'cy']}}", "{'aws:username': 'ana'}", false},
	{"{'StringEquals': {'aws:username': []}}", "{'aws:username': 'ana'}", false},
	{"{'StringEquals': {'aws:username': 'a*'}}", "{'aws:username': 'ana'}", false},
	{"{'StringEquals': {'aws:username': 'a*'}}", "{'aws:username': 'a*'}", true},
	{"{'StringEquals': {'aws:username': ''}}", "{'aws:username': ''}", true},
	{"{'StringEquals': {'aws:username': 'ana'}}", "{}", false},
	{"{'StringNotEquals': {'aws:username': 'ana'}}", "{'aws:username': 'ben'}", true},
	{"{'StringNotEquals': {'aws:username': 'ana'}}", "{'aws:username': 'ana'}", false},
	{"{'StringNotEquals': {'aws:username': ['ana', 'ben']}}", "{'aws:username': 'ben'}", false},
	{"{'StringNotEquals': {'aws:username': ['ana', 'ben']}}", "{'aws:username': 'cy'}", true},
	{"{'StringNotEquals': {'aws:username': 'ana'}}", "{}", true},
	{"{'StringEqualsIgnoreCase': {'aws:username': 'ANA'}}", "{'aws:username': 'ana'}", true},
	{"{'StringEqualsIgnoreCase': {'aws:username': 'ANA'}}", "{'aws:username': 'an'}", false},
	{"{'StringNotEqualsIgnoreCase': {'aws:username': 'ANA'}}", "{'aws:username': 'ana'}", false},
	{"{'StringNotEqualsIgnoreCase': {'aws:username': 'ANA'}}", "{'aws:username': 'ben'}", true},
	{"{'StringNotEqualsIgnoreCase': {'aws:username': 'ANA'}}", "{}", true},
	{"{'StringLike': {'aws:username': 'a*'}}", "{'aws:username': 'ana'}", true},
	{"{'StringLike': {'aws:username': 'a?a'}}", "{'aws:username': 'ana'}", true},
	{"{'StringLike': {'aws:username': 'a?'}}", "{'aws:username': 'ana'}", false},
	{"{'StringLike': {'aws:username': 'A*'}}", "{'aws:username': 'ana'}", false},
	{"{'StringLike': {'aws:username': '*'}}", "{'aws:username': ''}", true},
	{"{'StringLike': {'aws:username': '*'}}", "{}", false},
	{"{'StringLike': {'aws:username': ['b*', '*a']}}", "{'aws:username': 'ana'}", true},
	{"{'StringLike': {'aws:UserAgent': '*aws-cli/2.?*'}}", "{'aws:UserAgent': 'x aws-cli/2.9.19 Python'}", true},
	{"{'StringLike': {'x:a': 'a${*}'}}", "{'x:a': 'a*'}", true},
	{"{'StringLike': {'x:a': 'a${*}'}}", "{'x:a': 'ab'}", false},
	{"{'StringNotLike': {'aws:username': 'a*'}}", "{'aws:username': 'ana'}", false},
	{"{'StringNotLike': {'aws:username': 'a*'}}", "{'aws:username': 'ben'}", true},
	{"{'StringNotLike': {'aws:username': ['a*', 'b*']}}", "{'aws:username': 'ben'}", false},
	{"{'StringNotLike': {'aws:username': 'a*'}}", "{}", true},
	{"{'StringEquals': {'aws:ResourceTag/owner': '${aws:username}'}}", "{'aws:ResourceTag/owner': 'ana', 'aws:username': 'ana'}", true},
	{"{'StringEquals': {'aws:ResourceTag/owner': '${aws:username}'}}", "{'aws:ResourceTag/owner': 'ana', 'aws:username': 'ben'}", false},
	{"{'StringEquals': {'aws:ResourceTag/owner': '${aws:username}'}}", "{'aws:ResourceTag/owner': 'ana'}", false},
	{"{'StringEquals': {'aws:ResourceTag/owner': '${aws:username, `nobody`}'}}", "{'aws:ResourceTag/owner': 'nobody'}", true},
	{"{'StringLike': {'aws:ResourceTag/owner': '${aws:username}'}}", "{'aws:ResourceTag/owner': 'ana', 'aws:username': '*'}", false},
	{"{'StringNotEquals': {'aws:ResourceTag/owner': '${aws:username}'}}", "{'aws:ResourceTag/owner': 'ana', 'aws:username': 'ana'}", false},
	{"{'StringEquals': {'aws:resourcetag/OWNER': 'ana'}}", "{'aws:ResourceTag/owner': 'ana'}", true},
	{"{'StringEquals': {'x:n': 7}}", "{'x:n': '7'}", true},
	{"{'StringEquals': {'x:b': true}}", "{'x:b': 'true'}", true},

	/* Numbers. */
	{"{'NumericEquals': {'x:n': '10'}}", "{'x:n': '10'}", true},
	{"{'NumericEquals': {'x:n': '10'}}", "{'x:n': '10.0'}", true},
	{"{'NumericEquals': {'x:n': '10'}}", "{'x:n': '1e1'}", true},
	{"{'NumericEquals': {'x:n': 10}}", "{'x:n': '10'}", true},
	{"{'NumericEquals': {'x:n': 0.5}}", "{'x:n': '.5'}", true},
	{"{'NumericEquals': {'x:n': '10'}}", "{'x:n': '11'}", false},
	{"{'NumericEquals': {'x:n': '10'}}", "{'x:n': 'ten'}", false},
	{"{'NumericEquals': {'x:n': '16'}}", "{'x:n': '0x10'}", false},
	{"{'NumericEquals': {'x:n': '10'}}", "{'x:n': ''}", false},
	{"{'NumericEquals': {'x:n': '10'}}", "{}", false},
	{"{'NumericNotEquals': {'x:n': '10'}}", "{'x:n': '11'}", true},
	{"{'NumericNotEquals': {'x:n': '10'}}", "{'x:n': '10.0'}", false},
	{"{'NumericNotEquals': {'x:n': '10'}}", "{}", true},
	{"{'NumericLessThan': {'x:n': '10'}}", "{'x:n': '9.99'}", true},
	{"{'NumericLessThan': {'x:n': '10'}}", "{'x:n': '10'}", false},
	{"{'NumericLessThan': {'x:n': '10'}}", "{'x:n': '-100'}", true},
	{"{'NumericLessThanEquals': {'x:n': '10'}}", "{'x:n': '10'}", true},
	{"{'NumericLessThanEquals': {'x:n': '10'}}", "{'x:n': '10.1'}", false},
	{"{'NumericGreaterThan': {'x:n': '10'}}", "{'x:n': '9'}", false},
	{"{'NumericGreaterThan': {'x:n': '10'}}", "{'x:n': '100'}", true},
	{"{'NumericGreaterThan': {'x:n': '9'}}", "{'x:n': '10'}", true},
	{"{'NumericGreaterThanEquals': {'x:n': '10'}}", "{'x:n': '10'}", true},
	{"{'NumericGreaterThanEquals': {'x:n': '10'}}", "{'x:n': '9'}", false},
	{"{'NumericLessThan': {'x:n': ['5', '20']}}", "{'x:n': '10'}", true},

	/* Dates. */
	{"{'DateEquals': {'aws:CurrentTime': '2026-11-27T14:00:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateEquals': {'aws:CurrentTime': '2026-11-27T15:00:00+01:00'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateEquals': {'aws:CurrentTime': '1795788000'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateEquals': {'aws:CurrentTime': 1795788000}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateEquals': {'aws:EpochTime': '2026-11-27T14:00:00Z'}}", "{'aws:EpochTime': '1795788000'}", true},
	{"{'DateEquals': {'aws:CurrentTime': '2026-11-27T14:00:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00.5Z'}", false},
	{"{'DateNotEquals': {'aws:CurrentTime': '2026-11-27T14:00:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:01Z'}", true},
	{"{'DateNotEquals': {'aws:CurrentTime': '2026-11-27T14:00:00Z'}}", "{}", true},
	{"{'DateLessThan': {'aws:CurrentTime': '2026-11-28'}}", "{'aws:CurrentTime': '2026-11-27T23:59:59.999Z'}", true},
	{"{'DateLessThan': {'aws:CurrentTime': '2026-11-28'}}", "{'aws:CurrentTime': '2026-11-28T00:00:00Z'}", false},
	{"{'DateLessThanEquals': {'aws:CurrentTime': '2026-11-28'}}", "{'aws:CurrentTime': '2026-11-28T00:00:00Z'}", true},
	{"{'DateGreaterThan': {'aws:CurrentTime': '2026-11-27T13:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateGreaterThan': {'aws:CurrentTime': '2026-11-27T14:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", false},
	{"{'DateGreaterThanEquals': {'aws:CurrentTime': '2026-11-27T14:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateGreaterThan': {'aws:CurrentTime': '2026-11-27T13:00Z'}, 'DateLessThan': {'aws:CurrentTime': '2026-11-27T15:00Z'}}", "{'aws:CurrentTime': '2026-11-27T14:00:00Z'}", true},
	{"{'DateGreaterThan': {'aws:CurrentTime': '2026-11-27T13:00Z'}, 'DateLessThan': {'aws:CurrentTime': '2026-11-27T15:00Z'}}", "{'aws:CurrentTime': '2026-11-27T16:00:00Z'}", false},
	{"{'DateLessThan': {'aws:TokenIssueTime': '2026-11-28'}}", "{}", false},
	{"{'DateLessThan': {'x:d': '2026-11-28'}}", "{'x:d': 'yesterday'}", false},
	{"{'NumericGreaterThan': {'aws:EpochTime': '1795787999'}}", "{'aws:EpochTime': '1795788000'}", true},

	/* Truth. */
	{"{'Bool': {'aws:SecureTransport': 'true'}}", "{'aws:SecureTransport': 'true'}", true},
	{"{'Bool': {'aws:SecureTransport': true}}", "{'aws:SecureTransport': 'true'}", true},
	{"{'Bool': {'aws:SecureTransport': 'TRUE'}}", "{'aws:SecureTransport': 'true'}", true},
	{"{'Bool': {'aws:SecureTransport': 'false'}}", "{'aws:SecureTransport': 'true'}", false},
	{"{'Bool': {'aws:SecureTransport': false}}", "{'aws:SecureTransport': 'false'}", true},
	{"{'Bool': {'aws:MultiFactorAuthPresent': 'false'}}", "{}", false},
	{"{'BoolIfExists': {'aws:MultiFactorAuthPresent': 'false'}}", "{}", true},
	{"{'BoolIfExists': {'aws:MultiFactorAuthPresent': 'false'}}", "{'aws:MultiFactorAuthPresent': 'true'}", false},

	/* Bytes. */
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA=='}}", "{'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA=='}", true},
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA=='}}", "{'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA'}", true},
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA=='}}", "{'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NB=='}", true},
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA=='}}", "{'x:b': 'qmluYXJ5VmFsdWVJbkJhc2U2NA=='}", false},
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5VmFsdWVJbkJhc2U2NA=='}}", "{'x:b': 'QmluYXJ5'}", false},
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5'}}", "{'x:b': 'QmluYXJ!'}", false},
	{"{'BinaryEquals': {'x:b': 'QmluYXJ5'}}", "{}", false},

	/* Addresses. */
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{'aws:SourceIp': '203.0.113.77'}", true},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{'aws:SourceIp': '203.0.114.77'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.64/26'}}", "{'aws:SourceIp': '203.0.113.127'}", true},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.64/26'}}", "{'aws:SourceIp': '203.0.113.128'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.77'}}", "{'aws:SourceIp': '203.0.113.77'}", true},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.77'}}", "{'aws:SourceIp': '203.0.113.78'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.77/32'}}", "{'aws:SourceIp': '203.0.113.76'}", false},
	{"{'IpAddress': {'aws:SourceIp': '0.0.0.0/0'}}", "{'aws:SourceIp': '203.0.113.76'}", true},
	{"{'IpAddress': {'aws:SourceIp': '0.0.0.0/0'}}", "{'aws:SourceIp': '2001:db8::1'}", false},
	{"{'IpAddress': {'aws:SourceIp': ['10.0.0.0/8', '192.168.0.0/16']}}", "{'aws:SourceIp': '192.168.7.7'}", true},
	{"{'IpAddress': {'aws:SourceIp': '2001:db8::/32'}}", "{'aws:SourceIp': '2001:db8:1::7'}", true},
	{"{'IpAddress': {'aws:SourceIp': '2001:db8::/32'}}", "{'aws:SourceIp': '2001:db9::7'}", false},
	{"{'IpAddress': {'aws:SourceIp': '2001:DB8:0:0:0:0:0:1'}}", "{'aws:SourceIp': '2001:db8::1'}", true},
	{"{'IpAddress': {'aws:SourceIp': '2001:db8::/33'}}", "{'aws:SourceIp': '2001:db8:8000::1'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{'aws:SourceIp': '::ffff:203.0.113.7'}", true},
	{"{'IpAddress': {'aws:SourceIp': '::/0'}}", "{'aws:SourceIp': '2001:db8::1'}", true},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/33'}}", "{'aws:SourceIp': '203.0.113.0'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/'}}", "{'aws:SourceIp': '203.0.113.0'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/+8'}}", "{'aws:SourceIp': '203.0.113.0'}", false},
	{"{'IpAddress': {'aws:SourceIp': 'here'}}", "{'aws:SourceIp': '203.0.113.0'}", false},
	{"{'IpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{}", false},
	{"{'NotIpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{'aws:SourceIp': '203.0.113.77'}", false},
	{"{'NotIpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{'aws:SourceIp': '198.51.100.1'}", true},
	{"{'NotIpAddress': {'aws:SourceIp': ['203.0.113.0/24', '198.51.100.0/24']}}", "{'aws:SourceIp': '198.51.100.1'}", false},
	{"{'NotIpAddress': {'aws:SourceIp': '203.0.113.0/24'}}", "{}", true},

	/* ARNs: part by part. */
	{"{'ArnEquals': {'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", true},
	{"{'ArnEquals': {'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/*'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", true},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:aws:iam::*:user/a?a'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", true},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:aws:iam::*'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", false},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:*:user/ana'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", false},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:aws:iam:*:user/ana'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", false},
	{"{'ArnLike': {'aws:PrincipalArn': '*'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", true},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:*:*:*:*:*'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", true},
	{"{'ArnLike': {'aws:SourceArn': 'arn:aws:rds:*:*:cluster:sh*'}}", "{'aws:SourceArn': '" SHOP "'}", true},
	{"{'ArnLike': {'aws:SourceArn': 'arn:aws:rds:*:*:*'}}", "{'aws:SourceArn': '" SHOP "'}", true},
	{"{'ArnLike': {'aws:SourceArn': 'arn:aws:rds:*:*:db:*'}}", "{'aws:SourceArn': '" SHOP "'}", false},
	{"{'ArnLike': {'aws:SourceArn': 'arn:aws:rds:*:*:cluster:x*'}}", "{'aws:SourceArn': '" SHOP "'}", false},
	{"{'ArnLike': {'aws:SourceArn': 'arn:aws:rds:*:*:cluster'}}", "{'aws:SourceArn': '" SHOP "'}", false},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/${aws:username}'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana', 'aws:username': 'ana'}", true},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/${aws:username}'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", false},
	{"{'ArnLike': {'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}}", "{'aws:PrincipalArn': 'ana'}", false},
	{"{'ArnNotEquals': {'aws:PrincipalArn': 'arn:aws:iam::*:user/ana'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", false},
	{"{'ArnNotLike': {'aws:PrincipalArn': 'arn:aws:iam::*:role/*'}}", "{'aws:PrincipalArn': 'arn:aws:iam::123456789012:user/ana'}", true},
	{"{'ArnNotLike': {'aws:PrincipalArn': 'arn:aws:iam::*:role/*'}}", "{}", true},

	/* Whether the key is there. */
	{"{'Null': {'aws:TokenIssueTime': 'true'}}", "{}", true},
	{"{'Null': {'aws:TokenIssueTime': 'false'}}", "{}", false},
	{"{'Null': {'aws:TokenIssueTime': 'true'}}", "{'aws:TokenIssueTime': '2026-11-27'}", false},
	{"{'Null': {'aws:TokenIssueTime': 'false'}}", "{'aws:TokenIssueTime': '2026-11-27'}", true},
	{"{'Null': {'aws:TokenIssueTime': false}}", "{'aws:TokenIssueTime': ''}", true},
	{"{'Null': {'aws:TagKeys': 'true'}}", "{'aws:TagKeys': []}", true},

	/* IfExists. */
	{"{'StringEqualsIfExists': {'aws:username': 'ana'}}", "{}", true},
	{"{'StringEqualsIfExists': {'aws:username': 'ana'}}", "{'aws:username': 'ben'}", false},
	{"{'StringEqualsIfExists': {'aws:username': 'ana'}}", "{'aws:username': 'ana'}", true},
	{"{'StringLikeIfExists': {'aws:username': 'a*'}}", "{}", true},
	{"{'StringNotEqualsIfExists': {'aws:username': 'ana'}}", "{'aws:username': 'ana'}", false},
	{"{'NumericLessThanIfExists': {'x:n': '10'}}", "{}", true},
	{"{'NumericLessThanIfExists': {'x:n': '10'}}", "{'x:n': '11'}", false},
	{"{'DateGreaterThanIfExists': {'x:d': '2026'}}", "{}", true},
	{"{'IpAddressIfExists': {'aws:SourceIp': '10.0.0.0/8'}}", "{}", true},
	{"{'IpAddressIfExists': {'aws:SourceIp': '10.0.0.0/8'}}", "{'aws:SourceIp': '11.0.0.1'}", false},
	{"{'ArnLikeIfExists': {'aws:SourceArn': 'arn:aws:s3:::*'}}", "{}", true},
	{"{'BinaryEqualsIfExists': {'x:b': 'QQ=='}}", "{}", true},

	/* Keys with several values. */
	{"{'ForAllValues:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{'aws:TagKeys': ['team', 'cost']}", true},
	{"{'ForAllValues:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{'aws:TagKeys': ['team']}", true},
	{"{'ForAllValues:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{'aws:TagKeys': ['team', 'secret']}", false},
	{"{'ForAllValues:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{}", true},
	{"{'ForAllValues:StringEquals': {'aws:TagKeys': 'team'}}", "{'aws:TagKeys': 'team'}", true},
	{"{'ForAllValues:StringNotEquals': {'aws:TagKeys': ['secret']}}", "{'aws:TagKeys': ['team', 'cost']}", true},
	{"{'ForAllValues:StringNotEquals': {'aws:TagKeys': ['secret']}}", "{'aws:TagKeys': ['team', 'secret']}", false},
	{"{'ForAllValues:StringLike': {'aws:TagKeys': ['t*', 'c*']}}", "{'aws:TagKeys': ['team', 'cost']}", true},
	{"{'ForAllValues:StringLike': {'aws:TagKeys': ['t*']}}", "{'aws:TagKeys': ['team', 'cost']}", false},
	{"{'ForAnyValue:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{'aws:TagKeys': ['x', 'cost']}", true},
	{"{'ForAnyValue:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{'aws:TagKeys': ['x', 'y']}", false},
	{"{'ForAnyValue:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{}", false},
	{"{'ForAnyValue:StringEquals': {'aws:TagKeys': ['team', 'cost']}}", "{'aws:TagKeys': []}", false},
	{"{'ForAnyValue:StringEqualsIfExists': {'aws:TagKeys': 'team'}}", "{}", true},
	{"{'ForAnyValue:StringNotEquals': {'aws:TagKeys': 'team'}}", "{'aws:TagKeys': ['team', 'x']}", true},
	{"{'ForAnyValue:StringNotEquals': {'aws:TagKeys': 'team'}}", "{'aws:TagKeys': ['team']}", false},
	{"{'ForAnyValue:StringNotEquals': {'aws:TagKeys': 'team'}}", "{}", false},
	{"{'ForAllValues:NumericLessThan': {'x:n': '10'}}", "{'x:n': ['1', '2', '9']}", true},
	{"{'ForAllValues:NumericLessThan': {'x:n': '10'}}", "{'x:n': ['1', '2', '19']}", false},
	{"{'ForAnyValue:NumericGreaterThan': {'x:n': '10'}}", "{'x:n': ['1', '2', '19']}", true},
	{"{'ForAllValues:IpAddress': {'x:ip': '10.0.0.0/8'}}", "{'x:ip': ['10.1.1.1', '10.2.2.2']}", true},
	{"{'ForAllValues:ArnLike': {'x:arn': 'arn:aws:s3:::*'}}", "{'x:arn': ['arn:aws:s3:::a', 'arn:aws:sqs:::a']}", false},
	{"{'ForAnyValue:Bool': {'x:b': true}}", "{'x:b': ['false', 'true']}", true},
	{"{'ForAllValues:DateLessThan': {'x:d': '2026-01-01'}}", "{'x:d': ['2025-01-01', '2024-01-01']}", true},
	/* Without a word about several: one that is alike will do; to differ, all must. */
	{"{'StringEquals': {'aws:TagKeys': 'team'}}", "{'aws:TagKeys': ['x', 'team']}", true},
	{"{'StringNotEquals': {'aws:TagKeys': 'team'}}", "{'aws:TagKeys': ['x', 'team']}", false},

	/* All operators and all keys must hold; of the values of one key, any. */
	{"{'StringEquals': {'aws:username': 'ana', 'aws:PrincipalTag/team': 'red'}}", "{'aws:username': 'ana', 'aws:PrincipalTag/team': 'red'}", true},
	{"{'StringEquals': {'aws:username': 'ana', 'aws:PrincipalTag/team': 'red'}}", "{'aws:username': 'ana', 'aws:PrincipalTag/team': 'blue'}", false},
	{"{'StringEquals': {'aws:username': 'ana'}, 'Bool': {'aws:SecureTransport': 'true'}}", "{'aws:username': 'ana', 'aws:SecureTransport': 'false'}", false},
	{"{'StringEquals': {'aws:username': 'ana'}, 'Bool': {'aws:SecureTransport': 'true'}}", "{'aws:username': 'ana', 'aws:SecureTransport': 'true'}", true},
	{"{}", "{}", true},
	{"{'StringEquals': {}}", "{}", true},
	{"{'AnOperatorThatIsNone': {}}", "{}", true},
	{"{'StringEquals': {'aws:RequestedRegion': ['eu-west-1', 'eu-central-1']}}", "{'aws:RequestedRegion': 'eu-central-1'}", true},
	{"{'StringEquals': {'aws:PrincipalAccount': '123456789012'}}", "{'aws:PrincipalAccount': '123456789012'}", true},
	{"{'StringEquals': {'aws:PrincipalType': ['User', 'Account']}}", "{'aws:PrincipalType': 'AssumedRole'}", false},
	{"{'StringEquals': {'sts:ExternalId': 'x-17'}}", "{'sts:ExternalId': 'x-17'}", true},
	{"{'StringEquals': {'sts:ExternalId': 'x-17'}}", "{}", false},
	{"{'StringLike': {'aws:userid': 'AROA1:*'}}", "{'aws:userid': 'AROA1:session'}", true},
	{"{'StringEquals': {'aws:RequestTag/team': ['red', 'blue']}, 'ForAllValues:StringEquals': {'aws:TagKeys': 'team'}}", "{'aws:RequestTag/team': 'blue', 'aws:TagKeys': ['team']}", true},
	{"{'StringEquals': {'aws:RequestTag/team': ['red', 'blue']}, 'ForAllValues:StringEquals': {'aws:TagKeys': 'team'}}", "{'aws:RequestTag/team': 'blue', 'aws:TagKeys': ['team', 'cost']}", false},
};
/* clang-format on */

static void conditions_hold_for_what_they_describe(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(condition_cases); i++) {
		const struct condition_case *c = &condition_cases[i];
		CLEANUP(free) char *allow = NULL, *deny = NULL;
		struct statement_case with_allow = {.action = "a:b", .resource = "*"}, with_deny;
		enum policy_verdict got;

		check(asprintf(&allow,
			       "{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': "
			       "%s}",
			       c->condition) > 0);
		check(asprintf(
			      &deny,
			      "{'Effect': 'Deny', 'Action': '*', 'Resource': '*', 'Condition': %s}",
			      c->condition) > 0);
		with_allow.statement = allow;
		with_allow.context = c->context;
		with_deny = with_allow;
		with_deny.statement = deny;
		got = verdict_of(&with_allow);
		check(got == (c->holds ? POLICY_ALLOW : POLICY_NOTHING), "%s with %s: %d",
		      c->condition, c->context, got);
		got = verdict_of(&with_deny);
		check(got == (c->holds ? POLICY_DENY : POLICY_NOTHING), "Deny %s with %s: %d",
		      c->condition, c->context, got);
	}
}

/* ---- several policies --------------------------------------------------------------------- */

#define MAY_ALL "{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}"
#define MAY_RDS "{'Effect': 'Allow', 'Action': 'rds:*', 'Resource': '*'}"
#define MAY_READ "{'Effect': 'Allow', 'Action': 'rds:Describe*', 'Resource': '*'}"
#define NO_DELETE "{'Effect': 'Deny', 'Action': 'rds:Delete*', 'Resource': '*'}"
#define BY_IDENTITY POLICY_BY_IDENTITY
#define BY_BOUNDARY POLICY_BY_BOUNDARY
#define BY_SESSION POLICY_BY_SESSION

struct decision_case {
	const char *identity[3];
	const char *boundary;   /* NULL: none */
	const char *session[2]; /* "": a session, without a policy that says anything */
	const char *action;
	enum policy_verdict verdict;
	enum policy_source source;
};

/* clang-format off */
static const struct decision_case decision_cases[] = {
	{{NULL}, NULL, {NULL}, "rds:StopDBCluster", NOTHING, BY_IDENTITY},
	{{MAY_RDS}, NULL, {NULL}, "rds:StopDBCluster", ALLOW, BY_IDENTITY},
	{{MAY_RDS}, NULL, {NULL}, "iam:GetUser", NOTHING, BY_IDENTITY},
	{{MAY_READ, MAY_RDS}, NULL, {NULL}, "rds:StopDBCluster", ALLOW, BY_IDENTITY},
	{{MAY_RDS, NO_DELETE}, NULL, {NULL}, "rds:DeleteDBCluster", DENY, BY_IDENTITY},
	{{NO_DELETE, MAY_RDS}, NULL, {NULL}, "rds:DeleteDBCluster", DENY, BY_IDENTITY},
	{{NO_DELETE}, NULL, {NULL}, "rds:StopDBCluster", NOTHING, BY_IDENTITY},
	/* A boundary allows nothing by itself, and takes away what it does not allow. */
	{{MAY_ALL}, MAY_RDS, {NULL}, "rds:StopDBCluster", ALLOW, BY_IDENTITY},
	{{MAY_ALL}, MAY_RDS, {NULL}, "iam:GetUser", NOTHING, BY_BOUNDARY},
	{{MAY_READ}, MAY_RDS, {NULL}, "rds:StopDBCluster", NOTHING, BY_IDENTITY},
	{{NULL}, MAY_ALL, {NULL}, "rds:StopDBCluster", NOTHING, BY_IDENTITY},
	{{MAY_ALL}, NO_DELETE, {NULL}, "rds:DeleteDBCluster", DENY, BY_BOUNDARY},
	{{MAY_ALL}, NO_DELETE, {NULL}, "rds:StopDBCluster", NOTHING, BY_BOUNDARY},
	/* So does a session. */
	{{MAY_ALL}, NULL, {MAY_RDS}, "rds:StopDBCluster", ALLOW, BY_IDENTITY},
	{{MAY_ALL}, NULL, {MAY_RDS}, "iam:GetUser", NOTHING, BY_SESSION},
	{{MAY_READ}, NULL, {MAY_ALL}, "rds:StopDBCluster", NOTHING, BY_IDENTITY},
	{{MAY_ALL}, NULL, {MAY_READ, MAY_RDS}, "rds:StopDBCluster", ALLOW, BY_IDENTITY},
	{{MAY_ALL}, NULL, {MAY_ALL, NO_DELETE}, "rds:DeleteDBCluster", DENY, BY_SESSION},
	{{MAY_ALL}, NULL, {NO_DELETE}, "rds:StopDBCluster", NOTHING, BY_SESSION},
	/* All three. */
	{{MAY_ALL}, MAY_RDS, {MAY_READ}, "rds:DescribeDBClusters", ALLOW, BY_IDENTITY},
	{{MAY_ALL}, MAY_RDS, {MAY_READ}, "rds:StopDBCluster", NOTHING, BY_SESSION},
	{{MAY_ALL}, MAY_READ, {MAY_RDS}, "rds:StopDBCluster", NOTHING, BY_BOUNDARY},
	{{NO_DELETE}, MAY_READ, {MAY_RDS}, "rds:DeleteDBCluster", DENY, BY_IDENTITY},
	{{MAY_ALL}, MAY_READ, {NO_DELETE}, "rds:DeleteDBCluster", DENY, BY_SESSION},
};
/* clang-format on */

static struct policy_list read_list(const char *const *texts, unsigned count,
				    struct policy **ret_policies)
{
	struct policy_list list = {.items = (const struct policy *const *)ret_policies};

	for (unsigned i = 0; i < count && texts[i]; i++)
		ret_policies[list.count++] = read_policy(texts[i], POLICY_IDENTITY);
	return list;
}

static void an_explicit_deny_wins_and_every_source_must_allow(void)
{
	CLEANUP(context) struct context context;

	read_context(&context, "{}");
	for (unsigned i = 0; i < ARRAY_SIZE(decision_cases); i++) {
		const struct decision_case *c = &decision_cases[i];
		struct policy *policies[6] = {NULL};
		struct policy_sources sources = {
			.identity = read_list(c->identity, 3, policies),
			.boundary = read_list(&c->boundary, 1, policies + 3),
			.session = read_list(c->session, 2, policies + 4),
			.bounded = c->boundary,
			.in_session = c->session[0],
		};
		struct policy_request request = {
			.action = c->action, .resource = SHOP, .context = &context.policy};
		struct policy_decision got = policy_decide(&sources, &request);

		check(got.verdict == c->verdict && got.source == c->source,
		      "case %u: %d by %d, not %d by %d", i, got.verdict, got.source, c->verdict,
		      c->source);
		check((got.verdict == POLICY_NOTHING) == !got.statement, "case %u", i);
		for (unsigned k = 0; k < ARRAY_SIZE(policies); k++)
			policy_free(policies[k]);
	}
}

/* ---- trust -------------------------------------------------------------------------------- */

struct trust_case {
	const char *principal; /* with its key */
	const char *more;      /* further members */
	const char *arn, *role_arn;
	enum trust_verdict verdict;
};

#define ANA "arn:aws:iam::123456789012:user/ana"
#define SESSION "arn:aws:sts::123456789012:assumed-role/deploy/s1"
#define ROLE "arn:aws:iam::123456789012:role/deploy"
#define NAMED TRUST_NAMED
#define ACCOUNT TRUST_ACCOUNT

/* clang-format off */
static const struct trust_case trust_cases[] = {
	{"'Principal': {'AWS': '" ANA "'}", "", ANA, NULL, NAMED},
	{"'Principal': {'AWS': '" ANA "'}", "", ANA "bel", NULL, TRUST_NOTHING},
	{"'Principal': {'AWS': ['arn:aws:iam::123456789012:user/x', '" ANA "']}", "", ANA, NULL, NAMED},
	{"'Principal': {'AWS': 'arn:aws:iam::123456789012:user/*'}", "", ANA, NULL, TRUST_NOTHING},
	{"'Principal': {'AWS': '123456789012'}", "", ANA, NULL, ACCOUNT},
	{"'Principal': {'AWS': 'arn:aws:iam::123456789012:root'}", "", ANA, NULL, ACCOUNT},
	{"'Principal': {'AWS': 'arn:aws:iam::123456789012:root'}", "", SESSION, ROLE, ACCOUNT},
	{"'Principal': {'AWS': 'arn:aws:iam::123456789012:root'}", "", "arn:aws:iam::123456789012:root", NULL, NAMED},
	{"'Principal': {'AWS': '999999999999'}", "", ANA, NULL, TRUST_NOTHING},
	{"'Principal': {'AWS': ['123456789012', '" ANA "']}", "", ANA, NULL, NAMED},
	{"'Principal': '*'", "", ANA, NULL, NAMED},
	{"'Principal': {'AWS': '*'}", "", ANA, NULL, NAMED},
	{"'Principal': {'AWS': '" ROLE "'}", "", SESSION, ROLE, NAMED},
	{"'Principal': {'AWS': '" SESSION "'}", "", SESSION, ROLE, NAMED},
	{"'Principal': {'AWS': '" SESSION "2'}", "", SESSION, ROLE, TRUST_NOTHING},
	{"'Principal': {'Service': 'ec2.amazonaws.com'}", "", ANA, NULL, TRUST_NOTHING},
	{"'Principal': {'Service': 'ec2.amazonaws.com', 'AWS': '" ANA "'}", "", ANA, NULL, NAMED},
	{"'Principal': {'Federated': '*'}", "", ANA, NULL, TRUST_NOTHING},
	{"'NotPrincipal': {'AWS': '" ANA "'}", "", ANA, NULL, TRUST_NOTHING},
	{"'NotPrincipal': {'AWS': 'arn:aws:iam::123456789012:user/x'}", "", ANA, NULL, NAMED},
	{"'NotPrincipal': {'AWS': '123456789012'}", "", ANA, NULL, TRUST_NOTHING},
	{"'Principal': {'AWS': '" ANA "'}", ", 'Condition': {'StringEquals': {'sts:ExternalId': 'x-17'}}", ANA, NULL, NAMED},
	{"'Principal': {'AWS': '" ANA "'}", ", 'Condition': {'StringEquals': {'sts:ExternalId': 'x-18'}}", ANA, NULL, TRUST_NOTHING},
	{"'Principal': {'AWS': '" ANA "'}", ", 'Condition': {'Bool': {'aws:MultiFactorAuthPresent': 'true'}}", ANA, NULL, TRUST_NOTHING},
};
/* clang-format on */

static enum trust_verdict trust_of(const char *document, const struct trust_case *c)
{
	CLEANUP(policy) struct policy *policy = read_policy(document, POLICY_TRUST);
	CLEANUP(context) struct context context;
	struct policy_request request = {
		.action = "sts:AssumeRole",
		.resource = "arn:aws:iam::123456789012:role/r",
		.principal_arn = c->arn,
		.principal_role_arn = c->role_arn,
		.principal_account = "123456789012",
		.context = &context.policy,
	};

	read_context(&context, "{'sts:ExternalId': 'x-17'}");
	return policy ? policy_trust(policy, &request) : (enum trust_verdict) - 1;
}

static void a_role_trusts_whom_its_policy_names(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(trust_cases); i++) {
		const struct trust_case *c = &trust_cases[i];
		CLEANUP(free) char *text = NULL;

		check(asprintf(&text, "{'Effect': 'Allow', 'Action': 'sts:AssumeRole', %s%s}",
			       c->principal, c->more) > 0);
		check(trust_of(text, c) == c->verdict, "%s for %s: %d", text, c->arn,
		      trust_of(text, c));
	}
	check(trust_of("[{'Effect': 'Allow', 'Action': 'sts:AssumeRole', 'Principal': '*'},"
		       "{'Effect': 'Deny', 'Action': 'sts:AssumeRole', 'Principal': {'AWS': '" ANA
		       "'}}]",
		       &trust_cases[0]) == TRUST_DENY);
	check(trust_of("{'Effect': 'Allow', 'Action': 'sts:TagSession', 'Principal': '*'}",
		       &trust_cases[0]) == TRUST_NOTHING);
}

/* ---- documents that are none -------------------------------------------------------------- */

#define SYNTAX "Syntax errors in policy."
#define VERSION "Policy document must be version 2012-10-17 or greater."
#define LEGACY "The policy failed legacy parsing"
#define NO_ACTIONS "Policy statement must contain actions."
#define NO_RESOURCES "Policy statement must contain resources."
#define NO_VENDOR "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
#define IAM_PATHS                                                                              \
	"IAM resource path must either be \"*\" or start with user/, federated-user/, role/, " \
	"group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, "            \
	"saml-provider/, oidc-provider/, report/, access-report/."
#define V12 "{'Version': '2012-10-17', 'Statement': "
#define GOOD "{'Effect': 'Allow', 'Action': 's3:ListBucket', 'Resource': 'arn:aws:s3:::b'}"
#define WITH(members)                                                     \
	V12 "{'Effect': 'Allow', 'Action': 's3:ListBucket', 'Resource': " \
	    "'arn:aws:s3:::b', " members "}}"
#define RESOURCE(r) V12 "{'Effect': 'Allow', 'Action': 's3:ListBucket', 'Resource': " r "}}"
#define ACTION(a) V12 "{'Effect': 'Allow', 'Action': " a ", 'Resource': '*'}}"
#define TRUST(members) V12 "{'Effect': 'Allow', " members "}}"
#define FOR_ANA "'Principal': {'AWS': '" ANA "'}"

struct malformed_case {
	enum policy_kind kind;
	const char *document;
	const char *message; /* NULL: it is fine */
};

#define I POLICY_IDENTITY
#define S POLICY_SESSION
#define T POLICY_TRUST

/* clang-format off */
static const struct malformed_case malformed_cases[] = {
	/* No JSON, or not of this shape. */
	{I, "", SYNTAX},
	{I, "This is no JSON", SYNTAX},
	{I, "[]", SYNTAX},
	{I, "{}", SYNTAX},
	{I, "{'Version': '2012-10-17'}", SYNTAX},
	{I, "{'Version': '2012-10-17', 'Statement': []}", SYNTAX},
	{I, "{'Version': '2012-10-17', 'Statement': ['a']}", SYNTAX},
	{I, "{'Version': '2012-10-17', 'Statement': 'a'}", SYNTAX},
	{I, "{'Version': '2013-10-17', 'Statement': " GOOD "}", SYNTAX},
	{I, "{'Version': 2012, 'Statement': " GOOD "}", SYNTAX},
	{I, V12 GOOD ", 'Extra': 1}", SYNTAX},
	{I, V12 GOOD ", 'Id': {}}", SYNTAX},
	{I, V12 GOOD ", 'Id': ['a']}", SYNTAX},
	{I, V12 GOOD "} trailing", SYNTAX},
	{I, WITH("'Extra': 'x'"), SYNTAX},
	{I, WITH("'NotAction': 's3:*'"), SYNTAX},
	{I, WITH("'NotResource': []"), SYNTAX},
	{I, WITH("'Sid': []"), SYNTAX},
	{I, WITH("'Sid': {}"), SYNTAX},
	{I, WITH("'Effect': 'Deny'"), SYNTAX}, /* twice */
	{I, WITH("'Condition': []"), SYNTAX},
	{I, WITH("'Condition': 'a'"), SYNTAX},
	{I, WITH("'Condition': {'a': 'b'}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': 'b'}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': []}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': {}}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': [[]]}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': null}}"), SYNTAX},
	{I, WITH("'Condition': {'stringlike': {'a': 'b'}}"), SYNTAX},
	{I, WITH("'Condition': {'StringSimilar': {'a': 'b'}}"), SYNTAX},
	{I, WITH("'Condition': {'NullIfExists': {'a': 'true'}}"), SYNTAX},
	{I, WITH("'Condition': {'ForAnyValue::StringLike': {'a': 'b'}}"), SYNTAX},
	{I, WITH("'Condition': {'ForSomeValues:StringLike': {'a': 'b'}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLikeIfExistsIfExists': {'a': 'b'}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': '${aws:username'}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': '${}'}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': '${aws:username, x}'}}"), SYNTAX},
	{I, WITH("'Condition': {'StringLike': {'a': '\\u0001'}}"), SYNTAX},
	{I, WITH("'Principal': 'ana'"), SYNTAX},
	{I, WITH("'Principal': {'Who': 'ana'}"), SYNTAX},
	{I, V12 "{'Action': 's3:ListBucket', 'Resource': '*'}}", SYNTAX},
	{I, V12 "{'Effect': 'invalid', 'Action': 's3:ListBucket', 'Resource': '*'}}", SYNTAX},
	{I, V12 "{'Effect': 1, 'Action': 's3:ListBucket', 'Resource': '*'}}", SYNTAX},
	{I, ACTION("[[]]"), SYNTAX},
	{I, ACTION("{}"), SYNTAX},
	{I, RESOURCE("{'a': 'arn:aws:s3:::b'}"), SYNTAX},
	{I, RESOURCE("['adf', {}]"), SYNTAX},
	{I, RESOURCE("'arn:aws:s3:::${aws:username'"), SYNTAX},

	/* The version. */
	{I, "{'Statement': " GOOD "}", VERSION},
	{I, "{'Version': '2008-10-17', 'Statement': " GOOD "}", VERSION},
	{I, "{'Version': '2008-10-17', 'Statement': {'Effect': 'denY', 'Action': 's3:ListBucket', 'Resource': '*'}}", VERSION},
	{S, "{'Statement': " GOOD "}", NULL},
	{S, "{'Version': '2008-10-17', 'Statement': " GOOD "}", NULL},
	{T, "{'Version': '2008-10-17', 'Statement': {'Effect': 'Allow', 'Action': 'sts:AssumeRole', " FOR_ANA "}}", NULL},

	/* What the parser of old cannot read comes before all that follows. */
	{I, V12 "{'Effect': 'allow', 'Action': 's3:ListBucket', 'Resource': '*'}}", LEGACY},
	{I, V12 "{'Effect': 'allow', 'Resource': 'arn:aws:s3:us-east-1::b'}}", LEGACY},
	{I, WITH("'Condition': {'DateGreaterThan': {'a': 'sdfdsf'}}"), LEGACY},
	{I, WITH("'Condition': {'DateGreaterThan': {'a': ['2026-01-01', 'x']}}"), LEGACY},
	{I, WITH("'Condition': {'DateLessThanEquals': {'a': '234-13'}}"), LEGACY},
	{I, WITH("'Condition': {'DateLessThanEquals': {'a': '2016-12-13t2:00:00.593194+1'}}"), LEGACY},
	{I, WITH("'Condition': {'DateLessThanEquals': {'a': '2016-12-13t2:00:00.1999999999+10:59'}}"), LEGACY},
	{I, WITH("'Condition': {'DateLessThan': {'a': '9223372036854775808'}}"), LEGACY},
	{I, WITH("'Condition': {'DateLessThan': {'a': true}}"), LEGACY},
	{I, V12 "{'Effect': 'Allow', 'Condition': {'DateGreaterThan': {'a': 'x'}}}}", LEGACY},
	{I, RESOURCE("'arn:aws:s3::b'"), LEGACY},
	{I, RESOURCE("'arn:aws::fdsasf'"), LEGACY},
	{I, RESOURCE("'arn:aws::::b'"), LEGACY},
	{I, V12 "{'Effect': 'Allow', 'Action': 's3:ListBucket', 'NotResource': 'arn:aws:s3::b'}}", LEGACY},
	{I, V12 "{'Effect': 'Allow', 'Resource': 'arn:aws:s3::b'}}", LEGACY},

	/* Statement IDs, before actions, before resources. */
	{I, V12 "[{'Sid': 'a', 'Effect': 'Allow', 'Action': 's3:ListBucket', 'Resource': '*'}, {'Sid': 'a', 'Effect': 'Allow'}]}", "Statement IDs (SID) in a single policy must be unique."},
	{I, V12 "{'Effect': 'Allow'}}", NO_ACTIONS},
	{I, V12 "{'Effect': 'Allow', 'Resource': '*'}}", NO_ACTIONS},
	{I, ACTION("[]"), NO_ACTIONS},
	{I, V12 "[{'Effect': 'Deny'}, " GOOD "]}", NO_ACTIONS},
	{I, V12 "{'Effect': 'Allow', 'Resource': 'x'}}", NO_ACTIONS},

	{I, RESOURCE("'invalid resource'"), "Resource invalid resource must be in ARN format or \"*\"."},
	{I, RESOURCE("''"), "Resource  must be in ARN format or \"*\"."},
	{I, RESOURCE("['adf']"), "Resource adf must be in ARN format or \"*\"."},
	{I, RESOURCE("['*', 'adf']"), "Resource adf must be in ARN format or \"*\"."},
	{I, V12 "{'Effect': 'Allow', 'Action': 's:3:x', 'Resource': 'sdf'}}", "Resource sdf must be in ARN format or \"*\"."},
	{I, RESOURCE("'a:bsd'"), "Partition \"bsd\" is not valid for resource \"arn:bsd:*:*:*:*\"."},
	{I, RESOURCE("'a:b:cad'"), "Partition \"b\" is not valid for resource \"arn:b:cad:*:*:*\"."},
	{I, RESOURCE("'a:b:c:d:e:f:g:h'"), "Partition \"b\" is not valid for resource \"arn:b:c:d:e:f:g:h\"."},
	{I, RESOURCE("'aws:s3:::b'"), "Partition \"s3\" is not valid for resource \"arn:s3:::b:*\"."},
	{I, RESOURCE("['arn:error:s3:::b', 'arn:error:s3::b']"), "Partition \"error\" is not valid for resource \"arn:error:s3:::b\"."},
	{I, RESOURCE("'arn:aws'"), "Resource vendor must be fully qualified and cannot contain regexes."},
	{I, RESOURCE("'arn:aws:iam:us-east-1::user/a'"), "IAM resource arn:aws:iam:us-east-1::user/a cannot contain region information."},
	{I, RESOURCE("'arn:aws:s3:us-east-1::b'"), "Resource arn:aws:s3:us-east-1::b can not contain region information."},
	{I, RESOURCE("'arn:aws:iam:::b'"), IAM_PATHS},
	{I, RESOURCE("'arn:aws:iam::123456789012:users/a'"), IAM_PATHS},

	{I, ACTION("'invalid'"), NO_VENDOR},
	{I, ACTION("''"), NO_VENDOR},
	{I, ACTION("['s3:*', 'invalid']"), NO_VENDOR},
	{I, V12 "{'Effect': 'Allow', 'NotAction': '', 'Resource': '*'}}", NO_VENDOR},
	{I, V12 "{'Effect': 'Allow', 'Action': 'invalid'}}", NO_VENDOR},
	{I, ACTION("'a a:ListBucket'"), "Vendor a a is not valid"},
	{I, ACTION("'s3*:ListBucket'"), "Vendor s3* is not valid"},
	{I, ACTION("'s3:List:Bucket'"), "Actions/Condition can contain only one colon."},
	{I, V12 "{'Effect': 'Allow', 'Action': 's3:ListBucket'}}", NO_RESOURCES},
	{I, RESOURCE("[]"), NO_RESOURCES},
	{I, WITH(FOR_ANA), "Policy document should not specify a principal."},
	{S, WITH("'NotPrincipal': '*'"), "Policy document should not specify a principal."},

	/* Trust. */
	{T, TRUST("'Action': 'sts:AssumeRole', " FOR_ANA), NULL},
	{T, TRUST("'Action': ['sts:AssumeRole', 'sts:TagSession'], " FOR_ANA), NULL},
	{T, TRUST("'Action': 'sts:AssumeRole', 'Principal': {'Service': ['ec2.amazonaws.com']}"), NULL},
	{T, TRUST("'Action': 'sts:BadAssumeRole', " FOR_ANA), "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"},
	{T, TRUST("'Action': 'sts:AssumeRole', 'Resource': '*', " FOR_ANA), "Has prohibited field Resource."},
	{T, TRUST("'Action': 'sts:AssumeRole'"), "Missing required field Principal"},
	{T, TRUST("'Action': 'sts:AssumeRole', 'Principal': {'AWS': 'ana'}"), "Invalid principal in policy"},
	{T, TRUST("'Action': 'sts:AssumeRole', 'Principal': {'AWS': []}"), SYNTAX},
	{T, TRUST("'Action': 'sts:AssumeRole', 'Principal': {}"), SYNTAX},

	/* Strange, and fine. */
	{I, V12 GOOD "}", NULL},
	{I, V12 "[" GOOD "]}", NULL},
	{I, V12 GOOD ", 'Id': 'x'}", NULL},
	{I, ACTION("'iam: asdf safdsf af '"), NULL},
	{I, ACTION("'aaaaa:ListBucket'"), NULL},
	{I, ACTION("'s3-s:ListBucket'"), NULL},
	{I, ACTION("'s3.s:ListBucket'"), NULL},
	{I, RESOURCE("'arn:aws:fdsasf'"), NULL},
	{I, RESOURCE("'arn:aws:s33:::b'"), NULL},
	{I, RESOURCE("'arn:aws:cloudwatch:us-east-1::b'"), NULL},
	{I, RESOURCE("'arn:aws:iam::*:user/${aws:username}'"), NULL},
	{I, RESOURCE("'arn:aws:iam::123456789012:*'"), NULL},
	{I, RESOURCE("'arn:aws:s3:us-west-2:123456789012:accesspoint/ap/object/*'"), NULL},
	{I, WITH("'Condition': {}"), NULL},
	{I, WITH("'Condition': {'a': {}}"), NULL},
	{I, WITH("'Condition': {'DateGreaterThan': {}}"), NULL},
	{I, WITH("'Condition': {'DateGreaterThan': {'a': []}}"), NULL},
	{I, WITH("'Condition': {'DateGreaterThan': {'a': '01T'}}"), NULL},
	{I, WITH("'Condition': {'DateLessThanEquals': {'a': '2016-12-13t2:00:00.593194+23'}}"), NULL},
	{I, WITH("'Condition': {'DateLessThan': {'a': '-292275054'}}"), NULL},
	{I, WITH("'Condition': {'ForAllValues:Bool': {'kms:GrantIsForAWSResource': false}}"), NULL},
	{I, V12 "[{'Sid': '', 'Effect': 'Allow', 'Action': 'rds:*', 'Resource': '*'}, {'Sid': '', 'Effect': 'Allow', 'Action': 'iam:*', 'Resource': '*'}]}", NULL},
};
/* clang-format on */

static void what_is_no_policy_is_refused_in_the_words_of_iam(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(malformed_cases); i++) {
		const struct malformed_case *c = &malformed_cases[i];
		CLEANUP(free) char *json = quoted(c->document);
		CLEANUP(policy) struct policy *policy = NULL;
		struct problem why = {""};
		int r = policy_parse(json, c->kind, &policy, &why);

		if (!c->message) {
			check(r == 0 && policy, "%s: '%s'", c->document, why.text);
			continue;
		}
		check(r == -EINVAL && !policy, "%s", c->document);
		check(!strcmp(why.text, c->message), "%s: '%s', not '%s'", c->document, why.text,
		      c->message);
	}
}

/* ---- the rest ----------------------------------------------------------------------------- */

static void dates_are_read_as_what_they_are(void)
{
	static const struct {
		const char *text;
		int64_t seconds;
		int32_t nanoseconds;
	} good[] = {
		{"1970-01-01", 0, 0},
		{"1970-01-01T00:00:01Z", 1, 0},
		{"2026-11-27T14:00:00Z", 1795788000, 0},
		{"2026-11-27T14:00:00.25Z", 1795788000, 250000000},
		{"2026-11-27T14:00:00+01:00", 1795784400, 0},
		{"2026-11-27T14:00-05:30", 1795807800, 0},
		{"2024-02-29", 1709164800, 0},
		{"2000-03-01", 951868800, 0},
		{"1969-12-31T23:59:59Z", -1, 0},
		{"0001-01-01", -62135596800, 0},
		{"2026-11", 1793491200, 0},
		{"2026T", 1767225600, 0},
		{"2026", 2026, 0},
		{"0", 0, 0},
		{"9223372036854775807", INT64_MAX, 0},
	};
	static const char *const bad[] = {"",
					  "x",
					  "2026-13",
					  "2026-00-01",
					  "2026-01-32",
					  "2026-01-01T24",
					  "2026-01-01T10:60Z",
					  "2026-01-01T10:00:00Zz",
					  "2026-01-01T10:00:00.Z",
					  "2026-01-01-01",
					  "+5",
					  " 5",
					  "-"};

	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		struct policy_date date = {-7, -7};

		check(policy_date_parse(good[i].text, &date), "%s", good[i].text);
		check(date.seconds == good[i].seconds && date.nanoseconds == good[i].nanoseconds,
		      "%s: %lld", good[i].text, (long long)date.seconds);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct policy_date date = {-7, -7};

		check(!policy_date_parse(bad[i], &date) && date.seconds == -7, "%s", bad[i]);
	}
}

static void add_key(const char *key, void *arg)
{
	char *all = arg;

	strcat(all, key);
	strcat(all, " ");
}

static void the_keys_that_a_policy_looks_at_are_known(void)
{
	CLEANUP(policy)
	struct policy *policy = read_policy(
		"{'Effect': 'Allow', 'Action': '*', 'Resource': "
		"'arn:aws:s3:::${aws:username}/${aws:PrincipalTag/team, `x`}', 'Condition': "
		"{'StringLike': {'aws:UserAgent': ['a', '${aws:userid}*']}, 'Bool': "
		"{'aws:SecureTransport': true}}}",
		POLICY_IDENTITY);
	char all[512] = "";

	require(policy);
	policy_keys(policy, add_key, all);
	check(!strcmp(all, "aws:username aws:PrincipalTag/team aws:UserAgent aws:userid "
			   "aws:SecureTransport "),
	      "%s", all);
}

static void white_space_does_not_count_as_length(void)
{
	check(policy_text_size("") == 0);
	check(policy_text_size(" { \"a\" :\n\t\"b c\"\r} ") == 10);
}

int main(void)
{
	RUN(actions_and_resources_match_as_written);
	RUN(variables_take_their_values_from_the_request);
	RUN(policies_of_2008_have_no_variables);
	RUN(conditions_hold_for_what_they_describe);
	RUN(an_explicit_deny_wins_and_every_source_must_allow);
	RUN(a_role_trusts_whom_its_policy_names);
	RUN(what_is_no_policy_is_refused_in_the_words_of_iam);
	RUN(dates_are_read_as_what_they_are);
	RUN(the_keys_that_a_policy_looks_at_are_known);
	RUN(white_space_does_not_count_as_length);
	return tap_done();
}
