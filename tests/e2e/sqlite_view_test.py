# ./check: sanitizers
"""
Moments of an SQLite cluster shown in directories, whether a program has the volume or nobody has: the files are those of then, the
program is held up by nothing, and whatever becomes of who shows them, nothing is left.
"""
import errno
import os
import signal
import subprocess

from harness import Skip, as_nobody, check, find_binary, gone, iso, kill, main, mounts_below, now_us, run, sandbox, unspill, wait_for
from harness import TOP
from sqlite_test import Program, database, sql

USAGE, NOT_FOUND, UNREACHABLE, BUSY, TAKEN = 2, 3, 4, 5, 8

shown = {}  # directory -> the view, as the command told


def place(name):
    path = sandbox(name)
    os.makedirs(path, exist_ok=True)
    return path


def show(name, at):
    directory = place(name)
    view = unspill().json("view", "notes", directory, "--at", at)
    check(view["directory"] == directory, str(view))
    shown[directory] = view
    return directory


def end(directory, *options):
    unspill().run("unview", directory, *options)
    del shown[directory]


def listed(*names):
    return {view["directory"]: view["moment"]["lsn"] for view in unspill().json("views", *names)["views"]}


def names_in(directory):
    """By SQLite alone, of a copy, whose journal it may roll back."""
    copy = sandbox("copy.db")
    for suffix in ("", "-wal", "-journal"):
        source = os.path.join(directory, "notes.db" + suffix)
        if os.path.exists(source):
            with open(source, "rb") as file, open(copy + suffix, "wb") as out:
                out.write(file.read())
        elif os.path.exists(copy + suffix):
            os.unlink(copy + suffix)
    return run(["sqlite3", copy, "SELECT group_concat(name) FROM users"]).stdout.strip()


def nothing_is_mounted_or_cloned():
    scratch = sandbox("home", "notes", "scratch")
    check(not mounts_below(sandbox()), str(mounts_below(sandbox())))
    check(not os.path.exists(scratch) or not os.listdir(scratch), "a clone is left")


def nothing_is_left():
    check(not listed(), str(listed()))
    nothing_is_mounted_or_cloned()


def viewer_of(directory):
    """The process: it has the lock of the clone whose list has the directory."""
    scratch = sandbox("home", "notes", "scratch")
    for number in os.listdir(scratch):
        with open(os.path.join(scratch, number, "run", "views.json"), encoding="utf-8") as file:
            if directory not in file.read():
                continue
        with open(os.path.join(scratch, number, "volume", "lock"), encoding="utf-8") as file:
            return int(file.read().split()[0])
    raise AssertionError(f"nobody shows {directory}")


def moments_of_a_database_that_nobody_has_open_are_shown():
    if not os.path.exists("/dev/fuse"):
        raise Skip("there is no /dev/fuse")
    unspill().run("create", "notes", "--engine", "sqlite")
    for names in ("ann", "ann,bob", "ann,bob,carl"):
        values = ",".join(f"('{name}')" for name in names.split(","))
        sql("notes", f"CREATE TABLE IF NOT EXISTS users (name); DELETE FROM users; INSERT INTO users VALUES {values}")
        unspill().run("mark", "notes", f"m{len(names)}")
    directories = {show(mark, f"mark:{mark}"): names for mark, names in (("m3", "ann"), ("m7", "ann,bob"), ("m12", "ann,bob,carl"))}
    sql("notes", "DROP TABLE users")
    check([names_in(directory) for directory in directories] == list(directories.values()), "as it was")
    check(listed() == listed("notes") == {d: shown[d]["moment"]["lsn"] for d in shown} and len(shown) == 3, str(listed()))
    check(all(directory in unspill().run("views").stdout for directory in directories), "views")
    unspill().run("backtrack", "notes", "--to", "mark:m7", "--yes")
    check([names_in(directory) for directory in directories] == list(directories.values()), "a backtrack changes no view")


