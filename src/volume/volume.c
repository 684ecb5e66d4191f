/* Volume: making, opening, recovering and closing; recording a change; building the state at a
 * position. */
#include "volume/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#define CHECKPOINT_RECORDS_DEFAULT 200000
#define FOLD_RATE_DEFAULT (64 << 20)

int64_t volume_clock(struct volume *v)
{
	return v->options.clock ? v->options.clock(v->options.clock_arg) : clock_realtime_us();
}

void volume_note_error(struct volume *v, const char *format, ...)
{
	char text[sizeof v->last_error];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_warning("volume: %s", text);
	pthread_mutex_lock(&v->notes_lock);
	memcpy(v->last_error, text, sizeof text);
	v->last_error_time_us = volume_clock(v);
	pthread_mutex_unlock(&v->notes_lock);
}

/* --- The superblock --------------------------------------------------------------------------- */

static uint32_t superblock_crc(const struct superblock *super)
{
	return crc32c(0, (const uint8_t *)super + sizeof super->crc,
		      sizeof *super - sizeof super->crc);
}

int volume_write_superblock(struct disk *disk, const struct superblock *super)
{
	struct superblock sealed = *super;

	sealed.crc = to_le32(superblock_crc(super));
	return disk_replace_file(disk, "volume", &sealed, sizeof sealed);
}

int volume_read_superblock(struct disk *disk, struct superblock *ret, struct problem *why)
{
	CLEANUP(free) void *data = NULL;
	size_t size;
	int r;

	r = disk_read_file(disk, "volume", BASE_BLOCK, &data, &size);
	if (r == -ENOENT)
		return problem(why, r, "there is no volume here: the file 'volume' is missing");
	if (r < 0)
		return problem_errno(why, r, "cannot read the file 'volume'");
	if (size != sizeof *ret)
		return problem(why, -EBADMSG,
			       "the file 'volume' has %zu bytes instead of %zu: damaged", size,
			       sizeof *ret);
	memcpy(ret, data, size);
	if (memcmp(ret->magic, SUPERBLOCK_MAGIC, sizeof ret->magic))
		return problem(why, -EBADMSG,
			       "the file 'volume' is not Unspill's, or damaged at byte 8");
	if (from_le32(ret->crc) != superblock_crc(ret))
		return problem(why, -EBADMSG,
			       "the file 'volume' is damaged: its checksum does not match");
	if (from_le16(ret->version) > SUPERBLOCK_VERSION ||
	    from_le32(ret->incompatible) & ~VOLUME_INCOMPAT_KNOWN)
		return problem(
			why, -EPROTONOSUPPORT,
			"the volume's format is newer than this program: version %u, features %#x",
			from_le16(ret->version), from_le32(ret->incompatible));
	return 0;
}

int volume_add_feature(struct volume *v, uint32_t feature)
{
	struct superblock super;
	int r;

	pthread_mutex_lock(&v->super_lock);
	r = volume_read_superblock(v->disk, &super, NULL);
	if (r >= 0 && (from_le32(super.incompatible) & feature) != feature) {
		super.incompatible = to_le32(from_le32(super.incompatible) | feature);
		r = volume_write_superblock(v->disk, &super);
	}
	pthread_mutex_unlock(&v->super_lock);
	return r;
}

/* --- Making ----------------------------------------------------------------------------------- */

/* 64 MiB, or a 64th of a small disk. */
static uint64_t choose_segment_bytes(struct disk *disk)
{
	struct disk_space space;
	uint64_t bytes = TAPE_SEGMENT_BYTES_DEFAULT;

	if (disk_space(disk, &space) < 0)
		return bytes;
	while (bytes > (4 << 20) && bytes > space.bytes_total / 64)
		bytes /= 2;
	return bytes;
}

