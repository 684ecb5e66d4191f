# ./check: engines in long runs
"""
What `serve` does takes longer than its answers, and survives it: killed in the middle of each kind of job that a stock client
began, it has after the next start done it or taken it back, says so, and the database is unharmed; the keepers never notice.
"""
import collections
import contextlib
import datetime
import os
import random
import sqlite3
import time

from clients import Boto3, refused
from harness import ENGINE, LONG, check, check_tables, iso, kill, main, mounts_below, note, now_us, sandbox, skip_without_engine, unspill, wait_for
from serving import Serving, sql_as

# Of each kind, in the middle; of backtracks one more where it is one only, as they end in either way.
KILLS = int(os.environ.get("UNSPILL_TEST_KILLS") or (20 if LONG else 1))
PASSWORD = "very=secret'1"
API_ENGINE = {"mariadb": "aurora-mysql", "postgresql": "aurora-postgresql"}[ENGINE]
FILL = {
    "mariadb": "CREATE TABLE IF NOT EXISTS line (id INT PRIMARY KEY AUTO_INCREMENT, what TEXT);"
               "INSERT INTO line (what) SELECT REPEAT('x', 500) FROM seq_1_to_2000",
    "postgresql": "SET client_min_messages = warning; CREATE TABLE IF NOT EXISTS line (id SERIAL PRIMARY KEY, what TEXT);"
                  "INSERT INTO line (what) SELECT REPEAT('x', 500) FROM generate_series(1, 2000)",
}[ENGINE]
SHOP = {"DBClusterIdentifier": "shop"}


class Serve:
    """`unspill serve`, asked by boto3 over HTTP; of its jobs tells `unspill jobs`."""

    def __init__(self):
        self.serving = Serving("home")
        self.client = None

    def start(self):
        self.serving.start()
        self.client = self.client or self.serving.client(Boto3)

    def kill(self):
        self.serving.kill()

    def answer(self, operation, **parameters):
        return self.client.rds(operation, **parameters)

    def clusters(self):
        return {one["DBClusterIdentifier"]: one for one in self.answer("DescribeDBClusters")["DBClusters"]}

    def jobs(self):
        """The newest one first."""
        return unspill().json("jobs")["jobs"]

    def settle(self):
        """Until nothing is at work any more, and the clusters say so."""
        wait_for(lambda: all("ended_us" in job for job in self.jobs())
                 and not any(one["Status"].endswith("ing") for one in self.clusters().values()), 90, "the jobs' end")

    def newest(self):
        return self.jobs()[0]

    def left(self):
        """What the newest job is recorded as, while nobody serves."""
        with contextlib.closing(sqlite3.connect(sandbox("home", ".serve", "state.db"))) as state:
            return state.execute("SELECT state FROM job ORDER BY id DESC LIMIT 1").fetchone()[0]

    def status(self):
        return self.clusters()["shop"]["Status"]

    def backtracks(self):
        return self.answer("DescribeDBClusterBacktracks", **SHOP)["DBClusterBacktracks"]


serve = Serve()
shop = unspill().cluster("shop", ENGINE)
took = {"delete": 0.2}  # seconds, by kind; this one is timed where it is killed more than once
killed = {}  # by kind: "running -> done" for each


def create():
    return serve.answer("CreateDBCluster", **SHOP, Engine=API_ENGINE, MasterUsername="admin", MasterUserPassword=PASSWORD,
                        DatabaseName="orders", BacktrackWindow=3600, Tags=[{"Key": "team", "Value": "blue"}])


def login(statement):
    """As the master user, over TCP, in the database that was made with the cluster: what it answers last."""
    rows = sql_as(shop, "admin", PASSWORD, "orders", statement)
    return rows[-1][0] if rows else ""


def has_its_database():
    return login("SELECT 1") == "1"


def do_and_kill(kind, begin):
    """Killed after a random part of the time that it took without, and started again; the job as it ended."""
    pause = took[kind] * random.random()
    end = time.monotonic() + pause
    begin()
    time.sleep(max(0, end - time.monotonic()))
    serve.kill()
    left = serve.left()
    if left == "done":
        took[kind] *= 0.9  # it takes less than that
    serve.start()
    status = serve.clusters().get("shop", {"Status": "gone"})["Status"]
    serve.settle()
    job = serve.newest()
    note(f"{kind}, killed after {pause:.2f} s, was {left}, the cluster {status} at the next start, and is {job['state']}")
    check(job["kind"] == kind, f"the newest job is to {job['kind']}")
    killed.setdefault(kind, []).append(f"{left} -> {job['state']}")
    return job


