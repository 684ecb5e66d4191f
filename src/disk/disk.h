/*
 * Disk: the only door to stable storage.
 *
 * A disk is a small tree of named files ("tape/0000000000000000.seg": at most one folder deep;
 * folders come into being with their first file).  Two implementations: disk_local_open() (a
 * directory) and disk_memory_new() (memory, with failing calls, torn writes and power cuts).
 *
 * What a power cut leaves: everything that a successful disk_file_sync() or disk_sync_names()
 * covered; of the rest any part, in units of 512-byte sectors of data and of single name changes,
 * the name changes of one folder in order.
 *
 * Every function returns 0 or a count, or -errno.  All may be called from several threads; a struct
 * disk_file may be used by several threads at once.
 */
#pragma once

#include "base/cleanup.h"
#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Buffers, offsets and sizes of disk_file_write_direct() are multiples of this. */
#define DISK_BLOCK 4096

#define DISK_NAME_MAX 128

enum disk_open_flags {
	DISK_CREATE = 1,    /* create if missing */
	DISK_EXCLUSIVE = 2, /* with DISK_CREATE: -EEXIST if it is there */
	DISK_READ_ONLY = 4,
};

struct disk_space {
	uint64_t bytes_total;
	/* What is reserved for root does not count, not even to root: it is for emergencies. */
	uint64_t bytes_free;
};

struct disk_file;

struct disk {
	const struct disk_ops *ops;
};

struct disk_file_ops;

struct disk_file {
	const struct disk_file_ops *ops;
};

struct disk_ops {
	/* -ENOENT, -EEXIST, ...  The caller owns *ret and closes it. */
	int (*open)(struct disk *disk, const char *name, int flags, struct disk_file **ret);
	/* Atomic, replaces `to`.  Durable after sync_names() of both folders. */
	int (*rename)(struct disk *disk, const char *from, const char *to);
	int (*remove)(struct disk *disk, const char *name);
	/*
	 * The file gets one more name, `new_name` on the disk `to`: what is written by one name is
	 * read by the other.  -EEXIST; -EXDEV where the two disks cannot share files; -EMLINK.
	 * Durable after sync_names() on `to`.
	 */
	int (*link)(struct disk *disk, const char *name, struct disk *to, const char *new_name);
	/* How many names the file has, on this disk and on others. */
	int (*links)(struct disk *disk, const char *name, unsigned *ret);
	/* Make creations, renames and removals in `folder` ("" is the top) durable. */
	int (*sync_names)(struct disk *disk, const char *folder);
	/*
	 * Call `fn` with each file's name inside `folder` (no folder before it), sorted, until it
	 * returns non-zero, and return that.  A folder that does not exist is empty.
	 */
	int (*list)(struct disk *disk, const char *folder, int (*fn)(const char *name, void *arg),
		    void *arg);
	int (*space)(struct disk *disk, struct disk_space *ret);
	/*
	 * Take the disk for this process, for as long as the disk is open.  -EBUSY when another
	 * process (or another struct disk on the same place) has it; `*ret_owner` is then its
	 * process id, or 0.
	 */
	int (*lock)(struct disk *disk, int *ret_owner);
	void (*close)(struct disk *disk);
};

struct disk_file_ops {
	/* Bytes read: fewer than asked only at the end of the file. */
	ssize_t (*read)(struct disk_file *file, void *buf, size_t size, uint64_t offset);
	/* The range is going to be read: the disk may begin to fetch it, and does not wait. */
	void (*prefetch)(struct disk_file *file, uint64_t offset, uint64_t size);
	/* All or an error; after an error any part may have been written.  Durable after sync(). */
	int (*write)(struct disk_file *file, const struct iovec *iov, int iov_count,
		     uint64_t offset);
	/*
	 * As write(), but past the page cache where the disk below can (O_DIRECT): a sync() that
	 * follows has no more to do than to flush the device.  Everything in whole, aligned
	 * DISK_BLOCKs.
	 */
	int (*write_direct)(struct disk_file *file, const struct iovec *iov, int iov_count,
			    uint64_t offset);
	/* fdatasync, the size included.  A failure is final: what was not yet durable may be gone.
	 */
	int (*sync)(struct disk_file *file);
	/* Fill [offset, offset + size) with zeros that are really written, not merely promised. */
	int (*write_zeros)(struct disk_file *file, uint64_t offset, uint64_t size);
	/*
	 * Take the range's space, and grow the file so far.  What is there stays, what is new reads
	 * as zeros, but nothing is written: a later write there may still have to change the disk's
	 * books.
	 */
	int (*allocate)(struct disk_file *file, uint64_t offset, uint64_t size);
	/* Give the range's space back; it reads as zeros.  Size unchanged. */
	int (*punch)(struct disk_file *file, uint64_t offset, uint64_t size);
	int (*truncate)(struct disk_file *file, uint64_t size);
	int (*size)(struct disk_file *file, uint64_t *ret);
	/*
	 * Make it as `from`, a file of the same disk, without copying: the two share their blocks
	 * until one of them is written to.  -EOPNOTSUPP where there is no such thing.
	 */
	int (*reflink)(struct disk_file *file, struct disk_file *from);
	/* Bytes of space it takes on the disk (sparse parts do not count). */
	int (*allocated)(struct disk_file *file, uint64_t *ret);
	void (*close)(struct disk_file *file);
};

