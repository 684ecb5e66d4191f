"""
The servers that are compared: a MariaDB on the plain directory with its own defaults, and the same on an Unspill
cluster; the load that they get (Debian's sysbench); a volume without a server.
"""
import json
import os
import re
import socket
import subprocess
import time

from cluster import Cluster, Failed, PlainServer, Server, Unspill, free_port, program, run, wait_for

from lib import turns
from lib.results import median

# Both sides alike.  The tables fit into the pool; the log is small enough that pages are written all the time.
SERVER_OPTIONS = ("innodb_buffer_pool_size=512M", "innodb_log_file_size=128M", "innodb_flush_log_at_trx_commit=1")
BINLOG = ("--log-bin=binlog", "--server-id=1", "--binlog-format=ROW", "--binlog-row-image=FULL")
TABLES = THREADS = 4
WINDOW = "72h"

# What there is to be ended: functions, in the order in which things were made.
endings = []


def end_all():
    """Whatever was made, also by a benchmark that failed in the middle; what does not end is said.  The newest goes first."""
    troubles = []
    turns.all_go_on()
    while endings:
        try:
            endings.pop()()
        except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as error:
            troubles.append(str(error))
    return troubles


def words(options):
    """Options of the server, for `unspill create`."""
    return [word for option in options for word in ("--server-option", option)]


# --- sysbench -------------------------------------------------------------------------------------


def password(server):
    with open(server.defaults, encoding="utf-8") as file:
        found = re.search(r"^password=(.*)$", file.read(), re.M)
    return found.group(1) if found else ""


def socket_of(server):
    return server.socket if isinstance(server, PlainServer) else server.path("run/server/sock")


def sysbench(server, script, rows, *more):
    return [
        program("sysbench"), script, "--db-driver=mysql", f"--mysql-socket={socket_of(server)}", "--mysql-user=root",
        f"--mysql-password={password(server)}", "--mysql-db=sbtest", f"--tables={TABLES}", f"--table-size={rows}",
        f"--threads={THREADS}", *more,
    ]


def load(server, script, rows, seconds=0, events=0):
    """Run it; transactions per second, and how many there were."""
    done = run(
        sysbench(server, script, rows, f"--time={max(1, round(seconds)) if seconds else 0}", f"--events={events}", "run"),
        timeout=seconds + 3600,
    )
    found = re.search(r"transactions:\s+(\d+)\s+\(([0-9.]+) per sec", done.stdout)
    if not found or not int(found.group(1)):
        raise Failed(f"sysbench says: {done.stdout}")
    return float(found.group(2)), int(found.group(1))


