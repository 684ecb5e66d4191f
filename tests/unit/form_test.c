#include "aws/form.h"

#include "tap.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static void fields_are_decoded_in_the_order_in_which_they_came(void)
{
	static const struct {
		const char *name, *value;
	} want[] = {{"a", "1"},   {"b c", "d e&f=g"}, {"empty", ""},        {"bare", ""},
		    {"a", "2=3"}, {"", "x"},          {"\xE1\x88\xB4", "+"}};
	CLEANUP(form) struct form form = {0};
	static const char text[] = "a=1&&b+c=d%20e%26f%3dg&empty=&bare&a=2=3&=x&%E1%88%B4=%2B&";

	require(form_read(&form, text, strlen(text)) == 0);
	require(form.count == ARRAY_SIZE(want), "%u", form.count);
	for (size_t i = 0; i < form.count; i++) {
		check(strcmp(form.fields[i].name, want[i].name) == 0 &&
			      strcmp(form.fields[i].value, want[i].value) == 0,
		      "%zu: '%s' '%s'", i, form.fields[i].name, form.fields[i].value);
		check(form.fields[i].name_size == strlen(want[i].name));
		check(form.fields[i].value_size == strlen(want[i].value));
	}
	check(strcmp(form_find(&form, "a")->value, "1") == 0);
	check(form_find(&form, "c") == NULL);
}

static void two_texts_make_one_form(void)
{
	CLEANUP(form) struct form form = {0};

	require(form_read(&form, "a=1", 3) == 0 && form_read(&form, "b=2&c=3", 7) == 0);
	require(form.count == 3);
	check(strcmp(form.fields[0].value, "1") == 0 && strcmp(form.fields[2].name, "c") == 0);
}

static void what_is_not_percent_encoded_is_refused(void)
{
	static const char *const texts[] = {"%",     "a=%",   "a=%1",  "a=%g0",
					    "a=%0g", "%zz=1", "a=%00", "a%001=b"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(form) struct form form = {0};
		size_t size = strlen(texts[i]);
		CLEANUP(free) char *exact = malloc(size);

		memcpy(exact, texts[i], size);
		check(form_read(&form, exact, size) == -EBADMSG, "%s", texts[i]);
	}
}

static void there_is_room_for_every_form_and_a_limit_to_its_fields(void)
{
	CLEANUP(free) char *text = malloc(2 * FORM_FIELDS_MAX + 2);
	CLEANUP(form) struct form form = {0}, more = {0};

	for (size_t i = 0; i < FORM_FIELDS_MAX + 1; i++)
		memcpy(text + 2 * i, "a&", 2);
	check(form_read(&form, text, 2 * FORM_FIELDS_MAX) == 0);
	check(form.count == FORM_FIELDS_MAX);
	check(form_read(&more, text, 2 * FORM_FIELDS_MAX + 2) == -E2BIG);
}

int main(void)
{
	RUN(fields_are_decoded_in_the_order_in_which_they_came);
	RUN(two_texts_make_one_form);
	RUN(what_is_not_percent_encoded_is_refused);
	RUN(there_is_room_for_every_form_and_a_limit_to_its_fields);
	return tap_done();
}
