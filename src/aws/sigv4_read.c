/* What a signature says about itself: its parts, its scope, its time. */
#include "aws/sigv4.h"

#include "aws/form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPIRES_MAX_S (7 * 86400)

/* Where the parts of a signature stand, before they are looked at. */
struct parts {
	const char *credential, *signed_headers, *signature, *time, *token, *expires;
};

/* Copies into `text`, part after part. */
struct keeper {
	char *at, *end;
	bool full;
};

static const char *keep(struct keeper *keeper, const char *text, size_t size)
{
	char *kept = keeper->at;

	if (size >= (size_t)(keeper->end - keeper->at)) {
		keeper->full = true;
		return "";
	}
	memcpy(kept, text, size);
	kept[size] = '\0';
	keeper->at += size + 1;
	return kept;
}

bool sigv4_is_unsigned(const struct http_request *request)
{
	return !http_request_header(request, "Authorization") &&
	       !strstr(request->query, "X-Amz-Signature=") &&
	       !strstr(request->query, "X-Amz-Credential=") &&
	       !strstr(request->query, "X-Amz-Algorithm=");
}

/*
 * "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=..."
 */
static int read_parameter(const char *text, size_t size, struct keeper *keeper, struct parts *parts,
			  struct aws_fault *fault)
{
	static const struct {
		const char *name;
		size_t place;
	} names[] = {
		{"Credential", offsetof(struct parts, credential)},
		{"SignedHeaders", offsetof(struct parts, signed_headers)},
		{"Signature", offsetof(struct parts, signature)},
	};
	const char *equals = memchr(text, '=', size);

	if (!equals)
		return aws_fault_set(fault, "IncompleteSignature",
				     "'%.*s' not a valid key=value pair (missing equal-sign) in "
				     "Authorization header.",
				     (int)MIN(size, (size_t)100), text);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char **part = (const char **)((char *)parts + names[i].place);

		if (strlen(names[i].name) == (size_t)(equals - text) &&
		    memcmp(names[i].name, text, (size_t)(equals - text)) == 0)
			*part = keep(keeper, equals + 1, size - (size_t)(equals - text) - 1);
	}
	return 0;
}

static int read_header(const struct http_request *request, const char *header,
		       struct keeper *keeper, struct parts *parts, struct aws_fault *fault)
{
	const char *at = header + strcspn(header, " ");

	if (at - header != strlen(SIGV4_ALGORITHM) ||
	    memcmp(header, SIGV4_ALGORITHM, strlen(SIGV4_ALGORITHM)) != 0)
		return aws_fault_set(fault, "IncompleteSignature",
				     "Unsupported AWS 'algorithm': '%.*s'.",
				     (int)MIN(at - header, 40L), header);
	for (at += strspn(at, " "); *at; at += strspn(at, ", ")) {
		size_t size = strcspn(at, ", ");
		int r = read_parameter(at, size, keeper, parts, fault);

		if (r < 0)
			return r;
		at += size;
	}
	parts->time = http_request_header(request, "X-Amz-Date");
	parts->token = http_request_header(request, "X-Amz-Security-Token");
	if (parts->token)
		parts->token = keep(keeper, parts->token, strlen(parts->token));
	return 0;
}

static const char *keep_field(struct keeper *keeper, const struct form *form, const char *name)
{
	const struct form_field *field = form_find(form, name);

	return field ? keep(keeper, field->value, field->value_size) : NULL;
}

static int read_presigned(const struct http_request *request, struct keeper *keeper,
			  struct parts *parts, struct aws_fault *fault)
{
	CLEANUP(form) struct form form = {0};
	const struct form_field *algorithm;

	if (form_read(&form, request->query, strlen(request->query)) < 0)
		return aws_fault_set(fault, "MalformedQueryString",
				     "The query string is not percent-encoded as it should be");
	algorithm = form_find(&form, "X-Amz-Algorithm");
	if (!algorithm || strcmp(algorithm->value, SIGV4_ALGORITHM) != 0)
		return aws_fault_set(fault, "IncompleteSignature",
				     "Unsupported AWS 'algorithm': '%.40s'.",
				     algorithm ? algorithm->value : "");
	parts->credential = keep_field(keeper, &form, "X-Amz-Credential");
	parts->signed_headers = keep_field(keeper, &form, "X-Amz-SignedHeaders");
	parts->signature = keep_field(keeper, &form, "X-Amz-Signature");
	parts->time = keep_field(keeper, &form, "X-Amz-Date");
	parts->expires = keep_field(keeper, &form, "X-Amz-Expires");
	parts->token = keep_field(keeper, &form, "X-Amz-Security-Token");
	return 0;
}

