#include "engine/redis.h"

#include "base/alloc.h"
#include "engine/place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define PACKAGE_HINT "install Redis (Debian: apt-get install redis-server)"
#define MAJOR_MIN 7 /* the first whose append-only file is a folder with a manifest */
#define ASK_TIMEOUT_S 5
#define SECRET "auth"

static int check(char version[128], struct problem *why)
{
	const char *const argv[] = {"redis-server", "--version", NULL};
	struct process_options options = {.argv = argv, .in = -1};
	char path[PATH_MAX], text[1024], number[64];
	int r;

	if (!process_find("redis-server", path, sizeof path))
		return problem(why, -ENOENT, "there is no 'redis-server' in $PATH: " PACKAGE_HINT);
	options.program = path;
	r = process_run(&options, 30000, text, sizeof text, why);
	if (r < 0)
		return r;
	if (r != 0 || sscanf(text, "Redis server v=%63s", number) != 1)
		return problem(why, -ENOEXEC,
			       "'%s --version' does not tell a version: " PACKAGE_HINT, path);
	if (atoi(number) < MAJOR_MIN)
		return problem(why, -ENOEXEC,
			       "Redis %s is too old: %d is the oldest that works here", number,
			       MAJOR_MIN);
	snprintf(version, 128, "Redis %s", number);
	return 0;
}

/* --- The password ----------------------------------------------------------------------------- */

static void print_secret(FILE *file, const struct engine_place *place, const void *secret)
{
	(void)place;
	fprintf(file, "%s\n", (const char *)secret);
}

static int make_password(const struct engine_place *place, struct problem *why)
{
	char secret[PLACE_SECRET_MAX];
	int r;

	r = place_prepare(place, engine_redis.socket, why);
	if (r == 0)
		r = place_make_secret(secret, why);
	if (r == 0)
		r = place_write(place, SECRET, true, print_secret, secret, why);
	explicit_bzero(secret, sizeof secret);
	return r;
}

static int read_password(const struct engine_place *place, char secret[PLACE_SECRET_MAX],
			 struct problem *why)
{
	char path[PATH_MAX];
	ssize_t n;
	int r;

	r = place_path(place, SECRET, path, sizeof path, why);
	if (r < 0)
		return r;
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, secret, PLACE_SECRET_MAX - 1);
	if (n <= 0)
		return problem_errno(why, n < 0 ? -errno : -ENODATA, "cannot read '%s'", path);
	secret[n] = 0;
	secret[strcspn(secret, "\n")] = 0;
	return 0;
}

/* The password is none of the data: it gets one of its own. */
static int inherit(const struct engine_place *place, const char *run_dir, struct problem *why)
{
	return make_password(place, why);
}

/* --- A directory ------------------------------------------------------------------------------ */

/* The server makes its own files in an empty directory. */
static int create(const struct engine_place *place, struct problem *why)
{
	return make_password(place, why);
}

static int inspect(const char *dir, struct problem *why)
{
	pid_t pid;

	if (access(dir, R_OK | X_OK) < 0)
		return problem_errno(why, -errno, "cannot read '%s'", dir);
	if (!place_has(dir, "appendonlydir/appendonly.aof.manifest"))
		return problem(why, -ENOENT,
			       "'%s' is not a directory of Redis with an append-only file: there "
			       "is no 'appendonlydir/appendonly.aof.manifest' in it; 'CONFIG SET "
			       "appendonly yes' makes one",
			       dir);
	pid = place_find_user(dir);
	return pid ? problem(why, -EBUSY,
			     "'%s' is in use by a running server (process %d): shut that down "
			     "first",
			     dir, (int)pid)
		   : 0;
}

static int adopt(const struct engine_place *place, struct problem *why)
{
	int r = inspect(place->data_dir, why);

	return r < 0 ? r : make_password(place, why);
}

/* --- Running ---------------------------------------------------------------------------------- */

