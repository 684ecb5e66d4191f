#include "engine/postgres.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/place.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define PACKAGE_HINT "install PostgreSQL (Debian: apt-get install postgresql-15)"
#define DEBIAN_DIRECTORY "/usr/lib/postgresql"
#define MAJOR_MIN 13
#define ASK_TIMEOUT_US 5000000

/* Where the kernel caches nothing, the server has to; more than this is for the owner to say. */
#define SHARED_BUFFERS_MAX (1LL << 30)

/* --- Programs --------------------------------------------------------------------------------- */

static int newest_major(const char *name)
{
	DIR *dir = opendir(DEBIAN_DIRECTORY);
	struct dirent *entry;
	char path[PATH_MAX];
	int newest = 0;

	while (dir && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof path, DEBIAN_DIRECTORY "/%s/bin/%s", entry->d_name, name);
		if (atoi(entry->d_name) > newest && access(path, X_OK) == 0)
			newest = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return newest;
}

bool postgres_program(const char *name, int major, char *path, size_t size)
{
	int wanted = major ? major : newest_major(name);

	/* Not by $PATH first: what Debian has there is a script that looks for clusters of its own.
	 */
	snprintf(path, size, DEBIAN_DIRECTORY "/%d/bin/%s", wanted, name);
	return access(path, X_OK) == 0 || process_find(name, path, size);
}

static int check(char version[128], struct problem *why)
{
	char path[PATH_MAX], text[1024], number[64];
	/* Its whole path, as everywhere: PostgreSQL's programs look for themselves by this name. */
	const char *const argv[] = {path, "--version", NULL};
	struct process_options options = {.argv = argv, .in = -1};
	int r;

	if (!postgres_program("postgres", 0, path, sizeof path))
		return problem(why, -ENOENT, "there is no 'postgres' here: " PACKAGE_HINT);
	options.program = path;
	r = process_run(&options, 30000, text, sizeof text, why);
	if (r < 0)
		return r;
	if (r != 0 || sscanf(text, "postgres (PostgreSQL) %63s", number) != 1)
		return problem(why, -ENOEXEC,
			       "'%s --version' does not tell a version: " PACKAGE_HINT, path);
	if (atoi(number) < MAJOR_MIN)
		return problem(why, -ENOEXEC,
			       "PostgreSQL %s is too old: %d is the oldest that works here", number,
			       MAJOR_MIN);
	snprintf(version, 128, "PostgreSQL %s", number);
	return 0;
}

/* --- Settings --------------------------------------------------------------------------------- */

