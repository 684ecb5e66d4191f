#include "vfs/single.h"

#include "base/alloc.h"
#include "vfs/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define COPY_BYTES (1024 * 1024)
#define BUSY_TIMEOUT_MS 5000
#define MAGIC "SQLite format 3"

static void connection_cleanup(sqlite3 **db)
{
	sqlite3_close(*db);
}

static bool ends_with(const char *name, const char *end)
{
	size_t length = strlen(name), end_length = strlen(end);

	return length > end_length && strcmp(name + length - end_length, end) == 0;
}

bool single_is_database(const char *name)
{
	return *name && !strchr(name, '/') && !ends_with(name, "-journal") &&
	       !ends_with(name, "-wal") && !strstr(name, "-mj") && strlen(name) <= VOLUME_NAME_MAX;
}

/* --- Which one -------------------------------------------------------------------------------- */

struct choice {
	const char *wanted;
	char name[VOLUME_NAME_MAX + 1];
	unsigned count;
	struct problem list;
};

static int consider(const struct volume_entry *entry, void *arg)
{
	struct choice *choice = arg;
	size_t used = strlen(choice->list.text);

	if (entry->type != S_IFREG || !single_is_database(entry->name))
		return 0;
	snprintf(choice->list.text + used, sizeof choice->list.text - used, "%s%.100s",
		 used ? ", " : "", entry->name);
	if (*choice->wanted && strcmp(choice->wanted, entry->name) != 0)
		return 0;
	strcpy(choice->name, entry->name);
	choice->count++;
	return 0;
}

int single_choose(struct view *view, const char *wanted, char name[VOLUME_NAME_MAX + 1],
		  struct problem *why)
{
	struct choice choice = {.wanted = wanted};
	int r = view_readdir(view, VOLUME_ROOT_INO, 0, consider, &choice);

	if (r < 0)
		return problem_errno(why, r, "cannot read the volume");
	if (choice.count == 1) {
		strcpy(name, choice.name);
		return 0;
	}
	if (choice.count > 1)
		return problem(why, -EEXIST, "there are several databases: %.800s; say which one",
			       choice.list.text);
	if (*wanted)
		return problem(why, -ENOENT, "there is no database '%.100s'; there is %.700s",
			       wanted, choice.list.text[0] ? choice.list.text : "none");
	return problem(why, -ENOENT, "there is no database in the volume at that moment");
}

/* --- Copying ---------------------------------------------------------------------------------- */

struct copy {
	const struct single_options *options;
	uint64_t done, total;
	uint8_t *buffer; /* of COPY_BYTES */
	struct problem *why;
};

static int advance(struct copy *copy, uint64_t bytes)
{
	copy->done += bytes;
	if (copy->options->progress &&
	    !copy->options->progress(copy->done, copy->total, copy->options->arg))
		return problem(copy->why, -ECANCELED, "cancelled; nothing was done");
	return 0;
}

/* From the view to a new file below it; nothing when the view has none. */
static int copy_out(struct copy *copy, struct view *view, const char *name, const char *to)
{
	struct volume_attr attr;
	uint64_t offset = 0;
	int r = view_lookup(view, VOLUME_ROOT_INO, name, &attr);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return problem_errno(copy->why, r, "cannot look at '%s'", name);
	CLEANUP(fd) int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return problem_errno(copy->why, -errno, "cannot make '%s'", to);
	while (offset < attr.size && r == 0) {
		ssize_t n = view_read(view, attr.ino, offset, copy->buffer, COPY_BYTES);

		if (n <= 0)
			return problem_errno(copy->why, n < 0 ? (int)n : -EIO, "cannot read '%s'",
					     name);
		if (pwrite(fd, copy->buffer, n, (off_t)offset) != n)
			return problem_errno(copy->why, -errno, "cannot write '%s'", to);
		offset += n;
		r = advance(copy, n);
	}
	return r;
}

