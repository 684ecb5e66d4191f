#include "vfs/file.h"

#include "vfs/tell.h"
#include "vfs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct file *file_of(sqlite3_file *file)
{
	return (struct file *)file;
}

static bool is_database(const struct file *file)
{
	return file->flags & SQLITE_OPEN_MAIN_DB;
}

static uint64_t generation_of(const struct file *file)
{
	return __atomic_load_n(&file->database->owner->generation, __ATOMIC_ACQUIRE);
}

/* --- The file behind the name ----------------------------------------------------------------- */

static int look_up(struct file *file, bool create)
{
	struct store *store = file->database->store;
	char name[STORE_NAME_MAX];
	uint64_t generation = generation_of(file), id = 0;
	int r;

	database_file_name(file->database, file->suffix, name);
	r = store_open(store, name, create, &id);
	if (r < 0 && (create || r != -ENOENT))
		return r;
	if (file->id)
		store_unref(store, file->id);
	file->id = id;
	file->generation = generation;
	return 0;
}

/* Before any use: 0 with file->id, which is 0 when there is no such file. */
static int find(struct file *file, bool create)
{
	struct problem why;

	if (owner_is_foreign(file->database->owner)) {
		problem(&why, -EPERM,
			"a connection made before fork() is not for the child: open one here");
		return tell(SQLITE_IOERR, &why), -EPERM;
	}
	if (file->born < __atomic_load_n(&file->database->broken, __ATOMIC_ACQUIRE)) {
		problem(&why, -ESTALE,
			"'%s' could not be settled at the moment that it was put to: see the log, "
			"and open it again",
			file->database->name);
		return tell(SQLITE_IOERR, &why), -EPERM;
	}
	if (file->generation == generation_of(file) && (file->id || !create))
		return 0;
	return look_up(file, create);
}

/* The head may have moved between the look and the use: once more, then. */
#define USE(file, create, r, call)                       \
	do {                                             \
		for (int try_ = 0; try_ < 2; try_++) {   \
			(r) = find(file, create);        \
			if ((r) < 0)                     \
				break;                   \
			(r) = (file)->id ? (call) : 0;   \
			if ((r) != -ESTALE)              \
				break;                   \
			(file)->generation = UINT64_MAX; \
		}                                        \
	} while (0)

static int failed(struct file *file, int r, int code, const char *what)
{
	struct problem why;

	if (r == -EPERM)
		return code;
	problem_errno(&why, r, "cannot %s '%s%s'", what, file->database->name, file->suffix);
	store_explain(file->database->store, r, &why);
	return tell(tell_code(r, code), &why);
}

int file_open(struct file *file, struct database *database, const char *suffix, int flags,
	      bool inner)
{
	extern const sqlite3_io_methods file_methods;
	int r;

	*file = (struct file){.database = database, .flags = flags, .inner = inner};
	if (strlen(suffix) >= sizeof file->suffix)
		return -ENAMETOOLONG;
	strcpy(file->suffix, suffix);
	file->born = generation_of(file);
	r = look_up(file, flags & SQLITE_OPEN_CREATE);
	if (r == 0 && !file->id)
		r = -ENOENT;
	if (r < 0)
		return r;
	if (is_database(file))
		lock_join(&file->lock, &database->locks, inner);
	file->base.pMethods = &file_methods;
	return 0;
}

