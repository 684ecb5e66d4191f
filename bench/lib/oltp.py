"""mariadb-write and mariadb-read-write: one of sysbench's scripts, on every disk and transport."""
from lib import results
from lib.results import Result, median
from lib.servers import ratios


def minutes(wanted, first):
    """`first`: the tables have to be made, and the servers warmed."""
    disks = 2 if wanted.disk == "both" else 1
    columns = 2 + (2 if wanted.transport == "both" else 1)
    each = columns * (wanted.rounds * (wanted.seconds + 1.5) + (wanted.seconds if first else 5))
    return disks * (each + (25 + 5 * columns if first else 0)) / 60


def run(bench, script, targets):
    """`targets`: {(disk, column): at least}; the ratio of the fastest transport on the plain disk is the benchmark's."""
    found = []
    for disk in bench.disks("both"):
        values = bench.fleet(disk).measure(script)
        parts = ratios(values)
        print(results.table(
            [f"{disk.name} disk", "transactions/s, median (least..most)", "ratio"],
            [[name, results.spread(values[name]), f"{parts[name]:.2f}"] for name in values],
        ) + "\n", flush=True)
        found += [
            Result(f"{disk.name} disk, {name}", parts[name], targets.get((disk.name, name)), peer=median(values["plain"]),
                   ours=median(values[name]), unit="transactions/s",
                   chief=name == bench.fastest and disk is bench.disks("both")[0])
            for name in values if name != "plain"
        ]
    return found
