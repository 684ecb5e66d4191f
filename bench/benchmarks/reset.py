"""The loop of a test laboratory: a clone that is spoiled and put back, again and again."""
from cluster import Failed

from lib import results
from lib.filled import MEGABYTES_PER_SECOND, filled_cluster, other, seconds_of
from lib.results import Result, median

TITLE = "a clone of --megabytes that is spoiled and put back to a mark: command to first answered query"
PEER = "making the clone anew"
TARGET = "<= 3 s"
DISKS = "plain"
ENGINES = {"mariadb": "MariaDB", "postgresql": "PostgreSQL"}


def minutes(wanted):
    return len(ENGINES) * (20 + wanted.megabytes / MEGABYTES_PER_SECOND + wanted.rounds * 12) / 60


def spoil(lab):
    lab.sql("DROP TABLE filled.small; UPDATE filled.t SET v = 'spoiled' WHERE id % 20 = 0", timeout=600)


def check(lab):
    if lab.sql("SELECT COUNT(*) FROM filled.small") != [["3"]]:
        raise Failed("the clone was not put back")


def reset(lab):
    lab.backtrack("mark:clean")
    check(lab)


def anew(cluster):
    cluster.unspill.run("clone", cluster.name, "anew")
    check(other(cluster, "anew"))


def measure(bench, disk, name, engine):
    """The result of one engine, whose clusters go again."""
    cluster = filled_cluster(bench, disk, name, bench.wanted.megabytes, engine)
    lab_name, title = f"{name}-lab", ENGINES[engine]
    cluster.unspill.run("clone", name, lab_name, "--thin")
    lab = other(cluster, lab_name)
    lab.run("mark", "clean")
    found = {"reset": [], "anew": []}
    for turn, what in bench.turns(found):
        if what == "reset":
            spoil(lab)
            found[what].append(seconds_of(lambda: reset(lab))[0])
        else:
            found[what].append(seconds_of(lambda: anew(cluster))[0])
            cluster.unspill.run("delete", "anew", "--yes", timeout=300)
        bench.say(f"{title}, round {turn + 1}: {what}: {found[what][-1]:.2f} s")
    print(results.table([title, "seconds, median (least..most)"], [[what, results.spread(all)] for what, all in found.items()])
          + "\n", flush=True)
    cluster.unspill.run("delete", lab_name, "--yes", timeout=300)
    return Result(f"{title}, {bench.wanted.megabytes:,} MB", median(found["reset"]), 3, less_is_better=True, chief=engine == "mariadb",
                  peer=median(found["anew"]), ours=median(found["reset"]), unit="s")


def run(bench):
    return [measure(bench, disk, f"shop-{engine}", engine) for disk in bench.disks(DISKS) for engine in ENGINES]
