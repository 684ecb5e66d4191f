/*
 * What there is none of here, and what clients ask for before they act: the true answer is an empty
 * list. Terraform looks whether a cluster belongs to a global one; a cluster is one machine's.
 */
#include "rds/internal.h"

int describe_global_clusters(void *userdata, struct aws_call *call, json_t **ret)
{
	const char *identifier = rds_text(call, "GlobalClusterIdentifier");

	if (identifier)
		return aws_fault(call, "GlobalClusterNotFoundFault", "Global Cluster %s not found.",
				 identifier);
	*ret = json_pack("{s:[]}", "GlobalClusters");
	return 0;
}
