/* View: how a view is told of, whoever shows it, and what becomes of one whose process was killed.
 */
#pragma once

#include "cmd/command.h"

#include <jansson.h>

/* Print what `view` was answered (taken over).  Ending. */
int view_print(const struct typed *typed, json_t *view);

/* Of SQLite's clusters no keeper comes that would clear away views whose process was killed. */
void view_clear_killed(void);
