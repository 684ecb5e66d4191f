#include "tape/listing.h"
#include "tape/names.h"
#include "base/alloc.h"

/* 16 hexadecimal digits in lower case, then `suffix`. */
static bool parse_lsn(const char *name, const char *suffix, uint64_t *ret)
{
	uint64_t lsn = 0;

	if (strlen(name) != 16 + strlen(suffix) || strcmp(name + 16, suffix) != 0)
		return false;
	for (int i = 0; i < 16; i++) {
		const char *digit = strchr("0123456789abcdef", name[i]);

		if (!digit)
			return false;
		lsn = lsn << 4 | (digit - "0123456789abcdef");
	}
	*ret = lsn;
	return true;
}

static int add_name(const char *name, void *arg)
{
	struct listing *listing = arg;
	char path[TAPE_NAME_MAX];
	uint64_t lsn;

	if (parse_lsn(name, ".seg", &lsn)) {
		xgrow(listing->segments, listing->segment_count, listing->segment_room);
		listing->segments[listing->segment_count++] = lsn;
	} else if (parse_lsn(name, ".idx", &lsn)) {
		xgrow(listing->indexes, listing->index_count, listing->index_room);
		listing->indexes[listing->index_count++] = lsn;
	} else if (parse_lsn(name, ".pack", &lsn)) {
		xgrow(listing->packs, listing->pack_count, listing->pack_room);
		listing->packs[listing->pack_count++] = lsn;
	}
	snprintf(path, sizeof path, TAPE_FOLDER "/%.40s", name);
	listing->new_file |= strcmp(path, TAPE_NEW_NAME) == 0;
	listing->new_index |= strcmp(path, TAPE_NEW_INDEX_NAME) == 0;
	listing->new_pack |= strcmp(path, TAPE_NEW_PACK_NAME) == 0;
	for (unsigned i = 0; i < TAPE_SPARES; i++) {
		char spare[TAPE_NAME_MAX];

		listing->spares |= (strcmp(path, spare_name(spare, i)) == 0) << i;
	}
	return 0;
}

int listing_read(struct listing *listing, struct disk *disk)
{
	*listing = (struct listing){0};
	return disk_list(disk, TAPE_FOLDER, add_name, listing);
}

void listing_done(struct listing *listing)
{
	free(listing->segments);
	free(listing->indexes);
	free(listing->packs);
}
