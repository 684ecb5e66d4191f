/* unspill import */
#include "cmd/commands.h"
#include "cmd/make.h"

static int run(const struct typed *typed)
{
	return make_cluster(typed, typed_value(typed, "from"));
}

const struct command command_import = {
	.name = "import",
	.summary = "Create a cluster from a copy of an existing data directory",
	.operands = {{"NAME", "the new cluster's name"}},
	.options =
		{
			{"from", .argument = "DIR", .required = true,
			 .text = "The data directory to copy, such as /var/lib/mysql. Its server "
				 "must be shut down. It is not changed."},
			MAKE_OPTIONS,
			OPTION_JSON("the new cluster's status"),
			OPTION_UTC,
		},
	.text = "Copies the data directory into a new cluster and starts a server on the copy; it "
		"has all the databases and accounts of the original, and a root that 'unspill "
		"shell' can be. Of SQLite, DIR is a database file; its program may go on reading "
		"it meanwhile. The original stays as it is, to go back to, or to delete when you "
		"are content.\n\n"
		"Name, directory, port and failures are as with 'unspill create'.",
	.examples =
		{
			{"import shop --from /var/lib/mysql",
			 "Take over the system's own MariaDB, shut down before."},
			{"import notes --engine sqlite --from notes.db", "A database file."},
			{"import ledger --engine postgresql --from /var/lib/postgresql/15/main",
			 "Take over the system's own PostgreSQL, shut down before."},
		},
	.endings = 1 << END_NOT_FOUND | 1 << END_BUSY | 1 << END_DAMAGED | 1 << END_TAKEN |
		   1 << END_MACHINE | 1 << END_CANCELLED,
	.run = run,
};
