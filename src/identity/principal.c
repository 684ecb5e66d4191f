#include "identity/principal.h"
#include "aws/tags.h"
#include "aws/text.h"
#include "base/alloc.h"
#include "identity/session.h"

#include <inttypes.h>
#include <string.h>

#define TEST_KEY "FOOBARKEY"
#define TEST_ACCOUNT "123456789012"

const char *principal_test_account(const char *access_key_id)
{
	if (!strcmp(access_key_id, TEST_KEY))
		return TEST_ACCOUNT;
	if (strlen(access_key_id) == 12 && strspn(access_key_id, "0123456789") == 12)
		return access_key_id;
	return NULL;
}

void principal_describe_root(const char *account, struct aws_caller *ret)
{
	snprintf(ret->account, sizeof ret->account, "%s", account);
	snprintf(ret->arn, sizeof ret->arn, "arn:aws:iam::%s:root", account);
	snprintf(ret->user_id, sizeof ret->user_id, "%s", account);
	ret->access_key_id[0] = 0;
}

static void describe_user(const struct entity *user, struct aws_caller *ret)
{
	snprintf(ret->account, sizeof ret->account, "%s", user->account);
	snprintf(ret->arn, sizeof ret->arn, "%s", entity_text(user, "Arn"));
	snprintf(ret->user_id, sizeof ret->user_id, "%s", user->id);
}

static void describe_role(const struct entity *role, const struct session *session,
			  struct aws_caller *ret)
{
	const char *name = session_text(session, "Name");

	snprintf(ret->account, sizeof ret->account, "%s", role->account);
	snprintf(ret->arn, sizeof ret->arn, "arn:aws:sts::%s:assumed-role/%s/%s", role->account,
		 role->name, name);
	snprintf(ret->user_id, sizeof ret->user_id, "%s:%s", role->id, name);
}

static void describe_federated(const struct session *session, struct aws_caller *ret)
{
	const char *name = session_text(session, "Name");

	snprintf(ret->account, sizeof ret->account, "%s", session->account);
	snprintf(ret->arn, sizeof ret->arn, "arn:aws:sts::%s:federated-user/%s", session->account,
		 name);
	snprintf(ret->user_id, sizeof ret->user_id, "%s:%s", session->account, name);
}

/* The user of a key, or the user or role of a session. */
static bool find_who(const struct identity *identity, const struct entity *key,
		     const struct session *session, struct who *ret)
{
	const char *kind = session ? session_text(session, "Kind") : "user";
	const char *id = session ? session_text(session, "PartyId") : entity_text(key, "UserId");

	*ret = (struct who){.session = session};
	if (!kind)
		return false;
	if (!strcmp(kind, "federated"))
		ret->kind = PRINCIPAL_FEDERATED;
	else if (!strcmp(kind, "role"))
		ret->kind = PRINCIPAL_ROLE;
	else
		ret->kind = id ? PRINCIPAL_USER : PRINCIPAL_ROOT;
	if (!id)
		return ret->kind == PRINCIPAL_ROOT || ret->kind == PRINCIPAL_FEDERATED;
	ret->party = store_find_id(identity, id);
	return ret->party;
}

bool principal_describe(const struct identity *identity, const struct entity *key,
			const struct session *session, struct aws_caller *ret)
{
	struct who who;

	if (!find_who(identity, key, session, &who))
		return false;
	switch (who.kind) {
	case PRINCIPAL_ROOT:
		principal_describe_root(session ? session->account : key->account, ret);
		break;
	case PRINCIPAL_USER:
		describe_user(who.party, ret);
		break;
	case PRINCIPAL_ROLE:
		describe_role(who.party, session, ret);
		break;
	case PRINCIPAL_FEDERATED:
		describe_federated(session, ret);
		break;
	}
	return true;
}

bool principal_find(const struct identity *identity, const struct aws_caller *caller,
		    struct who *ret)
{
	const struct session *session = session_known(identity, caller->access_key_id);
	const struct entity *key;

	if (session)
		return find_who(identity, NULL, session, ret);
	key = store_find(identity, ENTITY_KEY, "", caller->access_key_id);
	if (key)
		return find_who(identity, key, NULL, ret);
	*ret = (struct who){.kind = PRINCIPAL_ROOT};
	return !caller->access_key_id[0] ||
	       (identity->test && principal_test_account(caller->access_key_id));
}

/* ---- context ------------------------------------------------------------------------------ */

