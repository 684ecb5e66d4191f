# ./check: engines
"""
Clones on a real server: made in a moment, with the parent's past; neither sees what the other does; one that detaches goes
on after a kill -9; the parent keeps its base, and stays, as long as somebody stands on it.
"""
import os
import time

from harness import (
    ENGINE, LONG, SMALL_SERVER, Skip, check, check_tables, kill, main, note, sandbox, server_options, skip_without_engine,
    small_disk, unspill, wait_for,
)

MEGABYTE = 1 << 20
disk = sandbox("disk")
shop = home = None

# What the engines say in words of their own.
SCHEMA, BIG, PORT = {
    "mariadb": ("CREATE DATABASE shop; USE shop", "SELECT seq AS id, REPEAT(MD5(seq), 7) AS v FROM seq_1_to_250000", "@@port"),
    "postgresql": ("CREATE SCHEMA shop", "SELECT id, repeat(md5(id::text), 7) AS v FROM generate_series(1, 250000) AS id",
                   "current_setting('port')"),
}[ENGINE]


def a_cluster_has_a_base_and_a_past():
    global shop, home
    skip_without_engine()
    small_disk(2500)
    home = unspill("disk/home")
    shop = home.create("shop", "--backtrack-window", "1h", *server_options(*SMALL_SERVER), engine=ENGINE)
    shop.sql(f"""
        {SCHEMA};
        CREATE TABLE shop.t (id INT PRIMARY KEY, v INT);
        INSERT INTO shop.t VALUES (1, 1), (2, 2), (3, 3);
        CREATE TABLE shop.big (id INT PRIMARY KEY, v VARCHAR(255));
        INSERT INTO shop.big {BIG};
    """)
    # What is written now leaves the window, and makes the base.
    shop.run("modify", "--backtrack-window", "1s")
    wait_for(lambda: shop.status()["bytes"]["base"] > 40 * MEGABYTE, 60, "a base to be there")
    shop.run("modify", "--backtrack-window", "1h")
    shop.run("mark", "early")
    shop.sql("INSERT INTO shop.t VALUES (4, 4)")
    shop.run("mark", "clean")
    shop.sql("DELETE FROM shop.t WHERE id > 1")


def need_cluster():
    if not shop:
        raise Skip("no small disk")


def ids(cluster):
    return [int(row[0]) for row in cluster.sql("SELECT id FROM shop.t ORDER BY id")]


def clone(parent, name, *args):
    start = time.monotonic()
    out = home.json("clone", parent.name, name, *args)
    note(f"clone {name}: {time.monotonic() - start:.2f} s")
    check(out["name"] == name and out["parent"] == parent.name, str(out))
    return home.cluster(name, ENGINE)


def a_clone_is_what_its_parent_was_and_neither_sees_the_other():
    need_cluster()
    lab = clone(shop, "lab", "--at", "mark:clean", "--thin")
    check(ids(lab) == [1, 2, 3, 4] and ids(shop) == [1], f"{ids(lab)} {ids(shop)}")
    lab.sql("INSERT INTO shop.t VALUES (100, 100); UPDATE shop.big SET v = 'lab' WHERE id < 1000")
    shop.sql("INSERT INTO shop.t VALUES (200, 200); UPDATE shop.big SET v = 'shop' WHERE id < 2000")
    check(ids(lab) == [1, 2, 3, 4, 100] and ids(shop) == [1, 200], f"{ids(lab)} {ids(shop)}")
    check(lab.sql("SELECT COUNT(*) FROM shop.big WHERE v = 'shop'") == [["0"]], "the parent's rows in the clone")
    check(shop.sql("SELECT COUNT(*) FROM shop.big WHERE v = 'lab'") == [["0"]], "the clone's rows in the parent")


