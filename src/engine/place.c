#include "engine/place.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FLEETING_NICE 10 /* a tenth of what the live server gets of a processor that both want */
#define LOG_BYTES_MAX \
	(16 * 1024 * 1024) /* beyond, server.log becomes server.log.1 at the next start */
#define LOG_TAIL_BYTES (64 * 1024)

/* --- Files ------------------------------------------------------------------------------------ */

int place_path(const struct engine_place *place, const char *below, char *path, size_t size,
	       struct problem *why)
{
	int n = snprintf(path, size, "%s/%s", place->run_dir, below);

	if (n < 0 || (size_t)n >= size)
		return problem(why, -ENAMETOOLONG, "the path '%s/%s' is too long", place->run_dir,
			       below);
	return 0;
}

bool place_has(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
	       access(path, F_OK) == 0;
}

pid_t place_find_user(const char *dir)
{
	char real[PATH_MAX], path[64 + NAME_MAX], cwd[PATH_MAX];
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	if (!realpath(dir, real))
		real[0] = 0;
	while (processes && !found && (entry = readdir(processes)) != NULL) {
		ssize_t n;

		snprintf(path, sizeof path, "/proc/%s/cwd", entry->d_name);
		n = readlink(path, cwd, sizeof cwd - 1);
		cwd[MAX(n, 0)] = 0;
		if (n > 0 && strcmp(cwd, real) == 0)
			found = atoi(entry->d_name);
	}
	if (processes)
		closedir(processes);
	return found;
}

/* Make it the server's own.  Only root gives away. */
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

	r = place_path(place, below, path, sizeof path, why);
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

	r = place_path(place, "server.log", path, sizeof path, why);
	if (r == 0)
		r = place_path(place, "server.log.1", old, sizeof old, why);
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