/* "name=value", or as Redis writes it. */
static void add_option(FILE *file, const char *option)
{
	int name = (int)strcspn(option, "= ");

	fprintf(file, "%.*s %s\n", name, option, option + name + (option[name] != 0));
}

/* What may be chosen, then what must be so: the last one wins. */
static int print_config(const struct engine_place *place, char **ret, struct problem *why)
{
	char secret[PLACE_SECRET_MAX];
	size_t size;
	FILE *file;
	int r;

	r = place_check_paths(place, why);
	if (r == 0)
		r = place_check_options(place, why);
	if (r == 0)
		r = read_password(place, secret, why);
	if (r < 0)
		return r;
	file = xcheck(open_memstream(ret, &size));
	for (char *const *option = place->options; option && *option; option++)
		add_option(file, *option);
	fprintf(file, "dir \"%s\"\n", place->data_dir);
	fprintf(file, "unixsocket \"%s/%s\"\nunixsocketperm 777\n", place->run_dir,
		engine_redis.socket);
	fprintf(file, "bind %s\nport %d\n", place->bind, place->port);
	fprintf(file, "requirepass %s\n", secret);
	fputs("appendonly yes\n"
	      "appendfsync always\n"
	      "appenddirname appendonlydir\nappendfilename appendonly.aof\n"
	      "aof-load-truncated yes\n" /* the end of a moment may be half a command */
	      "save \"\"\n"
	      "daemonize no\n"
	      "logfile \"\"\n",
	      file);
	explicit_bzero(secret, sizeof secret);
	fclose(file);
	return 0;
}

/* The configuration comes by the standard input: the password is in no file that the server's user
 * may read. */
static int start(const struct engine_place *place, struct engine_server *ret, struct problem *why)
{
	static const char *const argv[] = {"redis-server", "-", NULL};
	struct process_options options = {.argv = argv, .family = true};
	CLEANUP(free) char *config = NULL;
	char program[PATH_MAX], sock[PATH_MAX];
	int r;

	if (!process_find("redis-server", program, sizeof program))
		return problem(why, -ENOENT, "there is no 'redis-server' in $PATH: " PACKAGE_HINT);
	r = place_prepare(place, engine_redis.socket, why);
	if (r == 0)
		r = print_config(place, &config, why);
	if (r == 0)
		r = place_path(place, engine_redis.socket, sock, sizeof sock, why);
	if (r < 0)
		return r;
	unlink(sock);
	CLEANUP(fd) int fd = place_open_text(config, why);
	explicit_bzero(config, strlen(config));
	if (fd < 0)
		return fd;
	options.program = program;
	options.in = fd;
	return place_launch(place, &options, ret, why);
}

