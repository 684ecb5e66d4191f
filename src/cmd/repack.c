/* unspill repack */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/units.h"

static void report(const struct talk *talk, const json_t *result)
{
	char before[UNITS_TEXT_MAX], after[UNITS_TEXT_MAX];
	double left = json_real_at(result, "left");

	if (json_real_at(result, "segments") == 0) {
		printf("%s: nothing to repack%s\n", talk->cluster->name,
		       left > 0 ? "; what there is would not get much smaller" : "");
		return;
	}
	bytes_format(json_real_at(result, "before"), before);
	bytes_format(json_real_at(result, "after"), after);
	printf("%s: %s of history take %s now\n", talk->cluster->name, before, after);
}

static int run(const struct typed *typed)
{
	struct talk talk;
	json_t *result;
	int ending;

	ending = talk_open(&talk, typed, TALK_TOLD);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = talk_ask(&talk, json_pack("{s:s}", "do", "repack"), &result);
	}
	if (ending == END_OK && typed_switch(typed, "json")) {
		ending = print_json(typed, result);
	} else if (ending == END_OK) {
		report(&talk, result);
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_repack = {
	.name = "repack",
	.summary = "Keep history in less space",
	.operands = {OPERAND_CLUSTER},
	.options = {OPTION_JSON("what was done"), OPTION_UTC},
	.text = "Compresses the part of the tape that is complete: what was written again and "
		"again "
		"is kept as the difference from a newer version. Every moment stays reachable, and "
		"the cluster goes on working meanwhile. It can be stopped at any time: what is "
		"done "
		"stays done.\n\n"
		"A cluster does this by itself, slowly, with a gibibyte at a time; with "
		"\"repack\": "
		"false in its cluster.json it does not, from its next start of the keeper on.",
	.examples = {{"repack shop", "Takes some 10 seconds of one processor per GiB."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_CANCELLED,
	.run = run,
};
