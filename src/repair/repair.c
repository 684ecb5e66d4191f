#include "repair/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>

#define BATCH_ROWS 256
#define CHUNK_TRIES 10
#define BATCH_BYTES (4u * 1024 * 1024)

void change_list_done(struct change_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		pair_done(&list->pairs[i]);
		free(list->now[i]);
	}
	free(list->pairs);
	free(list->now);
	*list = (struct change_list){0};
}

void change_list_add(struct change_list *list, struct pair *pair, struct row *now)
{
	xgrow(list->now, list->count, list->now_room);
	xgrow(list->pairs, list->count, list->room);
	list->pairs[list->count] = *pair;
	list->now[list->count++] = now;
	*pair = (struct pair){0};
}

void repair_emit(struct repair *repair, const struct buffer *statement)
{
	repair->options->emit(repair->options->arg, statement);
}

/* --- Now -------------------------------------------------------------------------------------- */

static const struct row *any_of(const struct pair *pair)
{
	return pair->before ? pair->before : pair->after;
}

/* Which a server makes one look at an index of, where it would think about each of many ORs. */
static void put_listed(const struct repair *repair, const struct pair *pairs, size_t count,
		       struct buffer *out)
{
	const struct sql_column *column = repair->shape->columns[0];
	struct sql_value value;

	sql_put_name(repair->sql, out, column->name);
	for (size_t i = 0; i < count; i++) {
		row_values(any_of(&pairs[i]), &value, 1);
		sql_put(out, i ? "," : " IN (");
		sql_put_native(repair->sql, out, column, &value);
	}
	buffer_put8(out, ')');
}

/* Rows with a key by their keys, others by their hashes, which costs a look at the whole table. */
static void put_which(const struct repair *repair, const struct pair *pairs, size_t count,
		      struct buffer *out)
{
	if (repair->shape->bag) {
		sql_put_hash(repair->sql, out, repair->shape->columns, repair->shape->count);
		sql_put(out, " IN (");
	}
	if (!repair->shape->bag && repair->shape->key_count == 1) {
		put_listed(repair, pairs, count, out);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct row *row = any_of(&pairs[i]);

		if (repair->shape->bag) {
			sql_putf(out, "%s%llu", i ? "," : "", (unsigned long long)row->hash);
			continue;
		}
		sql_put(out, i ? " OR (" : "(");
		shape_put_is(repair->shape, repair->sql, out, row);
		buffer_put8(out, ')');
	}
	sql_put(out, repair->shape->bag ? ")" : "");
}

int repair_read_now(struct repair *repair, const struct pair *pairs, size_t count, struct rows *now,
		    struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	struct shape all = *repair->shape;
	int r;

	if (!count)
		return 0;
	/* The condition chose among the rows of the past; it is no longer asked. */
	all.where = NULL;
	shape_put_select(&all, repair->sql, &text);
	sql_put(&text, " WHERE ");
	put_which(repair, pairs, count, &text);
	/* Nobody adds another copy while we replace them. */
	if (all.bag && !repair->options->emit && !sql_has_one_writer(repair->sql))
		sql_put(&text, " FOR UPDATE");
	r = sql_send(repair->sql, &text, why);
	return r < 0 ? r : shape_read(&all, repair->sql, now, why);
}

/* --- Deciding --------------------------------------------------------------------------------- */

int repair_conflict(struct repair *repair, const struct pair *pair, const struct row *now,
		    const char *reason, struct problem *why)
{
	const struct repair_options *options = repair->options;

	repair->report->conflicts++;
	if (options->conflict)
		options->conflict(options->arg, pair, now, reason);
	if (options->on_conflict == CONFLICT_ABORT)
		return problem(why, -ECANCELED, "a row is in conflict: %s", reason);
	return 0;
}

static const char *reason_of(const struct pair *pair, const struct row *now)
{
	if (!now)
		return "it was deleted since";
	return pair->after ? "it was changed again since" : "it is there again, with other values";
}

/* Whether the pair is to be put back; *ret. */
static int decide(struct repair *repair, struct pair *pair, const struct row *now, bool *ret,
		  struct problem *why)
{
	const struct shape *shape = repair->shape;
	int r = 0;

