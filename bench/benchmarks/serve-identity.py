"""How many signed requests `unspill serve` answers when there is nothing to do but to see who asks."""
from lib import results, turns
from lib.results import Result, median
from lib.serve import CONNECTIONS, Moto, Serve

TITLE = f"signed GetCallerIdentity, {CONNECTIONS} keep-alive connections, serve on one core, the log on"
PEER = "the target; and Moto's server on the same core, where $UNSPILL_BENCH_MOTO is a Python that has it"
TARGET = ">= 20,000/s"
DISKS = "plain"
LEAST = 20000


def minutes(wanted):
    return wanted.rounds * min(wanted.seconds, 10) / 60 * (2 if Moto.python() else 1) + 0.1


def run(bench):
    sides = {"ours": Serve(bench, "serve-identity")}
    if Moto.python():
        sides["Moto"] = Moto(bench)
    found = {name: [] for name in sides}
    for side in sides.values():
        side.start()
        side.load("sts", "GetCallerIdentity", 1)
        turns.stop([side.process.pid])
    for _ in range(bench.wanted.rounds):
        for name, side in sides.items():
            with turns.own_turn([side.process.pid]):
                found[name].append(side.load("sts", "GetCallerIdentity", min(bench.wanted.seconds, 10)))
    turns.all_go_on()
    for side in sides.values():
        side.end()
    print(results.table(["", "answers/s, median (least..most)", "99 of 100 within, ms"],
                        [[name, results.spread([rate for rate, _ in one]), results.spread([late for _, late in one])]
                         for name, one in found.items()]) + "\n", flush=True)
    rates = {name: median([rate for rate, _ in one]) for name, one in found.items()}
    verdict = [Result("answers, beside 20,000/s", rates["ours"] / LEAST, 1.0, peer=LEAST, ours=rates["ours"], unit="answers/s", chief=True)]
    if "Moto" in rates:
        verdict.append(Result("answers, beside Moto's server", rates["ours"] / rates["Moto"], peer=rates["Moto"], ours=rates["ours"], unit="answers/s"))
    return verdict