/* --- The vtable, readable ----------------------------------------------------------------------
 */

static inline int disk_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	return disk->ops->open(disk, name, flags, ret);
}
static inline int disk_rename(struct disk *disk, const char *from, const char *to)
{
	return disk->ops->rename(disk, from, to);
}
static inline int disk_remove(struct disk *disk, const char *name)
{
	return disk->ops->remove(disk, name);
}
static inline int disk_link(struct disk *disk, const char *name, struct disk *to,
			    const char *new_name)
{
	return disk->ops->link(disk, name, to, new_name);
}
static inline int disk_links(struct disk *disk, const char *name, unsigned *ret)
{
	return disk->ops->links(disk, name, ret);
}
static inline int disk_sync_names(struct disk *disk, const char *folder)
{
	return disk->ops->sync_names(disk, folder);
}
static inline int disk_list(struct disk *disk, const char *folder,
			    int (*fn)(const char *name, void *arg), void *arg)
{
	return disk->ops->list(disk, folder, fn, arg);
}
static inline int disk_space(struct disk *disk, struct disk_space *ret)
{
	return disk->ops->space(disk, ret);
}
static inline int disk_lock(struct disk *disk, int *ret_owner)
{
	return disk->ops->lock(disk, ret_owner);
}
static inline void disk_close(struct disk *disk)
{
	if (disk)
		disk->ops->close(disk);
}
static inline ssize_t disk_file_read(struct disk_file *file, void *buf, size_t size,
				     uint64_t offset)
{
	return file->ops->read(file, buf, size, offset);
}
static inline void disk_file_prefetch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	file->ops->prefetch(file, offset, size);
}
/* The bytes of all parts. */
static inline size_t disk_iov_size(const struct iovec *iov, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}
static inline int disk_file_writev(struct disk_file *file, const struct iovec *iov, int count,
				   uint64_t offset)
{
	return file->ops->write(file, iov, count, offset);
}
static inline int disk_file_write(struct disk_file *file, const void *buf, size_t size,
				  uint64_t offset)
{
	struct iovec iov = {(void *)buf, size};

	return file->ops->write(file, &iov, 1, offset);
}
static inline int disk_file_writev_direct(struct disk_file *file, const struct iovec *iov,
					  int count, uint64_t offset)
{
	return file->ops->write_direct(file, iov, count, offset);
}
static inline int disk_file_write_direct(struct disk_file *file, const void *buf, size_t size,
					 uint64_t offset)
{
	struct iovec iov = {(void *)buf, size};

	return file->ops->write_direct(file, &iov, 1, offset);
}
static inline int disk_file_sync(struct disk_file *file)
{
	return file->ops->sync(file);
}
static inline int disk_file_write_zeros(struct disk_file *file, uint64_t offset, uint64_t size)
{
	return file->ops->write_zeros(file, offset, size);
}
static inline int disk_file_allocate(struct disk_file *file, uint64_t offset, uint64_t size)
{
	return file->ops->allocate(file, offset, size);
}
static inline int disk_file_punch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	return file->ops->punch(file, offset, size);
}
static inline int disk_file_truncate(struct disk_file *file, uint64_t size)
{
	return file->ops->truncate(file, size);
}
static inline int disk_file_size(struct disk_file *file, uint64_t *ret)
{
	return file->ops->size(file, ret);
}
static inline int disk_file_reflink(struct disk_file *file, struct disk_file *from)
{
	return file->ops->reflink(file, from);
}
static inline int disk_file_allocated(struct disk_file *file, uint64_t *ret)
{
	return file->ops->allocated(file, ret);
}
static inline void disk_file_close(struct disk_file *file)
{
	if (file)
		file->ops->close(file);
}
DEFINE_CLEANUP(struct disk *, disk, disk_close)
DEFINE_CLEANUP(struct disk_file *, disk_file, disk_file_close)

