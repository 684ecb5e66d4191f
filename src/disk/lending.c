/*
 * Lending: a disk that asks its owner for room when it is full, and tries again.
 *
 * Only calls that may be repeated as a whole are: after an error any part of a write may have been
 * done, and the same write does it again.
 */
#include "base/alloc.h"
#include "disk/disk.h"

#include <errno.h>

/* What a name, or a change of the disk's own books, may cost. */
#define NAME_BYTES (16 * 1024)

struct lending {
	struct disk disk;
	struct disk *below;
	bool (*lend)(uint64_t bytes, void *arg);
	void *arg;
};

struct lending_file {
	struct disk_file file;
	struct lending *owner;
	struct disk_file *below;
};

static struct lending *lending_of(struct disk *disk)
{
	return (struct lending *)disk;
}

static struct lending_file *file_of(struct disk_file *file)
{
	return (struct lending_file *)file;
}

/* Run `expr` until it does not end for want of room, or nothing more is lent. */
#define WITH_ROOM(owner, bytes, r, expr) \
	do {                             \
		(r) = (expr);            \
	} while ((r) == -ENOSPC && (owner)->lend(bytes, (owner)->arg))

/* --- Files ---------------------------------------------------------------------------------- */

static ssize_t lending_read(struct disk_file *file, void *buf, size_t size, uint64_t offset)
{
	return disk_file_read(file_of(file)->below, buf, size, offset);
}

static void lending_prefetch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	disk_file_prefetch(file_of(file)->below, offset, size);
}

static int lending_write(struct disk_file *file, const struct iovec *iov, int count,
			 uint64_t offset)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, disk_iov_size(iov, count) + NAME_BYTES, r,
		  disk_file_writev(f->below, iov, count, offset));
	return r;
}

static int lending_write_direct(struct disk_file *file, const struct iovec *iov, int count,
				uint64_t offset)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, disk_iov_size(iov, count) + NAME_BYTES, r,
		  disk_file_writev_direct(f->below, iov, count, offset));
	return r;
}

static int lending_sync(struct disk_file *file)
{
	return disk_file_sync(file_of(file)->below);
}

static int lending_write_zeros(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, size + NAME_BYTES, r, disk_file_write_zeros(f->below, offset, size));
	return r;
}

static int lending_allocate(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, size + NAME_BYTES, r, disk_file_allocate(f->below, offset, size));
	return r;
}

static int lending_punch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, NAME_BYTES, r, disk_file_punch(f->below, offset, size));
	return r;
}

static int lending_truncate(struct disk_file *file, uint64_t size)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, NAME_BYTES, r, disk_file_truncate(f->below, size));
	return r;
}

static int lending_size(struct disk_file *file, uint64_t *ret)
{
	return disk_file_size(file_of(file)->below, ret);
}

static int lending_reflink(struct disk_file *file, struct disk_file *from)
{
	struct lending_file *f = file_of(file);
	int r;

	WITH_ROOM(f->owner, NAME_BYTES, r, disk_file_reflink(f->below, file_of(from)->below));
	return r;
}

static int lending_allocated(struct disk_file *file, uint64_t *ret)
{
	return disk_file_allocated(file_of(file)->below, ret);
}

static void lending_file_close(struct disk_file *file)
{
	disk_file_close(file_of(file)->below);
	free(file_of(file));
}

static const struct disk_file_ops file_ops = {
	.read = lending_read,
	.prefetch = lending_prefetch,
	.write = lending_write,
	.write_direct = lending_write_direct,
	.sync = lending_sync,
	.write_zeros = lending_write_zeros,
	.allocate = lending_allocate,
	.punch = lending_punch,
	.truncate = lending_truncate,
	.size = lending_size,
	.reflink = lending_reflink,
	.allocated = lending_allocated,
	.close = lending_file_close,
};

/* --- The disk ------------------------------------------------------------------------------- */

static int lending_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	struct lending *lending = lending_of(disk);
	struct disk_file *below;
	struct lending_file *f;
	int r;

	WITH_ROOM(lending, NAME_BYTES, r, disk_open(lending->below, name, flags, &below));
	if (r < 0)
		return r;
	f = xcalloc(1, sizeof *f);
	*f = (struct lending_file){{&file_ops}, lending, below};
	*ret = &f->file;
	return 0;
}

static int lending_rename(struct disk *disk, const char *from, const char *to)
{
	struct lending *lending = lending_of(disk);
	int r;

	WITH_ROOM(lending, NAME_BYTES, r, disk_rename(lending->below, from, to));
	return r;
}

static int lending_remove(struct disk *disk, const char *name)
{
	return disk_remove(lending_of(disk)->below, name);
}

static const struct disk_ops lending_ops;

static int lending_link(struct disk *disk, const char *name, struct disk *to, const char *new_name)
{
	struct lending *lending = lending_of(disk);
	int r;

	if (to->ops == &lending_ops)
		to = lending_of(to)->below;
	WITH_ROOM(lending, NAME_BYTES, r, disk_link(lending->below, name, to, new_name));
	return r;
}

static int lending_links(struct disk *disk, const char *name, unsigned *ret)
{
	return disk_links(lending_of(disk)->below, name, ret);
}

static int lending_sync_names(struct disk *disk, const char *folder)
{
	return disk_sync_names(lending_of(disk)->below, folder);
}

static int lending_list(struct disk *disk, const char *folder,
			int (*fn)(const char *name, void *arg), void *arg)
{
	return disk_list(lending_of(disk)->below, folder, fn, arg);
}

static int lending_space(struct disk *disk, struct disk_space *ret)
{
	return disk_space(lending_of(disk)->below, ret);
}

static int lending_lock(struct disk *disk, int *ret_owner)
{
	return disk_lock(lending_of(disk)->below, ret_owner);
}

static void lending_close(struct disk *disk)
{
	free(lending_of(disk));
}

static const struct disk_ops lending_ops = {
	.open = lending_open,
	.rename = lending_rename,
	.remove = lending_remove,
	.link = lending_link,
	.links = lending_links,
	.sync_names = lending_sync_names,
	.list = lending_list,
	.space = lending_space,
	.lock = lending_lock,
	.close = lending_close,
};

struct disk *disk_lending_new(struct disk *below, bool (*lend)(uint64_t bytes, void *arg),
			      void *arg)
{
	struct lending *lending = xcalloc(1, sizeof *lending);

	*lending = (struct lending){{&lending_ops}, below, lend, arg};
	return &lending->disk;
}
