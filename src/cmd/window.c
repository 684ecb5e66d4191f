#include "cmd/window.h"
#include "cmd/say.h"
#include "base/units.h"

#include <strings.h>

int window_parse(const struct typed *typed, int64_t *ret_us)
{
	const char *text = typed_value(typed, "backtrack-window");
	struct problem why;

	if (!text)
		text = WINDOW_DEFAULT;
	if (!strcasecmp(text, "off")) {
		*ret_us = 0;
		return END_OK;
	}
	if (duration_parse(text, ret_us, &why) < 0)
		return fail(typed, END_USAGE, "--backtrack-window: %s", why.text);
	return END_OK;
}
