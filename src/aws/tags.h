/*
 * Tags: what clients hang on things, as the API has them, [{"Key", "Value"}], and as policies ask
 * for them, {"Key": "Value"}.
 *
 * What is the same for all services is here: finding, putting in, taking out, limits.  What is each
 * one's own (which letters are the same, how many and how long, its words) it says in a struct
 * aws_tag_rules.  No list is changed; there is a new one, which shares nothing that is changed
 * later.  Order is that in which keys came.
 */
#pragma once

#include "aws/call.h"

enum aws_tag_problem {
	AWS_TAGS_MANY,    /* more than count_max */
	AWS_TAG_KEY,      /* none, an empty one, or more than key_max characters */
	AWS_TAG_RESERVED, /* a key with a prefix that is the service's own */
	AWS_TAG_VALUE,    /* more than value_max characters */
	AWS_TAG_TWICE,    /* a key that is there twice in one call */
	AWS_TAG_PROBLEMS
};

struct aws_tag_rules {
	bool any_case; /* keys that differ only in the case of their letters are the same */
	unsigned count_max, key_max, value_max;
	const char *const *reserved; /* prefixes, in any letters; ends with NULL */
	/* What is a fault, and how the service says it.  Without a code it is none: the model's
	 * limits are enough, or the last of several counts. */
	struct {
		const char *code, *message;
	} words[AWS_TAG_PROBLEMS];
};

/* {"Key": "Value"}, owned by the caller; also of what has not been checked, or is NULL. */
json_t *aws_tags_object(const json_t *tags);

/* Which of the tags has that key. */
bool aws_tags_find(const struct aws_tag_rules *rules, const json_t *tags, const char *key,
		   size_t *ret);

/* The tags of one call (NULL: none) are as the rules want them; or the fault. */
int aws_tags_check(struct aws_call *call, const struct aws_tag_rules *rules, const json_t *tags);

/* Set the fault; returns AWS_FAULT. */
int aws_tags_fault(struct aws_call *call, const struct aws_tag_rules *rules,
		   enum aws_tag_problem problem);

/* `tags` with those of `more` put in, in the place of what has the same key; either may be NULL.
 * `more` has been checked.  -E2BIG without *ret when that is more than count_max. */
int aws_tags_merge(const struct aws_tag_rules *rules, const json_t *tags, const json_t *more,
		   json_t **ret);

/* `tags` without those that have one of the keys ["Key"]. */
json_t *aws_tags_without(const struct aws_tag_rules *rules, const json_t *tags, const json_t *keys);
