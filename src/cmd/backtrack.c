/* unspill backtrack */
#include "cmd/commands.h"
#include "cmd/talk.h"
#include "base/timetext.h"
#include "base/units.h"

static void print_plan(const struct talk *talk, const json_t *plan, int64_t asked_us)
{
	bool utc = typed_switch(talk->typed, "utc");
	char to[MOMENT_TEXT_MAX], from[MOMENT_TEXT_MAX], asked[TIME_TEXT_MAX],
		distance[UNITS_TEXT_MAX];
	char records[UNITS_TEXT_MAX], bytes[UNITS_TEXT_MAX], headers[UNITS_TEXT_MAX];
	long long connections = json_number(plan, "connections");

	moment_format(json_at(plan, "to"), utc, to);
	moment_format(json_at(plan, "from"), utc, from);
	elapsed_format(json_number(plan, "from.time_us") - json_number(plan, "to.time_us"),
		       distance);
	count_format((uint64_t)json_number(plan, "records"), records);
	bytes_format(json_real_at(plan, "bytes"), bytes);
	count_format((uint64_t)json_number(plan, "replay_records"), headers);
	printf("%s%s%s goes to %s%s%s\n", style(stdout, BOLD), talk->cluster->name,
	       style(stdout, PLAIN), style(stdout, CYAN), to, style(stdout, PLAIN));
	if (asked_us) {
		time_format(asked_us, utc, asked);
		printf("  asked for    %s: this is the last change up to then\n", asked);
	}
	printf("  from         %s\n", from);
	if (!json_number(plan, "records"))
		printf("  distance     none: nothing has changed since\n");
	else
		printf("  distance     %s, %s change records, %s; %s record headers to read\n",
		       distance, records, bytes, headers);
	if (cluster_is_inside(talk->cluster))
		printf("  closes       nothing: it waits for transactions to end, and %lld "
		       "connection%s read%s on at the new head\n",
		       connections, connections == 1 ? "" : "s", connections == 1 ? "s" : "");
	else if (json_truth(plan, "server") && !connections)
		printf("  closes       the server, which is killed and started again; nobody is "
		       "connected\n");
	else if (json_truth(plan, "server"))
		printf("  closes       the server, which is killed and started again, and %lld "
		       "connection%s\n",
		       connections, connections == 1 ? "" : "s");
	else
		printf("  closes       nothing: the server is stopped, and stays so\n");
	printf("  left behind  the changes since, still reachable until they leave the window\n");
}

static void print_result(const struct talk *talk, const json_t *result)
{
	char reached[MOMENT_TEXT_MAX], took[TOOK_TEXT_MAX];

	moment_format(json_at(result, "reached"), typed_switch(talk->typed, "utc"), reached);
	took_format(result, cluster_is_inside(talk->cluster), took);
	printf("%s%s is as it was at %s%s\n", style(stdout, GREEN), talk->cluster->name, reached,
	       style(stdout, PLAIN));
	printf("  took         %s\n", took);
	if (*json_text(result, "unsettled"))
		printf("  attention    connections that were open are refused, open them again: "
		       "%s\n",
		       json_text(result, "unsettled"));
	printf("  undo         unspill backtrack %s --to lsn:%lld\n", talk->cluster->name,
	       (long long)json_number(result, "from.lsn"));
}

/* Go to the very moment that was shown, whatever has been written meanwhile. */
static int go(struct talk *talk, const json_t *plan, int64_t asked_us)
{
	json_t *result;
	int ending;

	ending = talk_ask(talk,
			  json_pack("{s:s, s:{s:I}, s:I}", "do", "backtrack", "to", "lsn",
				    (json_int_t)json_number(plan, "to.lsn"), "asked_time_us",
				    (json_int_t)asked_us),
			  &result);
	if (ending != END_OK)
		return ending;
	if (typed_switch(talk->typed, "json"))
		return print_json(talk->typed, result);
	print_result(talk, result);
	json_decref(result);
	return END_OK;
}

static int show_and_go(struct talk *talk, json_t *to, int64_t asked_us)
{
	const struct typed *typed = talk->typed;
	bool json = typed_switch(typed, "json"), dry_run = typed_switch(typed, "dry-run");
	json_t *plan;
	int ending;

	ending = talk_ask(talk, json_pack("{s:s, s:o}", "do", "plan", "to", to), &plan);
	if (ending != END_OK)
		return ending;
	if (json && dry_run)
		return print_json(typed, plan);
	if (!json)
		print_plan(talk, plan, asked_us);
	if (dry_run) {
		puts("Nothing was done: --dry-run.");
	} else {
		ending = confirm(typed, "Go there?");
		if (ending == END_OK) {
			talk_catch_interrupts();
			ending = go(talk, plan, asked_us);
		}
	}
	json_decref(plan);
	return ending;
}

static int run(const struct typed *typed)
{
	struct talk talk;
	int64_t asked_us;
	json_t *to;
	int ending;

	/* Before anything is started or asked. */
	ending = moment_parse(typed, "--to", typed_value(typed, "to"), &to, &asked_us);
	if (ending != END_OK)
		return ending;
	if (!typed_switch(typed, "yes") && !typed_switch(typed, "dry-run") &&
	    (!can_ask() || typed_switch(typed, "json"))) {
		json_decref(to);
		return fail(
			typed, END_USAGE,
			"%s; nothing was done; add --yes to go ahead, or --dry-run to see the plan",
			can_ask() ? "--json does not ask" : "there is no terminal to ask on");
	}
	ending = talk_open(&talk, typed, TALK_TOLD);
	if (ending == END_OK)
		ending = show_and_go(&talk, to, asked_us);
	else
		json_decref(to);
	talk_close(&talk);
	return ending;
}

const struct command command_backtrack = {
	.name = "backtrack",
	.summary = "Put a cluster back, in place, to a moment of its past",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"to", .argument = "MOMENT", .required = true,
			 .text = "Where to go: a time, mark:NAME or lsn:N. The cluster gets "
				 "everything that had happened up to and including that time."},
			{"dry-run", .text = "Show what it would do, and do nothing."},
			OPTION_YES,
			OPTION_JSON("the result (with --dry-run the plan)"),
			OPTION_UTC,
		},
	.text = "First says which moment exactly that is, how many change records lie between it "
		"and now, and what closes: the server is killed, which loses its connections, the "
		"volume is put back, and the server starts again and recovers as from a crash. "
		"Then asks, goes, and says how long each step took.\n\n"
		"Nothing is lost by it: what it leaves behind stays reachable, as the past that "
		"it is, until it leaves the backtrack window. The result ends with the command "
		"that undoes it.\n\n"
		"The cluster may be stopped; it is then put back and stays stopped. Ctrl-C before "
		"the switch cancels, and the cluster goes on as it was; after the switch it is "
		"too late, and the backtrack completes.",
	.examples =
		{
			{"backtrack shop --to '10 minutes ago' --dry-run", "See what it would do."},
			{"backtrack shop --to 09:41:07.250", "To that time of today."},
			{"backtrack shop --to mark:before-migration --yes",
			 "To a mark, from a script."},
			{"backtrack shop --to lsn:123456",
			 "To a place on the tape, such as the one before the last backtrack."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_CANCELLED,
	.takes_moment = true,
	.run = run,
};
