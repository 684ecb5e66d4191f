/* unspill repair */
#include "cmd/commands.h"
#include "cmd/narrow.h"
#include "base/alloc.h"
#include "base/units.h"
#include "repair/compare.h"
#include "repair/repair.h"
#include "repair/schema.h"
#include "repair/whole.h"

#include <errno.h>
#include <string.h>

#define SHOWN_CONFLICTS 20
#define SHOWN_STATEMENTS 5
#define JSON_CONFLICTS 1000
#define COLUMNS_MAX 1000
#define STATEMENT_CHARACTERS 400

struct job {
	const struct typed *typed;
	struct talk talk;
	bool json, utc, dry_run;
	json_t *to, *until;
	char *column_list;
	const char *columns[COLUMNS_MAX + 1]; /* into column_list; none: all */
	enum on_conflict on_conflict;
	FILE *file; /* of --sql */
	struct progress progress;
	struct state before, after, live;
	struct spool spool;
	uint64_t added, removed, changed; /* by the mistake */
	uint64_t rows;                    /* of a table that came back whole */
	struct repair_report report;
	json_t *conflicts, *sample;
	int64_t undo_lsn;
	char before_text[MOMENT_TEXT_MAX], after_text[MOMENT_TEXT_MAX];
};

/* --- What was typed --------------------------------------------------------------------------- */

static int parse_conflict(struct job *job)
{
	static const char *const words[] = {
		[CONFLICT_SKIP] = "skip", [CONFLICT_FORCE] = "force", [CONFLICT_ABORT] = "abort"};
	const char *word = typed_value(job->typed, "on-conflict");

	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i])) {
			job->on_conflict = i;
			return END_OK;
		}
	return word ? fail(job->typed, END_USAGE,
			   "--on-conflict: there is no '%.20s'; there are skip, force and abort",
			   word)
		    : END_OK;
}

static int parse_columns(struct job *job)
{
	const char *list = typed_value(job->typed, "columns");
	char *save = NULL;
	size_t count = 0;

	if (!list)
		return END_OK;
	job->column_list = xstrdup(list);
	for (char *name = strtok_r(job->column_list, ",", &save); name;
	     name = strtok_r(NULL, ",", &save)) {
		if (count == COLUMNS_MAX)
			return fail(job->typed, END_USAGE, "--columns: more than %d", COLUMNS_MAX);
		job->columns[count++] = name;
	}
	return count ? END_OK : fail(job->typed, END_USAGE, "--columns: no column is named");
}

static int parse(struct job *job)
{
	const struct typed *typed = job->typed;
	const char *until = typed_value(typed, "until");
	bool asks_not = typed_switch(typed, "yes") || job->dry_run || typed_value(typed, "sql");
	int64_t asked_us;
	int ending;

	ending = moment_parse(typed, "--to", typed_value(typed, "to"), &job->to, &asked_us);
	if (ending == END_OK)
		ending = moment_parse(typed, "--until", until ? until : "now", &job->until,
				      &asked_us);
	if (ending == END_OK)
		ending = parse_conflict(job);
	if (ending == END_OK)
		ending = parse_columns(job);
	if (ending == END_OK && job->dry_run && typed_value(typed, "sql"))
		return fail(typed, END_USAGE, "--dry-run and --sql: one of them, not both");
	if (ending == END_OK && !asks_not && (!can_ask() || job->json))
		return fail(
			typed, END_USAGE,
			"%s; nothing was done; add --yes to go ahead, or --dry-run to see the plan",
			can_ask() ? "--json does not ask" : "there is no terminal to ask on");
	return ending;
}

static const char *const *wanted_columns(const struct job *job)
{
	return job->columns[0] ? job->columns : NULL;
}

/* --- Progress --------------------------------------------------------------------------------- */

static int tell(struct job *job, const char *step, uint64_t done, uint64_t total)
{
	json_t *object = json_pack("{s:s, s:I, s:I, s:s}", "step", step, "done", (json_int_t)done,
				   "total", (json_int_t)total, "unit", "rows");

	progress_update(object, &job->progress);
	json_decref(object);
	return talk_interrupted() ? -EINTR : 0;
}

