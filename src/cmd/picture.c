/*
 *	10:40:00  ██████████████████▌                     12,345   48.1 MiB
 *	10:40:10  ██▏                                      1,204   4.70 MiB
 *	          ◆ 10:40:12.250  mark before-migration
 *	10:40:20  ░░░░░░░░░░░░░                            8,800   34.4 MiB
 *	          ↶ 10:40:29.120  backtrack 2: back to 10:40:12.250
 *
 * The time line is the tape's: what a backtrack left behind is still there, and is drawn lighter.
 *Which changes are part of the present is worked out from the backtracks: see find_past().
 */
#include "cmd/picture.h"
#include "cmd/say.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/timetext.h"
#include "base/units.h"

#include <string.h>
#include <time.h>

#define SECOND_US 1000000LL
#define ALIKE_MAX 4 /* as many marks, or backtracks, in a row are all shown */
#define EMPTY_RUN 3 /* as many empty steps become one line */
#define NUMBERS_WIDTH 25
#define FINE_MAX 4000 /* fine steps in an answer */

/* --- Steps ------------------------------------------------------------------------------------ */

int64_t picture_step(int64_t span_us, int lines)
{
	static const int64_t seconds[] = {1,     2,     5,     10,    15,    30,   60,
					  120,   300,   600,   900,   1800,  3600, 7200,
					  10800, 21600, 43200, 86400, 604800};
	int64_t step = 100000;

	if (span_us <= step * lines)
		return step;
	for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
		step = seconds[i] * SECOND_US;
		if (span_us <= step * lines)
			return step;
	}
	while (span_us > step * lines)
		step *= 2;
	return step;
}

int64_t picture_fine(int64_t span_us, int64_t step_us)
{
	int64_t parts = 1;

	while (parts < 16 && step_us % (parts * 2) == 0 &&
	       span_us / step_us * parts * 2 <= FINE_MAX)
		parts *= 2;
	return step_us / parts;
}

int64_t picture_align(int64_t time_us, int64_t step_us, bool utc)
{
	time_t seconds = time_us / SECOND_US;
	int64_t offset = 0;
	struct tm tm;

	if (!utc && localtime_r(&seconds, &tm))
		offset = tm.tm_gmtoff * SECOND_US;
	return (time_us + offset) / step_us * step_us - offset;
}

/* --- Notes: what stands between the steps
 * --------------------------------------------------------- */

struct entry {
	int64_t time_us;
	uint64_t lsn;
	enum style style;
	const char *sign, *plain_sign;
	char text[256];
};

struct entries {
	struct entry *all;
	size_t count, room;
};

enum kind { PRESENT, LEFT_BEHIND, OUT_OF_REACH, KINDS };

static const struct look {
	enum style style;
	const char *block, *plain_block;
	const char *meaning; /* for the legend */
} looks[] = {
	[PRESENT] = {CYAN, "█", "#", NULL},
	[LEFT_BEHIND] = {DIM, "░", ":", "left behind by a backtrack; can still be reached"},
	[OUT_OF_REACH] = {DIM, "▁", "_", "before the horizon; can no longer be reached"},
};

struct line {
	int64_t time_us;
	uint64_t records[KINDS]; /* by kind */
	uint64_t total, bytes;
};

/* [begin, end] in time: changes that are part of the present. */
struct past {
	int64_t (*all)[2];
	size_t count, room;
};

struct picture {
	const struct picture_options *options;
	FILE *out;
	struct entries entries;
	struct past past;
	struct line *lines;
	size_t line_count;
	uint64_t records_max;
	int64_t horizon_us;
	bool seen[KINDS]; /* by enum kind: what the legend has to explain */
};

static struct entry *add_entry(struct picture *picture, const json_t *moment, enum style style)
{
	struct entries *entries = &picture->entries;
	struct entry *entry;

