/*
 * Any bytes as CBOR: understood, or refused with one line; and as the body for an operation
 * (operation.h), checked, written by its shape, and understood again.
 */
#include "aws/answer.h"
#include "aws/cbor.h"
#include "aws/check.h"
#include "aws/wire.h"
#include "operation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_body(const void *body, size_t size, const char *path, struct aws_call *call)
{
	struct http_request request = {.method = "POST",
				       .target = path,
				       .path = path,
				       .query = "",
				       .body = body,
				       .body_size = size,
				       .peer = "127.0.0.1"};
	int r = aws_wire_read(&request, call);

	return r < 0 ? r : aws_check(call);
}

static void ask(const struct aws_operation *operation, const uint8_t *data, size_t size)
{
	struct buffer written = {0};
	struct aws_call call, again;
	char path[256];
	int r;

	snprintf(path, sizeof path, "/service/%s/operation/%s",
		 aws_name(aws_operation_service(operation)->target), aws_operation_name(operation));
	r = read_body(data, size, path, &call);
	if (r == 0) {
		aws_answer_cbor(&written, &aws_shapes[operation->input], call.input);
		assert(read_body(written.data, written.size, path, &again) == 0);
		assert(json_equal(again.input, call.input));
		aws_call_done(&again);
		buffer_done(&written);
	}
	assert(r == 0 || (r == AWS_FAULT && call.fault.code[0] && call.fault.message[0]));
	aws_call_done(&call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct aws_operation *operation = operation_of(&data, &size);
	struct problem why = {""};
	json_t *read = NULL;
	int r = cbor_read(data, size, &read, &why);

	assert(r == 0 ? read != NULL : read == NULL && why.text[0]);
	json_decref(read);
	if (operation)
		ask(operation, data, size);
	return 0;
}
