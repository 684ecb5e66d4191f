/* unspill diff */
#include "cmd/commands.h"
#include "cmd/narrow.h"
#include "base/alloc.h"
#include "base/units.h"
#include "repair/compare.h"
#include "repair/schema.h"

#include <errno.h>
#include <string.h>

#define ROWS_SHOWN 20

struct difference {
	const struct typed *typed;
	struct talk talk;
	struct progress progress;
	bool json, utc, rows_too; /* the rows themselves, of one table */
	uint64_t limit;
	struct state from, to;
	uint64_t added, removed, changed;
	uint64_t shown;
	json_t *tables, *rows; /* with --json; rows of the table at hand */
	bool any;
	bool narrowed; /* of the table at hand: only what was written in between was looked at */
};

/* --- Rows ------------------------------------------------------------------------------------- */

/* "email 'a' -> 'b'" of the columns that are not the same. */
static void put_changes(const struct state *state, struct buffer *out, const struct pair *pair)
{
	size_t count = state->shape.count;
	CLEANUP(free) struct sql_value *was = xcalloc(count, sizeof *was);
	CLEANUP(free) struct sql_value *is = xcalloc(count, sizeof *is);

	row_values(pair->before, was, count);
	row_values(pair->after, is, count);
	for (size_t i = state->shape.key_count; i < count; i++) {
		if (!was[i].data == !is[i].data && was[i].size == is[i].size &&
		    !memcmp(was[i].data ? was[i].data : "", is[i].data ? is[i].data : "",
			    was[i].size))
			continue;
		sql_putf(out, ", %s ", state->shape.columns[i]->name);
		state_put_value(state, out, i, &was[i]);
		sql_put(out, " -> ");
		state_put_value(state, out, i, &is[i]);
	}
	if (state->shape.bag)
		sql_putf(out, ", then %llu times, now %llu times",
			 (unsigned long long)pair->before->copies,
			 (unsigned long long)pair->after->copies);
}

static void print_pair(struct difference *difference, const struct pair *pair)
{
	const struct state *state = &difference->from;
	enum style colour = !pair->before ? GREEN : !pair->after ? RED : YELLOW;
	CLEANUP(buffer) struct buffer text = {0};

	if (pair->before && pair->after) {
		state_put_key(state, &text, pair->before);
		put_changes(state, &text, pair);
	} else {
		state_put_row(state, &text, pair->before ? pair->before : pair->after, 0,
			      state->shape.count);
	}
	printf("  %s%c%s %.*s\n", style(stdout, colour),
	       !pair->before  ? '+'
	       : !pair->after ? '-'
			      : '~',
	       style(stdout, PLAIN), (int)text.size, (char *)text.data);
}

static void add_json(struct difference *difference, const struct pair *pair)
{
	const struct state *state = &difference->from;
	size_t count = state->shape.count;

	json_array_append_new(
		difference->rows,
		json_pack("{s:o?, s:o?}", "from",
			  pair->before ? state_json_row(state, pair->before, count) : NULL, "to",
			  pair->after ? state_json_row(state, pair->after, count) : NULL));
}

static int found(void *arg, const struct pair *pair)
{
	struct difference *difference = arg;

	difference->added += !pair->before;
	difference->removed += !pair->after;
	difference->changed += pair->before && pair->after;
	if (!difference->rows_too || difference->shown >= difference->limit)
		return 0;
	if (!difference->shown++)
		progress_done(&difference->progress, true);
	if (difference->json)
		add_json(difference, pair);
	else
		print_pair(difference, pair);
	return 0;
}

static int compared(void *arg, uint64_t rows)
{
	struct difference *difference = arg;
	json_t *object;

	/* Rows are being printed: nothing is drawn over them. */
	if (!difference->shown) {
		object = json_pack("{s:s, s:I, s:I, s:s}", "step", "comparing", "done",
				   (json_int_t)rows, "total",
				   (json_int_t)MAX(rows, difference->from.table->rows), "unit",
				   "rows");
		progress_update(object, &difference->progress);
		json_decref(object);
	}
	return talk_interrupted() ? -EINTR : 0;
}

/* --- One table -------------------------------------------------------------------------------- */

