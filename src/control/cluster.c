#include "control/cluster.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define JSON_BYTES_MAX (1024 * 1024)

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

bool cluster_is_inside(const struct cluster *cluster)
{
	return strcmp(cluster->engine, CLUSTER_INSIDE) == 0;
}

bool cluster_path(const struct cluster *cluster, const char *below, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s", cluster->directory, below) < PATH_MAX)
		return true;
	path[0] = 0;
	return false;
}

void cluster_socket(const struct cluster *cluster, char path[PATH_MAX])
{
	cluster_path(cluster, "run/control.sock", path);
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
	json_t *json = json_pack(
		"{s:i, s:s, s:s, s:s, s:i, s:{s:I, s:I}, s:I, s:s, s:{s:I, s:I}, s:b, s:s, s:o}",
		"format", CLUSTER_FORMAT, "name", cluster->name, "engine", cluster->engine, "bind",
		cluster->bind, "port", cluster->port, "server_user", "uid",
		(json_int_t)cluster->server_uid, "gid", (json_int_t)cluster->server_gid,
		"created_us", (json_int_t)cluster->created_us, "desired",
		cluster->desired_running ? "running" : "stopped", "first", "lsn",
		(json_int_t)cluster->first.lsn, "time_us", (json_int_t)cluster->first.time_us,
		"repack", cluster->repack, "transport", transport_name(cluster->transport),
		"server_options", options_to_json(cluster->server_options));

	if (json && cluster->parent[0])
		json_object_set_new(json, "clone",
				    json_pack("{s:s, s:b, s:I}", "of", cluster->parent, "thin",
					      cluster->thin, "detach_rate",
					      (json_int_t)cluster->detach_rate));
	return json;
}

/* What it was cloned from, if it was. */
static int parent_from_json(json_t *json, const char *path, struct cluster *cluster,
			    struct problem *why)
{
	const char *of = NULL;
	json_int_t rate = 0;
	int thin = false;

	if (!json_object_get(json, "clone"))
		return 0;
	if (json_unpack(json, "{s:{s:s, s:b, s?I}}", "clone", "of", &of, "thin", &thin,
			"detach_rate", &rate) < 0 ||
	    cluster_check_name(of, NULL) < 0 || rate < 0 || (rate && rate < VOLUME_DETACH_RATE_MIN))
		return problem(why, -EBADMSG, "'%s' is damaged: \"clone\" cannot be", path);
	strcpy(cluster->parent, of);
	cluster->thin = thin;
	cluster->detach_rate = rate;
	return 0;
}

static int from_json(json_t *json, const char *path, struct cluster *cluster, struct problem *why)
{
	const char *name, *engine, *bind, *desired, *transport = "auto";
	json_int_t uid, gid, created_us, lsn, time_us;
	json_error_t error;
	json_t *options = NULL;
	int format, port, repack = true;

	if (json_unpack_ex(json, &error, 0, "{s:i}", "format", &format) < 0)
		return problem(why, -EBADMSG, "'%s' is damaged: %s", path, error.text);
	if (format != CLUSTER_FORMAT)
		return problem(why, -EPROTONOSUPPORT, "'%s' has format %d; this program knows %d",
			       path, format, CLUSTER_FORMAT);
	if (json_unpack_ex(
		    json, &error, 0,
		    "{s:s, s:s, s:s, s:i, s:{s:I, s:I}, s:I, s:s, s:{s:I, s:I}, s?b, s?s, s?o}",
		    "name", &name, "engine", &engine, "bind", &bind, "port", &port, "server_user",
		    "uid", &uid, "gid", &gid, "created_us", &created_us, "desired", &desired,
		    "first", "lsn", &lsn, "time_us", &time_us, "repack", &repack, "transport",
		    &transport, "server_options", &options) < 0)
		return problem(why, -EBADMSG, "'%s' is damaged: %s", path, error.text);
	if (cluster_check_name(name, NULL) < 0 || strlen(engine) >= sizeof cluster->engine ||
	    strlen(bind) >= sizeof cluster->bind || port < 0 || port > 65535)
		return problem(why, -EBADMSG,
			       "'%s' is damaged: its name, engine, bind or port cannot be", path);
	if (!transport_parse(transport, &cluster->transport))
		return problem(
			why, -EBADMSG,
			"'%s' is damaged: its transport '%.20s' is none of auto, classic, io_uring",
			path, transport);
	strcpy(cluster->name, name);
	strcpy(cluster->engine, engine);
	strcpy(cluster->bind, bind);
	cluster->port = port;
	cluster->server_uid = uid;
	cluster->server_gid = gid;
	cluster->created_us = created_us;
	cluster->desired_running = strcmp(desired, "running") == 0;
	cluster->first = (struct moment){lsn, time_us};
	cluster->repack = repack;
	if (parent_from_json(json, path, cluster, why) < 0)
		return -EBADMSG;
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

int cluster_entry(const char *name, bool make, char path[PATH_MAX], struct problem *why)
{
	char home[PATH_MAX];
	int r = cluster_home(make, home, why);

	if (r < 0)
		return r;
	if (snprintf(path, PATH_MAX, "%s/%s", home, name) >= PATH_MAX)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", home);
	return 0;
}

int cluster_serve_path(const char *below, char path[PATH_MAX], struct problem *why)
{
	char home[PATH_MAX];
	int r = cluster_home(false, home, why);

	if (r < 0)
		return r;
	if (snprintf(path, PATH_MAX, "%s/.serve/%s", home, below) >= PATH_MAX)
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

		if (r == 0 && cluster_entry(names[i], false, path, NULL) == 0) {
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
		r = cluster_entry(name, false, path, why);
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
