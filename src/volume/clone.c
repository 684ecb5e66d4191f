/*
 * Clones: a volume that begins with the files of another.
 *
 *	parent/tape/0000.seg  ─┐ one file,   what is sealed, packed or replaced whole
 *	clone/tape/0000.seg   ─┘ two names   never changes: it is shared until one drops it
 *
 *	parent/base/0007.dat  ─┐             this does, in a fold: shared until whoever folds
 *	clone/base/0007.dat   ─┘             first, or the clone in the background, has a copy
 *
 * Making one: the tape, the base and the checkpoints get their names over there, all durable; the
 * superblock comes last.  So what a crash leaves in the middle is no volume, and takes nothing from
 * the parent but that files of it have more names, which it looks at before it changes or recycles
 * any.
 */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>

#define DETACH_RATE_DEFAULT (UINT64_C(32) << 20)

/* --- Making ----------------------------------------------------------------------------------- */

static int is_a_volume(const char *name, void *arg)
{
	return strcmp(name, "volume") == 0;
}

static int check_empty(struct disk *to, struct problem *why)
{
	int r = disk_list(to, "", is_a_volume, NULL);

	if (r < 0)
		return problem_errno(why, r, "cannot list the new disk");
	return r ? problem(why, -ENOTEMPTY, "there is a volume there already") : 0;
}

