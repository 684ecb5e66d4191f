#include "identity/policy_check.h"
#include "base/cleanup.h"
#include "identity/date.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define RESOURCE_SIZE_MAX 2048

static int syntax(struct problem *why)
{
	return problem(why, -EINVAL, "Syntax errors in policy.");
}

static int legacy(struct problem *why)
{
	return problem(why, -EINVAL, "The policy failed legacy parsing");
}

const json_t *policy_statement_json(const json_t *document, size_t n)
{
	const json_t *statements = json_object_get(document, "Statement");

	if (json_is_array(statements))
		return json_array_get(statements, n);
	return n == 0 ? statements : NULL;
}

#define for_each_statement(document, statement) \
	for (size_t n_ = 0; ((statement) = policy_statement_json((document), n_)); n_++)

static bool is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++) {
		if (!strcmp(text, *list))
			return true;
	}
	return false;
}

static bool has_only(const json_t *object, const char *const *members)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		if (!is_one_of(key, members))
			return false;
	}
	return true;
}

/* Not there, a text, or a list of texts.  IAM takes null in a list, and makes nothing of it. */
static bool is_texts(const json_t *value)
{
	size_t i;
	json_t *item;

	if (!value || json_is_string(value))
		return true;
	if (!json_is_array(value))
		return false;
	json_array_foreach (value, i, item) {
		if (!json_is_string(item) && !json_is_null(item))
			return false;
	}
	return true;
}

static bool is_scalar(const json_t *value)
{
	return json_is_string(value) || json_is_boolean(value) || json_is_number(value);
}

static bool is_scalars(const json_t *value)
{
	size_t i;
	json_t *item;

	if (is_scalar(value))
		return true;
	if (!json_is_array(value))
		return false;
	json_array_foreach (value, i, item) {
		if (!is_scalar(item))
			return false;
	}
	return true;
}

/* {"StringLike": {"aws:username": "a*"}, ...} */
static bool is_condition(const json_t *condition)
{
	struct condition_operator how;
	const char *name, *key;
	json_t *block, *values;

	if (!condition)
		return true;
	if (!json_is_object(condition))
		return false;
	json_object_foreach ((json_t *)condition, name, block) {
		if (!json_is_object(block))
			return false;
		/* An unknown operator with nothing in it does no harm, and IAM takes it. */
		if (json_object_size(block) && !condition_operator_parse(name, &how))
			return false;
		json_object_foreach (block, key, values) {
			if (!is_scalars(values))
				return false;
		}
	}
	return true;
}

/* "*", or {"AWS": "..." or a list, "Service": ...} */
static bool is_principal(const json_t *principal)
{
	static const char *const kinds[] = {"AWS", "Service", "Federated", "CanonicalUser", NULL};
	const char *kind;
	json_t *names;

	if (!principal)
		return true;
	if (json_is_string(principal))
		return !strcmp(json_string_value(principal), "*");
	if (!json_is_object(principal) || !has_only(principal, kinds))
		return false;
	json_object_foreach ((json_t *)principal, kind, names) {
		if (!is_texts(names) || (json_is_array(names) && !json_array_size(names)))
			return false;
	}
	return json_object_size(principal) > 0;
}

static bool has_both(const json_t *statement, const char *a, const char *b)
{
	return json_object_get(statement, a) && json_object_get(statement, b);
}

static bool is_statement(const json_t *statement)
{
	static const char *const members[] = {"Sid",       "Effect",    "Principal", "NotPrincipal",
					      "Action",    "NotAction", "Resource",  "NotResource",
					      "Condition", NULL};
	const json_t *sid = json_object_get(statement, "Sid");
	const char *effect = json_string_value(json_object_get(statement, "Effect"));

	if (!json_is_object(statement) || !has_only(statement, members))
		return false;
	if (has_both(statement, "Action", "NotAction") ||
	    has_both(statement, "Resource", "NotResource") ||
	    has_both(statement, "Principal", "NotPrincipal"))
		return false;
	/* "allow" is known here, and refused later: IAM's own words for it. */
	if (!effect || (strcasecmp(effect, "Allow") && strcasecmp(effect, "Deny")))
		return false;
	return is_texts(json_object_get(statement, "Action")) &&
	       is_texts(json_object_get(statement, "NotAction")) &&
	       is_texts(json_object_get(statement, "Resource")) &&
	       is_texts(json_object_get(statement, "NotResource")) &&
	       is_principal(json_object_get(statement, "Principal")) &&
	       is_principal(json_object_get(statement, "NotPrincipal")) &&
	       is_condition(json_object_get(statement, "Condition")) &&
	       (!sid || json_is_string(sid));
}

