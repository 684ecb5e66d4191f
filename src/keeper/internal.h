/*
 * Inside the keeper: what its files share.
 *
 * keeper.c      its life: open, the main thread's loop, close
 * operations.c  what it does when asked
 * install.c     of this, how a database comes into an empty volume
 * answers.c     what it tells when asked
 * looking.c     of this, the views
 * guardian.c    the parent that starts it again; starting one as a daemon
 * viewer.c      a process that shows a moment where there is no keeper
 *
 * Lock order: save_lock, lock, then the volume's own; never the supervisor's or the server's under
 * ours.
 */
#pragma once

#include "control/holding.h"
#include "engine/engine.h"
#include "keeper/keeper.h"
#include "keeper/supervisor.h"
#include "keeper/views.h"
#include "mount/mount.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>

/* The server's data directory, in the volume's root. */
#define DATA_NAME "data"

/* How long a server may take to stop cleanly before it is killed: it is crash-consistent either
 * way. */
#define KEEPER_STOP_TIMEOUT_MS 120000

/* Exit codes; all others, and signals, are worth another attempt of the guardian. */
enum { KEEPER_EXIT_DONE = 0, KEEPER_EXIT_FAILED = 1, KEEPER_EXIT_BUSY = 75 };

/* Work of which there is at most one at a time; also the state that `status` shows meanwhile. */
enum work {
	WORK_NONE,
	WORK_STARTING,
	WORK_STOPPING,
	WORK_BACKTRACKING,
	WORK_CREATING,
	WORK_IMPORTING
};

struct keeper {
	struct keeper_options options;
	const struct engine *engine;
	struct engine_place place;
	char data_dir[PATH_MAX], run_dir[PATH_MAX], mount_dir[PATH_MAX], server_pid_file[PATH_MAX];
	char version[128]; /* of the server's program */
	struct disk *disk;
	struct volume *volume;
	struct mount *mount;
	struct views *views;
	char views_file[PATH_MAX];
	struct supervisor *supervisor;
	struct server *server;
	struct clones clones;
	int wake_fd; /* an eventfd: the main thread is to look at `leave` */

	pthread_mutex_t save_lock; /* whoever writes cluster.json */
	pthread_mutex_t lock;
	/* Guarded by `lock`: */
	struct cluster *cluster; /* desired_running and first change, by whoever has the work; thin
				    and detach_rate, by whoever has save_lock */
	enum work work;
	uint64_t applied, left; /* records, while backtracking */
	bool leave;             /* asked to end ... */
	bool leave_at_once;     /* ... with the server killed, not stopped */
	int farewell_fd;        /* the connection that asked, answered last; -1: none */
	struct problem last_error;
	int64_t last_error_time_us;
};

/* --- guardian.c ------------------------------------------------------------------------------- */

/* Take the pipe to whoever started us from the environment. */
void guardian_take_ready(void);
/* Run `life` in a child, again and again until it is done; the exit code. */
int guardian_run(const char *directory,
		 int (*life)(const char *directory, const struct keeper_options *options),
		 const struct keeper_options *options);
/* Tell whoever started us that the socket answers (why NULL), or the reason why it never will;
 * once. */
void guardian_tell_ready(const struct problem *why);
/* "PID START\n": see docs/control.md. */
int guardian_write_pid(const char *path);

/* Before exec: what is run is to tell us on `fd`, the writing end of a pipe. */
void guardian_give_ready(int fd);
/* Somebody waits to be told. */
bool guardian_is_awaited(void);
/* At the reading end: was it told so?  Else the reason is in `line` (NULL, 0: never mind). */
bool guardian_is_ready(int fd, char *line, size_t size);
/* A log in run/, begun anew when it is long; a descriptor. */
int guardian_open_log(const struct cluster *cluster, const char *name, struct problem *why);

/* --- keeper.c --------------------------------------------------------------------------------- */

/* Have the signals that ask us to end as data on a descriptor, before there are threads. */
int keeper_open_signals(void);
bool keeper_took_end_signal(int fd);

/* --- answers.c -------------------------------------------------------------------------------- */

/* The volume, and where its database begins. */
void keeper_holding(struct keeper *keeper, struct holding *ret);
void keeper_note_error(struct keeper *keeper, const struct problem *why);

/* How it stands to its parent, by its settings. */
void answer_add_clone(struct keeper *keeper, json_t *result);
void answer_status(struct keeper *keeper, struct connection *connection,
		   const struct request *request);
void answer_plan(struct keeper *keeper, struct connection *connection,
		 const struct request *request);

/* --- operations.c ----------------------------------------------------------------------------- */

/* Take the work, or tell who has it.  `over`: a kind of work that may be cut short for this one. */
bool work_begin(struct keeper *keeper, struct connection *connection, enum work work,
		enum work over);
void work_finish(struct keeper *keeper, enum work work);
/* Answer with the error, and remember it when it is not just the client's. */
void work_fail(struct keeper *keeper, struct connection *connection, int r,
	       const struct problem *why);
bool work_has_data(struct keeper *keeper);
int work_start_server(struct keeper *keeper, struct connection *connection, int64_t *ret_us,
		      struct problem *why);
/* Change cluster.json. */
int work_set_desired(struct keeper *keeper, bool running, struct problem *why);
int work_set_first(struct keeper *keeper, struct problem *why);
int work_forget_database(struct keeper *keeper, struct problem *why);

/* The control socket's handler; `arg` is the keeper. */
void keeper_handle(struct connection *connection, const struct request *request, void *arg);

/* --- looking.c -------------------------------------------------------------------------------- */

void looking_view(struct keeper *keeper, struct connection *connection,
		  const struct request *request);
void looking_views(struct keeper *keeper, struct connection *connection,
		   const struct request *request);
void looking_unview(struct keeper *keeper, struct connection *connection,
		    const struct request *request);
/* The same for whoever has views: what is told of one; answer with all of them; end one, and answer
 * if that fails. */
json_t *looking_tell(const struct view_shown *view);
void looking_list(struct views *views, struct connection *connection);
bool looking_end(struct views *views, struct connection *connection, const struct request *request);

/* --- install.c -------------------------------------------------------------------------------- */

void install_create(struct keeper *keeper, struct connection *connection,
		    const struct request *request);
void install_import(struct keeper *keeper, struct connection *connection,
		    const struct request *request);