static char *definition_of(struct state *state, const char *schema, const char *name)
{
	char *text = NULL;

	return sql_show(state->sql, schema, name, &text, NULL) < 0 ? NULL : text;
}

static void print_lines(const char *prefix, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		printf("%s%.*s\n", prefix, (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void put_lines_of(struct buffer *out, char sign, const char *text, const char *other)
{
	while (*text) {
		size_t n = strcspn(text, "\n"), m = n - (n && text[n - 1] == ',');
		CLEANUP(free) char *line = strndup(text, m);

		if (!strstr(other, line))
			sql_putf(out, "%c %s\n", sign, line);
		text += n + (text[n] == '\n');
	}
}

/* Lines of the definitions that are only in one of them. */
static void put_schema(struct difference *difference, struct buffer *out)
{
	const struct sql_table *table = difference->from.table;
	CLEANUP(free) char *then = definition_of(&difference->from, table->schema, table->name);
	CLEANUP(free) char *now = definition_of(&difference->to, table->schema, table->name);

	if (then && now && strcmp(then, now)) {
		put_lines_of(out, '-', then, now);
		put_lines_of(out, '+', now, then);
	}
	if (!out->size)
		schema_put_changes(table, difference->to.table, out);
}

/* Of columns that are the same in both. */
static int make_shapes(struct difference *difference, bool *ret_comparable)
{
	const struct sql_table *then = difference->from.table, *now = difference->to.table;
	CLEANUP(free) const char **names = schema_common(then, now);
	struct problem why = {""};
	int r;

	*ret_comparable = schema_same_key(then, now) && (then->key_count || schema_same(then, now));
	r = shape_init(&difference->from.shape, then, names, NULL, &why);
	if (r == 0)
		r = shape_init(&difference->to.shape, now, names, NULL, &why);
	return r < 0 ? fail_sql(difference->typed, r, &why) : END_OK;
}

static int compare_rows(struct difference *difference)
{
	CLEANUP(spool) struct spool ranges = {0};
	struct compare compare = {
		.before = {difference->from.sql, &difference->from.shape},
		.after = {difference->to.sql, &difference->to.shape},
		.found = found,
		.progress = compared,
		.arg = difference,
	};
	char directory[PATH_MAX];
	struct problem why = {""};
	int r;

	cluster_path(difference->talk.cluster, "run", directory);
	r = narrow(&difference->from, &difference->to, directory, &ranges, &why);
	difference->narrowed = r > 0;
	compare.within = difference->narrowed ? &ranges : NULL;
	r = r < 0 ? r : compare_tables(&compare, &why);
	if (!difference->shown)
		progress_done(&difference->progress, r == 0);
	if (r == -EINTR)
		return fail(difference->typed, END_CANCELLED, "cancelled");
	return r < 0 ? fail_sql(difference->typed, r, &why) : END_OK;
}

static void print_sums(struct difference *difference, const char *schema_changes, bool comparable)
{
	const struct sql_table *table = difference->from.table;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX], c[UNITS_TEXT_MAX];

	things_format(difference->added, "row", a);
	count_format(difference->removed, b);
	count_format(difference->changed, c);
	printf("%s%s.%s%s: ", style(stdout, BOLD), table->schema, table->name,
	       style(stdout, PLAIN));
	if (!comparable)
		printf("the key is another one: rows cannot be compared\n");
	else
		printf("%s added, %s removed, %s changed%s\n", a, b, c,
		       difference->from.shape.bag ? " (no key: compared as a bag)" : "");
	print_lines("  ", schema_changes);
	if (difference->rows_too &&
	    difference->added + difference->removed + difference->changed > difference->shown)
		printf("  %llu of them are shown; --limit N shows more\n",
		       (unsigned long long)difference->shown);
}

static void note_sums(struct difference *difference, const char *schema_changes, bool comparable)
{
	json_t *table =
		json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "schema",
			  difference->from.table->schema, "name", difference->from.table->name,
			  "what", "both", "definition", schema_changes, "added",
			  (json_int_t)difference->added, "removed", (json_int_t)difference->removed,
			  "changed", (json_int_t)difference->changed, "comparable", comparable);

	json_object_set_new(table, "by_pages", json_boolean(difference->narrowed));
	if (difference->rows_too)
		json_object_set(table, "rows", difference->rows);
	json_array_append_new(difference->tables, table);
}

/* Both states have the table; it is described. */
static int one_table(struct difference *difference)
{
	CLEANUP(buffer) struct buffer changes = {0};
	bool comparable;
	int ending;

	difference->added = difference->removed = difference->changed = difference->shown = 0;
	ending = make_shapes(difference, &comparable);
	if (ending == END_OK && comparable)
		ending = compare_rows(difference);
	if (ending != END_OK)
		return ending;
	put_schema(difference, &changes);
	buffer_put8(&changes, 0);
	if (difference->added + difference->removed + difference->changed == 0 && !*changes.data &&
	    comparable && !difference->rows_too)
		return END_OK;
	difference->any = true;
	if (difference->json)
		note_sums(difference, (char *)changes.data, comparable);
	else
		print_sums(difference, (char *)changes.data, comparable);
	return END_OK;
}

/* --- All tables ------------------------------------------------------------------------------- */

static void only_there(struct difference *difference, const char *schema, const char *name,
		       bool added)
{
	difference->any = true;
	if (difference->json)
		json_array_append_new(difference->tables,
				      json_pack("{s:s, s:s, s:s}", "schema", schema, "name", name,
						"what", added ? "created" : "dropped"));
	else
		printf("%s%s.%s%s: the table was %s\n", style(stdout, BOLD), schema, name,
		       style(stdout, PLAIN), added ? "created" : "dropped");
}

static int describe(struct state *state, const struct typed *typed, const char *schema,
		    const char *name)
{
	struct problem why = {""};
	int r;

	shape_done(&state->shape);
	sql_table_free(take(state->table));
	r = sql_describe(state->sql, schema, name, &state->table, &why);
	return r < 0 ? fail_sql(typed, r, &why) : END_OK;
}

static int compare_names(const struct sql_names *a, size_t i, const struct sql_names *b, size_t j)
{
	int order;

	if (i == a->count || j == b->count)
		return i == a->count ? 1 : -1;
	order = strcmp(a->schemas[i], b->schemas[j]);
	return order ? order : strcmp(a->names[i], b->names[j]);
}

static int both(struct difference *difference, const char *schema, const char *name)
{
	int ending;

	ending = describe(&difference->from, difference->typed, schema, name);
	if (ending == END_OK)
		ending = describe(&difference->to, difference->typed, schema, name);
	return ending == END_OK ? one_table(difference) : ending;
}

static int all_tables(struct difference *difference)
{
	CLEANUP(sql_names) struct sql_names then = {0};
	CLEANUP(sql_names) struct sql_names now = {0};
	struct problem why = {""};
	size_t i = 0, j = 0;
	int ending = END_OK, r;

	r = sql_list(difference->from.sql, &then, &why);
	if (r == 0)
		r = sql_list(difference->to.sql, &now, &why);
	if (r < 0)
		return fail_sql(difference->typed, r, &why);
	while (ending == END_OK && (i < then.count || j < now.count)) {
		int order = compare_names(&then, i, &now, j);

		if (order < 0)
			only_there(difference, then.schemas[i], then.names[i], false);
		else if (order > 0)
			only_there(difference, now.schemas[j], now.names[j], true);
		else
			ending = both(difference, then.schemas[i], then.names[i]);
		i += order <= 0;
		j += order >= 0;
	}
	return ending;
}

/* --table: it has to be in one of the states. */
static int named_table(struct difference *difference)
{
	const char *name = typed_value(difference->typed, "table");
	char *schema = NULL, *table = NULL;
	struct problem why = {""};
	int ending, r;

	r = sql_find_table(difference->to.sql, name, &schema, &table, &why);
	if (r == -ENOENT &&
	    sql_find_table(difference->from.sql, name, &schema, &table, NULL) == 0) {
		only_there(difference, schema, table, false);
		ending = END_OK;
	} else if (r < 0) {
		ending = fail_sql(difference->typed, r, &why);
	} else if (sql_describe(difference->from.sql, schema, table, &difference->from.table,
				NULL) == -ENOENT) {
		only_there(difference, schema, table, true);
		ending = END_OK;
	} else {
		ending = both(difference, schema, table);
	}
	free(schema);
	free(table);
	return ending;
}

/* --- The command ------------------------------------------------------------------------------ */

static int finish(struct difference *difference)
{
	char from[MOMENT_TEXT_MAX], to[MOMENT_TEXT_MAX];

	state_moment(&difference->from, difference->utc, from);
	state_moment(&difference->to, difference->utc, to);
	if (difference->json)
		return print_json(difference->typed,
				  json_pack("{s:s, s:s, s:O}", "from", from, "to", to, "tables",
					    difference->tables));
	if (!difference->any)
		printf("Nothing differs between %s and %s.\n", from, to);
	return END_OK;
}

static int work(struct difference *difference, const json_t *from, const json_t *to)
{
	int ending;

	ending = talk_open(&difference->talk, difference->typed, TALK_ANY);
	if (ending == END_OK)
		ending = state_begin_past(&difference->from, &difference->talk, from);
	if (ending == END_OK)
		ending = state_begin_past(&difference->to, &difference->talk, to);
	if (ending == END_OK)
		ending = state_await_past(&difference->from, &difference->talk,
					  &difference->progress);
	if (ending == END_OK)
		ending =
			state_await_past(&difference->to, &difference->talk, &difference->progress);
	if (ending == END_OK)
		ending = difference->rows_too ? named_table(difference) : all_tables(difference);
	return ending == END_OK ? finish(difference) : ending;
}

static int parse_limit(const struct typed *typed, uint64_t *ret)
{
	const char *text = typed_value(typed, "limit");
	char *end;

	*ret = ROWS_SHOWN;
	if (!text)
		return END_OK;
	*ret = strtoull(text, &end, 10);
	if (*end || *text < '0' || *text > '9')
		return fail(typed, END_USAGE, "--limit: '%.20s' is no number", text);
	return END_OK;
}

static int run(const struct typed *typed)
{
	const char *to_text = typed_value(typed, "to");
	struct difference difference = {
		.typed = typed,
		.json = typed_switch(typed, "json"),
		.utc = typed_switch(typed, "utc"),
		.rows_too = typed_value(typed, "table") != NULL,
		.tables = json_array(),
		.rows = json_array(),
	};
	json_t *from = NULL, *to = NULL;
	int64_t asked;
	int ending;

	progress_init(&difference.progress, true);
	ending = parse_limit(typed, &difference.limit);
	if (ending == END_OK)
		ending = moment_parse(typed, "--from", typed_value(typed, "from"), &from, &asked);
	if (ending == END_OK)
		ending = moment_parse(typed, "--to", to_text ? to_text : "now", &to, &asked);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = work(&difference, from, to);
	}
	state_leave(&difference.to);
	state_leave(&difference.from);
	talk_close(&difference.talk);
	json_decref(from);
	json_decref(to);
	json_decref(difference.tables);
	json_decref(difference.rows);
	return ending;
}

