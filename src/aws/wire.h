/*
 * Wire: from an HTTP request to a call, and from an answer or a fault to an HTTP response,
 * whichever protocol it is: Query with XML, JSON 1.0 and 1.1, CBOR (smithy's RPC v2).  Any service
 * of the model can be asked in any of them.
 */
#pragma once

#include "aws/call.h"
#include "http/http.h"

/*
 * Fill in *call, all of it: protocol, service, operation, the input tree, not checked yet
 * (aws_check()), a request id, the time, who is at the other end.  AWS_FAULT when there is no such
 * operation or the input cannot be read: call->fault says so, and aws_wire_fault() sends it.  The
 * caller of aws_call_done() owns it in any case.
 *
 * The service is the one that the signature is for, which nobody has verified yet, else the one of
 * X-Amz-Target or CBOR's path, else the only one that has an operation of that name and version.
 */
int aws_wire_read(const struct http_request *request, struct aws_call *call);

/* The response for an answer (NULL: empty), or for call->fault. */
void aws_wire_answer(const struct aws_call *call, const json_t *output,
		     struct http_response *response);
void aws_wire_fault(const struct aws_call *call, struct http_response *response);
