/*
 * STS: who am I, and temporary credentials.
 *
 * AssumeRole asks two sides.  The role's trust policy must let the caller in; where it trusts his
 * account, and not himself, or the role is another account's, his own policies must allow it as
 * well.
 */
#include "identity/sts.h"

#include "aws/tags.h"
#include "base/alloc.h"
#include "identity/iam.h"
#include "identity/identity.h"
#include "identity/principal.h"
#include "identity/session.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define SECOND_US 1000000
#define ASSUME_ROLE_S 3600
#define CHAINED_S 3600
#define SESSION_TOKEN_S 43200
#define ROOT_SESSION_S 3600

static int64_t duration_s(const struct aws_call *call, int64_t otherwise)
{
	const json_t *given = json_object_get(call->input, "DurationSeconds");

	return json_is_integer(given) ? json_integer_value(given) : otherwise;
}

static json_t *new_claims(const struct aws_call *call, const char *kind, const char *account,
			  int64_t seconds)
{
	return json_pack("{s:s, s:s, s:I, s:I}", "Kind", kind, "Account", account, "Issued",
			 (json_int_t)call->now_us, "Expires",
			 (json_int_t)(call->now_us / SECOND_US + seconds) * SECOND_US);
}

/* The call's Policy and PolicyArns, as the session's. */
static int add_policies(struct identity *identity, struct aws_call *call, json_t *claims)
{
	CLEANUP(policy) struct policy *policy = NULL;
	const char *text = iam_text(call, "Policy");
	json_t *arns = json_array(), *item;
	struct problem why;
	size_t i;

	json_object_set_new(claims, "PolicyArns", arns);
	json_array_foreach (json_object_get(call->input, "PolicyArns"), i, item) {
		json_t *arn = json_object_get(item, "arn");

		if (!iam_find_policy(identity, call, json_string_value(arn)))
			return aws_fault(call, "ValidationError",
					 "PolicyArns: there is no policy %s",
					 json_is_string(arn) ? json_string_value(arn) : "");
		json_array_append(arns, arn);
	}
	if (!text)
		return 0;
	if (policy_parse(text, POLICY_SESSION, &policy, &why) < 0)
		return aws_fault(call, "MalformedPolicyDocument", "%s", why.text);
	json_object_set_new(claims, "Policies", json_pack("[s]", text));
	return 0;
}

/* The call's Tags, {"Key": "Value"}. */
static void add_tags(const struct aws_call *call, json_t *claims)
{
	json_t *tags = aws_tags_object(json_object_get(call->input, "Tags"));

	if (json_object_size(tags))
		json_object_set(claims, "Tags", tags);
	json_decref(tags);
}

/* {"Credentials": ...} of new credentials; how much of the room for policies they take besides. */
static int answer_session(struct identity *identity, struct aws_call *call, const json_t *claims,
			  json_t **ret)
{
	struct session_credentials new;
	double expires = whole_seconds(json_integer_value(json_object_get(claims, "Expires")));
	int r = session_make(identity, claims, &new);

	if (r == -E2BIG)
		return aws_fault(call, "PackedPolicyTooLarge",
				 "The session's policies and tags are too long: their token would "
				 "have more than %d characters",
				 SESSION_TOKEN_MAX);
	if (r < 0)
		return r;
	*ret = json_pack("{s:{s:s, s:s, s:s, s:f}}", "Credentials", "AccessKeyId",
			 new.access_key_id, "SecretAccessKey", new.secret, "SessionToken",
			 new.token, "Expiration", expires);
	OPENSSL_cleanse(new.secret, sizeof new.secret);
	free(new.token);
	return 0;
}

static void add_packed_size(const struct aws_call *call, const json_t *claims, json_t *answer)
{
	CLEANUP(free) char *text = NULL;

	if (!iam_text(call, "Policy") && !json_object_get(call->input, "PolicyArns") &&
	    !json_object_get(call->input, "Tags"))
		return;
	text = xcheck(json_dumps(claims, JSON_COMPACT));
	json_object_set_new(
		answer, "PackedPolicySize",
		json_integer((json_int_t)strlen(text) * 100 / (SESSION_TOKEN_MAX / 4 * 3)));
}

/* ---- AssumeRole --------------------------------------------------------------------------- */

/* The role of "arn:aws:iam::ACCOUNT:role/path/NAME"; NULL without one. */
static struct entity *find_role(const struct identity *identity, const char *arn)
{
	static const char prefix[] = "arn:aws:iam::";
	const char *name = strrchr(arn, '/');
	char account[AWS_ACCOUNT_SIZE];
	struct entity *role;

