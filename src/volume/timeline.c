#include "volume/timeline.h"

#include "base/alloc.h"
#include "base/cursor.h"

#include <errno.h>

void timeline_init(struct timeline *t)
{
	*t = (struct timeline){.next_ino = VOLUME_ROOT_INO + 1, .next_number = 1};
}

void timeline_done(struct timeline *t)
{
	for (size_t i = 0; i < t->mark_count; i++)
		free(t->marks[i].name);
	free(t->marks);
	free(t->backtracks);
	*t = (struct timeline){0};
}

static void add_backtrack(struct timeline *t, const struct volume_backtrack *backtrack)
{
	xgrow(t->backtracks, t->backtrack_count, t->backtrack_room);
	t->backtracks[t->backtrack_count++] = *backtrack;
	t->next_number = MAX(t->next_number, backtrack->number + 1);
}

static void add_mark(struct timeline *t, struct text name, struct moment moment)
{
	xgrow(t->marks, t->mark_count, t->mark_room);
	t->marks[t->mark_count++] = (struct mark){xcheck(strndup(name.at, name.size)), moment};
}

static void note_took(struct timeline *t, const struct change *c)
{
	for (size_t i = 0; i < t->backtrack_count; i++) {
		struct volume_backtrack *backtrack = &t->backtracks[i];

		if (backtrack->number != c->number)
			continue;
		backtrack->kill_us = c->kill_us;
		backtrack->rewind_us = c->rewind_us;
		backtrack->start_us = c->start_us;
		backtrack->finished = true;
	}
}

void timeline_note(struct timeline *t, const struct change *c, uint64_t lsn, int64_t time_us)
{
	if (c->type == CHANGE_CREATE)
		t->next_ino = MAX(t->next_ino, c->ino + 1);
	else if (c->type == CHANGE_MARK)
		add_mark(t, c->name, (struct moment){lsn, time_us});
	else if (c->type == CHANGE_TOOK)
		note_took(t, c);
	else if (c->type == CHANGE_BACKTRACK)
		add_backtrack(t, &(struct volume_backtrack){
					 .number = c->number,
					 .at = {lsn, time_us},
					 .asked_time_us = c->asked_time_us,
					 .from = {lsn, c->from_time_us},
					 .reached = {c->target, c->target_time_us},
					 .records = c->records,
				 });
	t->known = lsn + 1;
}

/* Number of backtracks recorded before `position`: 0 is the first branch, n is the branch of
 * backtracks[n - 1]. */
