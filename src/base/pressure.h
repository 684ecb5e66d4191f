/*
 * Pressure: whether others wait for the machine's processors, so that work which can wait does.
 */
#pragma once

#include <stdbool.h>

/*
 * In percent of the last ten seconds: how long somebody who could have run had to wait for a
 * processor ("some avg10" of /proc/pressure/cpu, Linux's Documentation/accounting/psi.rst).
 * -EBADMSG when the text is another.
 */
int pressure_parse(const char *text);

/* A tenth of the time, or more.  False where the kernel does not tell. */
bool pressure_is_high(void);
