"""Servers with so many megabytes in them, for what is to cost the same whatever the size."""
import time

from cluster import Cluster, wait_for

from lib.servers import create_cluster

ROWS = 20_000  # of about 1 KB in a statement
MEGABYTES_PER_SECOND = 25  # at the least, to write them


def fill(server, megabytes):
    """A table `filled.t` of about so many megabytes, that nothing packs; and a small one to ask."""
    server.sql(
        "CREATE DATABASE filled; USE filled; CREATE TABLE small (id INT PRIMARY KEY, v INT);"
        "INSERT INTO small VALUES (1, 1), (2, 2), (3, 3);"
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v CHAR(250) NOT NULL, w CHAR(250) NOT NULL, x CHAR(250) NOT NULL,"
        " y CHAR(220) NOT NULL) CHARACTER SET latin1"
    )
    text = ", ".join(f"REPEAT(MD5(RAND()), 7) AS {name}" for name in "vwx")
    for _ in range(max(1, megabytes * 1000 // ROWS)):
        server.sql(f"USE filled; INSERT INTO t (v, w, x, y) SELECT {text}, REPEAT(MD5(RAND()), 6) FROM seq_1_to_{ROWS}", timeout=3600)


def filled_cluster(bench, disk, name, megabytes):
    bench.say(f"a cluster of {megabytes} MB")
    cluster = create_cluster(bench, disk, name, bench.fastest)
    fill(cluster, megabytes)
    # What is dirty in the server's pool is written: what is measured is not its rest.
    cluster.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0")
    wait_for(lambda: int(cluster.value("SELECT variable_value FROM information_schema.global_status"
                                       " WHERE variable_name = 'INNODB_BUFFER_POOL_PAGES_DIRTY'")) < 100, 600, "the pool to be clean")
    cluster.sql("SET GLOBAL innodb_max_dirty_pages_pct = 90")
    return cluster


def seconds_of(what):
    """(seconds, what it returned)"""
    begun = time.monotonic()
    result = what()
    return time.monotonic() - begun, result


def other(cluster, name):
    return Cluster(cluster.unspill, name)
