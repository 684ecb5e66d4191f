#include "volume/base.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/map64.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>

/* Descriptors kept open, two per file. */
#define OPEN_FILES_MAX 256
#define PAGE_BYTES ((uint64_t)SUMS_PER_PAGE * BASE_BLOCK)
/* Blocks checked in one go. */
#define BATCH_BLOCKS 64

/* Pages [first, first + count) exist. */
struct run {
	uint64_t first, count;
};

struct base_file {
	uint64_t ino;
	struct run *runs; /* sorted, not adjacent */
	size_t run_count, run_room;
	bool own; /* known to have no other names; of whoever may write */
	/* Guarded by base->mutex: */
	struct disk_file *data, *sums;
	unsigned users;
	struct base_file *older, *newer; /* of the open ones, in order of use */
};

struct base {
	struct disk *disk;
	struct map64 files;
	pthread_mutex_t mutex;
	size_t open_files;
	struct base_file *oldest, *newest; /* of the open ones */
};

static void file_free(struct base_file *file)
{
	disk_file_close(file->data);
	disk_file_close(file->sums);
	free(file->runs);
	free(file);
}

struct base *base_new(struct disk *disk)
{
	struct base *base = xcalloc(1, sizeof *base);

	base->disk = disk;
	pthread_mutex_init(&base->mutex, NULL);
	return base;
}

static void forget_files(struct base *base)
{
	map64_for_each (&base->files, slot)
		file_free(slot->value);
	map64_done(&base->files);
	base->open_files = 0;
	base->oldest = base->newest = NULL;
}

void base_free(struct base *base)
{
	if (!base)
		return;
	forget_files(base);
	pthread_mutex_destroy(&base->mutex);
	free(base);
}

