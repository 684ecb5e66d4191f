/*
 * Writing a pack: what resembles each other goes together, the newest first.
 *
 * The records are sorted by what their data is of.  A *cluster* is a run of them whose newest
 * versions fill one base group; the older versions of the same ranges follow, each range's newest
 * first, and are compressed with the base group as their past: the compressor finds what they have
 * in common with it, wherever it has moved.
 */
#include "tape/pack.h"
#include "base/alloc.h"
#include "base/buffer.h"

#include <errno.h>
#include <zstd.h>

/* Written and synced in pieces, so that the disk is never flooded by one sync. */
#define WRITE_BYTES (1024u * 1024)
#define SYNC_BYTES (8u * 1024 * 1024)

struct writer {
	struct pack_input *input;
	struct disk_file *file;
	ZSTD_CCtx *context;
	struct buffer out; /* not yet written; ends at `at` of the file */
	uint64_t at, synced;
	uint8_t *packed; /* ZSTD_compressBound(PACK_GROUP_MAX) */
	struct buffer group, base;
	struct buffer heads;
	uint64_t heads_lsn;
	struct tape_pack_group *groups;
	size_t group_count, group_room;
	uint64_t done; /* bytes of data */
};

static int write_out(struct writer *w)
{
	int r = disk_file_write(w->file, w->out.data, w->out.size, w->at - w->out.size);

	if (r < 0)
		return r;
	w->out.size = 0;
	if (w->at - w->synced < SYNC_BYTES)
		return 0;
	w->synced = w->at;
	return disk_file_sync(w->file);
}

static int put(struct writer *w, const void *bytes, size_t size)
{
	buffer_put(&w->out, bytes, size);
	w->at += size;
	if (w->at > w->input->bytes_max)
		return -E2BIG;
	return w->out.size >= WRITE_BYTES ? write_out(w) : 0;
}

/* --- Groups ------------------------------------------------------------------------------- */

static size_t compress(struct writer *w, const struct buffer *bytes, const struct buffer *base)
{
	size_t size;

	ZSTD_CCtx_reset(w->context, ZSTD_reset_session_only);
	if (base)
		ZSTD_CCtx_refPrefix(w->context, base->data, base->size);
	size = ZSTD_compress2(w->context, w->packed, ZSTD_compressBound(PACK_GROUP_MAX),
			      bytes->data, bytes->size);
	return ZSTD_isError(size) ? bytes->size : size;
}

static int put_group(struct writer *w, struct buffer *bytes, uint64_t lsn, uint32_t base_number)
{
	const struct buffer *base = base_number == PACK_NONE ? NULL : &w->base;
	const uint8_t *packed = w->packed;
	uint64_t offset = w->at;
	size_t size;
	int r;

	if (bytes->size == 0)
		return 0;
	if (w->group_count == PACK_GROUPS_MAX)
		return -E2BIG;
	size = compress(w, bytes, base);
	if (size >= bytes->size) {
		size = bytes->size;
		packed = bytes->data;
		base_number = PACK_NONE;
	}
	r = put(w, packed, size);
	if (r < 0)
		return r;
	xgrow(w->groups, w->group_count, w->group_room);
	w->groups[w->group_count] = (struct tape_pack_group){
		.offset = to_le64(offset),
		.lsn = to_le64(lsn),
		.packed = to_le32(size),
		.size = to_le32(bytes->size),
		.crc = to_le32(pack_group_crc(w->group_count, packed, size, w->input->seed)),
		.base = to_le32(base_number),
	};
	w->group_count++;
	bytes->size = 0;
	return w->input->go_on && !w->input->go_on(w->done, w->input->arg) ? -ECANCELED : 0;
}

/* --- Data --------------------------------------------------------------------------------- */

/* Newest versions and older ones of the same ranges. */
struct cluster {
	struct pack_item **items;
	size_t count;
	bool stream;
};

