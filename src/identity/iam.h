/*
 * IAM: what its operations have in common.  For this folder only.
 *
 * An operation looks (with identity.lock held for reading) or changes (with identity.change held);
 * the table in iam.c says which.  What it answers may share what is in the store: objects there
 * never change.
 */
#pragma once

#include "aws/call.h"
#include "identity/store.h"

typedef int iam_operation(struct identity *identity, struct aws_call *call, json_t **ret);

/* One that looks: with identity.lock held. */
int iam_look(struct identity *identity, struct aws_call *call, json_t **ret,
	     iam_operation *operation);

/* How things of a kind are called. */
struct iam_words {
	const char *name_member; /* "UserName" */
	const char *id_member;   /* "UserId" */
	const char *id_prefix;   /* "AIDA" */
	const char *word;        /* "user": in ARNs and messages */
	const char *title;       /* "User": in messages, and a member of answers */
	const char *quota_name;  /* "UsersPerAccount" */
	unsigned quota;
};
const struct iam_words *iam_words(enum entity_kind kind);

/* An input that is a text; NULL without it. */
const char *iam_text(const struct aws_call *call, const char *member);
/* What the call is about: the group, user, role or policy that its input names; NULL and the fault
 * NoSuchEntity when there is none.  iam_self() is for calls that mean the caller where they name
 * nobody: *ret NULL is the root. */
struct entity *iam_target(struct identity *identity, struct aws_call *call);
int iam_self(struct identity *identity, struct aws_call *call, struct entity **ret);
struct entity *iam_find(struct identity *identity, struct aws_call *call, enum entity_kind kind);
struct entity *iam_find_policy(struct identity *identity, struct aws_call *call, const char *arn);

/* "arn:aws:iam::ACCOUNT:user/path/NAME"; the caller frees it. */
char *iam_arn(const char *account, enum entity_kind kind, const char *path, const char *name);
/* A new object with the members that all kinds have: name, id, Arn, Path, CreateDate, Tags.  NULL
 * and a fault when there is one of that name, or the tags are none. */
json_t *iam_new(struct identity *identity, struct aws_call *call, enum entity_kind kind);
/* The same object with other members; NULL-terminated. */
json_t *iam_pick(const json_t *data, const char *const *members);
/* As it is answered: of users, groups and roles; `whole` with tags and boundary. */
json_t *iam_show(const struct entity *entity, bool whole);
/* {MEMBER: list, "IsTruncated": false} */
json_t *iam_list(const char *member, json_t *list);
/* Whether it is below the call's PathPrefix. */
bool iam_in_path(const struct aws_call *call, const struct entity *entity);

/* A text as URLs have it: how IAM answers documents. */
json_t *iam_encoded(const char *text);
double iam_now(const struct aws_call *call);

/* Whether the call's `member` is a policy of that kind, of at most `size_max`; else the fault. */
int iam_check_document(struct aws_call *call, const char *member, enum policy_kind kind,
		       unsigned size_max);
/* `tags` with those of the call's Tags put in; NULL and the fault when they cannot be. */
json_t *iam_merge_tags(struct aws_call *call, const json_t *tags);
/* How many of that kind the account has. */
unsigned iam_count(const struct identity *identity, enum entity_kind kind, const char *account);
/* How many entities have the policy attached. */
unsigned iam_count_attached(const struct identity *identity, const struct entity *policy);
bool iam_has_text(const json_t *list, const char *text);
/* As it was, without that text. */
json_t *iam_without_text(const json_t *list, const char *text);
/* As it is answered. */
json_t *iam_show_policy(const struct identity *identity, const struct entity *policy, bool whole);
json_t *iam_show_version(const struct entity *policy, const char *version, bool with_document);
json_t *iam_show_role_use(struct identity *identity, const struct entity *role);
json_t *iam_show_inline(const struct entity *party);
json_t *iam_show_attached(const struct identity *identity, const struct entity *party);
/* A change of one entity; `data` is stolen. */
int iam_replace(struct identity *identity, struct entity *entity, json_t *data);

iam_operation iam_create_user, iam_get_user, iam_list_users, iam_update_user, iam_delete_user,
	iam_create_access_key, iam_list_access_keys, iam_update_access_key, iam_delete_access_key,
	iam_get_access_key_last_used;
iam_operation iam_create_group, iam_get_group, iam_list_groups, iam_update_group, iam_delete_group,
	iam_add_user_to_group, iam_remove_user_from_group, iam_list_groups_for_user;
iam_operation iam_create_role, iam_get_role, iam_list_roles, iam_update_role,
	iam_update_role_description, iam_delete_role, iam_update_assume_role_policy;
iam_operation iam_put_inline, iam_get_inline, iam_list_inline, iam_delete_inline, iam_attach,
	iam_detach, iam_list_attached, iam_put_boundary, iam_delete_boundary;
iam_operation iam_create_policy, iam_get_policy, iam_list_policies, iam_delete_policy,
	iam_create_policy_version, iam_get_policy_version, iam_list_policy_versions,
	iam_delete_policy_version, iam_set_default_policy_version, iam_list_entities_for_policy;
iam_operation iam_tag, iam_untag, iam_list_tags;
iam_operation iam_create_account_alias, iam_list_account_aliases, iam_delete_account_alias,
	iam_get_account_summary, iam_get_account_authorization_details,
	iam_update_account_password_policy, iam_get_account_password_policy,
	iam_delete_account_password_policy;
iam_operation iam_simulate_principal, iam_simulate_custom, iam_context_keys_principal,
	iam_context_keys_custom;

/* Policies of their own that a user, group and role may have: together as long as that. */
#define IAM_USER_POLICIES_MAX 2048
#define IAM_GROUP_POLICIES_MAX 5120
#define IAM_ROLE_POLICIES_MAX 10240
#define IAM_POLICY_MAX 6144
#define IAM_TRUST_MAX 2048
#define IAM_ATTACHED_MAX 10
