#include "aws/cbor.h"

#include "aws/text.h"
#include "base/cursor.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define DEPTH_MAX 64

/* The values behind the five bits of an item's first byte. */
#define INFO_8 24
#define INFO_64 27
#define INFO_INDEFINITE 31

#define SIMPLE_FALSE 20
#define SIMPLE_TRUE 21
#define SIMPLE_NULL 22
#define SIMPLE_UNDEFINED 23
#define BREAK 0xFF

struct reader {
	struct cursor cursor;
	struct problem *why;
	unsigned depth;
};

static int refuse(struct reader *reader, const char *what)
{
	return problem(reader->why, -EBADMSG, "The request is not valid CBOR: %s", what);
}

static uint64_t get_big_endian(struct cursor *cursor, unsigned size)
{
	uint64_t value = 0;

	while (size-- > 0)
		value = value << 8 | cursor_get8(cursor);
	return value;
}

/* The kind, the five bits, and the number that goes with them. */
static int get_head(struct reader *reader, enum cbor_kind *ret_kind, uint8_t *ret_info,
		    uint64_t *ret_value)
{
	uint8_t first = cursor_get8(&reader->cursor);

	*ret_kind = first >> 5;
	*ret_info = first & 31;
	*ret_value = *ret_info;
	if (*ret_info > INFO_64 && *ret_info != INFO_INDEFINITE)
		return refuse(reader, "a reserved length");
	if (*ret_info >= INFO_8 && *ret_info <= INFO_64)
		*ret_value = get_big_endian(&reader->cursor, 1u << (*ret_info - INFO_8));
	return cursor_ok(&reader->cursor) ? 0 : refuse(reader, "it is cut off");
}

static bool at_break(struct reader *reader)
{
	if (cursor_left(&reader->cursor) == 0 || *reader->cursor.at != BREAK)
		return false;
	cursor_get8(&reader->cursor);
	return true;
}

static int append_bytes(struct reader *reader, uint64_t size, struct buffer *buffer)
{
	const void *bytes;

	if (size > cursor_left(&reader->cursor))
		return refuse(reader, "it is cut off");
	bytes = cursor_bytes(&reader->cursor, size);
	buffer_put(buffer, bytes, size);
	return 0;
}

/* A string of either kind, in one piece or in several. */
static int get_bytes(struct reader *reader, enum cbor_kind kind, uint8_t info, uint64_t size,
		     struct buffer *buffer)
{
	int r;

