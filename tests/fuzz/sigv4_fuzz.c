/*
 * Any text as a signed request: the first line is its target, the second its Authorization header
 * (none when it is empty), the rest its body.  It is read or refused with words; that it verifies
 * by a secret that nobody signed it with does not happen.
 */
#include "aws/sigv4.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TIME "20150830T123600Z"
#define TIME_US INT64_C(1440938160000000)
#define SECRET "not the one of the corpus"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next line of *at, terminated. */
static char *take_line(char **at)
{
	char *line = *at, *end = strchrnul(line, '\n');

	*at = *end ? end + 1 : end;
	*end = '\0';
	return line;
}

static void try_request(char *text)
{
	char *target = take_line(&text), *authorization = take_line(&text);
	char *path = strdup(target), *query = path + strcspn(path, "?");
	const struct http_header headers[] = {{"Host", "example.amazonaws.com"},
					      {"X-Amz-Date", TIME},
					      {"Authorization", authorization}};
	struct http_request request = {.method = "GET",
				       .target = target,
				       .path = path,
				       .headers = headers,
				       .header_count = *authorization ? 3 : 2,
				       .body = text,
				       .body_size = strlen(text),
				       .peer = ""};
	struct aws_fault fault = {0};
	struct sigv4 signature;
	int r;

	request.query = *query ? query + 1 : query;
	*query = '\0';
	r = sigv4_read(&request, TIME_US, &signature, &fault);
	if (r == 0) {
		assert(signature.access_key_id[0] && signature.service[0]);
		r = sigv4_verify(&signature, &request, SECRET, &fault);
	}
	assert(r == AWS_FAULT && fault.code[0] && fault.message[0] && fault.status >= 400);
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	try_request(text);
	free(text);
	return 0;
}
