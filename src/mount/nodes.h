/*
 * Nodes: which inodes the kernel knows, and how many times it was told of each (its lookup count).
 *
 * Invariant: an inode is listed exactly while the kernel may have something of it cached, so that
 * visiting the list reaches everything.  The root is always known and never listed.
 */
#pragma once

#include "base/map64.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define NODES_SHARDS 16

struct nodes {
	struct nodes_shard {
		pthread_mutex_t lock;
		struct map64 counts; /* ino -> count, as a pointer's value; guarded by lock */
	} shards[NODES_SHARDS];
};

void nodes_init(struct nodes *nodes);
void nodes_done(struct nodes *nodes);

/* The kernel is about to be told of `ino` once more. */
void nodes_ref(struct nodes *nodes, uint64_t ino);
/* It forgets `count` tellings.  Returns how many there were, at most `count`. */
uint64_t nodes_forget(struct nodes *nodes, uint64_t ino, uint64_t count);

struct node_count {
	uint64_t ino, count;
};
/* All of them as they are now, in no order; the caller frees *ret. */
size_t nodes_list(struct nodes *nodes, struct node_count **ret);
