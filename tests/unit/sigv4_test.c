/*
 * The facts of AWS's signature test suite (as awslabs/aws-c-auth keeps it,
 * tests/aws-signing-test-suite/v4): requests, and the signature that each has in its Authorization
 * header and as a presigned URL.  Those for services that leave the path as it is (S3) are not
 * among them.
 */
#include "aws/sigv4.h"

#include "http_double.h"
#include "tap.h"

#include <stdlib.h>

#define KEY_ID "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TIME "20150830T123600Z"
#define TIME_US INT64_C(1440938160000000)
#define BODY_HASH "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define SHORT_TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
#define STS_TOKEN                                                                        \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFq" \
	"wAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2w" \
	"UE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+x" \
	"o0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3i" \
	"SIlTJabIQwj2ICCR/oLxBA=="

static const struct vector {
	const char *name, *method, *target;
	struct {
		const char *name, *value;
	} headers[6];
	const char *body, *token;
	const char *signature, *presigned; /* NULL: a token that is added without being signed */
} vectors[] = {
	{"get-header-key-duplicate",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"},
	  {"My-Header1", "value2"},
	  {"My-Header1", "value2"},
	  {"My-Header1", "value1"}},
	 "",
	 NULL,
	 "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
	 "3349ee0b81b4b589da0ff28a395c3591e04de515651dd74f298fa992d1507a97"},
	{"get-header-value-multiline",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"}, {"My-Header1", "value1\n  value2\n     value3"}},
	 "",
	 NULL,
	 "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
	 "e6f5def831211aca02987a44b96826706278c7bc078112ae0263659c5b2f2d56"},
	{"get-header-value-order",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"},
	  {"My-Header1", "value4"},
	  {"My-Header1", "value1"},
	  {"My-Header1", "value3"},
	  {"My-Header1", "value2"}},
	 "",
	 NULL,
	 "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
	 "313720e71ca6202fdcfa9b20f88de01a4eb0638a83c833b1c184359a4eda864e"},
	{"get-header-value-trim",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"},
	  {"My-Header1", " value1"},
	  {"My-Header2", " \"a   b   c\""}},
	 "",
	 NULL,
	 "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
	 "e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4"},
	{"get-relative-normalized",
	 "GET",
	 "/example/..",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	 "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"},
	{"get-relative-relative-normalized",
	 "GET",
	 "/example1/example2/../..",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	 "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"},
	{"get-slash-dot-slash-normalized",
	 "GET",
	 "/./",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	 "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"},
	{"get-slash-normalized",
	 "GET",
	 "//",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	 "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"},
	{"get-slash-pointless-dot-normalized",
	 "GET",
	 "/./example",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
	 "35034b1a0bdd969f346975386daf8aedfd4976573b8348cf4f67eaa41c5857de"},
	{"get-slashes-normalized",
	 "GET",
	 "//example//",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
	 "c1834e8fb0307243711f0f907f6ab7311ed300d87f13792d7ee4da89ab93e082"},
	{"get-space-normalized",
	 "GET",
	 "/example space/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
	 "7a1f416954786484c9824d93c1f26ef64acb9b1b6c9154d08c9f07d0e394abf6"},
	{"get-unreserved",
	 "GET",
	 "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
	 "95968482db1b9e0fadef6efc1bd24689f77c77d9ef56919c96a28cc92e0d6005"},
	{"get-utf8",
	 "GET",
	 "/\341\210\264",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
	 "10eae3f14a260bd3911cc6d008d3c576d143b05b62f09782a7a4b37f52178e44"},
	{"get-vanilla-empty-query-key",
	 "GET",
	 "/?Param1=value1",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
	 "49096700cbbaa5753443850f40df10f904fc2fdb544dc9512203cc77c471a9de"},
	{"get-vanilla-query-order-encoded",
	 "GET",
	 "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
	 "c5f1848ceec943ac2ca68ee720460c23aaae30a2300586597ada94c4a65e4787"},
	{"get-vanilla-query-order-key-case",
	 "GET",
	 "/?Param2=value2&Param1=value1",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
	 "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5"},
	{"get-vanilla-query-unreserved",
	 "GET",
	 "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~"
	 "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
	 "8e76a88a7433637b12778d5592799b29ad21ecd6cf6325051c21d86f0acda2bf"},
	{"get-vanilla-query",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	 "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"},
	{"get-vanilla-utf8-query",
	 "GET",
	 "/?\341\210\264=bar",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
	 "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600"},
	{"get-vanilla-with-session-token",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 SHORT_TOKEN,
	 "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
	 "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c"},
	{"get-vanilla",
	 "GET",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
	 "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"},
	{"post-header-key-case",
	 "POST",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	 "2ce6e6d2e0cf2f9d1b55fafec88cd20574c31dc2e7631979f71ba2310083e95b"},
	{"post-header-key-sort",
	 "POST",
	 "/",
	 {{"Host", "example.amazonaws.com"}, {"My-Header1", "value1"}},
	 "",
	 NULL,
	 "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
	 "c09d07e0d55871f10f2a6d350d994acf6825a3cae70673d7def55616e6119dd7"},
	{"post-header-value-case",
	 "POST",
	 "/",
	 {{"Host", "example.amazonaws.com"}, {"My-Header1", "VALUE1"}},
	 "",
	 NULL,
	 "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
	 "0698bc9e4f7f9139065ba2909c0e99da257e8e2a42492a097bcd46d792391fed"},
	{"post-sts-header-after",
	 "POST",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	 NULL},
	{"post-sts-header-before",
	 "POST",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 STS_TOKEN,
	 "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
	 "46c2e3c63c1dbe7d39f8ada16fe7f001c1f56c5791441565323677f96308871c"},
	{"post-vanilla-empty-query-value",
	 "POST",
	 "/?Param1=value1",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
	 "a9ef26247f293bffe40eeff86a0480ba8c14d31503b2e0c3399e3a16bf1a3682"},
	{"post-vanilla-query",
	 "POST",
	 "/?Param1=value1",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
	 "a9ef26247f293bffe40eeff86a0480ba8c14d31503b2e0c3399e3a16bf1a3682"},
	{"post-vanilla",
	 "POST",
	 "/",
	 {{"Host", "example.amazonaws.com"}},
	 "",
	 NULL,
	 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	 "2ce6e6d2e0cf2f9d1b55fafec88cd20574c31dc2e7631979f71ba2310083e95b"},
	{"post-x-www-form-urlencoded-parameters",
	 "POST",
	 "/",
	 {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
	  {"Host", "example.amazonaws.com"},
	  {"Content-Length", "13"}},
	 "Param1=value1",
	 NULL,
	 "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
	 "0dbeb9b026c7b6675f266b8427efec9b4fa8b1f6ef1477d717aea231106eab4d"},
	{"post-x-www-form-urlencoded",
	 "POST",
	 "/",
	 {{"Content-Type", "application/x-www-form-urlencoded"},
	  {"Host", "example.amazonaws.com"},
	  {"Content-Length", "13"}},
	 "Param1=value1",
	 NULL,
	 "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
	 "89a40deed0f26f9461242825a082d2222717248abc7ab41f552ad84a94ad46e9"},
};

