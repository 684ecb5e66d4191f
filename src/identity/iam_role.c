/* IAM: roles. */
#include "base/alloc.h"
#include "identity/iam.h"

#include <string.h>

#define SESSION_DEFAULT_S 3600

/* In test mode a trust policy that is none is kept, and trusts nobody. */
static int check_trust(struct identity *identity, struct aws_call *call, const char *member)
{
	int r = iam_check_document(call, member, POLICY_TRUST, IAM_TRUST_MAX);

	if (r < 0 && identity->test && !strcmp(member, "AssumeRolePolicyDocument")) {
		call->fault = (struct aws_fault){0};
		return 0;
	}
	return r;
}

static void set_role(json_t *data, const struct aws_call *call)
{
	json_t *duration = json_object_get(call->input, "MaxSessionDuration");

	json_object_set(data, "AssumeRolePolicyDocument",
			json_object_get(call->input, "AssumeRolePolicyDocument"));
	json_object_set_new(data, "MaxSessionDuration",
			    duration ? json_incref(duration) : json_integer(SESSION_DEFAULT_S));
	if (iam_text(call, "Description"))
		json_object_set(data, "Description", json_object_get(call->input, "Description"));
	if (iam_text(call, "PermissionsBoundary"))
		json_object_set(data, "PermissionsBoundary",
				json_object_get(call->input, "PermissionsBoundary"));
}

int iam_create_role(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *name = iam_text(call, "RoleName"), *account = call->caller.account;
	const char *boundary = iam_text(call, "PermissionsBoundary");
	json_t *data;
	int r;

	if (boundary && !iam_find_policy(identity, call, boundary))
		return AWS_FAULT;
	r = check_trust(identity, call, "AssumeRolePolicyDocument");
	if (r < 0)
		return r;
	data = iam_new(identity, call, ENTITY_ROLE);
	if (!data)
		return AWS_FAULT;
	set_role(data, call);
	r = store_add(identity, ENTITY_ROLE, account, name, data);
	if (r == 0)
		*ret = json_pack("{s:o}", "Role",
				 iam_show(store_find(identity, ENTITY_ROLE, account, name), true));
	return r;
}

/* Empty where it never was. */
json_t *iam_show_role_use(struct identity *identity, const struct entity *role)
{
	json_t *shown = json_object();

	pthread_mutex_lock(&identity->cache);
	if (role->use->used_us) {
		json_object_set_new(shown, "LastUsedDate",
				    json_real(whole_seconds(role->use->used_us)));
		json_object_set_new(shown, "Region", json_string(role->use->region));
	}
	pthread_mutex_unlock(&identity->cache);
	return shown;
}

static json_t *show_whole(struct identity *identity, const struct entity *role)
{
	json_t *shown = iam_show(role, true);

	json_object_set_new(shown, "RoleLastUsed", iam_show_role_use(identity, role));
	return shown;
}

int iam_get_role(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *role = iam_find(identity, call, ENTITY_ROLE);

	if (!role)
		return AWS_FAULT;
	*ret = json_pack("{s:o}", "Role", show_whole(identity, role));
	return 0;
}

int iam_list_roles(struct identity *identity, struct aws_call *call, json_t **ret)
{
	json_t *list = json_array();
	const struct entity *role;
	unsigned at = 0;

	while ((role = store_next(identity, ENTITY_ROLE, call->caller.account, &at))) {
		if (iam_in_path(call, role))
			json_array_append_new(list, iam_show(role, false));
	}
	*ret = iam_list("Roles", list);
	return 0;
}

int iam_update_role(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *role = iam_find(identity, call, ENTITY_ROLE);
	json_t *duration = json_object_get(call->input, "MaxSessionDuration"), *data;

	if (!role)
		return AWS_FAULT;
	data = json_copy(role->data);
	json_object_set_new(data, "MaxSessionDuration",
			    duration ? json_incref(duration) : json_integer(SESSION_DEFAULT_S));
	if (iam_text(call, "Description"))
		json_object_set(data, "Description", json_object_get(call->input, "Description"));
	return iam_replace(identity, role, data);
}

int iam_update_role_description(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *role = iam_find(identity, call, ENTITY_ROLE);
	json_t *data;
	int r;

	if (!role)
		return AWS_FAULT;
	data = json_copy(role->data);
	json_object_set(data, "Description", json_object_get(call->input, "Description"));
	r = iam_replace(identity, role, data);
	if (r == 0)
		*ret = json_pack("{s:o}", "Role", iam_show(role, true));
	return r;
}

int iam_delete_role(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *role = iam_find(identity, call, ENTITY_ROLE);
	const char *what = NULL;

	if (!role)
		return AWS_FAULT;
	if (json_array_size(json_object_get(role->data, "Attached")))
		what = "must detach all policies first.";
	else if (json_object_size(json_object_get(role->data, "Inline")))
		what = "must delete policies first.";
	if (what)
		return aws_fault(call, "DeleteConflict", "Cannot delete entity, %s", what);
	return store_remove(identity, role);
}

int iam_update_assume_role_policy(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *role = iam_find(identity, call, ENTITY_ROLE);
	json_t *data;
	int r;

	if (!role)
		return AWS_FAULT;
	r = check_trust(identity, call, "PolicyDocument");
	if (r < 0)
		return r;
	data = json_copy(role->data);
	json_object_set(data, "AssumeRolePolicyDocument",
			json_object_get(call->input, "PolicyDocument"));
	return iam_replace(identity, role, data);
}