static int compared(void *arg, uint64_t rows)
{
	struct job *job = arg;

	return tell(job, "comparing", rows, MAX(rows, job->before.table->rows));
}

static int put_back(void *arg, uint64_t rows)
{
	struct job *job = arg;

	return tell(job, "putting rows back", rows, job->spool.count);
}

static int copied(void *arg, uint64_t rows)
{
	struct job *job = arg;

	return tell(job, "bringing the table back", rows, MAX(rows, job->before.table->rows));
}

/* --- What differs ----------------------------------------------------------------------------- */

static int found(void *arg, const struct pair *pair)
{
	struct job *job = arg;

	job->added += !pair->before;
	job->removed += !pair->after;
	job->changed += pair->before && pair->after;
	return spool_put(&job->spool, pair);
}

/* Rows of `a` do not fit into `b`: say why, and what would. */
static int fail_schema(struct job *job, const struct sql_table *then, const struct sql_table *now)
{
	CLEANUP(buffer) struct buffer changes = {0}, common = {0};
	CLEANUP(free) const char **names = schema_common(then, now);

	schema_put_changes(then, now, &changes);
	for (size_t i = 0; i < changes.size; i++)
		if (changes.data[i] == '\n')
			changes.data[i] = i + 1 < changes.size ? ';' : ' ';
	for (size_t i = 0; names[i]; i++)
		sql_putf(&common, "%s%s", i ? "," : "", names[i]);
	buffer_put8(&changes, 0);
	buffer_put8(&common, 0);
	if (!then->key_count || !schema_same_key(then, now))
		return fail(job->typed, END_FAILED, "the table is not the one it was: %s",
			    (char *)changes.data);
	return fail(job->typed, END_FAILED,
		    "the table is not the one it was: %s- what is common to both can be repaired: "
		    "--columns '%s'",
		    (char *)changes.data, (char *)common.data);
}

static int check_schema(struct job *job, const struct sql_table *then, const struct sql_table *now)
{
	CLEANUP(free) const char **common = schema_common(then, now);

	if (schema_same(then, now))
		return END_OK;
	if (!job->columns[0] || !schema_same_key(then, now))
		return fail_schema(job, then, now);
	for (size_t i = 0; job->columns[i]; i++) {
		bool is_common = false;

		for (size_t j = 0; common[j]; j++)
			is_common |= !strcmp(common[j], job->columns[i]);
		if (!is_common && sql_column_find(then, job->columns[i]))
			return fail_schema(job, then, now);
	}
	return END_OK;
}

static int make_shapes(struct job *job)
{
	struct state *const states[] = {&job->before, &job->after, &job->live};
	const char *where = typed_value(job->typed, "where");
	struct problem why = {""};
	int ending, r;

	ending = check_schema(job, job->before.table, job->after.table);
	if (ending == END_OK)
		ending = check_schema(job, job->before.table, job->live.table);
	if (ending != END_OK)
		return ending;
	if (!job->before.table->key_count && job->columns[0])
		return fail(job->typed, END_USAGE,
			    "--columns: the table has no key, its rows can only be put back whole");
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		r = shape_init(&states[i]->shape, states[i]->table, wanted_columns(job), where,
			       &why);
		if (r < 0)
			return fail_sql(job->typed, r, &why);
	}
	return END_OK;
}

static int compare(struct job *job)
{
	CLEANUP(spool) struct spool ranges = {0};
	struct compare compare = {
		.before = {job->before.sql, &job->before.shape},
		.after = {job->after.sql, &job->after.shape},
		.found = found,
		.progress = compared,
		.arg = job,
	};
	struct problem why = {""};
	char directory[PATH_MAX];
	int r;

	cluster_path(job->talk.cluster, "run", directory);
	r = spool_open(&job->spool, directory, &why);
	if (r == 0) {
		progress_step(&job->progress, "comparing");
		r = narrow(&job->before, &job->after, directory, &ranges, &why);
		compare.within = r > 0 ? &ranges : NULL;
		r = r < 0 ? r : compare_tables(&compare, &why);
		progress_done(&job->progress, r == 0);
	}
	return r < 0 ? fail_sql(job->typed, r, &why) : END_OK;
}

