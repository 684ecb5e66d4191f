#include "aws/wire.h"

#include "aws/answer.h"
#include "aws/cbor.h"
#include "aws/form.h"
#include "aws/query.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Of the namespace of faults that come before the service is known. */
#define FAULT_NAMESPACE "http://webservices.amazon.com/AWSFault/2005-15-09"

/* A word of a text: not terminated. */
struct part {
	const char *text;
	size_t size;
};

static bool is_part(struct part part, const char *text)
{
	return part.size == strlen(text) && memcmp(part.text, text, part.size) == 0;
}

/* Request ids are names, not secrets: one seed a thread, and a generator (splitmix64). */
static uint64_t next_random(void)
{
	static _Thread_local uint64_t state;
	uint64_t value;

	while (!state)
		if (getrandom(&state, sizeof state, 0) != sizeof state)
			state = (uint64_t)clock_monotonic_us();
	value = state += 0x9E3779B97F4A7C15;
	value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
	value = (value ^ value >> 27) * 0x94D049BB133111EB;
	return value ^ value >> 31;
}

/* A UUID, version 4. */
static void make_request_id(char ret[AWS_REQUEST_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	static const char form[] = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
	uint64_t bits = 0;

	static_assert(sizeof form == AWS_REQUEST_ID_SIZE, "a UUID");
	for (unsigned i = 0, used = 0; i < sizeof form; i++) {
		ret[i] = form[i];
		if (form[i] != 'x')
			continue;
		if (used++ % 16 == 0)
			bits = next_random();
		ret[i] = digits[bits & 15];
		bits >>= 4;
	}
}

static bool has_type(const struct http_request *request, const char *type)
{
	const char *header = http_request_header(request, "Content-Type");
	size_t size = strlen(type);

	return header && strncasecmp(header, type, size) == 0 &&
	       (!header[size] || header[size] == ';' || header[size] == ' ');
}

static enum aws_protocol find_protocol(const struct http_request *request)
{
	const char *smithy = http_request_header(request, "Smithy-Protocol");

	if ((smithy && strcmp(smithy, "rpc-v2-cbor") == 0) ||
	    strncmp(request->path, "/service/", 9) == 0)
		return AWS_CBOR;
	if (has_type(request, "application/x-amz-json-1.0"))
		return AWS_JSON_10;
	if (has_type(request, "application/x-amz-json-1.1") ||
	    http_request_header(request, "X-Amz-Target"))
		return AWS_JSON_11;
	return AWS_QUERY;
}

static int no_operation(struct aws_call *call, struct part operation)
{
	int size = (int)MIN(operation.size, (size_t)200);

	return aws_fault(call, "InvalidAction", "Unknown operation: %.*s", size, operation.text);
}

static int set_operation(struct aws_call *call, struct part target, struct part operation)
{
	call->service = aws_service_find_target(target.text, target.size);
	if (!call->service)
		return no_operation(call, operation);
	call->operation = aws_operation_find(call->service, operation.text, operation.size);
	return call->operation ? 0 : no_operation(call, operation);
}

/* X-Amz-Target: AmazonRDSv19.DescribeDBClusters */
static int read_target(const struct http_request *request, struct aws_call *call)
{
	const char *target = http_request_header(request, "X-Amz-Target");
	const char *dot = target ? strrchr(target, '.') : NULL;

	if (!dot)
		return aws_fault(call, "MissingAction", "The header X-Amz-Target is missing");
	return set_operation(call, (struct part){target, (size_t)(dot - target)},
			     (struct part){dot + 1, strlen(dot + 1)});
}

/* /service/AmazonRDSv19/operation/DescribeDBClusters */
static int read_path(const struct http_request *request, struct aws_call *call)
{
	static const char first[] = "/service/", second[] = "/operation/";
	struct part target, operation;
	const char *at = request->path, *end;

	if (strncmp(at, first, sizeof first - 1) != 0)
		return aws_fault(call, "InvalidAction",
				 "The path is not /service/.../operation/...");
	at += sizeof first - 1;
	end = strchrnul(at, '/');
	target = (struct part){at, (size_t)(end - at)};
	if (strncmp(end, second, sizeof second - 1) != 0)
		return aws_fault(call, "InvalidAction",
				 "The path is not /service/.../operation/...");
	at = end + sizeof second - 1;
	operation = (struct part){at, strlen(at)};
	return set_operation(call, target, operation);
}

static int want_object(struct aws_call *call)
{
	if (json_is_object(call->input))
		return 0;
	return aws_fault(call, "MalformedInput", "The request is no structure");
}

static int read_json(const struct http_request *request, struct aws_call *call)
{
	json_error_t error;
	int r = read_target(request, call);

	if (r < 0)
		return r;
	if (request->body_size == 0)
		call->input = json_object();
	else
		call->input = json_loadb(request->body, request->body_size, JSON_REJECT_DUPLICATES,
					 &error);
	if (!call->input)
		return aws_fault(call, "MalformedInput", "The request is not valid JSON: %s",
				 error.text);
	return want_object(call);
}

static int read_cbor(const struct http_request *request, struct aws_call *call)
{
	struct problem why;
	int r = read_path(request, call);

	if (r < 0)
		return r;
	if (request->body_size == 0)
		call->input = json_object();
	else if (cbor_read(request->body, request->body_size, &call->input, &why) < 0)
		return aws_fault(call, "MalformedInput", "%s", why.text);
	return want_object(call);
}

/* Of "KEY/20150830/us-east-1/rds/aws4_request" the parts behind the day: they say which service is
 * meant, and nothing is believed of it but that. */
static void read_scope(const char *credential, struct part *ret_region, struct part *ret_service)
{
	const char *end = credential + strcspn(credential, ", ");
	struct part parts[5] = {0};
	unsigned count = 0;

	for (const char *at = credential; count < 5 && at <= end; count++) {
		const char *slash = memchr(at, '/', (size_t)(end - at));

		parts[count] = (struct part){at, (size_t)((slash ? slash : end) - at)};
		at = (slash ? slash : end) + 1;
	}
	*ret_region = parts[2];
	*ret_service = parts[3];
}

static void find_scope(const struct http_request *request, const struct form *form,
		       struct part *ret_region, struct part *ret_service)
{
	const char *header = http_request_header(request, "Authorization");
	const char *credential = header ? strstr(header, "Credential=") : NULL;
	const struct form_field *field = form ? form_find(form, "X-Amz-Credential") : NULL;

	*ret_region = *ret_service = (struct part){0};
	if (credential)
		read_scope(credential + strlen("Credential="), ret_region, ret_service);
	else if (field)
		read_scope(field->value, ret_region, ret_service);
}

static const struct aws_operation *find_in(const struct aws_service *service,
					   const struct form_field *action, const char *version)
{
	if (version && strcmp(version, aws_name(service->version)) != 0)
		return NULL;
	return aws_operation_find(service, action->value, action->value_size);
}

/* The signature's service, if any; a service that is signed for and not known has no operation
 * here. */
static int find_action(struct aws_call *call, const struct form *form, struct part signed_for)
{
	const struct form_field *action = form_find(form, "Action");
	const struct form_field *version = form_find(form, "Version");

	if (!action || !action->value_size)
		return aws_fault(call, "MissingAction", "Missing Action");
	for (unsigned i = 0; i < aws_service_count && !call->operation; i++) {
		const struct aws_service *service = &aws_services[i];

		if (signed_for.size && !is_part(signed_for, aws_name(service->signing_name)))
			continue;
		if (!call->service && signed_for.size)
			call->service = service;
		call->operation = find_in(service, action, version ? version->value : NULL);
		if (call->operation)
			call->service = service;
	}
	if (!call->operation)
		return aws_fault(call, "InvalidAction",
				 "Could not find operation %.200s for version %.40s", action->value,
				 version ? version->value : "NO_VERSION_SPECIFIED");
	return 0;
}

static int read_fields(const struct http_request *request, struct form *form)
{
	int r = form_read(form, request->query, strlen(request->query));

	if (r < 0 || request->body_size == 0)
		return r;
	return form_read(form, request->body, request->body_size);
}

static int read_query(const struct http_request *request, struct aws_call *call)
{
	CLEANUP(form) struct form form = {0};
	struct part region, service;
	struct problem why;
	int r = read_fields(request, &form);

	if (r == -E2BIG)
		return aws_fault(call, "MalformedQueryString", "More than %d parameters",
				 FORM_FIELDS_MAX);
	if (r < 0)
		return aws_fault(call, "MalformedQueryString",
				 "The query string is not percent-encoded as it should be");
	find_scope(request, &form, &region, &service);
	r = find_action(call, &form, service);
	if (r < 0)
		return r;
	r = aws_query_read(&form, &aws_shapes[call->operation->input], &call->input, &why);
	if (r < 0)
		return aws_fault(call, r == -ENOENT ? "UnknownParameter" : "MalformedInput", "%s",
				 why.text);
	return 0;
}

int aws_wire_read(const struct http_request *request, struct aws_call *call)
{
	*call = (struct aws_call){
		.protocol = find_protocol(request),
		.now_us = clock_realtime_us(),
		.source_ip = request->peer,
		.user_agent = http_request_header(request, "User-Agent"),
		.secure = request->tls,
	};
	make_request_id(call->request_id);
	if (call->protocol == AWS_QUERY)
		return read_query(request, call);
	if (strcmp(request->method, "POST") != 0)
		return aws_fault(call, "InvalidAction", "Only POST is understood here");
	return call->protocol == AWS_CBOR ? read_cbor(request, call) : read_json(request, call);
}

static void put_text(struct buffer *buffer, const char *text)
{
	buffer_put(buffer, text, strlen(text));
}

static const char *content_type(enum aws_protocol protocol)
{
	switch (protocol) {
	case AWS_CBOR:
		return "application/cbor";
	case AWS_JSON_10:
		return "application/x-amz-json-1.0";
	case AWS_JSON_11:
		return "application/x-amz-json-1.1";
	default:
		return "text/xml";
	}
}

static void put_headers(const struct aws_call *call, struct http_response *response)
{
	response->content_type = content_type(call->protocol);
	http_response_header(response, "x-amzn-RequestId", "%s", call->request_id);
	if (call->protocol == AWS_CBOR)
		http_response_header(response, "smithy-protocol", "rpc-v2-cbor");
}

static void put_xml(const struct aws_call *call, const json_t *output, struct buffer *body)
{
	const char *name = aws_operation_name(call->operation);

	put_text(body, "<");
	put_text(body, name);
	put_text(body, "Response xmlns=\"");
	put_text(body, aws_name(call->service->xml_namespace));
	put_text(body, "\">");
	if (call->operation->output != AWS_NO_SHAPE) {
		put_text(body, "<");
		put_text(body, name);
		put_text(body, "Result>");
		aws_answer_xml(body, &aws_shapes[call->operation->output], output);
		put_text(body, "</");
		put_text(body, name);
		put_text(body, "Result>");
	}
	put_text(body, "<ResponseMetadata><RequestId>");
	put_text(body, call->request_id);
	put_text(body, "</RequestId></ResponseMetadata></");
	put_text(body, name);
	put_text(body, "Response>");
}

void aws_wire_answer(const struct aws_call *call, const json_t *output,
		     struct http_response *response)
{
	const struct aws_shape *shape = &aws_shapes[call->operation->output];

	put_headers(call, response);
	switch (call->protocol) {
	case AWS_CBOR:
		aws_answer_cbor(&response->body, shape, output);
		break;
	case AWS_JSON_10:
	case AWS_JSON_11:
		aws_answer_json(&response->body, shape, output);
		break;
	default:
		put_xml(call, output, &response->body);
	}
}

static void put_escaped(struct buffer *body, const char *text)
{
	aws_answer_xml_text(body, text, strlen(text));
}

static void put_xml_fault(const struct aws_call *call, struct buffer *body)
{
	put_text(body, "<ErrorResponse xmlns=\"");
	put_text(body, call->service ? aws_name(call->service->xml_namespace) : FAULT_NAMESPACE);
	put_text(body, "\"><Error><Type>");
	put_text(body, call->fault.sender ? "Sender" : "Receiver");
	put_text(body, "</Type><Code>");
	put_escaped(body, call->fault.code);
	put_text(body, "</Code><Message>");
	put_escaped(body, call->fault.message);
	put_text(body, "</Message></Error><RequestId>");
	put_text(body, call->request_id);
	put_text(body, "</RequestId></ErrorResponse>");
}

/* "__type": JSON 1.1 has the bare name, the others say whose it is. */
static void name_type(const struct aws_call *call, char *ret, size_t size)
{
	const char *space = "com.amazon.coral.service";

	if (call->service)
		space = aws_name(call->service->json_namespace);
	if (call->protocol == AWS_JSON_11)
		snprintf(ret, size, "%s", call->fault.type);
	else
		snprintf(ret, size, "%s#%s", space, call->fault.type);
}

static void put_json_fault(const struct aws_call *call, struct buffer *body)
{
	char type[512];

	name_type(call, type, sizeof type);
	put_text(body, "{\"__type\":");
	aws_answer_json_text(body, type, strlen(type));
	put_text(body, ",\"message\":");
	aws_answer_json_text(body, call->fault.message, strlen(call->fault.message));
	put_text(body, "}");
}

static void put_cbor_fault(const struct aws_call *call, struct buffer *body)
{
	char type[512];

	name_type(call, type, sizeof type);
	cbor_put_head(body, CBOR_MAP, 2);
	cbor_put_string(body, "__type", strlen("__type"));
	cbor_put_string(body, type, strlen(type));
	cbor_put_string(body, "message", strlen("message"));
	cbor_put_string(body, call->fault.message, strlen(call->fault.message));
}

void aws_wire_fault(const struct aws_call *call, struct http_response *response)
{
	response->status = call->fault.status;
	put_headers(call, response);
	switch (call->protocol) {
	case AWS_CBOR:
		put_cbor_fault(call, &response->body);
		break;
	case AWS_JSON_10:
	case AWS_JSON_11:
		put_json_fault(call, &response->body);
		break;
	default:
		put_xml_fault(call, &response->body);
		return;
	}
	/* Clients that once spoke Query with this service know its faults by the code of those
	 * days. */
	if (call->service && call->service->protocol == AWS_QUERY)
		http_response_header(response, "x-amzn-query-error", "%s;%s", call->fault.code,
				     call->fault.sender ? "Sender" : "Receiver");
}
