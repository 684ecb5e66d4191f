/* unspill modify */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "cmd/window.h"
#include "base/units.h"

static int run(const struct typed *typed)
{
	char window[UNITS_TEXT_MAX];
	struct talk talk;
	int64_t window_us;
	json_t *result;
	int ending;

	ending = window_parse(typed, &window_us);
	if (ending != END_OK)
		return ending;
	ending = talk_open(&talk, typed, TALK_ANY);
	if (ending == END_OK)
		ending = talk_ask(
			&talk,
			json_pack("{s:s, s:I}", "do", "modify", "window_us", (json_int_t)window_us),
			&result);
	if (ending == END_OK && typed_switch(typed, "json")) {
		ending = print_json(typed, result);
	} else if (ending == END_OK) {
		duration_format(json_number(result, "window_us"), window);
		printf("the backtrack window of %s is %s\n", talk.cluster->name,
		       json_number(result, "window_us") ? window : "off");
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_modify = {
	.name = "modify",
	.summary = "Change the backtrack window: longer, shorter, off, on again",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"backtrack-window", .argument = "DURATION", .required = true,
			 .text = "How far back the cluster can be put, such as 72h or 1d12h; 0 "
				 "or off keeps no past."},
			OPTION_JSON("the new window"),
			OPTION_UTC,
		},
	.text = "May be changed at any time. A longer window fills up as time passes: what has "
		"been let go does not come back. A shorter one lets the oldest moments go, in the "
		"background.",
	.examples =
		{
			{"modify shop --backtrack-window 72h", "Three days."},
			{"modify shop --backtrack-window off", "Keep no past, for now."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.run = run,
};
