/*
 * Extents: which bytes of a file are where, for the part that changed since the base.
 *
 * A sorted list of ranges that do not overlap.  Each is either data (a slice of the data of one
 * tape record) or zero (a hole made by truncate or punch).  What no extent covers is as the base
 * has it.
 *
 * Two levels: an index of leaves, leaves of up to 84 extents.  An extent is 24 bytes; after random
 * inserts leaves are about 70 % full, so a changed 16 KiB page costs some 35 bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
	uint64_t offset;   /* in the file */
	uint64_t src_zero; /* LSN of the record; the top bit says "zero" */
	uint32_t size_low; /* data: size.  zero: the low half of the size */
	uint32_t skip; /* data: where in the record's data it starts.  zero: the high half of the
			  size */
};

#define EXTENT_ZERO (UINT64_C(1) << 63)

struct extents {
	struct extents_leaf **leaves;
	uint32_t leaf_count, leaf_room;
	uint64_t count;
};

static inline bool extent_is_zero(const struct extent *e)
{
	return e->src_zero & EXTENT_ZERO;
}
/* The record that made it: of its data, or that zeroed it. */
static inline uint64_t extent_src(const struct extent *e)
{
	return e->src_zero & ~EXTENT_ZERO;
}
static inline uint64_t extent_size(const struct extent *e)
{
	return extent_is_zero(e) ? (uint64_t)e->skip << 32 | e->size_low : e->size_low;
}
static inline uint64_t extent_end(const struct extent *e)
{
	return e->offset + extent_size(e);
}

void extents_done(struct extents *x);

/* [offset, offset + size) is now the data of the record at `src`, from byte `skip` of it. */
void extents_set_data(struct extents *x, uint64_t offset, uint32_t size, uint64_t src,
		      uint32_t skip);
/* [offset, offset + size) is now zero, by the record at `src`. */
void extents_set_zero(struct extents *x, uint64_t offset, uint64_t size, uint64_t src);

/* The first extent that ends after `offset`; false when there is none. */
bool extents_next(const struct extents *x, uint64_t offset, struct extent *ret);

/* Forget every extent inside [offset, offset + size), or parts of one, whose record is before
 * `src`. */
void extents_forget(struct extents *x, uint64_t offset, uint64_t size, uint64_t src);

/* Add at the end: `e` begins at or after the end of the last one (loading an image). */
void extents_append(struct extents *x, const struct extent *e);

/* Past the last byte of data; 0 when there are only zeros. */
uint64_t extents_data_end(const struct extents *x);

/* Copy all of them, in order, to `to`, which has room for x->count. */
void extents_copy(const struct extents *x, struct extent *to);

/* Bytes of memory. */
uint64_t extents_memory(const struct extents *x);
