#include "cmd/progress.h"
#include "cmd/say.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <string.h>

#define REDRAW_US 100000 /* often enough to look alive */
#define LINE_US 1000000  /* for a log */
#define BAR_CELLS 24
#define BAR_CELLS_MIN 5

void progress_init(struct progress *progress, bool quiet)
{
	*progress = (struct progress){.terminal = isatty(STDERR_FILENO), .quiet = quiet};
}

/* The protocol's names for steps, in words for a person; what is new to us is shown as it is. */
static const char *words_of(const char *step)
{
	static const char *const words[][2] = {
		{"install", "installing the database"},
		{"copy", "copying the files"},
		{"adopt", "taking the database over"},
		{"kill", "killing the server"},
		{"wait", "waiting for transactions"},
		{"settle", "settling the open databases"},
		{"rewind", "rewinding"},
		{"start", "starting the server"},
		{"stop", "stopping the server"},
		{"verify", "reading everything"},
		{"repack", "repacking history"},
		{"undo", "taking back what was made"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(words[i][0], step))
			return words[i][1];
	}
	return step;
}

static const char *tick(void)
{
	return is_utf8() ? "✓" : "+";
}

static const char *cross(void)
{
	return is_utf8() ? "✗" : "x";
}

static bool is_bytes(const struct progress *progress)
{
	return !strcmp(progress->unit, "bytes") || !strcmp(progress->unit, "byte");
}

static void put_amount(const struct progress *progress, double amount, char text[UNITS_TEXT_MAX])
{
	if (is_bytes(progress))
		bytes_format(amount, text);
	else
		count_format(amount < 0 ? 0 : (uint64_t)amount, text);
}

/* "12.3 MiB of 27.0 MiB, 4.1 MiB/s, 3 s left": as much as is known. */
static void put_numbers(const struct progress *progress, char *text, size_t size)
{
	double seconds = (clock_monotonic_us() - progress->step_began_us) / 1e6;
	double rate = seconds > 0.5 ? progress->done / seconds : 0;
	char done[UNITS_TEXT_MAX], total[UNITS_TEXT_MAX], speed[UNITS_TEXT_MAX],
		left[UNITS_TEXT_MAX];
	const char *unit = is_bytes(progress) ? "" : progress->unit;
	size_t used;

	text[0] = '\0';
	if (progress->done <= 0 && progress->total <= 0)
		return;
	put_amount(progress, progress->done, done);
	put_amount(progress, progress->total, total);
	put_amount(progress, rate, speed);
	used = snprintf(text, size, "%s", done);
	if (progress->total > 0)
		used += snprintf(text + used, size - used, " of %s", total);
	used += snprintf(text + used, size - used, "%s%s", *unit ? " " : "", unit);
	if (rate >= 1)
		used += snprintf(text + used, size - used, ", %s/s", speed);
	if (rate > 0 && progress->total > progress->done) {
		duration_format(
			((int64_t)((progress->total - progress->done) / rate) + 1) * 1000000, left);
		snprintf(text + used, size - used, ", %s left", left);
	}
}

/* "[########----]  33 %  ", as wide as there is room for; nothing when the total is not known. */
static void put_bar(const struct progress *progress, int room, char text[BAR_CELLS * 3 + 16])
{
	double part = progress->total > 0 ? MIN(progress->done / progress->total, 1.0) : -1;
	bool utf8 = is_utf8();
	int cells = MIN(room - (utf8 ? 0 : 2) - (int)strlen(" 100 %  "), BAR_CELLS);
	char *to = text;

	*to = '\0';
	if (part < 0 || cells < BAR_CELLS_MIN)
		return;
	to += sprintf(to, "%s", utf8 ? "" : "[");
	for (int i = 0; i < cells; i++) {
		if (utf8)
			to += sprintf(to, "%s", (i + 0.5) / cells <= part ? "█" : "░");
		else
			*to++ = (i + 0.5) / cells <= part ? '#' : '-';
	}
	sprintf(to, "%s %3d %%  ", utf8 ? "" : "]", (int)(part * 100));
}

/* What does not fit would wrap, and then not be drawn over. */
static void draw(const struct progress *progress)
{
	char bar[BAR_CELLS * 3 + 16], numbers[160];
	int room = columns(stderr) - 1 - (int)strlen("    ") - (int)strlen(progress->step);

	put_numbers(progress, numbers, sizeof numbers);
	put_bar(progress, room - (int)strlen(numbers), bar);
	fprintf(stderr, "\r\033[K  %.*s  %s%.*s", MAX(room + (int)strlen(progress->step), 0),
		progress->step, bar, MAX(room, 0),
		*bar || (int)strlen(numbers) <= room ? numbers : "");
	fflush(stderr);
}

static void put_line(const struct progress *progress)
{
	char numbers[160];

	put_numbers(progress, numbers, sizeof numbers);
	printf("  %s%s%s\n", progress->step, *numbers ? ": " : "", numbers);
	fflush(stdout);
}

/* "1,234 records, 1.25 s" */
static void put_outcome(const struct progress *progress, bool finished, FILE *out)
{
	double done = finished && progress->total > 0 ? progress->total : progress->done;
	char amount[UNITS_TEXT_MAX], took[UNITS_TEXT_MAX];

	elapsed_format(clock_monotonic_us() - progress->step_began_us, took);
	put_amount(progress, done, amount);
	if (done > 0)
		fprintf(out, "%s%s%s, ", amount, is_bytes(progress) ? "" : " ",
			is_bytes(progress) ? "" : progress->unit);
	fprintf(out, "%s\n", finished ? took : "broken off");
}

/* The line that a step leaves behind.  In a log, what was broken off is told by the error alone. */
static void leave(struct progress *progress, bool finished)
{
	if (*progress->step && progress->terminal) {
		fprintf(stderr, "\r\033[K  %s%s%s %s: ", style(stderr, finished ? GREEN : RED),
			finished ? tick() : cross(), style(stderr, PLAIN), progress->step);
		put_outcome(progress, finished, stderr);
	} else if (*progress->step && !progress->quiet && finished) {
		printf("  %s: ", progress->step);
		put_outcome(progress, finished, stdout);
		fflush(stdout);
	}
	progress->step[0] = '\0';
}

static void show(struct progress *progress)
{
	int64_t now = clock_monotonic_us();

	if (now - progress->drawn_us < (progress->terminal ? REDRAW_US : LINE_US))
		return;
	progress->drawn_us = now;
	if (progress->terminal)
		draw(progress);
	else if (!progress->quiet)
		put_line(progress);
}

void progress_step(struct progress *progress, const char *step)
{
	if (!strcmp(progress->step, step))
		return;
	leave(progress, true);
	snprintf(progress->step, sizeof progress->step, "%s", step);
	progress->unit[0] = '\0';
	progress->done = progress->total = 0;
	progress->step_began_us = clock_monotonic_us();
	/* On a terminal at once; in a log a short step gets only the line that it leaves. */
	progress->drawn_us = progress->terminal ? 0 : progress->step_began_us;
	show(progress);
}

void progress_update(json_t *object, void *arg)
{
	struct progress *progress = arg;

	if (!strcmp(json_text(object, "step"), "undo") && !progress->undone) {
		leave(progress, false);
		progress->undone = true;
	}
	progress_step(progress, words_of(json_text(object, "step")));
	snprintf(progress->unit, sizeof progress->unit, "%s", json_text(object, "unit"));
	progress->done = json_real_at(object, "done");
	progress->total = json_real_at(object, "total");
	show(progress);
}

void progress_done(struct progress *progress, bool finished)
{
	leave(progress, finished);
}
