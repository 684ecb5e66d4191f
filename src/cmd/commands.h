/* Commands: each is described and run in the file of its name. */
#pragma once

#include "cmd/command.h"

extern const struct command command_create;
extern const struct command command_list;
extern const struct command command_status;
extern const struct command command_start;
extern const struct command command_stop;
extern const struct command command_restart;
extern const struct command command_delete;
extern const struct command command_shell;
extern const struct command command_modify;
extern const struct command command_moments;
extern const struct command command_mark;
extern const struct command command_backtrack;
extern const struct command command_backtracks;
extern const struct command command_import;
extern const struct command command_export;
extern const struct command command_view;
extern const struct command command_views;
extern const struct command command_unview;
extern const struct command command_verify;
extern const struct command command_repack;
extern const struct command command_query;
extern const struct command command_diff;
extern const struct command command_find_moment; /* command_find() is another */
extern const struct command command_repair;
extern const struct command command_clone;
extern const struct command command_keep;
extern const struct command command_serve;
extern const struct command command_jobs;
extern const struct command command_doctor;
extern const struct command command_help;
