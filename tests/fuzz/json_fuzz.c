/*
 * Any text as the JSON body for an operation (operation.h): it ends in a checked input, or in a
 * fault with words.  What was understood is written by its shape and understood again as the same.
 */
#include "aws/answer.h"
#include "aws/check.h"
#include "aws/wire.h"
#include "operation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_body(const void *body, size_t size, const char *target, struct aws_call *call)
{
	struct http_header headers[] = {{"Content-Type", "application/x-amz-json-1.1"},
					{"X-Amz-Target", target}};
	struct http_request request = {.method = "POST",
				       .target = "/",
				       .path = "/",
				       .query = "",
				       .headers = headers,
				       .header_count = 2,
				       .body = body,
				       .body_size = size,
				       .peer = "127.0.0.1"};
	int r = aws_wire_read(&request, call);

	return r < 0 ? r : aws_check(call);
}

static void write_again(const struct aws_call *call, const char *target)
{
	struct buffer written = {0}, xml = {0};
	const struct aws_shape *shape = &aws_shapes[call->operation->input];
	struct aws_call again;

	aws_answer_json(&written, shape, call->input);
	assert(read_body(written.data, written.size, target, &again) == 0);
	/* Times are written to the millisecond. */
	assert(json_object_size(again.input) == json_object_size(call->input));
	aws_answer_xml(&xml, shape, call->input);
	aws_call_done(&again);
	buffer_done(&written);
	buffer_done(&xml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct aws_operation *operation = operation_of(&data, &size);
	struct aws_call call;
	char target[256];
	int r;

	if (!operation)
		return 0;
	snprintf(target, sizeof target, "%s.%s", aws_name(aws_operation_service(operation)->target),
		 aws_operation_name(operation));
	r = read_body(data, size, target, &call);
	if (r == 0)
		write_again(&call, target);
	else
		assert(r == AWS_FAULT && call.fault.code[0] && call.fault.message[0]);
	aws_call_done(&call);
	return 0;
}
