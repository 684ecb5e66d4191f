"""A question to the past: command to first row, on a server of ten times --megabytes."""
import time

from cluster import Failed

from lib import results
from lib.filled import MEGABYTES_PER_SECOND, filled_cluster, seconds_of
from lib.results import Result, median

TITLE = "unspill query of a moment, on ten times --megabytes: command to the row, of a small table"
PEER = "the same query on the live server"
TARGET = "<= 3 s at 10 GB"
DISKS = "plain"
QUERY = "SELECT COUNT(*) FROM filled.small"


def minutes(wanted):
    return (20 + 10 * wanted.megabytes / MEGABYTES_PER_SECOND + wanted.rounds * 8) / 60


def ask(cluster, moment):
    done = cluster.run("query", "--at", moment, "--format", "csv", QUERY)
    if done.stdout != "COUNT(*)\n3\n":
        raise Failed(f"the past says {done.stdout!r}")


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        cluster = filled_cluster(bench, disk, "asked", 10 * bench.wanted.megabytes)
        cluster.run("mark", "then")
        cluster.sql("DELETE FROM filled.small; DELETE FROM filled.t WHERE id < 1000")
        time.sleep(1)  # so that there is a moment a second ago
        found = {"mark:then": [], "1 second ago": []}
        for turn, what in bench.turns(found):
            if what == "mark:then":
                found[what].append(seconds_of(lambda: ask(cluster, "mark:then"))[0])
            else:
                found[what].append(seconds_of(lambda: cluster.run("query", "--at", "1 second ago", "--format", "csv", "SELECT 1"))[0])
            bench.say(f"round {turn + 1}: {what}: {found[what][-1]:.2f} s")
        live = median([seconds_of(lambda: cluster.sql(QUERY))[0] for _ in range(5)])
        print(results.table(["", "seconds, median (least..most)"], [[what, results.spread(all)] for what, all in found.items()])
              + "\n", flush=True)
        lines += [Result(f"{10 * bench.wanted.megabytes:,} MB, {what}", median(all), 3, less_is_better=True, chief=True, peer=live,
                         ours=median(all), unit="s") for what, all in found.items()]
    return lines
