/* A cluster's directory, made and removed. */
#include "keeper/cluster_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "disk/disk.h"
#include "keeper/viewer.h"
#include "keeper/views.h"
#include "mount/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static void dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Every directory above is passable for the server's user. */
static int check_passable(const struct cluster *cluster, struct problem *why)
{
	char part[PATH_MAX];

	if (cluster->server_uid == geteuid())
		return 0;
	strcpy(part, cluster->directory);
	for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		struct stat st;
		mode_t bit;

		*slash = 0;
		if (stat(part, &st) < 0)
			return problem_errno(why, -errno, "cannot look at '%s'", part);
		bit = st.st_uid == cluster->server_uid   ? S_IXUSR
		      : st.st_gid == cluster->server_gid ? S_IXGRP
							 : S_IXOTH;
		if (!(st.st_mode & bit))
			return problem(why, -EACCES,
				       "the server's user (uid %u) may not pass through '%s': "
				       "choose another directory, or chmod o+x that one",
				       (unsigned)cluster->server_uid, part);
		*slash = '/';
	}
	return 0;
}

/* The longest of our sockets must fit. */
static int check_socket_path(const struct cluster *cluster, const struct engine *engine,
			     struct problem *why)
{
	size_t room = sizeof((struct sockaddr_un *)0)->sun_path - 1;
	size_t below = strlen("/run/control.sock");

	if (engine)
		below = MAX(below, strlen("/run/") + strlen(engine->socket));

	if (strlen(cluster->directory) + below > room)
		return problem(why, -ENAMETOOLONG,
			       "the path '%s' is too long for sockets below it: at most %zu bytes",
			       cluster->directory, room - below);
	return 0;
}

static bool is_empty_directory(const char *path)
{
	CLEANUP(dir) DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return false;
	return dir != NULL;
}

/* What cluster_make() has made so far, to be undone. */
struct made {
	bool directory, link;
	char entry[PATH_MAX];
};

static int make_directory(const char *path, struct made *made, struct problem *why)
{
	if (mkdir(path, CLUSTER_DIRECTORY_MODE) == 0) {
		made->directory = true;
		return 0;
	}
	if (errno != EEXIST)
		return problem_errno(why, -errno, "cannot make '%s'", path);
	if (!is_empty_directory(path))
		return problem(why, -ENOTEMPTY, "'%s' is not an empty directory", path);
	return 0;
}

/* The entry of the list comes first: it is what two who want the same name meet at. */
static int make_place(const struct cluster_options *options, struct cluster *cluster,
		      struct made *made, struct problem *why)
{
	const char *path = options->directory ? options->directory : made->entry;
	struct stat st;
	int r;

	r = cluster_entry(options->name, true, made->entry, why);
	if (r < 0)
		return r;
	if (lstat(made->entry, &st) == 0)
		return problem(why, -EEXIST, "a cluster '%s' exists already", options->name);
	r = make_directory(path, made, why);
	if (r < 0)
		return r;
	if (!realpath(path, cluster->directory) || stat(cluster->directory, &st) < 0)
		return problem_errno(why, -errno, "cannot look at '%s'", path);
	cluster->owner = st.st_uid;
	if (options->directory && symlink(cluster->directory, made->entry) < 0)
		return errno == EEXIST
			       ? problem(why, -EEXIST, "a cluster '%s' exists already",
					 options->name)
			       : problem_errno(why, -errno, "cannot make '%s'", made->entry);
	made->link = options->directory != NULL;
	return chmod(cluster->directory, CLUSTER_DIRECTORY_MODE) < 0
		       ? problem_errno(why, -errno, "cannot set the mode of '%s'",
				       cluster->directory)
		       : 0;
}

static int make_below(const struct cluster *cluster, const char *name, mode_t mode,
		      struct problem *why)
{
	char path[PATH_MAX];