def both_say_so():
    need_cluster()
    lab = home.json("status", "lab")
    parent = shop.status()
    check(lab["parent"] == "shop" and lab["attached"] and lab["thin"] and lab["bytes"]["shared"] > 40 * MEGABYTE,
          f"{lab['parent']} {lab['attached']} {lab['bytes']}")
    check(parent["clones"] == ["lab"] and parent["pins"] == 1 and parent["parent"] is None, str(parent["clones"]))
    check("of shop, whose horizon it holds" in home.run("status", "lab").stdout, "status lab")
    check(lab["bytes"]["shared"] == parent["bytes"]["shared"], f"{lab['bytes']} {parent['bytes']}")
    text = home.run("status", "shop").stdout
    check("of this base are shared" in text and "1 hold the horizon" in text, text)


def a_clone_goes_back_to_before_it_was_made_and_the_parent_too():
    need_cluster()
    lab = home.cluster("lab", ENGINE)
    lab.backtrack("mark:early")
    check(ids(lab) == [1, 2, 3], str(ids(lab)))
    shop.backtrack("mark:clean")
    check(ids(shop) == [1, 2, 3, 4], str(ids(shop)))
    check(ids(lab) == [1, 2, 3], str(ids(lab)))


def a_lab_is_reset_again_and_again():
    need_cluster()
    lab = home.cluster("lab", ENGINE)
    lab.run("mark", "ready")
    for turn in range(5 if LONG else 3):
        lab.sql(f"DROP TABLE shop.t; UPDATE shop.big SET v = '{turn}' WHERE id % 50 = 0")
        start = time.monotonic()
        lab.backtrack("mark:ready")
        took = time.monotonic() - start
        check(ids(lab) == [1, 2, 3], str(ids(lab)))
        # How fast it is, the benchmark says: here others may have the machine.
        check(took < 30, f"a reset took {took:.2f} s")
    note(f"the last reset: {took:.2f} s")


def a_parent_stays_as_long_as_it_is_needed():
    need_cluster()
    done = home.run("delete", "shop", "--yes", check=False)
    check(done.returncode == 5 and "its clone 'lab' still shares" in done.stderr, done.stderr)
    shop.run("stop")
    done = home.run("delete", "shop", "--yes", check=False)
    check(done.returncode == 5, done.stderr)
    shop.run("start")
    check(shop.status()["pins"] == 1, "the base is not held after a restart")


def bad_input_makes_no_clone():
    need_cluster()
    elsewhere = sandbox("elsewhere")
    for words, code, text in (
        (("shop", "lab"), 8, "exists already"),
        (("shop", "1x"), 2, "cannot be a cluster's name"),
        (("none", "x"), 3, "there is no cluster"),
        (("shop", "x", "--at", "500w ago"), 4, "before"),
        (("shop", "x", "--at", "mark:none"), 3, "there is no mark"),
        (("shop", "x", "--port", "0"), 2, "--port"),
        (("shop", "x", "--dir", elsewhere), 1, "another filesystem"),
        (("shop", "x", "--dir", disk), 8, "not an empty directory"),
    ):
        done = home.run("clone", *words, check=False)
        check(done.returncode == code and text in done.stderr, f"{words}: {done.returncode} {done.stderr!r}")
    check(not os.path.exists(elsewhere), "a directory is left")
    check({entry["name"] for entry in home.json("list")["clusters"]} == {"shop", "lab"}, "a cluster is left")
    check(shop.status()["clones"] == ["lab"], "a clone is left")


def a_clone_that_is_killed_while_it_detaches_goes_on():
    need_cluster()
    staging = clone(shop, "staging")
    check(ids(staging) == [1, 2, 3, 4], str(ids(staging)))
    kills = 0
    for _ in range(3):
        status = staging.status()
        if not status["attached"]:
            break
        kill(status["keeper_pid"])
        kills += 1
        staging.revive()
    check(kills > 0, "it had detached before it could be killed")
    staging.run("modify", "--detach-rate", "1G")
    staging.sql("INSERT INTO shop.t VALUES (300, 300)")
    wait_for(lambda: not staging.status()["attached"], 60, "it to detach")
    check(staging.status()["bytes"]["shared"] == 0, "something is shared")
    check("detached" in staging.run("status").stdout, "status")
    wait_for(lambda: shop.status()["clones"] == ["lab"], 10, "the parent to notice")
    check(ids(staging) == [1, 2, 3, 4, 300] and ids(shop) == [1, 2, 3, 4], "rows")


