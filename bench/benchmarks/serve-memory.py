"""What `unspill serve` keeps in memory."""
import time

from lib.results import Result
from lib.serve import CLUSTERS, Serve

TITLE = f"serve's resident memory with {CLUSTERS} clusters known: idle after the start, and after a load"
PEER = "the target alone"
TARGET = "<= 64 MiB"
DISKS = "plain"
MOST_MIB = 64


def minutes(wanted):
    return 0.3


def run(bench):
    serve = Serve(bench, "serve-memory", CLUSTERS)
    serve.start()
    serve.ask("rds", "DescribeDBClusters")
    time.sleep(5)  # it looks at its clusters meanwhile
    idle = serve.resident_mib()
    serve.load("rds", "DescribeDBClusters", 3)
    loaded = serve.resident_mib()
    serve.end()
    return [
        Result("idle, beside 64 MiB", idle / MOST_MIB, 1.0, less_is_better=True, peer=MOST_MIB, ours=idle, unit="MiB", chief=True),
        Result("after a load, beside 64 MiB", loaded / MOST_MIB, less_is_better=True, peer=MOST_MIB, ours=loaded, unit="MiB"),
    ]
