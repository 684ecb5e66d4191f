# ./check: engines
"""
Clusters by the stock clients: a real one is created, spilled, put back and deleted with nothing but boto3 and `aws`, and
each operation of RDS that `unspill serve` answers does what it says.
"""
import datetime
import json
import time

from clients import BOTH, Boto3, CommandLine, refused
from harness import ENGINE, check, main, note, note_time, sandbox, unspill, wait_for
from serving import Serving, sql_as

NAMES = {"mariadb": "aurora-mysql", "postgresql": "aurora-postgresql"}
# What the policy UnspillOperator asks of a cluster.
ALLOWED = "unspill:operators-backtrack"
NOT_FOUND = "DBClusterNotFoundFault"
serving = boto3 = aws = cluster = None
moment = None


def described(client, name):
    found = client.rds("DescribeDBClusters", DBClusterIdentifier=name)["DBClusters"]
    check(len(found) == 1, found)
    return found[0]


def wait_for_status(name, status, seconds=120):
    return wait_for(lambda: one if (one := described(boto3, name))["Status"] == status else None, seconds, f"{name} to be {status}")


def a_cluster_is_created_and_answers():
    global serving, boto3, aws, cluster
    serving = Serving("clusters")
    serving.unspill.env = {**serving.unspill.env, "NOTIFY_SOCKET": sandbox("notify")}
    serving.start()
    boto3, aws = serving.client(Boto3), serving.client(CommandLine)
    start = time.monotonic()
    made = boto3.rds("CreateDBCluster", DBClusterIdentifier="shop", Engine=NAMES[ENGINE], MasterUsername="keeper",
                     MasterUserPassword="Unspilled-1", DatabaseName="orders", BacktrackWindow=3600,
                     Tags=[{"Key": ALLOWED, "Value": "true"}])["DBCluster"]
    check(made["Status"] == "creating" and made["DBClusterArn"] == f"arn:aws:rds:us-east-1:{serving.account}:cluster:shop", made)
    one = wait_for_status("shop", "available")
    note_time(start, "created")
    check(one["BacktrackWindow"] == 3600 and one["DatabaseName"] == "orders" and one["MasterUsername"] == "keeper", one)
    cluster = unspill(serving.name).cluster("shop", ENGINE)
    status = cluster.status()
    check(status["state"] == "running" and status["endpoint"]["port"] == one["Port"], status)
    check(sql("SELECT 40 + 2") == [["42"]], "the master user is not let in")


def a_backtrack_goes_to_the_moment_that_was_asked_for():
    global moment
    sql("CREATE TABLE o (id INT PRIMARY KEY, v INT); INSERT INTO o VALUES (1, 1), (2, 2)")
    moment = later()
    sql("UPDATE o SET v = 0")
    went = boto3.rds("BacktrackDBCluster", DBClusterIdentifier="shop", BacktrackTo=moment)
    check(went["Status"].upper() in ("APPLYING", "PENDING") and went["DBClusterIdentifier"] == "shop", went)
    wait_for_status("shop", "available")
    got = sql("SELECT * FROM o ORDER BY id")
    check(got == [["1", "1"], ["2", "2"]], got)
    told = boto3.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop")["DBClusterBacktracks"]
    check([one["BacktrackIdentifier"] for one in told] == [went["BacktrackIdentifier"]], told)
    check(told[0]["Status"].upper() == "COMPLETED" and told[0]["BacktrackTo"] == moment, told)


def sql(statements):
    return sql_as(cluster, "keeper", "Unspilled-1", "orders", statements)


def later():
    """A moment that has just passed, in whole milliseconds, as the clients send it."""
    at = datetime.datetime.now(datetime.timezone.utc)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000) + datetime.timedelta(milliseconds=1)
    while datetime.datetime.now(datetime.timezone.utc) <= at:
        pass
    return at


