/*
 * Goal: a row that differs between two copies of an index is in one of the ranges, and where
 * nothing differs there are none.
 *
 * Method: a toy that writes pages as InnoDB does.  A random table is laid out into leaves; a copy
 * of it is changed as a server would: in place, by longer rows at the end of the heap, by delete
 * marks, by purge, by splits and merges that leave old pages behind.  The truth is the two tables.
 */
#include "innodb/changed.h"

#include "base/alloc.h"

#include "tap.h"

#include <errno.h>
#include <time.h>

#define PAGE 4096u
#define PAGES 512u
#define KEYS 3000u
#define TEXT 40u
#define INDEX 77u
#define LEAF_ROWS 20u
#define HEAD 2u /* a byte of NULLs, one for the length */

static uint64_t state;

static unsigned roll(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

/* --- A toy that writes pages ------------------------------------------------------------------ */

struct toy_row {
	uint32_t key;
	uint8_t null, size, text[TEXT];
	uint64_t writer;
	bool deleted;
};

struct toy_leaf {
	uint32_t page;
	struct toy_row *rows; /* in the order of the key */
	uint32_t count;
	uint32_t order[PAGE / 16]; /* of rows: how they lie in the heap */
};

struct toy {
	uint8_t pages[PAGES][PAGE];
	struct toy_leaf leaves[PAGES];
	uint32_t leaf_count, next_page;
	bool outside; /* the text is the place of a value that is elsewhere */
	bool damaged; /* its ranges need not ascend */
};

static void put(uint8_t *at, uint64_t value, unsigned size)
{
	while (size--) {
		at[size] = (uint8_t)value;
		value >>= 8;
	}
}

static void page_init(uint8_t *page, uint32_t number, unsigned level, unsigned records)
{
	memset(page, 0, PAGE);
	put(page + 4, number, 4);
	put(page + 24, 17855, 2);
	put(page + 40, INNODB_HEAP, 2);
	put(page + 42, 0x8000, 2);
	put(page + 54, records, 2);
	put(page + 64, level, 2);
	put(page + 66, INDEX, 8);
	page[INNODB_SUPREMUM - 3] = 3;
	page[INNODB_INFIMUM - 3] = 2;
}

static uint32_t heap_top(const uint8_t *page)
{
	return (uint32_t)page[40] << 8 | page[41];
}

static void link_records(uint8_t *page, const uint32_t *origins, uint32_t count)
{
	uint32_t at = INNODB_INFIMUM;

	for (uint32_t i = 0; i <= count; i++) {
		uint32_t next = i < count ? origins[i] : INNODB_SUPREMUM;

		put(page + at - 2, next - at, 2);
		at = next;
	}
}

/* Returns its origin. */
static uint32_t put_row(uint8_t *page, const struct toy_row *row)
{
	uint32_t at = heap_top(page) + HEAD + INNODB_HEADER;

	page[at - INNODB_HEADER - 1] = row->null;
	page[at - INNODB_HEADER - 2] = row->size;
	page[at - INNODB_HEADER] = row->deleted ? 0x20 : 0;
	put(page + at, row->key, 4);
	put(page + at + 4, row->writer, 6);
	put(page + at + 10, row->writer ? row->writer * 31 : UINT64_C(1) << 55, 7);
	memcpy(page + at + 17, row->text, row->size);
	put(page + 40, at + 17 + row->size, 2);
	return at;
}

static void write_leaf(struct toy *toy, const struct toy_leaf *leaf)
{
	uint8_t *page = toy->pages[leaf->page];
	uint32_t origins[PAGE / 16];

	page_init(page, leaf->page, 0, leaf->count);
	for (uint32_t i = 0; i < leaf->count; i++)
		origins[leaf->order[i]] = put_row(page, &leaf->rows[leaf->order[i]]);
	link_records(page, origins, leaf->count);
}

static void write_parent(struct toy *toy, uint32_t number, unsigned level, const uint32_t *keys,
			 const uint32_t *children, uint32_t count)
{
	uint8_t *page = toy->pages[number];
	uint32_t origins[PAGE / 16];

	page_init(page, number, level, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = heap_top(page) + INNODB_HEADER;

		page[at - INNODB_HEADER] = i ? 0 : 0x10;
		page[at - 3] = 1;
		put(page + at, keys[i], 4);
		put(page + at + 4, children[i], 4);
		put(page + 40, at + 8, 2);
		origins[i] = at;
	}
	link_records(page, origins, count);
}

#define FANOUT 30u

/* Pages 4 to 19 are for those above the leaves, 3 is the root. */
static void write_tree(struct toy *toy)
{
	uint32_t keys[FANOUT], children[FANOUT], top_keys[FANOUT], top[FANOUT], parents = 0, n = 0;

	for (uint32_t i = 0; i < toy->leaf_count; i++) {
		write_leaf(toy, &toy->leaves[i]);
		keys[n] = toy->leaves[i].count ? toy->leaves[i].rows[0].key : 0;
		children[n++] = toy->leaves[i].page;
		if (n < FANOUT && i + 1 < toy->leaf_count)
			continue;
		write_parent(toy, 4 + parents, 1, keys, children, n);
		top_keys[parents] = keys[0];
		top[parents] = 4 + parents;
		parents++;
		n = 0;
	}
	write_parent(toy, 3, 2, top_keys, top, parents);
}

static void order_leaf(struct toy_leaf *leaf)
{
	for (uint32_t i = 0; i < leaf->count; i++)
		leaf->order[i] = i;
}

static void fill_text(struct toy_row *row, unsigned size)
{
	row->size = size;
	for (unsigned i = 0; i < size; i++)
		row->text[i] = roll(4);
}

static void make_table(struct toy *toy)
{
	*toy = (struct toy){.next_page = 20};
	for (uint32_t key = 1 + roll(3); key < KEYS; key += 1 + roll(3)) {
		struct toy_leaf *leaf = toy->leaf_count ? &toy->leaves[toy->leaf_count - 1] : NULL;
		struct toy_row row = {
			.key = key, .null = roll(2), .writer = roll(2) ? roll(9) + 1 : 0};

		fill_text(&row, roll(TEXT));
		if (!leaf || leaf->count == LEAF_ROWS) {
			leaf = &toy->leaves[toy->leaf_count++];
			leaf->page = toy->next_page++;
		}
		leaf->rows = xreallocarray(leaf->rows, leaf->count + 1, sizeof row);
		leaf->rows[leaf->count++] = row;
	}
	for (uint32_t i = 0; i < toy->leaf_count; i++)
		order_leaf(&toy->leaves[i]);
	write_tree(toy);
}

static void copy_table(struct toy *to, const struct toy *from)
{
	*to = *from;
	for (uint32_t i = 0; i < to->leaf_count; i++) {
		to->leaves[i].rows = xcalloc(from->leaves[i].count + 1, sizeof(struct toy_row));
		memcpy(to->leaves[i].rows, from->leaves[i].rows,
		       from->leaves[i].count * sizeof(struct toy_row));
	}
}

static void free_table(struct toy *toy)
{
	for (uint32_t i = 0; i < toy->leaf_count; i++)
		free(toy->leaves[i].rows);
	free(toy);
}

/* --- What a server does to it ----------------------------------------------------------------- */

static void drop_row(struct toy_leaf *leaf, uint32_t i)
{
	memmove(&leaf->rows[i], &leaf->rows[i + 1], (leaf->count - i - 1) * sizeof *leaf->rows);
	leaf->count--;
	order_leaf(leaf);
}

/* The row moves to the end of the heap. */
static void move_last(struct toy_leaf *leaf, uint32_t i)
{
	uint32_t n = 0;

	for (uint32_t j = 0; j < leaf->count; j++)
		if (leaf->order[j] != i)
			leaf->order[n++] = leaf->order[j];
	leaf->order[n] = i;
}

static void change_row(struct toy_leaf *leaf, uint32_t i)
{
	struct toy_row *row = &leaf->rows[i];

	row->writer = 100 + roll(1000);
	switch (roll(5)) {
	case 0:
		row->null ^= 1;
		break;
	case 1:
		fill_text(row, roll(TEXT));
		move_last(leaf, i);
		break;
	case 2:
		row->deleted = true;
		break;
	default:
		for (unsigned j = 0; j < row->size; j++)
			row->text[j] ^= roll(2);
	}
}

static void insert_row(struct toy_leaf *leaf, uint32_t i, uint32_t key)
{
	struct toy_row row = {.key = key, .writer = 100};

	fill_text(&row, roll(TEXT));
	leaf->rows = xreallocarray(leaf->rows, leaf->count + 1, sizeof row);
	memmove(&leaf->rows[i + 1], &leaf->rows[i], (leaf->count - i) * sizeof row);
	leaf->rows[i] = row;
	leaf->count++;
	order_leaf(leaf);
	move_last(leaf, i);
}

/* The upper half gets a page of its own. */
static void split(struct toy *toy, uint32_t at)
{
	struct toy_leaf *leaf = &toy->leaves[at], *half = &toy->leaves[at + 1];
	uint32_t keep = leaf->count / 2;

	if (toy->leaf_count + 1 >= 14 * FANOUT || toy->next_page == PAGES || leaf->count < 2)
		return;
	memmove(half + 1, half, (toy->leaf_count - at - 1) * sizeof *half);
	toy->leaf_count++;
	*half = (struct toy_leaf){.page = toy->next_page++, .count = leaf->count - keep};
	half->rows = xcalloc(half->count, sizeof *half->rows);
	memcpy(half->rows, leaf->rows + keep, half->count * sizeof *half->rows);
	leaf->count = keep;
	order_leaf(leaf);
	order_leaf(half);
}

/* The next leaf's rows come here; its page stays behind as it was. */
static void merge(struct toy *toy, uint32_t at)
{
	struct toy_leaf *leaf = &toy->leaves[at], *next = leaf + 1;
	uint32_t was = leaf->count;

	if (at + 1 == toy->leaf_count || was + next->count > 2 * LEAF_ROWS)
		return;
	leaf->count += next->count;
	leaf->rows = xreallocarray(leaf->rows, leaf->count, sizeof *leaf->rows);
	memcpy(leaf->rows + was, next->rows, next->count * sizeof *next->rows);
	order_leaf(leaf);
	free(next->rows);
	memmove(next, next + 1, (toy->leaf_count - at - 2) * sizeof *next);
	toy->leaf_count--;
}

static void purge(struct toy_leaf *leaf)
{
	for (uint32_t i = leaf->count; i-- > 0;) {
		leaf->rows[i].writer = 0;
		if (leaf->rows[i].deleted && leaf->count > 1)
			drop_row(leaf, i);
	}
}

static void change_once(struct toy *toy)
{
	uint32_t at = roll(toy->leaf_count), i;
	struct toy_leaf *leaf = &toy->leaves[at];

	i = roll(leaf->count);
	switch (roll(8)) {
	case 0:
		split(toy, at);
		break;
	case 1:
		merge(toy, at);
		break;
	case 2:
		purge(leaf);
		break;
	case 3:
		if (i && leaf->rows[i - 1].key + 1 < leaf->rows[i].key &&
		    leaf->count < 2 * LEAF_ROWS)
			insert_row(leaf, i, leaf->rows[i].key - 1);
		break;
	default:
		change_row(leaf, i);
	}
}

/* --- The truth -------------------------------------------------------------------------------- */

static const struct toy_row *find_row(const struct toy *toy, uint32_t key)
{
	for (uint32_t i = 0; i < toy->leaf_count; i++)
		for (uint32_t j = 0; j < toy->leaves[i].count; j++)
			if (toy->leaves[i].rows[j].key == key && !toy->leaves[i].rows[j].deleted)
				return &toy->leaves[i].rows[j];
	return NULL;
}

static bool same_row(const struct toy_row *a, const struct toy_row *b)
{
	if (!a || !b)
		return a == b;
	return a->null == b->null && a->size == b->size && !memcmp(a->text, b->text, a->size);
}

static int read_toy(void *arg, uint32_t number, void *page)
{
	memcpy(page, ((struct toy *)arg)->pages[number], PAGE);
	return 0;
}

/* The keys that are in one of the ranges; a negative error. */
static int find_ranges(struct toy *a, struct toy *b, bool *in, unsigned *ret_keys)
{
	uint8_t differs[PAGES / 8] = {0};
	struct innodb_changed_options options = {
		.index = {INDEX, 3, PAGE, 4},
		.head_bytes = HEAD,
		.off_page = a->outside,
		.range_rows = 1 + roll(100),
		.copies = {{read_toy, a, PAGES}, {read_toy, b, PAGES}},
		.differs = differs,
	};
	CLEANUP(innodb_changed) struct innodb_changed *changed = NULL;
	struct innodb_range range;
	uint32_t last = 0;
	int r;

	*ret_keys = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		if (memcmp(a->pages[i], b->pages[i], PAGE) != 0 || !roll(8))
			differs[i / 8] |= 1 << i % 8;
	r = innodb_changed_open(&options, &changed);
	while (r >= 0 && (r = innodb_changed_next(changed, &range)) > 0) {
		uint32_t low = (uint32_t)range.low[2] << 8 | range.low[3];
		uint32_t high = (uint32_t)range.high[2] << 8 | range.high[3];

		check(b->damaged || (low <= high && low > last && high < KEYS), "%u %u %u", last,
		      low, high);
		last = high;
		for (uint32_t key = low; key <= high && key < KEYS; key++) {
			in[key] = true;
			++*ret_keys;
		}
	}
	return r;
}

static void one_trial(unsigned changes)
{
	struct toy *a = xcalloc(1, sizeof *a), *b = xcalloc(1, sizeof *b);
	bool in[KEYS] = {false};
	unsigned keys, differ = 0;
	int r;

	make_table(a);
	copy_table(b, a);
	for (unsigned i = 0; i < changes; i++)
		change_once(b);
	write_tree(b);
	r = find_ranges(a, b, in, &keys);
	check(r == 0, "%d", r);
	for (uint32_t key = 0; key < KEYS; key++) {
		bool same = same_row(find_row(a, key), find_row(b, key));

		differ += !same;
		check(same || in[key], "key %u is in no range", key);
	}
	/* What is beside a row that moved may be named, too. */
	check(keys <= 60 * changes, "%u keys for %u changes, %u differ", keys, changes, differ);
	free_table(a);
	free_table(b);
}

static void every_row_that_differs_is_in_a_range(void)
{
	for (unsigned i = 0; i < 60 && !tap_bad; i++)
		one_trial(roll(1 + i));
}

static void nothing_is_named_where_nothing_differs(void)
{
	for (unsigned i = 0; i < 5 && !tap_bad; i++)
		one_trial(0);
}

static struct toy_row *first_row(struct toy *toy)
{
	return &toy->leaves[0].rows[0];
}

/* Purge has forgotten who wrote it, and the row did not change. */
static void who_wrote_a_row_does_not_count(void)
{
	struct toy *a = xcalloc(1, sizeof *a), *b = xcalloc(1, sizeof *b);
	bool in[KEYS] = {false};
	unsigned keys;

	make_table(a);
	first_row(a)->writer = 5;
	write_tree(a);
	copy_table(b, a);
	first_row(b)->writer = 0;
	write_tree(b);
	check(find_ranges(a, b, in, &keys) == 0 && keys == 0, "%u", keys);
	free_table(a);
	free_table(b);
}

/* The place is the same, the value there may not be. */
static void a_value_outside_of_its_row_counts_by_who_wrote_the_row(void)
{
	struct toy *a = xcalloc(1, sizeof *a), *b = xcalloc(1, sizeof *b);

	make_table(a);
	copy_table(b, a);
	for (int i = 0; i < 3; i++) {
		bool in[KEYS] = {false};
		unsigned keys;

		a->outside = b->outside = true;
		first_row(a)->writer = i < 2 ? 5 : 0;
		first_row(b)->writer = i == 0 ? 5 : i == 1 ? 6 : 0;
		a->leaves[0].rows[1].null = b->leaves[0].rows[1].null = 0;
		a->leaves[0].rows[1].text[0] = 0;
		b->leaves[0].rows[1].size = a->leaves[0].rows[1].size = 1;
		b->leaves[0].rows[1].text[0] = 1; /* so that the page is another */
		write_tree(a);
		write_tree(b);
		check(find_ranges(a, b, in, &keys) == 0);
		check(in[first_row(a)->key] == (i > 0), "%d", i);
	}
	free_table(a);
	free_table(b);
}

/* A byte anywhere: an error, or an answer; never a look beyond the page. */
static void a_damaged_page_is_an_error_or_a_difference(void)
{
	struct toy *a = xcalloc(1, sizeof *a), *b = xcalloc(1, sizeof *b);
	unsigned errors = 0;

	make_table(a);
	copy_table(b, a);
	b->damaged = true;
	for (unsigned i = 0; i < 4000; i++) {
		bool in[KEYS] = {false};
		uint32_t page = 3 + roll(40), at = roll(2) ? roll(PAGE) : 4 + roll(200);
		uint8_t was = b->pages[page][at];
		unsigned keys;

		b->pages[page][at] = roll(256);
		errors += find_ranges(a, b, in, &keys) < 0;
		b->pages[page][at] = was;
	}
	check(errors > 100, "%u", errors);
	free_table(a);
	free_table(b);
}

int main(void)
{
	const char *seed = getenv("UNSPILL_TEST_SEED");

	state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("# UNSPILL_TEST_SEED=%llu\n", (unsigned long long)state);
	RUN(every_row_that_differs_is_in_a_range);
	RUN(nothing_is_named_where_nothing_differs);
	RUN(who_wrote_a_row_does_not_count);
	RUN(a_value_outside_of_its_row_counts_by_who_wrote_the_row);
	RUN(a_damaged_page_is_an_error_or_a_difference);
	return tap_done();
}
