"""SQLite in DELETE mode: one writer, every commit durable."""
from lib import sqlite
from lib.sqlite import DISKS, PEER, TARGET, minutes  # noqa: F401, pylint: disable=unused-import

TITLE = "SQLite, journal_mode=DELETE, synchronous=FULL, one writer: an update and an insert per transaction"


def run(bench):
    return sqlite.compare(bench, DISKS, "delete", 1.0)
