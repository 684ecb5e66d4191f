#include "identity/iam.h"

#include "aws/tags.h"
#include "base/alloc.h"
#include "identity/identity.h"
#include "identity/principal.h"
#include "identity/sts.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* How long they may be, the model says. */
static const struct aws_tag_rules tag_rules = {
	.any_case = true,
	.count_max = 50,
	.words =
		{
			[AWS_TAGS_MANY] = {"LimitExceeded",
					   "Cannot exceed quota for TagsPerResource: 50"},
			[AWS_TAG_TWICE] = {"InvalidInput",
					   "Duplicate tag keys found. Please note that Tag keys "
					   "are case insensitive."},
		},
};

static const struct iam_words words[ENTITY_KINDS] = {
	[ENTITY_USER] = {"UserName", "UserId", "AIDA", "user", "User", "UsersPerAccount", 5000},
	[ENTITY_GROUP] = {"GroupName", "GroupId", "AGPA", "group", "Group", "GroupsPerAccount",
			  300},
	[ENTITY_ROLE] = {"RoleName", "RoleId", "AROA", "role", "Role", "RolesPerAccount", 1000},
	[ENTITY_POLICY] = {"PolicyName", "PolicyId", "ANPA", "policy", "Policy",
			   "PoliciesPerAccount", 1500},
};

/* In this order: who is put into a group is not what such a call is about. */
static const enum entity_kind parties[] = {ENTITY_GROUP, ENTITY_USER, ENTITY_ROLE};

const struct iam_words *iam_words(enum entity_kind kind)
{
	return &words[kind];
}

const char *iam_text(const struct aws_call *call, const char *member)
{
	return json_string_value(json_object_get(call->input, member));
}

double iam_now(const struct aws_call *call)
{
	return whole_seconds(call->now_us);
}

/* ---- finding ------------------------------------------------------------------------------ */

static struct entity *find_named(struct identity *identity, struct aws_call *call,
				 enum entity_kind kind, const char *name)
{
	struct entity *entity = store_find(identity, kind, call->caller.account, name);

	if (!entity)
		aws_fault(call, "NoSuchEntity", "The %s with name %s cannot be found.",
			  words[kind].word, name);
	return entity;
}

struct entity *iam_find(struct identity *identity, struct aws_call *call, enum entity_kind kind)
{
	const char *name = iam_text(call, words[kind].name_member);

	return find_named(identity, call, kind, name ? name : "");
}

struct entity *iam_find_policy(struct identity *identity, struct aws_call *call, const char *arn)
{
	struct entity *policy = principal_policy(identity, arn);

	/* Somebody else's policies are not there. */
	if (policy && (!strcmp(policy->account, IDENTITY_AWS_ACCOUNT) ||
		       !strcmp(policy->account, call->caller.account)))
		return policy;
	aws_fault(call, "NoSuchEntity", "Policy %s was not found.", arn ? arn : "");
	return NULL;
}

struct entity *iam_target(struct identity *identity, struct aws_call *call)
{
	for (unsigned i = 0; i < ARRAY_SIZE(parties); i++) {
		if (iam_text(call, words[parties[i]].name_member))
			return iam_find(identity, call, parties[i]);
	}
	return iam_find_policy(identity, call, iam_text(call, "PolicyArn"));
}

int iam_self(struct identity *identity, struct aws_call *call, struct entity **ret)
{
	const char *name = iam_text(call, "UserName");
	struct who who;

	*ret = NULL;
	if (name) {
		*ret = find_named(identity, call, ENTITY_USER, name);
		return *ret ? 0 : AWS_FAULT;
	}
	if (!principal_find(identity, &call->caller, &who) ||
	    (who.party && who.party->kind != ENTITY_USER))
		return aws_fault(call, "ValidationError",
				 "Must specify userName when calling with non-User credentials");
	if (who.party)
		*ret = store_find(identity, ENTITY_USER, who.party->account, who.party->name);
	return 0;
}

char *iam_arn(const char *account, enum entity_kind kind, const char *path, const char *name)
{
	char *arn;

	xcheck(asprintf(&arn, "arn:aws:iam::%s:%s%s%s", account, words[kind].word, path, name) < 0
		       ? NULL
		       : arn);
	return arn;
}

