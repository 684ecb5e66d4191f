/*
 * The list of views, and the file that outlives it.
 *
 * A directory is in the file before anything is mounted on it, and until nothing is any more.
 */
#include "keeper/views.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "keeper/apart.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Whoever looks at the past is one person, or a copy that runs. */
#define VIEW_THREADS 4

struct shown {
	char *directory;
	struct moment moment;
	int64_t since_us;
	struct view *view;
	struct mount *mount; /* NULL: not mounted yet */
};

struct views {
	struct views_options options;
	pthread_mutex_t turn; /* whoever opens or ends one; taken before `lock` */
	pthread_mutex_t lock; /* guards what follows; changed with both held */
	struct shown *all;
	unsigned count;
};

struct views *views_new(const struct views_options *options)
{
	struct views *views = xcalloc(1, sizeof *views);

	views->options = *options;
	views->all = xcalloc(VIEWS_MAX, sizeof *views->all);
	pthread_mutex_init(&views->turn, NULL);
	pthread_mutex_init(&views->lock, NULL);
	return views;
}

/* --- The file --------------------------------------------------------------------------------- */

static json_t *load_list(const char *path)
{
	json_t *list = json_load_file(path, 0, NULL);

	if (json_is_array(list))
		return list;
	json_decref(list);
	return json_array();
}

/* With `turn` held. */
static int save_list(struct views *views)
{
	const char *path = views->options.list_path;
	json_t *list = json_array();
	int r = 0;

	for (unsigned i = 0; i < views->count; i++)
		json_array_append_new(list, json_string(views->all[i].directory));
	if (views->count == 0)
		r = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	else if (json_dump_file(list, path, JSON_COMPACT) < 0)
		r = -EIO;
	json_decref(list);
	return r;
}

bool views_remembers(const char *list_path, const char *directory)
{
	json_t *list = load_list(list_path), *one;
	bool found = false;
	size_t i;

	json_array_foreach (list, i, one)
		found |= json_is_string(one) && strcmp(json_string_value(one), directory) == 0;
	json_decref(list);
	return found;
}

void views_sweep(const char *list_path)
{
	json_t *list = load_list(list_path), *one;
	struct problem why;
	size_t i;

	json_array_foreach (list, i, one) {
		/* What is alive there now is not ours. */
		if (json_is_string(one) && mount_clear_stale(json_string_value(one), &why) < 0)
			log_warning("%s", why.text);
	}
	json_decref(list);
	unlink(list_path);
}

/* --- The place -------------------------------------------------------------------------------- */

struct place {
	dev_t device;
	bool empty;
};

