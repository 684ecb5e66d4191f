/*
 * Tree: the leaves of a clustered index, in the order of the key.
 *
 * Only the pages above the leaves are read: some thousandth of all.
 */
#pragma once

#include "innodb/page.h"

#include "base/cleanup.h"

struct innodb_file {
	/* One page into `page`; 0 or -errno, with which the work ends. */
	int (*read)(void *arg, uint32_t number, void *page);
	void *arg;
	uint32_t pages;
};

struct innodb_index {
	uint64_t id;
	uint32_t root, page_bytes;
	uint32_t key_bytes; /* of all columns of the key together; none varies */
};

struct innodb_tree;

/* From before the first leaf.  The arguments are borrowed and outlive it. */
int innodb_tree_open(const struct innodb_file *file, const struct innodb_index *index,
		     struct innodb_tree **ret);
void innodb_tree_close(struct innodb_tree *tree);
DEFINE_CLEANUP(struct innodb_tree *, innodb_tree, innodb_tree_close)

/* 1 and the number of the next leaf; 0 when there is none; -EUCLEAN when a page is not what it
 * should be, or the file's error. */
int innodb_tree_next(struct innodb_tree *tree, uint32_t *ret);
/* Columns were added or dropped in an instant. */
bool innodb_tree_is_altered(const struct innodb_tree *tree);
