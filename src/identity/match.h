/*
 * Match: the texts of a policy that stand for more than themselves.
 *
 * A pattern is compiled once, when its policy is read, and matched with every request.  In its code
 * the characters with a meaning are bytes that no policy can hold, so that a '*' which somebody has
 * in his name never becomes a wildcard:
 *
 *	arn:aws:s3:::home/${aws:username}-${*}?*	as it is written
 *	arn:aws:s3:::home/<VARIABLE>aws:username<END>-*<ONE><ANY>
 */
#pragma once

#include <stdbool.h>

/* What the request says of one key: any number of texts, borrowed. */
struct context_values {
	const char *const *items;
	unsigned count;
};

/* Where the values of keys come from. */
struct policy_context {
	/* False: there is no such key in this request.  Keys are found in any case of letters.
	 * What `ret` points to is good as long as the context is. */
	bool (*find)(const struct policy_context *context, const char *key,
		     struct context_values *ret);
};

bool context_find(const struct policy_context *context, const char *key,
		  struct context_values *ret);

enum {
	PATTERN_VARIABLES =
		1 << 0, /* ${key}, ${key, 'default'}, ${*}, ${?}, ${$} are not literal */
	PATTERN_WILDCARDS = 1 << 1, /* * is any number of characters, ? is one */
};

/* -EINVAL: control characters, or a variable that does not end.  The caller frees *ret. */
int pattern_compile(const char *text, unsigned flags, char **ret);
/* Each key of a variable in it; `fn` gets a text of its own that is good until it returns. */
void pattern_keys(const char *code, void (*fn)(const char *key, void *arg), void *arg);

/*
 * Whether all of `text` is what the pattern says.  A variable without value and without default
 * matches nothing, nor does one with several values.  `fold`: any case of ASCII letters.
 */
bool pattern_match(const char *code, const char *text, const struct policy_context *context,
		   bool fold);
/* The same for ARNs, part by part: a wildcard never reaches over a ':', but for those behind the
 * fifth. */
bool pattern_match_arn(const char *code, const char *arn, const struct policy_context *context);