static size_t branch_of(const struct timeline *t, uint64_t position)
{
	size_t low = 0, high = t->backtrack_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->backtracks[middle].at.lsn < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void timeline_prune(struct timeline *t, uint64_t base, uint64_t horizon)
{
	size_t needed = branch_of(t, base), drop = 0, kept = 0;

	/* Lineages from `base` on walk back to the branch that holds `base`, never before. */
	needed = needed ? needed - 1 : 0;
	if (t->backtrack_count > TIMELINE_HISTORY_MAX)
		drop = MIN(needed, t->backtrack_count - TIMELINE_HISTORY_MAX);
	t->backtrack_count -= drop;
	if (drop)
		memmove(t->backtracks, t->backtracks + drop,
			t->backtrack_count * sizeof *t->backtracks);

	for (size_t i = 0; i < t->mark_count; i++) {
		bool recent = t->mark_count - i <= TIMELINE_HISTORY_MAX;

		if (t->marks[i].moment.lsn < horizon && !recent)
			free(t->marks[i].name);
		else
			t->marks[kept++] = t->marks[i];
	}
	t->mark_count = kept;
}

/* --- Lineages --------------------------------------------------------------------------------- */

void lineage_done(struct lineage *lineage)
{
	free(lineage->spans);
	*lineage = (struct lineage){0};
}

static void add_span(struct lineage *lineage, uint64_t from, uint64_t to)
{
	if (from >= to)
		return;
	xgrow(lineage->spans, lineage->count, lineage->room);
	lineage->spans[lineage->count++] = (struct span){from, to};
}

void timeline_lineage(const struct timeline *t, uint64_t base, uint64_t position,
		      struct lineage *ret)
{
	*ret = (struct lineage){0};
	/* Backwards, then turned round. */
	for (;;) {
		size_t branch = branch_of(t, position);
		uint64_t start = branch ? t->backtracks[branch - 1].at.lsn : 0;

		add_span(ret, MAX(start, base), position);
		if (!branch || start < base)
			break;
		position = t->backtracks[branch - 1].reached.lsn;
	}
	for (size_t i = 0; i < ret->count / 2; i++) {
		struct span swap = ret->spans[i];

		ret->spans[i] = ret->spans[ret->count - 1 - i];
		ret->spans[ret->count - 1 - i] = swap;
	}
}

void lineage_intersect(struct lineage *lineage, const struct lineage *other)
{
	size_t i = 0;

	while (i < lineage->count && i < other->count &&
	       lineage->spans[i].from == other->spans[i].from) {
		bool same = lineage->spans[i].to == other->spans[i].to;

		lineage->spans[i].to = MIN(lineage->spans[i].to, other->spans[i].to);
		i++;
		if (!same)
			break;
	}
	lineage->count = i;
}

bool lineage_contains(const struct lineage *lineage, uint64_t position)
{
	for (size_t i = 0; i < lineage->count; i++)
		if (lineage->spans[i].from < position && position <= lineage->spans[i].to)
			return true;
	return false;
}

uint64_t lineage_end(const struct lineage *lineage, uint64_t base)
{
	return lineage->count ? lineage->spans[lineage->count - 1].to : base;
}

/* --- As bytes --------------------------------------------------------------------------------- */

static void put_moment(struct buffer *out, struct moment moment)
{
	buffer_put64(out, moment.lsn);
	buffer_put64(out, moment.time_us);
}

static struct moment get_moment(struct cursor *in)
{
	struct moment moment;

	moment.lsn = cursor_get64(in);
	moment.time_us = cursor_get64(in);
	return moment;
}

void timeline_encode(const struct timeline *t, struct buffer *out)
{
	buffer_put64(out, t->known);
	buffer_put64(out, t->next_ino);
	buffer_put64(out, t->next_number);
	buffer_put32(out, t->backtrack_count);
	for (size_t i = 0; i < t->backtrack_count; i++) {
		const struct volume_backtrack *b = &t->backtracks[i];

		buffer_put64(out, b->number);
		put_moment(out, b->at);
		put_moment(out, b->from);
		put_moment(out, b->reached);
		buffer_put64(out, b->asked_time_us);
		buffer_put64(out, b->records);
		buffer_put64(out, b->kill_us);
		buffer_put64(out, b->rewind_us);
		buffer_put64(out, b->start_us);
		buffer_put8(out, b->finished);
	}
	buffer_put32(out, t->mark_count);
	for (size_t i = 0; i < t->mark_count; i++) {
		buffer_put_string(out, t->marks[i].name, strlen(t->marks[i].name));
		put_moment(out, t->marks[i].moment);
	}
}

static void get_backtrack(struct timeline *t, struct cursor *in)
{
	struct volume_backtrack b;

	b.number = cursor_get64(in);
	b.at = get_moment(in);
	b.from = get_moment(in);
	b.reached = get_moment(in);
	b.asked_time_us = cursor_get64(in);
	b.records = cursor_get64(in);
	b.kill_us = cursor_get64(in);
	b.rewind_us = cursor_get64(in);
	b.start_us = cursor_get64(in);
	b.finished = cursor_get8(in);
	add_backtrack(t, &b);
}

int timeline_decode(struct timeline *t, struct cursor *in)
{
	uint32_t count;

	t->known = cursor_get64(in);
	t->next_ino = cursor_get64(in);
	t->next_number = cursor_get64(in);
	count = cursor_get32(in);
	for (uint32_t i = 0; i < count && cursor_ok(in); i++)
		get_backtrack(t, in);
	count = cursor_get32(in);
	for (uint32_t i = 0; i < count && cursor_ok(in); i++) {
		struct text name;

		name.at = cursor_get_string(in, &name.size);
		add_mark(t, name, get_moment(in));
	}
	return cursor_ok(in) ? 0 : -EBADMSG;
}