/* {"Key": "Value"} as PREFIXKEY: value; where `missing`, only those that are not there yet. */
static void add_tags(struct context *context, const char *prefix, json_t *tags, bool missing)
{
	struct context_values values;
	const char *key;
	json_t *value;

	json_object_foreach (tags, key, value) {
		CLEANUP(free) char *name = NULL;

		xcheck(asprintf(&name, "%s%s", prefix, key) < 0 ? NULL : name);
		if (!missing || !context_find(&context->policy, name, &values))
			context_add(context, name, json_string_value(value));
	}
}

/* Of a user or role; what a session says of itself goes before it. */
static void add_party_tags(struct context *context, const struct entity *party)
{
	json_t *tags = aws_tags_object(json_object_get(party->data, "Tags"));

	add_tags(context, "aws:PrincipalTag/", tags, true);
	json_decref(tags);
}

void principal_context_of(const struct entity *party, struct context *context)
{
	context_add(context, "aws:PrincipalArn", entity_text(party, "Arn"));
	context_add(context, "aws:PrincipalAccount", party->account);
	context_add(context, "aws:PrincipalType",
		    party->kind == ENTITY_USER ? "User" : "AssumedRole");
	if (party->kind == ENTITY_USER) {
		context_add(context, "aws:username", party->name);
		context_add(context, "aws:userid", party->id);
	}
	add_party_tags(context, party);
}

static void add_session(struct context *context, const struct session *session)
{
	char issued[AWS_TEXT_MAX];

	add_tags(context, "aws:PrincipalTag/", json_object_get(session->claims, "Tags"), false);
	aws_time_format((double)json_integer_value(json_object_get(session->claims, "Issued")) /
				1e6,
			true, issued);
	context_add(context, "aws:TokenIssueTime", issued);
	/* Of temporary credentials it is known: nobody showed a device for them. */
	context_add(context, "aws:MultiFactorAuthPresent", "false");
}

static void add_caller(struct context *context, const struct who *who, const struct aws_call *call)
{
	static const char *const types[] = {
		[PRINCIPAL_ROOT] = "Account",
		[PRINCIPAL_USER] = "User",
		[PRINCIPAL_ROLE] = "AssumedRole",
		[PRINCIPAL_FEDERATED] = "FederatedUser",
	};
	bool is_role = who->kind == PRINCIPAL_ROLE;

	/* A session is its role, as far as ARNs go. */
	context_add(context, "aws:PrincipalArn",
		    is_role ? entity_text(who->party, "Arn") : call->caller.arn);
	context_add(context, "aws:PrincipalAccount", call->caller.account);
	context_add(context, "aws:PrincipalType", types[who->kind]);
	context_add(context, "aws:PrincipalIsAWSService", "false");
	context_add(context, "aws:ViaAWSService", "false");
	context_add(context, "aws:userid", call->caller.user_id);
	if (who->kind == PRINCIPAL_USER)
		context_add(context, "aws:username", who->party->name);
}

static void add_request_tags(struct context *context, const struct aws_call *call)
{
	json_t *tags = aws_tags_object(json_object_get(call->input, "Tags"));
	const char *name;
	json_t *key;
	size_t i;

	add_tags(context, "aws:RequestTag/", tags, false);
	json_object_foreach (tags, name, key)
		context_add(context, "aws:TagKeys", name);
	json_array_foreach (json_object_get(call->input, "TagKeys"), i, key)
		context_add(context, "aws:TagKeys", json_string_value(key));
	json_decref(tags);
}

static void add_request(struct context *context, const struct aws_call *call)
{
	char text[AWS_TEXT_MAX];

	context_add(context, "aws:SourceIp", call->source_ip);
	context_add(context, "aws:UserAgent", call->user_agent);
	context_add(context, "aws:SecureTransport", call->secure ? "true" : "false");
	context_add(context, "aws:RequestedRegion", call->region);
	aws_time_format(whole_seconds(call->now_us), true, text);
	context_add(context, "aws:CurrentTime", text);
	snprintf(text, sizeof text, "%" PRId64, call->now_us / 1000000);
	context_add(context, "aws:EpochTime", text);
	add_request_tags(context, call);
	/* What who hands out permissions can be bound to. */
	context_add(context, "iam:PolicyARN",
		    json_string_value(json_object_get(call->input, "PolicyArn")));
	context_add(context, "iam:PermissionsBoundary",
		    json_string_value(json_object_get(call->input, "PermissionsBoundary")));
	context_add(context, "sts:ExternalId",
		    json_string_value(json_object_get(call->input, "ExternalId")));
	context_add(context, "sts:RoleSessionName",
		    json_string_value(json_object_get(call->input, "RoleSessionName")));
}

