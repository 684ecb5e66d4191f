#include "innodb/tree.h"

#include "base/alloc.h"

#include <errno.h>

#define LEVELS_MAX 16 /* more than 2^32 pages of two records each would need */

struct level {
	uint8_t *bytes;
	struct innodb_page page;
	uint32_t origin; /* of the record that led further down */
	uint32_t visited;
};

struct innodb_tree {
	const struct innodb_file *file;
	const struct innodb_index *index;
	struct level levels[LEVELS_MAX]; /* by level; [0] only for the root's sake */
	unsigned height;                 /* the root's level */
	bool altered, begun;
};

static int read_page(struct innodb_tree *tree, unsigned height, uint32_t number)
{
	struct level *level = &tree->levels[height];
	int r;

	if (number >= tree->file->pages)
		return -EUCLEAN;
	if (!level->bytes)
		level->bytes = xmalloc(tree->index->page_bytes);
	r = tree->file->read(tree->file->arg, number, level->bytes);
	if (r == 0)
		r = innodb_page_read(&level->page, level->bytes, tree->index->page_bytes, number);
	if (r < 0)
		return r;
	level->origin = INNODB_INFIMUM;
	level->visited = 0;
	return level->page.index == tree->index->id ? 0 : -EUCLEAN;
}

int innodb_tree_open(const struct innodb_file *file, const struct innodb_index *index,
		     struct innodb_tree **ret)
{
	CLEANUP(innodb_tree) struct innodb_tree *tree = xcalloc(1, sizeof *tree);
	struct level root;
	int r;

	tree->file = file;
	tree->index = index;
	r = read_page(tree, 0, index->root);
	if (r < 0)
		return r;
	root = tree->levels[0];
	if (root.page.level >= LEVELS_MAX)
		return -EUCLEAN;
	tree->height = root.page.level;
	tree->altered = root.page.altered;
	tree->levels[0] = (struct level){0};
	tree->levels[tree->height] = root;
	*ret = take(tree);
	return 0;
}

void innodb_tree_close(struct innodb_tree *tree)
{
	if (!tree)
		return;
	for (unsigned i = 0; i < LEVELS_MAX; i++)
		free(tree->levels[i].bytes);
	free(tree);
}

bool innodb_tree_is_altered(const struct innodb_tree *tree)
{
	return tree->altered;
}

/* 1 and the page that the level's next record leads to; 0 at its end. */
static int next_child(const struct innodb_tree *tree, struct level *level, uint32_t *ret)
{
	const uint8_t *child;
	int r;

	r = innodb_page_next(&level->page, level->origin, &level->origin);
	if (r < 0)
		return r;
	if (level->origin == INNODB_SUPREMUM)
		return level->visited == level->page.records ? 0 : -EUCLEAN;
	if (level->visited++ == level->page.records ||
	    innodb_status(&level->page, level->origin) != 1 ||
	    level->origin + tree->index->key_bytes + 4 > level->page.heap_top)
		return -EUCLEAN;
	child = level->page.bytes + level->origin + tree->index->key_bytes;
	*ret = (uint32_t)child[0] << 24 | child[1] << 16 | child[2] << 8 | child[3];
	return 1;
}

int innodb_tree_next(struct innodb_tree *tree, uint32_t *ret)
{
	unsigned height = tree->begun || !tree->height ? 1 : tree->height;
	int r;

	if (!tree->height) {
		*ret = tree->index->root;
		r = !tree->begun;
		tree->begun = true;
		return r;
	}
	tree->begun = true;
	while (height <= tree->height) {
		r = next_child(tree, &tree->levels[height], ret);
		if (r < 0 || (r > 0 && height == 1))
			return r;
		if (r == 0) {
			height++;
			continue;
		}
		height--;
		r = read_page(tree, height, *ret);
		if (r < 0 || tree->levels[height].page.level != height)
			return r < 0 ? r : -EUCLEAN;
	}
	return 0;
}