def the_command_line_does_the_same():
    sql("UPDATE o SET v = 7")
    at = later()
    sql("DELETE FROM o")
    words = ["rds", "backtrack-db-cluster", "--db-cluster-identifier", "shop", "--backtrack-to", at.isoformat(), "--force"]
    went = aws.run(words)
    CommandLine.called.add("rds:BacktrackDBCluster")
    wait_for_status("shop", "available")
    got = sql("SELECT v FROM o")
    check(got == [["7"], ["7"]], got)
    told = aws.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop", BacktrackIdentifier=went["BacktrackIdentifier"])
    check(len(told["DBClusterBacktracks"]) == 1, told)


def what_the_cli_did_is_told_too():
    cluster.run("backtrack", "--to", "1 second ago", "--yes")
    told = aws.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop")["DBClusterBacktracks"]
    check(len(told) == 3, told)
    # Who did it is heard, as the command spoke through serve.
    check("backtrack of 'shop' is done" in serving.log(), serving.log())


def moments_that_cannot_be_are_refused():
    future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    past = future - datetime.timedelta(days=30)
    before = len(boto3.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop")["DBClusterBacktracks"])
    for client in (boto3, aws):
        for when in (future, past):
            words = refused("InvalidParameterValue", client.rds, "BacktrackDBCluster", DBClusterIdentifier="shop",
                            BacktrackTo=when.isoformat())
            note(f"{client.title}: {words}")
        refused(NOT_FOUND, client.rds, "BacktrackDBCluster", DBClusterIdentifier="none", BacktrackTo=past.isoformat())
        refused(NOT_FOUND, client.rds, "DescribeDBClusters", DBClusterIdentifier="none")
        refused("DBClusterAlreadyExistsFault", client.rds, "CreateDBCluster", DBClusterIdentifier="shop", Engine=NAMES[ENGINE],
                MasterUsername="keeper", MasterUserPassword="Unspilled-1")
        words = refused("InvalidParameterValue", client.rds, "CreateDBCluster", DBClusterIdentifier="odd", Engine="oracle",
                        MasterUsername="keeper", MasterUserPassword="Unspilled-1")
        check("oracle" in words, words)
    check(len(boto3.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop")["DBClusterBacktracks"]) == before, "went somewhere")
    one = boto3.rds("BacktrackDBCluster", DBClusterIdentifier="shop", BacktrackTo=past, UseEarliestTimeOnPointInTimeUnavailable=True)
    wait_for_status("shop", "available")
    note(f"the earliest there is: {one['BacktrackTo']}")


def it_is_modified_stopped_and_started():
    before = {client.title: client.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop")["DBClusterBacktracks"] for client in (boto3, aws)}
    check(all(before.values()), before)
    for client, window in ((boto3, 7200), (aws, 86400)):
        client.rds("ModifyDBCluster", DBClusterIdentifier="shop", BacktrackWindow=window, ApplyImmediately=True)
        wait_for(lambda window=window: described(boto3, "shop")["BacktrackWindow"] == window, 60, "the window")
        check(cluster.status()["window"]["target_us"] == window * 1_000_000, cluster.status()["window"])
        wait_for_status("shop", "available")
        client.rds("StopDBCluster", DBClusterIdentifier="shop")
        wait_for_status("shop", "stopped")
        refused("InvalidDBClusterStateFault", client.rds, "StopDBCluster", DBClusterIdentifier="shop")
        check(client.rds("DescribeDBClusterBacktracks", DBClusterIdentifier="shop")["DBClusterBacktracks"] == before[client.title],
              "a stopped one has forgotten where it went")
        check(described(client, "shop")["Status"] == "stopped", "it was started for a question")
        check(described(client, "shop")["BacktrackWindow"] == window, "a stopped one has forgotten its window")
        client.rds("StartDBCluster", DBClusterIdentifier="shop")
        wait_for_status("shop", "available")
    check(cluster.status()["state"] == "running", cluster.status())


def tags_are_kept():
    arn = described(boto3, "shop")["DBClusterArn"]
    for client in (boto3, aws):
        client.rds("AddTagsToResource", ResourceName=arn, Tags=[{"Key": "team", "Value": "x"}, {"Key": "b", "Value": ""}])
        client.rds("RemoveTagsFromResource", ResourceName=arn, TagKeys=["b"])
        got = {tag["Key"]: tag["Value"] for tag in client.rds("ListTagsForResource", ResourceName=arn)["TagList"]}
        check(got == {ALLOWED: "true", "team": "x"}, got)
        refused(NOT_FOUND, client.rds, "ListTagsForResource", ResourceName=arn + "x")


def there_are_no_global_clusters():
    """Terraform asks for them before it believes in a cluster."""
    for client in (boto3, aws):
        check(client.rds("DescribeGlobalClusters")["GlobalClusters"] == [], "there is one")
        arn = described(boto3, "shop")["DBClusterArn"]
        told = client.rds("DescribeGlobalClusters", Filters=[{"Name": "db-cluster-id", "Values": [arn]}])
        check(told["GlobalClusters"] == [], f"one has it: {told}")
        refused("GlobalClusterNotFoundFault", client.rds, "DescribeGlobalClusters", GlobalClusterIdentifier="world")


def an_operator_may_backtrack_what_is_tagged_for_it():
    root = boto3
    root.iam("CreateUser", UserName="ana")
    root.iam("AttachUserPolicy", UserName="ana", PolicyArn="arn:aws:iam::aws:policy/UnspillOperator")
    key = root.iam("CreateAccessKey", UserName="ana")["AccessKey"]
    ana = root.other(key["AccessKeyId"], key["SecretAccessKey"])
    check(described(ana, "shop")["Status"] == "available", "an operator looks")
    words = refused("AccessDenied", ana.rds, "DeleteDBCluster", DBClusterIdentifier="shop", SkipFinalSnapshot=True)
    note(words)
    at = later()
    ana.rds("BacktrackDBCluster", DBClusterIdentifier="shop", BacktrackTo=at)
    wait_for_status("shop", "available")
    arn = described(root, "shop")["DBClusterArn"]
    root.rds("RemoveTagsFromResource", ResourceName=arn, TagKeys=[ALLOWED])
    refused("AccessDenied", ana.rds, "BacktrackDBCluster", DBClusterIdentifier="shop", BacktrackTo=later())


def events_tell_the_story():
    for client in (boto3, aws):
        told = client.rds("DescribeEvents", SourceType="db-cluster", SourceIdentifier="shop", Duration=60)["Events"]
        text = json.dumps(told, default=str).lower()
        for word in ("creat", "backtrack", "stop", "start"):
            check(word in text, f"no event tells of {word}: {text}")
        check([one["Date"] for one in told] == sorted(one["Date"] for one in told), "not in the order of time")
    for one in boto3.rds("DescribeEvents", SourceType="db-cluster", SourceIdentifier="shop")["Events"]:
        note(f"{one['Date']:%H:%M:%S} {one['Message']}")


def serve_is_killed_and_finds_the_cluster_again():
    before = cluster.status()
    serving.kill()
    check(cluster.status()["pid"] == before["pid"], "the server was touched")
    serving.start()
    check(described(boto3, "shop")["Status"] == "available", "not found again")
    check(cluster.status()["pid"] == before["pid"], "the server was touched")


def no_server_speaks_to_systemd_for_serve():
    """MariaDB's tells whoever $NOTIFY_SOCKET names that it is ready."""
    for pid, there in ((serving.process.pid, True), (cluster.status()["pid"], False)):
        with open(f"/proc/{pid}/environ", "rb") as file:
            check((b"NOTIFY_SOCKET=" in file.read()) == there, f"{pid} was {'not ' if there else ''}told where systemd listens")


def jobs_are_seen_and_cancelled():
    cli = unspill(serving.name)
    told = cli.json("jobs")["jobs"]
    check({"create", "backtrack", "modify", "stop", "start"} <= {job["kind"] for job in told}, told)
    check(all(job["state"] == "done" and job["subject"] == "shop" for job in told), told)
    check("Unspilled-1" not in str(told), "a password is told")
    check("backtrack of shop" in cli.run("jobs").stdout, cli.run("jobs").stdout)
    boto3.rds("CreateDBCluster", DBClusterIdentifier="mistake", Engine=NAMES[ENGINE], MasterUsername="keeper",
              MasterUserPassword="Unspilled-1")
    number = next(job["id"] for job in cli.json("jobs")["jobs"] if job["subject"] == "mistake")
    cli.run("jobs", "--cancel", number)
    job = wait_for(lambda: next((job for job in cli.json("jobs")["jobs"] if job["id"] == number and job.get("ended_us")), None),
                   60, "the job to end")
    check(job["state"] == "cancelled", job)
    wait_for(lambda: len(boto3.rds("DescribeDBClusters")["DBClusters"]) == 1, 30, "what was made to go")
    check([one["name"] for one in cli.json("list")["clusters"]] == ["shop"], "something is left")
    for number in (number, 4711):
        check(cli.run("jobs", "--cancel", number, check=False).returncode != 0, "what is over was cancelled")


def it_is_deleted_when_nothing_protects_it():
    for client in (boto3, aws):
        client.rds("ModifyDBCluster", DBClusterIdentifier="shop", DeletionProtection=True)
        wait_for_status("shop", "available")
        refused("InvalidParameterCombination", client.rds, "DeleteDBCluster", DBClusterIdentifier="shop", SkipFinalSnapshot=True)
        client.rds("ModifyDBCluster", DBClusterIdentifier="shop", DeletionProtection=False)
        wait_for_status("shop", "available")
    boto3.rds("DeleteDBCluster", DBClusterIdentifier="shop", SkipFinalSnapshot=True)
    wait_for(lambda: not boto3.rds("DescribeDBClusters")["DBClusters"], 60, "the cluster to go")
    check(unspill(serving.name).json("list") == {"clusters": []}, "the CLI still knows it")


def aws_creates_and_deletes_with_words():
    made = aws.run(["rds", "create-db-cluster", "--db-cluster-identifier", "words", "--engine", NAMES[ENGINE], "--master-username", "keeper",
                    "--master-user-password", "Unspilled-1", "--backtrack-window", "600", "--tags", "Key=a,Value=1"])["DBCluster"]
    CommandLine.called.add("rds:CreateDBCluster")
    check(made["TagList"] == [{"Key": "a", "Value": "1"}], made)
    wait_for_status("words", "available")
    aws.run(["rds", "delete-db-cluster", "--db-cluster-identifier", "words", "--skip-final-snapshot"])
    CommandLine.called.add("rds:DeleteDBCluster")
    wait_for(lambda: not boto3.rds("DescribeDBClusters")["DBClusters"], 60, "the cluster to go")
    answered = {name for name in serving.operations() if name.startswith("rds:")}
    for kind in BOTH:
        check(answered <= kind.called, f"{kind.title} was never asked: {', '.join(sorted(answered - kind.called))}")


main(
    a_cluster_is_created_and_answers, a_backtrack_goes_to_the_moment_that_was_asked_for, the_command_line_does_the_same,
    what_the_cli_did_is_told_too, moments_that_cannot_be_are_refused, it_is_modified_stopped_and_started, tags_are_kept,
    there_are_no_global_clusters, an_operator_may_backtrack_what_is_tagged_for_it, events_tell_the_story, serve_is_killed_and_finds_the_cluster_again,
    no_server_speaks_to_systemd_for_serve,
    jobs_are_seen_and_cancelled, it_is_deleted_when_nothing_protects_it, aws_creates_and_deletes_with_words,
)
