#!/usr/bin/python3
"""
MariaDB on a rewinding volume beside MariaDB on the plain filesystem below it, in one run, as ratios.

    UNSPILL_BUILD=build tools/sandbox [--in DIR] bench/mariadb.py [--seconds N] [--rounds N]

What is measured: commits per second of tests/e2e/ledger.c (a debit, a credit and a note each) with 1 and with 8
connections; a bulk load of 500,000 rows.  The peers take turns in every round; the numbers are medians.  A ratio above
1 is better than the plain filesystem with the server's own defaults.  Nothing else should run meanwhile.
"""
import argparse
import os
import statistics
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "tests/e2e"), os.path.join(TOP, "tools")]

from harness import Ledger, PlainServer, sandbox, server_options, unspill  # noqa: E402

SERVER = ("innodb_buffer_pool_size=256M", "innodb_log_file_size=128M")


def plain(name, *more):
    server = PlainServer(sandbox(name), *("--" + option.replace("_", "-") for option in SERVER + more))
    server.create()
    server.start()
    return server


def commits(server, name, connections, seconds):
    server.sql("DROP DATABASE IF EXISTS ledger")
    ledger = Ledger(server, f"{name}-{time.time_ns()}")
    ledger.prepare()
    ledger.start(f"--connections={connections}", f"--seconds={seconds}")
    ledger.process.wait()
    return ledger.acknowledged() / seconds


def load(server):
    server.sql("DROP DATABASE IF EXISTS bulk")
    start = time.monotonic()
    server.sql(
        "CREATE DATABASE bulk; USE bulk; CREATE TABLE t (id INT PRIMARY KEY, a CHAR(64), b INT, KEY (b));"
        "INSERT INTO t SELECT seq, MD5(seq), seq * 7919 % 1000003 FROM seq_1_to_500000"
    )
    return 500_000 / (time.monotonic() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    peers = {
        "plain": plain("plain"),
        "plain, no doublewrite": plain("bare", "innodb_doublewrite=0"),
        "unspill": unspill().create("bench", "--backtrack-window", "1h", *server_options(*SERVER)),
    }
    measures = {
        "commits/s, 1 connection": lambda server, name: commits(server, name, 1, options.seconds),
        "commits/s, 8 connections": lambda server, name: commits(server, name, 8, options.seconds),
        "rows/s, bulk load": lambda server, name: load(server),
    }
    print(f"{'':<28}" + "".join(f"{name:>24}" for name in peers))
    for title, measure in measures.items():
        results = {name: [] for name in peers}
        for _ in range(options.rounds):
            for name, server in peers.items():
                results[name].append(measure(server, name.split(",", maxsplit=1)[0]))
        medians = {name: statistics.median(values) for name, values in results.items()}
        line = "".join(f"{medians[name]:>17,.0f} ({medians[name] / medians['plain']:.2f})" for name in peers)
        print(f"{title:<28}{line}", flush=True)
    for server in peers.values():
        if isinstance(server, PlainServer):
            server.stop()


main()
