"""Small writes, each made durable."""
import os

from cluster import Failed

from lib import results, turns
from lib.files import directories, fio
from lib.results import Result, median

TITLE = "fio, 4 KiB write and fdatasync, over and over in files of 64 MiB, 1 and 4 jobs"
PEER = "the same in the plain directory"
TARGET = ">= 0.85"
DISKS = "plain"
JOBS = (1, 4)


def minutes(wanted):
    columns = 1 + (2 if wanted.transport == "both" else 1)
    return (20 + len(JOBS) * columns * wanted.rounds * (turn_seconds(wanted) + 1)) / 60


def turn_seconds(wanted):
    return min(wanted.seconds, 6)


def writes(directory, jobs, seconds, megabytes):
    """Per second.  The files are there: it is not their growth that is measured."""
    job = fio(directory, "--rw=write", "--bs=4k", f"--size={megabytes}M", f"--numjobs={jobs}", "--overwrite=1", "--fdatasync=1",
              "--time_based", f"--runtime={max(1, round(seconds))}")
    files = len(os.listdir(directory))
    if files != max(JOBS):
        raise Failed(f"{files} files for {jobs} jobs: each is to have its own")
    if job["error"] or not job["write"]["total_ios"] or not job["sync"]["lat_ns"].get("N"):
        raise Failed(f"fio wrote or synced nothing in {directory}")
    return job["write"]["iops"]


def run_on(bench, disk):
    seconds, megabytes = turn_seconds(bench.wanted), 4 if bench.wanted.quick else 64
    found = {}
    columns = directories(bench, disk)
    for directory, pids in columns.values():
        with turns.own_turn(pids):
            writes(directory, max(JOBS), 1, megabytes)  # lays the files out
    for jobs in JOBS:
        found.update({(jobs, name): [] for name in columns})
        for turn, name in bench.turns(columns):
            directory, pids = columns[name]
            with turns.own_turn(pids):
                found[jobs, name].append(writes(directory, jobs, seconds, megabytes))
            bench.say(f"{disk.name} disk, {jobs} at once, round {turn + 1}: {name}: {found[jobs, name][-1]:.0f} writes/s")
    return found


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        found = run_on(bench, disk)
        plain = {jobs: median(found[jobs, "plain"]) for jobs in JOBS}
        print(results.table(
            [f"{disk.name} disk", "durable writes/s, median (least..most)", "ratio"],
            [[f"{jobs} job{'s' * (jobs > 1)}, {name}", results.spread(values), f"{median(values) / plain[jobs]:.2f}"]
             for (jobs, name), values in found.items()],
        ) + "\n", flush=True)
        lines += [
            Result(f"{disk.name} disk, {jobs} job{'s' * (jobs > 1)}, {name}", median(values) / plain[jobs], 0.85, peer=plain[jobs],
                   ours=median(values), unit="writes/s", chief=name == bench.fastest)
            for (jobs, name), values in found.items() if name != "plain"
        ]
    return lines
