"""What the keeper keeps in memory for what is on the tape."""
import mmap
import os
import random
import time

from cluster import Failed

from lib import machine, results
from lib.results import Result
from lib.servers import Volume, create_cluster

TITLE = "the keeper's resident memory per distinct 16 KiB page changed within the window, from two points"
PEER = "the target alone"
TARGET = "<= 64 bytes a page, and a fixed part <= 256 MiB"
DISKS = "plain"
PAGE = 16384
BYTES_MAX = 64
FIXED_MIB_MAX = 256


def minutes(wanted):
    return 0.6


def points(wanted):
    return (2000, 8000) if wanted.quick else (100_000, 300_000)


def write_pages(path, numbers):
    """Each once, with O_DIRECT, in any order: as a server with a working set would, neighbours do not come together."""
    block = mmap.mmap(-1, PAGE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    try:
        for number in numbers:
            block[:8] = number.to_bytes(8, "little")
            if os.pwrite(fd, block, number * PAGE) != PAGE:
                raise Failed("a page was not written whole")
        os.fsync(fd)
    finally:
        os.close(fd)
        block.close()


def memory(pid):
    """Bytes: resident, and of that the heap and the like (not files mapped)."""
    status = machine.read(f"/proc/{pid}/status")
    return {name: int(machine.found(rf"^{name}:\s+(\d+) kB", status)) << 10 for name in ("VmRSS", "RssAnon", "VmHWM")}


def when_quiet(volume):
    """The keeper's background work (checkpoints) has had its turn: what it took does not change any more."""
    last, still = None, 0
    deadline = time.monotonic() + 60
    while still < 4 and time.monotonic() < deadline:
        now = memory(volume.keeper.pid)
        still = still + 1 if now == last else 0
        last = now
        time.sleep(0.5)
    return {**last, "said": volume.ask("status")["bytes"]["memory"]}


def measure(bench, disk):
    few, many = points(bench.wanted)
    volume = Volume(create_cluster(bench, disk, "memory", bench.fastest))
    path = os.path.join(volume.directory, "pages")
    order = list(range(many))
    random.Random(1).shuffle(order)
    found = {0: when_quiet(volume)}
    write_pages(path, order[:few])
    found[few] = when_quiet(volume)
    write_pages(path, order[few:])
    found[many] = when_quiet(volume)
    write_pages(path, order[:few])
    found[f"{many} and {few} of them again"] = when_quiet(volume)
    return found


def run(bench):
    lines = []
    few, many = points(bench.wanted)
    for disk in bench.disks(DISKS):
        found = measure(bench, disk)
        print(results.table(
            [f"{disk.name} disk, pages changed", "resident, MiB", "of that anonymous", "at most", "the state, as status has it"],
            [[pages if isinstance(pages, str) else f"{pages:,}", *(f"{m[key] / (1 << 20):.1f}" for key in ("VmRSS", "RssAnon", "VmHWM", "said"))]
             for pages, m in found.items()],
        ) + "\n", flush=True)
        each = (found[many]["VmRSS"] - found[few]["VmRSS"]) / (many - few)
        fixed = (found[few]["VmRSS"] - each * few) / (1 << 20)
        lines += [
            Result(f"{disk.name} disk, bytes a page, beside {BYTES_MAX}", each / BYTES_MAX, 1.0, less_is_better=True, chief=True, ours=each,
                   unit="bytes/page"),
            Result(f"{disk.name} disk, the fixed part, beside {FIXED_MIB_MAX} MiB", fixed / FIXED_MIB_MAX, 1.0, less_is_better=True,
                   ours=fixed, unit="MiB"),
        ]
    return lines
