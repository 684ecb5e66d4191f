"""How long a backtrack takes, and what of it."""
import time

from cluster import wait_for

from lib import results
from lib.results import Result, median
from lib.servers import create_cluster, end_load, load, make_tables, start_load

TITLE = "backtrack under oltp_write_only at full speed, over 10 s, 1 min and 10 min of it: command to first answered query"
PEER = "the targets alone"
TARGET = "rewind <= 1 s per million change records that it replays, and no more for a longer way; the whole <= 3 s"
DISKS = "plain"
MORE_S = 2  # of load before each backtrack but the first


def stretches(wanted):
    longest = wanted.longest
    return [longest / 4, longest / 2, longest] if wanted.quick else sorted({min(10, longest), min(60, longest), longest})


def minutes(wanted):
    return (25 + wanted.longest + 3 * wanted.rounds * (MORE_S + 4)) / 60


def make_history(bench, cluster):
    """{seconds: position}: that long before the end, the load is at full speed; and its process, still at work."""
    ways = stretches(bench.wanted)
    load(cluster, "oltp_write_only", bench.wanted.rows, min(5, bench.wanted.seconds))
    process = start_load(cluster, "oltp_write_only", bench.wanted.rows)
    # From here on it is the load's own time that passes, and is to pass.
    begun = time.monotonic()
    found = {}
    for way in sorted(ways, reverse=True):
        time.sleep(max(0, begun + max(ways) - way - time.monotonic()))
        found[way] = cluster.status()["now"]["lsn"]
    time.sleep(max(0, begun + max(ways) - time.monotonic()))
    return found, process


def measure(cluster, lsn):
    plan = cluster.json("backtrack", "--to", f"lsn:{lsn}", "--dry-run")
    start = time.monotonic()
    done = cluster.backtrack(f"lsn:{lsn}")
    wait_for(cluster.answers, 60, "the first answer")
    whole = time.monotonic() - start
    return {"whole": whole, "kill": done["kill_us"] / 1e6, "rewind": done["rewind_us"] / 1e6, "start": done["start_us"] / 1e6,
            "undone": done["records"], "replayed": plan["replay_records"], "bytes": plan["bytes"]}


def all_rounds(bench, cluster):
    found, process = make_history(bench, cluster)
    end = cluster.status()["now"]["lsn"]
    times = {way: [] for way in sorted(found)}
    for turn, way in bench.turns(times):
        if process is None:
            # To the end again, where the way is as long as it was, and on at full speed.
            cluster.backtrack(f"lsn:{end}")
            process = start_load(cluster, "oltp_write_only", bench.wanted.rows)
            time.sleep(MORE_S)
        times[way].append(measure(cluster, found[way]))
        end_load(process)
        process = None
        bench.say(f"round {turn + 1}: {way:g} s back: " + ", ".join(f"{k} {results.number(v)}" for k, v in times[way][-1].items()))
    return times


def print_table(times):
    middle = {way: {key: median([one[key] for one in all]) for key in all[0]} for way, all in times.items()}
    print(results.table(
        ["back over", "whole, s (least..most)", "kill", "rewind", "start", "records undone", "replayed", "MiB", "rewind, s per million replayed"],
        [[f"{way:g} s", f"{m['whole']:.2f} ({min(o['whole'] for o in times[way]):.2f}..{max(o['whole'] for o in times[way]):.2f})",
          f"{m['kill']:.3f}", f"{m['rewind']:.3f}", f"{m['start']:.2f}", f"{m['undone']:,.0f}", f"{m['replayed']:,.0f}",
          f"{m['bytes'] / (1 << 20):,.0f}", f"{m['rewind'] * 1e6 / max(1, m['replayed']):.2f}"]
         for way, m in middle.items()],
    ) + "\n")
    return middle


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        cluster = create_cluster(bench, disk, "backtrack", bench.fastest)
        make_tables(cluster, bench.wanted.rows)
        middle = print_table(all_rounds(bench, cluster))
        for way, m in middle.items():
            # Where little is replayed there is still a record to be written, and a server's death to be seen.
            millions = max(1.0, m["replayed"] / 1e6)
            lines.append(Result(f"{disk.name} disk, rewind per million records replayed (at least one), {way:g} s back",
                                m["rewind"] / millions, 1.0, less_is_better=True, chief=True, ours=m["rewind"], unit="s"))
        for way, m in middle.items():
            lines.append(Result(f"{disk.name} disk, the whole of it, {way:g} s back", m["whole"], 3.0, less_is_better=True,
                                ours=m["whole"], unit="s"))
        shortest, longest = min(middle), max(middle)
        lines.append(Result(f"{disk.name} disk, rewind over {longest:g} s beside that over {shortest:g} s",
                            middle[longest]["rewind"] / max(1e-6, middle[shortest]["rewind"]), less_is_better=True,
                            peer=middle[shortest]["rewind"], ours=middle[longest]["rewind"], unit="s"))
    return lines
