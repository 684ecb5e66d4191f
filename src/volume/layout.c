#include "volume/layout.h"

#include "volume/internal.h"

#include "base/alloc.h"

#include <stdlib.h>

struct file {
	struct extents extents;
	uint64_t at, end; /* of the write before */
	uint64_t writes, goes_on;
};

void layout_done(struct layout *layout)
{
	map64_for_each (&layout->files, slot) {
		struct file *file = slot->value;

		extents_done(&file->extents);
		free(file);
	}
	map64_done(&layout->files);
	free(layout->newest);
}

/*
 * A log is written on where the last write ended, in pieces that are no whole blocks or begin with
 * the last block again.
 */
static bool goes_on(const struct file *file, uint64_t offset, uint64_t size)
{
	return offset >= file->at && offset <= file->end &&
	       (offset < file->end || offset % BASE_BLOCK || size % BASE_BLOCK);
}

static bool is_log(const struct file *file)
{
	return file->writes >= 8 && file->goes_on * 2 > file->writes;
}

int layout_note(const struct tape_record *record, void *arg)
{
	struct layout *layout = arg;
	struct change change;
	struct file *file;

	if (record->type != CHANGE_WRITE || !record->data_size ||
	    change_decode(record, &change) < 0)
		return 0;
	file = map64_get(&layout->files, change.ino);
	if (!file) {
		file = xcalloc(1, sizeof *file);
		map64_put(&layout->files, change.ino, file);
	}
	file->goes_on += goes_on(file, change.offset, record->data_size);
	file->writes++;
	file->at = change.offset;
	file->end = change.offset + record->data_size;
	extents_set_data(&file->extents, change.offset, record->data_size, record->lsn, 0);
	return 0;
}

static int compare_lsns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void layout_settle(struct layout *layout)
{
	struct extent e;

	map64_for_each (&layout->files, slot) {
		const struct file *file = slot->value;

		for (uint64_t at = 0; extents_next(&file->extents, at, &e); at = extent_end(&e)) {
			xgrow(layout->newest, layout->count, layout->room);
			layout->newest[layout->count++] = extent_src(&e);
		}
	}
	if (layout->count)
		qsort(layout->newest, layout->count, sizeof *layout->newest, compare_lsns);
}

void layout_place(const struct layout *layout, const struct tape_record *record,
		  struct tape_place *ret)
{
	struct change change;
	struct file *file;

	if (record->type != CHANGE_WRITE || change_decode(record, &change) < 0)
		return;
	file = map64_get(&layout->files, change.ino);
	if (!file)
		return;
	ret->object = change.ino;
	ret->offset = change.offset;
	if (is_log(file))
		ret->kind = TAPE_PLACE_STREAM;
	else if (!bsearch(&record->lsn, layout->newest, layout->count, sizeof *layout->newest,
			  compare_lsns))
		ret->kind = TAPE_PLACE_OLDER;
}