static int write_first_base(struct disk *disk, const struct superblock *super)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	CLEANUP(buffer) struct buffer extra = {0};
	CLEANUP(base) struct base *base = base_new(disk);
	CLEANUP(state) struct state *state = NULL;
	struct moment horizon = {0, from_le64(super->created_us)};
	struct timeline timeline;

	timeline_init(&timeline);
	state = state_new(from_le32(super->root_uid), from_le32(super->root_gid),
			  from_le32(super->root_mode), horizon.time_us);
	state->time_us = horizon.time_us;
	base_encode(base, &extra);
	image_encode(super->uuid, 0, horizon, state, &timeline, &extra, &bytes);
	image_seal(&bytes);
	timeline_done(&timeline);
	return disk_replace_file(disk, "base/state", bytes.data, bytes.size);
}

static int is_a_volume(const char *name, void *arg)
{
	return strcmp(name, "volume") == 0;
}

int volume_format(struct disk *disk, const struct volume_format_options *options,
		  struct problem *why)
{
	struct superblock super = {
		.version = to_le16(SUPERBLOCK_VERSION),
		.segment_bytes = to_le64(options->segment_bytes ? options->segment_bytes
								: choose_segment_bytes(disk)),
		.created_us = to_le64(clock_realtime_us()),
		.window_us = to_le64(options->window_us),
		.root_mode = to_le32(options->root_mode),
		.root_uid = to_le32(options->root_uid),
		.root_gid = to_le32(options->root_gid),
	};
	int r;

	if (options->clock)
		super.created_us = to_le64(options->clock(options->clock_arg));
	r = disk_list(disk, "", is_a_volume, NULL);
	if (r)
		return r < 0 ? problem_errno(why, r, "cannot list the disk")
			     : problem(why, -ENOTEMPTY, "there is a volume here already");
	memcpy(super.magic, SUPERBLOCK_MAGIC, sizeof super.magic);
	if (options->uuid)
		memcpy(super.uuid, options->uuid, sizeof super.uuid);
	else if (getrandom(super.uuid, sizeof super.uuid, 0) != sizeof super.uuid)
		return problem_errno(why, -errno, "no random numbers");
	r = write_first_base(disk, &super);
	/* Last, so that what has a superblock is whole. */
	if (r >= 0)
		r = volume_write_superblock(disk, &super);
	if (r >= 0)
		r = disk_sync_names(disk, "");
	return r < 0 ? problem_errno(why, r, "cannot write the new volume") : 0;
}

/* --- Recording -------------------------------------------------------------------------------- */

/* What the change asks of the disk, once it is folded. */
static enum tape_room room_of(struct volume *v, const struct change *change)
{
	struct inode *inode;

	if (change->type != CHANGE_WRITE && change->type != CHANGE_ZERO)
		return TAPE_RELEASE;
	inode = state_inode(v->head.state, change->ino);
	if (inode && change->offset + change->size <= inode->size)
		return change->type != CHANGE_WRITE ? TAPE_RELEASE
		       : v->last_resort             ? TAPE_LAST_RESORT
						    : TAPE_IN_PLACE;
	return change->type == CHANGE_WRITE || change->flags & CHANGE_ZERO_GROW ? TAPE_GROWTH
										: TAPE_RELEASE;
}

/* Whoever asked learns that it failed; why, is said once, and stands in the status. */
static int cannot_record(struct volume *v, int r)
{
	if (r == -ENOSPC || r == -EROFS)
		return r;
	if (r != v->append_error)
		volume_note_error(v, "cannot append to the tape: %s", strerror(-r));
	v->append_error = r;
	return -EIO;
}