	xgrow(entries->all, entries->count, entries->room);
	entry = &entries->all[entries->count++];
	*entry = (struct entry){
		.time_us = json_number(moment, "time_us"),
		.lsn = (uint64_t)json_number(moment, "lsn"),
		.style = style,
	};
	return entry;
}

/* A backtrack has the position of what it reached when nothing lies between. */
static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->time_us != y->time_us)
		return x->time_us < y->time_us ? -1 : 1;
	return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

/* HH:MM:SS.mmm, with the date in front where it is another day than the picture's last. */
static void format_clock(const struct picture *picture, int64_t time_us, char text[TIME_TEXT_MAX])
{
	char full[TIME_TEXT_MAX], last[TIME_TEXT_MAX];

	time_format(time_us, picture->options->utc, full);
	time_format(picture->options->until_us, picture->options->utc, last);
	if (strncmp(full, last, 10))
		snprintf(text, TIME_TEXT_MAX, "%.5s %.12s", full + 5, full + 11);
	else
		snprintf(text, TIME_TEXT_MAX, "%.12s", full + 11);
}

static void add_marks(struct picture *picture, const json_t *marks)
{
	const json_t *mark;
	size_t i;

	json_array_foreach (marks, i, mark) {
		struct entry *entry = add_entry(picture, json_at(mark, "moment"), YELLOW);

		entry->sign = "◆";
		entry->plain_sign = "*";
		snprintf(entry->text, sizeof entry->text, "mark %s%s", json_text(mark, "name"),
			 json_truth(mark, "reachable") ? "" : " (no longer reachable)");
	}
}

static void add_backtracks(struct picture *picture, const json_t *backtracks)
{
	char clock[TIME_TEXT_MAX];
	const json_t *backtrack;
	size_t i;

	json_array_foreach (backtracks, i, backtrack) {
		long long number = json_number(backtrack, "number");
		struct entry *entry;

		format_clock(picture, json_number(backtrack, "reached.time_us"), clock);
		entry = add_entry(picture, json_at(backtrack, "at"), MAGENTA);
		entry->sign = "↶";
		entry->plain_sign = "<";
		snprintf(entry->text, sizeof entry->text, "backtrack %lld, to %s%s", number, clock,
			 json_truth(backtrack, "finished") ? "" : " (not finished)");
		entry = add_entry(picture, json_at(backtrack, "reached"), MAGENTA);
		entry->sign = "↳";
		entry->plain_sign = ">";
		snprintf(entry->text, sizeof entry->text, "backtrack %lld came here", number);
	}
}

static void add_horizon(struct picture *picture, const json_t *horizon)
{
	struct entry *entry;

	picture->horizon_us = json_number(horizon, "time_us");
	entry = add_entry(picture, horizon, RED);
	entry->sign = "━";
	entry->plain_sign = "=";
	snprintf(entry->text, sizeof entry->text, "horizon: nothing earlier can be reached");
}

/*
 * Follow the present back in time: it goes down to the newest backtrack on its way, from there on
 * down from what that backtrack reached, and so on.
 */
static void find_past(struct past *past, const json_t *backtracks, const json_t *now)
{
	int64_t end_lsn = json_number(now, "lsn"), end_us = json_number(now, "time_us");

	for (size_t i = json_array_size(backtracks); i-- > 0;) {
		const json_t *backtrack = json_array_get(backtracks, i);

		if (json_number(backtrack, "at.lsn") > end_lsn)
			continue;
		xgrow(past->all, past->count, past->room);
		past->all[past->count][0] = json_number(backtrack, "at.time_us");
		past->all[past->count++][1] = end_us;
		end_lsn = json_number(backtrack, "reached.lsn");
		end_us = json_number(backtrack, "reached.time_us");
	}
	xgrow(past->all, past->count, past->room);
	past->all[past->count][0] = INT64_MIN;
	past->all[past->count++][1] = end_us;
}

