#include "engine/mariadb.h"

#include "base/alloc.h"
#include "engine/place.h"

#include <errno.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PACKAGE_HINT "install MariaDB (Debian: apt-get install mariadb-server)"

/*
 * What may be chosen comes first, then the cluster's own options, then what must be so: the last
 * one wins. Doublewrite is off because a page reaches the volume's tape whole or not at all.
 */
static void print_config(FILE *file, const struct engine_place *place, const void *setup)
{
	fprintf(file,
		"# Written at each start; put your own into \"server_options\" of cluster.json.\n"
		"[mariadbd]\n"
		"skip_name_resolve = 1\n"
		"innodb_buffer_pool_size = 128M\n"
		"character_set_server = utf8mb4\n"
		"collation_server = utf8mb4_general_ci\n");
	for (char *const *option = place->options; option && *option; option++)
		fprintf(file, "%s\n", *option);
	fprintf(file, "datadir = \"%s\"\n", place->data_dir);
	fprintf(file, "socket = \"%s/%s\"\n", place->run_dir, engine_mariadb.socket);
	fprintf(file, "pid_file = \"%s/server/pid\"\n", place->run_dir);
	fprintf(file, "log_error = \"%s/server.log\"\n", place->run_dir);
	fprintf(file, "tmpdir = \"%s/server/tmp\"\n", place->run_dir);
	fprintf(file, "innodb_tmpdir = \"%s/server/tmp\"\n", place->run_dir);
	fprintf(file, "innodb_flush_method = O_DIRECT\n"
		      "innodb_doublewrite = 0\n");
	if (place->fleeting)
		fprintf(file, "innodb_buffer_pool_size = 128M\n"
			      "innodb_flush_log_at_trx_commit = 0\n"
			      "innodb_buffer_pool_load_at_startup = 0\n"
			      "innodb_buffer_pool_dump_at_shutdown = 0\n"
			      "skip_log_bin = 1\n"
			      "skip_slave_start = 1\n"
			      "event_scheduler = OFF\n");
	else
		fprintf(file, "innodb_flush_log_at_trx_commit = 1\n"
			      "sync_binlog = 1\n");
	if (*(const bool *)setup || place->port == 0)
		fprintf(file, "skip_networking = 1\n");
	else
		fprintf(file, "skip_networking = 0\nbind_address = %s\nport = %d\n", place->bind,
			place->port);
}

int mariadb_write_config(const struct engine_place *place, bool setup, struct problem *why)
{
	int r;

	r = place_check_paths(place, why);
	if (r == 0)
		r = place_check_options(place, why);
	/* The server ignores an option file that everybody may write. */
	return r < 0 ? r : place_write(place, "my.cnf", false, print_config, &setup, why);
}

/* --- Running ---------------------------------------------------------------------------------- */

static int check(char version[128], struct problem *why)
{
	const char *const argv[] = {"mariadbd", "--no-defaults", "--version", NULL};
	struct process_options options = {.argv = argv, .in = -1};
	char path[PATH_MAX], text[1024];
	int major, minor, r;
	const char *at;

	if (!process_find("mariadbd", path, sizeof path))
		return problem(why, -ENOENT, "there is no 'mariadbd' in $PATH: " PACKAGE_HINT);
	options.program = path;
	r = process_run(&options, 30000, text, sizeof text, why);
	if (r < 0)
		return r;
	at = strstr(text, "Ver ");
	if (r != 0 || !at || sscanf(at + 4, "%127s", version) != 1 ||
	    sscanf(version, "%d.%d", &major, &minor) != 2)
		return problem(why, -ENOEXEC,
			       "'%s --version' does not tell a version: " PACKAGE_HINT, path);
	if (major < 10 || (major == 10 && minor < 5))
		return problem(why, -ENOEXEC,
			       "MariaDB %s is too old: 10.5 is the oldest that works here",
			       version);
	return 0;
}

int mariadb_launch(const struct engine_place *place, const char *more, int keep_fd,
		   struct engine_server *ret, struct problem *why)
{
	char program[PATH_MAX], config[PATH_MAX + 32];
	const char *argv[] = {"mariadbd", config, more, NULL};
	struct process_options options = {
		.program = program, .argv = argv, .in = -1, .keep_fd = keep_fd};

