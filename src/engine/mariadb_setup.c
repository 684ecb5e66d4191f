/* A data directory of our own: made new, or taken over. */
#include "engine/mariadb.h"

#include "base/alloc.h"
#include "engine/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void print_client_config(FILE *file, const struct engine_place *place, const void *secret)
{
	fprintf(file, "[client]\nuser=root\npassword=%s\nsocket=\"%s/%s\"\n", (const char *)secret,
		place->run_dir, engine_mariadb.socket);
}

/* A new password, left where root's client finds it. */
static int give_password(const struct engine_place *place, char secret[PLACE_SECRET_MAX],
			 struct problem *why)
{
	int r;

	r = place_prepare(place, engine_mariadb.socket, why);
	if (r == 0)
		r = place_make_secret(secret, why);
	if (r == 0)
		r = place_write(place, engine_mariadb.secret, true, print_client_config, secret,
				why);
	return r;
}

/* --- New -------------------------------------------------------------------------------------- */

/* The script's own words, one line. */
static void last_error_line(char *text)
{
	char *error = strstr(text, "ERROR");

	if (error)
		memmove(text, error, strlen(error) + 1);
	text[strcspn(text, "\n")] = 0;
}

/*
 * The script is not safe for paths with blanks: it gets relative ones.  Its words about passwords
 * do not matter: the accounts that it makes have one before the server is ever started.
 */
static int install(const struct engine_place *place, int sql_fd, struct problem *why)
{
	char program[PATH_MAX], extra[64], output[8192], tmpdir[PATH_MAX];
	const char *const argv[] = {"sh",
				    "-c",
				    "cd \"$0\" && export TMPDIR=\"$1\" && shift && exec \"$@\"",
				    place->data_dir,
				    tmpdir, /* the caller's may be nobody else's */
				    program,
				    "--no-defaults",
				    "--basedir=/usr",
				    "--datadir=.",
				    "--auth-root-authentication-method=normal",
				    "--skip-test-db",
				    "--skip-name-resolve",
				    "--innodb-flush-method=O_DIRECT",
				    "--innodb-doublewrite=0",
				    extra,
				    NULL};
	struct process_options options = {.program = "/bin/sh",
					  .argv = argv,
					  .in = -1,
					  .keep_fd = sql_fd,
					  .become = geteuid() == 0,
					  .uid = place->uid,
					  .gid = place->gid,
					  .die_with_us = true};
	int r;

	if (!process_find("mariadb-install-db", program, sizeof program))
		return problem(why, -ENOENT,
			       "there is no 'mariadb-install-db' in $PATH: "
			       "install MariaDB (Debian: apt-get install mariadb-server)");
	snprintf(tmpdir, sizeof tmpdir, "%s/server/tmp", place->run_dir);
	snprintf(extra, sizeof extra, "--extra-file=/proc/self/fd/%d", sql_fd);
	r = process_run(&options, PLACE_SETUP_TIMEOUT_MS, output, sizeof output, why);
	if (r < 0)
		return r;
	if (r == 0)
		return 0;
	last_error_line(output);
	return problem(why, -ECHILD,
		       "cannot make a data directory in '%s': mariadb-install-db says: %s",
		       place->data_dir, output);
}

int mariadb_create(const struct engine_place *place, struct problem *why)
{
	char secret[PLACE_SECRET_MAX], sql[512];
	int r;

	r = give_password(place, secret, why);
	if (r < 0)
		return r;
	/* The bootstrap has no grants loaded: the table itself is written. */
	snprintf(sql, sizeof sql,
		 "UPDATE mysql.global_priv SET priv = JSON_SET(priv, '$.plugin', "
		 "'mysql_native_password',"
		 " '$.authentication_string', PASSWORD('%s'));\n"
		 "DELETE FROM mysql.global_priv WHERE user = '' OR"
		 " (user = 'root' AND host NOT IN ('localhost', '127.0.0.1', '::1'));\n",
		 secret);
	CLEANUP(fd) int fd = place_open_text(sql, why);
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(sql, sizeof sql);
	return fd < 0 ? fd : install(place, fd, why);
}

/* --- Taken over ------------------------------------------------------------------------------- */

/* A running server holds a lock on ibdata1; asking changes nothing. */
static int check_not_in_use(const char *dir, struct problem *why)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/ibdata1", dir);
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open '%s'", path);
	if (fcntl(fd, F_GETLK, &lock) < 0)
		return problem_errno(why, -errno, "cannot tell whether '%s' is in use", path);
	if (lock.l_type != F_UNLCK)
		return problem(
			why, -EBUSY,
			"'%s' is in use by a running server (process %d): shut that down first",
			dir, (int)lock.l_pid);
	return 0;
}

