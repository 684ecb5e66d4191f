/*
 * Log: one line per event on standard error: time with zone, level, text.
 * Programs log; libraries return errors.  Long-lived background threads (fold, flush) count as
 * programs.
 */
#pragma once

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/*
 * Where the lines go instead, without time and level: for a library inside of somebody else's
 * program.  Called from any thread; NULL: standard error again.
 */
void log_set_sink(void (*sink)(enum log_level level, const char *text));

/* Lines below `level` are dropped.  Default: LOG_INFO. */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* Log the text, ": " and the words for errno `r`; return `r`. */
int log_errno(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
