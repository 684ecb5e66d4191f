/*
 * CBOR (RFC 8949), as far as smithy's RPC v2 uses it: read into a JSON tree, written from one.
 *
 * Byte strings become base64 text and times (tag 1) numbers, as call.h has them.
 */
#pragma once

#include "base/buffer.h"
#include "base/problem.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * One item, and nothing behind it.  -EBADMSG, with one line for the client: cut off, not well
 * formed, keys that are no text, a key twice, deeper than any model, text that is no UTF-8 or has a
 * NUL, numbers beyond 64 bits signed, tags other than those for times.  The caller owns *ret.
 */
int cbor_read(const void *data, size_t size, json_t **ret, struct problem *why);

enum cbor_kind {
	CBOR_UNSIGNED = 0,
	CBOR_NEGATIVE = 1,
	CBOR_BYTES = 2,
	CBOR_STRING = 3,
	CBOR_ARRAY = 4,
	CBOR_MAP = 5,
	CBOR_TAG = 6,
	CBOR_SIMPLE = 7,
};

#define CBOR_TAG_EPOCH 1

/* What an item begins with; of strings the bytes follow, of arrays and maps the items. */
void cbor_put_head(struct buffer *buffer, enum cbor_kind kind, uint64_t value);
void cbor_put_integer(struct buffer *buffer, int64_t value);
void cbor_put_real(struct buffer *buffer, double value);
void cbor_put_string(struct buffer *buffer, const char *text, size_t size);
void cbor_put_boolean(struct buffer *buffer, bool value);
void cbor_put_null(struct buffer *buffer);
