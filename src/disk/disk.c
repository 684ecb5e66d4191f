#include "disk/disk.h"
#include "base/alloc.h"

#include <errno.h>

int disk_read_file(struct disk *disk, const char *name, size_t size_max, void **ret_data,
		   size_t *ret_size)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(free) void *data = NULL;
	uint64_t size;
	ssize_t n;
	int r;

	r = disk_open(disk, name, DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	if (size > size_max)
		return -EFBIG;
	data = malloc(size ? size : 1);
	if (!data)
		return -ENOMEM;
	n = disk_file_read(file, data, size, 0);
	if (n < 0)
		return n;
	*ret_size = n;
	*ret_data = take(data);
	return 0;
}

static int write_whole(struct disk *disk, const char *name, const void *data, size_t size)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	int r;

	r = disk_open(disk, name, DISK_CREATE, &file);
	if (r < 0)
		return r;
	r = disk_file_truncate(file, 0);
	if (r < 0)
		return r;
	r = disk_file_write(file, data, size, 0);
	if (r < 0)
		return r;
	return disk_file_sync(file);
}

int disk_replace_file(struct disk *disk, const char *name, const void *data, size_t size)
{
	char other[DISK_NAME_MAX + 1], folder[DISK_NAME_MAX + 1];
	int r;

	if (snprintf(other, sizeof other, "%s.tmp", name) >= (int)sizeof other)
		return -ENAMETOOLONG;
	snprintf(folder, sizeof folder, "%s", name);
	folder[strchr(name, '/') ? strchr(name, '/') - name : 0] = 0;

	r = write_whole(disk, other, data, size);
	if (r == 0)
		r = disk_rename(disk, other, name);
	if (r == 0)
		return disk_sync_names(disk, folder);
	(void)disk_remove(disk, other);
	return r;
}
