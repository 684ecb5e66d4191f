/*
 * IAM: managed policies.  "Versions" are an object, {"v1": {"Document", "CreateDate"}, ...}, in the
 * order in which they were made; the next number is kept besides, as none comes again.
 */
#include "base/alloc.h"
#include "identity/iam.h"

#include <string.h>

#define VERSIONS_MAX 5

static bool has_attached(const struct entity *party, const struct entity *policy)
{
	return iam_has_text(json_object_get(party->data, "Attached"), entity_text(policy, "Arn"));
}

static bool has_boundary(const struct entity *party, const struct entity *policy)
{
	const char *arn = entity_text(party, "PermissionsBoundary");

	return arn && !strcmp(arn, entity_text(policy, "Arn"));
}

/* Of an account, where the policy may be ours: those that are attached there. */
static unsigned count_with(const struct identity *identity, const struct entity *policy,
			   bool (*has)(const struct entity *party, const struct entity *policy))
{
	unsigned count = 0;

	for (unsigned i = 0; i < identity->entity_count; i++)
		count += has(identity->entities[i], policy);
	return count;
}

unsigned iam_count_attached(const struct identity *identity, const struct entity *policy)
{
	return count_with(identity, policy, has_attached);
}

json_t *iam_show_policy(const struct identity *identity, const struct entity *policy, bool whole)
{
	static const char *const members[] = {
		"PolicyName",       "PolicyId",   "Arn",        "Path",
		"DefaultVersionId", "CreateDate", "UpdateDate", NULL};
	json_t *shown = iam_pick(policy->data, members), *tags;

	json_object_set_new(shown, "AttachmentCount",
			    json_integer(iam_count_attached(identity, policy)));
	json_object_set_new(shown, "PermissionsBoundaryUsageCount",
			    json_integer(count_with(identity, policy, has_boundary)));
	json_object_set_new(shown, "IsAttachable", json_true());
	if (!whole)
		return shown;
	json_object_set(shown, "Description", json_object_get(policy->data, "Description"));
	tags = json_object_get(policy->data, "Tags");
	json_object_set_new(shown, "Tags", tags ? json_incref(tags) : json_array());
	return shown;
}

static json_t *version_of(const struct entity *policy, const char *version)
{
	return json_object_get(json_object_get(policy->data, "Versions"), version);
}

json_t *iam_show_version(const struct entity *policy, const char *version, bool with_document)
{
	const json_t *found = version_of(policy, version);
	json_t *shown = json_pack("{s:s, s:b, s:O}", "VersionId", version, "IsDefaultVersion",
				  !strcmp(entity_text(policy, "DefaultVersionId"), version),
				  "CreateDate", json_object_get(found, "CreateDate"));

	if (with_document)
		json_object_set_new(
			shown, "Document",
			iam_encoded(json_string_value(json_object_get(found, "Document"))));
	return shown;
}

/* The policy of the call's PolicyArn, for a change: what comes with us cannot be. */
static struct entity *find_own(struct identity *identity, struct aws_call *call)
{
	struct entity *policy = iam_find_policy(identity, call, iam_text(call, "PolicyArn"));

	if (policy && !strcmp(policy->account, IDENTITY_AWS_ACCOUNT)) {
		aws_fault(call, "AccessDenied", "Policy %s is managed and cannot be changed.",
			  entity_text(policy, "Arn"));
		return NULL;
	}
	return policy;
}

static json_t *new_version(const struct aws_call *call)
{
	return json_pack("{s:s, s:f}", "Document", iam_text(call, "PolicyDocument"), "CreateDate",
			 iam_now(call));
}

