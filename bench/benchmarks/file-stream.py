"""Large files, written and read from one end to the other."""
import os

from cluster import Failed

from lib import machine, results, turns
from lib.files import directories, fio
from lib.results import Result, median

TITLE = "fio, 1 MiB blocks in sequence: written and synced once at the end, and read with cold caches"
PEER = "the same in the plain directory"
TARGET = ">= 0.8"
DISKS = "plain"


def minutes(wanted):
    columns = 1 + (2 if wanted.transport == "both" else 1)
    return (20 + columns * wanted.rounds * 8) / 60


def megabytes_per_second(job, way, megabytes):
    if job["error"] or job[way]["io_bytes"] != megabytes << 20:
        raise Failed(f"fio: {way}: not all of the file")
    return megabytes * 1.048576 / (job["job_runtime"] / 1000)


def written(directory, megabytes):
    """A new file."""
    for name in os.listdir(directory):
        os.unlink(os.path.join(directory, name))
    job = fio(directory, "--rw=write", "--bs=1M", f"--size={megabytes}M", "--end_fsync=1", "--create_on_open=1")
    return megabytes_per_second(job, "write", megabytes)


def read_back(directory, megabytes):
    machine.drop_caches()
    return megabytes_per_second(fio(directory, "--rw=read", "--bs=1M", f"--size={megabytes}M"), "read", megabytes)


def run_on(bench, disk):
    megabytes = 64 if bench.wanted.quick else 2048
    columns = directories(bench, disk)
    found = {(way, name): [] for way in ("write", "read") for name in columns}
    for turn, name in bench.turns(columns):
        directory, pids = columns[name]
        for way, measure in (("write", written), ("read", read_back)):
            with turns.own_turn(pids):
                found[way, name].append(measure(directory, megabytes))
            bench.say(f"{disk.name} disk, round {turn + 1}: {way}, {name}: {found[way, name][-1]:.0f} MB/s")
    return found


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        found = run_on(bench, disk)
        plain = {way: median(found[way, "plain"]) for way in ("write", "read")}
        print(results.table(
            [f"{disk.name} disk", "MB/s, median (least..most)", "ratio"],
            [[f"{way}, {name}", results.spread(values), f"{median(values) / plain[way]:.2f}"] for (way, name), values in found.items()],
        ) + "\n", flush=True)
        lines += [
            Result(f"{disk.name} disk, {way}, {name}", median(values) / plain[way], 0.8, peer=plain[way], ours=median(values),
                   unit="MB/s", chief=name == bench.fastest)
            for (way, name), values in found.items() if name != "plain"
        ]
    return lines
