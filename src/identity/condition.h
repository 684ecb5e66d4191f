/*
 * Condition: one line of a statement's Condition: an operator, a key, and the values it is compared
 * with.
 */
#pragma once

#include "identity/match.h"

#include <jansson.h>
#include <stdbool.h>

enum condition_type {
	CONDITION_STRING, /* StringEquals: no wildcards */
	CONDITION_STRING_FOLD,
	CONDITION_STRING_LIKE,
	CONDITION_NUMERIC,
	CONDITION_DATE,
	CONDITION_BOOL,
	CONDITION_BINARY,
	CONDITION_IP,
	CONDITION_ARN,
	CONDITION_NULL,
};

enum condition_order {
	CONDITION_EQUAL,
	CONDITION_LESS,
	CONDITION_LESS_EQUAL,
	CONDITION_GREATER,
	CONDITION_GREATER_EQUAL,
};

struct condition_operator {
	enum condition_type type;
	enum condition_order order;
	bool negated;   /* StringNotEquals: none of the values */
	bool if_exists; /* StringEqualsIfExists: true without the key */
	enum { SET_NONE, SET_ALL, SET_ANY } set;
};

struct condition {
	struct condition_operator how;
	char *key;
	char **values; /* patterns for strings and ARNs, else the texts as they are */
	unsigned count;
};

/* "ForAnyValue:StringNotLikeIfExists", taken apart.  False: there is no such operator. */
bool condition_operator_parse(const char *text, struct condition_operator *ret);
/* `values` is a string, number, boolean, or a list of those.  -EINVAL: some are not, or a pattern
 * that is none. */
int condition_compile(struct condition_operator how, const char *key, const json_t *values,
		      bool variables, struct condition *ret);
void condition_done(struct condition *condition);
bool condition_holds(const struct condition *condition, const struct policy_context *context);
