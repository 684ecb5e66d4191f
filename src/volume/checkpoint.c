/*
 * Checkpoints: images of the head, so that start-up and backtracks replay a bounded number of
 * records.  They are derived: one that is missing or damaged costs time, never data.
 */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>

void checkpoint_name(uint64_t position, char name[DISK_NAME_MAX])
{
	snprintf(name, DISK_NAME_MAX, "ckpt/%016llx", (unsigned long long)position);
}

void checkpoint_forget(struct volume *v, size_t index)
{
	char name[DISK_NAME_MAX];

	checkpoint_name(v->checkpoints[index].position, name);
	if (!v->options.read_only)
		disk_remove(v->disk, name);
	v->checkpoint_count--;
	memmove(v->checkpoints + index, v->checkpoints + index + 1,
		(v->checkpoint_count - index) * sizeof *v->checkpoints);
	figures_count_pins(v);
}

static uint64_t file_bytes(struct disk *disk, const char *checkpoint)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char name[DISK_NAME_MAX];
	uint64_t bytes = 0;

	snprintf(name, sizeof name, "ckpt/%s", checkpoint);
	if (disk_open(disk, name, DISK_READ_ONLY, &file) >= 0)
		disk_file_size(file, &bytes);
	return bytes;
}

static int add_name(const char *name, void *arg)
{
	struct volume *v = arg;
	char *end;
	uint64_t position = strtoull(name, &end, 16);

	if (strlen(name) != 16 || *end)
		return 0;
	xgrow(v->checkpoints, v->checkpoint_count, v->checkpoint_room);
	v->checkpoints[v->checkpoint_count++] =
		(struct checkpoint){position, file_bytes(v->disk, name)};
	return 0;
}

int checkpoint_list(struct volume *v)
{
	int r = disk_list(v->disk, "ckpt", add_name, v);

	figures_count_pins(v);
	return r < 0 ? r : 0;
}

static int write_checkpoint(struct volume *v)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	char name[DISK_NAME_MAX];
	uint64_t position;
	int r;

	/* The lock is held for a copy in memory, not for the disk. */
	pthread_rwlock_wrlock(&v->lock);
	position = v->head.state->position;
	image_encode(v->uuid, v->base_position, v->floor, v->head.state, &v->timeline, NULL,
		     &bytes);
	v->head.state->applied = 0;
	pthread_rwlock_unlock(&v->lock);
	if (v->checkpoint_count && v->checkpoints[v->checkpoint_count - 1].position == position)
		return 0;
	image_seal(&bytes);
	if (volume_free_bytes(v) < volume_reserve(v) / 2 + bytes.size)
		return -ENOSPC; /* what is left is for folds, which make room */
	r = tape_sync(v->tape, position);
	if (r < 0)
		return r;
	checkpoint_name(position, name);
	r = disk_replace_file(v->disk, name, bytes.data, bytes.size);
	if (r < 0)
		return r;
	xgrow(v->checkpoints, v->checkpoint_count, v->checkpoint_room);
	v->checkpoints[v->checkpoint_count++] = (struct checkpoint){position, bytes.size};
	figures_count_pins(v);
	figures_count_up(v, &v->checkpoints_written, 1);
	return 0;
}

int volume_checkpoint(struct volume *volume)
{
	int r;

	pthread_mutex_lock(&volume->fold_lock);
	r = write_checkpoint(volume);
	pthread_mutex_unlock(&volume->fold_lock);
	if (r < 0)
		volume_note_error(volume, "no checkpoint could be written: %s", strerror(-r));
	return r;
}

/* In step with the size of the state, so that writing checkpoints stays a small part of all
 * writing. */
bool checkpoint_is_due(struct volume *v)
{
	bool due;

	pthread_rwlock_rdlock(&v->lock);
	due = v->head.state->applied >=
	      MAX(v->options.checkpoint_records, v->head.state->extents / 2);
	pthread_rwlock_unlock(&v->lock);
	return due;
}