	if (!cluster_path(cluster, name, path) || mkdir(path, mode) < 0 || chmod(path, mode) < 0)
		return problem_errno(why, -errno, "cannot make '%s/%s'", cluster->directory, name);
	return 0;
}

static int make_volume(const struct cluster *cluster, int64_t window_us, struct problem *why)
{
	struct volume_format_options format = {.window_us = window_us,
					       .root_uid = geteuid(),
					       .root_gid = getegid(),
					       .root_mode = 0755};
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX];
	int r;

	cluster_path(cluster, "volume", path);
	r = disk_local_open(path, &disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	return volume_format(disk, &format, why);
}

static int fill_place(const struct cluster *cluster, int64_t window_us, struct problem *why)
{
	int r;

	r = make_below(cluster, "run", 0711, why);
	if (r == 0)
		r = make_below(cluster, "mnt", 0755, why);
	if (r == 0)
		r = make_below(cluster, "volume", 0700, why);
	if (r == 0 && !cluster->parent[0])
		r = make_volume(cluster, window_us, why);
	if (r == 0)
		r = cluster_save(cluster, why);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* The keeper's, and those of throw-away clones: they are gone when whoever has them has ended. */
static bool is_own_mount(const char *below)
{
	return strcmp(below, "mnt") == 0 || fnmatch("scratch/*/mnt", below, FNM_PATHNAME) == 0;
}

/*
 * A removal must not wander into what somebody mounted.  (To compare device numbers is no way to
 * tell: on an overlay a folder and its files differ.)  -EEXIST: somebody else's; -EBUSY: one of
 * ours, unless `own` is allowed.
 */
static int check_mounts(const char *directory, bool own, struct problem *why)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	size_t length = strlen(directory);
	struct mntent entry;
	char text[4 * PATH_MAX];
	int r = 0;

	if (!mounts)
		return problem_errno(why, -errno, "cannot read /proc/self/mounts");
	while (r == 0 && getmntent_r(mounts, &entry, text, sizeof text)) {
		if (strncmp(entry.mnt_dir, directory, length) != 0 || entry.mnt_dir[length] != '/')
			continue;
		if (!is_own_mount(entry.mnt_dir + length + 1))
			r = problem(why, -EEXIST,
				    "something is mounted on '%s' that is not the cluster's: "
				    "unmount it first",
				    entry.mnt_dir);
		else if (!own)
			r = problem(why, -EBUSY, "something is mounted on '%s'", entry.mnt_dir);
	}
	endmntent(mounts);
	return r;
}

int cluster_check_mounts(const struct cluster *cluster, struct problem *why)
{
	return check_mounts(cluster->directory, true, why);
}

/* What is ours in the directory, and nothing else; cluster.json last, so that an interrupted
 * removal can be repeated. */
static int remove_contents(const char *directory, struct problem *why)
{
	static const char *const ours[] = {"mnt",    "volume",           "run",         "scratch",
					   "clones", "cluster.json.new", "cluster.json"};
	int none = check_mounts(directory, false, why);

	if (none < 0)
		return none;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		char path[PATH_MAX + 32];
		int r;

		snprintf(path, sizeof path, "%s/%s", directory, ours[i]);
		if (access(path, F_OK) < 0 && errno == ENOENT)
			continue;
		r = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		if (r < 0)
			return problem_errno(why, r == -1 ? -errno : r, "cannot remove '%s'", path);
	}
	return 0;
}

static void undo(const struct cluster *cluster, const struct made *made)
{
	if (cluster->directory[0] && (made->directory || made->link))
		remove_contents(cluster->directory, NULL);
	if (made->directory)
		rmdir(cluster->directory);
	if (made->link)
		unlink(made->entry);
}

static char **copy_options(const char *const *options)
{
	size_t count = 0;
	char **copy;

	while (options && options[count])
		count++;
	copy = xcalloc(count + 1, sizeof *copy);
	for (size_t i = 0; i < count; i++)
		copy[i] = xstrdup(options[i]);
	return copy;
}