int volume_commit(struct volume *v, const struct change *change, const struct iovec *data,
		  int data_count, struct tape_record *ret)
{
	enum tape_room room = room_of(v, change);
	struct buffer *meta = &v->meta;
	uint64_t owed = 0;
	int r;

	meta->size = 0;
	change_encode(change, meta);
	v->grows = room == TAPE_GROWTH;
	if (room == TAPE_GROWTH && change->type == CHANGE_WRITE)
		owed = owed_by_write(state_inode(v->head.state, change->ino)->size, change->offset,
				     change->size);
	r = tape_append(v->tape, change->type, room, meta->data, meta->size, data, data_count, ret);
	if (r < 0)
		return cannot_record(v, r);
	r = state_apply(v->head.state, change, ret->lsn, ret->time_us);
	assert(r >= 0); /* it was checked before it was recorded */
	timeline_note(&v->timeline, change, ret->lsn, ret->time_us);
	owed_add(v, ret->lsn, owed);
	v->records++;
	v->bytes += ret->data_size;
	return 0;
}

/* --- Building a state ---------------------------------------------------------------------------
 */

struct replay {
	struct state *state;
	uint64_t done, total;
	bool (*progress)(uint64_t done, uint64_t total, void *arg);
	void *arg;
	struct problem *why;
};

static int replay_record(const struct tape_record *record, void *arg)
{
	struct replay *replay = arg;
	struct change change;
	int r;

	r = change_decode(record, &change);
	if (r >= 0)
		r = state_apply(replay->state, &change, record->lsn, record->time_us);
	if (r < 0)
		return problem(replay->why, r,
			       "the change record at LSN %llu makes no sense (type %u)",
			       (unsigned long long)record->lsn, record->type);
	if (++replay->done % 4096 == 0 && replay->progress &&
	    !replay->progress(replay->done, replay->total, replay->arg))
		return problem(replay->why, -ECANCELED, "cancelled");
	return 0;
}

static int count_record(const struct tape_record *record, void *arg)
{
	uint64_t *counts = arg;

	counts[0]++;
	counts[1] += record->data_size;
	return 0;
}

struct count {
	struct volume *v;
	uint64_t from, to;
	uint64_t counts[2];
	struct problem *why;
};

/* A segment inside the range is counted from its summary; one at the edge from its records. */
static int count_segment(const struct tape_segment *segment, void *arg)
{
	struct count *count = arg;

	if (segment->end <= count->from || segment->lsn >= count->to)
		return 0;
	if (segment->sealed && segment->lsn >= count->from && segment->end <= count->to) {
		count->counts[0] += segment->records;
		count->counts[1] += segment->data_bytes;
		return 0;
	}
	return tape_scan(count->v->tape, MAX(count->from, segment->lsn),
			 MIN(count->to, segment->end), count_record, count->counts, count->why);
}

int volume_count_records(struct volume *v, uint64_t from, uint64_t to, uint64_t *ret_records,
			 uint64_t *ret_bytes, struct problem *why)
{
	struct count count = {.v = v, .from = from, .to = to, .why = why};
	int r;

	r = tape_segments(v->tape, count_segment, &count);
	if (r < 0)
		return r;
	*ret_records = count.counts[0];
	if (ret_bytes)
		*ret_bytes = count.counts[1];
	return 0;
}

/* A copy of the base's state, made through its bytes; those on the disk when a fold has failed
 * half-way. */
static int copy_base_state(struct volume *v, struct state **ret)
{
	CLEANUP(buffer) struct buffer bytes = {0};
	CLEANUP(image) struct image image = {0};
	struct timeline none;
	int r;

	if (v->fold_error) {
		r = image_load(v->disk, "base/state", v->uuid, 0, &image);
	} else {
		timeline_init(&none);
		image_encode(v->uuid, 0, (struct moment){0}, v->base_state, &none, NULL, &bytes);
		image_seal(&bytes);
		timeline_done(&none);
		r = image_decode(v->uuid, bytes.data, bytes.size, 0, &image);
	}
	if (r >= 0 && image.state->position != v->base_position)
		r = -EUCLEAN;
	if (r < 0)
		return r;
	*ret = take(image.state);
	return 0;
}

