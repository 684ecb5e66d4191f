/* The signature itself: of the canonical request, by a key that follows from the secret. */
#include "aws/sigv4.h"

#include "aws/form.h"
#include "base/alloc.h"

#include <assert.h>
#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

#define SECRET_MAX 256
#define PARAMETERS_MAX 1024

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
	put_text(&text, SIGV4_ALGORITHM "\n");
	put_text(&text, about->time);
	buffer_put8(&text, '\n');
	put_text(&text, about->date);
	buffer_put8(&text, '/');
	put_text(&text, about->region);
	buffer_put8(&text, '/');
	put_text(&text, about->service);
	put_text(&text, "/" SIGV4_TERMINATOR "\n");
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
	sign(ret, SIGV4_KEY_SIZE, SIGV4_TERMINATOR, strlen(SIGV4_TERMINATOR), ret);
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
	put_text(ret, SIGV4_ALGORITHM " Credential=");
	put_text(ret, signer->access_key_id);
	buffer_put8(ret, '/');
	put_text(ret, about.date);
	buffer_put8(ret, '/');
	put_text(ret, about.region);
	buffer_put8(ret, '/');
	put_text(ret, about.service);
	put_text(ret, "/" SIGV4_TERMINATOR ", SignedHeaders=");
	put_text(ret, about.signed_headers);
	put_text(ret, ", Signature=");
	put_hex(ret, about.signature, sizeof about.signature);
}
