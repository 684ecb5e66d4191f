/*
 * The driver of tests/cli/botocore_test.py: calls without a server.
 *
 * Reads one JSON object a line: {"method", "target", "headers": [[name, value]], "body" (base64),
 * "now_us", "secret", "output": the answer's tree}.  Prints what came of it, one object a line:
 * {"signed": "" or the code, "fault": "" or the code, "message", "operation":
 * "rds.DescribeDBClusters", "input": the tree, "type": Content-Type, "status", "answer" (base64)}.
 */
#include "aws/check.h"
#include "aws/sigv4.h"
#include "aws/text.h"
#include "aws/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 32

struct asked {
	struct http_request request;
	struct http_header headers[HEADERS_MAX];
	char *path;
	struct buffer body;
};

static const char *text_of(const json_t *line, const char *name)
{
	const char *text = json_string_value(json_object_get(line, name));

	return text ? text : "";
}

static void read_asked(const json_t *line, struct asked *ret)
{
	const char *target = text_of(line, "target"), *body = text_of(line, "body");
	size_t size = strcspn(target, "?"), i;
	json_t *header;

	aws_base64_get(body, strlen(body), &ret->body);
	ret->path = strndup(target, size);
	json_array_foreach (json_object_get(line, "headers"), i, header) {
		if (i >= HEADERS_MAX)
			abort();
		ret->headers[i].name = json_string_value(json_array_get(header, 0));
		ret->headers[i].value = json_string_value(json_array_get(header, 1));
	}
	ret->request = (struct http_request){
		.method = text_of(line, "method"),
		.target = target,
		.path = ret->path,
		.query = target[size] ? target + size + 1 : "",
		.headers = ret->headers,
		.header_count = json_array_size(json_object_get(line, "headers")),
		.body = ret->body.data,
		.body_size = ret->body.size,
		.peer = "127.0.0.1",
	};
}

static const char *verify(const json_t *line, const struct asked *asked, struct aws_fault *fault)
{
	int64_t now_us = json_integer_value(json_object_get(line, "now_us"));
	struct sigv4 signature;

	if (sigv4_read(&asked->request, now_us, &signature, fault) < 0 ||
	    sigv4_verify(&signature, &asked->request, text_of(line, "secret"), fault) < 0)
		return fault->code;
	return "";
}

static json_t *encode(const struct buffer *body)
{
	CLEANUP(buffer) struct buffer text = {0};

	aws_base64_put(&text, body->data, body->size);
	return json_stringn(text.size ? (char *)text.data : "", text.size);
}

static json_t *run(const json_t *line)
{
	struct http_response response = {0};
	struct aws_fault fault = {0};
	struct asked asked = {0};
	struct aws_call call;
	char operation[256] = "";
	int r;
	json_t *result;

	read_asked(line, &asked);
	r = aws_wire_read(&asked.request, &call);
	if (r == 0)
		r = aws_check(&call);
	if (call.operation)
		snprintf(operation, sizeof operation, "%s.%s", aws_service_name(call.service),
			 aws_operation_name(call.operation));
	if (r == 0)
		aws_wire_answer(&call, json_object_get(line, "output"), &response);
	else
		aws_wire_fault(&call, &response);
	result = json_pack("{s:s, s:s, s:s, s:s, s:O?, s:s, s:i, s:o}", "signed",
			   verify(line, &asked, &fault), "fault", call.fault.code, "message",
			   call.fault.message, "operation", operation, "input", call.input, "type",
			   response.content_type, "status", response.status ? response.status : 200,
			   "answer", encode(&response.body));
	buffer_done(&response.body);
	buffer_done(&asked.body);
	free(asked.path);
	aws_call_done(&call);
	return result;
}

int main(void)
{
	char *text = NULL;
	size_t room = 0;

	while (getline(&text, &room, stdin) > 0) {
		json_t *line = json_loads(text, 0, NULL), *result;

		if (!line)
			return 1;
		result = run(line);
		json_dumpf(result, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
		json_decref(result);
		json_decref(line);
	}
	free(text);
	return 0;
}
