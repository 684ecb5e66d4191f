#include "mount/rewind.h"

#include "base/alloc.h"
#include "mount/notify.h"
#include "mount/outside.h"
#include "mount/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Beyond this, write-back that cannot be decided yet keeps its thread waiting. */
#define PARKED_BYTES_MAX (64 * 1024 * 1024)

struct parked_write {
	struct parked_write *next;
	struct request req;
	struct fuse_write_out out;
	uint64_t offset;
	size_t size;
	uint8_t data[];
};

void rewind_init(struct rewind *rewind)
{
	memset(rewind, 0, sizeof *rewind);
	pthread_mutex_init(&rewind->turn, NULL);
	pthread_rwlock_init(&rewind->gate, NULL);
	pthread_mutex_init(&rewind->lock, NULL);
	pthread_cond_init(&rewind->unparked, NULL);
	rewind->parked_end = &rewind->parked;
}

void rewind_done(struct rewind *rewind)
{
	pthread_cond_destroy(&rewind->unparked);
	pthread_mutex_destroy(&rewind->lock);
	pthread_rwlock_destroy(&rewind->gate);
	pthread_mutex_destroy(&rewind->turn);
}

uint64_t rewind_valid_seconds(struct mount *mount)
{
	bool under_way = atomic_load_explicit(&mount->rewind.under_way, memory_order_acquire);

	/* The past does not change. */
	if (mount->read_only)
		return UINT32_MAX;
	return under_way ? 0 : PROTOCOL_VALID_SECONDS;
}

bool rewind_switched(struct mount *mount)
{
	return atomic_load_explicit(&mount->rewind.switched, memory_order_acquire);
}

/* --- Fresh ranges -------------------------------------------------------------------------------
 */

/* Put [start, end) in, swallowing all that it touches. */
static void fresh_add(struct fresh *fresh, uint64_t start, uint64_t end)
{
	size_t from = 0, to;

	while (from < fresh->count && fresh->ranges[from].end < start)
		from++;
	for (to = from; to < fresh->count && fresh->ranges[to].start <= end; to++) {
		start = MIN(start, fresh->ranges[to].start);
		end = MAX(end, fresh->ranges[to].end);
	}
	if (from == to)
		xgrow(fresh->ranges, fresh->count, fresh->room);
	memmove(&fresh->ranges[from + 1], &fresh->ranges[to],
		(fresh->count - to) * sizeof *fresh->ranges);
	fresh->count = fresh->count - (to - from) + 1;
	fresh->ranges[from] = (struct fresh_range){start, end};
}

void rewind_note_fresh(struct mount *mount, uint64_t ino, uint64_t offset, uint64_t size)
{
	struct rewind *rewind = &mount->rewind;
	struct fresh *fresh;

	pthread_mutex_lock(&rewind->lock);
	fresh = map64_get(&rewind->fresh, ino);
	if (!fresh) {
		fresh = xcalloc(1, sizeof *fresh);
		map64_put(&rewind->fresh, ino, fresh);
	}
	fresh_add(fresh, offset, offset + size);
	pthread_mutex_unlock(&rewind->lock);
}

/* The first fresh part of [from, to). */
static bool next_fresh(struct rewind *rewind, uint64_t ino, uint64_t from, uint64_t to,
		       struct fresh_range *ret)
{
	const struct fresh *fresh;
	bool found = false;

	pthread_mutex_lock(&rewind->lock);
	fresh = map64_get(&rewind->fresh, ino);
	for (size_t i = 0; fresh && i < fresh->count && !found; i++) {
		ret->start = MAX(from, fresh->ranges[i].start);
		ret->end = MIN(to, fresh->ranges[i].end);
		found = ret->start < ret->end;
	}
	pthread_mutex_unlock(&rewind->lock);
	return found;
}