/* The newest image on the lineage; a damaged checkpoint is only a detour. */
static int load_nearest(struct volume *v, const struct lineage *lineage, struct state **ret)
{
	for (size_t i = v->checkpoint_count; i-- > 0;) {
		CLEANUP(image) struct image image = {0};
		char name[DISK_NAME_MAX];
		int r;

		if (!lineage_contains(lineage, v->checkpoints[i].position))
			continue;
		checkpoint_name(v->checkpoints[i].position, name);
		r = image_load(v->disk, name, v->uuid, v->base_position, &image);
		if (r >= 0) {
			*ret = take(image.state);
			return 0;
		}
		volume_note_error(
			v, "checkpoint %s is damaged and was removed; replaying from an older one",
			name);
		checkpoint_forget(v, i);
	}
	return copy_base_state(v, ret);
}

static uint64_t count_lineage(struct volume *v, const struct lineage *lineage, uint64_t after)
{
	uint64_t total = 0, records;

	for (size_t i = 0; i < lineage->count; i++) {
		uint64_t from = MAX(lineage->spans[i].from, after);

		if (from < lineage->spans[i].to &&
		    volume_count_records(v, from, lineage->spans[i].to, &records, NULL, NULL) >= 0)
			total += records;
	}
	return total;
}

uint64_t volume_replay_length(struct volume *v, uint64_t position)
{
	CLEANUP(lineage) struct lineage lineage = {0};
	uint64_t from = v->base_position;

	pthread_rwlock_rdlock(&v->lock);
	timeline_lineage(&v->timeline, v->base_position, position, &lineage);
	pthread_rwlock_unlock(&v->lock);
	for (size_t i = 0; i < v->checkpoint_count; i++)
		if (lineage_contains(&lineage, v->checkpoints[i].position))
			from = v->checkpoints[i].position;
	return count_lineage(v, &lineage, from);
}

int volume_build_state(struct volume *v, uint64_t position,
		       bool (*progress)(uint64_t done, uint64_t total, void *arg), void *arg,
		       struct state **ret, struct problem *why)
{
	CLEANUP(lineage) struct lineage lineage = {0};
	CLEANUP(state) struct state *state = NULL;
	struct replay replay = {.progress = progress, .arg = arg, .why = why};
	uint64_t from;
	int r;