/* The version that last upgraded the directory; where no file tells, the server itself will. */
static int check_version(const char *dir, struct problem *why)
{
	int major = 0, minor = 0, our_major, our_minor, r;
	char path[PATH_MAX], version[128];
	FILE *file = NULL;

	for (const char *const *name =
		     (const char *const[]){"mariadb_upgrade_info", "mysql_upgrade_info", NULL};
	     *name && !file; name++) {
		snprintf(path, sizeof path, "%s/%s", dir, *name);
		file = fopen(path, "re");
	}
	if (!file)
		return 0;
	r = fscanf(file, "%d.%d", &major, &minor);
	fclose(file);
	if (r != 2)
		return 0;
	r = engine_mariadb.check(version, why);
	if (r < 0 || sscanf(version, "%d.%d", &our_major, &our_minor) != 2)
		return r;
	if (major > our_major || (major == our_major && minor > our_minor))
		return problem(why, -EPROTONOSUPPORT,
			       "'%s' was written by MariaDB %d.%d, newer than %s here: install "
			       "that version",
			       dir, major, minor, version);
	return 0;
}

/* A table whose files lie elsewhere would be changed there, outside the volume and in the source
 * itself. */
static int check_no_outside_tables(const char *dir, int depth, struct problem *why)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	int r = 0;

	if (!stream)
		return problem_errno(why, -errno, "cannot read '%s'", dir);
	while (r == 0 && (entry = readdir(stream)) != NULL) {
		size_t size = strlen(entry->d_name);
		char path[PATH_MAX];

		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		if (size > 4 && strcmp(entry->d_name + size - 4, ".isl") == 0)
			r = problem(why, -ENOTSUP,
				    "'%s' points to a table outside the directory: move that table "
				    "in first",
				    path);
		else if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && depth > 0)
			r = check_no_outside_tables(path, depth - 1, why);
	}
	closedir(stream);
	return r;
}

int mariadb_inspect(const char *dir, struct problem *why)
{
	int r;

	if (access(dir, R_OK | X_OK) < 0)
		return problem_errno(why, -errno, "cannot read '%s'", dir);
	if (place_has(dir, "mysql.ibd"))
		return problem(why, -ENOTSUP,
			       "'%s' is of MySQL 8, not of MariaDB: it cannot be taken over by "
			       "this engine",
			       dir);
	for (const char *const *name =
		     (const char *const[]){"ibdata1", "aria_log_control", "mysql", NULL};
	     *name; name++)
		if (!place_has(dir, *name))
			return problem(
				why, -ENOENT,
				"'%s' is not a data directory of MariaDB: there is no '%s' in it",
				dir, *name);
	r = check_not_in_use(dir, why);
	if (r == 0)
		r = check_version(dir, why);
	if (r == 0)
		r = check_no_outside_tables(dir, 1, why);
	return r;
}

/* Run the server on its own, without a network, until it has executed `sql_fd` and shut down. */
static int run_setup(const struct engine_place *place, int sql_fd, struct problem *why)
{
	struct engine_server server;
	char more[64];
	int r;

	r = mariadb_write_config(place, true, why);
	if (r < 0)
		return r;
	snprintf(more, sizeof more, "--init-file=/proc/self/fd/%d", sql_fd);
	r = mariadb_launch(place, more, sql_fd, &server, why);
	return r < 0 ? r : place_await_setup(place, &server, mariadb_explain, why);
}

/* Root from this machine gets a password of ours; every other account stays as it is. */
int mariadb_adopt(const struct engine_place *place, struct problem *why)
{
	char secret[PLACE_SECRET_MAX], sql[512];
	int r;

	r = mariadb_inspect(place->data_dir, why);
	if (r == 0)
		r = give_password(place, secret, why);
	if (r < 0)
		return r;
	/* An init file is one statement per line. */
	snprintf(sql, sizeof sql,
		 "SET SESSION sql_log_bin = 0;\n"
		 "CREATE USER IF NOT EXISTS root@localhost;\n"
		 "ALTER USER root@localhost IDENTIFIED BY '%s' ACCOUNT UNLOCK;\n"
		 "GRANT ALL PRIVILEGES ON *.* TO root@localhost WITH GRANT OPTION;\n"
		 "SHUTDOWN;\n",
		 secret);
	CLEANUP(fd) int fd = place_open_text(sql, why);
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(sql, sizeof sql);
	return fd < 0 ? fd : run_setup(place, fd, why);
}

/* --- A copy ----------------------------------------------------------------------------------- */

static void print_inherited(FILE *file, const struct engine_place *place, const void *text)
{
	for (const char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if (strncmp(line, "socket", strlen("socket")) != 0)
			fprintf(file, "%.*s", (int)(next - line), line);
	}
	fprintf(file, "socket=\"%s/%s\"\n", place->run_dir, engine_mariadb.socket);
}

/* The password is in the data: it stays what it is. */
int mariadb_inherit(const struct engine_place *place, const char *run_dir, struct problem *why)
{
	const struct engine_place from = {.run_dir = run_dir};
	char path[PATH_MAX], text[4096];
	ssize_t n;
	int r;

	r = place_path(&from, engine_mariadb.secret, path, sizeof path, why);
	if (r < 0)
		return r;
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n < 0)
		return problem_errno(why, -errno, "cannot read root's password in '%s'", path);
	text[n] = 0;
	r = place_write(place, engine_mariadb.secret, true, print_inherited, text, why);
	explicit_bzero(text, sizeof text);
	return r;
}