	*ret = false;
	if (shape->partial && (!pair->before || !pair->after)) {
		repair->report->left++;
		return 0;
	}
	switch (three_way(pair->before, pair->after, now)) {
	case VERDICT_DONE:
		repair->report->done++;
		return 0;
	case VERDICT_PUT_BACK:
		*ret = true;
		return 0;
	case VERDICT_CONFLICT:
		if (!pair->told)
			r = repair_conflict(repair, pair, now, reason_of(pair, now), why);
		pair->told = true;
		/* Some columns of a row that is gone cannot be put back. */
		*ret = repair->options->on_conflict == CONFLICT_FORCE && (now || !shape->partial);
	}
	return r;
}

/* --- One batch -------------------------------------------------------------------------------- */

/* What was changed must now be as before. */
static int verify(struct repair *repair, const struct change_list *list, struct problem *why)
{
	CLEANUP(rows) struct rows now = {0};
	int r;

	if (repair->options->emit)
		return 0;
	r = repair_read_now(repair, list->pairs, list->count, &now, why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list->count; i++) {
		const struct pair *pair = &list->pairs[i];

		if (!row_same(rows_find(&now, any_of(pair)), pair->before))
			return problem(why, -EUCLEAN,
				       "a row that was put back is not what it was: %s changes it",
				       repair->shape->table->trigger_count
					       ? repair->shape->table->triggers[0]
					       : "something in the server");
	}
	return 0;
}

static int change(struct repair *repair, struct change_list *list, struct problem *why)
{
	int r;

	if (!list->count)
		return 0;
	r = change_rows(repair, list, why);
	return r < 0 ? r : verify(repair, list, why);
}

/* Look, decide, change.  Takes the pairs. */
static int do_pairs(struct repair *repair, struct change_list *pairs, struct problem *why)
{
	CLEANUP(change_list) struct change_list list = {0};
	CLEANUP(rows) struct rows now = {0};
	int r;

	r = repair_read_now(repair, pairs->pairs, pairs->count, &now, why);
	for (size_t i = 0; i < pairs->count && r >= 0; i++) {
		struct pair *pair = &pairs->pairs[i];
		struct row *row = rows_find(&now, any_of(pair));
		bool put_back;

		r = decide(repair, pair, row, &put_back, why);
		if (r >= 0 && put_back)
			change_list_add(&list, pair, row ? row_copy(row) : NULL);
	}
	return r < 0 ? r : change(repair, &list, why);
}

static int next_batch(struct repair *repair, struct spool *spool, struct change_list *batch)
{
	size_t rows = repair->options->batch_rows ? repair->options->batch_rows : BATCH_ROWS;
	size_t bytes = 0;
	struct pair pair;
	int r = 1;

	while (batch->count < rows && bytes < BATCH_BYTES && (r = spool_get(spool, &pair)) > 0) {
		bytes +=
			(pair.before ? pair.before->size : 0) + (pair.after ? pair.after->size : 0);
		change_list_add(batch, &pair, NULL);
	}
	return r < 0 ? r : batch->count > 0;
}

/* --- What met a unique value that another row still had ----------------------------------------
 */

/* Delete them all, then insert them all; `*ret_bad` is the one that has no room in between, or
 * their number. */
static int exchange(struct repair *repair, struct change_list *list, size_t *ret_bad,
		    struct problem *why)
{
	struct sql_value *values = repair->values;
	const struct shape *shape = repair->shape;
	uint64_t rows;
	int r = 0;

	for (*ret_bad = 0; *ret_bad < list->count; ++*ret_bad) {
		const struct row *now = list->now[*ret_bad];

		if (!now)
			continue;
		row_values(now, values, shape->key_count);
		row_values(now, values + shape->key_count, shape->count);
		r = sql_execute(repair->delete, values, shape->key_count + shape->count, &rows,
				why);
		if (r < 0 || !rows)
			return r;
	}
	for (*ret_bad = 0; *ret_bad < list->count; ++*ret_bad) {
		const struct row *before = list->pairs[*ret_bad].before;

		if (!before)
			continue;
		row_values(before, values, shape->count);
		r = sql_execute(repair->insert, values, shape->count, NULL, why);
		if (r < 0)
			return r == -EEXIST ? 0 : r;
	}
	return 0;
}

static void drop_from(struct change_list *list, size_t i)
{
	pair_done(&list->pairs[i]);
	free(list->now[i]);
	list->count--;
	list->pairs[i] = list->pairs[list->count];
	list->now[i] = list->now[list->count];
}

