"""The same undo by a backtrack, by a restored backup and its binlog, and by a flashback of the binlog."""
import contextlib
import os
import shutil
import subprocess
import time

from cluster import Failed, program
from cluster import run as command

from lib import results, turns
from lib.results import Result, median
from lib.servers import BINLOG, TABLES, import_cluster, load, make_tables, plain_server, processes

TITLE = "undo a stretch of oltp_write_only: command to first answered query, every table as it was"
PEER = "mariadb-backup's copy and the binlog up to the moment; mariadb-binlog --flashback"
TARGET = ">= 20 times faster than the restore"
DISKS = "plain"


def minutes(wanted):
    # Load before and in each round, on both sides; a single thread replays what four wrote.
    return (40 + wanted.seconds + wanted.rounds * (5.5 * wanted.seconds + 8)) / 60


def checksum(server):
    rows = server.sql("CHECKSUM TABLE " + ", ".join(f"sbtest.sbtest{n + 1}" for n in range(TABLES)))
    if len(rows) != TABLES or any(row[1] in ("0", "NULL") for row in rows):
        raise Failed(f"CHECKSUM TABLE says {rows}")
    return rows


def binlog_position(server):
    name, position = server.sql("SHOW MASTER STATUS")[0][:2]
    return name, int(position)


def files_between(server, first, last):
    names = [row[0] for row in server.sql("SHOW BINARY LOGS")]
    return [os.path.join(server.data, name) for name in names if first <= name <= last]


class Peer:
    """A server on the plain directory with a binlog, a full backup, and a moment to which it is put back."""

    def __init__(self, bench, disk):
        self.bench, self.directory = bench, disk.directory
        self.backup = os.path.join(disk.directory, "backup")
        self.server = plain_server(os.path.join(disk.directory, "server"), *BINLOG)
        self.server.create()
        self.server.start()
        make_tables(self.server, bench.wanted.rows)
        bench.say("full backup")
        command([program("mariadb-backup"), "--backup", f"--socket={self.server.socket}", "--user=root", f"--target-dir={self.backup}",
             f"--datadir={self.server.data}"])
        # A careful owner has done this beforehand; it is not counted.
        command([program("mariadb-backup"), "--prepare", f"--target-dir={self.backup}", "--use-memory=512M"])
        with open(os.path.join(self.backup, "xtrabackup_binlog_info"), encoding="utf-8") as file:
            self.backed_up = file.read().split()[:2]
        load(self.server, "oltp_write_only", bench.wanted.rows, bench.wanted.seconds)
        self.moment = binlog_position(self.server)

    def replay(self, server, words, files):
        """mariadb-binlog | mariadb, without writing it into the binlog once more."""
        with subprocess.Popen([program("mariadb-binlog"), "--disable-log-bin", *words, *files], stdout=subprocess.PIPE) as log:
            done = subprocess.run(server.client(), stdin=log.stdout, capture_output=True, timeout=3600, check=False)
            log.stdout.close()
            if log.wait() != 0 or done.returncode != 0:
                raise Failed(f"mariadb-binlog {' '.join(words)}: {done.stderr.decode(errors='replace')[:500]}")

    def restore(self, wanted):
        """Seconds to copy, to start, to replay; the restored server is thrown away."""
        server = plain_server(os.path.join(self.directory, "restored"), "--innodb-flush-log-at-trx-commit=0")
        os.makedirs(server.directory)
        with open(server.defaults, "w", encoding="utf-8") as file:
            file.write(f"[client]\nsocket={server.socket}\nuser=root\n")
        files = files_between(self.server, self.backed_up[0], self.moment[0])
        begun = time.monotonic()
        command([program("mariadb-backup"), "--copy-back", f"--target-dir={self.backup}", f"--datadir={server.data}"])
        command(["chown", "-R", "mysql:mysql", server.directory])
        copied = time.monotonic()
        server.start()
        started = time.monotonic()
        self.replay(server, [f"--start-position={self.backed_up[1]}", f"--stop-position={self.moment[1]}"], files)
        server.sql("SELECT 1")
        done = time.monotonic()
        same = checksum(server) == wanted
        server.stop()
        shutil.rmtree(server.directory)
        if not same:
            raise Failed("the restored tables are not as they were")
        return {"whole": done - begun, "copy": copied - begun, "start": started - copied, "replay": done - started}

    def flashback(self, since, wanted):
        name, position = binlog_position(self.server)
        if name != since[0]:
            raise Failed("the stretch to undo goes over the end of a binlog file: take fewer --seconds")
        path = os.path.join(self.server.data, name)
        begun = time.monotonic()
        # As fast as it goes, like the restore: nobody commits beside it.
        self.server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
        self.replay(self.server, ["--flashback", f"--start-position={since[1]}", f"--stop-position={position}"], [path])
        self.server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        whole = time.monotonic() - begun
        if checksum(self.server) != wanted:
            raise Failed("after the flashback the tables are not as they were")
        return {"whole": whole, "replay": whole}


