/*
 * Pack: a file that stands for one sealed segment or several in a row, in less space.
 *
 * It holds the same records with the same checksums, in two kinds of groups, each compressed by
 * itself.  The groups of heads have headers, metas and tables in the order of the tape, as an index
 * has, and say where each record's data is.  The groups of data have data that resembles each other
 * together:
 *
 *	 newest versions        older versions, as the difference
 *	 of a few ranges        from the group before them
 *	[ base group 0 ]       [ group 1, base 0 ] [ group 2, base 0 ]
 *	[ base group 3 ]       [ group 4, base 3 ]
 *	parts of streams
 *	[ group 5 ]            [ group 6 ]
 *
 * So any byte is reached by unpacking a group of heads and at most two groups of data, and what
 * nobody has overwritten since by one small one.
 *
 * Invariant: a pack needs no other file.  Every byte of it is under a checksum; what is read is
 * checked once more against the record's own, which come from whoever wrote the record.
 */
#pragma once

#include "tape/files.h"
#include "tape/index.h"
#include "tape/unpacked.h"

/* So many segments at most. */
#define PACK_SEGMENTS_MAX 64
/* Bytes of a group: with the newest versions (what the head may read), with older ones, with part
 * of a stream, of heads. */
#define PACK_BASE_BYTES (64u * 1024)
#define PACK_OLDER_BYTES (128u * 1024)
#define PACK_STREAM_BYTES (1024u * 1024)
#define PACK_HEAD_BYTES (64u * 1024)
/* No group of any kind is bigger; one record's head fits. */
#define PACK_GROUP_MAX (1024u * 1024)
#define PACK_GROUPS_MAX (1u << 22)
#define PACK_NONE UINT32_MAX

/*
 * A pack that is made of others has a generation beyond theirs, and stands for what they stood for.
 * Its file is called by its id, the two in one number: segments are a multiple of 4096 bytes long.
 */
#define PACK_GENERATIONS 4096
static inline uint64_t pack_id(uint64_t lsn, unsigned generation)
{
	return lsn + generation;
}
static inline unsigned pack_id_generation(uint64_t id)
{
	return id % PACK_GENERATIONS;
}
static inline uint64_t pack_id_lsn(uint64_t id)
{
	return id - pack_id_generation(id);
}

struct pack {
	uint64_t id, lsn, segment_bytes;
	uint64_t table; /* offset of the tables */
	uint64_t bytes; /* of the file */
	uint32_t segments, groups, data_groups, table_crc;
	unsigned left; /* segments of it that have not been dropped; tape.lock */
	unsigned refs; /* who has it, the segments included; tape.lock */
};

/* --- Bytes (pack.c): no I/O ------------------------------------------------------------------- */

/* The header at `bytes`.  0, -EBADMSG, or -EPROTONOSUPPORT. */
int pack_parse_header(const struct tape_pack_header *bytes, uint64_t lsn, uint64_t segment_bytes,
		      uint32_t seed, struct pack *ret);
void pack_make_header(const struct pack *pack, uint32_t seed, struct tape_pack_header *ret);

static inline size_t pack_table_size(const struct pack *pack)
{
	return pack->segments * sizeof(struct tape_pack_segment) +
	       pack->groups * sizeof(struct tape_pack_group);
}
uint32_t pack_table_crc(const void *table, size_t size, uint32_t seed);
/* The table (whose checksum is right) makes sense.  0 or -EBADMSG. */
int pack_check_table(const struct pack *pack, const void *table);
/* Segment `i` of it, as the table says. */
void pack_summary(const struct pack *pack, const void *table, uint32_t i, struct summary *ret);

struct pack_group {
	uint64_t offset, lsn;
	uint32_t packed, size, crc, base;
};
void pack_group(const struct pack *pack, const void *table, uint32_t number,
		struct pack_group *ret);
uint32_t pack_group_crc(uint32_t number, const void *packed, size_t size, uint32_t seed);

/*
 * Packed to unpacked, `group->size` bytes; `base` is the unpacked base group, or NULL.  0 or
 * -EBADMSG.
 */
int pack_unpack(const struct pack_group *group, const void *packed, const void *base,
		size_t base_size, void *ret);

