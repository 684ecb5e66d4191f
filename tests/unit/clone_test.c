/*
 * Goal: a clone is what its parent was, with all of its past; and from then on neither ever sees
 *what the other does: writes, backtracks, folds, packs, detaching, crashes anywhere in all that.
 *
 * Method: three volumes on one disk in memory, each with a toy of its own beside it that remembers
 *every moment; a clone begins with the memory of its parent.  Random operations by seed, power cuts
 *and failing calls among them; every moment in the window must be found again, in the right volume.
 *
 *	clone_test		as many seeds as 20 seconds allow, the named cases
 *	clone_test SEED		one seed again, telling what it does
 */
#include "tap.h"

#include "parts.h"

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "volume/volume.h"

#include <sys/stat.h>

#define SIDES 3
#define FILES 4
#define UNIT 1024
#define UNITS 40 /* of a file */
#define SEGMENT (64 * 1024)
#define STEPS 400
#define HISTORY_MAX (STEPS * 8)
#define SEEDS 3000
#define SEEDS_MIN 200 /* however long they take */
#define TIME_US INT64_C(15000000)
/* When brief: a sanitizer looks over their shoulder. */
#define SEEDS_MIN_BRIEF 60
#define TIME_US_BRIEF INT64_C(5000000)
#define SECOND INT64_C(1000000)

/* --- The toy ---------------------------------------------------------------------------------- */

/* A file that is there has all its units; 0 is zeros. */
struct toy {
	bool there[FILES];
	uint8_t units[FILES][UNITS];
};

struct past {
	struct moment moment;
	struct toy toy;
};

struct side {
	struct disk *disk;
	struct volume *volume;
	bool there; /* it has a volume, open or not */
	struct toy toy;
	struct past *past;
	size_t count, synced; /* past[synced] is durable */
};

struct world {
	uint64_t random;
	bool loud;
	struct disk *disk;
	int64_t now_us;
	struct volume_options options;
	struct side sides[SIDES];
	int cloning; /* the side that a clone is being made on, or -1 */
	int crashes, clones, detached, folds;
};

