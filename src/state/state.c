/*
 * The writer's queue and the readers' pool.
 *
 *	state_write() ──▶ queue ──▶ writer: BEGIN, [SAVEPOINT, fn, RELEASE]..., COMMIT ──▶ all woken
 *
 * While one COMMIT syncs, what comes meanwhile waits in the queue, and shares the next one.
 */
#include "state/state.h"

#include "base/alloc.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x55736c6c /* "Usll", in the file's header: see PRAGMA application_id */
#define BUSY_TIMEOUT_MS 5000      /* somebody looks into the file with another program */
#define BATCH_MAX 256
#define READERS_IDLE_MAX 8

/* One change, on the stack of whoever waits for it. */
struct change {
	int (*fn)(sqlite3 *db, void *arg);
	void *arg;
	int result;
	bool done;
	struct change *next;
};

struct state {
	char *path;
	int lock_fd; /* of PATH.lock */
	sqlite3 *writer;
	pthread_t thread;
	bool running; /* the thread has to be joined */

	pthread_mutex_t lock;
	pthread_cond_t come, done;
	/* Guarded by `lock`: */
	struct change *first, **last; /* not yet taken by the writer */
	bool closing;
	sqlite3 *idle[READERS_IDLE_MAX];
	unsigned idle_count;

	bool broken; /* the writer's: a write of the file failed */
};

/* --- Connections and errors ------------------------------------------------------------------- */

static void connection_cleanup(sqlite3 **db)
{
	sqlite3_stmt *statement;

	while (*db && (statement = sqlite3_next_stmt(*db, NULL)))
		sqlite3_finalize(statement);
	sqlite3_close(*db);
}

DEFINE_CLEANUP(sqlite3_stmt *, statement, sqlite3_finalize)

static int errno_of(int code)
{
	switch (code) {
	case SQLITE_OK:
		return 0;
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return -EEXIST;
	default:
		break;
	}
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	default:
		return -EIO;
	}
}

/* For what happens after opening: only a key that is taken, and a full disk, are anybody's affair.
 */
static int failure(sqlite3 *db, const char *sql)
{
	int r = errno_of(sqlite3_extended_errcode(db));

	if (r == -EEXIST)
		return r;
	log_error("state: %s: %s", sqlite3_errmsg(db), sql);
	return r == -ENOSPC ? r : -EIO;
}

static int execute(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failure(db, sql);
}

static int execute_why(sqlite3 *db, const char *path, const char *sql, struct problem *why)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return problem(why, errno_of(sqlite3_extended_errcode(db)), "'%s': %s", path,
		       sqlite3_errmsg(db));
}

static int connect_file(const char *path, bool write, sqlite3 **ret, struct problem *why)
{
	CLEANUP(connection) sqlite3 *db = NULL;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int r;

	flags |= write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
	r = sqlite3_open_v2(path, &db, flags, NULL);
	if (r != SQLITE_OK)
		return problem(why, errno_of(r), "cannot open '%s': %s", path,
			       db ? sqlite3_errmsg(db) : "out of memory");
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	r = execute_why(db, path, "PRAGMA trusted_schema = 0; PRAGMA foreign_keys = 1", why);
	if (r == 0 && write)
		r = execute_why(db, path, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
				why);
	if (r < 0)
		return r;
	*ret = take(db);
	return 0;
}

/* The first column of the first row, as a number; 0 without one. */
static int ask_number(sqlite3 *db, const char *sql, const char *parameter, int64_t *ret)
{
	sqlite3_stmt *statement;
	int r = state_prepare(db, sql, &statement, parameter ? "s" : "", parameter);

	if (r < 0)
		return r;
	*ret = 0;
	r = state_step(statement);
	if (r > 0)
		*ret = sqlite3_column_int64(statement, 0);
	state_done(statement);
	return MIN(r, 0);
}

/* --- Statements ------------------------------------------------------------------------------- */

/* SQLite's own list of a connection's statements is the cache: there are some dozens. */
static sqlite3_stmt *find_prepared(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	while ((statement = sqlite3_next_stmt(db, statement)))
		if (!sqlite3_stmt_busy(statement) && !strcmp(sqlite3_sql(statement), sql))
			return statement;
	return NULL;
}