static bool all_there(const struct parts *parts)
{
	return parts->credential && *parts->credential && parts->signed_headers &&
	       *parts->signed_headers && parts->signature && *parts->signature && parts->time;
}

static int miss_parts(const struct parts *parts, bool presigned, struct aws_fault *fault)
{
	const char *where = presigned ? "The query of a presigned URL" : "Authorization header";

	if (!parts->credential || !*parts->credential)
		return aws_fault_set(fault, "IncompleteSignature",
				     "%s requires 'Credential' parameter.", where);
	if (!parts->signature || !*parts->signature)
		return aws_fault_set(fault, "IncompleteSignature",
				     "%s requires 'Signature' parameter.", where);
	if (!parts->signed_headers || !*parts->signed_headers)
		return aws_fault_set(fault, "IncompleteSignature",
				     "%s requires 'SignedHeaders' parameter.", where);
	return aws_fault_set(fault, "IncompleteSignature", "%s requires existence of 'X-Amz-Date'.",
			     where);
}

/* KEY/20150830/us-east-1/rds/aws4_request; the key may have slashes in it. */
static int split_credential(const char *credential, struct sigv4 *ret, struct aws_fault *fault)
{
	const char *parts[5], *end = credential + strlen(credential);
	size_t sizes[5];
	struct {
		char *at;
		size_t room;
	} places[4] = {{ret->access_key_id, sizeof ret->access_key_id},
		       {ret->date, sizeof ret->date},
		       {ret->region, sizeof ret->region},
		       {ret->service, sizeof ret->service}};
	unsigned i = 5;

	while (i > 0) {
		const char *slash =
			i == 1 ? NULL : memrchr(credential, '/', (size_t)(end - credential));

		if (!slash && i > 1)
			return aws_fault_set(
				fault, "IncompleteSignature",
				"Credential must have exactly 5 slash-delimited elements, e.g. "
				"keyid/date/region/service/term, got '%.200s'",
				credential);
		parts[--i] = slash ? slash + 1 : credential;
		sizes[i] = (size_t)(end - parts[i]);
		end = slash;
	}
	if (sizes[4] != strlen(SIGV4_TERMINATOR) ||
	    memcmp(parts[4], SIGV4_TERMINATOR, sizes[4]) != 0)
		return aws_fault_set(fault, "SignatureDoesNotMatch",
				     "Credential should be scoped with a valid terminator: "
				     "'" SIGV4_TERMINATOR "', not '%.100s'.",
				     parts[4]);
	for (i = 0; i < 4; i++) {
		if (sizes[i] == 0 || sizes[i] >= places[i].room)
			return aws_fault_set(
				fault, "IncompleteSignature",
				"A part of the credential is empty or too long: '%.200s'",
				credential);
		memcpy(places[i].at, parts[i], sizes[i]);
		places[i].at[sizes[i]] = '\0';
	}
	return 0;
}

static bool read_hex(const char *text, uint8_t *ret, size_t size)
{
	for (size_t i = 0; i < 2 * size; i++) {
		char c = text[i];
		uint8_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint8_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint8_t)(c - 'a' + 10);
		else
			return false;
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | digit);
	}
	return !text[2 * size];
}

