#include "keeper/viewer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/scratch.h"
#include "keeper/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/* What one that was killed gets to be gone. */
#define DYING_US INT64_C(10000000)

struct viewer {
	const struct cluster *cluster;
	struct control *holder; /* while it lasts, the holder removes the clone should we die */
	char path[PATH_MAX];    /* DIR/scratch/N */
	char list[PATH_MAX + 32];
	struct disk *disk;
	struct volume *volume;
	struct views *views;
	struct server *server;
	struct view_shown shown;
	char *directory;
	int signal_fd, wake_fd;
	int farewell_fd; /* the connection that ended it, or -1; written once, before wake_fd */
};

/* --- What it answers -------------------------------------------------------------------------- */

/* Whoever comes second finds no view, or nobody. */
static void leave(struct viewer *viewer, struct connection *connection)
{
	static const uint64_t one = 1;

	viewer->farewell_fd = connection_detach(connection);
	if (write(viewer->wake_fd, &one, sizeof one) != sizeof one)
		log_errno(-errno, "cannot wake the main thread");
}

static void handle(struct connection *connection, const struct request *request, void *arg)
{
	struct viewer *viewer = arg;

	if (request->what == REQUEST_VIEWS)
		looking_list(viewer->views, connection);
	else if (request->what == REQUEST_UNVIEW) {
		if (looking_end(viewer->views, connection, request))
			leave(viewer, connection);
	} else if (request->what == REQUEST_SHUTDOWN)
		leave(viewer, connection);
	else
		connection_error(connection, "bad-request",
				 "this process shows a moment, and answers nothing else");
}

/* --- Opening ---------------------------------------------------------------------------------- */

static int open_clone(struct viewer *viewer, const json_t *at, struct moment *ret,
		      struct problem *why)
{
	const struct volume_options options = {.fleeting = true};
	char path[PATH_MAX + 8];
	int r;

	cluster_socket(viewer->cluster, path);
	r = control_connect(path, &viewer->holder, why);
	if (r == 0)
		r = scratch_ask(viewer->holder, at, viewer->path, ret, why);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "%s/volume", viewer->path);
	r = disk_local_open(path, &viewer->disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	return volume_open(viewer->disk, &options, &viewer->volume, why);
}

static int show(struct viewer *viewer, const struct moment *at, struct problem *why)
{
	const struct views_options options = {
		.volume = viewer->volume, .name = viewer->cluster->name, .list_path = viewer->list};

	snprintf(viewer->list, sizeof viewer->list, "%s/" VIEWS_FILE, viewer->path);
	viewer->views = views_new(&options);
	return views_open(viewer->views, at, viewer->directory, &viewer->shown, why);
}

static void socket_of(const char *path, char socket[PATH_MAX + 8])
{
	/* No longer than run/control.sock, for which there is room. */
	snprintf(socket, PATH_MAX + 8, "%s/sock", path);
}

static int answer(struct viewer *viewer, struct problem *why)
{
	char path[PATH_MAX + 8];
	const struct server_options options = {
		.path = path, .owner = viewer->cluster->owner, .handle = handle, .arg = viewer};

	socket_of(viewer->path, path);
	return server_open(&options, &viewer->server, why);
}

int viewer_open(const struct cluster *cluster, const json_t *at, const char *directory,
		struct viewer **ret, struct problem *why)
{
	CLEANUP(viewer) struct viewer *viewer = xcalloc(1, sizeof *viewer);
	struct moment moment;
	int r;

	viewer->cluster = cluster;
	viewer->directory = xstrdup(directory);
	viewer->farewell_fd = -1;
	viewer->signal_fd = keeper_open_signals();
	viewer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	viewer_sweep(cluster, NULL);
	r = open_clone(viewer, at, &moment, why);
	if (r == 0)
		r = show(viewer, &moment, why);
	if (r == 0)
		r = answer(viewer, why);
	if (r < 0)
		return r;
	*ret = take(viewer);
	return 0;
}

json_t *viewer_shown(struct viewer *viewer)
{
	return looking_tell(&viewer->shown);
}

void viewer_serve(struct viewer *viewer)
{
	struct pollfd fds[] = {{.fd = viewer->signal_fd, .events = POLLIN},
			       {.fd = viewer->wake_fd, .events = POLLIN}};

	while (!keeper_took_end_signal(viewer->signal_fd) && !fds[1].revents)
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
}

void viewer_close(struct viewer *viewer)
{
	if (!viewer)
		return;
	server_close(viewer->server);
	views_free(viewer->views);
	volume_close(viewer->volume);
	disk_close(viewer->disk);
	if (viewer->path[0])
		scratch_remove(viewer->path, mount_clear_stale);
	control_close(viewer->holder);
	if (viewer->farewell_fd >= 0)
		server_farewell(viewer->farewell_fd);
	fd_cleanup(&viewer->signal_fd);
	fd_cleanup(&viewer->wake_fd);
	free(viewer->directory);
	free(viewer);
}

/* --- In the background ------------------------------------------------------------------------ */

/* Signals are blocked here, and not in what is run. */
static void become(const char *const *argv, const sigset_t *before, int status_fd)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setsid();
	if (null < 0 || dup2(null, 0) < 0)
		_exit(KEEPER_EXIT_FAILED);
	guardian_give_ready(status_fd);
	sigprocmask(SIG_SETMASK, before, NULL);
	execv("/proc/self/exe", (char *const *)argv);
	_exit(KEEPER_EXIT_FAILED);
}

