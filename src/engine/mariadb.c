#include "engine/mariadb.h"

#include "base/cleanup.h"
#include "engine/mysql_family.h"
#include "engine/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct mysql_family family = {
	.program = "mariadbd",
	.client = "mariadb",
	.package = "MariaDB (Debian: apt-get install mariadb-server)",
	.chosen = "character_set_server = utf8mb4\n"
		  "collation_server = utf8mb4_general_ci\n",
	.musts = "",
};

static int check(char version[128], struct problem *why)
{
	int major, minor, r;

	r = mysql_family_version(&family, version, &major, &minor, why);
	if (r == 0 && (major < 10 || (major == 10 && minor < 5)))
		return problem(why, -ENOEXEC,
			       "MariaDB %s is too old: 10.5 is the oldest that works here",
			       version);
	return r;
}

static int start(const struct engine_place *place, struct engine_server *ret, struct problem *why)
{
	return mysql_family_start(&family, place, ret, why);
}

static char **shell(const struct engine_place *place)
{
	return mysql_family_shell(&family, place);
}

/* Rows of people's tables, and statements that change more than rows. */
static int64_t changes(const struct engine_place *place)
{
	return mysql_family_count(
		place,
		"SELECT SUM(variable_value) FROM information_schema.global_status"
		" WHERE variable_name REGEXP '^(INNODB_ROWS_(INSERTED|UPDATED|DELETED)|COM_(INSERT|"
		"INSERT_SELECT|UPDATE|UPDATE_MULTI|DELETE|DELETE_MULTI|REPLACE|REPLACE_SELECT|LOAD|"
		"TRUNCATE|RENAME_.*|CREATE_.*|ALTER_.*|DROP_.*|GRANT|GRANT_ROLE|REVOKE|REVOKE_ROLE|"
		"REVOKE_ALL))$'");
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
				    "--force", /* where no name resolves, as in a bare chroot */
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

static int create(const struct engine_place *place, struct problem *why)
{
	char secret[PLACE_SECRET_MAX], sql[512];
	int r;

	r = mysql_family_give_password(place, secret, why);
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
	r = check(version, why);
	if (r < 0 || sscanf(version, "%d.%d", &our_major, &our_minor) != 2)
		return r;
	if (major > our_major || (major == our_major && minor > our_minor))
		return problem(why, -EPROTONOSUPPORT,
			       "'%s' was written by MariaDB %d.%d, newer than %s here: install "
			       "that version",
			       dir, major, minor, version);
	return 0;
}

static int inspect(const char *dir, struct problem *why)
{
	int r;

	if (access(dir, R_OK | X_OK) < 0)
		return problem_errno(why, -errno, "cannot read '%s'", dir);
	if (place_has(dir, "mysql.ibd"))
		return problem(why, -ENOTSUP,
			       "'%s' is of MySQL 8, not of MariaDB: take it over with --engine "
			       "mysql",
			       dir);
	for (const char *const *name =
		     (const char *const[]){"ibdata1", "aria_log_control", "mysql", NULL};
	     *name; name++)
		if (!place_has(dir, *name))
			return problem(
				why, -ENOENT,
				"'%s' is not a data directory of MariaDB: there is no '%s' in it",
				dir, *name);
	r = mysql_family_check_not_in_use(dir, why);
	if (r == 0)
		r = check_version(dir, why);
	if (r == 0)
		r = mysql_family_check_no_outside_tables(dir, 1, why);
	return r;
}

static int adopt(const struct engine_place *place, struct problem *why)
{
	int r = inspect(place->data_dir, why);

	return r < 0 ? r : mysql_family_adopt(&family, place, why);
}

const struct engine engine_mariadb = {
	.name = "mariadb",
	.title = "MariaDB",
	.user = "mysql",
	.default_port = 3306,
	.socket = MYSQL_FAMILY_SOCKET,
	.secret = MYSQL_FAMILY_SECRET,
	.execute = "-e",
	.choose = "--database=",
	.check = check,
	.create = create,
	.inspect = inspect,
	.adopt = adopt,
	.start = start,
	.ping = mysql_family_ping,
	.connections = mysql_family_connections,
	.stop = mysql_family_stop,
	.inherit = mysql_family_inherit,
	.query = mysql_family_query,
	.changes = changes,
	.shell = shell,
	.explain = mysql_family_explain,
};
