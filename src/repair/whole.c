#include "repair/whole.h"

#include "base/alloc.h"
#include "repair/compare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define INSERT_ROWS 64u
#define COMMIT_BYTES (32u * 1024 * 1024)

struct copy {
	struct sql *past, *live;
	struct shape shape;         /* of the table of the past */
	struct sql_table new_table; /* the same under its provisional name */
	struct shape new_shape;
	char new_name[32];
	const struct whole_options *options;
	void (*emit)(void *arg, const struct buffer *statement); /* instead of running it */
	void *arg;
	uint64_t rows;
};

static int run(struct copy *copy, const struct buffer *text, struct problem *why)
{
	if (!copy->emit)
		return sql_run_buffer(copy->live, text, NULL, why);
	copy->emit(copy->arg, text);
	return 0;
}

static int run_text(struct copy *copy, const char *text, struct problem *why)
{
	const struct buffer buffer = {.data = (uint8_t *)text, .size = strlen(text)};

	return run(copy, &buffer, why);
}

static int run_all(struct copy *copy, const struct sql_statements *statements, struct problem *why)
{
	int r = 0;

	for (size_t i = 0; i < statements->count && r == 0; i++)
		r = run_text(copy, statements->texts[i], why);
	return r;
}

static int continue_numbers(struct copy *copy, struct problem *why)
{
	const struct sql_table *table = copy->shape.table;
	CLEANUP(sql_statements) struct sql_statements numbers = {0};
	int r;

	r = sql_numbers(copy->past, table->schema, table->name, &numbers, why);
	return r < 0 ? r : run_all(copy, &numbers, why);
}

/* --- The definition --------------------------------------------------------------------------- */

/* "CREATE TABLE `users` (..." with another name. */
static int create_table(struct copy *copy, const struct sql_definition *made, struct problem *why)
{
	const char *definition = made->before.texts[0];
	CLEANUP(buffer) struct buffer name = {0};
	CLEANUP(buffer) struct buffer text = {0};
	const char *at;

	sql_put_name(copy->live, &name, copy->shape.table->name);
	at = memmem(definition, strlen(definition), name.data, name.size);
	if (!at)
		return problem(why, -EIO, "the server shows the table as '%.80s'", definition);
	buffer_put(&text, definition, at - definition);
	sql_put_table(copy->live, &text, copy->shape.table->schema, copy->new_name);
	sql_put(&text, at + name.size);
	return run(copy, &text, why);
}

static int drop_new(struct copy *copy, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	sql_put(&text, "DROP TABLE IF EXISTS ");
	sql_put_table(copy->live, &text, copy->shape.table->schema, copy->new_name);
	return run(copy, &text, why);
}

static int give_name(struct copy *copy, struct problem *why)
{
	const struct sql_table *table = copy->shape.table;
	CLEANUP(buffer) struct buffer text = {0};

	sql_put(&text, "ALTER TABLE ");
	sql_put_table(copy->live, &text, table->schema, copy->new_name);
	sql_put(&text, " RENAME TO ");
	sql_put_table(copy->live, &text, table->schema, table->name);
	return run(copy, &text, why);
}

/* They were written in a database that was in use, and may not name it. */
static int create_rest(struct copy *copy, const struct sql_definition *definition,
		       struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	int r;

	if (!definition->after.count)
		return 0;
	sql_put(&text, "USE ");
	sql_put_name(copy->live, &text, copy->shape.table->schema);
	r = run(copy, &text, why);
	return r < 0 ? r : run_all(copy, &definition->after, why);
}

/* --- The rows --------------------------------------------------------------------------------- */

static int insert(struct copy *copy, const struct row *const *rows, size_t count,
		  struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};

	shape_put_insert(&copy->new_shape, copy->live, &text, rows, count);
	copy->rows += count;
	return run(copy, &text, why);
}

static int tell(struct copy *copy)
{
	bool wanted = copy->options && copy->options->progress;

	return wanted ? copy->options->progress(copy->options->arg, copy->rows) : 0;
}

static int commit_and_go_on(struct copy *copy, struct problem *why)
{
	int r;

	r = run_text(copy, "COMMIT", why);
	if (r == 0)
		r = tell(copy);
	return r < 0 ? r : run_text(copy, sql_begin(copy->live), why);
}

static void free_rows(struct row **rows, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free(rows[i]);
	*count = 0;
}

static int copy_rows(struct copy *copy, bool at_once, struct problem *why)
{
	struct row *rows[INSERT_ROWS];
	const struct shape *shape = &copy->shape;
	size_t count = 0, bytes = 0, committed = 0;
	struct sql_row row;
	int r, more;

	r = at_once ? 0 : run_text(copy, sql_begin(copy->live), why);
	while (r == 0 && (more = sql_next(copy->past, &row, why)) != 0) {
		if (more < 0) {
			r = more;
			break;
		}
		rows[count] = row_new(row.values, shape->count, shape->key_count);
		bytes += rows[count++]->size;
		if (count < INSERT_ROWS && bytes < COMMIT_BYTES / 16)
			continue;
		r = insert(copy, (const struct row *const *)rows, count, why);
		free_rows(rows, &count);
		committed += bytes;
		bytes = 0;
		if (r == 0 && committed > COMMIT_BYTES) {
			r = at_once ? tell(copy) : commit_and_go_on(copy, why);
			committed = 0;
		}
	}
	if (r == 0 && count)
		r = insert(copy, (const struct row *const *)rows, count, why);
	free_rows(rows, &count);
	return r < 0 || at_once ? r : run_text(copy, "COMMIT", why);
}

