/*
 * Goal: the volume does what a toy in memory does, at every moment of its past, through backtracks,
 *folds, checkpoints, crashes and power cuts.
 *
 * Method: random operations from a seed on both.  The toy keeps a copy of its whole (small) tree
 *after every operation, with the volume's moment; any of them that is not before the horizon must
 *be found again in a view or by a backtrack.  After a power cut the head must equal the toy's tree
 *after some operation not older than the last sync, and nothing else.
 *
 *	volume_test		a few thousand seeds, the named cases
 *	volume_test SEED [STEPS] one seed again, telling what it does
 */
#include "tap.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "disk/disk.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define FILES 10
#define DIRS 3 /* the root and two below it */
#define FILE_MAX 40000
#define HISTORY_MAX 4000
#define TROUBLE_STEPS 300
#define SEEDS 6000    /* or as many as 20 seconds (8 when brief) allow, */
#define SEEDS_MIN 100 /* but these, however long they take */
#define SEGMENT (64 * 1024)

/* --- The toy ---------------------------------------------------------------------------------- */

/* Never changes once made; shared between trees. */
struct content {
	int users;
	size_t size;
	uint32_t mode;
	int xattr; /* value of "user.x", or -1 */
	uint8_t bytes[];
};

struct toy {
	bool dirs[DIRS]; /* [0] is the root */
	/* Which file, by number, the name is a link to; -1 none. */
	int names[DIRS][FILES];
	struct content *files[FILES];
};

static struct content *content_new(size_t size)
{
	struct content *c = xcalloc(1, sizeof *c + size);

	c->users = 1;
	c->size = size;
	c->mode = 0644;
	c->xattr = -1;
	return c;
}

static void content_unref(struct content *c)
{
	if (c && --c->users == 0)
		free(c);
}

static struct toy toy_copy(const struct toy *toy)
{
	for (int i = 0; i < FILES; i++)
		if (toy->files[i])
			toy->files[i]->users++;
	return *toy;
}

static void toy_done(struct toy *toy)
{
	for (int i = 0; i < FILES; i++)
		content_unref(toy->files[i]);
}

/* The file's content, to be changed: a copy with `size` bytes. */
static struct content *toy_edit(struct toy *toy, int file, size_t size)
{
	struct content *old = toy->files[file], *new = content_new(size);

	new->mode = old->mode;
	new->xattr = old->xattr;
	memcpy(new->bytes, old->bytes, old->size < size ? old->size : size);
	content_unref(old);
	toy->files[file] = new;
	return new;
}

static int toy_links(const struct toy *toy, int file)
{
	int count = 0;

	for (int d = 0; d < DIRS; d++)
		for (int n = 0; n < FILES; n++)
			count += toy->dirs[d] && toy->names[d][n] == file;
	return count;
}

/* --- A run ------------------------------------------------------------------------------------ */

struct past {
	struct moment moment;
	struct toy toy;
};

enum trouble {
	TROUBLE_POWER,        /* the power goes */
	TROUBLE_FAIL_ONCE,    /* the call fails */
	TROUBLE_FAIL_FOREVER, /* it and every later one */
};

struct run {
	uint64_t seed, random;
	bool loud;
	struct disk *disk;
	struct volume *volume;
	struct volume_options options;
	int64_t now_us;
	struct toy toy;
	struct past *past;    /* in order of the tape */
	size_t count, synced; /* synced: past[synced] is durable */
	enum trouble trouble;
	uint64_t trouble_at; /* at this call of the disk; 0: none */
	int crashes, folds, backtracks, repacks;
};