static long long shared_buffers(void)
{
	long long memory = (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

	return MIN(memory / 4, SHARED_BUFFERS_MAX);
}

/* What may be chosen, then the cluster's own: the last one wins. */
static void print_config(FILE *file, const struct engine_place *place, const void *arg)
{
	(void)arg;
	fprintf(file,
		"# Written at each start; put your own into \"server_options\" of cluster.json.\n"
		"shared_buffers = %lldMB\n"
		/* They are hints for the kernel's cache, which has no part in this. */
		"effective_io_concurrency = 0\n"
		"maintenance_io_concurrency = 0\n"
		"backend_flush_after = 0\n"
		"bgwriter_flush_after = 0\n"
		"checkpoint_flush_after = 0\n"
		"log_line_prefix = '%%m [%%p] '\n",
		shared_buffers() >> 20);
	for (char *const *option = place->options; option && *option; option++)
		fprintf(file, "%s\n", *option);
}

/*
 * By the socket the kernel says who somebody is; everybody else needs a password.  "md5" is what
 * takes any kind of stored password, SCRAM included.
 */
static void print_hba(FILE *file, const struct engine_place *place, const void *arg)
{
	(void)place;
	(void)arg;
	fputs("# Written at each start.\n"
	      "local all         postgres peer map=unspill\n"
	      "local replication postgres peer map=unspill\n"
	      "local all         all      md5\n"
	      "host  all         all      all md5\n"
	      "host  replication all      all md5\n",
	      file);
}

static void print_user(FILE *file, uid_t uid)
{
	struct passwd *user = getpwuid(uid);

	if (user && !strpbrk(user->pw_name, "\"\n"))
		fprintf(file, "unspill \"%s\" postgres\n", user->pw_name);
}

static void print_ident(FILE *file, const struct engine_place *place, const void *owner)
{
	fputs("# Written at each start.\n", file);
	print_user(file, 0);
	print_user(file, *(const uid_t *)owner);
	if (place->uid != *(const uid_t *)owner)
		print_user(file, place->uid);
}

/* postgresql.conf is a language with includes: an option is to be one setting. */
static int check_options(const struct engine_place *place, struct problem *why)
{
	int r = place_check_options(place, why);

	for (char *const *option = place->options; r == 0 && option && *option; option++)
		if (strncasecmp(*option, "include", 7) == 0)
			r = problem(why, -EINVAL, "'%s' is not an option for the server", *option);
	return r;
}

int postgres_write_config(const struct engine_place *place, struct problem *why)
{
	struct stat owner;
	int r;

	r = place_check_paths(place, why);
	if (r == 0)
		r = check_options(place, why);
	if (r < 0)
		return r;
	if (stat(place->run_dir, &owner) < 0)
		return problem_errno(why, -errno, "cannot look at '%s'", place->run_dir);
	r = place_write(place, "postgresql.conf", false, print_config, NULL, why);
	if (r == 0)
		r = place_write(place, "pg_hba.conf", false, print_hba, NULL, why);
	if (r == 0)
		r = place_write(place, "pg_ident.conf", false, print_ident, &owner.st_uid, why);
	return r;
}

void postgres_add(struct postgres_arguments *arguments, const char *format, ...)
{
	size_t room = sizeof arguments->text - arguments->used;
	va_list args;
	int n;

	assert(arguments->count + 1 < POSTGRES_ARGUMENTS_MAX);
	va_start(args, format);
	n = vsnprintf(arguments->text + arguments->used, room, format, args);
	va_end(args);
	assert(n >= 0 && (size_t)n < room);
	arguments->words[arguments->count++] = arguments->text + arguments->used;
	arguments->used += n + 1;
}

static const char *const settings[] = {
	/* A page arrives whole (engine_postgres.direct), and nothing is overwritten. */
	"full_page_writes=off",
	"wal_init_zero=off",
	"wal_recycle=off",
	/* What is acknowledged is durable: with one request, written and synced. */
	"fsync=on",
	"wal_sync_method=open_datasync",
	/* Tablespaces are folders in the data directory, and go with it wherever it goes. */
	"allow_in_place_tablespaces=on",
	/* Outside the volume, in words that are understood here. */
	"dynamic_shared_memory_type=posix",
	"logging_collector=off",
	"log_destination=stderr",
	"log_min_messages=warning",
	"lc_messages=C",
};

/*
 * Of a server that is thrown away soon: nothing runs by itself, and nothing leaves it.  ALTER
 * SYSTEM may have said otherwise, in a file of the data directory that goes before ours.
 */
static const char *const fleeting_settings[] = {
	"shared_buffers=128MB",
	"autovacuum=off",
	/* Nor in spite of that, because transactions' numbers run out. */
	"autovacuum_freeze_max_age=2000000000",
	"autovacuum_multixact_freeze_max_age=2000000000",
	"archive_mode=off",
	"max_logical_replication_workers=0",
};

static void add_each(struct postgres_arguments *arguments, const char *const *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		postgres_add(arguments, "-c");
		postgres_add(arguments, "%s", all[i]);
	}
}

void postgres_add_settings(struct postgres_arguments *arguments, const struct engine_place *place)
{
	add_each(arguments, settings, ARRAY_SIZE(settings));
	if (place->fleeting)
		add_each(arguments, fleeting_settings, ARRAY_SIZE(fleeting_settings));
	for (const char *const *name =
		     (const char *const[]){"config_file=%s/postgresql.conf",
					   "hba_file=%s/pg_hba.conf", "ident_file=%s/pg_ident.conf",
					   "unix_socket_directories=\"%s/server\"", NULL};
	     *name; name++) {
		const char *rest = strstr(*name, "%s") + 2;

		postgres_add(arguments, "-c");
		postgres_add(arguments, "%.*s%s%s", (int)(rest - 2 - *name), *name, place->run_dir,
			     rest);
	}
}

/* --- Running ---------------------------------------------------------------------------------- */

#define SOCKET_NAME ".s.PGSQL."
#define SOCKET_PORT 5432

/*
 * No server runs: sockets are from an earlier one, and lock files would be in the way once their
 * process's number is somebody else's.
 */