/* They are derived: one that is gone or damaged costs time. */
static int share_checkpoints(struct volume *v, struct disk *to)
{
	for (size_t i = 0; i < v->checkpoint_count; i++) {
		char name[DISK_NAME_MAX];
		int r;

		checkpoint_name(v->checkpoints[i].position, name);
		r = disk_link(v->disk, name, to, name);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int share_base(struct volume *v, struct disk *to)
{
	int r;

	r = disk_link(v->disk, "base/state", to, "base/state");
	if (r >= 0)
		r = base_share(v->base, to);
	return r >= 0 ? share_checkpoints(v, to) : r;
}

static int sync_names(struct disk *to)
{
	int r;

	r = disk_sync_names(to, "base");
	return r < 0 ? r : disk_sync_names(to, "ckpt");
}

/* The same tape, so the same uuid: it seeds the checksums. */
static int write_superblock(struct volume *v, struct disk *to, bool fleeting)
{
	struct superblock super;
	int r;

	pthread_mutex_lock(&v->super_lock);
	r = volume_read_superblock(v->disk, &super, NULL);
	pthread_mutex_unlock(&v->super_lock);
	if (r < 0)
		return r;
	super.attached = to_le32(1);
	if (fleeting) {
		super.window_us = to_le64(INT64_MAX / 2);
		super.history_max = to_le64(0);
	}
	r = volume_write_superblock(to, &super);
	return r < 0 ? r : disk_sync_names(to, "");
}

/* With fold_lock: no fold, no drop, no checkpoint, no view meanwhile; changes of the head go on. */
static int make_clone(struct volume *v, struct disk *to, bool fleeting, struct moment *ret,
		      struct problem *why)
{
	int r;

	r = v->fold_error ? fold_recover(v) : 0;
	if (r < 0)
		return problem_errno(why, r, "a fold has failed and cannot be finished");
	r = tape_share(v->tape, to, fleeting, &ret->lsn, why);
	if (r < 0)
		return r;
	ret->time_us = tape_last_time(v->tape);
	r = share_base(v, to);
	if (r >= 0 && !fleeting)
		r = sync_names(to);
	if (r >= 0)
		r = write_superblock(v, to, fleeting);
	if (r == -EXDEV)
		return problem(why, r, "it is on another filesystem, where files cannot be shared");
	return r < 0 ? problem_errno(why, r, "cannot make the clone") : 0;
}

int volume_clone(struct volume *volume, struct disk *to, const struct volume_clone_options *options,
		 struct moment *ret, struct problem *why)
{
	bool fleeting = options && options->fleeting;
	int r;

	if (volume->options.read_only)
		return problem(why, -EROFS, "the volume is open for reading only");
	r = check_empty(to, why);
	if (r < 0)
		return r;
	r = volume_add_feature(volume, VOLUME_INCOMPAT_SHARED);
	if (r < 0)
		return problem_errno(why, r, "cannot write the file 'volume'");
	pthread_mutex_lock(&volume->fold_lock);
	r = make_clone(volume, to, fleeting, ret, why);
	pthread_mutex_unlock(&volume->fold_lock);
	return r;
}

int volume_is_attached(struct disk *disk)
{
	struct superblock super;
	int r = volume_read_superblock(disk, &super, NULL);

	return r < 0 ? r : from_le32(super.attached) != 0;
}

/* --- Holding ---------------------------------------------------------------------------------- */

void volume_hold(struct volume *volume)
{
	pthread_mutex_lock(&volume->fold_lock);
	if (volume->holds == volume->attached)
		volume_horizon(volume, &volume->held);
	volume->holds++;
	horizon_pin(volume);
	pthread_mutex_unlock(&volume->fold_lock);
}

void volume_release(struct volume *volume)
{
	pthread_mutex_lock(&volume->fold_lock);
	assert(volume->holds > 0);
	volume->holds--;
	horizon_pin(volume);
	pthread_mutex_unlock(&volume->fold_lock);
}

/* --- Sharing ---------------------------------------------------------------------------------- */

static void measure(struct volume *v)
{
	uint64_t bytes = base_shared_bytes(v->base);

	pthread_mutex_lock(&v->notes_lock);
	v->shared_bytes = bytes;
	pthread_mutex_unlock(&v->notes_lock);
}

void volume_measure_shared(struct volume *volume)
{
	if (pthread_mutex_trylock(&volume->fold_lock) != 0)
		return;
	measure(volume);
	pthread_mutex_unlock(&volume->fold_lock);
}

/* --- Detaching -------------------------------------------------------------------------------- */

int clone_own_file(struct volume *v, uint64_t ino, bool (*go_on)(uint64_t bytes, void *arg),
		   void *arg)
{
	int r = base_is_own(v->base, ino);

	if (r != 0)
		return MIN(r, 0);
	r = base_copy(v->base, ino, go_on, arg);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&v->base_lock);
	r = base_adopt(v->base, ino);
	pthread_rwlock_unlock(&v->base_lock);
	return r < 0 ? r : 1;
}

struct detach {
	struct volume *v;
	uint64_t *inos;
	size_t count, room;
	uint64_t done, total;
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
};

static int add_inode(uint64_t ino, void *arg)
{
	struct detach *detach = arg;

	xgrow(detach->inos, detach->count, detach->room);
	detach->inos[detach->count++] = ino;
	return 0;
}

static bool go_on(uint64_t bytes, void *arg)
{
	struct detach *detach = arg;

	detach->done += bytes;
	return !detach->progress ||
	       detach->progress(detach->done, MAX(detach->done, detach->total), detach->arg);
}

/*
 * Nothing changes the base of an attached clone, so the copy is made without fold_lock: it may take
 * long.
 */
static int detach_file(struct detach *detach, uint64_t ino)
{
	struct volume *v = detach->v;
	int r;

	pthread_mutex_lock(&v->fold_lock);
	r = base_is_own(v->base, ino);
	pthread_mutex_unlock(&v->fold_lock);
	if (r != 0)
		return MIN(r, 0);
	r = base_copy(v->base, ino, go_on, detach);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->fold_lock);
	pthread_rwlock_wrlock(&v->base_lock);
	r = base_adopt(v->base, ino);
	pthread_rwlock_unlock(&v->base_lock);
	if (r >= 0)
		r = disk_sync_names(v->disk, "base");
	measure(v);
	pthread_mutex_unlock(&v->fold_lock);
	return r;
}

/* From now on it folds as any other volume. */
static int become_own(struct volume *v)
{
	struct superblock super;
	int r;

	pthread_mutex_lock(&v->super_lock);
	r = volume_read_superblock(v->disk, &super, NULL);
	super.attached = to_le32(0);
	if (r >= 0)
		r = volume_write_superblock(v->disk, &super);
	pthread_mutex_unlock(&v->super_lock);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->fold_lock);
	v->holds--;
	pthread_mutex_lock(&v->notes_lock);
	v->attached = false;
	pthread_mutex_unlock(&v->notes_lock);
	horizon_pin(v);
	pthread_mutex_unlock(&v->fold_lock);
	log_info("volume: the clone has detached: nothing of its base is shared any more");
	return 0;
}

static int detach(struct detach *detach)
{
	struct volume *v = detach->v;
	int r = 0;

	pthread_mutex_lock(&v->fold_lock);
	base_for_each(v->base, add_inode, detach);
	measure(v);
	detach->total = v->shared_bytes;
	pthread_mutex_unlock(&v->fold_lock);
	for (size_t i = 0; i < detach->count && r >= 0; i++)
		r = detach_file(detach, detach->inos[i]);
	return r < 0 ? r : become_own(v);
}

