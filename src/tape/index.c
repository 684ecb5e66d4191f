#include "tape/index.h"
#include "tape/names.h"
#include "base/alloc.h"
#include "base/crc32c.h"

#include <errno.h>
#include <stdatomic.h>

#define INDEX_MAGIC "UNSPLIDX"
#define CHUNK_BYTES (64 * 1024)
#define ENTRY_MAX (sizeof(struct tape_record_header) + TAPE_META_MAX)
#define CHUNK_MAX (CHUNK_BYTES > ENTRY_MAX ? CHUNK_BYTES : ENTRY_MAX)

/* In memory as in the file, its header in front. */
struct chunk {
	_Atomic(struct chunk *) next;
	_Atomic size_t used; /* bytes[0 .. used) is there and never changes */
	size_t room;
	struct tape_index_chunk header; /* filled in when it is written */
	uint8_t bytes[];
};

struct index {
	atomic_uint refs;
	struct chunk *first, *last;
};

/* --- In memory ---------------------------------------------------------------------------- */

static struct chunk *chunk_new(size_t room)
{
	struct chunk *chunk = xmalloc(sizeof *chunk + room);

	atomic_init(&chunk->next, NULL);
	atomic_init(&chunk->used, 0);
	chunk->room = room;
	return chunk;
}

struct index *index_new(void)
{
	struct index *index = xcalloc(1, sizeof *index);

	atomic_init(&index->refs, 1);
	index->first = index->last = chunk_new(CHUNK_BYTES);
	return index;
}

struct index *index_ref(struct index *index)
{
	atomic_fetch_add(&index->refs, 1);
	return index;
}

void index_unref(struct index *index)
{
	struct chunk *chunk, *next;

	if (!index || atomic_fetch_sub(&index->refs, 1) > 1)
		return;
	for (chunk = index->first; chunk; chunk = next) {
		next = atomic_load(&chunk->next);
		free(chunk);
	}
	free(index);
}

static size_t entry_size(uint32_t meta_size)
{
	return sizeof(struct tape_record_header) + ALIGN_UP((size_t)meta_size, (size_t)TAPE_ALIGN);
}

void index_add(struct index *index, const struct tape_record_header *header, const void *meta)
{
	uint32_t meta_size = from_le32(header->meta_size);
	size_t size = entry_size(meta_size);
	struct chunk *chunk = index->last;
	size_t used = atomic_load_explicit(&chunk->used, memory_order_relaxed);
	uint8_t *at;

	if (chunk->room - used < size) {
		struct chunk *next = chunk_new(MAX(size, (size_t)CHUNK_BYTES));

		atomic_store_explicit(&chunk->next, next, memory_order_release);
		index->last = chunk = next;
		used = 0;
	}
	at = chunk->bytes + used;
	memset(at + size - TAPE_ALIGN, 0, TAPE_ALIGN);
	memcpy(at, header, sizeof *header);
	if (meta_size)
		memcpy(at + sizeof *header, meta, meta_size);
	atomic_store_explicit(&chunk->used, used + size, memory_order_release);
}

/* One entry, which is known to be good. */
static const uint8_t *show_entry(const uint8_t *at, struct tape_record *ret)
{
	struct record record;

	record_decode((const void *)at, &record);
	record_show(&record, ret);
	ret->meta = at + sizeof(struct tape_record_header);
	return at + entry_size(record.meta_size);
}

int index_walk(struct index *index, uint64_t from, uint64_t to, record_fn fn, void *arg)
{
	struct chunk *chunk = index->first;
	struct tape_record record;
	int r;

	for (; chunk; chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
		const uint8_t *at = chunk->bytes;
		const uint8_t *end = at + atomic_load_explicit(&chunk->used, memory_order_acquire);

		while (at < end) {
			at = show_entry(at, &record);
			if (record.lsn >= to)
				return 0;
			r = record.lsn >= from ? fn(&record, arg) : 0;
			if (r)
				return r;
		}
	}
	return 0;
}

/* --- In a file ---------------------------------------------------------------------------- */

