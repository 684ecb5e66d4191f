#include "base/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int problem(struct problem *why, int r, const char *format, ...)
{
	va_list args;

	if (!why)
		return r;
	va_start(args, format);
	vsnprintf(why->text, sizeof why->text, format, args);
	va_end(args);
	return r;
}

int problem_errno(struct problem *why, int r, const char *format, ...)
{
	va_list args;
	size_t used;

	if (!why)
		return r;
	va_start(args, format);
	vsnprintf(why->text, sizeof why->text, format, args);
	va_end(args);
	used = strlen(why->text);
	snprintf(why->text + used, sizeof why->text - used, ": %s", strerror(r < 0 ? -r : r));
	return r;
}