/* --- Putting back ----------------------------------------------------------------------------- */

static void note_conflict(void *arg, const struct pair *pair, const struct row *now,
			  const char *reason)
{
	struct job *job = arg;
	const struct row *row = pair->before ? pair->before : pair->after;

	if (json_array_size(job->conflicts) >= JSON_CONFLICTS)
		return;
	CLEANUP(buffer) struct buffer text = {0};
	state_put_key(&job->live, &text, row);
	json_array_append_new(job->conflicts,
			      json_pack("{s:o, s:o, s:s}", "row",
					json_stringn((char *)text.data, text.size), "key",
					state_json_row(&job->live, row, job->live.shape.key_count),
					"reason", reason));
}

static void emit(void *arg, const struct buffer *statement)
{
	struct job *job = arg;
	json_t *text;

	if (job->file) {
		fwrite(statement->data, 1, statement->size, job->file);
		fputs(";\n", job->file);
		return;
	}
	if (json_array_size(job->sample) >= SHOWN_STATEMENTS)
		return;
	text = json_stringn((char *)statement->data, statement->size);
	json_array_append_new(job->sample, text ? text : json_string("(not UTF-8)"));
}

/*
 * TRUNCATE may have put automatic numbers back, too: rows that return would meet new ones.  A patch
 * has it last, and says so whatever they are; where there is no such thing any more nothing is
 * done.
 */
static int numbers_back(struct job *job, bool really, struct problem *why)
{
	const struct sql_table *table = job->before.table;
	CLEANUP(sql_statements) struct sql_statements numbers = {0};
	int r;

	r = sql_numbers(job->before.sql, table->schema, table->name, &numbers, why);
	for (size_t i = 0; i < numbers.count && r == 0; i++) {
		const struct buffer text = {.data = (uint8_t *)numbers.texts[i],
					    .size = strlen(numbers.texts[i])};

		if (!really)
			emit(job, &text);
		else if ((r = sql_run_buffer(job->live.sql, &text, NULL, why)) == -ENOENT)
			r = 0;
	}
	return r;
}

static int rows_back(struct job *job, bool really)
{
	const struct repair_options options = {
		.on_conflict = job->on_conflict,
		.chunked = typed_switch(job->typed, "chunked"),
		.emit = really ? NULL : emit,
		.conflict = note_conflict,
		.progress = put_back,
		.arg = job,
	};
	struct problem why = {""};
	int r = 0;

	json_array_clear(job->conflicts);
	progress_step(&job->progress, really ? "putting rows back" : "looking at the rows of now");
	if (really)
		r = numbers_back(job, true, &why);
	if (r == 0)
		r = repair_rows(job->live.sql, &job->live.shape, &job->spool, &options,
				&job->report, &why);
	if (r == 0 && job->file)
		r = numbers_back(job, false, &why);
	progress_done(&job->progress, r == 0);
	if (r == -EINTR)
		return fail(job->typed, END_CANCELLED, "cancelled; %s",
			    options.chunked ? "what was put back stays, the same command goes on"
					    : "nothing was changed");
	if (r == -ECANCELED)
		return fail(job->typed, END_CANCELLED, "%s; nothing was changed; %s", why.text,
			    "--dry-run lists such rows");
	return r < 0 ? fail_sql(job->typed, r, &why) : END_OK;
}

static int whole_back(struct job *job, bool really)
{
	const struct whole_options options = {.progress = copied, .arg = job};
	struct problem why = {""};
	int r;

	progress_step(&job->progress, really ? "bringing the table back" : "writing the table");
	r = really ? whole_table(job->before.sql, job->live.sql, job->before.table, &options,
				 &job->rows, &why)
		   : whole_emit(job->before.sql, job->live.sql, job->before.table, emit, job,
				&job->rows, &why);
	progress_done(&job->progress, r == 0);
	if (r == -EINTR)
		return fail(job->typed, END_CANCELLED, "cancelled; nothing was changed");
	return r < 0 ? fail_sql(job->typed, r, &why) : END_OK;
}