static uint32_t header_crc(const struct tape_index_header *header, uint32_t seed)
{
	size_t skip = offsetof(struct tape_index_header, incompat);

	return crc32c(seed, (const uint8_t *)header + skip, sizeof *header - skip);
}

static void chunk_seal(struct chunk *chunk, uint32_t seed)
{
	size_t used = atomic_load(&chunk->used);
	uint32_t crc;

	chunk->header.size = to_le32(used);
	crc = crc32c(seed, &chunk->header.size, sizeof chunk->header.size);
	chunk->header.crc = to_le32(crc32c(crc, chunk->bytes, used));
}

static int write_chunks(struct index *index, struct disk_file *file, uint32_t seed,
			uint64_t *ret_bytes)
{
	uint64_t at = sizeof(struct tape_index_header);

	for (struct chunk *chunk = index->first; chunk; chunk = atomic_load(&chunk->next)) {
		size_t used = atomic_load(&chunk->used);
		struct iovec iov[2] = {{&chunk->header, sizeof chunk->header},
				       {chunk->bytes, used}};
		int r;

		if (used == 0)
			continue;
		chunk_seal(chunk, seed);
		r = disk_file_writev(file, iov, 2, at);
		if (r < 0)
			return r;
		at += sizeof chunk->header + used;
	}
	*ret_bytes = at - sizeof(struct tape_index_header);
	return 0;
}

static void make_header(const struct summary *summary, uint64_t bytes, uint32_t seed,
			struct tape_index_header *ret)
{
	*ret = (struct tape_index_header){
		.magic = INDEX_MAGIC,
		.lsn = to_le64(summary->lsn),
		.end = to_le64(summary->end),
		.records = to_le64(summary->records),
		.data_bytes = to_le64(summary->data_bytes),
		.first_time_us = to_le64(summary->first_time_us),
		.last_time_us = to_le64(summary->last_time_us),
		.bytes = to_le64(bytes),
		.last_epoch = to_le32(summary->last_epoch),
	};
	ret->crc = to_le32(header_crc(ret, seed));
}

static int write_file(struct index *index, struct disk *disk, const struct summary *summary,
		      uint32_t seed)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	struct tape_index_header header;
	uint64_t bytes;
	int r;

	r = disk_open(disk, TAPE_NEW_INDEX_NAME, DISK_CREATE, &file);
	if (r < 0)
		return r;
	r = disk_file_truncate(file, 0);
	if (r < 0)
		return r;
	r = write_chunks(index, file, seed, &bytes);
	if (r < 0)
		return r;
	make_header(summary, bytes, seed, &header);
	r = disk_file_write(file, &header, sizeof header, 0);
	if (r < 0)
		return r;
	return disk_file_sync(file);
}

int index_write(struct index *index, struct disk *disk, const struct summary *summary,
		uint32_t seed)
{
	char name[TAPE_NAME_MAX];
	int r;

	r = write_file(index, disk, summary, seed);
	if (r == 0)
		r = disk_rename(disk, TAPE_NEW_INDEX_NAME, index_name(name, summary->lsn));
	if (r < 0)
		(void)disk_remove(disk, TAPE_NEW_INDEX_NAME);
	return r;
}

int index_parse_header(const void *bytes, size_t size, uint64_t lsn, uint64_t segment_bytes,
		       uint32_t seed, struct summary *ret)
{
	const struct tape_index_header *header = bytes;

	if (size < sizeof *header || memcmp(header->magic, INDEX_MAGIC, 8) != 0 ||
	    from_le32(header->crc) != header_crc(header, seed))
		return -EBADMSG;
	*ret = (struct summary){
		.lsn = from_le64(header->lsn),
		.end = from_le64(header->end),
		.records = from_le64(header->records),
		.data_bytes = from_le64(header->data_bytes),
		.first_time_us = from_le64(header->first_time_us),
		.last_time_us = from_le64(header->last_time_us),
		.last_epoch = from_le32(header->last_epoch),
	};
	if (from_le32(header->incompat) & ~TAPE_INCOMPAT_KNOWN)
		return -EBADMSG;
	if (ret->lsn != lsn || ret->end < lsn || ret->end - lsn > segment_bytes || !ret->last_epoch)
		return -EBADMSG;
	return 0;
}

