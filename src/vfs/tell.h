/* Tell: what went wrong, in words, to SQLite's log and to whoever asks for the thread's last. */
#pragma once

#include "base/problem.h"

/* Log `why`, remember it as this thread's, and return `code`. */
int tell(int code, const struct problem *why);
/* SQLite's code for an -errno. */
int tell_code(int r, int otherwise);
/* This thread's last; "" when there is none. */
const char *tell_last(void);
/* The lines of volume and tape go to SQLite's log from now on. */
void tell_take_log(void);
