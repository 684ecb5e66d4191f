/*
 * The keeper's life.  Opening goes volume, mount, socket, server; closing the other way round.
 * Every step that fails ends the process with the reason: what is open is closed by falling
 * through.
 */
#include "keeper/keeper.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pressure.h"
#include "control/scratch.h"
#include "engine/process.h"
#include "keeper/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

/* How often the tape's health is looked at: when it broke, every write fails already. */
#define HEALTH_INTERVAL_MS 500
/* A keeper without a server, and without views, ends when nobody has been connected for so long. */
#define IDLE_US INT64_C(60000000)
/* How often clones are looked at. */
#define CLONES_INTERVAL_MS 1000
/* What a keeper that was killed gets to be gone. */
#define DYING_US INT64_C(10000000)
/* What a server that has to go with a closing keeper gets. */
#define CLOSE_TIMEOUT_MS 60000

/* --- Opening ---------------------------------------------------------------------------------- */

static int open_cluster(struct keeper *keeper, const char *directory, struct problem *why)
{
	struct cluster *cluster;
	const char *names;
	int r;

	r = cluster_load(directory, &keeper->cluster, why);
	if (r < 0)
		return r;
	cluster = keeper->cluster;
	if (geteuid() != 0 && geteuid() != cluster->owner)
		return problem(why, -EPERM,
			       "'%s' belongs to user %u: only that user and root may keep it",
			       cluster->directory, (unsigned)cluster->owner);
	keeper->engine = engine_find(cluster->engine, &names);
	if (!keeper->engine)
		return problem(why, -ENOENT, "there is no engine '%s'; there is %s",
			       cluster->engine, names);
	if (!cluster_path(cluster, "mnt", keeper->mount_dir) ||
	    !cluster_path(cluster, "mnt/data", keeper->data_dir) ||
	    !cluster_path(cluster, "run", keeper->run_dir))
		return problem(why, -ENAMETOOLONG, "the path '%s' is too long", cluster->directory);
	keeper->place = (struct engine_place){.data_dir = keeper->data_dir,
					      .run_dir = keeper->run_dir,
					      .bind = cluster->bind,
					      .port = cluster->port,
					      .uid = cluster->server_uid,
					      .gid = cluster->server_gid,
					      .options = cluster->server_options};
	return keeper->options.no_server ? 0 : keeper->engine->check(keeper->version, why);
}

static int open_locked(struct keeper *keeper, const char *path, struct problem *why)
{
	struct volume_options options = {.background = true,
					 .repack = keeper->cluster->repack,
					 .busy = pressure_is_high,
					 .thin = keeper->cluster->thin,
					 .detach_bytes_per_second = keeper->cluster->detach_rate};
	int r;

	r = disk_local_open(path, &keeper->disk);
	if (r < 0)
		return problem_errno(why, r, "cannot open '%s'", path);
	/* Before it could begin to fold. */
	options.hold = clones_begin(&keeper->clones, keeper->cluster->directory);
	r = volume_open(keeper->disk, &options, &keeper->volume, why);
	if (r < 0)
		disk_close(take(keeper->disk));
	return r;
}

static int read_keeper_pid(struct keeper *keeper)
{
	char path[PATH_MAX];
	FILE *file;
	int pid = 0;

	cluster_path(keeper->cluster, "run/keeper.pid", path);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	return pid;
}

/*
 * Another keeper has the volume; but one that was killed may be held up by its own mount (see
 * guardian.c): cut that off until it lets go.  A living one writes its pid before it mounts.
 */
static int open_after_dying(struct keeper *keeper, const char *path, struct problem *why)
{
	int64_t until_us = clock_monotonic_us() + DYING_US;
	int r = -EBUSY;

	while (r == -EBUSY && process_is_dying(read_keeper_pid(keeper)) &&
	       clock_monotonic_us() < until_us) {
		mount_abort(keeper->mount_dir);
		poll(NULL, 0, 20); /* nothing tells of the end of a process that is no child */
		r = open_locked(keeper, path, why);
	}
	return r;
}

static int open_volume(struct keeper *keeper, struct problem *why)
{
	struct volume_stats stats;
	char path[PATH_MAX];
	int r;

	cluster_path(keeper->cluster, "volume", path);
	r = open_locked(keeper, path, why);
	if (r == -EBUSY)
		r = open_after_dying(keeper, path, why);
	if (r < 0)
		return r;
	volume_get_stats(keeper->volume, &stats);
	log_info("volume '%s' is open: %llu records replayed, now lsn:%llu", path,
		 (unsigned long long)stats.replayed_records, (unsigned long long)stats.now.lsn);
	return 0;
}

