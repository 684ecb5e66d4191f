"""
What `serve` does takes longer than its answers, and survives it: killed in the middle of each kind of job, it has after the
next start done it or taken it back, and the database is unharmed; the keepers never notice.
"""
import json
import os
import random
import subprocess
import time

from harness import LONG, TOP, check, find_binary, iso, kill, main, mounts_below, note, now_us, program, run, sandbox, unspill, wait_for

# All in all 20 in long runs.
KILLS = {"create": 3, "stop": 3, "start": 3, "modify": 3, "backtrack": 5, "delete": 3}
if not LONG:
    KILLS = {"create": 1, "stop": 1, "start": 1, "modify": 1, "backtrack": 2, "delete": 1}
PASSWORD = "very=secret'1"
SHOP = {"DBClusterIdentifier": "shop"}


class Serve:
    """tests/e2e/rds_driver.c: what answers behind serve's front door."""

    def __init__(self):
        self.binary = os.path.join(os.path.dirname(find_binary(TOP)), "../../tests/e2e/rds_driver")
        self.process = None

    def start(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen([self.binary, sandbox("state.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, operation, **parameters):
        self.process.stdin.write(json.dumps({"operation": operation, "input": parameters}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def answer(self, operation, **parameters):
        answer = self.ask(operation, **parameters)
        check("answer" in answer, f"{operation}: {answer}")
        return answer["answer"]

    def clusters(self):
        return {one["DBClusterIdentifier"]: one for one in self.answer("DescribeDBClusters")["DBClusters"]}

    def at_work(self):
        return [job for job in self.answer("Jobs") if "ended_us" not in job]

    def settle(self):
        """Until nothing is at work any more, and the clusters say so."""
        wait_for(lambda: not self.at_work() and not any(one["Status"].endswith("ing") for one in self.clusters().values()),
                 90, "the jobs' end")

    def newest(self):
        return self.answer("Jobs")[0]

    def status(self):
        return self.clusters()["shop"]["Status"]

    def backtracks(self):
        return self.answer("DescribeDBClusterBacktracks", **SHOP)["DBClusterBacktracks"]


serve = Serve()
shop = unspill().cluster("shop")
took = {"modify": 0.1, "delete": 0.3}  # the others are timed


def create():
    return serve.answer("CreateDBCluster", **SHOP, Engine="aurora-mysql", MasterUsername="admin", MasterUserPassword=PASSWORD,
                        DatabaseName="orders", BacktrackWindow=3600, Tags=[{"Key": "team", "Value": "blue"}])


def login(statement):
    """As the master user, over TCP."""
    return run([program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{shop.status()['endpoint']['port']}", "-uadmin",
                f"-p{PASSWORD}", "-BNe", statement]).stdout.strip()


def do_and_kill(kind, begin):
    """Killed after a random part of the time that it took without, and started again; the job as it ended."""
    pause = took.get(kind, 1) * random.random()
    begin()
    time.sleep(pause)
    serve.kill()
    serve.start()
    status = serve.clusters()["shop"]["Status"] if "shop" in serve.clusters() else "gone"
    serve.settle()
    job = serve.newest()
    note(f"{kind}, killed after {pause:.2f} s, was {status} at the next start, and is {job['state']}")
    check(job["kind"] == kind, f"the newest job is to {job['kind']}")
    return job


def timed(kind, begin):
    start = time.monotonic()
    begin()
    serve.settle()
    took[kind] = time.monotonic() - start
    check(serve.newest()["state"] == "done", f"{kind}: {serve.newest()}")


def fill():
    login("USE orders; CREATE TABLE IF NOT EXISTS orders.line (id INT PRIMARY KEY AUTO_INCREMENT, what TEXT);"
          "INSERT INTO orders.line (what) SELECT REPEAT('x', 500) FROM seq_1_to_2000")


def lines():
    return int(login("SELECT COUNT(*) FROM orders.line"))


def a_cluster_is_made_with_its_master_user_and_its_first_database():
    serve.start()
    timed("create", create)
    cluster = serve.clusters()["shop"]
    check(cluster["Status"] == "available" and cluster["Engine"] == "aurora-mysql", cluster)
    check(cluster["TagList"] == [{"Key": "team", "Value": "blue"}], cluster)
    check("orders" in login("SHOW DATABASES"), "no database 'orders'")
    check(PASSWORD not in open(sandbox("state.db"), encoding="latin-1").read(), "the password is in the state")


def clusters_of_the_command_line_are_there_too_and_its_changes_are_seen():
    unspill().run("create", "notes", "--engine", "mariadb", "--backtrack-window", "2h")
    wait_for(lambda: serve.clusters().get("notes", {}).get("Status") == "available", 30, "the command line's cluster")
    check(serve.clusters()["notes"]["BacktrackWindow"] == 7200, serve.clusters()["notes"])
    unspill().run("delete", "notes", "--yes")
    wait_for(lambda: "notes" not in serve.clusters(), 30, "its end")
    check(serve.ask("StopDBCluster", DBClusterIdentifier="notes")["fault"] == "DBClusterNotFoundFault", "it is still there")


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
    for _ in range(KILLS["stop"]):
        check(do_and_kill("stop", lambda: serve.answer("StopDBCluster", **SHOP))["state"] == "done", "it is not stopped")
        check(serve.status() == "stopped" and not mounts_below(shop.path("mnt")), serve.status())
        check(do_and_kill("start", lambda: serve.answer("StartDBCluster", **SHOP))["state"] == "done", "it is not started")
        check(serve.status() == "available" and lines() == before, "something is not as before")


def killed_while_it_changes_a_cluster_it_has_done_so():
    for number in range(KILLS["modify"]):
        window = 7200 + number
        job = do_and_kill("modify", lambda: serve.answer("ModifyDBCluster", **SHOP, BacktrackWindow=window, MasterUserPassword=PASSWORD))
        check(job["state"] == "done", job)
        check(serve.clusters()["shop"]["BacktrackWindow"] == window, serve.clusters()["shop"])
        check(shop.status()["window"]["target_us"] == window * 1_000_000 and lines(), "the keeper does not know")


def killed_while_it_backtracks_the_cluster_is_at_one_moment_or_the_other():
    past, there = now_us() / 1e6, lines()
    time.sleep(0.05)
    fill()
    present, here = now_us() / 1e6, lines()

    def back():
        serve.answer("BacktrackDBCluster", **SHOP, BacktrackTo=past)

    timed("backtrack", back)
    check(lines() == there, "it did not go back")
    for _ in range(KILLS["backtrack"]):
        shop.backtrack(iso(int(present * 1e6)))
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
    check(len(identifiers) == len(set(identifiers)) >= 1 + 2 * KILLS["backtrack"], identifiers)
    check(identifiers == [one["BacktrackIdentifier"] for one in serve.backtracks()], "they change")


def killed_while_it_deletes_or_makes_a_cluster_it_is_gone_or_whole():
    for _ in range(max(KILLS["delete"], KILLS["create"])):
        job = do_and_kill("delete", lambda: serve.answer("DeleteDBCluster", **SHOP, SkipFinalSnapshot=True))
        check(job["state"] == "done" and "shop" not in serve.clusters(), job)
        check(not os.path.exists(shop.path()) and not mounts_below(shop.path()), "something is left")
        job = do_and_kill("create", create)
        check(job["state"] == "done" and serve.status() == "available", job)
        check("orders" in login("SHOW DATABASES"), "no database 'orders'")


def a_create_that_cannot_be_finished_leaves_nothing():
    serve.answer("DeleteDBCluster", **SHOP, SkipFinalSnapshot=True)
    serve.settle()
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
        messages = [event["Message"] for event in serve.answer("DescribeEvents")["Events"]]
        check(any("could not be created" in message for message in messages), messages)
    else:
        check("orders" in login("SHOW DATABASES"), "no database 'orders'")


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
