/* unspill status */
#include "cmd/commands.h"
#include "cmd/overview.h"
#include "cmd/talk.h"
#include "base/clock.h"
#include "base/timetext.h"
#include "base/units.h"

#include <math.h>
#include <string.h>

#define LABEL_WIDTH 15

static void line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *label, const char *format, ...)
{
	va_list args;

	printf("  %-*s", LABEL_WIDTH - 2, label);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static const char *state_style(const char *state)
{
	if (!strcmp(state, "running") || !strcmp(state, "open"))
		return style(stdout, GREEN);
	if (!strcmp(state, "failed") || !strcmp(state, "unknown"))
		return style(stdout, RED);
	return style(stdout, YELLOW);
}

static void print_head(const json_t *status)
{
	const char *state = json_text(status, "state"),
		   *version = json_text(status, "engine_version");
	char up[UNITS_TEXT_MAX] = "";

	if ((!strcmp(state, "running") || !strcmp(state, "open")) && json_number(status, "up_us"))
		elapsed_format(json_number(status, "up_us"), up);
	printf("%s%s%s  %s%s%s%s%s%s%s\n", style(stdout, BOLD), json_text(status, "name"),
	       style(stdout, PLAIN), state_style(state), state, style(stdout, PLAIN),
	       *up ? " for " : "", up, *version || *json_text(status, "engine") ? "  " : "",
	       *version ? version : json_text(status, "engine"));
	if (json_truth(status, "down"))
		line("attention", "it ought to run, and its keeper does not: unspill start %s",
		     json_text(status, "name"));
	if (*json_text(status, "problem"))
		line("problem", "%s", json_text(status, "problem"));
}

static void print_place(const json_t *status)
{
	const char *socket = json_text(status, "endpoint.socket");
	char restarted[48];
	long long restarts;

	if (json_at(status, "endpoint"))
		line("endpoint", "%s:%lld%s%s", json_text(status, "endpoint.address"),
		     (long long)json_number(status, "endpoint.port"), *socket ? ", " : "", socket);
	if (*json_text(status, "directory"))
		line("directory", "%s", json_text(status, "directory"));
	restarts = json_number(status, "restarts");
	snprintf(restarted, sizeof restarted, ", restarted %lld time%s", restarts,
		 restarts == 1 ? "" : "s");
	if (*json_text(status, "program"))
		line("inside of", "process %lld (%s), %lld connection%s",
		     (long long)json_number(status, "pid"), json_text(status, "program"),
		     (long long)json_number(status, "connections"),
		     json_number(status, "connections") == 1 ? "" : "s");
	else if (json_number(status, "keeper_pid") && json_number(status, "pid"))
		line("processes", "keeper %lld, server %lld%s",
		     (long long)json_number(status, "keeper_pid"),
		     (long long)json_number(status, "pid"), restarts ? restarted : "");
	else if (json_number(status, "keeper_pid"))
		line("processes", "keeper %lld", (long long)json_number(status, "keeper_pid"));
	if (json_at(status, "transport"))
		line("transport", "%s", json_text(status, "transport.name"));
}

static void print_past(const json_t *status, bool utc)
{
	char target[UNITS_TEXT_MAX], actual[UNITS_TEXT_MAX], moment[MOMENT_TEXT_MAX],
		stored[UNITS_TEXT_MAX];
	int64_t target_us = json_number(status, "window.target_us");

	if (!json_at(status, "window"))
		return;
	duration_format(target_us, target);
	elapsed_format(json_number(status, "window.actual_us"), actual);
	line("window", "%s wanted, %s there", target_us ? target : "off", actual);
	moment_format(json_at(status, "horizon"), utc, moment);
	line("earliest", "%s", moment);
	moment_format(json_at(status, "now"), utc, moment);
	line("last change", "%s", moment);
	count_format((uint64_t)json_number(status, "records.stored"), stored);
	line("records", "%s stored, %.1f per second", stored,
	     json_real_at(status, "records.per_second"));
}

/* "1.20 GiB, +12.0 MiB per hour" */
static void print_size(const json_t *status, const char *label, const char *size_key,
		       const char *growth_key)
{
	char size[UNITS_TEXT_MAX], growth[UNITS_TEXT_MAX];
	double per_hour = growth_key ? json_real_at(status, growth_key) : 0;
	/* The first seconds say nothing about an hour. */
	bool told = growth_key && json_at(status, growth_key) &&
		    json_number(status, "window.actual_us") >= 60000000;

	if (!json_at(status, size_key))
		return;
	bytes_format(json_real_at(status, size_key), size);
	bytes_format(fabs(per_hour), growth);
	if (told)
		line(label, "%s, %s%s per hour", size, per_hour < 0 ? "-" : "+", growth);
	else
		line(label, "%s", size);
}

/* "1.20 GiB, 120 MiB per hour; 3d need 8.4 GiB; at most 5.0 GiB" */
static void print_history(const json_t *status)
{
	char size[UNITS_TEXT_MAX], hour[UNITS_TEXT_MAX], needed[UNITS_TEXT_MAX],
		most[UNITS_TEXT_MAX], rate[4 * UNITS_TEXT_MAX] = "", limit[2 * UNITS_TEXT_MAX] = "",
					       window[UNITS_TEXT_MAX];

	if (!json_at(status, "history"))
		return;
	bytes_format(json_real_at(status, "history.bytes"), size);
	bytes_format(json_real_at(status, "history.bytes_per_hour"), hour);
	bytes_format(json_real_at(status, "history.bytes_needed"), needed);
	bytes_format(json_real_at(status, "history.max_bytes"), most);
	duration_format(json_number(status, "window.target_us"), window);
	if (json_real_at(status, "history.bytes_per_hour") > 0)
		snprintf(rate, sizeof rate, ", %s per hour; %s will need %s", hour, window, needed);
	if (json_number(status, "history.max_bytes"))
		snprintf(limit, sizeof limit, "; at most %s", most);
	line("history", "%s%s%s", size, rate, limit);
}

static void print_packed(const json_t *status)
{
	char now[UNITS_TEXT_MAX], before[UNITS_TEXT_MAX];

	if (!json_at(status, "bytes.packed") || json_real_at(status, "bytes.packed") == 0)
		return;
	bytes_format(json_real_at(status, "bytes.packed"), now);
	bytes_format(json_real_at(status, "bytes.packed_from"), before);
	line("packed", "%s of it, which took %s", now, before);
}

static void print_sizes(const json_t *status)
{
	char disk_free[UNITS_TEXT_MAX], total[UNITS_TEXT_MAX];

	print_history(status);
	print_size(status, "tape", "bytes.tape", "bytes.tape_per_hour");
	print_packed(status);
	print_size(status, "base", "bytes.base", "bytes.base_per_hour");
	print_size(status, "checkpoints", "bytes.checkpoints", NULL);
	print_size(status, "memory", "bytes.memory", NULL);
	if (!json_at(status, "bytes.disk_total"))
		return;
	bytes_format(json_real_at(status, "bytes.disk_free"), disk_free);
	bytes_format(json_real_at(status, "bytes.disk_total"), total);
	line("disk", "%s free of %s", disk_free, total);
}

/* "a, b" */
static void join_names(const json_t *names, char text[512])
{
	size_t used = 0, i;
	json_t *name;

	text[0] = 0;
	json_array_foreach (names, i, name)
		if (used < 400)
			used += snprintf(text + used, 512 - used, "%s%.63s", used ? ", " : "",
					 json_string_value(name));
}

static void print_clones(const json_t *status)
{
	const char *parent = json_text(status, "parent");
	char shared[UNITS_TEXT_MAX], names[512];

	bytes_format(json_real_at(status, "bytes.shared"), shared);
	if (*parent && json_truth(status, "attached"))
		line("clone", "of %s, whose horizon it holds; %s of its base are shared%s", parent,
		     shared,
		     json_truth(status, "thin")      ? " (--thin)"
		     : json_at(status, "keeper_pid") ? " and being copied"
						     : " and copied while it runs");
	else if (*parent)
		line("clone", "of %s; detached: nothing of its base is shared", parent);
	join_names(json_at(status, "clones"), names);
	if (*names)
		line("clones", "%s: %s of this base are shared, and hold the horizon", names,
		     shared);
}

/* What a clone holds of itself is in its own line. */
static void print_pins(const json_t *status)
{
	long long pins = json_number(status, "pins") - json_truth(status, "attached");

	if (pins > 0)
		line("pins", "%lld hold the horizon: history grows, and all of it can be reached",
		     pins);
}

static void print_work(const json_t *status, bool utc)
{
	char applied[UNITS_TEXT_MAX], left[UNITS_TEXT_MAX], when[TIME_TEXT_MAX];

	if (json_is_object(json_at(status, "backtrack"))) {
		count_format((uint64_t)json_number(status, "backtrack.applied"), applied);
		count_format((uint64_t)json_number(status, "backtrack.left"), left);
		line("backtrack", "running: %s records applied, %s left", applied, left);
	}
	if (json_truth(status, "folding"))
		line("fold", "running");
	print_pins(status);
	if (json_truth(status, "space_short"))
		line("space", "%sshort: the oldest history gives way to the live database%s",
		     style(stdout, RED), style(stdout, PLAIN));
	if (!json_is_object(json_at(status, "last_error")))
		return;
	time_format_seconds(json_number(status, "last_error.time_us"), utc, when);
	line("last error", "%s", when);
	printf("%*s", LABEL_WIDTH, "");
	help_wrap(json_text(status, "last_error.text"), LABEL_WIDTH, LABEL_WIDTH, stdout);
}

static void print_one(const json_t *status, bool utc)
{
	char created[TIME_TEXT_MAX];

	print_head(status);
	print_place(status);
	print_past(status, utc);
	print_sizes(status);
	print_clones(status);
	if (json_number(status, "created_us")) {
		time_format_seconds(json_number(status, "created_us"), utc, created);
		line("created", "%s", created);
	}
	print_work(status, utc);
}

static int run_one(const struct typed *typed)
{
	struct problem why = {""};
	struct cluster *cluster;
	json_t *status;
	int r, ending;

	r = cluster_check_name(typed->operands[0], &why);
	if (r >= 0)
		r = cluster_find(typed->operands[0], &cluster, &why);
	if (r < 0)
		return fail_why(typed, r, &why);
	cluster_free(cluster);
	status = overview_of(typed, typed->operands[0]);
	ending = strcmp(json_text(status, "state"), "unknown") ? END_OK : END_FAILED;
	if (typed_switch(typed, "json")) {
		r = print_json(typed, status);
		return r == END_OK ? ending : r;
	}
	print_one(status, typed_switch(typed, "utc"));
	json_decref(status);
	return ending;
}

static int run(const struct typed *typed)
{
	json_t *all, *one;
	size_t i;

	if (typed->operands[0])
		return run_one(typed);
	all = overview_of_all(typed);
	if (!all)
		return END_FAILED;
	if (typed_switch(typed, "json"))
		return print_json(typed, json_pack("{s:o}", "clusters", all));
	json_array_foreach (all, i, one) {
		if (i)
			putchar('\n');
		print_one(one, typed_switch(typed, "utc"));
	}
	if (!json_array_size(all))
		note("There is no cluster yet; 'unspill create NAME' makes one.");
	json_decref(all);
	return END_OK;
}

const struct command command_status = {
	.name = "status",
	.summary = "Show what an operator watches: server, window, tape, base, errors",
	.operands = {{"NAME", "the cluster; all of them if left out", .optional = true}},
	.options = {OPTION_JSON("it"), OPTION_UTC},
	.text = "  window       how far back one can go: what is wanted, and what is there;\n"
		"               a young cluster has less, and one whose disk ran short\n"
		"  earliest     the horizon, the oldest moment that can be reached\n"
		"  last change  the newest moment\n"
		"  records      change records on the tape, and how many come per second\n"
		"  history      what the window takes on the disk, per hour of it, and what the\n"
		"               wanted window will need at that rate\n"
		"  tape, base, checkpoints\n"
		"               the space that they take, and how it grows\n"
		"  space short  the oldest history is giving way to the live database\n"
		"  last error   the newest error or warning of background work\n\n"
		"Of a stopped cluster it shows what can be known without opening the volume.",
	.examples =
		{
			{"status shop", "One screen."},
			{"status shop --json | jq .window.actual_us", "For a monitor."},
		},
	.endings = 1 << END_NOT_FOUND,
	.run = run,
};
