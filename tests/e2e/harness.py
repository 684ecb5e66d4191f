"""
The harness of the end-to-end tests: TAP, clusters in a throw-away home, the ledger and its verdict.

A test file is run by tools/sandbox, which sweeps up after it; by hand:

    UNSPILL_BUILD=build tools/sandbox tests/e2e/kill_test.py

Tests are functions named by the sentence they prove.  The first one makes what the others need: when it fails, they have.
"""
import os
import random
import re
import signal
import subprocess
import sys
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))

from cluster import (  # noqa: E402,F401
    Cluster, Failed, History, PlainPostgres, PlainServer, PostgresCluster, Unspill, as_user, find_binary, free_port,
    postgres_program, program, run, wait_for,
)

LONG = bool(os.environ.get("UNSPILL_TEST_LONG"))
if "UNSPILL_SANDBOX" not in os.environ:
    sys.exit("run me under tools/sandbox")
SANDBOX = os.environ["UNSPILL_SANDBOX"]
SEED = int(os.environ.get("UNSPILL_TEST_SEED") or random.randrange(1 << 32))

# Of the tests that have "# ./check: engines" in them.
ENGINE = os.environ.get("UNSPILL_TEST_ENGINE", "mariadb")
# The first engine has them all, the others a sample, except in long runs.
SAMPLE = ENGINE != "mariadb" and not LONG

# Small, so that a start is quick and pages are written while we look.
SMALL_SERVER = {
    "mariadb": ("innodb_buffer_pool_size=32M", "innodb_log_file_size=16M"),
    "postgresql": ("shared_buffers=8MB", "max_wal_size=64MB", "checkpoint_timeout=30s"),
}[ENGINE]


class Skip(Exception):
    """Not possible here; the text says what is missing."""


def sandbox(*below):
    return os.path.join(SANDBOX, *below)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def note(text):
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def note_time(start, text):
    note(f"{text}: {time.monotonic() - start:.2f} s")


def main(*tests):
    note(f"UNSPILL_TEST_SEED={SEED}")
    bad, broken, absent = 0, False, None
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        random.seed(f"{SEED} {name}")
        if broken:
            print(f"not ok {number} - {name} # not run" if bad else f"ok {number} - {name} # SKIP {absent}", flush=True)
            bad += bool(bad)
            continue
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            broken, absent = broken or number == 1, reason
        except Exception as error:  # pylint: disable=broad-except
            bad += 1
            broken = broken or number == 1
            note("".join(traceback.format_exception(type(error), error, error.__traceback__)))
            print(f"not ok {number} - {name}", flush=True)
            # Clients that it left at work would disturb the next.
            for ledger in Ledger.all:
                if isinstance(ledger.server, Cluster):
                    note(ledger.server.logs())
                if ledger.process and ledger.process.poll() is None:
                    ledger.process.kill()
                    ledger.process.wait()
    print(f"1..{len(tests)}")
    sys.exit(1 if bad else 0)


def iso(time_us):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_us // 1_000_000)) + f".{time_us % 1_000_000:06}Z"


def now_us():
    return time.time_ns() // 1000


def server_options(*options):
    """Words for `unspill create` that set options of the server."""
    return [word for option in options for word in ("--server-option", option)]


def mounts_below(directory):
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        return [line.split()[4] for line in mounts if line.split()[4].startswith(directory)]


def small_disk(megabytes):
    """An ext4 of its own, in a file, mounted on the directory "disk" of the sandbox; its path."""
    image, disk = sandbox("image"), sandbox("disk")
    os.mkdir(disk)
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    try:
        run(["mkfs.ext4", "-q", "-m", "0", image])
        run(["mount", "-o", "loop", image, disk])
    except Failed as error:
        raise Skip(f"cannot mount a small disk: {error}") from error
    os.rmdir(os.path.join(disk, "lost+found"))
    os.chmod(disk, 0o755)
    return disk


def unspill(home="home"):
    return Unspill(find_binary(TOP), sandbox(home))


def create(name, *args):
    """A cluster of the engine that is asked for."""
    try:
        return unspill().create(name, *args, engine=ENGINE)
    except Failed as error:
        if ENGINE != "mariadb" and "there is no 'postgres' here" in str(error):
            raise Skip("PostgreSQL is not installed: Debian's postgresql-15") from error
        raise


