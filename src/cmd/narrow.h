/*
 * Narrow: which rows of a table can differ between two states of the past, told by the pages of its
 * file that were written in between.
 */
#pragma once

#include "cmd/states.h"
#include "repair/spool.h"

/*
 * 1 and ranges for compare_tables() in `ranges` (opened here, in `directory`; the caller closes
 * it); 0: nothing is known, all of the table is to be compared; or -errno, as of a server or the
 * disk. Both states have the table, and shapes.
 */
int narrow(struct state *before, struct state *after, const char *directory, struct spool *ranges,
	   struct problem *why);
