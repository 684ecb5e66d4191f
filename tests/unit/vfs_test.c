/*
 * Goal: SQLite on a volume keeps what it acknowledged, whole, in every journal mode; every moment
 * of the tape is a whole database; a head that moves under open connections is seen by all of them.
 */
#include "vfs_bed.h"

#include "base/alloc.h"
#include "vfs/session.h"
#include "vfs/tell.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static const char *const modes[] = {"delete", "truncate", "persist", "wal"};
#define MODES 4
#define TRANSACTIONS 12

/* --- Power cuts and failing calls ------------------------------------------------------------- */

/* A volume with the tables, in that mode. */
static struct disk *prepare(const char *mode)
{
	struct disk *copy;
	struct bed bed;
	sqlite3 *db;

	if (!bed_init(&bed))
		return NULL;
	db = bed_connect(BED_PATH);
	check(db && set_mode(db, mode) == SQLITE_OK && run_sql(db, MAKE_TABLES) == SQLITE_OK,
	      "%s: %s", mode, sqlite3_errmsg(db));
	sqlite3_close(db);
	volume_sync(bed.volume);
	copy = disk_memory_copy(bed.disk);
	bed_done(&bed);
	return copy;
}

/* Transactions until one fails; the last that was acknowledged. */
static int run(sqlite3 *db, const char *mode)
{
	char sql[64];

	snprintf(sql, sizeof sql, "PRAGMA synchronous = FULL; PRAGMA journal_mode = %s", mode);
	if (!db || run_sql(db, sql) != SQLITE_OK)
		return 0;
	run_sql(db, "PRAGMA wal_autocheckpoint = 7");
	for (int n = 1; n <= TRANSACTIONS; n++)
		if (transact(db, n) != SQLITE_OK)
			return n - 1;
	return TRANSACTIONS;
}

static void check_rest(struct disk *rest, int acknowledged, const char *mode, unsigned call)
{
	struct bed bed = {.now_us = INT64_C(2000) * 1000000};
	sqlite3 *db;
	int n;

	if (!check(bed_open(&bed, rest) == 0, "%s, call %u: %s", mode, call, bed.why.text))
		return;
	db = bed_connect(BED_PATH);
	n = db ? shows(db) : -1;
	check(n == acknowledged || n == acknowledged + 1, "%s, call %u: %d acknowledged, %d there",
	      mode, call, acknowledged, n);
	check(n < 0 || transact(db, n + 1) == SQLITE_OK, "%s", sqlite3_errmsg(db));
	sqlite3_close(db);
	bed_done(&bed);
}

enum harm { POWER_CUT, FAIL_ONCE, FAIL_FOREVER };

/* Do harm at one call; false when the run ended before it. */
static bool harm(struct disk *prepared, const char *mode, enum harm how, unsigned call)
{
	struct bed bed = {.now_us = INT64_C(1500) * 1000000};
	struct disk *disk = disk_memory_copy(prepared);
	struct disk *rests[3];
	uint64_t at = disk_memory_calls(disk) + call;
	sqlite3 *db;
	bool reached;
	int acknowledged;

	if (!check(bed_open(&bed, disk) == 0, "%s", bed.why.text))
		return false;
	at = disk_memory_calls(disk) + call;
	if (how == POWER_CUT)
		disk_memory_power_cut(disk, at);
	else
		disk_memory_fail(disk, at, how == FAIL_FOREVER);
	db = bed_connect(BED_PATH);
	acknowledged = run(db, mode);
	sqlite3_close(db);
	reached = disk_memory_calls(disk) >= at;
	for (unsigned i = 0; i < ARRAY_SIZE(rests); i++)
		rests[i] = disk_memory_power_on(disk, call * 10 + i);
	bed_done(&bed);
	for (unsigned i = 0; i < ARRAY_SIZE(rests); i++)
		check_rest(rests[i], acknowledged, mode, call);
	return reached;
}

static void harm_everywhere(enum harm how)
{
	for (int i = 0; i < MODES && !tap_bad; i++) {
		struct disk *prepared = prepare(modes[i]);
		unsigned call = 1;

		while (!tap_bad && harm(prepared, modes[i], how, call))
			call++;
		printf("# %s: %u calls\n", modes[i], call - 1);
		disk_close(prepared);
	}
}

