# ./check: engines in long runs
"""
Goal: a cluster, its clones and their clones never see each other's later writes, and each has the past that it was made
with, whatever is done to them and wherever they are killed.

Method: a model beside each cluster: the rows that it must have now, and those that it had at each mark.  Random steps by
seed: writes, marks, backtracks, clones of any of them at any moment, detaching at any rate; keepers and servers killed (-9)
in the middle of all that, several at once; clone commands killed with their keeper, and alone.  A transaction that was
under way when its server was killed may be there or not, whole.
"""
import itertools
import os
import random
import subprocess
import time

from harness import (
    ENGINE, LONG, SMALL_SERVER, Failed, check, check_tables, create, free_port, gone, kill, main, note, server_options, unspill, wait_for,
)

STEPS, SECONDS = (500, 1200) if LONG else (40, 12)
CLUSTERS_MAX = 4
ROWS, BIG_ROWS = 200, 60000
numbers = itertools.count(1)
home = None
all_of = {}  # name -> Member, oldest first

SCHEMA, BIG = {
    "mariadb": ("CREATE DATABASE shop; USE shop", f"SELECT seq AS id, REPEAT(MD5(seq), 7) AS v FROM seq_1_to_{BIG_ROWS}"),
    "postgresql": ("CREATE SCHEMA shop", f"SELECT id, repeat(md5(id::text), 7) AS v FROM generate_series(1, {BIG_ROWS}) AS id"),
}[ENGINE]
AS_MADE = {"mariadb": "REPEAT(MD5(id), 7)", "postgresql": "repeat(md5(id::text), 7)"}[ENGINE]


class Member:
    """A cluster, and what must be in it: a state is ({id: value} of shop.t, {id: value} of shop.big where it was changed)."""

    def __init__(self, cluster, state, marks):
        self.cluster, self.state, self.marks = cluster, state, dict(marks)

    @property
    def name(self):
        return self.cluster.name

    def change(self):
        """(statements, the state after them)"""
        small, big = map(dict, self.state)
        value, statements = f"{self.name}-{next(numbers)}", []
        for _ in range(random.randint(1, 6)):
            row = random.randrange(ROWS)
            if row not in small:
                statements.append(f"INSERT INTO shop.t VALUES ({row}, '{value}')")
            elif random.random() < 0.3:
                statements.append(f"DELETE FROM shop.t WHERE id = {row}")
                del small[row]
                continue
            else:
                statements.append(f"UPDATE shop.t SET v = '{value}' WHERE id = {row}")
            small[row] = value
        if random.random() < 0.5:
            first, count = random.randint(1, BIG_ROWS - 500), random.randint(1, 500)
            statements.append(f"UPDATE shop.big SET v = '{value}' WHERE id >= {first} AND id < {first + count}")
            big.update((row, value) for row in range(first, first + count))
        return f"BEGIN; {'; '.join(statements)}; COMMIT;", (small, big)

    def read(self):
        out = self.cluster.sql("SELECT 't', id, v FROM shop.t; SELECT 'big', id, v FROM shop.big WHERE LENGTH(v) < 100;"
                               f"SELECT 'made', COUNT(*) FROM shop.big WHERE v = {AS_MADE}")
        small, big = ({int(row[1]): row[2] for row in out if row[0] == table} for table in ("t", "big"))
        check(out[-1] == ["made", str(BIG_ROWS - len(big))], f"{self.name}: rows of shop.big that nobody wrote: {out[-1]}, {len(big)}")
        return small, big

    def compare(self, why):
        self.must_be_one_of([self.state], why)

    def must_be_one_of(self, states, why):
        found = self.read()
        check(found in states, f"{self.name} {why}: {tell(found, states[0])}")
        self.state = found


def tell(found, wanted):
    return "; ".join(
        f"{name}: row {row} is {f.get(row)}, not {w.get(row)}"
        for name, f, w in zip(("t", "big"), found, wanted) for row in sorted(f.keys() | w.keys()) if f.get(row) != w.get(row))[:500]


def any_member():
    return random.choice(list(all_of.values()))


# --- Steps ---


def write(member):
    statements, after = member.change()
    member.cluster.sql(statements)
    member.state = after


def mark(member):
    name = f"m{next(numbers)}"
    member.cluster.run("mark", name)
    member.marks[name] = member.state


def rewind(member):
    name = random.choice(list(member.marks))
    member.cluster.backtrack(f"mark:{name}")
    member.state = member.marks[name]
    member.compare(f"at mark:{name}")


def clone_words(parent, name, at):
    words = ["clone", parent.name, name, "--port", str(free_port())]
    if at:
        words += ["--at", f"mark:{at}"]
    if random.random() < 0.3:
        words.append("--thin")
    return words


def clone(parent):
    if len(all_of) == CLUSTERS_MAX:
        return
    name, at = f"c{next(numbers)}", random.choice([None, *parent.marks])
    home.run(*clone_words(parent, name, at))
    add_clone(parent, name, at)


def add_clone(parent, name, at):
    member = all_of[name] = Member(home.cluster(name, ENGINE), parent.marks[at] if at else parent.state, parent.marks)
    member.cluster.run("modify", "--detach-rate", random.choice(["64K", "1M", "4M"]))
    member.compare(f"as a clone of {parent.name} at {at}")


def detach(member):
    if member.cluster.status()["parent"]:
        member.cluster.run("modify", "--detach", "--detach-rate", random.choice(["64K", "2M", "16M"]))