def nothing_in_a_view_can_be_changed():
    directory = next(iter(shown))
    file = os.path.join(directory, "notes.db")
    for attempt in (lambda: open(file, "r+b"), lambda: os.unlink(file), lambda: open(file + "x", "xb"), lambda: os.truncate(file, 0)):
        try:
            attempt()
        except OSError as error:
            check(error.errno == errno.EROFS, str(error))
        else:
            check(False, "it is allowed")
    asked = run(["sqlite3", f"file:{file}?immutable=1", "SELECT count(*) FROM users"]).stdout
    check(asked == "1\n", f"SQLite opens it where it is: {asked}")


def a_view_in_use_ends_only_when_it_is_forced():
    directory = next(iter(shown))
    with open(os.path.join(directory, "notes.db"), "rb") as file:
        done = unspill().run("unview", directory, check=False)
        check(done.returncode == BUSY and "uses" in done.stderr and directory in listed(), done.stderr)
        check(file.read(16).startswith(b"SQLite"), "it ended")
        end(directory, "--force")
        check(not os.listdir(directory) and directory not in listed(), "it goes on")
    for directory in list(shown):
        end(directory)
        check(not os.listdir(directory), "something is there")
    nothing_is_left()


def a_program_writes_on_beside_its_views_and_they_outlive_it():
    program = Program(database("notes"))
    program.ask(0, "PRAGMA journal_mode = wal")
    program.ask(0, "BEGIN IMMEDIATE")
    program.ask(0, "INSERT INTO users VALUES ('dora')")
    # In the middle of a transaction, which waits for nothing.
    before = show("before", "now")
    program.ask(0, "COMMIT")
    after = show("after", iso(now_us()))
    program.ask(0, "DELETE FROM users")
    check((names_in(before), names_in(after)) == ("ann,bob", "ann,bob,dora"), f"{names_in(before)} {names_in(after)}")
    check(program.ask(0, "SELECT count(*) FROM users") == 0, "the program")
    program.end()
    check((names_in(before), names_in(after)) == ("ann,bob", "ann,bob,dora"), "the program has ended")
    second = Program(database("notes"))
    check(second.ask(0, "SELECT count(*) FROM users") == 0, "another one comes")
    check(list(listed()) == [before, after], str(listed()))
    end(before)
    second.end(signal.SIGKILL)
    end(after)
    nothing_is_left()
    unspill().run("verify", "notes")


def whoever_lists_clusters_or_views_clears_away_what_was_killed():
    for command in ("list", "views"):
        directory = show("killed", "mark:m3")
        pid = viewer_of(directory)
        kill(pid)
        wait_for(lambda pid=pid: gone(pid), 20, "its end")
        check(mounts_below(directory), "it is left mounted")
        unspill().run(command)
        del shown[directory]
        nothing_is_mounted_or_cloned()


def what_was_killed_is_cleared_away():
    for beside in (False, True):
        program = Program(database("notes")) if beside else None
        if program:
            program.ask(0, "SELECT 1")
        left, other = show("left", "mark:m3"), show("other", "mark:m7")
        pid = viewer_of(left)
        kill(pid)
        wait_for(lambda pid=pid: gone(pid), 20, "its end")
        check(list(listed()) == [other] and names_in(other) == "ann,bob", str(listed()))
        unspill().run("unview", left, check=False)  # `views` has cleared it away
        check(not mounts_below(left) and not os.listdir(left), "something is mounted")
        again = show("left", "mark:m3")
        kill(viewer_of(again))
        wait_for(lambda: not os.path.exists(os.path.join(again, "notes.db")), 20, "its end")
        unspill().run("unview", again)
        check(not mounts_below(again) and not os.listdir(again), "unview")
        del shown[again]
        end(other)
        if program:
            program.end()
        nothing_is_left()


def one_in_the_foreground_ends_with_its_signal():
    directory = place("foreground")
    for number in (signal.SIGTERM, signal.SIGINT):
        process = unspill().start("view", "notes", directory, "--at", "mark:m7", "--foreground", stdout=subprocess.PIPE, encoding="utf-8")
        check(directory in process.stdout.readline(), "it says so")
        check(names_in(directory) == "ann,bob" and list(listed()) == [directory], str(listed()))
        process.send_signal(number)
        check(process.wait(20) == 0, "it ends")
        process.stdout.close()
        nothing_is_left()


