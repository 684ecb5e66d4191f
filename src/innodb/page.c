#include "innodb/page.h"

#include "base/alloc.h"

#include <errno.h>

#define TYPE_INDEX 17855
#define TYPE_ALTERED 18 /* a root since columns were added or dropped in an instant */
#define COMPACT 0x8000

static uint64_t number_at(const uint8_t *bytes, unsigned size)
{
	uint64_t number = 0;

	while (size--)
		number = number << 8 | *bytes++;
	return number;
}

int innodb_page_read(struct innodb_page *ret, const void *data, uint32_t size, uint32_t number)
{
	const uint8_t *bytes = data;
	unsigned type = number_at(bytes + 24, 2);

	*ret = (struct innodb_page){
		.bytes = bytes,
		.size = size,
		.number = number,
		.heap_top = number_at(bytes + 40, 2),
		.records = number_at(bytes + 54, 2),
		.level = number_at(bytes + 64, 2),
		.index = number_at(bytes + 66, 8),
		.altered = type == TYPE_ALTERED,
	};
	if (number_at(bytes + 4, 4) != number || (type != TYPE_INDEX && type != TYPE_ALTERED))
		return -EUCLEAN;
	/* Encrypted pages have the version of their key here. */
	if (number_at(bytes + 26, 4) != 0 || !(number_at(bytes + 42, 2) & COMPACT))
		return -EUCLEAN;
	return ret->heap_top < INNODB_HEAP || ret->heap_top > size ? -EUCLEAN : 0;
}

int innodb_page_next(const struct innodb_page *page, uint32_t origin, uint32_t *ret)
{
	/* Relative, and round the page. */
	uint32_t next = (origin + number_at(page->bytes + origin - 2, 2)) & (page->size - 1);

	if (next != INNODB_SUPREMUM &&
	    (next < INNODB_HEAP + INNODB_HEADER || next >= page->heap_top))
		return -EUCLEAN;
	*ret = next;
	return 0;
}
