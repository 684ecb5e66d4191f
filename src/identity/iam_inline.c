/* IAM: the policies of users, groups and roles: their own, those attached to them, and their
 * boundary. */
#include "base/alloc.h"
#include "identity/iam.h"
#include "identity/principal.h"

#include <string.h>

static unsigned size_max(enum entity_kind kind)
{
	switch (kind) {
	case ENTITY_GROUP:
		return IAM_GROUP_POLICIES_MAX;
	case ENTITY_ROLE:
		return IAM_ROLE_POLICIES_MAX;
	default:
		return IAM_USER_POLICIES_MAX;
	}
}

/* What the others' policies take of the quota that they share with the one of that name. */
static unsigned size_of_others(const json_t *inlined, const char *name)
{
	unsigned size = 0;
	const char *other;
	json_t *text;

	json_object_foreach ((json_t *)inlined, other, text) {
		if (strcmp(other, name))
			size += policy_text_size(json_string_value(text));
	}
	return size;
}

static int set_inline(struct identity *identity, struct entity *party, json_t *inlined)
{
	json_t *data = json_copy(party->data);

	json_object_set_new(data, "Inline", inlined);
	return iam_replace(identity, party, data);
}

int iam_put_inline(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *party = iam_target(identity, call);
	const char *name = iam_text(call, "PolicyName");
	const char *document = iam_text(call, "PolicyDocument");
	json_t *inlined;
	unsigned others;
	int r;

	if (!party)
		return AWS_FAULT;
	inlined = json_object_get(party->data, "Inline");
	others = size_of_others(inlined, name);
	if (others + policy_text_size(document) > size_max(party->kind))
		return aws_fault(call, "LimitExceeded",
				 "Maximum policy size of %u bytes exceeded "
				 "for %s %s",
				 size_max(party->kind), iam_words(party->kind)->word, party->name);
	r = iam_check_document(call, "PolicyDocument", POLICY_IDENTITY, IAM_ROLE_POLICIES_MAX);
	if (r < 0)
		return r;
	inlined = inlined ? json_copy(inlined) : json_object();
	json_object_set_new(inlined, name, json_string(document));
	return set_inline(identity, party, inlined);
}

/* The text of the call's PolicyName; NULL and the fault without one. */
static const char *find_inline(const struct entity *party, struct aws_call *call)
{
	const char *name = iam_text(call, "PolicyName");
	const char *text =
		json_string_value(json_object_get(json_object_get(party->data, "Inline"), name));

	if (!text)
		aws_fault(call, "NoSuchEntity", "The %s policy with name %s cannot be found.",
			  iam_words(party->kind)->word, name);
	return text;
}

int iam_get_inline(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *party = iam_target(identity, call);
	const char *text = party ? find_inline(party, call) : NULL;

	if (!text)
		return AWS_FAULT;
	*ret = json_pack("{s:s, s:s, s:o}", iam_words(party->kind)->name_member, party->name,
			 "PolicyName", iam_text(call, "PolicyName"), "PolicyDocument",
			 iam_encoded(text));
	return 0;
}

int iam_list_inline(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *party = iam_target(identity, call);
	json_t *list, *text;
	const char *name;

	if (!party)
		return AWS_FAULT;
	list = json_array();
	json_object_foreach (json_object_get(party->data, "Inline"), name, text)
		json_array_append_new(list, json_string(name));
	*ret = iam_list("PolicyNames", list);
	return 0;
}

int iam_delete_inline(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *party = iam_target(identity, call);
	json_t *inlined;

	if (!party || !find_inline(party, call))
		return AWS_FAULT;
	inlined = json_copy(json_object_get(party->data, "Inline"));
	json_object_del(inlined, iam_text(call, "PolicyName"));
	return set_inline(identity, party, inlined);
}

json_t *iam_show_inline(const struct entity *party)
{
	json_t *list = json_array(), *text;
	const char *name;

	json_object_foreach (json_object_get(party->data, "Inline"), name, text)
		json_array_append_new(list,
				      json_pack("{s:s, s:o}", "PolicyName", name, "PolicyDocument",
						iam_encoded(json_string_value(text))));
	return list;
}

/* ---- attached ----------------------------------------------------------------------------- */

static int set_attached(struct identity *identity, struct entity *party, json_t *attached)
{
	json_t *data = json_copy(party->data);

	json_object_set_new(data, "Attached", attached);
	return iam_replace(identity, party, data);
}

int iam_attach(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *arn = iam_text(call, "PolicyArn");
	struct entity *party = iam_target(identity, call);
	json_t *attached;

	if (!party)
		return AWS_FAULT;
	if (!iam_find_policy(identity, call, arn))
		return aws_fault(call, "NoSuchEntity",
				 "Policy %s does not exist or is not attachable.", arn);
	attached = json_object_get(party->data, "Attached");
	if (iam_has_text(attached, arn))
		return 0;
	if (json_array_size(attached) >= IAM_ATTACHED_MAX)
		return aws_fault(call, "LimitExceeded", "Cannot exceed quota for PoliciesPer%s: %d",
				 iam_words(party->kind)->title, IAM_ATTACHED_MAX);
	attached = attached ? json_copy(attached) : json_array();
	json_array_append_new(attached, json_string(arn));
	return set_attached(identity, party, attached);
}

int iam_detach(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *arn = iam_text(call, "PolicyArn");
	struct entity *party = iam_target(identity, call);
	json_t *attached;

	if (!party)
		return AWS_FAULT;
	attached = json_object_get(party->data, "Attached");
	if (!iam_has_text(attached, arn))
		return aws_fault(call, "NoSuchEntity", "Policy %s was not found.", arn);
	return set_attached(identity, party, iam_without_text(attached, arn));
}

static json_t *show_attached(const struct identity *identity, const struct entity *party,
			     const struct aws_call *call)
{
	json_t *list = json_array(), *arn;
	size_t i;

	json_array_foreach (json_object_get(party->data, "Attached"), i, arn) {
		const struct entity *policy = principal_policy(identity, json_string_value(arn));

		if (policy && (!call || iam_in_path(call, policy)))
			json_array_append_new(list, json_pack("{s:s, s:O}", "PolicyName",
							      policy->name, "PolicyArn", arn));
	}
	return list;
}

json_t *iam_show_attached(const struct identity *identity, const struct entity *party)
{
	return show_attached(identity, party, NULL);
}

int iam_list_attached(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const struct entity *party = iam_target(identity, call);

	if (!party)
		return AWS_FAULT;
	*ret = iam_list("AttachedPolicies", show_attached(identity, party, call));
	return 0;
}

int iam_put_boundary(struct identity *identity, struct aws_call *call, json_t **ret)
{
	const char *arn = iam_text(call, "PermissionsBoundary");
	struct entity *party = iam_target(identity, call);
	json_t *data;

	if (!party || !iam_find_policy(identity, call, arn))
		return AWS_FAULT;
	data = json_copy(party->data);
	json_object_set_new(data, "PermissionsBoundary", json_string(arn));
	return iam_replace(identity, party, data);
}

int iam_delete_boundary(struct identity *identity, struct aws_call *call, json_t **ret)
{
	struct entity *party = iam_target(identity, call);
	json_t *data;

	if (!party)
		return AWS_FAULT;
	if (!entity_text(party, "PermissionsBoundary"))
		return aws_fault(call, "NoSuchEntity",
				 "The %s with name %s has no permissions boundary.",
				 iam_words(party->kind)->word, party->name);
	data = json_copy(party->data);
	json_object_del(data, "PermissionsBoundary");
	return iam_replace(identity, party, data);
}
