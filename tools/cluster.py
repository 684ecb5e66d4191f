"""
Unspill from the outside, for the demonstration, the end-to-end tests and the benchmark: the public command
line, the database's own client, nothing else.
"""
import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time


class Failed(Exception):
    """A command that should have worked did not; the text has its output."""


class History:
    """
    Which stretches of real time a state is made of.  After a backtrack at R to X, the state at a later t is what
    happened up to X, and from R to t.
    """

    def __init__(self):
        self.jumps = []  # (when, to), microseconds, in order

    def jump(self, at_us, to_us):
        self.jumps.append((at_us, to_us))

    def lineage(self, time_us):
        for at_us, to_us in reversed(self.jumps):
            if at_us <= time_us:
                return self.lineage(to_us) + [(at_us, time_us)]
        return [(0, time_us)]

    def verdict(self, time_us):
        """
        A function (begun, acknowledged or None) -> True: a commit with these times is part of the state at `time_us`;
        False: it is not; None: either is right.
        """
        stretches = self.lineage(time_us)

        def judge(begun, acknowledged):
            if acknowledged and any(start <= begun and acknowledged <= end for start, end in stretches):
                return True
            if not any(begun <= end and (acknowledged or begun + 60_000_000) >= start for start, end in stretches):
                return False
            return None

        return judge


def words(command):
    return " ".join(command)


