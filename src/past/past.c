#include "past/past.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "control/scratch.h"
#include "disk/disk.h"
#include "mount/mount.h"
#include "volume/volume.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Recovery of what a crash at that moment would have left. */
#define START_TIMEOUT_US INT64_C(600000000)
#define PING_INTERVAL_MS 5
/* What the keeper gets to remove the files. */
#define GONE_TIMEOUT_US INT64_C(5000000)

struct past {
	const struct cluster *cluster;
	const struct engine *engine;
	struct engine_place place;
	struct control *control; /* as long as it lives, the files do */
	char directory[PATH_MAX], data_dir[PATH_MAX + 16], run_dir[PATH_MAX + 8];
	struct moment moment;
	uint64_t shared; /* the tape before is the cluster's own */
	struct disk *disk;
	struct volume *volume;
	struct mount *mount;
	struct engine_server server;
};

static void json_cleanup(json_t **json)
{
	json_decref(*json);
}

/* --- Asking the keeper ------------------------------------------------------------------------ */

/* Takes over `request`. */
static int ask(struct past *past, json_t *request, json_t **ret, struct problem *why)
{
	struct control_error code = {""};
	int r = control_call(past->control, request, NULL, NULL, ret, &code, why);

	json_decref(request);
	return r == -EREMOTEIO ? answer_errno(code.code) : r;
}

static void read_moment(const json_t *json, struct moment *ret)
{
	*ret = (struct moment){(uint64_t)json_integer_value(json_object_get(json, "lsn")),
			       json_integer_value(json_object_get(json, "time_us"))};
}

static json_t *moment_or_now(const json_t *at)
{
	return at ? json_incref((json_t *)at) : json_pack("{s:b}", "now", 1);
}

/* --- The clone -------------------------------------------------------------------------------- */

static int get_clone(struct past *past, const json_t *at, struct problem *why)
{
	CLEANUP(json) json_t *moment = moment_or_now(at);
	char path[PATH_MAX];
	int r;

	cluster_socket(past->cluster, path);
	r = control_connect(path, &past->control, why);
	return r < 0 ? r : scratch_ask(past->control, moment, past->directory, &past->moment, why);
}

