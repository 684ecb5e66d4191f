/*
 * Goal: a real PostgreSQL on a plain directory is made, started, asked, killed, stopped and taken
 * over as engine.h says.  Method: the real server, as root under its own user or else as ourselves.
 * Skipped where there is none.
 */
#include "engine_box.h"

#include "engine/postgres.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static struct box shop;

/* Nobody's at this moment, which is as good as it gets. */
static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(bind(fd, (struct sockaddr *)&address, size) == 0 &&
	      getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* What psql prints for `sql` as `role`, who types no password. */
static int client(struct box *box, const char *role, const char *sql, char *output, size_t size)
{
	char program[PATH_MAX], host[PATH_MAX], user[64];
	const char *const argv[] = {"psql",        "-X", "-w", "-A", "-t",       "-q", host,
				    "--port=5432", user, "-c", sql,  "postgres", NULL};
	struct process_options options = {.program = program, .argv = argv, .in = -1};

	snprintf(host, sizeof host, "--host=%s/server", box->run);
	snprintf(user, sizeof user, "--username=%s", role);
	if (!postgres_program("psql", 0, program, sizeof program))
		return -ENOENT;
	return process_run(&options, 30000, output, size, &box->why);
}

static bool answers(struct box *box, const char *sql, const char *expected)
{
	char text[1024];
	int r = client(box, "postgres", sql, text, sizeof text);

	text[strcspn(text, "\n")] = 0;
	if (r == 0 && strcmp(text, expected) == 0)
		return true;
	printf("# %s: %d %s\n", sql, r, text);
	return false;
}

static void a_new_directory_is_made_and_its_server_answers(void)
{
	int r;

	/* Not the usual port: the socket's name does not show it. */
	box_init(&shop, "the shop", free_port());
	r = box_engine->create(&shop.place, &shop.why);
	require(r == 0, "%d %s", r, shop.why.text);
	r = up(&shop);
	require(r == 0, "%d %s", r, shop.why.text);
	check(answers(&shop, "SELECT 6*7", "42"));
	check(postgres_directory_version(shop.data) >= 13);
}

static void it_runs_as_its_own_user_with_settings_for_a_volume(void)
{
	static const char *const pairs[][2] = {
		{"full_page_writes", "off"},
		{"data_checksums", "on"},
		{"fsync", "on"},
		{"wal_sync_method", "open_datasync"},
		{"wal_init_zero", "off"},
		{"listen_addresses", "127.0.0.1"},
		{"allow_in_place_tablespaces", "on"},
	};
	char sql[64], path[64], port[16];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d", shop.server.pid);
	check(stat(path, &st) == 0 && st.st_uid == shop.place.uid);
	snprintf(port, sizeof port, "%d", shop.place.port);
	check(answers(&shop, "SHOW port", port));
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		snprintf(sql, sizeof sql, "SHOW %s", pairs[i][0]);
		check(answers(&shop, sql, pairs[i][1]));
	}
}

static void what_must_be_so_is_not_changed_by_sql(void)
{
	check(answers(&shop, "ALTER SYSTEM SET full_page_writes = on", ""));
	check(answers(&shop, "ALTER SYSTEM SET work_mem = '5MB'", ""));
	check(answers(&shop, "SELECT pg_reload_conf()", "t"));
	check(down(&shop) == 0);
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SHOW full_page_writes", "off"));
	check(answers(&shop, "SHOW work_mem", "5MB"));
	check(answers(&shop, "ALTER SYSTEM RESET ALL", ""));
}