static void what_was_committed_survives_a_power_cut_at_every_disk_call(void)
{
	harm_everywhere(POWER_CUT);
}

static void what_was_committed_survives_a_disk_call_that_fails(void)
{
	harm_everywhere(FAIL_ONCE);
	harm_everywhere(FAIL_FOREVER);
}

/* "Input/output error" alone tells nobody what to look after. */
static void an_error_says_what_the_volume_could_not_do(void)
{
	struct problem why = {""};
	struct bed bed;
	uint64_t id;
	int r;

	require(bed_init(&bed));
	disk_memory_fail(bed.disk, disk_memory_calls(bed.disk) + 1, true);
	r = store_open(bed.owner->head, "app.db", true, &id);
	check(r == -EIO, "%d", r);
	problem_errno(&why, r, "cannot make '%s'", "app.db");
	store_explain(bed.owner->head, r, &why);
	check(strstr(why.text, "'app.db': Input/output error; ") &&
		      strstr(why.text, "cannot append to the tape: "),
	      "%s", why.text);
	bed_done(&bed);
}

/* --- Two databases in one transaction --------------------------------------------------------- */

#define OTHER_PATH BED_DIRECTORY "/other.db"

static int run_both(sqlite3 *db, int from)
{
	char sql[256];

	if (!db || run_sql(db, "ATTACH '" OTHER_PATH "' AS other") != SQLITE_OK)
		return from;
	for (int n = from + 1; n <= from + 6; n++) {
		snprintf(sql, sizeof sql,
			 "BEGIN; UPDATE main.last SET n = %d; UPDATE other.last SET n = %d; COMMIT",
			 n, n);
		if (run_sql(db, sql) != SQLITE_OK)
			return n - 1;
	}
	return from + 6;
}

static bool cut_both(struct disk *prepared, unsigned call, bool other_first)
{
	struct bed bed = {.now_us = INT64_C(1500) * 1000000};
	struct disk *disk = disk_memory_copy(prepared), *rest;
	uint64_t at;
	sqlite3 *db;
	int acknowledged, n, other;
	bool reached;

	if (!check(bed_open(&bed, disk) == 0, "%s", bed.why.text))
		return false;
	at = disk_memory_calls(disk) + call;
	disk_memory_power_cut(disk, at);
	db = bed_connect(BED_PATH);
	acknowledged = run_both(db, 0);
	sqlite3_close(db);
	reached = disk_memory_calls(disk) >= at;
	rest = disk_memory_power_on(disk, call);
	bed_done(&bed);
	if (!check(bed_open(&bed, rest) == 0, "%s", bed.why.text))
		return false;
	/* In either order: each may find the journals of both. */
	db = bed_connect(other_first ? OTHER_PATH : BED_PATH);
	n = atoi(ask_sql(db, "SELECT n FROM last"));
	sqlite3_close(db);
	db = bed_connect(other_first ? BED_PATH : OTHER_PATH);
	other = atoi(ask_sql(db, "SELECT n FROM last"));
	sqlite3_close(db);
	check(n == other && n >= acknowledged && n <= acknowledged + 1,
	      "call %u: %d acknowledged, %d and %d there", call, acknowledged, n, other);
	bed_done(&bed);
	return reached;
}

static void two_databases_in_one_transaction_change_together(void)
{
	struct disk *prepared;
	struct bed bed;
	sqlite3 *db;
	unsigned call = 1;

	require(bed_init(&bed));
	db = bed_connect(BED_PATH);
	require(run_sql(db, "CREATE TABLE last (n); INSERT INTO last VALUES (0)") == SQLITE_OK);
	sqlite3_close(db);
	db = bed_connect(OTHER_PATH);
	require(run_sql(db, "CREATE TABLE last (n); INSERT INTO last VALUES (0)") == SQLITE_OK);
	sqlite3_close(db);
	prepared = disk_memory_copy(bed.disk);
	bed_done(&bed);
	while (!tap_bad && cut_both(prepared, call, call % 2))
		call++;
	printf("# %u calls\n", call - 1);
	disk_close(prepared);
}