static bool is_document(const json_t *document)
{
	static const char *const members[] = {"Version", "Id", "Statement", NULL};
	static const char *const versions[] = {"2008-10-17", "2012-10-17", NULL};
	const json_t *version = json_object_get(document, "Version");
	const json_t *id = json_object_get(document, "Id");
	const json_t *statement;

	if (!json_is_object(document) || !has_only(document, members))
		return false;
	if (version &&
	    (!json_is_string(version) || !is_one_of(json_string_value(version), versions)))
		return false;
	if ((id && !json_is_string(id)) || !policy_statement_json(document, 0))
		return false;
	for_each_statement(document, statement)
	{
		if (!is_statement(statement))
			return false;
	}
	return true;
}

/* The n-th text of a member that is a text or a list of texts; NULL behind the last. */
static const char *text_of(const json_t *statement, const char *member, size_t n)
{
	const json_t *value = json_object_get(statement, member);

	if (!json_is_array(value))
		return n == 0 ? json_string_value(value) : NULL;
	if (n >= json_array_size(value))
		return NULL;
	/* Null is skipped by all: as empty as "*" is full. */
	return json_is_null(json_array_get(value, n)) ? "*"
						      : json_string_value(json_array_get(value, n));
}

static bool are_dates(const json_t *values)
{
	struct policy_date date;
	size_t i;
	json_t *item;

	if (json_is_string(values))
		return policy_date_parse(json_string_value(values), &date);
	json_array_foreach (values, i, item) {
		if (!are_dates(item))
			return false;
	}
	return json_is_array(values) || json_is_integer(values);
}

static bool has_good_dates(const json_t *statement)
{
	struct condition_operator how;
	const char *name, *key;
	json_t *block, *values;

	json_object_foreach (json_object_get(statement, "Condition"), name, block) {
		if (!condition_operator_parse(name, &how) || how.type != CONDITION_DATE)
			continue;
		json_object_foreach (block, key, values) {
			if (!are_dates(values))
				return false;
		}
	}
	return true;
}

/* What the parser of old could not read, whatever it is for. */
static int check_legacy(const json_t *document, struct problem *why)
{
	const json_t *statement;

	for_each_statement(document, statement)
	{
		const char *effect = json_string_value(json_object_get(statement, "Effect"));

		if ((strcmp(effect, "Allow") && strcmp(effect, "Deny")) ||
		    !has_good_dates(statement))
			return legacy(why);
	}
	return 0;
}

/* The n-th part of an ARN with "*" for what is not there: "arn:b" is "arn:b:*:*:*:*". */
static int wrong_partition(const char *partition, int size, const char *rest, struct problem *why)
{
	const char *parts[4] = {"*", "*", "*", "*"};
	int sizes[4] = {1, 1, 1, 1};

	for (int i = 0; i < 4 && rest; i++) {
		const char *end = i < 3 ? strchrnul(rest, ':') : rest + strlen(rest);

		if (i == 0 && end == rest && !*end)
			break;
		parts[i] = rest;
		sizes[i] = (int)(end - rest);
		rest = *end ? end + 1 : NULL;
	}
	return problem(
		why, -EINVAL,
		"Partition \"%.*s\" is not valid for resource \"arn:%.*s:%.*s:%.*s:%.*s:%.*s\".",
		size, partition, size, partition, sizes[0], parts[0], sizes[1], parts[1], sizes[2],
		parts[2], sizes[3], parts[3]);
}

static bool is_partition(const char *text, size_t size)
{
	static const char *const partitions[] = {"*",        "aws",       "aws-cn",    "aws-us-gov",
						 "aws-iso",  "aws-iso-b", "aws-iso-e", "aws-iso-f",
						 "aws-eusc", NULL};

	for (const char *const *at = partitions; *at; at++) {
		if (strlen(*at) == size && !memcmp(*at, text, size))
			return true;
	}
	return false;
}

#define IAM_PATHS                                                                               \
	"user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, " \
	"policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/"

/* Whether `id` begins with one of IAM_PATHS. */
static bool has_iam_path(const char *id)
{
	for (const char *at = IAM_PATHS; *at;) {
		size_t size = strcspn(at, ",");

		if (!strncmp(id, at, size))
			return true;
		at += size;
		at += strspn(at, ", ");
	}
	return false;
}

