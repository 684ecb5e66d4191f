/* A tree of files out of a view of the volume. */
#include "keeper/transfer_internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct entry {
	char *name;
	uint64_t ino;
};

struct entries {
	struct entry *list;
	size_t count, room;
};

static void entries_cleanup(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		free(entries->list[i].name);
	free(entries->list);
}

static int add_entry(const struct volume_entry *entry, void *arg)
{
	struct entries *entries = arg;

	if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
		return 0;
	xgrow(entries->list, entries->count, entries->room);
	entries->list[entries->count++] = (struct entry){xstrdup(entry->name), entry->ino};
	return 0;
}

static int count_size(uint64_t ino, mode_t mode, void *arg)
{
	struct transfer *transfer = arg;
	struct volume_attr attr;

	if (S_ISREG(mode) && view_getattr(transfer->view, ino, &attr) == 0)
		transfer->total += attr.size;
	return 0;
}

static int out_owner_mode_times(int fd, const struct volume_attr *attr)
{
	struct timespec times[2] = {attr->atime, attr->mtime};

	/* The owner first: changing it takes set-user-id away. */
	if (geteuid() == 0 && fchown(fd, attr->uid, attr->gid) < 0)
		return -errno;
	if (fchmod(fd, attr->mode & 07777) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int out_xattrs(struct transfer *transfer, uint64_t ino, int fd)
{
	ssize_t size = view_listxattr(transfer->view, ino, NULL, 0);
	CLEANUP(free) char *names = xmalloc(MAX(size, 0));
	CLEANUP(free) char *value = NULL;

	if (size <= 0)
		return size == -EOPNOTSUPP ? 0 : size;
	size = view_listxattr(transfer->view, ino, names, size);
	value = xmalloc(VOLUME_XATTR_MAX);
	for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
		ssize_t n = view_getxattr(transfer->view, ino, name, value, VOLUME_XATTR_MAX);

		if (n < 0)
			return n;
		/* Only root may set those of others than user.*; the target may know none at all.
		 */
		if (fsetxattr(fd, name, value, n, 0) < 0 && errno != EPERM && errno != ENOTSUP)
			return -errno;
	}
	return size < 0 ? size : 0;
}

static int out_range(struct transfer *transfer, uint64_t ino, int fd, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		ssize_t n = view_read(transfer->view, ino, offset, transfer->buffer,
				      MIN(end - offset, (uint64_t)TRANSFER_COPY_BYTES));
		int r;

		if (n <= 0)
			return n;
		r = transfer_write_all(fd, transfer->buffer, n, offset);
		if (r == 0)
			r = transfer_advance(transfer, n);
		if (r < 0)
			return r;
		offset += n;
		transfer->result.bytes += n;
	}
	return 0;
}

static int out_data(struct transfer *transfer, uint64_t ino, int fd, uint64_t size)
{
	int64_t data, hole;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size; at = hole) {
		data = view_seek(transfer->view, ino, at, SEEK_DATA);
		if (data == -ENXIO)
			data = hole = size;
		else
			hole = data < 0 ? data : view_seek(transfer->view, ino, data, SEEK_HOLE);
		if (hole < 0)
			return hole;
		r = transfer_advance(transfer, data - at);
		if (r == 0)
			r = out_range(transfer, ino, fd, data, MIN((uint64_t)hole, size));
	}
	if (r == 0 && ftruncate(fd, size) < 0)
		r = -errno;
	return r;
}

