/*
 * Inside, view: moments of SQLite's clusters shown in directories, each by a process of its own
 * (keeper/viewer.h), whether a program has the volume or none.
 */
#pragma once

#include "cmd/talk.h"

/* `view`: show the moment `at` (borrowed) on `directory`.  Ending. */
int inside_view(const struct typed *typed, const json_t *at, const char *directory);