def run(command, timeout=600, check=True, text=None, env=None, cwd=None):
    """Returns the CompletedProcess; output is text."""
    done = subprocess.run(
        command,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
        encoding="utf-8",
        errors="replace",
        env=env,
        cwd=cwd,
    )
    if check and done.returncode != 0:
        raise Failed(f"{words(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done


def free_port():
    """Nobody listens there, and, being below the range for outgoing connections, nobody comes to it by chance."""
    while True:
        port = random.SystemRandom().randrange(12000, 32000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


# A busy machine may let a process wait for many seconds: nobody gives up before that.
PATIENCE = 120


def wait_for(condition, seconds, what):
    """Until condition() is true; its value.  An error in it counts as not yet.  No less than PATIENCE seconds."""
    seconds = max(seconds, PATIENCE)
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}" + (f"; last: {last}" if last else ""))
        time.sleep(0.02)


def program(name):
    """Where Debian puts what is not for every user's PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not found:
        raise Failed(f"{name} is not installed")
    return found


def postgres_program(name):
    """Of the newest PostgreSQL here; what Debian has in $PATH are scripts around it."""
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    return max(found, key=lambda path: int(path.split("/")[4])) if found else program(name)


def as_user(user):
    """Words before a command that is to run as `user`, if it is not us already."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []


class Server:
    """Something that answers SQL; subclasses say where: `defaults` is an option file for the client."""

    engine = "mariadb"
    snapshot = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT"
    defaults = None

    def ledger_words(self):
        """How tests/e2e/ledger finds it."""
        return [f"--defaults={self.defaults}"]

    def client(self, *more):
        return [program("mariadb"), f"--defaults-file={self.defaults}", *more]

    def sql(self, statements, timeout=600):
        """Rows as lists of strings; NULL is "NULL"."""
        out = run(self.client("-N", "-B", "--default-character-set=utf8mb4"), text=statements, timeout=timeout).stdout
        return [line.split("\t") for line in out.splitlines()]

    def value(self, statement, timeout=600):
        return self.sql(statement, timeout)[0][0]

    def answers(self):
        return run(self.client("-N", "-B", "--connect-timeout=2", "-e", "SELECT 1"), check=False, timeout=30).returncode == 0


    # --- What engines say in words of their own; a schema is what MariaDB calls a database ---

    def drop_schema(self, name):
        self.sql(f"DROP DATABASE IF EXISTS {name}")

    def has_schema(self, name):
        return bool(self.sql(f"SHOW DATABASES LIKE '{name}'"))

    def make_numbers(self, schema, table, count):
        """A new schema with a table of numbers from 1 on, and some text to each."""
        self.sql(f"CREATE DATABASE {schema}; USE {schema}; CREATE TABLE {table} SELECT seq, MD5(seq) AS text FROM seq_1_to_{count}")

    def fingerprint(self, schemas):
        """One text for the content of all tables."""
        tables = self.sql(
            "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables WHERE table_type ="
            " 'BASE TABLE' AND table_schema IN (" + ", ".join(f"'{name}'" for name in schemas) + ") ORDER BY 1"
        )
        if not tables:
            return ""
        rows = self.sql("CHECKSUM TABLE " + ", ".join(row[0] for row in tables))
        unreadable = [name for name, checksum in rows if checksum == "NULL"]
        if unreadable:
            raise Failed(f"the server cannot read {unreadable}")
        return "\n".join("\t".join(row) for row in rows)


class PostgresClient:
    """The same of a PostgreSQL; subclasses say where its socket is: `sockets`, a directory, and `socket_port`."""

    engine = "postgresql"
    snapshot = "START TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    sockets = None
    socket_port = 5432

    def ledger_words(self):
        return [f"--postgresql=host='{self.sockets}' port={self.socket_port} user=postgres dbname=postgres"]

    def client(self, *more):
        return [postgres_program("psql"), "-X", "-w", f"--host={self.sockets}", f"--port={self.socket_port}",
                "--username=postgres", "--dbname=postgres", *more]

    def sql(self, statements, timeout=600):
        words = self.client("-q", "-A", "-t", "-F", "\t", "-P", "null=NULL", "-v", "ON_ERROR_STOP=1", "-f", "-")
        return [line.split("\t") for line in run(words, text=statements, timeout=timeout).stdout.splitlines()]

    def answers(self):
        env = dict(os.environ, PGCONNECT_TIMEOUT="2")
        return run(self.client("-c", "SELECT 1"), check=False, timeout=30, env=env).returncode == 0

    def drop_schema(self, name):
        self.sql(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {name} CASCADE")

    def has_schema(self, name):
        return bool(self.sql(f"SELECT 1 FROM pg_namespace WHERE nspname = '{name}'"))

    def make_numbers(self, schema, table, count):
        self.sql(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.{table} AS "
                 f"SELECT seq, md5(seq::text) AS text FROM generate_series(1, {count}) AS seq")

    def fingerprint(self, schemas):
        tables = self.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ("
                          + ", ".join(f"'{name}'" for name in schemas) + ") ORDER BY 1")
        if not tables:
            return ""
        return "\n".join("\t".join(row) for row in self.sql(";".join(
            f"SELECT '{name}', count(*), sum(hashtextextended(t::text, 0)) FROM {name} AS t" for name, in tables)))


class Unspill:
    """The command line, in one home."""

    def __init__(self, binary, home):
        self.binary, self.home = binary, home
        # What Debian gives root, and no more: whose $PATH leads to PostgreSQL's own programs hides that others' does not.
        self.env = dict(os.environ, UNSPILL_HOME=home, PATH="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")

    def run(self, *args, timeout=600, check=True, text=None):
        return run([self.binary, *map(str, args)], timeout=timeout, check=check, text=text, env=self.env)

    def json(self, *args, timeout=600):
        out = self.run(*args, "--json", timeout=timeout).stdout
        try:
            return json.loads(out)
        except ValueError as error:
            raise Failed(f"{words(map(str, args))} --json: {error} in {out!r}") from error

    def start(self, *args, **how):
        """In the background; the caller waits for it."""
        return subprocess.Popen([self.binary, *map(str, args)], env=self.env, stdin=subprocess.DEVNULL, **how)

    def create(self, name, *args, engine="mariadb", timeout=300):
        """On a port that two runs side by side do not both choose."""
        if "--port" not in args:
            args = (*args, "--port", free_port())
        self.run("create", name, "--engine", engine, *args, timeout=timeout)
        return self.cluster(name, engine)

    def cluster(self, name, engine="mariadb"):
        """One that there is."""
        return (PostgresCluster if engine == "postgresql" else Cluster)(self, name)


class Cluster(Server):
    def __init__(self, unspill, name):
        self.unspill, self.name = unspill, name
        self.directory = os.path.realpath(os.path.join(unspill.home, name))
        self.defaults = os.path.join(self.directory, "run/client.cnf")

    def client(self, *more):
        # A copy's file names the original's socket.
        return super().client(f"--socket={self.path('run/server/sock')}", *more)

    def path(self, *below):
        return os.path.join(self.directory, *below)

    def run(self, verb, *args, **how):
        return self.unspill.run(verb, self.name, *args, **how)

    def json(self, verb, *args, **how):
        return self.unspill.json(verb, self.name, *args, **how)

    def status(self):
        return self.json("status")

    def wait_running(self, seconds=120):
        """The server answers, under a keeper that says so."""

        def running():
            return self.answers() and self.status()["state"] == "running"

        try:
            wait_for(running, seconds, f"cluster {self.name} to run")
        except Failed as error:
            raise Failed(f"{error}\n{self.logs()}") from error

    def revive(self, seconds=120):
        """After a kill: say start, whatever else may be starting it, and wait."""

        def started():
            return self.run("start", check=False, timeout=seconds).returncode == 0 or self.answers()

        wait_for(started, seconds, f"unspill start {self.name}")
        self.wait_running(seconds)

    def logs(self):
        text = ""
        for name in ("run/keeper.log", "run/server.log"):
            try:
                with open(self.path(name), encoding="utf-8", errors="replace") as file:
                    text += f"--- {name}\n" + "".join(file.readlines()[-25:])
            except OSError:
                pass
        return text

    def backtrack(self, to, timeout=300):
        return self.json("backtrack", "--to", to, "--yes", timeout=timeout)

    def forget_quietly(self):
        self.run("delete", "--yes", check=False, timeout=120)


class PostgresCluster(PostgresClient, Cluster):
    def __init__(self, unspill, name):
        Cluster.__init__(self, unspill, name)
        self.sockets = self.path("run/server")


class PlainServer(Server):
    """A MariaDB of our own on a plain directory, for comparison and as a source to import from."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.socket = os.path.join(directory, "s")
        self.defaults = os.path.join(directory, "client.cnf")
        self.options = options
        self.process = None
        self.user = "mysql" if os.geteuid() == 0 else None

    def create(self):
        os.makedirs(self.directory, mode=0o755)
        with open(self.defaults, "w", encoding="utf-8") as file:
            file.write(f"[client]\nsocket={self.socket}\nuser=root\n")
        command = [program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        if self.user:
            shutil.chown(self.directory, self.user, self.user)
            command.append(f"--user={self.user}")
        run(command)

    def start(self):
        command = [program("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}"]
        command += [f"--pid-file={self.directory}/pid", f"--log-error={self.directory}/log", *self.options]
        if not any(option.startswith("--port") for option in self.options):
            command.append("--skip-networking")
        if self.user:
            command.append(f"--user={self.user}")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, 60, "the plain server")

    def kill(self):
        """As a power cut would."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(120)
            self.process = None


class PlainPostgres(PostgresClient, PlainServer):
    """A PostgreSQL of our own; `options` are "name=value"."""

    def __init__(self, directory, *options):
        PlainServer.__init__(self, directory, *options)
        self.sockets = directory
        self.user = "postgres" if os.geteuid() == 0 else None

    def create(self, checksums=True):
        os.makedirs(self.directory, mode=0o755)
        if self.user:
            shutil.chown(self.directory, self.user, self.user)
        run([*as_user(self.user), postgres_program("initdb"), "-D", self.data, "--username=postgres", "--auth=trust",
             "--encoding=UTF8", "--locale=C.UTF-8", *(["--data-checksums"] if checksums else [])], cwd="/")

    def start(self):
        words = [*as_user(self.user), postgres_program("postgres"), "-D", self.data, "-k", self.directory]
        for option in ("listen_addresses=", "port=5432", *self.options):
            words += ["-c", option]
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        wait_for(self.answers, 60, "the plain server")

    def kill(self):
        pid = self.process.pid
        self.process.send_signal(signal.SIGSTOP)  # so that it has no more children
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = list(map(int, file.read().split()))
        for child in children:
            os.kill(child, signal.SIGKILL)
        super().kill()
        wait_for(lambda: not any(os.path.exists(f"/proc/{child}/cwd") for child in children), 30, "the server's processes to go")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(120)
            self.process = None


def find_binary(top):
    """The unspill to use: of the build that we were told, else of the newest."""
    builds = [os.environ["UNSPILL_BUILD"]] if os.environ.get("UNSPILL_BUILD") else []
    builds += [os.path.join(top, name) for name in ("build", "build-check/gcc", "build-try")]
    for build in builds:
        for below in ("src/cmd/unspill", "src/unspill", "unspill"):
            path = os.path.join(build, below)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                return path
    raise Failed(f"no unspill in {', '.join(builds)}")


def say_and_die(error):
    print(error, file=sys.stderr)
    sys.exit(1)
