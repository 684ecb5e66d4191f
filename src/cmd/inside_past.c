#include "cmd/inside_past.h"

#include "base/log.h"
#include "cmd/say.h"
#include "control/scratch.h"
#include "vfs/single.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define ASK_TIMEOUT_MS 600000
/* What the other process gets to remove the clone. */
#define GONE_TIMEOUT_MS 5000

static json_t *request_at(const char *what, const char *member, const json_t *at)
{
	return json_pack("{s:s, s:O}", "do", what, member, at);
}

static void take_moment(const json_t *answer, const char *member, struct moment *ret)
{
	const json_t *moment = json_at(answer, member);

	*ret = (struct moment){(uint64_t)json_number(moment, "lsn"),
			       json_number(moment, "time_us")};
}

/* --- A clone --------------------------------------------------------------------------------- */

static int get_clone(struct talk *talk, const json_t *at, struct inside_past *past,
		     struct problem *why)
{
	char path[PATH_MAX], directory[PATH_MAX];
	int r;

	cluster_socket(talk->cluster, path);
	r = control_connect(path, &past->control, why);
	if (r == 0)
		r = scratch_ask(past->control, at, directory, &past->moment, why);
	if (r < 0)
		return r;
	snprintf(past->directory, sizeof past->directory, "%.*s/volume", PATH_MAX - 16, directory);
	return 0;
}

/* Nothing of it is to be durable. */
static int open_clone(struct inside_past *past, struct problem *why)
{
	const struct volume_options options = {.fleeting = true};
	struct volume *volume;
	struct disk *disk;
	int r;

	r = disk_local_open(past->directory, &disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", past->directory);
	r = volume_open(disk, &options, &volume, why);
	if (r < 0) {
		disk_close(disk);
		return r;
	}
	past->owner = owner_adopt(past->directory, disk, volume);
	return 0;
}

/* --- The path -------------------------------------------------------------------------------- */

static int find_name(const struct talk *talk, struct view *view, char name[VOLUME_NAME_MAX + 1],
		     struct problem *why)
{
	int r = single_choose(view, "", name, why);

	if (r == -ENOENT && talk)
		snprintf(name, VOLUME_NAME_MAX + 1, "%s.db", talk->cluster->name);
	return r == -ENOENT && talk ? 0 : r;
}

static int set_path(struct volume *volume, struct inside_past *past, struct problem *why)
{
	CLEANUP(view) struct view *view = NULL;
	char name[VOLUME_NAME_MAX + 1];
	int r;

	r = volume_view(volume, &past->moment, &view, why);
	if (r == 0)
		r = find_name(NULL, view, name, why);
	if (r < 0)
		return r;
	snprintf(past->path, sizeof past->path, "%s/%s@lsn:%llu", past->directory, name,
		 (unsigned long long)past->moment.lsn);
	return 0;
}

static int find_moment(struct talk *talk, const json_t *at, struct inside_past *past,
		       struct problem *why)
{
	json_t *plan = NULL;
	int r = talk_ask_quietly(talk, request_at("plan", "to", at), ASK_TIMEOUT_MS, &plan, why);

	if (r < 0)
		return r;
	take_moment(plan, "to", &past->moment);
	json_decref(plan);
	return 0;
}

int inside_past_open(struct talk *talk, const json_t *at, struct inside_past *ret,
		     struct problem *why)
{
	int r;

	*ret = (struct inside_past){0};
	if (vfs_register() != 0)
		return problem(why, -ENOMEM, "SQLite does not take our VFS");
	log_set_level(LOG_ERROR);
	if (talk->owner) {
		snprintf(ret->directory, sizeof ret->directory, "%s", talk->owner->directory);
		r = find_moment(talk, at, ret, why);
		return r < 0 ? r : set_path(talk->owner->volume, ret, why);
	}
	r = get_clone(talk, at, ret, why);
	if (r == 0)
		r = open_clone(ret, why);
	return r < 0 ? r : set_path(ret->owner->volume, ret, why);
}

int inside_past_go(struct talk *talk, const json_t *at, struct inside_past *past,
		   struct problem *why)
{
	int r = find_moment(talk, at, past, why);
	struct owner *owner = past->owner ? past->owner : talk->owner;

	return r < 0 ? r : set_path(owner->volume, past, why);
}

/* It is removed when the connection has ended, and nobody is told. */
static void await_removal(const char *directory)
{
	for (int ms = 0; ms < GONE_TIMEOUT_MS && access(directory, F_OK) == 0; ms += 2)
		poll(NULL, 0, 2);
}

void inside_past_close(struct inside_past *past)
{
	bool clone = past->owner;

	owner_put(past->owner);
	control_close(past->control);
	if (clone)
		await_removal(past->directory);
	*past = (struct inside_past){0};
}

int inside_live_path(struct talk *talk, char path[PATH_MAX + VOLUME_NAME_MAX + 2],
		     struct problem *why)
{
	char name[VOLUME_NAME_MAX + 1];
	int r = find_name(talk, volume_head(talk->owner->volume), name, why);

	if (r == 0 && vfs_register() != 0)
		r = problem(why, -ENOMEM, "SQLite does not take our VFS");
	snprintf(path, PATH_MAX + VOLUME_NAME_MAX + 2, "%s/%s", talk->owner->directory, name);
	return r;
}
