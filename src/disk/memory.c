/*
 * Memory: a disk that forgets like a real one.
 *
 * Every node (file content) has two images: `now`, what reads see, and `stable`, what a power cut
 * leaves for certain.  Between the two lie `changes`, in the order in which they were made: sectors
 * with their whole content after the change, and sizes.  A power cut keeps any of them; a sync
 * applies all of them to `stable` and forgets the list.  Names work the same way: `names` is what
 * is seen, `stable_names` what is certain, `name_changes` lies between, kept by prefix per folder.
 */
#include "disk/disk.h"
#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#define SECTOR 512

/* --- Random ------------------------------------------------------------------------------- */

/* splitmix64: small, and any seed is as good as any other. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Keeps things with a probability of its own, which may be 0 or 1. */
struct dice {
	uint64_t state;
	unsigned keep_of_256;
};

static void dice_init(struct dice *dice, uint64_t seed)
{
	static const uint16_t odds[8] = {0, 256, 128, 128, 16, 240, 64, 192};

	dice->state = seed;
	dice->keep_of_256 = odds[random_next(&dice->state) & 7];
}

static bool dice_keep(struct dice *dice)
{
	return (random_next(&dice->state) & 255) < dice->keep_of_256;
}

/* --- Content ------------------------------------------------------------------------------ */

struct image {
	uint8_t *data;
	uint64_t size;
	uint64_t room; /* of `data`; what is not written yet is zero */
};

enum change_kind { CHANGE_SECTORS, CHANGE_SIZE };

struct change {
	enum change_kind kind;
	uint64_t offset; /* or the size */
	size_t size;     /* whole sectors */
	uint8_t *bytes;
};

struct node {
	unsigned refs;
	unsigned seen; /* names and open files; at none its blocks take no space any more */
	struct image now, stable;
	struct change *changes;
	size_t change_count, change_room;
	uint8_t *blocks; /* one per DISK_BLOCK of `now`: takes space */
	size_t block_count;
	struct node *heir; /* while a disk is copied: what this one, with all its names, becomes */
};

static void image_reach(struct image *image, uint64_t end)
{
	uint64_t room = MAX(image->room * 2, ALIGN_UP(end, (uint64_t)DISK_BLOCK));

	if (end <= image->room)
		return;
	image->data = xreallocarray(image->data, room, 1);
	memset(image->data + image->room, 0, room - image->room);
	image->room = room;
}

static void image_resize(struct image *image, uint64_t size)
{
	if (size < image->size && size < image->room)
		memset(image->data + size, 0, image->room - size);
	image_reach(image, size);
	image->size = size;
}

static void image_copy(struct image *to, const struct image *from)
{
	*to = *from;
	to->data = from->room ? xmemdup(from->data, from->room) : NULL;
}

/* Apply to `image`, each sector as the dice fall; without dice, all of it. */
static void change_apply(const struct change *change, struct image *image, struct dice *dice)
{
	if (change->kind == CHANGE_SIZE) {
		if (!dice || dice_keep(dice))
			image_resize(image, change->offset);
		return;
	}
	image_reach(image, change->offset + change->size);
	for (size_t at = 0; at < change->size; at += SECTOR)
		if (!dice || dice_keep(dice))
			memcpy(image->data + change->offset + at, change->bytes + at, SECTOR);
}

static void node_forget_changes(struct node *node)
{
	for (size_t i = 0; i < node->change_count; i++)
		free(node->changes[i].bytes);
	node->change_count = 0;
}

static struct node *node_ref(struct node *node)
{
	node->refs++;
	return node;
}

static struct node *node_new(void)
{
	return node_ref(xcalloc(1, sizeof(struct node)));
}

/* --- Names -------------------------------------------------------------------------------- */

struct name {
	char *text;
	struct node *node;
};

/* Sorted by text. */
struct names {
	struct name *at;
	size_t count, room;
};

enum name_change_kind { NAME_CREATE, NAME_RENAME, NAME_REMOVE };

struct name_change {
	enum name_change_kind kind;
	char *name, *to; /* `to` only of a rename */
	struct node *node;
};

