#include "engine/mysql_family.h"

#include "base/alloc.h"
#include "engine/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* --- Settings --------------------------------------------------------------------------------- */

struct config {
	const struct mysql_family *family;
	bool setup;
};

/*
 * What may be chosen comes first, then the cluster's own options, then what must be so: the last
 * one wins. Doublewrite is off because a page reaches the volume's tape whole or not at all.
 */
static void print_config(FILE *file, const struct engine_place *place, const void *arg)
{
	const struct config *config = arg;

	fprintf(file,
		"# Written at each start; put your own into \"server_options\" of cluster.json.\n"
		"[%s]\n"
		"skip_name_resolve = 1\n"
		"innodb_buffer_pool_size = 128M\n"
		"innodb_flush_neighbors = 0\n"
		"%s",
		config->family->program, config->family->chosen);
	for (char *const *option = place->options; option && *option; option++)
		fprintf(file, "%s\n", *option);
	fprintf(file, "datadir = \"%s\"\n", place->data_dir);
	fprintf(file, "socket = \"%s/%s\"\n", place->run_dir, MYSQL_FAMILY_SOCKET);
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
	fputs(config->family->musts, file);
	if (config->setup || place->port == 0)
		fprintf(file, "skip_networking = 1\n");
	else
		fprintf(file, "skip_networking = 0\nbind_address = %s\nport = %d\n", place->bind,
			place->port);
}

int mysql_family_write_config(const struct mysql_family *family, const struct engine_place *place,
			      bool setup, struct problem *why)
{
	const struct config config = {family, setup};
	int r;

	r = place_check_paths(place, why);
	if (r == 0)
		r = place_check_options(place, why);
	/* The server ignores an option file that everybody may write. */
	return r < 0 ? r : place_write(place, "my.cnf", false, print_config, &config, why);
}

/* --- Running ---------------------------------------------------------------------------------- */

int mysql_family_find(const struct mysql_family *family, char path[PATH_MAX], struct problem *why)
{
	if (process_find(family->program, path, PATH_MAX))
		return 0;
	return problem(why, -ENOENT, "there is no '%s' in $PATH: install %s", family->program,
		       family->package);
}

int mysql_family_version(const struct mysql_family *family, char version[128], int *ret_major,
			 int *ret_minor, struct problem *why)
{
	const char *const argv[] = {family->program, "--no-defaults", "--version", NULL};
	struct process_options options = {.argv = argv, .in = -1};
	char path[PATH_MAX], text[1024];
	const char *at;
	int r;

	r = mysql_family_find(family, path, why);
	if (r < 0)
		return r;
	options.program = path;
	r = process_run(&options, 30000, text, sizeof text, why);
	if (r < 0)
		return r;
	at = strstr(text, "Ver ");
	if (r != 0 || !at || sscanf(at + 4, "%127s", version) != 1 ||
	    sscanf(version, "%d.%d", ret_major, ret_minor) != 2)
		return problem(why, -ENOEXEC, "'%s --version' does not tell a version: install %s",
			       path, family->package);
	return 0;
}

int mysql_family_launch(const struct mysql_family *family, const struct engine_place *place,
			const char *more, int keep_fd, struct engine_server *ret,
			struct problem *why)
{
	char program[PATH_MAX], config[PATH_MAX + 32];
	const char *argv[] = {family->program, config, more, NULL};
	struct process_options options = {
		.program = program, .argv = argv, .in = -1, .keep_fd = keep_fd};
	int r;

	r = mysql_family_find(family, program, why);
	if (r < 0)
		return r;
	snprintf(config, sizeof config, "--defaults-file=%s/my.cnf", place->run_dir);
	return place_launch(place, &options, ret, why);
}

int mysql_family_start(const struct mysql_family *family, const struct engine_place *place,
		       struct engine_server *ret, struct problem *why)
{
	int r;

	r = place_prepare(place, MYSQL_FAMILY_SOCKET, why);
	if (r == 0)
		r = mysql_family_write_config(family, place, false, why);
	if (r == 0)
		r = mysql_family_launch(family, place, NULL, -1, ret, why);
	return r;
}

int mysql_family_stop(const struct engine_place *place, struct engine_server *server)
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

	r = place_path(place, MYSQL_FAMILY_SECRET, client, sizeof client, why);
	if (r == 0)
		r = place_path(place, MYSQL_FAMILY_SOCKET, sock, sizeof sock, why);
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

int mysql_family_ping(const struct engine_place *place, struct problem *why)
{
	char value[32];

	return query(place, "SELECT 1", value, sizeof value, why);
}

int mysql_family_connections(const struct engine_place *place)
{
	char value[32];
	int r;

	r = query(place,
		  "SELECT COUNT(*) FROM information_schema.processlist"
		  " WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')",
		  value, sizeof value, NULL);
	return r < 0 ? r : atoi(value);
}

