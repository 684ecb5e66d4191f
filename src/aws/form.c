#include "aws/form.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decode up to `end` or one of "&=" that is wanted as a stop; *out moves on, behind a NUL. */
static int decode(const char **at, const char *end, const char *stops, char **out)
{
	for (; *at < end && !strchr(stops, **at ? **at : 1); (*at)++) {
		char c = **at;

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = end - *at > 2 ? hex_digit((*at)[1]) : -1;
			int low = end - *at > 2 ? hex_digit((*at)[2]) : -1;

			if (high < 0 || low < 0)
				return -EBADMSG;
			c = (char)(high << 4 | low);
			*at += 2;
		}
		if (!c)
			return -EBADMSG;
		*(*out)++ = c;
	}
	*(*out)++ = '\0';
	return 0;
}

static int read_field(struct form *form, const char **at, const char *end, char **out)
{
	struct form_field *field;
	int r;

	if (form->count == FORM_FIELDS_MAX)
		return -E2BIG;
	xgrow(form->fields, form->count, form->room);
	field = &form->fields[form->count++];
	field->name = *out;
	r = decode(at, end, "=&", out);
	if (r < 0)
		return r;
	field->name_size = (unsigned)(*out - field->name - 1);
	field->value = *out;
	if (*at < end && **at == '=')
		(*at)++;
	r = decode(at, end, "&", out);
	field->value_size = (unsigned)(*out - field->value - 1);
	return r;
}

int form_read(struct form *form, const char *text, size_t size)
{
	const char *end = text + size;
	char *out;
	int r = 0;

	if (size >= UINT32_MAX / 2)
		return -E2BIG;
	assert(form->text_count < ARRAY_SIZE(form->texts));
	/* A field takes its text, and a NUL in the place of '=' and '&', or two where both are not
	 * there. */
	out = form->texts[form->text_count++] = xmalloc(2 * size + 2);
	while (r == 0 && text < end) {
		if (*text == '&')
			text++;
		else
			r = read_field(form, &text, end, &out);
	}
	return r;
}

void form_done(struct form *form)
{
	for (unsigned i = 0; i < form->text_count; i++)
		free(form->texts[i]);
	free(form->fields);
	*form = (struct form){0};
}

const struct form_field *form_find(const struct form *form, const char *name)
{
	for (unsigned i = 0; i < form->count; i++)
		if (strcmp(form->fields[i].name, name) == 0)
			return &form->fields[i];
	return NULL;
}
