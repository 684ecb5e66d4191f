#include "keeper/cluster.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "disk/disk.h"
#include "engine/engine.h"
#include "mount/mount.h"
#include "volume/volume.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define JSON_BYTES_MAX (1024 * 1024)
/* Ports looked at above the engine's own, when the user names none. */
#define PORTS_TRIED 1000

static void json_cleanup(json_t **json)
{
	json_decref(*json);
}

static void dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void free_options(char **options)
{
	for (char **option = options; option && *option; option++)
		free(*option);
	free(options);
}

void cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return;
	free_options(cluster->server_options);
	free(cluster);
}

bool cluster_path(const struct cluster *cluster, const char *below, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s", cluster->directory, below) < PATH_MAX)
		return true;
	path[0] = 0;
	return false;
}

/* --- cluster.json ------------------------------------------------------------------------------
 */

static json_t *options_to_json(char *const *options)
{
	json_t *array = json_array();

	for (; options && *options; options++)
		json_array_append_new(array, json_string(*options));
	return array;
}

static int options_from_json(json_t *array, char ***ret, const char *path, struct problem *why)
{
	size_t count = json_array_size(array);
	char **options;

	if (array && !json_is_array(array))
		return problem(why, -EBADMSG, "\"server_options\" in '%s' is not a list of texts",
			       path);
	if (count > CLUSTER_SERVER_OPTIONS_MAX)
		return problem(why, -EBADMSG, "'%s' has more than %d server options", path,
			       CLUSTER_SERVER_OPTIONS_MAX);
	options = xcalloc(count + 1, sizeof *options);
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text) {
			free_options(options);
			return problem(why, -EBADMSG,
				       "\"server_options\" in '%s' is not a list of texts", path);
		}
		options[i] = xstrdup(text);
	}
	*ret = options;
	return 0;
}

static json_t *to_json(const struct cluster *cluster)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:i, s:{s:I, s:I}, s:I, s:s, s:{s:I, s:I}, s:o}",
			 "format", CLUSTER_FORMAT, "name", cluster->name, "engine", cluster->engine,
			 "bind", cluster->bind, "port", cluster->port, "server_user", "uid",
			 (json_int_t)cluster->server_uid, "gid", (json_int_t)cluster->server_gid,
			 "created_us", (json_int_t)cluster->created_us, "desired",
			 cluster->desired_running ? "running" : "stopped", "first", "lsn",
			 (json_int_t)cluster->first.lsn, "time_us",
			 (json_int_t)cluster->first.time_us, "server_options",
			 options_to_json(cluster->server_options));
}

static int from_json(json_t *json, const char *path, struct cluster *cluster, struct problem *why)
{
	const char *name, *engine, *bind, *desired;
	json_int_t uid, gid, created_us, lsn, time_us;
	json_error_t error;
	json_t *options = NULL;
	int format, port;

	if (json_unpack_ex(json, &error, 0, "{s:i}", "format", &format) < 0)
		return problem(why, -EBADMSG, "'%s' is damaged: %s", path, error.text);
	if (format != CLUSTER_FORMAT)
		return problem(why, -EPROTONOSUPPORT, "'%s' has format %d; this program knows %d",
			       path, format, CLUSTER_FORMAT);
	if (json_unpack_ex(json, &error, 0,
			   "{s:s, s:s, s:s, s:i, s:{s:I, s:I}, s:I, s:s, s:{s:I, s:I}, s?o}",
			   "name", &name, "engine", &engine, "bind", &bind, "port", &port,
			   "server_user", "uid", &uid, "gid", &gid, "created_us", &created_us,
			   "desired", &desired, "first", "lsn", &lsn, "time_us", &time_us,
			   "server_options", &options) < 0)
		return problem(why, -EBADMSG, "'%s' is damaged: %s", path, error.text);
	if (cluster_check_name(name, NULL) < 0 || strlen(engine) >= sizeof cluster->engine ||
	    strlen(bind) >= sizeof cluster->bind || port < 0 || port > 65535)
		return problem(why, -EBADMSG,
			       "'%s' is damaged: its name, engine, bind or port cannot be", path);
	strcpy(cluster->name, name);
	strcpy(cluster->engine, engine);
	strcpy(cluster->bind, bind);
	cluster->port = port;
	cluster->server_uid = uid;
	cluster->server_gid = gid;
	cluster->created_us = created_us;
	cluster->desired_running = strcmp(desired, "running") == 0;
	cluster->first = (struct moment){lsn, time_us};
	return options_from_json(options, &cluster->server_options, path, why);
}

