"""A dump, loaded."""
import os
import subprocess
import time

from cluster import Failed, program

from lib import results, turns
from lib.results import Result, median
from lib.servers import create_cluster, plain_server, processes

TITLE = "a mariadb-dump of 1 GB (less with --megabytes) loaded with the mariadb client"
PEER = "the same server with its own defaults on the plain directory"
TARGET = ">= 0.9"
DISKS = "plain"
BYTES_PER_ROW = 203  # of the dump


def minutes(wanted):
    columns = 1 + (2 if wanted.transport == "both" else 1)
    return (15 + wanted.megabytes / 20 + columns * wanted.rounds * (1 + wanted.megabytes / 20)) / 60


def make_dump(bench, server, path):
    """Rows like sysbench's, with an index to keep."""
    rows = bench.wanted.megabytes * 1_000_000 // BYTES_PER_ROW
    bench.say(f"making a dump of {rows} rows")
    server.sql(
        "CREATE DATABASE bulk; USE bulk;"
        "CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, KEY (k));"
        "INSERT INTO t SELECT seq, seq * 7919 % 1000003, CONCAT_WS('-', MD5(seq), MD5(seq + 1), MD5(seq + 2), LEFT(MD5(seq + 3), 21)),"
        f" CONCAT_WS('-', MD5(seq + 4), LEFT(MD5(seq + 5), 27)) FROM seq_1_to_{rows}",
        timeout=3600,
    )
    with open(path, "wb") as file:
        command = [program("mariadb-dump"), f"--defaults-file={server.defaults}", "bulk"]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, check=False).returncode != 0:
            raise Failed("mariadb-dump failed")
    server.sql("DROP DATABASE bulk")
    return rows


def load(server, path, rows):
    """Seconds, from the first statement to the last answer."""
    server.sql("CREATE DATABASE bulk")
    start = time.monotonic()
    with open(path, "rb") as file:
        done = subprocess.run(server.client("bulk"), stdin=file, capture_output=True, timeout=3600, check=False)
    seconds = time.monotonic() - start
    if done.returncode != 0 or int(server.value("SELECT COUNT(*) FROM bulk.t")) != rows:
        raise Failed(f"the dump was not loaded: {done.stderr}")
    server.sql("DROP DATABASE bulk")
    return seconds


def run_on(bench, disk):
    plain = plain_server(os.path.join(disk.directory, "server"))
    plain.create()
    plain.start()
    columns = {"plain": plain}
    for transport in bench.transports:
        columns[transport] = create_cluster(bench, disk, transport, transport)
    path = bench.path("bulk.sql")
    rows = make_dump(bench, plain, path)
    megabytes = os.path.getsize(path) / 1e6
    pids = {name: processes(server) for name, server in columns.items()}
    for waiting in pids.values():
        turns.stop(waiting)
    found = {name: [] for name in columns}
    for turn, name in bench.turns(columns):
        with turns.own_turn(pids[name]):
            found[name].append(load(columns[name], path, rows))
        bench.say(f"{disk.name} disk, round {turn + 1}: {name}: {found[name][-1]:.1f} s")
    os.unlink(path)
    return megabytes, found


def run(bench):
    found = []
    for disk in bench.disks(DISKS):
        megabytes, seconds = run_on(bench, disk)
        plain = median(seconds["plain"])
        print(results.table(
            [f"{disk.name} disk, {megabytes:,.0f} MB", "seconds, median (least..most)", "MB/s", "ratio"],
            [[name, results.spread(values), f"{megabytes / median(values):.1f}", f"{plain / median(values):.2f}"]
             for name, values in seconds.items()],
        ) + "\n", flush=True)
        found += [
            Result(f"{disk.name} disk, {name}, {megabytes:,.0f} MB", plain / median(values), 0.9, peer=megabytes / plain,
                   ours=megabytes / median(values), unit="MB/s", chief=name == bench.fastest)
            for name, values in seconds.items() if name != "plain"
        ]
    return found