def a_thin_clone_detaches_when_it_is_told_to_as_fast_as_it_is_told():
    need_cluster()
    slim = clone(shop, "slim", "--thin", "--no-start")
    for words, text in ((("shop", "--detach"), "not a clone"), (("slim", "--detach-rate", "1K"), "no less than 64.0 KiB")):
        done = home.run("modify", *words, check=False)
        check(done.returncode != 0 and text in done.stderr and done.stderr.count("\n") == 1, f"{words}: {done.stderr!r}")
    check("goes on sharing" in slim.run("modify", "--detach-rate", "256K").stdout, "it is not thin")
    slim.run("start")
    status = slim.status()
    check(status["thin"] and status["attached"] and status["detach_rate"] == MEGABYTE // 4, str(status))
    shared = status["bytes"]["shared"]
    start = time.monotonic()
    check(slim.json("modify", "--detach")["attached"], "it has detached at once")
    kill(status["keeper_pid"])
    slim.revive()
    status = slim.status()
    check(not status["thin"] and status["attached"], "it forgot, or did not mind the rate")
    check(shared - status["bytes"]["shared"] <= (time.monotonic() - start + 1) * MEGABYTE / 4, f"too fast: {shared} {status['bytes']}")
    slim.run("modify", "--detach-rate", "1G")
    wait_for(lambda: not slim.status()["attached"], 60, "it to detach")
    check("has detached already" in slim.run("modify", "--detach").stdout, "modify")
    wait_for(lambda: shop.status()["clones"] == ["lab"], 10, "the parent to notice")
    home.run("delete", "slim", "--yes")


def clones_of_clones_outlive_all_others():
    need_cluster()
    grandchild = clone(home.cluster("lab", ENGINE), "grandchild", "--no-start", "--at", "mark:ready")
    check(home.run("delete", "lab", "--yes", check=False).returncode == 5, "lab was deleted")
    grandchild.run("start")
    wait_for(lambda: not grandchild.status()["attached"], 60, "it to detach")
    home.run("delete", "lab", "--yes")
    wait_for(lambda: shop.status()["pins"] == 0, 10, "the base to be free")
    # Both fold now, each into files of its own.
    for cluster in (shop, grandchild):
        cluster.sql(f"UPDATE shop.big SET v = CONCAT(id, {PORT}) WHERE id <= 20000")
        cluster.run("modify", "--backtrack-window", "1s")
    for cluster in (shop, grandchild):
        wait_for(lambda cluster=cluster: not cluster.status()["folding"], 60, "the fold to end")
        check(not cluster.json("verify")["damage"], "damage")
        check(cluster.sql(f"SELECT COUNT(*) FROM shop.big WHERE id <= 20000 AND v != CONCAT(id, {PORT})") == [["0"]], "foreign rows")
        check_tables(cluster, ("shop",))
    home.run("delete", "shop", "--yes")
    check(ids(grandchild) == [1, 2, 3], str(ids(grandchild)))
    check(not home.cluster("staging", ENGINE).json("verify")["damage"], "damage")


main(
    a_cluster_has_a_base_and_a_past,
    a_clone_is_what_its_parent_was_and_neither_sees_the_other,
    both_say_so,
    a_clone_goes_back_to_before_it_was_made_and_the_parent_too,
    a_lab_is_reset_again_and_again,
    a_parent_stays_as_long_as_it_is_needed,
    bad_input_makes_no_clone,
    a_clone_that_is_killed_while_it_detaches_goes_on,
    a_thin_clone_detaches_when_it_is_told_to_as_fast_as_it_is_told,
    clones_of_clones_outlive_all_others,
)
