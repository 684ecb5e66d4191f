#include "aws/model.h"

#include "base/cleanup.h"
#include "tap.h"

static void every_name_is_found_where_it_is(void)
{
	for (unsigned i = 0; i < aws_operation_count; i++) {
		const struct aws_operation *operation = &aws_operations[i];
		const char *name = aws_operation_name(operation);

		check(aws_operation_find(aws_operation_service(operation), name, strlen(name)) ==
			      operation,
		      "%s", name);
		check(operation->input < aws_shape_count && operation->output < aws_shape_count);
	}
	for (unsigned i = 0; i < aws_shape_count; i++) {
		const struct aws_shape *shape = &aws_shapes[i];

		if (shape->type != AWS_STRUCTURE)
			continue;
		for (unsigned k = 0; k < shape->count; k++) {
			const struct aws_member *member = &aws_members[shape->first + k];
			const char *name = aws_name(member->name);

			check(strlen(name) == member->name_size);
			check(aws_member_find(shape, name, strlen(name)) == member, "%s.%s",
			      aws_name(shape->name), name);
		}
	}
}

static void what_is_nearly_a_name_is_none(void)
{
	static const char *const names[] = {"",           "C",   "CreateUse",    "CreateUser1",
					    "createUser", "ZZZ", "CreateUser\0x"};
	const struct aws_service *iam = aws_service_find("iam");
	const struct aws_operation *create;

	require(iam && !aws_service_find("s3"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check(!aws_operation_find(iam, names[i], i == 6 ? 12 : strlen(names[i])), "%zu", i);
	create = aws_operation_find(iam, "CreateUser", 10);
	require(create);
	check(aws_member_find(&aws_shapes[create->input], "UserName", 8));
	check(!aws_member_find(&aws_shapes[create->input], "UserName", 7));
	check(!aws_member_find(&aws_shapes[create->input], "username", 8));
	check(!aws_member_find(&aws_shapes[AWS_NO_SHAPE], "UserName", 8));
}

static void the_services_are_known_by_what_clients_call_them(void)
{
	const struct aws_service *rds = aws_service_find("rds");

	require(rds);
	check(aws_service_find_target("AmazonRDSv19", 12) == rds);
	check(!aws_service_find_target("AmazonRDSv1", 11));
	check(strcmp(aws_name(rds->version), "2014-10-31") == 0);
	check(strcmp(aws_name(rds->xml_namespace), "http://rds.amazonaws.com/doc/2014-10-31/") ==
	      0);
	check(aws_operation_find(rds, "BacktrackDBCluster", 18) &&
	      aws_operation_find(rds, "DescribeDBClusterBacktracks", 27));
}

static void an_operation_knows_its_pages_and_its_errors(void)
{
	const struct aws_service *rds = aws_service_find("rds"), *iam = aws_service_find("iam");
	const struct aws_operation *clusters =
		aws_operation_find(rds, "DescribeDBClusters", strlen("DescribeDBClusters"));
	const struct aws_operation *users = aws_operation_find(iam, "ListUsers", 9);
	const struct aws_shape *fault;

	require(clusters && users);
	check(strcmp(aws_name(clusters->page_from), "Marker") == 0);
	check(strcmp(aws_name(clusters->page_limit), "MaxRecords") == 0);
	check(strcmp(aws_name(clusters->page_result), "DBClusters") == 0);
	check(!*aws_name(clusters->page_more));
	check(strcmp(aws_name(users->page_more), "IsTruncated") == 0);
	/* What the models of this age do not say. */
	users = aws_operation_find(iam, "ListRoleTags", 12);
	require(users);
	check(strcmp(aws_name(users->page_result), "Tags") == 0);
	fault = aws_operation_error(clusters, "DBClusterNotFoundFault");
	require(fault);
	check(fault->status == 404 && fault->flags & AWS_SENDER_FAULT);
	check(!aws_operation_error(clusters, "DBInstanceNotFound"));
}

/* Terraform's provider says this with each deletion. */
static void what_newer_clients_say_is_known(void)
{
	static const char name[] = "DeleteAutomatedBackups";
	const struct aws_operation *operation =
		aws_operation_find(aws_service_find("rds"), "DeleteDBCluster", 15);

	require(operation);
	check(aws_member_find(&aws_shapes[operation->input], name, strlen(name)) != NULL);
}

int main(void)
{
	RUN(every_name_is_found_where_it_is);
	RUN(what_is_nearly_a_name_is_none);
	RUN(the_services_are_known_by_what_clients_call_them);
	RUN(an_operation_knows_its_pages_and_its_errors);
	RUN(what_newer_clients_say_is_known);
	return tap_done();
}