static void count_exchanged(struct repair *repair, const struct change_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		enum change change = change_to(list->pairs[i].before, list->now[i]);

		repair->report->inserted += change == CHANGE_INSERT;
		repair->report->updated += change == CHANGE_UPDATE;
		repair->report->deleted += change == CHANGE_DELETE;
	}
}

/* Rows that exchanged their unique values among themselves find room when all of them are gone. */
static int exchange_all(struct repair *repair, struct change_list *list, struct problem *why)
{
	size_t bad = 0;
	int r = 0;

	while (list->count && r >= 0) {
		r = sql_run(repair->sql, "SAVEPOINT unspill_exchange", NULL, why);
		if (r == 0)
			r = exchange(repair, list, &bad, why);
		if (r < 0)
			return r;
		if (bad == list->count) {
			count_exchanged(repair, list);
			return verify(repair, list, why);
		}
		r = sql_run(repair->sql, "ROLLBACK TO SAVEPOINT unspill_exchange", NULL, why);
		if (r == 0)
			r = repair_conflict(repair, &list->pairs[bad], list->now[bad],
					    "another row has a value of it that must be unique",
					    why);
		drop_from(list, bad);
	}
	return r;
}

/* Again as long as it helps: what was in the way may have been put back meanwhile. */
static int do_deferred(struct repair *repair, struct problem *why)
{
	size_t before;
	int r = 0;

	do {
		CLEANUP(change_list) struct change_list list = repair->deferred;

		before = list.count;
		repair->deferred = (struct change_list){0};
		r = do_pairs(repair, &list, why);
	} while (r >= 0 && repair->deferred.count && repair->deferred.count < before);
	if (r < 0 || !repair->deferred.count)
		return r;
	/* Some columns of a row have nothing to exchange; without a key all that goes has gone. */
	if (!repair->shape->partial && !repair->shape->bag)
		return exchange_all(repair, &repair->deferred, why);
	for (size_t i = 0; i < repair->deferred.count && r >= 0; i++)
		r = repair_conflict(repair, &repair->deferred.pairs[i], repair->deferred.now[i],
				    "another row has a value of it that must be unique", why);
	return r;
}

/* --- All -------------------------------------------------------------------------------------- */

static int prepare(struct repair *repair, struct sql_statement **ret, struct buffer *text,
		   struct problem *why)
{
	int r = sql_prepare(repair->sql, text, ret, why);

	text->size = 0;
	return r;
}

/* The values of one statement: what to set, the key, and what must be there. */
static int prepare_all(struct repair *repair, struct problem *why)
{
	const struct shape *shape = repair->shape;
	CLEANUP(buffer) struct buffer text = {0};
	int r = 0;

	/* A server takes 65,535 placeholders at most, SQLite 32,766. */
	repair->inserts_rows = shape->count < 500 ? 64 : 1;
	repair->values = xcalloc(shape->count * (2 + repair->inserts_rows), sizeof *repair->values);
	if (repair->options->emit)
		return 0;
	if (!shape->partial) {
		shape_put_insert(shape, repair->sql, &text, NULL, 1);
		r = prepare(repair, &repair->insert, &text, why);
		shape_put_insert(shape, repair->sql, &text, NULL, repair->inserts_rows);
		if (r == 0)
			r = prepare(repair, &repair->inserts, &text, why);
	}
	if (shape->bag || r < 0)
		return r;
	shape_put_delete(shape, repair->sql, &text, NULL);
	r = prepare(repair, &repair->delete, &text, why);
	if (r < 0 || shape->set_from == shape->count)
		return r;
	shape_put_update(shape, repair->sql, &text, NULL, NULL);
	return prepare(repair, &repair->update, &text, why);
}

static int begin(struct repair *repair, struct problem *why)
{
	return repair->options->emit ? 0 : sql_run(repair->sql, sql_begin(repair->sql), NULL, why);
}

static int commit(struct repair *repair, struct problem *why)
{
	return repair->options->emit ? 0 : sql_run(repair->sql, "COMMIT", NULL, why);
}

/* --- Chunks ----------------------------------------------------------------------------------- */

static void copy_pairs(const struct change_list *from, struct change_list *to)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct pair *pair = &from->pairs[i];
		struct pair copy = {.before = pair->before ? row_copy(pair->before) : NULL,
				    .after = pair->after ? row_copy(pair->after) : NULL,
				    .told = pair->told};

		change_list_add(to, &copy, NULL);
	}
}

