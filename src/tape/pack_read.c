/*
 * Reading a pack: its description, and any byte of any record in it by unpacking at most three
 * groups: that with the record's head, that with its data, and the one that is the difference from.
 */
#include "tape/names.h"
#include "tape/pack.h"
#include "base/alloc.h"

#include <errno.h>

/* --- The description ---------------------------------------------------------------------- */

static int read_whole(struct disk_file *file, void *buf, size_t size, uint64_t offset)
{
	ssize_t n = disk_file_read(file, buf, size, offset);

	if (n < 0)
		return n;
	return (size_t)n == size ? 0 : -EBADMSG;
}

/* The header at the start, or the same at the end. */
static int read_header(struct disk_file *file, uint64_t lsn, uint64_t segment_bytes, uint32_t seed,
		       struct pack *ret)
{
	struct tape_pack_header header;
	uint64_t size;
	int r, first;

	first = read_whole(file, &header, sizeof header, 0);
	if (first == 0)
		first = pack_parse_header(&header, lsn, segment_bytes, seed, ret);
	if (first != -EBADMSG)
		return first;
	r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	if (size < sizeof header)
		return -EBADMSG;
	r = read_whole(file, &header, sizeof header, size - sizeof header);
	return r < 0 ? r : pack_parse_header(&header, lsn, segment_bytes, seed, ret);
}

/* The first of the two tables that is whole. */
static int read_table(struct disk_file *file, const struct pack *pack, uint32_t seed, void *ret)
{
	size_t size = pack_table_size(pack);
	int r = -EBADMSG;

	for (int copy = 0; copy < 2 && r == -EBADMSG; copy++) {
		r = read_whole(file, ret, size, pack->table + copy * size);
		if (r == 0 && pack_table_crc(ret, size, seed) != pack->table_crc)
			r = -EBADMSG;
	}
	return r < 0 ? r : pack_check_table(pack, ret);
}

int pack_load(struct disk *disk, uint64_t id, uint64_t segment_bytes, uint32_t seed,
	      struct pack **ret, void **ret_table)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	CLEANUP(free) void *table = NULL;
	char name[TAPE_NAME_MAX];
	struct pack pack;
	uint64_t size;
	int r;

	r = disk_open(disk, pack_name(name, id), DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	r = read_header(file, pack_id_lsn(id), segment_bytes, seed, &pack);
	if (r < 0)
		return r;
	pack.id = id;
	r = disk_file_size(file, &size);
	if (r < 0)
		return r;
	if (size < pack.bytes) /* also bounds what is allocated next */
		return -EBADMSG;
	table = malloc(pack_table_size(&pack));
	if (!table)
		return -ENOMEM;
	r = read_table(file, &pack, seed, table);
	if (r < 0)
		return r;
	*ret = xmemdup(&pack, sizeof pack);
	if (ret_table)
		*ret_table = take(table);
	return 0;
}

/* --- Groups ------------------------------------------------------------------------------- */

static void group_put(struct pack_reader *reader, struct unpacked_group **group)
{
	unpacked_put(reader->cache, take(*group));
}

/* The table, as a group of its own kind. */
static int get_table(struct pack_reader *reader, struct unpacked_group **ret)
{
	const struct pack *pack = reader->pack;
	struct unpacked_group *table = unpacked_get(reader->cache, pack->id, PACK_NONE);
	struct files_slot *slot;
	int r;

	if (!table) {
		r = files_get(reader->files, pack->id, &slot);
		if (r < 0)
			return r;
		table = unpacked_new(pack->id, PACK_NONE, pack_table_size(pack));
		r = read_table(slot->file, pack, reader->seed, table->bytes);
		files_put(reader->files, slot);
		if (r < 0) {
			free(table);
			return r;
		}
		table = unpacked_add(reader->cache, table);
	}
	*ret = table;
	return 0;
}

static int read_packed(struct pack_reader *reader, uint32_t number, const struct pack_group *group,
		       void *buf)
{
	struct files_slot *slot;
	int r = files_get(reader->files, reader->pack->id, &slot);

	if (r < 0)
		return r;
	r = read_whole(slot->file, buf, group->packed, group->offset);
	files_put(reader->files, slot);
	if (r == 0 && pack_group_crc(number, buf, group->packed, reader->seed) != group->crc)
		r = -EBADMSG;
	return r;
}

/* Where a group is damaged, for the problem. */
struct trouble {
	uint64_t offset;
};

static int get_group(struct pack_reader *reader, const void *table, uint32_t number,
		     struct unpacked_group **ret, struct trouble *trouble)
{
	struct unpacked_group *found = unpacked_get(reader->cache, reader->pack->id, number);
	struct unpacked_group *base = NULL;
	CLEANUP(free) uint8_t *packed = NULL;
	struct pack_group group;
	int r = 0;

