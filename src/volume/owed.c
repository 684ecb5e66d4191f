#include "volume/owed.h"

#include "base/alloc.h"
#include "volume/internal.h"

#include <sys/stat.h>

void owed_done(struct owed *owed)
{
	free(owed->segments);
}

/* Units of `unit` bytes that a range begins, behind those up to `end`. */
static uint64_t new_units(uint64_t end, uint64_t offset, uint64_t size, uint64_t unit)
{
	uint64_t first = MAX(offset / unit, ALIGN_UP(end, unit) / unit);
	uint64_t last = ALIGN_UP(offset + size, unit) / unit;

	return last - MIN(first, last);
}

uint64_t owed_by_write(uint64_t end, uint64_t offset, uint64_t size)
{
	return (new_units(end, offset, size, BASE_BLOCK) +
		new_units(end, offset, size, (uint64_t)SUMS_PER_PAGE * BASE_BLOCK)) *
	       BASE_BLOCK;
}

static void count_all(struct volume *v)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < v->owed.count; i++) {
		const struct owed_segment *segment = &v->owed.segments[i];
		bool is_last = i + 1 == v->owed.count; /* the one in use: it gives nothing back */

		bytes += segment->bytes - (is_last ? 0 : MIN(segment->bytes, v->segment_bytes));
	}
	v->owed.bytes = bytes;
	tape_owe(v->tape, bytes);
}

static void add(struct volume *v, uint64_t lsn, uint64_t bytes)
{
	struct owed *owed = &v->owed;
	uint64_t segment = ALIGN_DOWN(lsn, v->segment_bytes);
	size_t i = owed->count;

	while (i > 0 && owed->segments[i - 1].lsn > segment)
		i--;
	if (i == 0 || owed->segments[i - 1].lsn != segment) {
		xgrow(owed->segments, owed->count, owed->room);
		memmove(owed->segments + i + 1, owed->segments + i,
			(owed->count++ - i) * sizeof *owed->segments);
		owed->segments[i++] = (struct owed_segment){.lsn = segment};
	}
	owed->segments[i - 1].bytes += bytes;
}

void owed_add(struct volume *v, uint64_t lsn, uint64_t bytes)
{
	size_t before = v->owed.count;

	if (!bytes)
		return;
	add(v, lsn, bytes);
	if (v->owed.count != before) {
		count_all(v);
		return;
	}
	v->owed.bytes += bytes;
	tape_owe(v->tape, v->owed.bytes);
}

void owed_forget_folded(struct volume *v)
{
	struct owed *owed = &v->owed;
	size_t kept = 0;

	for (size_t i = 0; i < owed->count; i++)
		if (owed->segments[i].lsn + v->segment_bytes > v->base_position)
			owed->segments[kept++] = owed->segments[i];
	owed->count = kept;
	count_all(v);
}

static void find_in(struct volume *v, const struct inode *inode)
{
	const struct inode *folded = state_inode(v->base_state, inode->ino);
	uint64_t end = folded ? folded->size : 0;
	struct extent e;

	for (uint64_t at = 0; extents_next(&inode->extents, at, &e); at = extent_end(&e)) {
		if (extent_is_zero(&e) || extent_src(&e) < v->base_position ||
		    extent_end(&e) <= end)
			continue;
		add(v, extent_src(&e), owed_by_write(end, e.offset, extent_size(&e)));
		end = extent_end(&e);
	}
}

void owed_find(struct volume *v)
{
	state_for_each_inode (v->head.state, inode)
		if (S_ISREG(inode->mode))
			find_in(v, inode);
	count_all(v);
}