static int open_mount(struct keeper *keeper, struct problem *why)
{
	char source[CLUSTER_NAME_MAX + 16];
	struct mount_options options = {.source = source,
					.allow_other = geteuid() == 0,
					.transport = keeper->cluster->transport,
					.direct = keeper->engine->direct,
					.inward = keeper->engine->inward};
	int r;

	snprintf(source, sizeof source, "unspill:%s", keeper->cluster->name);
	r = mount_clear_stale(keeper->mount_dir, why);
	if (r == 0)
		r = mount_open(keeper->volume, keeper->mount_dir, &options, &keeper->mount, why);
	return r;
}

/* Those of an earlier keeper that died are gone for good. */
static void open_views(struct keeper *keeper)
{
	struct views_options options = {.volume = keeper->volume,
					.name = keeper->cluster->name,
					.list_path = keeper->views_file,
					.head = keeper->mount};

	cluster_path(keeper->cluster, VIEWS_FILE, keeper->views_file);
	views_sweep(keeper->views_file);
	keeper->views = views_new(&options);
}

static int open_server(struct keeper *keeper, struct problem *why)
{
	char path[PATH_MAX];
	struct server_options options = {.path = path,
					 .owner = keeper->cluster->owner,
					 .handle = keeper_handle,
					 .arg = keeper};

	cluster_socket(keeper->cluster, path);
	return server_open(&options, &keeper->server, why);
}

static int write_pid(struct keeper *keeper, struct problem *why)
{
	char path[PATH_MAX];
	int r;

	cluster_path(keeper->cluster, "run/keeper.pid", path);
	r = guardian_write_pid(path);
	return r < 0 ? problem_errno(why, r, "cannot write '%s'", path) : 0;
}

/* What an earlier keeper left of clones that it made for somebody. */
static void sweep(struct keeper *keeper)
{
	struct holding holding;

	keeper_holding(keeper, &holding);
	scratch_sweep(&holding);
}

static int open_all(struct keeper *keeper, const char *directory, struct problem *why)
{
	struct supervisor_options options = {.place = &keeper->place,
					     .pid_file = keeper->server_pid_file};
	int r;

	r = open_cluster(keeper, directory, why);
	if (r == 0)
		r = open_volume(keeper, why);
	/* With the volume's lock held, the cluster is ours alone. */
	if (r == 0)
		r = write_pid(keeper, why);
	if (r < 0)
		return r;
	cluster_path(keeper->cluster, "run/server.pid", keeper->server_pid_file);
	supervisor_end_leftover(keeper->server_pid_file);
	sweep(keeper);
	r = open_mount(keeper, why);
	if (r < 0)
		return r;
	open_views(keeper);
	options.engine = keeper->engine;
	supervisor_new(&options, &keeper->supervisor);
	return open_server(keeper, why);
}

/* --- Closing ---------------------------------------------------------------------------------- */

static void close_all(struct keeper *keeper, bool at_once)
{
	char path[PATH_MAX];
	int farewell_fd;

	if (keeper->supervisor)
		supervisor_close_down(keeper->supervisor, at_once ? 0 : CLOSE_TIMEOUT_MS);
	server_close(take(keeper->server));
	supervisor_free(take(keeper->supervisor));
	views_free(take(keeper->views));
	mount_close(take(keeper->mount));
	volume_close(take(keeper->volume));
	if (keeper->cluster && keeper->disk &&
	    cluster_path(keeper->cluster, "run/keeper.pid", path))
		unlink(path);
	disk_close(take(keeper->disk));

	/* Now that everything is closed: whoever asked may start another keeper at once, or remove
	 * it all. */
	pthread_mutex_lock(&keeper->lock);
	farewell_fd = keeper->farewell_fd;
	keeper->farewell_fd = -1;
	pthread_mutex_unlock(&keeper->lock);
	server_farewell(farewell_fd);
	cluster_free(take(keeper->cluster));
}

/* --- The main thread -------------------------------------------------------------------------- */

int keeper_open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* SIGHUP means nothing: there is no terminal to lose. */
bool keeper_took_end_signal(int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == sizeof info)
		if (info.ssi_signo != SIGHUP)
			return true;
	return false;
}

static bool is_asked_to_leave(struct keeper *keeper, bool *ret_at_once)
{
	bool leave;

	pthread_mutex_lock(&keeper->lock);
	leave = keeper->leave;
	*ret_at_once = keeper->leave_at_once;
	pthread_mutex_unlock(&keeper->lock);
	return leave;
}

static bool is_idle(struct keeper *keeper)
{
	int64_t since_us;

	return keeper->options.no_server && views_count(keeper->views) == 0 &&
	       server_connections(keeper->server, &since_us) == 0 &&
	       clock_monotonic_us() - since_us > IDLE_US;
}

/* Nothing that was written since can be trusted to be durable: recovery decides, in a new process.
 */
