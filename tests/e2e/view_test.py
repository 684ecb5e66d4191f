# ./check: engines
"""
Moments of a cluster at work are shown in directories, several at once: what is seen there is what an export of the same
moment copies, whatever becomes of the head meanwhile, and nothing is left of it afterwards.
"""
import errno
import hashlib
import os
import shutil
import stat
import subprocess
import time

from harness import ENGINE, Ledger, SMALL_SERVER, check, create, gone, iso, kill, main, mounts_below, now_us, sandbox, server_options
from harness import wait_for

USAGE, NOT_FOUND, UNREACHABLE, BUSY, TAKEN = 2, 3, 4, 5, 8
FAILED = 1

cluster = None
ledger = None
shown = {}  # directory -> the view, as the command told

# A file that the server has open, and a directory, below its own.
FILE, FOLDER = {"mariadb": ("ibdata1", "mysql"), "postgresql": ("global/pg_control", "base")}[ENGINE]


def tree_of(top):
    """{path: what it is}, of all below."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid]
            if stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    what += [st.st_size, hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest")
                             else hashlib.sha256(file.read()).hexdigest()]
            found[os.path.relpath(path, top)] = tuple(what)
    return found


def place(name):
    path = sandbox(name)
    os.makedirs(path, exist_ok=True)
    return path


def show(name, at):
    directory = place(name)
    view = cluster.json("view", directory, "--at", at)
    check(view["directory"] == directory, str(view))
    shown[directory] = view
    return directory


def end_all():
    for directory in list(shown):
        cluster.unspill.run("unview", directory)
        del shown[directory]


def listed(*name):
    return {view["directory"]: view["moment"]["lsn"] for view in cluster.unspill.json("views", *name)["views"]}


def same_as_export(directory):
    copy = sandbox("copy")
    cluster.run("export", "--to", copy, "--at", f"lsn:{shown[directory]['moment']['lsn']}")
    seen, copied = tree_of(os.path.join(directory, "data")), tree_of(copy)
    shutil.rmtree(copy)
    for name in ("postmaster.pid", "postmaster.opts"):  # of a running server: no copy has them
        seen.pop(name, None)
    check(len(seen) > 50 and seen == copied,
          f"{directory}: {[name for name in seen.keys() | copied.keys() if seen.get(name) != copied.get(name)][:5]}")
    return seen


def three_moments_shown_while_the_server_works_are_what_an_export_copies():
    global cluster, ledger
    cluster = create("seen", "--backtrack-window", "2h", *server_options(*SMALL_SERVER))
    ledger = Ledger(cluster)
    ledger.prepare()
    ledger.start("--connections=2")
    moments = []
    for _ in range(3):
        ledger.wait_for_acknowledged(200)
        moments.append(now_us())
    directories = [show(f"then {number}", iso(moment)) for number, moment in enumerate(moments)]
    for directory, moment in zip(directories, moments):
        check(shown[directory]["moment"]["time_us"] <= moment, str(shown[directory]))
    ledger.wait_for_acknowledged(200)
    trees = [same_as_export(directory) for directory in directories]
    check(trees[0] != trees[1] and trees[1] != trees[2], "every moment looks the same")
    ledger.wait_for_acknowledged(200)
    check(listed() == listed("seen") == {d: shown[d]["moment"]["lsn"] for d in directories}, str(listed()))
    check(cluster.status()["pins"] == cluster.status()["views"] == 3, str(cluster.status()))
    text = cluster.unspill.run("views").stdout
    check(all(directory in text for directory in directories), text)
    ledger.stop()


def nothing_in_a_view_can_be_changed():
    directory = next(iter(shown))
    below = os.path.join(directory, "data")
    file = os.path.join(below, FILE)
    attempts = {
        "write": lambda: open(file, "r+b"),
        "make": lambda: open(os.path.join(below, "new"), "xb"),
        "truncate": lambda: os.truncate(file, 0),
        "mkdir": lambda: os.mkdir(os.path.join(below, "new")),
        "unlink": lambda: os.unlink(file),
        "rename": lambda: os.rename(file, file + "x"),
        "link": lambda: os.link(file, file + "x"),
        "symlink": lambda: os.symlink("x", os.path.join(below, "new")),
        "chmod": lambda: os.chmod(file, 0o777),
        "chown": lambda: os.chown(file, 0, 0),
        "utime": lambda: os.utime(file),
        "setxattr": lambda: os.setxattr(file, "user.x", b"x"),
        "rmdir": lambda: os.rmdir(os.path.join(below, FOLDER)),
    }
    before = tree_of(directory)
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            check(error.errno == errno.EROFS, f"{name}: {error}")
        else:
            check(False, f"{name} is allowed")
    check(tree_of(directory) == before, "something changed")


def a_backtrack_leaves_the_views_as_they_are():
    directories = list(shown)
    before = [tree_of(directory) for directory in directories]
    cluster.backtrack(f"lsn:{shown[directories[0]]['moment']['lsn']}")
    check(cluster.value("SELECT COUNT(*) FROM ledger.note"), "the server does not answer")
    check([tree_of(directory) for directory in directories] == before, "a view changed")
    check(list(listed()) == directories, str(listed()))
    for directory in directories:
        same_as_export(directory)


def a_view_holds_the_horizon_until_it_ends():
    newest = max(view["moment"]["time_us"] for view in shown.values())
    oldest = min(view["moment"]["lsn"] for view in shown.values())
    directory = max(shown, key=lambda name: shown[name]["moment"]["lsn"])
    before = tree_of(directory)
    cluster.run("modify", "--backtrack-window", "1s")
    ledger.start("--connections=2")
    wait_for(lambda: now_us() - newest > 3_000_000, 60, "the window to have passed the views")
    ledger.wait_for_acknowledged(100)
    check(cluster.status()["pins"] == 3 and len(before) > 50 and tree_of(directory) == before, "a view changed")
    check(cluster.status()["horizon"]["lsn"] == oldest, f"{cluster.status()['horizon']} is not {oldest}")
    check("3 hold the horizon" in cluster.run("status").stdout, "status")
    check(cluster.json("backtrack", "--to", f"lsn:{oldest}", "--dry-run")["to"]["lsn"] == oldest, "it cannot be reached")
    ledger.stop()
    end_all()
    check(cluster.status()["horizon"]["time_us"] > newest, "the horizon stays although nobody holds it")
    check(cluster.status()["pins"] == 0 and not listed(), str(cluster.status()))
    done = cluster.run("view", directory, "--at", iso(newest), check=False)
    check(done.returncode == UNREACHABLE and len(done.stderr.splitlines()) == 1, done.stderr)
    check(not os.listdir(directory) and not mounts_below(directory), "something is left there")
    cluster.run("modify", "--backtrack-window", "2h")


def a_view_in_use_ends_only_when_it_is_forced():
    directory = show("used", "now")
    with open(os.path.join(directory, "data", FILE), "rb") as file:
        done = cluster.unspill.run("unview", directory, check=False)
        check(done.returncode == BUSY and "uses" in done.stderr, done.stderr)
        check(file.read(4096) and list(listed()) == [directory], "it ended")
        cluster.unspill.run("unview", directory, "--force")
        check(not os.listdir(directory) and not listed(), "it goes on")
    del shown[directory]


def what_cannot_be_shown_is_refused_in_one_line():
    directory = show("shown", "now")
    full, file = place("full"), sandbox("file")
    for path in (os.path.join(full, "x"), file):
        with open(path, "w", encoding="utf-8"):
            pass
    empty = place("empty")
    refused = {
        ("view", "seen", sandbox("nowhere"), "--at", "now"): (NOT_FOUND, "make it first"),
        ("view", "seen", file, "--at", "now"): (FAILED, "is not a directory"),
        ("view", "seen", full, "--at", "now"): (TAKEN, "not empty"),
        ("view", "seen", directory, "--at", "now"): (TAKEN, "already"),
        ("view", "seen", os.path.join(directory, "data", FOLDER), "--at", "now"): (USAGE, "own files"),
        ("view", "seen", cluster.path("mnt/data", FOLDER), "--at", "now"): (USAGE, "own files"),
        ("view", "seen", "/proc/sys/fs/binfmt_misc/..", "--at", "now"): (TAKEN, "not empty"),
        ("view", "seen", empty, "--at", "in 2 hours"): (USAGE, "--at"),
        ("view", "seen", empty, "--at", "mark:none"): (NOT_FOUND, "none"),
        ("view", "seen", empty, "--at", "lsn:99999999999999"): (UNREACHABLE, ""),
        ("view", "seen", empty, "--at", "2001-01-01"): (UNREACHABLE, ""),
        ("view", "seen", empty): (USAGE, "--at"),
        ("view", "unseen", empty, "--at", "now"): (NOT_FOUND, "unseen"),
        ("unview", empty): (NOT_FOUND, "views"),
        ("unview", sandbox("nowhere")): (NOT_FOUND, "views"),
        ("unview", cluster.path("mnt")): (NOT_FOUND, "views"),
        ("views", "unseen"): (NOT_FOUND, "unseen"),
    }
    for words, (code, text) in refused.items():
        done = cluster.unspill.run(*words, check=False)
        check(done.returncode == code and text in done.stderr and len(done.stderr.splitlines()) == 1,
              f"{words}: {done.returncode} {done.stderr}")
    check(list(listed()) == [directory] and not os.listdir(empty), str(listed()))
    end_all()


def a_keeper_that_is_killed_leaves_nothing_dead_behind():
    directories = [show("left 1", "now"), show("left 2", "now")]
    shown.clear()
    pid = cluster.status()["keeper_pid"]
    kill(pid)
    wait_for(lambda: gone(pid), 20, "the keeper's end")
    cluster.revive()
    check(listed() == {} and cluster.status()["keeper_pid"] != pid, str(listed()))
    for directory in directories:
        check(not mounts_below(directory) and not os.listdir(directory), f"{directory} is still something")


def a_stopped_cluster_shows_its_past_without_a_server():
    cluster.run("stop")
    directory = show("stopped", "now")
    same_as_export(directory)
    status = cluster.status()
    check(status["state"] == "stopped" and status["serverless"] and status["pins"] == 1, str(status))
    done = cluster.run("start", check=False)
    check(done.returncode == BUSY and "views" in done.stderr, done.stderr)
    check(list(listed()) == [directory] and os.path.exists(os.path.join(directory, "data", FILE)), "it ended")
    # That keeper dies: nobody starts another one, but the directory can be had back.
    kill(status["keeper_pid"])
    wait_for(lambda: gone(status["keeper_pid"]), 20, "the keeper's end")
    check(mounts_below(directory), "nothing is left to clear away")
    cluster.unspill.run("unview", directory)
    check(not mounts_below(directory) and not os.listdir(directory), "it is still something")
    shown.clear()
    show("stopped", "now")
    end_all()
    cluster.run("start")
    cluster.wait_running()


def a_stop_and_a_command_that_is_interrupted_leave_nothing_shown():
    directory = show("to the end", "now")
    cluster.run("stop")
    shown.clear()
    check(not mounts_below(directory) and not os.listdir(directory), "it is still something")
    cluster.run("start")
    command = cluster.unspill.start("view", "seen", directory, "--at", "now", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.01)
    command.terminate()
    ended = command.wait(60)
    # It was too early, or too late; never in between.
    check(list(listed()) == ([directory] if ended == 0 else []), f"{ended}: {listed()}")
    cluster.unspill.run("unview", directory, check=ended == 0)
    check(not mounts_below(directory), "it is still something")
    cluster.run("delete", "--yes")


if __name__ == "__main__":
    main(
        three_moments_shown_while_the_server_works_are_what_an_export_copies,
        nothing_in_a_view_can_be_changed,
        a_backtrack_leaves_the_views_as_they_are,
        a_view_holds_the_horizon_until_it_ends,
        a_view_in_use_ends_only_when_it_is_forced,
        what_cannot_be_shown_is_refused_in_one_line,
        a_keeper_that_is_killed_leaves_nothing_dead_behind,
        a_stopped_cluster_shows_its_past_without_a_server,
        a_stop_and_a_command_that_is_interrupted_leave_nothing_shown,
    )
