"""
A program that has an SQLite database on a volume inside, with as many connections as it is asked for.

    sqlite_program.py EXTENSION URI

Each line of its input is a JSON list [CONNECTION, SQL]: the SQL is run on that connection (made when it is first named), and
the answer is one line, the rows, or {"error": TEXT}.  [N, "load", FILE] inserts rows 1, 2, ... into `log` and writes each
number to FILE when it is committed, for ever.
"""
import json
import sqlite3
import sys


def connect(extension, uri):
    loader = sqlite3.connect(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(extension)
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=20)


def load(connection, path):
    number = connection.execute("SELECT ifnull(max(n), 0) FROM log").fetchone()[0]
    with open(path, "a", encoding="utf-8", buffering=1) as ledger:
        while True:
            number += 1
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO log VALUES (?, randomblob(?))", (number, number * 7919 % 9000))
            connection.execute("UPDATE last SET n = ?", (number,))
            connection.execute("COMMIT")
            ledger.write(f"{number}\n")


def main():
    extension, uri = sys.argv[1:]
    connections = {}
    for line in sys.stdin:
        number, sql, *more = json.loads(line)
        try:
            if number not in connections:
                connections[number] = connect(extension, uri)
            if sql == "load":
                load(connections[number], *more)
            answer = connections[number].execute(sql).fetchall()
        except sqlite3.Error as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
