"""How many signed requests `unspill serve` answers when there is nothing to do but to see who asks."""
from lib import results
from lib.results import Result, median
from lib.serve import CONNECTIONS, Serve

TITLE = f"signed GetCallerIdentity, {CONNECTIONS} keep-alive connections, serve on one core, the log on"
PEER = "the target alone (Moto's server: 249/s on two cores)"
TARGET = ">= 20,000/s"
DISKS = "plain"
LEAST = 20000


def minutes(wanted):
    return wanted.rounds * min(wanted.seconds, 10) / 60 + 0.1


def run(bench):
    serve = Serve(bench, "serve-identity")
    serve.start()
    serve.load("sts", "GetCallerIdentity", 1)
    found = [serve.load("sts", "GetCallerIdentity", min(bench.wanted.seconds, 10)) for _ in range(bench.wanted.rounds)]
    serve.end()
    rates = [rate for rate, _ in found]
    print(results.table(["", "answers/s, median (least..most)", "99 of 100 within, ms"],
                        [["GetCallerIdentity", results.spread(rates), results.spread([late for _, late in found])]]) + "\n", flush=True)
    return [Result("answers, beside 20,000/s", median(rates) / LEAST, 1.0, peer=LEAST, ours=median(rates), unit="answers/s", chief=True)]
