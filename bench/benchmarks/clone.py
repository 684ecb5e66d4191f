"""A second server with the same data: a clone, a copy by reflinks, a restored backup."""
import contextlib
import os
import shutil

from cluster import Failed, program
from cluster import run as command

from lib import results, turns
from lib.filled import MEGABYTES_PER_SECOND, fill, filled_cluster, other, seconds_of
from lib.machine import BtrfsDisk
from lib.results import Result, median
from lib.servers import plain_server, processes

TITLE = "a second server with all the data of a first: command to first answered query, at --megabytes and ten times as many"
PEER = "cp --reflink of a stopped server's directory on btrfs; mariadb-backup's prepared copy put in place"
TARGET = "<= 1 s beside the server's start, the same for both sizes"
DISKS = "plain"


def sizes(wanted):
    return wanted.megabytes, 10 * wanted.megabytes


def minutes(wanted):
    megabytes = sum(sizes(wanted))
    # Written twice, backed up, and restored in each round.
    return (40 + 2.5 * megabytes / MEGABYTES_PER_SECOND + wanted.rounds * (12 + megabytes / 250)) / 60


def check_rows(server):
    if server.sql("SELECT COUNT(*) FROM filled.small") != [["3"]]:
        raise Failed("the rows are not there")


class Ours:
    def __init__(self, bench, disk, megabytes):
        self.cluster = filled_cluster(bench, disk, f"cloned{megabytes}", megabytes)
        self.processes = processes(self.cluster)

    def turn(self):
        """Seconds in all, and of the server's start."""
        home, clone = self.cluster.unspill, other(self.cluster, "clone")
        cloned, _ = seconds_of(lambda: home.run("clone", self.cluster.name, "clone", "--no-start"))
        started, _ = seconds_of(lambda: (home.run("start", "clone"), check_rows(clone)))
        home.run("delete", "clone", "--yes", timeout=300)
        return {"whole": cloned + started, "copy": cloned, "start": started}


class Theirs:
    """A server on btrfs, stopped while it is copied; and its backup, prepared beforehand, on the plain directory."""

    def __init__(self, bench, disk, btrfs, megabytes):
        self.directory = os.path.join(disk.directory, f"peer{megabytes}")
        self.btrfs, self.backup = btrfs, os.path.join(self.directory, "backup")
        os.makedirs(self.directory)
        self.server = plain_server(os.path.join(btrfs.directory, f"server{megabytes}"))
        self.server.create()
        self.server.start()
        bench.say(f"a server of {megabytes} MB on btrfs, and its backup")
        fill(self.server, megabytes)
        command([program("mariadb-backup"), "--backup", f"--socket={self.server.socket}", "--user=root", f"--target-dir={self.backup}",
                 f"--datadir={self.server.data}"], timeout=7200)
        command([program("mariadb-backup"), "--prepare", f"--target-dir={self.backup}", "--use-memory=512M"], timeout=7200)
        self.server.stop()

    def start(self, server):
        with open(server.defaults, "w", encoding="utf-8") as file:
            file.write(f"[client]\nsocket={server.socket}\nuser=root\n")
        server.start()
        check_rows(server)

    def second(self, directory, copy):
        server = plain_server(directory)
        os.makedirs(server.directory)
        copied, _ = seconds_of(lambda: copy(server))
        command(["chown", "-R", "mysql:mysql", server.directory])
        started, _ = seconds_of(lambda: self.start(server))
        server.stop()
        shutil.rmtree(server.directory)
        return {"whole": copied + started, "copy": copied, "start": started}

    def reflink(self):
        return self.second(os.path.join(self.btrfs.directory, "copy"), lambda server: command(
            ["cp", "-r", "--reflink=always", self.server.data, server.data]))

    def restore(self):
        return self.second(os.path.join(self.directory, "restored"), lambda server: command(
            [program("mariadb-backup"), "--copy-back", f"--target-dir={self.backup}", f"--datadir={server.data}"], timeout=7200))

    def close(self):
        shutil.rmtree(self.directory)
        shutil.rmtree(self.server.directory)


def measure(bench, disk, btrfs, megabytes):
    theirs, ours = Theirs(bench, disk, btrfs, megabytes), Ours(bench, disk, megabytes)
    found = {"clone": [], "reflink": [], "restore": []}
    turns.stop(ours.processes)
    for turn, side in bench.turns(found):
        if side == "clone":
            with turns.own_turn(ours.processes):
                times = ours.turn()
        else:
            times = getattr(theirs, side)()
        found[side].append(times)
        bench.say(f"{megabytes} MB, round {turn + 1}: {side}: " + ", ".join(f"{k} {results.number(v)} s" for k, v in times.items()))
    theirs.close()
    return {name: {key: median([one[key] for one in all]) for key in all[0]} for name, all in found.items()}


def run(bench):
    lines, rows, middle = [], [], {}
    for disk in bench.disks(DISKS):
        with BtrfsDisk(bench.sandbox, 3 * max(sizes(bench.wanted)) + 3000) as btrfs, contextlib.ExitStack() as stack:
            # Before the disk goes.
            stack.callback(bench.end_servers)
            for megabytes in sizes(bench.wanted):
                middle = measure(bench, disk, btrfs, megabytes)
                rows += [[f"{megabytes:,} MB, {name}", *(results.number(m[key]) for key in ("whole", "copy", "start"))]
                         for name, m in middle.items()]
                ours = middle["clone"]["copy"]
                lines.append(Result(f"{megabytes:,} MB: seconds beside the start", ours, 1, less_is_better=True, chief=True,
                                    peer=middle["restore"]["copy"], ours=ours, unit="s"))
                for name in ("reflink", "restore"):
                    lines.append(Result(f"{megabytes:,} MB: the whole, beside the {name}", middle[name]["whole"] / middle["clone"]["whole"],
                                        peer=middle[name]["whole"], ours=middle["clone"]["whole"], unit="s"))
    print(results.table(["", "whole, s", "without the start", "start"], rows) + "\n", flush=True)
    return lines