/* Nothing of it has happened, but that conflicts were told: they are not told again. */
static int take_back(struct repair *repair, struct change_list *batch,
		     const struct change_list *tried, const struct repair_report *report,
		     size_t deferred, struct problem *why)
{
	*repair->report = *report;
	for (size_t i = 0; i < batch->count; i++) {
		bool told = tried->pairs[i].told && !batch->pairs[i].told;

		batch->pairs[i].told |= told;
		repair->report->conflicts += told;
	}
	while (repair->deferred.count > deferred)
		drop_from(&repair->deferred, repair->deferred.count - 1);
	return sql_run(repair->sql, "ROLLBACK", NULL, why);
}

/*
 * A transaction of its own.  Where others write meanwhile the server may give up ours to let theirs
 * go on: then it is tried again, on rows as they are by then.
 */
static int do_chunk(struct repair *repair, struct change_list *batch, struct problem *why)
{
	int r = 0;

	for (int tries = 0; tries < CHUNK_TRIES; tries++) {
		CLEANUP(change_list) struct change_list pairs = {0};
		struct repair_report report = *repair->report;
		size_t deferred = repair->deferred.count;

		copy_pairs(batch, &pairs);
		r = do_pairs(repair, &pairs, why);
		if (r >= 0)
			r = commit(repair, why);
		if (r >= 0)
			return begin(repair, why);
		if (r != -EDEADLK)
			return r;
		if (take_back(repair, batch, &pairs, &report, deferred, why) < 0 ||
		    begin(repair, why) < 0)
			return -EIO;
	}
	return r;
}

static int do_batches(struct repair *repair, struct spool *spool, struct problem *why)
{
	const struct repair_options *options = repair->options;
	uint64_t total = 0;
	int r;

	for (;;) {
		CLEANUP(change_list) struct change_list batch = {0};

		r = next_batch(repair, spool, &batch);
		if (r <= 0)
			return r < 0 ? problem_errno(why, r, "cannot read the temporary file") : 0;
		total += batch.count;
		r = options->chunked ? do_chunk(repair, &batch, why)
				     : do_pairs(repair, &batch, why);
		if (r >= 0 && options->progress)
			r = options->progress(options->arg, total);
		if (r < 0)
			return r;
	}
}

static int check_orphans(struct repair *repair, struct spool *spool, struct problem *why)
{
	const struct repair_options *options = repair->options;
	char names[256];
	int r;

	if (options->emit)
		return 0;
	r = repair_count_orphans(repair, spool, &repair->report->orphans, names, sizeof names, why);
	if (r < 0 || !repair->report->orphans || options->chunked ||
	    options->on_conflict == CONFLICT_FORCE)
		return r;
	return problem(
		why, -ENOTEMPTY,
		"%llu rows would refer to rows that are not there (%s): repair the other table "
		"first, or add --on-conflict force",
		(unsigned long long)repair->report->orphans, names);
}

static int do_all(struct repair *repair, struct spool *spool, struct problem *why)
{
	int r;

	r = prepare_all(repair, why);
	if (r == 0)
		r = begin(repair, why);
	if (r == 0)
		r = do_batches(repair, spool, why);
	if (r == 0)
		r = do_deferred(repair, why);
	if (r == 0 && !repair->options->emit)
		r = sql_verify(repair->sql, repair->shape->table->schema,
			       repair->shape->table->name, why);
	if (r == 0)
		r = check_orphans(repair, spool, why);
	if (r == 0)
		r = commit(repair, why);
	return r;
}

int repair_rows(struct sql *live, const struct shape *shape, struct spool *spool,
		const struct repair_options *options, struct repair_report *ret,
		struct problem *why)
{
	struct repair repair = {.sql = live, .shape = shape, .options = options, .report = ret};
	int r;

	*ret = (struct repair_report){0};
	for (const char *const *setting = sql_repair_settings(live); *setting; setting++) {
		r = sql_run(live, *setting, NULL, why);
		if (r < 0)
			return r;
	}
	r = spool_rewind(spool);
	if (r < 0)
		return problem_errno(why, r, "cannot read the temporary file");
	r = do_all(&repair, spool, why);
	if (r < 0 && !options->emit) {
		sql_drop(live);
		sql_run(live, "ROLLBACK", NULL, NULL);
	}
	sql_statement_free(repair.insert);
	sql_statement_free(repair.inserts);
	sql_statement_free(repair.update);
	sql_statement_free(repair.delete);
	change_list_done(&repair.deferred);
	free(repair.values);
	return r;
}