static int exit_code(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : KEEPER_EXIT_FAILED;
}

/* Until it is there, or has ended, or we are asked to end: then it is, too. */
static int await(pid_t pid, int status_fd, int signal_fd)
{
	struct pollfd fds[] = {{.fd = status_fd, .events = POLLIN},
			       {.fd = signal_fd, .events = POLLIN}};

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno == EINTR)
		;
	if (keeper_took_end_signal(signal_fd)) {
		kill(pid, SIGTERM);
		exit_code(pid);
		return -ECANCELED;
	}
	return guardian_is_ready(status_fd, NULL, 0) ? 0 : exit_code(pid);
}

int viewer_spawn(const char *const *argv, struct problem *why)
{
	sigset_t before;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return problem_errno(why, -errno, "cannot make a pipe");
	sigprocmask(SIG_SETMASK, NULL, &before);
	CLEANUP(fd) int signal_fd = keeper_open_signals();
	CLEANUP(fd) int status_fd = fds[0];
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(argv, &before, fds[1]);
	close(fds[1]);
	return pid < 0 ? problem_errno(why, -errno, "cannot start another process")
		       : await(pid, status_fd, signal_fd);
}

void viewer_settle(const struct cluster *cluster)
{
	struct problem why;

	guardian_take_ready();
	if (!guardian_is_awaited())
		return;
	CLEANUP(fd) int log_fd = guardian_open_log(cluster, "viewer.log", &why);
	/* Whoever reads what the command prints is to see its end. */
	fflush(NULL);
	if (log_fd < 0 || chdir("/") < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		log_warning("cannot go to the background");
	guardian_tell_ready(NULL);
}

/* --- Those there are -------------------------------------------------------------------------- */

struct visit {
	const struct cluster *cluster;
	const char *directory;
	int (*fn)(const char *socket, void *arg);
	void *arg;
	bool found;
};

static bool lives(const char *socket)
{
	CLEANUP(control) struct control *control = NULL;

	return control_connect(socket, &control, NULL) == 0;
}

/* One that was killed may have its socket for a while, and never answer. */
static bool answers(const char *socket)
{
	CLEANUP(control) struct control *control = NULL;
	json_t *request = json_pack("{s:s}", "do", "views"), *result = NULL;
	struct control_error code;
	struct problem why;
	int r = control_connect(socket, &control, &why);

	if (r == 0)
		r = control_call(control, request, NULL, NULL, &result, &code, &why);
	json_decref(request);
	json_decref(result);
	return r == 0;
}

static bool is_viewer(const char *path, char socket[PATH_MAX + 8])
{
	char list[PATH_MAX + 32];

	socket_of(path, socket);
	snprintf(list, sizeof list, "%s/" VIEWS_FILE, path);
	return access(list, F_OK) == 0;
}

static int visit_one(const char *path, void *arg)
{
	const struct visit *visit = arg;
	char socket[PATH_MAX + 8];

	return is_viewer(path, socket) && lives(socket) ? visit->fn(socket, visit->arg) : 0;
}

int viewer_for_each(const struct cluster *cluster, int (*fn)(const char *socket, void *arg),
		    void *arg)
{
	struct visit visit = {.fn = fn, .arg = arg};

	return scratch_for_each(cluster->directory, visit_one, &visit);
}

/* `path` is DIR/scratch/N/mnt, with the clone's lock held. */
static int clear(const char *path, struct problem *why)
{
	char list[PATH_MAX + 32];

	snprintf(list, sizeof list, "%.*s" VIEWS_FILE, (int)(strlen(path) - strlen("mnt")), path);
	views_sweep(list);
	return mount_clear_stale(path, why);
}

static int sweep_one(const char *path, void *arg)
{
	int64_t until_us = clock_monotonic_us() + DYING_US;
	char list[PATH_MAX + 32], socket[PATH_MAX + 8];
	struct visit *visit = arg;
	bool asked_for;
	int r = -EBUSY;

	if (!is_viewer(path, socket))
		return 0;
	snprintf(list, sizeof list, "%s/" VIEWS_FILE, path);
	asked_for = visit->directory && views_remembers(list, visit->directory);
	/* One that is coming up answers in a moment; one that was killed may take its time. */
	while (!answers(socket) && (r = scratch_remove(path, clear)) == -EBUSY &&
	       clock_monotonic_us() < until_us)
		poll(NULL, 0, 10); /* nothing tells of the end of a process that is no child */
	visit->found |= asked_for && r == 0;
	return 0;
}

bool viewer_sweep(const struct cluster *cluster, const char *directory)
{
	struct visit visit = {.directory = directory};

	scratch_for_each(cluster->directory, sweep_one, &visit);
	return visit.found;
}

static int end_one(const char *socket, void *arg)
{
	CLEANUP(control) struct control *control = NULL;
	json_t *request = json_pack("{s:s}", "do", "shutdown"), *result = NULL;
	struct control_error code;
	struct problem why;

	if (control_connect(socket, &control, &why) == 0 &&
	    control_call(control, request, NULL, NULL, &result, &code, &why) < 0)
		log_warning("%s", why.text);
	json_decref(request);
	json_decref(result);
	return 0;
}

void viewer_end_all(const struct cluster *cluster)
{
	viewer_for_each(cluster, end_one, NULL);
	viewer_sweep(cluster, NULL);
}
