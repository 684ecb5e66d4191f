#include "aws/sigv4.h"

#include "aws/form.h"
#include "base/alloc.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"
#define EXPIRES_MAX_S (7 * 86400)
#define SECRET_MAX 256
#define PARAMETERS_MAX 1024

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

	if (at - header != strlen(ALGORITHM) || memcmp(header, ALGORITHM, strlen(ALGORITHM)) != 0)
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
	if (!algorithm || strcmp(algorithm->value, ALGORITHM) != 0)
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
	if (sizes[4] != strlen(TERMINATOR) || memcmp(parts[4], TERMINATOR, sizes[4]) != 0)
		return aws_fault_set(fault, "SignatureDoesNotMatch",
				     "Credential should be scoped with a valid terminator: "
				     "'" TERMINATOR "', not '%.100s'.",
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

/* "20150830T123600Z" */
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

static int check_time(const struct sigv4 *signature, const struct parts *parts, int64_t now_us,
		      struct aws_fault *fault)
{
	char *end;
	long expires_s;
	int64_t time_us;

	if (!parse_time(signature->time, &time_us))
		return aws_fault_set(fault, "IncompleteSignature",
				     "Date must be in ISO-8601 'basic format'. Got '%.40s'.",
				     parts->time);
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
	snprintf(ret->time, sizeof ret->time, "%s", parts.time);
	return check_time(ret, &parts, now_us, fault);
}

/*
 * The canonical request.
 */

static bool is_unreserved(uint8_t c)
{
	return isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static void put_text(struct buffer *buffer, const char *text)
{
	buffer_put(buffer, text, strlen(text));
}

static void put_encoded(struct buffer *buffer, const char *text, size_t size, bool keep_slashes)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)text[i];

		if (is_unreserved(c) || (c == '/' && keep_slashes)) {
			buffer_put8(buffer, c);
		} else {
			char *at = buffer_extend(buffer, 3);

			at[0] = '%';
			at[1] = digits[c >> 4];
			at[2] = digits[c & 15];
		}
	}
}

/* Without empty parts, "." and ".."; encoded once more than it is sent, as every service but S3
 * wants it. */
static void put_path(struct buffer *buffer, const char *path)
{
	size_t start = buffer->size;
	const char *at = path;

	while (*at) {
		size_t size;

		at += strspn(at, "/");
		size = strcspn(at, "/");
		if (size == 2 && memcmp(at, "..", 2) == 0) {
			while (buffer->size > start && buffer->data[--buffer->size] != '/')
				continue;
		} else if (size > 0 && !(size == 1 && *at == '.')) {
			buffer_put8(buffer, '/');
			put_encoded(buffer, at, size, true);
		}
		at += size;
	}
	/* A slash at the end stays, and so does that of the empty path. */
	if (buffer->size == start || (at > path && at[-1] == '/'))
		buffer_put8(buffer, '/');
}

/* One parameter of the query, encoded again; in `text`. */
struct parameter {
	size_t name, name_size, value, value_size;
	const uint8_t *text;
};

static int compare_parts(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	int order = memcmp(a, b, MIN(a_size, b_size));

	if (order != 0)
		return order;
	return a_size < b_size ? -1 : a_size > b_size;
}

static int compare_parameters(const void *a, const void *b)
{
	const struct parameter *one = a, *other = b;
	int order = compare_parts(one->text + one->name, one->name_size, other->text + other->name,
				  other->name_size);

	return order != 0 ? order
			  : compare_parts(one->text + one->value, one->value_size,
					  other->text + other->value, other->value_size);
}

static bool put_query(struct buffer *buffer, const char *query)
{
	CLEANUP(form) struct form form = {0};
	CLEANUP(buffer) struct buffer text = {0};
	CLEANUP(free) struct parameter *parameters = NULL;
	unsigned count = 0;

	if (!*query)
		return true;
	if (form_read(&form, query, strlen(query)) < 0 || form.count > PARAMETERS_MAX)
		return false;
	parameters = xcalloc(form.count, sizeof *parameters);
	for (unsigned i = 0; i < form.count; i++) {
		const struct form_field *field = &form.fields[i];
		struct parameter *parameter = &parameters[count];

		if (strcmp(field->name, "X-Amz-Signature") == 0)
			continue;
		parameter->name = text.size;
		put_encoded(&text, field->name, field->name_size, false);
		parameter->name_size = text.size - parameter->name;
		parameter->value = text.size;
		put_encoded(&text, field->value, field->value_size, false);
		parameter->value_size = text.size - parameter->value;
		count++;
	}
	for (unsigned i = 0; i < count; i++)
		parameters[i].text = text.data;
	qsort(parameters, count, sizeof *parameters, compare_parameters);
	for (unsigned i = 0; i < count; i++) {
		if (i)
			buffer_put8(buffer, '&');
		buffer_put(buffer, text.data + parameters[i].name, parameters[i].name_size);
		buffer_put8(buffer, '=');
		buffer_put(buffer, text.data + parameters[i].value, parameters[i].value_size);
	}
	return true;
}

