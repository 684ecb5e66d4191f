/*
 * Any text, as a time and as a duration.  What is understood lies within the limits and is read
 * back the same after it was printed; what is not is refused with one line.
 */
#include "base/timetext.h"
#include "base/units.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW 1795341600000000 /* 2026-11-22T10:00:00Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct problem *why)
{
	assert(why->text[0]);
	for (const char *at = why->text; *at; at++)
		assert(!iscntrl((unsigned char)*at));
}

static void try_time(const char *text)
{
	struct problem why = {""};
	char printed[TIME_TEXT_MAX];
	int64_t us = -7, again;

	if (time_parse(text, NOW, &us, &why) < 0) {
		assert(us == -7);
		check_line(&why);
		return;
	}
	assert(us >= 0 && us <= TIME_MAX_US);
	for (int utc = 0; utc < 2; utc++) {
		/* The last hours of 9999 are in 10000 further east. */
		if (!utc && us > TIME_MAX_US - 86400000000)
			continue;
		time_format(us, utc, printed);
		assert(time_parse(printed, NOW, &again, NULL) == 0 && again == us);
	}
}

static void try_duration(const char *text)
{
	struct problem why = {""};
	char printed[UNITS_TEXT_MAX];
	int64_t us = -7, again;

	if (duration_parse(text, &us, &why) < 0) {
		assert(us == -7);
		check_line(&why);
		return;
	}
	assert(us >= 0 && us <= DURATION_MAX_US);
	duration_format(us, printed);
	assert(duration_parse(printed, &again, NULL) == 0 && again == us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	setenv("TZ", "Europe/Berlin", 1);
	memcpy(text, data, size);
	text[size] = '\0';
	try_time(text);
	try_duration(text);
	free(text);
	return 0;
}
