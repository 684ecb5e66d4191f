"""
SQLite with the volume inside of the program: through its own shell and a Python program, with `unspill` from outside while it
runs; killed under load; imported and exported byte for byte; without root.
"""
import filecmp
import json
import os
import shutil
import signal
import subprocess
import time

from harness import LONG, TOP, Failed, Skip, as_nobody, as_user, check, find_binary, main, note, run, sandbox, unspill, wait_for



def build_to_use():
    """Neither sqlite3 nor Python can load an extension with sanitizers in it: there the command has them alone."""
    build = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(find_binary(TOP)))))
    loadable = os.environ.get("UNSPILL_LOADABLE_BUILD", build)
    if loadable == build:
        return build
    mixed = sandbox("build")
    for source, file in ((build, "src/cmd/unspill"), (loadable, "src/vfs/unspill.so")):
        os.makedirs(os.path.dirname(os.path.join(mixed, file)))
        shutil.copy2(os.path.join(source, file), os.path.join(mixed, file))
    os.environ["UNSPILL_BUILD"] = mixed
    return mixed


BUILD = build_to_use()
EXTENSION = os.path.join(BUILD, "src", "vfs", "unspill")
PROGRAM = os.path.join(TOP, "tests", "e2e", "sqlite_program.py")
KILLS = 40 if LONG else 6


