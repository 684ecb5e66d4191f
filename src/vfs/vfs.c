#include "vfs/vfs.h"

#include "vfs/file.h"
#include "vfs/sqlite.h"
#include "vfs/tell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* SQLite's own, for what is not a file of ours: time, chance, other libraries, temporary files. */
static sqlite3_vfs *below;

/* --- Names ------------------------------------------------------------------------------------ */

/* The directory without symbolic links, so that one database has one path; where that fails, as it
 * is. */
static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
	const char *slash = strrchr(name, '/');
	char folder[PATH_MAX], real[PATH_MAX];
	int n;

	snprintf(folder, sizeof folder, "%.*s", slash ? (int)MAX(slash - name, 1) : 1,
		 slash ? name : ".");
	if (!realpath(folder, real))
		snprintf(real, sizeof real, "%s", folder);
	n = snprintf(ret, size, "%s/%s", strcmp(real, "/") == 0 ? "" : real,
		     slash ? slash + 1 : name);
	return n < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	char name[STORE_NAME_MAX];
	struct problem why;
	const char *suffix;
	struct database *database = database_of(path, &suffix);
	int r;

	/* The super-journal of a transaction with a database that is none of ours. */
	if (!database)
		return below->xDelete(below, path, sync);
	database_file_name(database, suffix, name);
	r = store_unlink(database->store, name);
	if (r == 0 && sync)
		r = store_sync(database->store);
	if (r < 0 && r != -ENOENT) {
		problem_errno(&why, r, "cannot remove '%.200s'", path);
		store_explain(database->store, r, &why);
	}
	database_put(database);
	if (r == -ENOENT)
		return SQLITE_IOERR_DELETE_NOENT;
	if (r == 0)
		return SQLITE_OK;
	return tell(tell_code(r, SQLITE_IOERR_DELETE), &why);
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
	char name[STORE_NAME_MAX];
	const char *suffix;
	struct database *database = database_of(path, &suffix);
	uint64_t size = 0;
	int r;

	*ret = 0;
	/* A super-journal that cannot be looked for must not be taken for one that is gone: the
	 * transaction would count as committed. */
	if (!database && owner_is_elsewhere(path))
		return SQLITE_IOERR_ACCESS;
	if (!database)
		return below->xAccess(below, path, flags, ret);
	database_file_name(database, suffix, name);
	r = store_look(database->store, name, &size);
	database_put(database);
	if (r < 0 && r != -ENOENT)
		return SQLITE_IOERR_ACCESS;
	/* As SQLite's own: an empty file is none, where it is asked whether there is one. */
	*ret = r == 0 && (flags != SQLITE_ACCESS_EXISTS || size > 0);
	return SQLITE_OK;
}

/* --- Opening ---------------------------------------------------------------------------------- */

static int find_database(const char *path, bool inner, struct database **ret, struct problem *why)
{
	CLEANUP(owner) struct owner *owner = NULL;
	char directory[PATH_MAX];
	const char *suffix;
	int r;

	/* Its database is open: that is why there is an inner one. */
	if (inner) {
		*ret = database_of(path, &suffix);
		return *ret ? 0 : problem(why, -ENOENT, "'%.200s' is not open", path);
	}
	r = owner_find_directory(path, sqlite3_uri_parameter(path, "volume"), directory, why);
	if (r == 0)
		r = owner_get(directory, &owner, why);
	if (r == 0)
		r = database_get(owner, path, ret, why);
	return r;
}

static int open_main(const char *path, bool inner, struct file *file, int flags)
{
	struct database *database = NULL;
	struct problem why = {""};
	int r = find_database(path, inner, &database, &why);

	if (r < 0)
		return tell(tell_code(r, SQLITE_CANTOPEN), &why);
	r = file_open(file, database, "", flags, inner);
	if (r == 0)
		return SQLITE_OK;
	problem_errno(&why, r, "cannot open '%.200s'", path);
	store_explain(database->store, r, &why);
	database_put(database);
	return tell(tell_code(r, SQLITE_CANTOPEN), &why);
}

