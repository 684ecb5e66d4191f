#include "cmd/narrow.h"

#include "base/alloc.h"
#include "innodb/changed.h"
#include "repair/compare.h"

#include <errno.h>
#include <string.h>

/* A table of which both states are known to lie still. */
struct still {
	struct state *states[2];
	struct sql_files files[2];
	struct past_file data[2];
	uint8_t *differs; /* a bit per page */
	uint64_t pages;
	bool any;
	struct spool *ranges;
};

static int note_pages(uint64_t offset, uint64_t size, void *arg)
{
	struct still *still = arg;
	uint64_t bytes = still->files[0].page_bytes, last = (offset + size - 1) / bytes;

	still->any = true;
	for (uint64_t page = offset / bytes; page <= last && page < still->pages; page++)
		still->differs[page / 8] |= 1 << page % 8;
	return 0;
}

static int note_any(uint64_t offset, uint64_t size, void *arg)
{
	(void)offset;
	(void)size;
	*(bool *)arg = true;
	return 0;
}

/* Another definition is another file, and so is a table that was made anew. */
static bool is_same_table(struct still *still)
{
	struct past_file definition[2];
	bool altered = false;

	for (int i = 0; i < 2; i++)
		if (past_find(still->states[i]->past, still->files[i].definition, &definition[i]) ||
		    past_find(still->states[i]->past, still->files[i].data, &still->data[i]))
			return false;
	if (definition[0].ino != definition[1].ino || still->data[0].ino != still->data[1].ino)
		return false;
	return !past_differ(still->states[0]->past, still->states[1]->past, definition[0].ino,
			    note_any, &altered) &&
	       !altered;
}

static bool is_same_index(const struct sql_files *a, const struct sql_files *b)
{
	return a->legible && b->legible && a->page_bytes == b->page_bytes && a->root == b->root &&
	       a->key_bytes == b->key_bytes && a->index == b->index;
}

/* --- Pages ------------------------------------------------------------------------------------ */

struct copy {
	struct still *still;
	int which;
};

static int read_page(void *arg, uint32_t number, void *page)
{
	const struct copy *copy = arg;
	struct still *still = copy->still;
	uint64_t bytes = still->files[0].page_bytes;

	return past_read(still->states[copy->which]->past, &still->data[copy->which],
			 number * bytes, page, bytes);
}

static struct row *key_from(struct still *still, const uint8_t *bytes)
{
	const struct shape *shape = &still->states[0]->shape;
	CLEANUP(free) struct sql_value *values = xcalloc(shape->key_count, sizeof *values);
	CLEANUP(free) size_t *ends = xcalloc(shape->key_count, sizeof *ends);
	CLEANUP(buffer) struct buffer text = {0};
	size_t from = 0;

	for (size_t i = 0; i < shape->key_count; i++) {
		uint32_t size = sql_file_bytes(still->states[0]->sql, shape->columns[i]);

		sql_put_from_file(still->states[0]->sql, &text, shape->columns[i], bytes, size);
		bytes += size;
		ends[i] = text.size;
	}
	for (size_t i = 0; i < shape->key_count; from = ends[i++])
		values[i] = (struct sql_value){text.data + from, ends[i] - from};
	return row_new(values, shape->key_count, shape->key_count);
}

static int note_range(struct still *still, const struct innodb_range *range)
{
	struct pair pair = {key_from(still, range->low), key_from(still, range->high)};
	int r = spool_put(still->ranges, &pair);

	pair_done(&pair);
	return r;
}

static int look_at_pages(struct still *still)
{
	struct copy copies[2] = {{still, 0}, {still, 1}};
	const struct sql_files *files = &still->files[0];
	struct innodb_changed_options options = {
		.index = {files->index, files->root, files->page_bytes, files->key_bytes},
		.head_bytes = MAX(files[0].head_bytes, files[1].head_bytes),
		.off_page = files[0].off_page || files[1].off_page,
		.range_rows =
			compare_range_rows(&still->states[0]->shape, &still->states[1]->shape),
		.differs = still->differs,
	};
	CLEANUP(innodb_changed) struct innodb_changed *changed = NULL;
	struct innodb_range range;
	int r;

	for (int i = 0; i < 2; i++)
		options.copies[i] = (struct innodb_file){read_page, &copies[i],
							 still->data[i].size / files->page_bytes};
	r = innodb_changed_open(&options, &changed);
	while (r >= 0 && (r = innodb_changed_next(changed, &range)) > 0)
		r = note_range(still, &range);
	return r;
}

/* --- All -------------------------------------------------------------------------------------- */

static int look(struct still *still)
{
	uint64_t size;
	int r;

	if (!is_same_table(still))
		return 0;
	size = MAX(still->data[0].size, still->data[1].size);
	if (!still->files[0].page_bytes)
		return 0;
	still->pages = size / still->files[0].page_bytes + 1;
	still->differs = xcalloc(still->pages / 8 + 1, 1);
	r = past_differ(still->states[0]->past, still->states[1]->past, still->data[0].ino,
			note_pages, still);
	if (r < 0 || !still->any)
		return r < 0 ? r : 1;
	if (!is_same_index(&still->files[0], &still->files[1]) || still->pages > UINT32_MAX)
		return 0;
	r = look_at_pages(still);
	/* Not understood is not damaged: the server can tell. */
	return r == -EUCLEAN || r == -E2BIG ? 0 : r < 0 ? r : 1;
}

/* What an engine or a table does not give is no error: then all of it is compared. */
static int settle_and_look(struct still *still)
{
	int settled = 0, r = 0;

	for (; settled < 2 && r == 0; settled++)
		r = sql_settle(still->states[settled]->sql, still->states[settled]->table,
			       &still->files[settled], NULL);
	settled -= r < 0;
	r = r < 0 ? 0 : look(still);
	while (settled--)
		sql_unsettle(still->states[settled]->sql);
	return r;
}

int narrow(struct state *before, struct state *after, const char *directory, struct spool *ranges,
	   struct problem *why)
{
	struct still still = {.states = {before, after}, .ranges = ranges};
	int r;

	r = spool_open(ranges, directory, why);
	if (r < 0)
		return r;
	r = settle_and_look(&still);
	sql_files_done(&still.files[0]);
	sql_files_done(&still.files[1]);
	free(still.differs);
	return r < 0 ? problem_errno(why, r, "cannot read the pages of the past") : r;
}