/* Behind "arn:aws:": service, region, account, and the rest. */
static int check_service(const char *resource, const char *service, struct problem *why)
{
	const char *region = strchrnul(service, ':'), *account, *id;
	bool is_iam = !strncmp(service, "iam:", 4), is_s3 = !strncmp(service, "s3:", 3);

	if (!is_iam && !is_s3)
		return 0;
	region++;
	account = strchrnul(region, ':');
	id = *account ? strchrnul(account + 1, ':') : account;
	id += *id != 0;
	if (is_iam && *region != ':')
		return problem(why, -EINVAL, "IAM resource %s cannot contain region information.",
			       resource);
	if (is_s3 && *region != ':' && strncmp(id, "accesspoint/", 12))
		return problem(why, -EINVAL, "Resource %s can not contain region information.",
			       resource);
	if (is_iam && strcmp(id, "*") && !has_iam_path(id))
		return problem(why, -EINVAL,
			       "IAM resource path must either be \"*\" or start with " IAM_PATHS
			       ".");
	return 0;
}

static int check_resource(const char *resource, struct problem *why)
{
	const char *partition, *end;

	if (!strcmp(resource, "*"))
		return 0;
	if (strlen(resource) > RESOURCE_SIZE_MAX)
		return problem(why, -EINVAL,
			       "Resource %.40s... is too long: more than %d characters.", resource,
			       RESOURCE_SIZE_MAX);
	if (!strchr(resource, ':'))
		return problem(why, -EINVAL, "Resource %.400s must be in ARN format or \"*\".",
			       resource);
	partition = strchr(resource, ':') + 1;
	end = strchrnul(partition, ':');
	if (!is_partition(partition, end - partition))
		return wrong_partition(partition, (int)(end - partition), *end ? end + 1 : NULL,
				       why);
	if (!*end)
		return problem(why, -EINVAL,
			       "Resource vendor must be fully qualified and cannot contain "
			       "regexes.");
	return check_service(resource, end + 1, why);
}

/* Six parts, unless none of them is empty; and a service. */
static bool is_legacy_resource(const char *resource)
{
	unsigned colons = 0;
	const char *service;

	if (!strcmp(resource, "*"))
		return true;
	for (const char *at = resource; *at; at++)
		colons += *at == ':';
	if (colons < 5 && strstr(resource, "::"))
		return false;
	service = strchr(strchr(resource, ':') + 1, ':') + 1;
	return *service && *service != ':';
}

/*
 * Resources.  A resource that is none is reported only after the checks that follow, but one that
 * the old parser could not read at once: `ret_late` is that first one.
 */
static int check_resources(const json_t *document, struct problem *late, struct problem *why)
{
	static const char *const members[] = {"Resource", "NotResource"};
	const json_t *statement;
	const char *resource;

	late->text[0] = 0;
	for_each_statement(document, statement)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(members); i++) {
			for (size_t n = 0; (resource = text_of(statement, members[i], n)); n++) {
				if (!late->text[0])
					check_resource(resource, late);
				if (!late->text[0] && !is_legacy_resource(resource))
					return legacy(why);
			}
		}
	}
	return 0;
}

static const char *sid_of(const json_t *document, size_t n)
{
	return json_string_value(json_object_get(policy_statement_json(document, n), "Sid"));
}

static int check_sids(const json_t *document, struct problem *why)
{
	for (size_t n = 0; policy_statement_json(document, n); n++) {
		const char *sid = sid_of(document, n);

		for (size_t k = 0; sid && *sid && k < n; k++) {
			const char *other = sid_of(document, k);

			if (other && !strcmp(sid, other))
				return problem(why, -EINVAL,
					       "Statement IDs (SID) in a single policy must be "
					       "unique.");
		}
	}
	return 0;
}

static bool has_any(const json_t *statement, const char *member, const char *negated)
{
	return text_of(statement, member, 0) || text_of(statement, negated, 0);
}

static int check_action(const char *action, struct problem *why)
{
	const char *colon = strchr(action, ':');

	if (!strcmp(action, "*"))
		return 0;
	if (!colon)
		return problem(why, -EINVAL,
			       "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, "
			       "ec2, etc.");
	if (strchr(colon + 1, ':'))
		return problem(why, -EINVAL, "Actions/Condition can contain only one colon.");
	for (const char *at = action; at < colon; at++) {
		bool all = colon == action + 1 && *at == '*';

		if (!all && !isalnum((unsigned char)*at) && *at != '-' && *at != '.')
			return problem(why, -EINVAL, "Vendor %.*s is not valid",
				       (int)MIN(colon - action, 400), action);
	}
	return 0;
}

