/* unspill moments */
#include "cmd/commands.h"
#include "cmd/picture.h"
#include "cmd/talk.h"
#include "base/clock.h"
#include "base/timetext.h"
#include "base/units.h"

#include <string.h>

#define LINES 40
#define STEPS_MAX 10000 /* what an answer's line holds, several times over */
#define SECOND_US 1000000LL

struct span {
	int64_t since_us, until_us; /* 0: not said */
	int64_t step_us;
	int64_t fine_us; /* what the keeper is asked for */
};

/* "1h" means an hour ago. */
static int parse_end(const struct typed *typed, const char *what, const char *text, int64_t *ret_us)
{
	int64_t now = clock_realtime_us(), duration;
	struct problem why;

	if (duration_parse(text, &duration, NULL) >= 0 && duration <= now) {
		*ret_us = now - duration;
		return END_OK;
	}
	if (time_parse(text, now, ret_us, &why) < 0)
		return fail(typed, END_USAGE, "%s: %s", what, why.text);
	return END_OK;
}

static int parse_span(const struct typed *typed, struct span *ret)
{
	const char *since = typed_value(typed, "since"), *until = typed_value(typed, "until"),
		   *step = typed_value(typed, "step");
	struct problem why;
	int ending = END_OK;

	*ret = (struct span){0};
	if (since)
		ending = parse_end(typed, "--since", since, &ret->since_us);
	if (ending == END_OK && until)
		ending = parse_end(typed, "--until", until, &ret->until_us);
	if (ending != END_OK)
		return ending;
	if (step && duration_parse(step, &ret->step_us, &why) < 0)
		return fail(typed, END_USAGE, "--step: %s", why.text);
	if (step && ret->step_us < 1000)
		return fail(typed, END_USAGE,
			    "--step: '%s' is too short; a millisecond, 0.001s, is the least", step);
	if (since && until && ret->since_us >= ret->until_us)
		return fail(typed, END_USAGE, "--since is not before --until");
	return END_OK;
}

/* What was not said: the last hour, or as much of it as there is; up to now; in about 40 steps. */
static int complete_span(const struct typed *typed, struct span *span, const json_t *status)
{
	bool utc = typed_switch(typed, "utc");
	int64_t horizon = json_number(status, "horizon.time_us");

	if (!span->until_us)
		span->until_us = clock_realtime_us();
	if (!span->since_us) {
		span->since_us = span->until_us - 3600 * SECOND_US;
		if (horizon < span->until_us)
			span->since_us = MAX(span->since_us, horizon);
	}
	if (span->since_us >= span->until_us)
		return fail(typed, END_USAGE, "--since is not before --until, or before now");
	if (!span->step_us)
		span->step_us = picture_step(span->until_us - span->since_us, LINES);
	span->since_us = picture_align(span->since_us, span->step_us, utc);
	span->fine_us = span->step_us;
	if (!typed_switch(typed, "json"))
		span->fine_us = picture_fine(span->until_us - span->since_us, span->step_us);
	if ((span->until_us - span->since_us) / span->step_us >= STEPS_MAX)
		return fail(
			typed, END_USAGE,
			"that would be %lld steps; at most %d are shown: choose a longer --step",
			(long long)((span->until_us - span->since_us) / span->step_us + 1),
			STEPS_MAX);
	return END_OK;
}

/* [time, records, bytes] becomes an object, as a program likes it. */
static void name_steps(json_t *moments)
{
	json_t *steps = json_object_get(moments, "steps"), *step;
	size_t i;

	json_array_foreach (steps, i, step)
		json_array_set_new(steps, i,
				   json_pack("{s:O, s:O, s:O}", "time_us", json_array_get(step, 0),
					     "records", json_array_get(step, 1), "bytes",
					     json_array_get(step, 2)));
}

static int show(const struct typed *typed, const struct cluster *cluster, const struct span *span,
		json_t *moments)
{
	const struct picture_options options = {
		.name = cluster->name,
		.since_us = span->since_us,
		.until_us = span->until_us,
		.step_us = span->step_us,
		.fine_us = span->fine_us,
		.utc = typed_switch(typed, "utc"),
		.columns = MIN(columns(stdout), 160),
		.utf8 = is_utf8(),
	};

	if (typed_switch(typed, "json")) {
		name_steps(moments);
		return print_json(typed, moments);
	}
	picture_draw(&options, moments, stdout);
	json_decref(moments);
	return END_OK;
}

static int ask_and_show(struct talk *talk, struct span *span)
{
	json_t *status, *moments;
	int ending;

	ending = talk_ask(talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK)
		return ending;
	ending = complete_span(talk->typed, span, status);
	json_decref(status);
	if (ending != END_OK)
		return ending;
	ending = talk_ask(talk,
			  json_pack("{s:s, s:I, s:I, s:I}", "do", "moments", "since_us",
				    (json_int_t)span->since_us, "until_us",
				    (json_int_t)span->until_us, "step_us",
				    (json_int_t)span->fine_us),
			  &moments);
	return ending == END_OK ? show(talk->typed, talk->cluster, span, moments) : ending;
}

static int run(const struct typed *typed)
{
	struct talk talk;
	struct span span;
	int ending;

	ending = parse_span(typed, &span);
	if (ending != END_OK)
		return ending;
	ending = talk_open(&talk, typed, TALK_LOOKS);
	if (ending == END_OK)
		ending = ask_and_show(&talk, &span);
	talk_close(&talk);
	return ending;
}

const struct command command_moments = {
	.name = "moments",
	.summary = "Draw the changes over time, to see where the spill happened",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"since", .argument = "MOMENT",
			 .text = "Where to begin: a time, or a duration such as 1h for an hour "
				 "ago. By default the last hour, or as much of it as is kept."},
			{"until", .argument = "MOMENT",
			 .text = "Where to end, written likewise; now if left out."},
			{"step", .argument = "DURATION",
			 .text = "The time that one line stands for; chosen so that about 40 "
				 "lines come out if left out."},
			OPTION_JSON("the steps, marks and backtracks"),
			OPTION_UTC,
		},
	.text = "One line per step: its time, a bar as long as there were change records, their "
		"number and bytes. Marks, backtracks and the horizon stand at their places "
		"between. Three and more empty steps become one line.\n\n"
		"The time line is that of what was done: changes that a backtrack left behind are "
		"drawn lighter; they can still be reached.",
	.examples =
		{
			{"moments shop", "The last hour."},
			{"moments shop --since 09:40 --until 09:45 --step 1s", "Look closer."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY,
	.takes_moment = true,
	.run = run,
};
