/* Verify: every checksum and every invariant of what is on the disk. */
#include "volume/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

struct check {
	const struct volume_verify_options *options;
	struct disk *disk;
	struct volume *open; /* or NULL */
	uint8_t uuid[16];
	uint64_t segment_bytes;
	uint64_t damage;
	uint64_t done, before; /* bytes; `before`: of the steps that are finished */
	uint64_t total;
	bool cancelled;
};

static void report(const char *line, void *arg)
{
	struct check *check = arg;

	check->damage++;
	check->options->report(line, check->options->arg);
}

static void report_error(struct check *check, int r, const char *what)
{
	struct problem why;

	problem(&why, r, "%s: %s", what,
		r == -EBADMSG ? "damaged: its checksum does not match" : strerror(-r));
	report(why.text, check);
}

static bool go_on(struct check *check, uint64_t done)
{
	check->done = check->before + done;
	if (!check->cancelled && check->options->progress &&
	    !check->options->progress(check->done, MAX(check->total, check->done),
				      check->options->arg))
		check->cancelled = true;
	return !check->cancelled;
}

static void lock_folds(struct check *check)
{
	if (check->open)
		pthread_mutex_lock(&check->open->fold_lock);
}

static void unlock_folds(struct check *check)
{
	if (check->open)
		pthread_mutex_unlock(&check->open->fold_lock);
}

/* --- Images ----------------------------------------------------------------------------------- */

struct names {
	char (*all)[DISK_NAME_MAX];
	size_t count, room;
};

static int add_name(const char *name, void *arg)
{
	struct names *names = arg;

	xgrow(names->all, names->count, names->room);
	snprintf(names->all[names->count++], DISK_NAME_MAX, "%s", name);
	return 0;
}

static void check_image(struct check *check, const char *name, bool may_vanish)
{
	CLEANUP(image) struct image image = {0};
	int r;

	r = image_load(check->disk, name, check->uuid, 0, &image);
	if (r == -ENOENT && may_vanish)
		return;
	if (r < 0)
		report_error(check, r, name);
}

static void check_checkpoints(struct check *check)
{
	struct names names = {0};
	char name[DISK_NAME_MAX + 8];

	if (disk_list(check->disk, "ckpt", add_name, &names) < 0)
		report("ckpt: cannot be listed", check);
	for (size_t i = 0; i < names.count && !check->cancelled; i++) {
		if (strlen(names.all[i]) != 16)
			continue;
		snprintf(name, sizeof name, "ckpt/%s", names.all[i]);
		lock_folds(check);
		check_image(check, name, true);
		unlock_folds(check);
		go_on(check, 0);
	}
	free(names.all);
}

/* --- The base --------------------------------------------------------------------------------- */

static int add_ino(uint64_t ino, void *arg)
{
	struct buffer *inos = arg;

	buffer_put(inos, &ino, sizeof ino);
	return 0;
}

/* Page by page, so that a backtrack does not have to wait for the end of it. */
static void check_base_files(struct check *check, struct base *base)
{
	CLEANUP(buffer) struct buffer inos = {0};
	uint64_t done = 0;

	lock_folds(check);
	base_for_each(base, add_ino, &inos);
	check->total = check->before + base_bytes(base);
	unlock_folds(check);
	for (size_t i = 0; i < inos.size / sizeof(uint64_t); i++) {
		uint64_t ino = ((uint64_t *)inos.data)[i], page = 0;
		bool more = true;

		while (more && go_on(check, done)) {
			lock_folds(check);
			more = base_next_page(base, ino, page, &page);
			if (more)
				done += base_verify_page(base, ino, page++, report, check);
			unlock_folds(check);
		}
	}
}

/* The base as the disk describes it: of a volume that is not open. */
static struct base *load_base(struct check *check)
{
	CLEANUP(base) struct base *base = base_new(check->disk);
	CLEANUP(image) struct image image = {0};
	struct cursor extra;

	if (image_load(check->disk, "base/state", check->uuid, 0, &image) < 0)
		return NULL; /* reported with the images */
	cursor_init(&extra, image.extra.data, image.extra.size);
	if (base_decode(base, &extra) >= 0 && cursor_done(&extra))
		return take(base);
	report("base/state: the list of checksum pages makes no sense", check);
	return NULL;
}

/* A fold that was interrupted leaves blocks that its intent explains: they are checked once it has
 * been finished. */
static bool fold_unfinished(struct check *check)
{
	CLEANUP(image) struct image intent = {0};

	return image_load(check->disk, "base/intent", check->uuid, 0, &intent) != -ENOENT;
}

static void check_base(struct check *check)
{
	struct base *base;

	lock_folds(check);
	check_image(check, "base/state", false);
	unlock_folds(check);
	if (check->open) {
		check_base_files(check, check->open->base);
		return;
	}
	if (fold_unfinished(check)) {
		check_image(check, "base/intent", true);
		return;
	}
	base = load_base(check);
	if (base)
		check_base_files(check, base);
	base_free(base);
}

/* --- All of it -------------------------------------------------------------------------------- */

static bool tape_progress(uint64_t done, uint64_t total, void *arg)
{
	struct check *check = arg;

	check->total = MAX(check->total, check->before + total);
	return go_on(check, done);
}

static void tape_report(const char *line, void *arg)
{
	report(line, arg);
}

/* Everything fits together: open it, for reading only, and build the newest state. */
static void check_whole(struct check *check)
{
	struct volume_options options = {.read_only = true};
	CLEANUP(volume) struct volume *volume = NULL;
	struct problem tree, why = {""};
	int r;

	if (fold_unfinished(check))
		return;
	r = volume_open(check->disk, &options, &volume, &why);
	if (r < 0) {
		report(why.text[0] ? why.text : strerror(-r), check);
		return;
	}
	if (state_check(volume->head.state, &tree) < 0)
		report(tree.text, check);
}

int volume_verify(struct disk *disk, struct volume *volume,
		  const struct volume_verify_options *options)
{
	struct check check = {.options = options, .disk = disk, .open = volume};
	struct superblock super;
	struct problem why;
	int r;

	r = volume_read_superblock(disk, &super, &why);
	if (r < 0) {
		report(why.text, &check);
		return 0;
	}
	memcpy(check.uuid, super.uuid, sizeof check.uuid);
	check.segment_bytes = from_le64(super.segment_bytes);
	r = tape_verify(disk, check.uuid, check.segment_bytes,
			volume ? tape_durable(volume->tape) : 0, tape_report, tape_progress,
			&check);
	if (r < 0)
		return r;
	check.before = check.done;
	check_checkpoints(&check);
	check_base(&check);
	if (!volume && !check.cancelled && !check.damage)
		check_whole(&check);
	return check.cancelled ? -ECANCELED : 0;
}