static int check_actions(const json_t *document, const char *member, struct problem *why)
{
	const json_t *statement;
	const char *action;
	int r;

	for_each_statement(document, statement)
	{
		for (size_t n = 0; (action = text_of(statement, member, n)); n++) {
			r = check_action(action, why);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int check_identity(const json_t *statement, struct problem *why)
{
	if (!has_any(statement, "Resource", "NotResource"))
		return problem(why, -EINVAL, "Policy statement must contain resources.");
	if (json_object_get(statement, "Principal") || json_object_get(statement, "NotPrincipal"))
		return problem(why, -EINVAL, "Policy document should not specify a principal.");
	return 0;
}

static int check_trust_action(const char *action, struct problem *why)
{
	static const char *const actions[] = {"sts:AssumeRole",
					      "sts:AssumeRoleWithSAML",
					      "sts:AssumeRoleWithWebIdentity",
					      "sts:DecodeAuthorizationMessage",
					      "sts:GetAccessKeyInfo",
					      "sts:GetCallerIdentity",
					      "sts:GetFederationToken",
					      "sts:GetServiceBearerToken",
					      "sts:GetSessionToken",
					      "sts:SetSourceIdentity",
					      "sts:TagSession",
					      "sts:*",
					      "*",
					      NULL};

	if (is_one_of(action, actions))
		return 0;
	return problem(why, -EINVAL,
		       "Trust Policy statement actions can only be sts:AssumeRole, "
		       "sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity");
}

/* "*", an account, or an ARN: what else cannot be anybody. */
static bool are_principals(const json_t *statement, const char *member)
{
	const json_t *principal = json_object_get(statement, member);
	const char *name;

	if (!json_is_object(principal))
		return true;
	for (size_t n = 0; (name = text_of(principal, "AWS", n)); n++) {
		bool digits = strlen(name) == 12 && strspn(name, "0123456789") == 12;

		if (strcmp(name, "*") && !digits && strncmp(name, "arn:", 4))
			return false;
	}
	return true;
}

static int check_trust(const json_t *statement, struct problem *why)
{
	const char *action;
	int r;

	for (size_t n = 0; (action = text_of(statement, "Action", n)); n++) {
		r = check_trust_action(action, why);
		if (r < 0)
			return r;
	}
	if (json_object_get(statement, "Resource") || json_object_get(statement, "NotResource"))
		return problem(why, -EINVAL, "Has prohibited field Resource.");
	if (!json_object_get(statement, "Principal") && !json_object_get(statement, "NotPrincipal"))
		return problem(why, -EINVAL, "Missing required field Principal");
	if (!are_principals(statement, "Principal") || !are_principals(statement, "NotPrincipal"))
		return problem(why, -EINVAL, "Invalid principal in policy");
	return 0;
}

static int check_kind(const json_t *document, enum policy_kind kind, struct problem *why)
{
	const json_t *statement;
	int r;

	for_each_statement(document, statement)
	{
		r = kind == POLICY_TRUST ? check_trust(statement, why)
					 : check_identity(statement, why);
		if (r < 0)
			return r;
	}
	return 0;
}

int policy_check(const json_t *document, enum policy_kind kind, struct problem *why)
{
	const json_t *version = json_object_get(document, "Version"), *statement;
	struct problem late;
	int r;

	if (!is_document(document))
		return syntax(why);
	if (kind == POLICY_IDENTITY &&
	    (!version || strcmp(json_string_value(version), "2012-10-17")))
		return problem(why, -EINVAL,
			       "Policy document must be version 2012-10-17 or greater.");
	r = check_legacy(document, why);
	if (r < 0)
		return r;
	r = check_resources(document, &late, why);
	if (r < 0)
		return r;
	r = check_sids(document, why);
	if (r < 0)
		return r;
	for_each_statement(document, statement)
	{
		if (!has_any(statement, "Action", "NotAction"))
			return problem(why, -EINVAL, "Policy statement must contain actions.");
	}
	if (late.text[0])
		return problem(why, -EINVAL, "%s", late.text);
	r = check_actions(document, "Action", why);
	if (r < 0)
		return r;
	r = check_actions(document, "NotAction", why);
	if (r < 0)
		return r;
	return check_kind(document, kind, why);
}