static void a_server_that_is_thrown_away_does_nothing_by_itself_whatever_sql_said(void)
{
	check(answers(&shop, "ALTER SYSTEM SET autovacuum = on", ""));
	check(answers(&shop, "ALTER SYSTEM SET archive_mode = on", ""));
	check(answers(&shop, "ALTER SYSTEM SET max_logical_replication_workers = 4", ""));
	check(down(&shop) == 0);
	shop.place.fleeting = true;
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SHOW autovacuum", "off"));
	check(answers(&shop, "SHOW autovacuum_freeze_max_age", "2000000000"));
	check(answers(&shop, "SHOW archive_mode", "off"));
	check(answers(&shop, "SHOW max_logical_replication_workers", "0"));
	check(down(&shop) == 0);
	shop.place.fleeting = false;
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SHOW autovacuum", "on"));
	check(answers(&shop, "ALTER SYSTEM RESET ALL", ""));
	check(down(&shop) == 0);
	require(up(&shop) == 0, "%s", shop.why.text);
}

static void nobody_comes_in_without_a_password_but_whom_the_kernel_knows(void)
{
	char text[512];

	check(answers(&shop, "CREATE ROLE app LOGIN PASSWORD 'its own'", ""));
	check(client(&shop, "app", "SELECT 1", text, sizeof text) != 0);
	setenv("PGPASSWORD", "its own", 1);
	check(client(&shop, "app", "SELECT 1", text, sizeof text) == 0, "%s", text);
	unsetenv("PGPASSWORD");
	check(answers(&shop,
		      "SELECT count(*) FROM pg_authid WHERE rolsuper AND rolpassword IS NOT NULL",
		      "0"));
}

static void our_own_question_is_not_counted_as_a_connection(void)
{
	int count = connections_left(&shop);

	check(count == 0, "%d", count);
}

/*
 * Goal: as soon as a client has heard that a statement is done it is counted, if it changes
 * anything; the server may not yet have noticed that the client is gone.
 */
static void a_change_is_counted_at_once_and_a_question_is_not(void)
{
	static const struct {
		const char *sql;
		bool changes;
	} all[] = {{"SELECT count(*) FROM pg_class", false},
		   {"CREATE TABLE counted AS SELECT 1 AS a", true},
		   {"UPDATE counted SET a = 2", true},
		   {"TRUNCATE counted", true},
		   {"SELECT * FROM counted", false},
		   {"SELECT set_config('work_mem', '5MB', false)", false},
		   {"CREATE DATABASE another", true},
		   {"DROP TABLE counted", true}};
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int64_t before, after;
		int tries = 0;

		/* The server may happen to do something of its own beside a question. */
		do {
			before = box_engine->changes(&shop.place);
			require(client(&shop, "postgres", all[i].sql, text, sizeof text) == 0, "%s",
				text);
			after = box_engine->changes(&shop.place);
		} while (!all[i].changes && after > before && ++tries < 20);
		check(before > 0 && (after > before) == all[i].changes, "%s: %ld, then %ld",
		      all[i].sql, (long)before, (long)after);
	}
}

/* One that was ending by itself may have done all but vanish. */
static bool goes(pid_t pid)
{
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;

	while (process_start_time(pid) != 0 && clock_monotonic_us() < deadline)
		poll(NULL, 0, 1);
	return process_start_time(pid) == 0;
}

static void a_kill_ends_every_process_of_the_server(void)
{
	char pids[4096];
	int count = 0;

	check(client(&shop, "postgres",
		     "CREATE TABLE t (a int); INSERT INTO t VALUES (17);"
		     " SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
		     pids, sizeof pids) == 0,
	      "%s", pids);
	engine_kill(&shop.server);
	check(shop.server.pid <= 0 && shop.server.family == 0);
	for (char *save = NULL, *pid = strtok_r(pids, "\n", &save); pid;
	     pid = strtok_r(NULL, "\n", &save), count++)
		check(goes(atoi(pid)), "%s lives", pid);
	check(count >= 4, "%d processes", count);
	check(box_engine->ping(&shop.place, NULL) == -EAGAIN);
}

static void what_was_committed_is_there_after_a_kill(void)
{
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SELECT a FROM t", "17"));
}

