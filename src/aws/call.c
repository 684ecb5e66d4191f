#include "aws/call.h"

#include "base/alloc.h"

#include <stdarg.h>

/*
 * The codes that any service can answer with.  Query has one name for each, JSON and CBOR another.
 */
static const struct common {
	const char *code, *type;
	unsigned status;
	bool ours; /* not the client's mistake */
} commons[] = {
	{"AccessDenied", "AccessDeniedException", 403},
	{"DryRunOperation", "DryRunOperation", 412},
	{"ExpiredToken", "ExpiredTokenException", 403},
	{"IncompleteSignature", "IncompleteSignatureException", 400},
	{"InternalFailure", "InternalFailure", 500, true},
	{"InvalidAction", "UnknownOperationException", 400},
	{"InvalidClientTokenId", "UnrecognizedClientException", 403},
	{"InvalidParameterCombination", "InvalidParameterCombinationException", 400},
	{"InvalidParameterValue", "InvalidParameterValueException", 400},
	{"MalformedInput", "SerializationException", 400},
	{"MalformedQueryString", "SerializationException", 404},
	{"MissingAction", "UnknownOperationException", 400},
	{"MissingAuthenticationToken", "MissingAuthenticationTokenException", 403},
	{"MissingParameter", "ValidationException", 400},
	{"NotImplemented", "NotImplemented", 501, true},
	{"OptInRequired", "OptInRequired", 403},
	{"RequestEntityTooLarge", "RequestEntityTooLarge", 413},
	{"RequestExpired", "RequestExpired", 400},
	{"ServiceUnavailable", "ServiceUnavailableException", 503, true},
	{"SignatureDoesNotMatch", "InvalidSignatureException", 403},
	{"Throttling", "ThrottlingException", 400},
	{"UnknownParameter", "ValidationException", 400},
	{"ValidationError", "ValidationException", 400},
};

static const struct common *find_common(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(commons); i++)
		if (strcmp(commons[i].code, code) == 0 || strcmp(commons[i].type, code) == 0)
			return &commons[i];
	return NULL;
}

static void name_fault(struct aws_fault *fault, const char *code, const char *type, unsigned status,
		       bool sender)
{
	snprintf(fault->code, sizeof fault->code, "%s", code);
	snprintf(fault->type, sizeof fault->type, "%s", type);
	fault->status = status;
	fault->sender = sender;
}

static void name_common(struct aws_fault *fault, const char *code)
{
	const struct common *common = find_common(code);

	if (common)
		name_fault(fault, common->code, common->type, common->status, !common->ours);
	else
		name_fault(fault, code, code, 400, true);
}

/* What is too long is cut, not in the middle of a character. */
__attribute__((format(printf, 2, 0))) static void word_fault(struct aws_fault *fault,
							     const char *format, va_list args)
{
	size_t end = sizeof fault->message - 1;

	if (vsnprintf(fault->message, sizeof fault->message, format, args) <= (int)end)
		return;
	while (end > 0 && ((uint8_t)fault->message[end - 1] & 0xC0) == 0x80)
		end--;
	if (end > 0 && (uint8_t)fault->message[end - 1] >= 0xC0)
		end--;
	fault->message[end] = '\0';
}

int aws_fault(struct aws_call *call, const char *code, const char *format, ...)
{
	const struct aws_shape *shape =
		call->operation ? aws_operation_error(call->operation, code) : NULL;
	va_list args;

	if (shape)
		name_fault(&call->fault, aws_name(shape->code), aws_name(shape->name),
			   shape->status, shape->status < 500);
	else
		name_common(&call->fault, code);
	va_start(args, format);
	word_fault(&call->fault, format, args);
	va_end(args);
	return AWS_FAULT;
}

int aws_fault_set(struct aws_fault *fault, const char *code, const char *format, ...)
{
	va_list args;

	name_common(fault, code);
	va_start(args, format);
	word_fault(fault, format, args);
	va_end(args);
	return AWS_FAULT;
}

void aws_call_done(struct aws_call *call)
{
	json_decref(call->input);
	call->input = NULL;
}

void aws_touch(struct aws_touched *touched, json_t *tags, const char *format, ...)
{
	va_list args;

	xgrow(touched->items, touched->count, touched->room);
	va_start(args, format);
	vsnprintf(touched->items[touched->count].arn, AWS_ARN_SIZE, format, args);
	va_end(args);
	touched->items[touched->count++].tags = tags;
}

void aws_touched_done(struct aws_touched *touched)
{
	for (unsigned i = 0; i < touched->count; i++)
		json_decref(touched->items[i].tags);
	free(touched->items);
	*touched = (struct aws_touched){0};
}