/* In a child: whose filesystem it is will only be known then, and it may be our own. */
static int look_at(struct apart *apart, const void *input, void *result, struct problem *why)
{
	const char *directory = input;
	struct place *place = result;
	char real[PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (!realpath(directory, real))
		return problem_errno(why, -errno, "cannot show a moment on '%s'", directory);
	if (strcmp(real, directory) != 0)
		return problem(why, -EINVAL, "'%s' is really '%s'", directory, real);
	if (stat(directory, &st) < 0)
		return problem_errno(why, -errno, "cannot show a moment on '%s'", directory);
	if (!S_ISDIR(st.st_mode))
		return problem(why, -ENOTDIR, "'%s' is not a directory", directory);
	dir = opendir(directory);
	if (!dir)
		return problem_errno(why, -errno, "cannot look into '%s'", directory);
	*place = (struct place){.device = st.st_dev, .empty = true};
	while ((entry = readdir(dir)))
		place->empty &= !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	closedir(dir);
	return 0;
}

/* With `turn` held.  Whether `device` is that of the head or of a view. */
static bool is_own(const struct views *views, dev_t device)
{
	if (views->options.head && device == mount_device(views->options.head))
		return true;
	for (unsigned i = 0; i < views->count; i++)
		if (views->all[i].mount && mount_device(views->all[i].mount) == device)
			return true;
	return false;
}

static struct shown *find(const struct views *views, const char *directory)
{
	for (unsigned i = 0; i < views->count; i++)
		if (strcmp(views->all[i].directory, directory) == 0)
			return &views->all[i];
	return NULL;
}

static int check_place(const struct views *views, const char *directory, struct problem *why)
{
	const struct shown *there = find(views, directory);
	char text[CLOCK_TEXT_MAX];
	struct place place = {0};
	struct apart_work work = {
		.run = look_at, .input = directory, .result = &place, .result_size = sizeof place};
	int r;

	if (there) {
		clock_format(there->moment.time_us, text);
		return problem(why, -EEXIST, "'%s' shows %s already (lsn:%llu)", directory, text,
			       (unsigned long long)there->moment.lsn);
	}
	r = apart_run(&work, why);
	if (r < 0)
		return r;
	if (is_own(views, place.device))
		return problem(why, -EINVAL,
			       "'%s' lies in the cluster's own files: name a directory elsewhere",
			       directory);
	if (!place.empty)
		return problem(why, -ENOTEMPTY,
			       "the directory '%s' is not empty; name an empty one", directory);
	return 0;
}

/* --- Opening and ending ----------------------------------------------------------------------- */

static void shown_done(struct shown *shown)
{
	mount_close(shown->mount);
	view_close(shown->view);
	free(shown->directory);
}

static void add(struct views *views, const struct shown *shown)
{
	pthread_mutex_lock(&views->lock);
	views->all[views->count++] = *shown;
	pthread_mutex_unlock(&views->lock);
}

static void drop(struct views *views, struct shown *shown)
{
	struct shown gone = *shown;

	pthread_mutex_lock(&views->lock);
	views->count--;
	memmove(shown, shown + 1, (views->all + views->count - shown) * sizeof *shown);
	pthread_mutex_unlock(&views->lock);
	shown_done(&gone);
	if (save_list(views) < 0)
		log_warning("cannot write '%s'", views->options.list_path);
}

static int mount_view(struct views *views, struct shown *shown, struct problem *why)
{
	char source[256];
	struct mount_options options = {.source = source,
					.threads = VIEW_THREADS,
					.transport = TRANSPORT_CLASSIC,
					.allow_other = geteuid() == 0,
					.view = shown->view};
	struct mount *mount;
	int r;

	snprintf(source, sizeof source, "unspill:%s@lsn:%llu", views->options.name,
		 (unsigned long long)shown->moment.lsn);
	r = save_list(views);
	if (r < 0)
		return problem_errno(why, r, "cannot write '%s'", views->options.list_path);
	r = mount_open(views->options.volume, shown->directory, &options, &mount, why);
	if (r < 0)
		return r;
	pthread_mutex_lock(&views->lock);
	shown->mount = mount;
	pthread_mutex_unlock(&views->lock);
	return 0;
}

static int open_one(struct views *views, const struct moment *at, const char *directory,
		    struct problem *why)
{
	struct shown shown = {.moment = *at, .since_us = clock_realtime_us()};
	int r;

	if (views->count == VIEWS_MAX)
		return problem(why, -EMFILE,
			       "%d views are open, which is as many as there may be: end one",
			       VIEWS_MAX);
	r = check_place(views, directory, why);
	if (r == 0)
		r = volume_view(views->options.volume, at, &shown.view, why);
	if (r < 0)
		return r;
	shown.directory = xstrdup(directory);
	add(views, &shown);
	r = mount_view(views, &views->all[views->count - 1], why);
	if (r < 0)
		drop(views, &views->all[views->count - 1]);
	return r;
}

int views_open(struct views *views, const struct moment *at, const char *directory,
	       struct view_shown *ret, struct problem *why)
{
	int r;

	pthread_mutex_lock(&views->turn);
	r = open_one(views, at, directory, why);
	if (r == 0)
		*ret = (struct view_shown){directory, *at, views->all[views->count - 1].since_us};
	pthread_mutex_unlock(&views->turn);
	return r;
}

int views_end(struct views *views, const char *directory, bool force, struct problem *why)
{
	struct shown *shown;
	int r = 0;

	pthread_mutex_lock(&views->turn);
	shown = find(views, directory);
	if (!shown)
		r = problem(why, -ENOENT, "'%s' is not a view of this cluster", directory);
	else if (!force && mount_leave(shown->mount) == -EBUSY)
		r = problem(why, -EBUSY, "somebody uses '%s'", directory);
	else
		drop(views, shown);
	pthread_mutex_unlock(&views->turn);
	return r;
}

void views_free(struct views *views)
{
	if (!views)
		return;
	while (views->count)
		drop(views, &views->all[views->count - 1]);
	pthread_mutex_destroy(&views->lock);
	pthread_mutex_destroy(&views->turn);
	free(views->all);
	free(views);
}

/* --- Looking ---------------------------------------------------------------------------------- */

void views_for_each(struct views *views, int (*fn)(const struct view_shown *view, void *arg),
		    void *arg)
{
	pthread_mutex_lock(&views->lock);
	for (unsigned i = 0; i < views->count; i++) {
		const struct shown *shown = &views->all[i];
		struct view_shown out = {shown->directory, shown->moment, shown->since_us};

		if (shown->mount && fn(&out, arg))
			break;
	}
	pthread_mutex_unlock(&views->lock);
}

unsigned views_count(struct views *views)
{
	unsigned count;

	pthread_mutex_lock(&views->lock);
	count = views->count;
	pthread_mutex_unlock(&views->lock);
	return count;
}
