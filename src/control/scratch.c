#include "control/scratch.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SCRATCH_MAX 1000
/* What a process that was killed gets to be gone. */
#define DYING_US INT64_C(10000000)
/* Passable for the server's user, listed by nobody. */
#define DIRECTORY_MODE 0711

struct scratch {
	struct holding holding;
	struct connection *connection;
	char path[PATH_MAX];
};

static void dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* --- Removing --------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

/*
 * Nobody has the clone open: then we have, until it is gone, and what is mounted there is of a dead
 * process.  -EBUSY when somebody has.
 */
static int remove_unused(const struct holding *holding, const char *path)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char below[PATH_MAX + 16];
	int owner, r;

	snprintf(below, sizeof below, "%s/volume", path);
	r = disk_local_open(below, &disk);
	if (r == 0)
		r = disk_lock(disk, &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	snprintf(below, sizeof below, "%s/mnt", path);
	r = holding->clear_mount ? holding->clear_mount(below, NULL) : 0;
	if (r < 0)
		return r;
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT
		       ? -errno
		       : 0;
}

/* Whoever asked is gone, or going; unless it is we who go. */
static void end_scratch(void *arg)
{
	struct scratch *scratch = arg;
	int64_t until_us = clock_monotonic_us() + DYING_US;
	int r;

	while ((r = remove_unused(&scratch->holding, scratch->path)) == -EBUSY &&
	       !connection_is_closed_by_us(scratch->connection) && clock_monotonic_us() < until_us)
		poll(NULL, 0, 10); /* nothing tells of the end of a process that is no child */
	if (r < 0)
		log_warning("'%s' stays until the next start: %s", scratch->path, strerror(-r));
	volume_release(scratch->holding.volume);
	free(scratch);
}

void scratch_sweep(const struct holding *holding)
{
	CLEANUP(dir) DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX], below[PATH_MAX + NAME_MAX + 2];

	if (snprintf(path, sizeof path, "%s/scratch", holding->directory) >= (int)sizeof path)
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
		remove_unused(holding, below);
	}
	if (dir)
		rmdir(path); /* unless there is something left in it */
}

/* --- Making ----------------------------------------------------------------------------------- */

static int make_below(const char *path, const char *name, mode_t mode, struct problem *why)
{
	char below[PATH_MAX + 16];

	snprintf(below, sizeof below, "%s/%s", path, name);
	if (mkdir(below, mode) < 0 || chmod(below, mode) < 0)
		return problem_errno(why, -errno, "cannot make '%s'", below);
	return 0;
}

/* The first number that is free. */
static int make_directory(struct scratch *scratch, struct problem *why)
{
	char parent[PATH_MAX];

	if (snprintf(parent, sizeof parent, "%s/scratch", scratch->holding.directory) >=
	    (int)sizeof parent - 8)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", parent);
	if (mkdir(parent, DIRECTORY_MODE) < 0 && errno != EEXIST)
		return problem_errno(why, -errno, "cannot make '%s'", parent);
	for (int i = 1; i <= SCRATCH_MAX; i++) {
		snprintf(scratch->path, sizeof scratch->path, "%.*s/%d", PATH_MAX - 8, parent, i);
		if (mkdir(scratch->path, DIRECTORY_MODE) == 0)
			return chmod(scratch->path, DIRECTORY_MODE) < 0
				       ? problem_errno(why, -errno, "cannot set the mode of '%s'",
						       scratch->path)
				       : 0;
		if (errno != EEXIST)
			return problem_errno(why, -errno, "cannot make '%s'", scratch->path);
	}
	return problem(why, -EBUSY, "there are too many scratch clones in '%s'", parent);
}

static int fill(struct scratch *scratch, struct problem *why)
{
	static const struct volume_clone_options fleeting = {.fleeting = true};
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX + 16];
	struct moment moment;
	int r;

	r = make_below(scratch->path, "volume", 0700, why);
	if (r == 0)
		r = make_below(scratch->path, "mnt", 0755, why);
	if (r == 0)
		r = make_below(scratch->path, "run", DIRECTORY_MODE, why);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "%s/volume", scratch->path);
	r = disk_local_open(path, &disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	return volume_clone(scratch->holding.volume, disk, &fleeting, &moment, why);
}

/* The files stay those of who holds the volume. */
static int check_asker(struct connection *connection, struct problem *why)
{
	uid_t asker = connection_uid(connection);

	if (asker == 0 || asker == geteuid())
		return 0;
	return problem(why, -EPERM,
		       "the cluster is kept by user %u, whose files they are: ask as that user",
		       (unsigned)geteuid());
}

int scratch_open(const struct holding *holding, struct connection *connection,
		 const struct request *request, json_t **ret, struct problem *why)
{
	struct scratch *scratch;
	struct moment at;
	int r;

	r = check_asker(connection, why);
	if (r == 0)
		r = holding_resolve(holding, &request->moment, &at, why);
	if (r < 0)
		return r;
	scratch = xcalloc(1, sizeof *scratch);
	scratch->holding = *holding;
	scratch->connection = connection;
	volume_hold(holding->volume);
	r = make_directory(scratch, why);
	if (r == 0)
		r = fill(scratch, why);
	if (r < 0) {
		if (scratch->path[0])
			remove_unused(holding, scratch->path);
		volume_release(holding->volume);
		free(scratch);
		return r;
	}
	connection_at_end(connection, end_scratch, scratch);
	*ret = json_pack("{s:s, s:o}", "directory", scratch->path, "moment", answer_moment(&at));
	return 0;
}