static int prepare_socket(const struct engine_place *place, struct problem *why)
{
	char path[PATH_MAX], target[64];
	struct dirent *entry;
	DIR *dir;
	int r;

	r = place_path(place, "server", path, sizeof path, why);
	if (r < 0)
		return r;
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, SOCKET_NAME, strlen(SOCKET_NAME)) == 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	if (place->port == 0 || place->port == SOCKET_PORT)
		return 0;
	r = place_path(place, engine_postgres.socket, path, sizeof path, why);
	if (r < 0)
		return r;
	snprintf(target, sizeof target, SOCKET_NAME "%d", place->port);
	return symlink(target, path) < 0 ? problem_errno(why, -errno, "cannot make '%s'", path) : 0;
}

/*
 * Which version the directory is of, and what a server that was killed left in it, the child looks
 * at: it is on a mount that we may be serving.  (A moment of the past has the pid of its time.)
 */
static const char launcher[] =
	"cd \"$1\" && rm -f postmaster.pid && read -r version <PG_VERSION || exit 1\n"
	"program=$2/$version/bin/postgres\n"
	"[ -x \"$program\" ] || program=$3\n"
	"shift 3\n"
	"exec \"$program\" \"$@\"\n";

static int start(const struct engine_place *place, struct engine_server *ret, struct problem *why)
{
	struct process_options options = {
		.program = "/bin/sh", .in = -1, .family = true, .quit = SIGQUIT /* "immediate" */};
	struct postgres_arguments arguments = {0};
	char program[PATH_MAX];
	int r;

	if (!postgres_program("postgres", 0, program, sizeof program))
		return problem(why, -ENOENT, "there is no 'postgres' here: " PACKAGE_HINT);
	r = place_prepare(place, engine_postgres.socket, why);
	if (r == 0)
		r = postgres_write_config(place, why);
	if (r == 0)
		r = prepare_socket(place, why);
	if (r < 0)
		return r;
	for (const char *const *word =
		     (const char *const[]){"sh", "-c", launcher, "sh", place->data_dir,
					   DEBIAN_DIRECTORY, program, "-D", place->data_dir, NULL};
	     *word; word++)
		postgres_add(&arguments, "%s", *word);
	postgres_add_settings(&arguments, place);
	postgres_add(&arguments, "-c");
	postgres_add(&arguments, "port=%d", place->port ? place->port : SOCKET_PORT);
	postgres_add(&arguments, "-c");
	postgres_add(&arguments, "listen_addresses=%s", place->port ? place->bind : "");
	options.argv = arguments.words;
	return place_launch(place, &options, ret, why);
}

/* "Fast": sessions are ended, then a checkpoint. */
static int stop(const struct engine_place *place, struct engine_server *server)
{
	(void)place;
	return place_signal(server, SIGINT);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static void connection_cleanup(PGconn **connection)
{
	PQfinish(*connection);
}

static void result_cleanup(PGresult **result)
{
	PQclear(*result);
}

static bool wait_for(PGconn *connection, short events, int64_t deadline_us)
{
	struct pollfd p = {.fd = PQsocket(connection), .events = events};
	int64_t left_us = deadline_us - clock_monotonic_us();

	return left_us > 0 && poll(&p, 1, (int)(left_us / 1000) + 1) == 1;
}

static bool finish_connecting(PGconn *connection, int64_t deadline_us)
{
	PostgresPollingStatusType step = PGRES_POLLING_WRITING;

	while (PQstatus(connection) != CONNECTION_BAD && step != PGRES_POLLING_OK) {
		if (step == PGRES_POLLING_FAILED ||
		    !wait_for(connection, step == PGRES_POLLING_READING ? POLLIN : POLLOUT,
			      deadline_us))
			return false;
		step = PQconnectPoll(connection);
	}
	return step == PGRES_POLLING_OK;
}

static PGresult *finish_query(PGconn *connection, int64_t deadline_us)
{
	while (PQisBusy(connection))
		if (!wait_for(connection, POLLIN, deadline_us) || !PQconsumeInput(connection))
			return NULL;
	return PQgetResult(connection);
}

/* The last line; libpq's own begin with the whole path of the socket. */
static int say_error(const char *message, struct problem *why)
{
	static const char *const locked_out[] = {"authentication failed", "no password supplied",
						 "does not exist", "no pg_hba.conf entry",
						 "is not permitted to log in"};
	const char *fatal = strstr(message, "FATAL:  ");
	const char *words = fatal ? fatal + strlen("FATAL:  ") : message;
	int r = -EAGAIN;

	for (size_t i = 0; i < ARRAY_SIZE(locked_out); i++)
		if (strstr(words, locked_out[i]) && !strstr(words, "No such file"))
			r = -EACCES;
	return problem(why, r, "%.*s", (int)strcspn(words, "\n"), words);
}

static int connect_root(const struct engine_place *place, const char *database, PGconn **ret,
			struct problem *why)
{
	static const char *const names[] = {"host",     "port",    "user",     "dbname",
					    "password", "options", "passfile", NULL};
	CLEANUP(connection) PGconn *connection = NULL;
	int64_t deadline_us = clock_monotonic_us() + ASK_TIMEOUT_US;
	char host[PATH_MAX], sock[PATH_MAX];
	int r;

	r = place_path(place, "server", host, sizeof host, why);
	if (r == 0)
		r = place_path(place, engine_postgres.socket, sock, sizeof sock, why);
	if (r < 0)
		return r;
	if (access(sock, F_OK) < 0)
		return problem(why, -EAGAIN, "the server has not opened its socket yet");
	/* Nothing of what the environment or a file may say for clients. */
	connection = xcheck(
		PQconnectStartParams(names,
				     (const char *const[]){host, "5432", "postgres", database, "",
							   "", "/dev/null/", NULL},
				     0));
	if (!finish_connecting(connection, deadline_us))
		return say_error(PQerrorMessage(connection), why);
	*ret = take(connection);
	return 0;
}

/* One row, one column, as root through the socket. */
static int query_in(const struct engine_place *place, const char *database, const char *sql,
		    char *value, size_t size, struct problem *why)
{
	CLEANUP(connection) PGconn *connection = NULL;
	CLEANUP(result) PGresult *result = NULL;
	int64_t deadline_us = clock_monotonic_us() + ASK_TIMEOUT_US;
	int r;

	r = connect_root(place, database, &connection, why);
	if (r < 0)
		return r;
	if (!PQsendQuery(connection, sql))
		return say_error(PQerrorMessage(connection), why);
	result = finish_query(connection, deadline_us);
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) < 1)
		return problem(why, -EAGAIN, "the server gave no answer to '%s'", sql);
	snprintf(value, size, "%s", PQgetvalue(result, 0, 0));
	return 0;
}