	if (!process_find("mariadbd", program, sizeof program))
		return problem(why, -ENOENT, "there is no 'mariadbd' in $PATH: " PACKAGE_HINT);
	snprintf(config, sizeof config, "--defaults-file=%s/my.cnf", place->run_dir);
	return place_launch(place, &options, ret, why);
}

static int start(const struct engine_place *place, struct engine_server *ret, struct problem *why)
{
	int r;

	r = place_prepare(place, engine_mariadb.socket, why);
	if (r == 0)
		r = mariadb_write_config(place, false, why);
	if (r == 0)
		r = mariadb_launch(place, NULL, -1, ret, why);
	return r;
}

static int stop(const struct engine_place *place, struct engine_server *server)
{
	(void)place;
	return place_signal(server, SIGTERM);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static void mysql_cleanup(MYSQL **mysql)
{
	if (*mysql)
		mysql_close(*mysql);
}

static int query_error(MYSQL *mysql, struct problem *why)
{
	unsigned code = mysql_errno(mysql);
	int r = code == ER_ACCESS_DENIED_ERROR || code == ER_ACCESS_DENIED_NO_PASSWORD_ERROR
			? -EACCES
			: -EAGAIN;

	return problem(why, r, "%s", mysql_error(mysql));
}

static int connect_root(const struct engine_place *place, unsigned seconds, MYSQL **ret,
			struct problem *why)
{
	CLEANUP(mysql) MYSQL *mysql = NULL;
	char client[PATH_MAX], sock[PATH_MAX];
	int r;

	r = place_path(place, engine_mariadb.secret, client, sizeof client, why);
	if (r == 0)
		r = place_path(place, engine_mariadb.socket, sock, sizeof sock, why);
	if (r < 0)
		return r;
	if (access(sock, F_OK) < 0)
		return problem(why, -EAGAIN, "the server has not opened its socket yet");
	mysql = xcheck(mysql_init(NULL));
	mysql_options(mysql, MYSQL_READ_DEFAULT_FILE, client);
	if (seconds) {
		mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
		mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &seconds);
		mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	}
	if (!mysql_real_connect(mysql, NULL, NULL, NULL, NULL, 0, sock, CLIENT_MULTI_STATEMENTS))
		return query_error(mysql, why);
	*ret = take(mysql);
	return 0;
}

/* One row, one column, as root through the socket. */
static int query(const struct engine_place *place, const char *sql, char *value, size_t size,
		 struct problem *why)
{
	CLEANUP(mysql) MYSQL *mysql = NULL;
	MYSQL_RES *result;
	MYSQL_ROW row;
	int r;

	r = connect_root(place, 5, &mysql, why);
	if (r < 0)
		return r;
	if (mysql_query(mysql, sql) != 0)
		return query_error(mysql, why);
	result = mysql_store_result(mysql);
	row = result ? mysql_fetch_row(result) : NULL;
	snprintf(value, size, "%s", row && row[0] ? row[0] : "");
	r = row ? 0 : problem(why, -EAGAIN, "the server gave no answer to '%s'", sql);
	mysql_free_result(result);
	return r;
}

static int ping(const struct engine_place *place, struct problem *why)
{
	char value[32];

	return query(place, "SELECT 1", value, sizeof value, why);
}

static int connections(const struct engine_place *place)
{
	char value[32];
	int r;

	r = query(place,
		  "SELECT COUNT(*) FROM information_schema.processlist"
		  " WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')",
		  value, sizeof value, NULL);
	return r < 0 ? r : atoi(value);
}

static char **shell(const struct engine_place *place)
{
	char defaults[PATH_MAX + 32], program[PATH_MAX];
	const char *const words[] = {program, defaults, NULL};

	if (!process_find("mariadb", program, sizeof program))
		snprintf(program, sizeof program, "mariadb");
	snprintf(defaults, sizeof defaults, "--defaults-file=%s/client.cnf", place->run_dir);
	return place_argv(words);
}

/* --- A query of somebody's ----------------------------------------------------------------------
 */

