/*
 * Checking a pack: both copies of its description, every group's checksum, and every record's own.
 *
 * The heads are read first, in the order of the tape; then the data, group by group, each unpacked
 * once, with the records that have data in it.
 */
#include "tape/names.h"
#include "tape/pack.h"
#include "tape/walk.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>

/* A record with data, and where its head is. */
struct item {
	uint64_t lsn;
	int64_t time_us;
	size_t head; /* in `heads` */
	uint32_t group, offset, data_size;
};

struct check {
	struct disk_file *file;
	const char *name;
	uint32_t seed;
	const struct pack_checker *checker;
	struct pack pack;
	void *table;
	uint64_t size; /* of the file */

	struct buffer heads;
	struct item *items;
	size_t item_count, item_room;
	uint64_t at; /* after the last record seen */
	int64_t time_us;
	bool gap;             /* heads are missing before what comes next */
	struct summary found; /* of the segment at hand */
	uint32_t segment;

	/* The groups of data last unpacked. */
	uint8_t *base, *data;
	uint32_t base_number, data_number; /* PACK_NONE: none */
	bool base_bad, data_bad;
};

__attribute__((format(printf, 2, 3))) static void note(struct check *c, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	c->checker->note(c->checker->arg, text);
}

static bool go_on(struct check *c, uint64_t done)
{
	return !c->checker->go_on || c->checker->go_on(c->checker->arg, done, c->pack.bytes);
}

static const char *when(int64_t time_us, char text[CLOCK_TEXT_MAX])
{
	if (!time_us)
		return "the beginning";
	clock_format(time_us, text);
	return text;
}

/* Exactly so many bytes; -EBADMSG when the file is shorter. */
static int read_at(struct check *c, uint64_t offset, void *buf, size_t size)
{
	ssize_t n = disk_file_read(c->file, buf, size, offset);

	if (n < 0)
		return n;
	return (size_t)n == size ? 0 : -EBADMSG;
}

/* --- The description ---------------------------------------------------------------------- */

static int check_header(struct check *c, uint64_t lsn, uint64_t segment_bytes, uint64_t offset,
			struct pack *ret)
{
	struct tape_pack_header header;
	int r = read_at(c, offset, &header, sizeof header);

	if (r == 0)
		r = pack_parse_header(&header, lsn, segment_bytes, c->seed, ret);
	if (r == -EBADMSG)
		note(c,
		     "%s: offset %" PRIu64 ": this copy of the header is damaged; nothing is lost "
		     "while the other is good",
		     c->name, offset);
	return r;
}

static int check_headers(struct check *c, uint64_t lsn, uint64_t segment_bytes)
{
	struct pack second;
	uint64_t header = sizeof(struct tape_pack_header);
	int r, r_second;

	r = disk_file_size(c->file, &c->size);
	if (r < 0)
		return r;
	r = check_header(c, lsn, segment_bytes, 0, &c->pack);
	if (r < 0 && r != -EBADMSG)
		return r;
	r_second = check_header(c, lsn, segment_bytes, c->size > header ? c->size - header : 0,
				&second);
	if (r_second < 0 && r_second != -EBADMSG)
		return r_second;
	if (r < 0)
		c->pack = second;
	if (MAX(r, r_second) == 0 && c->pack.bytes != c->size)
		note(c, "%s is %" PRIu64 " bytes long and should be %" PRIu64, c->name, c->size,
		     c->pack.bytes);
	return MAX(r, r_second);
}

static int check_tables(struct check *c)
{
	size_t size = pack_table_size(&c->pack);
	CLEANUP(free) void *other = NULL;
	bool good = false;
	int r;

	if (c->size < c->pack.bytes)
		return -EBADMSG;
	c->table = malloc(size);
	other = malloc(size);
	if (!c->table || !other)
		return -ENOMEM;
	for (int copy = 0; copy < 2; copy++) {
		uint64_t offset = c->pack.table + copy * size;

		r = read_at(c, offset, other, size);
		if (r < 0)
			return r;
		if (pack_table_crc(other, size, c->seed) == c->pack.table_crc) {
			memcpy(c->table, other, size);
			good = true;
		} else {
			note(c,
			     "%s: offset %" PRIu64
			     ": this copy of the table is damaged; nothing is lost while the other "
			     "is good",
			     c->name, offset);
		}
	}
	return good ? pack_check_table(&c->pack, c->table) : -EBADMSG;
}

/* --- Groups ------------------------------------------------------------------------------- */

/* The group, unpacked; -EBADMSG when that cannot be. */
static int read_group(struct check *c, uint32_t number, const void *base, size_t base_size,
		      uint8_t **ret, struct pack_group *ret_group)
{
	CLEANUP(free) uint8_t *packed = NULL;
	int r;

	pack_group(&c->pack, c->table, number, ret_group);
	packed = xmalloc(ret_group->packed);
	*ret = xmalloc(ret_group->size);
	r = read_at(c, ret_group->offset, packed, ret_group->packed);
	if (r == 0 && pack_group_crc(number, packed, ret_group->packed, c->seed) != ret_group->crc)
		r = -EBADMSG;
	return r < 0 ? r : pack_unpack(ret_group, packed, base, base_size, *ret);
}

