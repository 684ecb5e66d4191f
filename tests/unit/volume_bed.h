/*
 * Volume bed: a small volume on a disk in memory, with a clock that the test moves.  Files are all
 * in the root directory.
 */
#pragma once

#include "tap.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "disk/disk.h"
#include "volume/volume.h"

#include <errno.h>
#include <sys/stat.h>

#define SECOND INT64_C(1000000)
#define BED_SEGMENT (64 * 1024)

struct bed {
	struct disk *disk;
	struct volume *volume;
	struct volume_options options;
	struct problem why;
	int64_t now_us;
};

static inline int64_t bed_clock(void *arg)
{
	return ((struct bed *)arg)->now_us += 10;
}

static inline int bed_open(struct bed *bed)
{
	return volume_open(bed->disk, &bed->options, &bed->volume, &bed->why);
}

/* A window of `window_us`; checkpoints only when asked for. */
static inline bool bed_init(struct bed *bed, int64_t window_us)
{
	struct volume_format_options format = {.segment_bytes = BED_SEGMENT,
					       .window_us = window_us,
					       .root_mode = 0755,
					       .clock = bed_clock,
					       .clock_arg = bed};

	log_set_level(LOG_ERROR);
	*bed = (struct bed){.now_us = 1000 * SECOND};
	bed->disk = disk_memory_new(1);
	bed->options = (struct volume_options){.clock = bed_clock,
					       .clock_arg = bed,
					       .bytes_reserved = 1,
					       .checkpoint_records = UINT64_MAX};
	return check(volume_format(bed->disk, &format, &bed->why) == 0, "%s", bed->why.text) &&
	       check(bed_open(bed) == 0, "%s", bed->why.text);
}

static inline void bed_done(struct bed *bed)
{
	volume_close(bed->volume);
	disk_close(bed->disk);
}

/* The power goes now; `seed` chooses what is left. */
static inline int bed_power_cut(struct bed *bed, uint64_t seed)
{
	struct disk *left;

	disk_memory_power_cut(bed->disk, disk_memory_calls(bed->disk) + 1);
	left = disk_memory_power_on(bed->disk, seed);
	volume_close(bed->volume);
	bed->volume = NULL;
	disk_close(bed->disk);
	bed->disk = left;
	return bed_open(bed);
}

static inline uint64_t bed_ino(struct view *view, const char *name)
{
	struct volume_attr attr;

	return view_lookup(view, VOLUME_ROOT_INO, name, &attr) < 0 ? 0 : attr.ino;
}

static inline int bed_write(struct bed *bed, const char *name, uint64_t offset, const void *data,
			    size_t size)
{
	struct volume_new new = {.mode = S_IFREG | 0644};
	struct iovec iov = {(void *)data, size};
	uint64_t ino = bed_ino(volume_head(bed->volume), name);
	struct volume_attr attr;
	int r;

	if (!ino) {
		r = volume_create(bed->volume, VOLUME_ROOT_INO, name, &new, &attr);
		if (r < 0)
			return r;
		ino = attr.ino;
	}
	return volume_write(bed->volume, ino, offset, &iov, 1, false);
}

/* Write `text` at the start of the file. */
static inline int bed_say(struct bed *bed, const char *name, const char *text)
{
	return bed_write(bed, name, 0, text, strlen(text));
}

/* The file begins with `text`; NULL: there is no such file. */
static inline bool bed_says(struct view *view, const char *name, const char *text)
{
	uint64_t ino = bed_ino(view, name);
	char found[256] = "";

	if (!text || !ino)
		return !text && !ino;
	return view_read(view, ino, 0, found, strlen(text)) == (ssize_t)strlen(text) &&
	       memcmp(found, text, strlen(text)) == 0;
}

static inline bool bed_head_says(struct bed *bed, const char *name, const char *text)
{
	return bed_says(volume_head(bed->volume), name, text);
}

static inline struct moment bed_now(struct bed *bed)
{
	struct moment now;

	volume_now(bed->volume, &now);
	return now;
}

static inline int bed_back(struct bed *bed, struct moment to)
{
	struct volume_backtrack done;

	return volume_backtrack(bed->volume, &to, NULL, &done, &bed->why);
}

/* So many blocks of noise: enough writes make segments. */
static inline int bed_fill(struct bed *bed, const char *name, int blocks)
{
	uint8_t noise[4096];
	int r = 0;

	for (int i = 0; i < blocks && r == 0; i++) {
		memset(noise, i, sizeof noise);
		r = bed_write(bed, name, (uint64_t)(i % 16) * sizeof noise, noise, sizeof noise);
	}
	return r;
}

/* Background work until there is none left. */
static inline int bed_maintain(struct bed *bed)
{
	int r;

	do {
		r = volume_maintain(bed->volume);
	} while (r == 1);
	return r;
}