/* A rewind brings back the pid of a server of the past, which may by now be anybody's. */
static void a_pid_file_of_the_past_is_not_in_the_way(void)
{
	char text[512], name[64];

	check(down(&shop) == 0);
	/* Us: a process that lives. */
	snprintf(text, sizeof text, "%d\n%s\n1\n%d\n", getpid(), shop.data, shop.place.port);
	box_put_file(shop.data, "postmaster.pid", text);
	snprintf(text, sizeof text, "%d\n", getpid());
	snprintf(name, sizeof name, "server/.s.PGSQL.%d.lock", shop.place.port);
	box_put_file(shop.run, name, text);
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SELECT a FROM t", "17"));
}

static void a_table_space_is_in_the_directory(void)
{
	char path[PATH_MAX];
	struct stat st;

	check(answers(&shop, "CREATE TABLESPACE inside LOCATION ''", ""));
	check(answers(&shop, "CREATE TABLE s TABLESPACE inside AS SELECT 1 AS a", ""));
	snprintf(path, sizeof path, "%s/pg_tblspc", shop.data);
	check(stat(path, &st) == 0 && st.st_nlink == 3);
}

static void a_server_that_cannot_start_says_why_in_its_own_words(void)
{
	char *options[] = {(char *)"no_such_setting = 1", NULL};
	char text[768];
	struct problem why;

	check(down(&shop) == 0);
	shop.place.options = options;
	check(up(&shop) == -ECHILD);
	engine_kill(&shop.server);
	box_engine->explain(&shop.place, text, sizeof text);
	check(strstr(text, "no_such_setting") != NULL, "%s", text);

	options[0] = (char *)"include = '/etc/passwd'";
	check(box_engine->start(&shop.place, &shop.server, &why) == -EINVAL, "%s", why.text);
	options[0] = (char *)"work_mem = 7MB";
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SHOW work_mem", "7MB"));
	shop.place.options = NULL;
}

static void a_role_that_is_gone_is_told_apart_from_not_yet(void)
{
	struct problem why = {""};

	check(answers(&shop, "CREATE ROLE other SUPERUSER LOGIN", ""));
	check(answers(&shop, "ALTER ROLE postgres NOLOGIN", ""));
	check(box_engine->ping(&shop.place, &why) == -EACCES, "%s", why.text);
	check(down(&shop) == 0);
}

static void a_directory_in_use_is_not_taken_over(void)
{
	struct problem why;

	check(box_engine->inspect(shop.data, &why) == 0, "%s", why.text);
	check(up(&shop) == -EACCES, "%s", shop.why.text);
	check(box_engine->inspect(shop.data, &why) == -EBUSY && strstr(why.text, "in use"), "%s",
	      why.text);
	check(down(&shop) == 0);
}

static void an_adopted_directory_lets_us_in_and_keeps_other_accounts(void)
{
	char text[256];
	int r;

	r = box_engine->adopt(&shop.place, &shop.why);
	require(r == 0, "%d %s", r, shop.why.text);
	require(up(&shop) == 0, "%s", shop.why.text);
	check(answers(&shop, "SELECT a FROM t", "17"));
	check(answers(&shop, "SELECT a FROM s", "1"));
	setenv("PGPASSWORD", "its own", 1);
	r = client(&shop, "app", "SELECT current_user", text, sizeof text);
	unsetenv("PGPASSWORD");
	check(r == 0 && strcmp(text, "app\n") == 0, "%s", text);
}