static const struct sigv4_signer signer = {
	.access_key_id = KEY_ID,
	.secret = SECRET,
	.region = "us-east-1",
	.service = "service",
	.time_us = TIME_US,
};

static void build(const struct vector *vector, struct http_double *it)
{
	double_init(it, vector->method, vector->target, vector->body);
	for (unsigned i = 0; i < 6 && vector->headers[i].name; i++)
		double_header(it, vector->headers[i].name, vector->headers[i].value);
}

static void build_signed(const struct vector *vector, struct http_double *it)
{
	build(vector, it);
	double_header(it, "X-Amz-Date", TIME);
	if (vector->token)
		double_header(it, "X-Amz-Security-Token", vector->token);
	if (*vector->body)
		double_header(it, "x-amz-content-sha256", BODY_HASH);
}

static void sign_double(const struct http_double *it, const struct sigv4_signer *by,
			struct buffer *ret)
{
	sigv4_sign(by, &it->request, ret);
	buffer_put8(ret, '\0');
}

/* The header's text is `ret`'s. */
static void add_signature(struct http_double *it, struct buffer *ret)
{
	sign_double(it, &signer, ret);
	double_header(it, "Authorization", (char *)ret->data);
}

/* 0, or AWS_FAULT. */
static int verify(const struct http_double *it, int64_t now_us, const char *secret,
		  struct aws_fault *fault)
{
	struct sigv4 signature;
	int r;

