"""
A program with one SQLite connection that writes: for each line of its input, SECONDS, transactions for so long, and one line
with how many there were per second.

    sqlite_load.py MODE URI [EXTENSION]
"""
import random
import sqlite3
import sys
import time

ROWS = 100_000


def connect(mode, uri, extension=None):
    if extension:
        loader = sqlite3.connect(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(extension)
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60)
    if connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0] != mode:
        sys.exit(f"no journal mode {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def fill(connection):
    connection.executescript(f"""
        BEGIN;
        CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER, filler TEXT);
        CREATE TABLE history (account INTEGER, amount INTEGER, at TEXT);
        WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {ROWS})
            INSERT INTO accounts SELECT x, 0, hex(randomblob(40)) FROM c;
        COMMIT;""")


def write(connection, seconds):
    count, began = 0, time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        account = random.randint(1, ROWS)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (count, account))
        connection.execute("INSERT INTO history VALUES (?, ?, '2026-11-27')", (account, count))
        connection.execute("COMMIT")
        count += 1
    return count / (now - began)


def main():
    connection = connect(*sys.argv[1:])
    fill(connection)
    print("ready", flush=True)
    for line in sys.stdin:
        print(write(connection, float(line)), flush=True)
    if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
        sys.exit("the database is damaged")


main()
