/*
 * Goal: what is put back is exactly what three-way logic says, of rows that have a key and of bags
 * of rows. Method: random tables, a random mistake and random good writes after it, by seed, on a
 * toy table (a list of rows); beside it the rule, said once more in the plainest way.
 */
#include "repair/spool.h"
#include "repair/three.h"
#include "base/alloc.h"

#include "tap.h"

#include <errno.h>
#include <time.h>

#define ROWS 40
#define ROUNDS 3000

static uint64_t state;

static unsigned roll(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

static struct sql_value text(const char *s)
{
	return (struct sql_value){s, s ? strlen(s) : 0};
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void null_and_empty_and_where_a_value_ends_make_different_rows(void)
{
	static const char *const rows[][2] = {{NULL, ""},  {"", NULL},  {"", ""},   {NULL, NULL},
					      {"a", "bc"}, {"ab", "c"}, {"abc", ""}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
			struct sql_value a[] = {text(rows[i][0]), text(rows[i][1])};
			struct sql_value b[] = {text(rows[j][0]), text(rows[j][1])};
			CLEANUP(free) struct row *x = row_new(a, 2, 1);
			CLEANUP(free) struct row *y = row_new(b, 2, 1);

			check(row_same(x, y) == (i == j), "%zu %zu", i, j);
		}
}

static void values_come_out_of_a_row_as_they_went_in(void)
{
	struct sql_value in[] = {text("k"), {"\0\xff", 2}, {NULL, 0}, text(""), text("end")},
			 out[5];
	CLEANUP(free) struct row *row = row_new(in, 5, 2);

	row_values(row, out, 5);
	for (int i = 0; i < 5; i++) {
		check(out[i].size == in[i].size);
		check(!out[i].data == !in[i].data);
		check(!in[i].data || !memcmp(out[i].data, in[i].data, in[i].size));
	}
}

static void a_spool_gives_back_what_was_put_into_it(void)
{
	struct spool spool;
	struct pair pair;

	require(spool_open(&spool, "/tmp", NULL) == 0);
	for (unsigned i = 0; i < 500; i++) {
		struct sql_value values[] = {{&i, sizeof i}, {"xxxxxxxx", i % 9}};
		struct pair put = {row_new(values, 2, 1), NULL};

		put.before->copies = i + 1;
		if (i % 3)
			put.after = row_new(values, 1, 1);
		check(spool_put(&spool, &put) == 0);
		pair_done(&put);
	}
	check(spool.count == 500, "%llu", (unsigned long long)spool.count);
	/* Twice: whoever reads may begin again. */
	for (int again = 0; again < 2; again++) {
		require(spool_rewind(&spool) == 0);
		for (unsigned i = 0; i < 500; i++) {
			struct sql_value values[] = {{&i, sizeof i}, {"xxxxxxxx", i % 9}};
			CLEANUP(free) struct row *row = row_new(values, 2, 1);

			require(spool_get(&spool, &pair) == 1);
			row->copies = i + 1;
			check(row_same(pair.before, row), "%u", i);
			check(!pair.after == !(i % 3));
			pair_done(&pair);
		}
		check(spool_get(&spool, &pair) == 0);
	}
	spool_close(&spool);
}

/* --- Tables ----------------------------------------------------------------------------------- */

/* cell[k] is the value of row k, 0: none; of a bag the number of rows with the value k. */
struct toy {
	int cell[ROWS];
};

static struct row *toy_row(const struct toy *toy, int k, bool bag)
{
	char key[16], value[16];
	struct sql_value values[] = {text(key), text(value)};
	struct row *row;

	if (!toy->cell[k])
		return NULL;
	snprintf(key, sizeof key, "%d", k);
	snprintf(value, sizeof value, "%d", bag ? 0 : toy->cell[k]);
	values[0].size = strlen(key);
	values[1].size = strlen(value);
	row = row_new(values, 2, bag ? 2 : 1);
	row->copies = bag ? toy->cell[k] : 1;
	return row;
}

/* In a random order, and of a bag one row at a time. */
static void toy_rows(const struct toy *toy, bool bag, struct rows *ret)
{
	int order[ROWS];

	for (int i = 0; i < ROWS; i++)
		order[i] = i;
	for (int i = ROWS - 1; i > 0; i--) {
		int j = roll(i + 1), k = order[i];

		order[i] = order[j];
		order[j] = k;
	}
	for (int i = 0; i < ROWS; i++) {
		struct row *row = toy_row(toy, order[i], bag);

		while (row && row->copies > 1) {
			struct row *one = row_copy(row);

			one->copies = 1;
			row->copies--;
			rows_add(ret, one);
		}
		if (row)
			rows_add(ret, row);
	}
}

static void write_some(struct toy *toy, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		toy->cell[roll(ROWS)] = roll(3) ? (int)roll(4) : 0;
}

struct trial {
	struct toy now;
	struct rows rows; /* the same */
	bool bag;
	int found, conflicts;
};

/* Values have a length, not an end. */
static int number_of(const struct sql_value *value)
{
	char digits[16] = "";

	memcpy(digits, value->data, value->size);
	return atoi(digits);
}

static int key_of(const struct row *row)
{
	struct sql_value values[2];

	row_values(row, values, 2);
	return number_of(&values[0]);
}

static int put_back(void *arg, const struct pair *pair)
{
	struct trial *trial = arg;
	const struct row *like = pair->before ? pair->before : pair->after;
	struct row *now = rows_find(&trial->rows, like);
	struct sql_value values[2];

	trial->found++;
	switch (three_way(pair->before, pair->after, now)) {
	case VERDICT_DONE:
		check(change_to(pair->before, now) == CHANGE_NONE);
		return 0;
	case VERDICT_CONFLICT:
		trial->conflicts++;
		return 0;
	case VERDICT_PUT_BACK:
		break;
	}
	check(change_to(pair->before, now) == (!now            ? CHANGE_INSERT
					       : !pair->before ? CHANGE_DELETE
							       : CHANGE_UPDATE));
	if (!pair->before) {
		trial->now.cell[key_of(like)] = 0;
		return 0;
	}
	row_values(pair->before, values, 2);
	trial->now.cell[key_of(like)] =
		trial->bag ? (int)pair->before->copies : number_of(&values[1]);
	return 0;
}

static void one_trial(bool bag)
{
	struct toy before = {{0}}, after, wanted;
	CLEANUP(rows) struct rows was = {0};
	CLEANUP(rows) struct rows became = {0};
	struct trial trial = {.bag = bag};
	int found = 0, conflicts = 0;

	write_some(&before, roll(100));
	after = before;
	write_some(&after, roll(20));
	trial.now = after;
	write_some(&trial.now, roll(20));
	wanted = trial.now;
	for (int k = 0; k < ROWS; k++) {
		int b = before.cell[k], a = after.cell[k], n = trial.now.cell[k];

		found += b != a;
		conflicts += b != a && n != b && n != a;
		if (n == a)
			wanted.cell[k] = b;
	}
	toy_rows(&before, bag, &was);
	toy_rows(&after, bag, &became);
	toy_rows(&trial.now, bag, &trial.rows);
	check(three_match(&was, &became, put_back, &trial) == 0);
	check(!memcmp(&trial.now, &wanted, sizeof wanted));
	check(trial.found == found && trial.conflicts == conflicts, "%d of %d, %d of %d",
	      trial.found, found, trial.conflicts, conflicts);
	rows_done(&trial.rows);
}

static void every_row_with_a_key_is_what_three_way_logic_says(void)
{
	for (int i = 0; i < ROUNDS && !tap_bad; i++)
		one_trial(false);
}

static void every_row_of_a_bag_is_there_as_often_as_three_way_logic_says(void)
{
	for (int i = 0; i < ROUNDS && !tap_bad; i++)
		one_trial(true);
}

static int count(void *arg, const struct pair *pair)
{
	++*(int *)arg;
	return pair->before ? 0 : -ECANCELED;
}

static void rows_that_are_wanted_in_neither_state_are_passed_over(void)
{
	struct sql_value k1[] = {text("1"), text("a")}, k1b[] = {text("1"), text("b")};
	struct sql_value k2[] = {text("2"), text("a")}, k3[] = {text("3"), text("a")};
	CLEANUP(rows) struct rows before = {0};
	CLEANUP(rows) struct rows after = {0};
	int n = 0;

	rows_add(&before, row_new(k1, 2, 1));
	rows_add(&before, row_new(k2, 2, 1));
	rows_add(&after, row_new(k1b, 2, 1));
	rows_add(&after, row_new(k3, 2, 1));
	before.rows[0]->wanted = before.rows[1]->wanted = false;
	after.rows[1]->wanted = false;
	check(three_match(&before, &after, count, &n) == 0);
	check(n == 1, "%d: only the one that is wanted afterwards", n);
	after.rows[1]->wanted = true;
	check(three_match(&before, &after, count, &n) == -ECANCELED);
	check(n == 3);
}

int main(void)
{
	const char *seed = getenv("UNSPILL_TEST_SEED");

	state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("# UNSPILL_TEST_SEED=%llu\n", (unsigned long long)state);
	RUN(null_and_empty_and_where_a_value_ends_make_different_rows);
	RUN(values_come_out_of_a_row_as_they_went_in);
	RUN(a_spool_gives_back_what_was_put_into_it);
	RUN(every_row_with_a_key_is_what_three_way_logic_says);
	RUN(every_row_of_a_bag_is_there_as_often_as_three_way_logic_says);
	RUN(rows_that_are_wanted_in_neither_state_are_passed_over);
	return tap_done();
}
