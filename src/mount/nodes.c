#include "mount/nodes.h"

#include "base/alloc.h"
#include "base/cleanup.h"

static struct nodes_shard *shard_of(struct nodes *nodes, uint64_t ino)
{
	return &nodes->shards[ino % NODES_SHARDS];
}

void nodes_init(struct nodes *nodes)
{
	memset(nodes, 0, sizeof *nodes);
	for (unsigned i = 0; i < NODES_SHARDS; i++)
		pthread_mutex_init(&nodes->shards[i].lock, NULL);
}

void nodes_done(struct nodes *nodes)
{
	for (unsigned i = 0; i < NODES_SHARDS; i++) {
		map64_done(&nodes->shards[i].counts);
		pthread_mutex_destroy(&nodes->shards[i].lock);
	}
}

void nodes_ref(struct nodes *nodes, uint64_t ino)
{
	struct nodes_shard *shard = shard_of(nodes, ino);

	pthread_mutex_lock(&shard->lock);
	uintptr_t count = (uintptr_t)map64_get(&shard->counts, ino);
	map64_put(&shard->counts, ino, (void *)(count + 1));
	pthread_mutex_unlock(&shard->lock);
}

uint64_t nodes_forget(struct nodes *nodes, uint64_t ino, uint64_t count)
{
	struct nodes_shard *shard = shard_of(nodes, ino);

	if (!ino)
		return 0;
	pthread_mutex_lock(&shard->lock);
	uintptr_t have = (uintptr_t)map64_get(&shard->counts, ino);
	count = MIN(count, (uint64_t)have);
	if (have > count)
		map64_put(&shard->counts, ino, (void *)(uintptr_t)(have - count));
	else if (have)
		map64_remove(&shard->counts, ino);
	pthread_mutex_unlock(&shard->lock);
	return count;
}

size_t nodes_list(struct nodes *nodes, struct node_count **ret)
{
	struct node_count *list = NULL;
	size_t count = 0, room = 0;

	for (unsigned i = 0; i < NODES_SHARDS; i++) {
		struct nodes_shard *shard = &nodes->shards[i];

		pthread_mutex_lock(&shard->lock);
		map64_for_each (&shard->counts, slot) {
			xgrow(list, count, room);
			list[count++] = (struct node_count){slot->key, (uintptr_t)slot->value};
		}
		pthread_mutex_unlock(&shard->lock);
	}
	*ret = list;
	return count;
}
