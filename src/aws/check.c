#include "aws/check.h"

#include "aws/pattern.h"
#include "aws/text.h"
#include "base/alloc.h"
#include "base/buffer.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define PATH_MAX_SIZE 512
/* Of a value that is repeated in a message. */
#define SHOWN_MAX 256

struct check {
	struct aws_call *call;
	/* Where we are, as the services say it: "tags.1.member.key". */
	char path[PATH_MAX_SIZE];
	size_t path_size;
	/* What is wrong with values of the right type; all of it is told at once. */
	struct buffer *violations;
	unsigned violation_count;
};

/* Go one word deeper; returns what leave() wants.  A path that is too long is told cut off. */
__attribute__((format(printf, 2, 3))) static size_t enter(struct check *check, const char *format,
							  ...)
{
	size_t before = check->path_size, room = sizeof check->path - before;
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(check->path + before, room, format, args);
	va_end(args);
	if (size > 0)
		check->path_size += MIN((size_t)size, room - 1);
	return before;
}

static void leave(struct check *check, size_t before)
{
	check->path_size = before;
	check->path[before] = '\0';
}

/* "UserName" is said "userName", "DBClusterIdentifier" "dBClusterIdentifier". */
static size_t enter_member(struct check *check, const char *name)
{
	return enter(check, "%s%c%s", check->path_size ? "." : "", tolower((unsigned char)*name),
		     name + 1);
}

static const char *type_name(const struct aws_shape *shape)
{
	switch (shape->type) {
	case AWS_STRUCTURE:
		return "a structure";
	case AWS_LIST:
		return "a list";
	case AWS_MAP:
		return "a map";
	case AWS_BOOLEAN:
		return "true or false";
	case AWS_INTEGER:
		return "an integer of 32 bits";
	case AWS_LONG:
		return "an integer of 64 bits";
	case AWS_FLOAT:
	case AWS_DOUBLE:
		return "a number";
	case AWS_TIMESTAMP:
		return "a timestamp";
	case AWS_BLOB:
		return "base64";
	default:
		return "a string";
	}
}

/* A value as a message repeats it. */
static void show(struct buffer *buffer, const json_t *value)
{
	char text[AWS_TEXT_MAX];
	size_t i;
	json_t *element;

	if (json_is_string(value)) {
		size_t size = json_string_length(value);
		const char *string = json_string_value(value);

		for (size = MIN(size, (size_t)SHOWN_MAX);
		     size && ((uint8_t)string[size] & 0xC0) == 0x80; size--)
			continue;
		buffer_put(buffer, string, size);
	} else if (json_is_integer(value)) {
		buffer_put(buffer, text,
			   (size_t)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT,
					    json_integer_value(value)));
	} else if (json_is_real(value)) {
		buffer_put(buffer, text, aws_real_format(json_real_value(value), text));
	} else if (json_is_boolean(value)) {
		buffer_put(buffer, json_is_true(value) ? "true" : "false",
			   json_is_true(value) ? 4 : 5);
	} else if (json_is_array(value)) {
		buffer_put8(buffer, '[');
		json_array_foreach (value, i, element) {
			if (i)
				buffer_put(buffer, ", ", 2);
			if (i == 8 || buffer->size > 4 * SHOWN_MAX) {
				buffer_put(buffer, "...", 3);
				break;
			}
			show(buffer, element);
		}
		buffer_put8(buffer, ']');
	} else {
		buffer_put(buffer, "{...}", 5);
	}
}

static int wrong_type(struct check *check, const struct aws_shape *shape, const json_t *value)
{
	CLEANUP(buffer) struct buffer shown = {0};

	if (!(shape->flags & AWS_SENSITIVE))
		show(&shown, value);
	return aws_fault(check->call, "MalformedInput", "Value '%.*s' at '%s' must be %s",
			 (int)MIN(shown.size, (size_t)SHOWN_MAX),
			 shown.size ? (char *)shown.data : "", check->path, type_name(shape));
}

/* One more line of "validation errors detected". */
__attribute__((format(printf, 4, 5))) static void violate(struct check *check,
							  const struct aws_shape *shape,
							  const json_t *value, const char *format,
							  ...)
{
	struct buffer *text = check->violations;
	char words[1024];
	va_list args;
	int size;

	check->violation_count++;
	/* More than fits into a message need not be worded. */
	if (text->size > sizeof check->call->fault.message)
		return;
	if (text->size)
		buffer_put(text, "; ", 2);
	if (!value) {
		buffer_put(text, "Value null at '", 15);
	} else if (shape->flags & AWS_SENSITIVE) {
		buffer_put(text, "Value at '", 10);
	} else {
		buffer_put(text, "Value '", 7);
		show(text, value);
		buffer_put(text, "' at '", 6);
	}
	buffer_put(text, check->path, check->path_size);
	buffer_put(text, "' failed to satisfy constraint: ", 32);
	va_start(args, format);
	size = vsnprintf(words, sizeof words, format, args);
	va_end(args);
	if (size > 0)
		buffer_put(text, words, MIN((size_t)size, sizeof words - 1));
}