int place_prepare(const struct engine_place *place, const char *socket, struct problem *why)
{
	struct sockaddr_un address;
	char path[PATH_MAX];
	int r;

	r = place_path(place, socket, path, sizeof path, why);
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

/* It belongs to whom run_dir belongs to.  The server reads what is no secret, and must not write.
 */
static int open_new(const struct engine_place *place, const char *path, bool secret)
{
	mode_t mode = secret ? 0600 : 0644;
	struct stat owner;

	unlink(path);
	CLEANUP(fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0 || stat(place->run_dir, &owner) < 0 || fchmod(fd, mode) < 0 ||
	    (geteuid() == 0 && fchown(fd, owner.st_uid, owner.st_gid) < 0))
		return -errno;
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int place_write(const struct engine_place *place, const char *name, bool secret,
		void (*print)(FILE *file, const struct engine_place *place, const void *arg),
		const void *arg, struct problem *why)
{
	char path[PATH_MAX], temporary[PATH_MAX + 8];
	FILE *file;
	int fd, r;

	r = place_path(place, name, path, sizeof path, why);
	if (r < 0)
		return r;
	snprintf(temporary, sizeof temporary, "%s.new", path);
	fd = open_new(place, temporary, secret);
	if (fd < 0)
		return problem_errno(why, fd, "cannot write '%s'", temporary);
	file = xcheck(fdopen(fd, "w"));
	print(file, place, arg);
	r = fflush(file) != 0 || fsync(fd) < 0 ? -errno : 0;
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	return r < 0 ? problem_errno(why, r, "cannot write '%s'", path) : 0;
}

int place_make_secret(char secret[PLACE_SECRET_MAX], struct problem *why)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random[24];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		return problem_errno(why, -errno, "cannot get random bytes for a password");
	for (size_t i = 0; i < sizeof random; i++)
		secret[i] = letters[random[i] % 64];
	secret[sizeof random] = 0;
	explicit_bzero(random, sizeof random);
	return 0;
}

int place_open_text(const char *text, struct problem *why)
{
	int fd = memfd_create("unspill-setup", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    lseek(fd, 0, SEEK_SET) < 0) {
		int r = -errno;

		fd_cleanup(&fd);
		return problem_errno(why, r, "cannot make a file in memory");
	}
	return fd;
}

/* --- Words of others -------------------------------------------------------------------------- */

static int check_path(const char *path, struct problem *why)
{
	if (path[strcspn(path, "\"'\\\n")])
		return problem(why, -EINVAL,
			       "the path '%s' has a quote, a backslash or a line break in it: "
			       "the server's option file cannot hold it",
			       path);
	return 0;
}

int place_check_paths(const struct engine_place *place, struct problem *why)
{
	int r = check_path(place->run_dir, why);

	return r < 0 ? r : check_path(place->data_dir, why);
}

int place_check_options(const struct engine_place *place, struct problem *why)
{
	for (char *const *option = place->options; option && *option; option++)
		if (!**option || strchr(*option, '\n') || strchr("[!#", **option))
			return problem(why, -EINVAL, "'%s' is not an option for the server",
				       *option);
	return 0;
}

char **place_argv(const char *const *words)
{
	size_t count = 0, bytes;
	char **argv, *at;

	while (words[count])
		count++;
	bytes = (count + 1) * sizeof *argv;
	for (size_t i = 0; i < count; i++)
		bytes += strlen(words[i]) + 1;
	argv = xcalloc(1, bytes);
	at = (char *)(argv + count + 1);
	for (size_t i = 0; i < count; i++) {
		argv[i] = at;
		at = stpcpy(at, words[i]) + 1;
	}
	return argv;
}

/* --- The process ------------------------------------------------------------------------------ */

int place_launch(const struct engine_place *place, const struct process_options *options,
		 struct engine_server *ret, struct problem *why)
{
	struct process_options with = *options;
	struct process process;
	char log[PATH_MAX];
	int r;

	r = place_path(place, "server.log", log, sizeof log, why);
	if (r < 0)
		return r;
	/* What the server says before it opens its log, and what its libraries say, belongs there
	 * too. */
	CLEANUP(fd) int fd = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return problem_errno(why, -errno, "cannot open '%s'", log);
	with.out = with.err = fd;
	with.become = geteuid() == 0;
	with.uid = place->uid;
	with.gid = place->gid;
	with.die_with_us = with.apart = true;
	with.nice = place->fleeting ? FLEETING_NICE : 0;
	r = process_spawn(&with, &process, why);
	if (r < 0)
		return r;
	*ret = (struct engine_server){process.pid, process.pidfd, process.family, process.quit};
	return 0;
}

int place_signal(struct engine_server *server, int signal)
{
	if (server->pid <= 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, server->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int place_await_setup(const struct engine_place *place, struct engine_server *server,
		      void (*explain)(const struct engine_place *, char *, size_t),
		      struct problem *why)
{
	char words[768];
	int status, r;

	r = engine_wait(server, PLACE_SETUP_TIMEOUT_MS, &status);
	if (r < 0) {
		engine_kill(server);
		return problem(
			why, r,
			"the server did not finish its first start within %d s: see %s/server.log",
			PLACE_SETUP_TIMEOUT_MS / 1000, place->run_dir);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	explain(place, words, sizeof words);
	return problem(why, -ECHILD, "the server does not start on this data directory: %s", words);
}

/* --- Its log ---------------------------------------------------------------------------------- */

char *place_log_tail(const struct engine_place *place, const char *begins)
{
	char *text = xcalloc(1, LOG_TAIL_BYTES + 1);
	char *at, *last = NULL, path[PATH_MAX];
	struct stat st;

	if (place_path(place, "server.log", path, sizeof path, NULL) < 0)
		return text;
	CLEANUP(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return text;
	if (pread(fd, text, LOG_TAIL_BYTES, MAX(st.st_size - LOG_TAIL_BYTES, 0)) < 0)
		return text;
	for (at = text; (at = strstr(at, begins)) != NULL; at++)
		last = at;
	while (last && last > text && last[-1] != '\n')
		last--;
	if (last)
		memmove(text, last, strlen(last) + 1);
	return text;
}

/* All that is there, in a last resort. */
static const char *tell_any(const char *line)
{
	return line;
}

static size_t tell_lines(const char *log, const char *(*tell)(const char *line), char *text,
			 size_t size)
{
	CLEANUP(free) char *copy = xstrdup(log);
	char *save = NULL;
	size_t used = 0;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *words = tell(line);

		if (!words || strstr(text, words))
			continue;
		used += snprintf(text + used, size - used, "%s%s", used ? "; " : "", words);
		if (used >= size)
			return size - 1;
	}
	return used;
}

static const char *last_lines(const char *log, int count)
{
	const char *at = log + strlen(log);

	while (at > log && count > 0)
		if (*--at == '\n' && at[1])
			count--;
	return *at == '\n' ? at + 1 : at;
}

void place_tell(const struct engine_place *place, const char *log,
		const char *(*tell)(const char *line), char *text, size_t size)
{
	text[0] = 0;
	if (tell_lines(log, tell, text, size) == 0)
		tell_lines(last_lines(log, 3), tell_any, text, size);
	if (!text[0])
		snprintf(text, size, "its log '%s/server.log' says nothing", place->run_dir);
}
