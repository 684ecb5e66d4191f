/*
 * Format: the tape's bytes on disk.  docs/format.md has the meaning.
 */
#pragma once

#include "base/le.h"

#include <assert.h>

#define TAPE_ALIGN 8

/* Types of the tape's own records: 0x8000 and up. */
enum {
	TAPE_TYPE_OWN = 0x8000,
	/* The first of each segment, and nowhere else; its meta is a struct tape_segment_meta. */
	TAPE_TYPE_SEGMENT = 0x8000,
	/* What lies behind it, of lower epochs, was damaged and given up. */
	TAPE_TYPE_CUT = 0x8001,
	/* The last before a clean close: all before it is durable. */
	TAPE_TYPE_CLOSE = 0x8002,
};

/* Feature words: an unknown bit of `incompat` keeps the tape from being opened. */
#define TAPE_COMPAT_KNOWN 0
#define TAPE_INCOMPAT_KNOWN 0

/*
 * Then: meta, zeros to a multiple of 4, a table of le32 crc32c per block of data, data, zeros to a
 * multiple of 8.  `crc` covers all up to the data but itself, continuing the volume's seed.
 * `durable`: every record before this position was durable when this one was appended.  `epoch`: of
 * the opening that appended it, from 1, higher than any before.
 */
struct tape_record_header {
	le32 crc;       /*  0 */
	le16 type;      /*  4 */
	le16 flags;     /*  6: 0 */
	le64 lsn;       /*  8 */
	le64 time_us;   /* 16 */
	le64 durable;   /* 24 */
	le32 meta_size; /* 32 */
	le32 data_size; /* 36 */
	le32 epoch;     /* 40 */
	le32 reserved;  /* 44: 0 */
};
static_assert(sizeof(struct tape_record_header) == 48, "bytes on disk");

struct tape_segment_meta {
	uint8_t uuid[16];   /*  0 */
	le64 segment_bytes; /* 16 */
	le64 prev_end;      /* 24: where the segment before ends; own LSN in the first */
	le32 compat;        /* 32 */
	le32 incompat;      /* 36 */
	le64 reserved;      /* 40: 0 */
};
static_assert(sizeof(struct tape_segment_meta) == 48, "bytes on disk");

/* The start of an index file.  Then chunks. */
struct tape_index_header {
	uint8_t magic[8];   /*   0: "UNSPLIDX" */
	le32 crc;           /*   8: over what follows, continuing the volume's seed */
	le32 incompat;      /*  12 */
	le64 lsn;           /*  16: of the segment */
	le64 end;           /*  24: after its last record, the tape's own included */
	le64 records;       /*  32: without the tape's own */
	le64 data_bytes;    /*  40 */
	le64 first_time_us; /*  48 */
	le64 last_time_us;  /*  56 */
	le64 bytes;         /*  64: of all chunks, their headers included */
	le32 last_epoch;    /*  72 */
	le32 reserved;      /*  76: 0 */
};
static_assert(sizeof(struct tape_index_header) == 80, "bytes on disk");

/* Then `size` bytes of entries: struct tape_record_header, meta, zeros to a multiple of 8. */
struct tape_index_chunk {
	le32 crc;  /* 0: over what follows, continuing the volume's seed */
	le32 size; /* 4 */
};
static_assert(sizeof(struct tape_index_chunk) == 8, "bytes on disk");

/*
 * The start of a pack, and once more its last bytes.  Between them: the groups, one right behind
 * the other, and the table, twice.
 */
struct tape_pack_header {
	uint8_t magic[8];   /*  0: "UNSPLPAK" */
	le32 crc;           /*  8: over what follows, continuing the volume's seed */
	le32 incompat;      /* 12 */
	le64 lsn;           /* 16: of the first segment */
	le64 segment_bytes; /* 24 */
	le64 table;         /* 32: offset of the first of the two tables, the end of the groups */
	le32 segments;      /* 40: so many follow each other */
	le32 groups;        /* 44 */
	le32 data_groups;   /* 48: so many come first; the others hold the heads of records */
	le32 table_crc;     /* 52: over one table, continuing the volume's seed */
	le64 reserved;      /* 56: 0 */
};
static_assert(sizeof(struct tape_pack_header) == 64, "bytes on disk");

/* The table: one of these for each segment, in order ... */
struct tape_pack_segment {
	le64 end;           /*  0: after its last record, the tape's own included */
	le64 records;       /*  8: without the tape's own */
	le64 data_bytes;    /* 16 */
	le64 first_time_us; /* 24 */
	le64 last_time_us;  /* 32 */
	le32 last_epoch;    /* 40 */
	le32 reserved;      /* 44: 0 */
};
static_assert(sizeof(struct tape_pack_segment) == 48, "bytes on disk");

/* ... then one of these for each group.  As many bytes packed as not: it is stored as it is. */
struct tape_pack_group {
	le64 offset; /*  0: in the file */
	le64 lsn;    /*  8: of the first head in it; 0 of a group of data */
	le32 packed; /* 16: bytes in the file */
	le32 size;   /* 20: bytes when unpacked */
	le32 crc;    /* 24: over its number (le32) and the packed bytes, continuing the seed */
	le32 base;   /* 28: number of the group that it is the difference from, or all ones */
};
static_assert(sizeof(struct tape_pack_group) == 32, "bytes on disk");

/*
 * In a group of heads, before each record's head (header, meta, zeros to a multiple of 4, table):
 * where its data begins.  It goes on in the next group when that one is too small.
 */
struct tape_pack_place {
	le32 group;  /* 0 */
	le32 offset; /* 4: in the group, unpacked */
};
static_assert(sizeof(struct tape_pack_place) == 8, "bytes on disk");
