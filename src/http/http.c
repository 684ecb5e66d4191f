#include "http/http.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *http_request_header(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (!strcasecmp(request->headers[i].name, name))
			return request->headers[i].value;
	return NULL;
}

int http_request_headers(const struct http_request *request,
			 int (*fn)(const char *name, const char *value, void *arg), void *arg)
{
	int r = 0;

	for (size_t i = 0; i < request->header_count && r == 0; i++)
		r = fn(request->headers[i].name, request->headers[i].value, arg);
	return r;
}

static bool is_token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_header_is_sound(const char *name, size_t name_size, const char *value, size_t value_size)
{
	for (size_t i = 0; i < name_size; i++)
		if (!is_token_byte(name[i]))
			return false;
	for (size_t i = 0; i < value_size; i++)
		if (value[i] == '\r' || value[i] == '\n' || !value[i])
			return false;
	return name_size > 0;
}

void http_response_header(struct http_response *response, const char *name, const char *format, ...)
{
	va_list args;
	char *value;

	assert(response->header_count < HTTP_HEADERS_MAX);
	response->headers[response->header_count].name = name;
	value = response->headers[response->header_count++].value;
	va_start(args, format);
	vsnprintf(value, sizeof response->headers->value, format, args);
	va_end(args);
	/* Never the end of the header, whatever came from outside. */
	for (; *value; value++)
		if ((unsigned char)*value < ' ')
			*value = ' ';
}

void http_response_text(struct http_response *response, const char *format, ...)
{
	char text[4096];
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (size > 0)
		buffer_put(&response->body, text, MIN((size_t)size, sizeof text - 1));
}