static int query(const struct engine_place *place, const char *sql, char *value, size_t size,
		 struct problem *why)
{
	struct problem first = {""};
	int r = query_in(place, "postgres", sql, value, size, &first);

	/* People may drop that database; this one they cannot. */
	if (r == -EACCES && strstr(first.text, "database \"postgres\" does not exist"))
		return query_in(place, "template1", sql, value, size, why);
	if (r < 0 && why)
		*why = first;
	return r;
}

#define BEGINS "LOG:  starting PostgreSQL "

/*
 * To knock before the door is open costs the server a process, and its log a line, each time: it
 * says there when it is ready.  Where clients have filled the log since, knock.
 */
static bool is_ready(const struct engine_place *place)
{
	CLEANUP(free) char *log = place_log_tail(place, BEGINS);

	return !strstr(log, BEGINS) || strstr(log, "database system is ready to accept") ||
	       strlen(log) > 60000;
}

static int ping(const struct engine_place *place, struct problem *why)
{
	char value[32];

	if (!is_ready(place))
		return problem(why, -EAGAIN, "the server is not ready yet");
	return query(place, "SELECT 1", value, sizeof value, why);
}

static int connections(const struct engine_place *place)
{
	char value[32];
	int r;

	r = query(place,
		  "SELECT count(*) FROM pg_stat_activity"
		  " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
		  value, sizeof value, NULL);
	return r < 0 ? r : atoi(value);
}

static char **shell(const struct engine_place *place)
{
	char program[PATH_MAX], host[PATH_MAX + 32];
	const char *const words[] = {program, host, "--port=5432", "--username=postgres", NULL};

	if (!postgres_program("psql", 0, program, sizeof program))
		snprintf(program, sizeof program, "psql");
	snprintf(host, sizeof host, "--host=%s/server", place->run_dir);
	return place_argv(words);
}

/* --- A query of somebody's ----------------------------------------------------------------------
 */

/* Of pg_type: int8, int2, int4, oid.  The others may be NaN or infinite. */
static bool is_number(Oid type)
{
	return type == 20 || type == 21 || type == 23 || type == 26;
}

static int give_columns(PGresult *result, const struct engine_answer *answer)
{
	int count = PQnfields(result);
	CLEANUP(free) struct engine_column *columns = xcalloc(count + 1, sizeof *columns);

	for (int i = 0; i < count; i++)
		columns[i] =
			(struct engine_column){PQfname(result, i), is_number(PQftype(result, i))};
	return answer->columns(columns, count, answer->arg);
}