static bool is_whole(const struct job *job)
{
	return !job->live.table;
}

static int go(struct job *job, bool really)
{
	return is_whole(job) ? whole_back(job, really) : rows_back(job, really);
}

/* --- The patch as a file ---------------------------------------------------------------------- */

static int open_file(struct job *job)
{
	const char *path = typed_value(job->typed, "sql");

	if (!path)
		return END_OK;
	job->file = strcmp(path, "-") ? fopen(path, "wxe") : stdout;
	return job->file ? END_OK
			 : fail(job->typed, errno == EEXIST ? END_TAKEN : END_MACHINE,
				"--sql: cannot make '%s': %s", path, strerror(errno));
}

static void write_head(struct job *job)
{
	const char *const *setting;

	if (!job->file)
		return;
	fprintf(job->file,
		"-- %s.%s of %s, put back as it was at\n-- %s,\n-- where it still is as it was "
		"at\n-- %s.\n",
		job->before.table->schema, job->before.table->name, job->talk.cluster->name,
		job->before_text, job->after_text);
	for (setting = sql_session_settings(job->live.sql); *setting; setting++)
		fprintf(job->file, "%s;\n", *setting);
	for (setting = sql_repair_settings(job->live.sql); *setting; setting++)
		fprintf(job->file, "%s;\n", *setting);
	if (!is_whole(job))
		fprintf(job->file, "%s;\n", sql_begin(job->live.sql));
}

static int write_tail(struct job *job)
{
	bool bad;

	if (!job->file)
		return END_OK;
	fprintf(job->file, is_whole(job) ? "" : "COMMIT;\n");
	bad = fflush(job->file) || ferror(job->file);
	if (job->file != stdout)
		bad = fclose(job->file) || bad;
	job->file = NULL;
	return bad ? fail(job->typed, END_MACHINE, "--sql: cannot write '%s': %s",
			  typed_value(job->typed, "sql"), strerror(errno))
		   : END_OK;
}

/* --- What came of it -------------------------------------------------------------------------- */

static const char *count(uint64_t n, char text[UNITS_TEXT_MAX])
{
	count_format(n, text);
	return text;
}

static const char *rows_of(uint64_t n, char text[UNITS_TEXT_MAX])
{
	things_format(n, "row", text);
	return text;
}

static void print_differences(struct job *job)
{
	const struct sql_table *table = job->before.table;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX], c[UNITS_TEXT_MAX];

	printf("%s%s.%s%s of %s\n", style(stdout, BOLD), table->schema, table->name,
	       style(stdout, PLAIN), job->talk.cluster->name);
	printf("  before       %s\n", job->before_text);
	if (is_whole(job)) {
		printf("  now          the table is not there: it comes back whole\n");
		return;
	}
	printf("  after        %s\n", job->after_text);
	printf("  in between   %s added, %s removed, %s changed\n", rows_of(job->added, a),
	       count(job->removed, b), count(job->changed, c));
	if (job->live.shape.bag)
		printf("  key          none: rows are told apart by all that is in them, as a "
		       "bag\n");
}

static void print_conflicts(const struct job *job)
{
	const char *const done =
		job->on_conflict == CONFLICT_FORCE ? "put back nevertheless" : "left as they are";
	char a[UNITS_TEXT_MAX];
	json_t *one;
	size_t i;

	if (!job->report.conflicts)
		return;
	printf("  %sconflicts%s    %s, %s\n", style(stdout, YELLOW), style(stdout, PLAIN),
	       rows_of(job->report.conflicts, a), done);
	json_array_foreach (job->conflicts, i, one) {
		if (i == SHOWN_CONFLICTS) {
			printf("               ...\n");
			break;
		}
		printf("               %s: %s\n", json_text(one, "row"), json_text(one, "reason"));
	}
}