/* A journal, a WAL, a super-journal: its database is open. */
static int open_beside(const char *path, bool inner, struct file *file, int flags)
{
	struct problem why = {""};
	const char *suffix;
	struct database *database = database_of(path, &suffix);
	int r;

	if (!database)
		return below->xOpen(below, path, &file->base, flags, NULL);
	r = file_open(file, database, suffix, flags, inner);
	if (r == 0)
		return SQLITE_OK;
	problem_errno(&why, r, "cannot open '%.200s'", path);
	store_explain(database->store, r, &why);
	database_put(database);
	return tell(tell_code(r, SQLITE_CANTOPEN), &why);
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *sqlite_file, int flags,
		    int *ret_flags)
{
	bool inner = vfs->pAppData != NULL;
	int r;

	sqlite_file->pMethods = NULL;
	if (!path || flags & (SQLITE_OPEN_TEMP_DB | SQLITE_OPEN_TRANSIENT_DB |
			      SQLITE_OPEN_TEMP_JOURNAL | SQLITE_OPEN_SUBJOURNAL))
		return below->xOpen(below, path, sqlite_file, flags, ret_flags);
	if (flags & SQLITE_OPEN_MAIN_DB)
		r = open_main(path, inner, (struct file *)sqlite_file, flags);
	else
		r = open_beside(path, inner, (struct file *)sqlite_file, flags);
	if (r == SQLITE_OK && ret_flags)
		*ret_flags = flags;
	return r;
}

/* --- What is SQLite's own --------------------------------------------------------------------- */

static void *vfs_dl_open(sqlite3_vfs *vfs, const char *name)
{
	return below->xDlOpen(below, name);
}

static void vfs_dl_error(sqlite3_vfs *vfs, int size, char *text)
{
	below->xDlError(below, size, text);
}

static void (*vfs_dl_sym(sqlite3_vfs *vfs, void *library, const char *name))(void)
{
	return below->xDlSym(below, library, name);
}

static void vfs_dl_close(sqlite3_vfs *vfs, void *library)
{
	below->xDlClose(below, library);
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *ret)
{
	return below->xRandomness(below, size, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	return below->xSleep(below, us);
}

static int vfs_current_time(sqlite3_vfs *vfs, double *ret)
{
	return below->xCurrentTime(below, ret);
}

static int vfs_current_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	return below->xCurrentTimeInt64(below, ret);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *text)
{
	if (size > 0)
		snprintf(text, size, "%s", tell_last());
	return 0;
}

static sqlite3_vfs ours = {
	.iVersion = 2,
	.mxPathname = OWNER_PATH_MAX,
	.zName = VFS_NAME,
	.xOpen = vfs_open,
	.xDelete = vfs_delete,
	.xAccess = vfs_access,
	.xFullPathname = vfs_full_pathname,
	.xDlOpen = vfs_dl_open,
	.xDlError = vfs_dl_error,
	.xDlSym = vfs_dl_sym,
	.xDlClose = vfs_dl_close,
	.xRandomness = vfs_randomness,
	.xSleep = vfs_sleep,
	.xCurrentTime = vfs_current_time,
	.xGetLastError = vfs_last_error,
	.xCurrentTimeInt64 = vfs_current_time_ms,
};
static sqlite3_vfs inner;

int vfs_register(void)
{
	int r;

	if (sqlite3_vfs_find(VFS_NAME))
		return SQLITE_OK;
	below = sqlite3_vfs_find(NULL);
	if (!below)
		return SQLITE_ERROR;
	ours.szOsFile = (int)MAX(sizeof(struct file), (size_t)below->szOsFile);
	inner = ours;
	inner.zName = VFS_INNER_NAME;
	inner.pAppData = &inner;
	r = sqlite3_vfs_register(&inner, 0);
	return r == SQLITE_OK ? sqlite3_vfs_register(&ours, 0) : r;
}