static uint64_t rnd(struct run *run, uint64_t below)
{
	/* splitmix64, public domain, Sebastiano Vigna. */
	uint64_t z = run->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

#define say(run, ...)                             \
	do {                                      \
		if ((run)->loud)                  \
			printf("# " __VA_ARGS__); \
	} while (0)

static int64_t run_clock(void *arg)
{
	struct run *run = arg;

	return run->now_us += 1;
}

static void remember(struct run *run)
{
	struct past *past = &run->past[run->count++];

	volume_now(run->volume, &past->moment);
	past->toy = toy_copy(&run->toy);
}

static const char *dir_name(int dir)
{
	static const char *const names[] = {"", "a", "b"};

	return names[dir];
}

static const char *file_name(int name)
{
	static const char *const names[] = {"f0", "f1", "f2", "f3", "f4",
					    "f5", "f6", "f7", "f8", "f9"};

	return names[name];
}

static bool find_dir(struct view *view, int dir, uint64_t *ret)
{
	struct volume_attr attr;

	*ret = VOLUME_ROOT_INO;
	if (dir == 0)
		return true;
	if (view_lookup(view, VOLUME_ROOT_INO, dir_name(dir), &attr) < 0)
		return false;
	*ret = attr.ino;
	return true;
}

static int count_entry(const struct volume_entry *entry, void *arg)
{
	++*(int *)arg;
	return 0;
}

static bool same_file(struct view *view, uint64_t dir, int name, const struct toy *toy, int file)
{
	static uint8_t bytes[FILE_MAX + 1];
	const struct content *content = toy->files[file];
	struct volume_attr attr;
	char value[8] = "";
	ssize_t got;

	if (view_lookup(view, dir, file_name(name), &attr) < 0)
		return false;
	if (attr.size != content->size || attr.nlink != (uint32_t)toy_links(toy, file) ||
	    attr.mode != (S_IFREG | content->mode))
		return false;
	got = view_getxattr(view, attr.ino, "user.x", value, sizeof value);
	if (content->xattr < 0 ? got != -ENODATA : got < 0 || atoi(value) != content->xattr)
		return false;
	got = view_read(view, attr.ino, 0, bytes, sizeof bytes);
	return got == (ssize_t)content->size && memcmp(bytes, content->bytes, content->size) == 0;
}

/* The view shows exactly the toy's tree. */
static bool same_tree(struct view *view, const struct toy *toy)
{
	for (int d = 0; d < DIRS; d++) {
		int expected = 2, found = 0;
		uint64_t dir;

		if (find_dir(view, d, &dir) != toy->dirs[d])
			return false;
		if (!toy->dirs[d])
			continue;
		for (int n = 0; n < FILES; n++) {
			if (toy->names[d][n] < 0)
				continue;
			expected++;
			if (!same_file(view, dir, n, toy, toy->names[d][n]))
				return false;
		}
		for (int i = 1; d == 0 && i < DIRS; i++)
			expected += toy->dirs[i];
		view_readdir(view, dir, 0, count_entry, &found);
		if (found != expected)
			return false;
	}
	return true;
}

/* --- Operations ------------------------------------------------------------------------------- */

/*
 * Operations return 0, or -EIO when the power went; anything else is a fault.  One that met the
 * power cut may or may not have happened: the toy then does it, and has the tree before it in its
 * memory.
 */
static bool may_have_happened(int r)
{
	return r == 0 || r == -EIO;
}

static int do_create(struct run *run, int d, int n)
{
	struct volume_new new = {.mode = S_IFREG | 0644};
	struct volume_attr attr;
	uint64_t dir;
	int file, r;

	find_dir(volume_head(run->volume), d, &dir);
	for (file = 0; file < FILES && run->toy.files[file]; file++)
		;
	if (file == FILES)
		return 0;
	r = volume_create(run->volume, dir, file_name(n), &new, &attr);
	say(run, "create %d/%d file %d: %d\n", d, n, file, r);
	if (!may_have_happened(r))
		return r;
	run->toy.names[d][n] = file;
	run->toy.files[file] = content_new(0);
	return r;
}

static void drop_if_unlinked(struct toy *toy, int file)
{
	if (toy_links(toy, file))
		return;
	content_unref(toy->files[file]);
	toy->files[file] = NULL;
}

static int do_unlink(struct run *run, uint64_t dir, int d, int n)
{
	int file = run->toy.names[d][n], r;

	r = volume_unlink(run->volume, dir, file_name(n));
	say(run, "unlink %d/%d: %d\n", d, n, r);
	if (!may_have_happened(r))
		return r;
	run->toy.names[d][n] = -1;
	drop_if_unlinked(&run->toy, file);
	return r;
}

static int do_rename(struct run *run, uint64_t dir, int d, int n)
{
	int to_d = rnd(run, DIRS), to_n = rnd(run, FILES), file = run->toy.names[d][n], other, r;
	bool exchange = rnd(run, 4) == 0;
	uint64_t to;

	if (!run->toy.dirs[to_d])
		return 0;
	other = run->toy.names[to_d][to_n];
	if (exchange && other < 0)
		return 0;
	find_dir(volume_head(run->volume), to_d, &to);
	r = volume_rename(run->volume, dir, file_name(n), to, file_name(to_n),
			  exchange ? RENAME_EXCHANGE : 0);
	say(run, "rename %d/%d to %d/%d%s: %d\n", d, n, to_d, to_n, exchange ? " exchange" : "", r);
	if (!may_have_happened(r))
		return r;
	if (file == other)
		return 0;
	run->toy.names[to_d][to_n] = file;
	run->toy.names[d][n] = exchange ? other : -1;
	if (other >= 0 && !exchange)
		drop_if_unlinked(&run->toy, other);
	return r;
}

static int do_link(struct run *run, uint64_t ino, int file)
{
	int d = rnd(run, DIRS), n = rnd(run, FILES), r;
	struct volume_attr attr;
	uint64_t dir;

	if (!run->toy.dirs[d] || run->toy.names[d][n] >= 0)
		return 0;
	find_dir(volume_head(run->volume), d, &dir);
	r = volume_link(run->volume, ino, dir, file_name(n), &attr);
	say(run, "link file %d as %d/%d: %d\n", file, d, n, r);
	if (!may_have_happened(r))
		return r;
	run->toy.names[d][n] = file;
	return r;
}

static int do_write(struct run *run, uint64_t ino, int file)
{
	uint64_t offset = rnd(run, 3) ? rnd(run, 8) * 4096 : rnd(run, FILE_MAX - 9000);
	size_t size = rnd(run, 3) ? 4096 * (1 + rnd(run, 2)) : 1 + rnd(run, 8192),
	       old = run->toy.files[file]->size;
	CLEANUP(free) uint8_t *bytes = xmalloc(size);
	struct iovec iov = {bytes, size};
	struct content *content;
	int r;

	for (size_t i = 0; i < size; i++)
		bytes[i] = rnd(run, 256);
	r = volume_write(run->volume, ino, offset, &iov, 1, false);
	say(run, "write file %d at %llu size %zu: %d\n", file, (unsigned long long)offset, size, r);
	if (!may_have_happened(r))
		return r;
	content = toy_edit(&run->toy, file, offset + size > old ? offset + size : old);
	memcpy(content->bytes + offset, bytes, size);
	return r;
}

static int do_truncate(struct run *run, uint64_t ino, int file)
{
	struct volume_change change = {.set = VOLUME_SET_SIZE, .size = rnd(run, FILE_MAX)};
	struct volume_attr attr;
	int r;

	r = volume_setattr(run->volume, ino, &change, &attr);
	say(run, "truncate file %d to %llu: %d\n", file, (unsigned long long)change.size, r);
	if (!may_have_happened(r))
		return r;
	toy_edit(&run->toy, file, change.size);
	return r;
}

static int do_punch(struct run *run, uint64_t ino, int file)
{
	uint64_t offset = rnd(run, FILE_MAX - 20000), size = 1 + rnd(run, 20000);
	bool keep = rnd(run, 2);
	struct content *content;
	size_t old = run->toy.files[file]->size, new;
	int r;

	r = volume_fallocate(run->volume, ino,
			     keep ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
				  : FALLOC_FL_ZERO_RANGE,
			     offset, size);
	say(run, "%s file %d at %llu size %llu: %d\n", keep ? "punch" : "zero", file,
	    (unsigned long long)offset, (unsigned long long)size, r);
	if (!may_have_happened(r))
		return r;
	new = !keep &&offset + size > old ? offset + size : old;
	content = toy_edit(&run->toy, file, new);
	for (uint64_t i = offset; i < offset + size && i < new; i++)
		content->bytes[i] = 0;
	return r;
}

static int do_attr(struct run *run, uint64_t ino, int file)
{
	struct volume_change change = {.set = VOLUME_SET_MODE, .mode = rnd(run, 0777)};
	struct content *content;
	struct volume_attr attr;
	char value[8];
	int r, x = rnd(run, 1000);

	if (rnd(run, 2)) {
		r = volume_setattr(run->volume, ino, &change, &attr);
	} else {
		snprintf(value, sizeof value, "%d", x);
		r = volume_setxattr(run->volume, ino, "user.x", value, strlen(value) + 1, 0);
		change.set = 0;
	}
	say(run, "attributes of file %d: %d\n", file, r);
	if (!may_have_happened(r))
		return r;
	content = toy_edit(&run->toy, file, run->toy.files[file]->size);
	if (change.set)
		content->mode = change.mode;
	else
		content->xattr = x;
	return r;
}

static int do_dir(struct run *run, int d)
{
	struct volume_new new = {.mode = S_IFDIR | 0755};
	struct volume_attr attr;
	int r;

	if (!run->toy.dirs[d]) {
		r = volume_create(run->volume, VOLUME_ROOT_INO, dir_name(d), &new, &attr);
		say(run, "mkdir %d: %d\n", d, r);
		if (!may_have_happened(r))
			return r;
		run->toy.dirs[d] = true;
		return r;
	}
	r = volume_rmdir(run->volume, VOLUME_ROOT_INO, dir_name(d));
	say(run, "rmdir %d: %d\n", d, r);
	for (int n = 0; n < FILES; n++)
		if (run->toy.names[d][n] >= 0)
			return r == -ENOTEMPTY ? 0 : r == -EIO ? r : -EINVAL;
	if (!may_have_happened(r))
		return r;
	run->toy.dirs[d] = false;
	return r;
}

static int change_something(struct run *run)
{
	int d = rnd(run, DIRS), n = rnd(run, FILES), file;
	struct volume_attr attr;
	uint64_t dir;

	if (d && rnd(run, 8) == 0)
		return do_dir(run, d);
	if (!run->toy.dirs[d])
		return 0;
	file = run->toy.names[d][n];
	if (file < 0)
		return do_create(run, d, n);
	find_dir(volume_head(run->volume), d, &dir);
	if (view_lookup(volume_head(run->volume), dir, file_name(n), &attr) < 0)
		return -EUCLEAN;
	switch (rnd(run, 16)) {
	case 0:
		return do_unlink(run, dir, d, n);
	case 1:
		return do_rename(run, dir, d, n);
	case 2:
		return do_link(run, attr.ino, file);
	case 3:
		return do_truncate(run, attr.ino, file);
	case 4:
		return do_punch(run, attr.ino, file);
	case 5:
		return do_attr(run, attr.ino, file);
	default:
		return do_write(run, attr.ino, file);
	}
}

/* --- Time travel --------------------------------------------------------------------------------
 */

/* The oldest thing remembered that the horizon does not exclude. */
static size_t first_reachable(struct run *run)
{
	struct moment horizon;
	size_t i = 0;

	volume_horizon(run->volume, &horizon);
	while (i < run->count - 1 && run->past[i].moment.lsn < horizon.lsn)
		i++;
	return i;
}

static size_t pick_past(struct run *run)
{
	size_t first = first_reachable(run);

	return first + rnd(run, run->count - first);
}

static int go_back(struct run *run)
{
	size_t i = pick_past(run);
	struct volume_backtrack done;
	struct problem why = {""};
	struct toy toy;
	int r;

	/* As people do: by time as well as by position. */
	r = volume_backtrack(run->volume, &run->past[i].moment, NULL, &done, &why);
	say(run, "backtrack to %zu (lsn %llu): %d %s\n", i,
	    (unsigned long long)run->past[i].moment.lsn, r, why.text);
	if (r == -ERANGE && i < first_reachable(run)) /* the clock ticked after the choice */
		return 0;
	if (!may_have_happened(r))
		return r;
	toy = toy_copy(&run->past[i].toy);
	toy_done(&run->toy);
	run->toy = toy;
	run->backtracks++;
	if (r == 0)
		run->synced = run->count;
	return r;
}

static int look_back(struct run *run)
{
	size_t i = pick_past(run);
	CLEANUP(view) struct view *view = NULL;
	struct problem why = {""};
	int r;

	r = volume_view(run->volume, &run->past[i].moment, &view, &why);
	say(run, "view of %zu (lsn %llu): %d %s\n", i, (unsigned long long)run->past[i].moment.lsn,
	    r, why.text);
	if (r == -ERANGE && i < first_reachable(run))
		return 0;
	if (r < 0)
		return r;
	/* Folds go on while somebody looks. */
	if (rnd(run, 4) == 0 && volume_maintain(run->volume) < 0)
		return -EIO;
	return same_tree(view, &run->past[i].toy) ? 0 : -EUCLEAN;
}

static void forget_after(struct run *run, size_t last)
{
	while (run->count > last + 1)
		toy_done(&run->past[--run->count].toy);
}

/* A RELEASE that the crash took is made up for by a PURGE: the same tree, some bytes earlier. */
#define PURGE_IS_SHORTER 8

/* The power has gone: what comes up must be something that was, and not older than the last sync.
 */
static bool come_back(struct run *run)
{
	struct disk *disk = disk_memory_power_on(run->disk, rnd(run, UINT64_MAX));
	struct problem why = {""};
	struct moment now;
	struct toy toy;
	size_t i;
	int r;

	volume_close(run->volume);
	disk_close(run->disk);
	run->volume = NULL;
	run->disk = disk;
	run->crashes++;
	r = volume_open(disk, &run->options, &run->volume, &why);
	if (!check(r == 0, "seed %llu: opening after trouble at call %llu: %d %s",
		   (unsigned long long)run->seed, (unsigned long long)run->trouble_at, r, why.text))
		return false;
	volume_now(run->volume, &now);
	for (i = run->count; i-- > run->synced;)
		if (run->past[i].moment.lsn <= now.lsn + PURGE_IS_SHORTER &&
		    same_tree(volume_head(run->volume), &run->past[i].toy))
			break;
	say(run, "trouble; back at %zu, synced %zu, count %zu\n", i, run->synced, run->count);
	if (!check(i + 1 > run->synced,
		   "seed %llu: no known tree came back after trouble at call %llu (synced %zu of "
		   "%zu)",
		   (unsigned long long)run->seed, (unsigned long long)run->trouble_at, run->synced,
		   run->count))
		return false;
	forget_after(run, i);
	for (size_t j = 0; j < run->count; j++)
		run->past[j].moment.lsn = MIN(run->past[j].moment.lsn, now.lsn);
	toy = toy_copy(&run->past[i].toy);
	toy_done(&run->toy);
	run->toy = toy;
	remember(run);
	run->synced = run->count - 1;
	return true;
}

static int reopen(struct run *run)
{
	struct problem why = {""};
	int r;

	say(run, "close and open\n");
	r = volume_sync(run->volume);
	if (r < 0)
		return r;
	volume_close(run->volume);
	run->volume = NULL;
	r = volume_open(run->disk, &run->options, &run->volume, &why);
	if (r < 0)
		say(run, "%s\n", why.text);
	else
		run->synced = run->count - 1;
	return r;
}

static void print_damage(const char *line, void *arg)
{
	printf("# %s\n", line);
	++*(int *)arg;
}

static int verify(struct run *run)
{
	int damage = 0, r;
	struct volume_verify_options options = {.report = print_damage, .arg = &damage};

	r = volume_verify(run->disk, run->volume, &options);
	say(run, "verify: %d\n", r);
	return r < 0 ? r : damage ? -EUCLEAN : 0;
}

static int sync_all(struct run *run)
{
	int r = volume_sync(run->volume);

	if (r == 0)
		run->synced = run->count - 1;
	say(run, "sync: %d\n", r);
	return r;
}

/* Write what the first file holds again, until segments are full of it. */
static int rewrite(struct run *run)
{
	struct volume_attr attr;
	int file = run->toy.names[0][0];

	if (file < 0 || run->toy.files[file]->size == 0)
		return 0;
	if (view_lookup(volume_head(run->volume), VOLUME_ROOT_INO, file_name(0), &attr) < 0)
		return -EUCLEAN;
	for (size_t done = 0; done < 2 * SEGMENT; done += run->toy.files[file]->size) {
		struct iovec iov = {run->toy.files[file]->bytes, run->toy.files[file]->size};
		int r = volume_write(run->volume, attr.ino, 0, &iov, 1, false);

		if (r < 0)
			return r;
	}
	return sync_all(run);
}

static int repack(struct run *run)
{
	const struct volume_repack_options options = {0};
	struct volume_repacked repacked;
	struct problem why = {""};
	int r = rewrite(run);

	if (r < 0)
		return r;
	r = volume_repack(run->volume, &options, &repacked, &why);

	run->repacks += repacked.segments > 0;
	say(run, "repack: %d, %llu segments %s\n", r, (unsigned long long)repacked.segments,
	    why.text);
	return r;
}

static int maintain(struct run *run)
{
	struct volume_stats stats;
	int r;

	run->now_us += rnd(run, 400000);
	r = volume_maintain(run->volume);
	volume_get_stats(run->volume, &stats);
	run->folds += stats.folds > 0;
	say(run, "maintain: %d, horizon lsn %llu\n", r, (unsigned long long)stats.horizon.lsn);
	return r < 0 ? r : run->seed % 4 == 1 ? repack(run) : 0;
}

static int step(struct run *run)
{
	run->now_us += rnd(run, 20000);
	switch (rnd(run, 32)) {
	case 0:
		return go_back(run);
	case 1:
	case 2:
		return look_back(run);
	case 3:
	case 4:
		return sync_all(run);
	case 5:
	case 6:
		return maintain(run);
	case 7:
		return rnd(run, 4) ? 0 : volume_checkpoint(run->volume);
	case 8:
		return rnd(run, 4) ? 0 : reopen(run);
	case 9:
		return rnd(run, 8) ? 0 : verify(run);
	default:
		return change_something(run);
	}
}

static bool open_run(struct run *run)
{
	struct volume_format_options format = {.segment_bytes = SEGMENT,
					       .window_us = 400000,
					       .root_mode = 0755,
					       .clock = run_clock,
					       .clock_arg = run};
	struct problem why = {""};

	run->random = run->seed;
	run->now_us = 1000000000;
	run->options = (struct volume_options){.clock = run_clock,
					       .clock_arg = run,
					       .bytes_reserved = 1,
					       .checkpoint_records = 25};
	run->disk = disk_memory_new(run->seed);
	run->past = xcalloc(HISTORY_MAX, sizeof *run->past);
	memset(run->toy.names, -1, sizeof run->toy.names);
	run->toy.dirs[0] = true;
	if (!check(volume_format(run->disk, &format, &why) == 0, "%s", why.text) ||
	    !check(volume_open(run->disk, &run->options, &run->volume, &why) == 0, "%s", why.text))
		return false;
	remember(run);
	return true;
}

static void close_run(struct run *run)
{
	volume_close(run->volume);
	disk_close(run->disk);
	while (run->count)
		toy_done(&run->past[--run->count].toy);
	toy_done(&run->toy);
	free(run->past);
}

static void make_trouble(struct run *run, uint64_t call)
{
	run->trouble_at = call;
	if (run->trouble == TROUBLE_POWER)
		disk_memory_power_cut(run->disk, call);
	else
		disk_memory_fail(run->disk, call, run->trouble == TROUBLE_FAIL_FOREVER);
}

static bool is_in_trouble(struct run *run)
{
	return run->trouble_at && disk_memory_calls(run->disk) >= run->trouble_at;
}

/* One step, and what becomes of it in trouble.  Returns false at a fault. */
static bool play_step(struct run *run, int i)
{
	int r = step(run);

	/* A call that failed once in background work is no trouble for who asked for something
	 * else. */
	if (is_in_trouble(run) && (r < 0 || run->trouble != TROUBLE_FAIL_ONCE)) {
		if (may_have_happened(r) && run->volume)
			remember(run);
		if (!come_back(run))
			return false;
		run->trouble_at = 0;
		return true;
	}
	if (!check(r == 0, "seed %llu step %d: %d (%s)", (unsigned long long)run->seed, i, r,
		   strerror(-r)))
		return false;
	remember(run);
	/* Looking costs time: not after every step. */
	return rnd(run, 4) || check(same_tree(volume_head(run->volume), &run->toy),
				    "seed %llu step %d: the head is not the toy",
				    (unsigned long long)run->seed, i);
}

/* With power cuts now and then.  Returns false at the first fault. */
static bool play(struct run *run, int steps)
{
	for (int i = 0; i < steps && run->count < HISTORY_MAX - 2; i++) {
		if (!run->trouble_at && rnd(run, 100) == 0)
			make_trouble(run, disk_memory_calls(run->disk) + 1 + rnd(run, 60));
		if (!play_step(run, i))
			return false;
	}
	return true;
}

/* The run with trouble at its n-th call of the disk: 1, 0 when the run is over before, -1 at a
 * fault. */
static int run_with_trouble(enum trouble trouble, uint64_t n)
{
	struct run run = {.seed = 11, .trouble = trouble};
	bool good = open_run(&run), met;

	make_trouble(&run, disk_memory_calls(run.disk) + n);
	for (int i = 0; i < TROUBLE_STEPS && good; i++)
		good = play_step(&run, i);
	met = run.crashes || is_in_trouble(&run);
	close_run(&run);
	if (!good)
		printf("# trouble at call %llu\n", (unsigned long long)n);
	return good ? met : -1;
}

/*
 * The same run again and again, with trouble at its first call of the disk, its second, ... In four
 * passes, each of every fourth call, so that a slow machine, after half a minute, has at least been
 * everywhere; as has one that is to be brief, after the first.
 */
static void trouble_at_every_call(enum trouble trouble)
{
	static const int first[] = {1, 3, 2, 4};
	int64_t until = clock_monotonic_us() + (tap_is_brief() ? 0 : 30000000);
	int calls = 0;

	for (size_t pass = 0; pass < ARRAY_SIZE(first); pass++) {
		uint64_t n = first[pass];
		int r;

		if (pass && clock_monotonic_us() > until)
			break;
		for (; (r = run_with_trouble(trouble, n)) > 0; n += ARRAY_SIZE(first))
			calls++;
		require(r == 0);
		check(n > 150, "the run is too short: %llu calls", (unsigned long long)n);
	}
	printf("# at %d calls\n", calls);
}

static void a_power_cut_at_any_disk_call_of_a_run_loses_nothing_acknowledged(void)
{
	trouble_at_every_call(TROUBLE_POWER);
}

static void any_disk_call_of_a_run_may_fail_once(void)
{
	trouble_at_every_call(TROUBLE_FAIL_ONCE);
}

static void the_disk_may_fail_for_good_at_any_call_of_a_run(void)
{
	trouble_at_every_call(TROUBLE_FAIL_FOREVER);
}

static void the_volume_does_what_a_toy_does_through_backtracks_folds_and_power_cuts(void)
{
	int64_t until = clock_monotonic_us() + (tap_is_brief() ? 8000000 : 20000000);
	int seeds = 0, crashes = 0, folds = 0, backtracks = 0, repacks = 0;

	for (uint64_t seed = 1;
	     seed <= SEEDS_MIN || (seed <= SEEDS && clock_monotonic_us() < until); seed++) {
		struct run run = {.seed = seed};
		bool good = open_run(&run) && play(&run, 150);

		crashes += run.crashes;
		folds += run.folds;
		repacks += run.repacks;
		backtracks += run.backtracks;
		seeds++;
		close_run(&run);
		if (!good) {
			printf("# again: volume_test %llu\n", (unsigned long long)seed);
			break;
		}
	}
	printf("# %d seeds, %d power cuts, %d rounds with folds, %d backtracks, %d repacks\n",
	       seeds, crashes, folds, backtracks, repacks);
	check(crashes > seeds / 4 && folds > seeds / 10 && backtracks > seeds &&
		      repacks > seeds / 10,
	      "the run did too little");
}

int main(int argc, char **argv)
{
	log_set_level(argc > 1 ? LOG_DEBUG : LOG_ERROR);
	if (argc > 1) {
		struct run run = {.seed = strtoull(argv[1], NULL, 0), .loud = true};
		bool good = open_run(&run) && play(&run, argc > 2 ? atoi(argv[2]) : 150);

		close_run(&run);
		return !good;
	}
	RUN(the_volume_does_what_a_toy_does_through_backtracks_folds_and_power_cuts);
	RUN(a_power_cut_at_any_disk_call_of_a_run_loses_nothing_acknowledged);
	RUN(any_disk_call_of_a_run_may_fail_once);
	RUN(the_disk_may_fail_for_good_at_any_call_of_a_run);
	return tap_done();
}
