/* IAM: users and their access keys. */
#include "base/alloc.h"
#include "identity/iam.h"
#include "identity/principal.h"

#include <openssl/crypto.h>
#include <string.h>

#define KEYS_MAX 2

json_t *iam_show(const struct entity *entity, bool whole)
{
	static const char *const members[] = {"Path",
					      "UserName",
					      "UserId",
					      "GroupName",
					      "GroupId",
					      "RoleName",
					      "RoleId",
					      "Arn",
					      "CreateDate",
					      "Description",
					      "MaxSessionDuration",
					      NULL};
	json_t *shown = iam_pick(entity->data, members);
	const char *trust = entity_text(entity, "AssumeRolePolicyDocument");
	const char *boundary = entity_text(entity, "PermissionsBoundary");

	if (trust)
		json_object_set_new(shown, "AssumeRolePolicyDocument", iam_encoded(trust));
	if (!whole)
		return shown;
	if (boundary)
		json_object_set_new(shown, "PermissionsBoundary",
				    json_pack("{s:s, s:s}", "PermissionsBoundaryType",
					      "PermissionsBoundaryPolicy", "PermissionsBoundaryArn",
					      boundary));
	json_object_set(shown, "Tags", json_object_get(entity->data, "Tags"));
	return shown;
}

int iam_create_user(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *boundary = iam_text(call, "PermissionsBoundary");
	json_t *data;
	int r;

	if (boundary && !iam_find_policy(identity, call, boundary))
		return AWS_FAULT;
	data = iam_new(identity, call, ENTITY_USER);
	if (!data)
		return AWS_FAULT;
	if (boundary)
		json_object_set_new(data, "PermissionsBoundary", json_string(boundary));
	r = store_add(identity, ENTITY_USER, call->caller.account, iam_text(call, "UserName"),
		      data);
	if (r < 0)
		return r;
	*ret = json_pack("{s:o}", "User",
			 iam_show(store_find(identity, ENTITY_USER, call->caller.account,
					     iam_text(call, "UserName")),
				  true));
	return 0;
}

static double account_made(const struct identity *identity, const char *account)
{
	const struct entity *entity = store_find(identity, ENTITY_ACCOUNT, account, account);

	return entity ? json_number_value(json_object_get(entity->data, "CreateDate")) : 0;
}

int iam_get_user(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *account = call->caller.account;
	struct entity *user;
	int r = iam_self(identity, call, &user);

	if (r < 0)
		return r;
	if (user) {
		*ret = json_pack("{s:o}", "User", iam_show(user, true));
		return 0;
	}
	*ret = json_pack("{s:{s:s, s:s, s:s, s:s, s:f}}", "User", "Path", "/", "UserName", "root",
			 "UserId", account, "Arn", call->caller.arn, "CreateDate",
			 account_made(identity, account));
	return 0;
}

int iam_list_users(struct identity *identity, struct aws_call *call, json_t **ret)
{
	json_t *list = json_array();
	const struct entity *user;
	unsigned at = 0;

	while ((user = store_next(identity, ENTITY_USER, call->caller.account, &at))) {
		if (iam_in_path(call, user))
			json_array_append_new(list, iam_show(user, false));
	}
	*ret = iam_list("Users", list);
	return 0;
}

int iam_update_user(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *name = iam_text(call, "NewUserName"), *path = iam_text(call, "NewPath");
	struct entity *user = iam_find(identity, call, ENTITY_USER);
	CLEANUP(free) char *arn = NULL;
	json_t *data;

	if (!user)
		return AWS_FAULT;
	if (name && strcmp(name, user->name) &&
	    store_is_taken(identity, ENTITY_USER, user->account, name))
		return aws_fault(call, "EntityAlreadyExists", "User with name %s already exists.",
				 name);
	name = name ? name : user->name;
	path = path ? path : entity_text(user, "Path");
	arn = iam_arn(user->account, ENTITY_USER, path, name);
	data = json_copy(user->data);
	json_object_set_new(data, "UserName", json_string(name));
	json_object_set_new(data, "Path", json_string(path));
	json_object_set_new(data, "Arn", json_string(arn));
	return store_replace(identity, user, name, data);
}

static unsigned count_keys(const struct identity *identity, const char *account,
			   const char *user_id)
{
	const struct entity *key;
	unsigned at = 0, count = 0;

	while ((key = store_next(identity, ENTITY_KEY, account, &at))) {
		const char *id = entity_text(key, "UserId");

		count += id && user_id ? !strcmp(id, user_id) : id == user_id;
	}
	return count;
}

