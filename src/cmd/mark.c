/* unspill mark */
#include "cmd/commands.h"
#include "cmd/talk.h"

static int run(const struct typed *typed)
{
	char moment[MOMENT_TEXT_MAX];
	json_t *request = json_pack("{s:s, s:s}", "do", "mark", "name", typed->operands[1]),
	       *result;
	struct talk talk;
	int ending;

	/* jansson takes UTF-8 only. */
	if (!request)
		return fail(typed, END_USAGE, "the mark's name is not UTF-8");
	ending = talk_open(&talk, typed, TALK_TOLD);
	if (ending == END_OK)
		ending = talk_ask(&talk, request, &result);
	else
		json_decref(request);
	if (ending == END_OK && typed_switch(typed, "json")) {
		json_object_set_new(result, "name", json_string(typed->operands[1]));
		ending = print_json(typed, result);
	} else if (ending == END_OK) {
		moment_format(json_at(result, "moment"), typed_switch(typed, "utc"), moment);
		printf("mark:%s is %s\n", typed->operands[1], moment);
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_mark = {
	.name = "mark",
	.summary = "Name the present moment, to go back to it later",
	.operands = {OPERAND_CLUSTER, {"MARK", "the mark's name"}},
	.options = {OPTION_JSON("the mark"), OPTION_UTC},
	.text = "Set a mark before a migration, a deployment, a test. Afterwards mark:MARK stands "
		"for that moment wherever a moment is asked for, until it leaves the backtrack "
		"window. Marks survive backtracks.\n\n"
		"A name can be used again once the moment that had it is out of reach.",
	.examples =
		{
			{"mark shop before-migration", "Name this moment."},
			{"backtrack shop --to mark:before-migration", "Go back to it."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_TAKEN | 1 << END_BUSY,
	.run = run,
};