static void forget_fresh(struct rewind *rewind)
{
	pthread_mutex_lock(&rewind->lock);
	map64_for_each (&rewind->fresh, slot) {
		free(((struct fresh *)slot->value)->ranges);
		free(slot->value);
	}
	map64_done(&rewind->fresh);
	pthread_mutex_unlock(&rewind->lock);
}

/* --- Write-back ---------------------------------------------------------------------------------
 */

static int write_pages(struct request *req, uint64_t offset, const void *data, size_t size)
{
	struct iovec iov = {(void *)data, size};

	return volume_write(req->mount->volume, req->in.nodeid, offset, &iov, 1, false);
}

static int drop_pages(struct request *req)
{
	counter_add(&req->mount->counters.dropped_writes, 1);
	return 0;
}

/* Pages of the old head and of the new one may come in one request. */
static int write_fresh_pages(struct request *req, uint64_t offset, const uint8_t *data, size_t size)
{
	struct rewind *rewind = &req->mount->rewind;
	uint64_t at = offset, end = offset + size, written = 0;
	struct fresh_range part;
	int r;

	while (next_fresh(rewind, req->in.nodeid, at, end, &part)) {
		r = write_pages(req, part.start, data + (part.start - offset),
				part.end - part.start);
		if (r < 0)
			return r;
		written += part.end - part.start;
		at = part.end;
	}
	return written < size ? drop_pages(req) : 0;
}

static int park(struct request *req, uint64_t offset, const void *data, size_t size)
{
	struct rewind *rewind = &req->mount->rewind;
	struct parked_write *parked = xmalloc(sizeof *parked + size);

	*parked = (struct parked_write){
		.req = *req, .out = {.size = size}, .offset = offset, .size = size};
	parked->req.out = (uint8_t *)&parked->out;
	parked->req.out_room = sizeof parked->out;
	memcpy(parked->data, data, size);

	pthread_mutex_lock(&rewind->lock);
	*rewind->parked_end = parked;
	rewind->parked_end = &parked->next;
	rewind->parked_bytes += size;
	pthread_mutex_unlock(&rewind->lock);
	return REQUEST_NO_REPLY;
}

/* Sleep while there is no room for more.  The gate must be open: those who make room need it. */
static void wait_for_room(struct rewind *rewind)
{
	pthread_mutex_lock(&rewind->lock);
	while (rewind->parked_bytes >= PARKED_BYTES_MAX)
		pthread_cond_wait(&rewind->unparked, &rewind->lock);
	pthread_mutex_unlock(&rewind->lock);
}

int rewind_write_back(struct request *req, uint64_t offset, const void *data, size_t size)
{
	struct rewind *rewind = &req->mount->rewind;
	int r;

	wait_for_room(rewind);
	pthread_rwlock_rdlock(&rewind->gate);
	if (rewind->phase == REWIND_PARKING && !rewind_switched(req->mount))
		r = park(req, offset, data, size);
	else if (rewind->phase == REWIND_NONE)
		r = write_pages(req, offset, data, size);
	else
		r = write_fresh_pages(req, offset, data, size);
	pthread_rwlock_unlock(&rewind->gate);
	return r;
}

/* Answer all that is parked, in order, `drop`ping or writing it.  With the gate held for writing.
 */
static void unpark(struct rewind *rewind, bool drop)
{
	struct parked_write *parked;
	int r;

	pthread_mutex_lock(&rewind->lock);
	parked = rewind->parked;
	rewind->parked = NULL;
	rewind->parked_end = &rewind->parked;
	rewind->parked_bytes = 0;
	pthread_cond_broadcast(&rewind->unparked);
	pthread_mutex_unlock(&rewind->lock);

	while (parked) {
		struct parked_write *next = parked->next;

		r = drop ? drop_pages(&parked->req)
			 : write_pages(&parked->req, parked->offset, parked->data, parked->size);
		parked->req.reply(&parked->req, r, sizeof parked->out);
		free(parked);
		parked = next;
	}
}

/* --- Names --------------------------------------------------------------------------------------
 */

