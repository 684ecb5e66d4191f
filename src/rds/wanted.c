#include "rds/wanted.h"

#include "control/request.h"

#include <string.h>
#include <strings.h>

enum treatment {
	TELL,       /* it is kept, and told again */
	DO,         /* is looked at elsewhere */
	FALSE_ONLY, /* it may be false: that is how it is */
	DEFAULTS,   /* it may name what Amazon calls by a default's name: "default..." */
	REFUSE,
};

/* Each parameter of both operations. */
static const struct {
	const char *name;
	enum treatment treatment;
	const char *fault; /* NULL: InvalidParameterCombination */
} parameters[] = {
	{"AllocatedStorage", REFUSE},
	{"AllowEngineModeChange", FALSE_ONLY},
	{"AllowMajorVersionUpgrade", FALSE_ONLY},
	{"ApplyImmediately", DO},
	{"AutoMinorVersionUpgrade", TELL},
	{"AvailabilityZones", TELL},
	{"AwsBackupRecoveryPointArn", REFUSE},
	{"BacktrackWindow", TELL},
	{"BackupRetentionPeriod", TELL},
	{"CACertificateIdentifier", REFUSE},
	{"CharacterSetName", REFUSE},
	{"CloudwatchLogsExportConfiguration", REFUSE},
	{"ClusterScalabilityType", DO},
	{"CopyTagsToSnapshot", TELL},
	{"DatabaseInsightsMode", DO},
	{"DatabaseName", TELL},
	{"DBClusterIdentifier", DO},
	{"DBClusterInstanceClass", REFUSE},
	{"DBClusterParameterGroupName", DEFAULTS, "DBClusterParameterGroupNotFoundFault"},
	{"DBInstanceParameterGroupName", DEFAULTS},
	{"DBSubnetGroupName", DEFAULTS, "DBSubnetGroupNotFoundFault"},
	{"DBSystemId", REFUSE},
	{"DeletionProtection", TELL},
	{"Domain", REFUSE, "DomainNotFoundFault"},
	{"DomainIAMRoleName", REFUSE},
	{"EnableCloudwatchLogsExports", REFUSE},
	{"EnableGlobalWriteForwarding", FALSE_ONLY},
	{"EnableHttpEndpoint", FALSE_ONLY},
	{"EnableIAMDatabaseAuthentication", FALSE_ONLY},
	{"EnableLimitlessDatabase", FALSE_ONLY},
	{"EnableLocalWriteForwarding", FALSE_ONLY},
	{"EnablePerformanceInsights", FALSE_ONLY},
	{"Engine", TELL},
	{"EngineLifecycleSupport", TELL},
	{"EngineMode", TELL},
	{"EngineVersion", DO},
	{"GlobalClusterIdentifier", REFUSE, "GlobalClusterNotFoundFault"},
	{"Iops", REFUSE},
	{"KmsKeyId", REFUSE},
	{"ManageMasterUserPassword", FALSE_ONLY},
	{"MasterUserAuthenticationType", DO},
	{"MasterUsername", TELL},
	{"MasterUserPassword", DO},
	{"MasterUserSecretKmsKeyId", REFUSE},
	{"MonitoringInterval", REFUSE},
	{"MonitoringRoleArn", REFUSE},
	{"NetworkType", TELL},
	{"NewDBClusterIdentifier", REFUSE},
	{"OptionGroupName", DEFAULTS},
	{"PerformanceInsightsKMSKeyId", REFUSE},
	{"PerformanceInsightsRetentionPeriod", REFUSE},
	{"Port", DO},
	{"PreferredBackupWindow", TELL},
	{"PreferredMaintenanceWindow", TELL},
	{"PreSignedUrl", REFUSE},
	{"PubliclyAccessible", FALSE_ONLY},
	{"ReplicationSourceIdentifier", REFUSE},
	{"RotateMasterUserPassword", FALSE_ONLY},
	{"ScalingConfiguration", REFUSE},
	{"ServerlessV2ScalingConfiguration", REFUSE},
	{"StorageEncrypted", FALSE_ONLY},
	{"StorageType", REFUSE},
	{"Tags", DO},
	{"VpcSecurityGroupIds", REFUSE},
	{"WithExpressConfiguration", FALSE_ONLY},
};

static bool is_empty(const json_t *value)
{
	return (json_is_array(value) && !json_array_size(value)) ||
	       (json_is_string(value) && !json_string_value(value)[0]);
}

static bool is_fine(enum treatment treatment, const json_t *value)
{
	switch (treatment) {
	case TELL:
	case DO:
		return true;
	case FALSE_ONLY:
		return json_is_false(value);
	case DEFAULTS:
		return json_is_string(value) && !strncmp(json_string_value(value), "default", 7);
	default:
		return is_empty(value) || json_is_false(value) ||
		       (json_is_integer(value) && json_integer_value(value) == 0);
	}
}

/* A text that has one good value. */
static int check_only(struct aws_call *call, const char *name, const char *only)
{
	const json_t *value = json_object_get(call->input, name);

	if (!value || !strcasecmp(json_string_value(value), only))
		return 0;
	return aws_fault(call, "InvalidParameterValue", "Invalid value for %s: there is only %s.",
			 name, only);
}

static int check_range(struct aws_call *call, const char *name, json_int_t least, json_int_t most)
{
	const json_t *value = json_object_get(call->input, name);

	if (!value || (json_integer_value(value) >= least && json_integer_value(value) <= most))
		return 0;
	return aws_fault(call, "InvalidParameterValue",
			 "Invalid value %lld for %s. Must be between %lld and %lld",
			 (long long)json_integer_value(value), name, (long long)least,
			 (long long)most);
}

int wanted_check(struct aws_call *call)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		const json_t *value = json_object_get(call->input, parameters[i].name);

		if (!value || json_is_null(value) || is_fine(parameters[i].treatment, value))
			continue;
		return aws_fault(call,
				 parameters[i].fault ? parameters[i].fault
						     : "InvalidParameterCombination",
				 "%s cannot be honoured: this server has nothing of the kind.",
				 parameters[i].name);
	}
	/* More than Amazon's 72 hours is no trouble here. */
	r = check_range(call, "BacktrackWindow", 0, REQUEST_WINDOW_MAX_US / 1000000);
	if (r == 0)
		r = check_range(call, "BackupRetentionPeriod", 1, 35);
	if (r == 0)
		r = check_range(call, "Port", 1, 65535);
	if (r == 0)
		r = check_only(call, "EngineMode", "provisioned");
	if (r == 0)
		r = check_only(call, "ClusterScalabilityType", "standard");
	if (r == 0)
		r = check_only(call, "DatabaseInsightsMode", "standard");
	if (r == 0)
		r = check_only(call, "MasterUserAuthenticationType", "password");
	return r == 0 ? check_only(call, "NetworkType", "IPV4") : r;
}

json_t *wanted_settings(const struct aws_call *call)
{
	json_t *settings = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		json_t *value = json_object_get(call->input, parameters[i].name);

		if (value && parameters[i].treatment == TELL)
			json_object_set(settings, parameters[i].name, value);
	}
	return settings;
}
