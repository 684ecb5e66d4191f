# ./check: sanitizers, engines
"""
Server and keeper are killed under load, over and over: what a client was promised is there every time.

Doublewrite and full-page writes are off, so a page that the volume tore would show.
"""
import itertools
import os
import random

from harness import (
    LONG, SAMPLE, SMALL_SERVER, Ledger, check, check_pages, check_tables, create, gone, kill, main, mounts_below, note, sandbox,
    server_options, wait_for,
)

ROUNDS = 200 if LONG else 12 if SAMPLE else 20
cluster = ledger = None


def a_cluster_comes_up_without_page_safety():
    global cluster, ledger
    cluster = create("kill", "--backtrack-window", "1h", *server_options(*SMALL_SERVER))
    if cluster.engine == "postgresql":
        check(cluster.value("SHOW full_page_writes") == "off", "full_page_writes is on")
    else:
        check(cluster.value("SELECT @@innodb_doublewrite") in ("0", "OFF"), "doublewrite is on")
    ledger = Ledger(cluster)
    ledger.prepare()


def kill_one(target):
    status = cluster.status()
    server, keeper = status["pid"], status["keeper_pid"]
    check(server and keeper, f"no pids in {status}")
    order = {"server": [server], "keeper": [keeper], "both": random.sample([server, keeper], 2)}[target]
    for pid in order:
        kill(pid)
    # With its keeper the server goes, too: nobody may write to a volume that nobody keeps.
    wait_for(lambda: all(gone(pid) for pid in order + [server]), 30, f"{target} to be gone")


def every_acknowledged_commit_is_there_after_kills_of_the_server_of_the_keeper_and_of_both():
    ledger.start("--connections=4")
    targets = itertools.cycle(["server", "keeper", "both"])
    for number, target in zip(range(ROUNDS), targets):
        ledger.wait_for_acknowledged(random.randint(20, 600))
        kill_one(target)
        cluster.revive()
        there = ledger.verify()
        if number % 5 == 4:
            note(f"{number + 1} kills, {there} transactions")
    ledger.stop()
    note(f"{ledger.verify()} transactions are there, {ledger.acknowledged()} were acknowledged")


def the_server_finds_every_table_in_order():
    check_tables(cluster)


def an_export_has_only_whole_pages():
    target = sandbox("exported")
    cluster.run("export", "--to", target)
    note(f"{check_pages(target)} tablespaces or pages")


def verify_finds_nothing_to_complain_about():
    done = cluster.run("verify", check=False)
    check(done.returncode == 0, f"verify: {done.stdout}{done.stderr}")


def a_stop_leaves_no_process_and_no_mount():
    status = cluster.status()
    cluster.run("stop")
    wait_for(lambda: gone(status["pid"]) and gone(status["keeper_pid"]), 30, "server and keeper to go")
    check(not mounts_below(cluster.directory), "still mounted")
    check(not os.listdir(cluster.path("mnt")), "something is left below the mount")
    cluster.run("start")
    cluster.wait_running()
    ledger.verify()


main(
    a_cluster_comes_up_without_page_safety,
    every_acknowledged_commit_is_there_after_kills_of_the_server_of_the_keeper_and_of_both,
    the_server_finds_every_table_in_order,
    an_export_has_only_whole_pages,
    verify_finds_nothing_to_complain_about,
    a_stop_leaves_no_process_and_no_mount,
)
