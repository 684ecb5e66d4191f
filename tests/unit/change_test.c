/*
 * Goal: what is put back is right whatever the server takes at once, whoever comes in between, and
 * whichever statement fails.
 *
 * Method: a toy server behind struct sql_dialect, with one table (k, v), savepoints, and unique
 * values; random states of before, after and now, by seed, and the three-way rule said once more.
 * The real servers' tests have few rows in a batch and little time; here are many of both.
 */
#include "base/alloc.h"
#include "repair/repair.h"
#include "sql/dialect.h"

#include "tap.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

/* Keys are 1 to KEYS - 1, a prime number of them; more than two batches. */
#define KEYS 702
#define SAVEPOINTS 8
#define ROUNDS 400

static uint64_t state;

static unsigned roll(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

/* --- The server ------------------------------------------------------------------------------- */

struct table {
	int cell[KEYS]; /* the value of k; 0: it is not there */
};

struct savepoint {
	char name[32];
	struct table table;
};

struct toy {
	struct sql sql;
	struct sql_dialect dialect;
	struct table table, begun; /* with our changes, and without them */
	struct savepoint savepoints[SAVEPOINTS];
	int savepoint_count;
	bool in_transaction, aborted;
	bool unique; /* v, among all rows */
	bool bag;    /* k is unique, and no key */
	bool many;   /* takes many at once */
	int statements,
		fail_at;     /* the n-th that changes something fails, and so does all after it */
	int meddle_at;       /* before the n-th somebody else changes a row */
	int meddled;         /* its key */
	bool answered[KEYS]; /* rows still to be sent */
	int batches, kinds;  /* how often many rows went at once */
	char number[2][16];
	struct sql_value values[4];
};

struct toy_statement {
	struct sql_statement statement;
	char kind; /* I, U, D */
	size_t rows;
};

static struct toy *toy_of(struct sql *sql)
{
	return (struct toy *)sql;
}

static int number(const struct sql_value *value)
{
	char text[16] = "";

	memcpy(text, value->data, MIN(value->size, sizeof text - 1));
	return atoi(text);
}

static int toy_hash(int k, int v)
{
	return k * 100000 + v;
}

/* Somebody else's commit: what we have changed is locked. */
static void meddle(struct toy *toy)
{
	for (int tries = 0; tries < 100 && !toy->meddled; tries++) {
		int k = 1 + (int)roll(KEYS - 1);

		if (toy->table.cell[k] != toy->begun.cell[k])
			continue;
		toy->meddled = k;
		toy->table.cell[k] = toy->begun.cell[k] = 99999;
		for (int i = 0; i < toy->savepoint_count; i++)
			toy->savepoints[i].table.cell[k] = 99999;
	}
}

static bool is_taken(const struct toy *toy, int k, int v)
{
	for (int other = 1; toy->unique && other < KEYS; other++)
		if (other != k && toy->table.cell[other] == v)
			return true;
	return false;
}

static int begin_statement(struct toy *toy)
{
	toy->statements++;
	if (toy->statements == toy->meddle_at)
		meddle(toy);
	if (toy->aborted || (toy->fail_at && toy->statements >= toy->fail_at))
		return -EIO;
	return 0;
}

static int toy_change(struct toy *toy, char kind, const struct sql_value *values,
		      uint64_t *ret_rows)
{
	int set = kind == 'U' ? number(&values[0]) : 0;
	int k = number(&values[kind == 'U']), now = 0;

	*ret_rows = 0;
	if (kind == 'I') {
		set = number(&values[1]);
		if (toy->table.cell[k] || is_taken(toy, k, set))
			return -EEXIST;
		toy->table.cell[k] = set;
		*ret_rows = 1;
		return 0;
	}
	/* What must be there, behind the key. */
	if (number(&values[kind == 'U' ? 2 : 1]) != k)
		return -EINVAL;
	now = number(&values[kind == 'U' ? 3 : 2]);
	if (toy->table.cell[k] != now)
		return 0;
	if (kind == 'U' && is_taken(toy, k, set))
		return -EEXIST;
	toy->table.cell[k] = set;
	*ret_rows = 1;
	return 0;
}

static int end_statement(struct toy *toy, int r)
{
	if (r < 0 && toy->dialect.errors_end_transactions)
		toy->aborted = true;
	return r;
}

static size_t values_of(char kind)
{
	return kind == 'I' ? 2 : kind == 'U' ? 4 : 3;
}

/* A statement happens whole, or not. */
static int toy_execute(struct sql_statement *statement, const struct sql_value *values,
		       size_t count, uint64_t *ret_rows, struct problem *why)
{
	struct toy_statement *ours = (struct toy_statement *)statement;
	struct toy *toy = toy_of(statement->sql);
	int r = begin_statement(toy);
	struct table before = toy->table;
	uint64_t rows;

	assert(count == ours->rows * values_of(ours->kind));
	toy->batches += ours->rows > 1;
	*ret_rows = 0;
	for (size_t i = 0; i < ours->rows && r == 0; i++) {
		r = toy_change(toy, ours->kind, values + i * values_of(ours->kind), &rows);
		*ret_rows += r == 0 ? rows : 0;
	}
	if (r < 0)
		toy->table = before;
	return r < 0 ? end_statement(toy, problem(why, r, "refused")) : 0;
}

/* Several happen one after the other, until one of them fails. */
static int toy_execute_many(struct sql_statement *statement, const struct sql_value *values,
			    size_t count, size_t times, uint64_t *ret_rows, struct problem *why)
{
	uint64_t rows;
	int r = 0;

	toy_of(statement->sql)->kinds++;
	*ret_rows = 0;
	for (size_t i = 0; i < times && r == 0; i++) {
		r = toy_execute(statement, values + i * count, count, &rows, why);
		*ret_rows += r == 0 ? rows : 0;
	}
	return r;
}

static int toy_prepare(struct sql *sql, const struct buffer *text, struct sql_statement **ret,
		       struct problem *why)
{
	struct toy_statement *ours = xcalloc(1, sizeof *ours);
	size_t marks = 0;

	ours->statement.sql = sql;
	ours->kind = (char)text->data[0];
	for (size_t i = 0; i < text->size; i++)
		marks += text->data[i] == '?';
	ours->rows = marks / values_of(ours->kind);
	*ret = &ours->statement;
	return 0;
}

static void toy_statement_free(struct sql_statement *statement)
{
	free(statement);
}

static struct savepoint *find_savepoint(struct toy *toy, const char *name)
{
	for (int i = toy->savepoint_count; i-- > 0;)
		if (strcmp(toy->savepoints[i].name, name) == 0)
			return &toy->savepoints[i];
	return NULL;
}

static void drop_savepoint(struct toy *toy, struct savepoint *savepoint)
{
	if (!savepoint)
		return;
	toy->savepoint_count--;
	memmove(savepoint, savepoint + 1,
		(toy->savepoints + toy->savepoint_count - savepoint) * sizeof *savepoint);
}

static int make_savepoint(struct toy *toy, const char *name)
{
	struct savepoint *savepoint;

	drop_savepoint(toy, find_savepoint(toy, name));
	assert(toy->savepoint_count < SAVEPOINTS && toy->in_transaction);
	savepoint = &toy->savepoints[toy->savepoint_count++];
	snprintf(savepoint->name, sizeof savepoint->name, "%s", name);
	savepoint->table = toy->table;
	return 0;
}

static int end_transaction(struct toy *toy, bool commit)
{
	if (commit)
		toy->begun = toy->table;
	toy->table = toy->begun;
	toy->in_transaction = toy->aborted = false;
	toy->savepoint_count = 0;
	return 0;
}

static int roll_back_to(struct toy *toy, const char *name)
{
	struct savepoint *savepoint = find_savepoint(toy, name);

	if (!savepoint)
		return -ENOENT;
	toy->table = savepoint->table;
	toy->savepoint_count = (int)(savepoint - toy->savepoints) + 1;
	toy->aborted = false;
	return 0;
}

/* "DELETE FROM s.t WHERE H IN (0,12,34)" */
static int delete_by_hash(struct toy *toy, const char *text, uint64_t *ret_rows)
{
	int r = begin_statement(toy);

	for (const char *at = strchr(text, '('); r == 0 && at && *at != ')';
	     at = strpbrk(at + 1, ",)")) {
		int hash = atoi(at + 1), k = hash / 100000;

		if (!k || !toy->table.cell[k] || toy_hash(k, toy->table.cell[k]) != hash)
			continue;
		toy->table.cell[k] = 0;
		++*ret_rows;
	}
	return end_statement(toy, r);
}

static int toy_run(struct sql *sql, const struct buffer *text, uint64_t *ret_rows,
		   struct problem *why)
{
	struct toy *toy = toy_of(sql);
	CLEANUP(free) char *words = xcalloc(1, text->size + 1);
	int r = 0;

	memcpy(words, text->data, text->size);
	*ret_rows = 0;
	if (strncmp(words, "ROLLBACK TO SAVEPOINT ", 22) == 0)
		r = roll_back_to(toy, words + 22);
	else if (strcmp(words, "ROLLBACK") == 0)
		r = end_transaction(toy, false);
	else if (toy->aborted)
		r = -EIO;
	else if (strcmp(words, "COMMIT") == 0)
		r = end_transaction(toy, true);
	else if (strncmp(words, "SAVEPOINT ", 10) == 0)
		r = make_savepoint(toy, words + 10);
	else if (strncmp(words, "RELEASE SAVEPOINT ", 18) == 0)
		drop_savepoint(toy, find_savepoint(toy, words + 18));
	else if (strcmp(words, "START TRANSACTION") == 0)
		toy->in_transaction = true;
	else
		r = delete_by_hash(toy, words, ret_rows);
	return r < 0 ? problem(why, r, "cannot %s", words) : 0;
}

/* "... WHERE k IN (#1,#2)", or by hashes "... H IN (12,34) ...". */
static int toy_send(struct sql *sql, const struct buffer *text, struct problem *why)
{
	struct toy *toy = toy_of(sql);
	CLEANUP(free) char *words = xcalloc(1, text->size + 1);
	const char *at;

	memcpy(words, text->data, text->size);
	if (toy->aborted)
		return problem(why, -EIO, "aborted");
	memset(toy->answered, 0, sizeof toy->answered);
	at = strstr(words, " WHERE ");
	for (at = at ? strchr(at, '(') : NULL; at && *at != ')'; at = strpbrk(at + 1, ",)")) {
		int asked = atoi(at + 1 + (at[1] == '#')), k = toy->bag ? asked / 100000 : asked;
		int v = toy->table.cell[k];

		toy->answered[k] |= v && (!toy->bag || toy_hash(k, v) == asked);
	}
	return 0;
}

static int toy_next(struct sql *sql, struct sql_row *ret, struct problem *why)
{
	static char hash[16];
	struct toy *toy = toy_of(sql);
	int k = 0;

	while (k < KEYS && !toy->answered[k])
		k++;
	if (k == KEYS)
		return 0;
	toy->answered[k] = false;
	snprintf(toy->number[0], sizeof toy->number[0], "%d", k);
	snprintf(toy->number[1], sizeof toy->number[1], "%d", toy->table.cell[k]);
	snprintf(hash, sizeof hash, "%d", toy_hash(k, toy->table.cell[k]));
	for (int i = 0; i < 2; i++)
		toy->values[i] = (struct sql_value){toy->number[i], strlen(toy->number[i])};
	toy->values[2] = (struct sql_value){hash, strlen(hash)};
	toy->values[3] = (struct sql_value){"1", 1};
	*ret = (struct sql_row){toy->values, 4};
	return 1;
}

static int toy_references(struct sql *sql, const char *schema, const char *name, bool of_parent,
			  struct sql_reference **ret, size_t *ret_count, struct problem *why)
{
	*ret = NULL;
	*ret_count = 0;
	return 0;
}

static void put_read(struct buffer *out, const struct sql_column *column)
{
	sql_put(out, column->name);
}

static void put_value(struct buffer *out, const struct sql_column *column,
		      const struct sql_value *value)
{
	if (value)
		sql_putf(out, "#%d", number(value));
	else
		sql_put(out, "?");
}

static void put_hash(struct buffer *out, const struct sql_column *const *columns, size_t count)
{
	sql_put(out, "H");
}

static const char *const no_settings[] = {NULL};

static void toy_init(struct toy *toy)
{
	*toy = (struct toy){.dialect = {.engine = "toy",
					.send = toy_send,
					.next = toy_next,
					.run = toy_run,
					.prepare = toy_prepare,
					.execute = toy_execute,
					.statement_free = toy_statement_free,
					.references = toy_references,
					.quote = '"',
					.put_read = put_read,
					.put_same = put_value,
					.put_given = put_value,
					.put_native = put_value,
					.put_hash = put_hash,
					.session_settings = no_settings,
					.repair_settings = no_settings}};
	toy->sql.dialect = &toy->dialect;
}

/* --- A trial ---------------------------------------------------------------------------------- */

struct trial {
	struct toy toy;
	struct table before, after, now; /* now: as it is when the repair begins */
	struct repair_options options;
	struct repair_report report;
	struct problem why;
};

static struct row *row_of(const struct trial *trial, int k, int v)
{
	char texts[2][16];
	struct sql_value values[2];
	struct row *row;

	if (!v)
		return NULL;
	snprintf(texts[0], sizeof texts[0], "%d", k);
	snprintf(texts[1], sizeof texts[1], "%d", v);
	for (int i = 0; i < 2; i++)
		values[i] = (struct sql_value){texts[i], strlen(texts[i])};
	row = row_new(values, 2, trial->toy.bag ? 2 : 1);
	row->hash = toy_hash(k, v);
	return row;
}

static void put_pair(const struct trial *trial, struct spool *spool, int k, int before, int after)
{
	struct pair pair = {row_of(trial, k, before), row_of(trial, k, after)};

	require(spool_put(spool, &pair) == 0);
	pair_done(&pair);
}

/* What differs, in any order; of a bag what went and what came are rows of their own. */
static void fill_spool(const struct trial *trial, struct spool *spool)
{
	unsigned first = roll(KEYS), step = 1 + roll(5);

	for (unsigned i = 0; i < KEYS - 1; i++) {
		int k = 1 + (int)((first + i * step) % (KEYS - 1));
		int before = trial->before.cell[k], after = trial->after.cell[k];

		if (before == after)
			continue;
		if (!trial->toy.bag) {
			put_pair(trial, spool, k, before, after);
			continue;
		}
		if (before)
			put_pair(trial, spool, k, before, 0);
		if (after)
			put_pair(trial, spool, k, 0, after);
	}
}

static int run_trial(struct trial *trial)
{
	struct sql_column columns[2] = {{.name = (char *)"k", .kind = SQL_INTEGER},
					{.name = (char *)"v", .kind = SQL_INTEGER}};
	size_t key = 0;
	struct sql_table table = {.schema = (char *)"s",
				  .name = (char *)"t",
				  .columns = columns,
				  .count = 2,
				  .key = &key,
				  .key_count = !trial->toy.bag};
	CLEANUP(shape) struct shape shape = {0};
	CLEANUP(spool) struct spool spool = {0};

	trial->toy.dialect.execute_many = trial->toy.many ? toy_execute_many : NULL;
	trial->toy.table = trial->toy.begun = trial->now;
	if (!check(shape_init(&shape, &table, NULL, NULL, &trial->why) == 0) ||
	    !check(spool_open(&spool, "/tmp", &trial->why) == 0, "%s", trial->why.text))
		return -EIO;
	fill_spool(trial, &spool);
	return repair_rows(&trial->toy.sql, &shape, &spool, &trial->options, &trial->report,
			   &trial->why);
}

/* By the rule alone; *conflicts counts. */
static int expected(const struct trial *trial, int k, uint64_t *conflicts)
{
	int before = trial->before.cell[k], after = trial->after.cell[k], now = trial->now.cell[k];

	if (before == after || now == before)
		return now;
	if (now == after)
		return before;
	/* Without a key nobody knows that the row that is gone is the one that was changed. */
	if (trial->toy.bag && !now)
		return before;
	*conflicts += !trial->toy.bag || before;
	return now;
}

static void compare(const struct trial *trial, const char *what, uint64_t seed)
{
	uint64_t conflicts = 0;

	for (int k = 1; k < KEYS; k++) {
		int wanted = expected(trial, k, &conflicts);

		if (k == trial->toy.meddled)
			wanted = 99999;
		require(trial->toy.begun.cell[k] == wanted, "%s, seed %llu: %d is %d, not %d", what,
			(unsigned long long)seed, k, trial->toy.begun.cell[k], wanted);
	}
	check(trial->toy.meddled || trial->report.conflicts == conflicts, "%s, seed %llu: %d", what,
	      (unsigned long long)seed, (int)trial->report.conflicts);
	check(!trial->toy.in_transaction);
}

/* What was put back is what is told. */
static void compare_counts(const struct trial *trial, uint64_t seed)
{
	uint64_t differ = 0,
		 told = trial->report.inserted + trial->report.updated + trial->report.deleted;

	for (int k = 1; k < KEYS; k++) {
		int was = trial->now.cell[k], is = trial->toy.begun.cell[k];

		differ += was != is;
		/* A row that went and one that came. */
		differ += trial->toy.bag && was && is && was != is;
	}
	check(told == differ, "seed %llu: %d, not %d", (unsigned long long)seed, (int)told,
	      (int)differ);
}

/* Each value another one, so that none is in the way unless the test wants it. */
static int fresh_value(void)
{
	static int last = 1000;

	last = last < 90000 ? last + 1 : 1001;
	return last;
}

static void spoil(struct table *table, unsigned one_in)
{
	for (int k = 1; k < KEYS; k++)
		if (roll(one_in) == 0)
			table->cell[k] = roll(3) ? fresh_value() : 0;
}

/* What a statement may do to many rows: all values wander. */
static void rotate(struct table *table)
{
	int keys[KEYS], count = 0, last;

	for (int k = 1; k < KEYS; k++)
		if (table->cell[k] && roll(3))
			keys[count++] = k;
	if (count == 0)
		return;
	last = table->cell[keys[count - 1]];
	for (int i = count - 1; i > 0; i--)
		table->cell[keys[i]] = table->cell[keys[i - 1]];
	table->cell[keys[0]] = last;
}

static void begin_trial(struct trial *trial, uint64_t seed)
{
	static const int batches[] = {0, 1, 5, 63, 64, 65, 128, 600};

	state = seed;
	memset(trial, 0, sizeof *trial);
	toy_init(&trial->toy);
	trial->toy.many = roll(2);
	trial->toy.dialect.errors_end_transactions = roll(2);
	trial->toy.bag = roll(4) == 0;
	trial->options.batch_rows = batches[roll(ARRAY_SIZE(batches))];
	trial->options.chunked = roll(4) == 0;
	for (int k = 1; k < KEYS; k++)
		trial->before.cell[k] = roll(5) ? fresh_value() : 0;
	trial->after = trial->before;
	/* One kind alone, sometimes, so that batches are full of it. */
	if (roll(4) == 0)
		memset(&trial->after, 0, sizeof trial->after);
	else
		spoil(&trial->after, 1 + roll(6));
	trial->now = trial->after;
}

/* --- The tests -------------------------------------------------------------------------------- */

static uint64_t first_seed;

static void every_row_is_put_back_whatever_the_server_takes_at_once(void)
{
	static struct trial trial;
	int batches = 0, kinds = 0;

	for (uint64_t seed = first_seed; seed < first_seed + ROUNDS && !tap_bad; seed++) {
		begin_trial(&trial, seed);
		spoil(&trial.now, 5 + roll(50));
		check(run_trial(&trial) == 0, "seed %llu: %s", (unsigned long long)seed,
		      trial.why.text);
		compare(&trial, "all", seed);
		compare_counts(&trial, seed);
		batches += trial.toy.batches;
		kinds += trial.toy.kinds;
	}
	check(batches > ROUNDS / 4 && kinds > ROUNDS, "%d %d", batches, kinds);
}

/* The statement for many has 64 rows; who is left over goes alone. */
static void rows_that_are_gone_come_back_in_as_few_statements_as_there_can_be(void)
{
	static const int gone[] = {1, 63, 64, 65, 127, 128, 129, 256, 257, 700};
	static struct trial trial;

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		int statements = 0;

		begin_trial(&trial, first_seed);
		trial.toy.bag = trial.options.chunked = false;
		trial.options.batch_rows = 0;
		memset(&trial.before, 0, sizeof trial.before);
		memset(&trial.after, 0, sizeof trial.after);
		for (int k = 1; k <= gone[i]; k++)
			trial.before.cell[k] = fresh_value();
		trial.now = trial.after;
		check(run_trial(&trial) == 0, "%s", trial.why.text);
		compare(&trial, "gone", gone[i]);
		for (int left = gone[i]; left > 0; left -= 256)
			statements += MIN(left, 256) / 64 + MIN(left, 256) % 64;
		check(trial.toy.statements == statements, "%d rows: %d, not %d", gone[i],
		      trial.toy.statements, statements);
		check(trial.report.inserted == (uint64_t)gone[i]);
	}
}