	pthread_rwlock_rdlock(&v->lock);
	timeline_lineage(&v->timeline, v->base_position, position, &lineage);
	pthread_rwlock_unlock(&v->lock);
	for (size_t i = 0; i < lineage.count; i++)
		if (!tape_covers(v->tape, lineage.spans[i].from, lineage.spans[i].to))
			return problem(why, -EBADMSG,
				       "a segment of the tape between LSN %llu and %llu is missing",
				       (unsigned long long)lineage.spans[i].from,
				       (unsigned long long)lineage.spans[i].to);
	r = load_nearest(v, &lineage, &state);
	if (r < 0)
		return problem_errno(why, r, "cannot load the state of the base");
	replay.state = state;
	from = state->position;
	replay.total = progress ? count_lineage(v, &lineage, from) : 0;
	for (size_t i = 0; i < lineage.count; i++) {
		if (lineage.spans[i].to <= from)
			continue;
		r = tape_scan(v->tape, MAX(lineage.spans[i].from, from), lineage.spans[i].to,
			      replay_record, &replay, why);
		if (r < 0)
			return r;
	}
	if (progress && !progress(replay.done, replay.done, arg))
		return problem(why, -ECANCELED, "cancelled");
	state->position = MAX(state->position, position);
	*ret = take(state);
	return 0;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/*
 * The newest checkpoint that loads gives the timeline up to its position.  One beyond the end of
 * the tape says that acknowledged records are gone.
 */
static int load_timeline(struct volume *v, struct timeline *timeline, struct problem *why)
{
	uint64_t end = tape_end(v->tape);
	int r;

	r = checkpoint_list(v);
	if (r < 0)
		return problem_errno(why, r, "cannot list the checkpoints");
	for (size_t i = v->checkpoint_count; i-- > 0;) {
		CLEANUP(image) struct image image = {0};
		char name[DISK_NAME_MAX];

		checkpoint_name(v->checkpoints[i].position, name);
		if (v->checkpoints[i].position > end && !v->options.accept_loss)
			return problem(why, -EBADMSG,
				       "the tape ends at LSN %llu, but checkpoint %s was made "
				       "after it: acknowledged changes are lost",
				       (unsigned long long)end, name);
		if (v->checkpoints[i].position > end) {
			checkpoint_forget(v, i);
			continue;
		}
		r = image_load(v->disk, name, v->uuid, v->base_position, &image);
		if (r < 0) {
			volume_note_error(v, "checkpoint %s is damaged and was removed", name);
			checkpoint_forget(v, i);
			continue;
		}
		if (image.timeline.known > timeline->known) {
			timeline_done(timeline);
			*timeline = image.timeline;
			image.timeline = (struct timeline){0};
		}
		break;
	}
	return 0;
}

static int note_record(const struct tape_record *record, void *arg)
{
	struct timeline *timeline = arg;
	struct change change;
	int r;

	r = change_decode(record, &change);
	if (r < 0)
		return r;
	timeline_note(timeline, &change, record->lsn, record->time_us);
	return 0;
}

static int open_tape(struct volume *v, struct problem *why)
{
	struct tape_options options = {
		.segment_bytes = v->segment_bytes,
		.background = v->options.background,
		.bytes_reserved = volume_reserve(v) / 2,
		.spares_held = SPARES_HELD,
		.bulk_cached = v->options.bulk_cached,
		.clock = v->options.clock,
		.clock_arg = v->options.clock_arg,
		.accept_loss = v->options.accept_loss,
		.read_only = v->options.read_only,
	};

	memcpy(options.uuid, v->uuid, sizeof options.uuid);
	return tape_open(v->disk, &options, &v->tape, why);
}

static int recover(struct volume *v, struct problem *why)
{
	struct tape_record record;
	bool orphans = false;
	int r;

	r = fold_load_base(v, &v->timeline, why);
	if (r >= 0)
		r = open_tape(v, why);
	if (r >= 0)
		r = fold_finish(v, &v->timeline, why);
	if (r >= 0)
		r = fold_sweep(v, why);
	if (r < 0)
		return r;
	if (v->base_position > tape_end(v->tape))
		return problem(why, -EBADMSG,
			       "the tape ends at LSN %llu, before the base at LSN %llu: segments "
			       "are missing",
			       (unsigned long long)tape_end(v->tape),
			       (unsigned long long)v->base_position);
	r = load_timeline(v, &v->timeline, why);
	if (r >= 0)
		r = tape_scan(v->tape, v->timeline.known, tape_end(v->tape), note_record,
			      &v->timeline, why);
	if (r < 0)
		return r;
	v->timeline.known = tape_end(v->tape);
	v->base_bytes = base_bytes(v->base);
	if (v->attached)
		v->shared_bytes = base_shared_bytes(v->base);
	r = volume_build_state(v, tape_end(v->tape), NULL, NULL, &v->head.state, why);
	if (r < 0)
		return r;
	v->replayed_records = v->head.state->applied;
	owed_find(v);
	state_for_each_inode (v->head.state, inode)
		orphans = orphans || !inode->nlink;
	if (orphans && !v->options.read_only)
		r = volume_commit(v, &(struct change){.type = CHANGE_PURGE}, NULL, 0, &record);
	return r < 0 ? problem_errno(why, r, "cannot write to the tape") : 0;
}

static void init_locks(struct volume *v)
{
	pthread_rwlockattr_t writers_first;

	pthread_rwlockattr_init(&writers_first);
	pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&v->lock, &writers_first);
	pthread_rwlock_init(&v->base_lock, &writers_first);
	pthread_rwlockattr_destroy(&writers_first);
	pthread_mutex_init(&v->fold_lock, NULL);
	pthread_mutex_init(&v->refs_lock, NULL);
	pthread_mutex_init(&v->notes_lock, NULL);
	pthread_cond_init(&v->wake, NULL);
	pthread_cond_init(&v->round_done, NULL);
	pthread_mutex_init(&v->super_lock, NULL);
	pthread_cond_init(&v->repack_wake, NULL);
	pthread_cond_init(&v->repack_turn, NULL);
	pthread_cond_init(&v->detach_wake, NULL);
}

