"""sysbench oltp_write_only on MariaDB."""
from lib import oltp

TITLE = "MariaDB, sysbench oltp_write_only, 4 threads, 4 x 250,000 rows, durable commits"
PEER = "the same server with its own defaults (doublewrite on) on the plain directory"
TARGET = "io_uring >= 0.95, on a journaled disk >= 1.05; classic >= 0.85"
DISKS = "both"
USES_FLEET = "mariadb"
TARGETS = {("plain", "classic"): 0.85, ("plain", "io_uring"): 0.95, ("journaled", "io_uring"): 1.05,
           ("journaled", "classic"): 0.85}


def minutes(wanted):
    return oltp.minutes(wanted, True)


def run(bench):
    return oltp.run(bench, "oltp_write_only", TARGETS)
