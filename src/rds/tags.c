#include "rds/internal.h"

#include "aws/tags.h"

#include <errno.h>
#include <string.h>

static const char *const reserved[] = {"aws:", "rds:", NULL};

/* Of several with the same key in one call the last counts. */
const struct aws_tag_rules rds_tag_rules = {
	.count_max = 50,
	.key_max = 128,
	.value_max = 256,
	.reserved = reserved,
	.words =
		{
			[AWS_TAGS_MANY] = {"InvalidParameterValue",
					   "A resource can have at most 50 tags."},
			[AWS_TAG_KEY] = {"InvalidParameterValue",
					 "A tag key must have 1 to 128 characters."},
			[AWS_TAG_RESERVED] = {"InvalidParameterValue",
					      "Tag keys that begin with 'aws:' or 'rds:' are "
					      "reserved."},
			[AWS_TAG_VALUE] = {"InvalidParameterValue",
					   "A tag value must have at most 256 characters."},
		},
};

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
	json_t *tags = NULL;
	int r = record_get(db, change->name, &record);

	if (r < 0)
		return r;
	r = aws_tags_merge(&rds_tag_rules, record.tags, change->add, &tags);
	if (r < 0)
		return r;
	json_decref(record.tags);
	record.tags = aws_tags_without(&rds_tag_rules, tags, change->remove);
	json_decref(tags);
	return record_put(db, &record);
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
	aws_touch(ret, aws_tags_object(seen.record.tags), "%s", arn);
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
		return aws_tags_fault(call, &rds_tag_rules, AWS_TAGS_MANY);
	if (r == -ENOENT)
		return aws_fault(call, "DBClusterNotFoundFault", "DBCluster %s not found.",
				 seen.record.name);
	return r < 0 ? r : fleet_reload(rds->fleet, seen.record.name);
}

int add_tags(void *userdata, struct aws_call *call, json_t **ret)
{
	struct change what = {.add = json_object_get(call->input, "Tags")};
	int r = aws_tags_check(call, &rds_tag_rules, what.add);

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