static int stop(const struct engine_place *place, struct engine_server *server)
{
	(void)place;
	return place_signal(server, SIGTERM);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static int connect_to(const struct engine_place *place, struct problem *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
	char path[PATH_MAX];
	int fd, r;

	r = place_path(place, engine_redis.socket, path, sizeof path, why);
	if (r < 0)
		return r;
	if (strlen(path) >= sizeof address.sun_path)
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return problem(why, -EAGAIN, "the server has not opened its socket yet");
}

/* What an error means: the server is loading its data, or has another password. */
static int error_of(const char *line, struct problem *why)
{
	bool locked_out = strncmp(line, "-WRONGPASS", 10) == 0 || strncmp(line, "-NOPERM", 7) == 0;

	return problem(why, locked_out ? -EACCES : -EAGAIN, "%.*s", (int)strcspn(line + 1, "\r\n"),
		       line + 1);
}

/*
 * "AUTH" and one more command, in the form that people type: one line each.  The answer to the
 * second one, without its first character and beyond the first line: of a text, its length.
 */
static int ask(const struct engine_place *place, const char *command, char *answer, size_t size,
	       struct problem *why)
{
	char secret[PLACE_SECRET_MAX], text[128];
	FILE *stream;
	int fd, r;

	r = read_password(place, secret, why);
	if (r < 0)
		return r;
	fd = connect_to(place, why);
	if (fd < 0)
		return fd;
	r = snprintf(text, sizeof text, "AUTH %s\r\n%s\r\n", secret, command);
	explicit_bzero(secret, sizeof secret);
	if (send(fd, text, r, MSG_NOSIGNAL) != r) {
		close(fd);
		return problem_errno(why, -EAGAIN, "cannot ask the server");
	}
	explicit_bzero(text, sizeof text);
	stream = xcheck(fdopen(fd, "r"));
	r = 0;
	for (int line = 0; line < 2 && r == 0; line++)
		if (!fgets(answer, (int)size, stream))
			r = problem(why, -EAGAIN, "the server gave no answer");
		else if (answer[0] == '-')
			r = error_of(answer, why);
	if (r == 0 && answer[0] == '$') {
		size_t wanted = strtoul(answer + 1, NULL, 10);

		answer[fread(answer, 1, MIN(wanted, size - 1), stream)] = 0;
	}
	fclose(stream);
	return r;
}

static int ping(const struct engine_place *place, struct problem *why)
{
	char answer[256];

	return ask(place, "PING", answer, sizeof answer, why);
}

static int connections(const struct engine_place *place)
{
	char answer[8192];
	const char *at;
	int r;

	r = ask(place, "INFO clients", answer, sizeof answer, NULL);
	if (r < 0)
		return r;
	at = strstr(answer, "connected_clients:");
	return at ? MAX(atoi(at + strlen("connected_clients:")) - 1, 0) : -EBADMSG;
}

/* The password by its environment: a command line is everybody's to read.  One word is a line, as
 * it would be typed. */
static const char client[] = "REDISCLI_AUTH=$(cat \"$1\") || exit; export REDISCLI_AUTH\n"
			     "socket=$2; shift 2\n"
			     "[ $# = 1 ] || exec redis-cli -s \"$socket\" \"$@\"\n"
			     "printf '%s\\n' \"$1\" | redis-cli -e -s \"$socket\"\n";

static char **shell(const struct engine_place *place)
{
	char secret[PATH_MAX + 16], sock[PATH_MAX + 16];
	const char *const words[] = {"sh", "-c", client, "redis-cli", secret, sock, NULL};

	snprintf(secret, sizeof secret, "%s/" SECRET, place->run_dir);
	snprintf(sock, sizeof sock, "%s/%s", place->run_dir, engine_redis.socket);
	return place_argv(words);
}

/* --- Explaining ------------------------------------------------------------------------------- */

/* "4711:M 22 Nov 2026 11:30:13.123 # Fatal error ...", and what it says before it has a log. */
static const char *tell(const char *line)
{
	static const char *const harmless[] = {"oO0OoO0OoO0Oo", "Configuration loaded", "WARNING",
					       "Redis version", "User requested",       "bye bye"};
	const char *tag = strstr(line, " # ");

	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (strstr(line, harmless[i]))
			return NULL;
	if (strncmp(line, "*** FATAL", 9) == 0 || line[0] == '>' || strncmp(line, "Bad ", 4) == 0)
		return line;
	return tag ? tag + 3 : NULL;
}

static void explain(const struct engine_place *place, char *text, size_t size)
{
	CLEANUP(free) char *log = place_log_tail(place, "Redis is starting");

	place_tell(place, log, tell, text, size);
}

const struct engine engine_redis = {
	.name = "redis",
	.title = "Redis",
	.user = "redis",
	.default_port = 6379,
	.socket = "server/sock",
	.secret = SECRET,
	.check = check,
	.create = create,
	.inspect = inspect,
	.adopt = adopt,
	.start = start,
	.ping = ping,
	.connections = connections,
	.stop = stop,
	.inherit = inherit,
	.shell = shell,
	.explain = explain,
};
