/*
 * Goal: a real MariaDB on a plain directory is made, started, asked, killed, stopped and taken over
 * as engine.h says. Method: the real server, as root under its own user or else as ourselves.
 * Skipped where there is none.
 */
#include "engine_box.h"

/* What the client prints for `sql` as the user of `defaults` (an option for the client). */
static int client(struct box *box, const char *defaults, const char *sql, char *output, size_t size)
{
	char program[PATH_MAX], socket[PATH_MAX + 32];
	const char *const argv[] = {
		"mariadb", defaults, socket, "--protocol=socket", "--batch", "-N", "-e", sql, NULL};
	struct process_options options = {.program = program, .argv = argv, .in = -1};

	snprintf(socket, sizeof socket, "--socket=%s/%s", box->run, box_engine->socket);
	if (!process_find("mariadb", program, sizeof program))
		return -ENOENT;
	return process_run(&options, 30000, output, size, &box->why);
}

static int as_root(struct box *box, const char *sql, char *output, size_t size)
{
	char defaults[PATH_MAX + 32];

	snprintf(defaults, sizeof defaults, "--defaults-file=%s/client.cnf", box->run);
	return client(box, defaults, sql, output, size);
}

static struct box shop;

static void a_new_directory_is_made_and_its_server_answers(void)
{
	char text[256], path[PATH_MAX];
	struct stat st;
	int r;

	box_init(&shop, "the shop", 0);
	r = box_engine->create(&shop.place, &shop.why);
	require(r == 0, "%d %s", r, shop.why.text);
	r = up(&shop);
	require(r == 0, "%d %s", r, shop.why.text);
	check(as_root(&shop, "SELECT 6*7", text, sizeof text) == 0, "%s", text);
	check(strcmp(text, "42\n") == 0, "%s", text);
	snprintf(path, sizeof path, "%s/client.cnf", shop.run);
	check(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600 && st.st_uid == geteuid());
}

static void no_account_is_open_without_a_password(void)
{
	char text[256];

	check(client(&shop, "--no-defaults", "SELECT 1", text, sizeof text) != 0, "%s", text);
	check(as_root(&shop,
		      "SELECT COUNT(*) FROM mysql.global_priv WHERE user <> 'mariadb.sys' AND"
		      " (user = '' OR JSON_VALUE(priv, '$.authentication_string') NOT RLIKE "
		      "'^[*][0-9A-F]{40}$')",
		      text, sizeof text) == 0,
	      "%s", text);
	check(strcmp(text, "0\n") == 0, "%s", text);
}

static void the_password_is_on_no_command_line_and_in_no_log(void)
{
	char command[PATH_MAX + 1024], text[4096] = "", path[PATH_MAX], *secret;
	const char *const argv[] = {"sh", "-c", command, NULL};
	struct process_options options = {.program = "/bin/sh", .argv = argv, .in = -1};
	ssize_t n;

	snprintf(path, sizeof path, "%s/client.cnf", shop.run);
	CLEANUP(fd) int fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof text - 1);
	require(n > 0);
	secret = strstr(text, "password=") + strlen("password=");
	secret[strcspn(secret, "\n")] = 0;
	check(strlen(secret) >= 20);
	/* The pattern comes through a file: on grep's own command line it would find itself. */
	snprintf(path, sizeof path, "%s/secret", box_top);
	CLEANUP(fd) int copy = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(write(copy, secret, strlen(secret)) == (ssize_t)strlen(secret));
	snprintf(command, sizeof command,
		 "grep -lsFf '%s' '%s/server.log' '%s/my.cnf' /proc/[0-9]*/cmdline", path, shop.run,
		 shop.run);
	/* It names the files that have it; processes that end meanwhile make it fail otherwise. */
	check(process_run(&options, 30000, text, sizeof text, NULL) != 0 && !text[0], "%s", text);
}

static void the_server_runs_as_its_own_user_with_settings_for_a_volume(void)
{
	char text[256], path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d", shop.server.pid);
	check(stat(path, &st) == 0 && st.st_uid == shop.place.uid);
	check(as_root(&shop,
		      "SELECT @@innodb_doublewrite, @@innodb_flush_method, @@skip_networking, "
		      "@@innodb_flush_log_at_trx_commit",
		      text, sizeof text) == 0);
	check(strcmp(text, "0\tO_DIRECT\t1\t1\n") == 0, "%s", text);
}

