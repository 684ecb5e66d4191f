"""
History is packed, asked for and in the background, while clients write: every moment is what it was, whatever is packed,
and a keeper killed in the middle of it loses nothing.
"""
import json
import os
import random
import subprocess
import time

from harness import (
    LONG, SMALL_SERVER, History, Ledger, Skip, check, check_tables, iso, kill, main, note, now_us, sandbox, server_options,
    small_disk, unspill, wait_for,
)

MEGABYTE = 1 << 20
MOMENTS = 60 if LONG else 12
KILLS = 20 if LONG else 4
cluster = ledger = None
history = History()
start_us = None
disk = sandbox("disk")


def a_cluster_on_a_small_disk_has_small_segments():
    global cluster, ledger, start_us
    small_disk(1500)
    cluster = unspill().create(
        "packed", "--backtrack-window", "1h", "--dir", os.path.join(disk, "packed"), *server_options(*SMALL_SERVER)
    )
    ledger = Ledger(cluster)
    ledger.prepare()
    start_us = now_us()


def need_cluster():
    if not cluster:
        raise Skip("no small disk")


def packs():
    tape = os.path.join(disk, "packed", "volume", "tape")
    return [name for name in os.listdir(tape) if name.endswith(".pack")]


def write(megabytes, *options):
    """More tape, by clients that are still at it afterwards."""
    ledger.start("--connections=4", "--pad=2000", *options)
    end = cluster.status()["now"]["lsn"] + megabytes * MEGABYTE
    wait_for(lambda: cluster.status()["now"]["lsn"] > end, 120, f"{megabytes} MiB of tape")


def verify_is_clean():
    done = cluster.run("verify", check=False, timeout=300)
    check(done.returncode == 0, f"verify: {done.stdout}{done.stderr}")


def visit(count):
    end = now_us()
    for moment_us in random.sample(range(start_us, end), count):
        result = cluster.backtrack(iso(moment_us))
        history.jump(result["at"]["time_us"], moment_us)
        ledger.verify(moment_us, history)
    result = cluster.backtrack(iso(end))
    history.jump(result["at"]["time_us"], end)
    ledger.verify(end, history)


def what_is_packed_while_clients_write_is_right_at_every_moment():
    need_cluster()
    write(120)
    result = json.loads(cluster.run("repack", "--json").stdout)
    ledger.stop()
    check(result["segments"] >= 3 and packs(), f"nothing was packed: {result}")
    check(result["after"] < 0.75 * result["before"], str(result))
    note(f"{result['before'] / MEGABYTE:.0f} MiB became {result['after'] / MEGABYTE:.0f}")
    status = cluster.status()["bytes"]
    check(status["packed_from"] >= result["before"] and status["packed"] >= result["after"], str(status))
    verify_is_clean()
    visit(MOMENTS)
    verify_is_clean()


def a_moment_that_is_packed_is_exported():
    need_cluster()
    moment = cluster.status()["horizon"]["time_us"]
    moment = random.randrange(max(moment, start_us), now_us())
    cluster.run("export", "--to", sandbox("export"), "--at", iso(moment), timeout=120)
    check(os.path.exists(sandbox("export", "ibdata1")), "no ibdata1 in what was exported")


def killed_while_packing_nothing_is_lost():
    need_cluster()
    left = 0
    for number in range(KILLS):
        write(50)
        pid = cluster.status()["keeper_pid"]
        work = cluster.unspill.start("repack", "packed", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.6 * random.random())
        kill(pid)
        work.wait(60)
        ledger.stop()
        left += os.path.exists(os.path.join(disk, "packed", "volume", "tape", "pack.tmp"))
        cluster.revive()
        there = ledger.verify(None, history)
        check(there >= ledger.acknowledged(), f"{there} transactions of {ledger.acknowledged()}")
    note(f"killed {KILLS} times, {left} times with a pack half written; {len(packs())} packs")
    check_tables(cluster)
    verify_is_clean()
    visit(MOMENTS // 4)


def a_cluster_packs_by_itself():
    need_cluster()
    # What has not a quarter of the window left is not packed any more, and what is an eighth of it old is.
    cluster.run("modify", "--backtrack-window", "100s")
    before = set(packs())
    write(80)
    wait_for(lambda: set(packs()) - before, 120, "a pack")
    ledger.stop()
    new = now_us() - 15_000_000
    for moment_us in random.sample(range(new, now_us()), 3):
        result = cluster.backtrack(iso(moment_us))
        history.jump(result["at"]["time_us"], moment_us)
        ledger.verify(moment_us, history)
    verify_is_clean()


main(
    a_cluster_on_a_small_disk_has_small_segments,
    what_is_packed_while_clients_write_is_right_at_every_moment,
    a_moment_that_is_packed_is_exported,
    killed_while_packing_nothing_is_lost,
    a_cluster_packs_by_itself,
)
