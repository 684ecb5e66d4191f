#include "vfs/store.h"

#include "base/alloc.h"
#include "base/map64.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK 4096

/* A file of the past: what the view has, below what was written since. */
struct scratch_file {
	char *name; /* NULL when removed */
	uint64_t refs;
	uint64_t size;
	uint64_t ino;        /* in the view; 0: none */
	uint64_t below;      /* so many bytes of the view's file still count */
	struct map64 blocks; /* number + 1 -> BLOCK bytes */
};

struct store {
	struct volume *volume;       /* of a head; else NULL */
	struct view *view;           /* of a past; else NULL */
	pthread_mutex_t lock;        /* of a past: innermost but for the volume's own */
	struct scratch_file **files; /* an id is an index + 1 */
	size_t count, room;
	uint64_t bytes; /* of blocks */
};

struct store *store_new_head(struct volume *volume)
{
	struct store *store = xcalloc(1, sizeof *store);

	store->volume = volume;
	pthread_mutex_init(&store->lock, NULL);
	return store;
}

struct store *store_new_past(struct view *view)
{
	struct store *store = xcalloc(1, sizeof *store);

	store->view = view;
	pthread_mutex_init(&store->lock, NULL);
	return store;
}

static void free_blocks(struct scratch_file *file)
{
	map64_for_each (&file->blocks, slot)
		free(slot->value);
	map64_done(&file->blocks);
}

void store_free(struct store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->count; i++) {
		free_blocks(store->files[i]);
		free(store->files[i]->name);
		free(store->files[i]);
	}
	free(store->files);
	view_close(store->view);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

bool store_is_past(const struct store *store)
{
	return store->view != NULL;
}

/* --- The past, under its lock ----------------------------------------------------------------- */

static struct scratch_file *file_of(struct store *store, uint64_t id)
{
	return store->files[id - 1];
}

static uint64_t add_file(struct store *store, const char *name)
{
	struct scratch_file *file = xcalloc(1, sizeof *file);

	file->name = xstrdup(name);
	xgrow(store->files, store->count, store->room);
	store->files[store->count++] = file;
	return store->count;
}

static int past_find(struct store *store, const char *name, bool create, uint64_t *ret)
{
	struct volume_attr attr;
	int r;

	for (size_t i = 0; i < store->count; i++) {
		if (store->files[i]->name && strcmp(store->files[i]->name, name) == 0) {
			*ret = i + 1;
			return 0;
		}
	}
	r = view_lookup(store->view, VOLUME_ROOT_INO, name, &attr);
	if (r == 0) {
		for (size_t i = 0; i < store->count; i++)
			if (store->files[i]->ino == attr.ino)
				r = -ENOENT; /* removed since */
	}
	if (r < 0 && (r != -ENOENT || !create))
		return r;
	*ret = add_file(store, name);
	if (r == 0) {
		file_of(store, *ret)->ino = attr.ino;
		file_of(store, *ret)->size = file_of(store, *ret)->below = attr.size;
	}
	return 0;
}

/* A whole block as it is now. */
static int past_block(struct store *store, struct scratch_file *file, uint64_t number,
		      uint8_t block[BLOCK])
{
	const uint8_t *changed = map64_get(&file->blocks, number + 1);
	uint64_t offset = number * BLOCK;
	ssize_t n = 0;

	if (changed) {
		memcpy(block, changed, BLOCK);
		return 0;
	}
	if (offset < file->below) {
		n = view_read(store->view, file->ino, offset, block,
			      MIN((uint64_t)BLOCK, file->below - offset));
		if (n < 0)
			return (int)n;
	}
	memset(block + n, 0, BLOCK - n);
	return 0;
}

static ssize_t past_read(struct store *store, struct scratch_file *file, uint64_t offset,
			 uint8_t *buf, size_t size)
{
	uint8_t block[BLOCK];
	size_t done = 0;

	if (offset >= file->size)
		return 0;
	size = MIN((uint64_t)size, file->size - offset);
	while (done < size) {
		uint64_t at = offset + done, skip = at % BLOCK;
		size_t part = MIN(size - done, (size_t)(BLOCK - skip));
		int r = past_block(store, file, at / BLOCK, block);

		if (r < 0)
			return r;
		memcpy(buf + done, block + skip, part);
		done += part;
	}
	return (ssize_t)size;
}

static int past_write(struct store *store, struct scratch_file *file, uint64_t offset,
		      const uint8_t *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		uint64_t number = (offset + done) / BLOCK, skip = (offset + done) % BLOCK;
		size_t part = MIN(size - done, (size_t)(BLOCK - skip));
		uint8_t *block = map64_get(&file->blocks, number + 1);

		if (!block) {
			int r;

			if (store->bytes + BLOCK > STORE_SCRATCH_MAX)
				return -ENOSPC;
			block = xmalloc(BLOCK);
			r = past_block(store, file, number, block);
			if (r < 0) {
				free(block);
				return r;
			}
			map64_put(&file->blocks, number + 1, block);
			store->bytes += BLOCK;
		}
		memcpy(block + skip, buf + done, part);
		done += part;
	}
	file->size = MAX(file->size, offset + size);
	return 0;
}

/* What lies behind the end reads as zeros when the file grows again. */
static void past_truncate(struct store *store, struct scratch_file *file, uint64_t size)
{
	map64_for_each (&file->blocks, slot) {
		uint64_t offset = (slot->key - 1) * BLOCK;

		if (offset + BLOCK > size)
			memset((uint8_t *)slot->value + (offset < size ? size - offset : 0), 0,
			       offset < size ? offset + BLOCK - size : BLOCK);
	}
	file->below = MIN(file->below, size);
	file->size = size;
}

