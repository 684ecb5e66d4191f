/*
 * Listing: what there is in the tape's folder, by kind.
 */
#pragma once

#include "disk/disk.h"

struct listing {
	uint64_t *segments, *indexes, *packs; /* LSNs, of packs their ids; ascending */
	size_t segment_count, segment_room;
	size_t index_count, index_room;
	size_t pack_count, pack_room;
	unsigned spares;                    /* bit i: spare-i.seg */
	bool new_file, new_index, new_pack; /* in the making */
};

int listing_read(struct listing *listing, struct disk *disk);
void listing_done(struct listing *listing);
static inline void listing_cleanup(struct listing *listing)
{
	listing_done(listing);
}
