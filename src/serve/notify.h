/* Notify: tell systemd how far we are (sd_notify(3)), where it started us; nothing elsewhere. */
#pragma once

/* First of all: remember where to, so that nothing that we start (a MariaDB would) speaks for us.
 */
void notify_take(void);

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
