"""What repacking in the background costs the database in front."""
from cluster import Failed

from lib import results, turns
from lib.results import Result, median
from lib.servers import change_settings, create_cluster, load, make_tables, processes

TITLE = "oltp_write_only while what is 20 s old is repacked"
PEER = "the same with a cluster that does not repack"
TARGET = "none; 1 is no cost"
DISKS = "plain"
# What an eighth of the window is old is repacked, as long as it has a quarter of it left.
WINDOW = "160s"
SIDES = {"repacking": True, "not repacking": False}


def minutes(wanted):
    return (25 + 2 * (wanted.rounds + 1) * (turn_seconds(wanted) + 4)) / 60


def turn_seconds(wanted):
    """A pack takes some seconds to be made."""
    return wanted.seconds if wanted.quick else max(5, wanted.seconds)


def turn_of(bench, cluster, seconds):
    """Transactions per second, MiB of tape that became packs meanwhile."""
    before = cluster.status()["bytes"]["packed_from"]
    speed = load(cluster, "oltp_write_only", bench.wanted.rows, seconds)[0]
    return speed, (cluster.status()["bytes"]["packed_from"] - before) / (1 << 20)


def make(bench, disk, name, repack):
    cluster = create_cluster(bench, disk, name.replace(" ", "-"), bench.fastest, WINDOW)
    cluster.run("stop", timeout=300)
    change_settings(cluster, repack=repack)
    cluster.run("start", timeout=300)
    make_tables(cluster, bench.wanted.rows)
    load(cluster, "oltp_write_only", bench.wanted.rows, turn_seconds(bench.wanted))
    return cluster


def measure(bench, disk):
    clusters, pids = {}, {}
    for name, repack in SIDES.items():
        clusters[name] = make(bench, disk, name, repack)
        pids[name] = processes(clusters[name])
        turns.stop(pids[name])
    found = {name: [] for name in clusters}
    for turn, name in bench.turns(clusters):
        with turns.own_turn(pids[name]):
            found[name].append(turn_of(bench, clusters[name], turn_seconds(bench.wanted)))
        bench.say(f"{disk.name} disk, round {turn + 1}: {name}: {found[name][-1][0]:.0f} transactions/s, {found[name][-1][1]:.0f} MiB repacked")
    return found


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        found = measure(bench, disk)
        speeds = {name: [speed for speed, _ in values] for name, values in found.items()}
        packed = {name: [mib for _, mib in values] for name, values in found.items()}
        print(results.table(
            [f"{disk.name} disk", "transactions/s, median (least..most)", "MiB repacked in a turn"],
            [[name, results.spread(speeds[name]), results.spread(packed[name])] for name in found],
        ) + "\n", flush=True)
        if sum(packed["not repacking"]) > 0:
            raise Failed(f"what should not be repacked was: {packed}")
        with_it, without = median(speeds["repacking"]), median(speeds["not repacking"])
        lines.append(Result(f"{disk.name} disk, {sum(packed['repacking']):,.0f} MiB repacked in {bench.wanted.rounds} turns of"
                            f" {turn_seconds(bench.wanted):g} s", with_it / without, chief=True, peer=without, ours=with_it,
                            unit="transactions/s"))
    return lines