	if (!found) {
		pack_group(reader->pack, table, number, &group);
		if (group.base != PACK_NONE) {
			r = get_group(reader, table, group.base, &base, trouble);
			if (r < 0)
				return r;
		}
		trouble->offset = group.offset;
		packed = xmalloc(group.packed);
		r = read_packed(reader, number, &group, packed);
		if (r == 0) {
			found = unpacked_new(reader->pack->id, number, group.size);
			r = pack_unpack(&group, packed, base ? base->bytes : NULL,
					base ? base->size : 0, found->bytes);
			if (r == 0)
				found = unpacked_add(reader->cache, found);
			else
				free(found);
		}
		group_put(reader, &base);
	}
	if (r == 0)
		*ret = found;
	return r;
}

/* The last group of heads that begins at or before `lsn`; the first when there is none. */
static uint32_t find_heads(const struct pack *pack, const void *table, uint64_t lsn)
{
	uint32_t low = pack->data_groups + 1, high = pack->groups;
	struct pack_group group;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		pack_group(pack, table, middle, &group);
		if (group.lsn <= lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

static int bad_pack(struct pack_reader *reader, int r, uint64_t lsn, const struct trouble *trouble,
		    struct problem *why)
{
	char name[TAPE_NAME_MAX];

	pack_name(name, reader->pack->id);
	if (r == -EBADMSG)
		return problem(why, r,
			       "%s: offset %" PRIu64 " is damaged: the record at LSN %" PRIu64
			       " cannot be read",
			       name, trouble->offset, lsn);
	return problem_errno(why, r, "cannot read the record at LSN %" PRIu64 " from %s", lsn,
			     name);
}

/* --- One record --------------------------------------------------------------------------- */

/* 1 and the entry of the record at `lsn`, in `heads`; 0 when there is none; -EBADMSG. */
static int find_entry(const struct unpacked_group *heads, uint64_t lsn, struct pack_entry *ret)
{
	struct pack_cursor cursor = {heads->bytes, heads->bytes + heads->size, 0};
	int r;

	while ((r = pack_next(&cursor, ret)) > 0)
		if (ret->record.lsn >= lsn)
			return ret->record.lsn == lsn;
	return r;
}

/* Bytes [from, from + size) of the entry's data, not yet checked. */
static int copy_data(struct pack_reader *reader, const void *table, const struct pack_entry *entry,
		     uint64_t from, uint8_t *buf, size_t size, struct trouble *trouble)
{
	uint32_t number = entry->group;
	uint64_t skip = from + entry->offset;

	while (size > 0) {
		struct unpacked_group *data = NULL;
		struct pack_group group;
		size_t n;
		int r;

		if (number >= reader->pack->data_groups)
			return -EBADMSG;
		pack_group(reader->pack, table, number, &group);
		if (skip >= group.size) {
			skip -= group.size;
			number++;
			continue;
		}
		r = get_group(reader, table, number, &data, trouble);
		if (r < 0)
			return r;
		n = MIN((uint64_t)size, data->size - skip);
		memcpy(buf, data->bytes + skip, n);
		group_put(reader, &data);
		buf += n;
		size -= n;
		skip = 0;
		number++;
	}
	return 0;
}

static int read_data(struct pack_reader *reader, const void *table, const struct pack_entry *entry,
		     uint32_t skip, void *buf, size_t size, struct trouble *trouble)
{
	uint32_t first = skip / TAPE_CHECK_BLOCK, last = (skip + size - 1) / TAPE_CHECK_BLOCK;
	uint64_t from = (uint64_t)first * TAPE_CHECK_BLOCK;
	uint64_t to = MIN((last + 1ull) * TAPE_CHECK_BLOCK, (uint64_t)entry->record.data_size);
	CLEANUP(free) uint8_t *blocks = xmalloc(to - from);
	int r;

	r = copy_data(reader, table, entry, from, blocks, to - from, trouble);
	if (r < 0)
		return r;
	if (!record_blocks_ok(entry->head, &entry->record, first, blocks, to - from))
		return -EBADMSG;
	memcpy(buf, blocks + (skip - from), size);
	return 0;
}

static int read_entry(struct pack_reader *reader, const void *table,
		      const struct unpacked_group *heads, uint64_t lsn, uint32_t skip, void *buf,
		      size_t size, struct trouble *trouble)
{
	struct pack_entry entry;
	int r = find_entry(heads, lsn, &entry);

	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	if (record_is_own(&entry.record))
		return -EINVAL;
	if (!record_head_ok(entry.head, &entry.record, reader->seed))
		return -EBADMSG;
	if ((uint64_t)skip + size > entry.record.data_size)
		return -EINVAL;
	return size ? read_data(reader, table, &entry, skip, buf, size, trouble) : 0;
}

/* The group of heads that the record at `lsn` is in, and the table, both the caller's to put. */
static int get_heads(struct pack_reader *reader, uint64_t lsn, struct unpacked_group **ret_table,
		     struct unpacked_group **ret, struct trouble *trouble)
{
	int r = get_table(reader, ret_table);

	if (r < 0)
		return r;
	return get_group(reader, (*ret_table)->bytes,
			 find_heads(reader->pack, (*ret_table)->bytes, lsn), ret, trouble);
}

int pack_read(struct pack_reader *reader, uint64_t lsn, uint32_t skip, void *buf, size_t size,
	      struct problem *why)
{
	struct unpacked_group *table = NULL, *heads = NULL;
	struct trouble trouble = {reader->pack->table};
	int r;

	r = get_heads(reader, lsn, &table, &heads, &trouble);
	if (r == 0)
		r = read_entry(reader, table->bytes, heads, lsn, skip, buf, size, &trouble);
	group_put(reader, &heads);
	group_put(reader, &table);
	return r < 0 ? bad_pack(reader, r, lsn, &trouble, why) : 0;
}

int pack_find(struct pack_reader *reader, uint64_t lsn, struct record *ret, void *meta, size_t size,
	      struct problem *why)
{
	struct unpacked_group *table = NULL, *heads = NULL;
	struct trouble trouble = {reader->pack->table};
	struct pack_entry entry;
	int r;

	r = get_heads(reader, lsn, &table, &heads, &trouble);
	if (r == 0)
		r = find_entry(heads, lsn, &entry);
	if (r > 0 && !record_head_ok(entry.head, &entry.record, reader->seed))
		r = -EBADMSG;
	else if (r >= 0)
		r = r == 0 || entry.record.meta_size != size ? -EINVAL : 0;
	if (r == 0) {
		*ret = entry.record;
		memcpy(meta, entry.head + sizeof(struct tape_record_header), size);
	}
	group_put(reader, &heads);
	group_put(reader, &table);
	return r < 0 ? bad_pack(reader, r, lsn, &trouble, why) : 0;
}

/* --- Heads in order ----------------------------------------------------------------------- */

struct range {
	uint64_t from, to;
	pack_entry_fn fn;
	void *arg;
	uint64_t at; /* the record last looked at, for the problem */
};

/* What `fn` returned; else 0, and -EBADMSG in *ret_r. */
static int scan_group(struct pack_reader *reader, const struct unpacked_group *heads,
		      struct range *range, int *ret_r)
{
	struct pack_cursor cursor = {heads->bytes, heads->bytes + heads->size, range->at};
	struct pack_entry entry;
	int r;

	while ((*ret_r = pack_next(&cursor, &entry)) > 0) {
		range->at = entry.record.lsn;
		if (entry.record.lsn >= range->to)
			break;
		if (!record_head_ok(entry.head, &entry.record, reader->seed)) {
			*ret_r = -EBADMSG;
			return 0;
		}
		if (entry.record.lsn < range->from)
			continue;
		r = range->fn(&entry, range->arg);
		if (r)
			return r;
	}
	*ret_r = MIN(*ret_r, 0);
	range->at = cursor.lsn;
	return 0;
}

static int scan_groups(struct pack_reader *reader, const void *table, struct range *range,
		       int *ret_r, struct trouble *trouble)
{
	const struct pack *pack = reader->pack;
	int r = 0;

	for (uint32_t i = find_heads(pack, table, range->from); i < pack->groups; i++) {
		struct unpacked_group *heads = NULL;
		struct pack_group group;

		pack_group(pack, table, i, &group);
		if (group.lsn >= range->to)
			break;
		range->at = group.lsn;
		*ret_r = get_group(reader, table, i, &heads, trouble);
		if (*ret_r == 0)
			r = scan_group(reader, heads, range, ret_r);
		group_put(reader, &heads);
		if (r || *ret_r < 0)
			break;
	}
	return r;
}

int pack_walk(struct pack_reader *reader, uint64_t from, uint64_t to, pack_entry_fn fn, void *arg,
	      struct problem *why)
{
	struct range range = {from, to, fn, arg, reader->pack->lsn};
	struct trouble trouble = {reader->pack->table};
	struct unpacked_group *table = NULL;
	int r = 0, r_read;

	r_read = get_table(reader, &table);
	if (r_read == 0)
		r = scan_groups(reader, table->bytes, &range, &r_read, &trouble);
	group_put(reader, &table);
	if (r)
		return r;
	return r_read < 0 ? bad_pack(reader, r_read, range.at, &trouble, why) : 0;
}

struct scan {
	record_fn fn;
	void *arg;
};

static int show_entry(const struct pack_entry *entry, void *arg)
{
	const struct scan *scan = arg;
	struct tape_record record;

	if (record_is_own(&entry->record))
		return 0;
	pack_show(entry, &record);
	return scan->fn(&record, scan->arg);
}

int pack_scan(struct pack_reader *reader, uint64_t from, uint64_t to, record_fn fn, void *arg,
	      struct problem *why)
{
	return pack_walk(reader, from, to, show_entry, &(struct scan){fn, arg}, why);
}