	if (strncmp(arn, prefix, sizeof prefix - 1) || !name ||
	    strlen(arn) < sizeof prefix - 1 + sizeof account)
		return NULL;
	memcpy(account, arn + sizeof prefix - 1, sizeof account - 1);
	account[sizeof account - 1] = 0;
	role = store_find(identity, ENTITY_ROLE, account, name + 1);
	return role && !strcmp(entity_text(role, "Arn"), arn) ? role : NULL;
}

static bool may_by_policies(const struct identity *identity, const struct who *who,
			    const struct policy_request *request, bool must_allow)
{
	CLEANUP(principal_policies) struct principal_policies policies = {0};
	struct policy_sources sources;
	struct policy_decision decision;

	principal_policies(identity, who, &policies);
	sources = principal_sources(&policies);
	decision = policy_decide(&sources, request);
	if (decision.verdict == POLICY_ALLOW)
		return true;
	/* Whom the role names needs no leave of his own policies, but boundaries and sessions bind
	 * him nevertheless. */
	return !must_allow && decision.verdict == POLICY_NOTHING &&
	       decision.source == POLICY_BY_IDENTITY && !sources.bounded && !sources.in_session;
}

static bool may_assume(const struct identity *identity, const struct aws_call *call,
		       const struct who *who, const struct entity *role, const char *action)
{
	CLEANUP(context) struct context context;
	struct policy_request request = {
		.action = action,
		.resource = entity_text(role, "Arn"),
		.principal_arn = call->caller.arn,
		.principal_role_arn =
			who->kind == PRINCIPAL_ROLE ? entity_text(who->party, "Arn") : NULL,
		.principal_account = call->caller.account,
		.context = &context.policy,
	};
	enum trust_verdict trust;
	bool foreign = strcmp(role->account, call->caller.account);

	context_init(&context, NULL);
	principal_context(who, call, &context);
	trust = role->trust ? policy_trust(role->trust, &request) : TRUST_NOTHING;
	if (trust != TRUST_ACCOUNT && trust != TRUST_NAMED)
		return false;
	return may_by_policies(identity, who, &request, foreign || trust == TRUST_ACCOUNT);
}

static int check_assume(struct identity *identity, struct aws_call *call, const char *arn,
			const struct entity *role)
{
	struct who who;
	bool may = principal_find(identity, &call->caller, &who) && role;

	/* Test suites are root, and their roles trust services. */
	if (may && identity->test && who.kind == PRINCIPAL_ROOT)
		return 0;
	may = may && may_assume(identity, call, &who, role, "sts:AssumeRole");
	if (may && json_array_size(json_object_get(call->input, "Tags")))
		may = may_assume(identity, call, &who, role, "sts:TagSession");
	if (may)
		return 0;
	/* Whether there is such a role is nobody's business who may not assume it. */
	return aws_fault(call, "AccessDenied",
			 "User: %s is not authorized to perform: sts:AssumeRole on resource: %s",
			 call->caller.arn, arn);
}

static int check_duration(struct identity *identity, struct aws_call *call,
			  const struct entity *role)
{
	int64_t seconds = duration_s(call, ASSUME_ROLE_S);
	struct who who;

	if (seconds > json_integer_value(json_object_get(role->data, "MaxSessionDuration")))
		return aws_fault(call, "ValidationError",
				 "The requested DurationSeconds exceeds the MaxSessionDuration set "
				 "for this role.");
	if (principal_find(identity, &call->caller, &who) && who.kind == PRINCIPAL_ROLE &&
	    seconds > CHAINED_S)
		return aws_fault(call, "ValidationError",
				 "The requested DurationSeconds exceeds the 1 hour session limit "
				 "for roles assumed by role chaining.");
	return 0;
}

static int answer_role(struct identity *identity, struct aws_call *call, const struct entity *role,
		       json_t *claims, json_t **ret)
{
	const char *name = iam_text(call, "RoleSessionName");
	CLEANUP(free) char *arn = NULL, *id = NULL;
	int r = add_policies(identity, call, claims);

	if (r < 0)
		return r;
	add_tags(call, claims);
	json_object_set_new(claims, "PartyId", json_string(role->id));
	json_object_set_new(claims, "Name", json_string(name));
	r = answer_session(identity, call, claims, ret);
	if (r < 0)
		return r;
	xcheck(asprintf(&arn, "arn:aws:sts::%s:assumed-role/%s/%s", role->account, role->name,
			name) < 0
		       ? NULL
		       : arn);
	xcheck(asprintf(&id, "%s:%s", role->id, name) < 0 ? NULL : id);
	json_object_set_new(*ret, "AssumedRoleUser",
			    json_pack("{s:s, s:s}", "AssumedRoleId", id, "Arn", arn));
	add_packed_size(call, claims, *ret);
	return 0;
}

