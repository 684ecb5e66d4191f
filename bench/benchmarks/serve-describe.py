"""How many times `unspill serve` says all that it knows of a hundred clusters."""
from lib import results
from lib.results import Result, median
from lib.serve import CLUSTERS, CONNECTIONS, Serve

TITLE = f"DescribeDBClusters with {CLUSTERS} clusters known, {CONNECTIONS} keep-alive connections, serve on one core"
PEER = "the target alone"
TARGET = ">= 2,000/s, 99 of 100 within 20 ms"
DISKS = "plain"
LEAST, MOST_MS = 2000, 20


def minutes(wanted):
    return wanted.rounds * min(wanted.seconds, 10) / 60 + 0.1


def run(bench):
    serve = Serve(bench, "serve-describe", CLUSTERS)
    serve.start()
    serve.load("rds", "DescribeDBClusters", 1)
    found = [serve.load("rds", "DescribeDBClusters", min(bench.wanted.seconds, 10)) for _ in range(bench.wanted.rounds)]
    serve.end()
    rates, lates = [rate for rate, _ in found], [late for _, late in found]
    print(results.table(["", "answers/s, median (least..most)", "99 of 100 within, ms"],
                        [["DescribeDBClusters", results.spread(rates), results.spread(lates)]]) + "\n", flush=True)
    return [
        Result("answers, beside 2,000/s", median(rates) / LEAST, 1.0, peer=LEAST, ours=median(rates), unit="answers/s", chief=True),
        Result("99 of 100 answers, beside 20 ms", median(lates) / MOST_MS, 1.0, less_is_better=True, peer=MOST_MS, ours=median(lates),
               unit="ms"),
    ]