struct memory {
	struct disk disk;
	pthread_mutex_t lock; /* guards everything */
	struct names names, stable_names;
	struct name_change *name_changes;
	size_t name_change_count, name_change_room;
	struct dice dice; /* for calls that do a part of their work */
	uint64_t limit, used;
	uint64_t calls, prefetched;
	uint64_t fail_call, cut_call; /* 0: none */
	bool fail_forever;
	bool power_off;
};

struct memory_file {
	struct disk_file file;
	struct memory *memory;
	struct node *node;
	bool read_only;
};

static struct memory *memory_of(struct disk *disk)
{
	return (struct memory *)disk;
}

static struct memory_file *file_of(struct disk_file *file)
{
	return (struct memory_file *)file;
}

static void node_unref(struct node *node)
{
	if (!node || --node->refs > 0)
		return;
	node_forget_changes(node);
	free(node->changes);
	free(node->now.data);
	free(node->stable.data);
	free(node->blocks);
	free(node);
}

/* One name or open file less; the last one gives the space back. */
static void node_hide(struct memory *memory, struct node *node)
{
	if (--node->seen > 0)
		return;
	for (size_t i = 0; i < node->block_count; i++)
		memory->used -= node->blocks[i] ? DISK_BLOCK : 0;
}

/* Index of the name, or of where it would be. */
static size_t names_find(const struct names *names, const char *text, bool *ret_found)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(names->at[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < names->count && strcmp(names->at[low].text, text) == 0;
	return low;
}

static struct node *names_get(const struct names *names, const char *text)
{
	bool found;
	size_t i = names_find(names, text, &found);

	return found ? names->at[i].node : NULL;
}

static void names_remove(struct memory *memory, struct names *names, const char *text)
{
	bool found;
	size_t i = names_find(names, text, &found);

	if (!found)
		return;
	if (names == &memory->names)
		node_hide(memory, names->at[i].node);
	free(names->at[i].text);
	node_unref(names->at[i].node);
	memmove(names->at + i, names->at + i + 1, (names->count - i - 1) * sizeof *names->at);
	names->count--;
}

static void names_set(struct memory *memory, struct names *names, const char *text,
		      struct node *node)
{
	bool found;
	size_t i;

	node_ref(node)->seen += names == &memory->names;
	names_remove(memory, names, text);
	xgrow(names->at, names->count, names->room);
	i = names_find(names, text, &found);
	memmove(names->at + i + 1, names->at + i, (names->count - i) * sizeof *names->at);
	names->at[i] = (struct name){xstrdup(text), node};
	names->count++;
}

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->at[i].text);
		node_unref(names->at[i].node);
	}
	free(names->at);
}

static size_t folder_size(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash ? slash - name : 0;
}

static bool in_folder(const char *name, const char *folder, size_t size)
{
	return folder_size(name) == size && memcmp(name, folder, size) == 0;
}

static void name_change_apply(struct memory *memory, const struct name_change *change,
			      struct names *names)
{
	if (change->kind != NAME_REMOVE)
		names_set(memory, names, change->to ? change->to : change->name, change->node);
	if (change->kind != NAME_CREATE)
		names_remove(memory, names, change->name);
}

static void name_change_done(struct name_change *change)
{
	free(change->name);
	free(change->to);
	node_unref(change->node);
}

/* Does it to what is seen, and remembers it as not certain yet. */
static void change_names(struct memory *memory, enum name_change_kind kind, const char *name,
			 const char *to, struct node *node)
{
	struct name_change change = {kind, xstrdup(name), to ? xstrdup(to) : NULL, node_ref(node)};

	xgrow(memory->name_changes, memory->name_change_count, memory->name_change_room);
	memory->name_changes[memory->name_change_count++] = change;
	name_change_apply(memory, &change, &memory->names);
}

/* --- Faults ------------------------------------------------------------------------------- */

enum verdict {
	DO_IT,
	DO_PART,    /* and fail */
	DO_NOTHING, /* and fail */
};