def middles(kind):
    """How often it had not been done when it was killed."""
    return sum(not how.startswith("done") for how in killed.get(kind, ()))


def rounds(*kinds):
    """Until so many of each have been killed in the middle; where one is enough, it may have been done already."""
    for number in range(1 if KILLS == 1 else 4 * KILLS):
        if min(map(middles, kinds)) >= KILLS:
            return
        yield number


def timed(kind, begin):
    begin()
    serve.settle()
    job = serve.newest()
    took[kind] = (job["ended_us"] - job["created_us"]) / 1e6
    check(job["state"] == "done", f"{kind}: {job}")


def fill():
    login(FILL)


def lines():
    return int(login("SELECT COUNT(*) FROM line"))


def a_cluster_is_made_with_its_master_user_and_its_first_database():
    skip_without_engine()
    serve.start()
    timed("create", create)
    cluster = serve.clusters()["shop"]
    check(cluster["Status"] == "available" and cluster["Engine"] == API_ENGINE, cluster)
    check(cluster["TagList"] == [{"Key": "team", "Value": "blue"}], cluster)
    check(has_its_database(), "no database 'orders'")
    for name in ("state.db", "state.db-wal"):
        with open(sandbox("home", ".serve", name), encoding="latin-1") as file:
            check(PASSWORD not in file.read(), f"the password is in {name}")


def clusters_of_the_command_line_are_there_too_and_its_changes_are_seen():
    unspill().run("create", "notes", "--engine", ENGINE, "--backtrack-window", "2h")
    wait_for(lambda: serve.clusters().get("notes", {}).get("Status") == "available", 30, "the command line's cluster")
    check(serve.clusters()["notes"]["BacktrackWindow"] == 7200, serve.clusters()["notes"])
    unspill().run("delete", "notes", "--yes")
    wait_for(lambda: "notes" not in serve.clusters(), 30, "its end")
    refused("DBClusterNotFoundFault", serve.answer, "StopDBCluster", DBClusterIdentifier="notes")


def keepers_outlive_it_and_are_found_again():
    keeper = shop.status()["keeper_pid"]
    serve.kill()
    fill()
    start = time.monotonic()
    serve.start()
    check("shop" in serve.clusters(), "it is not known")
    took_s = time.monotonic() - start
    wait_for(lambda: serve.status() == "available", 30, "the keeper")
    check(shop.status()["keeper_pid"] == keeper and shop.status()["restarts"] == 0, "the keeper is another")
    note(f"first answer after {took_s:.2f} s")


def killed_while_it_stops_and_starts_a_cluster_it_has_done_so():
    before = lines()
    timed("stop", lambda: serve.answer("StopDBCluster", **SHOP))
    timed("start", lambda: serve.answer("StartDBCluster", **SHOP))
    for _ in rounds("stop", "start"):
        check(do_and_kill("stop", lambda: serve.answer("StopDBCluster", **SHOP))["state"] == "done", "it is not stopped")
        check(serve.status() == "stopped" and not mounts_below(shop.path("mnt")), serve.status())
        check(do_and_kill("start", lambda: serve.answer("StartDBCluster", **SHOP))["state"] == "done", "it is not started")
        check(serve.status() == "available" and lines() == before, "something is not as before")


def killed_while_it_changes_a_cluster_it_has_done_so():
    window = 7200

    def modify():
        serve.answer("ModifyDBCluster", **SHOP, BacktrackWindow=window, MasterUserPassword=PASSWORD)

    timed("modify", modify)
    for number in rounds("modify"):
        window = 7201 + number
        job = do_and_kill("modify", modify)
        check(job["state"] == "done", job)
        check(serve.clusters()["shop"]["BacktrackWindow"] == window, serve.clusters()["shop"])
        check(shop.status()["window"]["target_us"] == window * 1_000_000 and lines(), "the keeper does not know")


