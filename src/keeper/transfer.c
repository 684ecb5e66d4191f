#include "keeper/transfer_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int transfer_advance(struct transfer *transfer, uint64_t bytes)
{
	const struct transfer_options *options = transfer->options;

	transfer->done += bytes;
	if (options->progress &&
	    !options->progress(MIN(transfer->done, transfer->total), transfer->total, options->arg))
		return problem(transfer->why, -ECANCELED, "cancelled; nothing is left in '%s'",
			       transfer->top);
	return 0;
}

bool transfer_leaves_out(const struct transfer *transfer, const char *name)
{
	for (const char *const *out = transfer->options->leave_out; out && *out; out++)
		if (strcmp(name, *out) == 0)
			return true;
	return false;
}

int transfer_write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, data, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		size -= n;
		offset += n;
	}
	return 0;
}

int transfer_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int transfer_remove_but_top(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return ftw->level == 0 ? 0 : transfer_remove_one(path, st, type, ftw);
}

int transfer_for_each_name(struct transfer *transfer, const char *path,
			   int (*fn)(struct transfer *transfer, const char *path, const char *name,
				     void *arg),
			   void *arg)
{
	CLEANUP(dir) DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return problem_errno(transfer->why, -errno, "cannot read '%s'", path);
	while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = fn(transfer, path, entry->d_name, arg);
	if (r == 0 && errno)
		return problem_errno(transfer->why, -errno, "cannot read '%s'", path);
	return r;
}

int transfer_join(struct transfer *transfer, char path[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return problem(transfer->why, -ENAMETOOLONG, "the path '%s/%s' is too long", dir,
			       name);
	return 0;
}
