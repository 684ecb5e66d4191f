/*
 * Local: a disk that is a directory.
 */
#include "disk/disk.h"
#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LOCK_NAME "lock"
#define ZEROS_BYTES (256 * 1024)

struct local {
	struct disk disk;
	int dir;
	int lock_fd; /* -1: not taken */
	bool fleeting;
};

struct local_file {
	struct disk_file file;
	int fd;
	/* For write_direct(), opened by the first one; the lock guards the opening. */
	pthread_mutex_t lock;
	int direct_fd; /* -1: not yet, or the filesystem has no O_DIRECT */
	bool direct_tried;
	bool fleeting;
};

static struct local *local_of(struct disk *disk)
{
	return (struct local *)disk;
}

static struct local_file *file_of(struct disk_file *file)
{
	return (struct local_file *)file;
}

/* --- Names -------------------------------------------------------------------------------- */

/* At most one folder deep, nothing hidden, nothing that leads out. */
static bool name_ok(const char *name)
{
	const char *slash = strchr(name, '/');

	if (!*name || strlen(name) > DISK_NAME_MAX || *name == '.')
		return false;
	return !slash || (slash != name && slash[1] && slash[1] != '.' && !strchr(slash + 1, '/'));
}

/* The folder of `name` comes into being, durably: sync_names(folder) cannot do that for it. */
static int make_folder(struct local *local, const char *name)
{
	char folder[DISK_NAME_MAX + 1];
	const char *slash = strchr(name, '/');

	if (!slash)
		return -ENOENT;
	snprintf(folder, sizeof folder, "%.*s", (int)(slash - name), name);
	if (mkdirat(local->dir, folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	return local->fleeting || fsync(local->dir) == 0 ? 0 : -errno;
}

static int open_folder(struct local *local, const char *folder)
{
	int fd;

	if (*folder && (!name_ok(folder) || strchr(folder, '/')))
		return -EINVAL;
	fd = openat(local->dir, *folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int local_rename(struct disk *disk, const char *from, const char *to)
{
	struct local *local = local_of(disk);
	int r;

	if (!name_ok(from) || !name_ok(to))
		return -EINVAL;
	if (renameat(local->dir, from, local->dir, to) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	/* Which of the two is missing?  Only a folder can be helped. */
	r = make_folder(local, to);
	if (r < 0)
		return r;
	return renameat(local->dir, from, local->dir, to) < 0 ? -errno : 0;
}

static int local_remove(struct disk *disk, const char *name)
{
	if (!name_ok(name))
		return -EINVAL;
	return unlinkat(local_of(disk)->dir, name, 0) < 0 ? -errno : 0;
}

static const struct disk_ops local_ops;

static int local_link(struct disk *disk, const char *name, struct disk *to, const char *new_name)
{
	int dir = local_of(disk)->dir, to_dir, r;

	if (to->ops != &local_ops)
		return -EXDEV;
	if (!name_ok(name) || !name_ok(new_name))
		return -EINVAL;
	to_dir = local_of(to)->dir;
	if (linkat(dir, name, to_dir, new_name, 0) == 0)
		return 0;
	if (errno != ENOENT || faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	r = make_folder(local_of(to), new_name);
	if (r < 0)
		return r;
	return linkat(dir, name, to_dir, new_name, 0) < 0 ? -errno : 0;
}

static int local_links(struct disk *disk, const char *name, unsigned *ret)
{
	struct stat st;

	if (!name_ok(name))
		return -EINVAL;
	if (fstatat(local_of(disk)->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret = st.st_nlink;
	return 0;
}

static int local_sync_names(struct disk *disk, const char *folder)
{
	CLEANUP(fd)
	int fd = local_of(disk)->fleeting ? -ENOENT : open_folder(local_of(disk), folder);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	return fsync(fd) < 0 ? -errno : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_file(int fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_name[0] == '.')
		return false;
	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_REG;
	return fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int read_names(int fd, bool top, char ***ret_names, size_t *ret_count)
{
	size_t count = 0, room = 0;
	char **names = NULL;
	struct dirent *entry;
	DIR *dir;
	int r;

	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (errno = 0, (entry = readdir(dir))) {
		if (!is_file(dirfd(dir), entry) || (top && strcmp(entry->d_name, LOCK_NAME) == 0))
			continue;
		xgrow(names, count, room);
		names[count++] = xstrdup(entry->d_name);
	}
	r = -errno;
	closedir(dir);
	*ret_names = names;
	*ret_count = count;
	return r;
}

static int local_list(struct disk *disk, const char *folder, int (*fn)(const char *name, void *arg),
		      void *arg)
{
	int fd = open_folder(local_of(disk), folder);
	char **names = NULL;
	size_t count = 0;
	int r;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	r = read_names(fd, !*folder, &names, &count);
	if (count)
		qsort(names, count, sizeof *names, by_name);
	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = fn(names[i], arg);
		free(names[i]);
	}
	free(names);
	return r;
}

/* --- Files -------------------------------------------------------------------------------- */

static ssize_t local_read(struct disk_file *file, void *buf, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n =
			pread(file_of(file)->fd, (char *)buf + done, size - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

static void local_prefetch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	posix_fadvise(file_of(file)->fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

static int write_all(int fd, const void *buf, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, buf, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf = (const char *)buf + n;
		size -= n;
		offset += n;
	}
	return 0;
}

static int writev_all(int fd, const struct iovec *iov, int count, uint64_t offset)
{
	ssize_t n = -1;

	if (disk_iov_size(iov, count) == 0)
		return 0;
	if (count <= IOV_MAX) {
		n = pwritev(fd, iov, count, offset);
		if (n < 0 && errno != EINTR)
			return -errno;
	}
	n = MAX(n, (ssize_t)0);
	/* The rest of a short write, piece by piece. */
	for (int i = 0; i < count; i++) {
		size_t skip = MIN((size_t)n, iov[i].iov_len);
		int r = write_all(fd, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip,
				  offset + skip);

		if (r < 0)
			return r;
		n -= skip;
		offset += iov[i].iov_len;
	}
	return 0;
}

static int local_write(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
	return writev_all(file_of(file)->fd, iov, count, offset);
}

/* A second descriptor of the same file, past the page cache; -1 where that does not exist. */
static int direct_fd_of(struct local_file *file)
{
	char path[40];
	int fd;

	pthread_mutex_lock(&file->lock);
	if (!file->direct_tried && !file->fleeting) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
		file->direct_fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		file->direct_tried = true;
	}
	fd = file->direct_fd;
	pthread_mutex_unlock(&file->lock);
	return fd;
}

static int local_write_direct(struct disk_file *base_file, const struct iovec *iov, int count,
			      uint64_t offset)
{
	struct local_file *file = file_of(base_file);
	int fd = direct_fd_of(file);
	int r;

	if (fd >= 0) {
		r = writev_all(fd, iov, count, offset);
		if (r != -EINVAL) /* bigger blocks than ours below */
			return r;
	}
	return writev_all(file->fd, iov, count, offset);
}

static int local_sync(struct disk_file *file)
{
	if (file_of(file)->fleeting)
		return 0;
	return fdatasync(file_of(file)->fd) < 0 ? -errno : 0;
}

static int take_space(int fd, uint64_t offset, uint64_t size)
{
	while (fallocate(fd, 0, offset, size) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int put_zeros(int fd, const void *zeros, uint64_t offset, uint64_t size)
{
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = MIN(size, (uint64_t)ZEROS_BYTES);

		r = write_all(fd, zeros, n, offset);
		offset += n;
		size -= n;
	}
	return r;
}

/* Zeros that nobody has to write; false where the filesystem has none. */
static bool promise_zeros(int fd, uint64_t offset, uint64_t size)
{
	return fallocate(fd, FALLOC_FL_ZERO_RANGE, offset, size) == 0;
}

/*
 * Past the page cache where that can be: a segment's worth of dirty pages would go to the disk in
 * one burst, with the next sync of somebody who waits for his few kilobytes.
 */
static int local_write_zeros(struct disk_file *file, uint64_t offset, uint64_t size)
{
	CLEANUP(free) void *zeros = xcheck(aligned_alloc(DISK_BLOCK, ZEROS_BYTES));
	int fd = file_of(file)->fd, direct = -1;
	int r;

	if (file_of(file)->fleeting && promise_zeros(fd, offset, size))
		return 0;
	memset(zeros, 0, ZEROS_BYTES);
	/* One extent where possible, and a full disk says so at once. */
	r = take_space(fd, offset, size);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	if (offset % DISK_BLOCK == 0 && size % DISK_BLOCK == 0)
		direct = direct_fd_of(file_of(file));
	r = direct >= 0 ? put_zeros(direct, zeros, offset, size) : -EINVAL;
	return r == -EINVAL ? put_zeros(fd, zeros, offset, size) : r;
}

static int local_allocate(struct disk_file *file, uint64_t offset, uint64_t size)
{
	int r = take_space(file_of(file)->fd, offset, size);
	struct stat st;

	if (r != -EOPNOTSUPP)
		return r;
	/* Where nothing can be promised: what is new is written; holes stay holes. */
	if (fstat(file_of(file)->fd, &st) < 0)
		return -errno;
	if (offset + size <= (uint64_t)st.st_size)
		return 0;
	size = MIN(size, offset + size - st.st_size);
	return local_write_zeros(file, MAX(offset, (uint64_t)st.st_size), size);
}

static int local_punch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	int fd = file_of(file)->fd;
	struct stat st;

	if (size == 0)
		return 0;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (offset >= (uint64_t)st.st_size)
		return 0;
	return local_write_zeros(file, offset, MIN(size, st.st_size - offset));
}

static int local_truncate(struct disk_file *file, uint64_t size)
{
	return ftruncate(file_of(file)->fd, size) < 0 ? -errno : 0;
}

static int local_size(struct disk_file *file, uint64_t *ret)
{
	struct stat st;

	if (fstat(file_of(file)->fd, &st) < 0)
		return -errno;
	*ret = st.st_size;
	return 0;
}

static int local_reflink(struct disk_file *file, struct disk_file *from)
{
	if (ioctl(file_of(file)->fd, FICLONE, file_of(from)->fd) == 0)
		return 0;
	/* The words of filesystems that cannot, or not for these two. */
	if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL ||
	    errno == ENOSYS)
		return -EOPNOTSUPP;
	return -errno;
}

static int local_allocated(struct disk_file *file, uint64_t *ret)
{
	struct stat st;

	if (fstat(file_of(file)->fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_blocks * 512;
	return 0;
}

static void local_file_close(struct disk_file *base_file)
{
	struct local_file *file = file_of(base_file);

	if (file->direct_fd >= 0)
		close(file->direct_fd);
	close(file->fd);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

static const struct disk_file_ops file_ops = {
	.read = local_read,
	.prefetch = local_prefetch,
	.write = local_write,
	.write_direct = local_write_direct,
	.sync = local_sync,
	.write_zeros = local_write_zeros,
	.allocate = local_allocate,
	.punch = local_punch,
	.truncate = local_truncate,
	.size = local_size,
	.reflink = local_reflink,
	.allocated = local_allocated,
	.close = local_file_close,
};

static int local_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	struct local *local = local_of(disk);
	int how = O_CLOEXEC | O_NOFOLLOW | (flags & DISK_READ_ONLY ? O_RDONLY : O_RDWR);
	struct local_file *file;
	int fd, r;

	if (!name_ok(name))
		return -EINVAL;
	if (flags & DISK_CREATE)
		how |= O_CREAT | (flags & DISK_EXCLUSIVE ? O_EXCL : 0);
	fd = openat(local->dir, name, how, 0600);
	if (fd < 0 && errno == ENOENT && (flags & DISK_CREATE)) {
		r = make_folder(local, name);
		if (r < 0)
			return r;
		fd = openat(local->dir, name, how, 0600);
	}
	if (fd < 0)
		return -errno;
	file = xcalloc(1, sizeof *file);
	*file = (struct local_file){
		.file.ops = &file_ops, .fd = fd, .direct_fd = -1, .fleeting = local->fleeting};
	pthread_mutex_init(&file->lock, NULL);
	*ret = &file->file;
	return 0;
}

/* --- The directory ------------------------------------------------------------------------ */

static int local_space(struct disk *disk, struct disk_space *ret)
{
	struct statvfs st;

	if (fstatvfs(local_of(disk)->dir, &st) < 0)
		return -errno;
	ret->bytes_total = (uint64_t)st.f_blocks * st.f_frsize;
	ret->bytes_free = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static int read_owner(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof text - 1, 0) > 0 ? atoi(text) : 0;
}

static int local_lock(struct disk *disk, int *ret_owner)
{
	struct local *local = local_of(disk);
	CLEANUP(fd) int fd = -1;

	if (local->lock_fd >= 0)
		return 0;
	fd = openat(local->dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (ret_owner)
			*ret_owner = read_owner(fd);
		return -EBUSY;
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", getpid()) < 0)
		return -errno;
	local->lock_fd = fd;
	fd = -1;
	return 0;
}

static void local_close(struct disk *disk)
{
	struct local *local = local_of(disk);

	if (local->lock_fd >= 0)
		close(local->lock_fd);
	close(local->dir);
	free(local);
}

static const struct disk_ops local_ops = {
	.open = local_open,
	.rename = local_rename,
	.remove = local_remove,
	.link = local_link,
	.links = local_links,
	.sync_names = local_sync_names,
	.list = local_list,
	.space = local_space,
	.lock = local_lock,
	.close = local_close,
};

static int open_directory(const char *path, bool fleeting, struct disk **ret)
{
	struct local *local;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	local = xcalloc(1, sizeof *local);
	*local = (struct local){
		.disk.ops = &local_ops, .dir = dir, .lock_fd = -1, .fleeting = fleeting};
	*ret = &local->disk;
	return 0;
}

int disk_local_open(const char *path, struct disk **ret)
{
	return open_directory(path, false, ret);
}

int disk_local_open_fleeting(const char *path, struct disk **ret)
{
	return open_directory(path, true, ret);
}
