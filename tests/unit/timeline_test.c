/* Timeline: lineages through backtracks, what they have in common, what may be forgotten. */
#include "tap.h"

#include "base/buffer.h"
#include "base/cursor.h"
#include "volume/timeline.h"

/*
 *	0 ---- 100: back to 40 ---- 200: forward to 80 ---- 300: back to 150 ---- now
 */
static void make(struct timeline *t)
{
	static const uint64_t at[] = {100, 200, 300}, to[] = {40, 80, 150};

	timeline_init(t);
	for (uint64_t i = 0; i < 3; i++)
		timeline_note(t,
			      &(struct change){
				      .type = CHANGE_BACKTRACK, .number = i + 1, .target = to[i]},
			      at[i], 1000 + at[i]);
}

static bool is(const struct timeline *t, uint64_t base, uint64_t position, const char *expected)
{
	struct lineage l;
	char found[256] = "";
	size_t used = 0;

	timeline_lineage(t, base, position, &l);
	for (size_t i = 0; i < l.count; i++)
		used += snprintf(found + used, sizeof found - used, "%s%llu-%llu", i ? " " : "",
				 (unsigned long long)l.spans[i].from,
				 (unsigned long long)l.spans[i].to);
	lineage_done(&l);
	if (strcmp(found, expected))
		printf("# %llu: %s instead of %s\n", (unsigned long long)position, found, expected);
	return strcmp(found, expected) == 0;
}

static void a_lineage_follows_the_backtracks(void)
{
	struct timeline t;

	make(&t);
	check(is(&t, 0, 70, "0-70"));
	check(is(&t, 0, 100, "0-100")); /* before the record at 100 */
	check(is(&t, 0, 101, "0-40 100-101"));
	check(is(&t, 0, 180, "0-40 100-180"));
	check(is(&t, 0, 250, "0-80 200-250"));
	check(is(&t, 0, 400, "0-40 100-150 300-400"));
	check(is(&t, 30, 400, "30-40 100-150 300-400"));
	check(is(&t, 40, 400, "100-150 300-400"));
	check(is(&t, 120, 400, "120-150 300-400"));
	check(is(&t, 40, 40, ""));
	timeline_done(&t);
}

static uint64_t common(const struct timeline *t, uint64_t base, uint64_t a, uint64_t b)
{
	struct lineage x, y;
	uint64_t end;

	timeline_lineage(t, base, a, &x);
	timeline_lineage(t, base, b, &y);
	lineage_intersect(&x, &y);
	end = lineage_end(&x, base);
	lineage_done(&x);
	lineage_done(&y);
	return end;
}

static void what_lineages_have_in_common_ends_where_they_part(void)
{
	struct timeline t;

	make(&t);
	check(common(&t, 0, 70, 400) == 40);
	check(common(&t, 0, 30, 400) == 30);
	check(common(&t, 0, 250, 90) == 80);
	check(common(&t, 0, 180, 400) == 150);
	check(common(&t, 0, 400, 400) == 400);
	check(common(&t, 0, 250, 400) == 40);
	check(common(&t, 40, 250, 400) == 40);
	timeline_done(&t);
}

static void pruning_keeps_every_lineage_from_the_base_on(void)
{
	struct timeline t;

	make(&t);
	for (uint64_t i = 0; i < 2 * TIMELINE_HISTORY_MAX; i++)
		timeline_note(&t,
			      &(struct change){.type = CHANGE_BACKTRACK,
					       .number = 4 + i,
					       .target = 1000 + 10 * i - 5},
			      1000 + 10 * i, 5000);
	timeline_prune(&t, 20983, 20983);
	check(t.backtrack_count <= TIMELINE_HISTORY_MAX + 1, "%zu", t.backtrack_count);
	check(is(&t, 20983, 20999, "20983-20985 20990-20999"));
	timeline_done(&t);
}

static void a_timeline_survives_its_bytes(void)
{
	struct buffer bytes = {0};
	struct timeline t, back;
	struct cursor in;

	make(&t);
	timeline_note(&t, &(struct change){.type = CHANGE_MARK, .name = {"clean", 5}}, 310, 7);
	timeline_note(&t, &(struct change){.type = CHANGE_TOOK, .number = 2, .kill_us = 5}, 320, 8);
	timeline_encode(&t, &bytes);
	timeline_init(&back);
	cursor_init(&in, bytes.data, bytes.size);
	check(timeline_decode(&back, &in) == 0 && cursor_done(&in));
	check(back.backtrack_count == 3 && back.mark_count == 1 && back.known == 321);
	check(strcmp(back.marks[0].name, "clean") == 0 && back.marks[0].moment.lsn == 310);
	check(back.backtracks[1].finished && back.backtracks[1].kill_us == 5 &&
	      !back.backtracks[0].finished);
	check(is(&back, 0, 400, "0-40 100-150 300-400"));
	timeline_done(&back);
	for (size_t cut = 0; cut < bytes.size; cut++) {
		timeline_init(&back);
		cursor_init(&in, bytes.data, cut);
		check(timeline_decode(&back, &in) < 0);
		timeline_done(&back);
	}
	timeline_done(&t);
	buffer_done(&bytes);
}

int main(void)
{
	RUN(a_lineage_follows_the_backtracks);
	RUN(what_lineages_have_in_common_ends_where_they_part);
	RUN(pruning_keeps_every_lineage_from_the_base_on);
	RUN(a_timeline_survives_its_bytes);
	return tap_done();
}
