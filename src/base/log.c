#include "base/log.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum log_level lowest = LOG_INFO;
static void (*sink)(enum log_level level, const char *text);

void log_set_level(enum log_level level)
{
	lowest = level;
}

void log_set_sink(void (*to)(enum log_level level, const char *text))
{
	sink = to;
}

/* One write per line, so that lines of several threads and processes do not mix. */
static void put(enum log_level level, const char *text)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char time[CLOCK_TEXT_MAX];

	if (sink) {
		sink(level, text);
		return;
	}
	clock_format(clock_realtime_us(), time);
	fprintf(stderr, "%s %s: %s\n", time, names[level], text);
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[2048];
	va_list args;

	if (level < lowest)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	put(level, text);
}

int log_errno(int r, const char *format, ...)
{
	char text[2048];
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	used = strlen(text);
	snprintf(text + used, sizeof text - used, ": %s", strerror(r < 0 ? -r : r));
	put(LOG_ERROR, text);
	return r;
}
