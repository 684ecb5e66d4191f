/*
 * Three: what is to be done about a row of which three states are known.
 *
 *	before	as it was before the mistake
 *	after	as the mistake left it
 *	now	as it is
 *
 * NULL is a row that is not there.  A row is put back where now is what the mistake left; where it
 *is already as before there is nothing to do; anything else was made since by somebody who may have
 * had a reason: a conflict.
 */
#pragma once

#include "repair/row.h"

enum verdict { VERDICT_DONE, VERDICT_PUT_BACK, VERDICT_CONFLICT };

enum verdict three_way(const struct row *before, const struct row *after, const struct row *now);

/* What makes `before` of `now`. */
enum change { CHANGE_NONE, CHANGE_INSERT, CHANGE_UPDATE, CHANGE_DELETE };

enum change change_to(const struct row *before, const struct row *now);

/* A row that was not the same in two states; NULL where it was not there. */
struct pair {
	struct row *before, *after;
	bool told; /* as a conflict; it may have to be looked at again when others made room */
};

void pair_done(struct pair *pair);

/*
 * Call `found` for each row of two sets that differs, rows of `before` first, each in the order of
 * its set, unless neither of the two is wanted.  The pair is lent.  Stops at the first negative
 * result, and returns it.
 */
int three_match(const struct rows *before, const struct rows *after,
		int (*found)(void *arg, const struct pair *pair), void *arg);