/* No engine: there is no server to check, to run as anybody, or to listen. */
static int check_engine(struct cluster *cluster, const struct engine *engine, struct problem *why)
{
	char version[128];
	int r;

	cluster->server_uid = geteuid();
	cluster->server_gid = getegid();
	if (!engine)
		return 0;
	r = engine->check(version, why);
	return r < 0 ? r : engine_user(engine, &cluster->server_uid, &cluster->server_gid, why);
}

static int check_options(const struct cluster_options *options, struct cluster *cluster,
			 const struct engine **ret_engine, struct problem *why)
{
	const char *name = options->engine ? options->engine : ENGINE_DEFAULT, *names;
	const struct engine *engine = engine_find(name, &names);
	int r;

	if (!engine && strcmp(name, CLUSTER_INSIDE) != 0)
		return problem(why, -ENOENT, "there is no engine '%.64s'; there is %s, %s", name,
			       names, CLUSTER_INSIDE);
	if (options->window_us < 0)
		return problem(why, -EINVAL, "the backtrack window cannot be negative");
	r = check_engine(cluster, engine, why);
	if (r < 0)
		return r;
	snprintf(cluster->name, sizeof cluster->name, "%s", options->name);
	snprintf(cluster->engine, sizeof cluster->engine, "%s", engine ? engine->name : name);
	snprintf(cluster->bind, sizeof cluster->bind, "%s",
		 options->bind ? options->bind : "127.0.0.1");
	cluster->created_us = clock_realtime_us();
	cluster->transport = options->transport;
	cluster->repack = true;
	cluster->server_options = copy_options(options->server_options);
	*ret_engine = engine;
	return engine ? cluster_choose_port(options, engine, cluster, why) : 0;
}

/* What a clone has of its parent, where nothing else was said. */
static struct cluster_options inherit_options(const struct cluster_options *options)
{
	const struct cluster *parent = options->clone_of;
	struct cluster_options all = *options;

	if (!parent)
		return all;
	all.engine = parent->engine;
	all.bind = all.bind ? all.bind : parent->bind;
	all.transport = parent->transport;
	all.server_options = (const char *const *)parent->server_options;
	return all;
}

static void inherit_settings(struct cluster *cluster, const struct cluster_options *options)
{
	const struct cluster *parent = options->clone_of;

	if (!parent)
		return;
	snprintf(cluster->parent, sizeof cluster->parent, "%s", parent->name);
	cluster->thin = options->thin;
	cluster->repack = parent->repack;
	cluster->first = parent->first;
}

/* Until it is closed, nobody else makes a cluster here: two at once would find the same port free.
 */
static int lock_list(struct problem *why)
{
	char home[PATH_MAX];
	int r = cluster_home(true, home, why);

	if (r < 0)
		return r;
	r = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0 || flock(r, LOCK_EX) < 0) {
		int error = -errno;

		fd_cleanup(&r);
		return problem_errno(why, error, "cannot lock '%s'", home);
	}
	return r;
}

int cluster_make(const struct cluster_options *asked, struct cluster **ret, struct problem *why)
{
	const struct cluster_options all = inherit_options(asked), *options = &all;
	CLEANUP(cluster) struct cluster *cluster = xcalloc(1, sizeof *cluster);
	const struct engine *engine = NULL;
	struct made made = {0};
	int r;

	r = cluster_check_name(options->name, why);
	if (r < 0)
		return r;
	CLEANUP(fd) int lock = lock_list(why);
	if (lock < 0)
		return lock;
	r = check_options(options, cluster, &engine, why);
	if (r < 0)
		return r;
	inherit_settings(cluster, options);
	r = make_place(options, cluster, &made, why);
	if (r == 0)
		r = check_socket_path(cluster, engine, why);
	if (r == 0)
		r = check_passable(cluster, why);
	if (r == 0)
		r = fill_place(cluster, options->window_us, why);
	if (r < 0) {
		undo(cluster, &made);
		return r;
	}
	*ret = take(cluster);
	return 0;
}