int iam_create_policy(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *name = iam_text(call, "PolicyName"), *account = call->caller.account;
	const struct entity *policy;
	json_t *data;
	int r = iam_check_document(call, "PolicyDocument", POLICY_IDENTITY, IAM_POLICY_MAX);

	if (r < 0)
		return r;
	data = iam_new(identity, call, ENTITY_POLICY);
	if (!data)
		return AWS_FAULT;
	json_object_set_new(data, "UpdateDate", json_real(iam_now(call)));
	json_object_set_new(data, "DefaultVersionId", json_string("v1"));
	json_object_set_new(data, "NextVersion", json_integer(2));
	json_object_set_new(data, "Versions", json_pack("{s:o}", "v1", new_version(call)));
	if (iam_text(call, "Description"))
		json_object_set(data, "Description", json_object_get(call->input, "Description"));
	r = store_add(identity, ENTITY_POLICY, account, name, data);
	if (r < 0)
		return r;
	policy = store_find(identity, ENTITY_POLICY, account, name);
	*ret = json_pack("{s:o}", "Policy", iam_show_policy(identity, policy, false));
	json_object_set(json_object_get(*ret, "Policy"), "Tags",
			json_object_get(policy->data, "Tags"));
	return 0;
}

int iam_get_policy(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *policy = iam_find_policy(identity, call, iam_text(call, "PolicyArn"));

	if (!policy)
		return AWS_FAULT;
	*ret = json_pack("{s:o}", "Policy", iam_show_policy(identity, policy, true));
	return 0;
}

static bool is_wanted(const struct identity *identity, const struct aws_call *call,
		      const struct entity *policy)
{
	const char *usage = iam_text(call, "PolicyUsageFilter");
	bool attached = json_is_true(json_object_get(call->input, "OnlyAttached"));

	if (!iam_in_path(call, policy) || (attached && !iam_count_attached(identity, policy)))
		return false;
	return !usage || strcmp(usage, "PermissionsBoundary") ||
	       count_with(identity, policy, has_boundary);
}

static void list_policies(const struct identity *identity, const struct aws_call *call,
			  const char *account, json_t *list)
{
	const struct entity *policy;
	unsigned at = 0;

	while ((policy = store_next(identity, ENTITY_POLICY, account, &at))) {
		if (is_wanted(identity, call, policy))
			json_array_append_new(list, iam_show_policy(identity, policy, false));
	}
}

int iam_list_policies(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *scope = iam_text(call, "Scope");
	json_t *list = json_array();

	if (!scope || strcmp(scope, "AWS"))
		list_policies(identity, call, call->caller.account, list);
	if (!scope || strcmp(scope, "Local"))
		list_policies(identity, call, IDENTITY_AWS_ACCOUNT, list);
	*ret = iam_list("Policies", list);
	return 0;
}

int iam_delete_policy(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *policy = find_own(identity, call);

	if (!policy)
		return AWS_FAULT;
	if (iam_count_attached(identity, policy) || count_with(identity, policy, has_boundary))
		return aws_fault(call, "DeleteConflict",
				 "Cannot delete a policy attached to entities.");
	if (json_object_size(json_object_get(policy->data, "Versions")) > 1)
		return aws_fault(call, "DeleteConflict",
				 "This policy has more than one version. Before you delete a "
				 "policy, you must delete the policy's versions. The default "
				 "version is deleted with the policy.");
	return store_remove(identity, policy);
}

/* ---- versions ----------------------------------------------------------------------------- */

static struct entity *find_version(struct identity *identity, struct aws_call *call, bool own)
{
	const char *arn = iam_text(call, "PolicyArn"), *version = iam_text(call, "VersionId");
	struct entity *policy =
		own ? find_own(identity, call) : iam_find_policy(identity, call, arn);

	if (!policy || version_of(policy, version))
		return policy;
	aws_fault(call, "NoSuchEntity", "Policy %s version %s does not exist or is not attachable.",
		  arn, version);
	return NULL;
}