/* Lock, and count a call that changes something. */
static enum verdict begin(struct memory *memory)
{
	pthread_mutex_lock(&memory->lock);
	if (memory->power_off)
		return DO_NOTHING;
	memory->calls++;
	if (memory->calls == memory->cut_call) {
		memory->power_off = true;
		return DO_PART;
	}
	if (memory->calls == memory->fail_call)
		return DO_PART;
	if (memory->fail_forever && memory->fail_call && memory->calls > memory->fail_call)
		return DO_NOTHING;
	return DO_IT;
}

static int end(struct memory *memory, int r)
{
	pthread_mutex_unlock(&memory->lock);
	return r;
}

/* As begin(), for calls that only look. */
static int begin_look(struct memory *memory)
{
	pthread_mutex_lock(&memory->lock);
	return memory->power_off ? -EIO : 0;
}

/* A fresh probability for each call that does a part of its work. */
static struct dice *roll(struct memory *memory)
{
	dice_init(&memory->dice, random_next(&memory->dice.state));
	return &memory->dice;
}

/* --- Files -------------------------------------------------------------------------------- */

static ssize_t memory_read(struct disk_file *file, void *buf, size_t size, uint64_t offset)
{
	struct memory *memory = file_of(file)->memory;
	struct image *image = &file_of(file)->node->now;
	int r = begin_look(memory);

	if (r < 0)
		return end(memory, r);
	size = offset >= image->size ? 0 : MIN((uint64_t)size, image->size - offset);
	if (size)
		memcpy(buf, image->data + offset, size);
	pthread_mutex_unlock(&memory->lock);
	return size;
}

static void memory_prefetch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct memory *memory = file_of(file)->memory;

	pthread_mutex_lock(&memory->lock);
	memory->prefetched += size;
	pthread_mutex_unlock(&memory->lock);
}

static void add_change(struct node *node, const struct change *change)
{
	xgrow(node->changes, node->change_count, node->change_room);
	node->changes[node->change_count++] = *change;
}

static void set_size(struct node *node, uint64_t size)
{
	if (size == node->now.size)
		return;
	image_resize(&node->now, size);
	add_change(node, &(struct change){.kind = CHANGE_SIZE, .offset = size});
}

/* Remember the sectors that [offset, offset + size) of `now` touches. */
static void add_sectors(struct node *node, uint64_t offset, uint64_t size)
{
	struct change change = {.kind = CHANGE_SECTORS};

	if (size == 0)
		return;
	change.offset = ALIGN_DOWN(offset, SECTOR);
	change.size = ALIGN_UP(offset + size, SECTOR) - change.offset;
	image_reach(&node->now, change.offset + change.size);
	change.bytes = xmemdup(node->now.data + change.offset, change.size);
	add_change(node, &change);
}

/* The blocks of [offset, offset + size) take space from now on. */
static int take_space(struct memory *memory, struct node *node, uint64_t offset, uint64_t size)
{
	size_t first = offset / DISK_BLOCK, last = (offset + size - 1) / DISK_BLOCK;
	uint64_t more = 0;

	for (size_t i = first; i <= last; i++)
		more += i >= node->block_count || !node->blocks[i] ? DISK_BLOCK : 0;
	if (memory->limit && memory->used + more > memory->limit)
		return -ENOSPC;
	if (last >= node->block_count) {
		node->blocks = xreallocarray(node->blocks, last + 1, 1);
		memset(node->blocks + node->block_count, 0, last + 1 - node->block_count);
		node->block_count = last + 1;
	}
	memset(node->blocks + first, 1, last - first + 1);
	memory->used += more;
	return 0;
}

static void give_space(struct memory *memory, struct node *node, uint64_t offset,
		       uint64_t end_offset)
{
	size_t first = ALIGN_UP(offset, DISK_BLOCK) / DISK_BLOCK;
	size_t last = MIN(end_offset / DISK_BLOCK, (uint64_t)node->block_count);

	for (size_t i = first; i < last; i++) {
		memory->used -= node->blocks[i] ? DISK_BLOCK : 0;
		node->blocks[i] = 0;
	}
}

/* `buf` NULL: zeros.  With `dice`, only some of the sectors arrive. */
static void put_bytes(struct node *node, const uint8_t *buf, uint64_t size, uint64_t offset,
		      struct dice *dice)
{
	uint64_t end_offset = offset + size;

