/*
 * Store: the files that SQLite sees, by name: those of a volume's head, or those of one of its
 * moments, with whatever is changed since kept in memory and thrown away at the end.
 *
 * Names have no '/'.  An id is a file's for as long as it is referred to, with a name or without.
 * Returns 0 or a count, or -errno; -ESTALE: the id is not there any more, as the head has moved.
 */
#pragma once

#include "base/cleanup.h"
#include "volume/volume.h"

struct store;

/* So much may be changed at a moment of the past; beyond, -ENOSPC. */
#define STORE_SCRATCH_MAX (UINT64_C(256) * 1024 * 1024)

/* The head of `volume` (borrowed). */
struct store *store_new_head(struct volume *volume);
/* The moment that `view` shows; the store owns the view. */
struct store *store_new_past(struct view *view);
void store_free(struct store *store);
DEFINE_CLEANUP(struct store *, store, store_free)

/* Is it of the past?  What is written there is for nobody else, and never durable. */
bool store_is_past(const struct store *store);

/* The file's id, referred to until store_unref(); made if missing when `create`.  -ENOENT. */
int store_open(struct store *store, const char *name, bool create, uint64_t *ret_id);
void store_unref(struct store *store, uint64_t id);

/* Is there such a file?  0 or -ENOENT; `ret_size` may be NULL. */
int store_look(struct store *store, const char *name, uint64_t *ret_size);
int store_unlink(struct store *store, const char *name);

ssize_t store_read(struct store *store, uint64_t id, uint64_t offset, void *buf, size_t size);
/* What is at most VOLUME_WRITE_MAX bytes appears whole or not at all. */
int store_write(struct store *store, uint64_t id, uint64_t offset, const void *buf, size_t size);
int store_truncate(struct store *store, uint64_t id, uint64_t size);
int store_size(struct store *store, uint64_t id, uint64_t *ret);
/* Everything changed before is durable; of the past, nothing is ever. */
int store_sync(struct store *store);

/* Of an -EIO, which tells little, `why` gets to say what the volume knows.  Returns `r`. */
int store_explain(struct store *store, int r, struct problem *why);
