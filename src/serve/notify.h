/* Notify: tell systemd how far we are (sd_notify(3)), where it started us; nothing elsewhere. */
#pragma once

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