static int bind_one(sqlite3_stmt *statement, int index, char type, va_list *values)
{
	const void *blob;
	size_t size;

	switch (type) {
	case 's':
		return sqlite3_bind_text(statement, index, va_arg(*values, const char *), -1,
					 SQLITE_TRANSIENT);
	case 'i':
		return sqlite3_bind_int64(statement, index, va_arg(*values, int64_t));
	case 'b':
		blob = va_arg(*values, const void *);
		size = va_arg(*values, size_t);
		return sqlite3_bind_blob64(statement, index, blob ? blob : "", size,
					   SQLITE_TRANSIENT);
	default:
		assert(!"a type of state_prepare()");
		return SQLITE_MISUSE;
	}
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, const char *format,
		   va_list *values)
{
	sqlite3_stmt *statement = find_prepared(db, sql);
	const char *tail = "";

	if (!statement && sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement,
					     &tail) != SQLITE_OK)
		return failure(db, sql);
	assert(statement && !*tail);
	assert(sqlite3_bind_parameter_count(statement) == (int)strlen(format));
	for (int i = 0; format[i]; i++) {
		if (bind_one(statement, i + 1, format[i], values) != SQLITE_OK) {
			state_done(statement);
			return failure(db, sql);
		}
	}
	*ret = statement;
	return 0;
}

int state_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, const char *format, ...)
{
	va_list values;
	int r;

	va_start(values, format);
	r = prepare(db, sql, ret, format, &values);
	va_end(values);
	return r;
}

int state_step(sqlite3_stmt *statement)
{
	switch (sqlite3_step(statement) & 0xff) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return failure(sqlite3_db_handle(statement), sqlite3_sql(statement));
	}
}

void state_done(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	if (statement)
		sqlite3_clear_bindings(statement);
}

int state_run(sqlite3 *db, const char *sql, const char *format, ...)
{
	sqlite3_stmt *statement;
	va_list values;
	int r;

	va_start(values, format);
	r = prepare(db, sql, &statement, format, &values);
	va_end(values);
	if (r < 0)
		return r;
	while ((r = state_step(statement)) > 0)
		;
	state_done(statement);
	return r;
}

/* Whatever a function left half read would keep its transaction open. */
static void reset_all(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;

	while ((statement = sqlite3_next_stmt(db, statement)))
		if (sqlite3_stmt_busy(statement))
			state_done(statement);
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* That the file has the right mode from its first moment on; SQLite gives its companions the same.
 */
static int make_file(const char *path, struct problem *why)
{
	CLEANUP(fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? problem_errno(why, -errno, "cannot open '%s'", path) : 0;
}

/*
 * A file of its own: to close any descriptor of the database's would drop SQLite's locks on it.  A
 * lock of the process's, not of the open file's (flock(2)): that would outlive us, when we are
 * killed, for as long as a child of ours has not got to the program that it is to run.
 */
static int lock_file(const char *path, int *ret, struct problem *why)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	CLEANUP(fd) int fd = -1;
	char name[PATH_MAX];

	if (snprintf(name, sizeof name, "%s.lock", path) >= PATH_MAX)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", path);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open '%s'", name);
	if (fcntl(fd, F_SETLK, &lock) < 0)
		return errno == EAGAIN || errno == EACCES
			       ? problem(why, -EBUSY, "another process has '%s' open", path)
			       : problem_errno(why, -errno, "cannot lock '%s'", name);
	*ret = fd;
	fd = -1;
	return 0;
}

/* Ours, or new. */
static int check_file(struct state *state, struct problem *why)
{
	int64_t id = 0, tables = 0;
	int r;

	r = ask_number(state->writer, "PRAGMA application_id", NULL, &id);
	if (r == 0)
		r = ask_number(state->writer, "SELECT count(*) FROM sqlite_schema", NULL, &tables);
	if (r < 0)
		return problem(why, -EBADMSG, "'%s' cannot be read: %s", state->path,
			       sqlite3_errmsg(state->writer));
	if (id != APPLICATION_ID && (id || tables))
		return problem(why, -EBADMSG, "'%s' is a database of something else", state->path);
	return 0;
}

static int say_damaged(struct state *state, struct problem *why)
{
	CLEANUP(statement) sqlite3_stmt *check = NULL;
	const char *words = "";

	if (sqlite3_prepare_v2(state->writer, "PRAGMA quick_check(1)", -1, &check, NULL) ==
		    SQLITE_OK &&
	    sqlite3_step(check) == SQLITE_ROW)
		words = (const char *)sqlite3_column_text(check, 0);
	if (!strcmp(words, "ok"))
		return 0;
	return problem(why, -EBADMSG, "'%s' is damaged: %s", state->path,
		       *words ? words : sqlite3_errmsg(state->writer));
}

