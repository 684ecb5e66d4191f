#!/usr/bin/python3
"""
What folding in the background costs the database in front, as a ratio.

    UNSPILL_BUILD=build tools/sandbox [--in DIR] bench/fold-cost.py [--seconds N] [--rounds N]

One cluster, commits per second of tests/e2e/ledger.c with 8 connections, in turns: with a window of an hour (nothing
is old enough to fold) and with a window of a second (everything is folded as it comes).  Medians, and how much was
folded meanwhile: a ratio of 1 is no cost.  Nothing else should run.
"""
import argparse
import os
import statistics
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "tests/e2e"), os.path.join(TOP, "tools")]

from harness import Ledger, server_options, unspill  # noqa: E402


def commits(cluster, seconds):
    cluster.sql("DROP DATABASE IF EXISTS ledger")
    ledger = Ledger(cluster, f"fold-{time.time_ns()}")
    ledger.prepare()
    ledger.start("--connections=8", f"--seconds={seconds}")
    ledger.process.wait()
    return ledger.acknowledged() / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    cluster = unspill().create("fold", "--backtrack-window", "1h", *server_options("innodb_log_file_size=128M"))
    results = {"1h": [], "1s": []}
    folded = 0
    for _ in range(options.rounds):
        for window, values in results.items():
            cluster.run("modify", "--backtrack-window", window)
            before = cluster.status()["bytes"]["tape"]
            values.append(commits(cluster, options.seconds))
            if window == "1s":
                folded += max(0, before - cluster.status()["bytes"]["tape"])
    medians = {window: statistics.median(values) for window, values in results.items()}
    print(f"commits/s without folding {medians['1h']:,.0f}, with folding {medians['1s']:,.0f}; "
          f"the tape shrank by {folded >> 20} MiB meanwhile")
    print(f"fold-cost ratio {medians['1s'] / medians['1h']:.2f}")


if __name__ == "__main__":
    main()
