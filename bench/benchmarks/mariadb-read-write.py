"""sysbench oltp_read_write on MariaDB."""
from lib import oltp

TITLE = "MariaDB, sysbench oltp_read_write, 4 threads, 4 x 250,000 rows, durable commits"
PEER = "the same server with its own defaults (doublewrite on) on the plain directory"
TARGET = "io_uring >= 1.0, on a journaled disk, too; classic >= 0.85"
DISKS = "both"
USES_FLEET = "mariadb"
TARGETS = {("plain", "classic"): 0.85, ("plain", "io_uring"): 1.0, ("journaled", "io_uring"): 1.0,
           ("journaled", "classic"): 0.85}


def minutes(wanted):
    return oltp.minutes(wanted, wanted.names[:1] == ["mariadb-read-write"])


def run(bench):
    return oltp.run(bench, "oltp_read_write", TARGETS)