/* --- Heads -------------------------------------------------------------------------------- */

static void end_segment(struct check *c)
{
	struct summary said;

	pack_summary(&c->pack, c->table, c->segment, &said);
	if (!c->gap &&
	    (c->found.end != said.end || c->found.records != said.records ||
	     c->found.data_bytes != said.data_bytes ||
	     c->found.first_time_us != said.first_time_us ||
	     c->found.last_time_us != said.last_time_us || c->found.last_epoch != said.last_epoch))
		note(c,
		     "%s: the table does not agree with the records of the segment at LSN %" PRIu64,
		     c->name, said.lsn);
	c->segment++;
	c->found = (struct summary){.lsn = said.lsn + c->pack.segment_bytes,
				    .end = said.lsn + c->pack.segment_bytes};
}

static void count(struct check *c, const struct pack_entry *entry)
{
	const struct record *record = &entry->record;

	c->found.end = record->lsn + record_size(record->meta_size, record->data_size);
	c->found.last_epoch = record->epoch;
	if (record_is_own(record))
		return;
	if (c->found.records++ == 0)
		c->found.first_time_us = record->time_us;
	c->found.last_time_us = record->time_us;
	c->found.data_bytes += record->data_size;
}

/* Where the record should be: right behind the last one, or at the start of the next segment. */
static bool in_order(struct check *c, const struct record *record)
{
	uint64_t next = c->found.lsn + c->pack.segment_bytes;

	while (record->lsn >= next && c->segment + 1 < c->pack.segments) {
		end_segment(c);
		next += c->pack.segment_bytes;
		c->at = c->found.lsn;
	}
	return (c->gap || record->lsn == c->at) && record->time_us >= c->time_us &&
	       (record->type == TAPE_TYPE_SEGMENT) == (record->lsn == c->found.lsn) &&
	       record->lsn + record_size(record->meta_size, record->data_size) <= next;
}

static void take_entry(struct check *c, const struct pack_entry *entry)
{
	const struct record *record = &entry->record;
	struct item item = {record->lsn,  record->time_us, c->heads.size,
			    entry->group, entry->offset,   record->data_size};

	if (!in_order(c, record))
		note(c, "%s: the record at LSN %" PRIu64 " is out of order", c->name, record->lsn);
	c->gap = false;
	c->at = record->lsn + record_size(record->meta_size, record->data_size);
	c->time_us = MAX(c->time_us, record->time_us);
	count(c, entry);
	if (c->checker->seen)
		c->checker->seen(c->checker->arg, record);
	if (!record->data_size)
		return;
	buffer_put(&c->heads, entry->head, entry->head_size);
	xgrow(c->items, c->item_count, c->item_room);
	c->items[c->item_count++] = item;
}

static int check_heads(struct check *c, uint32_t number)
{
	CLEANUP(free) uint8_t *bytes = NULL;
	struct pack_cursor cursor = {.lsn = c->at};
	char before[CLOCK_TEXT_MAX];
	struct pack_group group;
	struct pack_entry entry;
	int r;

	r = read_group(c, number, NULL, 0, &bytes, &group);
	if (r == 0) {
		cursor.at = bytes;
		cursor.end = bytes + group.size;
		while ((r = pack_next(&cursor, &entry)) > 0) {
			if (!record_head_ok(entry.head, &entry.record, c->seed)) {
				r = -EBADMSG;
				break;
			}
			take_entry(c, &entry);
		}
	}
	if (r != -EBADMSG)
		return r;
	c->gap = true;
	note(c,
	     "%s: offset %" PRIu64 " (LSN %" PRIu64
	     "): these heads of records are damaged: what was changed after %s is lost, up to the "
	     "next group",
	     c->name, group.offset, group.lsn, when(c->time_us, before));
	return 0;
}

/* --- Data --------------------------------------------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The base of `group` into c->base; a damaged one has been noted when it was met as itself. */
static int load_base(struct check *c, uint32_t number)
{
	struct pack_group group;
	int r;

	if (c->base_number == number)
		return c->base_bad ? -EBADMSG : 0;
	free(take(c->base));
	c->base_number = number;
	r = read_group(c, number, NULL, 0, &c->base, &group);
	c->base_bad = r < 0;
	return r;
}

/* The group into c->data.  Damage is remembered in c->data_bad. */
static int load_data(struct check *c, uint32_t number)
{
	struct pack_group group, base = {0};
	int r = 0;

	if (c->data_number == number)
		return 0;
	free(take(c->data));
	c->data_number = number;
	pack_group(&c->pack, c->table, number, &group);
	if (group.base != PACK_NONE) {
		pack_group(&c->pack, c->table, group.base, &base);
		r = load_base(c, group.base);
	}
	if (r == 0)
		r = read_group(c, number, base.size ? c->base : NULL, base.size, &c->data, &group);
	c->data_bad = r == -EBADMSG;
	return r == -EBADMSG ? 0 : r;
}

