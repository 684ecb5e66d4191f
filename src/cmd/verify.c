/* unspill verify */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/units.h"

static int report(const struct talk *talk, const json_t *result)
{
	const json_t *damage = json_at(result, "damage"), *line;
	char bytes[UNITS_TEXT_MAX];
	size_t i;

	bytes_format(json_real_at(result, "bytes"), bytes);
	json_array_foreach (damage, i, line)
		puts(json_string_value(line));
	if (json_array_size(damage))
		return fail(talk->typed, END_DAMAGED, "%zu damaged place%s in %s",
			    json_array_size(damage), json_array_size(damage) == 1 ? "" : "s",
			    bytes);
	printf("%s: %s read, every checksum is right\n", talk->cluster->name, bytes);
	return END_OK;
}

static int run(const struct typed *typed)
{
	struct talk talk;
	json_t *result;
	int ending;

	ending = talk_open(&talk, typed, TALK_ANY);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = talk_ask(&talk, json_pack("{s:s}", "do", "verify"), &result);
	}
	if (ending == END_OK && typed_switch(typed, "json")) {
		bool damaged = json_array_size(json_at(result, "damage"));

		ending = print_json(typed, result);
		if (ending == END_OK && damaged)
			ending = END_DAMAGED;
	} else if (ending == END_OK) {
		ending = report(&talk, result);
		json_decref(result);
	}
	talk_close(&talk);
	return ending;
}

const struct command command_verify = {
	.name = "verify",
	.summary = "Check every checksum of the tape, the base and the checkpoints",
	.operands = {OPERAND_CLUSTER},
	.options = {OPTION_JSON("the damage"), OPTION_UTC},
	.text = "Reads all that is on the disk and prints one line per damaged place. The cluster "
		"goes on working meanwhile. Changes nothing.",
	.examples = {{"verify shop", "Exit code 0: all is well; 6: something is damaged."}},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_DAMAGED | 1 << END_CANCELLED,
	.run = run,
};
