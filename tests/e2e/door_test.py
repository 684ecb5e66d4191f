"""
`unspill` with a serve beside it and without one: what a command prints, and how it ends, is the same; and what serve does for it
survives the command, or goes with it.
"""
import os
import re
import signal
import subprocess
import time

from clients import CommandLine, refused
from harness import Failed, Skip, check, free_port, gone, main, note, note_time, postgres_program, sandbox, unspill, wait_for
from serving import Serving

ROUNDS = ("alone", "beside serve", "after serve was killed")
PORTS = [free_port() for _ in range(4)]
DURATION = r"(?:\d+(?:\.\d+)? (?:us|ms|s|m|h|d)|\d+[dhms](?:\d+[hms])*)\b"
UNITS = r"\b\d[\d,]*(?:\.\d+)? (?:bytes|KiB|MiB|GiB|TiB)(?:/s)?\b"
PATIENCE = 60
serving = None
told = {}


def masked(text, home):
    """Without what differs between any two runs: places, times, sizes, numbers."""
    text = text.replace(home, "HOME")
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)", "TIME", text)
    text = re.sub(UNITS, "SIZE", re.sub(DURATION, "TOOK", text))
    text = re.sub(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", "N", text)
    # How many steps there are to tell of is a matter of time.
    text = re.sub(r"(\n    \{[^{}]*\}),(?:\1,?)+", r"\1", text)
    lines = text.split("\n")
    # Long steps are told of once a second.
    left = {line.split(":")[0] for line in lines if re.match(r"  [a-z ]+: (?:SIZE, )?TOOK$", line)}
    return "\n".join(line for line in lines if line not in left and not re.match(r"  [a-z ]+: SIZE(?: of SIZE)?", line)
                     or re.search(r"TOOK$", line))


class Round:
    """The same commands in a home of their own; what each printed, and its exit status, is compared with the first round's."""

    def __init__(self, name):
        self.name = name
        self.cli = unspill(name.replace(" ", "-"))
        self.files = sandbox(f"{self.cli.home}-files")
        os.mkdir(self.files)
        self.said = []

    def run(self, *words):
        done = self.cli.run(*words, check=False)
        self.said.append((words, done.returncode, masked(done.stdout, self.cli.home), masked(done.stderr, self.cli.home)))
        return done


def commands(one):
    """A life of some clusters, with every kind of refusal on the way."""
    shop = ("--engine", "postgresql", "--port", PORTS[0])
    one.run("create", "shop", *shop, "--backtrack-window", "2h")
    one.run("create", "shop", *shop)
    one.run("create", "other", *shop)
    one.run("create", "other", "--engine", "postgresql", "--port", PORTS[1], "--bind", "nowhere")
    one.run("create", "other", "--engine", "oracle")
    full, plain = os.path.join(one.files, "full"), os.path.join(one.files, "plain")
    os.mkdir(full)
    with open(os.path.join(full, "something"), "w", encoding="utf-8") as file:
        file.write("of somebody")
    one.run("create", "other", "--engine", "postgresql", "--dir", full)
    one.run("create", "other", "--engine", "postgresql", "--port", PORTS[1], "--server-option", "no_such_setting=1")
    for looking in (("list",), ("status", "shop"), ("backtracks", "shop"), ("views", "shop")):
        one.run(*looking)
        one.run(*looking, "--json")
    one.run("moments", "shop", "--json")
    one.run("status", "nobody")
    one.run("mark", "shop", "here")
    one.run("mark", "shop", "here")
    one.run("backtrack", "shop", "--to", "mark:here", "--dry-run")
    one.run("backtrack", "shop", "--to", "mark:here", "--yes")
    one.run("backtracks", "shop", "--json")
    one.run("clone", "shop", "twin", "--port", PORTS[3])
    one.run("clone", "shop", "twin")
    one.run("clone", "shop", "never", "--at", "2001-01-01")
    one.run("clone", "nobody", "never")
    one.run("modify", "shop", "--backtrack-window", "1h")
    one.run("modify", "shop", "--backtrack-window", "never")
    one.run("stop", "shop")
    one.run("stop", "shop")
    one.run("status", "shop", "--json")
    one.run("backtracks", "shop")
    one.run("clone", "shop", "then", "--at", "mark:here", "--no-start", "--thin", "--json", "--dir", os.path.join(one.files, "then"))
    one.run("delete", "shop", "--yes")
    one.run("delete", "twin", "--yes")
    one.run("delete", "then", "--yes")
    one.run("export", "shop", "--to", plain)
    one.run("import", "copy", "--engine", "postgresql", "--port", PORTS[2], "--from", plain, "--json")
    one.run("import", "other", "--engine", "postgresql", "--port", PORTS[1], "--from", os.path.join(one.files, "none"))
    one.run("import", "other", "--engine", "postgresql", "--port", PORTS[1], "--from", full)
    one.run("create", "notes", "--engine", "sqlite")
    one.run("list")
    one.run("delete", "notes", "--yes")
    one.run("delete", "copy")
    one.run("delete", "copy", "--yes")
    one.run("delete", "copy", "--yes")
    one.run("start", "shop")
    with open(os.path.join(one.cli.home, "shop", "stranger"), "w", encoding="utf-8") as file:
        file.write("of somebody")
    one.run("delete", "shop", "--yes")
    os.remove(os.path.join(one.cli.home, "shop", "stranger"))
    one.run("delete", "shop", "--yes")
    one.run("list", "--json")


def compare(one):
    first = told[ROUNDS[0]]
    wrong = [f"{' '.join(map(str, words))}\n  alone: {before}\n  {one.name}: {now}"
             for (words, *before), (_, *now) in zip(first, one.said) if before != now]
    check(not wrong, "\n".join(wrong))
    check(len(first) == len(one.said), "not as many commands")


def without_serve_commands_do_their_own_work():
    try:
        postgres_program("postgres")
    except Failed as error:
        raise Skip("PostgreSQL is not installed: Debian's postgresql-15") from error
    one = Round(ROUNDS[0])
    start = time.monotonic()
    commands(one)
    note_time(start, one.name)
    told[one.name] = one.said
    good = [words[0] for words, code, *_ in one.said if code == 0]
    check({"create", "import", "list", "status", "moments", "backtracks", "backtrack", "clone", "mark", "modify", "delete"} <= set(good), good)
    check(one.said[0][2].startswith("  making the volume: TOOK\n  starting its keeper: TOOK\n  installing the database: TOOK\n"), one.said[0])
    note(f"{len(one.said)} commands, {len(good)} of which go well")


def beside_serve_they_print_the_same_and_are_its_jobs():
    global serving
    serving = Serving(ROUNDS[1].replace(" ", "-"))
    serving.start()
    one = Round(ROUNDS[1])
    commands(one)
    compare(one)
    jobs = [(job["kind"], job["subject"], job["state"]) for job in reversed(serving.unspill.json("jobs")["jobs"])]
    done = [job for job in jobs if job[2] == "done"]
    check(done == [("create", "shop", "done"), ("clone", "twin", "done"), ("clone", "then", "done"), ("delete", "twin", "done"),
                   ("delete", "then", "done"), ("create", "copy", "done"), ("delete", "copy", "done"), ("delete", "shop", "done")], jobs)
    check({job[:2] for job in jobs if job[2] == "failed"} == {("create", "other"), ("clone", "never")}, jobs)
    log = serving.log()
    for words in ("create of 'shop' is done", "backtrack of 'shop' is done", "delete of 'copy' is done", "user 0: mark of 'shop'"):
        check(words in log, f"{words}: {log}")


def after_it_was_killed_they_do_their_own_work_again():
    other = Serving(ROUNDS[2].replace(" ", "-"))
    other.start()
    other.kill()
    check(os.path.exists(os.path.join(other.home, ".serve", "control.sock")), "it has left no socket to stumble over")
    one = Round(ROUNDS[2])
    commands(one)
    compare(one)


class Create:
    """One that serve is at: its keeper is held while it makes the database, so that it is not done before we are."""

    def __init__(self, name, port):
        self.name = name
        self.command = serving.unspill.start("create", name, "--engine", "postgresql", "--port", port, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, text=True)
        wait_for(lambda: job_of(name, "progress", {}).get("text") == "install", PATIENCE, f"{name} to be at work")
        with open(os.path.join(serving.home, name, "run", "keeper.pid"), encoding="utf-8") as file:
            self.keeper = int(file.read().split()[0])
        os.kill(self.keeper, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.keeper, signal.SIGCONT)

    def is_taken_back(self):
        """What it printed, and how it ended."""
        wait_for(lambda: job_of(self.name, "state") == "undoing", PATIENCE, f"{self.name} to be taken back")
        self.go_on()
        out, err = self.command.communicate(timeout=PATIENCE)
        wait_for(lambda: job_of(self.name, "ended_us"), PATIENCE, f"the job of {self.name} to end")
        check(job_of(self.name, "state") == "cancelled", job_of(self.name, "state"))
        check(not os.path.exists(os.path.join(serving.home, self.name)), f"{self.name} is left")
        return out, err, self.command.returncode


def job_of(name, member, otherwise=None):
    return next((job.get(member, otherwise) for job in serving.unspill.json("jobs")["jobs"] if job["subject"] == name), otherwise)


def who_interrupts_the_command_cancels_what_it_makes():
    create = Create("broken-off", PORTS[0])
    create.command.send_signal(signal.SIGINT)
    out, err, status = create.is_taken_back()
    check(status == 7 and err == "unspill: create broken-off: cancelled; taking back what was made\n", f"{status} {err}")
    check("taking back what was made:" in out and "installing the database:" not in out, out)


def who_kills_it_does_so_too():
    create = Create("killed", PORTS[0])
    create.command.kill()
    create.is_taken_back()


def who_cancels_the_job_tells_the_command():
    create = Create("unwanted", PORTS[0])
    serving.unspill.run("jobs", "--cancel", job_of("unwanted", "id"))
    out, err, status = create.is_taken_back()
    check(status == 7 and err == "unspill: create unwanted: cancelled\n" and "taking back" in out, f"{status} {err} {out}")


def is_finished_by_the_next(name, port, end, words):
    """Made while serve ends in one way or the other, of which the command speaks in these words."""
    create = Create(name, port)
    end()
    _, err = create.command.communicate(timeout=PATIENCE)
    check(create.command.returncode == 1 and words in err, err)
    serving.start()
    create.go_on()
    wait_for(lambda: job_of(name, "ended_us"), PATIENCE, "the job to end")
    check(job_of(name, "state") == "done", job_of(name, "error"))
    check(serving.unspill.cluster(name, "postgresql").status()["state"] == "running", "it does not run")


def what_is_being_made_when_serve_is_killed_is_finished_by_the_next():
    is_finished_by_the_next("shop", PORTS[0], serving.kill, "goes on with it when it runs again: see 'unspill jobs'")


def what_is_being_made_when_serve_ends_is_finished_by_the_next():
    is_finished_by_the_next("more", PORTS[1], serving.stop, "unspill serve is ending; it goes on with job")


def what_is_there():
    clusters = serving.unspill.json("list")["clusters"]
    return [{name: one[name] for name in ("name", "state", "pid", "keeper_pid")} for one in clusters], serving.unspill.json("jobs")


def what_aws_protects_is_not_deleted_by_the_command_while_serve_runs():
    """The protection is a record of serve's: without it, nothing asks."""
    aws = serving.client(CommandLine)
    aws.run(["rds", "modify-db-cluster", "--db-cluster-identifier", "more", "--deletion-protection"])
    before = what_is_there()
    done = serving.unspill.run("delete", "more", "--yes", check=False)
    check(done.returncode == 9 and done.stdout == "" and done.stderr == (
        "unspill: delete more: it is protected against deletion; 'aws rds modify-db-cluster --db-cluster-identifier more "
        "--no-deletion-protection' ends that\n"), done)
    after = what_is_there()
    check(after == before, f"{before}\n{after}")
    serving.stop()
    serving.unspill.run("delete", "more", "--yes")
    serving.start()
    refused("DBClusterNotFoundFault", aws.run, ["rds", "describe-db-clusters", "--db-cluster-identifier", "more"])


def a_serve_that_does_not_answer_stops_nobody():
    expected = serving.unspill.run("list").stdout
    serving.process.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        check(serving.unspill.run("list", timeout=10).stdout == expected, "another list")
        check(time.monotonic() - start > 0.4, "it was not asked at all")
        check(serving.unspill.run("mark", "shop", "now", timeout=20).returncode == 0, "no mark")
        serving.unspill.run("delete", "shop", "--yes", timeout=30)
    finally:
        serving.process.send_signal(signal.SIGCONT)
    check(serving.unspill.json("list") == {"clusters": []}, serving.unspill.run("list").stdout)
    serving.stop()
    check(gone(serving.process.pid), "it is still there")


main(
    without_serve_commands_do_their_own_work, beside_serve_they_print_the_same_and_are_its_jobs,
    after_it_was_killed_they_do_their_own_work_again, who_interrupts_the_command_cancels_what_it_makes, who_kills_it_does_so_too,
    who_cancels_the_job_tells_the_command, what_is_being_made_when_serve_is_killed_is_finished_by_the_next,
    what_is_being_made_when_serve_ends_is_finished_by_the_next, what_aws_protects_is_not_deleted_by_the_command_while_serve_runs,
    a_serve_that_does_not_answer_stops_nobody,
)
