/*
 * A real server on plain directories, below /tmp, for the tests of its engine: made, started, asked
 * and ended through engine.h alone.
 */
#pragma once

#include "engine/engine.h"

#include "base/clock.h"
#include "engine/process.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct engine *box_engine;
static char box_top[64];

struct box {
	char data[256], run[256];
	struct engine_place place;
	struct engine_server server;
	struct problem why;
};

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The name has a blank in it, as people's directories have. */
static inline void box_init(struct box *box, const char *name, int port)
{
	char dir[128];

	*box = (struct box){.server.pidfd = -1};
	snprintf(dir, sizeof dir, "%s/%s", box_top, name);
	mkdir(dir, 0755);
	snprintf(box->data, sizeof box->data, "%s/data", dir);
	snprintf(box->run, sizeof box->run, "%s/run", dir);
	mkdir(box->data, 0700);
	mkdir(box->run, 0711);
	box->place = (struct engine_place){
		.data_dir = box->data, .run_dir = box->run, .bind = "127.0.0.1", .port = port};
	engine_user(box_engine, &box->place.uid, &box->place.gid, NULL);
	if (geteuid() == 0 && chown(box->data, box->place.uid, box->place.gid) < 0)
		perror(box->data);
}

/* Until it answers, it ends, or that takes too long. */
static inline int await_answer(struct box *box)
{
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;
	struct pollfd ended = {.fd = box->server.pidfd, .events = POLLIN};
	int r;

	while ((r = box_engine->ping(&box->place, &box->why)) == -EAGAIN) {
		if (poll(&ended, 1, 5) == 1)
			return -ECHILD;
		if (clock_monotonic_us() > deadline)
			return -ETIMEDOUT;
	}
	return r;
}

static inline int up(struct box *box)
{
	int r = box_engine->start(&box->place, &box->server, &box->why);

	return r < 0 ? r : await_answer(box);
}

static inline int down(struct box *box)
{
	int status = -1, r;

	r = box_engine->stop(&box->place, &box->server);
	if (r == 0)
		r = engine_wait(&box->server, 60000, &status);
	if (r < 0)
		engine_kill(&box->server);
	return r < 0 ? r : status;
}

/* How many connections there are; the server may not yet have noticed that the last client went. */
static inline int connections_left(struct box *box)
{
	int64_t deadline = clock_monotonic_us() + PATIENCE_US;
	int count;

	while ((count = box_engine->connections(&box->place)) > 0 &&
	       clock_monotonic_us() < deadline)
		poll(NULL, 0, 5);
	return count;
}

/* The engine of that name, and a place for its boxes; false when it is not here (and skipped). */
static inline bool box_begin(const char *name)
{
	struct problem why;
	char version[128];

	box_engine = engine_find(name, NULL);
	if ((box_engine->check)(version, &why) < 0) {
		SKIP("everything about a real server", why.text);
		return false;
	}
	strcpy(box_top, "/tmp/unspill-engine-XXXXXX");
	return mkdtemp(box_top) && chmod(box_top, 0755) == 0;
}

static inline void box_put_file(const char *dir, const char *name, const char *text)
{
	char path[2 * PATH_MAX];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	file = fopen(path, "w");
	if (file) {
		fputs(text, file);
		fclose(file);
	}
}
