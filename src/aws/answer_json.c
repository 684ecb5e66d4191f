#include "aws/answer.h"

#include "aws/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_escape(struct buffer *buffer, uint8_t c)
{
	char text[8];
	int size;

	if (c == '"' || c == '\\')
		size = snprintf(text, sizeof text, "\\%c", c);
	else if (c == '\n')
		size = snprintf(text, sizeof text, "\\n");
	else
		size = snprintf(text, sizeof text, "\\u%04x", c);
	buffer_put(buffer, text, (size_t)size);
}

void aws_answer_json_text(struct buffer *buffer, const char *text, size_t size)
{
	size_t from = 0;

	buffer_put8(buffer, '"');
	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		buffer_put(buffer, text + from, i - from);
		put_escape(buffer, c);
		from = i + 1;
	}
	buffer_put(buffer, text + from, size - from);
	buffer_put8(buffer, '"');
}

static void put_number(struct buffer *buffer, const struct aws_shape *shape, const json_t *value)
{
	char text[AWS_TEXT_MAX];
	double real = json_number_value(value);

	if (json_is_integer(value))
		buffer_put(buffer, text,
			   (size_t)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT,
					    json_integer_value(value)));
	else if (shape->type == AWS_TIMESTAMP)
		buffer_put(buffer, text, (size_t)snprintf(text, sizeof text, "%.3f", real));
	else
		buffer_put(buffer, text, aws_real_format(real, text));
}

static void put_value(struct buffer *buffer, const struct aws_shape *shape, const json_t *value);

static void put_list(struct buffer *buffer, const struct aws_shape *shape, const json_t *list)
{
	const struct aws_shape *element = aws_answer_element(shape);
	size_t i;
	json_t *value;

	buffer_put8(buffer, '[');
	json_array_foreach (list, i, value) {
		if (i)
			buffer_put8(buffer, ',');
		put_value(buffer, element, value);
	}
	buffer_put8(buffer, ']');
}

static void put_object(struct buffer *buffer, const struct aws_shape *shape, const json_t *object)
{
	const char *name, *comma = "";
	json_t *value;

	buffer_put8(buffer, '{');
	json_object_foreach ((json_t *)object, name, value) {
		const struct aws_shape *of_value = aws_answer_value(shape, name);

		if (!of_value || json_is_null(value))
			continue;
		buffer_put(buffer, comma, strlen(comma));
		comma = ",";
		aws_answer_json_text(buffer, name, strlen(name));
		buffer_put8(buffer, ':');
		put_value(buffer, of_value, value);
	}
	buffer_put8(buffer, '}');
}

static void put_value(struct buffer *buffer, const struct aws_shape *shape, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		put_object(buffer, shape, value);
		break;
	case JSON_ARRAY:
		put_list(buffer, shape, value);
		break;
	case JSON_STRING:
		aws_answer_json_text(buffer, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		put_number(buffer, shape, value);
		break;
	case JSON_TRUE:
		buffer_put(buffer, "true", 4);
		break;
	case JSON_FALSE:
		buffer_put(buffer, "false", 5);
		break;
	case JSON_NULL:
		buffer_put(buffer, "null", 4);
		break;
	}
}

void aws_answer_json(struct buffer *buffer, const struct aws_shape *shape, const json_t *output)
{
	put_object(buffer, shape, output);
}
