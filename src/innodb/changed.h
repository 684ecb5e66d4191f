/*
 * Changed: ranges of the key in which two copies of a table can differ, told by their pages.
 *
 * Two copies of one file, the table's definition the same in both.  Why the same is what is left
 * out:
 *
 *	1. A leaf of both trees whose bytes are the same has the same rows in both.  A leaf of one
 *	   only is none of the other, whatever its bytes are.
 *	2. So a row that differs is on a leaf that is not so, in one copy or the other.  Of those
 *	   the records are put beside each other, in the order of the key.
 *	3. Two records with the same key are the same row if they are the same bytes, from the
 *	   lengths of the columns before them up to the next record.  What of that belongs to the
 *	   record its own bytes tell; all that could is compared.
 *	4. Who wrote a record, and where its older versions are, does not count, as InnoDB forgets
 *	   it at a time of its own.  But a value that is kept outside of the record can be another
 *	   one at the same place: then it counts, and where it has been forgotten the row may
 *	   differ.
 */
#pragma once

#include "innodb/tree.h"

#define INNODB_KEY_MAX 64u /* bytes; a longer key is not for this */

struct innodb_changed_options {
	struct innodb_index index; /* the same in both */
	uint32_t head_bytes; /* the most that lengths and NULLs of a row take before its header */
	uint64_t range_rows; /* the most that may differ in a range */
	bool off_page;       /* values may be kept outside of the record */
	struct innodb_file copies[2];
	/* One bit per page that may differ, for as many as the larger file has; borrowed. */
	const uint8_t *differs;
};

struct innodb_range {
	uint8_t low[INNODB_KEY_MAX], high[INNODB_KEY_MAX]; /* both are in it */
};

struct innodb_changed;

int innodb_changed_open(const struct innodb_changed_options *options, struct innodb_changed **ret);
void innodb_changed_close(struct innodb_changed *changed);
DEFINE_CLEANUP(struct innodb_changed *, innodb_changed, innodb_changed_close)

/* 1 and the next range, beyond the last one; 0 at the end; -EUCLEAN when a page is not understood,
 * -E2BIG for a key of too many bytes, or a file's error. */
int innodb_changed_next(struct innodb_changed *changed, struct innodb_range *ret);