static void past_unref(struct store *store, struct scratch_file *file)
{
	if (--file->refs > 0 || file->name)
		return;
	store->bytes -= file->blocks.count * BLOCK;
	free_blocks(file);
	file->blocks = (struct map64){0};
}

/* --- Both ------------------------------------------------------------------------------------- */

static int head_open(struct volume *volume, const char *name, bool create, uint64_t *ret_id)
{
	struct volume_new new = {.mode = S_IFREG | 0644, .uid = geteuid(), .gid = getegid()};
	struct volume_attr attr;
	int r;

	r = view_lookup(volume_head(volume), VOLUME_ROOT_INO, name, &attr);
	if (r == -ENOENT && create)
		r = volume_create(volume, VOLUME_ROOT_INO, name, &new, &attr);
	if (r < 0)
		return r;
	if (!S_ISREG(attr.mode))
		return -EISDIR;
	volume_ref(volume, attr.ino, 1);
	*ret_id = attr.ino;
	return 0;
}

int store_open(struct store *store, const char *name, bool create, uint64_t *ret_id)
{
	int r;

	if (store->volume) {
		r = head_open(store->volume, name, create, ret_id);
		/* Somebody else made it at the same time. */
		return r == -EEXIST ? head_open(store->volume, name, false, ret_id) : r;
	}
	pthread_mutex_lock(&store->lock);
	r = past_find(store, name, create, ret_id);
	if (r == 0)
		file_of(store, *ret_id)->refs++;
	pthread_mutex_unlock(&store->lock);
	return r;
}

void store_unref(struct store *store, uint64_t id)
{
	if (store->volume) {
		volume_unref(store->volume, id, 1);
		return;
	}
	pthread_mutex_lock(&store->lock);
	past_unref(store, file_of(store, id));
	pthread_mutex_unlock(&store->lock);
}

int store_look(struct store *store, const char *name, uint64_t *ret_size)
{
	struct volume_attr attr = {0};
	uint64_t id;
	int r;

	if (store->volume) {
		r = view_lookup(volume_head(store->volume), VOLUME_ROOT_INO, name, &attr);
	} else {
		pthread_mutex_lock(&store->lock);
		r = past_find(store, name, false, &id);
		if (r == 0)
			attr.size = file_of(store, id)->size;
		pthread_mutex_unlock(&store->lock);
	}
	if (r == 0 && ret_size)
		*ret_size = attr.size;
	return r;
}

int store_unlink(struct store *store, const char *name)
{
	uint64_t id;
	int r;

	if (store->volume)
		return volume_unlink(store->volume, VOLUME_ROOT_INO, name);
	pthread_mutex_lock(&store->lock);
	r = past_find(store, name, false, &id);
	if (r == 0) {
		free(take(file_of(store, id)->name));
		file_of(store, id)->refs++;
		past_unref(store, file_of(store, id));
	}
	pthread_mutex_unlock(&store->lock);
	return r;
}

ssize_t store_read(struct store *store, uint64_t id, uint64_t offset, void *buf, size_t size)
{
	ssize_t n;

	if (store->volume)
		return view_read(volume_head(store->volume), id, offset, buf, size);
	pthread_mutex_lock(&store->lock);
	n = past_read(store, file_of(store, id), offset, buf, size);
	pthread_mutex_unlock(&store->lock);
	return n;
}

static int head_write(struct volume *volume, uint64_t id, uint64_t offset, const uint8_t *buf,
		      size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct iovec iov = {(void *)(buf + done), MIN(size - done, VOLUME_WRITE_MAX)};
		int r = volume_write(volume, id, offset + done, &iov, 1, false);

		if (r < 0)
			return r;
		done += iov.iov_len;
	}
	return 0;
}

int store_write(struct store *store, uint64_t id, uint64_t offset, const void *buf, size_t size)
{
	int r;

	if (store->volume)
		return head_write(store->volume, id, offset, buf, size);
	pthread_mutex_lock(&store->lock);
	r = past_write(store, file_of(store, id), offset, buf, size);
	pthread_mutex_unlock(&store->lock);
	return r;
}

int store_truncate(struct store *store, uint64_t id, uint64_t size)
{
	struct volume_change change = {.set = VOLUME_SET_SIZE, .size = size};
	struct volume_attr attr;

	if (store->volume)
		return volume_setattr(store->volume, id, &change, &attr);
	pthread_mutex_lock(&store->lock);
	past_truncate(store, file_of(store, id), size);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int store_size(struct store *store, uint64_t id, uint64_t *ret)
{
	struct volume_attr attr;
	int r;

	if (store->volume) {
		r = view_getattr(volume_head(store->volume), id, &attr);
		if (r == 0)
			*ret = attr.size;
		return r;
	}
	pthread_mutex_lock(&store->lock);
	*ret = file_of(store, id)->size;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int store_explain(struct store *store, int r, struct problem *why)
{
	struct volume_stats stats = {0};
	size_t used = why ? strlen(why->text) : 0;

	if (!why || !store->volume || r != -EIO)
		return r;
	volume_get_stats(store->volume, &stats);
	if (stats.last_error[0])
		snprintf(why->text + used, sizeof why->text - used, "; the volume's last error: %s",
			 stats.last_error);
	return r;
}

int store_sync(struct store *store)
{
	return store->volume ? volume_sync(store->volume) : 0;
}