def skip_without_engine():
    """For tests that begin with something else than create()."""
    missing = {"mariadb": "mariadbd", "postgresql": "postgres"}[ENGINE]
    try:
        postgres_program(missing)
    except Failed as error:
        raise Skip(f"{missing} is not installed") from error


def cluster_of(name):
    return unspill().cluster(name, ENGINE)


def plain_server(directory, *options):
    return (PlainPostgres if ENGINE == "postgresql" else PlainServer)(directory, *options)


def kill(pid):
    """-9, of a process that a cluster told us is its own."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Ledger:
    """
    A run of tests/e2e/ledger.c against a server, and the verdict on what the server has afterwards.

    Several runs against one server go into one list; numbers go on where the last run ended.
    """

    all = []

    def __init__(self, server, name="ledger"):
        self.server = server
        self.log = sandbox(f"{name}.log")
        self.binary = os.path.join(os.path.dirname(find_binary(TOP)), "../../tests/e2e/ledger")
        if not os.path.exists(self.binary):
            raise Skip("ledger was not built: libmariadb-dev or libpq-dev is missing")
        self.process = None
        Ledger.all.append(self)

    def prepare(self):
        run([self.binary, *self.server.ledger_words(), "--prepare"])

    def start(self, *options):
        first = 1 + max((n for _, n in self.read()), default=0)
        command = [self.binary, *self.server.ledger_words(), f"--log={self.log}", f"--first={first}", *options]
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(90)
        check(status == 0, f"ledger: exit status {status}")

    def read(self):
        """{(client, n): [intent, acknowledged or None, failed or None]}, times in microseconds."""
        entries = {}
        if not os.path.exists(self.log):
            return entries
        with open(self.log, encoding="utf-8", errors="replace") as file:
            for line in file:
                what, client, n, when = line.split(" ", 4)[:4]
                key = (int(client), int(n))
                if what == "I":
                    entries[key] = [int(when), None, None]
                else:
                    entries[key][1 if what == "A" else 2] = int(when)
        return entries

    def acknowledged(self):
        return sum(1 for entry in self.read().values() if entry[1])

    def wait_for_acknowledged(self, more, seconds=60):
        """Until the clients have been told of `more` commits more than now."""
        size = os.path.getsize(self.log) if os.path.exists(self.log) else 0

        def enough():
            if not os.path.exists(self.log):
                return False
            with open(self.log, "rb") as file:
                file.seek(size)
                return file.read().count(b"\nA ") + 1 >= more

        wait_for(enough, seconds, f"{more} commits")

    def rows(self):
        """
        What the server has, in one snapshot: the notes' keys, and the accounts that do not agree with them.
        """
        wrong_of = """
            SELECT * FROM (SELECT '{table}', id, balance - 1000000 {sign} COALESCE(moved, 0) AS wrong FROM ledger.{table}
                LEFT JOIN (SELECT {table} AS id, SUM(amount) AS moved FROM ledger.note GROUP BY {table}) AS sums USING (id)) AS all_of
                WHERE wrong != 0;
            """
        out = self.server.sql(
            f"""
            {self.server.snapshot};
            SELECT 'note', client, n FROM ledger.note;
            {wrong_of.format(table='debit', sign='+')}
            {wrong_of.format(table='credit', sign='-')}
            SELECT 'accounts', (SELECT COUNT(*) FROM ledger.debit), (SELECT COUNT(*) FROM ledger.credit);
            COMMIT;
            """
        )
        notes = {(int(row[1]), int(row[2])) for row in out if row[0] == "note"}
        wrong = [row for row in out if row[0] in ("debit", "credit")]
        accounts = [row[1:] for row in out if row[0] == "accounts"]
        return notes, wrong, accounts

    def verify(self, moment_us=None, history=None):
        """
        What a database must hold that is at `moment_us` (None: at the present, the clients may be at work): of the
        transactions acknowledged before it every one, of those begun after it none, and nothing by halves.  What was
        under way may be either way, but never a later one without one that was acknowledged before it began.
        `history` tells of the backtracks there were.  Returns how many transactions there are.
        """
        before = self.read()
        limit = time.time_ns() // 1000 if moment_us is None else moment_us
        notes, wrong, accounts = self.rows()
        entries = self.read()

        check(accounts == [["1000", "1000"]], f"accounts: {accounts}")
        check(not wrong, f"{len(wrong)} accounts show half a transaction: {wrong[:5]}")
        invented = notes - entries.keys()
        check(not invented, f"{len(invented)} commits that nobody made: {sorted(invented)[:5]}")

        judge = (history or History()).verdict(limit)
        verdicts = {key: judge(entry[0], entry[1]) for key, entry in entries.items()}
        # What is acknowledged while we ask need not be in the answer.
        lost = [key for key in before if before[key][1] and verdicts[key] is True and key not in notes]
        check(not lost, f"{len(lost)} acknowledged commits are lost: {self.tell(lost, entries, limit)}")
        if moment_us is not None:
            early = [key for key in notes if verdicts[key] is False]
            check(not early, f"{len(early)} commits that should not be there: {self.tell(early, entries, limit)}")

        if not history:
            newest = max((entries[key][0] for key in notes), default=0)
            absent = [key for key, entry in entries.items() if entry[1] and entry[1] < newest and key not in notes]
            check(not absent, f"later commits without earlier ones: {self.tell(absent, entries, limit)}")
        return len(notes)

    @staticmethod
    def tell(keys, entries, limit):
        some = sorted(keys, key=lambda key: entries[key][0])[:5]
        return ", ".join(
            f"client {c} n {n} (begun {entries[c, n][0] - limit:+} us, acknowledged "
            + (f"{entries[c, n][1] - limit:+} us)" if entries[c, n][1] else "never)")
            for c, n in some
        )


def fingerprint(server, databases=("ledger",)):
    """One text for the content of all tables."""
    return server.fingerprint(databases)


def as_nobody(*command):
    """`command` as who has no rights at all; skipped where he may not even read what was built."""
    if os.geteuid() != 0:
        raise Skip("is not root anyway")
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
    if run([*nobody, "/usr/bin/test", "-r", os.path.join(TOP, "check")], check=False, cwd="/").returncode != 0:
        raise Skip(f"nobody may not read {TOP}")
    return [*nobody, *command]


def check_tables(server, databases=("ledger", "mysql")):
    """The server's own opinion of every table and index."""
    if server.engine == "postgresql":
        run([postgres_program("pg_amcheck"), f"--host={server.sockets}", f"--port={server.socket_port}", "--username=postgres", "-w",
             "--install-missing", "--heapallindexed", "--all"])
        return
    for database in databases:
        out = run([program("mariadb-check"), f"--defaults-file={server.defaults}", "--extended", "--check", database]).stdout
        bad = [line for line in out.splitlines() if not line.rstrip().endswith("OK")]
        check(out and not bad, f"mariadb-check {database}: {bad or 'no tables'}")