/* All data of the item into `buf`; -EBADMSG when any of it is damaged. */
static int gather(struct check *c, const struct item *item, uint8_t *buf)
{
	uint32_t left = item->data_size, skip = item->offset;

	for (uint32_t number = item->group; left > 0; number++) {
		struct pack_group group;
		uint32_t n;
		int r;

		if (number >= c->pack.data_groups)
			return -EBADMSG;
		pack_group(&c->pack, c->table, number, &group);
		r = load_data(c, number);
		if (r < 0)
			return r;
		if (c->data_bad || skip > group.size)
			return -EBADMSG;
		n = MIN(left, group.size - skip);
		memcpy(buf, c->data + skip, n);
		buf += n;
		left -= n;
		skip = 0;
	}
	return 0;
}

static int check_item(struct check *c, const struct item *item, uint8_t *buf)
{
	const uint8_t *head = c->heads.data + item->head;
	char text[CLOCK_TEXT_MAX];
	struct pack_group group;
	struct record record;
	int r = gather(c, item, buf);

	record_decode((const void *)head, &record);
	if (r == 0 && !record_data_ok(head, &record, buf))
		r = -EBADMSG;
	if (r != -EBADMSG)
		return r;
	group.offset = c->pack.table;
	if (item->group < c->pack.data_groups)
		pack_group(&c->pack, c->table, item->group, &group);
	note(c,
	     "%s: offset %" PRIu64 " (LSN %" PRIu64
	     "): the data of this record, of %s, is damaged: %u bytes are lost",
	     c->name, group.offset, item->lsn, when(item->time_us, text), item->data_size);
	return 0;
}

/* Those that no whole record speaks of: their heads are lost, or nobody's. */
static int check_groups(struct check *c)
{
	for (uint32_t i = 0; i < c->pack.data_groups; i++) {
		struct pack_group group;
		int r = load_data(c, i);

		if (r < 0)
			return r;
		pack_group(&c->pack, c->table, i, &group);
		if (c->data_bad)
			note(c, "%s: offset %" PRIu64 ": this group of data is damaged", c->name,
			     group.offset);
		if (!go_on(c, group.offset))
			return -ECANCELED;
	}
	return 0;
}

static int check_data(struct check *c)
{
	CLEANUP(free) uint8_t *buf = xmalloc(TAPE_DATA_MAX);
	int r = 0;

	if (c->item_count)
		qsort(c->items, c->item_count, sizeof *c->items, compare_items);
	for (size_t i = 0; i < c->item_count && r == 0; i++) {
		struct pack_group group;

		r = check_item(c, &c->items[i], buf);
		if (i % 256 != 0 || c->items[i].group >= c->pack.data_groups)
			continue;
		pack_group(&c->pack, c->table, c->items[i].group, &group);
		if (r == 0 && !go_on(c, group.offset))
			r = -ECANCELED;
	}
	return r;
}

/* --- All of it ---------------------------------------------------------------------------- */

static int check_all(struct check *c, uint64_t lsn, uint64_t segment_bytes)
{
	int r;

	r = check_headers(c, lsn, segment_bytes);
	if (r == 0)
		r = check_tables(c);
	if (r < 0)
		return r;
	c->at = lsn;
	c->found = (struct summary){.lsn = lsn, .end = lsn};
	for (uint32_t i = c->pack.data_groups; i < c->pack.groups && r == 0; i++)
		r = check_heads(c, i);
	while (r == 0 && c->segment < c->pack.segments)
		end_segment(c);
	if (r == 0)
		r = check_groups(c);
	c->data_number = c->base_number = PACK_NONE;
	return r < 0 ? r : check_data(c);
}

int pack_check(struct disk *disk, const char *name, uint64_t lsn, uint64_t segment_bytes,
	       uint32_t seed, const struct pack_checker *checker, struct pack *ret_pack,
	       struct summary *ret_last)
{
	CLEANUP(disk_file) struct disk_file *file = NULL;
	struct check c = {.name = name,
			  .seed = seed,
			  .checker = checker,
			  .base_number = PACK_NONE,
			  .data_number = PACK_NONE};
	int r;

	r = disk_open(disk, name, DISK_READ_ONLY, &file);
	if (r < 0)
		return r;
	c.file = file;
	r = check_all(&c, lsn, segment_bytes);
	if (r == -EBADMSG)
		note(&c, "%s: what it holds cannot be found any more: all of it is lost", name);
	if (r == 0) {
		*ret_pack = c.pack;
		pack_summary(&c.pack, c.table, c.pack.segments - 1, ret_last);
	}
	free(c.table);
	free(c.items);
	free(c.base);
	free(c.data);
	buffer_done(&c.heads);
	return r;
}