static void print_triggers(const struct job *job)
{
	const struct sql_table *table = is_whole(job) ? NULL : job->live.table;

	if (!table || !table->trigger_count)
		return;
	printf("  triggers     fire for these rows, too, which this server cannot be told to "
	       "leave:\n");
	for (size_t i = 0; i < table->trigger_count; i++)
		printf("               %s\n", table->triggers[i]);
	printf("               (%s)\n", sql_trigger_hint(job->live.sql));
}

static void print_counts(const struct job *job, bool really)
{
	const struct repair_report *report = &job->report;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX], c[UNITS_TEXT_MAX];

	if (is_whole(job)) {
		printf("  %s    %s, with indexes, foreign keys and triggers\n",
		       really ? "came back" : "to write ", rows_of(job->rows, a));
		return;
	}
	printf("  %s    %s inserted, %s updated, %s deleted\n", really ? "put back " : "to do    ",
	       rows_of(report->inserted, a), count(report->updated, b), count(report->deleted, c));
	if (report->done)
		printf("  already      %s as before\n", rows_of(report->done, a));
	if (report->left)
		printf("  left         %s, added or removed: only columns are repaired\n",
		       rows_of(report->left, a));
	if (report->orphans)
		printf("  %sdangling%s     %s with references to what is not there\n",
		       style(stdout, YELLOW), style(stdout, PLAIN), rows_of(report->orphans, a));
	print_conflicts(job);
}

static void print_sample(const struct job *job)
{
	json_t *one;
	size_t i;

	json_clean(job->sample);
	if (json_array_size(job->sample))
		printf("  such as\n");
	json_array_foreach (job->sample, i, one) {
		const char *text = json_string_value(one);

		printf("    %.*s%s\n", STATEMENT_CHARACTERS, text,
		       strlen(text) > STATEMENT_CHARACTERS ? "..." : ";");
	}
}

static json_t *json_result(const struct job *job, bool really)
{
	const struct repair_report *report = &job->report;
	json_t *result;

	result =
		json_pack("{s:o, s:s, s:s, s:b, s:b, s:I, s:I, s:I}", "table",
			  json_sprintf("%s.%s", job->before.table->schema, job->before.table->name),
			  "before", job->before_text, "after", job->after_text, "whole",
			  is_whole(job), "done", really, "added", (json_int_t)job->added, "removed",
			  (json_int_t)job->removed, "changed", (json_int_t)job->changed);
	json_object_set_new(result, "rows", json_integer((json_int_t)job->rows));
	json_object_set_new(result, "inserted", json_integer((json_int_t)report->inserted));
	json_object_set_new(result, "updated", json_integer((json_int_t)report->updated));
	json_object_set_new(result, "deleted", json_integer((json_int_t)report->deleted));
	json_object_set_new(result, "already", json_integer((json_int_t)report->done));
	json_object_set_new(result, "conflicts", json_integer((json_int_t)report->conflicts));
	json_object_set_new(result, "left", json_integer((json_int_t)report->left));
	json_object_set_new(result, "dangling", json_integer((json_int_t)report->orphans));
	json_object_set(result, "conflict_rows", job->conflicts);
	if (!really)
		json_object_set(result, "sample", job->sample);
	if (really)
		json_object_set_new(result, "undo_lsn", json_integer(job->undo_lsn));
	return result;
}

/* --- All -------------------------------------------------------------------------------------- */

static int note_undo(struct job *job)
{
	json_t *status;
	int ending;

	ending = talk_ask(&job->talk, json_pack("{s:s}", "do", "status"), &status);
	if (ending != END_OK)
		return ending;
	job->undo_lsn = json_number(status, "now.lsn");
	json_decref(status);
	return END_OK;
}

static int look(struct job *job)
{
	int ending;

	write_head(job);
	ending = go(job, false);
	if (ending == END_OK)
		ending = write_tail(job);
	if (ending != END_OK)
		return ending;
	if (job->json)
		return print_json(job->typed, json_result(job, false));
	if (typed_value(job->typed, "sql") && !strcmp(typed_value(job->typed, "sql"), "-"))
		return END_OK;
	print_differences(job);
	print_counts(job, false);
	print_triggers(job);
	print_sample(job);
	if (typed_value(job->typed, "sql"))
		printf("Written to %s; nothing was changed.\n", typed_value(job->typed, "sql"));
	else
		printf("Nothing was changed: --dry-run.\n");
	return END_OK;
}

