"""
What is PostgreSQL's own: tablespaces in the volume, the past on a throw-away server, clones; and nothing that is left behind.
"""
import json
import os
import shutil

from harness import (
    Failed, PostgresCluster, Skip, check, free_port, gone, iso, kill, main, mounts_below, now_us, sandbox, unspill, wait_for,
)

cluster = None


def tablespaces_are_in_the_volume_and_nowhere_else():
    global cluster
    try:
        cluster = unspill().create("ledgers", "--backtrack-window", "1h", "--server-option", "shared_buffers=32MB", engine="postgresql")
    except Failed as error:
        if "there is no 'postgres' here" in str(error):
            raise Skip("PostgreSQL is not installed: Debian's postgresql-15") from error
        raise
    outside = sandbox("outside")
    os.mkdir(outside)
    if os.geteuid() == 0:
        shutil.chown(outside, "postgres")
    done = cluster.run("shell", "-e", f"CREATE TABLESPACE fast LOCATION '{outside}'", check=False)
    check(done.returncode != 0 and "symbolic link" in done.stderr, f"a tablespace outside was made: {done.stderr}")
    cluster.sql("CREATE TABLESPACE fast LOCATION ''")
    cluster.sql("CREATE TABLE t (id INT PRIMARY KEY, name TEXT) TABLESPACE fast; INSERT INTO t VALUES (1, 'one'), (2, NULL)")


def a_dropped_table_and_its_tablespace_come_back():
    cluster.run("mark", "two")
    before = now_us()
    cluster.sql("DROP TABLE t; DROP TABLESPACE fast")
    cluster.backtrack(iso(before))
    check(cluster.sql("SELECT * FROM t ORDER BY id") == [["1", "one"], ["2", "NULL"]], "the rows are not what they were")
    check(cluster.value("SELECT spcname FROM pg_tablespace JOIN pg_class ON reltablespace = pg_tablespace.oid WHERE relname = 't'") == "fast",
          "it lies elsewhere")


def the_past_answers_and_leaves_nothing():
    cluster.sql("DELETE FROM t")
    out = cluster.run("query", "--at", "mark:two", "--format", "json", "SELECT * FROM t ORDER BY id").stdout
    check(json.loads(out) == [{"id": 1, "name": "one"}, {"id": 2, "name": None}], out)
    out = cluster.run("query", "--at", "mark:two", "DROP TABLE t", check=False)
    check("changed nothing in ledgers" in out.stderr, out.stderr)
    check(cluster.run("shell", "--at", "mark:two", "-e", "SELECT count(*) FROM t", "--", "-A", "-t").stdout == "2\n", "shell --at")
    check(cluster.value("SELECT count(*) FROM t") == "0", "the present has changed")
    place = cluster.path("scratch")
    check(not os.path.isdir(place) or not os.listdir(place), "files are left")
    check(not mounts_below(place), "a mount is left")


def no_process_of_the_server_outlives_server_or_keeper():
    for target in ("pid", "keeper_pid"):
        status = cluster.status()
        children = open(f"/proc/{status['pid']}/task/{status['pid']}/children", encoding="ascii").read().split()
        check(len(children) >= 4, f"the server has no processes: {children}")
        kill(status[target])
        wait_for(lambda pids=children: all(gone(int(pid)) for pid in pids), 30, "the server's processes to go")
        cluster.revive()


def a_clone_is_a_cluster_of_its_own():
    cluster.unspill.run("clone", "ledgers", "copy", "--at", "mark:two", "--port", free_port())
    copy = PostgresCluster(cluster.unspill, "copy")
    copy.wait_running()
    check(copy.value("SELECT count(*) FROM t") == "2", "it is not at its moment")
    copy.sql("INSERT INTO t VALUES (3, 'three'); CREATE TABLE only_here (a INT)")
    cluster.sql("INSERT INTO t VALUES (4, 'four')")
    check(copy.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM t") == "1,2,3", "the clone sees the parent's writes")
    check(cluster.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM t") == "4", "the parent sees the clone's writes")
    copy.run("delete", "--yes")
    check(cluster.value("SELECT count(*) FROM t") == "1", "the parent lost something with the clone")


def verify_finds_nothing_to_complain_about():
    check(cluster.run("verify", check=False).returncode == 0, "damage")


main(
    tablespaces_are_in_the_volume_and_nowhere_else,
    a_dropped_table_and_its_tablespace_come_back,
    the_past_answers_and_leaves_nothing,
    no_process_of_the_server_outlives_server_or_keeper,
    a_clone_is_a_cluster_of_its_own,
    verify_finds_nothing_to_complain_about,
)