static int copy_all_rows(struct copy *copy, bool at_once, struct problem *why)
{
	CLEANUP(buffer) struct buffer text = {0};
	int r;

	shape_put_select(&copy->shape, copy->past, &text);
	if (!copy->shape.bag) {
		sql_put(&text, " ORDER BY ");
		shape_put_key(&copy->shape, copy->past, &text);
	}
	r = sql_send(copy->past, &text, why);
	if (r == 0)
		r = copy_rows(copy, at_once, why);
	sql_drop(copy->past);
	return r;
}

static int differs(void *arg, const struct pair *pair)
{
	(void)arg;
	(void)pair;
	return -EUCLEAN;
}

static int compare_new(struct copy *copy, struct problem *why)
{
	const struct compare compare = {
		.before = {copy->past, &copy->shape},
		.after = {copy->live, &copy->new_shape},
		.found = differs,
	};
	int r;

	r = compare_tables(&compare, why);
	if (r == -EUCLEAN)
		return problem(why, r, "%s.%s did not come back as it was",
			       copy->shape.table->schema, copy->shape.table->name);
	return r;
}

/* --- All -------------------------------------------------------------------------------------- */

static int begin(struct copy *copy, const struct sql_table *table, bool at_once,
		 struct problem *why)
{
	uint32_t number;
	int r;

	if (getrandom(&number, sizeof number, 0) != sizeof number)
		return problem_errno(why, -errno, "no random number");
	snprintf(copy->new_name, sizeof copy->new_name, "unspill_repair_%08x", number);
	copy->new_table = *table;
	if (!at_once)
		copy->new_table.name = copy->new_name;
	r = shape_init(&copy->shape, table, NULL, NULL, why);
	return r < 0 ? r : shape_init(&copy->new_shape, &copy->new_table, NULL, NULL, why);
}

static int fill_and_name(struct copy *copy, const struct sql_definition *definition,
			 struct problem *why)
{
	int r;

	r = create_table(copy, definition, why);
	if (r == 0)
		r = copy_all_rows(copy, false, why);
	if (r == 0 && !copy->emit)
		r = compare_new(copy, why);
	if (r == 0)
		r = give_name(copy, why);
	return r < 0 ? r : create_rest(copy, definition, why);
}

/* Where nobody sees what is not committed, the table has its name from the start; indexes are made
 * when the rows are in. */
static int all_at_once(struct copy *copy, const struct sql_definition *definition,
		       struct problem *why)
{
	int r;

	r = run_text(copy, sql_begin(copy->live), why);
	if (r == 0)
		r = run_all(copy, &definition->before, why);
	if (r == 0)
		r = copy_all_rows(copy, true, why);
	if (r == 0)
		r = continue_numbers(copy, why);
	if (r == 0)
		r = run_all(copy, &definition->after, why);
	if (r == 0 && !copy->emit)
		r = compare_new(copy, why);
	return r < 0 ? r : run_text(copy, "COMMIT", why);
}

static int do_whole(struct copy *copy, const struct sql_table *table, struct problem *why)
{
	CLEANUP(sql_definition) struct sql_definition *definition = NULL;
	int r;

	r = sql_define(copy->past, table->schema, table->name, &definition, why);
	if (r == 0)
		r = begin(copy, table, definition->at_once, why);
	if (r == 0)
		r = sql_use(copy->live, table->schema, why);
	for (const char *const *s = sql_repair_settings(copy->live); *s && r == 0; s++)
		r = sql_run(copy->live, *s, NULL, why);
	if (r == 0)
		r = definition->at_once ? all_at_once(copy, definition, why)
					: fill_and_name(copy, definition, why);
	if (r < 0 && !copy->emit) {
		sql_drop(copy->live);
		sql_run(copy->live, "ROLLBACK", NULL, NULL);
		if (definition && !definition->at_once)
			drop_new(copy, NULL);
	}
	shape_done(&copy->shape);
	shape_done(&copy->new_shape);
	return r;
}

int whole_table(struct sql *past, struct sql *live, const struct sql_table *table,
		const struct whole_options *options, uint64_t *ret_rows, struct problem *why)
{
	struct copy copy = {.past = past, .live = live, .options = options};
	int r;

	r = do_whole(&copy, table, why);
	*ret_rows = copy.rows;
	return r;
}

int whole_emit(struct sql *past, struct sql *live, const struct sql_table *table,
	       void (*emit)(void *arg, const struct buffer *statement), void *arg,
	       uint64_t *ret_rows, struct problem *why)
{
	struct copy copy = {.past = past, .live = live, .emit = emit, .arg = arg};
	int r;

	r = do_whole(&copy, table, why);
	*ret_rows = copy.rows;
	return r;
}