static int upgrade_part(struct state *state, const struct state_part *part, struct problem *why)
{
	int64_t version = 0, newest = 0;
	int r;

	while (part->steps[newest])
		newest++;
	r = ask_number(state->writer, "SELECT version FROM state_part WHERE name = ?", part->name,
		       &version);
	if (r == 0 && version > newest)
		return problem(why, -EPROTONOSUPPORT,
			       "'%s' was written by a newer unspill: '%s' is of version %lld, and "
			       "we know %lld",
			       state->path, part->name, (long long)version, (long long)newest);
	for (int64_t i = version; r == 0 && i < newest; i++)
		r = execute_why(state->writer, state->path, part->steps[i], why);
	if (r == 0 && version < newest)
		r = state_run(state->writer,
			      "INSERT OR REPLACE INTO state_part (name, version) VALUES (?, ?)",
			      "si", part->name, newest);
	return r;
}

static int upgrade(struct state *state, const struct state_part *const *parts, struct problem *why)
{
	char begin[256];
	int r;

	snprintf(begin, sizeof begin,
		 "BEGIN IMMEDIATE; PRAGMA application_id = %d;"
		 "CREATE TABLE IF NOT EXISTS state_part ("
		 " name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
		 APPLICATION_ID);
	r = execute_why(state->writer, state->path, begin, why);
	for (size_t i = 0; r == 0 && parts[i]; i++)
		r = upgrade_part(state, parts[i], why);
	if (r == 0)
		r = execute_why(state->writer, state->path, "COMMIT", why);
	if (r < 0)
		sqlite3_exec(state->writer, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static int open_file(struct state *state, const struct state_part *const *parts,
		     struct problem *why)
{
	int r;

	r = lock_file(state->path, &state->lock_fd, why);
	if (r == 0)
		r = make_file(state->path, why);
	if (r == 0)
		r = connect_file(state->path, true, &state->writer, why);
	if (r == 0)
		r = check_file(state, why);
	if (r == 0)
		r = say_damaged(state, why);
	return r == 0 ? upgrade(state, parts, why) : r;
}

/* --- The writer ------------------------------------------------------------------------------- */

/* SQLite undoes the whole transaction by itself when it cannot go on with it. */
static bool in_transaction(const struct state *state)
{
	return !sqlite3_get_autocommit(state->writer);
}

static void apply(struct state *state, struct change *change)
{
	change->result = execute(state->writer, "SAVEPOINT one");
	if (change->result < 0)
		return;
	change->result = change->fn(state->writer, change->arg);
	reset_all(state->writer);
	if (change->result < 0 && in_transaction(state))
		execute(state->writer, "ROLLBACK TO one");
	if (in_transaction(state) && execute(state->writer, "RELEASE one") < 0 &&
	    change->result >= 0)
		change->result = -EIO;
}

/* What a failed write or sync left in the file is not known any more. */
static void note_broken(struct state *state)
{
	if (state->broken || (sqlite3_errcode(state->writer) & 0xff) != SQLITE_IOERR)
		return;
	log_error("state: '%s' could not be written; nothing is changed from now on", state->path);
	state->broken = true;
}

/* The changes of one transaction, each with its result; what failed all of them is returned. */
static int apply_all(struct state *state, struct change *batch)
{
	int r = state->broken ? -EIO : execute(state->writer, "BEGIN IMMEDIATE");

	for (struct change *change = batch; r == 0 && change; change = change->next) {
		apply(state, change);
		if (!in_transaction(state))
			r = change->result < 0 ? change->result : -EIO;
	}
	if (r == 0)
		r = execute(state->writer, "COMMIT");
	if (r < 0)
		note_broken(state);
	if (r < 0 && in_transaction(state))
		sqlite3_exec(state->writer, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static void commit(struct state *state, struct change *batch)
{
	int r = apply_all(state, batch);

	for (struct change *change = batch; r < 0 && change; change = change->next)
		change->result = change->result < 0 ? change->result : r;
}

/* At most BATCH_MAX of the queue; under the lock. */
static struct change *take_batch(struct state *state)
{
	struct change *batch = state->first, **end = &state->first;

	for (unsigned i = 0; i < BATCH_MAX && *end; i++)
		end = &(*end)->next;
	state->first = *end;
	*end = NULL;
	if (!state->first)
		state->last = &state->first;
	return batch;
}

static void *write_thread(void *arg)
{
	struct state *state = arg;

	pthread_mutex_lock(&state->lock);
	while (state->first || !state->closing) {
		struct change *batch;

		if (!state->first) {
			pthread_cond_wait(&state->come, &state->lock);
			continue;
		}
		batch = take_batch(state);
		pthread_mutex_unlock(&state->lock);
		commit(state, batch);
		pthread_mutex_lock(&state->lock);
		/* A change is gone as soon as its owner sees `done`. */
		for (struct change *change = batch, *next; change; change = next) {
			next = change->next;
			change->done = true;
		}
		pthread_cond_broadcast(&state->done);
	}
	pthread_mutex_unlock(&state->lock);
	return NULL;
}

int state_write(struct state *state, int (*fn)(sqlite3 *db, void *arg), void *arg)
{
	struct change change = {.fn = fn, .arg = arg};

	assert(!pthread_equal(pthread_self(), state->thread)); /* it would wait for itself */
	pthread_mutex_lock(&state->lock);
	assert(!state->closing);
	*state->last = &change;
	state->last = &change.next;
	pthread_cond_signal(&state->come);
	while (!change.done)
		pthread_cond_wait(&state->done, &state->lock);
	pthread_mutex_unlock(&state->lock);
	return change.result;
}

/* --- Readers ---------------------------------------------------------------------------------- */

static int take_reader(struct state *state, sqlite3 **ret)
{
	struct problem why = {""};
	sqlite3 *db = NULL;
	int r;

	pthread_mutex_lock(&state->lock);
	if (state->idle_count)
		db = state->idle[--state->idle_count];
	pthread_mutex_unlock(&state->lock);
	if (!db) {
		r = connect_file(state->path, false, &db, &why);
		if (r < 0) {
			log_error("state: %s", why.text);
			return -EIO;
		}
	}
	*ret = db;
	return 0;
}

static void give_reader(struct state *state, sqlite3 *db)
{
	pthread_mutex_lock(&state->lock);
	if (state->idle_count < READERS_IDLE_MAX)
		state->idle[state->idle_count++] = take(db);
	pthread_mutex_unlock(&state->lock);
	connection_cleanup(&db);
}

int state_read(struct state *state, int (*fn)(sqlite3 *db, void *arg), void *arg)
{
	sqlite3 *db;
	int r;

	r = take_reader(state, &db);
	if (r < 0)
		return r;
	r = state_run(db, "BEGIN", "");
	if (r == 0)
		r = fn(db, arg);
	reset_all(db);
	/* There is nothing that could be lost. */
	if (!sqlite3_get_autocommit(db))
		state_run(db, "COMMIT", "");
	give_reader(state, db);
	return r;
}

/* --- The whole -------------------------------------------------------------------------------- */

int state_open(const char *path, const struct state_part *const *parts, struct state **ret,
	       struct problem *why)
{
	CLEANUP(state) struct state *state = xcalloc(1, sizeof *state);
	int r;

	state->path = xstrdup(path);
	state->lock_fd = -1;
	state->last = &state->first;
	pthread_mutex_init(&state->lock, NULL);
	pthread_cond_init(&state->come, NULL);
	pthread_cond_init(&state->done, NULL);
	r = open_file(state, parts, why);
	if (r < 0)
		return r;
	r = pthread_create(&state->thread, NULL, write_thread, state);
	if (r)
		return problem_errno(why, -r, "cannot start a thread");
	state->running = true;
	*ret = take(state);
	return 0;
}

void state_close(struct state *state)
{
	if (!state)
		return;
	pthread_mutex_lock(&state->lock);
	state->closing = true;
	pthread_cond_signal(&state->come);
	pthread_mutex_unlock(&state->lock);
	if (state->running)
		pthread_join(state->thread, NULL);
	while (state->idle_count)
		connection_cleanup(&state->idle[--state->idle_count]);
	/* The last to close: it puts the log into the file and removes it. */
	connection_cleanup(&state->writer);
	fd_cleanup(&state->lock_fd);
	pthread_cond_destroy(&state->done);
	pthread_cond_destroy(&state->come);
	pthread_mutex_destroy(&state->lock);
	free(state->path);
	free(state);
}