/* The ARN of what is there, else of what would be. */
static void touch_named(struct identity *identity, const struct aws_call *call,
			enum entity_kind kind, const char *name, struct aws_touched *ret)
{
	const struct entity *entity = store_find(identity, kind, call->caller.account, name);
	const char *path = iam_text(call, "Path");
	CLEANUP(free)
	char *arn = iam_arn(call->caller.account, kind, path && *path ? path : "/", name);
	json_t *tags = entity ? aws_tags_object(json_object_get(entity->data, "Tags")) : NULL;

	aws_touch(ret, tags, "%s", entity ? entity_text(entity, "Arn") : arn);
}

static void touch(struct identity *identity, const struct aws_call *call, struct aws_touched *ret)
{
	const char *name = iam_text(call, "PolicyName"), *arn = iam_text(call, "PolicyArn");
	const char *source = iam_text(call, "PolicySourceArn");

	for (unsigned i = 0; i < ARRAY_SIZE(parties); i++) {
		const char *party = iam_text(call, words[parties[i]].name_member);

		if (party) {
			touch_named(identity, call, parties[i], party, ret);
			return;
		}
	}
	if (arn) {
		const struct entity *policy = principal_policy(identity, arn);

		if (policy && !strcmp(policy->account, call->caller.account))
			touch_named(identity, call, ENTITY_POLICY, policy->name, ret);
		else
			aws_touch(ret, NULL, "%s", arn);
	} else if (name) {
		touch_named(identity, call, ENTITY_POLICY, name, ret);
	} else if (source) {
		aws_touch(ret, NULL, "%s", source);
	}
}

/* The caller, where the call may mean him by naming nobody. */
static void touch_caller(struct identity *identity, const struct aws_call *call,
			 struct aws_touched *ret)
{
	struct who who;

	if (principal_find(identity, &call->caller, &who) && who.party &&
	    who.party->kind == ENTITY_USER)
		touch_named(identity, call, ENTITY_USER, who.party->name, ret);
}

/* The user whose key it is. */
static void touch_key(struct identity *identity, const struct aws_call *call,
		      struct aws_touched *ret)
{
	const char *name = iam_text(call, "AccessKeyId"), *id;
	const struct entity *key = name ? store_find(identity, ENTITY_KEY, "", name) : NULL, *user;

	id = key && !strcmp(key->account, call->caller.account) ? entity_text(key, "UserId") : NULL;
	user = id ? store_find_id(identity, id) : NULL;
	if (user)
		touch_named(identity, call, ENTITY_USER, user->name, ret);
}

static int touch_target(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	struct identity *identity = userdata;

	pthread_rwlock_rdlock(&identity->lock);
	touch(identity, call, ret);
	pthread_rwlock_unlock(&identity->lock);
	return 0;
}

static int touch_self(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	struct identity *identity = userdata;

	pthread_rwlock_rdlock(&identity->lock);
	touch(identity, call, ret);
	if (!ret->count)
		touch_caller(identity, call, ret);
	pthread_rwlock_unlock(&identity->lock);
	return 0;
}

static int touch_key_user(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	struct identity *identity = userdata;

	pthread_rwlock_rdlock(&identity->lock);
	touch_key(identity, call, ret);
	pthread_rwlock_unlock(&identity->lock);
	return 0;
}

/* ---- objects ------------------------------------------------------------------------------ */

json_t *iam_pick(const json_t *data, const char *const *members)
{
	json_t *picked = json_object();

	for (; *members; members++) {
		json_t *value = json_object_get(data, *members);

		if (value)
			json_object_set(picked, *members, value);
	}
	return picked;
}

json_t *iam_list(const char *member, json_t *list)
{
	return json_pack("{s:o, s:b}", member, list, "IsTruncated", 0);
}

bool iam_in_path(const struct aws_call *call, const struct entity *entity)
{
	const char *prefix = iam_text(call, "PathPrefix"), *path = entity_text(entity, "Path");

	return !prefix || !strncmp(path ? path : "/", prefix, strlen(prefix));
}

