/* Spool: rows that differ, in the order in which they were found, in a file without a name, so that
 * their number does not matter. */
#pragma once

#include "repair/three.h"

#include <stdio.h>

struct spool {
	FILE *file;
	uint64_t count;
};

/* In `directory`, which exists. */
int spool_open(struct spool *spool, const char *directory, struct problem *why);
void spool_close(struct spool *spool);
static inline void spool_cleanup(struct spool *spool)
{
	spool_close(spool);
}

int spool_put(struct spool *spool, const struct pair *pair);
/* To the first pair. */
int spool_rewind(struct spool *spool);
/* 1 and a pair, which the caller owns; 0 at the end. */
int spool_get(struct spool *spool, struct pair *ret);
