/*
 * Base: plain files that hold the data of the state at the base's position.
 *
 * "base/INO.dat" has the bytes of one file, "base/INO.sum" a checksum for each block of 4096, in
 * pages that are checksummed themselves.  Which pages there are is kept in "base/state", so that a
 * missing one is noticed. A block without a checksum is a hole.
 *
 * Files that other volumes have too (clones: base_share()) are not written to: -EUCLEAN.
 *
 * The base changes only in a fold, in place: fold.h says how that survives a crash.  Locking:
 * readers hold the volume's base_lock shared; whoever writes blocks that a reader may read, or
 * removes files, holds it exclusively.
 */
#pragma once

#include "base/buffer.h"
#include "base/cursor.h"
#include "disk/disk.h"
#include "volume/format.h"

#include <stdbool.h>

struct base;

/* `disk` is borrowed. */
struct base *base_new(struct disk *disk);
void base_free(struct base *base);
DEFINE_CLEANUP(struct base *, base, base_free)

/*
 * Bytes of the file, verified; zeros where there are none.  -EBADMSG with the place in `why`, or
 * the disk's -errno.
 */
int base_read(struct base *base, uint64_t ino, uint64_t offset, void *buf, size_t size,
	      struct problem *why);

/* Whether any of [offset, offset + size) may be other than zeros, judged by the pages that exist.
 */
bool base_may_have_data(struct base *base, uint64_t ino, uint64_t offset, uint64_t size);
/* Past the last byte that any page speaks for. */
uint64_t base_data_end(struct base *base, uint64_t ino);

/* --- Shared with other volumes ------------------------------------------------------------------
 *
 * A clone's base has the same files as its parent's, by further names.  So a file that has more
 * than one name is never written to: who wants to first makes a copy its own.  With the volume's
 * fold_lock.
 */

/* The base's files get further names on `to`. */
int base_share(struct base *base, struct disk *to);
/* The files of the inode are this base's alone: 1, 0, or -errno. */
int base_is_own(struct base *base, uint64_t ino);
/*
 * Copies of the inode's files, durable but without their names.  `go_on` (may be NULL) is called
 * with the bytes copied since the last call; false: give up (-ECANCELED).  Nobody changes the base
 * meanwhile; base_adopt() makes use of the copies.
 */
int base_copy(struct base *base, uint64_t ino, bool (*go_on)(uint64_t bytes, void *arg), void *arg);
/* The copies take the place of the files.  With base_lock held exclusively; sync "base" afterwards.
 */
int base_adopt(struct base *base, uint64_t ino);
/* Space taken on the disk by files that are not this base's alone. */
uint64_t base_shared_bytes(struct base *base);

/* --- For the fold -------------------------------------------------------------------------------
 */

/* The page as it is, verified; all holes when there is none. */
int base_load_sums(struct base *base, uint64_t ino, uint64_t page, struct sum_page *ret,
		   struct problem *why);
/* Note that the page exists from now on; the note is durable with base_encode()'s bytes. */
void base_add_page(struct base *base, uint64_t ino, uint64_t page);
/* Take the room that base_write() of these blocks, and of their checksums, will need.  Says nothing
 * of what is in them. */
int base_allocate(struct base *base, uint64_t ino, uint64_t offset, uint64_t size);
/* Raw: `size` is a multiple of BASE_BLOCK. */
int base_write(struct base *base, uint64_t ino, uint64_t offset, const void *data, size_t size);
int base_write_sums(struct base *base, uint64_t ino, const struct sum_page *page);
/* Give back what is past `size`, rounded up to a block. */
int base_shrink(struct base *base, uint64_t ino, uint64_t size);
/* Both files of the inode, then forget the descriptors. */
int base_sync(struct base *base, uint64_t ino);
int base_remove(struct base *base, uint64_t ino);
/* Remove the files of inodes without one, left by a fold that did not come to be. */
int base_sweep(struct base *base);
/* Every inode with a file. */
int base_for_each(struct base *base, int (*fn)(uint64_t ino, void *arg), void *arg);

void base_encode(const struct base *base, struct buffer *out);
/* Replace what is known of pages. */
int base_decode(struct base *base, struct cursor *in);

/* Checksum of a block, never 0. */
uint32_t base_sum(const void *block);
void base_seal_sums(struct sum_page *page, uint64_t ino, uint64_t index);

/* Space taken on the disk. */
uint64_t base_bytes(struct base *base);

/* The first page from `page` on that exists; false when there is none. */
bool base_next_page(struct base *base, uint64_t ino, uint64_t page, uint64_t *ret);
/* Check the page and every block it speaks for; a line to `report` per damage.  Returns the bytes
 * checked. */
uint64_t base_verify_page(struct base *base, uint64_t ino, uint64_t page,
			  void (*report)(const char *line, void *arg), void *arg);
