#include "tape/unpacked.h"
#include "base/alloc.h"

#include <stdbool.h>

void unpacked_init(struct unpacked *unpacked, size_t bytes_max)
{
	*unpacked = (struct unpacked){.bytes_max = bytes_max};
	pthread_mutex_init(&unpacked->lock, NULL);
}

void unpacked_done(struct unpacked *unpacked)
{
	for (size_t i = 0; i < unpacked->count; i++)
		free(unpacked->groups[i]);
	free(unpacked->groups);
	pthread_mutex_destroy(&unpacked->lock);
}

struct unpacked_group *unpacked_new(uint64_t pack, uint32_t number, size_t size)
{
	struct unpacked_group *group = xmalloc(sizeof *group + size);

	*group = (struct unpacked_group){.pack = pack, .number = number, .size = size};
	return group;
}

static struct unpacked_group *find(struct unpacked *unpacked, uint64_t pack, uint32_t number)
{
	for (size_t i = 0; i < unpacked->count; i++)
		if (unpacked->groups[i]->number == number && unpacked->groups[i]->pack == pack)
			return unpacked->groups[i];
	return NULL;
}

static struct unpacked_group *use(struct unpacked *unpacked, struct unpacked_group *group)
{
	group->users++;
	group->used = ++unpacked->tick;
	return group;
}

struct unpacked_group *unpacked_get(struct unpacked *unpacked, uint64_t pack, uint32_t number)
{
	struct unpacked_group *group;

	pthread_mutex_lock(&unpacked->lock);
	group = find(unpacked, pack, number);
	if (group)
		use(unpacked, group);
	pthread_mutex_unlock(&unpacked->lock);
	return group;
}

static void remove_at(struct unpacked *unpacked, size_t i)
{
	unpacked->bytes -= unpacked->groups[i]->size;
	free(unpacked->groups[i]);
	unpacked->groups[i] = unpacked->groups[--unpacked->count];
}

/* What is in use stays, so the limit may be passed by as much as is being read at once. */
static bool remove_oldest(struct unpacked *unpacked)
{
	size_t oldest = SIZE_MAX;

	for (size_t i = 0; i < unpacked->count; i++)
		if (!unpacked->groups[i]->users &&
		    (oldest == SIZE_MAX ||
		     unpacked->groups[i]->used < unpacked->groups[oldest]->used))
			oldest = i;
	if (oldest == SIZE_MAX)
		return false;
	remove_at(unpacked, oldest);
	return true;
}

struct unpacked_group *unpacked_add(struct unpacked *unpacked, struct unpacked_group *group)
{
	struct unpacked_group *other;

	pthread_mutex_lock(&unpacked->lock);
	other = find(unpacked, group->pack, group->number);
	if (other) { /* somebody was faster */
		free(group);
		group = other;
	} else {
		xgrow(unpacked->groups, unpacked->count, unpacked->room);
		unpacked->groups[unpacked->count++] = group;
		unpacked->bytes += group->size;
	}
	use(unpacked, group);
	while (unpacked->bytes > unpacked->bytes_max && remove_oldest(unpacked))
		;
	pthread_mutex_unlock(&unpacked->lock);
	return group;
}

void unpacked_put(struct unpacked *unpacked, struct unpacked_group *group)
{
	if (!group)
		return;
	pthread_mutex_lock(&unpacked->lock);
	group->users--;
	pthread_mutex_unlock(&unpacked->lock);
}

void unpacked_forget(struct unpacked *unpacked, uint64_t pack)
{
	pthread_mutex_lock(&unpacked->lock);
	for (size_t i = unpacked->count; i > 0; i--)
		if (unpacked->groups[i - 1]->pack == pack)
			remove_at(unpacked, i - 1);
	pthread_mutex_unlock(&unpacked->lock);
}
