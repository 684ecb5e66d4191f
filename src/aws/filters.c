#include "aws/filters.h"

#include "base/alloc.h"

#include <string.h>
#include <strings.h>

static json_t *filters_of(const struct aws_call *call)
{
	return json_object_get(call->input, "Filters");
}

static const struct aws_filter *find(const struct aws_filter *known, const json_t *filter)
{
	const char *name = json_string_value(json_object_get(filter, "Name"));

	while (known->name && (!name || strcmp(known->name, name) != 0))
		known++;
	return known->name ? known : NULL;
}

int aws_filters_check(struct aws_call *call, const struct aws_filter *known)
{
	const json_t *filter;
	size_t i;

	json_array_foreach (filters_of(call), i, filter) {
		const char *name = json_string_value(json_object_get(filter, "Name"));

		if (!find(known, filter))
			return aws_fault(call, "InvalidParameterValue",
					 "Unrecognized filter name: %.200s", name ? name : "");
	}
	return 0;
}

static bool has_value(const json_t *filter, const char *value)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(filter, "Values"), i, one)
		if (value && !strcasecmp(json_string_value(one), value))
			return true;
	return false;
}

static bool passes(const json_t *filter, const struct aws_filter *known, const json_t *element)
{
	for (size_t i = 0; i < ARRAY_SIZE(known->members) && known->members[i]; i++) {
		const json_t *value = json_object_get(element, known->members[i]);

		if (has_value(filter, json_string_value(value)))
			return true;
	}
	return false;
}

static bool passes_all(const json_t *filters, const struct aws_filter *known, const json_t *element)
{
	const json_t *filter;
	size_t i;

	json_array_foreach (filters, i, filter)
		if (!passes(filter, find(known, filter), element))
			return false;
	return true;
}

void aws_filters_apply(const struct aws_call *call, const struct aws_filter *known, json_t **answer)
{
	const char *name = aws_name(call->operation->page_result);
	const json_t *filters = filters_of(call);
	json_t *list, *one, *filtered;
	size_t i;

	if (!json_array_size(filters))
		return;
	list = json_array();
	json_array_foreach (json_object_get(*answer, name), i, one)
		if (passes_all(filters, known, one))
			json_array_append(list, one);
	filtered = json_copy(*answer);
	json_object_set_new(filtered, name, list);
	json_decref(*answer);
	*answer = filtered;
}