int iam_delete_user(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *user = iam_find(identity, call, ENTITY_USER);
	const char *what = NULL;

	if (!user)
		return AWS_FAULT;
	if (json_array_size(json_object_get(user->data, "Attached")))
		what = "must detach all policies first.";
	else if (json_object_size(json_object_get(user->data, "Inline")))
		what = "must delete policies first.";
	else if (count_keys(identity, user->account, user->id))
		what = "must delete access keys first.";
	else if (json_array_size(json_object_get(user->data, "Groups")))
		what = "must remove users from group first.";
	if (what)
		return aws_fault(call, "DeleteConflict", "Cannot delete entity, %s", what);
	return store_remove(identity, user);
}

/* ---- access keys -------------------------------------------------------------------------- */

static bool is_of(const struct entity *key, const char *account, const struct entity *user)
{
	const char *id = entity_text(key, "UserId");

	if (strcmp(key->account, account))
		return false;
	return user ? id && !strcmp(id, user->id) : !id;
}

int iam_create_access_key(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *account = call->caller.account;
	char id[21], secret[SECRET_TEXT_SIZE];
	struct entity *user;
	json_t *data;
	int r = iam_self(identity, call, &user);

	if (r < 0)
		return r;
	if (count_keys(identity, account, user ? user->id : NULL) >= KEYS_MAX)
		return aws_fault(call, "LimitExceeded",
				 "Cannot exceed quota for AccessKeysPerUser: %d", KEYS_MAX);
	secret_random_id("AKIA", id, sizeof id);
	secret_random(secret);
	data = json_pack("{s:s, s:s, s:f, s:s}", "AccessKeyId", id, "Status", "Active",
			 "CreateDate", iam_now(call), "SecretAccessKey", secret);
	if (user)
		json_object_set_new(data, "UserId", json_string(user->id));
	r = store_add(identity, ENTITY_KEY, account, id, data);
	if (r == 0)
		*ret = json_pack("{s:{s:s, s:s, s:s, s:s, s:f}}", "AccessKey", "UserName",
				 user ? user->name : "root", "AccessKeyId", id, "Status", "Active",
				 "SecretAccessKey", secret, "CreateDate", iam_now(call));
	OPENSSL_cleanse(secret, sizeof secret);
	return r;
}

int iam_list_access_keys(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *account = call->caller.account;
	json_t *list = json_array();
	const struct entity *key;
	struct entity *user;
	unsigned at = 0;
	int r = iam_self(identity, call, &user);

	while (r == 0 && (key = store_next(identity, ENTITY_KEY, account, &at))) {
		static const char *const members[] = {"AccessKeyId", "Status", "CreateDate", NULL};
		json_t *shown;

		if (!is_of(key, account, user))
			continue;
		shown = iam_pick(key->data, members);
		json_object_set_new(shown, "UserName", json_string(user ? user->name : "root"));
		json_array_append_new(list, shown);
	}
	*ret = iam_list("AccessKeyMetadata", list);
	return r;
}

/* The key of the call's AccessKeyId, if it is that user's. */
static struct entity *find_key(struct identity *identity, struct aws_call *call)
{
	const char *id = iam_text(call, "AccessKeyId");
	struct entity *user, *key;

	if (iam_self(identity, call, &user) < 0)
		return NULL;
	key = store_find(identity, ENTITY_KEY, "", id);
	if (key && is_of(key, call->caller.account, user))
		return key;
	aws_fault(call, "NoSuchEntity", "The Access Key with id %s cannot be found.", id);
	return NULL;
}

int iam_update_access_key(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *key = find_key(identity, call);
	json_t *data;

	if (!key)
		return AWS_FAULT;
	data = json_copy(key->data);
	json_object_set(data, "Status", json_object_get(call->input, "Status"));
	return iam_replace(identity, key, data);
}

int iam_delete_access_key(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *key = find_key(identity, call);

	return key ? store_remove(identity, key) : AWS_FAULT;
}

/* When, where and for what: "N/A" where it never was. */
static json_t *show_use(struct identity *identity, const struct last_use *use)
{
	json_t *shown;

	pthread_mutex_lock(&identity->cache);
	if (use->used_us)
		shown = json_pack("{s:f, s:s, s:s}", "LastUsedDate", whole_seconds(use->used_us),
				  "Region", use->region, "ServiceName", use->service);
	else
		shown = json_pack("{s:s, s:s}", "Region", "N/A", "ServiceName", "N/A");
	pthread_mutex_unlock(&identity->cache);
	return shown;
}

int iam_get_access_key_last_used(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *id = iam_text(call, "AccessKeyId"), *user_id;
	const struct entity *key = store_find(identity, ENTITY_KEY, "", id), *user;

	if (!key || strcmp(key->account, call->caller.account))
		return aws_fault(call, "NoSuchEntity", "The Access Key with id %s cannot be found.",
				 id);
	user_id = entity_text(key, "UserId");
	user = user_id ? store_find_id(identity, user_id) : NULL;
	*ret = json_pack("{s:s, s:o}", "UserName", user ? user->name : "root", "AccessKeyLastUsed",
			 show_use(identity, key->use));
	return 0;
}