def killed_while_it_backtracks_the_cluster_is_at_one_moment_or_the_other():
    past, there = now_us(), lines()
    time.sleep(0.05)
    fill()
    present, here = now_us(), lines()
    moment = datetime.datetime.fromtimestamp(past / 1e6, datetime.timezone.utc)

    def back():
        serve.answer("BacktrackDBCluster", **SHOP, BacktrackTo=moment)

    timed("backtrack", back)
    check(lines() == there, "it did not go back")
    for _ in range(2) if KILLS == 1 else rounds("backtrack"):
        shop.backtrack(iso(present))
        wait_for(lambda: serve.status() == "available", 30, "the present")
        check(lines() == here, "it did not come forward again")
        keeper = shop.status()["keeper_pid"]
        job = do_and_kill("backtrack", back)
        shop.wait_running()
        told = serve.backtracks()[0]
        check(told["Status"] == ("COMPLETED" if job["state"] == "done" else "FAILED"), f"{told}, {job}")
        check(lines() == (there if told["Status"] == "COMPLETED" else here), f"{lines()} lines after {told}")
        check(shop.status()["keeper_pid"] == keeper, "the keeper is another")
    identifiers = [one["BacktrackIdentifier"] for one in serve.backtracks()]
    check(len(identifiers) == len(set(identifiers)) >= 1 + 2 * len(killed["backtrack"]), identifiers)
    check(identifiers == [one["BacktrackIdentifier"] for one in serve.backtracks()], "they change")
    check_tables(shop, ("orders", "mysql"))


def killed_while_it_deletes_or_makes_a_cluster_it_is_gone_or_whole():
    def delete():
        serve.answer("DeleteDBCluster", **SHOP, SkipFinalSnapshot=True)

    if KILLS > 1:
        timed("delete", delete)
        timed("create", create)
    for _ in rounds("delete", "create"):
        job = do_and_kill("delete", delete)
        check(job["state"] == "done" and "shop" not in serve.clusters(), job)
        check(not os.path.exists(shop.path()) and not mounts_below(shop.path()), "something is left")
        job = do_and_kill("create", create)
        check(job["state"] == "done" and serve.status() == "available", job)
        check(has_its_database(), "no database 'orders'")
    check_tables(shop, ("mysql",))
    check(killed.keys() == {"create", "modify", "backtrack", "start", "stop", "delete"}, killed)
    for kind, ends in killed.items():
        note(f"{kind}, as it was when killed, and ended: {dict(collections.Counter(ends))}")
        check(KILLS == 1 or middles(kind) >= KILLS, f"only {middles(kind)} of {kind} were killed in the middle")


def a_create_that_cannot_be_finished_leaves_nothing():
    serve.answer("DeleteDBCluster", **SHOP, SkipFinalSnapshot=True)
    serve.settle()
    began = datetime.datetime.now(datetime.timezone.utc)
    create()
    wait_for(lambda: os.path.exists(shop.path("run", "keeper.pid")), 30, "its keeper")
    # Whatever comes of a keeper that dies again and again: never half a cluster.
    with open(shop.path("run", "keeper.pid"), encoding="utf-8") as file:
        kill(int(file.read().split()[0]))
    serve.settle()
    job = serve.newest()
    note(f"its keeper was killed: the job is {job['state']}: {job.get('error')}")
    if job["state"] == "failed":
        check("shop" not in serve.clusters() and not os.path.exists(shop.path()), "something is left")
        check(not mounts_below(shop.path()), mounts_below(shop.path()))
        messages = [event["Message"] for event in serve.answer("DescribeEvents", StartTime=began)["Events"]]
        check(any("could not be created" in message for message in messages), messages)
    else:
        check(has_its_database(), "no database 'orders'")


main(
    a_cluster_is_made_with_its_master_user_and_its_first_database,
    clusters_of_the_command_line_are_there_too_and_its_changes_are_seen,
    keepers_outlive_it_and_are_found_again,
    killed_while_it_stops_and_starts_a_cluster_it_has_done_so,
    killed_while_it_changes_a_cluster_it_has_done_so,
    killed_while_it_backtracks_the_cluster_is_at_one_moment_or_the_other,
    killed_while_it_deletes_or_makes_a_cluster_it_is_gone_or_whole,
    a_create_that_cannot_be_finished_leaves_nothing,
)