static void our_own_question_is_not_counted_as_a_connection(void)
{
	int count = connections_left(&shop);

	check(count == 0, "%d", count);
}

static void what_was_committed_is_there_after_a_kill(void)
{
	char text[256];
	int r;

	check(as_root(&shop,
		      "CREATE DATABASE d; CREATE TABLE d.t (a INT) ENGINE=InnoDB; INSERT INTO d.t "
		      "VALUES (17)",
		      text, sizeof text) == 0,
	      "%s", text);
	engine_kill(&shop.server);
	check(shop.server.pid <= 0);
	check(box_engine->ping(&shop.place, NULL) == -EAGAIN);
	r = up(&shop);
	require(r == 0, "%d %s", r, shop.why.text);
	check(as_root(&shop, "SELECT a FROM d.t", text, sizeof text) == 0 &&
		      strcmp(text, "17\n") == 0,
	      "%s", text);
}

static void a_stopped_server_ends_by_itself_with_success(void)
{
	int status = down(&shop);

	check(status == 0, "%d", status);
	check(shop.server.pid <= 0);
}

/* Forks: the one that ends is the thread that started the server. */
static void the_server_dies_with_its_starter(void)
{
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;
	int fds[2], status = -1;
	pid_t starter, server = 0;

	require(pipe(fds) == 0);
	starter = fork();
	if (starter == 0) {
		int r = box_engine->start(&shop.place, &shop.server, &shop.why);

		r = r < 0 ? r : (int)write(fds[1], &shop.server.pid, sizeof server);
		pause();
		_exit(r < 0);
	}
	check(read(fds[0], &server, sizeof server) == sizeof server);
	close(fds[0]);
	close(fds[1]);
	kill(starter, SIGKILL);
	waitpid(starter, &status, 0);
	require(server > 0);
	while (process_start_time(server) != 0 && clock_monotonic_us() < deadline)
		poll(NULL, 0, 5);
	check(process_start_time(server) == 0);
}

static void a_server_that_cannot_start_says_why_in_its_own_words(void)
{
	char *wrong[] = {(char *)"no_such_option_at_all=1", NULL};
	char text[512];
	int r;

	shop.place.options = wrong;
	r = up(&shop);
	check(r == -ECHILD, "%d", r);
	engine_kill(&shop.server);
	shop.place.options = NULL;
	box_engine->explain(&shop.place, text, sizeof text);
	check(strstr(text, "no_such_option_at_all") && !strchr(text, '\n'), "%s", text);
}

static void an_option_of_the_user_counts_but_not_against_ours(void)
{
	char *options[] = {(char *)"max_connections=77", (char *)"innodb_doublewrite=1", NULL};
	char text[256];
	int r;

	shop.place.options = options;
	r = up(&shop);
	require(r == 0, "%d %s", r, shop.why.text);
	check(as_root(&shop, "SELECT @@max_connections, @@innodb_doublewrite", text, sizeof text) ==
	      0);
	check(strcmp(text, "77\t0\n") == 0, "%s", text);
	check(down(&shop) == 0);
	shop.place.options = NULL;
}

static void a_password_changed_behind_our_back_is_told_apart_from_not_yet(void)
{
	char text[256], defaults[] = "--defaults-file=/dev/null";
	int r;

	r = up(&shop);
	require(r == 0, "%d %s", r, shop.why.text);
	check(as_root(&shop,
		      "CREATE USER app@localhost IDENTIFIED BY 'its own';"
		      " SET PASSWORD FOR root@localhost = PASSWORD('changed')",
		      text, sizeof text) == 0,
	      "%s", text);
	(void)defaults;
	r = box_engine->ping(&shop.place, &shop.why);
	check(r == -EACCES, "%d %s", r, shop.why.text);
}

static void a_directory_in_use_is_not_taken_over(void)
{
	struct problem why;

	check(box_engine->inspect(shop.data, &why) == -EBUSY && strstr(why.text, "in use"), "%s",
	      why.text);
	check(down(&shop) == 0);
	check(box_engine->inspect(shop.data, &why) == 0, "%s", why.text);
}