/* --- What a commit costs ---------------------------------------------------------------------- */

/* How often the disk is called to make one change durable is the tape's affair. */
static uint64_t calls_of_a_sync(struct bed *bed)
{
	uint64_t before = disk_memory_calls(bed->disk), id = 0;

	check(store_open(bed->owner->head, "nothing", true, &id) == 0);
	check(store_sync(bed->owner->head) == 0);
	store_unref(bed->owner->head, id);
	return disk_memory_calls(bed->disk) - before;
}

static void a_commit_waits_for_the_disk_once(void)
{
	for (int i = 0; i < MODES; i++) {
		struct bed bed;
		uint64_t before, once;
		sqlite3 *db;

		require(bed_init(&bed));
		db = bed_connect(BED_PATH);
		require(set_mode(db, modes[i]) == SQLITE_OK);
		require(run_sql(db, "CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
		once = calls_of_a_sync(&bed);
		before = disk_memory_calls(bed.disk);
		require(run_sql(db, "UPDATE t SET n = 2") == SQLITE_OK);
		check(disk_memory_calls(bed.disk) == before + once, "%s: %d calls", modes[i],
		      (int)(disk_memory_calls(bed.disk) - before));
		before = disk_memory_calls(bed.disk);
		require(run_sql(db, "PRAGMA synchronous = OFF; UPDATE t SET n = 3") == SQLITE_OK);
		check(disk_memory_calls(bed.disk) == before, "%s", modes[i]);
		sqlite3_close(db);
		bed_done(&bed);
	}
}

/* --- The past --------------------------------------------------------------------------------- */

static void every_moment_is_a_whole_database(void)
{
	for (int i = 0; i < MODES && !tap_bad; i++) {
		struct disk *prepared = prepare(modes[i]);
		struct bed bed = {.now_us = INT64_C(1500) * 1000000};
		struct moment from, now;
		char path[128];
		int last = 0, looks = 0;
		sqlite3 *db;

		require(bed_open(&bed, prepared) == 0, "%s", bed.why.text);
		volume_now(bed.volume, &from);
		db = bed_connect(BED_PATH);
		require(run(db, modes[i]) == TRANSACTIONS);
		volume_now(bed.volume, &now);
		for (uint64_t lsn = from.lsn; lsn < now.lsn && !tap_bad; lsn += 1499) {
			sqlite3 *past;
			int n;

			snprintf(path, sizeof path, BED_PATH "@lsn:%llu", (unsigned long long)lsn);
			past = bed_connect(path);
			require(past, "%s: %s", path, tell_last());
			n = shows(past);
			check(n == last || n == last + 1, "%s, lsn %llu: %d after %d", modes[i],
			      (unsigned long long)lsn, n, last);
			/* Its changes are its own. */
			check(n < 0 || transact(past, n + 1) == SQLITE_OK);
			check(n < 0 || shows(past) == n + 1);
			last = n;
			looks++;
			sqlite3_close(past);
		}
		check(last >= TRANSACTIONS - 1 && looks > 50, "%d, %d looks", last, looks);
		check(shows(db) == TRANSACTIONS);
		sqlite3_close(db);
		bed_done(&bed);
	}
}

/* --- A head that moves ------------------------------------------------------------------------ */

static int go_back(struct bed *bed, const struct moment *to)
{
	const struct settle_options options = {.timeout_ms = 2000};
	struct volume_backtrack done;
	struct problem unsettled;
	int r = settle_backtrack(bed->owner, to, &options, &done, &unsettled, &bed->why);

	check(!unsettled.text[0], "%s", unsettled.text);
	return r;
}

#define CONNECTIONS 5
#define STEPS 160

/* What the database held after a step: told by its contents, and by its schema. */
struct known {
	struct moment moment;
	int n, extra;
};

static int change(sqlite3 *db, struct known *now, unsigned *seed)
{
	char sql[256];

	if (rand_r(seed) % 4) {
		snprintf(sql, sizeof sql, "UPDATE t SET n = %d; UPDATE big SET body = body + 1",
			 ++now->n);
		return run_sql(db, sql);
	}
	now->n++;
	now->extra = rand_r(seed) % 1000;
	/* The same number of changes of the schema, another schema. */
	snprintf(sql, sizeof sql,
		 "BEGIN; DROP TABLE IF EXISTS extra; CREATE TABLE extra (c%d); "
		 "INSERT INTO extra VALUES (%d); UPDATE t SET n = %d; COMMIT",
		 now->extra, now->extra, now->n);
	return run_sql(db, sql);
}

/* Every connection, whatever it has in its cache. */
static void all_see(sqlite3 **connections, const struct known *now, int step)
{
	char sql[128], wanted[64];

	for (int i = 0; i < CONNECTIONS && !tap_bad; i++) {
		snprintf(wanted, sizeof wanted, "%d", now->n);
		check(strcmp(ask_sql(connections[i], "SELECT n FROM t"), wanted) == 0,
		      "step %d, connection %d: wanted %s, got %s", step, i, wanted,
		      ask_sql(connections[i], "SELECT n FROM t"));
		snprintf(sql, sizeof sql, "SELECT c%d FROM extra", now->extra);
		snprintf(wanted, sizeof wanted, "%d", now->extra);
		if (now->extra >= 0)
			check(strcmp(ask_sql(connections[i], sql), wanted) == 0,
			      "step %d, connection %d: %s: %s", step, i, sql,
			      ask_sql(connections[i], sql));
		check(strcmp(ask_sql(connections[i], "SELECT count(DISTINCT body) FROM big"),
			     "1") == 0);
	}
}

static void wander(struct bed *bed, sqlite3 **connections, unsigned seed, const char *other_mode)
{
	struct known known[STEPS], now = {.n = 0, .extra = -1};

	for (int step = 0; step < STEPS && !tap_bad; step++) {
		unsigned what = rand_r(&seed) % 8;
		int r;

		if (what == 0 && step > 3) {
			now = known[rand_r(&seed) % step];
			r = go_back(bed, &now.moment);
			require(r == 0, "%s", bed->why.text);
		} else if (what == 1 && other_mode) {
			/* Refused where another connection is in the way; that is SQLite's. */
			run_sql(connections[0], rand_r(&seed) % 2 ? "PRAGMA wal_checkpoint(RESTART)"
								  : "PRAGMA wal_checkpoint");
		} else {
			r = change(connections[rand_r(&seed) % CONNECTIONS], &now, &seed);
			require(r == SQLITE_OK, "%s", sqlite3_errmsg(connections[0]));
		}
		volume_now(bed->volume, &now.moment);
		known[step] = now;
		/* Not always: a cache that was not looked at for some moves is the one to go wrong.
		 */
		if (rand_r(&seed) % 3 == 0)
			all_see(connections, &now, step);
	}
	for (int i = 0; i < CONNECTIONS; i++)
		check(strcmp(ask_sql(connections[i], "PRAGMA integrity_check"), "ok") == 0);
}

static void open_connections_see_the_head_that_moved(void)
{
	const char *text = getenv("UNSPILL_TEST_SEED");
	unsigned seed = text ? (unsigned)atoi(text) : (unsigned)getpid();

	printf("# UNSPILL_TEST_SEED=%u\n", seed);
	for (unsigned turn = 0; turn < 3 * MODES && !tap_bad; turn++) {
		const char *mode = modes[turn % MODES];
		sqlite3 *connections[CONNECTIONS];
		struct bed bed;

		require(bed_init(&bed));
		for (int i = 0; i < CONNECTIONS; i++) {
			connections[i] = bed_connect(BED_PATH);
			require(connections[i] && set_mode(connections[i], mode) == SQLITE_OK, "%s",
				mode);
			if (i == 0)
				run_sql(connections[0],
					"CREATE TABLE t (n); INSERT INTO t VALUES (0);"
					"CREATE TABLE big (body); WITH RECURSIVE c(x) AS (SELECT 1 "
					"UNION "
					"ALL SELECT x+1 FROM c WHERE x < 700) INSERT INTO big "
					"SELECT "
					"123456789 FROM c");
		}
		wander(&bed, connections, seed + turn, strcmp(mode, "wal") == 0 ? mode : NULL);
		for (int i = 0; i < CONNECTIONS; i++)
			sqlite3_close(connections[i]);
		bed_done(&bed);
	}
}

/* WAL empty before and after: nothing in its header tells the two apart. */
static void a_new_connection_with_an_empty_wal_sees_it_too(void)
{
	struct moment before;
	sqlite3 *first, *second;
	struct bed bed;

	require(bed_init(&bed));
	first = bed_connect(BED_PATH);
	require(set_mode(first, "wal") == SQLITE_OK);
	require(run_sql(first, "CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
	sqlite3_close(first);
	volume_now(bed.volume, &before);
	first = bed_connect(BED_PATH);
	require(run_sql(first, "UPDATE t SET n = 2") == SQLITE_OK);
	sqlite3_close(first);
	second = bed_connect(BED_PATH);
	check(strcmp(ask_sql(second, "SELECT n FROM t"), "2") == 0);
	require(go_back(&bed, &before) == 0, "%s", bed.why.text);
	check(strcmp(ask_sql(second, "SELECT n FROM t"), "1") == 0, "%s",
	      ask_sql(second, "SELECT n FROM t"));
	sqlite3_close(second);
	bed_done(&bed);
}

static void connections_keep_their_journal_mode_when_the_head_moves(void)
{
	struct moment rollback, wal;
	sqlite3 *db, *other;
	struct bed bed;

	require(bed_init(&bed));
	db = bed_connect(BED_PATH);
	require(run_sql(db, "CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
	volume_now(bed.volume, &rollback);
	require(set_mode(db, "wal") == SQLITE_OK);
	require(run_sql(db, "UPDATE t SET n = 2") == SQLITE_OK);
	volume_now(bed.volume, &wal);
	other = bed_connect(BED_PATH);
	check(strcmp(ask_sql(other, "SELECT n FROM t"), "2") == 0);
	require(go_back(&bed, &rollback) == 0, "%s", bed.why.text);
	check(strcmp(ask_sql(other, "SELECT n FROM t"), "1") == 0);
	check(strcmp(ask_sql(db, "PRAGMA journal_mode"), "wal") == 0);
	check(run_sql(db, "UPDATE t SET n = 3") == SQLITE_OK);
	check(strcmp(ask_sql(other, "SELECT n FROM t"), "3") == 0);
	check(run_sql(other, "UPDATE t SET n = 4") == SQLITE_OK);
	sqlite3_close(other);
	require(set_mode(db, "delete") == SQLITE_OK);
	other = bed_connect(BED_PATH);
	check(strcmp(ask_sql(other, "SELECT n FROM t"), "4") == 0);
	/* Nobody is in WAL mode now: what was then is. */
	require(go_back(&bed, &wal) == 0, "%s", bed.why.text);
	check(strcmp(ask_sql(other, "SELECT n FROM t"), "2") == 0);
	check(strcmp(ask_sql(db, "SELECT n FROM t"), "2") == 0);
	check(run_sql(db, "UPDATE t SET n = 5") == SQLITE_OK);
	check(strcmp(ask_sql(other, "SELECT n FROM t"), "5") == 0);
	sqlite3_close(other);
	sqlite3_close(db);
	bed_done(&bed);
}

static void the_head_waits_for_transactions_and_does_not_move_under_one(void)
{
	for (int i = 0; i < MODES; i++) {
		struct settle_options options = {.timeout_ms = 60};
		struct volume_backtrack done;
		struct problem unsettled;
		struct moment before;
		struct bed bed;
		sqlite3 *db;

		require(bed_init(&bed));
		db = bed_connect(BED_PATH);
		require(set_mode(db, modes[i]) == SQLITE_OK);
		require(run_sql(db, "CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
		volume_now(bed.volume, &before);
		require(run_sql(db, "BEGIN; SELECT * FROM t") == SQLITE_OK);
		check(settle_backtrack(bed.owner, &before, &options, &done, &unsettled, &bed.why) ==
			      -EBUSY,
		      "%s, reading", modes[i]);
		require(run_sql(db, "UPDATE t SET n = 2") == SQLITE_OK);
		check(settle_backtrack(bed.owner, &before, &options, &done, &unsettled, &bed.why) ==
			      -EBUSY,
		      "%s, writing", modes[i]);
		require(run_sql(db, "COMMIT") == SQLITE_OK);
		check(settle_backtrack(bed.owner, &before, &options, &done, &unsettled, &bed.why) ==
			      0,
		      "%s: %s", modes[i], bed.why.text);
		check(strcmp(ask_sql(db, "SELECT n FROM t"), "1") == 0);
		sqlite3_close(db);
		bed_done(&bed);
	}
}

static void connections_to_a_database_that_was_not_there_then_are_refused(void)
{
	struct settle_options options = {0};
	struct volume_backtrack done;
	struct problem unsettled;
	struct moment before;
	struct bed bed;
	sqlite3 *db;

	require(bed_init(&bed));
	volume_now(bed.volume, &before);
	db = bed_connect(BED_PATH);
	require(run_sql(db, "CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
	require(settle_backtrack(bed.owner, &before, &options, &done, &unsettled, &bed.why) == 0,
		"%s", bed.why.text);
	check(strstr(unsettled.text, "app.db"), "%s", unsettled.text);
	check(run_sql(db, "SELECT * FROM t") != SQLITE_OK);
	sqlite3_close(db);
	db = bed_connect(BED_PATH);
	check(strcmp(ask_sql(db, "SELECT count(*) FROM sqlite_schema"), "0") == 0);
	sqlite3_close(db);
	bed_done(&bed);
}

/* --- Threads ---------------------------------------------------------------------------------- */

#define ACCOUNTS 40
#define TOTAL "4000"

struct crowd {
	const char *mode;
	atomic_bool stop;
	atomic_int transfers, looks, wrong;
};

static void *transfer(void *arg)
{
	static atomic_uint seeds;
	struct crowd *crowd = arg;
	unsigned seed = 1 + atomic_fetch_add(&seeds, 1);
	sqlite3 *db = bed_connect(BED_PATH);
	char sql[256];

	while (!atomic_load(&crowd->stop)) {
		int amount = rand_r(&seed) % 10, r;

		snprintf(
			sql, sizeof sql,
			"BEGIN IMMEDIATE; UPDATE accounts SET sum = sum - %d WHERE id = %d; UPDATE "
			"accounts SET sum = sum + %d WHERE id = %d; COMMIT",
			amount, 1 + rand_r(&seed) % ACCOUNTS, amount, 1 + rand_r(&seed) % ACCOUNTS);
		r = run_sql(db, sql);
		if (r != SQLITE_OK && !sqlite3_get_autocommit(db))
			run_sql(db, "ROLLBACK");
		atomic_fetch_add(r == SQLITE_OK     ? &crowd->transfers
				 : r == SQLITE_BUSY ? &crowd->looks
						    : &crowd->wrong,
				 1);
	}
	sqlite3_close(db);
	return NULL;
}

static void *look(void *arg)
{
	struct crowd *crowd = arg;
	sqlite3 *db = bed_connect(BED_PATH);

	while (!atomic_load(&crowd->stop)) {
		const char *sum = ask_sql(db, "SELECT sum(sum) FROM accounts");

		if (strcmp(sum, TOTAL) != 0 && !strstr(sum, "locked")) {
			printf("# the sum is %s\n", sum);
			atomic_fetch_add(&crowd->wrong, 1);
		}
		atomic_fetch_add(&crowd->looks, 1);
	}
	sqlite3_close(db);
	return NULL;
}

static void crowd_in(const char *mode)
{
	struct crowd crowd = {.mode = mode};
	struct bed bed = {.options = {.background = true}};
	struct moment marks[8];
	pthread_t threads[5];
	sqlite3 *db;

	require(bed_open(&bed, bed_format(&bed)) == 0, "%s", bed.why.text);
	db = bed_connect(BED_PATH);
	require(set_mode(db, mode) == SQLITE_OK);
	require(run_sql(db,
			"CREATE TABLE accounts (id INTEGER PRIMARY KEY, sum INTEGER, filler BLOB);"
			"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < "
			"40) "
			"INSERT INTO accounts SELECT x, 100, randomblob(900) FROM c") == SQLITE_OK);
	for (int i = 0; i < 5; i++)
		pthread_create(&threads[i], NULL, i < 3 ? transfer : look, &crowd);
	for (int i = 0; i < 8; i++) {
		int until = atomic_load(&crowd.transfers) + 15;

		while (atomic_load(&crowd.transfers) < until && !atomic_load(&crowd.wrong))
			sched_yield();
		volume_now(bed.volume, &marks[i]);
		if (i % 2) {
			int r = go_back(&bed, &marks[i / 2]);

			check(r == 0, "%s: %s", mode, bed.why.text);
		}
	}
	atomic_store(&crowd.stop, true);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	check(atomic_load(&crowd.wrong) == 0, "%s: %d", mode, atomic_load(&crowd.wrong));
	check(strcmp(ask_sql(db, "SELECT sum(sum) FROM accounts"), TOTAL) == 0);
	check(strcmp(ask_sql(db, "PRAGMA integrity_check"), "ok") == 0);
	printf("# %s: %d transfers, %d looks\n", mode, atomic_load(&crowd.transfers),
	       atomic_load(&crowd.looks));
	sqlite3_close(db);
	bed_done(&bed);
}

static void many_threads_read_and_write_while_the_head_moves(void)
{
	for (int i = 0; i < MODES && !tap_bad; i++)
		crowd_in(modes[i]);
}

/* --- Sessions --------------------------------------------------------------------------------- */

/* The first value of the first row, as text; "!" and the error. */
static const char *ask_session(struct session *session, const char *text,
			       const struct session_value *values, size_t count)
{
	static char first[512];
	const struct session_value *row;
	struct problem why = {""};
	size_t columns;
	int r;

	first[0] = 0;
	r = session_send(session, text, strlen(text), values, count, &why);
	while (r >= 0 && (r = session_next(session, &row, &columns, &why)) > 0)
		if (!first[0] && row[0].data)
			snprintf(first, sizeof first, "%.*s", (int)row[0].size,
				 (const char *)row[0].data);
	if (r < 0)
		snprintf(first, sizeof first, "!%d %s", r, why.text);
	return first;
}

/* Each is another value than all others, whatever SQLite calls equal. */
#define VALUES                                                                                     \
	"(NULL),(0),(1),(-1),(9223372036854775807),(-9223372036854775807-1),(0.0),(1.0),(0.1),"    \
	"(1e300),(-4.9e-324),(9e999),(-9e999),(''),('1'),('a'),('A'),('a '),(CAST(x'6100' AS "     \
	"TEXT)),(x''),(x'31'),(x'61'),(x'6100'),(zeroblob(9)),(zeroblob(10)),(x'd0b1a0fe5ab1c3e4'" \
	"),"                                                                                       \
	"(x'93fd5966b8fee8d6'),('12345678'),('123456789')"

static void values_travel_exactly_and_have_hashes_of_their_own(void)
{
	struct session *session = NULL;
	struct problem why = {""};
	struct bed bed;

	require(bed_init(&bed));
	sqlite3_close(bed_connect(BED_PATH));
	require(session_open(BED_PATH, &session, &why) == 0, "%s", why.text);
	check(!*ask_session(session, "CREATE TABLE t (v)", NULL, 0));
	check(!*ask_session(session, "INSERT INTO t VALUES " VALUES, NULL, 0));
	check(session_changes(session) == 29, "%llu", (unsigned long long)session_changes(session));
	check(!strcmp(
		ask_session(session,
			    "SELECT count(*) FROM t WHERE unspill_value(unspill_read(v)) IS v "
			    "AND typeof(unspill_value(unspill_read(v))) = typeof(v) AND "
			    "unspill_read(unspill_value(unspill_read(v))) IS unspill_read(v)",
			    NULL, 0),
		"29"));
	check(!strcmp(ask_session(session,
				  "SELECT count(DISTINCT unspill_read(v)) || ' ' || count(DISTINCT "
				  "unspill_hash(v)) || ' ' || count(DISTINCT unspill_hash(v, v)) "
				  "|| ' ' || min(unspill_hash(v) > 0) FROM t",
				  NULL, 0),
		      "28 29 29 1"));
	/* Which value is in which column counts; in pairs, every one of them. */
	check(!strcmp(ask_session(session,
				  "SELECT count(DISTINCT unspill_hash(a.v, b.v)) FROM t a, t b",
				  NULL, 0),
		      "841"));
	/* What comes twice is no longer there for a XOR, but for a sum. */
	check(!strcmp(ask_session(session,
				  "SELECT unspill_xor(h) || ' ' || (unspill_sum(h) <> 0) FROM "
				  "(SELECT unspill_hash(a.v) AS h FROM t a, (VALUES (1), (2)))",
				  NULL, 0),
		      "0 1"));
	session_close(session);
	bed_done(&bed);
}

static void a_session_tells_what_went_wrong(void)
{
	const struct session_value values[] = {{"i7", 2}, {NULL, 0}};
	struct session *session = NULL, *other = NULL;
	struct problem why = {""};
	struct bed bed;

	require(bed_init(&bed));
	sqlite3_close(bed_connect(BED_PATH));
	require(session_open(BED_PATH, &session, &why) == 0, "%s", why.text);
	ask_session(session, "CREATE TABLE t (k UNIQUE, v); ", NULL, 0);
	check(!*ask_session(session, "INSERT INTO t VALUES (unspill_value(?), ?)", values, 2));
	check(!strncmp(ask_session(session, "INSERT INTO t VALUES (7, 0)", NULL, 0), "!-17 ", 5));
	check(!strncmp(ask_session(session, "SELECT nowhere FROM t", NULL, 0), "!-2 ", 4));
	check(!strncmp(ask_session(session, "SELEC 1", NULL, 0), "!-22 ", 5));
	check(!strncmp(ask_session(session, "SELECT 1; DELETE FROM t", NULL, 0), "!-22 ", 5));
	check(!strncmp(ask_session(session, "", NULL, 0), "!-22 ", 5));
	check(!strcmp(ask_session(session, "SELECT k || ifnull(v, 'none') FROM t", NULL, 0),
		      "7none"));
	/* A table that another connection changed is seen as it is. */
	require(session_open(BED_PATH, &other, &why) == 0, "%s", why.text);
	ask_session(other, "DROP TABLE t", NULL, 0);
	check(!strncmp(ask_session(session, "SELECT k || ifnull(v, 'none') FROM t", NULL, 0),
		       "!-2 ", 4));
	session_close(other);
	session_close(session);
	bed_done(&bed);
}

/* --- Processes -------------------------------------------------------------------------------- */

static void a_child_made_by_fork_is_refused(void)
{
	struct bed bed;
	sqlite3 *db;
	int status;
	pid_t pid;

	require(bed_init(&bed));
	db = bed_connect(BED_PATH);
	require(run_sql(db, "CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int r = run_sql(db, "SELECT * FROM t");

		if (r == SQLITE_OK || !strstr(tell_last(), "fork"))
			_exit(1);
		r = run_sql(db, "INSERT INTO t VALUES (2)");
		sqlite3_close(db);
		_exit(r == SQLITE_OK);
	}
	require(waitpid(pid, &status, 0) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
	check(strcmp(ask_sql(db, "SELECT count(*) FROM t"), "1") == 0);
	sqlite3_close(db);
	bed_done(&bed);
}

int main(void)
{
	log_set_level(LOG_ERROR);
	if (vfs_register() != SQLITE_OK)
		return 1;
	RUN(a_commit_waits_for_the_disk_once);
	RUN(what_was_committed_survives_a_power_cut_at_every_disk_call);
	RUN(what_was_committed_survives_a_disk_call_that_fails);
	RUN(an_error_says_what_the_volume_could_not_do);
	RUN(two_databases_in_one_transaction_change_together);
	RUN(every_moment_is_a_whole_database);
	RUN(open_connections_see_the_head_that_moved);
	RUN(a_new_connection_with_an_empty_wal_sees_it_too);
	RUN(connections_keep_their_journal_mode_when_the_head_moves);
	RUN(the_head_waits_for_transactions_and_does_not_move_under_one);
	RUN(connections_to_a_database_that_was_not_there_then_are_refused);
	RUN(many_threads_read_and_write_while_the_head_moves);
	RUN(values_travel_exactly_and_have_hashes_of_their_own);
	RUN(a_session_tells_what_went_wrong);
	RUN(a_child_made_by_fork_is_refused);
	return tap_done();
}