/* What is shown before the question; without one it would be shown twice. */
static int ask_first(struct job *job)
{
	int ending;

	if (typed_switch(job->typed, "yes"))
		return END_OK;
	ending = is_whole(job) ? END_OK : go(job, false);
	if (ending != END_OK)
		return ending;
	print_differences(job);
	if (!is_whole(job))
		print_counts(job, false);
	print_triggers(job);
	return confirm(job->typed, "Put them back?");
}

static int change(struct job *job)
{
	int ending;

	ending = ask_first(job);
	if (ending == END_OK)
		ending = note_undo(job);
	if (ending == END_OK)
		ending = go(job, true);
	if (ending != END_OK)
		return ending;
	if (job->json)
		return print_json(job->typed, json_result(job, true));
	if (typed_switch(job->typed, "yes"))
		print_differences(job);
	print_counts(job, true);
	if (typed_switch(job->typed, "yes"))
		print_triggers(job);
	printf("  undo         unspill backtrack %s --to lsn:%lld\n", job->talk.cluster->name,
	       (long long)job->undo_lsn);
	return END_OK;
}

static int open_after(struct job *job)
{
	int ending;

	if (is_whole(job))
		return END_OK;
	/* Begun already, unless the table's name said nothing to the live server. */
	ending = state_is_begun(&job->after)
			 ? END_OK
			 : state_begin_past(&job->after, &job->talk, job->until);
	if (ending == END_OK)
		ending = state_await_past(&job->after, &job->talk, &job->progress);
	if (ending == END_OK)
		ending = state_same_table(&job->after, job->typed, job->before.table);
	if (ending != END_OK)
		return ending;
	state_moment(&job->after, job->utc, job->after_text);
	if (!job->after.table)
		return fail(
			job->typed, END_NOT_FOUND,
			"at %s (--until) there was no table %s.%s: choose a moment before it was "
			"dropped, or after it was there again",
			job->after_text, job->before.table->schema, job->before.table->name);
	return make_shapes(job);
}

/* Both at once; where the table is gone now, one is enough. */
static int begin_pasts(struct job *job)
{
	char *schema = NULL, *name = NULL;
	bool there = sql_find_table(job->live.sql, typed_value(job->typed, "table"), &schema, &name,
				    NULL) == 0;
	int ending;

	free(schema);
	free(name);
	ending = state_begin_past(&job->before, &job->talk, job->to);
	if (ending == END_OK && there)
		ending = state_begin_past(&job->after, &job->talk, job->until);
	return ending;
}

static int open_all(struct job *job)
{
	int ending;

	ending = state_open_live(&job->live, &job->talk);
	if (ending == END_OK)
		ending = begin_pasts(job);
	if (ending == END_OK)
		ending = state_await_past(&job->before, &job->talk, &job->progress);
	if (ending == END_OK)
		ending = state_find_table(&job->before, job->typed,
					  typed_value(job->typed, "table"), job->utc);
	if (ending == END_OK)
		ending = state_same_table(&job->live, job->typed, job->before.table);
	if (ending != END_OK)
		return ending;
	state_moment(&job->before, job->utc, job->before_text);
	return open_after(job);
}

static int work(struct job *job)
{
	int ending;

	ending = talk_open(&job->talk, job->typed, TALK_ANY);
	if (ending == END_OK)
		ending = open_all(job);
	if (ending == END_OK)
		ending = open_file(job);
	if (ending == END_OK && !is_whole(job))
		ending = compare(job);
	if (ending == END_OK)
		ending = job->dry_run || job->file ? look(job) : change(job);
	return ending;
}