bool iam_has_text(const json_t *list, const char *text)
{
	size_t i;
	json_t *item;

	json_array_foreach (list, i, item) {
		if (!strcmp(json_string_value(item), text))
			return true;
	}
	return false;
}

json_t *iam_without_text(const json_t *list, const char *text)
{
	json_t *rest = json_array(), *item;
	size_t i;

	json_array_foreach (list, i, item) {
		if (strcmp(json_string_value(item), text))
			json_array_append(rest, item);
	}
	return rest;
}

json_t *iam_encoded(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	CLEANUP(buffer) struct buffer out = {0};

	for (; *text; text++) {
		unsigned char c = *text;

		if (isalnum(c) || strchr("-_.~", c)) {
			buffer_put8(&out, c);
			continue;
		}
		buffer_put8(&out, '%');
		buffer_put8(&out, hex[c >> 4]);
		buffer_put8(&out, hex[c & 15]);
	}
	return json_stringn((const char *)out.data, out.size);
}

int iam_replace(struct identity *identity, struct entity *entity, json_t *data)
{
	return store_replace(identity, entity, NULL, data);
}

unsigned iam_count(const struct identity *identity, enum entity_kind kind, const char *account)
{
	unsigned at = 0, count = 0;

	while (store_next(identity, kind, account, &at))
		count++;
	return count;
}

json_t *iam_new(struct identity *identity, struct aws_call *call, enum entity_kind kind)
{
	const struct iam_words *w = &words[kind];
	const char *name = iam_text(call, w->name_member), *path = iam_text(call, "Path");
	CLEANUP(free) char *arn = NULL;
	char id[22];
	json_t *tags, *data;

	if (store_is_taken(identity, kind, call->caller.account, name)) {
		if (kind == ENTITY_POLICY)
			aws_fault(call, "EntityAlreadyExists",
				  "A policy called %s already exists. Duplicate names are not "
				  "allowed.",
				  name);
		else
			aws_fault(call, "EntityAlreadyExists", "%s with name %s already exists.",
				  w->title, name);
		return NULL;
	}
	if (iam_count(identity, kind, call->caller.account) >= w->quota) {
		aws_fault(call, "LimitExceeded", "Cannot exceed quota for %s: %u", w->quota_name,
			  w->quota);
		return NULL;
	}
	tags = iam_merge_tags(call, NULL);
	if (!tags)
		return NULL;
	path = path && *path ? path : "/";
	arn = iam_arn(call->caller.account, kind, path, name);
	secret_random_id(w->id_prefix, id, sizeof id);
	data = json_pack("{s:s, s:s, s:s, s:s, s:f}", w->name_member, name, w->id_member, id, "Arn",
			 arn, "Path", path, "CreateDate", iam_now(call));
	if (json_array_size(tags))
		json_object_set(data, "Tags", tags);
	json_decref(tags);
	return data;
}

/* ---- documents and tags ------------------------------------------------------------------- */

int iam_check_document(struct aws_call *call, const char *member, enum policy_kind kind,
		       unsigned size_max)
{
	CLEANUP(policy) struct policy *policy = NULL;
	const char *text = iam_text(call, member);
	struct problem why;

	if (policy_text_size(text) > size_max)
		return aws_fault(call, "LimitExceeded", "Cannot exceed quota for PolicySize: %u",
				 size_max);
	if (policy_parse(text, kind, &policy, &why) < 0)
		return aws_fault(call, "MalformedPolicyDocument", "%s", why.text);
	return 0;
}

json_t *iam_merge_tags(struct aws_call *call, const json_t *tags)
{
	const json_t *more = json_object_get(call->input, "Tags");
	json_t *merged = NULL;

	if (aws_tags_check(call, &tag_rules, more) < 0)
		return NULL;
	if (aws_tags_merge(&tag_rules, tags, more, &merged) < 0)
		aws_tags_fault(call, &tag_rules, AWS_TAGS_MANY);
	return merged;
}

int iam_tag(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *entity = iam_target(identity, call);
	json_t *tags, *data;

	if (!entity)
		return AWS_FAULT;
	tags = iam_merge_tags(call, json_object_get(entity->data, "Tags"));
	if (!tags)
		return AWS_FAULT;
	data = json_copy(entity->data);
	json_object_set_new(data, "Tags", tags);
	return iam_replace(identity, entity, data);
}