/* Write and sync NAME.new, rename it to NAME, sync the directory. */
static int replace_file(const char *directory, const char *path, const char *text)
{
	char temporary[PATH_MAX + 8];
	size_t size = strlen(text);

	snprintf(temporary, sizeof temporary, "%s.new", path);
	CLEANUP(fd) int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd)
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (dir < 0 || fd < 0)
		return -errno;
	if (write(fd, text, size) != (ssize_t)size || fsync(fd) < 0 ||
	    rename(temporary, path) < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

int cluster_save(const struct cluster *cluster, struct problem *why)
{
	CLEANUP(json) json_t *json = to_json(cluster);
	CLEANUP(free) char *text = NULL;
	char path[PATH_MAX];
	int r;

	text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	if (!text || !cluster_path(cluster, "cluster.json", path))
		return problem(
			why, -EINVAL,
			"the settings of cluster '%s' are not UTF-8, or its path is too long",
			cluster->name);
	r = replace_file(cluster->directory, path, text);
	return r < 0 ? problem_errno(why, r, "cannot write '%s'", path) : 0;
}

static int read_json(const char *path, json_t **ret, struct problem *why)
{
	CLEANUP(free) char *text = xmalloc(JSON_BYTES_MAX);
	json_error_t error;
	ssize_t n;

	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return problem(why, -ENOENT, "there is no cluster here: no file '%s'", path);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open '%s'", path);
	n = read(fd, text, JSON_BYTES_MAX);
	if (n < 0)
		return problem_errno(why, -errno, "cannot read '%s'", path);
	*ret = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (!*ret)
		return problem(why, -EBADMSG, "'%s' is damaged: line %d: %s", path, error.line,
			       error.text);
	return 0;
}

int cluster_load(const char *directory, struct cluster **ret, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = xcalloc(1, sizeof *cluster);
	CLEANUP(json) json_t *json = NULL;
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (!realpath(directory, cluster->directory) || stat(cluster->directory, &st) < 0)
		return problem_errno(why, -errno, "cannot look into '%s'", directory);
	cluster->owner = st.st_uid;
	if (!cluster_path(cluster, "cluster.json", path))
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", directory);
	r = read_json(path, &json, why);
	if (r == 0)
		r = from_json(json, path, cluster, why);
	if (r < 0)
		return r;
	*ret = take(cluster);
	return 0;
}

/* --- The list --------------------------------------------------------------------------------- */

/* As mkdir -p. */
static int make_directories(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	snprintf(part, sizeof part, "%s", path);
	for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(part, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int home_path(char path[PATH_MAX])
{
	const char *named = getenv("UNSPILL_HOME"), *data = getenv("XDG_DATA_HOME"),
		   *home = getenv("HOME");
	char here[PATH_MAX] = "";
	int n;

	if (named && *named && *named != '/' && !getcwd(here, sizeof here))
		return -errno;
	if (named && *named)
		n = snprintf(path, PATH_MAX, "%s%s%s", here, *here ? "/" : "", named);
	else if (geteuid() == 0)
		n = snprintf(path, PATH_MAX, "/var/lib/unspill");
	else if (data && *data == '/')
		n = snprintf(path, PATH_MAX, "%s/unspill", data);
	else if (home && *home == '/')
		n = snprintf(path, PATH_MAX, "%s/.local/share/unspill", home);
	else
		return -ENOENT;
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int cluster_home(bool make, char path[PATH_MAX], struct problem *why)
{
	int r = home_path(path);

	if (r < 0)
		return problem_errno(why, r,
				     "cannot tell where the clusters are: set $UNSPILL_HOME");
	if (make)
		r = make_directories(path, 0755);
	return r < 0 ? problem_errno(why, r, "cannot make '%s'", path) : 0;
}

int cluster_check_name(const char *name, struct problem *why)
{
	size_t size = strlen(name);
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char all[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	if (size == 0 || size > CLUSTER_NAME_MAX || !strchr(letters, name[0]) ||
	    strspn(name, all) != size)
		return problem(why, -EINVAL,
			       "'%.80s' cannot be a cluster's name: letters, digits, '-' and '_', "
			       "a letter first, at most %d",
			       name, CLUSTER_NAME_MAX);
	return 0;
}

static int entry_path(const char *name, bool make, char path[PATH_MAX], struct problem *why)
{
	char home[PATH_MAX];
	int r = cluster_home(make, home, why);

	if (r < 0)
		return r;
	if (snprintf(path, PATH_MAX, "%s/%s", home, name) >= PATH_MAX)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", home);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted; the caller frees each and the array. */
static int read_names(char ***ret, size_t *ret_count, struct problem *why)
{
	CLEANUP(dir) DIR *dir = NULL;
	size_t count = 0, room = 0;
	struct dirent *entry;
	char home[PATH_MAX], **names = NULL;
	int r = cluster_home(false, home, why);

	if (r < 0)
		return r;
	dir = opendir(home);
	if (!dir && errno != ENOENT)
		return problem_errno(why, -errno, "cannot read '%s'", home);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (cluster_check_name(entry->d_name, NULL) < 0)
			continue;
		xgrow(names, count, room);
		names[count++] = xstrdup(entry->d_name);
	}
	if (count)
		qsort(names, count, sizeof *names, by_name);
	*ret = names;
	*ret_count = count;
	return 0;
}

int cluster_for_each(int (*fn)(const char *name, const struct cluster *cluster,
			       const struct problem *why, void *arg),
		     void *arg, struct problem *why)
{
	size_t count = 0;
	char **names = NULL;
	int r = read_names(&names, &count, why);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		CLEANUP(cluster) struct cluster *cluster = NULL;
		struct problem broken = {""};
		char path[PATH_MAX];

		if (r == 0 && entry_path(names[i], false, path, NULL) == 0) {
			cluster_load(path, &cluster, &broken);
			r = fn(names[i], cluster, cluster ? NULL : &broken, arg);
		}
		free(names[i]);
	}
	free(names);
	return r;
}

static int add_name(const char *name, const struct cluster *cluster, const struct problem *why,
		    void *arg)
{
	struct problem *list = arg;
	size_t used = strlen(list->text);

	snprintf(list->text + used, sizeof list->text - used, "%s%s", used ? ", " : "", name);
	return 0;
}

int cluster_find(const char *name, struct cluster **ret, struct problem *why)
{
	struct problem list = {""};
	char path[PATH_MAX];
	struct stat st;
	int r;

	r = cluster_check_name(name, why);
	if (r == 0)
		r = entry_path(name, false, path, why);
	if (r < 0)
		return r;
	if (lstat(path, &st) == 0)
		return cluster_load(path, ret, why);
	if (errno != ENOENT)
		return problem_errno(why, -errno, "cannot look at '%s'", path);
	cluster_for_each(add_name, &list, NULL);
	return problem(why, -ENOENT, "there is no cluster '%s'; there is %.800s", name,
		       list.text[0] ? list.text : "none: make one with 'unspill create'");
}

/* --- Ports ------------------------------------------------------------------------------------ */

static int parse_address(const char *bind_address, int port, struct sockaddr_storage *ret,
			 socklen_t *ret_size)
{
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof *ret);
	if (inet_pton(AF_INET, bind_address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		*ret_size = sizeof *four;
		return 0;
	}
	if (inet_pton(AF_INET6, bind_address, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		*ret_size = sizeof *six;
		return 0;
	}
	return -EINVAL;
}

/* Try it: nothing else tells whether the port can be had. */
static int try_port(const char *bind_address, int port)
{
	struct sockaddr_storage address;
	socklen_t size;
	int one = 1;
	int r = parse_address(bind_address, port, &address, &size);

	if (r < 0)
		return r;
	CLEANUP(fd) int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	return bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1) < 0 ? -errno : 0;
}

struct port_search {
	int port;
	char owner[CLUSTER_NAME_MAX + 1];
};

static int has_port(const char *name, const struct cluster *cluster, const struct problem *why,
		    void *arg)
{
	struct port_search *search = arg;

	if (!cluster || cluster->port != search->port)
		return 0;
	snprintf(search->owner, sizeof search->owner, "%s", name);
	return 1;
}

/* A stopped cluster keeps its port. */
static int check_port(const char *bind_address, int port, struct problem *why)
{
	struct port_search search = {.port = port};
	int r;

	if (cluster_for_each(has_port, &search, NULL) == 1)
		return problem(why, -EADDRINUSE,
			       "port %d belongs to cluster '%s': choose another with --port", port,
			       search.owner);
	r = try_port(bind_address, port);
	if (r == -EADDRINUSE)
		return problem(
			why, r,
			"port %d on %s is taken by another program: choose another with --port",
			port, bind_address);
	return r < 0 ? problem_errno(why, r, "cannot listen on %s port %d", bind_address, port) : 0;
}

static int choose_port(const struct cluster_options *options, const struct engine *engine,
		       struct cluster *cluster, struct problem *why)
{
	struct sockaddr_storage address;
	socklen_t size;
	int r = -EADDRINUSE;

	if (strlen(cluster->bind) == 0 || parse_address(cluster->bind, 0, &address, &size) < 0)
		return problem(why, -EINVAL,
			       "'%.80s' is not an address to bind to (such as 127.0.0.1)",
			       options->bind);
	if (options->port < 0 || options->port > 65535)
		return problem(why, -EINVAL, "%d is not a port: 1 to 65535", options->port);
	cluster->port = options->port;
	if (options->port)
		return check_port(cluster->bind, options->port, why);
	for (int port = engine->default_port;
	     port < engine->default_port + PORTS_TRIED && r == -EADDRINUSE; port++) {
		cluster->port = port;
		r = check_port(cluster->bind, port, why);
	}
	return r;
}

/* --- Making ----------------------------------------------------------------------------------- */

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
	size_t below = MAX(strlen("/run/") + strlen(engine->socket), strlen("/run/control.sock"));

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

	r = entry_path(options->name, true, made->entry, why);
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
	if (r == 0)
		r = make_volume(cluster, window_us, why);
	if (r == 0)
		r = cluster_save(cluster, why);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* What is ours in the directory, and nothing else; cluster.json last, so that an interrupted
 * removal can be repeated. */
static int remove_contents(const char *directory, struct problem *why)
{
	static const char *const ours[] = {"mnt", "volume", "run", "cluster.json.new",
					   "cluster.json"};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		char path[PATH_MAX + 32];
		int r;

		snprintf(path, sizeof path, "%s/%s", directory, ours[i]);
		if (access(path, F_OK) < 0 && errno == ENOENT)
			continue;
		r = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
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

static int check_options(const struct cluster_options *options, struct cluster *cluster,
			 const struct engine **ret_engine, struct problem *why)
{
	const char *name = options->engine ? options->engine : "mariadb", *names;
	const struct engine *engine = engine_find(name, &names);
	char version[128];
	int r;

	r = cluster_check_name(options->name, why);
	if (r < 0)
		return r;
	if (!engine)
		return problem(why, -ENOENT, "there is no engine '%.64s'; there is %s", name,
			       names);
	if (options->window_us < 0)
		return problem(why, -EINVAL, "the backtrack window cannot be negative");
	r = engine->check(version, why);
	if (r == 0)
		r = engine_user(engine, &cluster->server_uid, &cluster->server_gid, why);
	if (r < 0)
		return r;
	snprintf(cluster->name, sizeof cluster->name, "%s", options->name);
	snprintf(cluster->engine, sizeof cluster->engine, "%s", name);
	snprintf(cluster->bind, sizeof cluster->bind, "%s",
		 options->bind ? options->bind : "127.0.0.1");
	cluster->created_us = clock_realtime_us();
	cluster->server_options = copy_options(options->server_options);
	*ret_engine = engine;
	return choose_port(options, engine, cluster, why);
}

int cluster_make(const struct cluster_options *options, struct cluster **ret, struct problem *why)
{
	CLEANUP(cluster) struct cluster *cluster = xcalloc(1, sizeof *cluster);
	const struct engine *engine = NULL;
	struct made made = {0};
	int r;

	r = check_options(options, cluster, &engine, why);
	if (r < 0)
		return r;
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

/* --- Removing --------------------------------------------------------------------------------- */

/* Whoever has the volume's lock is its keeper. */
static int check_no_keeper(const struct cluster *cluster, struct problem *why)
{
	CLEANUP(disk) struct disk *disk = NULL;
	char path[PATH_MAX];
	int owner = 0, r;

	cluster_path(cluster, "volume", path);
	r = disk_local_open(path, &disk);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = disk_lock(disk, &owner);
	if (r == -EBUSY)
		return problem(why, r,
			       "a keeper (process %d) looks after cluster '%s': stop it first",
			       owner, cluster->name);
	return r < 0 ? problem_errno(why, r, "cannot lock '%s'", path) : 0;
}

static int remove_entry(const char *name, const char *directory, struct problem *why)
{
	char entry[PATH_MAX], real[PATH_MAX];
	struct stat st;
	int r = entry_path(name, false, entry, why);

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
	char path[PATH_MAX];
	int r;

	r = check_no_keeper(cluster, why);
	if (r < 0)
		return r;
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
		r = entry_path(name, false, entry, why);
	if (r < 0)
		return r;
	if (cluster_load(entry, &cluster, NULL) == 0)
		return problem(why, -EBUSY, "cluster '%s' is there: delete it", name);
	if (unlink(entry) == 0 || rmdir(entry) == 0)
		return 0;
	return problem_errno(why, -errno, "cannot remove '%s'", entry);
}
