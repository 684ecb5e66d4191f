"""SQLite in WAL mode: one writer, every commit durable."""
from lib import sqlite

TITLE = "SQLite, journal_mode=WAL, synchronous=FULL, one writer: an update and an insert per transaction"
PEER = "SQLite's own VFS on the plain directory"
TARGET = ">= 1.0"
DISKS = "both"


def minutes(wanted):
    disks = 2 if wanted.disk == "both" else 1
    return (10 + disks * 2 * wanted.rounds * (min(wanted.seconds, 6) + 0.2)) / 60


def run(bench):
    return sqlite.compare(bench, DISKS, "wal", 1.0)
