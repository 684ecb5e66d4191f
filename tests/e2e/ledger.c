/*
 * Ledger: clients that commit numbered transactions, and each keep their own list of what they were
 * promised.
 *
 *	ledger SERVER --log FILE [--connections N] [--seconds N] [--pause-us N] [--pad BYTES]
 *[--first N] ledger SERVER --prepare
 *
 * SERVER is --defaults FILE, for a MariaDB (with --host H --port N, or --socket PATH, instead of
 *the file's), or --postgresql CONNINFO.
 *
 * Transaction `n` of connection `c` moves `n` from an account of one table to an account of the
 * other, and notes that in a third.  So half a transaction shows: the balances then differ from
 *what the notes say.  The list (one line each, written with write(2), so that it is in order and
 *survives our own end):
 *
 *	I c n t		about to begin, at t (microseconds since the epoch, real-time clock)
 *	A c n t		the server acknowledged the commit, at t
 *	F c n t text	the server did not: it may have happened or not
 *
 * A connection that fails is made anew until the time is over; the next transaction has the next
 * number. SIGTERM and SIGINT end every connection after its current transaction.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libpq-fe.h>
#include <mysql.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ACCOUNTS 1000
#define RECONNECT_US 20000

static struct {
	const char *defaults, *host, *socket, *conninfo, *log;
	unsigned port, connections, pad;
	uint64_t first, pause_us;
	int64_t seconds;
} options = {.connections = 4, .seconds = 3600, .first = 1};

struct client {
	pthread_t thread;
	unsigned number;
	int log;
	void *session; /* the server's */
	uint64_t acknowledged, failed;
};

static volatile sig_atomic_t stopped;
static int64_t deadline_us;

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static bool over(void)
{
	return stopped || now_us() >= deadline_us;
}

static void stop(int number)
{
	stopped = 1;
}

static void note(struct client *client, char what, uint64_t n, const char *text)
{
	char line[512];
	int size = snprintf(line, sizeof line, "%c %u %ju %jd%s%.300s\n", what, client->number,
			    (uintmax_t)n, (intmax_t)now_us(), *text ? " " : "", text);

	if (write(client->log, line, (size_t)size) != size) {
		perror("ledger: cannot write the list");
		exit(3);
	}
}

/* --- Servers ---------------------------------------------------------------------------------- */

struct server {
	void *(*connect)(char *error, size_t error_size);
	int (*query)(void *session, const char *sql); /* 0 when it was done */
	const char *(*error)(void *session);
	void (*close)(void *session);
	void (*thread_begin)(void);
	void (*thread_end)(void);
	const char *const *preparation; /* NULL-terminated */
};

static void *maria_connect(char *error, size_t error_size)
{
	MYSQL *mysql = mysql_init(NULL);
	unsigned timeout_s = 60;

	mysql_options(mysql, MYSQL_READ_DEFAULT_FILE, options.defaults);
	mysql_options(mysql, MYSQL_READ_DEFAULT_GROUP, "client");
	mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
	mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &timeout_s);
	mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &timeout_s);
	if (mysql_real_connect(mysql, options.host, NULL, NULL, NULL, options.port, options.socket,
			       0))
		return mysql;
	snprintf(error, error_size, "%s", mysql_error(mysql));
	mysql_close(mysql);
	return NULL;
}

static int maria_query(void *session, const char *sql)
{
	return mysql_query(session, sql);
}

static const char *maria_error(void *session)
{
	return mysql_error(session);
}

static void maria_close(void *session)
{
	mysql_close(session);
}

static void maria_thread_begin(void)
{
	mysql_thread_init();
}