void rewind_note_name(struct mount *mount, uint64_t parent, const char *name)
{
	struct rewind *rewind = &mount->rewind;

	if (!atomic_load_explicit(&rewind->noting_names, memory_order_acquire))
		return;
	pthread_mutex_lock(&rewind->lock);
	xgrow(rewind->names, rewind->name_count, rewind->name_room);
	rewind->names[rewind->name_count++] = (struct cached_name){parent, xstrdup(name)};
	pthread_mutex_unlock(&rewind->lock);
}

struct directory {
	struct mount *mount;
	uint64_t ino;
};

static int note_entry(const struct volume_entry *entry, void *arg)
{
	struct directory *directory = arg;

	if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
		rewind_note_name(directory->mount, directory->ino, entry->name);
	return 0;
}

/*
 * All names, as they are now, in directories that the kernel knows.  What is there before the
 * switch and what is there after it are all the names whose meaning can change: those the kernel
 * has as present, and as absent.
 */
static void note_names_everywhere(struct mount *mount)
{
	CLEANUP(free) struct node_count *nodes = NULL;
	size_t count = nodes_list(&mount->nodes, &nodes);

	view_readdir(mount->view, VOLUME_ROOT_INO, 0, note_entry,
		     &(struct directory){mount, VOLUME_ROOT_INO});
	for (size_t i = 0; i < count; i++)
		view_readdir(mount->view, nodes[i].ino, 0, note_entry,
			     &(struct directory){mount, nodes[i].ino});
}

/* Before the switch: can the kernel forget all names at once?  If not, they are noted from now on.
 */
static void prepare_names(struct mount *mount)
{
	struct rewind *rewind = &mount->rewind;

	if (!rewind->no_epoch && notify_all_names(mount->fd) != -EOPNOTSUPP)
		return;
	rewind->no_epoch = true;
	atomic_store(&rewind->noting_names, true);
	note_names_everywhere(mount);
}

static void forget_noted_names(struct rewind *rewind)
{
	atomic_store(&rewind->noting_names, false);
	pthread_mutex_lock(&rewind->lock);
	for (size_t i = 0; i < rewind->name_count; i++)
		free(rewind->names[i].name);
	free(rewind->names);
	rewind->names = NULL;
	rewind->name_count = rewind->name_room = 0;
	pthread_mutex_unlock(&rewind->lock);
}

static void invalidate_names(struct mount *mount)
{
	struct rewind *rewind = &mount->rewind;

	if (!rewind->no_epoch) {
		notify_all_names(mount->fd);
		return;
	}
	note_names_everywhere(mount);
	/* Looking them up again only adds to the list: what is added is from the new head. */
	atomic_store(&rewind->noting_names, false);
	flight_drain(&mount->flight);
	for (size_t i = 0; i < rewind->name_count; i++)
		notify_name(mount->fd, rewind->names[i].parent, rewind->names[i].name);
}

/* --- The rewind ---------------------------------------------------------------------------------
 */

static void enter(struct mount *mount, int phase, bool drop_parked)
{
	struct rewind *rewind = &mount->rewind;

	pthread_rwlock_wrlock(&rewind->gate);
	unpark(rewind, drop_parked);
	rewind->phase = phase;
	pthread_rwlock_unlock(&rewind->gate);
}

/* Everything that the kernel has of every inode it knows; what it dirties afterwards is fresh. */
static void invalidate_inodes(struct mount *mount)
{
	CLEANUP(free) struct node_count *nodes = NULL;
	size_t count = nodes_list(&mount->nodes, &nodes);

	/* Or the invalidation itself would write them back, and we would wait for ourselves. */
	outside_sync(&mount->outside);
	notify_inode(mount->fd, VOLUME_ROOT_INO);
	for (size_t i = 0; i < count; i++) {
		notify_inode(mount->fd, nodes[i].ino);
		if (rewind_switched(mount))
			rewind_note_fresh(mount, nodes[i].ino, 0, UINT64_MAX);
	}
}

