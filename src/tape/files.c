#include "tape/files.h"
#include "base/alloc.h"

#include <errno.h>

void files_init(struct files *files, struct disk *disk,
		const char *(*name)(char name[TAPE_NAME_MAX], uint64_t lsn))
{
	*files = (struct files){.disk = disk, .name = name};
	pthread_mutex_init(&files->lock, NULL);
}

void files_done(struct files *files)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		disk_file_close(files->slots[i].file);
	pthread_mutex_destroy(&files->lock);
}

static struct files_slot *find(struct files *files, uint64_t lsn)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (files->slots[i].file && !files->slots[i].forgotten &&
		    files->slots[i].lsn == lsn)
			return &files->slots[i];
	return NULL;
}

/* A free slot, or the longest unused; NULL when all are in use. */
static struct files_slot *choose(struct files *files)
{
	struct files_slot *best = NULL;

	for (size_t i = 0; i < FILES_MAX; i++) {
		struct files_slot *slot = &files->slots[i];

		if (!slot->file)
			return slot;
		if (!slot->users && (!best || slot->used < best->used))
			best = slot;
	}
	return best;
}

static int open_slot(struct files *files, uint64_t lsn, struct files_slot **ret)
{
	struct files_slot *slot = choose(files);
	struct disk_file *file;
	char name[TAPE_NAME_MAX];
	int r;

	r = disk_open(files->disk, files->name(name, lsn), DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	if (slot)
		disk_file_close(slot->file);
	else /* one beyond the limit, for this use only */
		slot = xcalloc(1, sizeof *slot);
	*slot = (struct files_slot){.file = file, .lsn = lsn, .ahead = lsn};
	*ret = slot;
	return 0;
}

int files_get(struct files *files, uint64_t lsn, struct files_slot **ret)
{
	struct files_slot *slot;
	int r = 0;

	pthread_mutex_lock(&files->lock);
	slot = find(files, lsn);
	if (!slot)
		r = open_slot(files, lsn, &slot);
	if (r == 0) {
		slot->users++;
		slot->used = ++files->tick;
		*ret = slot;
	}
	pthread_mutex_unlock(&files->lock);
	return r;
}

static void slot_close(struct files_slot *slot)
{
	disk_file_close(slot->file);
	*slot = (struct files_slot){0};
}

void files_put(struct files *files, struct files_slot *slot)
{
	bool cached = slot >= files->slots && slot < files->slots + FILES_MAX;

	pthread_mutex_lock(&files->lock);
	slot->users--;
	if (!cached || (slot->forgotten && !slot->users))
		slot_close(slot);
	pthread_mutex_unlock(&files->lock);
	if (!cached)
		free(slot);
}

void files_forget(struct files *files, uint64_t lsn)
{
	struct files_slot *slot;

	pthread_mutex_lock(&files->lock);
	slot = find(files, lsn);
	if (slot && slot->users)
		slot->forgotten = true;
	else if (slot)
		slot_close(slot);
	pthread_mutex_unlock(&files->lock);
}
