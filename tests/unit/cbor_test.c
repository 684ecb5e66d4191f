/*
 * The examples of RFC 8949, appendix A, as far as they are what smithy's protocol uses; and what is
 * refused.
 */
#include "aws/cbor.h"

#include "tap.h"

#include <errno.h>
#include <stdlib.h>

static const struct example {
	const char *bytes;
	size_t size;
	const char *json; /* NULL: refused */
} examples[] = {
#define BYTES(text) text, sizeof text - 1
	{BYTES("\x00"), "0"},
	{BYTES("\x17"), "23"},
	{BYTES("\x18\x18"), "24"},
	{BYTES("\x19\x03\xe8"), "1000"},
	{BYTES("\x1a\x00\x0f\x42\x40"), "1000000"},
	{BYTES("\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00"), "1000000000000"},
	{BYTES("\x1b\x7f\xff\xff\xff\xff\xff\xff\xff"), "9223372036854775807"},
	{BYTES("\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), NULL},
	{BYTES("\x20"), "-1"},
	{BYTES("\x39\x03\xe7"), "-1000"},
	{BYTES("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"), "-9223372036854775808"},
	{BYTES("\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), NULL},
	{BYTES("\xf9\x00\x00"), "0.0"},
	{BYTES("\xf9\x3c\x00"), "1.0"},
	{BYTES("\xf9\x3e\x00"), "1.5"},
	{BYTES("\xf9\x7b\xff"), "65504.0"},
	{BYTES("\xf9\x00\x01"), "5.960464477539063e-8"},
	{BYTES("\xf9\x04\x00"), "0.00006103515625"},
	{BYTES("\xf9\xc4\x00"), "-4.0"},
	{BYTES("\xfa\x47\xc3\x50\x00"), "100000.0"},
	{BYTES("\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"), "1.1"},
	{BYTES("\xfb\xc0\x10\x66\x66\x66\x66\x66\x66"), "-4.1"},
	{BYTES("\xf9\x7c\x00"), "\"Infinity\""},
	{BYTES("\xf9\x7e\x00"), "\"NaN\""},
	{BYTES("\xfb\xff\xf0\x00\x00\x00\x00\x00\x00"), "\"-Infinity\""},
	{BYTES("\xf4"), "false"},
	{BYTES("\xf5"), "true"},
	{BYTES("\xf6"), "null"},
	{BYTES("\xf7"), "null"},
	{BYTES("\xc1\x1a\x51\x4b\x67\xb0"), "1363896240.0"},
	{BYTES("\xc1\xfb\x41\xd4\x52\xd9\xec\x20\x00\x00"), "1363896240.5"},
	{BYTES("\x40"), "\"\""},
	{BYTES("\x44\x01\x02\x03\x04"), "\"AQIDBA==\""},
	{BYTES("\x60"), "\"\""},
	{BYTES("\x64IETF"), "\"IETF\""},
	{BYTES("\x62\xc3\xbc"), "\"\xc3\xbc\""},
	{BYTES("\x80"), "[]"},
	{BYTES("\x83\x01\x02\x03"), "[1, 2, 3]"},
	{BYTES("\xa0"), "{}"},
	{BYTES("\xa2\x61\x61\x01\x61\x62\x82\x02\x03"), "{\"a\": 1, \"b\": [2, 3]}"},
	{BYTES("\x5f\x42\x01\x02\x43\x03\x04\x05\xff"), "\"AQIDBAU=\""},
	{BYTES("\x7f\x65strea\x64ming\xff"), "\"streaming\""},
	{BYTES("\x9f\xff"), "[]"},
	{BYTES("\x9f\x01\x82\x02\x03\x9f\x04\x05\xff\xff"), "[1, [2, 3], [4, 5]]"},
	{BYTES("\xbf\x61\x61\x01\x61\x62\x9f\x02\x03\xff\xff"), "{\"a\": 1, \"b\": [2, 3]}"},
	/* What is refused. */
	{BYTES(""), NULL},
	{BYTES("\x18"), NULL},                                 /* cut off in a head */
	{BYTES("\x64IET"), NULL},                              /* in a text */
	{BYTES("\x83\x01\x02"), NULL},                         /* in an array */
	{BYTES("\x9f\x01"), NULL},                             /* in one without a length */
	{BYTES("\x00\x00"), NULL},                             /* something behind it */
	{BYTES("\x1c"), NULL},                                 /* a reserved length */
	{BYTES("\x1f"), NULL},                                 /* a number without one */
	{BYTES("\xff"), NULL},                                 /* a break for nothing */
	{BYTES("\xa1\x01\x02"), NULL},                         /* a key that is a number */
	{BYTES("\xa2\x61\x61\x01\x61\x61\x02"), NULL},         /* the same key twice */
	{BYTES("\x61\xff"), NULL},                             /* no UTF-8 */
	{BYTES("\x61\x00"), NULL},                             /* a NUL */
	{BYTES("\x7f\x41\x61\xff"), NULL},                     /* bytes within a text */
	{BYTES("\x7f\x7f\x61\x61\xff\xff"), NULL},             /* pieces of pieces */
	{BYTES("\xc2\x41\x01"), NULL},                         /* a bignum */
	{BYTES("\xc1\x60"), NULL},                             /* a time that is a text */
	{BYTES("\xf0"), NULL},                                 /* a simple value of no meaning */
	{BYTES("\x7b\xff\xff\xff\xff\xff\xff\xff\xff"), NULL}, /* 2^64 - 1 bytes of text */
	{BYTES("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), NULL},
	{BYTES("\xbb\xff\xff\xff\xff\xff\xff\xff\xff"), NULL},
};

static void the_examples_of_the_rfc_are_read_and_what_is_no_cbor_is_refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		/* Memory of exactly that size, for the sanitizer. */
		CLEANUP(free) void *exact = malloc(examples[i].size ? examples[i].size : 1);
		json_auto_t *want = NULL, *read = NULL;
		struct problem why = {""};
		int r;

		memcpy(exact, examples[i].bytes, examples[i].size);
		if (examples[i].json)
			want = json_loads(examples[i].json, JSON_DECODE_ANY, NULL);
		r = cbor_read(exact, examples[i].size, &read, &why);
		if (examples[i].json)
			check(r == 0 && json_equal(read, want), "%zu: %s: %s", i, why.text,
			      json_dumps(read, JSON_ENCODE_ANY));
		else
			check(r == -EBADMSG && !read && strncmp(why.text, "The request", 11) == 0,
			      "%zu", i);
	}
}

static void it_nests_only_so_deep(void)
{
	uint8_t bytes[100000];
	json_t *read = NULL;

	memset(bytes, 0x81, sizeof bytes);
	check(cbor_read(bytes, sizeof bytes, &read, NULL) == -EBADMSG);
	memset(bytes, 0x9f, sizeof bytes);
	check(cbor_read(bytes, sizeof bytes, &read, NULL) == -EBADMSG);
	memset(bytes, 0xc1, sizeof bytes);
	check(cbor_read(bytes, sizeof bytes, &read, NULL) == -EBADMSG);
	memset(bytes, 0x81, 63);
	bytes[63] = 0;
	check(cbor_read(bytes, 64, &read, NULL) == 0);
	json_decref(read);
}

static void what_is_written_is_the_shortest_and_is_read_back(void)
{
	static const int64_t numbers[] = {0,     23,         24,         255,       256, 65535,
					  65536, UINT32_MAX, 4294967296, INT64_MAX, -1,  -24,
					  -25,   -256,       -257,       INT64_MIN};
	static const uint8_t sizes[] = {1, 1, 2, 2, 3, 3, 5, 5, 9, 9, 1, 1, 2, 2, 3, 9};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		CLEANUP(buffer) struct buffer buffer = {0};
		json_auto_t *read = NULL;

		cbor_put_integer(&buffer, numbers[i]);
		check(buffer.size == sizes[i], "%zu: %zu", i, buffer.size);
		check(cbor_read(buffer.data, buffer.size, &read, NULL) == 0);
		check(json_integer_value(read) == numbers[i]);
	}
}

int main(void)
{
	RUN(the_examples_of_the_rfc_are_read_and_what_is_no_cbor_is_refused);
	RUN(it_nests_only_so_deep);
	RUN(what_is_written_is_the_shortest_and_is_read_back);
	return tap_done();
}
