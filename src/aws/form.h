/*
 * Form: "a=1&b=two%20words", as in a URL's query and in a body of type
 * application/x-www-form-urlencoded.
 */
#pragma once

#include "base/cleanup.h"

#include <stddef.h>

#define FORM_FIELDS_MAX 10000

struct form_field {
	const char *name, *value; /* decoded; NUL-terminated, and without a NUL inside */
	unsigned name_size, value_size;
};

struct form {
	struct form_field *fields; /* in the order in which they came */
	unsigned count, room;
	char *texts[2]; /* of each of the texts that were read */
	unsigned text_count;
};

/*
 * Append what `text` says; at most two texts a form (the query and the body).  -EBADMSG for a '%'
 * that is not followed by two hexadecimal digits, or a NUL; -E2BIG for more than FORM_FIELDS_MAX
 * fields.  Initialise with {0}.
 */
int form_read(struct form *form, const char *text, size_t size);
void form_done(struct form *form);
static inline void form_cleanup(struct form *form)
{
	form_done(form);
}

/* The first field of that name; NULL without one. */
const struct form_field *form_find(const struct form *form, const char *name);