void principal_context(const struct who *who, const struct aws_call *call, struct context *context)
{
	add_caller(context, who, call);
	if (who->session)
		add_session(context, who->session);
	if (who->party && who->kind != PRINCIPAL_FEDERATED)
		add_party_tags(context, who->party);
	add_request(context, call);
}

/* ---- policies ----------------------------------------------------------------------------- */

struct entity *principal_policy(const struct identity *identity, const char *arn)
{
	static const char prefix[] = "arn:aws:iam::";
	const char *account, *name;
	char number[AWS_ACCOUNT_SIZE];
	struct entity *policy;
	size_t size;

	if (!arn || strncmp(arn, prefix, sizeof prefix - 1))
		return NULL;
	account = arn + sizeof prefix - 1;
	size = strcspn(account, ":");
	name = strrchr(account, '/');
	if (!name || size >= sizeof number)
		return NULL;
	memcpy(number, account, size);
	number[size] = 0;
	policy = store_find(identity, ENTITY_POLICY, number, name + 1);
	return policy && !strcmp(entity_text(policy, "Arn"), arn) ? policy : NULL;
}

static void gather(struct gathered *list, struct policy *const *policies, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		xgrow(list->items, list->count, list->room);
		list->items[list->count++] = policies[i];
	}
}

static void gather_managed(const struct identity *identity, struct gathered *list,
			   const json_t *arns)
{
	size_t i;
	json_t *arn;

	json_array_foreach (arns, i, arn) {
		const struct entity *policy = principal_policy(identity, json_string_value(arn));

		if (policy)
			gather(list, policy->policies, policy->policy_count);
	}
}

static void gather_party(const struct identity *identity, struct gathered *list,
			 const struct entity *party)
{
	gather(list, party->policies, party->policy_count);
	gather_managed(identity, list, json_object_get(party->data, "Attached"));
}

static void gather_groups(const struct identity *identity, struct gathered *list,
			  const struct entity *user)
{
	size_t i;
	json_t *id;

	json_array_foreach (json_object_get(user->data, "Groups"), i, id) {
		const struct entity *group = store_find_id(identity, json_string_value(id));

		if (group)
			gather_party(identity, list, group);
	}
}

static void gather_boundary(const struct identity *identity, struct principal_policies *ret,
			    const struct entity *party)
{
	const char *arn = entity_text(party, "PermissionsBoundary");
	const struct entity *policy;

	if (!arn)
		return;
	ret->bounded = true;
	policy = principal_policy(identity, arn);
	if (policy)
		gather(&ret->boundary, policy->policies, policy->policy_count);
}

static void gather_session(const struct identity *identity, struct principal_policies *ret,
			   const struct who *who)
{
	const json_t *arns = json_object_get(who->session->claims, "PolicyArns");

	/* A federated user may nothing that he was not handed. */
	ret->in_session = who->kind == PRINCIPAL_FEDERATED || json_array_size(arns) ||
			  json_array_size(json_object_get(who->session->claims, "Policies"));
	gather(&ret->session, who->session->policies, who->session->policy_count);
	gather_managed(identity, &ret->session, arns);
}

/* Root may all. */
static const struct policy *all_allowed(void)
{
	static char any[] = {1, 0};
	static char *codes[] = {any};
	static struct policy_statement statement = {
		.sid = (char *)"",
		.allow = true,
		.actions = {codes, 1, .there = true},
		.resources = {codes, 1, .there = true},
	};
	static const struct policy policy = {&statement, 1};

	return &policy;
}

void principal_policies(const struct identity *identity, const struct who *who,
			struct principal_policies *ret)
{
	struct policy *all = (struct policy *)all_allowed();

	*ret = (struct principal_policies){0};
	if (!who->party) {
		gather(&ret->identity, &all, 1);
	} else {
		gather_party(identity, &ret->identity, who->party);
		gather_groups(identity, &ret->identity, who->party);
		gather_boundary(identity, ret, who->party);
	}
	if (who->session)
		gather_session(identity, ret, who);
}

void principal_policies_done(struct principal_policies *policies)
{
	free(policies->identity.items);
	free(policies->boundary.items);
	free(policies->session.items);
}

static struct policy_list list_of(const struct gathered *gathered)
{
	return (struct policy_list){gathered->items, gathered->count};
}

struct policy_sources principal_sources(const struct principal_policies *policies)
{
	return (struct policy_sources){
		.identity = list_of(&policies->identity),
		.boundary = list_of(&policies->boundary),
		.session = list_of(&policies->session),
		.bounded = policies->bounded,
		.in_session = policies->in_session,
	};
}