/* One at a time.  Returns what to tell who is too late. */
static int begin(struct volume *v)
{
	int r;

	pthread_mutex_lock(&v->notes_lock);
	r = !v->attached ? 0 : v->detaching ? -EBUSY : 1;
	v->detaching = v->detaching || r == 1;
	pthread_mutex_unlock(&v->notes_lock);
	return r;
}

int volume_detach(struct volume *volume, bool (*progress)(uint64_t done, uint64_t total, void *arg),
		  void *arg, struct problem *why)
{
	struct detach work = {.v = volume, .progress = progress, .arg = arg};
	int r;

	if (volume->options.read_only)
		return problem(why, -EROFS, "the volume is open for reading only");
	r = begin(volume);
	if (r == -EBUSY)
		return problem(why, r, "it is detaching already");
	if (r <= 0)
		return r;
	r = detach(&work);
	free(work.inos);
	pthread_mutex_lock(&volume->notes_lock);
	volume->detaching = false;
	pthread_mutex_unlock(&volume->notes_lock);
	if (r == -ECANCELED)
		return problem(why, r, "cancelled");
	return r < 0 ? problem_errno(why, r, "cannot copy what the clone shares with its parent")
		     : 0;
}

/* --- In the background ------------------------------------------------------------------------ */

struct pace {
	struct volume *v;
	uint64_t done;
	int64_t due_us; /* monotonic: when that much may be done */
};

/* As slowly as it is to be.  What it lags behind it does not catch up. */
static bool keep_pace(uint64_t done, uint64_t total, void *arg)
{
	struct pace *pace = arg;
	struct volume *v = pace->v;
	int64_t now_us = clock_monotonic_us();
	uint64_t rate;
	bool thin;

	pthread_mutex_lock(&v->notes_lock);
	rate = v->detach_rate;
	thin = v->thin;
	pthread_mutex_unlock(&v->notes_lock);
	pace->due_us = MAX(pace->due_us, now_us) + (int64_t)((done - pace->done) * 1000000 / rate);
	pace->done = done;
	return !thin && !volume_wait_for_stop(v, &v->detach_wake, pace->due_us - now_us);
}

/* True when it is time to stop, false when it is to copy. */
static bool wait_while_thin(struct volume *v)
{
	bool stop;

	pthread_mutex_lock(&v->notes_lock);
	while (!v->stop && v->thin)
		pthread_cond_wait(&v->detach_wake, &v->notes_lock);
	stop = v->stop;
	pthread_mutex_unlock(&v->notes_lock);
	return stop;
}

/* What could not be done is tried again: the disk may have been full. */
#define RETRY_US 60000000

static void *detach_main(void *arg)
{
	struct volume *v = arg;
	struct problem why = {""};
	int r = -ECANCELED;

	while (r < 0 && !wait_while_thin(v)) {
		struct pace pace = {.v = v};

		r = volume_detach(v, keep_pace, &pace, &why);
		if (r == 0 || r == -ECANCELED)
			continue;
		volume_note_error(v, "%s", why.text);
		if (volume_wait_for_stop(v, &v->detach_wake, RETRY_US))
			break;
	}
	return NULL;
}

int volume_set_detaching(struct volume *volume, bool thin, uint64_t bytes_per_second)
{
	if (bytes_per_second && bytes_per_second < VOLUME_DETACH_RATE_MIN)
		return -ERANGE;
	pthread_mutex_lock(&volume->notes_lock);
	volume->thin = thin;
	volume->detach_rate = bytes_per_second ? bytes_per_second : DETACH_RATE_DEFAULT;
	pthread_cond_broadcast(&volume->detach_wake);
	pthread_mutex_unlock(&volume->notes_lock);
	return 0;
}

void clone_start_thread(struct volume *v)
{
	int r;

	r = pthread_create(&v->detach_thread, NULL, detach_main, v);
	v->detach_runs = r == 0;
	if (r != 0)
		volume_note_error(v, "cannot start a thread to detach: %s", strerror(r));
}

void clone_stop_thread(struct volume *v)
{
	if (!v->detach_runs)
		return;
	pthread_cond_broadcast(&v->detach_wake);
	pthread_join(v->detach_thread, NULL);
	v->detach_runs = false;
}
