# ./check: engines
"""
The past is asked on a throw-away server: every moment answers what was there, nothing of it reaches the cluster, and
nothing is left of it, however it ends.
"""
import csv
import io
import json
import os
import signal
import subprocess

from harness import (
    ENGINE, SMALL_SERVER, Ledger, check, create, gone, kill, main, mounts_below, server_options, wait_for,
)

ODD = "o'dd `na\"me\nx"
cluster = ledger = None


class MariaDB:
    """What the engines say in words of their own, and how they print."""
    identifier = "`" + ODD.replace("`", "``") + "`"
    schema, drop, find = "CREATE DATABASE shop", "DROP DATABASE shop", "SHOW DATABASES LIKE 'shop'"
    types = "id INT PRIMARY KEY, v VARCHAR(100), b VARBINARY(10), d DECIMAL(9,2)"
    one, two, three = "(1, 'one', 0x00ff, 1.50)", "(2, NULL, '', -3)", "(3, 'a \"b\", c\\nd', NULL, NULL)"
    bytes, number = ("0x00ff", ""), float
    bare, sleep = "--skip-column-names", "SELECT SLEEP(100)"
    wrong, odd_column = "error in your SQL syntax", "`"

    @staticmethod
    def client_prints(name, value):
        return f"{name}\n{value}\n"


class PostgreSQL(MariaDB):
    identifier = '"' + ODD.replace('"', '""') + '"'
    schema, drop, find = "CREATE SCHEMA shop", "DROP SCHEMA shop CASCADE", "SELECT 1 FROM pg_namespace WHERE nspname = 'shop'"
    types = "id INT PRIMARY KEY, v TEXT, b BYTEA, d DECIMAL(9,2)"
    one, two, three = "(1, 'one', '\\x00ff', 1.50)", "(2, NULL, '', -3)", "(3, E'a \"b\", c\\nd', NULL, NULL)"
    bytes, number = ("\\x00ff", "\\x"), "{:.2f}".format
    bare, sleep = "-t", "SELECT pg_sleep(100)"
    wrong = 'syntax error at or near "SELECTX"'

    @staticmethod
    def client_prints(name, value):
        return f" {name} \n---\n {value}\n(1 row)\n\n"


WORDS = {"mariadb": MariaDB, "postgresql": PostgreSQL}[ENGINE]
TABLE = f"shop.{WORDS.identifier}"
COUNT = f"SELECT COUNT(*) AS n FROM {TABLE}"
SAID = "This changed the throw-away copy; it changed nothing in asked.\n"


def a_cluster_has_a_past():
    global cluster, ledger
    cluster = create("asked", "--backtrack-window", "1h", *server_options(*SMALL_SERVER))
    cluster.sql(f"""
        {WORDS.schema};
        CREATE TABLE {TABLE} ({WORDS.types});
        INSERT INTO {TABLE} VALUES {WORDS.one}, {WORDS.two}, {WORDS.three};
    """)
    cluster.run("mark", "three")
    cluster.sql(f"DELETE FROM {TABLE} WHERE id > 1")
    cluster.run("mark", "one")
    cluster.sql(f"SET client_min_messages = warning; {WORDS.drop}" if ENGINE == "postgresql" else WORDS.drop)
    ledger = Ledger(cluster)
    ledger.prepare()
    ledger.start("--connections=2")


def query(at, sql, *more, **how):
    return cluster.run("query", "--at", at, *more, sql, **how)


def scratch():
    """What there is of throw-away servers: files, mounts, processes."""
    place = cluster.path("scratch")
    files = os.listdir(place) if os.path.isdir(place) else []
    found = [f"file {name}" for name in files] + [f"mount {path}" for path in mounts_below(place)]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            # A server's process may have another name, but it works in its directory.
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read() + os.readlink(f"/proc/{pid}/cwd").encode()
        except OSError:
            continue
        if place.encode() in words and not gone(int(pid)):
            found.append(f"process {pid}: {words}")
    return found


def every_moment_answers_what_was_there_while_clients_write():
    check(query("mark:three", COUNT, "--format", "csv").stdout == "n\n3\n", "three")
    check(query("mark:one", COUNT, "--format", "csv").stdout == "n\n1\n", "one")
    check(query("mark:three", COUNT).stdout == WORDS.client_prints("n", 3), "as the client prints")
    check(json.loads(query("now", "SELECT COUNT(*) AS n FROM ledger.note", "--format", "json").stdout)[0]["n"] > 0, "now")
    now = query("now", WORDS.find, "--format", "json").stdout
    check(now == "[]\n", f"now: {now!r}")


