/*
 * Any text as the query of a request for some operation: it ends in a checked input, or in a fault
 * with words; and whatever it was, it can be answered.
 */
#include "aws/check.h"
#include "aws/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request = {.method = "POST",
				       .target = "/",
				       .path = "/",
				       .query = "",
				       .body = data,
				       .body_size = size,
				       .peer = "127.0.0.1"};
	struct http_response response = {0};
	struct aws_call call;
	int r = aws_wire_read(&request, &call);

	if (r == 0) {
		assert(call.operation && json_is_object(call.input));
		r = aws_check(&call);
	}
	if (r == 0) {
		/* The answer is of another shape: what it has not is left out. */
		aws_wire_answer(&call, NULL, &response);
	} else {
		assert(r == AWS_FAULT && call.fault.code[0] && call.fault.message[0]);
		assert(call.fault.status >= 400);
		aws_wire_fault(&call, &response);
	}
	assert(response.body.size > 0);
	buffer_done(&response.body);
	aws_call_done(&call);
	return 0;
}