/*
 * An invalidated inode keeps its size in the kernel until somebody asks, and a write that appends
 * through a descriptor opened before does not ask: it would go behind the old end.  So we ask.
 * Those who may not (no root) are left with that.
 */
static void refresh_sizes(struct mount *mount)
{
	CLEANUP(free) struct node_count *nodes = NULL;
	size_t count = nodes_list(&mount->nodes, &nodes), files = 0;
	CLEANUP(free) uint64_t *inos = xcalloc(count, sizeof *inos);
	struct volume_attr attr;

	for (size_t i = 0; i < count; i++)
		if (view_getattr(mount->view, nodes[i].ino, &attr) == 0 && S_ISREG(attr.mode))
			inos[files++] = nodes[i].ino;
	outside_refresh(&mount->outside, inos, files);
}

struct backtrack {
	struct mount *mount;
	const struct volume_backtrack_options *options;
};

static bool progress(uint64_t done, uint64_t total, void *arg)
{
	struct backtrack *backtrack = arg;

	return backtrack->options->progress(done, total, backtrack->options->arg);
}

/* Under the volume's lock: nothing but the flag. */
static void switched(void *arg)
{
	struct backtrack *backtrack = arg;

	atomic_store(&backtrack->mount->rewind.switched, true);
	if (backtrack->options && backtrack->options->switched)
		backtrack->options->switched(backtrack->options->arg);
}

static int move_head(struct mount *mount, const struct moment *to,
		     const struct volume_backtrack_options *options, struct volume_backtrack *ret,
		     struct problem *why)
{
	struct backtrack backtrack = {mount, options};
	struct volume_backtrack_options inner = {
		.asked_time_us = options ? options->asked_time_us : 0,
		.progress = options && options->progress ? progress : NULL,
		.switched = switched,
		.arg = &backtrack,
	};

	return volume_backtrack(mount->volume, to, &inner, ret, why);
}

/*
 * An answer that was given before may still be on its way into the kernel's cache, behind the
 * invalidation.
 */
static void settle(struct mount *mount)
{
	CLEANUP(free) struct node_count *nodes = NULL;
	size_t count = nodes_list(&mount->nodes, &nodes);

	flight_drain(&mount->flight);
	notify_settle(mount->fd, VOLUME_ROOT_INO);
	for (size_t i = 0; i < count; i++)
		notify_settle(mount->fd, nodes[i].ino);
}

/*
 * The order matters: once what was said of the old head is in the kernel's cache, that can only get
 * fresher.
 */
static void show_new_head(struct mount *mount)
{
	enter(mount, REWIND_DROPPING, true);
	settle(mount);
	invalidate_names(mount);
	invalidate_inodes(mount);
	refresh_sizes(mount);
	enter(mount, REWIND_NONE, true);
	atomic_store(&mount->rewind.switched, false);
	/* Those who saw the flag may still be noting what is fresh. */
	flight_drain(&mount->flight);
	forget_fresh(&mount->rewind);
}

int mount_backtrack(struct mount *mount, const struct moment *to,
		    const struct volume_backtrack_options *options, struct volume_backtrack *ret,
		    struct problem *why)
{
	struct rewind *rewind = &mount->rewind;
	int r;

	if (mount->read_only)
		return problem(why, -EROFS, "'%s' shows a moment of the past, which does not move",
			       mount->path);
	pthread_mutex_lock(&rewind->turn);
	atomic_store(&rewind->under_way, true);
	prepare_names(mount);
	invalidate_inodes(mount);
	enter(mount, REWIND_PARKING, false);
	r = move_head(mount, to, options, ret, why);
	/* Also when something failed afterwards: the switch is what counts. */
	if (rewind_switched(mount))
		show_new_head(mount);
	else
		enter(mount, REWIND_NONE, false);
	forget_noted_names(rewind);
	atomic_store(&rewind->under_way, false);
	pthread_mutex_unlock(&rewind->turn);
	return r;
}