def what_is_printed_is_what_there_is():
    out = query("mark:three", f"SELECT * FROM {TABLE} ORDER BY id", "--format", "json").stdout
    check(json.loads(out) == [
        {"id": 1, "v": "one", "b": WORDS.bytes[0], "d": WORDS.number(1.5)},
        {"id": 2, "v": None, "b": WORDS.bytes[1], "d": WORDS.number(-3)},
        {"id": 3, "v": 'a "b", c\nd', "b": None, "d": None},
    ], out)
    text = query("mark:three", f"SELECT id, v, d FROM {TABLE} ORDER BY id", "--format", "csv").stdout
    rows = list(csv.reader(io.StringIO(text, newline="")))
    check(rows == [["id", "v", "d"], ["1", "one", "1.50"], ["2", "", "-3.00"], ["3", 'a "b", c\nd', ""]], text)
    text = query("mark:three", "SELECT NULL, ''", "--format", "csv").stdout
    check(text.splitlines()[1] == ',""', text)
    text = query("mark:three", f"SELECT id, v FROM {TABLE} ORDER BY id", "--format", "table").stdout
    check(text == (
        "+----+------------+\n| id | v          |\n+----+------------+\n|  1 | one        |\n|  2 | NULL       |\n"
        '|  3 | a "b", c?d |\n+----+------------+\n3 rows\n'
    ), text)
    text = query("mark:three", "SELECT 1 AS a; SELECT 2 AS b", "--format", "json").stdout
    check(text == '[{"a": 1}]\n[{"b": 2}]\n', text)


def sql_comes_from_standard_input_and_goes_to_the_client_too():
    sql = f"{COUNT};"
    check(cluster.run("query", "--at", "mark:three", text=sql).stdout == WORDS.client_prints("n", 3), "the client reads it")
    check(cluster.run("query", "--at", "mark:three", "--format", "csv", "-", text=sql).stdout == "n\n3\n", "-")
    out = cluster.run("shell", "--at", "mark:three", "-e", sql, "--", WORDS.bare).stdout
    check(out.split() == ["3"], out)


def a_write_works_there_and_is_said_to_have_changed_nothing():
    for how in ((), ("--format", "csv")):
        done = query("mark:three", f"DELETE FROM {TABLE}; {COUNT}", *how)
        check(done.stdout.endswith("n\n0\n" if how else WORDS.client_prints("n", 0)), done.stdout)
        check(done.stderr == SAID, done.stderr)
    # Whatever it is that writes, and however soon its client has gone.
    for sql in (f"ALTER TABLE {TABLE} ADD x INT", f"UPDATE {TABLE} SET d = 7 WHERE id = 1", f"TRUNCATE TABLE {TABLE}",
                "CREATE TABLE shop.another (id INT)", "CREATE VIEW shop.seen AS SELECT 1 AS one", "CREATE DATABASE another"):
        done = query("mark:three", sql)
        check(done.stderr == SAID, f"{sql}: {done.stderr!r}")
    done = query("mark:three", COUNT)
    check(done.stdout == WORDS.client_prints("n", 3) and not done.stderr, f"{done.stdout}{done.stderr}")


def bad_input_is_one_line_and_an_exit_code():
    for words, code, text in (
        (("mark:none", "SELECT 1"), 3, "there is no mark 'none'"),
        (("500w ago", "SELECT 1"), 4, "before"),
        (("sometime", "SELECT 1"), 2, "--at"),
        (("now", "SELECTX", "--format", "csv"), 1, WORDS.wrong),
        (("now", "SELECT 1", "--format", "xml"), 2, "csv, json and table"),
    ):
        done = query(*words, check=False)
        check(done.returncode == code and text in done.stderr and done.stderr.count("\n") == 1,
              f"{words}: {done.returncode} {done.stderr!r}")
    check(query("now", "SELECTX", check=False).returncode == 1, "the client's exit code")


def start_long_query():
    # pylint: disable=consider-using-with
    process = cluster.unspill.start("query", "asked", "--at", "mark:one", WORDS.sleep,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(WORDS.sleep in word for word in scratch()), 60, "the query to run")
    return process


def nothing_is_left_after_a_query_that_is_killed():
    check(not scratch(), scratch())
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start_long_query()
        pins = cluster.status()["pins"]
        check(pins == 1, f"{pins} pins while it is asked")
        process.send_signal(number)
        process.wait()
        wait_for(lambda: not scratch(), 20, f"nothing to be left, but {scratch()}")
        wait_for(lambda: cluster.status()["pins"] == 0, 20, "the pin to be gone")


def nothing_is_left_when_the_keeper_dies_meanwhile():
    process = start_long_query()
    kill(cluster.status()["keeper_pid"])
    cluster.wait_running()
    process.kill()
    process.wait()
    cluster.run("restart")
    cluster.run("stop")
    cluster.run("start")
    wait_for(lambda: not scratch(), 20, f"nothing to be left, but {scratch()}")


def the_live_database_lost_nothing():
    ledger.stop()
    check(ledger.verify() > 0, "no commits")
    check(not cluster.json("verify")["damage"], "damage")


def a_stopped_cluster_answers_and_stays_stopped():
    cluster.run("stop")
    check(query("mark:three", COUNT).stdout == WORDS.client_prints("n", 3), "three")
    check(not scratch(), scratch())
    check(not os.path.exists(cluster.path("run/control.sock")), "a keeper is left")
    cluster.run("delete", "--yes")
    check(not os.path.exists(cluster.directory), "not deleted")


main(
    a_cluster_has_a_past,
    every_moment_answers_what_was_there_while_clients_write,
    what_is_printed_is_what_there_is,
    sql_comes_from_standard_input_and_goes_to_the_client_too,
    a_write_works_there_and_is_said_to_have_changed_nothing,
    bad_input_is_one_line_and_an_exit_code,
    nothing_is_left_after_a_query_that_is_killed,
    nothing_is_left_when_the_keeper_dies_meanwhile,
    the_live_database_lost_nothing,
    a_stopped_cluster_answers_and_stays_stopped,
)