int iam_create_policy_version(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *policy = find_own(identity, call);
	json_t *versions, *data;
	char name[32];
	json_int_t next;
	int r;

	if (!policy)
		return AWS_FAULT;
	r = iam_check_document(call, "PolicyDocument", POLICY_IDENTITY, IAM_POLICY_MAX);
	if (r < 0)
		return r;
	versions = json_object_get(policy->data, "Versions");
	if (json_object_size(versions) >= VERSIONS_MAX)
		return aws_fault(call, "LimitExceeded",
				 "A managed policy can have up to %d versions. Before you create a "
				 "new version, you must delete an existing version.",
				 VERSIONS_MAX);
	next = json_integer_value(json_object_get(policy->data, "NextVersion"));
	snprintf(name, sizeof name, "v%lld", (long long)next);
	versions = json_copy(versions);
	json_object_set_new(versions, name, new_version(call));
	data = json_copy(policy->data);
	json_object_set_new(data, "Versions", versions);
	json_object_set_new(data, "NextVersion", json_integer(next + 1));
	json_object_set_new(data, "UpdateDate", json_real(iam_now(call)));
	if (json_is_true(json_object_get(call->input, "SetAsDefault")))
		json_object_set_new(data, "DefaultVersionId", json_string(name));
	r = iam_replace(identity, policy, data);
	if (r == 0)
		*ret = json_pack("{s:o}", "PolicyVersion", iam_show_version(policy, name, false));
	return r;
}

int iam_get_policy_version(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *policy = find_version(identity, call, false);

	if (!policy)
		return AWS_FAULT;
	*ret = json_pack("{s:o}", "PolicyVersion",
			 iam_show_version(policy, iam_text(call, "VersionId"), true));
	return 0;
}

int iam_list_policy_versions(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *policy = iam_find_policy(identity, call, iam_text(call, "PolicyArn"));
	json_t *list, *version;
	const char *name;

	if (!policy)
		return AWS_FAULT;
	list = json_array();
	/* The newest first. */
	json_object_foreach (json_object_get(policy->data, "Versions"), name, version)
		json_array_insert_new(list, 0, iam_show_version(policy, name, false));
	*ret = iam_list("Versions", list);
	return 0;
}

int iam_delete_policy_version(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *policy = find_version(identity, call, true);
	const char *version = iam_text(call, "VersionId");
	json_t *versions, *data;

	if (!policy)
		return AWS_FAULT;
	if (!strcmp(version, entity_text(policy, "DefaultVersionId")))
		return aws_fault(call, "DeleteConflict",
				 "Cannot delete the default version of a policy.");
	versions = json_copy(json_object_get(policy->data, "Versions"));
	json_object_del(versions, version);
	data = json_copy(policy->data);
	json_object_set_new(data, "Versions", versions);
	return iam_replace(identity, policy, data);
}

int iam_set_default_policy_version(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *policy = find_version(identity, call, true);
	json_t *data;

	if (!policy)
		return AWS_FAULT;
	data = json_copy(policy->data);
	json_object_set(data, "DefaultVersionId", json_object_get(call->input, "VersionId"));
	json_object_set_new(data, "UpdateDate", json_real(iam_now(call)));
	return iam_replace(identity, policy, data);
}

/* ---- who has it --------------------------------------------------------------------------- */

static json_t *list_having(const struct identity *identity, const struct aws_call *call,
			   enum entity_kind kind, const struct entity *policy)
{
	const struct iam_words *words = iam_words(kind);
	const char *filter = iam_text(call, "EntityFilter");
	const char *usage = iam_text(call, "PolicyUsageFilter");
	bool boundary = usage && !strcmp(usage, "PermissionsBoundary");
	json_t *list = json_array();
	const struct entity *party;
	unsigned at = 0;

	if (filter && strcmp(filter, words->title))
		return list;
	while ((party = store_next(identity, kind, call->caller.account, &at))) {
		bool has = boundary ? has_boundary(party, policy) : has_attached(party, policy);

		if (has && iam_in_path(call, party))
			json_array_append_new(list,
					      json_pack("{s:s, s:s}", words->name_member,
							party->name, words->id_member, party->id));
	}
	return list;
}

int iam_list_entities_for_policy(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *policy = iam_find_policy(identity, call, iam_text(call, "PolicyArn"));

	if (!policy)
		return AWS_FAULT;
	*ret = json_pack("{s:o, s:o, s:o, s:b}", "PolicyGroups",
			 list_having(identity, call, ENTITY_GROUP, policy), "PolicyUsers",
			 list_having(identity, call, ENTITY_USER, policy), "PolicyRoles",
			 list_having(identity, call, ENTITY_ROLE, policy), "IsTruncated", 0);
	return 0;
}
