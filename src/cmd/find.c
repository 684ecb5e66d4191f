/* unspill find */
#include "cmd/commands.h"
#include "cmd/states.h"
#include "base/clock.h"
#include "base/units.h"

#include <errno.h>
#include <string.h>

struct search {
	const struct typed *typed;
	struct talk talk;
	struct progress progress;
	bool utc, json;
	struct state state;   /* its server goes from moment to moment */
	char *schema, *table; /* as at the end of the search */
	json_t *low, *high;   /* MOMENTs of an answer: not true there, true there */
	int64_t low_lsn;      /* nothing happened between low and this */
	unsigned probes;
};

/* --- One moment ------------------------------------------------------------------------------- */

static int ask_server(struct search *search, int64_t *ret, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	int r;

	sql_put(&text, "SELECT COUNT(*) FROM (SELECT 1 FROM ");
	sql_put_table(search->state.sql, &text, search->schema, search->table);
	sql_putf(&text, " WHERE (%s\n) LIMIT 1) AS one", search->typed->operands[1]);
	buffer_put8(&text, 0);
	r = sql_number(search->state.sql, (const char *)text.data, ret, why);
	search->probes++;
	return r;
}

static json_t *at_lsn(int64_t lsn)
{
	return json_pack("{s:I}", "lsn", (json_int_t)lsn);
}

/* Whether it was true at a position; there may have been no such table or column yet. */
static int probe(struct search *search, int64_t lsn, bool *ret)
{
	struct problem why = {""};
	json_t *at = at_lsn(lsn);
	int64_t n = 0;
	int ending, r;

	ending = state_go(&search->state, &search->talk, at);
	json_decref(at);
	if (ending != END_OK)
		return ending;
	r = sql_use(search->state.sql, search->schema, &why);
	if (r == 0)
		r = ask_server(search, &n, &why);
	if (r < 0 && r != -ENOENT)
		return fail_sql(search->typed, r, &why);
	*ret = r == 0 && n > 0;
	return END_OK;
}

/* Which moment a MOMENT of a request is, without a server. */
static int resolve(struct search *search, json_t *to, json_t **ret)
{
	json_t *plan;
	int ending;

	ending = talk_ask(&search->talk, json_pack("{s:s, s:o}", "do", "plan", "to", to), &plan);
	if (ending != END_OK)
		return ending;
	*ret = json_incref(json_object_get(plan, "to"));
	json_decref(plan);
	return END_OK;
}

/* --- The search ------------------------------------------------------------------------------- */

/* Halve what is left; nothing is started where nothing happened. */
static int halve(struct search *search)
{
	int64_t high = json_number(search->high, "lsn");
	int64_t middle = search->low_lsn + (high - search->low_lsn) / 2;
	json_t *at;
	bool is_true;
	int ending;

	ending = resolve(search, at_lsn(middle), &at);
	if (ending != END_OK)
		return ending;
	if (json_number(at, "lsn") <= json_number(search->low, "lsn")) {
		json_decref(at);
		search->low_lsn = middle;
		return END_OK;
	}
	ending = probe(search, json_number(at, "lsn"), &is_true);
	if (ending != END_OK) {
		json_decref(at);
		return ending;
	}
	json_decref(is_true ? search->high : search->low);
	*(is_true ? &search->high : &search->low) = at;
	if (!is_true)
		search->low_lsn = middle;
	return END_OK;
}

static void tell(struct search *search)
{
	json_t *object =
		json_pack("{s:s, s:I, s:I, s:s}", "step", "searching", "done",
			  (json_int_t)search->probes, "total", (json_int_t)0, "unit", "moments");

	progress_update(object, &search->progress);
	json_decref(object);
}

static int bisect(struct search *search)
{
	int ending = END_OK;

	search->low_lsn = json_number(search->low, "lsn");
	progress_step(&search->progress, "searching");
	while (ending == END_OK && json_number(search->high, "lsn") - search->low_lsn > 1) {
		if (talk_interrupted())
			ending = fail(search->typed, END_CANCELLED, "cancelled");
		else
			ending = halve(search);
		tell(search);
	}
	progress_done(&search->progress, ending == END_OK);
	return ending;
}

/* --- Its ends --------------------------------------------------------------------------------- */

static int parse_moment(const struct typed *typed, const char *what, const char *text, json_t **ret)
{
	int64_t duration, asked;

	if (text && duration_parse(text, &duration, NULL) == 0) {
		*ret = json_pack("{s:I}", "time_us", (json_int_t)(clock_realtime_us() - duration));
		return END_OK;
	}
	return moment_parse(typed, what, text ? text : "now", ret, &asked);
}

/* The table and the condition must make sense at the end: what is wrong there is a mistake in them.
 */
static int look_at_end(struct search *search, bool *ret)
{
	const struct typed *typed = search->typed;
	struct problem why = {""};
	int64_t n = 0;
	int ending, r;
	json_t *at;

	at = at_lsn(json_number(search->high, "lsn"));
	ending = state_open_past(&search->state, &search->talk, at, &search->progress);
	json_decref(at);
	if (ending != END_OK)
		return ending;
	r = sql_find_table(search->state.sql, typed_value(typed, "table"), &search->schema,
			   &search->table, &why);
	if (r == 0)
		r = sql_use(search->state.sql, search->schema, &why);
	if (r == 0)
		r = ask_server(search, &n, &why);
	if (r < 0)
		return fail_sql(typed, r, &why);
	*ret = n > 0;
	return END_OK;
}

