#include "control/clones.h"

#include "base/cleanup.h"
#include "control/cluster.h"
#include "control/holding.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* --- Looking ---------------------------------------------------------------------------------- */

/* DIR/clones/NAME/volume is a volume that still shares what it began with. */
static bool is_attached(const char *directory, const char *name)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/clones/%s/volume", directory, name) >= (int)sizeof path)
		return false;
	return disk_local_open(path, &disk) == 0 && volume_is_attached(disk) == 1;
}

static void forget(const char *directory, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/clones/%s", directory, name) < (int)sizeof path)
		unlink(path);
}

/* Call `fn` for each that is attached until it says false. */
static void for_each(const char *directory, bool sweep, bool (*fn)(const char *name, void *arg),
		     void *arg)
{
	CLEANUP(dir) DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX];

	if (snprintf(path, sizeof path, "%s/clones", directory) >= (int)sizeof path)
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (cluster_check_name(entry->d_name, NULL) < 0)
			continue;
		if (is_attached(directory, entry->d_name)) {
			if (!fn(entry->d_name, arg))
				return;
		} else if (sweep) {
			forget(directory, entry->d_name);
		}
	}
}

static bool take_name(const char *name, void *arg)
{
	snprintf(arg, NAME_MAX + 1, "%s", name);
	return false;
}

bool clones_find(const char *directory, bool sweep, char name[NAME_MAX + 1])
{
	name[0] = 0;
	for_each(directory, sweep, take_name, name);
	return name[0] != 0;
}

static bool add_name(const char *name, void *arg)
{
	json_array_append_new(arg, json_string(name));
	return true;
}

json_t *clones_list(const char *directory)
{
	json_t *list = json_array();

	for_each(directory, false, add_name, list);
	return list;
}

/* --- Holding ---------------------------------------------------------------------------------- */

bool clones_begin(struct clones *clones, const char *directory)
{
	char name[NAME_MAX + 1];

	clones->held = clones_find(directory, true, name);
	return clones->held;
}

void clones_review(struct clones *clones, const char *directory, struct volume *volume)
{
	char name[NAME_MAX + 1];
	bool release;

	pthread_mutex_lock(&clones->lock);
	release = clones->held && !clones->making && !clones_find(directory, true, name);
	clones->held = clones->held && !release;
	pthread_mutex_unlock(&clones->lock);
	if (release)
		volume_release(volume);
}

/* The base stays as it is from before the clone is begun. */
static void begin_making(struct clones *clones, struct volume *volume)
{
	bool hold;

	pthread_mutex_lock(&clones->lock);
	clones->making++;
	hold = !clones->held;
	clones->held = true;
	pthread_mutex_unlock(&clones->lock);
	if (hold)
		volume_hold(volume);
}

static void end_making(struct clones *clones)
{
	pthread_mutex_lock(&clones->lock);
	clones->making--;
	pthread_mutex_unlock(&clones->lock);
}

/* --- Making ----------------------------------------------------------------------------------- */

static int sync_directory(const char *path)
{
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Of another list of clusters, or it would not have come to us. */
static int name_is_taken(const char *path, const char *name, struct problem *why)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target);

	return problem(why, -EEXIST, "a clone '%s' of it exists already, in %.*s", name,
		       n > 0 ? (int)n : 0, target);
}

/* Durable before there is a clone that it tells of. */
static int add_entry(const struct holding *holding, const struct request *request,
		     struct problem *why)
{
	char parent[PATH_MAX], path[PATH_MAX];
	int r;

	if (snprintf(parent, sizeof parent, "%s/clones", holding->directory) >=
		    (int)sizeof parent ||
	    snprintf(path, sizeof path, "%s/clones/%s", holding->directory, request->name) >=
		    (int)sizeof path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", holding->directory);
	if (mkdir(parent, 0700) < 0 && errno != EEXIST)
		return problem_errno(why, -errno, "cannot make '%s'", parent);
	if (is_attached(holding->directory, request->name))
		return name_is_taken(path, request->name, why);
	/* One of that name that was deleted and not noticed yet. */
	unlink(path);
	if (symlink(request->directory, path) < 0)
		return problem_errno(why, -errno, "cannot make '%s'", path);
	r = sync_directory(parent);
	return r < 0 ? problem_errno(why, r, "cannot make '%s' durable", path) : 0;
}

static int make(const struct holding *holding, const struct request *request, struct moment *ret,
		struct problem *why)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX];
	int owner = 0, r;

	if (snprintf(path, sizeof path, "%s/volume", request->directory) >= (int)sizeof path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", request->directory);
	r = disk_local_open(path, &disk);
	/* Whoever asked may be gone, and the directory be deleted: not while it is filled. */
	if (r == 0)
		r = disk_lock(disk, &owner);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	r = add_entry(holding, request, why);
	if (r < 0)
		return r;
	r = volume_clone(holding->volume, disk, NULL, ret, why);
	if (r < 0)
		forget(holding->directory, request->name);
	return r;
}

int clones_make(const struct holding *holding, struct connection *connection,
		const struct request *request, json_t **ret, struct problem *why)
{
	struct moment at, now;
	int r;

	if (!holding->clones)
		return problem(why, -EINVAL, "this holder of the volume makes no clones");
	r = cluster_check_name(request->name, why);
	if (r == 0)
		r = holding_resolve(holding, &request->moment, &at, why);
	if (r < 0)
		return r;
	begin_making(holding->clones, holding->volume);
	r = make(holding, request, &now, why);
	end_making(holding->clones);
	if (r < 0)
		return r;
	*ret = json_pack("{s:o, s:o}", "moment", answer_moment(&at), "now", answer_moment(&now));
	return 0;
}