/* More than half of the step [begin, end) is not part of the present. */
static bool is_left_behind(const struct picture *picture, int64_t begin, int64_t end)
{
	int64_t present = 0;

	for (size_t i = 0; i < picture->past.count; i++) {
		int64_t from = MAX(picture->past.all[i][0], begin),
			to = MIN(picture->past.all[i][1], end);

		present += MAX(to - from, 0);
	}
	/* The last step goes on after the last change. */
	if (picture->past.count && end > picture->past.all[0][1] &&
	    picture->past.all[0][1] >= begin)
		present += end - picture->past.all[0][1];
	return present * 2 < end - begin;
}

static enum kind kind_of(const struct picture *picture, int64_t begin, int64_t end)
{
	if (end <= picture->horizon_us)
		return OUT_OF_REACH;
	return is_left_behind(picture, begin, end) ? LEFT_BEHIND : PRESENT;
}

/*
 * Put the answer's steps together into lines.  They are shorter than a line, so that within one it
 * can be told what is present and what is not.
 */
static void make_lines(struct picture *picture, const json_t *steps)
{
	const struct picture_options *options = picture->options;
	int64_t span = options->until_us - options->since_us, fine_us = options->fine_us;
	const json_t *step;
	size_t i;

	picture->line_count = (size_t)((span + options->step_us - 1) / options->step_us);
	picture->lines = xcalloc(picture->line_count, sizeof *picture->lines);
	for (i = 0; i < picture->line_count; i++)
		picture->lines[i].time_us = options->since_us + (int64_t)i * options->step_us;
	json_array_foreach (steps, i, step) {
		int64_t time_us = json_integer_value(json_array_get(step, 0));
		int64_t at = (time_us - options->since_us) / options->step_us;
		uint64_t records = (uint64_t)json_integer_value(json_array_get(step, 1));
		enum kind kind =
			kind_of(picture, time_us, MIN(time_us + fine_us, options->until_us));

		if (time_us < options->since_us || at >= (int64_t)picture->line_count)
			continue;
		picture->lines[at].records[kind] += records;
		picture->lines[at].total += records;
		picture->lines[at].bytes += (uint64_t)json_integer_value(json_array_get(step, 2));
		picture->records_max = MAX(picture->records_max, picture->lines[at].total);
	}
}

/* --- Drawing ---------------------------------------------------------------------------------- */

/* The step's time, as wide as `label_width` says. */
static void format_label(const struct picture *picture, int64_t time_us, char text[TIME_TEXT_MAX])
{
	const struct picture_options *options = picture->options;
	char full[TIME_TEXT_MAX];

	time_format(time_us, options->utc, full);
	if (options->step_us < SECOND_US)
		snprintf(text, TIME_TEXT_MAX, "%.10s", full + 11);
	else if (options->until_us - options->since_us > 23 * 3600 * SECOND_US)
		snprintf(text, TIME_TEXT_MAX, "%.5s %.5s", full + 5, full + 11);
	else
		snprintf(text, TIME_TEXT_MAX, "%.8s", full + 11);
}

static int label_width(const struct picture *picture)
{
	char text[TIME_TEXT_MAX];

	format_label(picture, picture->options->since_us, text);
	return (int)strlen(text);
}

static int bar_width(const struct picture *picture)
{
	return MAX(picture->options->columns - label_width(picture) - NUMBERS_WIDTH - 5, 8);
}

/* Cells of a bar of `cells` that each kind takes: at least one of each that there is. */
static void share_cells(const struct line *line, int cells, int ret[KINDS])
{
	int left = cells;

	for (int kind = KINDS - 1; kind > PRESENT; kind--) {
		ret[kind] = (int)((double)line->records[kind] / (double)line->total * cells + 0.5);
		if (line->records[kind])
			ret[kind] = MAX(ret[kind], 1);
		ret[kind] = MIN(ret[kind], left - (line->records[PRESENT] && left > 1));
		left -= MAX(ret[kind], 0);
	}
	ret[PRESENT] = left;
}