static void unique_values_that_wandered_come_back(void)
{
	static struct trial trial;

	for (uint64_t seed = first_seed; seed < first_seed + ROUNDS / 8 && !tap_bad; seed++) {
		begin_trial(&trial, seed);
		trial.toy.unique = true;
		trial.options.chunked = false;
		trial.after = trial.before;
		rotate(&trial.after);
		for (int k = 1; k < KEYS; k += 1 + (int)roll(30))
			trial.after.cell[k] = 0;
		trial.now = trial.after;
		check(run_trial(&trial) == 0, "seed %llu: %s", (unsigned long long)seed,
		      trial.why.text);
		compare(&trial, "unique", seed);
		compare_counts(&trial, seed);
	}
}

static void who_comes_in_between_keeps_what_they_wrote(void)
{
	static struct trial trial;
	int met = 0;

	for (uint64_t seed = first_seed; seed < first_seed + ROUNDS && !tap_bad; seed++) {
		begin_trial(&trial, seed);
		/* Rows of a bag are locked from the look at them on. */
		trial.toy.bag = false;
		trial.toy.meddle_at = 1 + (int)roll(300);
		check(run_trial(&trial) == 0, "seed %llu: %s", (unsigned long long)seed,
		      trial.why.text);
		compare(&trial, "meddled", seed);
		met += trial.report.conflicts > 0;
	}
	check(met > ROUNDS / 10, "%d", met);
}

