/* unspill modify */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "cmd/window.h"
#include "base/units.h"

#include <strings.h>

/* What was asked for, as the keeper takes it. */
static int parse(const struct typed *typed, json_t *ask)
{
	const char *history = typed_value(typed, "max-history"),
		   *rate = typed_value(typed, "detach-rate");
	struct problem why;
	int64_t window_us;
	uint64_t bytes = 0;
	int ending;

	if (!history && !typed_value(typed, "backtrack-window") && !rate &&
	    !typed_switch(typed, "detach"))
		return fail(typed, END_USAGE,
			    "nothing to change: say --backtrack-window DURATION, --max-history "
			    "SIZE, --detach or --detach-rate SIZE");
	if (typed_value(typed, "backtrack-window")) {
		ending = window_parse(typed, &window_us);
		if (ending != END_OK)
			return ending;
		json_object_set_new(ask, "window_us", json_integer(window_us));
	}
	if (history && strcasecmp(history, "off") && bytes_parse(history, &bytes, &why) < 0)
		return fail(typed, END_USAGE, "--max-history: %s", why.text);
	if (history)
		json_object_set_new(ask, "history_max", json_integer((json_int_t)bytes));
	if (rate && bytes_parse(rate, &bytes, &why) < 0)
		return fail(typed, END_USAGE, "--detach-rate: %s", why.text);
	if (rate)
		json_object_set_new(ask, "detach_rate", json_integer((json_int_t)bytes));
	if (typed_switch(typed, "detach"))
		json_object_set_new(ask, "detach", json_true());
	return END_OK;
}

static void print(const struct talk *talk, const struct typed *typed, const json_t *result)
{
	char text[UNITS_TEXT_MAX];

	if (typed_value(typed, "backtrack-window")) {
		duration_format(json_number(result, "window_us"), text);
		printf("the backtrack window of %s is %s\n", talk->cluster->name,
		       json_number(result, "window_us") ? text : "off");
	}
	if (typed_value(typed, "max-history")) {
		bytes_format((double)json_number(result, "history_max"), text);
		printf("the history of %s may take %s%s\n", talk->cluster->name,
		       json_number(result, "history_max") ? "at most " : "",
		       json_number(result, "history_max") ? text : "what the disk has room for");
	}
	if (typed_switch(typed, "detach") || typed_value(typed, "detach-rate"))
		printf("%s %s; 'unspill status %s' says how far it is\n", talk->cluster->name,
		       !json_truth(result, "attached") ? "has detached already"
		       : json_truth(result, "thin")    ? "goes on sharing (--detach ends that)"
						       : "copies what it shares, while it is open",
		       talk->cluster->name);
}

static int run(const struct typed *typed)
{
	json_t *ask = json_pack("{s:s}", "do", "modify"), *result;
	struct talk talk;
	int ending;

	ending = parse(typed, ask);
	if (ending != END_OK) {
		json_decref(ask);
		return ending;
	}
	ending = talk_open(&talk, typed, TALK_TOLD);
	if (ending == END_OK)
		ending = talk_ask(&talk, ask, &result);
	else
		json_decref(ask);
	if (ending == END_OK && typed_switch(typed, "json")) {
		ending = print_json(typed, result);
	} else if (ending == END_OK) {
		print(&talk, typed, result);
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_modify = {
	.name = "modify",
	.summary = "Change the window, the space for history, how a clone detaches",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"backtrack-window", .argument = "DURATION",
			 .text = "How far back the cluster can be put, such as 72h or 1d12h; 0 "
				 "or off keeps no past."},
			{"max-history", .argument = "SIZE",
			 .text = "The space that the history may take, such as 20G: when it is "
				 "reached, the "
				 "oldest moments go early. 0 or off bounds it by the disk alone."},
			{"detach",
			 .text = "A clone made with --thin copies what it shares after all."},
			{"detach-rate", .argument = "SIZE",
			 .text = "How much a clone copies in a second, such as 8M; 0: as if "
				 "nothing "
				 "had been said, 32 MiB."},
			OPTION_JSON("the new settings"),
			OPTION_UTC,
		},
	.text = "May be changed at any time. A longer window fills up as time passes: what has "
		"been let go does not come back. A shorter one lets the oldest moments go, in the "
		"background. 'unspill status' tells what an hour of history takes, and what the "
		"window will need.",
	.examples =
		{
			{"modify shop --backtrack-window 72h", "Three days."},
			{"modify shop --backtrack-window off", "Keep no past, for now."},
			{"modify shop --max-history 20G", "Three days, or what fits into 20 GiB."},
			{"modify shop-thin --detach --detach-rate 8M",
			 "Stop sharing with the parent, slowly."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.run = run,
};
