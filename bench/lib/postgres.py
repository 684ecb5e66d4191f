"""
pgbench-write and pgbench-select: a PostgreSQL with its own defaults on the plain directory, the same with as much memory of
its own as ours has, and clusters.  All have the same tables (scale 50, 750 MB); ours also sum their pages, as any cluster
that was created does.
"""
import os
import re
import shutil
import time

from cluster import Failed, PlainPostgres, PostgresCluster, as_user, free_port, postgres_program, run

from lib import results, turns
from lib.results import Result, median
from lib.servers import endings, home_on, made, ratios, transport_words

SCALE, QUICK_SCALE, CLIENTS = 50, 2, 4
BUFFERS = "shared_buffers=1GB"
WINDOW = "72h"


def minutes(wanted, first):
    disks = 2 if wanted.disk == "both" else 1
    columns = 2 + (2 if wanted.transport == "both" else 1)
    return disks * (columns * (wanted.rounds + 1) * (wanted.seconds + 1.5) + (60 if first else 0)) / 60


def with_children(pids):
    """A server works in its children, also when nobody asks it."""
    found = list(pids)
    for pid in pids:
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                found += map(int, children.read().split())
        except OSError:
            pass
    return found


def processes(server):
    """Of a server or a cluster, at this moment; those that are served first."""
    if isinstance(server, PostgresCluster):
        status = server.status()
        return [*with_children([status["pid"]]), status["keeper_pid"]]
    return with_children([server.process.pid])


def pgbench(server, *words, timeout=3600):
    return run([postgres_program("pgbench"), f"--host={server.sockets}", f"--port={server.socket_port}", "--username=postgres",
                *words, "postgres"], timeout=timeout).stdout


def load(server, seconds, *words):
    """Transactions per second."""
    out = pgbench(server, f"--client={CLIENTS}", f"--jobs={CLIENTS}", f"--time={max(1, round(seconds))}", "--no-vacuum", *words,
                  timeout=seconds + 600)
    found = re.search(r"tps = ([0-9.]+)", out)
    if not found:
        raise Failed(f"pgbench says: {out}")
    return float(found.group(1))


class Fleet:
    def __init__(self, bench, disk):
        self.bench, self.disk = bench, disk
        self.columns, self.stopped = {}, {}
        self.warm = set()

    def plain(self, name, *options):
        server = PlainPostgres(os.path.join(self.disk.directory, name), *options)
        endings.append(server.stop)
        return server

    def make(self):
        bench, scale = self.bench, QUICK_SCALE if self.bench.wanted.quick else SCALE
        bench.say(f"{self.disk.name} disk: pgbench's tables, scale {scale}")
        first = self.plain("postgres")
        first.create(checksums=False)
        first.start()
        pgbench(first, "--initialize", f"--scale={scale}", "--quiet")
        first.stop()
        self.columns["plain"] = first
        self.columns["plain, 1 GB"] = self.copy("postgres-1g", BUFFERS)
        summed = self.copy("summed")
        run([*as_user(first.user), postgres_program("pg_checksums"), "--enable", "-D", summed.data], cwd="/")
        for transport in bench.transports:
            self.columns[transport] = self.cluster(transport, summed)
        shutil.rmtree(summed.directory)
        for name in ("plain", "plain, 1 GB"):
            self.columns[name].start()
        for name in self.columns:
            self.stop(name)

    def copy(self, name, *options):
        server = self.plain(name, *options)
        run(["cp", "-a", self.columns["plain"].directory, server.directory])
        return server

    def cluster(self, transport, source):
        self.bench.say(f"{self.disk.name} disk: importing a copy: {transport}")
        unspill, name = home_on(self.bench, self.disk), f"pg-{transport.replace('_', '-')}"
        unspill.run("import", name, "--engine", "postgresql", "--from", source.data, "--backtrack-window", WINDOW,
                    "--port", free_port(), *transport_words(self.bench, transport), timeout=3600)
        return made(PostgresCluster(unspill, name), transport)

    def stop(self, name):
        self.stopped[name] = processes(self.columns[name])
        turns.stop(self.stopped[name])

    def turn(self, name, seconds, *words):
        turns.go_on(self.stopped[name])
        try:
            return load(self.columns[name], seconds, *words)
        finally:
            self.stop(name)

    def sql(self, name, statements):
        """The seconds that it took."""
        turns.go_on(self.stopped[name])
        start = time.monotonic()
        self.columns[name].sql("SET client_min_messages = warning;" + statements)
        took = time.monotonic() - start
        self.stop(name)
        return took

    def prewarm(self, name):
        """Every page once: into the server's buffers as far as they reach, and into the kernel's cache where there is one."""
        took = self.sql(name, "CREATE EXTENSION IF NOT EXISTS pg_prewarm; "
                              "SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE relname LIKE 'pgbench%'")
        self.bench.say(f"{self.disk.name} disk: {name}: every page read in {took:.1f} s")

    def settle(self, name):
        """Nothing is left to be done of what was written: else who reads first does it, and with checksums logs it."""
        self.sql(name, "VACUUM pgbench_accounts; CHECKPOINT")

    def measure(self, *words):
        """{column: [transactions per second, one for each round]}"""
        wanted = self.bench.wanted
        for name in self.columns:
            if name not in self.warm:
                self.prewarm(name)
            self.settle(name)
            self.turn(name, min(wanted.seconds, 5), *words)
            self.warm.add(name)
        found = {name: [] for name in self.columns}
        for number, name in self.bench.turns(self.columns):
            found[name].append(self.turn(name, wanted.seconds, *words))
            self.bench.say(f"{self.disk.name} disk, round {number + 1}: {name}: {found[name][-1]:.0f} transactions/s")
        return found


def fleet(bench, disk):
    """Made once in a run, until everything is ended."""
    key = f"postgres on {disk.name}"
    if key not in bench.fleets:
        bench.fleets[key] = Fleet(bench, disk)
        bench.fleets[key].make()
    return bench.fleets[key]


def measure(bench, target, *words):
    found = []
    for disk in bench.disks("both"):
        start = time.monotonic()
        values = fleet(bench, disk).measure(*words)
        bench.say(f"{disk.name} disk: {time.monotonic() - start:.0f} s")
        parts = ratios(values)
        print(results.table(
            [f"{disk.name} disk", "transactions/s, median (least..most)", "ratio"],
            [[name, results.spread(values[name]), f"{parts[name]:.2f}"] for name in values],
        ) + "\n", flush=True)
        found += [
            Result(f"{disk.name} disk, {name}", parts[name], target if name == bench.fastest else None,
                   peer=median(values["plain"]), ours=median(values[name]), unit="transactions/s",
                   chief=name == bench.fastest and disk is bench.disks("both")[0])
            for name in values if name != "plain"
        ]
    return found