class Program:
    """A program with the database open."""

    def __init__(self, path, user=None):
        self.process = subprocess.Popen(
            [*as_user(user), "/usr/bin/python3", PROGRAM, EXTENSION, f"file:{path}?vfs=unspill"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", cwd="/",
        )

    def say(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def ask(self, connection, sql):
        self.say(connection, sql)
        answer = json.loads(self.process.stdout.readline() or '{"error": "the program is gone"}')
        if isinstance(answer, dict):
            raise Failed(f"{sql}: {answer['error']}")
        return answer[0][0] if answer else None

    def end(self, number=None):
        if number:
            self.process.send_signal(number)
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def database(name):
    return os.path.join(sandbox("home"), name, name + ".db")


def sql(name, text, *options):
    return unspill().run("shell", name, *options, "-e", text).stdout.strip()


def a_cluster_is_made_and_used_by_the_shell():
    if not shutil.which("sqlite3"):
        raise Skip("sqlite3 is not installed")
    unspill().run("create", "notes", "--engine", "sqlite")
    sql("notes", "CREATE TABLE users (id INTEGER PRIMARY KEY, name); INSERT INTO users VALUES (1, 'ann'), (2, 'bob')")
    unspill().run("mark", "notes", "good")
    check(sql("notes", "UPDATE users SET name = 'oops'; SELECT count(*) FROM users WHERE name = 'oops'") == "2", "spilled")
    check(sql("notes", "SELECT group_concat(name) FROM users", "--at", "mark:good") == "ann,bob", "the past is there to look at")
    unspill().run("backtrack", "notes", "--to", "mark:good", "--yes")
    check(sql("notes", "SELECT group_concat(name) FROM users") == "ann,bob", "it went back")
    text = unspill().run("backtracks", "notes").stdout
    check("asked for  mark:good\n" in text, text)
    check(unspill().json("backtracks", "notes")["backtracks"][-1]["mark"] == "good", "the mark")
    status = unspill().json("status", "notes")
    check((status["state"], status["engine"]) == ("closed", "sqlite"), f"status: {status}")


def asks_and_writes(at):
    """A question says nothing of changes; what writes says that it changed nothing but its throw-away."""
    for text, says in (("SELECT count(*) FROM users", False), ("UPDATE users SET name = 'x' WHERE id = 77", False),
                       ("DELETE FROM users", True), ("DROP TABLE users", True)):
        for how in ({}, {"text": text}):
            done = unspill().run("query", "notes", "--at", at, *([] if how else [text]), **how)
            check(done.stderr == ("This changed the throw-away copy; it changed nothing in notes.\n" if says else ""),
                  f"{text}: {done.stderr}")


def a_query_that_writes_says_that_it_changed_nothing():
    asks_and_writes("mark:good")
    check(sql("notes", "SELECT group_concat(name) FROM users") == "ann,bob", "nothing was")


def a_program_goes_on_while_the_head_moves():
    for mode in ("wal", "delete"):
        program = Program(database("notes"))
        check(program.ask(0, f"PRAGMA journal_mode = {mode}") == mode, mode)
        for connection in range(4):
            check(program.ask(connection, "SELECT group_concat(name) FROM users") == "ann,bob", "before")
        status = unspill().json("status", "notes")
        check(status["state"] == "open" and status["pid"] == program.process.pid and status["connections"] == 4, f"{status}")
        unspill().run("mark", "notes", mode)
        program.ask(0, "UPDATE users SET name = 'oops'")
        program.ask(1, "DROP TABLE users")
        for connection in range(3):
            check(program.ask(connection, "SELECT count(*) FROM sqlite_schema") == 0, "dropped")
        seen = unspill().run("query", "notes", "--at", f"mark:{mode}", "SELECT group_concat(name) FROM users").stdout.strip()
        check(seen == "ann,bob", f"a query beside the program: {seen}")
        asks_and_writes(f"mark:{mode}")
        # Connection 3 has not looked since: its cache is of the time before.
        unspill().run("backtrack", "notes", "--to", f"mark:{mode}", "--yes")
        for connection in range(4):
            check(program.ask(connection, "SELECT group_concat(name) FROM users") == "ann,bob", f"{mode}, {connection}")
        program.ask(2, "INSERT INTO users VALUES (3, 'carl')")
        check(program.ask(3, "SELECT count(*) FROM users") == 3, "it goes on")
        check(program.ask(3, "PRAGMA integrity_check") == "ok", "whole")
        program.ask(2, "DELETE FROM users WHERE id = 3")
        check(not unspill().json("verify", "notes")["damage"], "verify, beside the program")
        program.end()


def a_backtrack_waits_for_a_transaction():
    program = Program(database("notes"))
    program.ask(0, "BEGIN IMMEDIATE")
    program.ask(0, "UPDATE users SET name = 'half'")
    going = unspill().start("backtrack", "notes", "--to", "mark:good", "--yes", stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    check(going.poll() is None, "it waits")
    program.ask(0, "COMMIT")
    check(going.wait(30) == 0, "it goes when the transaction has ended")
    check(program.ask(0, "SELECT group_concat(name) FROM users") == "ann,bob", "and undoes it")
    program.end()


def a_second_process_is_told_who_holds_the_volume():
    program = Program(database("notes"))
    program.ask(0, "SELECT 1 FROM users")
    second = Program(database("notes"))
    try:
        second.ask(0, "SELECT 1 FROM users")
        raise AssertionError("two processes have one volume")
    except Failed as error:
        check("locked" in str(error), f"SQLITE_BUSY: {error}")
    second.end()
    done = unspill().run("shell", "notes", "-e", "SELECT 1", check=False)
    check(done.returncode != 0 and f"process {program.process.pid} (python3)" in done.stderr, done.stderr)
    done = run(["sqlite3", "-cmd", f".load '{EXTENSION}'", "-cmd", f".open file:{database('notes')}?vfs=unspill", ":memory:",
                "SELECT unspill_error()"], check=False)
    check(f"held by process {program.process.pid} (python3)" in done.stdout, done.stdout + done.stderr)
    done = unspill().run("delete", "notes", "--yes", check=False)
    check(done.returncode != 0 and os.path.exists(os.path.dirname(database("notes"))), "not deleted under a program")
    program.end()
    check(sql("notes", "SELECT count(*) FROM users") == "2", "free again")


def what_was_committed_is_there_after_kill_9():
    unspill().run("create", "killed", "--engine", "sqlite")
    sql("killed", "CREATE TABLE log (n INTEGER PRIMARY KEY, body); CREATE TABLE last (n); INSERT INTO last VALUES (0)")
    ledger = sandbox("ledger")
    for turn in range(KILLS):
        mode = ("wal", "delete", "truncate", "persist")[turn % 4]
        program = Program(database("killed"))
        check(program.ask(0, f"PRAGMA journal_mode = {mode}") == mode, mode)
        program.say(0, "load", ledger)
        before = os.path.getsize(ledger) if os.path.exists(ledger) else 0
        wait_for(lambda before=before: os.path.getsize(ledger) > before + 400, 60, "a hundred commits")
        if turn % 3 == 2:
            unspill().run("mark", "killed", f"at {turn}")
        program.end(signal.SIGKILL)
        with open(ledger, encoding="utf-8") as file:
            acknowledged = int(file.read().split()[-1])
        shown = sql("killed", "PRAGMA integrity_check; SELECT n, (SELECT count(*) FROM log), (SELECT max(n) FROM log) FROM last")
        there = int(shown.split("|")[-1])
        check(shown in (f"ok\n{n}|{n}|{n}" for n in (acknowledged, acknowledged + 1)), f"{mode}: {acknowledged}, but {shown}")
        with open(ledger, "a", encoding="utf-8") as file:
            file.write(f"{there}\n")
    note(f"{there} commits, {KILLS} kills")
    for turn in range(2, KILLS, 3):
        shown = sql("killed", "PRAGMA integrity_check; SELECT n - (SELECT count(*) FROM log) FROM last", "--at", f"mark:at {turn}")
        check(shown == "ok\n0", f"the moment of mark {turn}: {shown}")


def a_plain_database_comes_in_and_goes_out_byte_for_byte():
    plain, back = sandbox("plain.db"), sandbox("back.db")
    run(["sqlite3", plain, "CREATE TABLE t (n, body); INSERT INTO t VALUES (1, randomblob(300000)); CREATE INDEX i ON t (n)"])
    unspill().run("import", "moved", "--engine", "sqlite", "--from", plain)
    unspill().run("export", "moved", "--to", back)
    check(filecmp.cmp(plain, back, shallow=False), "the same bytes")
    sql("moved", "PRAGMA journal_mode = WAL; DELETE FROM t")
    unspill().run("export", "moved", "--to", sandbox("empty.db"))
    check(run(["sqlite3", sandbox("empty.db"), "SELECT count(*) FROM t"]).stdout == "0\n", "as of now, the WAL in it")
    check(not os.path.exists(sandbox("empty.db-wal")), "one file")
    first = unspill().json("moments", "moved")["horizon"]["lsn"]
    unspill().run("export", "moved", "--to", sandbox("first.db"), "--at", f"lsn:{first}")
    check(filecmp.cmp(plain, sandbox("first.db"), shallow=False), "and as it came")
    # A source in WAL mode, in use, with a tail in its WAL.
    source = subprocess.Popen(["sqlite3", sandbox("wal.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    source.stdin.write("PRAGMA journal_mode = WAL; CREATE TABLE t (n); INSERT INTO t VALUES (7); SELECT 'there';\n")
    source.stdin.flush()
    while source.stdout.readline() != "there\n":
        pass
    unspill().run("import", "tail", "--engine", "sqlite", "--from", sandbox("wal.db"))
    source.stdin.close()
    source.wait()
    check(sql("tail", "SELECT n FROM t") == "7", "the tail came too")


def bad_input_is_one_line_and_changes_nothing():
    def refused(words, *args):
        done = unspill().run(*args, check=False)
        check(done.returncode != 0 and words in done.stderr and done.stderr.count("\n") == 1, f"{args}: {done.stderr}")

    with open(sandbox("text"), "w", encoding="utf-8") as file:
        file.write("this is no database, but some text that is long enough to be one\n" * 100)
    refused("is not an SQLite database", "import", "bad", "--engine", "sqlite", "--from", sandbox("text"))
    refused("cannot open", "import", "bad", "--engine", "sqlite", "--from", sandbox("none"))
    refused("SQLite has no server", "create", "bad", "--engine", "sqlite", "--port", "5000")
    refused("has no server", "start", "notes")
    refused("exists already", "export", "notes", "--to", sandbox("text"))
    refused("there is no mark", "shell", "notes", "--at", "mark:none")
    done = run(["sqlite3", "-cmd", f".load '{EXTENSION}'", "-cmd", f".open file:{sandbox('x.db')}?vfs=unspill", ":memory:",
                "SELECT unspill_error()"], check=False)
    check("which volume is" in done.stdout, done.stdout + done.stderr)
    check(sorted(os.listdir(sandbox("home"))) == ["killed", "moved", "notes", "tail"], "nothing was made")


def nobody_needs_root():
    nobody = as_nobody(find_binary(TOP))
    home = sandbox("nobody")
    os.mkdir(home)
    shutil.chown(home, "nobody", "nogroup")
    os.chmod(sandbox(), 0o755)

    def words(*args):
        return [*nobody, *args]

    env = dict(os.environ, UNSPILL_HOME=home)
    run(words("create", "own", "--engine", "sqlite"), env=env)
    run(words("shell", "own", "-e", "CREATE TABLE t (n); INSERT INTO t VALUES (1)"), env=env)
    run(words("mark", "own", "one"), env=env)
    run(words("shell", "own", "-e", "DROP TABLE t"), env=env)
    run(words("backtrack", "own", "--to", "mark:one", "--yes"), env=env)
    check(run(words("shell", "own", "-e", "SELECT n FROM t"), env=env).stdout == "1\n", "there and back")
    run(words("delete", "own", "--yes"), env=env)


def a_cluster_is_deleted():
    for name in ("notes", "killed", "moved", "tail"):
        unspill().run("delete", name, "--yes")
    check(not os.listdir(sandbox("home")), "all gone")


if __name__ == "__main__":
    main(
        a_cluster_is_made_and_used_by_the_shell,
        a_query_that_writes_says_that_it_changed_nothing,
        a_program_goes_on_while_the_head_moves,
        a_backtrack_waits_for_a_transaction,
        a_second_process_is_told_who_holds_the_volume,
        what_was_committed_is_there_after_kill_9,
        a_plain_database_comes_in_and_goes_out_byte_for_byte,
        bad_input_is_one_line_and_changes_nothing,
        nobody_needs_root,
        a_cluster_is_deleted,
    )