static void volume_free(struct volume *v)
{
	tape_close(v->tape);
	state_free(v->head.state);
	state_free(v->base_state);
	base_free(v->base);
	disk_close(v->fold_disk);
	timeline_done(&v->timeline);
	buffer_done(&v->meta);
	map64_done(&v->refs);
	owed_done(&v->owed);
	free(v->checkpoints);
	pthread_cond_destroy(&v->detach_wake);
	pthread_cond_destroy(&v->repack_turn);
	pthread_cond_destroy(&v->repack_wake);
	pthread_mutex_destroy(&v->super_lock);
	pthread_cond_destroy(&v->round_done);
	pthread_cond_destroy(&v->wake);
	pthread_mutex_destroy(&v->notes_lock);
	pthread_mutex_destroy(&v->refs_lock);
	pthread_mutex_destroy(&v->fold_lock);
	pthread_rwlock_destroy(&v->base_lock);
	pthread_rwlock_destroy(&v->lock);
	free(v);
}
DEFINE_CLEANUP(struct volume *, volume_memory, volume_free)

/* Who folds is about to drop segments. */
static bool lend(uint64_t bytes, void *arg)
{
	struct volume *v = arg;

	return v->tape && tape_lend(v->tape, bytes);
}

static int take_disk(struct disk *disk, struct problem *why)
{
	int owner = 0, r = disk_lock(disk, &owner);

	if (r == -EBUSY)
		return problem(why, r, "the volume is in use by process %d", owner);
	return r < 0 ? problem_errno(why, r, "cannot lock the volume") : 0;
}

int volume_open(struct disk *disk, const struct volume_options *options, struct volume **ret,
		struct problem *why)
{
	CLEANUP(volume_memory) struct volume *v = xcalloc(1, sizeof *v);
	struct superblock super;
	int r;

	init_locks(v);
	v->disk = disk;
	v->options = *options;
	if (!v->options.checkpoint_records)
		v->options.checkpoint_records = CHECKPOINT_RECORDS_DEFAULT;
	if (!v->options.fold_bytes_per_second)
		v->options.fold_bytes_per_second = FOLD_RATE_DEFAULT;
	v->head.volume = v;
	v->fold_disk = disk_lending_new(disk, lend, v);
	v->base = base_new(v->fold_disk);
	r = take_disk(disk, why);
	if (r >= 0)
		r = volume_read_superblock(disk, &super, why);
	if (r < 0)
		return r;
	memcpy(v->uuid, super.uuid, sizeof v->uuid);
	v->segment_bytes = from_le64(super.segment_bytes);
	v->created_us = from_le64(super.created_us);
	v->window_us = from_le64(super.window_us);
	v->history_max = from_le64(super.history_max);
	v->attached = from_le32(super.attached);
	v->holds = v->attached + options->hold;
	r = volume_set_detaching(v, options->thin, options->detach_bytes_per_second);
	if (r < 0)
		return problem_errno(why, r, "cannot detach as slowly as that");
	r = recover(v, why);
	if (r < 0)
		return r;
	v->held = v->floor;
	horizon_pin(v);
	if (options->background && !options->read_only) {
		r = volume_start_thread(v);
		if (r < 0)
			return problem_errno(why, r, "cannot start a thread");
	}
	*ret = take(v);
	return 0;
}

void volume_close(struct volume *volume)
{
	if (!volume)
		return;
	volume_stop_thread(volume);
	assert(!volume->views);
	if (!volume->options.read_only && !volume->options.fleeting && !tape_broken(volume->tape) &&
	    volume->head.state->applied)
		volume_checkpoint(volume);
	volume_free(volume);
}
