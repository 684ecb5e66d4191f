/*
 * Goal: who follows the markers sees each element once, in order, however many there are, and also
 * when some come and go on the way.
 */
#include "aws/page.h"

#include "tap.h"

#include <stdlib.h>

static struct aws_call make_call(const char *service, const char *operation, json_t *input)
{
	struct aws_call call = {.service = aws_service_find(service), .input = input};

	call.operation = aws_operation_find(call.service, operation, strlen(operation));
	return call;
}

static json_t *make_users(int from, int to)
{
	json_t *list = json_array();

	for (int i = from; i < to; i++) {
		char name[16];

		snprintf(name, sizeof name, "user%04d", i);
		json_array_append_new(list, json_pack("{s:s}", "UserName", name));
	}
	return json_pack("{s:o}", "Users", list);
}

static json_t *make_input(const json_t *marker, int limit)
{
	json_t *input = json_object();

	if (marker)
		json_object_set(input, "Marker", (json_t *)marker);
	if (limit)
		json_object_set_new(input, "MaxItems", json_integer(limit));
	return input;
}

static const char *name_at(const json_t *answer, size_t i)
{
	return json_string_value(
		json_object_get(json_array_get(json_object_get(answer, "Users"), i), "UserName"));
}

/* Follow the markers; returns how many pages there were, and checks the elements. */
static int walk(int count, int limit)
{
	json_auto_t *marker = NULL;
	int seen = 0, pages = 0;

	do {
		struct aws_call call = make_call("iam", "ListUsers", make_input(marker, limit));
		json_auto_t *answer = make_users(0, count);
		size_t size;

		check(aws_page(&call, "UserName", &answer) == 0, "%s", call.fault.message);
		size = json_array_size(json_object_get(answer, "Users"));
		for (size_t i = 0; i < size; i++, seen++) {
			char want[16];

			snprintf(want, sizeof want, "user%04d", seen);
			check(strcmp(name_at(answer, i), want) == 0, "%s", name_at(answer, i));
		}
		json_decref(marker);
		marker = json_incref(json_object_get(answer, "Marker"));
		check(json_is_true(json_object_get(answer, "IsTruncated")) == (marker != NULL));
		check(json_is_boolean(json_object_get(answer, "IsTruncated")));
		aws_call_done(&call);
		pages++;
	} while (marker && pages < 1000);
	check(seen == count, "%d of %d", seen, count);
	return pages;
}

static void pages_have_each_element_once(void)
{
	check(walk(0, 10) == 1);
	check(walk(9, 10) == 1);
	check(walk(10, 10) == 1);
	check(walk(11, 10) == 2);
	check(walk(205, 10) == 21);
	check(walk(205, 1000) == 1);
	check(walk(205, 0) == 3); /* the service's default: 100 */
}

static void a_page_begins_where_the_last_ended_though_elements_came_and_went(void)
{
	json_auto_t *first = make_users(0, 10), *second = make_users(3, 12);
	struct aws_call call = make_call("iam", "ListUsers", make_input(NULL, 3)), next;

	require(aws_page(&call, "UserName", &first) == 0);
	check(strcmp(name_at(first, 2), "user0002") == 0);
	next = make_call("iam", "ListUsers", make_input(json_object_get(first, "Marker"), 3));
	/* 0 to 2 are gone now, and so is the one that the marker names. */
	require(aws_page(&next, "UserName", &second) == 0);
	check(strcmp(name_at(second, 0), "user0003") == 0, "%s", name_at(second, 0));
	aws_call_done(&call);
	aws_call_done(&next);
}