/* Whichever statement fails, and all after it. */
static void a_failure_leaves_all_as_it_was(void)
{
	static struct trial trial;

	for (uint64_t seed = first_seed; seed < first_seed + ROUNDS && !tap_bad; seed++) {
		begin_trial(&trial, seed);
		trial.options.chunked = false;
		trial.toy.fail_at = 1 + (int)roll(20);
		if (run_trial(&trial) == 0) {
			check(trial.toy.statements < trial.toy.fail_at, "it was not told");
			continue;
		}
		check(memcmp(&trial.toy.begun, &trial.now, sizeof trial.now) == 0, "seed %llu",
		      (unsigned long long)seed);
		check(!trial.toy.in_transaction, "seed %llu", (unsigned long long)seed);
	}
}

int main(void)
{
	const char *seed = getenv("UNSPILL_TEST_SEED");

	first_seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("# UNSPILL_TEST_SEED=%llu\n", (unsigned long long)first_seed);
	RUN(every_row_is_put_back_whatever_the_server_takes_at_once);
	RUN(rows_that_are_gone_come_back_in_as_few_statements_as_there_can_be);
	RUN(unique_values_that_wandered_come_back);
	RUN(who_comes_in_between_keeps_what_they_wrote);
	RUN(a_failure_leaves_all_as_it_was);
	return tap_done();
}
