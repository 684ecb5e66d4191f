/* View: how a view is told of, whoever shows it. */
#pragma once

#include "cmd/command.h"

#include <jansson.h>

/* Print what `view` was answered (taken over).  Ending. */
int view_print(const struct typed *typed, json_t *view);