	while (offset < end_offset) {
		uint64_t stop = dice ? ALIGN_DOWN(offset, SECTOR) + SECTOR : end_offset;
		uint64_t n = MIN(stop, end_offset) - offset;

		if (!dice || dice_keep(dice)) {
			if (offset + n > node->now.size)
				set_size(node, offset + n);
			if (buf)
				memcpy(node->now.data + offset, buf, n);
			else
				memset(node->now.data + offset, 0, n);
			add_sectors(node, offset, n);
		}
		offset += n;
		buf = buf ? buf + n : NULL;
	}
}

/* The common way of all writes, verdict given, lock held. */
static int write_bytes(struct memory_file *file, enum verdict verdict, const void *buf,
		       uint64_t size, uint64_t offset)
{
	struct memory *memory = file->memory;
	int r;

	if (verdict == DO_NOTHING)
		return -EIO;
	if (file->read_only)
		return -EBADF;
	if (size == 0)
		return 0;
	r = take_space(memory, file->node, offset, size);
	if (r < 0)
		return r;
	put_bytes(file->node, buf, size, offset, verdict == DO_PART ? roll(memory) : NULL);
	return verdict == DO_PART ? -EIO : 0;
}

static int memory_write(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset)
{
	struct memory *memory = file_of(file)->memory;
	enum verdict verdict = begin(memory);
	int r = 0;

	for (int i = 0; i < count && (r == 0 || verdict == DO_PART); i++) {
		r = write_bytes(file_of(file), verdict, iov[i].iov_base, iov[i].iov_len, offset);
		offset += iov[i].iov_len;
	}
	return end(memory, r);
}

static int memory_write_direct(struct disk_file *file, const struct iovec *iov, int count,
			       uint64_t offset)
{
	assert(offset % DISK_BLOCK == 0);
	for (int i = 0; i < count; i++)
		assert(iov[i].iov_len % DISK_BLOCK == 0 &&
		       (uintptr_t)iov[i].iov_base % DISK_BLOCK == 0);
	return memory_write(file, iov, count, offset);
}

static int memory_write_zeros(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct memory *memory = file_of(file)->memory;
	enum verdict verdict = begin(memory);

	return end(memory, write_bytes(file_of(file), verdict, NULL, size, offset));
}

static int allocate(struct memory_file *file, enum verdict verdict, uint64_t offset, uint64_t size)
{
	uint64_t from = MAX(offset, file->node->now.size);
	int r;

	if (verdict == DO_NOTHING)
		return -EIO;
	if (file->read_only)
		return -EBADF;
	r = take_space(file->memory, file->node, offset, size);
	return r < 0 || from >= offset + size
		       ? r
		       : write_bytes(file, verdict, NULL, offset + size - from, from);
}

static int memory_allocate(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct memory *memory = file_of(file)->memory;
	enum verdict verdict = begin(memory);

	return end(memory, allocate(file_of(file), verdict, offset, size));
}

/*
 * A sync that fails may have lost what it was to make durable, for good: later syncs succeed
 * without it.  That is what Linux does, and what the rule "a failed sync is final" is for.
 */
static int memory_sync(struct disk_file *file)
{
	struct memory *memory = file_of(file)->memory;
	struct node *node = file_of(file)->node;
	enum verdict verdict = begin(memory);

	if (verdict == DO_NOTHING || (verdict == DO_PART && memory->power_off))
		return end(memory, -EIO);
	for (size_t i = 0; i < node->change_count; i++)
		change_apply(&node->changes[i], &node->stable,
			     verdict == DO_PART ? roll(memory) : NULL);
	node_forget_changes(node);
	return end(memory, verdict == DO_PART ? -EIO : 0);
}

static int memory_punch(struct disk_file *file, uint64_t offset, uint64_t size)
{
	struct memory *memory = file_of(file)->memory;
	struct node *node = file_of(file)->node;
	enum verdict verdict = begin(memory);
	uint64_t end_offset = MIN(offset + size, ALIGN_UP(node->now.size, (uint64_t)DISK_BLOCK));

	if (verdict == DO_NOTHING)
		return end(memory, -EIO);
	if (offset < node->now.size) {
		put_bytes(node, NULL, MIN(offset + size, node->now.size) - offset, offset,
			  verdict == DO_PART ? roll(memory) : NULL);
		if (verdict == DO_IT)
			give_space(memory, node, offset, end_offset);
	}
	return end(memory, verdict == DO_PART ? -EIO : 0);
}

