/*
 * Goal: tags are found, put in and taken out by each service's own rule of what is the same key,
 * and what a service does not take is refused in its own words.
 */
#include "aws/tags.h"

#include "tap.h"

#include <errno.h>
#include <stdlib.h>

static const char *const reserved[] = {"aws:", "our:", NULL};

static const struct aws_tag_rules strict = {
	.count_max = 3,
	.key_max = 5,
	.value_max = 4,
	.reserved = reserved,
	.words = {{"Many", "too many"},
		  {"Key", "no key"},
		  {"Reserved", "reserved key"},
		  {"Value", "long value"},
		  {"Twice", "same key"}},
};
/* No words but for how many: all else is well. */
static const struct aws_tag_rules lax = {
	.any_case = true, .count_max = 3, .words = {{"Many", "too many"}}};

/* [{"Key", "Value"}] of "a=1 b=2"; "c" has no value. */
static json_t *make(const char *text)
{
	json_t *tags = json_array();
	char copy[256], *rest, *word;

	snprintf(copy, sizeof copy, "%s", text);
	for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(word, '=');
		json_t *tag = json_object();

		if (value) {
			*value = 0;
			json_object_set_new(tag, "Value", json_string(value + 1));
		}
		json_object_set_new(tag, "Key", json_string(word));
		json_array_append_new(tags, tag);
	}
	return tags;
}

/* The tags (stolen) are these, in this order; a value of "" is "a=". */
static bool are(json_t *tags, const char *expected)
{
	char text[256] = "";
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag) {
		const char *key = json_string_value(json_object_get(tag, "Key"));
		const char *value = json_string_value(json_object_get(tag, "Value"));
		size_t size = strlen(text);

		snprintf(text + size, sizeof text - size, "%s%s=%s", i ? " " : "", key,
			 value ? value : "?");
	}
	json_decref(tags);
	return check(!strcmp(text, expected), "%s, not %s", text, expected);
}

static json_t *merged(const struct aws_tag_rules *rules, const char *tags, const char *more)
{
	json_auto_t *old = make(tags), *new = make(more), *before = json_deep_copy(old);
	json_t *ret = NULL;
	int r = aws_tags_merge(rules, old, new, &ret);

	check(r == (ret ? 0 : -E2BIG), "%d", r);
	check(json_equal(old, before), "the old list has changed");
	return ret;
}

static void a_tag_takes_the_place_of_the_one_with_the_same_key(void)
{
	are(merged(&strict, "a=1 b=2", "a=3"), "a=3 b=2");
	are(merged(&strict, "a=1 b=2", "c=3"), "a=1 b=2 c=3");
	are(merged(&strict, "a=1", "A=2"), "a=1 A=2");
	are(merged(&lax, "a=1 b=2", "A=3"), "A=3 b=2");
	are(merged(&lax, "", "a=1 a=2"), "a=2");
}

static void a_tag_without_a_value_has_an_empty_one(void)
{
	are(merged(&strict, "", "a"), "a=");
}

static void more_than_there_may_be_are_none_at_all(void)
{
	are(merged(&strict, "a=1 b=2", "b=3 c=4"), "a=1 b=3 c=4");
	check(!merged(&strict, "a=1 b=2", "c=3 d=4"));
	check(!merged(&strict, "a=1 b=2 c=3", "A=1"));
}

static json_t *without(const struct aws_tag_rules *rules, const char *tags, const char *key)
{
	json_auto_t *old = make(tags), *before = json_deep_copy(old), *keys = json_pack("[s]", key);
	json_t *rest = aws_tags_without(rules, old, keys);

	check(json_equal(old, before), "the old list has changed");
	return rest;
}

static void what_is_taken_out_is_gone_and_the_rest_stays_in_order(void)
{
	are(without(&strict, "a=1 b=2 c=3", "b"), "a=1 c=3");
	are(without(&strict, "a=1", "A"), "a=1");
	are(without(&lax, "a=1", "A"), "");
	are(without(&lax, "a=1", "none"), "a=1");
	are(aws_tags_without(&lax, NULL, NULL), "");
}