	*fault = (struct aws_fault){0};
	r = sigv4_read(&it->request, now_us, &signature, fault);
	return r < 0 ? r : sigv4_verify(&signature, &it->request, secret, fault);
}

static void we_sign_as_the_suite_does(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		CLEANUP(buffer) struct buffer authorization = {0};
		struct http_double it;

		build_signed(&vectors[i], &it);
		sign_double(&it, &signer, &authorization);
		check(strstr((char *)authorization.data, vectors[i].signature), "%s: %s",
		      vectors[i].name, (char *)authorization.data);
	}
}

static void what_the_suite_signed_is_verified_and_no_other_secret_does(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		CLEANUP(buffer) struct buffer authorization = {0};
		struct http_double it;
		struct aws_fault fault;

		build_signed(&vectors[i], &it);
		add_signature(&it, &authorization);
		check(verify(&it, TIME_US, SECRET, &fault) == 0, "%s: %s", vectors[i].name,
		      fault.message);
		check(verify(&it, TIME_US, SECRET "x", &fault) == AWS_FAULT &&
			      strcmp(fault.code, "SignatureDoesNotMatch") == 0,
		      "%s", vectors[i].name);
	}
}

/* The target of the presigned URL; its signed headers are all that the vector has. */
static void presign(const struct vector *vector, char *ret, size_t size)
{
	const char *headers =
		*vector->body              ? "content-length%3Bcontent-type%3Bhost"
		: !vector->headers[1].name ? "host"
		: vector->headers[2].name && strcmp(vector->headers[2].name, "My-Header2") == 0
			? "host%3Bmy-header1%3Bmy-header2"
			: "host%3Bmy-header1";
	char token[1024] = "";
	size_t at = strlen("&X-Amz-Security-Token=");

	if (vector->token) {
		strcpy(token, "&X-Amz-Security-Token=");
		for (const char *c = vector->token; *c; c++)
			at += (size_t)snprintf(token + at, sizeof token - at,
					       strchr("/=+", *c) ? "%%%02X" : "%c", *c);
	}
	snprintf(ret, size,
		 "%s%sX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" KEY_ID
		 "%%2F20150830%%2Fus-east-1%%2Fservice%%2Faws4_request&X-Amz-Date=" TIME
		 "&X-Amz-SignedHeaders=%s&X-Amz-Expires=3600%s&X-Amz-Signature=%s",
		 vector->target, strchr(vector->target, '?') ? "&" : "?", headers, token,
		 vector->presigned);
}

static void presigned_urls_of_the_suite_are_verified_until_they_expire(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct vector vector = vectors[i];
		struct http_double it;
		struct aws_fault fault;
		char target[2048];

		if (!vector.presigned)
			continue;
		presign(&vectors[i], target, sizeof target);
		vector.target = target;
		build(&vector, &it);
		check(verify(&it, TIME_US + 3600 * INT64_C(1000000), SECRET, &fault) == 0, "%s: %s",
		      vectors[i].name, fault.message);
		check(verify(&it, TIME_US + 3601 * INT64_C(1000000), SECRET, &fault) == AWS_FAULT &&
			      strstr(fault.message, "Signature expired"),
		      "%s", vectors[i].name);
		check(verify(&it, TIME_US - 16 * 60 * INT64_C(1000000), SECRET, &fault) ==
				      AWS_FAULT &&
			      strstr(fault.message, "not yet current"),
		      "%s", vectors[i].name);
	}
}

static void build_call(struct http_double *it, const char *body)
{
	double_init(it, "POST", "/a/b?x=1", body);
	double_header(it, "Host", "127.0.0.1:4580");
	double_header(it, "X-Amz-Date", TIME);
	double_header(it, "X-Amz-Target", "AmazonRDSv19.DescribeDBClusters");
}

