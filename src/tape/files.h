/*
 * Files: the open files of those who read, of segments or of packs: a limited number, least
 * recently used out first.
 */
#pragma once

#include "disk/disk.h"
#include "tape/names.h"

#include <pthread.h>
#include <stdatomic.h>

#define FILES_MAX 64

struct files {
	struct disk *disk; /* borrowed */
	const char *(*name)(char name[TAPE_NAME_MAX], uint64_t lsn);
	pthread_mutex_t lock; /* guards the rest; nothing is called with it held but the disk */
	uint64_t tick;
	struct files_slot {
		struct disk_file *file; /* NULL: free */
		uint64_t lsn;
		uint64_t used;  /* tick of the last use */
		unsigned users; /* not closed while there are any */
		bool forgotten; /* close with the last user */
		/* Up to which LSN the disk was told that it will be read: see read.c. */
		atomic_uint_fast64_t ahead;
	} slots[FILES_MAX];
};

/* `name`: segment_name() or pack_name(). */
void files_init(struct files *files, struct disk *disk,
		const char *(*name)(char name[TAPE_NAME_MAX], uint64_t lsn));
void files_done(struct files *files);

/* The file of LSN, for reading, until files_put().  -ENOENT, or the disk's -errno. */
int files_get(struct files *files, uint64_t lsn, struct files_slot **ret);
void files_put(struct files *files, struct files_slot *slot);

/* The file is no more; who has the file may read on. */
void files_forget(struct files *files, uint64_t lsn);