int iam_untag(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *entity = iam_target(identity, call);
	json_t *tags, *data;

	if (!entity)
		return AWS_FAULT;
	tags = aws_tags_without(&tag_rules, json_object_get(entity->data, "Tags"),
				json_object_get(call->input, "TagKeys"));
	data = json_copy(entity->data);
	if (json_array_size(tags))
		json_object_set_new(data, "Tags", tags);
	else {
		json_object_del(data, "Tags");
		json_decref(tags);
	}
	return iam_replace(identity, entity, data);
}

int iam_list_tags(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *entity = iam_target(identity, call);
	json_t *tags;

	if (!entity)
		return AWS_FAULT;
	tags = json_object_get(entity->data, "Tags");
	*ret = iam_list("Tags", tags ? json_incref(tags) : json_array());
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------- */

int iam_look(struct identity *identity, struct aws_call *call, json_t **ret,
	     iam_operation *operation)
{
	int r;

	pthread_rwlock_rdlock(&identity->lock);
	r = operation(identity, call, ret);
	pthread_rwlock_unlock(&identity->lock);
	return r;
}

static int change(struct identity *identity, struct aws_call *call, json_t **ret,
		  iam_operation *operation)
{
	int r;

	pthread_mutex_lock(&identity->change);
	r = operation(identity, call, ret);
	pthread_mutex_unlock(&identity->change);
	return r;
}

/* A handler that looks, or changes something, as `how` says. */
#define HANDLER(name, how, operation)                                                 \
	static int handle_##name(void *userdata, struct aws_call *call, json_t **ret) \
	{                                                                             \
		return how(userdata, call, ret, operation);                           \
	}

/* clang-format off */
HANDLER(AddUserToGroup, change, iam_add_user_to_group)
HANDLER(AttachGroupPolicy, change, iam_attach)
HANDLER(AttachRolePolicy, change, iam_attach)
HANDLER(AttachUserPolicy, change, iam_attach)
HANDLER(CreateAccessKey, change, iam_create_access_key)
HANDLER(CreateAccountAlias, change, iam_create_account_alias)
HANDLER(CreateGroup, change, iam_create_group)
HANDLER(CreatePolicy, change, iam_create_policy)
HANDLER(CreatePolicyVersion, change, iam_create_policy_version)
HANDLER(CreateRole, change, iam_create_role)
HANDLER(CreateUser, change, iam_create_user)
HANDLER(DeleteAccessKey, change, iam_delete_access_key)
HANDLER(DeleteAccountAlias, change, iam_delete_account_alias)
HANDLER(DeleteAccountPasswordPolicy, change, iam_delete_account_password_policy)
HANDLER(DeleteGroup, change, iam_delete_group)
HANDLER(DeleteGroupPolicy, change, iam_delete_inline)
HANDLER(DeletePolicy, change, iam_delete_policy)
HANDLER(DeletePolicyVersion, change, iam_delete_policy_version)
HANDLER(DeleteRole, change, iam_delete_role)
HANDLER(DeleteRolePermissionsBoundary, change, iam_delete_boundary)
HANDLER(DeleteRolePolicy, change, iam_delete_inline)
HANDLER(DeleteUser, change, iam_delete_user)
HANDLER(DeleteUserPermissionsBoundary, change, iam_delete_boundary)
HANDLER(DeleteUserPolicy, change, iam_delete_inline)
HANDLER(DetachGroupPolicy, change, iam_detach)
HANDLER(DetachRolePolicy, change, iam_detach)
HANDLER(DetachUserPolicy, change, iam_detach)
HANDLER(GetAccessKeyLastUsed, iam_look, iam_get_access_key_last_used)
HANDLER(GetAccountAuthorizationDetails, iam_look, iam_get_account_authorization_details)
HANDLER(GetAccountPasswordPolicy, iam_look, iam_get_account_password_policy)
HANDLER(GetAccountSummary, iam_look, iam_get_account_summary)
HANDLER(GetContextKeysForCustomPolicy, iam_look, iam_context_keys_custom)
HANDLER(GetContextKeysForPrincipalPolicy, iam_look, iam_context_keys_principal)
HANDLER(GetGroup, iam_look, iam_get_group)
HANDLER(GetGroupPolicy, iam_look, iam_get_inline)
HANDLER(GetPolicy, iam_look, iam_get_policy)
HANDLER(GetPolicyVersion, iam_look, iam_get_policy_version)
HANDLER(GetRole, iam_look, iam_get_role)
HANDLER(GetRolePolicy, iam_look, iam_get_inline)
HANDLER(GetUser, iam_look, iam_get_user)
HANDLER(GetUserPolicy, iam_look, iam_get_inline)
HANDLER(ListAccessKeys, iam_look, iam_list_access_keys)
HANDLER(ListAccountAliases, iam_look, iam_list_account_aliases)
HANDLER(ListAttachedGroupPolicies, iam_look, iam_list_attached)
HANDLER(ListAttachedRolePolicies, iam_look, iam_list_attached)
HANDLER(ListAttachedUserPolicies, iam_look, iam_list_attached)
HANDLER(ListEntitiesForPolicy, iam_look, iam_list_entities_for_policy)
HANDLER(ListGroupPolicies, iam_look, iam_list_inline)
HANDLER(ListGroups, iam_look, iam_list_groups)
HANDLER(ListGroupsForUser, iam_look, iam_list_groups_for_user)
HANDLER(ListPolicies, iam_look, iam_list_policies)
HANDLER(ListPolicyTags, iam_look, iam_list_tags)
HANDLER(ListPolicyVersions, iam_look, iam_list_policy_versions)
HANDLER(ListRolePolicies, iam_look, iam_list_inline)
HANDLER(ListRoleTags, iam_look, iam_list_tags)
HANDLER(ListRoles, iam_look, iam_list_roles)
HANDLER(ListUserPolicies, iam_look, iam_list_inline)
HANDLER(ListUserTags, iam_look, iam_list_tags)
HANDLER(ListUsers, iam_look, iam_list_users)
HANDLER(PutGroupPolicy, change, iam_put_inline)
HANDLER(PutRolePermissionsBoundary, change, iam_put_boundary)
HANDLER(PutRolePolicy, change, iam_put_inline)
HANDLER(PutUserPermissionsBoundary, change, iam_put_boundary)
HANDLER(PutUserPolicy, change, iam_put_inline)
HANDLER(RemoveUserFromGroup, change, iam_remove_user_from_group)
HANDLER(SetDefaultPolicyVersion, change, iam_set_default_policy_version)
HANDLER(SimulateCustomPolicy, iam_look, iam_simulate_custom)
HANDLER(SimulatePrincipalPolicy, iam_look, iam_simulate_principal)
HANDLER(TagPolicy, change, iam_tag)
HANDLER(TagRole, change, iam_tag)
HANDLER(TagUser, change, iam_tag)
HANDLER(UntagPolicy, change, iam_untag)
HANDLER(UntagRole, change, iam_untag)
HANDLER(UntagUser, change, iam_untag)
HANDLER(UpdateAccessKey, change, iam_update_access_key)
HANDLER(UpdateAccountPasswordPolicy, change, iam_update_account_password_policy)
HANDLER(UpdateAssumeRolePolicy, change, iam_update_assume_role_policy)
HANDLER(UpdateGroup, change, iam_update_group)
HANDLER(UpdateRole, change, iam_update_role)
HANDLER(UpdateRoleDescription, change, iam_update_role_description)
HANDLER(UpdateUser, change, iam_update_user)

#define ENTRY(name) {#name, handle_##name, touch_target}
#define SELF(name) {#name, handle_##name, touch_self}
#define READ(name) {#name, handle_##name, touch_target, .quick = true}
/* The list is answered whole; the front door cuts it into pages by that member. */
#define PAGED(name, member) {#name, handle_##name, touch_target, .quick = true, .mark = member}

static const struct aws_handler handlers[] = {
	ENTRY(AddUserToGroup),
	ENTRY(AttachGroupPolicy),
	ENTRY(AttachRolePolicy),
	ENTRY(AttachUserPolicy),
	SELF(CreateAccessKey),
	ENTRY(CreateAccountAlias),
	ENTRY(CreateGroup),
	ENTRY(CreatePolicy),
	ENTRY(CreatePolicyVersion),
	ENTRY(CreateRole),
	ENTRY(CreateUser),
	SELF(DeleteAccessKey),
	ENTRY(DeleteAccountAlias),
	ENTRY(DeleteAccountPasswordPolicy),
	ENTRY(DeleteGroup),
	ENTRY(DeleteGroupPolicy),
	ENTRY(DeletePolicy),
	ENTRY(DeletePolicyVersion),
	ENTRY(DeleteRole),
	ENTRY(DeleteRolePermissionsBoundary),
	ENTRY(DeleteRolePolicy),
	ENTRY(DeleteUser),
	ENTRY(DeleteUserPermissionsBoundary),
	ENTRY(DeleteUserPolicy),
	ENTRY(DetachGroupPolicy),
	ENTRY(DetachRolePolicy),
	ENTRY(DetachUserPolicy),
	{"GetAccessKeyLastUsed", handle_GetAccessKeyLastUsed, touch_key_user, .quick = true},
	READ(GetAccountAuthorizationDetails),
	READ(GetAccountPasswordPolicy),
	READ(GetAccountSummary),
	READ(GetContextKeysForCustomPolicy),
	READ(GetContextKeysForPrincipalPolicy),
	PAGED(GetGroup, "UserName"),
	READ(GetGroupPolicy),
	READ(GetPolicy),
	READ(GetPolicyVersion),
	READ(GetRole),
	READ(GetRolePolicy),
	{"GetUser", handle_GetUser, touch_self, .quick = true},
	READ(GetUserPolicy),
	{"ListAccessKeys", handle_ListAccessKeys, touch_self, .quick = true, .mark = "AccessKeyId"},
	PAGED(ListAccountAliases, ""),
	PAGED(ListAttachedGroupPolicies, "PolicyArn"),
	PAGED(ListAttachedRolePolicies, "PolicyArn"),
	PAGED(ListAttachedUserPolicies, "PolicyArn"),
	READ(ListEntitiesForPolicy),
	PAGED(ListGroupPolicies, ""),
	PAGED(ListGroups, "GroupName"),
	PAGED(ListGroupsForUser, "GroupName"),
	PAGED(ListPolicies, "Arn"),
	PAGED(ListPolicyTags, "Key"),
	READ(ListPolicyVersions),
	PAGED(ListRolePolicies, ""),
	PAGED(ListRoleTags, "Key"),
	PAGED(ListRoles, "RoleName"),
	PAGED(ListUserPolicies, ""),
	PAGED(ListUserTags, "Key"),
	PAGED(ListUsers, "UserName"),
	ENTRY(PutGroupPolicy),
	ENTRY(PutRolePermissionsBoundary),
	ENTRY(PutRolePolicy),
	ENTRY(PutUserPermissionsBoundary),
	ENTRY(PutUserPolicy),
	ENTRY(RemoveUserFromGroup),
	ENTRY(SetDefaultPolicyVersion),
	ENTRY(SimulateCustomPolicy),
	ENTRY(SimulatePrincipalPolicy),
	ENTRY(TagPolicy),
	ENTRY(TagRole),
	ENTRY(TagUser),
	ENTRY(UntagPolicy),
	ENTRY(UntagRole),
	ENTRY(UntagUser),
	SELF(UpdateAccessKey),
	ENTRY(UpdateAccountPasswordPolicy),
	ENTRY(UpdateAssumeRolePolicy),
	ENTRY(UpdateGroup),
	ENTRY(UpdateRole),
	ENTRY(UpdateRoleDescription),
	ENTRY(UpdateUser),
	{NULL},
};
/* clang-format on */

void identity_answers(struct identity *identity, struct aws_answers *ret_iam,
		      struct aws_answers *ret_sts)
{
	*ret_iam = (struct aws_answers){"iam", handlers, identity};
	*ret_sts = (struct aws_answers){"sts", sts_handlers, identity};
}
