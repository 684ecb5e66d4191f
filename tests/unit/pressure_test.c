/* Goal: what the kernel says of waiting is read as it is, and nothing else is taken for it. */
#include "base/pressure.h"

#include "base/cleanup.h"

#include "tap.h"

#include <errno.h>

static void the_last_ten_seconds_are_read(void)
{
	check(pressure_parse("some avg10=0.00 avg60=7.93 avg300=31.63 total=31719601746\n") == 0);
	check(pressure_parse("some avg10=9.99 avg60=0.00 avg300=0.00 total=1\n") == 9);
	check(pressure_parse("some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n") == 100);
}

static void what_is_no_such_text_is_refused(void)
{
	static const char *const texts[] = {
		"",
		"\n",
		"full avg10=50.00 avg60=0.00",
		"some avg60=50.00",
		"some avg10=",
		"some avg10=-5.00",
		"some avg10=101.00",
		"some avg10=99999999999.00",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check(pressure_parse(texts[i]) == -EBADMSG, "'%s'", texts[i]);
}

int main(void)
{
	RUN(the_last_ten_seconds_are_read);
	RUN(what_is_no_such_text_is_refused);
	return tap_done();
}
