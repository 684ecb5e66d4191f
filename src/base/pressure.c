#include "base/pressure.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HIGH_PERCENT 10

int pressure_parse(const char *text)
{
	unsigned percent;

	return sscanf(text, "some avg10=%3u.", &percent) == 1 && percent <= 100 ? (int)percent
										: -EBADMSG;
}

bool pressure_is_high(void)
{
	CLEANUP(fd) int fd = open("/proc/pressure/cpu", O_RDONLY | O_CLOEXEC);
	char text[256];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof text - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	return pressure_parse(text) >= HIGH_PERCENT;
}
