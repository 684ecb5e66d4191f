"""Servers with so many megabytes in them, for what is to cost the same whatever the size."""
import time

from cluster import wait_for

from lib.servers import create_cluster

ROWS = 20_000  # of about 1 KB in a statement
MEGABYTES_PER_SECOND = 25  # at the least, to write them

# By engine: what makes the table, and what puts ROWS more into it.
FILLING = {
    "mariadb": (
        "CREATE DATABASE filled; CREATE TABLE filled.t (id INT AUTO_INCREMENT PRIMARY KEY, v CHAR(250) NOT NULL, w CHAR(250) NOT NULL,"
        " x CHAR(250) NOT NULL, y CHAR(220) NOT NULL) CHARACTER SET latin1",
        "USE filled; INSERT INTO t (v, w, x, y) SELECT " + ", ".join(f"REPEAT(MD5(RAND()), 7) AS {name}" for name in "vwx")
        + f", REPEAT(MD5(RAND()), 6) FROM seq_1_to_{ROWS}",
    ),
    "postgresql": (
        "CREATE SCHEMA filled; CREATE TABLE filled.t (id serial PRIMARY KEY, v char(250), w char(250), x char(250), y char(220))",
        "INSERT INTO filled.t (v, w, x, y) SELECT " + ", ".join("repeat(md5(random()::text), 7)" for _ in "vwx")
        + f", repeat(md5(random()::text), 6) FROM generate_series(1, {ROWS})",
    ),
}


def fill(server, megabytes):
    """A table `filled.t` of about so many megabytes, that nothing packs; and a small one to ask."""
    make, insert = FILLING[server.engine]
    server.sql(f"{make}; CREATE TABLE filled.small (id INT PRIMARY KEY, v INT); INSERT INTO filled.small VALUES (1, 1), (2, 2), (3, 3)")
    for _ in range(max(1, megabytes * 1000 // ROWS)):
        server.sql(insert, timeout=3600)


def settle(cluster):
    """What is dirty in the server's pool is written: what is measured is not its rest."""
    if cluster.engine == "postgresql":
        cluster.sql("CHECKPOINT", timeout=600)
        return
    cluster.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0")
    wait_for(lambda: int(cluster.value("SELECT variable_value FROM information_schema.global_status"
                                       " WHERE variable_name = 'INNODB_BUFFER_POOL_PAGES_DIRTY'")) < 100, 600, "the pool to be clean")
    cluster.sql("SET GLOBAL innodb_max_dirty_pages_pct = 90")


def filled_cluster(bench, disk, name, megabytes, engine="mariadb"):
    bench.say(f"a cluster of {megabytes} MB, {engine}")
    cluster = create_cluster(bench, disk, name, bench.fastest, engine=engine)
    fill(cluster, megabytes)
    settle(cluster)
    return cluster


def seconds_of(what):
    """(seconds, what it returned)"""
    begun = time.monotonic()
    result = what()
    return time.monotonic() - begun, result


def other(cluster, name):
    return cluster.unspill.cluster(name, cluster.engine)
