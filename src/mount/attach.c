#include "mount/attach.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "mount/mount.h"
#include "mount/protocol.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define HELPER "fusermount3"

/* The descriptor that the helper finds its socket at. */
#define HELPER_SOCKET 3

/*
 * Nothing on a database's volume needs devices or set-user-id programs, and reading is not to
 * change times.
 */
#define FLAGS (MS_NOSUID | MS_NODEV | MS_NOATIME)

/* --- By mount(2) --------------------------------------------------------------------------------
 */

static int attach_by_syscall(const char *path, const struct attach_options *options, int *ret_fd,
			     struct problem *why)
{
	CLEANUP(fd) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char data[256];

	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		return problem(why, -ENODEV,
			       "there is no /dev/fuse: load the kernel's module with 'modprobe "
			       "fuse', or give "
			       "the container the device");
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open /dev/fuse");
	snprintf(data, sizeof data,
		 "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions,max_read=%d%s", fd,
		 S_IFDIR, geteuid(), getegid(), PROTOCOL_IO_MAX,
		 options->allow_other ? ",allow_other" : "");
	if (mount(options->source, path, "fuse.unspill",
		  FLAGS | (options->read_only ? MS_RDONLY : 0), data) < 0)
		return problem_errno(why, -errno, "cannot mount on '%s'", path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* --- By fusermount3 -----------------------------------------------------------------------------
 */

/* The environment with the number of the socket added; the caller frees the array. */
static char **helper_environment(char *variable)
{
	size_t count = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = xreallocarray(NULL, count + 2, sizeof *copy);
	memcpy(copy, environ, count * sizeof *copy);
	copy[count] = variable;
	copy[count + 1] = NULL;
	return copy;
}

/* Run the helper with `socket` and standard error as given, until it ends.  Returns its exit status
 * or -errno. */
static int run_helper(const char *const argv[], int socket, int err)
{
	char variable[] = "_FUSE_COMMFD=3";
	CLEANUP(free) char **environment = helper_environment(variable);
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	static_assert(HELPER_SOCKET == 3, "the variable says so");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	if (socket >= 0)
		posix_spawn_file_actions_adddup2(&actions, socket, HELPER_SOCKET);
	r = posix_spawnp(&pid, HELPER, &actions, NULL, (char *const *)argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The descriptor that came with the one byte, or -errno. */
static int receive_descriptor(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof control};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

/* What the helper said, on one line. */
static void read_words(int fd, char *words, size_t size)
{
	ssize_t n = read(fd, words, size - 1);

	words[MAX(n, 0)] = '\0';
	for (char *c = words; *c; c++)
		if (*c == '\n')
			*c = c[1] ? ' ' : '\0';
}

int attach_open_by_helper(const char *path, const struct attach_options *options, int *ret_fd,
			  struct problem *why)
{
	char settings[512], words[512];
	CLEANUP(fd) int ours = -1, theirs = -1, err_out = -1, err_in = -1;
	int pair[2], fd, r;

	snprintf(settings, sizeof settings,
		 "fsname=%s,subtype=unspill,nosuid,nodev,noatime,default_permissions,"
		 "max_read=%d%s%s",
		 options->source, PROTOCOL_IO_MAX, options->allow_other ? ",allow_other" : "",
		 options->read_only ? ",ro" : "");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	err_out = pair[0];
	err_in = pair[1];

	r = run_helper((const char *[]){HELPER, "-o", settings, "--", path, NULL}, theirs, err_in);
	if (r < 0)
		return problem_errno(why, r,
				     "mounting without being root needs the program " HELPER
				     " (Debian: package fuse3), which cannot be started");
	fd = receive_descriptor(ours);
	if (r > 0 || fd < 0) {
		read_words(err_out, words, sizeof words);
		return problem(why, -EPERM, "cannot mount on '%s': %s", path,
			       *words ? words : HELPER " failed without saying why");
	}
	*ret_fd = fd;
	return 0;
}

/* --- Either way ---------------------------------------------------------------------------------
 */

/*
 * Is something mounted on `path`?  1, 0, or -errno: -ENOTCONN for a FUSE filesystem whose server is
 * gone.
 */
static int is_mounted(const char *path)
{
	struct statx st;

	/* Ask the server itself: what the kernel has cached of a dead one's root still looks well.
	 */
	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC, STATX_TYPE, &st) < 0)
		/* The other two: it died while we asked, over /dev/fuse and over io_uring. */
		return errno == ECONNABORTED || errno == ECANCELED ? -ENOTCONN : -errno;
	if (!S_ISDIR(st.stx_mode))
		return -ENOTDIR;
	return st.stx_attributes & STATX_ATTR_MOUNT_ROOT ? 1 : 0;
}

int attach_open(const char *path, const struct attach_options *options, int *ret_fd,
		struct problem *why)
{
	int r = is_mounted(path);

	if (r == -ENOTCONN)
		return problem(why, -EBUSY, "'%s' is still mounted by a process that is gone",
			       path);
	if (r == -ENOTDIR)
		return problem(why, r, "'%s' is not a directory", path);
	if (r < 0)
		return problem_errno(why, r, "cannot mount on '%s'", path);
	if (r > 0)
		return problem(why, -EBUSY, "something is mounted on '%s' already", path);
	if (geteuid() == 0)
		return attach_by_syscall(path, options, ret_fd, why);
	return attach_open_by_helper(path, options, ret_fd, why);
}

void attach_read_ahead(dev_t device, unsigned bytes)
{
	char path[64];

	snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
		 minor(device));
	CLEANUP(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	/* Refused: then sequential reads are slower, and that is all. */
	if (fd >= 0 && dprintf(fd, "%u", bytes / 1024) < 0)
		return;
}

static int close_by_helper(const char *path, bool lazily)
{
	const char *const argv[] = {HELPER, "-u", lazily ? "-qz" : "-q", "--", path, NULL};
	CLEANUP(fd) int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int r;

	if (quiet < 0)
		return -errno;
	r = run_helper(argv, -1, quiet);
	return r > 0 ? -EBUSY : r;
}

int attach_close(const char *path, bool lazily)
{
	if (umount2(path, UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)) == 0)
		return 0;
	return errno == EPERM ? close_by_helper(path, lazily) : -errno;
}

int mount_clear_stale(const char *path, struct problem *why)
{
	int r = is_mounted(path);

	/* One on top of the other, if it happened more than once; each was a server's. */
	while (r == -ENOTCONN) {
		r = attach_close(path, true);
		if (r < 0)
			return problem_errno(
				why, r, "cannot unmount what a dead process left on '%s'", path);
		r = is_mounted(path);
	}
	if (r > 0)
		return problem(why, -EBUSY, "something is mounted on '%s'", path);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return problem_errno(why, r, "cannot see what is mounted on '%s'", path);
	return 0;
}

/* The kernel's number of the filesystem on `path`; -1: none.  Read from a list: a look at the path
 * itself might wait. */
static int connection_of(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[8192], where[4096];
	int minor, found = -1;

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "%*d %*d %*d:%d %*s %4095s", &minor, where) == 2 &&
		    strcmp(where, path) == 0)
			found = minor;
	if (file)
		fclose(file);
	return found;
}

void mount_abort(const char *path)
{
	char control[64];

	/* It fails as busy, after having done what is wanted. */
	if (umount2(path, MNT_FORCE | UMOUNT_NOFOLLOW) == 0 || errno != EPERM)
		return;
	snprintf(control, sizeof control, "/sys/fs/fuse/connections/%d/abort", connection_of(path));
	CLEANUP(fd) int fd = open(control, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) != 1)
		return;
}
