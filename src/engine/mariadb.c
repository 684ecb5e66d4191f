#include "engine/mariadb.h"

#include "base/alloc.h"
#include "engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define PACKAGE_HINT "install MariaDB (Debian: apt-get install mariadb-server)"
#define LOG_BYTES_MAX \
	(16 * 1024 * 1024) /* beyond, server.log becomes server.log.1 at the next start */
#define LOG_TAIL_BYTES (64 * 1024)

/* --- Files ------------------------------------------------------------------------------------ */

int mariadb_path(const struct engine_place *place, const char *below, char *path, size_t size,
		 struct problem *why)
{
	int n = snprintf(path, size, "%s/%s", place->run_dir, below);

	if (n < 0 || (size_t)n >= size)
		return problem(why, -ENAMETOOLONG, "the path '%s/%s' is too long", place->run_dir,
			       below);
	return 0;
}

/* Become the owner of what the server's user is to write.  Only root gives away. */
static int give(const struct engine_place *place, const char *path, struct problem *why)
{
	if (geteuid() == 0 && lchown(path, place->uid, place->gid) < 0)
		return problem_errno(why, -errno, "cannot make '%s' the server's", path);
	return 0;
}

static int make_server_dir(const struct engine_place *place, const char *below, mode_t mode,
			   struct problem *why)
{
	char path[PATH_MAX];
	int r;

	r = mariadb_path(place, below, path, sizeof path, why);
	if (r < 0)
		return r;
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return problem_errno(why, -errno, "cannot make '%s'", path);
	if (chmod(path, mode) < 0)
		return problem_errno(why, -errno, "cannot set the mode of '%s'", path);
	return give(place, path, why);
}

/* The server may write into its log, but not replace it: the folder is not its own. */
static int prepare_log(const struct engine_place *place, struct problem *why)
{
	char path[PATH_MAX], old[PATH_MAX];
	struct stat st;
	int r;

	r = mariadb_path(place, "server.log", path, sizeof path, why);
	if (r == 0)
		r = mariadb_path(place, "server.log.1", old, sizeof old, why);
	if (r < 0)
		return r;
	if (stat(path, &st) == 0 && st.st_size > LOG_BYTES_MAX)
		rename(path, old);
	CLEANUP(fd)
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open '%s'", path);
	return give(place, path, why);
}

int mariadb_prepare_run_dir(const struct engine_place *place, struct problem *why)
{
	struct sockaddr_un address;
	char path[PATH_MAX];
	int r;

	r = mariadb_path(place, engine_mariadb.socket, path, sizeof path, why);
	if (r < 0)
		return r;
	if (strlen(path) >= sizeof address.sun_path)
		return problem(why, -ENAMETOOLONG,
			       "the path '%s' is too long for a socket (%zu bytes at most): choose "
			       "a shorter directory",
			       path, sizeof address.sun_path - 1);
	r = make_server_dir(place, "server", 0755, why);
	if (r == 0)
		r = make_server_dir(place, "server/tmp", 0700, why);
	if (r == 0)
		r = prepare_log(place, why);
	return r;
}

/* A path in an option file: quoted, so that blanks and '#' are safe; '\' is its escape. */
static int check_path(const char *path, struct problem *why)
{
	if (path[strcspn(path, "\"'\\\n")])
		return problem(why, -EINVAL,
			       "the path '%s' has a quote, a backslash or a line break in it: "
			       "the server's option file cannot hold it",
			       path);
	return 0;
}

static int check_options(char *const *options, struct problem *why)
{
	for (; options && *options; options++)
		if (!**options || strchr(*options, '\n') || **options == '[' || **options == '!')
			return problem(why, -EINVAL, "'%s' is not an option for the server",
				       *options);
	return 0;
}

/*
 * What may be chosen comes first, then the cluster's own options, then what must be so: the last
 * one wins. Doublewrite is off because a page reaches the volume's tape whole or not at all.
 */
static void print_config(FILE *file, const struct engine_place *place, bool setup)
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
		      "innodb_doublewrite = 0\n"
		      "innodb_flush_log_at_trx_commit = 1\n"
		      "sync_binlog = 1\n");
	if (setup || place->port == 0)
		fprintf(file, "skip_networking = 1\n");
	else
		fprintf(file, "skip_networking = 0\nbind_address = %s\nport = %d\n", place->bind,
			place->port);
}

int mariadb_write_config(const struct engine_place *place, bool setup, struct problem *why)
{
	char path[PATH_MAX];
	FILE *file;
	int r;

	r = mariadb_path(place, "my.cnf", path, sizeof path, why);
	if (r == 0)
		r = check_path(place->run_dir, why);
	if (r == 0)
		r = check_path(place->data_dir, why);
	if (r == 0)
		r = check_options(place->options, why);
	if (r < 0)
		return r;
	file = fopen(path, "we");
	if (!file)
		return problem_errno(why, -errno, "cannot write '%s'", path);
	print_config(file, place, setup);
	/* The server ignores an option file that everybody may write. */
	fchmod(fileno(file), 0644);
	r = ferror(file) ? -EIO : 0;
	if (fclose(file) != 0 || r < 0)
		return problem_errno(why, r < 0 ? r : -errno, "cannot write '%s'", path);
	return 0;
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
	char program[PATH_MAX], log[PATH_MAX], config[PATH_MAX + 32];
	const char *argv[] = {"mariadbd", config, more, NULL};
	struct process_options options = {.program = program,
					  .argv = argv,
					  .in = -1,
					  .keep_fd = keep_fd,
					  .become = geteuid() == 0,
					  .uid = place->uid,
					  .gid = place->gid,
					  .die_with_us = true};
	struct process process;
	int r;

	if (!process_find("mariadbd", program, sizeof program))
		return problem(why, -ENOENT, "there is no 'mariadbd' in $PATH: " PACKAGE_HINT);
	snprintf(config, sizeof config, "--defaults-file=%s/my.cnf", place->run_dir);
	r = mariadb_path(place, "server.log", log, sizeof log, why);
	if (r < 0)
		return r;
	/* What the server says before it opens its log, and what its libraries say, belongs there
	 * too. */
	CLEANUP(fd) int fd = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open '%s'", log);
	options.out = options.err = fd;
	r = process_spawn(&options, &process, why);
	if (r < 0)
		return r;
	*ret = (struct engine_server){process.pid, process.pidfd};
	return 0;
}