	if (info != INFO_INDEFINITE)
		return append_bytes(reader, size, buffer);
	while (!at_break(reader)) {
		enum cbor_kind piece;

		r = get_head(reader, &piece, &info, &size);
		if (r < 0)
			return r;
		if (piece != kind || info == INFO_INDEFINITE)
			return refuse(reader, "a piece of a string is none");
		r = append_bytes(reader, size, buffer);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_string(struct reader *reader, enum cbor_kind kind, uint8_t info, uint64_t size,
		       json_t **ret)
{
	CLEANUP(buffer) struct buffer bytes = {0}, text = {0};
	int r = get_bytes(reader, kind, info, size, &bytes);

	if (r < 0)
		return r;
	if (kind == CBOR_STRING) {
		if (bytes.size && memchr(bytes.data, 0, bytes.size))
			return refuse(reader, "a text with a NUL");
		*ret = json_stringn(bytes.size ? (char *)bytes.data : "", bytes.size);
	} else {
		aws_base64_put(&text, bytes.data, bytes.size);
		*ret = json_stringn(text.size ? (char *)text.data : "", text.size);
	}
	return *ret ? 0 : refuse(reader, "a text that is not UTF-8");
}

static double half_to_double(uint16_t half)
{
	int exponent = half >> 10 & 31;
	double value = half & 1023;

	if (exponent == 0)
		value = ldexp(value, -24);
	else if (exponent != 31)
		value = ldexp(value + 1024, exponent - 25);
	else
		value = value == 0 ? INFINITY : NAN;
	return half & 0x8000 ? -value : value;
}

static int read_real(struct reader *reader, uint8_t info, uint64_t bits, json_t **ret)
{
	double value;

	if (info == 25) {
		value = half_to_double((uint16_t)bits);
	} else if (info == 26) {
		uint32_t narrow = (uint32_t)bits;
		float single;

		memcpy(&single, &narrow, sizeof single);
		value = (double)single;
	} else {
		memcpy(&value, &bits, sizeof value);
	}
	/* JSON has no word for those; as text they are no number of any range. */
	*ret = isfinite(value) ? json_real(value)
			       : json_string(isnan(value) ? "NaN"
					     : value > 0  ? "Infinity"
							  : "-Infinity");
	return 0;
}

static int read_simple(struct reader *reader, uint8_t info, uint64_t value, json_t **ret)
{
	if (info == INFO_INDEFINITE)
		return refuse(reader, "a break where an item is due");
	if (info > INFO_8)
		return read_real(reader, info, value, ret);
	switch (value) {
	case SIMPLE_FALSE:
	case SIMPLE_TRUE:
		*ret = json_boolean(value == SIMPLE_TRUE);
		return 0;
	case SIMPLE_NULL:
	case SIMPLE_UNDEFINED:
		*ret = json_null();
		return 0;
	default:
		return refuse(reader, "an unknown simple value");
	}
}

static int read_item(struct reader *reader, json_t **ret);

static int read_array(struct reader *reader, uint8_t info, uint64_t count, json_t **ret)
{
	json_auto_t *array = json_array();
	bool endless = info == INFO_INDEFINITE;

	for (uint64_t i = 0; endless ? !at_break(reader) : i < count; i++) {
		json_t *item;
		int r = read_item(reader, &item);

		if (r < 0)
			return r;
		json_array_append_new(array, item);
	}
	*ret = take(array);
	return 0;
}

static int read_map(struct reader *reader, uint8_t info, uint64_t count, json_t **ret)
{
	json_auto_t *object = json_object();
	bool endless = info == INFO_INDEFINITE;

	for (uint64_t i = 0; endless ? !at_break(reader) : i < count; i++) {
		json_auto_t *key = NULL;
		json_t *value;
		int r = read_item(reader, &key);

		if (r < 0)
			return r;
		if (!json_is_string(key))
			return refuse(reader, "a key that is no text");
		if (json_object_get(object, json_string_value(key)))
			return refuse(reader, "a key that is there twice");
		r = read_item(reader, &value);
		if (r < 0)
			return r;
		json_object_set_new(object, json_string_value(key), value);
	}
	*ret = take(object);
	return 0;
}

static int read_tag(struct reader *reader, uint8_t info, uint64_t tag, json_t **ret)
{
	json_auto_t *item = NULL;
	int r;

	if (info == INFO_INDEFINITE || tag != CBOR_TAG_EPOCH)
		return refuse(reader, "an unknown tag");
	r = read_item(reader, &item);
	if (r < 0)
		return r;
	if (!json_is_number(item))
		return refuse(reader, "a time that is no number");
	*ret = json_real(json_number_value(item));
	return 0;
}

static int read_integer(struct reader *reader, bool negative, uint8_t info, uint64_t value,
			json_t **ret)
{
	if (info == INFO_INDEFINITE)
		return refuse(reader, "a number without a length");
	if (value > INT64_MAX)
		return refuse(reader, "a number beyond 64 bits");
	*ret = json_integer(negative ? -1 - (int64_t)value : (int64_t)value);
	return 0;
}

static int read_item(struct reader *reader, json_t **ret)
{
	enum cbor_kind kind;
	uint64_t value;
	uint8_t info;
	int r = get_head(reader, &kind, &info, &value);

	if (r < 0)
		return r;
	if (++reader->depth > DEPTH_MAX)
		return refuse(reader, "it nests too deep");
	switch (kind) {
	case CBOR_UNSIGNED:
	case CBOR_NEGATIVE:
		r = read_integer(reader, kind == CBOR_NEGATIVE, info, value, ret);
		break;
	case CBOR_BYTES:
	case CBOR_STRING:
		r = read_string(reader, kind, info, value, ret);
		break;
	case CBOR_ARRAY:
		r = read_array(reader, info, value, ret);
		break;
	case CBOR_MAP:
		r = read_map(reader, info, value, ret);
		break;
	case CBOR_TAG:
		r = read_tag(reader, info, value, ret);
		break;
	case CBOR_SIMPLE:
		r = read_simple(reader, info, value, ret);
		break;
	}
	reader->depth--;
	return r;
}

int cbor_read(const void *data, size_t size, json_t **ret, struct problem *why)
{
	struct reader reader = {.why = why};
	json_auto_t *item = NULL;
	int r;

	cursor_init(&reader.cursor, data, size);
	r = read_item(&reader, &item);
	if (r < 0)
		return r;
	if (!cursor_done(&reader.cursor))
		return refuse(&reader, "something is left over");
	*ret = take(item);
	return 0;
}

static void put_big_endian(struct buffer *buffer, uint64_t value, unsigned size)
{
	uint8_t *at = buffer_extend(buffer, size);

	for (unsigned i = size; i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
}

void cbor_put_head(struct buffer *buffer, enum cbor_kind kind, uint64_t value)
{
	unsigned power = value <= UINT8_MAX    ? 0
			 : value <= UINT16_MAX ? 1
			 : value <= UINT32_MAX ? 2
					       : 3;

	if (value < INFO_8) {
		buffer_put8(buffer, (uint8_t)(kind << 5 | value));
		return;
	}
	buffer_put8(buffer, (uint8_t)(kind << 5 | (INFO_8 + power)));
	put_big_endian(buffer, value, 1u << power);
}

void cbor_put_integer(struct buffer *buffer, int64_t value)
{
	if (value < 0)
		cbor_put_head(buffer, CBOR_NEGATIVE, (uint64_t)(-1 - value));
	else
		cbor_put_head(buffer, CBOR_UNSIGNED, (uint64_t)value);
}

void cbor_put_real(struct buffer *buffer, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	buffer_put8(buffer, CBOR_SIMPLE << 5 | INFO_64);
	put_big_endian(buffer, bits, sizeof bits);
}

void cbor_put_string(struct buffer *buffer, const char *text, size_t size)
{
	cbor_put_head(buffer, CBOR_STRING, size);
	buffer_put(buffer, text, size);
}

void cbor_put_boolean(struct buffer *buffer, bool value)
{
	buffer_put8(buffer, CBOR_SIMPLE << 5 | (value ? SIMPLE_TRUE : SIMPLE_FALSE));
}

void cbor_put_null(struct buffer *buffer)
{
	buffer_put8(buffer, CBOR_SIMPLE << 5 | SIMPLE_NULL);
}