/* The entries of a group of heads. */
struct pack_entry {
	struct record record;
	uint32_t group, offset; /* of the data */
	const uint8_t *head;
	uint32_t head_size;
};
struct pack_cursor {
	const uint8_t *at, *end;
	uint64_t lsn; /* heads come in order, and not before this */
};
/* 1 and the entry, 0 at the end, -EBADMSG. */
int pack_next(struct pack_cursor *cursor, struct pack_entry *ret);
void pack_show(const struct pack_entry *entry, struct tape_record *ret);

/* --- Reading (pack_read.c) ----------------------------------------------------------------------
 */

/*
 * Find out what the pack with this id is.  The caller frees *ret, and *ret_table (its table; may be
 * NULL).  -ENOENT, -EBADMSG when neither of the copies of its description is good,
 * -EPROTONOSUPPORT, or the disk's.
 */
int pack_load(struct disk *disk, uint64_t id, uint64_t segment_bytes, uint32_t seed,
	      struct pack **ret, void **ret_table);

struct pack_reader {
	const struct pack *pack; /* borrowed, all three */
	struct files *files;
	struct unpacked *cache;
	uint32_t seed;
};

/* As tape_read(); `lsn` lies in the pack. */
int pack_read(struct pack_reader *reader, uint64_t lsn, uint32_t skip, void *buf, size_t size,
	      struct problem *why);

/* The record at `lsn`, of any type, and its meta, which has `size` bytes.  0, -EINVAL, -EBADMSG. */
int pack_find(struct pack_reader *reader, uint64_t lsn, struct record *ret, void *meta, size_t size,
	      struct problem *why);

/* As tape_scan(), for what the pack has. */
int pack_scan(struct pack_reader *reader, uint64_t from, uint64_t to, record_fn fn, void *arg,
	      struct problem *why);

/*
 * Call `fn` for each record that begins in [from, to), the tape's own included, whose head has been
 * checked; its data has not.  Returns what `fn` returned when that is not 0, or as pack_scan().
 */
typedef int (*pack_entry_fn)(const struct pack_entry *entry, void *arg);
int pack_walk(struct pack_reader *reader, uint64_t from, uint64_t to, pack_entry_fn fn, void *arg,
	      struct problem *why);

/* --- Writing (pack_write.c) ---------------------------------------------------------------------
 */

struct pack_item {
	uint64_t lsn;
	uint32_t data_size, head_size;
	size_t head;         /* where in `heads` */
	uint64_t offset;     /* of its data, for who reads it */
	uint64_t object, at; /* what the data is of */
	enum tape_place_kind kind;
	uint32_t group, skip; /* where its data went */
};

struct pack_input {
	uint64_t lsn, segment_bytes;
	const struct summary *summaries;
	uint32_t segments;
	uint32_t seed;
	int level;
	struct pack_item *items; /* in the order of the tape; places are filled in */
	size_t count;
	const uint8_t *heads;
	/* All data of the item, checked. */
	int (*read)(const struct pack_item *item, void *buf, void *arg);
	/* Now and then; false: -ECANCELED. */
	bool (*go_on)(uint64_t data_bytes, void *arg);
	void *arg;
	uint64_t bytes_max; /* -E2BIG when it gets bigger */
};

/* Write the file under `name` and sync it; the name is not synced.  *ret_bytes is its size. */
int pack_write(struct disk *disk, const char *name, struct pack_input *input, uint64_t *ret_bytes);

/* --- Checking (pack_check.c) --------------------------------------------------------------------
 */

struct pack_checker {
	void (*note)(void *arg, const char *line);
	/* Called for each record, its own included, in order. */
	void (*seen)(void *arg, const struct record *record);
	bool (*go_on)(void *arg, uint64_t done, uint64_t total); /* bytes of the file */
	void *arg;
};
/*
 * Every byte of the pack at `lsn`, in the file `name`.  0 (what is wrong has been noted) and
 * *ret_pack, *ret_last (the summary of its last segment) when it could be made sense of; -ENOENT,
 * -EBADMSG (noted), -ECANCELED, or the disk's.
 */
int pack_check(struct disk *disk, const char *name, uint64_t lsn, uint64_t segment_bytes,
	       uint32_t seed, const struct pack_checker *checker, struct pack *ret_pack,
	       struct summary *ret_last);