static const struct server mariadb = {
	.connect = maria_connect,
	.query = maria_query,
	.error = maria_error,
	.close = maria_close,
	.thread_begin = maria_thread_begin,
	.thread_end = mysql_thread_end,
	.preparation =
		(const char *const[]){
			"CREATE DATABASE ledger",
			"CREATE TABLE ledger.debit (id INT PRIMARY KEY, balance BIGINT NOT NULL) "
			"ENGINE=InnoDB",
			"CREATE TABLE ledger.credit LIKE ledger.debit",
			"CREATE TABLE ledger.note (client INT, n BIGINT, debit INT NOT NULL, "
			"credit INT NOT NULL, amount BIGINT NOT NULL, pad TEXT, "
			"PRIMARY KEY (client, n)) ENGINE=InnoDB",
			/* A sequence is looked for in the current database. */
			"USE ledger",
			"INSERT INTO ledger.debit SELECT seq, 1000000 FROM seq_1_to_1000",
			"INSERT INTO ledger.credit SELECT seq, 1000000 FROM seq_1_to_1000",
			NULL,
		},
};

/* Else libpq prints them. */
static void ignore_notice(void *arg, const char *message)
{
}

static void *postgres_connect(char *error, size_t error_size)
{
	PGconn *connection = PQconnectdb(options.conninfo);

	PQsetNoticeProcessor(connection, ignore_notice, NULL);
	if (PQstatus(connection) == CONNECTION_OK)
		return connection;
	snprintf(error, error_size, "%s", PQerrorMessage(connection));
	PQfinish(connection);
	return NULL;
}

static int postgres_query(void *session, const char *sql)
{
	PGresult *result = PQexec(session, sql);
	int r = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : -1;

	PQclear(result);
	return r;
}

static const char *postgres_error(void *session)
{
	static _Thread_local char text[300];

	snprintf(text, sizeof text, "%s", PQerrorMessage(session));
	for (char *at = text; *at; at++)
		if (*at == '\n')
			*at = ' ';
	return text;
}

static void postgres_close(void *session)
{
	PQfinish(session);
}

static void nothing(void)
{
}

static const struct server postgresql = {
	.connect = postgres_connect,
	.query = postgres_query,
	.error = postgres_error,
	.close = postgres_close,
	.thread_begin = nothing,
	.thread_end = nothing,
	.preparation =
		(const char *const[]){
			"CREATE SCHEMA ledger",
			"CREATE TABLE ledger.debit (id INT PRIMARY KEY, balance BIGINT NOT NULL)",
			"CREATE TABLE ledger.credit (LIKE ledger.debit INCLUDING ALL)",
			"CREATE TABLE ledger.note (client INT, n BIGINT, debit INT NOT NULL, "
			"credit INT NOT NULL, amount BIGINT NOT NULL, pad TEXT, "
			"PRIMARY KEY (client, n))",
			"INSERT INTO ledger.debit SELECT n, 1000000 FROM generate_series(1, 1000) "
			"n",
			"INSERT INTO ledger.credit SELECT n, 1000000 FROM generate_series(1, 1000) "
			"n",
			NULL,
		},
};

static const struct server *server;

/* --- Clients ---------------------------------------------------------------------------------- */

