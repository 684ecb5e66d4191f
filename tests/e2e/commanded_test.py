# ./check: engines in long runs
"""
What `unspill` has serve do survives serve, too: killed in the middle of a clone, of an import or of a delete, serve has after its
next start done it or taken it back, says so, and neither the database nor the one it came from is harmed.
"""
import collections
import contextlib
import os
import random
import sqlite3
import subprocess
import time

from harness import ENGINE, LONG, check, check_tables, fingerprint, free_port, main, mounts_below, note, sandbox, skip_without_engine, wait_for
from serving import Serving

# Of each kind, in the middle; of clones two at least, as they are made of now and of then.
KILLS = int(os.environ.get("UNSPILL_TEST_KILLS") or (20 if LONG else 1))
PATIENCE = 90
SCHEMAS = ("goods", "later_goods")

serving = Serving("home")
shop = serving.unspill.cluster("shop", ENGINE)
took = {}  # seconds, of each kind
killed = collections.defaultdict(collections.Counter)  # by kind: how the job stood when it was killed, and how it ended
content = {}  # "now", "then"


def state(what):
    """Of serve's own records, which can be read while nobody serves."""
    with contextlib.closing(sqlite3.connect(sandbox("home", ".serve", "state.db"), timeout=PATIENCE)) as db:
        return db.execute(f"SELECT {what} FROM job ORDER BY id DESC LIMIT 1").fetchone() or (0, "", "")


def newest():
    return serving.unspill.json("jobs")["jobs"][0]


def settle():
    wait_for(lambda: "ended_us" in newest(), PATIENCE, "the job's end")
    return newest()


def begin(*words):
    """A command whose job is recorded."""
    before = state("id")[0]
    command = serving.unspill.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: state("id")[0] > before, PATIENCE, f"the job of {words[0]}")
    return command


def timed(kind, *words):
    command = begin(*words)
    _, err = command.communicate(timeout=PATIENCE)
    job = newest()
    check(command.returncode == 0 and job["state"] == "done", f"{words}: {err} {job}")
    took[kind] = (job["ended_us"] - job["created_us"]) / 1e6


def do_and_kill(kind, *words):
    """Killed after a random part of the time that it takes otherwise, and started again; the job as it ended."""
    pause = took[kind] * random.random()
    command = begin(*words)
    time.sleep(pause)
    serving.kill()
    left = "{}, {}".format(*state("state, COALESCE(step, 'no step')"))
    if left.startswith("done"):
        took[kind] *= 0.9  # it takes less than that
    _, err = command.communicate(timeout=PATIENCE)
    over = state("ended_us")[0]
    # Where the answer was on its way it may have come, or not.
    check(over or command.returncode == 1, f"the command ended with {command.returncode} of a job that has not ended")
    check(command.returncode == 0 or "goes on with it when it runs again: see 'unspill jobs'" in err, err)
    serving.start()
    job = settle()
    check(job["kind"] == words[0].replace("import", "create"), f"the newest job is to {job['kind']}")
    killed[kind][f"{left} -> {job['state']}"] += 1
    note(f"{kind}, killed after {pause:.2f} s, was {left}, and is {job['state']}")
    return job


def middles(*kinds):
    """How often it had not been done when it was killed."""
    return sum(count for kind in kinds for ends, count in killed[kind].items() if not ends.startswith("done"))


def rounds(least, *kinds):
    """Until so many have been killed in the middle; where one is enough, it may have been done already."""
    for number in range(least if KILLS == 1 else 4 * KILLS):
        if middles(*kinds) >= KILLS and number >= least:
            return
        yield number


def cluster_is(name, expected):
    """It runs, holds that and nothing else, and its server finds nothing wrong in it."""
    cluster = serving.unspill.cluster(name, ENGINE)
    wait_for(lambda: cluster.status()["state"] == "running", PATIENCE, f"{name} to run")
    check(fingerprint(cluster, SCHEMAS) == content[expected], f"{name} is not as shop {expected}")
    check_tables(cluster, ("goods",))


def shop_is_unharmed():
    status = shop.status()
    check(status["state"] == "running" and status["restarts"] == 0, status)
    check(fingerprint(shop, SCHEMAS) == content["now"], "shop has other rows than before")


def delete(name):
    """Killed in it, too."""
    job = do_and_kill("delete", "delete", name, "--yes")
    check(job["state"] == "done" and name not in [one["name"] for one in serving.unspill.json("list")["clusters"]], job)
    directory = serving.unspill.cluster(name, ENGINE).path()
    check(not os.path.exists(directory) and not mounts_below(directory), f"something of {name} is left")


def a_cluster_and_a_copy_of_its_directory():
    skip_without_engine()
    serving.start()
    timed("create", "create", "shop", "--engine", ENGINE, "--port", free_port(), "--backtrack-window", "2h")
    shop.make_numbers(SCHEMAS[0], "line", 5000)
    serving.unspill.run("mark", "shop", "then")
    content["then"] = fingerprint(shop, SCHEMAS)
    shop.make_numbers(SCHEMAS[1], "line", 5000)
    content["now"] = fingerprint(shop, SCHEMAS)
    check(content["now"] != content["then"], "there is no difference to see")
    shop.run("stop")
    shop.run("export", "--to", sandbox("copy"))
    shop.run("start")


def killed_while_it_clones_the_clone_is_whole_and_its_parent_unharmed():
    moments = {"now": (), "then": ("--at", "mark:then")}
    for moment, words in moments.items():
        timed(f"clone of {moment}", "clone", "shop", f"before-{moment}", "--port", free_port(), *words)
        cluster_is(f"before-{moment}", moment)
        timed("delete", "delete", f"before-{moment}", "--yes")
    for number in rounds(2, *(f"clone of {moment}" for moment in moments)):
        moment = list(moments)[number % 2]
        job = do_and_kill(f"clone of {moment}", "clone", "shop", "twin", "--port", free_port(), *moments[moment])
        check(job["state"] == "done", job)
        cluster_is("twin", moment)
        shop_is_unharmed()
        delete("twin")
        shop_is_unharmed()


def killed_while_it_imports_the_copy_is_whole_and_its_source_unharmed():
    words = ("--engine", ENGINE, "--from", sandbox("copy"))
    before = tree(sandbox("copy"))
    timed("import", "import", "before", *words, "--port", free_port())
    cluster_is("before", "now")
    timed("delete", "delete", "before", "--yes")
    for _ in rounds(1, "import"):
        job = do_and_kill("import", "import", "other", *words, "--port", free_port())
        check(job["state"] == "done", job)
        cluster_is("other", "now")
        check(tree(sandbox("copy")) == before, "the source has changed")
        delete("other")


def tree(directory):
    """Every file, its size and when it was written last."""
    return sorted((path, os.lstat(path).st_size, os.lstat(path).st_mtime_ns)
                  for at, _, names in os.walk(directory) for path in (os.path.join(at, name) for name in names))


def each_kind_was_killed_as_often_as_is_asked_for():
    for kind, ends in killed.items():
        note(f"{kind}: {dict(ends)}")
    for kinds in (("clone of now", "clone of then"), ("import",), ("delete",)):
        check(KILLS == 1 or middles(*kinds) >= KILLS, f"only {middles(*kinds)} of {kinds} were killed in the middle")
    serving.stop()


main(
    a_cluster_and_a_copy_of_its_directory, killed_while_it_clones_the_clone_is_whole_and_its_parent_unharmed,
    killed_while_it_imports_the_copy_is_whole_and_its_source_unharmed, each_kind_was_killed_as_often_as_is_asked_for,
)