static int memory_truncate(struct disk_file *file, uint64_t size)
{
	struct memory *memory = file_of(file)->memory;
	struct node *node = file_of(file)->node;
	enum verdict verdict = begin(memory);

	if (verdict == DO_NOTHING || (verdict == DO_PART && !dice_keep(roll(memory))))
		return end(memory, -EIO);
	if (size < node->now.size)
		give_space(memory, node, size, UINT64_MAX);
	set_size(node, size);
	return end(memory, verdict == DO_PART ? -EIO : 0);
}

static int memory_size(struct disk_file *file, uint64_t *ret)
{
	struct memory *memory = file_of(file)->memory;
	int r = begin_look(memory);

	if (r == 0)
		*ret = file_of(file)->node->now.size;
	return end(memory, r);
}

static int memory_reflink(struct disk_file *file, struct disk_file *from)
{
	return -EOPNOTSUPP;
}

static int memory_allocated(struct disk_file *file, uint64_t *ret)
{
	struct memory *memory = file_of(file)->memory;
	struct node *node = file_of(file)->node;
	int r = begin_look(memory);

	if (r == 0) {
		*ret = 0;
		for (size_t i = 0; i < node->block_count; i++)
			*ret += node->blocks[i] ? DISK_BLOCK : 0;
	}
	return end(memory, r);
}

static void memory_file_close(struct disk_file *file)
{
	struct memory *memory = file_of(file)->memory;

	pthread_mutex_lock(&memory->lock);
	node_hide(memory, file_of(file)->node);
	node_unref(file_of(file)->node);
	pthread_mutex_unlock(&memory->lock);
	free(file);
}

static const struct disk_file_ops file_ops = {
	.read = memory_read,
	.prefetch = memory_prefetch,
	.write = memory_write,
	.write_direct = memory_write_direct,
	.sync = memory_sync,
	.write_zeros = memory_write_zeros,
	.allocate = memory_allocate,
	.punch = memory_punch,
	.truncate = memory_truncate,
	.size = memory_size,
	.reflink = memory_reflink,
	.allocated = memory_allocated,
	.close = memory_file_close,
};

/* --- The tree ----------------------------------------------------------------------------- */

static int open_node(struct memory *memory, const char *name, int flags, enum verdict verdict,
		     struct node **ret)
{
	struct node *node = names_get(&memory->names, name);

	if (verdict == DO_NOTHING)
		return -EIO;
	if (node && (flags & DISK_CREATE) && (flags & DISK_EXCLUSIVE))
		return -EEXIST;
	if (!node && !(flags & DISK_CREATE))
		return -ENOENT;
	if (!node && (verdict == DO_IT || dice_keep(roll(memory)))) {
		node = node_new();
		change_names(memory, NAME_CREATE, name, NULL, node);
		node_unref(node);
	}
	if (verdict == DO_PART)
		return -EIO;
	node->seen++;
	*ret = node_ref(node);
	return 0;
}

static int memory_open(struct disk *disk, const char *name, int flags, struct disk_file **ret)
{
	struct memory *memory = memory_of(disk);
	struct memory_file *file;
	struct node *node = NULL;
	enum verdict verdict;
	int r;

	if (!*name || strlen(name) > DISK_NAME_MAX)
		return -EINVAL;
	if (flags & DISK_CREATE)
		verdict = begin(memory);
	else
		verdict = begin_look(memory) < 0 ? DO_NOTHING : DO_IT;
	r = end(memory, open_node(memory, name, flags, verdict, &node));
	if (r < 0)
		return r;
	file = xcalloc(1, sizeof *file);
	*file = (struct memory_file){{&file_ops}, memory, node, flags & DISK_READ_ONLY};
	*ret = &file->file;
	return 0;
}

