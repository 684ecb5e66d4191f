/* Machine: what a cluster needs of the machine it is to run on. */
#pragma once

#include "base/problem.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>

/* A fresh database, its first segments and room to live. */
#define MACHINE_BYTES_NEW (256LL * 1024 * 1024)

/* Each returns 0, or -errno with one line that says what is wrong and how to mend it. */

/* We are root, or can mount with fusermount3. */
int machine_check_mount(struct problem *why);
/* /dev/fuse is there and can be opened. */
int machine_check_fuse(struct problem *why);
/* The list of clusters can be added to. */
int machine_check_home(struct problem *why);
/* The server is installed and new enough; `version` gets its words. */
int machine_check_engine(const struct engine *engine, char version[128], struct problem *why);

/* Bytes that we may still use, and all, of the filesystem that holds `path`. */
int machine_space(const char *path, int64_t *ret_free, int64_t *ret_total, struct problem *why);
/* The filesystem that holds `path`, or would, has `bytes` free. */
int machine_check_space(const char *path, int64_t bytes, struct problem *why);
