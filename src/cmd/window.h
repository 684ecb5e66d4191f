/* Window: --backtrack-window, as several commands take it. */
#pragma once

#include "cmd/command.h"

#include <stdint.h>

#define WINDOW_DEFAULT "24h"

/* A duration, or "off" for 0; the default when the option was not given.  Ending. */
int window_parse(const struct typed *typed, int64_t *ret_us);
