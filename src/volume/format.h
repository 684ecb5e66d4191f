/*
 * Format: the bytes of a volume's own files.  The tape's are in tape/format.h.
 *
 * docs/format.md has the meaning; tests/golden/ pins both.
 */
#pragma once

#include "base/le.h"

#include <assert.h>

/* "volume": what the volume is.  Replaced as a whole when the window changes. */
#define SUPERBLOCK_MAGIC "UNSPILLV"
#define SUPERBLOCK_VERSION 1

/* Bits of `incompatible`. */
#define VOLUME_INCOMPAT_PACKS 1 /* there are packs in the place of segments */
/* Files may have further names in other volumes: those are not to be changed in place. */
#define VOLUME_INCOMPAT_SHARED 2
#define VOLUME_INCOMPAT_REPACKED 4 /* there are packs that were made of packs */
#define VOLUME_INCOMPAT_KNOWN \
	(VOLUME_INCOMPAT_PACKS | VOLUME_INCOMPAT_SHARED | VOLUME_INCOMPAT_REPACKED)

struct superblock {
	le32 crc;           /* 0: CRC-32C of everything after it */
	le16 version;       /* 4 */
	le16 reserved;      /* 6 */
	uint8_t magic[8];   /* 8 */
	uint8_t uuid[16];   /* 16 */
	le64 segment_bytes; /* 32 */
	le64 created_us;    /* 40 */
	le64 window_us;     /* 48 */
	le32 root_mode;     /* 56 */
	le32 root_uid;      /* 60 */
	le32 root_gid;      /* 64 */
	le32 compatible;    /* 68: features that an older program may ignore */
	le32 incompatible;  /* 72: features that it must refuse */
	le32 attached;      /* 76: 1: a clone whose base is not its own yet */
	le64 history_max; /* 80: bytes that the history may take; 0: as many as there is room for */
	uint8_t padding[40]; /* 88 */
};
static_assert(sizeof(struct superblock) == 128, "superblock");

/* "ckpt/POSITION", "base/state", "base/intent". */
#define IMAGE_MAGIC "UNSPILLI"
#define IMAGE_VERSION 1

struct image_header {
	le32 crc;             /* 0: of the header after it */
	le16 version;         /* 4 */
	le16 reserved;        /* 6 */
	uint8_t magic[8];     /* 8 */
	uint8_t uuid[16];     /* 16 */
	le64 position;        /* 32 */
	le64 time_us;         /* 40 */
	le64 base;            /* 48: position of the base below */
	le64 horizon_lsn;     /* 56 */
	le64 horizon_time_us; /* 64 */
	le64 body_size;       /* 72 */
	le32 body_crc;        /* 80 */
	le32 padding;         /* 84 */
};
static_assert(sizeof(struct image_header) == 88, "image header");

/* "base/INO.sum": checksums of the blocks of "base/INO". */
#define BASE_BLOCK 4096
#define SUMS_PER_PAGE 1020

struct sum_page {
	le32 crc;                 /* 0: of the page after it */
	le32 index;               /* 4: which page of the file */
	le64 ino;                 /* 8 */
	le32 sums[SUMS_PER_PAGE]; /* 16: of each block; 0: the block is a hole, all zeros */
};
static_assert(sizeof(struct sum_page) == BASE_BLOCK, "sum page");