static void one_changed_byte_anywhere_is_a_mismatch(void)
{
	CLEANUP(buffer) struct buffer authorization = {0};
	struct http_double it, other;
	struct aws_fault fault;

	build_call(&it, "{}");
	add_signature(&it, &authorization);
	require(verify(&it, TIME_US, SECRET, &fault) == 0, "%s", fault.message);

	other = it;
	other.request.headers = other.headers;
	other.request.method = "PUT";
	check(verify(&other, TIME_US, SECRET, &fault) == AWS_FAULT);
	other.request = it.request;
	other.request.path = "/a/c";
	check(verify(&other, TIME_US, SECRET, &fault) == AWS_FAULT);
	other.request = it.request;
	other.request.query = "x=2";
	check(verify(&other, TIME_US, SECRET, &fault) == AWS_FAULT);
	other.request = it.request;
	other.request.body = "[]";
	check(verify(&other, TIME_US, SECRET, &fault) == AWS_FAULT);
	other.request = it.request;
	other.request.headers = other.headers;
	other.headers[2].value = "AmazonRDSv19.DeleteDBCluster";
	check(verify(&other, TIME_US, SECRET, &fault) == AWS_FAULT);
	check(strcmp(fault.code, "SignatureDoesNotMatch") == 0 && fault.status == 403);
	check(strstr(fault.message, "The request signature we calculated does not match"));
}

static void what_is_added_on_the_way_and_matters_must_be_signed(void)
{
	CLEANUP(buffer) struct buffer authorization = {0};
	struct http_double it;
	struct aws_fault fault;

	build_call(&it, "{}");
	add_signature(&it, &authorization);
	double_header(&it, "Accept", "*/*");
	check(verify(&it, TIME_US, SECRET, &fault) == 0, "%s", fault.message);
	double_header(&it, "X-Amz-User-Agent", "me");
	check(verify(&it, TIME_US, SECRET, &fault) == AWS_FAULT);
	check(strstr(fault.message, "'X-Amz-User-Agent' must be a 'SignedHeader'"), "%s",
	      fault.message);
}

static void clocks_may_be_15_minutes_apart(void)
{
	CLEANUP(buffer) struct buffer authorization = {0};
	struct http_double it;
	struct aws_fault fault;

	build_call(&it, "");
	add_signature(&it, &authorization);
	check(verify(&it, TIME_US + SIGV4_SKEW_US, SECRET, &fault) == 0);
	check(verify(&it, TIME_US - SIGV4_SKEW_US, SECRET, &fault) == 0);
	check(verify(&it, TIME_US + SIGV4_SKEW_US + 1000000, SECRET, &fault) == AWS_FAULT);
	check(strcmp(fault.message, "Signature expired: 20150830T123600Z is now earlier than "
				    "20150830T123601Z (20150830T125101Z - 15 min.)") == 0,
	      "%s", fault.message);
	check(verify(&it, TIME_US - SIGV4_SKEW_US - 1000000, SECRET, &fault) == AWS_FAULT);
	check(strcmp(fault.message, "Signature not yet current: 20150830T123600Z is still later "
				    "than 20150830T123559Z (20150830T122059Z + 15 min.)") == 0,
	      "%s", fault.message);
}

static void a_date_is_of_one_form_to_its_end(void)
{
	static const char *const dates[] = {"",       "20150830", TIME "x",
					    TIME " ", TIME TIME,  "2015-08-30T12:36:00Z"};

	for (size_t i = 0; i < ARRAY_SIZE(dates); i++) {
		CLEANUP(buffer) struct buffer authorization = {0};
		struct http_double it;
		struct aws_fault fault;

		build_call(&it, "");
		add_signature(&it, &authorization);
		for (size_t j = 0; j < it.request.header_count; j++)
			if (strcmp(it.headers[j].name, "X-Amz-Date") == 0)
				it.headers[j].value = dates[i];
		check(verify(&it, TIME_US, SECRET, &fault) == AWS_FAULT, "%s", dates[i]);
		check(strcmp(fault.code, "IncompleteSignature") == 0 &&
			      strstr(fault.message, "'basic format'"),
		      "%s: %s", dates[i], fault.message);
	}
}

