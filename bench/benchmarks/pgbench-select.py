"""pgbench --select-only on PostgreSQL."""
from lib import postgres

TITLE = "PostgreSQL, pgbench --select-only, scale 50, 4 clients"
PEER = "the same server with its own defaults (128 MB of buffers, the kernel's cache behind) on the plain directory"
TARGET = "io_uring >= 0.98"
DISKS = "both"
USES_FLEET = "postgres"


def minutes(wanted):
    return postgres.minutes(wanted, "pgbench-write" not in wanted.names)


def run(bench):
    return postgres.measure(bench, 0.98, "--select-only")