static void without_the_database_of_its_name_root_is_still_let_in(void)
{
	char text[256];

	check(answers(&shop, "CREATE DATABASE other", ""));
	check(client(&shop, "postgres", "SELECT 1", text, sizeof text) == 0);
	check(down(&shop) == 0);
	require(up(&shop) == 0, "%s", shop.why.text);
	/* From another database: nobody drops the one that he is in. */
	{
		char program[PATH_MAX], host[PATH_MAX];
		const char *const argv[] = {"psql",
					    "-X",
					    host,
					    "--port=5432",
					    "--username=postgres",
					    "-c",
					    "DROP DATABASE postgres",
					    "other",
					    NULL};
		struct process_options options = {.program = program, .argv = argv, .in = -1};

		snprintf(host, sizeof host, "--host=%s/server", shop.run);
		require(postgres_program("psql", 0, program, sizeof program));
		check(process_run(&options, 30000, text, sizeof text, NULL) == 0, "%s", text);
	}
	check(box_engine->ping(&shop.place, &shop.why) == 0, "%s", shop.why.text);
	check(down(&shop) == 0);
}

static void what_is_not_a_directory_of_ours_is_refused(void)
{
	char dir[256], path[300];
	struct problem why;

	check(box_engine->inspect("/nonexistent", &why) == -ENOENT);
	snprintf(dir, sizeof dir, "%s/newer", box_top);
	mkdir(dir, 0755);
	check(box_engine->inspect(dir, &why) == -ENOENT && strstr(why.text, "PG_VERSION"), "%s",
	      why.text);
	for (const char *const *name =
		     (const char *const[]){"global", "base", "pg_wal", "pg_tblspc", NULL};
	     *name; name++) {
		snprintf(path, sizeof path, "%s/%s", dir, *name);
		mkdir(path, 0755);
	}
	box_put_file(dir, "global/pg_control", "");
	box_put_file(dir, "PG_VERSION", "nonsense");
	check(box_engine->inspect(dir, &why) == -ENOENT, "%s", why.text);
	box_put_file(dir, "PG_VERSION", "99\n");
	check(box_engine->inspect(dir, &why) == -EPROTONOSUPPORT &&
		      strstr(why.text, "postgresql-99"),
	      "%s", why.text);
	snprintf(path, sizeof path, "%d\n", postgres_directory_version(shop.data));
	box_put_file(dir, "PG_VERSION", path);
	check(box_engine->inspect(dir, &why) == 0, "%s", why.text);
	box_put_file(dir, "standby.signal", "");
	check(box_engine->inspect(dir, &why) == -ENOTSUP && strstr(why.text, "standby.signal"),
	      "%s", why.text);
	snprintf(path, sizeof path, "%s/standby.signal", dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/pg_tblspc/16400", dir);
	check(symlink("/srv/fast", path) == 0);
	check(box_engine->inspect(dir, &why) == -ENOTSUP && strstr(why.text, "/srv/fast"), "%s",
	      why.text);
}

int main(void)
{
	if (!box_begin("postgresql"))
		return tap_done();
	RUN(a_new_directory_is_made_and_its_server_answers);
	RUN(it_runs_as_its_own_user_with_settings_for_a_volume);
	RUN(what_must_be_so_is_not_changed_by_sql);
	RUN(a_server_that_is_thrown_away_does_nothing_by_itself_whatever_sql_said);
	RUN(nobody_comes_in_without_a_password_but_whom_the_kernel_knows);
	RUN(our_own_question_is_not_counted_as_a_connection);
	RUN(a_change_is_counted_at_once_and_a_question_is_not);
	RUN(a_kill_ends_every_process_of_the_server);
	RUN(what_was_committed_is_there_after_a_kill);
	RUN(a_pid_file_of_the_past_is_not_in_the_way);
	RUN(a_table_space_is_in_the_directory);
	RUN(a_server_that_cannot_start_says_why_in_its_own_words);
	RUN(a_role_that_is_gone_is_told_apart_from_not_yet);
	RUN(a_directory_in_use_is_not_taken_over);
	RUN(an_adopted_directory_lets_us_in_and_keeps_other_accounts);
	RUN(without_the_database_of_its_name_root_is_still_let_in);
	RUN(what_is_not_a_directory_of_ours_is_refused);
	engine_kill(&shop.server);
	remove_tree(box_top);
	return tap_done();
}
