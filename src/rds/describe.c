#include "rds/internal.h"

#include "aws/tags.h"

#include <string.h>

const char *rds_text(const struct aws_call *call, const char *member)
{
	return json_string_value(json_object_get(call->input, member));
}

/* --- One cluster ------------------------------------------------------------------------------ */

/* The name in an ARN of a cluster; NULL when it is none, or another account's or region's. */
static const char *name_in_arn(const struct aws_call *call, const char *arn)
{
	char prefix[AWS_ARN_SIZE];
	size_t size;

	size = (size_t)snprintf(prefix, sizeof prefix, "arn:aws:rds:%s:%s:cluster:", call->region,
				call->caller.account);
	return !strncmp(arn, prefix, size) ? arn + size : NULL;
}

int rds_find(struct rds *rds, struct aws_call *call, const char *identifier, struct seen *ret)
{
	const char *name =
		strncmp(identifier, "arn:", 4) ? identifier : name_in_arn(call, identifier);

	watch_wanted(rds->watch);
	if (name && fleet_get(rds->fleet, name, ret) == 0) {
		if (!strcmp(ret->record.account, call->caller.account) &&
		    !strcmp(ret->record.region, call->region))
			return 0;
		seen_done(ret);
	}
	return aws_fault(call, "DBClusterNotFoundFault", "DBCluster %.300s not found.", identifier);
}

int rds_find_now(struct rds *rds, struct aws_call *call, struct seen *ret)
{
	const char *identifier = rds_text(call, "DBClusterIdentifier");
	int r = rds_find(rds, call, identifier, ret);

	if (r < 0)
		return r;
	watch_look(rds->state, rds->fleet, ret->record.name);
	seen_done(ret);
	return rds_find(rds, call, identifier, ret);
}

json_t *rds_show(struct seen *seen, const char *doing)
{
	if (doing != seen->doing)
		snprintf(seen->doing, sizeof seen->doing, "%s", doing);
	return json_pack("{s:o}", "DBCluster", show_cluster(seen));
}

/* Unchecked: the identifier can be anything. */
int rds_touch_cluster(void *userdata, struct aws_call *call, struct aws_touched *ret)
{
	const char *identifier = rds_text(call, "DBClusterIdentifier");
	CLEANUP(seen) struct seen seen = {0};
	struct rds *rds = userdata;
	char arn[AWS_ARN_SIZE];
	int r;

	if (!identifier) {
		aws_touch(ret, NULL, "arn:aws:rds:%s:%s:cluster:*", call->region,
			  call->caller.account);
		return 0;
	}
	r = rds_find(rds, call, identifier, &seen);
	if (r < 0)
		return r;
	show_arn(&seen.record, arn);
	aws_touch(ret, aws_tags_object(seen.record.tags), "%s", arn);
	return 0;
}

/* --- DescribeDBClusters ----------------------------------------------------------------------- */

static int describe_one(struct rds *rds, struct aws_call *call, const char *identifier,
			json_t **ret)
{
	CLEANUP(seen) struct seen seen = {0};
	int r = rds_find(rds, call, identifier, &seen);

	if (r == 0)
		*ret = json_pack("{s:[o]}", "DBClusters", show_cluster(&seen));
	return r;
}

int describe_clusters(void *userdata, struct aws_call *call, json_t **ret)
{
	const char *identifier = rds_text(call, "DBClusterIdentifier");
	struct rds *rds = userdata;
	json_t *all;

	watch_wanted(rds->watch);
	if (identifier)
		return describe_one(rds, call, identifier, ret);
	fleet_show(rds->fleet, call->caller.account, call->region, &all);
	*ret = json_pack("{s:o}", "DBClusters", all);
	return 0;
}