def our_turn(bench, cluster, lsn, wanted):
    transactions = load(cluster, "oltp_write_only", bench.wanted.rows, bench.wanted.seconds)[1]
    if checksum(cluster) == wanted:
        raise Failed("the load changed nothing")
    begun = time.monotonic()
    done = cluster.backtrack(f"lsn:{lsn}")
    cluster.sql("SELECT 1")
    whole = time.monotonic() - begun
    if checksum(cluster) != wanted:
        raise Failed("after the backtrack the tables are not as they were")
    return {"whole": whole, "kill": done["kill_us"] / 1e6, "rewind": done["rewind_us"] / 1e6, "start": done["start_us"] / 1e6,
            "transactions": transactions}


def their_turns(bench, peer, wanted):
    since = binlog_position(peer.server)
    transactions = load(peer.server, "oltp_write_only", bench.wanted.rows, bench.wanted.seconds)[1]
    if checksum(peer.server) == wanted:
        raise Failed("the load changed nothing")
    return {"flashback": {**peer.flashback(since, wanted), "transactions": transactions},
            "restore": {**peer.restore(wanted), "transactions": transactions}}


@contextlib.contextmanager
def waiting(cluster):
    """Its server has another number after each backtrack."""
    pids = processes(cluster)
    turns.stop(pids)
    try:
        yield
    finally:
        turns.go_on(pids)


def measure(bench, disk):
    peer = Peer(bench, disk)
    # The cluster begins as a copy of that moment: one content for all three to come back to.
    peer.server.stop()
    cluster = import_cluster(bench, disk, "ours", peer.server.data, bench.fastest)
    peer.server.start()
    wanted = checksum(peer.server)
    if checksum(cluster) != wanted:
        raise Failed("the copy is none")
    lsn = cluster.status()["now"]["lsn"]
    found = {"backtrack": [], "flashback": [], "restore": []}
    turns.stop(processes(peer.server))
    for turn, side in bench.turns(("ours", "theirs")):
        if side == "ours":
            times_of = {"backtrack": our_turn(bench, cluster, lsn, wanted)}
        else:
            with waiting(cluster), turns.own_turn(processes(peer.server)):
                times_of = their_turns(bench, peer, wanted)
        for name, times in times_of.items():
            found[name].append(times)
            bench.say(f"round {turn + 1}: {name}: " + ", ".join(f"{key} {results.number(value)}" for key, value in times.items()))
    return found


def run_on(bench, disk):
    found = measure(bench, disk)
    middle = {name: {key: median([one[key] for one in all]) for key in all[0]} for name, all in found.items()}
    keys = ("transactions", "kill", "rewind", "copy", "start", "replay")
    print(results.table(
        [f"{disk.name} disk", "whole, s (least..most)", *keys],
        [[name, results.spread([one["whole"] for one in found[name]]), *(results.number(m.get(key)) for key in keys)]
         for name, m in middle.items()],
    ) + "\nEach came to the same checksum of every table, in every round.\n", flush=True)
    return middle


def run(bench):
    lines = []
    for disk in bench.disks(DISKS):
        middle = run_on(bench, disk)
        ours = middle["backtrack"]["whole"]
        for name, target in (("restore", 20), ("flashback", None)):
            lines.append(Result(f"{disk.name} disk, beside the {name}", middle[name]["whole"] / ours, target, chief=name == "restore",
                                peer=middle[name]["whole"], ours=ours, unit="s"))
    return lines
