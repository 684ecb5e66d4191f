#include "cmd/commands.h"

const struct command *const commands[] = {
	&command_create,     &command_list,   &command_status,
	&command_start,      &command_stop,   &command_restart,
	&command_delete,     &command_shell,  &command_modify,
	&command_moments,    &command_mark,   &command_backtrack,
	&command_backtracks, &command_view,   &command_views,
	&command_unview,     &command_import, &command_export,
	&command_query,      &command_diff,   &command_find_moment,
	&command_repair,     &command_clone,  &command_verify,
	&command_repack,     &command_keep,   &command_serve,
	&command_doctor,     &command_help,   NULL,
};
