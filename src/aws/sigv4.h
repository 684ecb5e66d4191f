/*
 * Signature V4: who sent a request, and that nobody changed it on the way.
 *
 * The signature is in the Authorization header, or in the query of a presigned URL.  It covers the
 * method, the path, the query, the named headers and the body: the body's hash is always our own,
 * whatever X-Amz-Content-Sha256 says.
 */
#pragma once

#include "aws/call.h"
#include "http/http.h"

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_TERMINATOR "aws4_request"
#define SIGV4_SKEW_US (INT64_C(15) * 60 * 1000000)
#define SIGV4_KEY_SIZE 32
#define SIGV4_HEADERS_MAX 64

/* What a signature says about itself; nothing of it is believed yet. */
struct sigv4 {
	char access_key_id[129];
	char date[9]; /* of the scope: "20150830" */
	char region[AWS_REGION_SIZE];
	char service[64];
	char time[17]; /* "20150830T123600Z" */
	uint8_t signature[32];
	bool presigned;
	const char *signed_headers; /* "host;x-amz-date"; in `text` */
	const char *token;          /* of a session; NULL without one; in `text` */
	char text[6144];
};

/* The request is not signed at all: no Authorization header, nothing in the query. */
bool sigv4_is_unsigned(const struct http_request *request);

/*
 * Take the signature's parts, and look at its time.  AWS_FAULT with MissingAuthenticationToken,
 * IncompleteSignature, or SignatureDoesNotMatch when the clocks are more than 15 minutes apart or a
 * presigned URL has expired.
 */
int sigv4_read(const struct http_request *request, int64_t now_us, struct sigv4 *ret,
	       struct aws_fault *fault);

/* The key for a day, a region and a service, which sigv4_verify_key() takes; worth keeping. */
void sigv4_signing_key(const struct sigv4 *signature, const char *secret,
		       uint8_t ret[SIGV4_KEY_SIZE]);

/* Whether the request is signed by that key: 0, or AWS_FAULT with SignatureDoesNotMatch; takes the
 * same time however much of the signature is right. */
int sigv4_verify_key(const struct sigv4 *signature, const struct http_request *request,
		     const uint8_t key[SIGV4_KEY_SIZE], struct aws_fault *fault);
int sigv4_verify(const struct sigv4 *signature, const struct http_request *request,
		 const char *secret, struct aws_fault *fault);

struct sigv4_signer {
	const char *access_key_id, *secret, *region, *service;
	int64_t time_us;
};

/*
 * The Authorization header for a request that has its Host and X-Amz-Date (sigv4_time()) headers
 * already, and that of a session's token; all its headers, at most SIGV4_HEADERS_MAX, are signed.
 */
void sigv4_sign(const struct sigv4_signer *signer, const struct http_request *request,
		struct buffer *ret);
void sigv4_time(int64_t time_us, char ret[17]);
