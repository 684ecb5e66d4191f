/*
 * Holding bed: a cluster's directory below /tmp with a small volume in it, held by this process,
 * which answers on its control socket: what src/control/ does for others, without a keeper.
 */
#pragma once

#include "tap.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/control.h"
#include "control/holding.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define MINUTE INT64_C(60000000)

struct holder {
	char directory[64], socket[96];
	struct clones clones;
	struct holding holding;
	struct server *server;
	struct problem why;
	uid_t owner;
};

static inline int holder_remove_one(const char *path, const struct stat *st, int type,
				    struct FTW *ftw)
{
	return remove(path);
}

static inline void holder_remove(const char *path)
{
	nftw(path, holder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* DIR/`below`; two of them at a time. */
static inline const char *holder_path(const struct holder *holder, const char *below)
{
	static char paths[2][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 2];

	snprintf(path, PATH_MAX, "%s/%s", holder->directory, below);
	return path;
}

static inline bool holder_has(const struct holder *holder, const char *below)
{
	struct stat st;

	return lstat(holder_path(holder, below), &st) == 0;
}

static inline void holder_handle(struct connection *connection, const struct request *request,
				 void *arg)
{
	const struct holding *holding = &((struct holder *)arg)->holding;
	struct problem why = {""};
	json_t *result = NULL;
	int r = -EINVAL;

	if (request->what == REQUEST_PLAN)
		r = holding_plan(holding, request, &result, &why);
	else if (holding_does(request->what))
		r = holding_do(holding, connection, request, &result, &why);
	if (r < 0)
		connection_error(connection, answer_code(r), "%s", why.text);
	else
		connection_result(connection, result);
}

static inline bool holder_serve(struct holder *holder)
{
	const struct server_options options = {.path = holder->socket,
					       .owner = holder->owner,
					       .handle = holder_handle,
					       .arg = holder};

	return check(server_open(&options, &holder->server, &holder->why) == 0, "%s",
		     holder->why.text);
}

/* As whoever holds a volume begins: the clones first. */
static inline bool holder_open(struct holder *holder)
{
	struct volume_options options = {.bytes_reserved = 1};
	int r;

	options.hold = clones_begin(&holder->clones, holder->directory);
	r = disk_local_open(holder_path(holder, "volume"), &holder->holding.disk);
	if (r == 0)
		r = volume_open(holder->holding.disk, &options, &holder->holding.volume,
				&holder->why);
	return check(r == 0, "%d %s", r, holder->why.text) && holder_serve(holder);
}

/* As it ends, or is killed: nobody is told. */
static inline void holder_close(struct holder *holder)
{
	server_close(take(holder->server));
	volume_close(take(holder->holding.volume));
	disk_close(take(holder->holding.disk));
}

static inline bool holder_init(struct holder *holder)
{
	const struct volume_format_options format = {
		.segment_bytes = 64 * 1024, .window_us = 60 * MINUTE, .root_mode = 0755};
	CLEANUP(disk) struct disk *disk = NULL;

	log_set_level(LOG_ERROR);
	*holder = (struct holder){.directory = "/tmp/unspill-holder-XXXXXX",
				  .clones = CLONES_INIT,
				  .owner = geteuid()};
	if (!check(mkdtemp(holder->directory) != NULL) ||
	    !check(chmod(holder->directory, 0711) == 0 &&
		   mkdir(holder_path(holder, "volume"), 0700) == 0 &&
		   mkdir(holder_path(holder, "run"), 0711) == 0))
		return false;
	snprintf(holder->socket, sizeof holder->socket, "%s/run/control.sock", holder->directory);
	holder->holding =
		(struct holding){.directory = holder->directory, .clones = &holder->clones};
	return check(disk_local_open(holder_path(holder, "volume"), &disk) == 0) &&
	       check(volume_format(disk, &format, &holder->why) == 0, "%s", holder->why.text) &&
	       holder_open(holder);
}

static inline void holder_done(struct holder *holder)
{
	holder_close(holder);
	holder_remove(holder->directory);
}

static inline uint64_t holder_pins(const struct holder *holder)
{
	struct volume_stats stats;

	volume_get_stats(holder->holding.volume, &stats);
	return stats.pins;
}

/* Until `path` is gone: the holder tells nobody. */
static inline bool holder_sees_gone(const char *path)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	while (access(path, F_OK) == 0 && clock_monotonic_us() < until_us)
		poll(NULL, 0, 1);
	return access(path, F_OK) < 0;
}

static inline bool holder_comes_to_pins(const struct holder *holder, uint64_t pins)
{
	int64_t until_us = clock_monotonic_us() + PATIENCE_US;

	while (holder_pins(holder) != pins && clock_monotonic_us() < until_us)
		poll(NULL, 0, 1);
	return check(holder_pins(holder) == pins, "%llu pins",
		     (unsigned long long)holder_pins(holder));
}

/* Takes over `request`; "" or the code of the error, with its words in holder->why. */
static inline const char *holder_ask(struct holder *holder, struct control *control,
				     json_t *request, json_t **ret)
{
	static struct control_error code;
	json_t *result = NULL;
	int r;

	code = (struct control_error){""};
	holder->why.text[0] = 0;
	r = control_call(control, request, NULL, NULL, &result, &code, &holder->why);
	json_decref(request);
	if (ret)
		*ret = result;
	else
		json_decref(result);
	return r == 0 ? "" : r == -EREMOTEIO ? code.code : strerror(-r);
}
