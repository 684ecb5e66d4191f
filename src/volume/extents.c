#include "volume/extents.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <assert.h>

#define LEAF_MAX 84 /* 84 * 24 + 8 bytes: just under 2 KiB */

struct extents_leaf {
	uint16_t count, room;
	struct extent at[];
};

struct place {
	uint32_t leaf;
	uint32_t slot;
};

void extents_done(struct extents *x)
{
	for (uint32_t i = 0; i < x->leaf_count; i++)
		free(x->leaves[i]);
	free(x->leaves);
	*x = (struct extents){0};
}

static struct extent *at(const struct extents *x, struct place p)
{
	return &x->leaves[p.leaf]->at[p.slot];
}

/* Where the first extent that ends after `offset` is; false when there is none. */
static bool find(const struct extents *x, uint64_t offset, struct place *ret)
{
	uint32_t low = 0, high = x->leaf_count;

	/* The first leaf whose last extent ends after `offset`. */
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		struct extents_leaf *leaf = x->leaves[middle];

		if (extent_end(&leaf->at[leaf->count - 1]) > offset)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == x->leaf_count)
		return false;
	ret->leaf = low;
	high = x->leaves[low]->count - 1;
	low = 0;
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (extent_end(&x->leaves[ret->leaf]->at[middle]) > offset)
			high = middle;
		else
			low = middle + 1;
	}
	ret->slot = low;
	return true;
}

static void insert_leaf(struct extents *x, uint32_t index, struct extents_leaf *leaf)
{
	xgrow(x->leaves, x->leaf_count, x->leaf_room);
	memmove(x->leaves + index + 1, x->leaves + index,
		(x->leaf_count - index) * sizeof *x->leaves);
	x->leaves[index] = leaf;
	x->leaf_count++;
}

static struct extents_leaf *leaf_resize(struct extents_leaf *leaf, uint16_t room)
{
	struct extents_leaf *wider =
		xcheck(realloc(leaf, sizeof *leaf + room * sizeof leaf->at[0]));

	if (!leaf)
		wider->count = 0;
	wider->room = room;
	return wider;
}

/* Make room in a full leaf.  At the very end (appending) the old leaf stays full. */
static void split(struct extents *x, struct place *p)
{
	struct extents_leaf *old = x->leaves[p->leaf], *new;
	bool at_end = p->leaf + 1 == x->leaf_count && p->slot == old->count;
	uint16_t keep = at_end ? old->count : old->count / 2, move = old->count - keep;

	new = leaf_resize(NULL, at_end ? 4 : LEAF_MAX);
	memcpy(new->at, old->at + keep, move * sizeof old->at[0]);
	new->count = move;
	old->count = keep;
	insert_leaf(x, p->leaf + 1, new);
	if (p->slot > keep || at_end) {
		p->leaf++;
		p->slot -= keep;
	}
}

/* Insert before `p`; `p` may be one past the last slot of its leaf. */
static void insert(struct extents *x, struct place p, const struct extent *e)
{
	struct extents_leaf *leaf;

	if (!x->leaf_count)
		insert_leaf(x, 0, leaf_resize(NULL, 1));
	if (x->leaves[p.leaf]->count == LEAF_MAX)
		split(x, &p);
	leaf = x->leaves[p.leaf];
	if (leaf->count == leaf->room)
		leaf = x->leaves[p.leaf] = leaf_resize(leaf, MIN(leaf->room * 2, LEAF_MAX));
	memmove(leaf->at + p.slot + 1, leaf->at + p.slot,
		(leaf->count - p.slot) * sizeof leaf->at[0]);
	leaf->at[p.slot] = *e;
	leaf->count++;
	x->count++;
}

static void erase(struct extents *x, struct place p)
{
	struct extents_leaf *leaf = x->leaves[p.leaf];

	leaf->count--;
	x->count--;
	memmove(leaf->at + p.slot, leaf->at + p.slot + 1,
		(leaf->count - p.slot) * sizeof leaf->at[0]);
	if (leaf->count)
		return;
	free(leaf);
	x->leaf_count--;
	memmove(x->leaves + p.leaf, x->leaves + p.leaf + 1,
		(x->leaf_count - p.leaf) * sizeof *x->leaves);
}

