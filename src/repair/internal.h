/* What the files of a repair share. */
#pragma once

#include "repair/compare.h"
#include "repair/repair.h"

struct change_list {
	struct pair *pairs; /* owned */
	struct row **now;   /* owned, beside each pair; NULL: not there */
	size_t count, room, now_room;
};

void change_list_done(struct change_list *list);
static inline void change_list_cleanup(struct change_list *list)
{
	change_list_done(list);
}
/* Takes all of it over. */
void change_list_add(struct change_list *list, struct pair *pair, struct row *now);

struct repair {
	struct sql *sql;
	const struct shape *shape;
	const struct repair_options *options;
	struct repair_report *report;
	struct sql_statement *insert, *inserts, *update, *delete;
	size_t inserts_rows;         /* that `inserts` has */
	struct sql_value *values;    /* enough for the largest of them */
	bool careful;                /* each row by itself: one of the batch had no room */
	struct change_list deferred; /* met a unique value that another row still has */
};

/* within.c: compare_tables() where the ranges are known. */
int compare_within(const struct compare *compare, struct problem *why);

/* The rows of `pairs` as they are now. */
int repair_read_now(struct repair *repair, const struct pair *pairs, size_t count, struct rows *now,
		    struct problem *why);
/* Make `before` of `now`, each exactly, or hand the statements to `emit`.  Leaves in `list` what
 * was changed; what met a unique value is deferred. */
int change_rows(struct repair *repair, struct change_list *list, struct problem *why);
void repair_emit(struct repair *repair, const struct buffer *statement);
/* Count and tell a row that is not put back; -ECANCELED when that is to end the repair. */
int repair_conflict(struct repair *repair, const struct pair *pair, const struct row *now,
		    const char *reason, struct problem *why);
/* How many rows refer to nothing because of this repair. */
int repair_count_orphans(struct repair *repair, struct spool *spool, uint64_t *ret, char *names,
			 size_t size, struct problem *why);
