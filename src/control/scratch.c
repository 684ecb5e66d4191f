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

static bool is_shown(const char *path)
{
	char list[PATH_MAX + 32];

	snprintf(list, sizeof list, "%s/" SCRATCH_SHOWN, path);
	return access(list, F_OK) == 0;
}

/*
 * Nobody has the clone open: then we have, until it is gone, and what is mounted there is of a dead
 * process.  -EBUSY when somebody has.
 */
int scratch_remove(const char *path, int (*clear_mount)(const char *path, struct problem *why))
{
	CLEANUP(disk) struct disk *disk = NULL;
	char below[PATH_MAX + 16];
	int owner, r;

	/* Not even its lock is taken: that is how others know that somebody has it. */
	if (!clear_mount && is_shown(path))
		return 0;
	snprintf(below, sizeof below, "%s/volume", path);
	r = disk_local_open(below, &disk);
	if (r == 0)
		r = disk_lock(disk, &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	snprintf(below, sizeof below, "%s/mnt", path);
	r = clear_mount ? clear_mount(below, NULL) : 0;
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

	while ((r = scratch_remove(scratch->path, scratch->holding.clear_mount)) == -EBUSY &&
	       !connection_is_closed_by_us(scratch->connection) && clock_monotonic_us() < until_us)
		poll(NULL, 0, 10); /* nothing tells of the end of a process that is no child */
	if (r < 0 && !is_shown(scratch->path))
		log_warning("'%s' stays until the next start: %s", scratch->path, strerror(-r));
	volume_release(scratch->holding.volume);
	free(scratch);
}

int scratch_for_each(const char *directory, int (*fn)(const char *path, void *arg), void *arg)
{
	CLEANUP(dir) DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	int r = 0;

	if (snprintf(path, sizeof path, "%s/scratch", directory) >= (int)sizeof path)
		return 0;
	dir = opendir(path);
	while (r == 0 && dir && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' &&
		    snprintf(path, sizeof path, "%s/scratch/%s", directory, entry->d_name) <
			    (int)sizeof path)
			r = fn(path, arg);
	return r;
}

static int sweep_one(const char *path, void *arg)
{
	const struct holding *holding = arg;

	scratch_remove(path, holding->clear_mount);
	return 0;
}

void scratch_sweep(const struct holding *holding)
{
	char path[PATH_MAX];

	scratch_for_each(holding->directory, sweep_one, (void *)holding);
	if (snprintf(path, sizeof path, "%s/scratch", holding->directory) < (int)sizeof path)
		rmdir(path); /* unless there is something left in it */
}

/* --- Asking ----------------------------------------------------------------------------------- */

static uint64_t number_of(const json_t *moment, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(moment, member));
}

static int take_answer(const json_t *result, char ret_directory[PATH_MAX], struct moment *ret,
		       struct problem *why)
{
	const char *directory = json_string_value(json_object_get(result, "directory"));
	const json_t *moment = json_object_get(result, "moment");

	if (!directory || strlen(directory) >= PATH_MAX)
		return problem(why, -EPROTO, "the answer does not say where the clone is");
	strcpy(ret_directory, directory);
	*ret = (struct moment){number_of(moment, "lsn"), (int64_t)number_of(moment, "time_us")};
	return 0;
}

int scratch_ask(struct control *control, const json_t *at, char ret_directory[PATH_MAX],
		struct moment *ret, struct problem *why)
{
	struct control_error code = {""};
	json_t *request = json_pack("{s:s, s:O}", "do", "scratch", "at", at), *result = NULL;
	int r;

	r = control_call(control, request, NULL, NULL, &result, &code, why);
	json_decref(request);
	if (r == 0)
		r = take_answer(result, ret_directory, ret, why);
	json_decref(result);
	return r == -EREMOTEIO ? answer_errno(code.code) : r;
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
			scratch_remove(scratch->path, holding->clear_mount);
		volume_release(holding->volume);
		free(scratch);
		return r;
	}
	connection_at_end(connection, end_scratch, scratch);
	*ret = json_pack("{s:s, s:o}", "directory", scratch->path, "moment", answer_moment(&at));
	return 0;
}
