/*
 * VFS: SQLite's way to files, with a volume inside the process in the place of a filesystem.
 *
 *	file:/srv/notes/app.db?vfs=unspill		in the cluster's, or the volume's, directory
 *	file:app.db?vfs=unspill&volume=notes		in the cluster of that name
 *	file:/srv/notes/app.db@mark:clean?vfs=unspill	as it was then; changes are thrown away
 *
 * The volume is opened with the first connection and closed with the last.  Any number of
 * connections and threads; one process.  Temporary files go where SQLite's own VFS puts them.
 */
#pragma once

#include <stdbool.h>

#define VFS_NAME "unspill"
/* The same for the connections with which the volume's owner settles a head that was moved: they
 * pass the gate. */
#define VFS_INNER_NAME "unspill-inner"

/* A file control of ours, for an inner connection: it is alone from now on (an int, 0 or 1). */
#define VFS_CONTROL_ALONE 0x756e7370

/* Make the VFS known to SQLite; once is enough, and more do no harm.  Returns SQLite's code. */
int vfs_register(void);