/* Without white space at the ends, and one blank for each run of it inside. */
static void put_header_value(struct buffer *buffer, const char *value)
{
	static const char white[] = " \t\r\n";
	size_t size;

	for (const char *at = value + strspn(value, white); *at; at += size) {
		if (strchr(white, *at)) {
			size = strspn(at, white);
			if (at[size])
				buffer_put8(buffer, ' ');
		} else {
			size = strcspn(at, white);
			buffer_put(buffer, at, size);
		}
	}
}

static bool has_name(const char *header, const char *name, size_t size)
{
	return strncasecmp(header, name, size) == 0 && !header[size];
}

/* All values of that name, in the order in which they came; false when there is none. */
static bool put_header(struct buffer *buffer, const struct http_request *request, const char *name,
		       size_t size)
{
	bool found = false;

	buffer_put(buffer, name, size);
	for (size_t i = 0; i < request->header_count; i++) {
		if (!has_name(request->headers[i].name, name, size))
			continue;
		buffer_put8(buffer, found ? ',' : ':');
		put_header_value(buffer, request->headers[i].value);
		found = true;
	}
	buffer_put8(buffer, '\n');
	return found;
}

static bool put_headers(struct buffer *buffer, const struct http_request *request,
			const char *signed_headers)
{
	for (const char *at = signed_headers; *at;) {
		size_t size = strcspn(at, ";");

		if (!put_header(buffer, request, at, size))
			return false;
		at += size + (at[size] == ';');
	}
	return true;
}

static void put_hex(struct buffer *buffer, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *at = buffer_extend(buffer, 2 * size);

	for (size_t i = 0; i < size; i++) {
		*at++ = digits[bytes[i] >> 4];
		*at++ = digits[bytes[i] & 15];
	}
}

/* Fetched once: looking an algorithm up takes longer than a small hash. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
	sha256 = xcheck(EVP_MD_fetch(NULL, "SHA256", NULL));
}

static void hash(const void *data, size_t size, uint8_t ret[32])
{
	pthread_once(&sha256_once, fetch_sha256);
	if (!EVP_Digest(data, size, ret, NULL, sha256, NULL))
		abort();
}

static void sign(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret[32])
{
	if (!HMAC(EVP_sha256(), key, (int)key_size, data, size, ret, NULL))
		abort();
}

/* False when the request has no such form: a header that is said to be signed is not there. */
static bool put_request(struct buffer *buffer, const struct http_request *request,
			const char *signed_headers)
{
	uint8_t body[32];

	put_text(buffer, request->method);
	buffer_put8(buffer, '\n');
	put_path(buffer, request->path);
	buffer_put8(buffer, '\n');
	if (!put_query(buffer, request->query))
		return false;
	buffer_put8(buffer, '\n');
	if (!put_headers(buffer, request, signed_headers))
		return false;
	buffer_put8(buffer, '\n');
	put_text(buffer, signed_headers);
	buffer_put8(buffer, '\n');
	hash(request->body, request->body_size, body);
	put_hex(buffer, body, sizeof body);
	return true;
}

/* The signature itself: of the time, the scope and the hash of the canonical request. */
static bool make_signature(const struct sigv4 *about, const struct http_request *request,
			   const uint8_t key[SIGV4_KEY_SIZE], uint8_t ret[32])
{
	CLEANUP(buffer) struct buffer text = {0};
	uint8_t canonical[32];

	if (!put_request(&text, request, about->signed_headers))
		return false;
	hash(text.data, text.size, canonical);
	text.size = 0;
	put_text(&text, ALGORITHM "\n");
	put_text(&text, about->time);
	buffer_put8(&text, '\n');
	put_text(&text, about->date);
	buffer_put8(&text, '/');
	put_text(&text, about->region);
	buffer_put8(&text, '/');
	put_text(&text, about->service);
	put_text(&text, "/" TERMINATOR "\n");
	put_hex(&text, canonical, sizeof canonical);
	sign(key, SIGV4_KEY_SIZE, text.data, text.size, ret);
	return true;
}

void sigv4_signing_key(const struct sigv4 *signature, const char *secret,
		       uint8_t ret[SIGV4_KEY_SIZE])
{
	char first[4 + SECRET_MAX];
	int size = snprintf(first, sizeof first, "AWS4%s", secret);

	assert(size > 0 && (size_t)size < sizeof first);
	sign(first, (size_t)size, signature->date, strlen(signature->date), ret);
	sign(ret, SIGV4_KEY_SIZE, signature->region, strlen(signature->region), ret);
	sign(ret, SIGV4_KEY_SIZE, signature->service, strlen(signature->service), ret);
	sign(ret, SIGV4_KEY_SIZE, TERMINATOR, strlen(TERMINATOR), ret);
	OPENSSL_cleanse(first, sizeof first);
}