static int open_volume(struct past *past, struct problem *why)
{
	const struct volume_options options = {.fleeting = true};
	char path[PATH_MAX + 8];
	int r;

	snprintf(path, sizeof path, "%s/volume", past->directory);
	/* Of what the server writes the device sees little before it is gone: the live one has it.
	 */
	r = disk_local_open_fleeting(path, &past->disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	return volume_open(past->disk, &options, &past->volume, why);
}

/* Before anybody looks: nothing is cached of the head that it had. */
static int put_back(struct past *past, struct problem *why)
{
	struct volume_backtrack done;
	struct moment now;

	volume_now(past->volume, &now);
	past->shared = now.lsn;
	if (past->moment.lsn == now.lsn)
		return 0;
	return volume_backtrack(past->volume, &past->moment, NULL, &done, why);
}

static int open_mount(struct past *past, struct problem *why)
{
	char source[CLUSTER_NAME_MAX + 32], path[PATH_MAX + 8];
	const struct mount_options options = {.source = source,
					      .allow_other = geteuid() == 0,
					      .transport = past->cluster->transport,
					      .direct = past->engine->direct,
					      .inward = past->engine->inward};

	snprintf(source, sizeof source, "unspill:%s:past", past->cluster->name);
	snprintf(path, sizeof path, "%s/mnt", past->directory);
	return mount_open(past->volume, path, &options, &past->mount, why);
}

/* --- The server ------------------------------------------------------------------------------- */

static int explain(struct past *past, struct problem *why)
{
	char words[768];

	past->engine->explain(&past->place, words, sizeof words);
	return problem(why, -ECHILD,
		       "the server does not start on what there was at that moment: %s", words);
}

/* Until it answers, or is dead. */
static int await_server(struct past *past, struct problem *why)
{
	int64_t until_us = clock_monotonic_us() + START_TIMEOUT_US;
	struct problem words = {""};
	int status, r;

	for (;;) {
		struct pollfd p = {.fd = past->server.pidfd, .events = POLLIN};

		r = past->engine->ping(&past->place, &words);
		if (r == 0)
			return 0;
		if (r == -EACCES)
			return problem(
				why, r,
				"the throw-away server does not let us in (root's password of "
				"then is another than now): %s",
				words.text);
		if (poll(&p, 1, PING_INTERVAL_MS) > 0) {
			engine_wait(&past->server, -1, &status);
			return explain(past, why);
		}
		if (clock_monotonic_us() > until_us)
			return problem(why, -ETIMEDOUT, "the server does not answer: %s",
				       words.text);
	}
}

static int start_server(struct past *past, struct problem *why)
{
	char run_dir[PATH_MAX];
	int r = 0;

	cluster_path(past->cluster, "run", run_dir);
	if (past->engine->inherit)
		r = past->engine->inherit(&past->place, run_dir, why);
	if (r == 0)
		r = past->engine->start(&past->place, &past->server, why);
	return r;
}

static void fill_place(struct past *past)
{
	snprintf(past->data_dir, sizeof past->data_dir, "%s/mnt/data", past->directory);
	snprintf(past->run_dir, sizeof past->run_dir, "%s/run", past->directory);
	past->place = (struct engine_place){.data_dir = past->data_dir,
					    .run_dir = past->run_dir,
					    .bind = past->cluster->bind,
					    .uid = past->cluster->server_uid,
					    .gid = past->cluster->server_gid,
					    .options = past->cluster->server_options,
					    .fleeting = true};
}

/* --- All of it -------------------------------------------------------------------------------- */

int past_begin(const struct cluster *cluster, const json_t *at, struct past **ret,
	       struct problem *why)
{
	CLEANUP(past) struct past *past = xcalloc(1, sizeof *past);
	const char *names;
	int r;

	past->cluster = cluster;
	past->engine = engine_find(cluster->engine, &names);
	if (!past->engine)
		return problem(why, -EINVAL, "there is no engine '%s'; there is %s",
			       cluster->engine, names);
	r = get_clone(past, at, why);
	if (r < 0)
		return r;
	fill_place(past);
	r = open_volume(past, why);
	if (r == 0)
		r = put_back(past, why);
	if (r == 0)
		r = open_mount(past, why);
	if (r == 0)
		r = start_server(past, why);
	if (r < 0)
		return r;
	*ret = take(past);
	return 0;
}

int past_await(struct past *past, struct problem *why)
{
	return await_server(past, why);
}

int past_open(const struct cluster *cluster, const json_t *at, struct past **ret,
	      struct problem *why)
{
	CLEANUP(past) struct past *past = NULL;
	int r;

	r = past_begin(cluster, at, &past, why);
	if (r == 0)
		r = past_await(past, why);
	if (r < 0)
		return r;
	*ret = take(past);
	return 0;
}

int past_go(struct past *past, const json_t *at, struct problem *why)
{
	CLEANUP(json) json_t *plan = NULL;
	struct volume_backtrack_options options = {0};
	struct volume_backtrack done;
	struct moment to;
	int r;

	r = ask(past, json_pack("{s:s, s:o}", "do", "plan", "to", moment_or_now(at)), &plan, why);
	if (r < 0)
		return r;
	read_moment(json_object_get(plan, "to"), &to);
	engine_kill(&past->server);
	r = mount_backtrack(past->mount, &to, &options, &done, why);
	if (r < 0)
		return r;
	past->moment = to;
	r = start_server(past, why);
	return r < 0 ? r : past_await(past, why);
}

/* The keeper removes them when the connection has ended. */
static void await_removal(const char *directory)
{
	int64_t until_us = clock_monotonic_us() + GONE_TIMEOUT_US;

	while (directory[0] && access(directory, F_OK) == 0 && clock_monotonic_us() < until_us)
		poll(NULL, 0, 2); /* it tells nobody */
}

void past_close(struct past *past)
{
	if (!past)
		return;
	engine_kill(&past->server);
	mount_close(past->mount);
	volume_close(past->volume);
	disk_close(past->disk);
	if (past->control) {
		control_close(past->control);
		await_removal(past->directory);
	}
	free(past);
}

void past_moment(const struct past *past, struct moment *ret)
{
	*ret = past->moment;
}

const struct engine *past_engine(const struct past *past)
{
	return past->engine;
}

const struct engine_place *past_place(const struct past *past)
{
	return &past->place;
}

/* --- Files ------------------------------------------------------------------------------------ */

static int find_below(struct view *view, uint64_t directory, const char *path,
		      struct volume_attr *ret)
{
	char name[VOLUME_NAME_MAX + 1];
	int r = 0;

	ret->ino = directory;
	while (*path && r == 0) {
		size_t n = strcspn(path, "/");

		if (n > VOLUME_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = 0;
		r = view_lookup(view, ret->ino, name, ret);
		path += n + (path[n] == '/');
	}
	return r;
}

int past_find(struct past *past, const char *path, struct past_file *ret)
{
	struct view *head = volume_head(past->volume);
	struct volume_attr attr;
	int r;

	r = view_lookup(head, VOLUME_ROOT_INO, "data", &attr);
	if (r == 0)
		r = find_below(head, attr.ino, path, &attr);
	if (r == 0)
		*ret = (struct past_file){attr.ino, attr.size};
	return r;
}

int past_read(struct past *past, const struct past_file *file, uint64_t offset, void *buf,
	      size_t size)
{
	ssize_t n = view_read(volume_head(past->volume), file->ino, offset, buf, size);

	return n < 0 ? (int)n : (size_t)n == size ? 0 : -EUCLEAN;
}

int past_differ(struct past *a, struct past *b, uint64_t ino,
		int (*fn)(uint64_t offset, uint64_t size, void *arg), void *arg)
{
	return volume_differ(a->volume, b->volume, MIN(a->shared, b->shared), ino, fn, arg);
}
