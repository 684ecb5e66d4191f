/* IAM: groups.  Who is in which is kept with the user, by the groups' ids. */
#include "base/alloc.h"
#include "identity/iam.h"

#include <string.h>

#define GROUPS_MAX 10

static bool is_member(const struct entity *user, const struct entity *group)
{
	return iam_has_text(json_object_get(user->data, "Groups"), group->id);
}

int iam_create_group(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *name = iam_text(call, "GroupName");
	json_t *data = iam_new(identity, call, ENTITY_GROUP);
	int r;

	if (!data)
		return AWS_FAULT;
	r = store_add(identity, ENTITY_GROUP, call->caller.account, name, data);
	if (r == 0)
		*ret = json_pack(
			"{s:o}", "Group",
			iam_show(store_find(identity, ENTITY_GROUP, call->caller.account, name),
				 false));
	return r;
}

static json_t *list_members(const struct identity *identity, const struct entity *group)
{
	json_t *list = json_array();
	const struct entity *user;
	unsigned at = 0;

	while ((user = store_next(identity, ENTITY_USER, group->account, &at))) {
		if (is_member(user, group))
			json_array_append_new(list, iam_show(user, false));
	}
	return list;
}

int iam_get_group(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *group = iam_find(identity, call, ENTITY_GROUP);

	if (!group)
		return AWS_FAULT;
	*ret = iam_list("Users", list_members(identity, group));
	json_object_set_new(*ret, "Group", iam_show(group, false));
	return 0;
}

int iam_list_groups(struct identity *identity, struct aws_call *call, json_t **ret)
{
	json_t *list = json_array();
	const struct entity *group;
	unsigned at = 0;

	while ((group = store_next(identity, ENTITY_GROUP, call->caller.account, &at))) {
		if (iam_in_path(call, group))
			json_array_append_new(list, iam_show(group, false));
	}
	*ret = iam_list("Groups", list);
	return 0;
}

int iam_update_group(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *name = iam_text(call, "NewGroupName"), *path = iam_text(call, "NewPath");
	struct entity *group = iam_find(identity, call, ENTITY_GROUP);
	CLEANUP(free) char *arn = NULL;
	json_t *data;

	if (!group)
		return AWS_FAULT;
	if (name && strcmp(name, group->name) &&
	    store_is_taken(identity, ENTITY_GROUP, group->account, name))
		return aws_fault(call, "EntityAlreadyExists", "Group with name %s already exists.",
				 name);
	name = name ? name : group->name;
	path = path ? path : entity_text(group, "Path");
	arn = iam_arn(group->account, ENTITY_GROUP, path, name);
	data = json_copy(group->data);
	json_object_set_new(data, "GroupName", json_string(name));
	json_object_set_new(data, "Path", json_string(path));
	json_object_set_new(data, "Arn", json_string(arn));
	return store_replace(identity, group, name, data);
}

int iam_delete_group(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *group = iam_find(identity, call, ENTITY_GROUP);
	const char *what = NULL;
	json_t *members;

	if (!group)
		return AWS_FAULT;
	members = list_members(identity, group);
	if (json_array_size(members))
		what = "must remove users from group first.";
	else if (json_array_size(json_object_get(group->data, "Attached")))
		what = "must detach all policies first.";
	else if (json_object_size(json_object_get(group->data, "Inline")))
		what = "must delete policies first.";
	json_decref(members);
	if (what)
		return aws_fault(call, "DeleteConflict", "Cannot delete entity, %s", what);
	return store_remove(identity, group);
}

static int set_groups(struct identity *identity, struct entity *user, json_t *groups)
{
	json_t *data = json_copy(user->data);

	json_object_set_new(data, "Groups", groups);
	return iam_replace(identity, user, data);
}

int iam_add_user_to_group(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *user = iam_find(identity, call, ENTITY_USER);
	struct entity *group = user ? iam_find(identity, call, ENTITY_GROUP) : NULL;
	json_t *groups;

	if (!group)
		return AWS_FAULT;
	if (is_member(user, group))
		return 0;
	groups = json_object_get(user->data, "Groups");
	if (json_array_size(groups) >= GROUPS_MAX)
		return aws_fault(call, "LimitExceeded", "Cannot exceed quota for GroupsPerUser: %d",
				 GROUPS_MAX);
	groups = groups ? json_copy(groups) : json_array();
	json_array_append_new(groups, json_string(group->id));
	return set_groups(identity, user, groups);
}

int iam_remove_user_from_group(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *group = iam_find(identity, call, ENTITY_GROUP);
	struct entity *user = group ? iam_find(identity, call, ENTITY_USER) : NULL;

	if (!user)
		return AWS_FAULT;
	if (!is_member(user, group))
		return aws_fault(call, "NoSuchEntity", "User %s not in group %s", user->name,
				 group->name);
	return set_groups(identity, user,
			  iam_without_text(json_object_get(user->data, "Groups"), group->id));
}

int iam_list_groups_for_user(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *user = iam_find(identity, call, ENTITY_USER);
	json_t *list, *id;
	size_t i;

	if (!user)
		return AWS_FAULT;
	list = json_array();
	json_array_foreach (json_object_get(user->data, "Groups"), i, id) {
		const struct entity *group = store_find_id(identity, json_string_value(id));

		if (group)
			json_array_append_new(list, iam_show(group, false));
	}
	*ret = iam_list("Groups", list);
	return 0;
}