/* --- Helpers made of the above (disk.c) ---------------------------------------------------------
 */

/*
 * The whole file, at most `size_max` bytes (-EFBIG beyond).  The caller frees *ret_data.
 */
int disk_read_file(struct disk *disk, const char *name, size_t size_max, void **ret_data,
		   size_t *ret_size);

/*
 * Replace the file so that after any crash it is the old one or the new one, whole, and return when
 * the new one is durable (write NAME.tmp, sync, rename, sync_names).
 */
int disk_replace_file(struct disk *disk, const char *name, const void *data, size_t size);

/* --- A directory (local.c) ----------------------------------------------------------------------
 */

/*
 * The directory must exist.  The caller owns *ret.  lock() is flock(2) on "lock" inside it, which
 * also holds the owner's process id.  Where the filesystem has no O_DIRECT, write_direct() is an
 * ordinary write.
 */
int disk_local_open(const char *path, struct disk **ret);

/*
 * The same for files that nobody will need after a crash, in use by nobody else: what is written
 * stays in the page cache as long as the system likes, syncs do nothing, zeros are only promised.
 * So who works there does not keep the device from others who wait for it.
 */
int disk_local_open_fleeting(const char *path, struct disk **ret);

/* --- Room on demand (lending.c) -----------------------------------------------------------------
 */

/*
 * The disk `below` (borrowed, not closed with it), but where that has no room, `lend` is asked to
 * make some, so many bytes at least, and as long as it says true the call is tried again.  `lend`
 * is called with no lock held.
 */
struct disk *disk_lending_new(struct disk *below, bool (*lend)(uint64_t bytes, void *arg),
			      void *arg);

/* --- Memory (memory.c) --------------------------------------------------------------------------
 */

/*
 * A disk in memory that remembers, beside what is, what would be there after a power cut.
 * Everything random comes from `seed`.
 */
struct disk *disk_memory_new(uint64_t seed);

/* Bytes that prefetch() was called for so far; there is nothing else to see of it. */
uint64_t disk_memory_prefetched(struct disk *disk);

/* From now on there is room for `bytes` in all files together (0: no limit); beyond: -ENOSPC. */
void disk_memory_limit(struct disk *disk, uint64_t bytes);

/*
 * Calls that change or sync the disk (open with DISK_CREATE, rename, remove, link, sync_names,
 * write, write_direct, sync, write_zeros, allocate, punch, truncate) are counted, from 1.
 * disk_memory_calls() is the number so far.
 */
uint64_t disk_memory_calls(struct disk *disk);

/* The call number `call` fails with -EIO, having done any part of its work; if `forever`, all after
 * it too. */
void disk_memory_fail(struct disk *disk, uint64_t call, bool forever);

/*
 * The power goes when call number `call` is under way: it has done any part of its work, and it and
 * every later call of any kind return -EIO until disk_memory_power_on().
 */
void disk_memory_power_cut(struct disk *disk, uint64_t call);

/*
 * What is left after a power cut, right now if none has happened: a new disk, owned by the caller,
 * holding all that was durable and, of the rest, a part chosen by `seed`.  Different seeds keep
 * different parts; among them now and then "nothing" and "everything".  The old disk is unchanged
 * and may be asked again with another seed.
 */
struct disk *disk_memory_power_on(struct disk *disk, uint64_t seed);

/* Damage, for tests: flip the bits of `mask` in the byte at `offset`; cut the file to `size`. */
int disk_memory_flip(struct disk *disk, const char *name, uint64_t offset, uint8_t mask);
int disk_memory_cut(struct disk *disk, const char *name, uint64_t size);
/* A copy, power and faults not included. */
struct disk *disk_memory_copy(struct disk *disk);
