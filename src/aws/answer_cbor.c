#include "aws/answer.h"

#include "aws/cbor.h"
#include "aws/text.h"

#include <string.h>

static void put_value(struct buffer *buffer, const struct aws_shape *shape, const json_t *value);

/* What is null is not there, and not counted. */
static void put_object(struct buffer *buffer, const struct aws_shape *shape, const json_t *object)
{
	uint64_t count = 0;
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)object, name, value)
		count += !json_is_null(value) &&
			 (shape->type == AWS_MAP || aws_member_find(shape, name, strlen(name)));
	cbor_put_head(buffer, CBOR_MAP, count);
	json_object_foreach ((json_t *)object, name, value) {
		const struct aws_shape *of_value = aws_answer_value(shape, name);

		if (!of_value || json_is_null(value))
			continue;
		cbor_put_string(buffer, name, strlen(name));
		put_value(buffer, of_value, value);
	}
}

static void put_list(struct buffer *buffer, const struct aws_shape *shape, const json_t *list)
{
	const struct aws_shape *element = aws_answer_element(shape);
	size_t i;
	json_t *value;

	cbor_put_head(buffer, CBOR_ARRAY, json_array_size(list));
	json_array_foreach (list, i, value) {
		put_value(buffer, element, value);
	}
}

static void put_text(struct buffer *buffer, const struct aws_shape *shape, const json_t *value)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	const char *text = json_string_value(value);
	size_t size = json_string_length(value);

	if (shape->type != AWS_BLOB || !aws_base64_get(text, size, &bytes)) {
		cbor_put_string(buffer, text, size);
		return;
	}
	cbor_put_head(buffer, CBOR_BYTES, bytes.size);
	buffer_put(buffer, bytes.data, bytes.size);
}

static void put_number(struct buffer *buffer, const struct aws_shape *shape, const json_t *value)
{
	if (shape->type == AWS_TIMESTAMP)
		cbor_put_head(buffer, CBOR_TAG, CBOR_TAG_EPOCH);
	if (json_is_integer(value) && shape->type != AWS_DOUBLE && shape->type != AWS_FLOAT)
		cbor_put_integer(buffer, json_integer_value(value));
	else
		cbor_put_real(buffer, json_number_value(value));
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
		put_text(buffer, shape, value);
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		put_number(buffer, shape, value);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		cbor_put_boolean(buffer, json_is_true(value));
		break;
	case JSON_NULL:
		cbor_put_null(buffer);
		break;
	}
}

void aws_answer_cbor(struct buffer *buffer, const struct aws_shape *shape, const json_t *output)
{
	put_object(buffer, shape, output);
}