static int start(const struct engine_place *place, struct engine_server *ret, struct problem *why)
{
	int r;

	r = mariadb_prepare_run_dir(place, why);
	if (r == 0)
		r = mariadb_write_config(place, false, why);
	if (r == 0)
		r = mariadb_launch(place, NULL, -1, ret, why);
	return r;
}

static int stop(const struct engine_place *place, struct engine_server *server)
{
	(void)place;
	if (server->pid <= 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, server->pidfd, SIGTERM, NULL, 0) < 0 ? -errno : 0;
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

/* One row, one column, as root through the socket. */
static int query(const struct engine_place *place, const char *sql, char *value, size_t size,
		 struct problem *why)
{
	CLEANUP(mysql) MYSQL *mysql = NULL;
	char client[PATH_MAX], sock[PATH_MAX];
	unsigned seconds = 5;
	MYSQL_RES *result;
	MYSQL_ROW row;
	int r;

	r = mariadb_path(place, "client.cnf", client, sizeof client, why);
	if (r == 0)
		r = mariadb_path(place, engine_mariadb.socket, sock, sizeof sock, why);
	if (r < 0)
		return r;
	if (access(sock, F_OK) < 0)
		return problem(why, -EAGAIN, "the server has not opened its socket yet");
	mysql = xcheck(mysql_init(NULL));
	mysql_options(mysql, MYSQL_READ_DEFAULT_FILE, client);
	mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	if (!mysql_real_connect(mysql, NULL, NULL, NULL, NULL, 0, sock, 0) ||
	    mysql_query(mysql, sql) != 0)
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
	size_t bytes = sizeof words;
	char **argv, *at;

	if (!process_find("mariadb", program, sizeof program))
		snprintf(program, sizeof program, "mariadb");
	snprintf(defaults, sizeof defaults, "--defaults-file=%s/client.cnf", place->run_dir);
	for (int i = 0; words[i]; i++)
		bytes += strlen(words[i]) + 1;
	/* One block, so that one free() is enough. */
	argv = xcalloc(1, bytes);
	at = (char *)argv + sizeof words;
	for (int i = 0; words[i]; i++) {
		argv[i] = at;
		at = stpcpy(at, words[i]) + 1;
	}
	return argv;
}

/* --- Explaining ------------------------------------------------------------------------------- */

/* The end of the log, from the last start on where that is in it. */
static char *read_log_tail(const char *path)
{
	char *text = xcalloc(1, LOG_TAIL_BYTES + 1);
	char *at, *last = NULL;
	struct stat st;

	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return text;
	if (pread(fd, text, LOG_TAIL_BYTES, MAX(st.st_size - LOG_TAIL_BYTES, 0)) < 0)
		return text;
	for (at = text; (at = strstr(at, " starting as process ")) != NULL; at++)
		last = at;
	if (last)
		memmove(text, last + 1, strlen(last + 1) + 1);
	return text;
}

/* Without "2026-11-22 11:30:13 0 " in front. */
static const char *without_time(const char *line)
{
	const char *tag = strstr(line, "[ERROR]");

	return tag ? tag + strlen("[ERROR] ") : line;
}

static bool worth_telling(const char *line, bool errors_only)
{
	if (!*line)
		return false;
	return !errors_only || (strstr(line, "[ERROR]") && !strstr(line, "[ERROR] Aborting"));
}

static size_t tell(const char *log, bool errors_only, char *text, size_t size)
{
	CLEANUP(free) char *copy = xstrdup(log);
	char *save = NULL;
	size_t used = 0;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *words = without_time(line);

		if (!worth_telling(line, errors_only) || strstr(text, words))
			continue;
		used += snprintf(text + used, size - used, "%s%s", used ? "; " : "", words);
		if (used >= size)
			return size - 1;
	}
	return used;
}

/* The last lines of `log`, when no line of it is an error. */
static const char *last_lines(const char *log, int count)
{
	const char *at = log + strlen(log);

	while (at > log && count > 0)
		if (*--at == '\n' && at[1])
			count--;
	return *at == '\n' ? at + 1 : at;
}

void mariadb_explain(const struct engine_place *place, char *text, size_t size)
{
	CLEANUP(free) char *log = NULL;
	char path[PATH_MAX];

	text[0] = 0;
	if (mariadb_path(place, "server.log", path, sizeof path, NULL) < 0)
		return;
	log = read_log_tail(path);
	if (tell(log, true, text, size) == 0)
		tell(last_lines(log, 3), false, text, size);
	if (!text[0])
		snprintf(text, size, "its log '%s' says nothing", path);
}

const struct engine engine_mariadb = {
	.name = "mariadb",
	.title = "MariaDB",
	.user = "mysql",
	.default_port = 3306,
	.socket = "server/sock",
	.check = check,
	.create = mariadb_create,
	.inspect = mariadb_inspect,
	.adopt = mariadb_adopt,
	.start = start,
	.ping = ping,
	.connections = connections,
	.stop = stop,
	.shell = shell,
	.explain = mariadb_explain,
};
