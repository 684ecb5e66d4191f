/*
 * Request: one line from the control socket, checked.  Pure: text in, a struct out (and the
 * fuzzer's way in).  What is in a struct request is within its limits; whether it makes sense for
 * this cluster is for others.
 */
#pragma once

#include "base/problem.h"
#include "volume/volume.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A hundred years: beyond, a duration is a mistake. */
#define REQUEST_WINDOW_MAX_US (INT64_C(100) * 366 * 24 * 3600 * 1000000)
#define REQUEST_STEPS_MAX 20000
#define REQUEST_KIND_SIZE 16

enum request_do {
	REQUEST_STATUS,
	REQUEST_START,
	REQUEST_STOP,
	REQUEST_RESTART,
	REQUEST_MODIFY,
	REQUEST_MOMENTS,
	REQUEST_MARK,
	REQUEST_PLAN,
	REQUEST_BACKTRACK,
	REQUEST_BACKTRACKS,
	REQUEST_EXPORT,
	REQUEST_IMPORT,
	REQUEST_CREATE,
	REQUEST_VERIFY,
	REQUEST_REPACK,
	REQUEST_SCRATCH,
	REQUEST_CLONE,
	REQUEST_SHUTDOWN,
	REQUEST_VIEW,
	REQUEST_VIEWS,
	REQUEST_UNVIEW,
	REQUEST_SQL,
	REQUEST_RELAY,
	REQUEST_JOBS,
	REQUEST_CANCEL,
	REQUEST_HELLO,
	REQUEST_JOB,
	REQUEST_COUNT,
};

struct request_moment {
	enum { AT_NOW, AT_TIME, AT_LSN, AT_MARK } kind;
	int64_t time_us;
	uint64_t lsn;
	char mark[VOLUME_MARK_MAX + 1];
};

struct request {
	enum request_do what;
	struct request_moment moment;        /* plan, backtrack: to; export, view, scratch: at */
	int64_t asked_time_us;               /* backtrack: 0 when not given */
	int64_t window_us, history_max;      /* modify; -1: as it is */
	int64_t detach_rate;                 /* modify; -1: as it is */
	bool detach;                         /* modify: a thin clone is to begin */
	int64_t since_us, until_us, step_us; /* moments: -1, -1, 0 when not given */
	char name[VOLUME_MARK_MAX + 1]; /* mark, clone; relay: the cluster; export: database, ""
					   when not given */
	char directory[PATH_MAX];       /* export, import, clone, view, unview: absolute */
	bool force;                     /* unview */
	int64_t job;                    /* cancel */
	char kind[REQUEST_KIND_SIZE];   /* job; the cluster is the name */
	json_t *input;                  /* job: an object, unchecked; request_done() lets go */
};

/* -EINVAL: `why` says what is wrong with it; -EPROTONOSUPPORT: a version that is not ours. */
int request_parse(const char *line, size_t size, struct request *ret, struct problem *why);
void request_done(struct request *request);