static void lists_of_strings_have_pages_too(void)
{
	struct aws_call call = make_call("iam", "ListUserPolicies", make_input(NULL, 2));
	json_auto_t *answer = json_pack("{s:[sss]}", "PolicyNames", "a", "b", "c");

	require(aws_page(&call, "", &answer) == 0);
	check(json_array_size(json_object_get(answer, "PolicyNames")) == 2);
	json_object_set(call.input, "Marker", json_object_get(answer, "Marker"));
	json_decref(answer);
	answer = json_pack("{s:[sss]}", "PolicyNames", "a", "b", "c");
	require(aws_page(&call, "", &answer) == 0);
	check(strcmp(json_string_value(json_array_get(json_object_get(answer, "PolicyNames"), 0)),
		     "c") == 0);
	check(!json_object_get(answer, "Marker"));
	aws_call_done(&call);
}

static void a_list_without_order_is_put_in_order(void)
{
	struct aws_call call = make_call("iam", "ListUserPolicies", make_input(NULL, 2));
	json_auto_t *answer = json_pack("{s:[sss]}", "PolicyNames", "c", "a", "b");
	const json_t *page;

	require(aws_page(&call, "", &answer) == 0);
	page = json_object_get(answer, "PolicyNames");
	check(strcmp(json_string_value(json_array_get(page, 0)), "a") == 0);
	check(strcmp(json_string_value(json_array_get(page, 1)), "b") == 0);
	aws_call_done(&call);
}

static void a_marker_that_is_none_is_refused(void)
{
	static const char *const markers[] = {"x", "user0003", "dXNlcg==", "====", "MjphYmM="};

	for (size_t i = 0; i < ARRAY_SIZE(markers); i++) {
		json_auto_t *marker = json_string(markers[i]), *answer = make_users(0, 3);
		struct aws_call call = make_call("iam", "ListUsers", make_input(marker, 2));

		check(aws_page(&call, "UserName", &answer) == AWS_FAULT, "%s", markers[i]);
		check(strcmp(call.fault.code, "ValidationError") == 0);
		aws_call_done(&call);
	}
}

static void an_answer_that_others_see_stays_as_it_is(void)
{
	json_auto_t *shared = make_users(0, 10), *before = json_deep_copy(shared);
	struct aws_call call = make_call("iam", "ListUsers", make_input(NULL, 3));
	json_auto_t *answer = json_incref(shared);

	require(aws_page(&call, "UserName", &answer) == 0);
	check(answer != shared && json_equal(shared, before));
	aws_call_done(&call);
}

static void a_mark_that_is_none_of_the_models_is_not_answered(void)
{
	struct aws_call call = make_call("iam", "ListUsers", make_input(NULL, 2));
	json_auto_t *shared = json_pack("{s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]}", "Users",
					"UserName", "a", ".mark", "3", "UserName", "b", ".mark",
					"1", "UserName", "c", ".mark", "2");
	json_auto_t *before = json_deep_copy(shared), *answer = json_incref(shared), *more = NULL;

	require(aws_page(&call, ".mark", &answer) == 0);
	check(!strcmp(name_at(answer, 0), "b") && !strcmp(name_at(answer, 1), "c"));
	check(json_object_size(json_array_get(json_object_get(answer, "Users"), 0)) == 1);
	json_object_set(call.input, "Marker", json_object_get(answer, "Marker"));
	more = json_incref(shared);
	require(aws_page(&call, ".mark", &more) == 0);
	check(!strcmp(name_at(more, 0), "a") && !json_object_get(more, "Marker"));
	check(json_object_size(json_array_get(json_object_get(more, "Users"), 0)) == 1);
	check(json_equal(shared, before));
	aws_call_done(&call);
}

int main(void)
{
	RUN(pages_have_each_element_once);
	RUN(a_page_begins_where_the_last_ended_though_elements_came_and_went);
	RUN(lists_of_strings_have_pages_too);
	RUN(a_list_without_order_is_put_in_order);
	RUN(a_marker_that_is_none_is_refused);
	RUN(an_answer_that_others_see_stays_as_it_is);
	RUN(a_mark_that_is_none_of_the_models_is_not_answered);
	return tap_done();
}
