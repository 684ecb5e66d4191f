/* Differ: where a file of two clones of one volume may not be the same, without reading it. */
#include "volume/internal.h"

#include <errno.h>
#include <sys/stat.h>

/* From `offset` on, up to the next change of what it is made of. */
struct run {
	enum { RUN_TAPE, RUN_BASE, RUN_ZERO, RUN_BEYOND } kind;
	uint64_t end, src, skip;
};

static struct run run_at(const struct volume *v, const struct inode *inode, uint64_t offset)
{
	struct run run = {.kind = RUN_BASE, .end = inode->size};
	struct extent e;

	if (offset >= inode->size)
		return (struct run){.kind = RUN_BEYOND, .end = UINT64_MAX};
	if (!extents_next(&inode->extents, offset, &e) || e.offset >= inode->size)
		return run;
	run.end = MIN(e.offset > offset ? e.offset : extent_end(&e), inode->size);
	/* Folded since this state was made: the base has it. */
	if (e.offset > offset || extent_src(&e) < v->base_position)
		return run;
	run.kind = extent_is_zero(&e) ? RUN_ZERO : RUN_TAPE;
	run.src = extent_src(&e);
	run.skip = extent_is_zero(&e) ? 0 : e.skip + (offset - e.offset);
	return run;
}

static bool run_same(const struct run *a, const struct run *b, bool same_base, uint64_t shared)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == RUN_BASE)
		return same_base;
	if (a->kind == RUN_TAPE)
		return a->src == b->src && a->skip == b->skip && a->src < shared;
	return a->kind == RUN_ZERO;
}

static int differ(struct volume *a, struct volume *b, uint64_t shared, uint64_t ino,
		  int (*fn)(uint64_t offset, uint64_t size, void *arg), void *arg)
{
	const struct inode *in_a = state_inode(a->head.state, ino);
	const struct inode *in_b = state_inode(b->head.state, ino);
	bool same_base = a->base_position == b->base_position;
	uint64_t offset = 0, since = 0, end;
	bool differs = false;
	int r = 0;

	if (!in_a || !in_b)
		return -ESTALE;
	if (!S_ISREG(in_a->mode) || !S_ISREG(in_b->mode))
		return -EINVAL;
	end = MAX(in_a->size, in_b->size);
	while (offset < end && r == 0) {
		struct run run_a = run_at(a, in_a, offset), run_b = run_at(b, in_b, offset);

		if (run_same(&run_a, &run_b, same_base, shared) == differs) {
			if (differs)
				r = fn(since, offset - since, arg);
			differs = !differs;
			since = offset;
		}
		offset = MIN(run_a.end, run_b.end);
		offset = MIN(offset, end);
	}
	return r == 0 && differs ? fn(since, end - since, arg) : r;
}

/* The two are volumes of one process, and nobody else takes the locks of both. */
int volume_differ(struct volume *a, struct volume *b, uint64_t shared, uint64_t ino,
		  int (*fn)(uint64_t offset, uint64_t size, void *arg), void *arg)
{
	int r;

	pthread_rwlock_rdlock(&a->base_lock);
	pthread_rwlock_rdlock(&b->base_lock);
	pthread_rwlock_rdlock(&a->lock);
	pthread_rwlock_rdlock(&b->lock);
	r = differ(a, b, shared, ino, fn, arg);
	pthread_rwlock_unlock(&b->lock);
	pthread_rwlock_unlock(&a->lock);
	pthread_rwlock_unlock(&b->base_lock);
	pthread_rwlock_unlock(&a->base_lock);
	return r;
}