static void check_length(struct check *check, const struct aws_shape *shape, const json_t *value,
			 int64_t length)
{
	if (shape->flags & AWS_HAS_MIN && length < shape->min)
		violate(check, shape, value,
			"Member must have length greater than or equal to %" PRId64, shape->min);
	if (shape->flags & AWS_HAS_MAX && length > shape->max)
		violate(check, shape, value,
			"Member must have length less than or equal to %" PRId64, shape->max);
}

static void check_range(struct check *check, const struct aws_shape *shape, const json_t *value)
{
	double number = json_number_value(value);

	if (shape->flags & AWS_HAS_MIN && number < (double)shape->min)
		violate(check, shape, value,
			"Member must have value greater than or equal to %" PRId64, shape->min);
	if (shape->flags & AWS_HAS_MAX && number > (double)shape->max)
		violate(check, shape, value,
			"Member must have value less than or equal to %" PRId64, shape->max);
}

static void check_enumeration(struct check *check, const struct aws_shape *shape,
			      const json_t *value)
{
	CLEANUP(buffer) struct buffer set = {0};

	for (unsigned i = 0; i < shape->count; i++) {
		const char *one = aws_name(aws_values[shape->first + i]);

		if (strcmp(one, json_string_value(value)) == 0)
			return;
		if (i)
			buffer_put(&set, ", ", 2);
		buffer_put(&set, one, strlen(one));
	}
	violate(check, shape, value, "Member must satisfy enum value set: [%.*s]", (int)set.size,
		(char *)set.data);
}

static int64_t count_characters(const json_t *value)
{
	const char *text = json_string_value(value);
	int64_t count = 0;

	for (; *text; text++)
		count += ((uint8_t)*text & 0xC0) != 0x80;
	return count;
}

static int check_string(struct check *check, const struct aws_shape *shape, const json_t *value)
{
	if (!json_is_string(value))
		return wrong_type(check, shape, value);
	check_length(check, shape, value, count_characters(value));
	if (shape->pattern &&
	    !aws_pattern_matches(shape, json_string_value(value), json_string_length(value)))
		violate(check, shape, value, "Member must satisfy regular expression pattern: %s",
			aws_name(shape->pattern));
	if (shape->count)
		check_enumeration(check, shape, value);
	return 0;
}

static int check_blob(struct check *check, const struct aws_shape *shape, const json_t *value)
{
	CLEANUP(buffer) struct buffer bytes = {0};

	if (!json_is_string(value) ||
	    !aws_base64_get(json_string_value(value), json_string_length(value), &bytes))
		return wrong_type(check, shape, value);
	check_length(check, shape, value, (int64_t)bytes.size);
	return 0;
}

/* Numbers may come as 5.0 where 5 is meant. */
static int check_integer(struct check *check, const struct aws_shape *shape, json_t *value,
			 json_t **ret_better)
{
	double number = json_number_value(value);

	if (json_is_real(value) && number == floor(number) && fabs(number) < 0x1p53)
		*ret_better = value = json_integer((json_int_t)number);
	if (!json_is_integer(value))
		return wrong_type(check, shape, value);
	if (shape->type == AWS_INTEGER &&
	    (json_integer_value(value) < INT32_MIN || json_integer_value(value) > INT32_MAX))
		return wrong_type(check, shape, value);
	check_range(check, shape, value);
	return 0;
}

static int check_time(struct check *check, const struct aws_shape *shape, const json_t *value,
		      json_t **ret_better)
{
	char text[AWS_TEXT_MAX];
	double seconds;

	/* A number goes through the text, too: that knows the limits of time. */
	if (json_is_number(value))
		aws_real_format(json_number_value(value), text);
	if (json_is_number(value)
		    ? !aws_time_parse(text, &seconds)
		    : !json_is_string(value) || !aws_time_parse(json_string_value(value), &seconds))
		return wrong_type(check, shape, value);
	if (!json_is_real(value))
		*ret_better = json_real(seconds);
	return 0;
}

static int check_value(struct check *check, const struct aws_shape *shape, json_t *value,
		       json_t **ret_better);

/* Two styles: Coral tells all that is null at once, others name the first one. */
static int miss_member(struct check *check, const struct aws_member *member)
{
	const struct aws_shape *shape = aws_member_shape(member);
	size_t before;

	if (check->call->service->wording == AWS_PARAMETERS)
		return aws_fault(check->call, "MissingParameter",
				 "The request must contain the parameter %s",
				 aws_name(member->name));
	before = enter_member(check, aws_name(member->name));
	violate(check, shape, NULL, "Member must not be null");
	leave(check, before);
	return 0;
}

static int check_member(struct check *check, const struct aws_member *member, json_t *object)
{
	const char *name = aws_name(member->name);
	json_t *value = json_object_get(object, name), *better = NULL;
	size_t before;
	int r;

	if (!value)
		return member->flags & AWS_REQUIRED ? miss_member(check, member) : 0;
	before = enter_member(check, name);
	r = check_value(check, aws_member_shape(member), value, &better);
	leave(check, before);
	if (better)
		json_object_set_new(object, name, better);
	return r;
}