static int memory_rename(struct disk *disk, const char *from, const char *to)
{
	struct memory *memory = memory_of(disk);
	enum verdict verdict = begin(memory);
	struct node *node = names_get(&memory->names, from);

	if (verdict == DO_NOTHING)
		return end(memory, -EIO);
	if (!node)
		return end(memory, -ENOENT);
	if (strcmp(from, to) != 0 && (verdict == DO_IT || dice_keep(roll(memory))))
		change_names(memory, NAME_RENAME, from, to, node);
	return end(memory, verdict == DO_PART ? -EIO : 0);
}

static int memory_remove(struct disk *disk, const char *name)
{
	struct memory *memory = memory_of(disk);
	enum verdict verdict = begin(memory);
	struct node *node = names_get(&memory->names, name);

	if (verdict == DO_NOTHING)
		return end(memory, -EIO);
	if (!node)
		return end(memory, -ENOENT);
	if (verdict == DO_IT || dice_keep(roll(memory)))
		change_names(memory, NAME_REMOVE, name, NULL, node);
	return end(memory, verdict == DO_PART ? -EIO : 0);
}

static int memory_link(struct disk *disk, const char *name, struct disk *to, const char *new_name)
{
	struct memory *memory = memory_of(disk);
	enum verdict verdict;
	struct node *node;

	if (to != disk)
		return -EXDEV;
	verdict = begin(memory);
	node = names_get(&memory->names, name);
	if (verdict == DO_NOTHING)
		return end(memory, -EIO);
	if (!node)
		return end(memory, -ENOENT);
	if (names_get(&memory->names, new_name))
		return end(memory, -EEXIST);
	if (verdict == DO_IT || dice_keep(roll(memory)))
		change_names(memory, NAME_CREATE, new_name, NULL, node);
	return end(memory, verdict == DO_PART ? -EIO : 0);
}

static int memory_links(struct disk *disk, const char *name, unsigned *ret)
{
	struct memory *memory = memory_of(disk);
	int r = begin_look(memory);
	struct node *node = names_get(&memory->names, name);

	*ret = 0;
	for (size_t i = 0; i < memory->names.count; i++)
		*ret += memory->names.at[i].node == node;
	return end(memory, r < 0 ? r : node ? 0 : -ENOENT);
}

static bool change_is_in(const struct name_change *change, const char *folder, size_t size)
{
	return in_folder(change->name, folder, size) ||
	       (change->to && in_folder(change->to, folder, size));
}

static bool change_crosses(const struct name_change *change)
{
	return change->to && !in_folder(change->to, change->name, folder_size(change->name));
}

/*
 * A rename from folder to folder is one change, so syncing either folder brings everything before
 * it along, as a journal would.
 */
static int memory_sync_names(struct disk *disk, const char *folder)
{
	struct memory *memory = memory_of(disk);
	enum verdict verdict = begin(memory);
	size_t size = strlen(folder), kept = 0;
	bool all = false;

	if (verdict != DO_IT)
		return end(memory, -EIO);
	for (size_t i = 0; i < memory->name_change_count; i++)
		all |= change_crosses(&memory->name_changes[i]);
	for (size_t i = 0; i < memory->name_change_count; i++) {
		struct name_change *change = &memory->name_changes[i];

		if (!all && !change_is_in(change, folder, size)) {
			memory->name_changes[kept++] = *change;
			continue;
		}
		name_change_apply(memory, change, &memory->stable_names);
		name_change_done(change);
	}
	memory->name_change_count = kept;
	return end(memory, 0);
}

static int memory_list(struct disk *disk, const char *folder,
		       int (*fn)(const char *name, void *arg), void *arg)
{
	struct memory *memory = memory_of(disk);
	size_t size = strlen(folder), count = 0;
	char **names = NULL;
	int r = begin_look(memory);

	if (r == 0 && memory->names.count) {
		names = xcalloc(memory->names.count, sizeof *names);
		for (size_t i = 0; i < memory->names.count; i++) {
			const char *text = memory->names.at[i].text;

			if (in_folder(text, folder, size))
				names[count++] = xstrdup(text + size + (size > 0));
		}
	}
	pthread_mutex_unlock(&memory->lock);
	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = fn(names[i], arg);
		free(names[i]);
	}
	free(names);
	return r;
}

