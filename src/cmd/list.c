/* unspill list */
#include "cmd/commands.h"
#include "cmd/overview.h"
#include "cmd/say.h"
#include "cmd/view.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <string.h>

enum { COLUMNS = 6 };

struct row {
	char cells[COLUMNS][256];
};

static void fill(struct row *row, const json_t *one)
{
	char window[UNITS_TEXT_MAX] = "";

	if (json_at(one, "window"))
		duration_format(json_number(one, "window.target_us"), window);
	snprintf(row->cells[0], 256, "%s", json_text(one, "name"));
	snprintf(row->cells[1], 256, "%s%s", json_text(one, "state"),
		 json_truth(one, "down") ? " (down)" : "");
	snprintf(row->cells[2], 256, "%s", json_text(one, "engine"));
	if (json_at(one, "endpoint"))
		snprintf(row->cells[3], 256, "%s:%lld", json_text(one, "endpoint.address"),
			 (long long)json_number(one, "endpoint.port"));
	snprintf(row->cells[4], 256, "%s",
		 json_at(one, "window") && !json_number(one, "window.target_us") ? "off" : window);
	snprintf(row->cells[5], 256, "%s",
		 *json_text(one, "problem") ? json_text(one, "problem")
					    : json_text(one, "directory"));
}

static void print_table(const struct row *rows, size_t count)
{
	int widths[COLUMNS] = {0};

	for (size_t i = 0; i < count; i++) {
		for (int c = 0; c < COLUMNS; c++)
			widths[c] = MAX(widths[c], (int)strlen(rows[i].cells[c]));
	}
	for (size_t i = 0; i < count; i++) {
		fputs(style(stdout, i ? PLAIN : BOLD), stdout);
		for (int c = 0; c < COLUMNS; c++)
			printf("%-*s%s", c + 1 < COLUMNS ? widths[c] : 0, rows[i].cells[c],
			       c + 1 < COLUMNS ? "  " : "\n");
		fputs(style(stdout, PLAIN), stdout);
	}
}

static void print_all(const json_t *all)
{
	size_t count = json_array_size(all);
	struct row *rows = calloc(count + 1, sizeof *rows);

	if (!count) {
		note("There is no cluster yet; 'unspill create NAME' makes one.");
		free(rows);
		return;
	}
	rows[0] = (struct row){{"NAME", "STATE", "ENGINE", "ENDPOINT", "WINDOW", "DIRECTORY"}};
	for (size_t i = 0; i < count; i++)
		fill(&rows[i + 1], json_array_get(all, i));
	print_table(rows, count + 1);
	free(rows);
}

static int run(const struct typed *typed)
{
	json_t *all;

	view_clear_killed();
	all = overview_of_all(typed);

	if (!all)
		return END_FAILED;
	if (typed_switch(typed, "json"))
		return print_json(typed, json_pack("{s:o}", "clusters", all));
	print_all(all);
	json_decref(all);
	return END_OK;
}

const struct command command_list = {
	.name = "list",
	.summary = "List all clusters",
	.options = {OPTION_JSON("them"), OPTION_UTC},
	.text = "One line per cluster. The window is shown where a keeper runs that can be asked. "
		"\"down\" is a cluster that ought to run and has no keeper; 'unspill start' "
		"brings it up.",
	.examples = {{"list --json | jq -r '.clusters[].name'", "The names alone."}},
	.run = run,
};
