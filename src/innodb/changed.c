#include "innodb/changed.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

/* A range goes on over so many rows that are the same: asking for them costs less than another. */
#define SAME_MAX 3

/* The records of one copy's leaves that are not the same in the other. */
struct stream {
	struct innodb_tree *tree;
	const struct innodb_file *file;
	uint8_t *bytes, *leaves; /* leaves: one bit per page */
	struct innodb_page page;
	uint32_t *heap; /* origins in the order in which they lie there */
	uint32_t count, visited;
	uint32_t origin; /* of the record that it is at */
	bool more;       /* it is at one */
	bool passed;     /* over leaves that are the same, since somebody last looked */
};

struct innodb_changed {
	struct innodb_changed_options options;
	struct stream streams[2];
	bool open; /* a range is begun */
	uint64_t rows, same;
	struct innodb_range range;
	bool begun;
};

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static bool is_same_leaf(const struct innodb_changed *changed, uint32_t leaf)
{
	return !bit(changed->options.differs, leaf) && bit(changed->streams[0].leaves, leaf) &&
	       bit(changed->streams[1].leaves, leaf);
}

/* --- Records of a leaf ------------------------------------------------------------------------ */

static int compare_origins(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int collect_heap(struct stream *stream)
{
	uint32_t origin = INNODB_INFIMUM;
	int r;

	for (stream->count = 0;; stream->count++) {
		r = innodb_page_next(&stream->page, origin, &origin);
		if (r < 0)
			return r;
		if (origin == INNODB_SUPREMUM)
			break;
		if (stream->count == stream->page.records)
			return -EUCLEAN;
		stream->heap[stream->count] = origin;
	}
	qsort(stream->heap, stream->count, sizeof *stream->heap, compare_origins);
	return stream->count == stream->page.records ? 0 : -EUCLEAN;
}

/* Both the record's own, and large enough. */
static int check_records(const struct innodb_changed *changed, const struct stream *stream)
{
	uint32_t least = changed->options.index.key_bytes + INNODB_SYSTEM;

	for (uint32_t i = 0; i < stream->count; i++) {
		uint32_t end = i + 1 < stream->count ? stream->heap[i + 1] - INNODB_HEADER
						     : stream->page.heap_top;
		uint8_t status = innodb_status(&stream->page, stream->heap[i]);

		if (stream->heap[i] + least > end || (status != 0 && status != 4))
			return -EUCLEAN;
	}
	return 0;
}

static int load_leaf(struct innodb_changed *changed, struct stream *stream, uint32_t number)
{
	uint32_t size = changed->options.index.page_bytes;
	int r;

	r = stream->file->read(stream->file->arg, number, stream->bytes);
	if (r == 0)
		r = innodb_page_read(&stream->page, stream->bytes, size, number);
	if (r == 0 && (stream->page.level != 0 || stream->page.index != changed->options.index.id ||
		       stream->page.records > size / INNODB_HEADER))
		r = -EUCLEAN;
	if (r == 0)
		r = collect_heap(stream);
	if (r == 0)
		r = check_records(changed, stream);
	stream->origin = INNODB_INFIMUM;
	stream->visited = 0;
	return r;
}

/* 0 when there is none. */
static int next_leaf(struct innodb_changed *changed, struct stream *stream)
{
	uint32_t leaf;
	int r;

	while ((r = innodb_tree_next(stream->tree, &leaf)) > 0) {
		if (leaf >= stream->file->pages)
			return -EUCLEAN;
		if (is_same_leaf(changed, leaf)) {
			stream->passed = true;
			continue;
		}
		r = load_leaf(changed, stream, leaf);
		return r < 0 ? r : 1;
	}
	return r;
}

static const uint8_t *key_of(const struct stream *stream)
{
	return stream->page.bytes + stream->origin;
}

/* The next record, on whichever leaf; 0 when there is none. */
static int next_record(struct innodb_changed *changed, struct stream *stream)
{
	int r;

	r = innodb_page_next(&stream->page, stream->origin, &stream->origin);
	while (r >= 0 && stream->origin == INNODB_SUPREMUM) {
		r = next_leaf(changed, stream);
		if (r <= 0)
			return r;
		r = innodb_page_next(&stream->page, stream->origin, &stream->origin);
	}
	stream->visited++;
	return r < 0 ? r : 1;
}

/* To the next row, from where it is; stream->more says whether there is one. */
static int go_on(struct innodb_changed *changed, struct stream *stream)
{
	int r;

	do
		r = next_record(changed, stream);
	while (r > 0 && innodb_is_first(&stream->page, stream->origin));
	stream->more = r > 0;
	return r < 0 ? r : 0;
}

/* From one row to the next, or (`leaf`) the first of the next leaf. */
static int advance(struct innodb_changed *changed, struct stream *stream, bool leaf)
{
	uint32_t size = changed->options.index.key_bytes;
	uint8_t key[INNODB_KEY_MAX];
	int r = 1;

	memcpy(key, key_of(stream), size);
	if (leaf)
		r = next_leaf(changed, stream);
	if (r <= 0) {
		stream->more = false;
		return r;
	}
	r = go_on(changed, stream);
	/* Else it is no tree in this order. */
	return r == 0 && stream->more && memcmp(key, key_of(stream), size) >= 0 ? -EUCLEAN : r;
}

/* --- Two records ------------------------------------------------------------------------------ */

struct extent_of_record {
	uint32_t head; /* bytes before the header that may be its own */
	uint32_t body; /* bytes from the origin on that may be its own */
};

static struct extent_of_record extent_of(const struct innodb_changed *changed,
					 const struct stream *stream)
{
	const uint32_t *at = bsearch(&stream->origin, stream->heap, stream->count,
				     sizeof *stream->heap, compare_origins);
	uint32_t i = at - stream->heap, least = changed->options.index.key_bytes + INNODB_SYSTEM;
	uint32_t from = i ? at[-1] + least : INNODB_HEAP;
	uint32_t to = i + 1 < stream->count ? at[1] - INNODB_HEADER : stream->page.heap_top;
	uint32_t start = stream->origin - INNODB_HEADER;

	return (struct extent_of_record){start > from ? start - from : 0, to - stream->origin};
}

static bool is_forgotten(const struct innodb_changed *changed, const struct stream *stream)
{
	static const uint8_t none[6];

	return !memcmp(key_of(stream) + changed->options.index.key_bytes, none, sizeof none);
}

/*
 * As many bytes as both may have: where these are the same, the records' own lengths are, and so
 * they end within.
 */
static bool is_same_row(const struct innodb_changed *changed)
{
	const struct stream *a = &changed->streams[0], *b = &changed->streams[1];
	struct extent_of_record in_a = extent_of(changed, a), in_b = extent_of(changed, b);
	uint32_t head = MIN(in_a.head, in_b.head), body = MIN(in_a.body, in_b.body);
	uint32_t skip = changed->options.index.key_bytes;
	const uint8_t *at_a = key_of(a), *at_b = key_of(b);

	if (!innodb_tree_is_altered(a->tree) && !innodb_tree_is_altered(b->tree))
		head = MIN(head, changed->options.head_bytes);
	if (innodb_status(&a->page, a->origin) != innodb_status(&b->page, b->origin))
		return false;
	if (changed->options.off_page && (is_forgotten(changed, a) || is_forgotten(changed, b)))
		return false;
	if (!changed->options.off_page)
		skip += INNODB_SYSTEM;
	return !memcmp(at_a - INNODB_HEADER - head, at_b - INNODB_HEADER - head, head) &&
	       !memcmp(at_a + skip, at_b + skip, body - skip);
}

static bool is_row(const struct stream *stream)
{
	return !innodb_is_deleted(&stream->page, stream->origin);
}

/* --- Both copies ------------------------------------------------------------------------------ */

static int find_leaves(struct innodb_changed *changed, struct stream *stream)
{
	const struct innodb_index *index = &changed->options.index;
	uint32_t pages = MAX(changed->options.copies[0].pages, changed->options.copies[1].pages);
	CLEANUP(innodb_tree) struct innodb_tree *tree = NULL;
	uint32_t leaf;
	int r;

	stream->leaves = xcalloc(pages / 8 + 1, 1);
	r = innodb_tree_open(stream->file, index, &tree);
	while (r >= 0 && (r = innodb_tree_next(tree, &leaf)) > 0) {
		/* Nor does it visit one twice. */
		if (leaf >= stream->file->pages || bit(stream->leaves, leaf))
			return -EUCLEAN;
		stream->leaves[leaf / 8] |= 1 << leaf % 8;
	}
	if (r < 0)
		return r;
	stream->bytes = xcalloc(1, index->page_bytes);
	stream->heap = xcalloc(index->page_bytes / INNODB_HEADER + 1, sizeof *stream->heap);
	return innodb_tree_open(stream->file, index, &stream->tree);
}

int innodb_changed_open(const struct innodb_changed_options *options, struct innodb_changed **ret)
{
	CLEANUP(innodb_changed) struct innodb_changed *changed = xcalloc(1, sizeof *changed);
	int r = 0;

	if (options->index.key_bytes > INNODB_KEY_MAX)
		return -E2BIG;
	if (options->index.page_bytes < INNODB_PAGE_MIN ||
	    options->index.page_bytes > INNODB_PAGE_MAX ||
	    options->index.page_bytes & (options->index.page_bytes - 1))
		return -EUCLEAN;
	changed->options = *options;
	for (int i = 0; i < 2 && r == 0; i++) {
		changed->streams[i].file = &changed->options.copies[i];
		r = find_leaves(changed, &changed->streams[i]);
	}
	if (r < 0)
		return r;
	*ret = take(changed);
	return 0;
}

void innodb_changed_close(struct innodb_changed *changed)
{
	if (!changed)
		return;
	for (int i = 0; i < 2; i++) {
		innodb_tree_close(changed->streams[i].tree);
		free(changed->streams[i].bytes);
		free(changed->streams[i].leaves);
		free(changed->streams[i].heap);
	}
	free(changed);
}

static int begin(struct innodb_changed *changed)
{
	int r = 0;

	changed->begun = true;
	for (int i = 0; i < 2 && r >= 0; i++) {
		struct stream *stream = &changed->streams[i];

		r = next_leaf(changed, stream);
		if (r > 0)
			r = go_on(changed, stream);
	}
	return r;
}

/* The key that comes next, in which of the two: a bit each. */
static unsigned next_key(const struct innodb_changed *changed)
{
	const struct stream *a = &changed->streams[0], *b = &changed->streams[1];
	int order;

	if (!a->more || !b->more)
		return a->more | b->more << 1;
	order = memcmp(key_of(a), key_of(b), changed->options.index.key_bytes);
	return order < 0 ? 1 : order > 0 ? 2 : 3;
}

static bool may_differ(const struct innodb_changed *changed, unsigned which)
{
	const struct stream *a = &changed->streams[0], *b = &changed->streams[1];

	if (which != 3)
		return is_row(&changed->streams[which - 1]);
	if (!is_row(a) || !is_row(b))
		return is_row(a) != is_row(b);
	return !is_same_row(changed);
}

static void extend(struct innodb_changed *changed, unsigned which)
{
	const uint8_t *key = key_of(&changed->streams[which == 2]);
	uint32_t size = changed->options.index.key_bytes;

	if (!changed->open) {
		memcpy(changed->range.low, key, size);
		changed->rows = 0;
	}
	memcpy(changed->range.high, key, size);
	changed->open = true;
	changed->same = 0;
	changed->rows++;
}

/* Is the range that is begun to end before the next key? */
static bool is_to_end(struct innodb_changed *changed)
{
	bool passed = changed->streams[0].passed || changed->streams[1].passed;

	changed->streams[0].passed = changed->streams[1].passed = false;
	return changed->open && (passed || changed->same > SAME_MAX ||
				 changed->rows >= changed->options.range_rows / (SAME_MAX + 1));
}

/* Both have just come to the same leaf, with the same bytes: written again, but not changed. */
static bool is_same_page(const struct innodb_changed *changed, unsigned which)
{
	const struct stream *a = &changed->streams[0], *b = &changed->streams[1];

	return which == 3 && a->visited == 1 && b->visited == 1 &&
	       a->page.number == b->page.number && !memcmp(a->bytes, b->bytes, a->page.size);
}

static int step(struct innodb_changed *changed, unsigned which)
{
	bool leaf = is_same_page(changed, which);
	int r = 0;

	if (leaf)
		changed->streams[0].passed = true;
	else if (may_differ(changed, which))
		extend(changed, which);
	else
		changed->same++;
	for (int i = 0; i < 2 && r >= 0; i++)
		if (which >> i & 1)
			r = advance(changed, &changed->streams[i], leaf);
	return r;
}

int innodb_changed_next(struct innodb_changed *changed, struct innodb_range *ret)
{
	unsigned which;
	int r = 0;

	if (!changed->begun)
		r = begin(changed);
	while (r >= 0 && (which = next_key(changed)) != 0 && !is_to_end(changed))
		r = step(changed, which);
	if (r < 0)
		return r;
	if (!changed->open)
		return 0;
	changed->open = false;
	*ret = changed->range;
	return 1;
}