static int read_header(struct disk_file *file, uint64_t lsn, uint64_t segment_bytes, uint32_t seed,
		       struct summary *ret)
{
	struct tape_index_header header;
	ssize_t n = disk_file_read(file, &header, sizeof header, 0);
	uint64_t size;
	int r;

	if (n < 0)
		return n;
	r = index_parse_header(&header, n, lsn, segment_bytes, seed, ret);
	if (r < 0)
		return r;
	r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	return size == sizeof header + from_le64(header.bytes) ? 0 : -EBADMSG;
}

int index_read_summary(struct disk *disk, uint64_t lsn, uint64_t segment_bytes, uint32_t seed,
		       struct summary *ret)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	char name[TAPE_NAME_MAX];
	int r;

	r = disk_open(disk, index_name(name, lsn), DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	return read_header(file, lsn, segment_bytes, seed, ret);
}

int index_next(struct index_cursor *cursor, struct tape_record *ret)
{
	struct record record;

	if (cursor->left == 0)
		return 0;
	if (cursor->left < sizeof(struct tape_record_header))
		return -EBADMSG;
	record_decode((const void *)cursor->bytes, &record);
	if (record.lsn < cursor->at || record.lsn >= cursor->end || record_is_own(&record) ||
	    !record_plausible(&record, record.lsn, cursor->end - record.lsn) ||
	    entry_size(record.meta_size) > cursor->left)
		return -EBADMSG;
	cursor->left -= entry_size(record.meta_size);
	cursor->bytes = show_entry(cursor->bytes, ret);
	cursor->at = ret->end;
	return 1;
}

/* One chunk, checked, into `buf`.  Returns its size, 0 at the end of the file. */
static int read_chunk(struct disk_file *file, uint64_t at, uint32_t seed, uint8_t *buf)
{
	struct tape_index_chunk *header = (void *)buf;
	size_t whole = sizeof *header + CHUNK_BYTES;
	ssize_t n = disk_file_read(file, buf, whole, at);
	size_t size;
	uint32_t crc;

	if (n <= 0)
		return n;
	size = n < (ssize_t)sizeof *header ? 0 : from_le32(header->size);
	if (size == 0 || size > CHUNK_MAX)
		return -EBADMSG;
	if (sizeof *header + size > (size_t)n) {
		n = disk_file_read(file, buf, sizeof *header + size, at);
		if (n < 0)
			return n;
	}
	if (sizeof *header + size > (size_t)n)
		return -EBADMSG;
	crc = crc32c(seed, &header->size, sizeof header->size);
	if (crc32c(crc, buf + sizeof *header, size) != from_le32(header->crc))
		return -EBADMSG;
	return sizeof *header + size;
}

static int walk_chunk(struct index_cursor *cursor, uint64_t *from, uint64_t to, record_fn fn,
		      void *arg, int *ret_fn)
{
	struct tape_record record;
	int r;

	while ((r = index_next(cursor, &record)) > 0) {
		if (record.lsn >= to)
			return 1;
		if (record.lsn < *from)
			continue;
		*from = record.end;
		*ret_fn = fn(&record, arg);
		if (*ret_fn)
			return 1;
	}
	return r;
}

int index_walk_file(struct disk *disk, const struct summary *summary, uint32_t seed, uint64_t *from,
		    uint64_t to, record_fn fn, void *arg, int *ret_fn)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(free) uint8_t *buf = xmalloc(sizeof(struct tape_index_chunk) + CHUNK_MAX);
	struct index_cursor cursor = {.at = summary->lsn, .end = summary->end};
	uint64_t at = sizeof(struct tape_index_header);
	char name[TAPE_NAME_MAX];
	int r;

	*ret_fn = 0;
	r = disk_open(disk, index_name(name, summary->lsn), DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	while ((r = read_chunk(file, at, seed, buf)) > 0) {
		at += r;
		cursor.bytes = buf + sizeof(struct tape_index_chunk);
		cursor.left = r - sizeof(struct tape_index_chunk);
		r = walk_chunk(&cursor, from, to, fn, arg, ret_fn);
		if (r != 0)
			break;
	}
	return MIN(r, 0);
}