static bool is_signed(const char *signed_headers, const char *name)
{
	for (const char *at = signed_headers; *at;) {
		size_t size = strcspn(at, ";");

		if (has_name(name, at, size))
			return true;
		at += size + (at[size] == ';');
	}
	return false;
}

/* What must not be changed on the way: which host was meant, and all that is AWS's own.  The token
 * stands for itself, and some clients add it later. */
static bool must_be_signed(const char *name)
{
	return strcasecmp(name, "Host") == 0 || (strncasecmp(name, "X-Amz-", 6) == 0 &&
						 strcasecmp(name, "X-Amz-Security-Token") != 0);
}

int sigv4_verify_key(const struct sigv4 *signature, const struct http_request *request,
		     const uint8_t key[SIGV4_KEY_SIZE], struct aws_fault *fault)
{
	uint8_t made[32];

	if (request->header_count > SIGV4_HEADERS_MAX)
		return aws_fault_set(fault, "IncompleteSignature", "More than %d headers",
				     SIGV4_HEADERS_MAX);
	if (!is_signed(signature->signed_headers, "host"))
		return aws_fault_set(fault, "SignatureDoesNotMatch",
				     "'Host' or ':authority' must be a 'SignedHeader' in the AWS "
				     "Authorization.");
	for (size_t i = 0; i < request->header_count; i++)
		if (must_be_signed(request->headers[i].name) &&
		    !is_signed(signature->signed_headers, request->headers[i].name))
			return aws_fault_set(fault, "SignatureDoesNotMatch",
					     "'%.100s' must be a 'SignedHeader' in the AWS "
					     "Authorization.",
					     request->headers[i].name);
	if (!make_signature(signature, request, key, made) ||
	    CRYPTO_memcmp(made, signature->signature, sizeof made) != 0)
		return aws_fault_set(
			fault, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you "
			"provided. Check your AWS Secret Access Key and signing method. Consult "
			"the "
			"service documentation for details.");
	return 0;
}

int sigv4_verify(const struct sigv4 *signature, const struct http_request *request,
		 const char *secret, struct aws_fault *fault)
{
	uint8_t key[SIGV4_KEY_SIZE];
	int r;

	sigv4_signing_key(signature, secret, key);
	r = sigv4_verify_key(signature, request, key, fault);
	OPENSSL_cleanse(key, sizeof key);
	return r;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of all headers: in lower case, in order, each once. */
static void list_headers(const struct http_request *request, struct buffer *ret)
{
	char names[SIGV4_HEADERS_MAX][128];
	const char *sorted[SIGV4_HEADERS_MAX];

	assert(request->header_count <= SIGV4_HEADERS_MAX);
	for (size_t i = 0; i < request->header_count; i++) {
		snprintf(names[i], sizeof names[i], "%s", request->headers[i].name);
		for (char *at = names[i]; *at; at++)
			*at = (char)tolower((unsigned char)*at);
		sorted[i] = names[i];
	}
	qsort(sorted, request->header_count, sizeof *sorted, compare_texts);
	for (size_t i = 0; i < request->header_count; i++) {
		if (i && strcmp(sorted[i], sorted[i - 1]) == 0)
			continue;
		if (i)
			buffer_put8(ret, ';');
		put_text(ret, sorted[i]);
	}
	buffer_put8(ret, '\0');
}

void sigv4_sign(const struct sigv4_signer *signer, const struct http_request *request,
		struct buffer *ret)
{
	CLEANUP(buffer) struct buffer names = {0};
	struct sigv4 about = {0};
	uint8_t key[SIGV4_KEY_SIZE];

	sigv4_time(signer->time_us, about.time);
	memcpy(about.date, about.time, 8);
	snprintf(about.region, sizeof about.region, "%s", signer->region);
	snprintf(about.service, sizeof about.service, "%s", signer->service);
	list_headers(request, &names);
	about.signed_headers = (const char *)names.data;
	sigv4_signing_key(&about, signer->secret, key);
	if (!make_signature(&about, request, key, about.signature))
		abort();
	OPENSSL_cleanse(key, sizeof key);
	put_text(ret, ALGORITHM " Credential=");
	put_text(ret, signer->access_key_id);
	buffer_put8(ret, '/');
	put_text(ret, about.date);
	buffer_put8(ret, '/');
	put_text(ret, about.region);
	buffer_put8(ret, '/');
	put_text(ret, about.service);
	put_text(ret, "/" TERMINATOR ", SignedHeaders=");
	put_text(ret, about.signed_headers);
	put_text(ret, ", Signature=");
	put_hex(ret, about.signature, sizeof about.signature);
}
