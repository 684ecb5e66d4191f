#include "aws/tags.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *key_of(const json_t *tag)
{
	return json_string_value(json_object_get(tag, "Key"));
}

/* A tag without one has an empty one. */
static json_t *value_of(const json_t *tag)
{
	json_t *value = json_object_get(tag, "Value");

	return value ? json_incref(value) : json_string("");
}

json_t *aws_tags_object(const json_t *tags)
{
	json_t *object = json_object();
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag)
		if (key_of(tag))
			json_object_set_new(object, key_of(tag), value_of(tag));
	return object;
}

/* --- Finding ---------------------------------------------------------------------------------- */

static bool is_same(const struct aws_tag_rules *rules, const char *a, const char *b)
{
	return a && b && (rules->any_case ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

bool aws_tags_find(const struct aws_tag_rules *rules, const json_t *tags, const char *key,
		   size_t *ret)
{
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag) {
		if (!is_same(rules, key_of(tag), key))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

/* --- Checking --------------------------------------------------------------------------------- */

static size_t count_characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((uint8_t)*text & 0xC0) != 0x80; /* none in the middle of one */
	return count;
}

static bool is_reserved(const struct aws_tag_rules *rules, const char *key)
{
	const char *const *prefix = rules->reserved;

	while (prefix && *prefix && strncasecmp(key, *prefix, strlen(*prefix)) != 0)
		prefix++;
	return prefix && *prefix;
}

static bool has_problem(const struct aws_tag_rules *rules, const json_t *tags, size_t at,
			enum aws_tag_problem problem)
{
	const json_t *tag = json_array_get(tags, at);
	const char *key = key_of(tag), *value = json_string_value(json_object_get(tag, "Value"));
	size_t first;

	switch (problem) {
	case AWS_TAG_KEY:
		return !key || !*key || count_characters(key) > rules->key_max;
	case AWS_TAG_RESERVED:
		return key && is_reserved(rules, key);
	case AWS_TAG_VALUE:
		return value && count_characters(value) > rules->value_max;
	case AWS_TAG_TWICE:
		return aws_tags_find(rules, tags, key, &first) && first != at;
	default:
		return false;
	}
}

int aws_tags_fault(struct aws_call *call, const struct aws_tag_rules *rules,
		   enum aws_tag_problem problem)
{
	return aws_fault(call, rules->words[problem].code, "%s", rules->words[problem].message);
}

int aws_tags_check(struct aws_call *call, const struct aws_tag_rules *rules, const json_t *tags)
{
	/* First: what follows takes the square of their number. */
	if (json_array_size(tags) > rules->count_max)
		return aws_tags_fault(call, rules, AWS_TAGS_MANY);
	for (size_t i = 0; i < json_array_size(tags); i++)
		for (int problem = AWS_TAG_KEY; problem < AWS_TAG_PROBLEMS; problem++)
			if (rules->words[problem].code && has_problem(rules, tags, i, problem))
				return aws_tags_fault(call, rules, problem);
	return 0;
}

/* --- Changing --------------------------------------------------------------------------------- */

int aws_tags_merge(const struct aws_tag_rules *rules, const json_t *tags, const json_t *more,
		   json_t **ret)
{
	json_t *merged = tags ? json_copy((json_t *)tags) : json_array();
	const json_t *tag;
	size_t i, old;

	json_array_foreach (more, i, tag) {
		json_t *new = json_pack("{s:s, s:o}", "Key", key_of(tag), "Value", value_of(tag));

		if (aws_tags_find(rules, merged, key_of(tag), &old))
			json_array_set_new(merged, old, new);
		else
			json_array_append_new(merged, new);
	}
	if (json_array_size(merged) > rules->count_max) {
		json_decref(merged);
		return -E2BIG;
	}
	*ret = merged;
	return 0;
}

json_t *aws_tags_without(const struct aws_tag_rules *rules, const json_t *tags, const json_t *keys)
{
	json_t *rest = tags ? json_copy((json_t *)tags) : json_array();
	const json_t *key;
	size_t i, at;

	json_array_foreach (keys, i, key)
		if (aws_tags_find(rules, rest, json_string_value(key), &at))
			json_array_remove(rest, at);
	return rest;
}
