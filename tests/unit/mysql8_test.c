/*
 * Goal: MySQL 8 is told apart from MariaDB, by its program and by its directory; and where there is
 * one it is made, killed, and has what was committed.  Method: programs that only say a version;
 * the real server where it is installed, which Debian has no package for.
 */
#include "engine_box.h"

static const char *const old_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* What check() makes of a 'mysqld' that says this. */
static int check_words(const char *words, char version[128], struct problem *why)
{
	char dir[128], program[160], path[512], text[512];

	snprintf(dir, sizeof dir, "%s/bin", box_top);
	snprintf(program, sizeof program, "%s/mysqld", dir);
	snprintf(text, sizeof text, "#!/bin/sh\necho '%s'\n", words);
	mkdir(dir, 0755);
	box_put_file(dir, "mysqld", text);
	chmod(program, 0755);
	snprintf(path, sizeof path, "%s:%s", dir, old_path);
	setenv("PATH", path, 1);
	int r = (box_engine->check)(version, why);
	setenv("PATH", old_path, 1);
	unlink(program);
	return r;
}

static void a_server_of_version_8_is_taken(void)
{
	char version[128];
	struct problem why;

	check(check_words(
		      "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server "
		      "- GPL)",
		      version, &why) == 0 &&
		      strcmp(version, "MySQL 8.0.36") == 0,
	      "%s", version);
	check(check_words("mysqld  Ver 8.4.0-commercial for Linux on x86_64", version, &why) == 0);
}

static void the_mysqld_of_mariadb_is_not_taken_for_it(void)
{
	char version[128];
	struct problem why;

	check(check_words("mysqld  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64",
			  version, &why) == -ENOENT &&
		      strstr(why.text, "--engine mariadb"),
	      "%s", why.text);
}

static void an_old_server_and_one_that_says_nothing_are_refused(void)
{
	char version[128];
	struct problem why;

	check(check_words("mysqld  Ver 5.7.44 for Linux on x86_64", version, &why) == -ENOEXEC &&
		      strstr(why.text, "too old"),
	      "%s", why.text);
	check(check_words("hello", version, &why) == -ENOEXEC, "%s", why.text);
}

static void a_directory_of_the_other_family_is_refused(void)
{
	struct problem why;
	char dir[128];

	snprintf(dir, sizeof dir, "%s/dir", box_top);
	mkdir(dir, 0755);
	check(box_engine->inspect("/nonexistent", &why) == -ENOENT);
	check(box_engine->inspect(dir, &why) == -ENOENT && strstr(why.text, "ibdata1"), "%s",
	      why.text);
	box_put_file(dir, "ibdata1", "");
	check(box_engine->inspect(dir, &why) == -ENOENT && strstr(why.text, "mysql.ibd"), "%s",
	      why.text);
	box_put_file(dir, "mysql.ibd", "");
	check(box_engine->inspect(dir, &why) == 0, "%s", why.text);
	box_put_file(dir, "aria_log_control", "");
	check(box_engine->inspect(dir, &why) == -ENOTSUP && strstr(why.text, "MariaDB"), "%s",
	      why.text);
}

/* The server's one column, as root. */
static int query_row(const char *const *values, const size_t *sizes, unsigned count, void *arg)
{
	snprintf(arg, 64, "%s", values[0] ? values[0] : "NULL");
	return 0;
}

static int query_columns(const struct engine_column *columns, unsigned count, void *arg)
{
	return 0;
}

static void a_real_one_is_made_and_has_what_was_committed_after_a_kill(void)
{
	char value[64] = "";
	const struct engine_answer answer = {
		.columns = query_columns, .row = query_row, .arg = value};
	struct box box;

	box_init(&box, "the shop", 0);
	require(box_engine->create(&box.place, &box.why) == 0, "%s", box.why.text);
	require(up(&box) == 0, "%s", box.why.text);
	check(box_engine->query(
		      &box.place,
		      "CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES "
		      "(17)",
		      &answer, &box.why) == 0,
	      "%s", box.why.text);
	engine_kill(&box.server);
	require(up(&box) == 0, "%s", box.why.text);
	check(box_engine->query(&box.place, "SELECT a FROM d.t", &answer, &box.why) == 0 &&
		      strcmp(value, "17") == 0,
	      "%s %s", value, box.why.text);
	check(box_engine->changes(&box.place) >= 0);
	check(down(&box) == 0);
}

int main(void)
{
	char version[128];
	struct problem why;

	setenv("PATH", old_path, 1);
	box_engine = engine_find("mysql", NULL);
	strcpy(box_top, "/tmp/unspill-engine-XXXXXX");
	if (!mkdtemp(box_top) || chmod(box_top, 0755) < 0)
		return 1;
	RUN(a_server_of_version_8_is_taken);
	RUN(the_mysqld_of_mariadb_is_not_taken_for_it);
	RUN(an_old_server_and_one_that_says_nothing_are_refused);
	RUN(a_directory_of_the_other_family_is_refused);
	if ((box_engine->check)(version, &why) == 0)
		RUN(a_real_one_is_made_and_has_what_was_committed_after_a_kill);
	else
		SKIP("a real one is made and has what was committed after a kill",
		     "no mysqld here");
	remove_tree(box_top);
	return tap_done();
}
