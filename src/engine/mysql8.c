#include "engine/mysql8.h"

#include "base/cleanup.h"
#include "engine/mysql_family.h"
#include "engine/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct mysql_family family = {
	.program = "mysqld",
	.client = "mysql",
	.package = "MySQL 8 (from https://dev.mysql.com/downloads/repo/apt/)",
	.chosen = "character_set_server = utf8mb4\n",
	/* A second protocol, with a port and a socket of its own. */
	.musts = "mysqlx = 0\n",
};

/* MariaDB installs a 'mysqld', too. */
static int check(char version[128], struct problem *why)
{
	char number[128];
	int major, minor, r;

	r = mysql_family_version(&family, number, &major, &minor, why);
	if (r < 0)
		return r;
	if (strstr(number, "MariaDB"))
		return problem(why, -ENOENT,
			       "the 'mysqld' in $PATH is MariaDB's (%s): install %s, or make the "
			       "cluster with --engine mariadb",
			       number, family.package);
	if (major < 8)
		return problem(why, -ENOEXEC,
			       "MySQL %s is too old: 8.0 is the oldest that works here", number);
	snprintf(version, 128, "MySQL %.120s", number);
	return 0;
}

static int start(const struct engine_place *place, struct engine_server *ret, struct problem *why)
{
	return mysql_family_start(&family, place, ret, why);
}

static char **shell(const struct engine_place *place)
{
	return mysql_family_shell(&family, place);
}

static int64_t changes(const struct engine_place *place)
{
	return mysql_family_count(
		place,
		"SELECT SUM(variable_value) FROM performance_schema.global_status"
		" WHERE variable_name REGEXP '^(Innodb_rows_(inserted|updated|deleted)|Com_(insert|"
		"insert_select|update|update_multi|delete|delete_multi|replace|replace_select|load|"
		"truncate|rename_.*|create_.*|alter_.*|drop_.*|grant|grant_roles|revoke|revoke_"
		"roles|"
		"revoke_all))$'");
}

/* The server makes its directory by itself, with an account that has no password; before anybody
 * can come in it gets one, as if the directory had come from elsewhere. */
static int create(const struct engine_place *place, struct problem *why)
{
	struct engine_server server;
	int r;

	r = place_prepare(place, MYSQL_FAMILY_SOCKET, why);
	if (r == 0)
		r = mysql_family_write_config(&family, place, true, why);
	if (r == 0)
		r = mysql_family_launch(&family, place, "--initialize-insecure", -1, &server, why);
	if (r == 0)
		r = place_await_setup(place, &server, mysql_family_explain, why);
	return r < 0 ? r : mysql_family_adopt(&family, place, why);
}

static int inspect(const char *dir, struct problem *why)
{
	int r;

	if (access(dir, R_OK | X_OK) < 0)
		return problem_errno(why, -errno, "cannot read '%s'", dir);
	if (place_has(dir, "aria_log_control"))
		return problem(why, -ENOTSUP,
			       "'%s' is of MariaDB, not of MySQL 8: take it over with --engine "
			       "mariadb",
			       dir);
	for (const char *const *name = (const char *const[]){"ibdata1", "mysql.ibd", NULL}; *name;
	     name++)
		if (!place_has(dir, *name))
			return problem(
				why, -ENOENT,
				"'%s' is not a data directory of MySQL 8: there is no '%s' in it",
				dir, *name);
	r = mysql_family_check_not_in_use(dir, why);
	if (r == 0)
		r = mysql_family_check_no_outside_tables(dir, 1, why);
	return r;
}

static int adopt(const struct engine_place *place, struct problem *why)
{
	int r = inspect(place->data_dir, why);

	return r < 0 ? r : mysql_family_adopt(&family, place, why);
}

const struct engine engine_mysql = {
	.name = "mysql",
	.title = "MySQL",
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
