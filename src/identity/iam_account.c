/* IAM: what is of a whole account: its alias, its password policy, what there is of everything. */
#include "base/alloc.h"
#include "identity/iam.h"

#include <string.h>

/* An account begins to be there when something is said of it. */
static int set_account(struct identity *identity, const struct aws_call *call, const char *member,
		       json_t *value)
{
	const char *account = call->caller.account;
	struct entity *entity = store_find(identity, ENTITY_ACCOUNT, account, account);
	json_t *data = entity ? json_copy(entity->data)
			      : json_pack("{s:s, s:f}", "Id", account, "CreateDate", iam_now(call));

	if (value)
		json_object_set_new(data, member, value);
	else
		json_object_del(data, member);
	if (entity)
		return iam_replace(identity, entity, data);
	return store_add(identity, ENTITY_ACCOUNT, account, account, data);
}

static json_t *of_account(const struct identity *identity, const struct aws_call *call,
			  const char *member)
{
	const char *account = call->caller.account;
	const struct entity *entity = store_find(identity, ENTITY_ACCOUNT, account, account);

	return entity ? json_object_get(entity->data, member) : NULL;
}

static bool is_alias_of_another(const struct identity *identity, const struct aws_call *call,
				const char *alias)
{
	for (unsigned i = 0; i < identity->entity_count; i++) {
		const struct entity *entity = identity->entities[i];
		const char *other = entity_text(entity, "Alias");

		if (entity->kind == ENTITY_ACCOUNT && other && !strcmp(other, alias) &&
		    strcmp(entity->account, call->caller.account))
			return true;
	}
	return false;
}

int iam_create_account_alias(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *alias = iam_text(call, "AccountAlias");

	if (is_alias_of_another(identity, call, alias))
		return aws_fault(call, "EntityAlreadyExists",
				 "The account alias %s already exists.", alias);
	return set_account(identity, call, "Alias", json_string(alias));
}

int iam_list_account_aliases(struct identity *identity, struct aws_call *call, json_t **ret)
{
	json_t *alias = of_account(identity, call, "Alias"), *list = json_array();

	if (alias)
		json_array_append(list, alias);
	*ret = iam_list("AccountAliases", list);
	return 0;
}

int iam_delete_account_alias(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *alias = iam_text(call, "AccountAlias");
	const char *current = json_string_value(of_account(identity, call, "Alias"));

	if (!current || strcmp(current, alias))
		return aws_fault(call, "NoSuchEntity", "The account alias %s cannot be found.",
				 alias);
	return set_account(identity, call, "Alias", NULL);
}

int iam_update_account_password_policy(struct identity *identity, struct aws_call *call,
				       json_t **ret)
{
	json_t *policy = json_pack("{s:i, s:b, s:b, s:b, s:b, s:b, s:b}", "MinimumPasswordLength",
				   6, "RequireSymbols", 0, "RequireNumbers", 0,
				   "RequireUppercaseCharacters", 0, "RequireLowercaseCharacters", 0,
				   "AllowUsersToChangePassword", 0, "ExpirePasswords", 0);

	json_object_update(policy, call->input);
	if (json_integer_value(json_object_get(policy, "MaxPasswordAge")) > 0)
		json_object_set_new(policy, "ExpirePasswords", json_true());
	return set_account(identity, call, "PasswordPolicy", policy);
}

static int no_password_policy(struct aws_call *call)
{
	return aws_fault(call, "NoSuchEntity",
			 "The Password Policy with domain name %s cannot be found.",
			 call->caller.account);
}

int iam_get_account_password_policy(struct identity *identity, struct aws_call *call, json_t **ret)
{
	json_t *policy = of_account(identity, call, "PasswordPolicy");

	if (!policy)
		return no_password_policy(call);
	*ret = json_pack("{s:O}", "PasswordPolicy", policy);
	return 0;
}

int iam_delete_account_password_policy(struct identity *identity, struct aws_call *call,
				       json_t **ret)
{
	if (!of_account(identity, call, "PasswordPolicy"))
		return aws_fault(call, "NoSuchEntity",
				 "The account policy with name PasswordPolicy cannot be found.");
	return set_account(identity, call, "PasswordPolicy", NULL);
}

static unsigned count_versions(const struct identity *identity, const char *account)
{
	const struct entity *policy;
	unsigned at = 0, count = 0;

	while ((policy = store_next(identity, ENTITY_POLICY, account, &at)))
		count += json_object_size(json_object_get(policy->data, "Versions"));
	return count;
}

/* Whether root has a key of its own. */
static bool has_root_key(const struct identity *identity, const char *account)
{
	const struct entity *key;
	unsigned at = 0;

	while ((key = store_next(identity, ENTITY_KEY, account, &at))) {
		if (!entity_text(key, "UserId"))
			return true;
	}
	return false;
}

