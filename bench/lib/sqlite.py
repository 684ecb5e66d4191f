"""sqlite-*: one program that writes, on a plain file and on a volume inside of it."""
import os
import subprocess

from cluster import Failed, run

from lib import results, turns
from lib.results import Result, median

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = "SQLite's own VFS on the plain directory"
TARGET = ">= 1.0"
DISKS = "both"


def minutes(wanted):
    disks = 2 if wanted.disk == "both" else 1
    return (10 + disks * 2 * wanted.rounds * (min(wanted.seconds, 6) + 0.2)) / 60


class Writer:
    def __init__(self, mode, uri, *extension):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(HERE, "sqlite_load.py"), mode, uri, *extension],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        )
        self.read()
        turns.stop([self.process.pid])

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the writer ended with {self.process.wait()}")
        return line

    def per_second(self, seconds):
        with turns.own_turn([self.process.pid]):
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
            return float(self.read())

    def end(self):
        turns.go_on([self.process.pid])
        self.process.stdin.close()
        if self.process.wait(60):
            raise Failed("the writer found its database damaged")


def open_writers(bench, disk, mode):
    """SQLite's own VFS on the plain directory, ours on a volume beside it."""
    extension = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(bench.binary))), "vfs", "unspill.so")
    plain, home = os.path.join(disk.directory, mode), os.path.join(disk.directory, mode + "-home")
    os.mkdir(plain)
    run([bench.binary, "create", mode, "--engine", "sqlite", "--dir", os.path.join(disk.directory, mode + "-volume")],
        env=dict(os.environ, UNSPILL_HOME=home))
    return {
        "plain": Writer(mode, f"file:{plain}/bench.db?vfs=unix"),
        "volume": Writer(mode, f"file:{disk.directory}/{mode}-volume/{mode}.db?vfs=unspill", extension),
    }


def measure(bench, disk, mode):
    writers = open_writers(bench, disk, mode)
    found = {name: [] for name in writers}
    for writer in writers.values():
        writer.per_second(1)
    for turn, name in bench.turns(writers):
        found[name].append(writers[name].per_second(min(bench.wanted.seconds, 6)))
        bench.say(f"{disk.name} disk, round {turn + 1}: {name}: {found[name][-1]:.0f} transactions/s")
    for writer in writers.values():
        writer.end()
    return found


def compare(bench, disks, mode, wanted):
    lines = []
    for disk in bench.disks(disks):
        found = measure(bench, disk, mode)
        plain, ours = median(found["plain"]), median(found["volume"])
        print(results.table([f"{disk.name} disk", "transactions/s, median (least..most)", "ratio"],
                            [[name, results.spread(values), f"{median(values) / plain:.2f}"] for name, values in found.items()])
              + "\n", flush=True)
        lines.append(Result(f"{disk.name} disk, volume", ours / plain, wanted, peer=plain, ours=ours, unit="transactions/s",
                            chief=not lines))
    return lines
