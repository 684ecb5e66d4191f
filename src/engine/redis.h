/*
 * Redis with its append-only file: the facts and steps of its server, behind engine.h.  The worked
 * example of docs/engines.md.
 *
 * run_dir/ auth        the password of the default user; mode 0600
 *          server/     sock
 */
#pragma once

#include "engine/engine.h"

extern const struct engine engine_redis;