int iam_get_account_summary(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *account = call->caller.account;
	const struct {
		const char *name;
		unsigned value;
	} lines[] = {
		{"Users", iam_count(identity, ENTITY_USER, account)},
		{"UsersQuota", iam_words(ENTITY_USER)->quota},
		{"Groups", iam_count(identity, ENTITY_GROUP, account)},
		{"GroupsQuota", iam_words(ENTITY_GROUP)->quota},
		{"Roles", iam_count(identity, ENTITY_ROLE, account)},
		{"RolesQuota", iam_words(ENTITY_ROLE)->quota},
		{"Policies", iam_count(identity, ENTITY_POLICY, account)},
		{"PoliciesQuota", iam_words(ENTITY_POLICY)->quota},
		{"PolicyVersionsInUse", count_versions(identity, account)},
		{"PolicyVersionsInUseQuota", 10000},
		{"PolicySizeQuota", IAM_POLICY_MAX},
		{"UserPolicySizeQuota", IAM_USER_POLICIES_MAX},
		{"GroupPolicySizeQuota", IAM_GROUP_POLICIES_MAX},
		{"RolePolicySizeQuota", IAM_ROLE_POLICIES_MAX},
		{"AssumeRolePolicySizeQuota", IAM_TRUST_MAX},
		{"VersionsPerPolicyQuota", 5},
		{"AccessKeysPerUserQuota", 2},
		{"GroupsPerUserQuota", 10},
		{"AttachedPoliciesPerUserQuota", IAM_ATTACHED_MAX},
		{"AttachedPoliciesPerGroupQuota", IAM_ATTACHED_MAX},
		{"AttachedPoliciesPerRoleQuota", IAM_ATTACHED_MAX},
		{"AccountAccessKeysPresent", has_root_key(identity, account)},
		{"AccountMFAEnabled", 0},
		{"AccountPasswordPresent", 0},
		{"AccountSigningCertificatesPresent", 0},
		{"GlobalEndpointTokenVersion", 1},
		{"InstanceProfiles", 0},
		{"InstanceProfilesQuota", 0},
		{"MFADevices", 0},
		{"MFADevicesInUse", 0},
		{"Providers", 0},
		{"ServerCertificates", 0},
		{"ServerCertificatesQuota", 0},
		{"SigningCertificatesPerUserQuota", 0},
	};
	json_t *map = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
		json_object_set_new(map, lines[i].name, json_integer(lines[i].value));
	*ret = json_pack("{s:o}", "SummaryMap", map);
	return 0;
}

/* ---- GetAccountAuthorizationDetails ------------------------------------------------------- */

static json_t *group_names(const struct identity *identity, const struct entity *user)
{
	json_t *list = json_array(), *id;
	size_t i;

	json_array_foreach (json_object_get(user->data, "Groups"), i, id) {
		const struct entity *group = store_find_id(identity, json_string_value(id));

		if (group)
			json_array_append_new(list, json_string(group->name));
	}
	return list;
}

static json_t *party_details(struct identity *identity, const struct entity *party)
{
	static const char *const policy_lists[ENTITY_KINDS] = {
		[ENTITY_USER] = "UserPolicyList",
		[ENTITY_GROUP] = "GroupPolicyList",
		[ENTITY_ROLE] = "RolePolicyList",
	};
	json_t *shown = iam_show(party, true);

	json_object_del(shown, "Description");
	json_object_del(shown, "MaxSessionDuration");
	json_object_set_new(shown, policy_lists[party->kind], iam_show_inline(party));
	json_object_set_new(shown, "AttachedManagedPolicies", iam_show_attached(identity, party));
	if (party->kind == ENTITY_USER)
		json_object_set_new(shown, "GroupList", group_names(identity, party));
	if (party->kind == ENTITY_ROLE) {
		json_object_set_new(shown, "InstanceProfileList", json_array());
		json_object_set_new(shown, "RoleLastUsed", iam_show_role_use(identity, party));
	}
	return shown;
}

static json_t *policy_details(const struct identity *identity, const struct entity *policy)
{
	json_t *shown = iam_show_policy(identity, policy, true), *list = json_array(), *version;
	const char *name;

	json_object_foreach (json_object_get(policy->data, "Versions"), name, version)
		json_array_append_new(list, iam_show_version(policy, name, true));
	json_object_set_new(shown, "PolicyVersionList", list);
	json_object_del(shown, "Tags");
	return shown;
}

static bool is_filtered_out(const struct aws_call *call, const char *filter)
{
	const json_t *wanted = json_object_get(call->input, "Filter");

	return json_array_size(wanted) && !iam_has_text(wanted, filter);
}

static json_t *details(struct identity *identity, const struct aws_call *call,
		       enum entity_kind kind, const char *account, const char *filter, json_t *list)
{
	const struct entity *entity;
	unsigned at = 0;

	if (is_filtered_out(call, filter))
		return list;
	while ((entity = store_next(identity, kind, account, &at)))
		json_array_append_new(list, kind == ENTITY_POLICY
						    ? policy_details(identity, entity)
						    : party_details(identity, entity));
	return list;
}

int iam_get_account_authorization_details(struct identity *identity, struct aws_call *call,
					  json_t **ret)
{
	const char *account = call->caller.account;
	json_t *policies =
		details(identity, call, ENTITY_POLICY, account, "LocalManagedPolicy", json_array());

	details(identity, call, ENTITY_POLICY, IDENTITY_AWS_ACCOUNT, "AWSManagedPolicy", policies);
	*ret = json_pack("{s:o, s:o, s:o, s:o, s:b}", "UserDetailList",
			 details(identity, call, ENTITY_USER, account, "User", json_array()),
			 "GroupDetailList",
			 details(identity, call, ENTITY_GROUP, account, "Group", json_array()),
			 "RoleDetailList",
			 details(identity, call, ENTITY_ROLE, account, "Role", json_array()),
			 "Policies", policies, "IsTruncated", 0);
	return 0;
}