def start_load(server, script, rows):
    """In the background, at full speed, until the server is gone or the caller ends it."""
    return subprocess.Popen(
        sysbench(server, script, rows, "--time=86400", "run"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def end_load(process):
    process.terminate()
    process.wait(60)


def processes(side):
    """Of a server, a cluster or a volume, those that are served first."""
    if isinstance(side, DoublewriteServer):
        return [side.process.pid, side.volume.keeper.pid]
    if isinstance(side, Volume):
        return [side.keeper.pid]
    if isinstance(side, Cluster):
        status = side.status()
        return [status["pid"], status["keeper_pid"]]
    return [side.process.pid]


# --- Servers --------------------------------------------------------------------------------------


def plain_server(directory, *more):
    server = PlainServer(directory, *("--" + option.replace("_", "-") for option in SERVER_OPTIONS), *more)
    endings.append(server.stop)
    return server


def make_tables(server, rows):
    server.sql("CREATE DATABASE sbtest")
    run(sysbench(server, "oltp_write_only", rows, "prepare"), timeout=3600)


def home_on(bench, disk):
    return Unspill(bench.binary, os.path.join(disk.directory, "home"))


def transport_words(bench, transport):
    knows = "--transport" in run([bench.binary, "create", "--help"]).stdout
    return ["--transport", transport] if knows else []


def made(cluster, transport):
    """A mount that fell back to the other transport would be measured under a wrong name."""
    endings.append(lambda: cluster.run("delete", "--yes", timeout=120))
    said = cluster.status()["transport"]["name"]
    if said != transport:
        raise Failed(f"the mount of {cluster.name} speaks {said}, not {transport}")
    return cluster


def import_cluster(bench, disk, name, source, transport, window=WINDOW):
    """A cluster with a copy of a data directory whose server is stopped."""
    unspill = home_on(bench, disk)
    unspill.run("import", name, "--from", source, "--backtrack-window", window, "--port", free_port(),
                *transport_words(bench, transport), *words(SERVER_OPTIONS), timeout=3600)
    return made(Cluster(unspill, name), transport)


def create_cluster(bench, disk, name, transport, window=WINDOW, engine="mariadb"):
    options = SERVER_OPTIONS if engine == "mariadb" else []
    cluster = home_on(bench, disk).create(
        name, "--backtrack-window", window, *transport_words(bench, transport), *words(options), engine=engine
    )
    return made(cluster, transport)


def change_settings(cluster, **settings):
    """Of a cluster that is stopped."""
    path = cluster.path("cluster.json")
    with open(path, encoding="utf-8") as file:
        changed = {**json.load(file), **settings}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(changed, file)


class Volume:
    """A cluster's volume, mounted by its keeper, without a server; `directory` is an empty one in it."""

    def __init__(self, cluster):
        self.cluster = cluster
        cluster.run("stop", timeout=300)
        self.log = open(cluster.directory + ".keep.log", "wb")  # pylint: disable=consider-using-with
        self.keeper = subprocess.Popen(
            [cluster.unspill.binary, "keep", cluster.directory, "--no-server"],
            env=cluster.unspill.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        endings.append(self.close)
        # It ends when nobody has been connected for a minute.
        self.connection = wait_for(self.connect, 60, "the keeper")
        self.directory = os.path.join(cluster.directory, "mnt/bench")
        wait_for(lambda: os.path.ismount(cluster.path("mnt")), 60, "the mount")
        os.mkdir(self.directory)

    def connect(self):
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(self.cluster.path("run/control.sock"))
            return made
        except OSError:
            made.close()
            raise

    def ask(self, what):
        self.connection.sendall(json.dumps({"unspill": 1, "do": what}).encode() + b"\n")
        with self.connection.makefile("rb") as answers:
            answer = json.loads(answers.readline())
        if not answer.get("ok"):
            raise Failed(f"{what}: {answer}")
        return answer["result"]

    def close(self):
        self.ask("shutdown")
        self.connection.close()
        self.keeper.wait(120)
        self.log.close()


class DoublewriteServer(Server):
    """The cluster's own server, with its own options, but doublewrite on: the keeper holds the volume only."""

    def __init__(self, cluster):
        self.cluster, self.defaults, self.path = cluster, cluster.defaults, cluster.path
        config = cluster.path("run/my.cnf")
        with open(config, encoding="utf-8") as file:
            text = file.read()
        changed = re.sub(r"^innodb_doublewrite\s*=\s*0$", "innodb_doublewrite = 1", text, flags=re.M)
        if changed == text:
            raise Failed(f"no doublewrite to switch on in {config}")
        self.volume = Volume(cluster)
        own = cluster.directory + ".doublewrite.cnf"
        with open(own, "w", encoding="utf-8") as file:
            file.write(changed)
        self.process = subprocess.Popen(
            [program("mariadbd"), f"--defaults-file={own}", "--user=mysql"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        endings.append(self.close)
        wait_for(self.answers, 120, "the server with doublewrite")
        if self.value("SELECT @@innodb_doublewrite") != "1":
            raise Failed("doublewrite is not on")

    def close(self):
        self.process.terminate()
        self.process.wait(120)


class Fleet:
    """
    The same tables on each side: loaded once into the plain server, then copied.  `columns` is in the order of the table:
    plain, each transport, and the fastest one with doublewrite on.
    """

    def __init__(self, bench, disk):
        self.bench, self.disk, self.rows = bench, disk, bench.wanted.rows
        self.plain = plain_server(os.path.join(disk.directory, "server"))
        self.columns = {"plain": self.plain}
        self.warm, self.processes = set(), {}

    def make(self):
        bench, disk = self.bench, self.disk
        bench.say(f"{disk.name} disk: {TABLES} tables of {self.rows} rows")
        self.plain.create()
        self.plain.start()
        make_tables(self.plain, self.rows)
        self.plain.stop()
        for transport in bench.transports:
            self.columns[transport] = self.copy(transport, transport)
        self.columns[f"{bench.fastest}, doublewrite"] = DoublewriteServer(self.copy("doublewrite", bench.fastest))
        self.plain.start()
        # From here on each goes on in its own turns only.
        self.processes = {name: processes(server) for name, server in self.columns.items()}
        for pids in self.processes.values():
            turns.stop(pids)

    def copy(self, name, transport):
        self.bench.say(f"{self.disk.name} disk: importing a copy: {name}")
        return import_cluster(self.bench, self.disk, name, self.plain.data, transport)

    def measure(self, script):
        """{column: [transactions per second, one for each round]}"""
        wanted = self.bench.wanted
        for name, server in self.columns.items():
            # The second benchmark finds pool and log as the first left them.
            with turns.own_turn(self.processes[name]):
                load(server, script, self.rows, wanted.seconds if name not in self.warm else min(wanted.seconds, 5))
            self.warm.add(name)
        found = {name: [] for name in self.columns}
        for turn, name in self.bench.turns(self.columns):
            with turns.own_turn(self.processes[name]):
                found[name].append(load(self.columns[name], script, self.rows, wanted.seconds)[0])
            self.bench.say(f"{self.disk.name} disk, round {turn + 1}: {name}: {found[name][-1]:.0f} transactions/s")
        self.check_space()
        return found

    def check_space(self):
        """History that gives way to a full disk is work that nobody wanted to measure."""
        for name, server in self.columns.items():
            if isinstance(server, Cluster):
                with turns.own_turn(self.processes[name]):
                    if server.status()["space_short"]:
                        raise Failed(f"the {self.disk.name} disk ran short of space under {name}: take fewer --rounds or --seconds")


def ratios(found):
    """{column: its median as a part of the plain one's}"""
    return {name: median(values) / median(found["plain"]) for name, values in found.items()}
