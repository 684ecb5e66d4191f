#include "rds/internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define PAGE_MIN 20
#define PAGE_MAX 100

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
	aws_touch(ret, tags_object(seen.record.tags), "%s", arn);
	return 0;
}

/* --- Filters ---------------------------------------------------------------------------------- */

int rds_check_filters(struct aws_call *call, const char *const *names)
{
	const json_t *filters = json_object_get(call->input, "Filters"), *filter;
	size_t i;

	json_array_foreach (filters, i, filter) {
		const char *name = json_string_value(json_object_get(filter, "Name"));
		const char *const *known = names;

		while (*known && strcmp(*known, name) != 0)
			known++;
		if (!*known)
			return aws_fault(call, "InvalidParameterValue",
					 "Unrecognized filter name: %.200s", name);
	}
	return 0;
}

static bool has_value(const json_t *values, const char *value)
{
	const json_t *one;
	size_t i;

	json_array_foreach (values, i, one)
		if (value && !strcasecmp(json_string_value(one), value))
			return true;
	return false;
}

bool rds_passes(const struct aws_call *call, const char *filter, const char *value)
{
	const json_t *filters = json_object_get(call->input, "Filters"), *one;
	size_t i;

	json_array_foreach (filters, i, one)
		if (!strcmp(json_string_value(json_object_get(one, "Name")), filter) &&
		    !has_value(json_object_get(one, "Values"), value))
			return false;
	return true;
}

/* --- Pages ------------------------------------------------------------------------------------ */

static int page_size(struct aws_call *call, size_t *ret)
{
	const json_t *value = json_object_get(call->input, "MaxRecords");

	*ret = value ? (size_t)json_integer_value(value) : PAGE_MAX;
	if (*ret >= PAGE_MIN && *ret <= PAGE_MAX)
		return 0;
	return aws_fault(call, "InvalidParameterValue",
			 "Invalid value %lld for MaxRecords. Must be between %d and %d",
			 (long long)json_integer_value(value), PAGE_MIN, PAGE_MAX);
}

/* Behind what the marker says: the last one's mark (also when that is gone meanwhile), or its
 * place. */
static bool is_behind(const char *marker, const char *mark, const json_t *one, size_t place)
{
	if (!marker)
		return true;
	if (mark)
		return strcasecmp(json_string_value(json_object_get(one, mark)), marker) > 0;
	return place >= strtoul(marker, NULL, 10);
}

static json_t *marker_of(const char *mark, const json_t *last, size_t place)
{
	char text[24];

	if (mark)
		return json_incref(json_object_get(last, mark));
	snprintf(text, sizeof text, "%zu", place);
	return json_string(text);
}

int rds_page(struct aws_call *call, json_t *list, const char *name, const char *mark, json_t **ret)
{
	const char *marker = rds_text(call, "Marker");
	json_t *page = json_array(), *last = NULL, *one, *next = NULL;
	size_t i, limit = 0;
	int r = page_size(call, &limit);

	json_array_foreach (list, i, one) {
		if (r < 0 || !is_behind(marker, mark, one, i))
			continue;
		if (json_array_size(page) == limit) {
			next = marker_of(mark, last, i);
			break;
		}
		last = one;
		json_array_append(page, one);
	}
	if (r == 0) {
		*ret = json_pack("{s:O}", name, page);
		if (next)
			json_object_set(*ret, "Marker", next);
	}
	json_decref(next);
	json_decref(page);
	json_decref(list);
	return r;
}

/* --- DescribeDBClusters ----------------------------------------------------------------------- */

static bool passes(const struct aws_call *call, const json_t *cluster)
{
	const char *name = json_string_value(json_object_get(cluster, "DBClusterIdentifier"));
	const char *arn = json_string_value(json_object_get(cluster, "DBClusterArn"));
	const char *engine = json_string_value(json_object_get(cluster, "Engine"));
	const char *id = json_string_value(json_object_get(cluster, "DbClusterResourceId"));

	return (rds_passes(call, "db-cluster-id", name) ||
		rds_passes(call, "db-cluster-id", arn)) &&
	       rds_passes(call, "engine", engine) &&
	       rds_passes(call, "db-cluster-resource-id", id) &&
	       rds_passes(call, "clone-group-id", NULL) && rds_passes(call, "domain", NULL);
}

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
	static const char *const filters[] = {
		"clone-group-id", "db-cluster-id", "db-cluster-resource-id",
		"domain",         "engine",        NULL};
	const char *identifier = rds_text(call, "DBClusterIdentifier");
	json_t *all, *one, *list;
	struct rds *rds = userdata;
	size_t i;
	int r = rds_check_filters(call, filters);

	if (r < 0)
		return r;
	watch_wanted(rds->watch);
	if (identifier)
		return describe_one(rds, call, identifier, ret);
	fleet_show(rds->fleet, call->caller.account, call->region, &all);
	if (!json_array_size(json_object_get(call->input, "Filters")))
		return rds_page(call, all, "DBClusters", "DBClusterIdentifier", ret);
	list = json_array();
	json_array_foreach (all, i, one)
		if (passes(call, one))
			json_array_append(list, one);
	json_decref(all);
	return rds_page(call, list, "DBClusters", "DBClusterIdentifier", ret);
}