static int out_file(struct transfer *transfer, const struct volume_attr *attr, const char *path)
{
	int r;

	CLEANUP(fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return problem_errno(transfer->why, -errno, "cannot make '%s'", path);
	r = out_data(transfer, attr->ino, fd, attr->size);
	if (r == 0)
		r = out_xattrs(transfer, attr->ino, fd);
	if (r == 0)
		r = out_owner_mode_times(fd, attr);
	if (r < 0 && r != -ECANCELED)
		return problem_errno(transfer->why, r, "cannot write '%s'", path);
	return r;
}

/* Symbolic links, pipes, sockets, devices: nothing to copy but their name. */
static int out_special(struct transfer *transfer, const struct volume_attr *attr, const char *path)
{
	struct timespec times[2] = {attr->atime, attr->mtime};
	char target[VOLUME_LINK_MAX + 1];
	int r = 0;

	if (S_ISLNK(attr->mode)) {
		r = view_readlink(transfer->view, attr->ino, target);
		if (r == 0 && symlink(target, path) < 0)
			r = -errno;
	} else if (mknod(path, attr->mode, attr->rdev) < 0) {
		r = -errno;
	}
	if (r == 0 && geteuid() == 0 && lchown(path, attr->uid, attr->gid) < 0)
		r = -errno;
	if (r == 0 && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r < 0 ? problem_errno(transfer->why, r, "cannot make '%s'", path) : 0;
}

static int out_folder(struct transfer *transfer, const struct volume_attr *attr, const char *path,
		      int depth);

static int out_one(struct transfer *transfer, uint64_t ino, const char *path, int depth)
{
	struct volume_attr attr;
	char *first;
	int r;

	r = view_getattr(transfer->view, ino, &attr);
	if (r < 0)
		return problem_errno(transfer->why, r, "cannot read what is to become '%s'", path);
	if (S_ISDIR(attr.mode)) {
		if (mkdir(path, 0700) < 0)
			return problem_errno(transfer->why, -errno, "cannot make '%s'", path);
		return out_folder(transfer, &attr, path, depth);
	}
	first = map64_get(&transfer->links, ino);
	if (first)
		return link(first, path) < 0
			       ? problem_errno(transfer->why, -errno, "cannot make '%s'", path)
			       : 0;
	r = S_ISREG(attr.mode) ? out_file(transfer, &attr, path)
			       : out_special(transfer, &attr, path);
	if (r < 0)
		return r;
	if (attr.nlink > 1)
		map64_put(&transfer->links, ino, xstrdup(path));
	transfer->result.files++;
	return 0;
}

static int out_folder(struct transfer *transfer, const struct volume_attr *attr, const char *path,
		      int depth)
{
	CLEANUP(entries) struct entries entries = {0};
	int r;

	if (depth > TRANSFER_DEPTH_MAX)
		return problem(transfer->why, -ELOOP, "'%s' is more than %d folders deep", path,
			       TRANSFER_DEPTH_MAX);
	r = view_readdir(transfer->view, attr->ino, 0, add_entry, &entries);
	for (size_t i = 0; r == 0 && i < entries.count; i++) {
		char below[PATH_MAX];

		if (depth == 0 && transfer_leaves_out(transfer, entries.list[i].name))
			continue;
		r = transfer_join(transfer, below, path, entries.list[i].name);
		if (r == 0)
			r = out_one(transfer, entries.list[i].ino, below, depth + 1);
		if (r < 0)
			return r;
	}
	/* Last: making entries changes the times, and the mode may forbid it. */
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? -errno : out_xattrs(transfer, attr->ino, fd);
	if (r == 0)
		r = out_owner_mode_times(fd, attr);
	return r < 0 ? problem_errno(transfer->why, r, "cannot write '%s'", path) : 0;
}

static int is_entry(struct transfer *transfer, const char *path, const char *name, void *arg)
{
	return problem(transfer->why, -ENOTEMPTY, "'%s' is not empty", path);
}

static int make_target(struct transfer *transfer, bool *ret_made)
{
	*ret_made = mkdir(transfer->top, 0700) == 0;
	if (*ret_made)
		return 0;
	if (errno != EEXIST)
		return problem_errno(transfer->why, -errno, "cannot make '%s'", transfer->top);
	return transfer_for_each_name(transfer, transfer->top, is_entry, NULL);
}

static int sync_all(struct transfer *transfer)
{
	CLEANUP(fd) int fd = open(transfer->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return problem_errno(transfer->why, -errno, "cannot make '%s' durable",
				     transfer->top);
	return 0;
}

static void forget_links(struct transfer *transfer)
{
	map64_for_each (&transfer->links, slot)
		free(slot->value);
	map64_done(&transfer->links);
}

int transfer_out(struct view *view, uint64_t ino, const char *to,
		 const struct transfer_options *options, struct transfer_result *ret,
		 struct problem *why)
{
	struct transfer transfer = {.options = options, .why = why, .top = to, .view = view};
	struct volume_attr attr;
	bool made;
	int r;

	r = view_getattr(view, ino, &attr);
	if (r < 0)
		return problem_errno(why, r, "cannot read the directory to be copied");
	r = make_target(&transfer, &made);
	if (r < 0)
		return r;
	transfer.buffer = xmalloc(TRANSFER_COPY_BYTES);
	r = view_for_each_inode(view, count_size, &transfer);
	if (r == 0)
		r = out_folder(&transfer, &attr, to, 0);
	if (r == 0)
		r = sync_all(&transfer);
	free(transfer.buffer);
	forget_links(&transfer);
	if (r < 0)
		nftw(to, made ? transfer_remove_one : transfer_remove_but_top, 16,
		     FTW_DEPTH | FTW_PHYS);
	else
		*ret = transfer.result;
	return r;
}