/* "20150830T123600Z", and nothing behind it: then it fits into sigv4.time. */
static bool parse_time(const char *text, int64_t *ret_us)
{
	struct tm tm = {0}, again;
	int end = 0;

	if (strlen(text) != 16 || strspn(text, "0123456789TZ") != 16 ||
	    sscanf(text, "%4d%2d%2dT%2d%2d%2dZ%n", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday, /* NOLINT(cert-err34-c) */
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
	    end != 16)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	again = tm;
	*ret_us = timegm(&again) * INT64_C(1000000);
	return again.tm_mday == tm.tm_mday && again.tm_hour == tm.tm_hour;
}

void sigv4_time(int64_t time_us, char ret[17])
{
	time_t seconds = time_us / 1000000;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(ret, 17, "%Y%m%dT%H%M%SZ", &tm);
}

static int refuse_early(const struct sigv4 *signature, int64_t now_us, struct aws_fault *fault)
{
	char now[17], limit[17];

	sigv4_time(now_us, now);
	sigv4_time(now_us + SIGV4_SKEW_US, limit);
	return aws_fault_set(fault, "SignatureDoesNotMatch",
			     "Signature not yet current: %s is still later than %s (%s + 15 min.)",
			     signature->time, limit, now);
}

static int refuse_late(const struct sigv4 *signature, int64_t now_us, struct aws_fault *fault)
{
	char now[17], limit[17];

	sigv4_time(now_us, now);
	sigv4_time(now_us - SIGV4_SKEW_US, limit);
	return aws_fault_set(fault, "SignatureDoesNotMatch",
			     "Signature expired: %s is now earlier than %s (%s - 15 min.)",
			     signature->time, limit, now);
}

static int refuse_expired(const struct sigv4 *signature, long expires_s, int64_t now_us,
			  struct aws_fault *fault)
{
	char now[17];

	sigv4_time(now_us, now);
	return aws_fault_set(
		fault, "SignatureDoesNotMatch",
		"Signature expired: the URL was presigned at %s for %ld s, and now it is "
		"%s",
		signature->time, expires_s, now);
}

static int take_time(struct sigv4 *signature, const struct parts *parts, int64_t now_us,
		     struct aws_fault *fault)
{
	char *end;
	long expires_s;
	int64_t time_us;

	if (!parse_time(parts->time, &time_us))
		return aws_fault_set(fault, "IncompleteSignature",
				     "Date must be in ISO-8601 'basic format'. Got '%.40s'.",
				     parts->time);
	memcpy(signature->time, parts->time, sizeof signature->time);
	if (memcmp(signature->date, signature->time, 8) != 0)
		return aws_fault_set(
			fault, "SignatureDoesNotMatch",
			"Date in Credential scope does not match YYYYMMDD from "
			"ISO-8601 version of date from HTTP: '%s' != '%.8s', from '%s'.",
			signature->date, signature->time, signature->time);
	if (time_us > now_us + SIGV4_SKEW_US)
		return refuse_early(signature, now_us, fault);
	if (!signature->presigned)
		return time_us < now_us - SIGV4_SKEW_US ? refuse_late(signature, now_us, fault) : 0;
	errno = 0;
	expires_s = parts->expires ? strtol(parts->expires, &end, 10) : 0;
	if (!parts->expires || errno || *end || expires_s < 0 || expires_s > EXPIRES_MAX_S)
		return aws_fault_set(fault, "IncompleteSignature",
				     "X-Amz-Expires must be a number of seconds, up to a week");
	if (time_us + expires_s * INT64_C(1000000) < now_us)
		return refuse_expired(signature, expires_s, now_us, fault);
	return 0;
}

int sigv4_read(const struct http_request *request, int64_t now_us, struct sigv4 *ret,
	       struct aws_fault *fault)
{
	const char *header = http_request_header(request, "Authorization");
	struct keeper keeper = {ret->text, ret->text + sizeof ret->text, false};
	struct parts parts = {0};
	int r;

	if (sigv4_is_unsigned(request))
		return aws_fault_set(fault, "MissingAuthenticationToken",
				     "Request is missing Authentication Token");
	ret->presigned = !header;
	if (header)
		r = read_header(request, header, &keeper, &parts, fault);
	else
		r = read_presigned(request, &keeper, &parts, fault);
	if (r < 0)
		return r;
	if (keeper.full)
		return aws_fault_set(fault, "IncompleteSignature", "The signature is too long");
	if (!all_there(&parts))
		return miss_parts(&parts, ret->presigned, fault);
	r = split_credential(parts.credential, ret, fault);
	if (r < 0)
		return r;
	if (!read_hex(parts.signature, ret->signature, sizeof ret->signature))
		return aws_fault_set(fault, "IncompleteSignature",
				     "Signature must be 64 hexadecimal digits in lower case.");
	ret->signed_headers = parts.signed_headers;
	ret->token = parts.token;
	return take_time(ret, &parts, now_us, fault);
}