static int assume_role(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *arn = iam_text(call, "RoleArn");
	const struct entity *role = find_role(identity, arn);
	json_t *claims;
	int r = check_assume(identity, call, arn, role);

	if (r < 0)
		return r;
	r = check_duration(identity, call, role);
	if (r < 0)
		return r;
	claims = new_claims(call, "role", role->account, duration_s(call, ASSUME_ROLE_S));
	r = answer_role(identity, call, role, claims, ret);
	json_decref(claims);
	return r;
}

/* ---- sessions of oneself ------------------------------------------------------------------ */

static int refuse_session(struct aws_call *call, const char *operation)
{
	return aws_fault(call, "AccessDenied", "Cannot call %s with session credentials",
			 operation);
}

static int get_session_token(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct who who;
	json_t *claims;
	int64_t seconds = duration_s(call, SESSION_TOKEN_S);
	int r;

	if (!principal_find(identity, &call->caller, &who) || who.session)
		return refuse_session(call, "GetSessionToken");
	if (!who.party && !json_object_get(call->input, "DurationSeconds"))
		seconds = ROOT_SESSION_S;
	claims = new_claims(call, who.party ? "user" : "root", call->caller.account, seconds);
	if (who.party)
		json_object_set_new(claims, "PartyId", json_string(who.party->id));
	r = answer_session(identity, call, claims, ret);
	json_decref(claims);
	return r;
}

static int answer_federated(struct identity *identity, struct aws_call *call, json_t *claims,
			    json_t **ret)
{
	const char *name = iam_text(call, "Name"), *account = call->caller.account;
	CLEANUP(free) char *arn = NULL, *id = NULL;
	int r = add_policies(identity, call, claims);

	if (r < 0)
		return r;
	add_tags(call, claims);
	json_object_set_new(claims, "Name", json_string(name));
	r = answer_session(identity, call, claims, ret);
	if (r < 0)
		return r;
	xcheck(asprintf(&arn, "arn:aws:sts::%s:federated-user/%s", account, name) < 0 ? NULL : arn);
	xcheck(asprintf(&id, "%s:%s", account, name) < 0 ? NULL : id);
	json_object_set_new(*ret, "FederatedUser",
			    json_pack("{s:s, s:s}", "FederatedUserId", id, "Arn", arn));
	add_packed_size(call, claims, *ret);
	return 0;
}

static int get_federation_token(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct who who;
	json_t *claims;
	int r;

	if (!principal_find(identity, &call->caller, &who) || who.session)
		return refuse_session(call, "GetFederationToken");
	claims = new_claims(call, "federated", call->caller.account,
			    duration_s(call, SESSION_TOKEN_S));
	/* What he may is at most what the user may who vouches for him. */
	if (who.party)
		json_object_set_new(claims, "PartyId", json_string(who.party->id));
	r = answer_federated(identity, call, claims, ret);
	json_decref(claims);
	return r;
}

static int get_caller_identity(struct identity *identity, struct aws_call *call, json_t **ret)
{
	*ret = json_pack("{s:s, s:s, s:s}", "UserId", call->caller.user_id, "Account",
			 call->caller.account, "Arn", call->caller.arn);
	return 0;
}

static int get_access_key_info(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *id = iam_text(call, "AccessKeyId");
	const struct entity *key = store_find(identity, ENTITY_KEY, "", id);
	const struct session *session = session_known(identity, id);

	if (!key && !session)
		return aws_fault(call, "ValidationError", "Invalid Access Key ID: %s", id);
	*ret = json_pack("{s:s}", "Account", key ? key->account : session->account);
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------- */

#define HANDLER(name, operation)                                                      \
	static int handle_##name(void *userdata, struct aws_call *call, json_t **ret) \
	{                                                                             \
		return iam_look(userdata, call, ret, operation);                      \
	}

/* clang-format off */
HANDLER(AssumeRole, assume_role)
HANDLER(GetAccessKeyInfo, get_access_key_info)
HANDLER(GetCallerIdentity, get_caller_identity)
HANDLER(GetFederationToken, get_federation_token)
HANDLER(GetSessionToken, get_session_token)
/* clang-format on */

/* For everybody who is known are those that ask by themselves, or tell nothing that he does not
 * know. */
const struct aws_handler sts_handlers[] = {
	{"AssumeRole", handle_AssumeRole, .for_all = true},
	{"GetAccessKeyInfo", handle_GetAccessKeyInfo, .quick = true},
	{"GetCallerIdentity", handle_GetCallerIdentity, .quick = true, .for_all = true},
	{"GetFederationToken", handle_GetFederationToken, .quick = true},
	{"GetSessionToken", handle_GetSessionToken, .quick = true, .for_all = true},
	{NULL},
};