static void job_done(struct job *job)
{
	if (job->file && job->file != stdout)
		fclose(job->file);
	spool_close(&job->spool);
	state_leave(&job->live);
	state_leave(&job->after);
	state_leave(&job->before);
	talk_close(&job->talk);
	json_decref(job->to);
	json_decref(job->until);
	json_decref(job->conflicts);
	json_decref(job->sample);
	free(job->column_list);
}

static int run(const struct typed *typed)
{
	struct job job = {
		.typed = typed,
		.json = typed_switch(typed, "json"),
		.utc = typed_switch(typed, "utc"),
		.dry_run = typed_switch(typed, "dry-run"),
		.conflicts = json_array(),
		.sample = json_array(),
		.after_text = "now",
	};
	int ending;

	progress_init(&job.progress, job.json || typed_value(typed, "sql"));
	ending = parse(&job);
	if (ending == END_OK) {
		talk_catch_interrupts();
		ending = work(&job);
	}
	job_done(&job);
	return ending;
}

const struct command command_repair = {
	.name = "repair",
	.summary = "Put back the rows that a mistake touched, and nothing else",
	.operands = {OPERAND_CLUSTER},
	.options =
		{
			{"table", .argument = "TABLE", .required = true,
			 .text = "SCHEMA.TABLE, or TABLE where only one schema has it. PostgreSQL: "
				 "[DATABASE.][SCHEMA.]TABLE."},
			{"to", .argument = "MOMENT", .required = true,
			 .text = "Before the mistake: a time, mark:NAME or lsn:N."},
			{"until", .argument = "MOMENT",
			 .text = "After the mistake; now if left out. Writes between the two "
				 "moments are undone, those since are kept."},
			{"where", .argument = "SQL",
			 .text = "Only rows for which this condition held before or after the "
				 "mistake. Times in it are UTC."},
			{"columns", .argument = "A,B",
			 .text = "Only these columns of rows that were changed; rows added or "
				 "removed are left."},
			{"on-conflict", .argument = "WHAT",
			 .text = "What to do about a row that somebody changed again since the "
				 "mistake: skip leaves it as it is, force puts it back, abort "
				 "changes nothing at all. skip if left out."},
			{"chunked",
			 .text = "Commit after every few hundred rows instead of once at the end. "
				 "A repair that was broken off goes on when it is run again."},
			{"dry-run", .text = "Say what would be done, with a sample of the SQL, "
					    "and do nothing."},
			{"sql", .argument = "FILE",
			 .text = "Write the statements into this new file (-: standard output) "
				 "instead of running them."},
			OPTION_YES,
			OPTION_JSON("the result"),
			OPTION_UTC,
		},
	.text = "Three states of each row count: before the mistake (--to), right after it "
		"(--until), and now. A row is put back where now is what the mistake left; one "
		"that somebody changed again since is a conflict. Rows that the mistake added are "
		"deleted, those that it removed come back. A table that is gone comes back whole, "
		"with its indexes, foreign keys, triggers, automatic numbers and grants.\n\n"
		"The two states of the past are read on throw-away servers. The live server goes "
		"on, nobody is disconnected, and only the rows that differ are touched, in one "
		"transaction, each by a statement that changes it only if it still is what it was "
		"found to be. What was put back is read again before the commit.\n\n"
		"A table without a primary key, or a unique one without NULLs, is a bag of rows: "
		"how many of each there are is put back.\n\n"
		"Foreign keys do not cascade: where rows would refer to rows that are not there, "
		"nothing is changed. The repair can itself be undone: the result says how.",
	.examples =
		{
			{"repair shop --table users --to '10 minutes ago' --dry-run",
			 "See what it would do."},
			{"repair shop --table users --to 09:41 --until 09:43",
			 "Undo what happened in these two minutes."},
			{"repair shop --table users --to mark:before --columns email --yes",
			 "One column, from a script."},
			{"repair shop --table shop.orders --to '1 hour ago' --sql patch.sql",
			 "Have a look at the patch first."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_UNREACHABLE | 1 << END_BUSY | 1 << END_DAMAGED |
		   1 << END_CANCELLED | 1 << END_TAKEN | 1 << END_MACHINE,
	.takes_moment = true,
	.run = run,
};