/* The item's data into the open group; a new one is begun when it would not fit whole. */
static int add_data(struct writer *w, struct pack_item *item, uint32_t limit, uint32_t base)
{
	CLEANUP(free) uint8_t *data = xmalloc(item->data_size);
	uint32_t left = item->data_size;
	int r;

	r = w->input->read(item, data, w->input->arg);
	if (r == 0 && w->group.size && w->group.size + left > limit)
		r = put_group(w, &w->group, 0, base);
	if (r < 0)
		return r;
	item->group = w->group_count;
	item->skip = w->group.size;
	w->done += left;
	while (left > 0) {
		uint32_t n = MIN(left, limit - (uint32_t)w->group.size);

		buffer_put(&w->group, data + (item->data_size - left), n);
		left -= n;
		if (left > 0) {
			r = put_group(w, &w->group, 0, base);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int add_items(struct writer *w, const struct cluster *cluster, enum tape_place_kind kind,
		     uint32_t limit, uint32_t base)
{
	int r = 0;

	for (size_t i = 0; i < cluster->count && r == 0; i++)
		if (cluster->items[i]->kind == kind)
			r = add_data(w, cluster->items[i], limit, base);
	return r;
}

static int put_stream(struct writer *w, const struct cluster *cluster)
{
	int r = add_items(w, cluster, TAPE_PLACE_STREAM, PACK_STREAM_BYTES, PACK_NONE);

	return r < 0 ? r : put_group(w, &w->group, 0, PACK_NONE);
}

static int put_cluster(struct writer *w, const struct cluster *cluster)
{
	uint32_t base = w->group_count;
	int r;

	if (cluster->stream)
		return put_stream(w, cluster);
	r = add_items(w, cluster, TAPE_PLACE_NEWEST, PACK_BASE_BYTES, PACK_NONE);
	if (r < 0)
		return r;
	/* What is bigger than one group is no base: there is no one group to be the difference
	 * from. */
	if (w->group.size && w->group_count == base) {
		w->base.size = 0;
		buffer_put(&w->base, w->group.data, w->group.size);
	} else {
		base = PACK_NONE;
	}
	r = put_group(w, &w->group, 0, PACK_NONE);
	if (r == 0)
		r = add_items(w, cluster, TAPE_PLACE_OLDER, PACK_OLDER_BYTES, base);
	return r < 0 ? r : put_group(w, &w->group, 0, base);
}

/* Streams first, in the order of the tape; the rest by place, the newest first. */
static int compare_items(const void *a, const void *b)
{
	const struct pack_item *x = *(struct pack_item *const *)a,
			       *y = *(struct pack_item *const *)b;
	bool x_stream = x->kind == TAPE_PLACE_STREAM, y_stream = y->kind == TAPE_PLACE_STREAM;

	if (x_stream != y_stream)
		return x_stream ? -1 : 1;
	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	if (x_stream)
		return x->lsn < y->lsn ? -1 : 1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->lsn > y->lsn ? -1 : 1;
}

static struct cluster find_cluster(struct pack_item **items, size_t count)
{
	struct cluster ret = {.items = items, .stream = items[0]->kind == TAPE_PLACE_STREAM};
	uint64_t newest = 0;

	for (; ret.count < count; ret.count++) {
		const struct pack_item *item = items[ret.count];

		if ((item->kind == TAPE_PLACE_STREAM) != ret.stream)
			break;
		/* The older versions of a range stand behind its newest. */
		if (item->kind == TAPE_PLACE_NEWEST)
			newest += item->data_size;
		if (ret.count > 0 && newest > PACK_BASE_BYTES)
			break;
	}
	return ret;
}

static int put_data(struct writer *w)
{
	struct pack_item **sorted = xcalloc(w->input->count, sizeof *sorted);
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; i < w->input->count; i++)
		if (w->input->items[i].data_size)
			sorted[count++] = &w->input->items[i];
	qsort(sorted, count, sizeof *sorted, compare_items);
	for (size_t i = 0; i < count && r == 0;) {
		struct cluster cluster = find_cluster(sorted + i, count - i);

		r = put_cluster(w, &cluster);
		i += cluster.count;
	}
	free(sorted);
	return r;
}

/* --- Heads and the rest ------------------------------------------------------------------- */

static int put_heads(struct writer *w)
{
	struct pack_input *input = w->input;
	int r = 0;

	for (size_t i = 0; i < input->count && r == 0; i++) {
		const struct pack_item *item = &input->items[i];
		struct tape_pack_place place = {to_le32(item->group), to_le32(item->skip)};

		if (w->heads.size &&
		    w->heads.size + sizeof place + item->head_size > PACK_HEAD_BYTES)
			r = put_group(w, &w->heads, w->heads_lsn, PACK_NONE);
		if (w->heads.size == 0)
			w->heads_lsn = item->lsn;
		buffer_put(&w->heads, &place, sizeof place);
		buffer_put(&w->heads, input->heads + item->head, item->head_size);
	}
	return r < 0 ? r : put_group(w, &w->heads, w->heads_lsn, PACK_NONE);
}

static void make_table(struct writer *w, struct buffer *ret)
{
	for (uint32_t i = 0; i < w->input->segments; i++) {
		const struct summary *summary = &w->input->summaries[i];
		struct tape_pack_segment segment = {
			.end = to_le64(summary->end),
			.records = to_le64(summary->records),
			.data_bytes = to_le64(summary->data_bytes),
			.first_time_us = to_le64(summary->first_time_us),
			.last_time_us = to_le64(summary->last_time_us),
			.last_epoch = to_le32(summary->last_epoch),
		};

		buffer_put(ret, &segment, sizeof segment);
	}
	buffer_put(ret, w->groups, w->group_count * sizeof *w->groups);
}

/* The table twice, and the header at the end and at the start, which until now was zeros. */
static int put_description(struct writer *w, uint32_t data_groups)
{
	CLEANUP(buffer) struct buffer table = {0};
	struct tape_pack_header header;
	struct pack pack = {
		.lsn = w->input->lsn,
		.segment_bytes = w->input->segment_bytes,
		.table = w->at,
		.segments = w->input->segments,
		.groups = w->group_count,
		.data_groups = data_groups,
	};
	int r;

	make_table(w, &table);
	pack.table_crc = pack_table_crc(table.data, table.size, w->input->seed);
	pack_make_header(&pack, w->input->seed, &header);
	r = put(w, table.data, table.size);
	if (r == 0)
		r = put(w, table.data, table.size);
	if (r == 0)
		r = put(w, &header, sizeof header);
	if (r == 0)
		r = write_out(w);
	return r < 0 ? r : disk_file_write(w->file, &header, sizeof header, 0);
}

static int write_all(struct writer *w)
{
	static const struct tape_pack_header none;
	uint32_t data_groups;
	int r;

	r = disk_file_truncate(w->file, 0);
	if (r == 0)
		r = put(w, &none, sizeof none);
	if (r == 0)
		r = put_data(w);
	data_groups = w->group_count;
	if (r == 0)
		r = put_heads(w);
	if (r == 0)
		r = put_description(w, data_groups);
	return r < 0 ? r : disk_file_sync(w->file);
}

int pack_write(struct disk *disk, const char *name, struct pack_input *input, uint64_t *ret_bytes)
{
	struct writer w = {.input = input};
	int r;

	r = disk_open(disk, name, DISK_CREATE, &w.file);
	if (r < 0)
		return r;
	w.context = xcheck(ZSTD_createCCtx());
	w.packed = xmalloc(ZSTD_compressBound(PACK_GROUP_MAX));
	ZSTD_CCtx_setParameter(w.context, ZSTD_c_compressionLevel, input->level);
	r = write_all(&w);
	*ret_bytes = w.at;
	ZSTD_freeCCtx(w.context);
	free(w.packed);
	buffer_done(&w.out);
	buffer_done(&w.group);
	buffer_done(&w.base);
	buffer_done(&w.heads);
	free(w.groups);
	disk_file_close(w.file);
	return r;
}
