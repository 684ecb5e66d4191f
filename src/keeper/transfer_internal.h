/*
 * Inside a transfer: transfer_in.c and transfer_out.c have one way each, transfer.c what they
 * share.
 */
#pragma once

#include "base/cleanup.h"
#include "base/map64.h"
#include "keeper/transfer.h"

#include <ftw.h>
#include <limits.h>

#define TRANSFER_COPY_BYTES (1024 * 1024)
#define TRANSFER_DEPTH_MAX 64

/* One transfer, either way. */
struct transfer {
	const struct transfer_options *options;
	struct transfer_result result;
	uint64_t done, total; /* bytes */
	uint8_t *buffer;      /* of TRANSFER_COPY_BYTES */
	struct problem *why;
	const char *top; /* of the tree that is made */
	/* In: where it is, and who gets it. */
	const char *from;
	uid_t uid;
	gid_t gid;
	/* Out: inode number of a file with several names -> its first path below `top`. */
	struct view *view;
	struct map64 links;
};

/* So many bytes further; -ECANCELED. */
int transfer_advance(struct transfer *transfer, uint64_t bytes);
int transfer_write_all(int fd, const uint8_t *data, size_t size, uint64_t offset);
bool transfer_leaves_out(const struct transfer *transfer, const char *name);
/* dir/name; -ENAMETOOLONG. */
int transfer_join(struct transfer *transfer, char path[PATH_MAX], const char *dir,
		  const char *name);
/* Call `fn` for each name in the directory, "." and ".." left out, until it fails. */
int transfer_for_each_name(struct transfer *transfer, const char *path,
			   int (*fn)(struct transfer *transfer, const char *path, const char *name,
				     void *arg),
			   void *arg);

/* For nftw(3): remove everything; everything but the top. */
int transfer_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw);
int transfer_remove_but_top(const char *path, const struct stat *st, int type, struct FTW *ftw);