def kill_keepers(members, statuses):
    """And with each its server."""
    for status in statuses:
        kill(status["keeper_pid"])
    wait_for(lambda: all(gone(s[pid]) for s in statuses for pid in ("keeper_pid", "pid")), 30, "keepers and servers to be gone")
    for member in members:
        member.cluster.revive()


def kill_several(_):
    """With a write under way in each."""
    members = random.sample(list(all_of.values()), random.randint(1, len(all_of)))
    statuses = [member.cluster.status() for member in members]
    clients, states = [], []
    for member in members:
        statements, after = member.change()
        # pylint: disable=consider-using-with
        client = subprocess.Popen(member.cluster.client(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client.stdin.write(statements.encode())
        client.stdin.close()
        clients.append(client)
        states.append([member.state, after])
    pause()
    kill_keepers(members, statuses)
    for member, client, choice in zip(members, clients, states):
        if client.wait(60) == 0:
            del choice[0]
        member.must_be_one_of(choice, "after a kill")


def kill_server(member):
    status = member.cluster.status()
    kill(status["pid"])
    wait_for(lambda: gone(status["pid"]), 30, "the server to be gone")
    member.cluster.revive()
    member.compare("after a kill of its server")


def pause():
    """Kills are to come at any moment: this is not a wait for anything."""
    time.sleep(random.uniform(0, 0.3))


def kill_clone(parent):
    """The command alone, or the keeper that it asks: what was not made leaves nothing in the way."""
    name, at = f"c{next(numbers)}", random.choice([None, *parent.marks])
    status = parent.cluster.status()
    command = home.start(*clone_words(parent, name, at), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pause()
    if random.random() < 0.5:
        command.kill()
    else:
        kill_keepers([parent], [status])
    ended = command.wait(120)
    there = name in (entry["name"] for entry in home.json("list")["clusters"])
    check(there or ended, f"{name} was made, and is not there")
    if ended == 0 and len(all_of) < CLUSTERS_MAX:
        home.cluster(name, ENGINE).revive()
        add_clone(parent, name, at)
    elif there:
        home.run("delete", name, "--yes")
    check(os.path.exists(os.path.join(home.home, name)) == (name in all_of), f"something of {name} is left")
    parent.compare(f"after clone {name} was killed")


def delete(member):
    if len(all_of) == 1:
        return
    done = home.run("delete", member.name, "--yes", check=False)
    check(done.returncode in (0, 5), done.stderr)
    if done.returncode == 0:
        del all_of[member.name]
    else:
        check("still shares" in done.stderr, done.stderr)
        member.compare("after its delete was refused")


KINDS = {write: 10, mark: 5, rewind: 4, clone: 4, detach: 3, kill_several: 3, kill_server: 1, kill_clone: 2, delete: 1}


# --- The tests ---


def a_cluster_has_a_base_and_a_past():
    global home
    cluster = create("shop", "--backtrack-window", "1h", *server_options(*SMALL_SERVER))
    home = unspill()
    cluster.sql(f"""
        {SCHEMA};
        CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(100));
        CREATE TABLE shop.big (id INT PRIMARY KEY, v VARCHAR(255));
        INSERT INTO shop.big {BIG};
    """)
    # What is written now leaves the window, and makes the base.
    cluster.run("modify", "--backtrack-window", "1s")
    wait_for(lambda: cluster.status()["bytes"]["base"] > 4_000_000, 60, "a base to be there")
    cluster.run("modify", "--backtrack-window", "1h")
    all_of["shop"] = Member(cluster, ({}, {}), {})
    mark(all_of["shop"])


def nobody_sees_what_another_writes_whatever_happens_to_them():
    begun, kinds = time.monotonic(), {}
    for step in [write, mark, clone] + random.choices(list(KINDS), KINDS.values(), k=STEPS):
        if time.monotonic() - begun > SECONDS:
            break
        member = any_member()
        try:
            step(member)
        except (AssertionError, Failed) as error:
            raise AssertionError(f"{step.__name__} {member.name}, after {kinds}: {error}\n{member.cluster.logs()}") from error
        kinds[step.__name__] = kinds.get(step.__name__, 0) + 1
    note(f"{sum(kinds.values())} steps: " + ", ".join(f"{count} {name}" for name, count in sorted(kinds.items())))
    for member in all_of.values():
        member.compare("in the end")


def every_one_finds_its_way_back_without_its_parent():
    for member in all_of.values():
        if member.cluster.status()["parent"]:
            member.cluster.run("modify", "--detach", "--detach-rate", "1G")
    # Whoever others were made of waits for them.
    for member in list(all_of.values())[::-1]:
        wait_for(lambda member=member: not member.cluster.status()["attached"], 60, f"{member.name} to detach")
    left = list(all_of.values())
    oldest = left.pop(0) if len(left) > 1 else None
    if oldest:
        wait_for(lambda: not oldest.cluster.status()["clones"], 30, "the parent to notice")
        oldest.compare("after its clones have detached")
        home.run("delete", oldest.name, "--yes")
    for member in left[-2:]:
        member.compare("in the end")
        rewind(member)
        check(not member.cluster.json("verify")["damage"], f"{member.name} is damaged")
        check_tables(member.cluster, ("shop",))


main(
    a_cluster_has_a_base_and_a_past,
    nobody_sees_what_another_writes_whatever_happens_to_them,
    every_one_finds_its_way_back_without_its_parent,
)
