#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_realtime_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void clock_format(int64_t time_us, char text[CLOCK_TEXT_MAX])
{
	int64_t fraction = ((time_us % 1000000) + 1000000) % 1000000;
	time_t seconds = (time_us - fraction) / 1000000;
	struct tm local;
	long offset;
	char day[24];

	localtime_r(&seconds, &local);
	offset = local.tm_gmtoff / 60;
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &local);
	snprintf(text, CLOCK_TEXT_MAX, "%s.%06d%c%02d:%02d", day, (int)fraction,
		 offset < 0 ? '-' : '+', (int)(offset < 0 ? -offset : offset) / 60 % 24,
		 (int)(offset < 0 ? -offset : offset) % 60);
}