static int copy_in(struct copy *copy, struct store *store, const char *from, const char *name)
{
	uint64_t offset = 0, id = 0;
	int r;

	CLEANUP(fd) int fd = open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return problem_errno(copy->why, -errno, "cannot open '%s'", from);
	r = store_open(store, name, true, &id);
	if (r < 0)
		return store_explain(
			store, problem_errno(copy->why, r, "cannot make '%s' in the volume", name),
			copy->why);
	while (r == 0) {
		ssize_t n = pread(fd, copy->buffer, COPY_BYTES, (off_t)offset);

		if (n < 0)
			r = problem_errno(copy->why, -errno, "cannot read '%s'", from);
		if (n <= 0)
			break;
		r = store_write(store, id, offset, copy->buffer, n);
		if (r < 0)
			r = store_explain(store,
					  problem_errno(copy->why, r,
							"cannot write '%s' in the volume", name),
					  copy->why);
		else
			r = advance(copy, n);
		offset += n;
	}
	store_unref(store, id);
	return r;
}

/* --- In --------------------------------------------------------------------------------------- */

int single_check(const char *from, struct problem *why)
{
	char magic[sizeof MAGIC] = "";
	struct stat st;

	CLEANUP(fd) int fd = open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, -errno, "cannot open '%s'", from);
	if (!S_ISREG(st.st_mode))
		return problem(why, -EINVAL, "'%s' is not a file", from);
	if (st.st_size == 0)
		return 0;
	if (read(fd, magic, sizeof magic) != sizeof magic || memcmp(magic, MAGIC, sizeof magic))
		return problem(why, -EINVAL, "'%s' is not an SQLite database", from);
	return 0;
}

/*
 * Hold its writers off, and the reuse of its WAL; what a crash left is recovered by that.  Of a
 * file that may not be written, a read transaction does the second.
 */
