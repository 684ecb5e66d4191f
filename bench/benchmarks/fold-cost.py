"""What folding in the background costs the database in front."""
from cluster import Failed

from lib import results, turns
from lib.results import Result, median
from lib.servers import create_cluster, load, make_tables, processes
from lib.tape import Tape

TITLE = "oltp_write_only while a window of a second makes everything fold as it comes"
PEER = "the same with a window in which nothing is old enough to fold"
TARGET = "none; 1 is no cost"
DISKS = "plain"
WINDOWS = {"folding": "1s", "not folding": "72h"}


def minutes(wanted):
    return (25 + 2 * (wanted.rounds + 1) * (turn_seconds(wanted) + 4)) / 60


def turn_seconds(wanted):
    """A fold takes a segment of 64 MiB at least: several of them are to pass in a turn."""
    return wanted.seconds if wanted.quick else max(10, wanted.seconds)


def turn_of(bench, cluster, seconds):
    """Transactions per second, MiB folded meanwhile."""
    before = Tape(cluster).oldest
    speed = load(cluster, "oltp_write_only", bench.wanted.rows, seconds)[0]
    folded = (Tape(cluster).oldest - before) / (1 << 20)
    return speed, folded


def measure(bench, disk):
    clusters, pids = {}, {}
    for name, window in WINDOWS.items():
        clusters[name] = create_cluster(bench, disk, name.replace(" ", "-"), bench.fastest, window)
        make_tables(clusters[name], bench.wanted.rows)
        load(clusters[name], "oltp_write_only", bench.wanted.rows, turn_seconds(bench.wanted))
        pids[name] = processes(clusters[name])
        turns.stop(pids[name])
    found = {name: [] for name in clusters}
    for turn, name in bench.turns(clusters):
        with turns.own_turn(pids[name]):
            found[name].append(turn_of(bench, clusters[name], turn_seconds(bench.wanted)))
        bench.say(f"{disk.name} disk, round {turn + 1}: {name}: {found[name][-1][0]:.0f} transactions/s, {found[name][-1][1]:.0f} MiB folded")
    return found


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        found = measure(bench, disk)
        speeds = {name: [speed for speed, _ in values] for name, values in found.items()}
        folded = {name: [mib for _, mib in values] for name, values in found.items()}
        print(results.table(
            [f"{disk.name} disk", "transactions/s, median (least..most)", "MiB folded in a turn"],
            [[name, results.spread(speeds[name]), results.spread(folded[name])] for name in found],
        ) + "\n", flush=True)
        if not bench.wanted.quick and (min(folded["folding"]) <= 0 or max(folded["not folding"]) > 0):
            raise Failed(f"what should fold did not, or what should not did: {folded}")
        with_it, without = median(speeds["folding"]), median(speeds["not folding"])
        lines.append(Result(f"{disk.name} disk, {sum(folded['folding']):,.0f} MiB folded in {bench.wanted.rounds} turns of"
                            f" {turn_seconds(bench.wanted):g} s", with_it / without, chief=True, peer=without, ours=with_it,
                            unit="transactions/s"))
    return lines