static const struct broken {
	const char *authorization, *code, *words;
} broken[] = {
	{NULL, "MissingAuthenticationToken", "Request is missing Authentication Token"},
	{"", "IncompleteSignature", "algorithm"},
	{"Basic Zm9vOmJhcg==", "IncompleteSignature", "Unsupported AWS 'algorithm': 'Basic'"},
	{"AWS4-ECDSA-P256-SHA256 Credential=x", "IncompleteSignature", "Unsupported"},
	{"AWS4-HMAC-SHA256", "IncompleteSignature", "requires 'Credential'"},
	{"AWS4-HMAC-SHA256 Credential", "IncompleteSignature", "missing equal-sign"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request", "IncompleteSignature",
	 "requires 'Signature'"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, Signature=00",
	 "IncompleteSignature", "requires 'SignedHeaders'"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/s/aws4_request, SignedHeaders=host, Signature=00",
	 "IncompleteSignature", "exactly 5 slash-delimited elements"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws5_request, SignedHeaders=host, "
	 "Signature=00",
	 "SignatureDoesNotMatch", "valid terminator: 'aws4_request', not 'aws5_request'"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830//s/aws4_request, SignedHeaders=host, Signature=00",
	 "IncompleteSignature", "empty or too long"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host, "
	 "Signature=00",
	 "IncompleteSignature", "64 hexadecimal digits"},
	{"AWS4-HMAC-SHA256 Credential=A/20150831/r/s/aws4_request, SignedHeaders=host, "
	 "Signature=" BODY_HASH,
	 "SignatureDoesNotMatch", "Date in Credential scope does not match"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=x-amz-date, "
	 "Signature=" BODY_HASH,
	 "SignatureDoesNotMatch", "'Host' or ':authority' must be a 'SignedHeader'"},
	{"AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, "
	 "SignedHeaders=absent;host;x-amz-date;x-amz-target, Signature=" BODY_HASH,
	 "SignatureDoesNotMatch", "does not match"},
};

static void a_broken_signature_is_named_for_what_it_is(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct http_double it;
		struct aws_fault fault;

		build_call(&it, "{}");
		if (broken[i].authorization)
			double_header(&it, "Authorization", broken[i].authorization);
		check(verify(&it, TIME_US, SECRET, &fault) == AWS_FAULT, "%zu", i);
		check(strcmp(fault.code, broken[i].code) == 0 &&
			      strstr(fault.message, broken[i].words),
		      "%zu: %s: %s", i, fault.code, fault.message);
		check(!strstr(fault.message, BODY_HASH));
	}
}

static void a_token_is_kept_from_the_header_and_from_the_query(void)
{
	struct http_double it;
	struct sigv4 signature = {0};
	struct aws_fault fault;
	char target[2048];

	build_call(&it, "");
	double_header(&it, "X-Amz-Security-Token", "a token");
	double_header(&it, "Authorization",
		      "AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request,"
		      "SignedHeaders=host,Signature=" BODY_HASH);
	require(sigv4_read(&it.request, TIME_US, &signature, &fault) == 0, "%s", fault.message);
	check(strcmp(signature.token, "a token") == 0);
	check(strcmp(signature.region, "r") == 0 && strcmp(signature.service, "s") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		if (!vectors[i].token)
			continue;
		presign(&vectors[i], target, sizeof target);
		double_init(&it, "GET", target, "");
		require(sigv4_read(&it.request, TIME_US, &signature, &fault) == 0);
		check(strcmp(signature.token, vectors[i].token) == 0);
	}
}

int main(void)
{
	RUN(we_sign_as_the_suite_does);
	RUN(what_the_suite_signed_is_verified_and_no_other_secret_does);
	RUN(presigned_urls_of_the_suite_are_verified_until_they_expire);
	RUN(one_changed_byte_anywhere_is_a_mismatch);
	RUN(what_is_added_on_the_way_and_matters_must_be_signed);
	RUN(clocks_may_be_15_minutes_apart);
	RUN(a_date_is_of_one_form_to_its_end);
	RUN(a_broken_signature_is_named_for_what_it_is);
	RUN(a_token_is_kept_from_the_header_and_from_the_query);
	return tap_done();
}