int64_t mysql_family_count(const struct engine_place *place, const char *sql)
{
	char value[32];
	int r = query(place, sql, value, sizeof value, NULL);

	return r < 0 ? r : (int64_t)strtod(value, NULL);
}

char **mysql_family_shell(const struct mysql_family *family, const struct engine_place *place)
{
	char defaults[PATH_MAX + 32], program[PATH_MAX];
	const char *const words[] = {program, defaults, NULL};

	if (!process_find(family->client, program, sizeof program))
		snprintf(program, sizeof program, "%s", family->client);
	snprintf(defaults, sizeof defaults, "--defaults-file=%s/" MYSQL_FAMILY_SECRET,
		 place->run_dir);
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

int mysql_family_query(const struct engine_place *place, const char *sql,
		       const struct engine_answer *answer, struct problem *why)
{
	CLEANUP(mysql) MYSQL *mysql = NULL;
	int r, more;

	r = connect_root(place, 0, &mysql, why);
	if (r < 0)
		return r;
	if (answer->database && mysql_select_db(mysql, answer->database) != 0)
		return problem(why, -ENOENT, "%s", mysql_error(mysql));
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

/* --- Explaining ------------------------------------------------------------------------------- */

/* Without "2026-11-22 11:30:13 0 " in front. */
static const char *tell(const char *line)
{
	const char *tag = strstr(line, "[ERROR] ");

	return tag && !strstr(tag, "Aborting") ? tag + strlen("[ERROR] ") : NULL;
}

void mysql_family_explain(const struct engine_place *place, char *text, size_t size)
{
	CLEANUP(free) char *log = place_log_tail(place, " starting as process ");

	place_tell(place, log, tell, text, size);
}

/* --- A directory ------------------------------------------------------------------------------ */

static void print_client_config(FILE *file, const struct engine_place *place, const void *secret)
{
	fprintf(file, "[client]\nuser=root\npassword=%s\nsocket=\"%s/%s\"\n", (const char *)secret,
		place->run_dir, MYSQL_FAMILY_SOCKET);
}

int mysql_family_give_password(const struct engine_place *place, char secret[PLACE_SECRET_MAX],
			       struct problem *why)
{
	int r;

	r = place_prepare(place, MYSQL_FAMILY_SOCKET, why);
	if (r == 0)
		r = place_make_secret(secret, why);
	if (r == 0)
		r = place_write(place, MYSQL_FAMILY_SECRET, true, print_client_config, secret, why);
	return r;
}

/* A running server holds a lock on ibdata1; asking changes nothing. */
int mysql_family_check_not_in_use(const char *dir, struct problem *why)
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

/* A table whose files lie elsewhere would be changed there, outside the volume and in the source
 * itself. */
int mysql_family_check_no_outside_tables(const char *dir, int depth, struct problem *why)
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
			r = mysql_family_check_no_outside_tables(path, depth - 1, why);
	}
	closedir(stream);
	return r;
}

/* Run the server on its own, without a network, until it has executed `sql_fd` and shut down. */
static int run_setup(const struct mysql_family *family, const struct engine_place *place,
		     int sql_fd, struct problem *why)
{
	struct engine_server server;
	char more[64];
	int r;

	r = mysql_family_write_config(family, place, true, why);
	if (r < 0)
		return r;
	snprintf(more, sizeof more, "--init-file=/proc/self/fd/%d", sql_fd);
	r = mysql_family_launch(family, place, more, sql_fd, &server, why);
	return r < 0 ? r : place_await_setup(place, &server, mysql_family_explain, why);
}

/* Root from this machine gets a password of ours; every other account stays as it is. */
int mysql_family_adopt(const struct mysql_family *family, const struct engine_place *place,
		       struct problem *why)
{
	char secret[PLACE_SECRET_MAX], sql[512];
	int r;

	r = mysql_family_give_password(place, secret, why);
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
	return fd < 0 ? fd : run_setup(family, place, fd, why);
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
	fprintf(file, "socket=\"%s/%s\"\n", place->run_dir, MYSQL_FAMILY_SOCKET);
}

/* The password is in the data: it stays what it is. */
int mysql_family_inherit(const struct engine_place *place, const char *run_dir, struct problem *why)
{
	const struct engine_place from = {.run_dir = run_dir};
	char path[PATH_MAX], text[4096];
	ssize_t n;
	int r;

	r = place_path(&from, MYSQL_FAMILY_SECRET, path, sizeof path, why);
	if (r < 0)
		return r;
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n < 0)
		return problem_errno(why, -errno, "cannot read root's password in '%s'", path);
	text[n] = 0;
	r = place_write(place, MYSQL_FAMILY_SECRET, true, print_inherited, text, why);
	explicit_bzero(text, sizeof text);
	return r;
}
