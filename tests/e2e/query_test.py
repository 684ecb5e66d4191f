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

from harness import SMALL_SERVER, Ledger, check, gone, kill, main, mounts_below, server_options, unspill, wait_for

ODD = "o'dd `na\"me\nx"
IDENTIFIER = "`" + ODD.replace("`", "``") + "`"
cluster = ledger = None


def a_cluster_has_a_past():
    global cluster, ledger
    cluster = unspill().create("asked", "--backtrack-window", "1h", *server_options(*SMALL_SERVER))
    cluster.sql(f"""
        CREATE DATABASE shop;
        CREATE TABLE shop.{IDENTIFIER} (id INT PRIMARY KEY, v VARCHAR(100), b VARBINARY(10), d DECIMAL(9,2));
        INSERT INTO shop.{IDENTIFIER} VALUES (1, 'one', 0x00ff, 1.50), (2, NULL, '', -3), (3, 'a "b", c\\nd', NULL, NULL);
    """)
    cluster.run("mark", "three")
    cluster.sql(f"DELETE FROM shop.{IDENTIFIER} WHERE id > 1")
    cluster.run("mark", "one")
    cluster.sql("DROP DATABASE shop")
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
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if place.encode() in words and not gone(int(pid)):
            found.append(f"process {pid}: {words}")
    return found


def every_moment_answers_what_was_there_while_clients_write():
    count = f"SELECT COUNT(*) AS n FROM shop.{IDENTIFIER}"
    check(query("mark:three", count, "--format", "csv").stdout == "n\n3\n", "three")
    check(query("mark:one", count, "--format", "csv").stdout == "n\n1\n", "one")
    check(query("mark:three", count).stdout == "n\n3\n", "as the client prints")
    check(json.loads(query("now", "SELECT COUNT(*) AS n FROM ledger.note", "--format", "json").stdout)[0]["n"] > 0, "now")
    now = query("now", "SHOW DATABASES LIKE 'shop'", "--format", "json").stdout
    check(now == "[]\n", f"now: {now!r}")


def what_is_printed_is_what_there_is():
    all_rows = f"SELECT * FROM shop.{IDENTIFIER} ORDER BY id"
    out = query("mark:three", all_rows, "--format", "json").stdout
    check(json.loads(out) == [
        {"id": 1, "v": "one", "b": "0x00ff", "d": 1.5},
        {"id": 2, "v": None, "b": "", "d": -3},
        {"id": 3, "v": 'a "b", c\nd', "b": None, "d": None},
    ], out)
    text = query("mark:three", f"SELECT id, v, d FROM shop.{IDENTIFIER} ORDER BY id", "--format", "csv").stdout
    rows = list(csv.reader(io.StringIO(text, newline="")))
    check(rows == [["id", "v", "d"], ["1", "one", "1.50"], ["2", "", "-3.00"], ["3", 'a "b", c\nd', ""]], text)
    text = query("mark:three", "SELECT NULL, ''", "--format", "csv").stdout
    check(text.splitlines()[1] == ',""', text)
    text = query("mark:three", all_rows.replace("*", "id, v"), "--format", "table").stdout
    check(text == (
        "+----+------------+\n| id | v          |\n+----+------------+\n|  1 | one        |\n|  2 | NULL       |\n"
        '|  3 | a "b", c?d |\n+----+------------+\n3 rows\n'
    ), text)
    text = query("mark:three", "SELECT 1 AS a; SELECT 2 AS b", "--format", "json").stdout
    check(text == '[{"a": 1}]\n[{"b": 2}]\n', text)


def sql_comes_from_standard_input_and_goes_to_the_client_too():
    sql = f"SELECT COUNT(*) FROM shop.{IDENTIFIER};"
    check(cluster.run("query", "--at", "mark:three", text=sql).stdout.split() == ["COUNT(*)", "3"], "the client reads it")
    check(cluster.run("query", "--at", "mark:three", "--format", "csv", "-", text=sql).stdout == "COUNT(*)\n3\n", "-")
    out = cluster.run("shell", "--at", "mark:three", "-e", sql, "--", "--skip-column-names").stdout
    check(out == "3\n", out)


def a_write_works_there_and_is_said_to_have_changed_nothing():
    for how in ((), ("--format", "csv")):
        done = query("mark:three", f"DELETE FROM shop.{IDENTIFIER}; SELECT COUNT(*) AS n FROM shop.{IDENTIFIER}", *how)
        check(done.stdout == "n\n0\n", done.stdout)
        check("changed nothing in asked" in done.stderr, done.stderr)
    done = query("mark:three", f"ALTER TABLE shop.{IDENTIFIER} ADD x INT")
    check("changed nothing in asked" in done.stderr, done.stderr)
    done = query("mark:three", f"SELECT COUNT(*) AS n FROM shop.{IDENTIFIER}")
    check(done.stdout == "n\n3\n" and "changed" not in done.stderr, f"{done.stdout}{done.stderr}")


def bad_input_is_one_line_and_an_exit_code():
    for words, code, text in (
        (("mark:none", "SELECT 1"), 3, "there is no mark 'none'"),
        (("500w ago", "SELECT 1"), 4, "before"),
        (("sometime", "SELECT 1"), 2, "--at"),
        (("now", "SELECTX", "--format", "csv"), 1, "error in your SQL syntax"),
        (("now", "SELECT 1", "--format", "xml"), 2, "csv, json and table"),
    ):
        done = query(*words, check=False)
        check(done.returncode == code and text in done.stderr and done.stderr.count("\n") == 1,
              f"{words}: {done.returncode} {done.stderr!r}")
    check(query("now", "SELECTX", check=False).returncode == 1, "the client's exit code")


def start_long_query():
    # pylint: disable=consider-using-with
    process = cluster.unspill.start("query", "asked", "--at", "mark:one", "SELECT SLEEP(100)",
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any("SLEEP" in word for word in scratch()), 60, "the query to run")
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
    check(query("mark:three", f"SELECT COUNT(*) AS n FROM shop.{IDENTIFIER}").stdout == "n\n3\n", "three")
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