static bool is_broken(struct keeper *keeper, int64_t *next_us)
{
	struct volume_stats stats;
	int64_t now_us = clock_monotonic_us();

	/* The figures cost something: not at every turn while a server starts. */
	if (now_us < *next_us)
		return false;
	*next_us = now_us + HEALTH_INTERVAL_MS * INT64_C(1000);
	volume_get_stats(keeper->volume, &stats);
	if (!stats.broken)
		return false;
	log_error("THE TAPE IS BROKEN (%s): killing the server; recovery follows at the next "
		  "start%s%s",
		  strerror(stats.broken < 0 ? -stats.broken : stats.broken),
		  stats.last_error[0] ? ": " : "", stats.last_error);
	return true;
}

/* One that has detached, or is gone, holds us no longer. */
static void review_clones(struct keeper *keeper, int64_t *next_us)
{
	int64_t now_us = clock_monotonic_us();

	if (now_us < *next_us)
		return;
	*next_us = now_us + CLONES_INTERVAL_MS * INT64_C(1000);
	clones_review(&keeper->clones, keeper->cluster->directory, keeper->volume);
}

/* Until there is a reason to end; the exit code. */
static int run(struct keeper *keeper, int signal_fd, bool *ret_at_once)
{
	int64_t health_us = 0, clones_us = 0;

	for (;;) {
		struct pollfd fds[4] = {{.fd = signal_fd, .events = POLLIN},
					{.fd = keeper->wake_fd, .events = POLLIN}};
		int timeout_ms;

		supervisor_step(keeper->supervisor);
		supervisor_prepare(keeper->supervisor, fds + 2, &timeout_ms);
		if (timeout_ms < 0 || timeout_ms > HEALTH_INTERVAL_MS)
			timeout_ms = HEALTH_INTERVAL_MS;
		if (poll(fds, 4, timeout_ms) < 0 && errno != EINTR)
			return log_errno(-errno, "cannot wait"), KEEPER_EXIT_FAILED;
		if (keeper_took_end_signal(signal_fd)) {
			log_info("asked to end by a signal");
			return KEEPER_EXIT_DONE;
		}
		if (is_asked_to_leave(keeper, ret_at_once))
			return KEEPER_EXIT_DONE;
		if (is_broken(keeper, &health_us)) {
			*ret_at_once = true;
			return KEEPER_EXIT_FAILED;
		}
		review_clones(keeper, &clones_us);
		if (is_idle(keeper)) {
			log_info("nobody has been connected for a minute");
			return KEEPER_EXIT_DONE;
		}
	}
}

/* The server, which inherits it, and the volume's segments want many descriptors. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void begin_as_desired(struct keeper *keeper)
{
	if (keeper->cluster->desired_running && !keeper->options.no_server)
		supervisor_want_up(keeper->supervisor);
	log_info("keeper of cluster '%s' (process %d) is ready; the server is to be %s",
		 keeper->cluster->name, (int)getpid(),
		 keeper->options.no_server          ? "left alone"
		 : keeper->cluster->desired_running ? "running"
						    : "stopped");
	guardian_tell_ready(NULL);
}

static int keeper_life(const char *directory, const struct keeper_options *options)
{
	struct keeper *keeper = xcalloc(1, sizeof *keeper);
	CLEANUP(fd) int signal_fd = keeper_open_signals();
	struct problem why = {""};
	bool at_once = false;
	int code, r;

	raise_file_limit();
	keeper->options = *options;
	keeper->farewell_fd = -1;
	keeper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&keeper->lock, NULL);
	pthread_mutex_init(&keeper->save_lock, NULL);
	pthread_mutex_init(&keeper->clones.lock, NULL);
	r = open_all(keeper, directory, &why);
	if (r < 0) {
		log_error("%s", why.text);
		guardian_tell_ready(&why);
		code = r == -EBUSY ? KEEPER_EXIT_BUSY : KEEPER_EXIT_FAILED;
	} else {
		begin_as_desired(keeper);
		code = run(keeper, signal_fd, &at_once);
	}
	close_all(keeper, at_once);
	if (r == 0)
		log_info("the keeper ends");
	close(keeper->wake_fd);
	pthread_mutex_destroy(&keeper->clones.lock);
	pthread_mutex_destroy(&keeper->save_lock);
	pthread_mutex_destroy(&keeper->lock);
	free(keeper);
	return code;
}

int keeper_run(const char *directory, const struct keeper_options *options)
{
	guardian_take_ready();
	/* Executed as /proc/self/exe it is "exe" in ps and in the journal. */
	prctl(PR_SET_NAME, "unspill-keep");
	return options->guardian ? guardian_run(directory, keeper_life, options)
				 : keeper_life(directory, options);
}
