/*
 * Parts: several disks on one, told apart by what their names begin with, so that they share room,
 * power cuts and files: what two directories on one filesystem are to each other.
 */
#pragma once

#include "base/alloc.h"
#include "disk/disk.h"

#include <errno.h>
#include <stdio.h>

struct part {
	struct disk disk;
	struct disk *below;
	char letter;
};

/* "tape/x" of part 'a' is "atape/x" below, and "volume" is "atop/volume", so that each is listed
 * apart. */
static inline const char *part_name(const struct disk *disk, const char *name,
				    char below[DISK_NAME_MAX])
{
	snprintf(below, DISK_NAME_MAX, "%c%s%s", ((const struct part *)disk)->letter,
		 strchr(name, '/') ? "" : "top/", name);
	return below;
}

static inline const char *part_folder(const struct disk *disk, const char *folder,
				      char below[DISK_NAME_MAX])
{
	snprintf(below, DISK_NAME_MAX, "%c%s", ((const struct part *)disk)->letter,
		 *folder ? folder : "top");
	return below;
}

static inline struct disk *part_below(struct disk *disk)
{
	return ((struct part *)disk)->below;
}

static int part_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	char below[DISK_NAME_MAX];

	return disk_open(part_below(disk), part_name(disk, name, below), flags, ret);
}

static int part_rename(struct disk *disk, const char *from, const char *to)
{
	char a[DISK_NAME_MAX], b[DISK_NAME_MAX];

	return disk_rename(part_below(disk), part_name(disk, from, a), part_name(disk, to, b));
}

static int part_remove(struct disk *disk, const char *name)
{
	char below[DISK_NAME_MAX];

	return disk_remove(part_below(disk), part_name(disk, name, below));
}

static int part_link(struct disk *disk, const char *name, struct disk *to, const char *new_name)
{
	char a[DISK_NAME_MAX], b[DISK_NAME_MAX];

	if (to->ops != disk->ops || part_below(to) != part_below(disk))
		return -EXDEV;
	return disk_link(part_below(disk), part_name(disk, name, a), part_below(to),
			 part_name(to, new_name, b));
}

static int part_links(struct disk *disk, const char *name, unsigned *ret)
{
	char below[DISK_NAME_MAX];

	return disk_links(part_below(disk), part_name(disk, name, below), ret);
}

static int part_sync_names(struct disk *disk, const char *folder)
{
	char below[DISK_NAME_MAX];

	return disk_sync_names(part_below(disk), part_folder(disk, folder, below));
}

static int part_list(struct disk *disk, const char *folder, int (*fn)(const char *name, void *arg),
		     void *arg)
{
	char below[DISK_NAME_MAX];

	return disk_list(part_below(disk), part_folder(disk, folder, below), fn, arg);
}

static int part_space(struct disk *disk, struct disk_space *ret)
{
	return disk_space(part_below(disk), ret);
}

static int part_lock(struct disk *disk, int *ret_owner)
{
	return disk_lock(part_below(disk), ret_owner);
}

static void part_close(struct disk *disk)
{
	free(disk);
}

/* `below` is borrowed. */
static struct disk *part_new(struct disk *below, char letter)
{
	static const struct disk_ops ops = {
		.open = part_open,
		.rename = part_rename,
		.remove = part_remove,
		.link = part_link,
		.links = part_links,
		.sync_names = part_sync_names,
		.list = part_list,
		.space = part_space,
		.lock = part_lock,
		.close = part_close,
	};
	struct part *part = xcalloc(1, sizeof *part);

	*part = (struct part){{&ops}, below, letter};
	return &part->disk;
}
