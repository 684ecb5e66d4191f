/* unspill keep */
#include "cmd/commands.h"
#include "cmd/say.h"
#include "keeper/keeper.h"

static int run(const struct typed *typed)
{
	const struct keeper_options options = {
		.no_server = typed_switch(typed, "no-server"),
		.guardian = typed_switch(typed, "guardian"),
	};

	return keeper_run(typed->operands[0], &options);
}

const struct command command_keep = {
	.name = "keep",
	.summary = "Be the keeper of one cluster, in the foreground",
	.operands = {{"DIR", "the cluster's directory"}},
	.options =
		{
			{"no-server", .text = "Open and mount the volume, start no server, and end "
					      "when nobody has been connected for a minute."},
			{"guardian", .text = "Stay behind as a small process that starts the "
					     "keeper again when it died."},
		},
	.text = "The keeper looks after one cluster: its volume, its mount, its database server "
		"and its control socket. It restarts a server that died, with growing pauses, and "
		"closes down cleanly on SIGTERM. It logs to standard error.\n\n"
		"'unspill start' starts one in the background. Use this command to run the "
		"cluster under a service manager instead: without --guardian, because the service "
		"manager restarts it.",
	.examples =
		{
			{"keep /var/lib/unspill/shop",
			 "What a service unit of systemd puts into ExecStart=."},
		},
	.endings = 1 << END_BUSY | 1 << END_DAMAGED | 1 << END_MACHINE,
	.run = run,
};