/* Any change at all is seen: at least the thinnest bar.  Only a bar of one kind ends in a part of a
 * cell. */
static void draw_bar(struct picture *picture, const struct line *line)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	bool utf8 = picture->options->utf8, smooth = utf8 && line->records[PRESENT] == line->total;
	int width = bar_width(picture), cells, shares[KINDS], drawn = 0;
	int64_t parts = (int64_t)((double)line->total / (double)picture->records_max * width * 8);

	parts = MAX(parts, 1);
	cells = (int)(smooth ? parts / 8 : (parts + 7) / 8);
	share_cells(line, cells, shares);
	for (int kind = 0; kind < KINDS; kind++) {
		fputs(style(picture->out, looks[kind].style), picture->out);
		for (int i = 0; i < shares[kind]; i++, drawn++)
			fputs(utf8 ? looks[kind].block : looks[kind].plain_block, picture->out);
		if (kind == PRESENT && smooth && parts % 8) {
			fputs(eighths[parts % 8], picture->out);
			drawn++;
		}
		fputs(style(picture->out, PLAIN), picture->out);
		picture->seen[kind] |= line->records[kind] > 0;
	}
	fprintf(picture->out, "%*s", width - drawn, "");
}

static void draw_line(struct picture *picture, const struct line *line)
{
	char label[TIME_TEXT_MAX], count[UNITS_TEXT_MAX] = "", size[UNITS_TEXT_MAX] = "";

	format_label(picture, line->time_us, label);
	fprintf(picture->out, "%s  ", label);
	if (!line->total) {
		fprintf(picture->out, "%s%s%s\n", style(picture->out, DIM),
			picture->options->utf8 ? "·" : ".", style(picture->out, PLAIN));
		return;
	}
	count_format(line->total, count);
	bytes_format((double)line->bytes, size);
	draw_bar(picture, line);
	fprintf(picture->out, "  %12s  %10s\n", count, size);
}

static void draw_empty_run(const struct picture *picture, int64_t time_us, int64_t span_us)
{
	char span[UNITS_TEXT_MAX];

	duration_format(span_us, span);
	fprintf(picture->out, "%*s  %s%s %s %s%s\n", label_width(picture), "",
		style(picture->out, DIM), picture->options->utf8 ? "···" : "...",
		time_us + span_us <= picture->horizon_us ? "no longer kept:" : "nothing for", span,
		style(picture->out, PLAIN));
}

/* As much of a text as fits into `room` bytes, without a part of a character at its end. */
static int fitting(const char *text, int room)
{
	int size = (int)strnlen(text, (size_t)MAX(room, 0));

	while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
		size--;
	return size;
}

static void draw_entry(const struct picture *picture, const struct entry *entry)
{
	const struct picture_options *options = picture->options;
	int room = options->columns - label_width(picture);
	char clock[TIME_TEXT_MAX];

	format_clock(picture, entry->time_us, clock);
	room -= (int)strlen("  s ") + (int)strlen(clock) + (int)strlen("  ");
	fprintf(picture->out, "%*s  %s%s %s  %.*s%s\n", label_width(picture), "",
		style(picture->out, entry->style), options->utf8 ? entry->sign : entry->plain_sign,
		clock, fitting(entry->text, MAX(room, 20)), entry->text,
		style(picture->out, PLAIN));
}

/* Entries of one sign in a row, of those before `until_us`. */
static size_t count_alike(const struct picture *picture, size_t at, int64_t until_us)
{
	const struct entry *first = &picture->entries.all[at], *entry = first;

	while (entry < picture->entries.all + picture->entries.count && entry->time_us < until_us &&
	       entry->sign == first->sign)
		entry++;
	return (size_t)(entry - first);
}

