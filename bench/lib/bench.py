"""A run: what the benchmarks share, from the first word about the machine to the last table."""
import json
import os
import sys
import time
import traceback

from cluster import Failed, find_binary
from cluster import run as command

from lib import catalogue, machine, options, results
from lib.servers import Fleet, end_all

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLASSIC, URING = "classic", "io_uring"


def find_transports(binary, wanted):
    """Those to measure, the fastest last; says which not, and why."""
    chosen = [name for name in (CLASSIC, URING) if wanted in (name, "both")]
    missing = None
    if "--transport" not in command([binary, "create", "--help"]).stdout:
        missing = "'unspill create' knows no --transport"
    elif not os.path.exists(machine.URING_SWITCH):
        missing = "this kernel has no FUSE over io_uring"
    if URING in chosen and missing:
        print(f"io_uring: skipped: {missing}")
        chosen.remove(URING)
    if URING in chosen:
        machine.set_uring_switch("Y")
    if not chosen:
        raise Failed("no transport is left to measure")
    return chosen


class Bench:
    """
    What a benchmark gets: `wanted` (the options), `disks(name)`, `transports` (the fastest last), `fleet(disk)`.
    """

    def __init__(self, wanted):
        self.wanted = wanted
        self.sandbox = os.environ["UNSPILL_SANDBOX"]
        self.binary = find_binary(TOP)
        self.transports = find_transports(self.binary, wanted.transport)
        self.fastest = self.transports[-1]
        self.made_disks, self.fleets = {}, {}

    def path(self, *below):
        return os.path.join(self.sandbox, *below)

    def say(self, text):
        """Progress: not part of the tables."""
        print(f"# {text}", file=sys.stderr, flush=True)

    def disk(self, kind):
        if kind not in self.made_disks:
            if kind == "journaled":
                self.say("making a journaled disk")
                made = machine.JournaledDisk(self.sandbox, self.journaled_bytes())
            else:
                os.mkdir(self.path("plain"), 0o755)
                made = machine.Disk("plain", self.path("plain"))
            self.made_disks[kind] = made
        return self.made_disks[kind]

    def journaled_bytes(self):
        """Room for both of mariadb-*, at what a cluster writes at the most."""
        ours = len(self.transports) + 1
        seconds = 2 * ours * (self.wanted.rounds + 1) * self.wanted.seconds
        return round((3 if self.wanted.quick else 8) * machine.GIB + seconds * 40e6)

    def disks(self, worth="plain"):
        """The disks to measure on; `worth`: those that are worth it unless told otherwise."""
        kinds = {"both": ("plain", "journaled")}.get(self.wanted.disk, (self.wanted.disk,))
        if worth == "plain" and self.wanted.disk == "both":
            kinds = ("plain",)
        return [self.disk(kind) for kind in kinds]

    def fleet(self, disk):
        """The servers with sysbench's tables on that disk; made once in a run."""
        if disk.name not in self.fleets:
            self.fleets[disk.name] = Fleet(self, disk)
            self.fleets[disk.name].make()
        return self.fleets[disk.name]

    def turns(self, columns):
        """(round, column) in an order in which each column is first, second, ... in turn; what is asked for is interleaved."""
        columns = list(columns)
        for turn in range(self.wanted.rounds):
            first = turn % len(columns)
            for column in columns[first:] + columns[:first]:
                yield turn, column

    def end_servers(self):
        for trouble in end_all():
            self.say(trouble)

    def end_all(self):
        """Servers, clusters, files of whatever was measured."""
        self.end_servers()
        self.fleets = {}
        for disk in self.made_disks.values():
            disk.empty()

    def close(self):
        self.end_all()
        for disk in self.made_disks.values():
            disk.close()


def run_one(bench, name, module):
    print(f"\n{name}: {module.TITLE}\n{'':<{len(name)}}  beside {module.PEER}; to reach: {module.TARGET}\n", flush=True)
    start = time.monotonic()
    found = module.run(bench)
    bench.say(f"{name} took {time.monotonic() - start:.0f} s")
    print(results.verdicts(found))
    if bench.wanted.quick:
        print("--quick: these figures mean nothing")
    print(f"{name} ratio {results.chief(found):.2f}", flush=True)
    return found


def write_json(wanted, said, found, failed):
    if not wanted.json:
        return
    with open(wanted.json, "w", encoding="utf-8") as file:
        json.dump(
            {**said, "quick": wanted.quick, "failed": failed,
             "results": {name: [result.as_json() for result in rows] for name, rows in found.items()},
             "ratios": {name: results.chief(rows) for name, rows in found.items()}},
            file, indent=2,
        )
        file.write("\n")


def run_names(bench, wanted):
    found, failed, last = {}, {}, None
    for name in wanted.names:
        # The servers of mariadb-* are the same, and those of pgbench-*; others want the machine for themselves.
        module = catalogue.load(name)
        uses = getattr(module, "USES_FLEET", None)
        if not uses or uses != last:
            bench.end_all()
        last = uses
        try:
            found[name] = run_one(bench, name, module)
        except Exception as error:  # pylint: disable=broad-except
            # One that fails takes the others' results with it only if we let it.
            failed[name] = str(error) or type(error).__name__
            bench.end_all()
            print(f"{name} failed: {failed[name]}", flush=True)
            if not isinstance(error, Failed):
                traceback.print_exc()
    return found, failed


def run_all(wanted, words):
    bench = Bench(wanted)
    said = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": "bench/run " + " ".join(words),
        "settings": options.words(wanted),
        "machine": machine.describe(bench.sandbox),
    }
    for key, text in said.items():
        print(f"{key}: {text}")
    if machine.load_average() > 0.5:
        print(f"beware: others are at work on this machine (load average {machine.load_average():.1f})")
    sys.stdout.flush()
    try:
        found, failed = run_names(bench, wanted)
    finally:
        bench.close()
    if len(wanted.names) > 1:
        print("\n" + results.markdown(found))
        for name, rows in found.items():
            print(f"{name} ratio {results.chief(rows):.2f}")
    for name, text in failed.items():
        print(f"{name} failed: {text}")
    write_json(wanted, said, found, failed)
    return 1 if failed else 0


def run(wanted, words):
    try:
        return run_all(wanted, words)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
