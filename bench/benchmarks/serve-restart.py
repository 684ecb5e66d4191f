"""How soon `unspill serve` answers again after it was killed."""
from lib import results
from lib.results import Result, median
from lib.serve import CLUSTERS, Serve

TITLE = f"seconds from the start after kill -9 to an answer that has all of {CLUSTERS} clusters"
PEER = "the target alone"
TARGET = "<= 1 s"
DISKS = "plain"
MOST_S = 1


def minutes(wanted):
    return 0.2


def run(bench):
    serve = Serve(bench, "serve-restart", CLUSTERS)
    serve.start()
    found = [serve.first_answer() for _ in range(2 * bench.wanted.rounds)]
    serve.end()
    print(results.table(["", "s, median (least..most)"], [["first answer", results.spread(found)]]) + "\n", flush=True)
    return [Result("beside 1 s", median(found) / MOST_S, 1.0, less_is_better=True, peer=MOST_S, ours=median(found), unit="s", chief=True)]
