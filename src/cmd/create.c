/* unspill create */
#include "cmd/commands.h"
#include "cmd/make.h"

static int run(const struct typed *typed)
{
	return make_cluster(typed, NULL);
}

const struct command command_create = {
	.name = "create",
	.summary = "Create a cluster: a database server on a volume that remembers",
	.operands = {{"NAME", "the new cluster's name"}},
	.options = {MAKE_OPTIONS, OPTION_JSON("the new cluster's status"), OPTION_UTC},
	.text = "Makes an empty database, starts its server and the keeper that looks after it, "
		"and returns when the server answers. Everything lies in one directory.\n\n"
		"A name has letters, digits, '-' and '_', begins with a letter and has at most 63 "
		"of them. The database's root gets a random password; 'unspill shell' knows it. "
		"As root, the server runs as the engine's own unprivileged user.\n\n"
		"What is missing, taken or wrong is found before anything is made. If it fails "
		"later, or is cancelled with Ctrl-C, all that was made is taken away again.",
	.examples =
		{
			{"create notes --engine sqlite",
			 "SQLite, inside of whatever program loads the extension."},
			{"create shop",
			 "MariaDB on the next free port from 3306 on, with a window of a day."},
			{"create ledger --engine postgresql",
			 "PostgreSQL on the next free port from 5432 on."},
			{"create shop --backtrack-window 72h --dir /data/shop --port 3310",
			 "All of it said."},
			{"create shop --server-option innodb-buffer-pool-size=2G",
			 "With a setting of the server's own."},
		},
	.endings = 1 << END_BUSY | 1 << END_TAKEN | 1 << END_MACHINE | 1 << END_CANCELLED,
	.run = run,
};
