#include "keeper/transfer.h"

#include "base/alloc.h"
#include "base/map64.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define COPY_BYTES (1024 * 1024)
#define DEPTH_MAX 64

/* One transfer, either way. */
struct work {
	const struct transfer_options *options;
	struct transfer_result result;
	uint64_t done, total; /* bytes, holes included */
	uint8_t *buffer;
	struct problem *why;
	const char *top; /* of the tree that is made */
	/* In: */
	uid_t uid;
	gid_t gid;
	/* Out: */
	struct view *view;
	struct map64
		links; /* inode number of a file with several names -> its first path below `top` */
};

static void dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int advance(struct work *work, uint64_t bytes)
{
	const struct transfer_options *options = work->options;

	work->done += bytes;
	if (options->progress &&
	    !options->progress(MIN(work->done, work->total), work->total, options->arg))
		return problem(work->why, -ECANCELED, "cancelled; nothing is left in '%s'",
			       work->top);
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
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

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int remove_but_top(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return ftw->level == 0 ? 0 : remove_one(path, st, type, ftw);
}

/* --- In --------------------------------------------------------------------------------------- */

/* Call `fn` for each name in the directory, "." and ".." left out, until it fails. */
static int for_each_name(struct work *work, const char *path,
			 int (*fn)(struct work *work, const char *path, const char *name,
				   void *arg),
			 void *arg)
{
	CLEANUP(dir) DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return problem_errno(work->why, -errno, "cannot read '%s'", path);
	while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = fn(work, path, entry->d_name, arg);
	if (r == 0 && errno)
		return problem_errno(work->why, -errno, "cannot read '%s'", path);
	return r;
}

static int join(struct work *work, char path[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return problem(work->why, -ENAMETOOLONG, "the path '%s/%s' is too long", dir, name);
	return 0;
}

/* What it costs to read: holes are free. */
static uint64_t size_to_read(const struct stat *st)
{
	return MIN((uint64_t)st->st_size, (uint64_t)st->st_blocks * 512);
}

static bool is_left_out(const char *name, const struct stat *st)
{
	return strcmp(name, "lost+found") == 0 ||
	       !(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode));
}

/* A file behind a link would stay outside the volume, and be changed there: in the source itself.
 */
static int check_link(struct work *work, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target - 1);

	if (n < 0)
		return problem_errno(work->why, -errno, "cannot read the link '%s'", path);
	target[n] = 0;
	if (target[0] == '/' || strstr(target, ".."))
		return problem(work->why, -EXDEV,
			       "'%s' is a link to '%s', outside the directory: put the file itself "
			       "there first",
			       path, target);
	return 0;
}

static int count_one(struct work *work, const char *dir, const char *name, void *arg)
{
	int depth = *(int *)arg + 1;
	char path[PATH_MAX];
	struct stat st;
	int r = join(work, path, dir, name);

	if (r < 0)
		return r;
	if (lstat(path, &st) < 0)
		return problem_errno(work->why, -errno, "cannot look at '%s'", path);
	if (is_left_out(name, &st))
		return 0;
	if (S_ISLNK(st.st_mode))
		return check_link(work, path);
	if (S_ISREG(st.st_mode))
		work->total += size_to_read(&st);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth > DEPTH_MAX)
		return problem(work->why, -ELOOP, "'%s' is more than %d folders deep", path,
			       DEPTH_MAX);
	return for_each_name(work, path, count_one, &depth);
}

static int in_owner_mode_times(struct work *work, int fd, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (geteuid() == 0 && fchown(fd, work->uid, work->gid) < 0)
		return -errno;
	if (fchmod(fd, st->st_mode & 07777) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

/* Those in user.* only: the others tell about the place, not about the file. */
static int in_xattrs(int from, int to)
{
	char names[4096], value[VOLUME_XATTR_MAX];
	ssize_t size = flistxattr(from, names, sizeof names);

	for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
		ssize_t n = strncmp(name, "user.", 5) == 0
				    ? fgetxattr(from, name, value, sizeof value)
				    : -1;

		if (n >= 0 && fsetxattr(to, name, value, n, 0) < 0)
			return -errno;
	}
	return 0;
}

static int in_range(struct work *work, int from, int to, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		ssize_t n =
			pread(from, work->buffer, MIN(end - offset, (uint64_t)COPY_BYTES), offset);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = write_all(to, work->buffer, n, offset);
		if (r == 0)
			r = advance(work, n);
		if (r < 0)
			return r;
		offset += n;
		work->result.bytes += n;
	}
	return 0;
}