static int print_found(struct search *search)
{
	char before[MOMENT_TEXT_MAX], at[MOMENT_TEXT_MAX];

	if (search->json)
		return print_json(search->typed,
				  json_pack("{s:b, s:O, s:O, s:i}", "found", 1, "before",
					    search->low, "at", search->high, "probes",
					    (int)search->probes));
	moment_format(search->low, search->utc, before);
	moment_format(search->high, search->utc, at);
	printf("%sit became true at %s%s\n", style(stdout, BOLD), at, style(stdout, PLAIN));
	printf("  just before  %s\n", before);
	printf("  looked at    %u moments; had it come and gone in between, this is one of the "
	       "times it came\n",
	       search->probes);
	printf("  go there     unspill repair %s --table %s.%s --to lsn:%lld --until lsn:%lld\n",
	       search->talk.cluster->name, search->schema, search->table,
	       (long long)json_number(search->low, "lsn"),
	       (long long)json_number(search->high, "lsn"));
	return END_OK;
}

static int print_always(struct search *search)
{
	char at[MOMENT_TEXT_MAX];

	moment_format(search->low, search->utc, at);
	return fail(search->typed, END_FAILED,
		    "it was already true at %s, where the search begins: choose an earlier --since",
		    at);
}

/* As resolve(), but what lies before the earliest moment is that: "--since 2h" of what is an hour
 * old. */
static int resolve_since(struct search *search, json_t *since, json_t **ret)
{
	char text[MOMENT_TEXT_MAX];
	const json_t *earliest;
	json_t *status;
	int ending;

	ending = talk_ask(&search->talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK) {
		json_decref(since);
		return ending;
	}
	earliest = json_at(status, "horizon");
	if (json_at(since, "time_us") &&
	    json_number(since, "time_us") < json_number(earliest, "time_us")) {
		json_decref(since);
		since = at_lsn(json_number(earliest, "lsn"));
		moment_format(earliest, search->utc, text);
		note("There is nothing before %s: the search begins there.", text);
	}
	json_decref(status);
	return resolve(search, since, ret);
}

static int search_between(struct search *search, json_t *since, json_t *until)
{
	bool is_true = false;
	int ending;

	ending = resolve_since(search, since, &search->low);
	if (ending == END_OK)
		ending = resolve(search, until, &search->high);
	else
		json_decref(until);
	if (ending != END_OK)
		return ending;
	if (json_number(search->low, "lsn") > json_number(search->high, "lsn"))
		return fail(search->typed, END_USAGE, "--since is not before --until");
	ending = look_at_end(search, &is_true);
	if (ending == END_OK && !is_true)
		return fail(search->typed, END_FAILED,
			    "it is not true at the end of the search, and nothing can be told of "
			    "in between: choose an --until at which it was");
	if (ending == END_OK)
		ending = probe(search, json_number(search->low, "lsn"), &is_true);
	if (ending == END_OK && is_true)
		return print_always(search);
	if (ending == END_OK)
		ending = bisect(search);
	return ending == END_OK ? print_found(search) : ending;
}

static int run(const struct typed *typed)
{
	struct search search = {
		.typed = typed,
		.utc = typed_switch(typed, "utc"),
		.json = typed_switch(typed, "json"),
	};
	json_t *since, *until;
	int ending;

	progress_init(&search.progress, search.json);
	ending = parse_moment(typed, "--since", typed_value(typed, "since"), &since);
	if (ending != END_OK)
		return ending;
	ending = parse_moment(typed, "--until", typed_value(typed, "until"), &until);
	if (ending != END_OK) {
		json_decref(since);
		return ending;
	}
	talk_catch_interrupts();
	ending = talk_open(&search.talk, typed, TALK_ANY);
	if (ending == END_OK) {
		ending = search_between(&search, since, until);
	} else {
		json_decref(since);
		json_decref(until);
	}
	state_leave(&search.state);
	talk_close(&search.talk);
	free(search.schema);
	free(search.table);
	json_decref(search.low);
	json_decref(search.high);
	return ending;
}

const struct command command_find_moment = {
	.name = "find",
	.summary = "Find the moment when something became true of a table's rows",
	.operands = {OPERAND_CLUSTER, {"SQL", "the condition, as it stands behind WHERE"}},
	.options =
		{
			{"table", .argument = "TABLE", .required = true,
			 .text = "SCHEMA.TABLE, or TABLE where only one schema has it. PostgreSQL: "
				 "[DATABASE.][SCHEMA.]TABLE."},
			{"since", .argument = "MOMENT", .required = true,
			 .text = "Where to begin: a time, mark:NAME, lsn:N, or a duration such as "
				 "2h for two hours ago. Where there is nothing so early, it begins "
				 "at the earliest moment. It must not be true there."},
			{"until", .argument = "MOMENT",
			 .text = "Where to end, written likewise; now if left out. It must be true "
				 "there."},
			OPTION_JSON("the moment"),
			OPTION_UTC,
		},
	.text = "The condition is true when it holds for at least one row. Halving the time "
		"between, "
		"a throw-away server at each moment is asked, until there is one change record "
		"between the last moment at which it was not true and the first at which it was: "
		"the commit that did it. The cluster is not disturbed.\n\n"
		"Where it has come and gone several times, one of the times that it came is found.",
	.examples =
		{
			{"find shop --table users \"email = 'oops@example.com'\" --since 2h",
			 "When did this come in?"},
			{"find shop --table orders 'total = 0' --since mark:morning",
			 "Since a mark."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_CANCELLED | 1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