static void set_size(struct extent *e, uint64_t size)
{
	e->size_low = size;
	if (extent_is_zero(e))
		e->skip = size >> 32;
}

/* The part of `e` from `offset` on. */
static struct extent tail_of(const struct extent *e, uint64_t offset)
{
	struct extent tail = *e;

	if (!extent_is_zero(e))
		tail.skip += offset - e->offset;
	tail.offset = offset;
	set_size(&tail, extent_end(e) - offset);
	return tail;
}

/*
 * Take [from, to) out of the extent at `p`, which overlaps it.  What remains on either side stays.
 */
static void carve(struct extents *x, struct place p, uint64_t from, uint64_t to)
{
	struct extent *e = at(x, p), tail;
	bool before = e->offset<from, after = extent_end(e)> to;

	if (!before && !after) {
		erase(x, p);
	} else if (before && after) {
		tail = tail_of(e, to);
		set_size(e, from - e->offset);
		p.slot++;
		insert(x, p, &tail);
	} else if (before) {
		set_size(e, from - e->offset);
	} else {
		*e = tail_of(e, to);
	}
}

static void clear(struct extents *x, uint64_t from, uint64_t to)
{
	struct place p;

	while (find(x, from, &p) && at(x, p)->offset < to)
		carve(x, p, from, to);
}

static void set(struct extents *x, const struct extent *e)
{
	struct place p;

	/* The common case: a page is written again. */
	if (find(x, e->offset, &p) && at(x, p)->offset == e->offset &&
	    extent_size(at(x, p)) == extent_size(e)) {
		*at(x, p) = *e;
		return;
	}
	clear(x, e->offset, extent_end(e));
	if (!find(x, e->offset, &p)) {
		p.leaf = x->leaf_count ? x->leaf_count - 1 : 0;
		p.slot = x->leaf_count ? x->leaves[p.leaf]->count : 0;
	}
	insert(x, p, e);
}

void extents_set_data(struct extents *x, uint64_t offset, uint32_t size, uint64_t src,
		      uint32_t skip)
{
	struct extent e = {.offset = offset, .src_zero = src, .size_low = size, .skip = skip};

	if (size)
		set(x, &e);
}

void extents_set_zero(struct extents *x, uint64_t offset, uint64_t size, uint64_t src)
{
	struct extent e = {.offset = offset, .src_zero = src | EXTENT_ZERO};

	set_size(&e, size);
	if (size)
		set(x, &e);
}

bool extents_next(const struct extents *x, uint64_t offset, struct extent *ret)
{
	struct place p;

	if (!find(x, offset, &p))
		return false;
	*ret = *at(x, p);
	return true;
}

void extents_forget(struct extents *x, uint64_t offset, uint64_t size, uint64_t src)
{
	uint64_t end = offset + size;
	struct place p;

	while (offset < end && find(x, offset, &p) && at(x, p)->offset < end) {
		struct extent e = *at(x, p);

		offset = MAX(offset, e.offset);
		if (extent_src(&e) < src)
			carve(x, p, offset, MIN(end, extent_end(&e)));
		offset = extent_end(&e);
	}
}

void extents_append(struct extents *x, const struct extent *e)
{
	struct place p = {0};

	if (x->leaf_count) {
		p.leaf = x->leaf_count - 1;
		p.slot = x->leaves[p.leaf]->count;
	}
	insert(x, p, e);
}

uint64_t extents_data_end(const struct extents *x)
{
	for (uint32_t i = x->leaf_count; i-- > 0;)
		for (uint32_t slot = x->leaves[i]->count; slot-- > 0;)
			if (!extent_is_zero(&x->leaves[i]->at[slot]))
				return extent_end(&x->leaves[i]->at[slot]);
	return 0;
}

void extents_copy(const struct extents *x, struct extent *to)
{
	for (uint32_t i = 0; i < x->leaf_count; i++) {
		memcpy(to, x->leaves[i]->at, x->leaves[i]->count * sizeof *to);
		to += x->leaves[i]->count;
	}
}

uint64_t extents_memory(const struct extents *x)
{
	uint64_t bytes = x->leaf_room * sizeof *x->leaves;

	for (uint32_t i = 0; i < x->leaf_count; i++)
		bytes += sizeof(struct extents_leaf) + x->leaves[i]->room * sizeof(struct extent);
	return bytes;
}