static int file_close(sqlite3_file *sqlite_file)
{
	struct file *file = file_of(sqlite_file);
	struct database *database = file->database;
	char name[STORE_NAME_MAX];

	/* In a child all that is here belongs to the parent, locks and memory. */
	if (owner_is_foreign(database->owner))
		return SQLITE_OK;
	if (is_database(file))
		lock_leave(&file->lock);
	if (file->flags & SQLITE_OPEN_DELETEONCLOSE) {
		database_file_name(database, file->suffix, name);
		store_unlink(database->store, name);
	}
	if (file->id)
		store_unref(database->store, file->id);
	database_put(database);
	return SQLITE_OK;
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static int file_read(sqlite3_file *sqlite_file, void *buf, int size, sqlite3_int64 offset)
{
	struct file *file = file_of(sqlite_file);
	ssize_t n;

	USE(file, false, n, store_read(file->database->store, file->id, offset, buf, size));
	if (n < 0)
		return failed(file, (int)n, SQLITE_IOERR_READ, "read");
	if (n == size)
		return SQLITE_OK;
	memset((char *)buf + n, 0, size - n);
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *sqlite_file, const void *buf, int size, sqlite3_int64 offset)
{
	struct file *file = file_of(sqlite_file);
	int r;

	file->announced = false;
	USE(file, true, r, store_write(file->database->store, file->id, offset, buf, size));
	return r < 0 ? failed(file, r, SQLITE_IOERR_WRITE, "write to") : SQLITE_OK;
}

static int file_truncate(sqlite3_file *sqlite_file, sqlite3_int64 size)
{
	struct file *file = file_of(sqlite_file);
	int r;

	USE(file, size > 0, r, store_truncate(file->database->store, file->id, size));
	return r < 0 ? failed(file, r, SQLITE_IOERR_TRUNCATE, "truncate") : SQLITE_OK;
}

static int file_size(sqlite3_file *sqlite_file, sqlite3_int64 *ret)
{
	struct file *file = file_of(sqlite_file);
	uint64_t size = 0;
	int r;

	USE(file, false, r, store_size(file->database->store, file->id, &size));
	if (r < 0)
		return failed(file, r, SQLITE_IOERR_FSTAT, "look at");
	*ret = (sqlite3_int64)size;
	return SQLITE_OK;
}

/* --- What is durable -------------------------------------------------------------------------- */

static int sync_now(struct file *file)
{
	int r = find(file, false);

	if (r == 0)
		r = store_sync(file->database->store);
	return r < 0 ? failed(file, r, SQLITE_IOERR_FSYNC, "sync") : SQLITE_OK;
}

static int file_sync(sqlite3_file *sqlite_file, int flags)
{
	struct file *file = file_of(sqlite_file);

	/*
	 * SQLite syncs the database before it ends the journal, so that the one is there when the
	 * other is gone.  That order the tape keeps by itself; what has to be waited for is the
	 * end of the journal, and that is the commit.
	 */
	if (file->announced) {
		file->announced = false;
		file->owed = true;
		return SQLITE_OK;
	}
	/* The WAL has just been synced; that the database's pages come before the WAL's reuse is
	 * order, too. */
	if (is_database(file) && shm_is_checkpointing(&file->lock))
		return SQLITE_OK;
	return sync_now(file);
}

static int commit(struct file *file)
{
	file->announced = false;
	if (!file->owed)
		return SQLITE_OK;
	file->owed = false;
	return sync_now(file);
}

/* --- Locks ------------------------------------------------------------------------------------ */

static int file_lock(sqlite3_file *sqlite_file, int level)
{
	struct file *file = file_of(sqlite_file);

	if (owner_is_foreign(file->database->owner))
		return failed(file, find(file, false), SQLITE_IOERR_LOCK, "lock");
	return lock_raise(&file->lock, level);
}

static int file_unlock(sqlite3_file *sqlite_file, int level)
{
	struct file *file = file_of(sqlite_file);

	file->announced = false;
	if (!owner_is_foreign(file->database->owner))
		lock_lower(&file->lock, level);
	return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *sqlite_file, int *ret)
{
	struct file *file = file_of(sqlite_file);

	*ret = !owner_is_foreign(file->database->owner) && lock_is_reserved(&file->lock);
	return SQLITE_OK;
}

static int file_shm_map(sqlite3_file *sqlite_file, int region, int bytes, int extend,
			void volatile **ret)
{
	struct file *file = file_of(sqlite_file);

	if (owner_is_foreign(file->database->owner))
		return failed(file, find(file, false), SQLITE_IOERR_SHMMAP, "map");
	return shm_map(&file->lock, region, bytes, extend, ret);
}

static int file_shm_lock(sqlite3_file *sqlite_file, int offset, int count, int flags)
{
	struct file *file = file_of(sqlite_file);

	if (owner_is_foreign(file->database->owner))
		return failed(file, find(file, false), SQLITE_IOERR_SHMLOCK, "lock");
	return shm_lock(&file->lock, offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *sqlite_file)
{
	struct file *file = file_of(sqlite_file);

	if (!owner_is_foreign(file->database->owner))
		shm_barrier(&file->lock);
}

static int file_shm_unmap(sqlite3_file *sqlite_file, int forget)
{
	struct file *file = file_of(sqlite_file);

	if (!owner_is_foreign(file->database->owner))
		shm_unmap(&file->lock);
	return SQLITE_OK;
}

/* --- The rest --------------------------------------------------------------------------------- */

static int keep_wal(struct file *file, int *flag)
{
	if (*flag < 0)
		*flag = file->keep_wal;
	else
		file->keep_wal = *flag != 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *sqlite_file, int what, void *arg)
{
	struct file *file = file_of(sqlite_file);

	switch (what) {
	case SQLITE_FCNTL_SYNC:
		/* With a super-journal, the commit is its end, which may be on another disk. */
		file->announced = is_database(file) && !arg;
		return SQLITE_OK;
	case SQLITE_FCNTL_COMMIT_PHASETWO:
		return commit(file);
	case SQLITE_FCNTL_PERSIST_WAL:
		return keep_wal(file, arg);
	case SQLITE_FCNTL_POWERSAFE_OVERWRITE:
		*(int *)arg = 1;
		return SQLITE_OK;
	case SQLITE_FCNTL_LOCKSTATE:
		*(int *)arg = file->lock.level;
		return SQLITE_OK;
	case SQLITE_FCNTL_HAS_MOVED:
		*(int *)arg = 0;
		return SQLITE_OK;
	case SQLITE_FCNTL_VFSNAME:
		*(char **)arg = sqlite3_mprintf("%s", VFS_NAME);
		return SQLITE_OK;
	case SQLITE_FCNTL_SIZE_HINT:
	case SQLITE_FCNTL_CHUNK_SIZE:
		return SQLITE_OK;
	case VFS_CONTROL_ALONE:
		file->lock.alone = file->inner && *(int *)arg;
		return SQLITE_OK;
	default:
		return SQLITE_NOTFOUND;
	}
}

/* With POWERSAFE_OVERWRITE, all that it does is to space the headers of journals. */
static int file_sector_size(sqlite3_file *sqlite_file)
{
	return 512;
}

/*
 * A write is one record of the tape: whole or not at all (up to VOLUME_WRITE_MAX, beyond SQLite's
 * largest page), with the growth of the file; what came before it is there if it is; nothing
 * beside it is touched.  But a super-journal's order is with files on other disks.
 */
static int file_characteristics(sqlite3_file *sqlite_file)
{
	int always = SQLITE_IOCAP_ATOMIC | SQLITE_IOCAP_ATOMIC512 | SQLITE_IOCAP_ATOMIC1K |
		     SQLITE_IOCAP_ATOMIC2K | SQLITE_IOCAP_ATOMIC4K | SQLITE_IOCAP_ATOMIC8K |
		     SQLITE_IOCAP_ATOMIC16K | SQLITE_IOCAP_ATOMIC32K | SQLITE_IOCAP_ATOMIC64K |
		     SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_POWERSAFE_OVERWRITE;

	if (file_of(sqlite_file)->flags & SQLITE_OPEN_SUPER_JOURNAL)
		return always;
	return always | SQLITE_IOCAP_SEQUENTIAL;
}

const sqlite3_io_methods file_methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};
