/*
 * Timeline: which stretches of tape made which state.
 *
 * A backtrack recorded at R to target X says: from R on, the state is the state at X.  It begins a
 * *branch* of the tape.  The *lineage* of a position is the list of spans whose records, applied in
 * order, make its state:
 *
 *	tape   0 ------- X1 ------- R1 ------ X2 --- R2 ------- t
 *	lineage(t) = [0, X1) [R1, X2) [R2, t)
 *
 * Invariant: along a lineage positions only grow, for a backtrack only goes to what is already
 *there. So, of an extent of a state whose lineage contains position B, "recorded before B" is one
 *comparison.
 *
 * Marks live here too: they name positions, and outlive backtracks.  No lock of its own.
 */
#pragma once

#include "base/cursor.h"
#include "volume/change.h"
#include "volume/volume.h"

/* So many of the newest backtracks and marks are kept although nothing needs them any more. */
#define TIMELINE_HISTORY_MAX 1000

struct mark {
	char *name;
	struct moment moment;
};

struct timeline {
	/* Oldest first; `at.lsn` is R and `reached.lsn` is X. */
	struct volume_backtrack *backtracks;
	size_t backtrack_count, backtrack_room;
	struct mark *marks; /* oldest first */
	size_t mark_count, mark_room;
	uint64_t known;       /* everything recorded before this position is in here */
	uint64_t next_ino;    /* greater than any inode number ever used, in any branch */
	uint64_t next_number; /* of a backtrack */
};

void timeline_init(struct timeline *t);
void timeline_done(struct timeline *t);

/* Take in the record of `change`, of any type, at `lsn`. */
void timeline_note(struct timeline *t, const struct change *change, uint64_t lsn, int64_t time_us);

/* Forget what is not recent: marks before `horizon`, and backtracks that no lineage from `base` on
 * needs. */
void timeline_prune(struct timeline *t, uint64_t base, uint64_t horizon);

struct span {
	uint64_t from, to;
};

struct lineage {
	struct span *spans;
	size_t count, room;
};

void lineage_done(struct lineage *lineage);
static inline void lineage_cleanup(struct lineage *lineage)
{
	lineage_done(lineage);
}

/* The part after `base` of the lineage of `position`; `base` is on it.  No span is empty. */
void timeline_lineage(const struct timeline *t, uint64_t base, uint64_t position,
		      struct lineage *ret);

/* Cut `lineage` down to what it has in common with `other` (both from the same base). */
void lineage_intersect(struct lineage *lineage, const struct lineage *other);

/* The position is inside one of the spans, or at its end. */
bool lineage_contains(const struct lineage *lineage, uint64_t position);

/* Where it ends; `base` when it is empty. */
uint64_t lineage_end(const struct lineage *lineage, uint64_t base);

void timeline_encode(const struct timeline *t, struct buffer *out);
/* Into an initialised, empty one. */
int timeline_decode(struct timeline *t, struct cursor *in);
