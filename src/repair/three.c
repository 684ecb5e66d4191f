#include "repair/three.h"

enum verdict three_way(const struct row *before, const struct row *after, const struct row *now)
{
	if (row_same(now, before))
		return VERDICT_DONE;
	return row_same(now, after) ? VERDICT_PUT_BACK : VERDICT_CONFLICT;
}

enum change change_to(const struct row *before, const struct row *now)
{
	if (row_same(before, now))
		return CHANGE_NONE;
	if (!now)
		return CHANGE_INSERT;
	return before ? CHANGE_UPDATE : CHANGE_DELETE;
}

void pair_done(struct pair *pair)
{
	free(pair->before);
	free(pair->after);
	*pair = (struct pair){0};
}

int three_match(const struct rows *before, const struct rows *after,
		int (*found)(void *arg, const struct pair *pair), void *arg)
{
	int r = 0;

	for (size_t i = 0; i < before->count && r >= 0; i++) {
		struct row *row = before->rows[i], *other = rows_find(after, row);
		const struct pair pair = {row, other};

		if (!row_same(row, other) && (row->wanted || (other && other->wanted)))
			r = found(arg, &pair);
	}
	for (size_t i = 0; i < after->count && r >= 0; i++) {
		struct row *row = after->rows[i];
		const struct pair pair = {NULL, row};

		if (row->wanted && !rows_find(before, row))
			r = found(arg, &pair);
	}
	return r < 0 ? r : 0;
}
