/*
 * Goal: a change that was acknowledged is there, for whoever asks next and after any kill; one that
 * failed has left nothing, whatever others did in the same transaction.
 *
 * Method: the real file in a directory below /tmp; processes that are killed while they write; a
 * file size limit for the disk that is full.
 */
#include "tap.h"

#include "base/log.h"
#include "state/state.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const numbers_steps[] = {
	"CREATE TABLE number (value INTEGER PRIMARY KEY, name TEXT) STRICT;"
	"CREATE INDEX number_name ON number (name)",
	NULL,
};
static const struct state_part numbers_part = {"numbers", numbers_steps};
static const struct state_part *const parts[] = {&numbers_part, NULL};

static char dir[64], path[96];
static struct problem why;

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

static void no_log(enum log_level level, const char *text)
{
}

static bool make_dir(void)
{
	strcpy(dir, "/tmp/unspill-state-XXXXXX");
	if (!check(mkdtemp(dir)))
		return false;
	snprintf(path, sizeof path, "%s/state.db", dir);
	return true;
}

static void remove_dir(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct state *open_with(const struct state_part *const *list)
{
	struct state *state = NULL;

	why.text[0] = 0;
	check(state_open(path, list, &state, &why) == 0, "%s", why.text);
	return state;
}

static int insert(sqlite3 *db, void *arg)
{
	const int64_t *value = arg;

	return state_run(db, "INSERT INTO number (value, name) VALUES (?, ?)", "is", *value, "n");
}

/* As insert(), and then think better of it. */
static int insert_and_fail(sqlite3 *db, void *arg)
{
	int r = insert(db, arg);

	return r < 0 ? r : -ECANCELED;
}

static int count(sqlite3 *db, void *arg)
{
	sqlite3_stmt *statement;
	int r = state_prepare(db, "SELECT count(*) FROM number", &statement, "");

	if (r < 0)
		return r;
	r = state_step(statement) == 1 ? sqlite3_column_int(statement, 0) : -EIO;
	state_done(statement);
	return r;
}

static int has(sqlite3 *db, void *arg)
{
	sqlite3_stmt *statement;
	const int64_t *value = arg;
	int r = state_prepare(db, "SELECT 1 FROM number WHERE value = ?", &statement, "i", *value);

	if (r < 0)
		return r;
	r = state_step(statement);
	state_done(statement);
	return r;
}

static void what_was_written_is_read_at_once_and_after_reopening(void)
{
	struct state *state = open_with(parts);
	int64_t value = 7, other = 8;
	struct stat st;

	require(state);
	check(state_write(state, insert, &value) == 0);
	check(state_read(state, has, &value) == 1);
	check(state_read(state, has, &other) == 0);
	state_close(state);
	state = open_with(parts);
	check(state && state_read(state, has, &value) == 1);
	check(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "%o", st.st_mode);
	state_close(state);
}

static void a_key_that_is_taken_is_told_and_changes_nothing(void)
{
	struct state *state = open_with(parts);
	int64_t value = 7;

	require(state);
	check(state_write(state, insert, &value) == 0);
	check(state_write(state, insert, &value) == -EEXIST);
	check(state_read(state, count, NULL) == 1);
	state_close(state);
}

static void a_change_that_fails_is_undone(void)
{
	struct state *state = open_with(parts);
	int64_t value = 1;

	require(state);
	check(state_write(state, insert_and_fail, &value) == -ECANCELED);
	check(state_read(state, count, NULL) == 0);
	check(state_write(state, insert, &value) == 0, "it can be made after that");
	state_close(state);
}

/* --- Many at a time --------------------------------------------------------------------------- */

#define WRITERS 8
#define EACH 30

static struct state *shared;
static int wrong;

/* Every third fails; the others are there when they return. */
static void *write_many(void *arg)
{
	int64_t first = (int64_t)(intptr_t)arg * EACH;

	for (int64_t value = first; value < first + EACH; value++) {
		bool fails = value % 3 == 0;
		int r = state_write(shared, fails ? insert_and_fail : insert, &value);

		if (r != (fails ? -ECANCELED : 0) || state_read(shared, has, &value) != !fails)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void changes_at_the_same_time_stand_and_fall_each_alone(void)
{
	pthread_t threads[WRITERS];
	int expected = 0;

	shared = open_with(parts);
	require(shared);
	wrong = 0;
	for (intptr_t i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, write_many, (void *)i);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < WRITERS * EACH; i++)
		expected += i % 3 != 0;
	check(wrong == 0, "%d", wrong);
	check(state_read(shared, count, NULL) == expected);
	state_close(shared);
}

/* --- Readers ---------------------------------------------------------------------------------- */

/* One look, and another after somebody else's change has been acknowledged. */
static int look_twice(sqlite3 *db, void *arg)
{
	int64_t value = 99;
	int before = count(db, NULL);

	check(state_write(arg, insert, &value) == 0);
	return count(db, NULL) == before ? before : -EUCLEAN;
}

static void a_reader_sees_one_moment(void)
{
	struct state *state = open_with(parts);

	require(state);
	check(state_read(state, look_twice, state) == 0);
	check(state_read(state, count, NULL) == 1);
	state_close(state);
}

static int leave_half_read(sqlite3 *db, void *arg)
{
	sqlite3_stmt *statement;
	int r = state_prepare(db, "SELECT value FROM number", &statement, "");

	return r < 0 ? r : state_step(statement);
}

static void a_statement_left_half_read_does_not_pin_the_past(void)
{
	struct state *state = open_with(parts);
	int64_t first = 1, second = 2;

	require(state);
	check(state_write(state, insert, &first) == 0);
	check(state_read(state, leave_half_read, NULL) == 1);
	check(state_write(state, insert, &second) == 0);
	check(state_read(state, count, NULL) == 2);
	state_close(state);
}

static int write_by_reader(sqlite3 *db, void *arg)
{
	return insert(db, arg);
}

static void a_reader_cannot_write(void)
{
	struct state *state = open_with(parts);
	int64_t value = 1;

	require(state);
	log_set_sink(no_log);
	check(state_read(state, write_by_reader, &value) == -EIO);
	log_set_sink(NULL);
	check(state_read(state, count, NULL) == 0);
	state_close(state);
}

struct held {
	const char *text;
	const uint8_t blob[3];
};

static int store_and_compare(sqlite3 *db, void *arg)
{
	const struct held *held = arg;
	sqlite3_stmt *statement, *again;
	int r;

	r = state_prepare(db, "SELECT ?, ?, ?, ?", &statement, "sbis", held->text, held->blob,
			  sizeof held->blob, INT64_MIN, NULL);
	check(r == 0 && state_step(statement) == 1);
	check(!strcmp((const char *)sqlite3_column_text(statement, 0), held->text));
	check(sqlite3_column_bytes(statement, 1) == 3 &&
	      !memcmp(sqlite3_column_blob(statement, 1), held->blob, 3));
	check(sqlite3_column_int64(statement, 2) == INT64_MIN);
	check(sqlite3_column_type(statement, 3) == SQLITE_NULL);
	check(state_prepare(db, "SELECT ?, ?, ?, ?", &again, "siii", "x", INT64_C(1), INT64_C(2),
			    INT64_C(3)) == 0);
	check(again != statement, "the first is being read");
	state_done(again);
	state_done(statement);
	check(state_prepare(db, "SELECT ?, ?, ?, ?", &again, "siii", "x", INT64_C(1), INT64_C(2),
			    INT64_C(3)) == 0);
	check(again == statement || sqlite3_next_stmt(db, NULL) == again, "it is kept");
	state_done(again);
	return 0;
}

static void values_come_back_as_they_were_and_statements_are_kept(void)
{
	struct state *state = open_with(parts);
	struct held held = {"r\xc3\xa4uber; --'\"", {0, 1, 0xff}};

	require(state);
	check(state_read(state, store_and_compare, &held) == 0);
	state_close(state);
}

/* --- Versions --------------------------------------------------------------------------------- */

static const char *const newer_steps[] = {
	"CREATE TABLE number (value INTEGER PRIMARY KEY, name TEXT) STRICT;"
	"CREATE INDEX number_name ON number (name)",
	"ALTER TABLE number ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
	"UPDATE number SET colour = 'blue' WHERE value = 1",
	NULL,
};
static const struct state_part newer_part = {"numbers", newer_steps};
static const struct state_part *const newer_parts[] = {&newer_part, NULL};

static int is_blue(sqlite3 *db, void *arg)
{
	sqlite3_stmt *statement;
	int r = state_prepare(db, "SELECT 1 FROM number WHERE colour = 'blue'", &statement, "");

	if (r < 0)
		return r;
	r = state_step(statement);
	state_done(statement);
	return r;
}

static void an_older_file_is_brought_up_to_date_and_a_newer_one_refused(void)
{
	struct state *state = open_with(parts);
	int64_t value = 1;

	require(state);
	check(state_write(state, insert, &value) == 0);
	state_close(state);
	state = open_with(newer_parts);
	require(state);
	check(state_read(state, is_blue, NULL) == 1);
	state_close(state);
	state = open_with(newer_parts);
	check(state && state_read(state, is_blue, NULL) == 1, "no step is done twice");
	state_close(state);
	check(state_open(path, parts, &state, &why) == -EPROTONOSUPPORT, "%s", why.text);
	check(strstr(why.text, "newer unspill") && strstr(why.text, "numbers"), "%s", why.text);
}

static const char *const bad_steps[] = {
	"CREATE TABLE number (value INTEGER PRIMARY KEY, name TEXT) STRICT;"
	"CREATE INDEX number_name ON number (name)",
	"CREATE TABLE colour (name TEXT) STRICT; CREATE TABLE number (x TEXT)",
	NULL,
};
static const struct state_part bad_part = {"numbers", bad_steps};
static const struct state_part other_part = {"others", numbers_steps + 1};
static const struct state_part *const bad_parts[] = {&other_part, &bad_part, NULL};

static int has_colours(sqlite3 *db, void *arg)
{
	sqlite3_stmt *statement;
	int r = state_prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = 'colour'", &statement,
			      "");

	if (r < 0)
		return r;
	r = state_step(statement);
	state_done(statement);
	return r;
}

static void a_step_that_fails_leaves_the_file_as_it_was(void)
{
	struct state *state = open_with(parts);
	int64_t value = 1;

	require(state);
	check(state_write(state, insert, &value) == 0);
	state_close(state);
	check(state_open(path, bad_parts, &state, &why) == -EIO, "%s", why.text);
	state = open_with(parts);
	require(state);
	check(state_read(state, has_colours, NULL) == 0);
	check(state_read(state, has, &value) == 1);
	state_close(state);
}

/* --- What cannot be opened -------------------------------------------------------------------- */

/* In a process of its own: whether it is told that another has the file. */
static int another_is_refused(void)
{
	struct state *state;

	return state_open(path, parts, &state, &why) == -EBUSY && strstr(why.text, path);
}

static int another_opens(void)
{
	struct state *state = open_with(parts);

	state_close(state);
	return state != NULL;
}

static bool in_a_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(!fn());
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void a_file_has_one_process(void)
{
	struct state *state = open_with(parts);

	require(state);
	check(in_a_child(another_is_refused));
	state_close(state);
	check(in_a_child(another_opens));
}

/* As a server that was killed while it was starting another program leaves one. */
static void a_child_that_was_forked_from_a_process_that_is_gone_has_nothing(void)
{
	int fds[2];
	pid_t pid;
	char byte;

	require(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		(void)!open_with(parts);
		if (fork() == 0) {
			/* Until the test ends. */
			(void)!read(fds[0], &byte, 1);
			_exit(0);
		}
		_exit(0);
	}
	close(fds[0]);
	require(pid > 0 && waitpid(pid, NULL, 0) == pid);
	check(in_a_child(another_opens));
	close(fds[1]);
}

static int insert_thousands(sqlite3 *db, void *arg)
{
	int r = 0;

	for (int64_t value = 0; r == 0 && value < 2000; value++)
		r = insert(db, &value);
	return r;
}

static bool spoil(long offset, const char *text)
{
	FILE *file = fopen(path, "r+");
	bool ok = file && fseek(file, offset, SEEK_SET) == 0 && fputs(text, file) >= 0;

	return file && fclose(file) == 0 && ok;
}

static void what_is_no_database_of_ours_is_refused(void)
{
	struct state *state = NULL;
	FILE *file = fopen(path, "w");
	sqlite3 *db;

	require(file);
	fputs("This is a diary, and it is long enough to be looked at: dear diary, today", file);
	fclose(file);
	check(state_open(path, parts, &state, &why) == -EBADMSG, "%s", why.text);
	unlink(path);
	check(sqlite3_open(path, &db) == SQLITE_OK);
	check(sqlite3_exec(db, "CREATE TABLE diary (day TEXT)", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	check(state_open(path, parts, &state, &why) == -EBADMSG, "%s", why.text);
	check(strstr(why.text, "something else"), "%s", why.text);
}

static void a_damaged_file_is_refused(void)
{
	struct state *state = open_with(parts);

	require(state);
	check(state_write(state, insert_thousands, NULL) == 0);
	state_close(state);
	check(spoil(4096 * 5, "spoilt spoilt spoilt"));
	check(state_open(path, parts, &state, &why) == -EBADMSG, "%s", why.text);
	check(strstr(why.text, path), "%s", why.text);
}

/* --- Kills and full disks --------------------------------------------------------------------- */

/* Writes 0, 1, 2, ... and says each after it was acknowledged, until it is killed. */
static void write_until_killed(int said_fd)
{
	struct state *state = NULL;
	char c = 0;

	if (state_open(path, parts, &state, NULL) < 0)
		_exit(1);
	for (int64_t value = 0;; value++)
		if (state_write(state, insert, &value) < 0 || write(said_fd, &c, 1) != 1)
			_exit(1);
}

/* Kill a writer after it has said twenty and some; how many it said. */
static int64_t kill_a_writer(unsigned more)
{
	int pipe_fds[2];
	int64_t said = 0;
	ssize_t n;
	char buffer[64];
	pid_t pid;

	if (!check(pipe(pipe_fds) == 0) || !check((pid = fork()) >= 0))
		return -1;
	if (pid == 0)
		write_until_killed(pipe_fds[1]);
	close(pipe_fds[1]);
	while ((n = read(pipe_fds[0], buffer, sizeof buffer)) > 0) {
		said += n;
		if (said >= 20 + more)
			kill(pid, SIGKILL);
	}
	waitpid(pid, NULL, 0);
	close(pipe_fds[0]);
	return said;
}

static void what_was_acknowledged_is_there_after_a_kill(void)
{
	for (unsigned i = 0; i < 4; i++) {
		int64_t said = kill_a_writer(i * 7);
		struct state *state = open_with(parts);
		int found;

		require(state && said > 0);
		found = state_read(state, count, NULL);
		check(found >= said && found <= said + 1, "said %lld, found %d", (long long)said,
		      found);
		state_close(state);
		remove_dir();
		mkdir(dir, 0700);
	}
}

static int insert_large(sqlite3 *db, void *arg)
{
	return state_run(db, "INSERT INTO number (name) VALUES (hex(zeroblob(20000)))", "");
}

/* In a process of its own: the limit is for the rest of its life. */
static void fill_up(void)
{
	const struct rlimit limit = {200000, 200000};
	struct state *state = open_with(parts);
	int64_t value = 77;
	int r = 0, n = 0;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	log_set_sink(no_log);
	while (r == 0 && n++ < 1000)
		r = state_write(state, insert_large, NULL);
	if (!check(r == -EIO || r == -ENOSPC, "%d", r))
		_exit(1);
	n = state_read(state, count, NULL);
	if (!check(n > 0))
		_exit(1);
	/* Never half: either it can be written again, or never until it is opened anew. */
	if (r == -EIO && !check(state_write(state, insert, &value) == -EIO))
		_exit(1);
	_exit(tap_bad);
}

static void a_file_that_cannot_grow_refuses_changes_and_keeps_what_it_has(void)
{
	struct state *state;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		fill_up();
	waitpid(pid, &status, 0);
	check(status == 0, "%d", status);
	state = open_with(parts);
	require(state);
	check(state_read(state, count, NULL) > 0);
	check(state_write(state, insert_large, NULL) == 0, "it can be written again");
	state_close(state);
}

#define IN_NEW_DIR(test)              \
	do {                          \
		if (make_dir()) {     \
			RUN(test);    \
			remove_dir(); \
		}                     \
	} while (0)

int main(void)
{
	IN_NEW_DIR(what_was_written_is_read_at_once_and_after_reopening);
	IN_NEW_DIR(a_key_that_is_taken_is_told_and_changes_nothing);
	IN_NEW_DIR(a_change_that_fails_is_undone);
	IN_NEW_DIR(changes_at_the_same_time_stand_and_fall_each_alone);
	IN_NEW_DIR(a_reader_sees_one_moment);
	IN_NEW_DIR(a_statement_left_half_read_does_not_pin_the_past);
	IN_NEW_DIR(a_reader_cannot_write);
	IN_NEW_DIR(values_come_back_as_they_were_and_statements_are_kept);
	IN_NEW_DIR(an_older_file_is_brought_up_to_date_and_a_newer_one_refused);
	IN_NEW_DIR(a_step_that_fails_leaves_the_file_as_it_was);
	IN_NEW_DIR(a_file_has_one_process);
	IN_NEW_DIR(a_child_that_was_forked_from_a_process_that_is_gone_has_nothing);
	IN_NEW_DIR(what_is_no_database_of_ours_is_refused);
	IN_NEW_DIR(a_damaged_file_is_refused);
	IN_NEW_DIR(what_was_acknowledged_is_there_after_a_kill);
	IN_NEW_DIR(a_file_that_cannot_grow_refuses_changes_and_keeps_what_it_has);
	return tap_done();
}
