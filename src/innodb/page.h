/*
 * Page: a page of an InnoDB index in its compact form (ROW_FORMAT=DYNAMIC and COMPACT).
 *
 *	0    38      94  99          107 112         120                    heap top           end
 *	┌─────┬───────┬───┬───────────┬───┬──────────┬──────────────────────┬──────┬───────────┐
 *	│ file│ page  │   │ infimum   │   │ supremum │ records, in the      │      │ directory │
 *	│ head│ head  │ 5 │           │ 5 │          │ order of their making│      │           │
 *	└─────┴───────┴───┴───────────┴───┴──────────┴──────────────────────┴──────┴───────────┘
 *
 * A record is known by its origin, where its first column begins.  Before that are five bytes, and
 * before those, backwards, which columns are NULL and how long those are that have no fixed size.
 * The five bytes end with where the next record in the order of the key is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INNODB_PAGE_MIN 4096u
#define INNODB_PAGE_MAX 65536u
#define INNODB_INFIMUM 99u
#define INNODB_SUPREMUM 112u
#define INNODB_HEAP 120u /* where records begin */
#define INNODB_HEADER 5u /* bytes before the origin of each */
#define INNODB_SYSTEM                                                              \
	13u /* bytes after the key: who wrote it, and where its older versions are \
	     */

struct innodb_page {
	const uint8_t *bytes; /* borrowed */
	uint32_t size;
	uint32_t number;
	uint16_t level, records, heap_top;
	uint64_t index;
	bool altered; /* of a root: columns were added or dropped without a copy */
};

/* -EUCLEAN: it is not page `number` of an index in this form. */
int innodb_page_read(struct innodb_page *ret, const void *bytes, uint32_t size, uint32_t number);

/* The origin of the record after the one at `origin`, INNODB_SUPREMUM at the end.  -EUCLEAN when it
 * leads nowhere. */
int innodb_page_next(const struct innodb_page *page, uint32_t origin, uint32_t *ret);

static inline bool innodb_is_deleted(const struct innodb_page *page, uint32_t origin)
{
	return page->bytes[origin - INNODB_HEADER] & 0x20;
}
/* Of a leaf: it is no row, but says how columns were added.  Of others: the first of its level. */
static inline bool innodb_is_first(const struct innodb_page *page, uint32_t origin)
{
	return page->bytes[origin - INNODB_HEADER] & 0x10;
}
/* What kind of record it is: 0 row, 1 of a page above the leaves, 4 row with columns missing. */
static inline uint8_t innodb_status(const struct innodb_page *page, uint32_t origin)
{
	return page->bytes[origin - 3] & 7;
}
