#include "cmd/machine.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "keeper/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* A program of that name in $PATH. */
static bool is_installed(const char *program)
{
	const char *path = getenv("PATH");
	char full[PATH_MAX];

	for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
		int size = (int)strcspn(at, ":");

		snprintf(full, sizeof full, "%.*s/%s", size, at, program);
		if (size && !access(full, X_OK))
			return true;
		at += size + (at[size] == ':');
	}
	return false;
}

int machine_check_mount(struct problem *why)
{
	if (geteuid() == 0 || is_installed("fusermount3"))
		return 0;
	return problem(why, -EPERM,
		       "mounting needs root, or fusermount3; install the package fuse3");
}

int machine_check_fuse(struct problem *why)
{
	struct stat st;
	int fd;

	if (stat("/dev/fuse", &st) < 0)
		return problem(why, -ENODEV,
			       "there is no /dev/fuse; load the kernel's fuse module ('modprobe "
			       "fuse'), or give the container that device");
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return problem(why, -errno,
			       "cannot open /dev/fuse: %s; as root, 'chmod 666 /dev/fuse' lets "
			       "everybody mount",
			       strerror(errno));
	close(fd);
	return 0;
}

/* The deepest part of `path` that exists. */
static void find_existing(const char *path, char existing[PATH_MAX])
{
	char *slash;

	snprintf(existing, PATH_MAX, "%s", path);
	while (access(existing, F_OK) < 0 && (slash = strrchr(existing, '/')) && slash > existing)
		*slash = '\0';
	if (access(existing, F_OK) < 0)
		snprintf(existing, PATH_MAX, "%s", path[0] == '/' ? "/" : ".");
}

int machine_check_home(struct problem *why)
{
	char home[PATH_MAX], existing[PATH_MAX];
	int r;

	r = cluster_home(false, home, why);
	if (r < 0)
		return r;
	/* Looked at only: it is made with the first cluster. */
	find_existing(home, existing);
	if (access(existing, W_OK | X_OK) < 0)
		return problem_errno(why, -errno,
				     "cannot write to '%s', the list of clusters ($UNSPILL_HOME)",
				     home);
	return 0;
}

int machine_check_engine(const struct engine *engine, char version[128], struct problem *why)
{
	return engine->check(version, why);
}

int machine_space(const char *path, int64_t *ret_free, int64_t *ret_total, struct problem *why)
{
	struct statvfs space;

	if (statvfs(path, &space) < 0)
		return problem_errno(why, -errno, "cannot tell how much space '%s' has", path);
	/* What is reserved for root counts for root. */
	*ret_free = (int64_t)((geteuid() ? space.f_bavail : space.f_bfree) * space.f_frsize);
	*ret_total = (int64_t)(space.f_blocks * space.f_frsize);
	return 0;
}

int machine_check_space(const char *path, int64_t bytes, struct problem *why)
{
	char existing[PATH_MAX], have[UNITS_TEXT_MAX], need[UNITS_TEXT_MAX];
	int64_t bytes_free, bytes_total;
	int r;

	find_existing(path, existing);
	r = machine_space(existing, &bytes_free, &bytes_total, why);
	/* What is no real filesystem tells nothing. */
	if (r < 0 || !bytes_total || bytes_free >= bytes)
		return r;
	bytes_format((double)bytes_free, have);
	bytes_format((double)bytes, need);
	return problem(why, -ENOSPC, "not enough space at '%s': %s free, %s needed", existing, have,
		       need);
}