static int hold(const char *from, sqlite3 **ret, struct problem *why)
{
	static const char *const ways[] = {"BEGIN IMMEDIATE", "BEGIN"};
	int r = sqlite3_open_v2(from, ret, SQLITE_OPEN_READWRITE, "unix");

	for (size_t i = 0; i < ARRAY_SIZE(ways) && r == SQLITE_OK; i++) {
		sqlite3_busy_timeout(*ret, BUSY_TIMEOUT_MS);
		r = sqlite3_exec(*ret, ways[i], NULL, NULL, NULL);
		if (r == SQLITE_OK)
			r = sqlite3_exec(*ret, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
		if (r == SQLITE_OK)
			return 0;
		if (r == SQLITE_READONLY)
			r = SQLITE_OK;
	}
	return problem(why, r == SQLITE_BUSY ? -EBUSY : -EINVAL, "cannot read '%s': %s", from,
		       *ret ? sqlite3_errmsg(*ret) : sqlite3_errstr(r));
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int copy_both_in(struct copy *copy, struct owner *owner, const char *from, const char *name)
{
	char wal[PATH_MAX + 8], wal_name[STORE_NAME_MAX];
	int r;

	snprintf(wal, sizeof wal, "%s-wal", from);
	snprintf(wal_name, sizeof wal_name, "%s-wal", name);
	copy->total = size_of(from) + size_of(wal);
	/* In this order: what is copied into the database meanwhile is in the WAL as well. */
	r = copy_in(copy, owner->head, from, name);
	if (r == 0 && size_of(wal) > 0)
		r = copy_in(copy, owner->head, wal, wal_name);
	if (r < 0) {
		store_unlink(owner->head, wal_name);
		store_unlink(owner->head, name);
		return r;
	}
	r = store_sync(owner->head);
	return r < 0 ? problem_errno(copy->why, r, "cannot sync the volume") : 0;
}

int single_in(struct owner *owner, const char *from, const char *name,
	      const struct single_options *options, uint64_t *ret_bytes, struct problem *why)
{
	CLEANUP(free) uint8_t *buffer = xmalloc(COPY_BYTES);
	CLEANUP(connection) sqlite3 *db = NULL;
	struct copy copy = {.options = options, .buffer = buffer, .why = why};
	int r;

	if (!single_is_database(name))
		return problem(why, -EINVAL, "'%.100s' cannot be a database's name", name);
	if (store_look(owner->head, name, NULL) == 0)
		return problem(why, -EEXIST, "there is a '%s' in the volume already", name);
	r = single_check(from, why);
	if (r == 0)
		r = hold(from, &db, why);
	if (r == 0)
		r = copy_both_in(&copy, owner, from, name);
	*ret_bytes = copy.done;
	return r;
}

/* --- Out -------------------------------------------------------------------------------------- */

/* What a crash at that moment would have left is recovered, and nothing stays beside the file. */
static int recover(const char *path, struct problem *why)
{
	CLEANUP(connection) sqlite3 *db = NULL;
	int r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix");

	if (r == SQLITE_OK)
		r = sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	return r == SQLITE_OK ? 0
			      : problem(why, -EBADMSG, "SQLite cannot recover the copy: %s",
					db ? sqlite3_errmsg(db) : sqlite3_errstr(r));
}

static int sync_path(const char *path, int flags, struct problem *why)
{
	CLEANUP(fd) int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? problem_errno(why, -errno, "cannot sync '%s'", path) : 0;
}

/* It gets its name when it is whole. */
static int publish(const char *made, const char *to, struct problem *why)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(to, '/');
	int r;

	snprintf(folder, sizeof folder, "%.*s", slash ? (int)MAX(slash - to, 1) : 1,
		 slash ? to : ".");
	if (chmod(made, 0644) < 0)
		return problem_errno(why, -errno, "cannot set the mode of '%s'", made);
	r = sync_path(made, O_RDWR, why);
	if (r < 0)
		return r;
	if (renameat2(AT_FDCWD, made, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
		return problem_errno(why, -errno, "cannot make '%s'", to);
	return sync_path(folder, O_RDONLY | O_DIRECTORY, why);
}

static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};

static int copy_all_out(struct copy *copy, struct view *view, const char *name, const char *made)
{
	char from[STORE_NAME_MAX], to[PATH_MAX + 48];
	struct volume_attr attr;
	int r = 0;

	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof from, "%s%s", name, suffixes[i]);
		if (view_lookup(view, VOLUME_ROOT_INO, from, &attr) == 0)
			copy->total += attr.size;
	}
	for (int i = 0; i < 3 && r == 0; i++) {
		snprintf(from, sizeof from, "%s%s", name, suffixes[i]);
		snprintf(to, sizeof to, "%s%s", made, suffixes[i]);
		r = copy_out(copy, view, from, to);
	}
	return r;
}

int single_out(struct view *view, const char *name, const char *to,
	       const struct single_options *options, uint64_t *ret_bytes, struct problem *why)
{
	CLEANUP(free) uint8_t *buffer = xmalloc(COPY_BYTES);
	struct copy copy = {.options = options, .buffer = buffer, .why = why};
	char made[PATH_MAX + 32], path[PATH_MAX + 48];
	int r;

	if (access(to, F_OK) == 0)
		return problem(why, -EEXIST, "'%s' exists already", to);
	if (snprintf(made, sizeof made, "%s.%d-new", to, (int)getpid()) >= PATH_MAX)
		return problem(why, -ENAMETOOLONG, "the path '%.200s' is too long", to);
	r = copy_all_out(&copy, view, name, made);
	if (r == 0)
		r = recover(made, why);
	if (r == 0) {
		*ret_bytes = size_of(made);
		r = publish(made, to, why);
	}
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(suffixes); i++) {
		snprintf(path, sizeof path, "%s%s", made, suffixes[i]);
		unlink(path);
	}
	return r;
}