static int memory_space(struct disk *disk, struct disk_space *ret)
{
	struct memory *memory = memory_of(disk);
	int r = begin_look(memory);

	if (r == 0) {
		ret->bytes_total = memory->limit ? memory->limit : UINT64_C(1) << 40;
		ret->bytes_free = ret->bytes_total - MIN(memory->used, ret->bytes_total);
	}
	return end(memory, r);
}

/* Nobody else can reach this memory. */
static int memory_lock(struct disk *disk, int *ret_owner)
{
	struct memory *memory = memory_of(disk);

	return end(memory, begin_look(memory));
}

static void memory_close(struct disk *disk)
{
	struct memory *memory = memory_of(disk);

	for (size_t i = 0; i < memory->name_change_count; i++)
		name_change_done(&memory->name_changes[i]);
	free(memory->name_changes);
	names_done(&memory->names);
	names_done(&memory->stable_names);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

static const struct disk_ops memory_ops = {
	.open = memory_open,
	.rename = memory_rename,
	.remove = memory_remove,
	.link = memory_link,
	.links = memory_links,
	.sync_names = memory_sync_names,
	.list = memory_list,
	.space = memory_space,
	.lock = memory_lock,
	.close = memory_close,
};

struct disk *disk_memory_new(uint64_t seed)
{
	struct memory *memory = xcalloc(1, sizeof *memory);

	memory->disk.ops = &memory_ops;
	memory->dice.state = seed;
	pthread_mutex_init(&memory->lock, NULL);
	return &memory->disk;
}

/* --- What tests do to it ------------------------------------------------------------------ */

void disk_memory_limit(struct disk *disk, uint64_t bytes)
{
	pthread_mutex_lock(&memory_of(disk)->lock);
	memory_of(disk)->limit = bytes;
	pthread_mutex_unlock(&memory_of(disk)->lock);
}

uint64_t disk_memory_prefetched(struct disk *disk)
{
	uint64_t bytes;

	pthread_mutex_lock(&memory_of(disk)->lock);
	bytes = memory_of(disk)->prefetched;
	pthread_mutex_unlock(&memory_of(disk)->lock);
	return bytes;
}

uint64_t disk_memory_calls(struct disk *disk)
{
	uint64_t calls;

	pthread_mutex_lock(&memory_of(disk)->lock);
	calls = memory_of(disk)->calls;
	pthread_mutex_unlock(&memory_of(disk)->lock);
	return calls;
}

void disk_memory_fail(struct disk *disk, uint64_t call, bool forever)
{
	pthread_mutex_lock(&memory_of(disk)->lock);
	memory_of(disk)->fail_call = call;
	memory_of(disk)->fail_forever = forever;
	pthread_mutex_unlock(&memory_of(disk)->lock);
}

void disk_memory_power_cut(struct disk *disk, uint64_t call)
{
	pthread_mutex_lock(&memory_of(disk)->lock);
	memory_of(disk)->cut_call = call;
	pthread_mutex_unlock(&memory_of(disk)->lock);
}

/* Blocks below the size that took space, or that hold something, take space. */
static void count_space(struct memory *memory, struct node *node, const struct node *old)
{
	static const uint8_t zeros[DISK_BLOCK];

	for (uint64_t at = 0; at < node->now.size; at += DISK_BLOCK) {
		size_t i = at / DISK_BLOCK;

		if ((i < old->block_count && old->blocks[i]) ||
		    memcmp(node->now.data + at, zeros, DISK_BLOCK) != 0)
			(void)take_space(memory, node, at, DISK_BLOCK);
	}
}

/* A node as it comes back: `stable`, and of the changes what the dice keep. */
static struct node *node_survive(struct memory *memory, const struct node *old, struct dice *dice)
{
	struct node *node = node_new();

	image_copy(&node->now, &old->stable);
	for (size_t i = 0; i < old->change_count; i++)
		change_apply(&old->changes[i], &node->now, dice);
	/* Nothing is hidden behind the end. */
	image_reach(&node->now, ALIGN_UP(node->now.size, (uint64_t)DISK_BLOCK));
	if (node->now.room > node->now.size)
		memset(node->now.data + node->now.size, 0, node->now.room - node->now.size);
	image_copy(&node->stable, &node->now);
	count_space(memory, node, old);
	return node;
}

/* Two name changes have a folder in common. */
static bool changes_meet(const struct name_change *a, const struct name_change *b)
{
	return change_is_in(a, b->name, folder_size(b->name)) ||
	       (b->to && change_is_in(a, b->to, folder_size(b->to)));
}

/* Of each folder's changes a prefix; a change in two folders belongs to both. */
static void names_survive(struct memory *old, struct names *names, struct dice *dice)
{
	bool *lost = xcalloc(old->name_change_count, sizeof *lost);

	for (size_t i = 0; i < old->stable_names.count; i++)
		names_set(old, names, old->stable_names.at[i].text, old->stable_names.at[i].node);
	for (size_t i = 0; i < old->name_change_count; i++) {
		const struct name_change *change = &old->name_changes[i];

		for (size_t j = 0; j < i && !lost[i]; j++)
			lost[i] = lost[j] && changes_meet(&old->name_changes[j], change);
		lost[i] |= !dice_keep(dice);
		if (!lost[i])
			name_change_apply(old, change, names);
	}
	free(lost);
}

/*
 * The same names for what becomes of the nodes: one each, however many names it has.  `become`
 * makes it.
 */
static void names_inherit(struct memory *memory, const struct names *names,
			  struct node *(*become)(struct memory *memory, const struct node *old,
						 struct dice *dice),
			  struct dice *dice)
{
	for (size_t i = 0; i < names->count; i++) {
		struct node *old = names->at[i].node;

		if (!old->heir)
			old->heir = become(memory, old, dice);
		names_set(memory, &memory->names, names->at[i].text, old->heir);
		names_set(memory, &memory->stable_names, names->at[i].text, old->heir);
	}
	for (size_t i = 0; i < names->count; i++)
		node_unref(take(names->at[i].node->heir));
}

struct disk *disk_memory_power_on(struct disk *disk, uint64_t seed)
{
	struct memory *old = memory_of(disk);
	struct memory *memory = memory_of(disk_memory_new(seed));
	struct names names = {0};
	struct dice dice;

	dice_init(&dice, seed);
	pthread_mutex_lock(&old->lock);
	names_survive(old, &names, &dice);
	names_inherit(memory, &names, node_survive, &dice);
	names_done(&names);
	memory->limit = old->limit;
	pthread_mutex_unlock(&old->lock);
	return &memory->disk;
}

static struct node *node_copy(struct memory *memory, const struct node *old, struct dice *dice)
{
	struct node *node = node_new();

	image_copy(&node->now, &old->now);
	image_copy(&node->stable, &old->now);
	count_space(memory, node, old);
	return node;
}

struct disk *disk_memory_copy(struct disk *disk)
{
	struct memory *old = memory_of(disk);
	struct memory *memory;

	pthread_mutex_lock(&old->lock);
	memory = memory_of(disk_memory_new(old->dice.state));
	names_inherit(memory, &old->names, node_copy, NULL);
	memory->limit = old->limit;
	pthread_mutex_unlock(&old->lock);
	return &memory->disk;
}

int disk_memory_flip(struct disk *disk, const char *name, uint64_t offset, uint8_t mask)
{
	struct memory *memory = memory_of(disk);
	struct node *node;

	pthread_mutex_lock(&memory->lock);
	node = names_get(&memory->names, name);
	if (!node)
		return end(memory, -ENOENT);
	if (offset >= node->now.size)
		return end(memory, -EINVAL);
	node->now.data[offset] ^= mask;
	if (offset < node->stable.room)
		node->stable.data[offset] ^= mask;
	return end(memory, 0);
}

int disk_memory_cut(struct disk *disk, const char *name, uint64_t size)
{
	struct memory *memory = memory_of(disk);
	struct node *node;

	pthread_mutex_lock(&memory->lock);
	node = names_get(&memory->names, name);
	if (!node)
		return end(memory, -ENOENT);
	if (size < node->now.size) {
		give_space(memory, node, size, UINT64_MAX);
		image_resize(&node->now, size);
		node_forget_changes(node);
		free(node->stable.data);
		image_copy(&node->stable, &node->now);
	}
	return end(memory, 0);
}
