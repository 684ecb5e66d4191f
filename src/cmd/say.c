#include "cmd/say.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/timetext.h"

#include <ctype.h>
#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

int fail(const struct typed *typed, enum ending ending, const char *format, ...)
{
	const struct command *command = typed ? typed->command : NULL;
	const char *name = command && command->operands[0].name ? typed->operands[0] : NULL;
	char text[2048], line[2304];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	snprintf(line, sizeof line, "unspill: %s%s%.64s%s%s", command ? command->name : "",
		 name ? " " : "", name ? name : "", command ? ": " : "", text);
	/* What others wrote (a server's log, an argument) must not move the cursor. */
	for (char *at = line; *at; at++) {
		if (iscntrl((unsigned char)*at))
			*at = '?';
	}
	fflush(stdout);
	fprintf(stderr, "%s\n", line);
	return ending;
}

enum ending ending_of_errno(int r)
{
	switch (-r) {
	case 0:
		return END_OK;
	case EINVAL:
	case EADDRNOTAVAIL:
		return END_USAGE;
	case ENOENT:
		return END_NOT_FOUND;
	case ERANGE:
		return END_UNREACHABLE;
	case EBUSY:
	case EALREADY:
		return END_BUSY;
	case EBADMSG:
	case EUCLEAN:
		return END_DAMAGED;
	case ECANCELED:
	case EINTR:
		return END_CANCELLED;
	case EEXIST:
	case ENOTEMPTY:
	case EADDRINUSE:
		return END_TAKEN;
	case EPERM:
	case EACCES:
	case ENOSPC:
	case EROFS:
	case ENODEV:
		return END_MACHINE;
	}
	return END_FAILED;
}

int fail_why(const struct typed *typed, int r, const struct problem *why)
{
	return fail(typed, ending_of_errno(r), "%s", why->text[0] ? why->text : strerror(-r));
}

void note(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* --- The terminal ----------------------------------------------------------------------------- */

const char *style(FILE *out, enum style style)
{
	static const char *const codes[] = {
		[PLAIN] = "\033[0m",    [BOLD] = "\033[1m",   [DIM] = "\033[2m",
		[RED] = "\033[31m",     [GREEN] = "\033[32m", [YELLOW] = "\033[33m",
		[MAGENTA] = "\033[35m", [CYAN] = "\033[36m",
	};
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (!isatty(fileno(out)) || (no_color && *no_color) || !term || !strcmp(term, "dumb"))
		return "";
	return codes[style];
}

int columns(FILE *out)
{
	struct winsize size;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0 || !size.ws_col)
		return 80;
	return size.ws_col;
}

bool is_utf8(void)
{
	return !strcasecmp(nl_langinfo(CODESET), "UTF-8");
}

bool can_ask(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool ask(const char *question)
{
	char answer[16] = "";
	size_t size;

	fflush(stdout);
	fprintf(stderr, "%s [y/N] ", question);
	if (!fgets(answer, sizeof answer, stdin)) {
		fputc('\n', stderr);
		return false;
	}
	size = strcspn(answer, "\r\n");
	answer[size] = '\0';
	return !strcasecmp(answer, "y") || !strcasecmp(answer, "yes");
}

int confirm(const struct typed *typed, const char *question)
{
	if (typed_switch(typed, "yes"))
		return END_OK;
	if (!can_ask())
		return fail(
			typed, END_USAGE,
			"there is no terminal to ask on; nothing was done; add --yes to go ahead");
	if (ask(question))
		return END_OK;
	note("Nothing was done.");
	return END_CANCELLED;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static bool is_time(const char *key)
{
	size_t size = strlen(key);

	return !strcmp(key, "created_us") || (size >= 7 && !strcmp(key + size - 7, "time_us"));
}

static void add_time(json_t *object, const char *key, int64_t time_us, bool utc)
{
	char text[TIME_TEXT_MAX], name[64];

	snprintf(name, sizeof name, "%.*s", (int)strlen(key) - 3, key);
	time_format(time_us, utc, text);
	json_object_set_new(object, name, json_string(text));
}

void json_add_times(json_t *value, bool utc)
{
	const char *key;
	json_t *child;
	size_t i;
	void *next;

	json_array_foreach (value, i, child)
		json_add_times(child, utc);
	json_object_foreach_safe (value, next, key, child) {
		/* Not asked for as a time: 0, and no text. */
		if (is_time(key) && json_integer_value(child) > 0)
			add_time(value, key, json_integer_value(child), utc);
		else
			json_add_times(child, utc);
	}
}

static json_t *clean_string(const json_t *value)
{
	CLEANUP(free) char *text = xstrdup(json_string_value(value));

	for (char *at = text; *at; at++) {
		if (iscntrl((unsigned char)*at))
			*at = '?';
	}
	return json_string(text);
}

void json_clean(json_t *value)
{
	const char *key;
	json_t *child;
	size_t i;

	json_array_foreach (value, i, child) {
		if (json_is_string(child))
			json_array_set_new(value, i, clean_string(child));
		else
			json_clean(child);
	}
	json_object_foreach (value, key, child) {
		if (json_is_string(child))
			json_object_set_new(value, key, clean_string(child));
		else
			json_clean(child);
	}
}

int print_json(const struct typed *typed, json_t *value)
{
	int r;

	json_add_times(value, typed_switch(typed, "utc"));
	r = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(value);
	if (r < 0 || putchar('\n') == EOF || fflush(stdout))
		return fail(typed, END_FAILED, "cannot write to standard output");
	return END_OK;
}

const json_t *json_at(const json_t *value, const char *path)
{
	char key[64];

	while (value && *path) {
		size_t size = strcspn(path, ".");

		snprintf(key, sizeof key, "%.*s", (int)size, path);
		value = json_object_get(value, key);
		path += size + (path[size] == '.');
	}
	return value;
}

int64_t json_number(const json_t *value, const char *path)
{
	const json_t *at = json_at(value, path);

	/* A real would round positions beyond 2^53. */
	return json_is_integer(at) ? json_integer_value(at) : (int64_t)json_number_value(at);
}

double json_real_at(const json_t *value, const char *path)
{
	return json_number_value(json_at(value, path));
}

const char *json_text(const json_t *value, const char *path)
{
	const char *text = json_string_value(json_at(value, path));

	return text ? text : "";
}

bool json_truth(const json_t *value, const char *path)
{
	const json_t *at = json_at(value, path);

	return json_is_true(at) || json_number_value(at) != 0;
}
