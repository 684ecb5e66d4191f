/*
 * Cpus: the machine's processors, as the kernel counts them: those that there may ever be
 * ("possible"), and those that run now ("online").
 */
#pragma once

#include <stdbool.h>

#define CPUS_MAX 1024

struct cpus {
	unsigned possible, online;
	bool runs[CPUS_MAX]; /* the n-th is online */
};

/*
 * Read a list as the kernel writes it ("0-3,8"): mark its members in `set` (CPUS_MAX long, cleared
 * before), and return how many they are.  -EINVAL when it is no list, -E2BIG beyond CPUS_MAX.
 */
int cpus_parse(const char *list, bool *set);

/*
 * -errno when /sys does not tell, -E2BIG when there are more than CPUS_MAX, -ENXIO when their
 * numbers have gaps.
 */
int cpus_read(struct cpus *ret);
