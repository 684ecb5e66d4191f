"""pgbench's own transactions on PostgreSQL."""
from lib import postgres

TITLE = "PostgreSQL, pgbench (TPC-B like), scale 50, 4 clients, durable commits"
PEER = "the same server with its own defaults (full-page writes, 128 MB of buffers) on the plain directory"
TARGET = "io_uring >= 0.9"
DISKS = "both"
USES_FLEET = "postgres"


def minutes(wanted):
    return postgres.minutes(wanted, True)


def run(bench):
    return postgres.measure(bench, 0.9)
