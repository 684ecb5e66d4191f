#include "aws/page.h"

#include "aws/text.h"
#include "base/alloc.h"

#include <string.h>

/* Where neither the call nor the service says it. */
#define LIMIT_DEFAULT 100

/* What a marker begins with, within its base64: it is opaque, and may become something else. */
#define MARKER_PREFIX "1:"

static const char *mark_of(const json_t *element, const char *mark)
{
	const char *text = json_string_value(*mark ? json_object_get(element, mark) : element);

	return text ? text : "";
}

static json_t *make_marker(const json_t *last, const char *mark)
{
	CLEANUP(buffer) struct buffer text = {0}, marker = {0};
	const char *name = mark_of(last, mark);

	buffer_put(&text, MARKER_PREFIX, strlen(MARKER_PREFIX));
	buffer_put(&text, name, strlen(name));
	aws_base64_put(&marker, text.data, text.size);
	return json_stringn((char *)marker.data, marker.size);
}

/* The mark that the marker holds, terminated, in `text`. */
static const char *open_marker(const json_t *marker, struct buffer *text)
{
	size_t prefix = strlen(MARKER_PREFIX);

	if (!aws_base64_get(json_string_value(marker), json_string_length(marker), text))
		return NULL;
	if (text->size < prefix || memcmp(text->data, MARKER_PREFIX, prefix) != 0)
		return NULL;
	buffer_put8(text, '\0');
	return (const char *)text->data + prefix;
}

/* The first element behind `from`. */
static size_t find_start(const json_t *list, const char *mark, const char *from)
{
	size_t low = 0, high = json_array_size(list);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(mark_of(json_array_get(list, middle), mark), from) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t page_limit(const struct aws_call *call)
{
	const json_t *limit = json_object_get(call->input, aws_name(call->operation->page_limit));

	if (json_integer_value(limit) > 0)
		return (size_t)json_integer_value(limit);
	return call->service->page_default ? call->service->page_default : LIMIT_DEFAULT;
}

static bool is_in_order(const json_t *list, const char *mark)
{
	const char *last = "";

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *next = mark_of(json_array_get(list, i), mark);

		if (strcmp(last, next) > 0)
			return false;
		last = next;
	}
	return true;
}

static int compare_marks(const void *a, const void *b, void *mark)
{
	return strcmp(mark_of(*(json_t *const *)a, mark), mark_of(*(json_t *const *)b, mark));
}

/* The list itself where it is in order already, else a new one. */
static json_t *put_in_order(json_t *list, const char *mark)
{
	size_t count = json_array_size(list);
	CLEANUP(free) json_t **sorted = NULL;
	json_t *ordered;

	if (is_in_order(list, mark))
		return json_incref(list);
	sorted = xcalloc(count, sizeof(json_t *));
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(list, i);
	qsort_r(sorted, count, sizeof(json_t *), compare_marks, (void *)mark);
	ordered = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append(ordered, sorted[i]);
	return ordered;
}

static json_t *without(const json_t *element, const char *mark)
{
	json_t *rest = json_copy((json_t *)element);

	json_object_del(rest, mark);
	return rest;
}

static json_t *cut(json_t *list, size_t start, size_t end, const char *mark)
{
	bool hidden = *mark == '.';
	json_t *page;

	if (!hidden && start == 0 && end == json_array_size(list))
		return json_incref(list);
	page = json_array();
	for (size_t i = start; i < end; i++) {
		json_t *element = json_array_get(list, i);

		json_array_append_new(page, hidden ? without(element, mark) : json_incref(element));
	}
	return page;
}

/* Where the page begins: 0, or behind what the call's marker names. */
static int page_start(struct aws_call *call, const json_t *list, const char *mark, size_t *ret)
{
	const char *name = aws_name(call->operation->page_from), *from;
	const json_t *marker = json_object_get(call->input, name);
	CLEANUP(buffer) struct buffer text = {0};

	*ret = 0;
	if (!json_string_length(marker))
		return 0;
	from = open_marker(marker, &text);
	if (!from)
		return aws_fault(call,
				 call->service->wording == AWS_PARAMETERS ? "InvalidParameterValue"
									  : "ValidationError",
				 "Invalid value for %s: it is none that an answer had", name);
	*ret = find_start(list, mark, from);
	return 0;
}

/* The answer with one page of the list in the place of the whole. */
static json_t *turn_page(const struct aws_call *call, const json_t *answer, json_t *list,
			 size_t start, const char *mark)
{
	const struct aws_operation *operation = call->operation;
	const char *more = aws_name(operation->page_more);
	size_t end = MIN(json_array_size(list), start + page_limit(call));
	json_t *paged = json_copy((json_t *)answer);

	json_object_set_new(paged, aws_name(operation->page_result), cut(list, start, end, mark));
	if (end < json_array_size(list))
		json_object_set_new(paged, aws_name(operation->page_next),
				    make_marker(json_array_get(list, end - 1), mark));
	if (*more)
		json_object_set_new(paged, more, json_boolean(end < json_array_size(list)));
	return paged;
}

int aws_page(struct aws_call *call, const char *mark, json_t **answer)
{
	json_t *whole = json_object_get(*answer, aws_name(call->operation->page_result));
	json_auto_t *list = NULL;
	json_t *paged;
	size_t start;
	int r;

	if (!json_is_array(whole))
		return 0;
	list = put_in_order(whole, mark);
	r = page_start(call, list, mark, &start);
	if (r < 0)
		return r;
	paged = turn_page(call, *answer, list, start, mark);
	json_decref(*answer);
	*answer = paged;
	return 0;
}