int cluster_inherit(const struct cluster *clone, const struct cluster *parent, struct problem *why)
{
	const struct engine *engine = engine_find(parent->engine, NULL);
	char run_dir[PATH_MAX], parent_run_dir[PATH_MAX];
	struct engine_place place;

	if (!engine || !engine->inherit)
		return 0;
	cluster_path(clone, "run", run_dir);
	cluster_path(parent, "run", parent_run_dir);
	place = (struct engine_place){
		.run_dir = run_dir, .uid = parent->server_uid, .gid = parent->server_gid};
	return engine->inherit(&place, parent_run_dir, why);
}

/* --- Removing --------------------------------------------------------------------------------- */

/*
 * Whoever has the volume's lock is its keeper, or is just making it as a clone.  It is ours until
 * the caller closes *ret, which is NULL where there is no volume.
 */
static int lock_volume(const struct cluster *cluster, struct disk **ret, struct problem *why)
{
	char path[PATH_MAX];
	int owner = 0, r;

	*ret = NULL;
	cluster_path(cluster, "volume", path);
	r = disk_local_open(path, ret);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = disk_lock(*ret, &owner);
	if (r == -EBUSY)
		return problem(why, r,
			       cluster_is_inside(cluster)
				       ? "process %d has cluster '%s' inside: end it first"
				       : "a keeper (process %d) looks after cluster '%s': stop it "
					 "first",
			       owner, cluster->name);
	return r < 0 ? problem_errno(why, r, "cannot lock '%s'", path) : 0;
}

static int remove_entry(const char *name, const char *directory, struct problem *why)
{
	char entry[PATH_MAX], real[PATH_MAX];
	struct stat st;
	int r = cluster_entry(name, false, entry, why);

	if (r < 0)
		return r;
	if (lstat(entry, &st) < 0)
		return errno == ENOENT ? 0
				       : problem_errno(why, -errno, "cannot look at '%s'", entry);
	/* An entry of that name may be another cluster's, when this one was never in the list. */
	if (!S_ISLNK(st.st_mode) || (realpath(entry, real) && strcmp(real, directory) != 0))
		return 0;
	return unlink(entry) < 0 ? problem_errno(why, -errno, "cannot remove '%s'", entry) : 0;
}

int cluster_delete(const struct cluster *cluster, struct problem *why)
{
	CLEANUP(disk) struct disk *locked = NULL;
	char path[PATH_MAX];
	int r;

	r = lock_volume(cluster, &locked, why);
	if (r < 0)
		return r;
	viewer_end_all(cluster);
	cluster_path(cluster, VIEWS_FILE, path);
	views_sweep(path);
	cluster_path(cluster, "mnt", path);
	r = mount_clear_stale(path, why);
	if (r == 0)
		r = remove_contents(cluster->directory, why);
	if (r == 0)
		r = remove_entry(cluster->name, cluster->directory, why);
	if (r < 0)
		return r;
	/* With things of others in it, it stays. */
	if (rmdir(cluster->directory) < 0 && errno != ENOTEMPTY && errno != EEXIST)
		return problem_errno(why, -errno, "cannot remove '%s'", cluster->directory);
	return 0;
}

int cluster_forget(const char *name, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = NULL;
	char entry[PATH_MAX];
	int r = cluster_check_name(name, why);

	if (r == 0)
		r = cluster_entry(name, false, entry, why);
	if (r < 0)
		return r;
	if (cluster_load(entry, &cluster, NULL) == 0)
		return problem(why, -EBUSY, "cluster '%s' is there: delete it", name);
	if (unlink(entry) == 0 || rmdir(entry) == 0)
		return 0;
	return problem_errno(why, -errno, "cannot remove '%s'", entry);
}
