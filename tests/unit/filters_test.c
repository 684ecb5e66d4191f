/*
 * Goal: of a handler's list those are answered that pass each of the call's filters, before pages
 * are cut; a filter that the operation does not know is refused before the handler is asked.
 */
#include "aws/filters.h"

#include "aws/handle.h"

#include "tap.h"

static const struct aws_filter known[] = {
	{"id", {"DBClusterIdentifier", "DBClusterArn"}},
	{"engine", {"Engine"}},
	{"domain"},
	{NULL},
};

static unsigned asked; /* how often the handler was */

/* Of "c00" to "c39" each second is of one engine. */
static int list(void *userdata, struct aws_call *call, json_t **ret)
{
	json_t *clusters = json_array();

	for (int i = 0; i < 40; i++) {
		char name[8], arn[16];

		snprintf(name, sizeof name, "c%02d", i);
		snprintf(arn, sizeof arn, "arn:c%02d", i);
		json_array_append_new(clusters, json_pack("{s:s, s:s, s:s}", "DBClusterIdentifier",
							  name, "DBClusterArn", arn, "Engine",
							  i % 2 ? "odd" : "even"));
	}
	asked++;
	*ret = json_pack("{s:o}", "DBClusters", clusters);
	return 0;
}

static const struct aws_handler handler = {.operation = "DescribeDBClusters",
					   .handle = list,
					   .mark = "DBClusterIdentifier",
					   .filters = known};

static struct aws_call make_call(json_t *input)
{
	struct aws_call call = {.service = aws_service_find("rds"), .input = input};

	call.operation =
		aws_operation_find(call.service, handler.operation, strlen(handler.operation));
	return call;
}

/* {"Name": NAME, "Values": [VALUE]}; a second VALUE can be NULL. */
static json_t *filter(const char *name, const char *value, const char *other)
{
	return other ? json_pack("{s:s, s:[ss]}", "Name", name, "Values", value, other)
		     : json_pack("{s:s, s:[s]}", "Name", name, "Values", value);
}

/* What comes of those filters (stolen): "c00 c02"; borrowed until the next. */
static const char *passing(json_t *filters)
{
	struct aws_call call = make_call(json_pack("{s:o}", "Filters", filters));
	static char names[1024];
	json_auto_t *answer = NULL;
	const json_t *one;
	size_t i;

	names[0] = 0;
	check(aws_handle(&handler, NULL, &call, &answer) == 0, "%s", call.fault.message);
	json_array_foreach (json_object_get(answer, "DBClusters"), i, one) {
		strcat(names, *names ? " " : "");
		strcat(names, json_string_value(json_object_get(one, "DBClusterIdentifier")));
	}
	aws_call_done(&call);
	return names;
}

static void an_element_passes_with_one_of_the_values_in_any_letters(void)
{
	check(!strcmp(passing(json_pack("[o]", filter("id", "c03", NULL))), "c03"));
	check(!strcmp(passing(json_pack("[o]", filter("id", "C03", "c21"))), "c03 c21"));
	check(!*passing(json_pack("[o]", filter("id", "c0", NULL))));
}

static void a_filter_looks_at_each_of_its_members(void)
{
	check(!strcmp(passing(json_pack("[o]", filter("id", "arn:c05", "c04"))), "c04 c05"));
}

static void an_element_has_to_pass_each_filter(void)
{
	check(!strcmp(passing(json_pack("[oo]", filter("id", "c03", "c04"),
					filter("engine", "odd", NULL))),
		      "c03"));
	check(!*passing(json_pack("[oo]", filter("id", "c03", NULL), filter("id", "c04", NULL))));
}

static void what_no_element_has_lets_nothing_through(void)
{
	check(!*passing(json_pack("[o]", filter("domain", "d", ""))));
}

static void without_filters_all_pass(void)
{
	check(strlen(passing(json_array())) == 40 * 4 - 1);
}

static void pages_are_those_of_what_passes(void)
{
	struct aws_call call = make_call(json_pack("{s:i, s:[o]}", "MaxRecords", 15, "Filters",
						   filter("engine", "odd", NULL)));
	json_auto_t *first = NULL, *second = NULL;
	const json_t *page;

	require(aws_handle(&handler, NULL, &call, &first) == 0);
	check(json_array_size(json_object_get(first, "DBClusters")) == 15);
	require(json_object_get(first, "Marker") != NULL);
	json_object_set(call.input, "Marker", json_object_get(first, "Marker"));
	require(aws_handle(&handler, NULL, &call, &second) == 0);
	page = json_object_get(second, "DBClusters");
	check(json_array_size(page) == 5 && !json_object_get(second, "Marker"));
	check(!strcmp(json_string_value(json_object_get(json_array_get(page, 0), "Engine")),
		      "odd"));
	aws_call_done(&call);
}

static void a_filter_that_is_not_known_is_refused_before_anything_is_done(void)
{
	struct aws_call call =
		make_call(json_pack("{s:[oo]}", "Filters", filter("engine", "odd", NULL),
				    filter("Engine", "odd", NULL)));
	unsigned before = asked;
	json_t *answer = NULL;

	check(aws_handle(&handler, NULL, &call, &answer) == AWS_FAULT && !answer);
	check(!strcmp(call.fault.code, "InvalidParameterValue"), "%s", call.fault.code);
	check(!strcmp(call.fault.message, "Unrecognized filter name: Engine"), "%s",
	      call.fault.message);
	check(asked == before);
	aws_call_done(&call);
}

static void an_answer_that_others_see_stays_as_it_is(void)
{
	struct aws_call call =
		make_call(json_pack("{s:[o]}", "Filters", filter("engine", "odd", NULL)));
	json_auto_t *shared = NULL, *before = NULL, *answer = NULL;

	list(NULL, &call, &shared);
	before = json_deep_copy(shared);
	answer = json_incref(shared);
	aws_filters_apply(&call, known, &answer);
	check(answer != shared && json_equal(shared, before));
	check(json_array_size(json_object_get(answer, "DBClusters")) == 20);
	aws_call_done(&call);
}

int main(void)
{
	RUN(an_element_passes_with_one_of_the_values_in_any_letters);
	RUN(a_filter_looks_at_each_of_its_members);
	RUN(an_element_has_to_pass_each_filter);
	RUN(what_no_element_has_lets_nothing_through);
	RUN(without_filters_all_pass);
	RUN(pages_are_those_of_what_passes);
	RUN(a_filter_that_is_not_known_is_refused_before_anything_is_done);
	RUN(an_answer_that_others_see_stays_as_it_is);
	return tap_done();
}
