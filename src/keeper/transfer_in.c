/* A tree of files into the volume, through its mount. */
#include "keeper/transfer_internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What it costs to read: holes are free. */
static uint64_t size_to_read(const struct stat *st)
{
	return MIN((uint64_t)st->st_size, (uint64_t)st->st_blocks * 512);
}

static bool is_left_out(const struct transfer *transfer, const char *dir, const char *name,
			const struct stat *st)
{
	return strcmp(name, "lost+found") == 0 ||
	       (strcmp(dir, transfer->from) == 0 && transfer_leaves_out(transfer, name)) ||
	       !(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode));
}

/* A file behind a link would stay outside the volume, and be changed there: in the source itself.
 */
static int check_link(struct transfer *transfer, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target - 1);

	if (n < 0)
		return problem_errno(transfer->why, -errno, "cannot read the link '%s'", path);
	target[n] = 0;
	if (target[0] == '/' || strstr(target, ".."))
		return problem(transfer->why, -EXDEV,
			       "'%s' is a link to '%s', outside the directory: put the file itself "
			       "there first",
			       path, target);
	return 0;
}

static int count_one(struct transfer *transfer, const char *dir, const char *name, void *arg)
{
	int depth = *(int *)arg + 1;
	char path[PATH_MAX];
	struct stat st;
	int r = transfer_join(transfer, path, dir, name);

	if (r < 0)
		return r;
	if (lstat(path, &st) < 0)
		return problem_errno(transfer->why, -errno, "cannot look at '%s'", path);
	if (is_left_out(transfer, dir, name, &st))
		return 0;
	if (S_ISLNK(st.st_mode))
		return check_link(transfer, path);
	if (S_ISREG(st.st_mode))
		transfer->total += size_to_read(&st);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth > TRANSFER_DEPTH_MAX)
		return problem(transfer->why, -ELOOP, "'%s' is more than %d folders deep", path,
			       TRANSFER_DEPTH_MAX);
	return transfer_for_each_name(transfer, path, count_one, &depth);
}

static int in_owner_mode_times(struct transfer *transfer, int fd, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (geteuid() == 0 && fchown(fd, transfer->uid, transfer->gid) < 0)
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

static int in_range(struct transfer *transfer, int from, int to, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		ssize_t n = pread(from, transfer->buffer,
				  MIN(end - offset, (uint64_t)TRANSFER_COPY_BYTES), offset);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = transfer_write_all(to, transfer->buffer, n, offset);
		if (r == 0)
			r = transfer_advance(transfer, n);
		if (r < 0)
			return r;
		offset += n;
		transfer->result.bytes += n;
	}
	return 0;
}

static int in_data(struct transfer *transfer, int from, int to, uint64_t size)
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
		r = in_range(transfer, from, to, data, MIN((uint64_t)hole, size));
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

static int in_file(struct transfer *transfer, const char *from_path, const char *to_path)
{
	CLEANUP(fd) int from = open(from_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return problem_errno(transfer->why, -errno, "cannot read '%s'", from_path);
	CLEANUP(fd) int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return problem_errno(transfer->why, -errno, "cannot make '%s'", to_path);
	r = in_data(transfer, from, to, st.st_size);
	if (r == 0)
		r = in_xattrs(from, to);
	if (r == 0)
		r = in_owner_mode_times(transfer, to, &st);
	if (r == -ECANCELED)
		return r;
	if (r < 0)
		return problem_errno(transfer->why, r, "cannot copy '%s' to '%s'", from_path,
				     to_path);
	if (has_changed(from, &st))
		return problem(transfer->why, -EBUSY,
			       "'%s' changed while it was copied: is a server running there?",
			       from_path);
	transfer->result.files++;
	return 0;
}

static int in_link(struct transfer *transfer, const char *from_path, const char *to_path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(from_path, target, sizeof target - 1);

	if (n < 0)
		return problem_errno(transfer->why, -errno, "cannot read the link '%s'", from_path);
	target[n] = 0;
	if (symlink(target, to_path) < 0 ||
	    (geteuid() == 0 && lchown(to_path, transfer->uid, transfer->gid) < 0))
		return problem_errno(transfer->why, -errno, "cannot make '%s'", to_path);
	return 0;
}

static int in_folder(struct transfer *transfer, const char *from_path, const char *to_path);

static int in_one(struct transfer *transfer, const char *dir, const char *name, void *arg)
{
	char from_path[PATH_MAX], to_path[PATH_MAX];
	const char *to_dir = arg;
	struct stat st;
	int r;

	r = transfer_join(transfer, from_path, dir, name);
	if (r == 0)
		r = transfer_join(transfer, to_path, to_dir, name);
	if (r < 0)
		return r;
	if (lstat(from_path, &st) < 0)
		return problem_errno(transfer->why, -errno, "cannot look at '%s'", from_path);
	if (is_left_out(transfer, dir, name, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return in_folder(transfer, from_path, to_path);
	return S_ISLNK(st.st_mode) ? in_link(transfer, from_path, to_path)
				   : in_file(transfer, from_path, to_path);
}

static int in_folder(struct transfer *transfer, const char *from_path, const char *to_path)
{
	struct stat st;
	int r;

	if (stat(from_path, &st) < 0)
		return problem_errno(transfer->why, -errno, "cannot look at '%s'", from_path);
	if (mkdir(to_path, 0700) < 0)
		return problem_errno(transfer->why, -errno, "cannot make '%s'", to_path);
	r = transfer_for_each_name(transfer, from_path, in_one, (void *)to_path);
	if (r < 0)
		return r;
	CLEANUP(fd) int fd = open(to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : in_owner_mode_times(transfer, fd, &st);
	return r < 0 ? problem_errno(transfer->why, r, "cannot set owner and mode of '%s'", to_path)
		     : 0;
}

int transfer_in(const char *from, const char *to, uid_t uid, gid_t gid,
		const struct transfer_options *options, struct transfer_result *ret,
		struct problem *why)
{
	struct transfer transfer = {
		.options = options, .why = why, .top = to, .from = from, .uid = uid, .gid = gid};
	int depth = 0, r;

	r = transfer_for_each_name(&transfer, from, count_one, &depth);
	if (r < 0)
		return r;
	transfer.buffer = xmalloc(TRANSFER_COPY_BYTES);
	r = in_folder(&transfer, from, to);
	free(transfer.buffer);
	if (r < 0)
		nftw(to, transfer_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	else
		*ret = transfer.result;
	return r;
}