static uint64_t rnd(struct world *w, uint64_t below)
{
	/* splitmix64, public domain, Sebastiano Vigna. */
	uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

#define say(w, ...)                               \
	do {                                      \
		if ((w)->loud)                    \
			printf("# " __VA_ARGS__); \
	} while (0)

static int64_t world_clock(void *arg)
{
	return ((struct world *)arg)->now_us += 10;
}

static const char *file_name(int file)
{
	static const char *const names[FILES] = {"f0", "f1", "f2", "f3"};

	return names[file];
}

static void remember(struct side *side)
{
	struct past *past = &side->past[side->count++];

	volume_now(side->volume, &past->moment);
	past->toy = side->toy;
}

static uint64_t ino_of(struct view *view, int file)
{
	struct volume_attr attr;

	return view_lookup(view, VOLUME_ROOT_INO, file_name(file), &attr) < 0 ? 0 : attr.ino;
}

static bool same_file(struct view *view, const struct toy *toy, int file)
{
	static uint8_t bytes[UNITS * UNIT];
	uint64_t ino = ino_of(view, file);

	if (!toy->there[file] || !ino)
		return !toy->there[file] && !ino;
	if (view_read(view, ino, 0, bytes, sizeof bytes) != sizeof bytes)
		return false;
	for (int unit = 0; unit < UNITS; unit++)
		for (int i = 0; i < UNIT; i++)
			if (bytes[unit * UNIT + i] != toy->units[file][unit])
				return false;
	return true;
}

static bool same_tree(struct view *view, const struct toy *toy)
{
	for (int file = 0; file < FILES; file++)
		if (!same_file(view, toy, file))
			return false;
	return true;
}

/* --- Operations on one side --------------------------------------------------------------------
 *
 * They return 0, or -EIO when the power went or a call failed: then it may have happened or not,
 * and the toy remembers both.
 */

static int put(struct side *side, uint64_t ino, int unit, int count, uint8_t value)
{
	static uint8_t bytes[UNITS * UNIT];
	struct iovec iov = {bytes, (size_t)count * UNIT};

	memset(bytes, value, iov.iov_len);
	return volume_write(side->volume, ino, (uint64_t)unit * UNIT, &iov, 1, false);
}

/* In one change as far as the toy can tell: it remembers only whole files. */
static int do_create(struct world *w, struct side *side, int file)
{
	struct volume_new new = {.mode = S_IFREG | 0644};
	struct volume_change grow = {.set = VOLUME_SET_SIZE, .size = UNITS * UNIT};
	char other[] = "new";
	struct volume_attr attr;
	int r;

	(void)volume_unlink(side->volume, VOLUME_ROOT_INO, other);
	r = volume_create(side->volume, VOLUME_ROOT_INO, other, &new, &attr);
	if (r >= 0)
		r = volume_setattr(side->volume, attr.ino, &grow, &attr);
	if (r >= 0)
		r = volume_rename(side->volume, VOLUME_ROOT_INO, other, VOLUME_ROOT_INO,
				  file_name(file), 0);
	if (r == 0 || r == -EIO) {
		side->toy.there[file] = true;
		memset(side->toy.units[file], 0, UNITS);
	}
	return r;
}

static int do_write(struct world *w, struct side *side, int file)
{
	int unit = (int)rnd(w, UNITS), count = 1 + (int)rnd(w, UNITS - unit);
	uint8_t value = 1 + (uint8_t)rnd(w, 250);
	int r;

	r = put(side, ino_of(volume_head(side->volume), file), unit, count, value);
	if (r == 0 || r == -EIO)
		memset(&side->toy.units[file][unit], value, count);
	return r;
}

static int do_unlink(struct world *w, struct side *side, int file)
{
	int r = volume_unlink(side->volume, VOLUME_ROOT_INO, file_name(file));

	if (r == 0 || r == -EIO)
		side->toy.there[file] = false;
	return r;
}

static int do_change(struct world *w, struct side *side)
{
	int file = (int)rnd(w, FILES), r;

	if (!side->toy.there[file])
		r = do_create(w, side, file);
	else if (rnd(w, 12) == 0)
		r = do_unlink(w, side, file);
	else
		r = do_write(w, side, file);
	if (r == 0 || r == -EIO)
		remember(side);
	return r;
}

static const struct past *choose_past(struct world *w, struct side *side)
{
	struct moment horizon;
	size_t i = rnd(w, side->count);

	volume_horizon(side->volume, &horizon);
	return side->past[i].moment.lsn < horizon.lsn ? NULL : &side->past[i];
}

static int do_backtrack(struct world *w, struct side *side)
{
	const struct past *to = choose_past(w, side);
	struct volume_backtrack done;
	struct problem why;
	int r;

	if (!to)
		return 0;
	r = volume_backtrack(side->volume, &to->moment, NULL, &done, &why);
	if (r == 0 || r == -EIO) {
		side->toy = to->toy;
		remember(side);
	}
	if (r == 0)
		side->synced = side->count - 1;
	return r;
}

static int do_sync(struct side *side)
{
	int r = volume_sync(side->volume);

	if (r == 0)
		side->synced = side->count - 1;
	return r;
}

static int do_maintain(struct world *w, struct side *side)
{
	struct volume_stats before, after;
	int r;

	volume_get_stats(side->volume, &before);
	w->now_us += SECOND * (int64_t)rnd(w, 20);
	do
		r = volume_maintain(side->volume);
	while (r == 1);
	volume_get_stats(side->volume, &after);
	w->folds += after.folds > before.folds;
	return r;
}

static int do_detach(struct world *w, struct side *side)
{
	struct volume_stats stats;
	struct problem why;
	int r = volume_detach(side->volume, NULL, NULL, &why);

	volume_get_stats(side->volume, &stats);
	if (r == 0 && (stats.attached || stats.shared_bytes))
		return -EUCLEAN;
	w->detached += r == 0;
	return r;
}

static int do_repack(struct side *side)
{
	struct volume_repacked repacked;
	struct problem why;
	int r = volume_repack(side->volume, &(struct volume_repack_options){0}, &repacked, &why);

	/* The disk may refuse; damage may not be met. */
	return r == -EBADMSG || r == -EUCLEAN ? r : r == -EIO ? r : 0;
}

/* Without power there seems to be no room. */
static int do_checkpoint(struct side *side)
{
	int r = volume_checkpoint(side->volume);

	return r == -ENOSPC ? -EIO : r;
}

static int do_look(struct world *w, struct side *side)
{
	const struct past *past = choose_past(w, side);
	CLEANUP(view) struct view *view = NULL;
	struct problem why;
	int r;

	if (!past)
		return 0;
	r = volume_view(side->volume, &past->moment, &view, &why);
	if (r < 0)
		return r;
	/* Without power nothing is to be seen. */
	return same_tree(view, &past->toy) ? 0 : disk_sync_names(w->disk, "") < 0 ? -EIO : -EUCLEAN;
}

/* --- Sides that come and go ---------------------------------------------------------------------
 */

static int remove_file(const char *name, void *arg)
{
	struct {
		struct disk *disk;
		const char *folder;
	} *where = arg;
	char path[DISK_NAME_MAX];

	snprintf(path, sizeof path, "%s%s%s", where->folder, *where->folder ? "/" : "", name);
	return disk_remove(where->disk, path);
}

static int remove_files(struct side *side)
{
	static const char *const folders[] = {"", "ckpt", "base", "tape"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++) {
		struct {
			struct disk *disk;
			const char *folder;
		} where = {side->disk, folders[i]};

		r = disk_list(side->disk, folders[i], remove_file, &where);
		if (r == 0)
			r = disk_sync_names(side->disk, folders[i]);
	}
	return r;
}

static int do_delete(struct world *w, struct side *side)
{
	volume_close(take(side->volume));
	side->there = false;
	return remove_files(side);
}

static int do_clone(struct world *w, struct side *from, struct side *to)
{
	struct problem why;
	struct moment moment;
	int r;

	r = remove_files(to);
	if (r < 0)
		return r;
	memcpy(to->past, from->past, from->count * sizeof *from->past);
	to->count = from->count;
	to->toy = from->toy;
	w->cloning = (int)(to - w->sides);
	r = volume_clone(from->volume, to->disk, NULL, &moment, &why);
	if (r == 0) {
		from->synced = from->count - 1;
		to->synced = to->count - 1;
		r = volume_open(to->disk, &w->options, &to->volume, &why);
	}
	if (r == 0) {
		to->there = true;
		w->cloning = -1;
	}
	if (r == 0 && !same_tree(volume_head(to->volume), &to->toy))
		r = -EUCLEAN;
	w->clones += r == 0;
	return r;
}

static int reopen(struct world *w, struct side *side)
{
	struct problem why = {""};
	int r;

	volume_close(take(side->volume));
	r = volume_open(side->disk, &w->options, &side->volume, &why);
	if (r < 0 && r != -EIO)
		printf("# cannot open: %s\n", why.text);
	return r;
}

/* --- After a crash ------------------------------------------------------------------------------
 */

/* The head is one of the trees since the last sync; what came after it is forgotten. */
static int find_head(struct world *w, struct side *side)
{
	struct moment now;

	volume_now(side->volume, &now);
	/* The first one that it may be: of two that are the same, the later may be lost. */
	for (size_t i = side->synced; i < side->count; i++)
		if (same_tree(volume_head(side->volume), &side->past[i].toy)) {
			side->toy = side->past[i].toy;
			/* Moments that the tape does not have any more. */
			side->count = i + 1;
			while (side->count && side->past[side->count - 1].moment.lsn > now.lsn)
				side->count--;
			remember(side);
			side->synced = side->count - 1;
			return 0;
		}
	printf("# side %d: the head is no tree that was\n", (int)(side - w->sides));
	return -EUCLEAN;
}

static int come_back(struct world *w, struct side *side)
{
	bool cloning = w->cloning == side - w->sides;
	struct problem why = {""};
	int r;

	r = volume_open(side->disk, &w->options, &side->volume, &why);
	if (r == -ENOENT && cloning)
		return remove_files(side);
	if (r < 0) {
		printf("# side %d: %s\n", (int)(side - w->sides), why.text);
		return r;
	}
	side->there = true;
	/* The superblock was there: then all of it is. */
	if (cloning)
		side->synced = side->count - 1;
	return find_head(w, side);
}

static int crash(struct world *w)
{
	struct disk *left = disk_memory_power_on(w->disk, rnd(w, UINT64_MAX));
	bool was[SIDES];
	int r = 0;

	w->crashes++;
	for (int i = 0; i < SIDES; i++) {
		was[i] = w->sides[i].there || w->cloning == i;
		volume_close(take(w->sides[i].volume));
		disk_close(w->sides[i].disk);
		w->sides[i].disk = part_new(left, (char)('a' + i));
	}
	disk_close(w->disk);
	w->disk = left;
	for (int i = 0; i < SIDES && r == 0; i++)
		if (was[i])
			r = come_back(w, &w->sides[i]);
	w->cloning = -1;
	return r;
}

/* --- A run --------------------------------------------------------------------------------------
 */

static struct side *choose_side(struct world *w)
{
	struct side *side;

	do
		side = &w->sides[rnd(w, SIDES)];
	while (!side->there);
	return side;
}

static int come_or_go(struct world *w, struct side *side)
{
	struct side *other = &w->sides[1 + rnd(w, SIDES - 1)];

	if (!other->there) {
		say(w, "clone %d to %d\n", (int)(side - w->sides), (int)(other - w->sides));
		return do_clone(w, side, other);
	}
	if (rnd(w, 4))
		return 0;
	say(w, "delete %d\n", (int)(other - w->sides));
	/* What a crash leaves of it is nobody's. */
	return do_delete(w, other);
}

static int step(struct world *w)
{
	struct side *side = choose_side(w);
	int what = (int)rnd(w, 100), r;

	if (what < 60)
		r = do_change(w, side);
	else if (what < 67)
		r = do_sync(side);
	else if (what < 73)
		r = do_backtrack(w, side);
	else if (what < 80)
		r = do_maintain(w, side);
	else if (what < 83)
		r = do_detach(w, side);
	else if (what < 85)
		r = do_repack(side);
	else if (what < 88)
		r = do_checkpoint(side);
	else if (what < 94)
		r = do_look(w, side);
	else if (what < 96)
		r = reopen(w, side);
	else
		r = come_or_go(w, side);
	say(w, "side %d: %d: %d\n", (int)(side - w->sides), what, r);
	return r;
}

static bool all_pasts_are_there(struct world *w, struct side *side)
{
	struct moment horizon;

	volume_horizon(side->volume, &horizon);
	for (size_t i = 0; i < side->count; i++) {
		CLEANUP(view) struct view *view = NULL;
		struct problem why;

		if (side->past[i].moment.lsn < horizon.lsn || i % 7)
			continue;
		if (volume_view(side->volume, &side->past[i].moment, &view, &why) < 0) {
			/* Time goes on: it may have left the window just now. */
			volume_horizon(side->volume, &horizon);
			if (side->past[i].moment.lsn < horizon.lsn)
				continue;
			printf("# side %d: %s\n", (int)(side - w->sides), why.text);
			return false;
		}
		if (!same_tree(view, &side->past[i].toy)) {
			printf("# side %d: lsn %llu is not what it was\n", (int)(side - w->sides),
			       (unsigned long long)side->past[i].moment.lsn);
			return false;
		}
	}
	return true;
}

static void report_damage(const char *line, void *arg)
{
	++*(int *)arg;
	printf("# verify: %s\n", line);
}

static bool is_sound(struct world *w, struct side *side)
{
	int damage = 0;
	struct volume_verify_options options = {.report = report_damage, .arg = &damage};

	return same_tree(volume_head(side->volume), &side->toy) && all_pasts_are_there(w, side) &&
	       volume_verify(side->disk, side->volume, &options) == 0 && damage == 0;
}

static void world_init(struct world *w, uint64_t seed)
{
	struct volume_format_options format = {.segment_bytes = SEGMENT,
					       .window_us = 60 * SECOND,
					       .root_mode = 0755,
					       .clock = world_clock,
					       .clock_arg = w};
	struct problem why;

	*w = (struct world){.random = seed, .now_us = 1000 * SECOND, .cloning = -1};
	w->disk = disk_memory_new(seed);
	w->options = (struct volume_options){.clock = world_clock,
					     .clock_arg = w,
					     .bytes_reserved = 1,
					     .checkpoint_records = 40};
	for (int i = 0; i < SIDES; i++) {
		w->sides[i].disk = part_new(w->disk, (char)('a' + i));
		w->sides[i].past = xcalloc(HISTORY_MAX, sizeof *w->sides[i].past);
	}
	if (volume_format(w->sides[0].disk, &format, &why) < 0 ||
	    volume_open(w->sides[0].disk, &w->options, &w->sides[0].volume, &why) < 0)
		abort();
	w->sides[0].there = true;
	remember(&w->sides[0]);
}

static void world_done(struct world *w)
{
	for (int i = 0; i < SIDES; i++) {
		volume_close(w->sides[i].volume);
		disk_close(w->sides[i].disk);
		free(w->sides[i].past);
	}
	disk_close(w->disk);
}

/* With trouble: the power goes at some call, again and again. */
static bool run_seed(struct world *w, uint64_t seed, bool trouble, bool loud)
{
	bool good = true;

	world_init(w, seed);
	w->loud = loud;
	for (int i = 0; i < STEPS && good; i++) {
		int r;

		if (trouble && rnd(w, 40) == 0)
			disk_memory_power_cut(w->disk, disk_memory_calls(w->disk) + 1 + rnd(w, 60));
		r = step(w);
		if (r == -EIO && trouble)
			r = crash(w);
		good = r == 0;
	}
	/* The power may have gone in a call that nobody minded. */
	if (good && disk_sync_names(w->disk, "") < 0)
		good = crash(w) == 0;
	disk_memory_power_cut(w->disk, 0);
	for (int i = 0; i < SIDES && good; i++)
		good = !w->sides[i].there || is_sound(w, &w->sides[i]);
	if (!good)
		printf("# seed %llu%s\n", (unsigned long long)seed,
		       trouble ? ", with power cuts" : "");
	return good;
}

static void parent_and_clones_never_see_what_the_others_do(void)
{
	int64_t until = clock_monotonic_us() + (tap_is_brief() ? TIME_US_BRIEF : TIME_US);
	uint64_t least = tap_is_brief() ? SEEDS_MIN_BRIEF : SEEDS_MIN;
	int crashes = 0, clones = 0, detached = 0, folds = 0;
	bool good = true;

	for (uint64_t seed = 1;
	     good && (seed <= least || (seed <= SEEDS && clock_monotonic_us() < until)); seed++) {
		struct world w;

		good = run_seed(&w, seed, seed % 2, false);
		crashes += w.crashes;
		clones += w.clones;
		detached += w.detached;
		folds += w.folds;
		world_done(&w);
	}
	check(good);
	check(crashes > 20 && clones > 20 && detached > 20 && folds > 20,
	      "%d crashes, %d clones, %d detached, %d folds", crashes, clones, detached, folds);
}

/* --- Named cases --------------------------------------------------------------------------------
 */

/* A world whose first side has a base, a tape, and a past. */
static void make_past(struct world *w)
{
	struct side *side = &w->sides[0];

	world_init(w, 7);
	for (int file = 0; file < FILES; file++) {
		do_create(w, side, file);
		remember(side);
	}
	for (int i = 0; i < 120; i++) {
		do_write(w, side, i % FILES);
		remember(side);
		w->now_us += SECOND;
		if (i % 10 == 0)
			do_maintain(w, side);
	}
	do_sync(side);
}

/*
 * Goal: whatever call of making a clone is the last one, the parent is whole, and what there is of
 * the clone is none or all of it.
 */
static void a_crash_at_any_call_of_a_clone_leaves_the_parent_whole_and_all_or_nothing(void)
{
	bool done = false;

	for (uint64_t call = 1; !done; call++) {
		struct world w;
		int r;

		make_past(&w);
		disk_memory_power_cut(w.disk, disk_memory_calls(w.disk) + call);
		r = do_clone(&w, &w.sides[0], &w.sides[1]);
		done = r == 0;
		disk_memory_power_cut(w.disk, 0);
		if (!done)
			check(crash(&w) == 0, "at call %d", (int)call);
		for (int i = 0; i < 2; i++)
			check(!w.sides[i].there || is_sound(&w, &w.sides[i]), "side %d, call %d", i,
			      (int)call);
		check(w.sides[0].there);
		world_done(&w);
		if (tap_bad)
			return;
	}
}

static void a_call_that_fails_while_cloning_fails_the_clone_alone(void)
{
	bool done = false;

	for (uint64_t call = 1; !done; call++) {
		struct world w;
		struct moment moment;
		struct problem why = {""};
		int r;

		make_past(&w);
		disk_memory_fail(w.disk, disk_memory_calls(w.disk) + call, false);
		r = volume_clone(w.sides[0].volume, w.sides[1].disk, NULL, &moment, &why);
		done = r == 0 || call > 1000;
		disk_memory_fail(w.disk, 0, false);
		check(r == 0 || why.text[0], "call %d: %d without a word", (int)call, r);
		/* A tape that could not be synced is broken, for good: that is what reopening is
		 * for. */
		check(reopen(&w, &w.sides[0]) == 0 && is_sound(&w, &w.sides[0]), "call %d",
		      (int)call);
		world_done(&w);
		if (tap_bad)
			return;
	}
}

static void a_crash_at_any_call_of_detaching_loses_nothing_and_it_goes_on(void)
{
	bool done = false;

	for (uint64_t call = 1; !done; call++) {
		struct world w;
		int r;

		make_past(&w);
		check(do_clone(&w, &w.sides[0], &w.sides[1]) == 0);
		disk_memory_power_cut(w.disk, disk_memory_calls(w.disk) + call);
		r = do_detach(&w, &w.sides[1]);
		done = r == 0;
		disk_memory_power_cut(w.disk, 0);
		if (!done)
			check(crash(&w) == 0, "at call %d", (int)call);
		check(do_detach(&w, &w.sides[1]) == 0, "call %d", (int)call);
		for (int i = 0; i < 2; i++) {
			for (int n = 0; n < 30; n++) {
				do_write(&w, &w.sides[i], n % FILES);
				remember(&w.sides[i]);
			}
			w.now_us += 100 * SECOND;
			do_maintain(&w, &w.sides[i]);
			check(is_sound(&w, &w.sides[i]), "side %d, call %d", i, (int)call);
		}
		world_done(&w);
		if (tap_bad)
			return;
	}
}

static void a_held_base_does_not_advance_nor_the_horizon_and_a_released_one_does(void)
{
	struct volume_stats before, held, released;
	struct world w;

	make_past(&w);
	volume_get_stats(w.sides[0].volume, &before);
	volume_hold(w.sides[0].volume);
	volume_hold(w.sides[0].volume);
	volume_release(w.sides[0].volume);
	for (int n = 0; n < 60; n++)
		do_write(&w, &w.sides[0], n % FILES);
	w.now_us += 1000 * SECOND;
	do_maintain(&w, &w.sides[0]);
	volume_get_stats(w.sides[0].volume, &held);
	volume_release(w.sides[0].volume);
	do_maintain(&w, &w.sides[0]);
	volume_get_stats(w.sides[0].volume, &released);
	check(held.folds == before.folds && held.pins == 1);
	check(held.horizon.lsn == before.horizon.lsn && released.horizon.lsn > held.horizon.lsn);
	check(released.folds > held.folds && released.pins == 0);
	world_done(&w);
}

static void a_clone_is_held_until_it_has_detached_also_when_opened_again(void)
{
	struct volume_stats stats;
	struct world w;

	make_past(&w);
	require(do_clone(&w, &w.sides[0], &w.sides[1]) == 0);
	check(volume_is_attached(w.sides[0].disk) == 0 && volume_is_attached(w.sides[1].disk) == 1);
	check(volume_is_attached(w.sides[2].disk) == -ENOENT);
	for (int round = 0; round < 2; round++) {
		for (int n = 0; n < 60; n++) {
			do_write(&w, &w.sides[1], n % FILES);
			remember(&w.sides[1]);
		}
		w.now_us += 1000 * SECOND;
		do_maintain(&w, &w.sides[1]);
		volume_get_stats(w.sides[1].volume, &stats);
		check(stats.folds == 0 && stats.attached && stats.shared_bytes > 0 &&
		      stats.pins == 1);
		require(reopen(&w, &w.sides[1]) == 0);
	}
	check(do_detach(&w, &w.sides[1]) == 0 && volume_is_attached(w.sides[1].disk) == 0);
	do_maintain(&w, &w.sides[1]);
	volume_get_stats(w.sides[1].volume, &stats);
	check(stats.folds > 0 && !stats.attached && stats.pins == 0);
	check(is_sound(&w, &w.sides[1]) && is_sound(&w, &w.sides[0]));
	world_done(&w);
}

static void a_clone_reaches_back_before_its_own_beginning(void)
{
	const struct past *old;
	struct volume_backtrack done;
	struct problem why = {""};
	struct world w;

	make_past(&w);
	require(do_clone(&w, &w.sides[0], &w.sides[1]) == 0);
	old = &w.sides[1].past[w.sides[1].count - 4];
	check(volume_backtrack(w.sides[1].volume, &old->moment, NULL, &done, &why) == 0, "%s",
	      why.text);
	check(same_tree(volume_head(w.sides[1].volume), &old->toy));
	check(same_tree(volume_head(w.sides[0].volume), &w.sides[0].toy));
	world_done(&w);
}

static void what_is_gone_in_one_stays_in_the_other(void)
{
	struct world w;

	make_past(&w);
	require(do_clone(&w, &w.sides[0], &w.sides[1]) == 0);
	require(do_clone(&w, &w.sides[1], &w.sides[2]) == 0);
	check(do_delete(&w, &w.sides[0]) == 0);
	check(is_sound(&w, &w.sides[1]) && is_sound(&w, &w.sides[2]));
	check(do_delete(&w, &w.sides[1]) == 0);
	check(do_detach(&w, &w.sides[2]) == 0 && is_sound(&w, &w.sides[2]));
	world_done(&w);
}

static bool refuse(uint64_t done, uint64_t total, void *arg)
{
	return false;
}

static void detaching_can_be_cancelled_and_asked_for_again(void)
{
	struct problem why = {""};
	struct world w;

	make_past(&w);
	require(do_clone(&w, &w.sides[0], &w.sides[1]) == 0);
	check(volume_detach(w.sides[1].volume, refuse, NULL, &why) == -ECANCELED);
	check(is_sound(&w, &w.sides[1]) && volume_is_attached(w.sides[1].disk) == 1);
	check(volume_detach(w.sides[1].volume, NULL, NULL, &why) == 0);
	check(volume_detach(w.sides[1].volume, NULL, NULL, &why) == 0);
	world_done(&w);
}

static void a_clone_needs_an_empty_disk_that_can_share_files(void)
{
	CLEANUP(disk) struct disk *elsewhere = disk_memory_new(3);
	struct moment moment;
	struct problem why = {""};
	struct world w;

	make_past(&w);
	check(volume_clone(w.sides[0].volume, w.sides[0].disk, NULL, &moment, &why) == -ENOTEMPTY);
	check(volume_clone(w.sides[0].volume, elsewhere, NULL, &moment, &why) == -EXDEV);
	check(strstr(why.text, "another filesystem") != NULL, "%s", why.text);
	check(is_sound(&w, &w.sides[0]));
	world_done(&w);
}

static void a_fleeting_clone_has_no_horizon_but_the_base(void)
{
	struct volume_clone_options fleeting = {.fleeting = true};
	struct moment moment, horizon, before;
	struct problem why = {""};
	struct volume *volume;
	struct world w;

	make_past(&w);
	volume_horizon(w.sides[0].volume, &before);
	require(volume_clone(w.sides[0].volume, w.sides[1].disk, &fleeting, &moment, &why) == 0);
	w.now_us += 10000 * SECOND;
	require(volume_open(w.sides[1].disk, &w.options, &volume, &why) == 0, "%s", why.text);
	volume_horizon(volume, &horizon);
	check(horizon.lsn <= before.lsn);
	check(same_tree(volume_head(volume), &w.sides[0].toy));
	volume_close(volume);
	world_done(&w);
}

/* --- Where two clones differ ------------------------------------------------------------------ */

static int mark_units(uint64_t offset, uint64_t size, void *arg)
{
	bool *named = arg;

	for (uint64_t i = offset / UNIT; i <= (offset + size - 1) / UNIT && i < UNITS; i++)
		named[i] = true;
	return 0;
}

static int64_t size_of(struct view *view, int file, uint64_t *ret_ino)
{
	struct volume_attr attr;

	if (view_lookup(view, VOLUME_ROOT_INO, file_name(file), &attr) < 0)
		return -1;
	*ret_ino = attr.ino;
	return (int64_t)attr.size;
}

/* What is not named must be the same; counts units that are the same and not named. */
static int compare_file(struct world *w, int file, uint64_t shared)
{
	struct volume *a = w->sides[1].volume, *b = w->sides[2].volume;
	uint8_t in_a[UNIT], in_b[UNIT];
	uint64_t ino_a, ino_b;
	bool named[UNITS] = {false};
	int same = 0;

	if (size_of(volume_head(a), file, &ino_a) < 0 ||
	    size_of(volume_head(b), file, &ino_b) < 0 || ino_a != ino_b)
		return 0;
	check(volume_differ(a, b, shared, ino_a, mark_units, named) == 0);
	for (uint64_t i = 0; i < UNITS; i++) {
		if (named[i])
			continue;
		same++;
		check(view_read(volume_head(a), ino_a, i * UNIT, in_a, UNIT) == UNIT);
		check(view_read(volume_head(b), ino_b, i * UNIT, in_b, UNIT) == UNIT);
		check(!memcmp(in_a, in_b, UNIT), "unit %d of file %d", (int)i, file);
	}
	return same;
}

static void go_somewhere(struct world *w, struct side *side, size_t count)
{
	const struct past *to = &side->past[count - 1 - rnd(w, count / 2)];
	struct volume_backtrack done;
	struct problem why = {""};
	struct moment horizon;

	volume_horizon(side->volume, &horizon);
	if (to->moment.lsn < horizon.lsn)
		return;
	check(volume_backtrack(side->volume, &to->moment, NULL, &done, &why) == 0, "%s", why.text);
	side->toy = to->toy;
}

/* The clones are made at two times, put back to moments of their own, and written to. */
static int differ_once(struct world *w, uint64_t seed)
{
	struct moment first, second;
	size_t common;
	int same = 0;

	make_past(w);
	w->random = seed;
	common = w->sides[0].count;
	volume_hold(w->sides[0].volume);
	check(do_clone(w, &w->sides[0], &w->sides[1]) == 0);
	volume_now(w->sides[1].volume, &first);
	for (int i = (int)rnd(w, 30); i > 0; i--) {
		do_write(w, &w->sides[0], (int)rnd(w, FILES));
		remember(&w->sides[0]);
		w->now_us += SECOND;
	}
	check(do_clone(w, &w->sides[0], &w->sides[2]) == 0);
	volume_now(w->sides[2].volume, &second);
	for (int side = 1; side <= 2; side++) {
		go_somewhere(w, &w->sides[side], common);
		for (int i = (int)rnd(w, 8); i > 0; i--)
			do_write(w, &w->sides[side], (int)rnd(w, FILES));
	}
	for (int file = 0; file < FILES; file++)
		same += compare_file(w, file, MIN(first.lsn, second.lsn));
	volume_release(w->sides[0].volume);
	world_done(w);
	return same;
}

static void what_is_not_named_as_different_is_the_same_in_two_clones(void)
{
	struct world w;
	int same = 0;

	for (uint64_t seed = 1; seed <= 60 && !tap_bad; seed++)
		same += differ_once(&w, seed);
	check(same > 500, "%d units were not named", same);
}

int main(int argc, char **argv)
{
	log_set_level(LOG_ERROR + 1);
	if (argc > 1) {
		uint64_t seed = strtoull(argv[1], NULL, 10);
		struct world w;
		bool good = run_seed(&w, seed, seed % 2, true);

		world_done(&w);
		return !good;
	}
	RUN(a_clone_reaches_back_before_its_own_beginning);
	RUN(a_clone_needs_an_empty_disk_that_can_share_files);
	RUN(a_fleeting_clone_has_no_horizon_but_the_base);
	RUN(what_is_not_named_as_different_is_the_same_in_two_clones);
	RUN(a_held_base_does_not_advance_nor_the_horizon_and_a_released_one_does);
	RUN(a_clone_is_held_until_it_has_detached_also_when_opened_again);
	RUN(what_is_gone_in_one_stays_in_the_other);
	RUN(detaching_can_be_cancelled_and_asked_for_again);
	RUN(a_crash_at_any_call_of_a_clone_leaves_the_parent_whole_and_all_or_nothing);
	RUN(a_call_that_fails_while_cloning_fails_the_clone_alone);
	RUN(a_crash_at_any_call_of_detaching_loses_nothing_and_it_goes_on);
	RUN(parent_and_clones_never_see_what_the_others_do);
	return tap_done();
}
