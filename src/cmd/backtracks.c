/* unspill backtracks */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/timetext.h"
#include "base/units.h"

static void print_one(const json_t *backtrack, bool inside, bool utc)
{
	char at[TIME_TEXT_MAX],
		asked[VOLUME_MARK_MAX + 16] = "a place, or a mark that is gone",
					reached[MOMENT_TEXT_MAX], from[MOMENT_TEXT_MAX],
					records[UNITS_TEXT_MAX], took[TOOK_TEXT_MAX];

	time_format_seconds(json_number(backtrack, "at.time_us"), utc, at);
	if (json_number(backtrack, "asked_time_us"))
		time_format(json_number(backtrack, "asked_time_us"), utc, asked);
	else if (*json_text(backtrack, "mark"))
		snprintf(asked, sizeof asked, "mark:%s", json_text(backtrack, "mark"));
	moment_format(json_at(backtrack, "reached"), utc, reached);
	moment_format(json_at(backtrack, "from"), utc, from);
	count_format((uint64_t)json_number(backtrack, "records"), records);
	took_format(backtrack, inside, took);
	printf("%s%lld%s  at %s, %s change records\n", style(stdout, BOLD),
	       (long long)json_number(backtrack, "number"), style(stdout, PLAIN), at, records);
	if (!json_truth(backtrack, "finished"))
		snprintf(took, sizeof took, "not known: the %s when this was written",
			 inside ? "program ended" : "server had not answered again");
	printf("   asked for  %s\n   reached    %s\n   from       %s\n   took       %s\n", asked,
	       reached, from, took);
}

static void print_all(const struct typed *typed, const json_t *all, bool inside)
{
	const json_t *backtrack;
	size_t i;

	json_array_foreach (all, i, backtrack) {
		if (i)
			putchar('\n');
		print_one(backtrack, inside, typed_switch(typed, "utc"));
	}
	if (!json_array_size(all))
		puts("none yet");
}

static int run(const struct typed *typed)
{
	struct talk talk;
	json_t *result;
	int ending;

	ending = talk_open(&talk, typed, TALK_LOOKS);
	if (ending == END_OK)
		ending = talk_ask(&talk, json_pack("{s:s}", "do", "backtracks"), &result);
	if (ending == END_OK && typed_switch(typed, "json")) {
		ending = print_json(typed, result);
	} else if (ending == END_OK) {
		print_all(typed, json_at(result, "backtracks"), cluster_is_inside(talk.cluster));
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_backtracks = {
	.name = "backtracks",
	.summary = "List the backtracks that were made",
	.operands = {OPERAND_CLUSTER},
	.options = {OPTION_JSON("them"), OPTION_UTC},
	.text = "Oldest first. \"from\" is the head that a backtrack left: going there undoes it, "
		"for as long as that moment is in the window.",
	.examples = {{"backtracks shop --json", "For a program."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.run = run,
};