static bool refused(const struct aws_tag_rules *rules, const char *tags, const char *code,
		    const char *message)
{
	json_auto_t *list = make(tags);
	struct aws_call call = {0};
	int r = aws_tags_check(&call, rules, list);

	return check(r == (*code ? AWS_FAULT : 0), "%s: %d", tags, r) &&
	       check(!strcmp(call.fault.code, code), "%s: %s", tags, call.fault.code) &&
	       check(!strcmp(call.fault.message, message), "%s: %s", tags, call.fault.message);
}

static void what_a_service_does_not_take_is_refused_in_its_words(void)
{
	refused(&strict, "a=1 b=2 c=3", "", "");
	refused(&strict, "a=1 b=2 c=3 d=4", "Many", "too many");
	refused(&strict, "=1", "Key", "no key");
	refused(&strict, "abcde=1", "", "");
	refused(&strict, "abcdef=1", "Key", "no key");
	refused(&strict, "a=1234", "", "");
	refused(&strict, "a=12345", "Value", "long value");
	refused(&strict, "AWS:=1", "Reserved", "reserved key");
	refused(&strict, "our:a=1", "Reserved", "reserved key");
	refused(&strict, "awsx=1", "", "");
	refused(&strict, "a=1 b=2 a=3", "Twice", "same key");
	refused(&strict, "a=1 A=2", "", "");
}

static void lengths_are_those_in_characters(void)
{
	refused(&strict, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4=1", "", "");
	refused(&strict, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4=1", "Key", "no key");
	refused(&strict, "a=\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", "", "");
}

static void what_a_service_has_no_words_for_is_no_fault(void)
{
	refused(&lax, "aws:a=1 aws:A=long-value", "", "");
	refused(&lax, "a=1 b=2 c=3 d=4", "Many", "too many");
}

static void keys_that_differ_in_case_are_twice_the_same_where_case_does_not_count(void)
{
	struct aws_tag_rules rules = strict;

	rules.any_case = true;
	refused(&rules, "a=1 A=2", "Twice", "same key");
}

static void a_tag_without_a_key_is_refused(void)
{
	json_auto_t *list = json_pack("[{s:s}]", "Value", "v");
	struct aws_call call = {0};

	check(aws_tags_check(&call, &strict, list) == AWS_FAULT);
	check(!strcmp(call.fault.code, "Key"));
}

static void policies_see_tags_as_an_object_also_unchecked_ones(void)
{
	json_auto_t *list = make("a=1 b"), *object = aws_tags_object(list);
	json_auto_t *wanted = json_pack("{s:s, s:s}", "a", "1", "b", "");
	json_auto_t *odd =
		json_pack("[i, s, {}, {s:i}, [], n, {s:s}]", 1, "x", "Key", 2, "Key", "k");
	json_auto_t *of_odd = aws_tags_object(odd), *of_none = aws_tags_object(NULL);

	check(json_equal(object, wanted));
	check(json_object_size(of_odd) == 1 && json_object_get(of_odd, "k"));
	check(json_is_object(of_none) && json_object_size(of_none) == 0);
}

int main(void)
{
	RUN(a_tag_takes_the_place_of_the_one_with_the_same_key);
	RUN(a_tag_without_a_value_has_an_empty_one);
	RUN(more_than_there_may_be_are_none_at_all);
	RUN(what_is_taken_out_is_gone_and_the_rest_stays_in_order);
	RUN(what_a_service_does_not_take_is_refused_in_its_words);
	RUN(lengths_are_those_in_characters);
	RUN(what_a_service_has_no_words_for_is_no_fault);
	RUN(keys_that_differ_in_case_are_twice_the_same_where_case_does_not_count);
	RUN(a_tag_without_a_key_is_refused);
	RUN(policies_see_tags_as_an_object_also_unchecked_ones);
	return tap_done();
}
