# ./check: engines in long runs
"""
Killed in the middle of a backtrack, of a fold, of a checkpoint: the cluster comes up at the old moment or the new one,
never between, and without losing what it promised.
"""
import os
import random
import subprocess
import time

from harness import (
    LONG, SAMPLE, SMALL_SERVER, Ledger, check, check_tables, create, fingerprint, iso, kill, main, note, now_us, server_options,
    wait_for,
)

KILLS = 60 if LONG else 5 if SAMPLE else 8
cluster = ledger = None


def a_run_with_a_present_and_a_past():
    global cluster, ledger
    cluster = create("inter", "--backtrack-window", "2h", *server_options(*SMALL_SERVER))
    ledger = Ledger(cluster)
    ledger.prepare()
    ledger.start("--connections=4", "--pad=2000")
    ledger.wait_for_acknowledged(3000)


def killed_in_the_middle_of_a_backtrack_it_is_at_the_old_moment_or_the_new_one():
    past = now_us()
    ledger.wait_for_acknowledged(3000)
    ledger.stop()
    present = now_us()
    contents = {"present": fingerprint(cluster)}

    start = time.monotonic()
    cluster.backtrack(iso(past))
    took = time.monotonic() - start
    contents["past"] = fingerprint(cluster)
    check(contents["past"] != contents["present"], "past and present are the same")
    ledger.verify(past)

    seen = {"present": 0, "past": 0}
    for number in range(KILLS):
        cluster.backtrack(iso(present))
        check(fingerprint(cluster) == contents["present"], "the present has changed")
        status = cluster.status()
        work = cluster.unspill.start(
            "backtrack", "inter", "--to", iso(past), "--yes", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # The head moves early on; so early kills are closer together.
        time.sleep(took * ((number + random.random()) / KILLS) ** 3)
        kill(status["keeper_pid"])
        work.wait(60)
        cluster.revive()
        content = fingerprint(cluster)
        check(content in contents.values(), f"neither past nor present: {content}")
        seen["past" if content == contents["past"] else "present"] += 1
    note(f"a backtrack takes {took:.2f} s; killed {KILLS} times: {seen}")
    check_tables(cluster)
    cluster.backtrack(iso(present))
    check(fingerprint(cluster) == contents["present"], "the present has changed")


def a_backtrack_that_was_cut_off_by_its_caller_leaves_a_cluster_that_works():
    present = now_us()
    contents = [fingerprint(cluster)]
    for _ in range(4):
        work = cluster.unspill.start(
            "backtrack", "inter", "--to", iso(present - 3_000_000), "--yes",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        time.sleep(random.random() * 1.5)
        work.send_signal(2)
        work.wait(60)
        cluster.wait_running()
        ledger.rows()
        cluster.backtrack(iso(present))
        check(fingerprint(cluster) == contents[0], "the present has changed")


def status_until(condition, seconds, what):
    """Ask closely; the status that fulfilled the condition."""

    def asked():
        status = cluster.status()
        return status if condition(status) else None

    return wait_for(asked, seconds, what)


def killed_in_the_middle_of_a_fold_nothing_is_lost():
    fresh = Ledger(cluster, "fold")
    cluster.drop_schema("ledger")
    fresh.prepare()
    cluster.run("modify", "--backtrack-window", "1s")
    fresh.start("--connections=4", "--pad=30000")
    met = 0
    for _ in range(20 if LONG else 2 if SAMPLE else 3):
        status = status_until(lambda status: status["folding"], 120, "a fold")
        kill(status["keeper_pid"])
        cluster.revive()
        met += 1
        fresh.verify()
    fresh.stop()
    note(f"killed in {met} folds; {fresh.verify()} transactions, {fresh.acknowledged()} acknowledged")
    check_tables(cluster)
    done = cluster.run("verify", check=False)
    check(done.returncode == 0, f"verify: {done.stdout}{done.stderr}")
    status = cluster.status()
    note(f"window {status['window']}, bytes {status['bytes']}")


def checkpoints():
    found = set()
    for folder, _, names in os.walk(cluster.path("volume")):
        found.update(os.path.join(folder, name) for name in names if folder.endswith("/ckpt"))
    return found


# A checkpoint comes every 200,000 change records.  A database takes minutes for that; these, beside it, take seconds.
SCRIBBLER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
n = 0
try:
    while True:
        os.pwrite(fd, b"x", n % 4096)
        n += 1
except OSError:
    pass
"""


def killed_in_the_middle_of_a_checkpoint_nothing_is_lost():
    fresh = Ledger(cluster, "checkpoint")
    cluster.run("modify", "--backtrack-window", "1h")
    cluster.drop_schema("ledger")
    fresh.prepare()
    fresh.start("--connections=4")
    for _ in range(10 if LONG else 1 if SAMPLE else 2):
        keeper = cluster.status()["keeper_pid"]
        before = checkpoints()
        scribbler = subprocess.Popen(["/usr/bin/python3", "-c", SCRIBBLER, cluster.path("mnt/scribble")])
        deadline = time.monotonic() + 120
        # The file's name appears when its writing begins.
        while checkpoints() <= before and time.monotonic() < deadline:
            time.sleep(0.0005)
        kill(keeper)
        scribbler.wait(60)
        check(time.monotonic() < deadline, "no checkpoint in two minutes")
        cluster.revive()
        fresh.verify()
    fresh.stop()
    note(f"{fresh.verify()} transactions, {fresh.acknowledged()} acknowledged, {len(checkpoints())} checkpoints")


main(
    a_run_with_a_present_and_a_past,
    killed_in_the_middle_of_a_backtrack_it_is_at_the_old_moment_or_the_new_one,
    a_backtrack_that_was_cut_off_by_its_caller_leaves_a_cluster_that_works,
    killed_in_the_middle_of_a_fold_nothing_is_lost,
    killed_in_the_middle_of_a_checkpoint_nothing_is_lost,
)