static int query(void *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int query(void *session, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return server->query(session, text);
}

static int transaction(struct client *client, uint64_t n)
{
	void *session = client->session;
	/* Both spread over the accounts; connections meet, but never in a circle: debit first, then
	 * credit. */
	unsigned debit = (unsigned)((n * 7 + client->number * 131) % ACCOUNTS) + 1;
	unsigned credit = (unsigned)((n * 13 + client->number * 37) % ACCOUNTS) + 1;

	if (query(session, "START TRANSACTION"))
		return -1;
	if (query(session, "UPDATE ledger.debit SET balance = balance - %ju WHERE id = %u",
		  (uintmax_t)n, debit))
		return -1;
	if (query(session, "UPDATE ledger.credit SET balance = balance + %ju WHERE id = %u",
		  (uintmax_t)n, credit))
		return -1;
	if (query(session,
		  "INSERT INTO ledger.note (client, n, debit, credit, amount, pad) VALUES (%u, "
		  "%ju, %u, %u, %ju, "
		  "REPEAT('x', %u))",
		  client->number, (uintmax_t)n, debit, credit, (uintmax_t)n, options.pad))
		return -1;
	return query(session, "COMMIT");
}

static void *run(void *arg)
{
	struct client *client = arg;
	char error[300];
	uint64_t n = options.first;

	server->thread_begin();
	while (!over()) {
		if (!client->session)
			client->session = server->connect(error, sizeof error);
		if (!client->session) {
			usleep(RECONNECT_US);
			continue;
		}
		note(client, 'I', n, "");
		if (transaction(client, n) == 0) {
			note(client, 'A', n, "");
			client->acknowledged++;
		} else {
			note(client, 'F', n, server->error(client->session));
			client->failed++;
			server->close(client->session);
			client->session = NULL;
		}
		n++;
		if (options.pause_us)
			usleep((useconds_t)options.pause_us);
	}
	if (client->session)
		server->close(client->session);
	server->thread_end();
	return NULL;
}

static int prepare(void)
{
	char error[300];
	void *session = server->connect(error, sizeof error);
	int failed = 0;

	if (!session) {
		fprintf(stderr, "ledger: cannot connect: %s\n", error);
		return 1;
	}
	for (const char *const *sql = server->preparation; *sql && !failed; sql++) {
		failed = server->query(session, *sql) != 0;
		if (failed)
			fprintf(stderr, "ledger: %s: %s\n", *sql, server->error(session));
	}
	server->close(session);
	return failed;
}

static int run_all(void)
{
	struct client *clients = calloc(options.connections, sizeof *clients);
	uint64_t acknowledged = 0, failed = 0;
	int log = open(options.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (!clients || log < 0) {
		fprintf(stderr, "ledger: cannot write '%s': %s\n", options.log, strerror(errno));
		free(clients);
		return 1;
	}
	deadline_us = now_us() + options.seconds * 1000000;
	for (unsigned i = 0; i < options.connections; i++) {
		clients[i] = (struct client){.number = i, .log = log};
		if (pthread_create(&clients[i].thread, NULL, run, &clients[i])) {
			perror("ledger: thread");
			exit(3);
		}
	}
	for (unsigned i = 0; i < options.connections; i++) {
		pthread_join(clients[i].thread, NULL);
		acknowledged += clients[i].acknowledged;
		failed += clients[i].failed;
	}
	printf("{\"acknowledged\": %ju, \"failed\": %ju}\n", (uintmax_t)acknowledged,
	       (uintmax_t)failed);
	close(log);
	free(clients);
	return 0;
}

static int usage(void)
{
	fputs("usage: see the head of ledger.c\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"defaults", required_argument, NULL, 'd'},
		{"postgresql", required_argument, NULL, 'g'},
		{"host", required_argument, NULL, 'h'},
		{"port", required_argument, NULL, 'P'},
		{"socket", required_argument, NULL, 'S'},
		{"log", required_argument, NULL, 'l'},
		{"connections", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 's'},
		{"pause-us", required_argument, NULL, 'p'},
		{"pad", required_argument, NULL, 'b'},
		{"first", required_argument, NULL, 'f'},
		{"prepare", no_argument, NULL, 'r'},
		{0},
	};
	bool preparing = false;
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'd':
			options.defaults = optarg;
			break;
		case 'g':
			options.conninfo = optarg;
			break;
		case 'h':
			options.host = optarg;
			break;
		case 'P':
			options.port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'S':
			options.socket = optarg;
			break;
		case 'l':
			options.log = optarg;
			break;
		case 'c':
			options.connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			options.seconds = strtol(optarg, NULL, 10);
			break;
		case 'p':
			options.pause_us = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			options.pad = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			options.first = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			preparing = true;
			break;
		default:
			return usage();
		}
	}
	server = options.conninfo ? &postgresql : &mariadb;
	if (!options.defaults == !options.conninfo || optind < argc ||
	    (!preparing && !options.log) || options.connections > 1000)
		return usage();

	mysql_library_init(0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	c = preparing ? prepare() : run_all();
	mysql_library_end();
	return c;
}
