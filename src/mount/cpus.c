#include "mount/cpus.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A number, or -EINVAL; `*at` goes behind it. */
static long read_number(const char **at)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)**at))
		return -EINVAL;
	errno = 0;
	number = strtol(*at, &end, 10);
	*at = end;
	return errno ? -EINVAL : number;
}

int cpus_parse(const char *list, bool *set)
{
	const char *at = list;
	int count = 0;

	memset(set, 0, CPUS_MAX * sizeof *set);
	do {
		long first = read_number(&at), last = first;

		if (*at == '-') {
			at++;
			last = read_number(&at);
		}
		if (first < 0 || last < first)
			return -EINVAL;
		if (last >= CPUS_MAX)
			return -E2BIG;
		for (long i = first; i <= last; i++) {
			count += !set[i];
			set[i] = true;
		}
	} while (*at == ',' && at++);
	return *at == '\0' || *at == '\n' ? count : -EINVAL;
}

static int read_list(const char *name, bool *set)
{
	char path[64], list[4096];
	ssize_t n;

	snprintf(path, sizeof path, "/sys/devices/system/cpu/%s", name);
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, list, sizeof list - 1);
	if (n < 0)
		return -errno;
	list[n] = '\0';
	return cpus_parse(list, set);
}

int cpus_read(struct cpus *ret)
{
	int possible, online;

	possible = read_list("possible", ret->runs);
	if (possible < 0)
		return possible;
	if (possible == 0 || !ret->runs[possible - 1])
		return -ENXIO;
	online = read_list("online", ret->runs);
	if (online <= 0)
		return online < 0 ? online : -ENXIO;
	ret->possible = possible;
	ret->online = online;
	return 0;
}