/* Written as JSON writes them: not with zeros in front. */
static bool is_number(const MYSQL_FIELD *field)
{
	return IS_NUM(field->type) && field->type != MYSQL_TYPE_TIMESTAMP &&
	       field->type != MYSQL_TYPE_YEAR && !(field->flags & ZEROFILL_FLAG);
}

static int give_columns(MYSQL_RES *result, unsigned count, const struct engine_answer *answer)
{
	CLEANUP(free) struct engine_column *columns = xcalloc(count, sizeof *columns);
	const MYSQL_FIELD *fields = mysql_fetch_fields(result);

	for (unsigned i = 0; i < count; i++)
		columns[i] = (struct engine_column){fields[i].name, is_number(&fields[i])};
	return answer->columns(columns, count, answer->arg);
}

static int give_rows(MYSQL *mysql, MYSQL_RES *result, const struct engine_answer *answer,
		     struct problem *why)
{
	unsigned count = mysql_num_fields(result);
	CLEANUP(free) size_t *sizes = xcalloc(count, sizeof *sizes);
	MYSQL_ROW row;
	int r = give_columns(result, count, answer);

	while (r == 0 && (row = mysql_fetch_row(result)) != NULL) {
		const unsigned long *lengths = mysql_fetch_lengths(result);

		for (unsigned i = 0; i < count; i++)
			sizes[i] = lengths[i];
		r = answer->row((const char *const *)row, sizes, count, answer->arg);
	}
	return r == 0 && mysql_errno(mysql) ? problem(why, -EINVAL, "%s", mysql_error(mysql)) : r;
}

static int run_query(const struct engine_place *place, const char *sql,
		     const struct engine_answer *answer, struct problem *why)
{
	CLEANUP(mysql) MYSQL *mysql = NULL;
	int r, more;

	r = connect_root(place, 0, &mysql, why);
	if (r < 0)
		return r;
	more = mysql_real_query(mysql, sql, strlen(sql));
	while (r == 0 && more == 0) {
		MYSQL_RES *result = mysql_use_result(mysql);

		if (result)
			r = give_rows(mysql, result, answer, why);
		mysql_free_result(result);
		more = r == 0 ? mysql_next_result(mysql) : -1;
	}
	return r == 0 && more > 0 ? problem(why, -EINVAL, "%s", mysql_error(mysql)) : r;
}

/* Rows of people's tables, and statements that change more than rows. */
static int64_t changes(const struct engine_place *place)
{
	char value[32];
	int r;

	r = query(
		place,
		"SELECT SUM(variable_value) FROM information_schema.global_status"
		" WHERE variable_name REGEXP '^(INNODB_ROWS_(INSERTED|UPDATED|DELETED)|COM_(INSERT|"
		"INSERT_SELECT|UPDATE|UPDATE_MULTI|DELETE|DELETE_MULTI|REPLACE|REPLACE_SELECT|LOAD|"
		"TRUNCATE|RENAME_.*|CREATE_.*|ALTER_.*|DROP_.*|GRANT|GRANT_ROLE|REVOKE|REVOKE_ROLE|"
		"REVOKE_ALL))$'",
		value, sizeof value, NULL);
	return r < 0 ? r : (int64_t)strtod(value, NULL);
}

/* --- Explaining ------------------------------------------------------------------------------- */

/* Without "2026-11-22 11:30:13 0 " in front. */
static const char *tell(const char *line)
{
	const char *tag = strstr(line, "[ERROR] ");

	return tag && !strstr(tag, "Aborting") ? tag + strlen("[ERROR] ") : NULL;
}

void mariadb_explain(const struct engine_place *place, char *text, size_t size)
{
	CLEANUP(free) char *log = place_log_tail(place, " starting as process ");

	place_tell(place, log, tell, text, size);
}

const struct engine engine_mariadb = {
	.name = "mariadb",
	.title = "MariaDB",
	.user = "mysql",
	.default_port = 3306,
	.socket = "server/sock",
	.secret = "client.cnf",
	.execute = "-e",
	.check = check,
	.create = mariadb_create,
	.inspect = mariadb_inspect,
	.adopt = mariadb_adopt,
	.start = start,
	.ping = ping,
	.connections = connections,
	.stop = stop,
	.inherit = mariadb_inherit,
	.query = run_query,
	.changes = changes,
	.shell = shell,
	.explain = mariadb_explain,
};
