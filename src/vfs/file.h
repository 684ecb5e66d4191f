/*
 * File: what SQLite has open: a database, its journal, its WAL, or a super-journal.
 *
 * A file goes by its name.  When the head has been moved (the owner's generation is another), the
 * name is looked up again: what was open is then what the new head has by that name, an empty file
 * if it has none, made by the first write.
 *
 * Which syncs wait for the disk: see docs/decisions/0008.
 */
#pragma once

#include "vfs/owner.h"
#include "vfs/sqlite.h"

struct file {
	sqlite3_file base;
	struct database *database; /* a reference */
	char suffix[64];           /* behind the database's name; "" for the database itself */
	int flags;
	uint64_t id;         /* in the store; 0: there is no such file */
	uint64_t generation; /* of the head in which `id` was looked up */
	uint64_t born;       /* generation when it was opened */
	bool inner;
	struct lock_holder lock; /* of a database; else unused */
	bool announced;          /* the next sync is the one before a commit that will be told of */
	bool owed;               /* that sync is due at the commit */
	bool keep_wal;           /* SQLITE_FCNTL_PERSIST_WAL */
};

/* Takes over the reference to `database` when it succeeds.  -errno. */
int file_open(struct file *file, struct database *database, const char *suffix, int flags,
	      bool inner);