/* Of many alike the first and the last are shown. */
static void draw_alike(const struct picture *picture, size_t at, size_t count)
{
	const struct entry *first = &picture->entries.all[at];

	if (count <= ALIKE_MAX) {
		for (size_t i = 0; i < count; i++)
			draw_entry(picture, first + i);
		return;
	}
	draw_entry(picture, first);
	fprintf(picture->out, "%*s  %s%s and %zu more, to%s\n", label_width(picture), "",
		style(picture->out, first->style), picture->options->utf8 ? "···" : "...",
		count - 2, style(picture->out, PLAIN));
	draw_entry(picture, first + count - 1);
}

static void draw_entries(const struct picture *picture, size_t *at, int64_t until_us)
{
	size_t count;

	for (; *at < picture->entries.count && picture->entries.all[*at].time_us < until_us;
	     *at += count) {
		count = count_alike(picture, *at, until_us);
		draw_alike(picture, *at, count);
	}
}

/* What lies before the picture. */
static size_t count_before(const struct picture *picture)
{
	size_t at = 0;

	while (at < picture->entries.count &&
	       picture->entries.all[at].time_us < picture->options->since_us)
		at++;
	return at;
}

/* Entries to draw before `until_us`. */
static bool has_entries(const struct picture *picture, size_t at, int64_t until_us)
{
	return at < picture->entries.count && picture->entries.all[at].time_us < until_us;
}

static void draw_lines(struct picture *picture)
{
	int64_t step_us = picture->options->step_us;
	size_t entry = count_before(picture), run;

	for (size_t i = 0; i < picture->line_count; i += run) {
		const struct line *line = &picture->lines[i];

		for (run = 0; i + run < picture->line_count; run++) {
			if (line[run].total ||
			    has_entries(picture, entry, line[run].time_us + step_us))
				break;
		}
		if (run >= EMPTY_RUN) {
			draw_empty_run(picture, line->time_us, (int64_t)run * step_us);
			continue;
		}
		run = 1;
		draw_line(picture, line);
		draw_entries(picture, &entry,
			     MIN(line->time_us + step_us, picture->options->until_us));
	}
}

static void draw_head(const struct picture *picture)
{
	const struct picture_options *options = picture->options;
	char since[TIME_TEXT_MAX], until[TIME_TEXT_MAX], step[UNITS_TEXT_MAX], most[UNITS_TEXT_MAX];

	time_format_seconds(options->since_us, options->utc, since);
	time_format_seconds(options->until_us, options->utc, until);
	duration_format(options->step_us, step);
	fprintf(picture->out, "%s%s%s: %s to %s\n", style(picture->out, BOLD), options->name,
		style(picture->out, PLAIN), since, until);
	count_format(picture->records_max, most);
	if (picture->records_max)
		fprintf(picture->out, "change records and bytes per %s; the longest bar is %s\n\n",
			step, most);
	else
		fprintf(picture->out, "no changes in that time\n\n");
}

static void draw_foot(const struct picture *picture)
{
	for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
		if (picture->seen[i] && looks[i].meaning)
			fprintf(picture->out, "\n%s  %s",
				picture->options->utf8 ? looks[i].block : looks[i].plain_block,
				looks[i].meaning);
	}
	if (picture->seen[LEFT_BEHIND] || picture->seen[OUT_OF_REACH])
		fputc('\n', picture->out);
}

void picture_draw(const struct picture_options *options, const json_t *moments, FILE *out)
{
	struct picture picture = {.options = options, .out = out};

	add_horizon(&picture, json_at(moments, "horizon"));
	add_backtracks(&picture, json_at(moments, "backtracks"));
	add_marks(&picture, json_at(moments, "marks"));
	qsort(picture.entries.all, picture.entries.count, sizeof *picture.entries.all, by_time);
	find_past(&picture.past, json_at(moments, "backtracks"), json_at(moments, "now"));
	make_lines(&picture, json_at(moments, "steps"));
	draw_head(&picture);
	draw_lines(&picture);
	draw_foot(&picture);
	free(picture.lines);
	free(picture.entries.all);
	free(picture.past.all);
}