const struct command command_diff = {
	.name = "diff",
	.summary = "Say what differs between two moments, table by table or row by row",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"from", .argument = "MOMENT", .required = true,
			 .text = "The earlier moment: a time, mark:NAME or lsn:N."},
			{"to", .argument = "MOMENT", .text = "The later one; now if left out."},
			{"table", .argument = "TABLE",
			 .text = "Only this table, and the rows themselves: SCHEMA.TABLE, or TABLE "
				 "where only one schema has it. PostgreSQL: "
				 "[DATABASE.][SCHEMA.]TABLE."},
			{"limit", .argument = "N",
			 .text = "Show at most so many rows; 20 if left out."},
			OPTION_JSON("the differences"),
			OPTION_UTC,
		},
	.text = "Per table the number of rows added, removed and changed, and the lines of its "
		"definition that are not the same; nothing of a table that is. With --table the "
		"rows, by primary key: + added, - removed, ~ changed.\n\n"
		"Both moments are read on throw-away servers; the cluster goes on undisturbed, and "
		"may be stopped. Ranges of a table are compared by hashes, so that only what "
		"differs is read in full.",
	.examples =
		{
			{"diff shop --from '10 minutes ago'", "What has changed?"},
			{"diff shop --table users --from mark:before-migration --limit 100",
			 "In which rows?"},
			{"diff shop --from 09:41 --to 09:43 --json", "For a program."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_CANCELLED | 1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