static int in_data(struct work *work, int from, int to, uint64_t size)
{
	off_t data, hole;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size; at = hole) {
		data = lseek(from, at, SEEK_DATA);
		if (data < 0)
			break;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			hole = size;
		r = in_range(work, from, to, data, MIN((uint64_t)hole, size));
	}
	if (r == 0 && ftruncate(to, size) < 0)
		r = -errno;
	return r;
}

static bool has_changed(int fd, const struct stat *before)
{
	struct stat now;

	return fstat(fd, &now) < 0 || now.st_size != before->st_size ||
	       now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

static int in_file(struct work *work, const char *from_path, const char *to_path)
{
	CLEANUP(fd) int from = open(from_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return problem_errno(work->why, -errno, "cannot read '%s'", from_path);
	CLEANUP(fd) int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return problem_errno(work->why, -errno, "cannot make '%s'", to_path);
	r = in_data(work, from, to, st.st_size);
	if (r == 0)
		r = in_xattrs(from, to);
	if (r == 0)
		r = in_owner_mode_times(work, to, &st);
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		return problem_errno(work->why, r, "cannot copy '%s' to '%s'", from_path, to_path);
	if (has_changed(from, &st))
		return problem(work->why, -EBUSY,
			       "'%s' changed while it was copied: is a server running there?",
			       from_path);
	work->result.files++;
	return 0;
}

static int in_link(struct work *work, const char *from_path, const char *to_path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(from_path, target, sizeof target - 1);

	if (n < 0)
		return problem_errno(work->why, -errno, "cannot read the link '%s'", from_path);
	target[n] = 0;
	if (symlink(target, to_path) < 0 ||
	    (geteuid() == 0 && lchown(to_path, work->uid, work->gid) < 0))
		return problem_errno(work->why, -errno, "cannot make '%s'", to_path);
	return 0;
}

static int in_folder(struct work *work, const char *from_path, const char *to_path);

static int in_one(struct work *work, const char *dir, const char *name, void *arg)
{
	char from_path[PATH_MAX], to_path[PATH_MAX];
	const char *to_dir = arg;
	struct stat st;
	int r;

	r = join(work, from_path, dir, name);
	if (r == 0)
		r = join(work, to_path, to_dir, name);
	if (r < 0)
		return r;
	if (lstat(from_path, &st) < 0)
		return problem_errno(work->why, -errno, "cannot look at '%s'", from_path);
	if (is_left_out(name, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return in_folder(work, from_path, to_path);
	return S_ISLNK(st.st_mode) ? in_link(work, from_path, to_path)
				   : in_file(work, from_path, to_path);
}

static int in_folder(struct work *work, const char *from_path, const char *to_path)
{
	struct stat st;
	int r;

	if (stat(from_path, &st) < 0)
		return problem_errno(work->why, -errno, "cannot look at '%s'", from_path);
	if (mkdir(to_path, 0700) < 0)
		return problem_errno(work->why, -errno, "cannot make '%s'", to_path);
	r = for_each_name(work, from_path, in_one, (void *)to_path);
	if (r < 0)
		return r;
	CLEANUP(fd) int fd = open(to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : in_owner_mode_times(work, fd, &st);
	return r < 0 ? problem_errno(work->why, r, "cannot set owner and mode of '%s'", to_path)
		     : 0;
}

int transfer_in(const char *from, const char *to, uid_t uid, gid_t gid,
		const struct transfer_options *options, struct transfer_result *ret,
		struct problem *why)
{
	struct work work = {.options = options, .why = why, .top = to, .uid = uid, .gid = gid};
	int depth = 0, r;

	r = for_each_name(&work, from, count_one, &depth);
	if (r < 0)
		return r;
	work.buffer = xmalloc(COPY_BYTES);
	r = in_folder(&work, from, to);
	free(work.buffer);
	if (r < 0)
		nftw(to, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	else
		*ret = work.result;
	return r;
}

/* --- Out -------------------------------------------------------------------------------------- */

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
	struct work *work = arg;
	struct volume_attr attr;

	if (S_ISREG(mode) && view_getattr(work->view, ino, &attr) == 0)
		work->total += attr.size;
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

static int out_xattrs(struct work *work, uint64_t ino, int fd)
{
	ssize_t size = view_listxattr(work->view, ino, NULL, 0);
	CLEANUP(free) char *names = xmalloc(MAX(size, 0));
	CLEANUP(free) char *value = NULL;

	if (size <= 0)
		return size == -EOPNOTSUPP ? 0 : size;
	size = view_listxattr(work->view, ino, names, size);
	value = xmalloc(VOLUME_XATTR_MAX);
	for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
		ssize_t n = view_getxattr(work->view, ino, name, value, VOLUME_XATTR_MAX);

		if (n < 0)
			return n;
		/* Only root may set those of others than user.*; the target may know none at all.
		 */
		if (fsetxattr(fd, name, value, n, 0) < 0 && errno != EPERM && errno != ENOTSUP)
			return -errno;
	}
	return size < 0 ? size : 0;
}

static int out_range(struct work *work, uint64_t ino, int fd, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		ssize_t n = view_read(work->view, ino, offset, work->buffer,
				      MIN(end - offset, (uint64_t)COPY_BYTES));
		int r;

		if (n <= 0)
			return n;
		r = write_all(fd, work->buffer, n, offset);
		if (r == 0)
			r = advance(work, n);
		if (r < 0)
			return r;
		offset += n;
		work->result.bytes += n;
	}
	return 0;
}

static int out_data(struct work *work, uint64_t ino, int fd, uint64_t size)
{
	int64_t data, hole;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size; at = hole) {
		data = view_seek(work->view, ino, at, SEEK_DATA);
		if (data == -ENXIO)
			data = hole = size;
		else
			hole = data < 0 ? data : view_seek(work->view, ino, data, SEEK_HOLE);
		if (hole < 0)
			return hole;
		r = advance(work, data - at);
		if (r == 0)
			r = out_range(work, ino, fd, data, MIN((uint64_t)hole, size));
	}
	if (r == 0 && ftruncate(fd, size) < 0)
		r = -errno;
	return r;
}

static int out_file(struct work *work, const struct volume_attr *attr, const char *path)
{
	int r;

	CLEANUP(fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return problem_errno(work->why, -errno, "cannot make '%s'", path);
	r = out_data(work, attr->ino, fd, attr->size);
	if (r == 0)
		r = out_xattrs(work, attr->ino, fd);
	if (r == 0)
		r = out_owner_mode_times(fd, attr);
	if (r < 0 && r != -ECANCELED)
		return problem_errno(work->why, r, "cannot write '%s'", path);
	return r;
}

/* Symbolic links, pipes, sockets, devices: nothing to copy but their name. */
static int out_special(struct work *work, const struct volume_attr *attr, const char *path)
{
	struct timespec times[2] = {attr->atime, attr->mtime};
	char target[VOLUME_LINK_MAX + 1];
	int r = 0;

	if (S_ISLNK(attr->mode)) {
		r = view_readlink(work->view, attr->ino, target);
		if (r == 0 && symlink(target, path) < 0)
			r = -errno;
	} else if (mknod(path, attr->mode, attr->rdev) < 0) {
		r = -errno;
	}
	if (r == 0 && geteuid() == 0 && lchown(path, attr->uid, attr->gid) < 0)
		r = -errno;
	if (r == 0 && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r < 0 ? problem_errno(work->why, r, "cannot make '%s'", path) : 0;
}

static int out_folder(struct work *work, const struct volume_attr *attr, const char *path,
		      int depth);

static int out_one(struct work *work, uint64_t ino, const char *path, int depth)
{
	struct volume_attr attr;
	char *first;
	int r;

	r = view_getattr(work->view, ino, &attr);
	if (r < 0)
		return problem_errno(work->why, r, "cannot read what is to become '%s'", path);
	if (S_ISDIR(attr.mode)) {
		if (mkdir(path, 0700) < 0)
			return problem_errno(work->why, -errno, "cannot make '%s'", path);
		return out_folder(work, &attr, path, depth);
	}
	first = map64_get(&work->links, ino);
	if (first)
		return link(first, path) < 0
			       ? problem_errno(work->why, -errno, "cannot make '%s'", path)
			       : 0;
	r = S_ISREG(attr.mode) ? out_file(work, &attr, path) : out_special(work, &attr, path);
	if (r < 0)
		return r;
	if (attr.nlink > 1)
		map64_put(&work->links, ino, xstrdup(path));
	work->result.files++;
	return 0;
}

static int out_folder(struct work *work, const struct volume_attr *attr, const char *path,
		      int depth)
{
	CLEANUP(entries) struct entries entries = {0};
	int r;

	if (depth > DEPTH_MAX)
		return problem(work->why, -ELOOP, "'%s' is more than %d folders deep", path,
			       DEPTH_MAX);
	r = view_readdir(work->view, attr->ino, 0, add_entry, &entries);
	for (size_t i = 0; r == 0 && i < entries.count; i++) {
		char below[PATH_MAX];

		r = join(work, below, path, entries.list[i].name);
		if (r == 0)
			r = out_one(work, entries.list[i].ino, below, depth + 1);
		if (r < 0)
			return r;
	}
	/* Last: making entries changes the times, and the mode may forbid it. */
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? -errno : out_xattrs(work, attr->ino, fd);
	if (r == 0)
		r = out_owner_mode_times(fd, attr);
	return r < 0 ? problem_errno(work->why, r, "cannot write '%s'", path) : 0;
}

static int is_entry(struct work *work, const char *path, const char *name, void *arg)
{
	return problem(work->why, -ENOTEMPTY, "'%s' is not empty", path);
}

static int make_target(struct work *work, bool *ret_made)
{
	*ret_made = mkdir(work->top, 0700) == 0;
	if (*ret_made)
		return 0;
	if (errno != EEXIST)
		return problem_errno(work->why, -errno, "cannot make '%s'", work->top);
	return for_each_name(work, work->top, is_entry, NULL);
}

static int sync_all(struct work *work)
{
	CLEANUP(fd) int fd = open(work->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return problem_errno(work->why, -errno, "cannot make '%s' durable", work->top);
	return 0;
}

static void forget_links(struct work *work)
{
	map64_for_each (&work->links, slot)
		free(slot->value);
	map64_done(&work->links);
}

int transfer_out(struct view *view, uint64_t ino, const char *to,
		 const struct transfer_options *options, struct transfer_result *ret,
		 struct problem *why)
{
	struct work work = {.options = options, .why = why, .top = to, .view = view};
	struct volume_attr attr;
	bool made;
	int r;

	r = view_getattr(view, ino, &attr);
	if (r < 0)
		return problem_errno(why, r, "cannot read the directory to be copied");
	r = make_target(&work, &made);
	if (r < 0)
		return r;
	work.buffer = xmalloc(COPY_BYTES);
	r = view_for_each_inode(view, count_size, &work);
	if (r == 0)
		r = out_folder(&work, &attr, to, 0);
	if (r == 0)
		r = sync_all(&work);
	free(work.buffer);
	forget_links(&work);
	if (r < 0)
		nftw(to, made ? remove_one : remove_but_top, 16, FTW_DEPTH | FTW_PHYS);
	else
		*ret = work.result;
	return r;
}
