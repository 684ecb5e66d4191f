#include "rds/show.h"

#include "rds/engines.h"

#include <string.h>

/* What the caller said, and is told again as it is. */
static const char *const told[] = {
	"MasterUsername",
	"DatabaseName",
	"AvailabilityZones",
	"BackupRetentionPeriod",
	"PreferredBackupWindow",
	"PreferredMaintenanceWindow",
	"CopyTagsToSnapshot",
	"DeletionProtection",
	"EngineMode",
	"NetworkType",
	"AutoMinorVersionUpgrade",
	"CharacterSetName",
};

static int64_t number_at(const json_t *object, const char *first, const char *second)
{
	return json_integer_value(json_object_get(json_object_get(object, first), second));
}

int64_t seen_earliest_us(const struct seen *seen)
{
	return number_at(seen->status, "horizon", "time_us");
}

int64_t seen_window_us(const struct seen *seen)
{
	json_int_t asked =
		json_integer_value(json_object_get(seen->record.settings, "BacktrackWindow"));

	if (seen->status)
		return number_at(seen->status, "window", "target_us");
	return seen->window_us ? seen->window_us : asked * 1000000;
}

void show_arn(const struct record *record, char ret[AWS_ARN_SIZE])
{
	snprintf(ret, AWS_ARN_SIZE, "arn:aws:rds:%s:%s:cluster:%s", record->region, record->account,
		 record->name);
}

static void set_text(json_t *object, const char *name, const char *value)
{
	if (value && value[0])
		json_object_set_new(object, name, json_string(value));
}

static void set_time(json_t *object, const char *name, int64_t time_us)
{
	if (time_us)
		json_object_set_new(object, name, json_real(time_us / 1e6));
}

static void add_server(json_t *cluster, const struct seen *seen)
{
	const char *words = json_string_value(json_object_get(seen->status, "engine_version"));
	json_t *engine = json_object_get(seen->record.settings, "Engine");
	char version[64];

	if (engine)
		json_object_set(cluster, "Engine", engine);
	else
		set_text(cluster, "Engine", engines_api_name(seen->engine));
	strcpy(version, seen->version);
	if (words)
		engines_version_of(words, version);
	set_text(cluster, "EngineVersion", version);
	set_text(cluster, "Endpoint", seen->bind);
	set_text(cluster, "ReaderEndpoint", seen->bind);
	if (seen->port)
		json_object_set_new(cluster, "Port", json_integer(seen->port));
}

static void add_past(json_t *cluster, const struct seen *seen)
{
	int64_t window_us = seen_window_us(seen);

	json_object_set_new(cluster, "BacktrackWindow", json_integer(window_us / 1000000));
	set_time(cluster, "EarliestRestorableTime", seen_earliest_us(seen));
	set_time(cluster, "LatestRestorableTime", number_at(seen->status, "now", "time_us"));
	if (!window_us || !seen->status)
		return;
	set_time(cluster, "EarliestBacktrackTime", seen_earliest_us(seen));
	json_object_set_new(cluster, "BacktrackConsumedChangeRecords",
			    json_integer(number_at(seen->status, "records", "stored")));
}

json_t *show_cluster(const struct seen *seen)
{
	const struct record *record = &seen->record;
	json_t *cluster = json_object();
	char arn[AWS_ARN_SIZE];

	show_arn(record, arn);
	set_text(cluster, "DBClusterIdentifier", record->name);
	set_text(cluster, "DBClusterArn", arn);
	set_text(cluster, "DbClusterResourceId", record->resource_id);
	set_text(cluster, "Status", seen_status(seen));
	set_time(cluster, "ClusterCreateTime", record->created_us);
	add_server(cluster, seen);
	add_past(cluster, seen);
	json_object_set_new(cluster, "DeletionProtection", json_false());
	json_object_set_new(cluster, "CopyTagsToSnapshot", json_false());
	json_object_set_new(cluster, "BackupRetentionPeriod", json_integer(1));
	json_object_set_new(cluster, "EngineMode", json_string("provisioned"));
	json_object_set_new(cluster, "MultiAZ", json_false());
	json_object_set_new(cluster, "StorageEncrypted", json_false());
	json_object_set_new(cluster, "HttpEndpointEnabled", json_false());
	json_object_set_new(cluster, "IAMDatabaseAuthenticationEnabled", json_false());
	json_object_set_new(cluster, "DBClusterMembers", json_array());
	json_object_set_new(cluster, "VpcSecurityGroups", json_array());
	json_object_set_new(cluster, "AssociatedRoles", json_array());
	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		if (json_object_get(record->settings, told[i]))
			json_object_set(cluster, told[i],
					json_object_get(record->settings, told[i]));
	json_object_set(cluster, "TagList", record->tags);
	return cluster;
}