/* What is null is as good as not there; what the model has not is a mistake of the client's, or
 * something newer than we are: either way the caller would not get what was asked for. */
static int check_names(struct check *check, const struct aws_shape *shape, json_t *object)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe (object, next, name, value) {
		if (!aws_member_find(shape, name, strlen(name)))
			return aws_fault(check->call, "UnknownParameter",
					 "The parameter %s%s%.200s is not recognized", check->path,
					 check->path_size ? "." : "", name);
		if (json_is_null(value))
			json_object_del(object, name);
	}
	return 0;
}

static int check_structure(struct check *check, const struct aws_shape *shape, json_t *object)
{
	int r;

	if (!json_is_object(object))
		return wrong_type(check, shape, object);
	r = check_names(check, shape, object);
	for (unsigned i = 0; r == 0 && i < shape->count; i++)
		r = check_member(check, &aws_members[shape->first + i], object);
	return r;
}

static int check_list(struct check *check, const struct aws_shape *shape, json_t *list)
{
	const struct aws_shape *element = aws_member_shape(&aws_members[shape->first]);
	int r = 0;

	if (!json_is_array(list))
		return wrong_type(check, shape, list);
	check_length(check, shape, list, (int64_t)json_array_size(list));
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		size_t before = enter(check, ".%zu.member", i + 1);
		json_t *better = NULL;

		r = check_value(check, element, json_array_get(list, i), &better);
		if (better)
			json_array_set_new(list, i, better);
		leave(check, before);
	}
	return r;
}

static int check_map(struct check *check, const struct aws_shape *shape, json_t *map)
{
	const struct aws_shape *key = aws_member_shape(&aws_members[shape->first]);
	const struct aws_shape *element = aws_member_shape(&aws_members[shape->first + 1]);
	const char *name;
	json_t *value;
	int r;

	if (!json_is_object(map))
		return wrong_type(check, shape, map);
	check_length(check, shape, map, (int64_t)json_object_size(map));
	json_object_foreach (map, name, value) {
		size_t before = enter(check, ".%.100s.member", name);
		json_auto_t *text = json_string(name);
		json_t *better = NULL;

		r = check_string(check, key, text);
		if (r == 0)
			r = check_value(check, element, value, &better);
		if (better)
			json_object_set_new(map, name, better);
		leave(check, before);
		if (r < 0)
			return r;
	}
	return 0;
}

/* `ret_better` is set, owned by the caller, where the value is better said in another way. */
static int check_value(struct check *check, const struct aws_shape *shape, json_t *value,
		       json_t **ret_better)
{
	switch (shape->type) {
	case AWS_STRUCTURE:
		return check_structure(check, shape, value);
	case AWS_LIST:
		return check_list(check, shape, value);
	case AWS_MAP:
		return check_map(check, shape, value);
	case AWS_BOOLEAN:
		return json_is_boolean(value) ? 0 : wrong_type(check, shape, value);
	case AWS_INTEGER:
	case AWS_LONG:
		return check_integer(check, shape, value, ret_better);
	case AWS_FLOAT:
	case AWS_DOUBLE:
		if (!json_is_number(value))
			return wrong_type(check, shape, value);
		check_range(check, shape, value);
		return 0;
	case AWS_TIMESTAMP:
		return check_time(check, shape, value, ret_better);
	case AWS_BLOB:
		return check_blob(check, shape, value);
	default:
		return check_string(check, shape, value);
	}
}

static int check_page(struct aws_call *call)
{
	const char *name = aws_name(call->operation->page_limit);
	const json_t *limit = *name ? json_object_get(call->input, name) : NULL;
	const struct aws_service *service = call->service;
	json_int_t value = json_integer_value(limit);

	if (!limit || !service->page_max ||
	    (value >= service->page_min && value <= service->page_max))
		return 0;
	return aws_fault(call, "InvalidParameterValue",
			 "Invalid value %" JSON_INTEGER_FORMAT " for %s. Must be between %u and %u",
			 value, name, service->page_min, service->page_max);
}

static int check_dry_run(struct aws_call *call)
{
	if (!json_is_true(json_object_get(call->input, "DryRun")))
		return 0;
	return aws_fault(call, "DryRunOperation",
			 "Request would have succeeded, but DryRun flag is set.");
}

int aws_check(struct aws_call *call)
{
	CLEANUP(buffer) struct buffer violations = {0};
	struct check check = {.call = call, .violations = &violations};
	int r = check_structure(&check, &aws_shapes[call->operation->input], call->input);

	if (r == 0 && check.violation_count)
		r = aws_fault(call, "ValidationError", "%u validation error%s detected: %.*s",
			      check.violation_count, check.violation_count == 1 ? "" : "s",
			      (int)violations.size, (char *)violations.data);
	if (r == 0)
		r = check_page(call);
	return r < 0 ? r : check_dry_run(call);
}
