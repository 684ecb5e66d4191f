#include "aws/answer.h"

#include "aws/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What is said in place of a byte: "" for all that stand for themselves. */
static const char *escape_of(uint8_t c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\r': /* a parser would make a line feed of it */
		return "&#xD;";
	default:
		return c < ' ' && c != '\t' && c != '\n' ? "\xEF\xBF\xBD" : "";
	}
}

/* U+FFFE and U+FFFF, which are no characters. */
static bool is_no_character(const char *text, size_t size)
{
	return size >= 3 && memcmp(text, "\xEF\xBF", 2) == 0 && (uint8_t)text[2] >= 0xBE;
}

void aws_answer_xml_text(struct buffer *buffer, const char *text, size_t size)
{
	size_t from = 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)text[i];
		const char *escape;
		size_t taken = 1;

		if (c > '>' && c != 0xEF)
			continue;
		escape = escape_of(c);
		if (c == 0xEF && is_no_character(text + i, size - i)) {
			escape = "\xEF\xBF\xBD";
			taken = 3;
		}
		if (!*escape)
			continue;
		buffer_put(buffer, text + from, i - from);
		buffer_put(buffer, escape, strlen(escape));
		i += taken - 1;
		from = i + 1;
	}
	buffer_put(buffer, text + from, size - from);
}

static void put_tag(struct buffer *buffer, const char *open, size_t open_size, const char *name,
		    size_t name_size)
{
	/* Not copied here: of a size that fits a byte the compiler makes "rep movs", which takes
	 * longer to begin than the library takes for a name. */
	buffer_put(buffer, open, open_size);
	buffer_put(buffer, name, name_size);
	buffer_put8(buffer, '>');
}

static void open_tag(struct buffer *buffer, const struct aws_member *member)
{
	put_tag(buffer, "<", 1, aws_name(member->location), member->location_size);
}

static void close_tag(struct buffer *buffer, const struct aws_member *member)
{
	put_tag(buffer, "</", 2, aws_name(member->location), member->location_size);
}

static void put_number(struct buffer *buffer, const struct aws_shape *shape, const json_t *value)
{
	char text[AWS_TEXT_MAX];
	size_t size;

	if (shape->type == AWS_TIMESTAMP)
		size = aws_time_format(json_number_value(value), json_is_integer(value), text);
	else if (json_is_integer(value))
		size = (size_t)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT,
					json_integer_value(value));
	else
		size = aws_real_format(json_real_value(value), text);
	buffer_put(buffer, text, size);
}

static void put_scalar(struct buffer *buffer, const struct aws_shape *shape, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		aws_answer_xml_text(buffer, json_string_value(value), json_string_length(value));
		break;
	case JSON_TRUE:
		buffer_put(buffer, "true", 4);
		break;
	case JSON_FALSE:
		buffer_put(buffer, "false", 5);
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		put_number(buffer, shape, value);
		break;
	default:
		break;
	}
}

static void put_member(struct buffer *buffer, const struct aws_member *member, const json_t *value);

/* With `around`, the flattened list's own member: each element has the list's name. */
static void put_list(struct buffer *buffer, const struct aws_shape *shape,
		     const struct aws_member *around, const json_t *list)
{
	struct aws_member member = aws_members[shape->first];
	size_t i;
	json_t *value;

	if (around && member.location == member.name) {
		member.location = around->location;
		member.location_size = around->location_size;
	}
	json_array_foreach (list, i, value) {
		put_member(buffer, &member, value);
	}
}

static void put_map(struct buffer *buffer, const struct aws_shape *shape,
		    const struct aws_member *around, const json_t *map)
{
	const struct aws_member *members = &aws_members[shape->first];
	json_t *value;
	const char *key;

	json_object_foreach ((json_t *)map, key, value) {
		if (around)
			open_tag(buffer, around);
		else
			buffer_put(buffer, "<entry>", 7);
		open_tag(buffer, &members[0]);
		aws_answer_xml_text(buffer, key, strlen(key));
		close_tag(buffer, &members[0]);
		put_member(buffer, &members[1], value);
		if (around)
			close_tag(buffer, around);
		else
			buffer_put(buffer, "</entry>", 8);
	}
}

static void put_member(struct buffer *buffer, const struct aws_member *member, const json_t *value)
{
	const struct aws_shape *shape = aws_member_shape(member);

	if (json_is_null(value))
		return;
	if (shape->flags & AWS_FLATTENED) {
		if (json_is_array(value))
			put_list(buffer, shape, member, value);
		else
			put_map(buffer, shape, member, value);
		return;
	}
	open_tag(buffer, member);
	if (shape->type == AWS_STRUCTURE)
		aws_answer_xml(buffer, shape, value);
	else if (shape->type == AWS_LIST)
		put_list(buffer, shape, NULL, value);
	else if (shape->type == AWS_MAP)
		put_map(buffer, shape, NULL, value);
	else
		put_scalar(buffer, shape, value);
	close_tag(buffer, member);
}

void aws_answer_xml(struct buffer *buffer, const struct aws_shape *shape, const json_t *output)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)output, name, value) {
		const struct aws_member *member = aws_answer_member(shape, name);

		if (member)
			put_member(buffer, member, value);
	}
}