def a_command_that_is_interrupted_leaves_nothing_shown():
    directory = place("interrupted")
    for delay in (0.01, 0.03, 0.06):
        command = unspill().start("view", "notes", directory, "--at", "mark:m7", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            command.wait(delay)
        except subprocess.TimeoutExpired:
            command.terminate()
        # It was too early, or too late; never in between.
        ended = command.wait(60)
        check(list(listed()) == ([directory] if ended == 0 else []), f"{ended}: {listed()}")
        if ended == 0:
            unspill().run("unview", directory)
    wait_for(lambda: not mounts_below(directory), 20, "its end")
    nothing_is_left()


def what_cannot_be_shown_is_refused_in_one_line():
    directory, empty = show("shown", "now"), place("empty")
    refused = {
        ("view", "notes", sandbox("nowhere"), "--at", "now"): (NOT_FOUND, "make it first"),
        ("view", "notes", directory, "--at", "now"): (TAKEN, "not empty"),
        ("view", "notes", empty, "--at", "mark:none"): (NOT_FOUND, "none"),
        ("view", "notes", empty, "--at", "in 2 hours"): (USAGE, "--at"),
        ("view", "notes", empty, "--at", "lsn:99999999999999"): (UNREACHABLE, ""),
        ("view", "notes", empty, "--at", "2001-01-01"): (UNREACHABLE, ""),
        ("unview", empty): (NOT_FOUND, "views"),
    }
    for words, (code, text) in refused.items():
        done = unspill().run(*words, check=False)
        check(done.returncode == code and text in done.stderr and len(done.stderr.splitlines()) == 1,
              f"{words}: {done.returncode} {done.stderr}")
    check(list(listed()) == [directory] and not os.listdir(empty), str(listed()))
    end(directory)
    nothing_is_left()


def a_cluster_is_deleted_with_its_views():
    live, dead = show("live", "now"), show("dead", "now")
    kill(viewer_of(dead))
    unspill().run("delete", "notes", "--yes")
    check(not mounts_below(sandbox()) and not os.listdir(live) and not os.listdir(dead), str(mounts_below(sandbox())))
    check(not os.listdir(sandbox("home")), "something is left of it")


def somebody_else_may_not_mount_and_is_told():
    nobody = as_nobody(find_binary(TOP))
    home, directory = sandbox("nobody"), place("nobody's")
    os.mkdir(home)
    for path in (home, directory):
        os.chown(path, 65534, 65534)
    os.chmod(sandbox(), 0o755)
    env = dict(os.environ, UNSPILL_HOME=home)
    run([*nobody, "create", "own", "--engine", "sqlite"], env=env)
    done = run([*nobody, "view", "own", directory, "--at", "now"], env=env, check=False)
    check(done.returncode == 0 or len(done.stderr.splitlines()) == 1, f"{done.returncode} {done.stderr}")
    if done.returncode == 0:
        run([*nobody, "unview", directory], env=env)
    check(not mounts_below(directory) and not os.listdir(os.path.join(home, "own", "scratch")), "something is left")
    run([*nobody, "delete", "own", "--yes"], env=env)


if __name__ == "__main__":
    main(
        moments_of_a_database_that_nobody_has_open_are_shown,
        nothing_in_a_view_can_be_changed,
        a_view_in_use_ends_only_when_it_is_forced,
        a_program_writes_on_beside_its_views_and_they_outlive_it,
        whoever_lists_clusters_or_views_clears_away_what_was_killed,
        what_was_killed_is_cleared_away,
        one_in_the_foreground_ends_with_its_signal,
        a_command_that_is_interrupted_leaves_nothing_shown,
        what_cannot_be_shown_is_refused_in_one_line,
        somebody_else_may_not_mount_and_is_told,
        a_cluster_is_deleted_with_its_views,
    )