static void an_adopted_directory_lets_us_in_and_keeps_other_accounts(void)
{
	char text[256];
	int r;

	r = box_engine->adopt(&shop.place, &shop.why);
	require(r == 0, "%d %s", r, shop.why.text);
	r = up(&shop);
	require(r == 0, "%d %s", r, shop.why.text);
	check(as_root(&shop, "SELECT a FROM d.t", text, sizeof text) == 0 &&
		      strcmp(text, "17\n") == 0,
	      "%s", text);
	setenv("MYSQL_PWD", "its own", 1);
	r = client(&shop, "--user=app", "SELECT CURRENT_USER()", text, sizeof text);
	unsetenv("MYSQL_PWD");
	check(r == 0 && strcmp(text, "app@localhost\n") == 0, "%s", text);
	check(down(&shop) == 0);
}

static void what_is_not_a_directory_of_ours_is_refused(void)
{
	char newer[128], path[256];
	struct problem why;

	check(box_engine->inspect("/nonexistent", &why) == -ENOENT);
	snprintf(newer, sizeof newer, "%s/newer", box_top);
	mkdir(newer, 0755);
	check(box_engine->inspect(newer, &why) == -ENOENT && strstr(why.text, "ibdata1"), "%s",
	      why.text);
	box_put_file(newer, "ibdata1", "");
	box_put_file(newer, "aria_log_control", "");
	snprintf(path, sizeof path, "%s/mysql", newer);
	mkdir(path, 0755);
	check(box_engine->inspect(newer, &why) == 0, "%s", why.text);
	box_put_file(newer, "mysql_upgrade_info", "99.1.2-MariaDB");
	check(box_engine->inspect(newer, &why) == -EPROTONOSUPPORT, "%s", why.text);
	box_put_file(newer, "mysql_upgrade_info", "10.5.2-MariaDB");
	check(box_engine->inspect(newer, &why) == 0, "%s", why.text);
	box_put_file(path, "elsewhere.isl", "/somewhere/elsewhere.ibd");
	check(box_engine->inspect(newer, &why) == -ENOTSUP && strstr(why.text, "elsewhere.isl"),
	      "%s", why.text);
	box_put_file(newer, "mysql.ibd", "");
	check(box_engine->inspect(newer, &why) == -ENOTSUP && strstr(why.text, "MySQL 8"), "%s",
	      why.text);
}

static void a_path_too_long_for_a_socket_is_refused_in_one_line(void)
{
	struct box box;
	int r;

	box_init(&box,
		 "a-directory-whose-name-alone-is-so-long-that-no-socket-below-it-fits-into-an-"
		 "address",
		 0);
	r = box_engine->create(&box.place, &box.why);
	check(r == -ENAMETOOLONG && strstr(box.why.text, "too long for a socket"), "%d %s", r,
	      box.why.text);
}

int main(void)
{
	if (!box_begin("mariadb"))
		return tap_done();
	RUN(a_new_directory_is_made_and_its_server_answers);
	RUN(no_account_is_open_without_a_password);
	RUN(the_password_is_on_no_command_line_and_in_no_log);
	RUN(the_server_runs_as_its_own_user_with_settings_for_a_volume);
	RUN(our_own_question_is_not_counted_as_a_connection);
	RUN(what_was_committed_is_there_after_a_kill);
	RUN(a_stopped_server_ends_by_itself_with_success);
	RUN(the_server_dies_with_its_starter);
	RUN(a_server_that_cannot_start_says_why_in_its_own_words);
	RUN(an_option_of_the_user_counts_but_not_against_ours);
	RUN(a_password_changed_behind_our_back_is_told_apart_from_not_yet);
	RUN(a_directory_in_use_is_not_taken_over);
	RUN(an_adopted_directory_lets_us_in_and_keeps_other_accounts);
	RUN(what_is_not_a_directory_of_ours_is_refused);
	RUN(a_path_too_long_for_a_socket_is_refused_in_one_line);
	engine_kill(&shop.server);
	remove_tree(box_top);
	return tap_done();
}