def check_postgres_pages(data):
    """pg_checksums of a data directory, whose server has recovered and ended before; how many pages there were."""
    user = "postgres" if os.geteuid() == 0 else None
    run([*as_user(user), postgres_program("postgres"), "--single", "-D", data, "-c", "full_page_writes=off", "postgres"], text="", cwd="/")
    out = run([*as_user(user), postgres_program("pg_checksums"), "--check", "-D", data], cwd="/").stdout
    check("Bad checksums:  0" in out, out)
    return int(re.search(r"Blocks scanned: +(\d+)", out).group(1))


def check_pages(data, system=True):
    """
    What the engine's own tool says of every page in a data directory; how many tablespaces (or pages) there were.  Without
    `system` not of ibdata1: where a server had doublewrite on, innochecksum calls page 64, where that buffer begins, invalid.
    """
    if ENGINE == "postgresql":
        return check_postgres_pages(data)
    count = 0
    for folder, _, names in os.walk(data):
        for name in names:
            if name.endswith(".ibd") or (system and name.startswith("ibdata")):
                done = run([program("innochecksum"), os.path.join(folder, name)], check=False)
                check(done.returncode == 0, f"innochecksum {name}: {done.stdout}{done.stderr}")
                count += 1
    check(count > 5, f"only {count} tablespaces in {data}")
    return count
