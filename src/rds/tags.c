#include "rds/internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define TAGS_MAX 50
#define KEY_MAX 128
#define VALUE_MAX 256

/* --- Lists of them ---------------------------------------------------------------------------- */

json_t *tags_object(const json_t *tags)
{
	json_t *object = json_object(), *value;
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag) {
		value = json_object_get(tag, "Value");
		json_object_set_new(object, json_string_value(json_object_get(tag, "Key")),
				    value ? json_incref(value) : json_string(""));
	}
	return object;
}

static json_t *tags_list(const json_t *object)
{
	json_t *list = json_array(), *value;
	const char *key;

	json_object_foreach ((json_t *)object, key, value)
		json_array_append_new(list, json_pack("{s:s, s:O}", "Key", key, "Value", value));
	return list;
}

int tags_check(struct aws_call *call, const json_t *tags)
{
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag) {
		const char *key = json_string_value(json_object_get(tag, "Key"));
		const char *value = json_string_value(json_object_get(tag, "Value"));

		if (!key || !*key || strlen(key) > KEY_MAX)
			return aws_fault(call, "InvalidParameterValue",
					 "A tag key must have 1 to %d characters.", KEY_MAX);
		if (!strncasecmp(key, "aws:", 4) || !strncasecmp(key, "rds:", 4))
			return aws_fault(call, "InvalidParameterValue",
					 "Tag keys that begin with 'aws:' or 'rds:' are reserved.");
		if (value && strlen(value) > VALUE_MAX)
			return aws_fault(call, "InvalidParameterValue",
					 "A tag value must have at most %d characters.", VALUE_MAX);
	}
	return 0;
}

/* --- Changing them ---------------------------------------------------------------------------- */

struct change {
	const char *name;
	const json_t *add;    /* [{"Key", "Value"}], or NULL */
	const json_t *remove; /* ["Key"], or NULL */
};

/* What is in the row now, not what we saw: two calls at once change it both. */
static int apply(sqlite3 *db, void *arg)
{
	CLEANUP(record) struct record record = {0};
	const struct change *change = arg;
	json_t *object, *added;
	const json_t *key;
	size_t i;
	int r = record_get(db, change->name, &record);

	if (r < 0)
		return r;
	object = tags_object(record.tags);
	added = tags_object(change->add);
	json_object_update(object, added);
	json_decref(added);
	json_array_foreach (change->remove, i, key)
		json_object_del(object, json_string_value(key));
	json_decref(record.tags);
	record.tags = tags_list(object);
	r = json_object_size(object) > TAGS_MAX ? -E2BIG : 0;
	json_decref(object);
	return r < 0 ? r : record_put(db, &record);
}

static int find_resource(struct rds *rds, struct aws_call *call, struct seen *ret)
{
	const char *arn = rds_text(call, "ResourceName");

	if (!arn || strncmp(arn, "arn:", 4) != 0)
		return aws_fault(call, "InvalidParameterValue", "Invalid resource name: %.300s",
				 arn ? arn : "");
	return rds_find(rds, call, arn, ret);
}

int tags_touch(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	CLEANUP(seen) struct seen seen = {0};
	char arn[AWS_ARN_SIZE];
	int r = find_resource(userdata, call, &seen);

	if (r < 0)
		return r;
	show_arn(&seen.record, arn);
	aws_touch(ret, tags_object(seen.record.tags), "%s", arn);
	return 0;
}

static int change(struct rds *rds, struct aws_call *call, struct change *change)
{
	CLEANUP(seen) struct seen seen = {0};
	int r = find_resource(rds, call, &seen);

	if (r < 0)
		return r;
	change->name = seen.record.name;
	r = state_write(rds->state, apply, change);
	if (r == -E2BIG)
		return aws_fault(call, "InvalidParameterValue",
				 "A resource can have at most %d tags.", TAGS_MAX);
	if (r == -ENOENT)
		return aws_fault(call, "DBClusterNotFoundFault", "DBCluster %s not found.",
				 seen.record.name);
	return r < 0 ? r : fleet_reload(rds->fleet, seen.record.name);
}

int add_tags(void *userdata, struct aws_call *call, json_t **ret)
{
	struct change what = {.add = json_object_get(call->input, "Tags")};
	int r = tags_check(call, what.add);

	return r < 0 ? r : change(userdata, call, &what);
}

int remove_tags(void *userdata, struct aws_call *call, json_t **ret)
{
	struct change what = {.remove = json_object_get(call->input, "TagKeys")};

	return change(userdata, call, &what);
}

int list_tags(void *userdata, struct aws_call *call, json_t **ret)
{
	CLEANUP(seen) struct seen seen = {0};
	int r = find_resource(userdata, call, &seen);

	if (r == 0)
		*ret = json_pack("{s:O}", "TagList", seen.record.tags);
	return r;
}
