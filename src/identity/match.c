#include "identity/match.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* The bytes of a code that mean something.  DEFAULT stands between a variable's key and what it is
 * without value. */
enum { ANY = 1, ONE, VARIABLE, DEFAULT, END };

bool context_find(const struct policy_context *context, const char *key, struct context_values *ret)
{
	*ret = (struct context_values){0};
	return context->find(context, key, ret) && ret->count;
}

/*
 * Behind "${": the key, perhaps ", 'default'", and "}".  Returns where it ends, NULL where it does
 * not.
 */
static const char *compile_variable(struct buffer *code, const char *at)
{
	const char *end;

	if (strchr("*?$", *at) && at[1] == '}') {
		buffer_put8(code, *at);
		return at + 2;
	}
	end = at + strcspn(at, ",}");
	if (end == at || !*end)
		return NULL;
	buffer_put8(code, VARIABLE);
	buffer_put(code, at, end - at);
	if (*end == ',') {
		at = end + 1 + strspn(end + 1, " ");
		if (*at++ != '\'')
			return NULL;
		end = at + strcspn(at, "'");
		if (!*end || end[1] != '}')
			return NULL;
		buffer_put8(code, DEFAULT);
		buffer_put(code, at, end - at);
		end++;
	}
	buffer_put8(code, END);
	return end + 1;
}

int pattern_compile(const char *text, unsigned flags, char **ret)
{
	CLEANUP(buffer) struct buffer code = {0};

	while (*text) {
		if ((unsigned char)*text < ' ' && !strchr("\t\n\r", *text))
			return -EINVAL;
		if (flags & PATTERN_VARIABLES && text[0] == '$' && text[1] == '{') {
			text = compile_variable(&code, text + 2);
			if (!text)
				return -EINVAL;
			continue;
		}
		if (flags & PATTERN_WILDCARDS && *text == '*')
			buffer_put8(&code, ANY);
		else if (flags & PATTERN_WILDCARDS && *text == '?')
			buffer_put8(&code, ONE);
		else
			buffer_put8(&code, *text);
		text++;
	}
	buffer_put8(&code, 0);
	*ret = (char *)code.data;
	code = (struct buffer){0};
	return 0;
}

void pattern_keys(const char *code, void (*fn)(const char *key, void *arg), void *arg)
{
	while ((code = strchr(code, VARIABLE))) {
		size_t size = strcspn(++code, "\4\5");
		CLEANUP(free) char *key = xcheck(strndup(code, size));

		fn(key, arg);
	}
}

/* The value of the variable whose key begins at `at`. */
static bool expand_variable(struct buffer *out, const char *at,
			    const struct policy_context *context)
{
	size_t size = strcspn(at, "\4\5");
	struct context_values values;
	char key[256];

	if (size >= sizeof key)
		return false;
	memcpy(key, at, size);
	key[size] = 0;
	if (context && context_find(context, key, &values)) {
		if (values.count != 1)
			return false;
		/* A value may hold what it likes, except what would be a wildcard of ours. */
		if (strpbrk(values.items[0], "\1\2\3\4\5"))
			return false;
		buffer_put(out, values.items[0], strlen(values.items[0]));
		return true;
	}
	if (at[size] != DEFAULT)
		return false;
	at += size + 1;
	buffer_put(out, at, strcspn(at, "\5"));
	return true;
}

/* The code with values where its variables were. */
static bool expand(const char *code, const struct policy_context *context, struct buffer *out)
{
	const char *variable;

	while ((variable = strchr(code, VARIABLE))) {
		buffer_put(out, code, variable - code);
		if (!expand_variable(out, variable + 1, context))
			return false;
		code = strchr(variable, END) + 1;
	}
	buffer_put(out, code, strlen(code) + 1);
	return true;
}

static bool same(char a, char b, bool fold)
{
	if (a == b)
		return true;
	return fold && tolower((unsigned char)a) == tolower((unsigned char)b);
}

static const char *next_character(const char *at, const char *end)
{
	at++;
	while (at < end && (*at & 0xc0) == 0x80)
		at++;
	return at;
}

/*
 * A run of any length is tried at its shortest first; when what follows does not fit, only the last
 * run needs to grow, as a longer earlier one could give no more than that.
 */
static bool glob(const char *code, const char *code_end, const char *text, const char *text_end,
		 bool fold)
{
	const char *run = NULL, *run_text = NULL;

	for (;;) {
		if (code < code_end && *code == ANY) {
			run = ++code;
			run_text = text;
		} else if (text < text_end && code < code_end && *code == ONE) {
			code++;
			text = next_character(text, text_end);
		} else if (text < text_end && code < code_end && same(*code, *text, fold)) {
			code++;
			text++;
		} else if (text == text_end && code == code_end) {
			return true;
		} else {
			if (!run || run_text == text_end)
				return false;
			code = run;
			text = run_text = next_character(run_text, text_end);
		}
	}
}

bool pattern_match(const char *code, const char *text, const struct policy_context *context,
		   bool fold)
{
	CLEANUP(buffer) struct buffer expanded = {0};

	if (strchr(code, VARIABLE)) {
		if (!expand(code, context, &expanded))
			return false;
		code = (const char *)expanded.data;
	}
	return glob(code, code + strlen(code), text, text + strlen(text), fold);
}

/* The end of the part that begins at `at`; the sixth goes to the end. */
static const char *part_end(const char *at, int part)
{
	return part < 5 ? strchrnul(at, ':') : at + strlen(at);
}

bool pattern_match_arn(const char *code, const char *arn, const struct policy_context *context)
{
	CLEANUP(buffer) struct buffer expanded = {0};

	if (!expand(code, context, &expanded))
		return false;
	code = (const char *)expanded.data;
	/* All of it, whatever it is. */
	if (code[0] == ANY && !code[1])
		return true;
	for (int part = 0; part < 6; part++) {
		const char *code_end = part_end(code, part), *arn_end = part_end(arn, part);

		if (!glob(code, code_end, arn, arn_end, false))
			return false;
		if (part == 5)
			break;
		if (!*code_end || !*arn_end)
			return false;
		code = code_end + 1;
		arn = arn_end + 1;
	}
	return true;
}