static void file_name(uint64_t ino, const char *kind, char name[DISK_NAME_MAX])
{
	snprintf(name, DISK_NAME_MAX, "base/%016llx.%s", (unsigned long long)ino, kind);
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static void use_unlink(struct base *base, struct base_file *file)
{
	*(file->older ? &file->older->newer : &base->oldest) = file->newer;
	*(file->newer ? &file->newer->older : &base->newest) = file->older;
	file->older = file->newer = NULL;
}

static void use_append(struct base *base, struct base_file *file)
{
	file->older = base->newest;
	*(base->newest ? &base->newest->newer : &base->oldest) = file;
	base->newest = file;
}

static void close_file(struct base *base, struct base_file *file)
{
	if (!file->data)
		return;
	disk_file_close(file->data);
	disk_file_close(file->sums);
	file->data = file->sums = NULL;
	use_unlink(base, file);
	base->open_files--;
}

static void close_oldest(struct base *base)
{
	struct base_file *file = base->oldest;

	while (file && file->users)
		file = file->newer;
	if (file)
		close_file(base, file);
}

static int open_file(struct base *base, struct base_file *file, int flags)
{
	CLEANUP(disk_file) struct disk_file *data = NULL, *sums = NULL;
	char name[DISK_NAME_MAX];
	int r;

	file_name(file->ino, "dat", name);
	r = disk_open(base->disk, name, flags, &data);
	if (r < 0)
		return r;
	file_name(file->ino, "sum", name);
	r = disk_open(base->disk, name, flags, &sums);
	if (r < 0)
		return r;
	file->data = take(data);
	file->sums = take(sums);
	base->open_files++;
	return 0;
}

/* The file with its descriptors open until put_file().  `flags`: 0, or DISK_CREATE for who writes.
 */
static int get_file(struct base *base, struct base_file *file, int flags)
{
	int r = 0;

	pthread_mutex_lock(&base->mutex);
	if (!file->data) {
		if (base->open_files >= OPEN_FILES_MAX)
			close_oldest(base);
		r = open_file(base, file, flags);
	} else {
		use_unlink(base, file);
	}
	if (r >= 0) {
		file->users++;
		use_append(base, file);
	}
	pthread_mutex_unlock(&base->mutex);
	return r;
}

/* A file that is missing is damage like any other. */
static int cannot_open(struct base_file *file, int r, struct problem *why)
{
	return problem_errno(why, r == -ENOENT ? -EBADMSG : r,
			     "base/%016llx.dat or .sum cannot be opened; inode %llu is lost",
			     (unsigned long long)file->ino, (unsigned long long)file->ino);
}

static void put_file(struct base *base, struct base_file *file);

static int count_names(struct base *base, uint64_t ino, const char *kind)
{
	char name[DISK_NAME_MAX];
	unsigned links = 0;
	int r;

	file_name(ino, kind, name);
	r = disk_links(base->disk, name, &links);
	return r < 0 ? r : (int)links;
}

/* 1, 0, or -errno.  What does not exist yet is nobody else's. */
static int is_own(struct base *base, struct base_file *file)
{
	int data, sums;

	if (file->own)
		return 1;
	data = count_names(base, file->ino, "dat");
	sums = count_names(base, file->ino, "sum");
	if ((data < 0 && data != -ENOENT) || (sums < 0 && sums != -ENOENT))
		return data < 0 && data != -ENOENT ? data : sums;
	file->own = data <= 1 && sums <= 1;
	return file->own;
}

/* As get_file(), for who writes into what is there: never into another volume's base. */
static int get_own_file(struct base *base, struct base_file *file)
{
	int r = is_own(base, file);

	if (r < 0)
		return r;
	return r ? get_file(base, file, DISK_CREATE) : -EUCLEAN;
}

static void put_file(struct base *base, struct base_file *file)
{
	pthread_mutex_lock(&base->mutex);
	file->users--;
	pthread_mutex_unlock(&base->mutex);
}

static struct base_file *find_file(struct base *base, uint64_t ino)
{
	return map64_get(&base->files, ino);
}

static struct base_file *make_file(struct base *base, uint64_t ino)
{
	struct base_file *file = find_file(base, ino);

	if (!file) {
		file = xcalloc(1, sizeof *file);
		file->ino = ino;
		map64_put(&base->files, ino, file);
	}
	return file;
}

/* --- Pages ------------------------------------------------------------------------------------ */

/* The first run that ends after `page`. */
static size_t run_of(const struct base_file *file, uint64_t page)
{
	size_t low = 0, high = file->run_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (file->runs[middle].first + file->runs[middle].count > page)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool has_page(const struct base_file *file, uint64_t page)
{
	size_t i = run_of(file, page);

	return i < file->run_count && file->runs[i].first <= page;
}

static void add_page(struct base_file *file, uint64_t page)
{
	size_t i = run_of(file, page);
	struct run *before = i ? &file->runs[i - 1] : NULL;

	if (has_page(file, page))
		return;
	if (before && before->first + before->count == page) {
		before->count++;
	} else {
		xgrow(file->runs, file->run_count, file->run_room);
		memmove(file->runs + i + 1, file->runs + i,
			(file->run_count - i) * sizeof *file->runs);
		file->runs[i] = (struct run){page, 1};
		file->run_count++;
		i++;
	}
	/* Join with the one after. */
	if (i < file->run_count &&
	    file->runs[i - 1].first + file->runs[i - 1].count == file->runs[i].first) {
		file->runs[i - 1].count += file->runs[i].count;
		file->run_count--;
		memmove(file->runs + i, file->runs + i + 1,
			(file->run_count - i) * sizeof *file->runs);
	}
}

void base_add_page(struct base *base, uint64_t ino, uint64_t page)
{
	add_page(make_file(base, ino), page);
}

bool base_may_have_data(struct base *base, uint64_t ino, uint64_t offset, uint64_t size)
{
	struct base_file *file = find_file(base, ino);
	size_t i;

	if (!file || !size)
		return false;
	i = run_of(file, offset / PAGE_BYTES);
	return i < file->run_count && file->runs[i].first <= (offset + size - 1) / PAGE_BYTES;
}

uint64_t base_data_end(struct base *base, uint64_t ino)
{
	struct base_file *file = find_file(base, ino);
	struct run *last;

	if (!file || !file->run_count)
		return 0;
	last = &file->runs[file->run_count - 1];
	return (last->first + last->count) * PAGE_BYTES;
}

/* 0 means that there is no block. */
static uint32_t sum_of_crc(uint32_t crc)
{
	return crc ? crc : UINT32_MAX;
}

uint32_t base_sum(const void *block)
{
	return sum_of_crc(crc32c(0, block, BASE_BLOCK));
}

static uint32_t page_crc(const struct sum_page *page)
{
	return crc32c(0, (const uint8_t *)page + sizeof page->crc, sizeof *page - sizeof page->crc);
}

void base_seal_sums(struct sum_page *page, uint64_t ino, uint64_t index)
{
	page->ino = to_le64(ino);
	page->index = to_le32(index);
	page->crc = to_le32(page_crc(page));
}

static int read_page(struct base_file *file, uint64_t index, struct sum_page *ret,
		     struct problem *why)
{
	ssize_t got = disk_file_read(file->sums, ret, sizeof *ret, index * sizeof *ret);

	if (got < 0)
		return problem_errno(why, got, "base/%016llx.sum at %llu",
				     (unsigned long long)file->ino,
				     (unsigned long long)(index * sizeof *ret));
	if (got != sizeof *ret || from_le32(ret->crc) != page_crc(ret) ||
	    from_le64(ret->ino) != file->ino || from_le32(ret->index) != (uint32_t)index)
		return problem(why, -EBADMSG,
			       "base/%016llx.sum at %llu: %s; bytes %llu to %llu of inode %llu "
			       "cannot be trusted",
			       (unsigned long long)file->ino,
			       (unsigned long long)(index * sizeof *ret),
			       got != sizeof *ret ? "cut short" : "page of checksums damaged",
			       (unsigned long long)(index * PAGE_BYTES),
			       (unsigned long long)((index + 1) * PAGE_BYTES),
			       (unsigned long long)file->ino);
	return 0;
}

int base_load_sums(struct base *base, uint64_t ino, uint64_t page, struct sum_page *ret,
		   struct problem *why)
{
	struct base_file *file = find_file(base, ino);
	int r;

	*ret = (struct sum_page){0};
	if (!file || !has_page(file, page))
		return 0;
	r = get_file(base, file, 0);
	if (r < 0)
		return cannot_open(file, r, why);
	r = read_page(file, page, ret, why);
	put_file(base, file);
	return r;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static int bad_block(struct base_file *file, uint64_t block, struct problem *why)
{
	return problem(why, -EBADMSG,
		       "base/%016llx.dat at %llu: block damaged; bytes %llu to %llu of inode %llu "
		       "are lost",
		       (unsigned long long)file->ino, (unsigned long long)(block * BASE_BLOCK),
		       (unsigned long long)(block * BASE_BLOCK),
		       (unsigned long long)((block + 1) * BASE_BLOCK),
		       (unsigned long long)file->ino);
}

/* Blocks [first, first + count) in `out`, all of one page, at most BATCH_BLOCKS; holes become
 * zeros. */
static int check_blocks(struct base_file *file, const struct sum_page *page, uint64_t first,
			size_t count, uint8_t *out, struct problem *why)
{
	uint32_t sums[BATCH_BLOCKS];

	crc32c_blocks(out, count * BASE_BLOCK, BASE_BLOCK, sums);
	for (size_t i = 0; i < count; i++) {
		uint32_t sum = from_le32(page->sums[(first + i) % SUMS_PER_PAGE]);

		if (!sum)
			memset(out + i * BASE_BLOCK, 0, BASE_BLOCK);
		else if (sum_of_crc(sums[i]) != sum)
			return bad_block(file, first + i, why);
	}
	return 0;
}

/* Blocks [first, first + count), all of one page, into `out`. */
static int read_blocks(struct base_file *file, const struct sum_page *page, uint64_t first,
		       size_t count, uint8_t *out, struct problem *why)
{
	ssize_t got = disk_file_read(file->data, out, count * BASE_BLOCK, first * BASE_BLOCK);
	int r = 0;

	if (got < 0)
		return problem_errno(why, got, "base/%016llx.dat at %llu",
				     (unsigned long long)file->ino,
				     (unsigned long long)(first * BASE_BLOCK));
	memset(out + got, 0, count * BASE_BLOCK - got);
	for (size_t done = 0; done < count && r == 0; done += BATCH_BLOCKS)
		r = check_blocks(file, page, first + done, MIN(count - done, (size_t)BATCH_BLOCKS),
				 out + done * BASE_BLOCK, why);
	return r;
}

/*
 * As much of the range as lies in one page: whole blocks go right to where they are wanted, a first
 * and a last one that are wanted in part come one at a time.  Returns the bytes done.
 */
static ssize_t read_some(struct base_file *file, uint64_t offset, uint8_t *out, size_t size,
			 struct problem *why)
{
	uint64_t index = offset / PAGE_BYTES, first = offset / BASE_BLOCK;
	size_t skip = offset % BASE_BLOCK, done = 0;
	uint8_t edge[BASE_BLOCK];
	struct sum_page page;
	int r;

	size = MIN(size, (index + 1) * PAGE_BYTES - offset);
	if (!has_page(file, index)) {
		memset(out, 0, size);
		return size;
	}
	r = read_page(file, index, &page, why);
	while (done < size && r >= 0) {
		size_t whole = skip ? 0 : (size - done) / BASE_BLOCK;
		size_t n = whole ? whole * BASE_BLOCK : MIN(size - done, BASE_BLOCK - skip);

		r = read_blocks(file, &page, first, whole ? whole : 1, whole ? out + done : edge,
				why);
		if (r >= 0 && !whole)
			memcpy(out + done, edge + skip, n);
		first += whole ? whole : 1;
		done += n;
		skip = 0;
	}
	return r < 0 ? r : (ssize_t)done;
}

int base_read(struct base *base, uint64_t ino, uint64_t offset, void *buf, size_t size,
	      struct problem *why)
{
	struct base_file *file = find_file(base, ino);
	uint8_t *out = buf;
	ssize_t done = 0;
	int r;

	if (!file || !base_may_have_data(base, ino, offset, size)) {
		memset(buf, 0, size);
		return 0;
	}
	r = get_file(base, file, 0);
	if (r < 0)
		return cannot_open(file, r, why);
	while (size && done >= 0) {
		done = read_some(file, offset, out, size, why);
		if (done < 0)
			break;
		offset += done;
		out += done;
		size -= done;
	}
	put_file(base, file);
	return done < 0 ? done : 0;
}

/* --- Writing ---------------------------------------------------------------------------------- */

int base_allocate(struct base *base, uint64_t ino, uint64_t offset, uint64_t size)
{
	struct base_file *file = make_file(base, ino);
	uint64_t page = offset / PAGE_BYTES, last = (offset + size - 1) / PAGE_BYTES;
	int r = get_own_file(base, file);

	if (r < 0)
		return r;
	r = disk_file_allocate(file->data, offset, size);
	if (r >= 0)
		r = disk_file_allocate(file->sums, page * sizeof(struct sum_page),
				       (last - page + 1) * sizeof(struct sum_page));
	put_file(base, file);
	return r;
}

int base_write(struct base *base, uint64_t ino, uint64_t offset, const void *data, size_t size)
{
	struct base_file *file = make_file(base, ino);
	int r = get_own_file(base, file);

	if (r < 0)
		return r;
	r = disk_file_write(file->data, data, size, offset);
	put_file(base, file);
	return r;
}

int base_write_sums(struct base *base, uint64_t ino, const struct sum_page *page)
{
	struct base_file *file = make_file(base, ino);
	int r = get_own_file(base, file);

	if (r < 0)
		return r;
	r = disk_file_write(file->sums, page, sizeof *page, from_le32(page->index) * sizeof *page);
	put_file(base, file);
	return r;
}

int base_shrink(struct base *base, uint64_t ino, uint64_t size)
{
	struct base_file *file = find_file(base, ino);
	uint64_t old;
	int r;

	if (!file)
		return 0;
	size = ALIGN_UP(size, BASE_BLOCK);
	r = get_own_file(base, file);
	if (r < 0)
		return r;
	r = disk_file_size(file->data, &old);
	if (r >= 0 && old > size)
		r = disk_file_truncate(file->data, size);
	put_file(base, file);
	return r;
}

int base_sync(struct base *base, uint64_t ino)
{
	struct base_file *file = find_file(base, ino);
	int r;

	if (!file)
		return 0;
	r = get_file(base, file, 0);
	if (r < 0)
		return r;
	r = disk_file_sync(file->data);
	if (r >= 0)
		r = disk_file_sync(file->sums);
	put_file(base, file);
	return r;
}

int base_remove(struct base *base, uint64_t ino)
{
	struct base_file *file = map64_remove(&base->files, ino);
	char name[DISK_NAME_MAX];
	int r, second;

	if (file) {
		close_file(base, file);
		file_free(file);
	}
	file_name(ino, "dat", name);
	r = disk_remove(base->disk, name);
	file_name(ino, "sum", name);
	second = disk_remove(base->disk, name);
	return r < 0 && r != -ENOENT ? r : second < 0 && second != -ENOENT ? second : 0;
}

/* A copy that base_adopt() did not come to. */
static bool is_copy(const char *name)
{
	size_t size = strlen(name);

	return size > strlen(".dat.tmp") &&
	       (strcmp(name + size - strlen(".dat.tmp"), ".dat.tmp") == 0 ||
		strcmp(name + size - strlen(".sum.tmp"), ".sum.tmp") == 0);
}

static int remove_unknown(const char *name, void *arg)
{
	struct base *base = arg;
	char path[DISK_NAME_MAX], kind[4];
	uint64_t ino;

	if (is_copy(name)) {
		snprintf(path, sizeof path, "base/%.100s", name);
		return disk_remove(base->disk, path);
	}
	if (sscanf(name, "%16" SCNx64 ".%3s", &ino, kind) != 2 || find_file(base, ino))
		return 0;
	file_name(ino, kind, path);
	/* Only what has exactly the name that we give. */
	if (strcmp(path + strlen("base/"), name) != 0 ||
	    (strcmp(kind, "dat") != 0 && strcmp(kind, "sum") != 0))
		return 0;
	return disk_remove(base->disk, path);
}

int base_sweep(struct base *base)
{
	return disk_list(base->disk, "base", remove_unknown, base);
}

int base_for_each(struct base *base, int (*fn)(uint64_t ino, void *arg), void *arg)
{
	map64_for_each (&base->files, slot) {
		int r = fn(slot->key, arg);

		if (r)
			return r;
	}
	return 0;
}

/* --- Shared with other volumes
 * ------------------------------------------------------------------ */

static int share_file(struct base *base, struct base_file *file, const char *kind, struct disk *to)
{
	char name[DISK_NAME_MAX];
	int r;

	file_name(file->ino, kind, name);
	r = disk_link(base->disk, name, to, name);
	/* One that a failed fold has made room for, and no more, need not be there. */
	return r == -ENOENT && !file->run_count ? 0 : r;
}

int base_share(struct base *base, struct disk *to)
{
	map64_for_each (&base->files, slot) {
		struct base_file *file = slot->value;
		int r;

		file->own = false;
		r = share_file(base, file, "dat", to);
		if (r == 0)
			r = share_file(base, file, "sum", to);
		if (r < 0)
			return r;
	}
	return 0;
}

int base_is_own(struct base *base, uint64_t ino)
{
	struct base_file *file = find_file(base, ino);

	return file ? is_own(base, file) : 1;
}

struct copy {
	struct base_file *file;
	struct disk_file *to;
	bool (*go_on)(uint64_t bytes, void *arg);
	void *arg;
};

/* Bytes as they are, damage included: their checksums are copied too.  Fewer at the end of the
 * file. */
static int copy_range(struct copy *copy, struct disk_file *from, uint64_t offset, size_t size)
{
	uint8_t bytes[BATCH_BLOCKS * BASE_BLOCK];
	ssize_t got = disk_file_read(from, bytes, size, offset);
	int r;

	if (got <= 0)
		return got;
	r = disk_file_write(copy->to, bytes, got, offset);
	if (r == 0 && copy->go_on && !copy->go_on(got, copy->arg))
		return -ECANCELED;
	return r;
}

/* The blocks that a page speaks for; holes stay holes. */
static int copy_blocks(struct copy *copy, uint64_t index)
{
	struct sum_page page;
	bool readable = read_page(copy->file, index, &page, NULL) == 0;
	int r = 0;

	for (size_t i = 0, count; i < SUMS_PER_PAGE && r == 0; i += MAX(count, (size_t)1)) {
		for (count = 0; i + count < SUMS_PER_PAGE && count < BATCH_BLOCKS; count++)
			if (readable && !from_le32(page.sums[i + count]))
				break;
		if (count)
			r = copy_range(copy, copy->file->data, index * PAGE_BYTES + i * BASE_BLOCK,
				       count * BASE_BLOCK);
	}
	return r;
}

static int copy_page(struct copy *copy, uint64_t index)
{
	return copy_range(copy, copy->file->sums, index * sizeof(struct sum_page),
			  sizeof(struct sum_page));
}

/* All that the pages which exist speak for, by `each`. */
static int copy_pages(struct copy *copy, int (*each)(struct copy *copy, uint64_t index))
{
	int r = 0;

	for (size_t i = 0; i < copy->file->run_count; i++) {
		const struct run *run = &copy->file->runs[i];

		for (uint64_t page = run->first; page < run->first + run->count && r == 0; page++)
			r = each(copy, page);
	}
	return r;
}

static void copy_name(uint64_t ino, const char *kind, char name[DISK_NAME_MAX])
{
	snprintf(name, DISK_NAME_MAX, "base/%016llx.%s.tmp", (unsigned long long)ino, kind);
}

static int copy_file(struct base *base, struct copy *copy, const char *kind, struct disk_file *from,
		     int (*each)(struct copy *copy, uint64_t index))
{
	CLEANUP(disk_file) struct disk_file *to = NULL;
	char name[DISK_NAME_MAX];
	int r;

	copy_name(copy->file->ino, kind, name);
	r = disk_open(base->disk, name, DISK_CREATE, &to);
	if (r < 0)
		return r;
	copy->to = to;
	r = disk_file_truncate(to, 0);
	if (r == 0)
		r = disk_file_reflink(to, from);
	if (r == -EOPNOTSUPP)
		r = copy_pages(copy, each);
	return r < 0 ? r : disk_file_sync(to);
}

int base_copy(struct base *base, uint64_t ino, bool (*go_on)(uint64_t bytes, void *arg), void *arg)
{
	struct base_file *file = find_file(base, ino);
	struct copy copy = {.file = file, .go_on = go_on, .arg = arg};
	int r;

	if (!file)
		return -ENOENT;
	r = get_file(base, file, 0);
	if (r < 0)
		return r;
	r = copy_file(base, &copy, "dat", file->data, copy_blocks);
	if (r == 0)
		r = copy_file(base, &copy, "sum", file->sums, copy_page);
	put_file(base, file);
	return r;
}

static int adopt_file(struct base *base, uint64_t ino, const char *kind)
{
	char name[DISK_NAME_MAX], copy[DISK_NAME_MAX];

	file_name(ino, kind, name);
	copy_name(ino, kind, copy);
	return disk_rename(base->disk, copy, name);
}

int base_adopt(struct base *base, uint64_t ino)
{
	struct base_file *file = find_file(base, ino);
	int r;

	if (!file)
		return -ENOENT;
	r = adopt_file(base, ino, "dat");
	if (r == 0)
		r = adopt_file(base, ino, "sum");
	pthread_mutex_lock(&base->mutex);
	close_file(base, file);
	pthread_mutex_unlock(&base->mutex);
	return r;
}

uint64_t base_shared_bytes(struct base *base)
{
	uint64_t bytes = 0;

	map64_for_each (&base->files, slot) {
		struct base_file *file = slot->value;
		uint64_t data = 0, sums = 0;

		if (is_own(base, file) != 0 || get_file(base, file, 0) < 0)
			continue;
		disk_file_allocated(file->data, &data);
		disk_file_allocated(file->sums, &sums);
		put_file(base, file);
		bytes += data + sums;
	}
	return bytes;
}

/* --- As bytes --------------------------------------------------------------------------------- */

void base_encode(const struct base *base, struct buffer *out)
{
	buffer_put64(out, base->files.count);
	map64_for_each (&base->files, slot) {
		const struct base_file *file = slot->value;

		buffer_put64(out, file->ino);
		buffer_put64(out, file->run_count);
		for (size_t i = 0; i < file->run_count; i++) {
			buffer_put64(out, file->runs[i].first);
			buffer_put64(out, file->runs[i].count);
		}
	}
}

static void get_runs(struct base_file *file, struct cursor *in)
{
	uint64_t count = cursor_get64(in), end = 0;

	for (uint64_t i = 0; i < count && cursor_ok(in); i++) {
		struct run run = {cursor_get64(in), cursor_get64(in)};

		if ((i && run.first <= end) || !run.count || run.first + run.count < run.first) {
			in->bad = true;
			return;
		}
		end = run.first + run.count;
		xgrow(file->runs, file->run_count, file->run_room);
		file->runs[file->run_count++] = run;
	}
}

int base_decode(struct base *base, struct cursor *in)
{
	uint64_t count = cursor_get64(in);

	forget_files(base);
	for (uint64_t i = 0; i < count && cursor_ok(in); i++) {
		uint64_t ino = cursor_get64(in);

		if (!ino || find_file(base, ino))
			return -EBADMSG;
		get_runs(make_file(base, ino), in);
	}
	return cursor_ok(in) ? 0 : -EBADMSG;
}

uint64_t base_bytes(struct base *base)
{
	uint64_t bytes = 0;

	map64_for_each (&base->files, slot) {
		struct base_file *file = slot->value;
		uint64_t data = 0, sums = 0;

		if (get_file(base, file, 0) < 0)
			continue;
		disk_file_allocated(file->data, &data);
		disk_file_allocated(file->sums, &sums);
		put_file(base, file);
		bytes += data + sums;
	}
	return bytes;
}

/* --- Verifying -------------------------------------------------------------------------------- */

bool base_next_page(struct base *base, uint64_t ino, uint64_t page, uint64_t *ret)
{
	struct base_file *file = find_file(base, ino);
	size_t i = file ? run_of(file, page) : 0;

	if (!file || i == file->run_count)
		return false;
	*ret = MAX(page, file->runs[i].first);
	return true;
}

static uint64_t verify_blocks(struct base_file *file, uint64_t index,
			      void (*report)(const char *line, void *arg), void *arg)
{
	uint64_t first = index * SUMS_PER_PAGE, done = 0;
	uint8_t block[BASE_BLOCK];
	struct sum_page page;
	struct problem why;

	if (read_page(file, index, &page, &why) < 0) {
		report(why.text, arg);
		return 0;
	}
	for (uint64_t i = 0; i < SUMS_PER_PAGE; i++) {
		if (!from_le32(page.sums[i]))
			continue;
		if (read_blocks(file, &page, first + i, 1, block, &why) < 0)
			report(why.text, arg);
		done += BASE_BLOCK;
	}
	return done;
}

uint64_t base_verify_page(struct base *base, uint64_t ino, uint64_t page,
			  void (*report)(const char *line, void *arg), void *arg)
{
	struct base_file *file = find_file(base, ino);
	struct problem why;
	uint64_t done;
	int r;

	if (!file)
		return 0;
	r = get_file(base, file, 0);
	if (r < 0) {
		cannot_open(file, r, &why);
		report(why.text, arg);
		return 0;
	}
	done = verify_blocks(file, page, report, arg);
	put_file(base, file);
	return done;
}