static int give_row(PGresult *result, int row, const struct engine_answer *answer)
{
	int count = PQnfields(result);
	CLEANUP(free) const char **values = xcalloc(count + 1, sizeof *values);
	CLEANUP(free) size_t *sizes = xcalloc(count + 1, sizeof *sizes);

	for (int i = 0; i < count; i++) {
		values[i] = PQgetisnull(result, row, i) ? NULL : PQgetvalue(result, row, i);
		sizes[i] = PQgetlength(result, row, i);
	}
	return answer->row(values, sizes, count, answer->arg);
}

/* A result is a single row, or the end of a statement's. */
static int give_result(PGconn *connection, PGresult *result, bool *begun,
		       const struct engine_answer *answer, struct problem *why)
{
	ExecStatusType status = PQresultStatus(result);
	int r = 0;

	if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
		return problem(why, -EINVAL, "%.*s", (int)strcspn(PQerrorMessage(connection), "\n"),
			       PQerrorMessage(connection));
	if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT)
		return problem(why, -EINVAL, "COPY from or to the client is for 'unspill shell'");
	if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
		*begun = false;
		return 0;
	}
	if (!*begun)
		r = give_columns(result, answer);
	*begun = status == PGRES_SINGLE_TUPLE;
	for (int row = 0; row < PQntuples(result) && r == 0; row++)
		r = give_row(result, row, answer);
	return r;
}

static int run_query(const struct engine_place *place, const char *sql,
		     const struct engine_answer *answer, struct problem *why)
{
	CLEANUP(connection) PGconn *connection = NULL;
	PGresult *result;
	bool begun = false;
	int r;

	r = connect_root(place, answer->database ? answer->database : "postgres", &connection, why);
	if (r == -EACCES && why && strstr(why->text, "database \""))
		return -ENOENT;
	if (r < 0)
		return r;
	if (!PQsendQuery(connection, sql) || !PQsetSingleRowMode(connection))
		return say_error(PQerrorMessage(connection), why);
	while (r == 0 && (result = PQgetResult(connection)) != NULL) {
		r = give_result(connection, result, &begun, answer, why);
		PQclear(result);
		/* What follows on the same line is a row each again. */
		if (!begun)
			PQsetSingleRowMode(connection);
	}
	return r;
}

/*
 * The next transaction's number: only one that changes something takes a number, and it is counted
 * before its client hears that it is done.  (The server's statistics know of it when the session
 * has ended, some time after its client.)
 */
static int64_t changes(const struct engine_place *place)
{
	char value[32];
	int r;

	r = query(place, "SELECT pg_snapshot_xmax(pg_current_snapshot())", value, sizeof value,
		  NULL);
	return r < 0 ? r : (int64_t)strtoll(value, NULL, 10);
}

/* --- Explaining ------------------------------------------------------------------------------- */

/* Without "2026-11-22 11:30:13.123 UTC [4711] " in front; not what it tells clients that come too
 * early. */
static const char *tell(const char *line)
{
	static const char *const tags[] = {"PANIC:  ", "FATAL:  ", "initdb: error: ", "sh: "};
	const char *config = strstr(line, "LOG:  ");

	if (strstr(line, "FATAL:  the database system is"))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		const char *tag = strstr(line, tags[i]);

		if (tag)
			return tag + strlen(tags[i]);
	}
	return config && strstr(config, "/postgresql.conf\" line ") ? config + strlen("LOG:  ")
								    : NULL;
}

void postgres_explain(const struct engine_place *place, char *text, size_t size)
{
	CLEANUP(free) char *log = place_log_tail(place, BEGINS);

	place_tell(place, log, tell, text, size);
}

const struct engine engine_postgres = {
	.name = "postgresql",
	.title = "PostgreSQL",
	.user = "postgres",
	.default_port = SOCKET_PORT,
	.socket = "server/" SOCKET_NAME "5432",
	.execute = "-c",
	.choose = "--dbname=",
	.direct = true,
	.inward = true,
	.transient = (const char *const[]){"postmaster.pid", "postmaster.opts", NULL},
	.check = check,
	.create = postgres_create,
	.inspect = postgres_inspect,
	.adopt = postgres_adopt,
	.start = start,
	.ping = ping,
	.connections = connections,
	.stop = stop,
	.query = run_query,
	.changes = changes,
	.shell = shell,
	.explain = postgres_explain,
};
